//! Changes of one node (RFC 4825 §8.2.3, §8.2.4, §8.4), as a splice of the document's bytes: what is not edited stays
//! as it is, byte for byte.

use super::error::Conflict;
use super::fragment::Fragment;
use super::node::{Found, attribute, child, find, is_named, qualified, value_range};
use super::selector::{Name, NodeSelector, Step};
use super::sketch::Sketch;
use roxmltree::{Document, Node};
use std::ops::Range;

/// One piece of a document exchanged for another text.
#[derive(Clone, Debug)]
pub(super) struct Splice {
    pub replaced: Range<usize>,
    pub with: String,
    /// Where the new node stands in the result; empty after a removal.
    pub node: Range<usize>,
    pub kind: Kind,
}

/// What becomes of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Created,
    Replaced,
    Removed,
}

impl Splice {
    /// The change of a [sketch](Sketch) as one of the document.
    pub fn of_original(&self, sketch: &Sketch<'_>) -> Splice {
        let replaced = sketch.original_range(&self.replaced);
        let moved = |position: usize| position - self.replaced.start + replaced.start;
        Splice {
            node: moved(self.node.start)..moved(self.node.end),
            replaced,
            with: self.with.clone(),
            kind: self.kind,
        }
    }

    /// The document with the change.
    pub fn applied(&self, text: &str) -> String {
        let before = text.get(..self.replaced.start).unwrap_or_default();
        let after = text.get(self.replaced.end..).unwrap_or_default();
        [before, &self.with, after].concat()
    }

    /// Whether the selector names in the result what it should: GET(PUT(x)) == x, "or the server MUST NOT perform the
    /// insertion" (§8.2.3), and nothing after a DELETE (§8.4).
    pub fn holds(&self, result: &Document<'_>, selector: &NodeSelector) -> bool {
        let found = find(result, selector);
        match self.kind {
            Kind::Removed => found.is_none(),
            Kind::Created | Kind::Replaced => {
                found.and_then(|found| found.range(result)) == Some(self.node.clone())
            }
        }
    }

    /// Whether the result is the document as it is.
    pub fn is_idle(&self, text: &str) -> bool {
        text.get(self.replaced.clone()) == Some(self.with.as_str())
    }

    fn replacing(replaced: Range<usize>, with: &str) -> Splice {
        Splice {
            node: replaced.start..replaced.start + with.len(),
            replaced,
            with: with.to_owned(),
            kind: Kind::Replaced,
        }
    }

    fn inserting(at: usize, with: &str) -> Splice {
        Splice {
            kind: Kind::Created,
            ..Splice::replacing(at..at, with)
        }
    }
}

/// The element put below `parent`, where the last step says: in place of the one that it names, else as a new one.
/// Whether the step names it afterwards is to be seen on the result.
pub(super) fn put_element(
    document: &Document<'_>,
    parent: Node<'_, '_>,
    step: &Step,
    fragment: &Fragment<'_>,
) -> Result<Splice, Conflict> {
    if let Some(element) = child(parent, step) {
        return Ok(Splice::replacing(element.range(), fragment.text)); // §8.2.4
    }
    if parent.is_root() {
        return cannot_insert("a document has one element at its top, and it has another name");
    }
    let elements = || parent.children().filter(Node::is_element);
    let alike = |node: &Node<'_, '_>| {
        let tag = node.tag_name();
        tag.name() == fragment.local && tag.namespace().unwrap_or_default() == fragment.namespace
    };
    let counted = || elements().filter(|node| is_named(*node, step));
    let at = match step.position {
        // "earliest last": behind the last of the same name
        None => elements().rfind(alike).map(|last| last.range().end),
        Some(0) => return cannot_insert("positions are counted from 1"),
        // before the first there is; where there is none it is no constraint
        Some(1) => counted().next().map(|first| first.range().start),
        // "earliest nth": behind the one that will be before it
        Some(position) => {
            let before = usize::try_from(position - 2).ok();
            match before.and_then(|index| counted().nth(index)) {
                Some(before) => Some(before.range().end),
                None => return cannot_insert("there are too few elements for this position"),
            }
        }
    };
    Ok(match at {
        Some(at) => Splice::inserting(at, fragment.text),
        None => last_child(document, parent, fragment.text),
    })
}

/// The element as the last of all children, behind comments and text too.
fn last_child(document: &Document<'_>, parent: Node<'_, '_>, fragment: &str) -> Splice {
    let text = document.input_text();
    let range = parent.range();
    let source = text.get(range.clone()).unwrap_or_default();
    if let Some(tag) = source.strip_suffix("/>") {
        // <a/> becomes <a>...</a>
        let at = range.start + tag.len();
        let name = qualified(parent, text);
        return Splice {
            replaced: at..range.end,
            with: format!(">{fragment}</{name}>"),
            node: at + 1..at + 1 + fragment.len(),
            kind: Kind::Created,
        };
    }
    let end = source.rfind("</").unwrap_or(source.len());
    Splice::inserting(range.start + end, fragment)
}

/// The attribute put on the element, its value with quotes.
pub(super) fn put_attribute(
    document: &Document<'_>,
    element: Node<'_, '_>,
    name: &Name,
    value: &str,
) -> Result<Splice, Conflict> {
    let text = document.input_text();
    if let Some(attribute) = attribute(element, name) {
        return Ok(Splice::replacing(value_range(text, attribute), value));
    }
    let local = &name.local;
    let qualified_name = match prefix(element, name) {
        Some("") => local.to_string(),
        Some(prefix) => format!("{prefix}:{local}"),
        // §7.10: "A client cannot set the namespace prefixes in scope for an element."
        None => {
            return cannot_insert("the document binds no prefix to the namespace of the attribute");
        }
    };
    if qualified_name == "xmlns" || qualified_name.starts_with("xmlns:") {
        return cannot_insert("a namespace declaration is no attribute");
    }
    let at = element.range().start + 1 + qualified(element, text).len();
    let with = format!(" {qualified_name}={value}");
    let end = at + with.len();
    Ok(Splice {
        node: end - value.len()..end,
        ..Splice::inserting(at, &with)
    })
}

/// A prefix in scope for the name of an attribute: the client's where it means the same.
fn prefix<'a>(element: Node<'a, '_>, name: &'a Name) -> Option<&'a str> {
    if name.namespace.is_empty() || matches!(&*name.prefix, "xml" | "xmlns") {
        return Some(&name.prefix);
    }
    let bound = element
        .namespaces()
        .filter(|namespace| namespace.uri() == &*name.namespace)
        .filter_map(|namespace| namespace.name());
    let mut other = None;
    for prefix in bound {
        if prefix == &*name.prefix {
            return Some(prefix);
        }
        other = other.or(Some(prefix));
    }
    other
}

/// The document without the node. White space around an element is preserved (§8.4); that which parts an attribute
/// from what stands before it is of its tag, and goes with it. `None` for bindings, which cannot be deleted.
pub(super) fn remove(document: &Document<'_>, found: &Found<'_, '_>) -> Option<Splice> {
    let range = match found {
        Found::Element(element) => element.range(),
        Found::Attribute(attribute) => {
            let range = attribute.range();
            let before = document.input_text().get(..range.start)?;
            before.trim_end_matches([' ', '\t', '\r', '\n']).len()..range.end
        }
        Found::Namespaces(_) => return None,
    };
    Some(Splice {
        kind: Kind::Removed,
        ..Splice::replacing(range, "")
    })
}

fn cannot_insert(why: &str) -> Result<Splice, Conflict> {
    Err(Conflict::CannotInsert(why.to_owned()))
}
