//! A node selector applied to a document (RFC 4825 §6.3), and the node it names as a client is given it (§8.3).

use super::media;
use super::selector::{Name, NodeSelector, Step, Terminal};
use crate::xml::text::escaped;
use roxmltree::{Attribute, Document, Node};
use std::borrow::Cow;
use std::ops::Range;

/// The one node that a selector names.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a, 'input> {
    Element(Node<'a, 'input>),
    Attribute(Attribute<'a, 'input>),
    /// The bindings in scope of this element.
    Namespaces(Node<'a, 'input>),
}

/// The node that the selector names; `None` when there is none, or more than one at any step. Time is linear in the
/// elements beside those on the way.
pub fn find<'a, 'input>(
    document: &'a Document<'input>,
    selector: &NodeSelector,
) -> Option<Found<'a, 'input>> {
    let element = walk(document, &selector.steps).ok()?;
    match &selector.terminal {
        None => Some(Found::Element(element)),
        Some(Terminal::Attribute(name)) => attribute(element, name).map(Found::Attribute),
        Some(Terminal::Namespaces) => Some(Found::Namespaces(element)),
    }
}

/// The element at the end of the steps, which is the document's root where there are none; else how many of them
/// name one.
pub(super) fn walk<'a, 'input>(
    document: &'a Document<'input>,
    steps: &[Step],
) -> Result<Node<'a, 'input>, usize> {
    let mut context = document.root();
    for (taken, step) in steps.iter().enumerate() {
        context = child(context, step).ok_or(taken)?;
    }
    Ok(context)
}

/// The one child element that the step names.
pub(super) fn child<'a, 'input>(
    context: Node<'a, 'input>,
    step: &Step,
) -> Option<Node<'a, 'input>> {
    let mut named = context.children().filter(|node| is_named(*node, step));
    let Some(position) = step.position else {
        let mut fitting = named.filter(|node| is_tested(*node, step));
        let only = fitting.next()?;
        return fitting.next().is_none().then_some(only);
    };
    // The predicates are evaluated in order: the position counts all elements of the name.
    let index = usize::try_from(position).ok()?.checked_sub(1)?;
    named.nth(index).filter(|node| is_tested(*node, step))
}

/// Whether a node is an element with the name of the step.
pub(super) fn is_named(node: Node<'_, '_>, step: &Step) -> bool {
    let fits = |name: &Name| {
        let tag = node.tag_name();
        tag.name() == &*name.local && tag.namespace().unwrap_or_default() == &*name.namespace
    };
    node.is_element() && step.name.as_ref().is_none_or(fits)
}

fn is_tested(node: Node<'_, '_>, step: &Step) -> bool {
    step.attribute.as_ref().is_none_or(|(name, value)| {
        attribute(node, name).is_some_and(|attribute| attribute.value() == &**value)
    })
}

/// An attribute by its expanded name. Namespace declarations are none.
pub(super) fn attribute<'a, 'input>(
    element: Node<'a, 'input>,
    name: &Name,
) -> Option<Attribute<'a, 'input>> {
    element.attributes().find(|attribute| {
        attribute.name() == &*name.local
            && attribute.namespace().unwrap_or_default() == &*name.namespace
    })
}

/// Where the value of an attribute stands, with its quotes. The parser's own range of the value is wrong where more than
/// 255 characters stand around the `=`; no name and no `=` has a quote.
pub(super) fn value_range(text: &str, attribute: Attribute<'_, '_>) -> Range<usize> {
    let whole = attribute.range();
    let source = text.get(whole.clone()).unwrap_or_default();
    let quote = source.find(['"', '\'']).unwrap_or_default();
    whole.start + quote..whole.end
}

