//! From what is kept to what is cut out of the text of the document.

use super::Selection;
use crate::presence::pidf::lexis::is_space;
use roxmltree::{Document, Node};
use std::ops::Range;

/// What is to be cut: hidden elements, attributes, texts, and the declarations of prefixes that nothing left uses, so
/// that a change of what is hidden changes nothing that is sent.
pub(super) fn cuts(document: &Document<'_>, selection: &Selection) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut uses = Uses::default();
    let mut declarations = Vec::new();
    let mut hidden_until = 0;
    for node in document.root().descendants().skip(1) {
        let range = node.range();
        if range.start < hidden_until {
            continue;
        }
        let outside = node.parent().is_none_or(|parent| parent.is_root());
        let shown = match node.parent_element() {
            _ if node.is_element() => selection.shows(node),
            Some(parent) => selection.0[parent.id().get_usize()].text,
            None => outside, // between the declaration and the document element
        };
        if !shown {
            hidden_until = range.end;
            cuts.push(range);
        } else if node.is_element() {
            tag(node, selection, &mut cuts, &mut uses, &mut declarations);
        } else {
            uses.values.push(&document.input_text()[range]);
        }
    }
    let unused = declarations.into_iter().filter(|d| !uses.need(d.prefix));
    cuts.extend(unused.map(|declaration| declaration.range));
    cuts.sort_by_key(|cut| cut.start);
    cuts
}

/// What is left of the document, as far as prefixes may be named in it.
#[derive(Default)]
struct Uses<'a> {
    /// Prefixes of elements and attributes; empty for an element without one.
    prefixes: std::collections::BTreeSet<&'a str>,
    /// Attribute values and texts, in which a prefix may be named too (`xsi:type`, expressions).
    values: Vec<&'a str>,
}

impl Uses<'_> {
    fn need(&self, prefix: &str) -> bool {
        let named = |value: &&str| {
            let mut places = value.match_indices(prefix);
            places.any(|(at, _)| value[at + prefix.len()..].starts_with(':'))
        };
        self.prefixes.contains(prefix) || (!prefix.is_empty() && self.values.iter().any(named))
    }
}

/// `xmlns` or `xmlns:prefix`, with the white space before it.
struct Declaration<'a> {
    prefix: &'a str,
    range: Range<usize>,
}

/// The start tag of an element that is shown.
fn tag<'a>(
    node: Node<'_, 'a>,
    selection: &Selection,
    cuts: &mut Vec<Range<usize>>,
    uses: &mut Uses<'a>,
    declarations: &mut Vec<Declaration<'a>>,
) {
    let text = node.document().input_text();
    let start = node.range().start + 1;
    let name = word(text, start);
    uses.prefixes.insert(prefix(name));
    let kept = &selection.0[node.id().get_usize()].attributes;
    let mut places = kept.iter();
    let mut at = start + name.len();
    // a well-formed start tag: name="value" after white space, until > or />
    while let Some((attribute, value)) = attribute(text, at) {
        let range = at..value.end + 1;
        at = range.end;
        let declared = match attribute.split_once(':') {
            Some(("xmlns", prefix)) => Some(prefix),
            None if attribute == "xmlns" => Some(""),
            _ => None,
        };
        match declared {
            Some(prefix) => declarations.push(Declaration { prefix, range }),
            None if places.next() == Some(&true) => {
                if attribute.contains(':') {
                    uses.prefixes.insert(prefix(attribute));
                }
                uses.values.push(&text[value]);
            }
            None => cuts.push(range),
        }
    }
}

/// The prefix of a qualified name; empty for none.
fn prefix(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

/// The name that begins at `at`.
fn word(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let ends = |b: u8| is_space(b) || matches!(b, b'=' | b'/' | b'>');
    let end = rest.bytes().position(ends).unwrap_or(rest.len());
    &rest[..end]
}

/// The next attribute of a start tag: its name, and where its value is without quotes.
fn attribute(text: &str, at: usize) -> Option<(&str, Range<usize>)> {
    let space = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        rest.bytes().take_while(|b| is_space(*b)).count()
    };
    let name = word(text, at + space(at));
    if name.is_empty() {
        return None;
    }
    let mut at = at + space(at) + name.len();
    at += space(at) + 1; // =
    at += space(at);
    let quote = *text.as_bytes().get(at)?;
    let length = text.get(at + 1..)?.bytes().position(|b| b == quote)?;
    Some((name, at + 1..at + 1 + length))
}