impl<'input> Found<'_, 'input> {
    /// Media type of the node (§7.4, §7.7, §7.10).
    pub fn media_type(&self) -> &'static str {
        match self {
            Found::Element(_) => media::ELEMENT,
            Found::Attribute(_) => media::ATTRIBUTE,
            Found::Namespaces(_) => media::NAMESPACES,
        }
    }

    /// The bytes of the document that are the node: an element from its `<` to its last `>`, an attribute's value with
    /// its quotes. Bindings have none of their own.
    pub fn range(&self, document: &Document<'_>) -> Option<Range<usize>> {
        match self {
            Found::Element(element) => Some(element.range()),
            Found::Attribute(attribute) => Some(value_range(document.input_text(), *attribute)),
            Found::Namespaces(_) => None,
        }
    }

    /// What a GET of the node gives. "The server MUST NOT add namespace bindings" to an element (§8.3).
    pub fn content(&self, document: &Document<'input>) -> Cow<'input, str> {
        match (self, self.range(document)) {
            (Found::Namespaces(element), _) => bindings(*element, document).into(),
            (_, Some(range)) => document.input_text().get(range).unwrap_or_default().into(),
            (_, None) => Cow::default(),
        }
    }
}

/// The bindings in scope as an element of the same qualified name (§10).
fn bindings(element: Node<'_, '_>, document: &Document<'_>) -> String {
    let mut text = format!("<{}", qualified(element, document.input_text()));
    for namespace in element.namespaces() {
        let uri = escaped(namespace.uri());
        match namespace.name() {
            // undeclared again
            None if uri.is_empty() => {}
            None => text.push_str(&format!(" xmlns=\"{uri}\"")),
            Some("xml") => {}
            Some(prefix) => text.push_str(&format!(" xmlns:{prefix}=\"{uri}\"")),
        }
    }
    text + "/>"
}

/// The name of an element as it is written.
pub(super) fn qualified<'i>(element: Node<'_, '_>, text: &'i str) -> &'i str {
    let source = text.get(element.range().start + 1..).unwrap_or_default();
    let end = source.find([' ', '\t', '\r', '\n', '/', '>']);
    source
        .get(..end.unwrap_or(source.len()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documents of RFC 4825 §6.3 and §6.4, shortened.
    const WATCHERS: &str = "<?xml version=\"1.0\"?>\n<watcherinfo xmlns=\"urn:w\" version=\"0\">\n \
        <watcher-list resource=\"sip:p@x.test\" package=\"presence\">\n  <watcher status=\"active\" id=\"8a\">sip:a@x.test</watcher>\n  \
        <watcher status=\"pending\" id=\"hh\" display-name = 'Mr. &quot;S&#34;'>sip:b@x.test</watcher>\n </watcher-list><!-- c -->\n</watcherinfo>";
    const NESTED: &str = "<foo xmlns=\"urn:d\"><ns1:bar xmlns:ns1=\"urn:1\" xmlns=\"urn:1\"><baz/>\
        <ns2:baz xmlns:ns2=\"urn:2\" ns2:a='1' ns1:a='2' a='3' xml:lang='en'/></ns1:bar>\
        <ns3:hi xmlns:ns3=\"urn:3\"><there/><there xmlns=\"\"/></ns3:hi></foo>";

    fn got(document: &str, path: &str, query: &str, default: &str) -> String {
        let document = Document::parse(document).unwrap();
        let selector = NodeSelector::parse(path, Some(query), default).unwrap();
        match find(&document, &selector) {
            Some(found) => found.content(&document).into_owned(),
            None => "nothing".into(),
        }
    }

    #[test]
    fn a_selector_names_one_node_or_nothing() {
        let first = "<watcher status=\"active\" id=\"8a\">sip:a@x.test</watcher>";
        for (case, path, expected) in [
            (
                "by attribute",
                "watcherinfo/watcher-list/watcher[@id=\"8a\"]",
                first,
            ),
            ("by position", "watcherinfo/watcher-list/watcher[1]", first),
            ("by both", "watcherinfo/*[1]/*[1][@status='active']", first),
            (
                "a test that the position fails",
                "watcherinfo/*/*[2][@status='active']",
                "nothing",
            ),
            (
                "a position behind the last",
                "watcherinfo/watcher-list/watcher[3]",
                "nothing",
            ),
            (
                "position zero",
                "watcherinfo/watcher-list/watcher[0]",
                "nothing",
            ),
            (
                "more than one",
                "watcherinfo/watcher-list/watcher",
                "nothing",
            ),
            (
                "more than one on the way",
                "watcherinfo/watcher-list/*/x",
                "nothing",
            ),
            ("another root", "watcher-list", "nothing"),
            (
                "a text is no element",
                "watcherinfo/watcher-list/watcher[1]/*",
                "nothing",
            ),
            (
                "a declaration is no attribute",
                "watcherinfo[@xmlns=\"urn:w\"]",
                "nothing",
            ),
            ("nor as the last step", "watcherinfo/@xmlns", "nothing"),
            (
                "an attribute, as written",
                "watcherinfo/watcher-list/watcher[2]/@display-name",
                "'Mr. &quot;S&#34;'",
            ),
            (
                "a value behind references",
                "watcherinfo/*/*[@display-name='Mr. \"S&quot;']/@status",
                "\"pending\"",
            ),
            ("no such attribute", "watcherinfo/@id", "nothing"),
            (
                "bindings",
                "watcherinfo/watcher-list/namespace::*",
                "<watcher-list xmlns=\"urn:w\"/>",
            ),
        ] {
            assert_eq!(got(WATCHERS, path, "", "urn:w"), expected, "{case}");
        }
        assert_eq!(
            got(WATCHERS, "watcherinfo", "", ""),
            "nothing",
            "no default namespace"
        );
    }

    #[test]
    fn names_are_compared_expanded() {
        let second = "<ns2:baz xmlns:ns2=\"urn:2\" ns2:a='1' ns1:a='2' a='3' xml:lang='en'/>";
        let two = "xmlns(a=urn:1)xmlns(b=urn:2)";
        let one = "xmlns(a=urn:1)xmlns(b=urn:1)";
        for (path, query, expected) in [
            ("foo/a:bar/b:baz", one, "<baz/>"),
            ("foo/a:bar/b:baz", two, second),
            (
                "d:foo/a:bar/b:baz",
                "xmlns(a=urn:1)xmlns(b=urn:2)xmlns(d=urn:d)",
                second,
            ),
            ("foo/bar", "", "nothing"),
            ("foo/a:bar/*[@b:a='1']", two, second),
            ("foo/a:bar/*[@a:a='1']", two, "nothing"),
            ("foo/a:bar/b:baz/@a", two, "'3'"),
            ("foo/a:bar/b:baz/@a:a", two, "'2'"),
            ("foo/a:bar/b:baz/@b:a", two, "'1'"),
            ("foo/a:bar/b:baz/@xml:lang", two, "'en'"),
            (
                "foo/a:bar/b:baz/namespace::*",
                two,
                "<ns2:baz xmlns:ns2=\"urn:2\" xmlns:ns1=\"urn:1\" xmlns=\"urn:1\"/>",
            ),
            (
                "foo/*[2]/there/namespace::*",
                "",
                "<there xmlns:ns3=\"urn:3\" xmlns=\"urn:d\"/>",
            ),
            (
                "foo/*[2]/*[2]/namespace::*",
                "",
                "<there xmlns:ns3=\"urn:3\"/>",
            ),
        ] {
            assert_eq!(got(NESTED, path, query, "urn:d"), expected, "{path}");
        }
    }

    #[test]
    fn ranges_hold_whatever_stands_around_an_equals_sign() {
        let wide = " ".repeat(700);
        let text = format!("\u{feff}<é a{wide}=\n{wide}'v=\"' b=\"\"><![CDATA[</é>]]></é>");
        for (path, expected) in [
            ("é/@a", "'v=\"'"),
            ("é/@b", "\"\""),
            ("*", text.trim_start_matches('\u{feff}')),
        ] {
            let encoded = path.replace('é', "%C3%A9");
            assert_eq!(got(&text, &encoded, "", ""), expected);
        }
    }
}
