//! Changes to the text of a document that leave every other byte as it is.

use ims::xml::Node;
use ims::xml::text::escaped;
use std::ops::Range;

/// `text` with something else in place of `range`.
pub fn replaced(text: &str, range: Range<usize>, with: &str) -> String {
    let (before, rest) = text.split_at(range.start);
    format!("{before}{with}{}", &rest[range.len()..])
}

/// The name of an element as it is written, with its prefix.
fn written_name<'t>(text: &'t str, node: &Node<'_, '_>) -> &'t str {
    let tag = text.get(node.range().start + 1..).unwrap_or("");
    let end = tag.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>'));
    &tag[..end.unwrap_or(tag.len())]
}

/// The prefix of an element with its colon: what a new element of its namespace needs in front of its name.
pub fn prefix<'t>(text: &'t str, node: &Node<'_, '_>) -> &'t str {
    let name = written_name(text, node);
    name.find(':').map_or("", |colon| &name[..=colon])
}

/// The document with another value of an attribute, which is added where there is none.
pub fn with_attribute(text: &str, node: &Node<'_, '_>, name: &str, value: &str) -> String {
    let value = escaped(value);
    let present = node
        .attributes()
        .find(|attribute| attribute.namespace().is_none() && attribute.name() == name);
    if let Some(attribute) = present {
        return replaced(text, attribute.range_value(), &value);
    }
    let at = node.range().start + 1 + written_name(text, node).len();
    replaced(text, at..at, &format!(" {name}=\"{value}\""))
}

/// The document with another text in an element that holds nothing but text.
pub fn with_text(text: &str, node: &Node<'_, '_>, value: &str) -> String {
    let range = node.first_child().map_or(0..0, |child| child.range());
    replaced(text, range, &escaped(value))
}

/// The document with an element more, behind the last child of `parent`. The lines of `child` are indented as its
/// siblings are.
pub fn appended(text: &str, parent: &Node<'_, '_>, child: &str) -> String {
    let range = parent.range();
    let whole = &text[range.clone()];
    let own = indent(text, range.start);
    let inner = parent
        .children()
        .find(|node| node.is_element())
        .and_then(|first| indent(text, first.range().start));
    let inner = inner.or_else(|| own.as_ref().map(|own| format!("{own}  ")));
    if whole.ends_with("/>") {
        let name = written_name(text, parent);
        let (child, end) = match (&inner, own) {
            (Some(inner), Some(own)) => (lines(child, inner), format!("\n{own}")),
            _ => (child.to_owned(), String::new()),
        };
        let tail = range.end - 2..range.end;
        return replaced(text, tail, &format!(">{child}{end}</{name}>"));
    }
    let close = whole.rfind("</").map_or(range.end, |at| range.start + at);
    let at = text[..close].trim_end().len().max(range.start);
    let has_lines = text[at..close].contains('\n');
    let child = match inner.filter(|_| has_lines) {
        Some(inner) => lines(child, &inner),
        None => child.to_owned(),
    };
    replaced(text, at..at, &child)
}

/// The document with an element more, in front of `sibling`.
pub fn before(text: &str, sibling: &Node<'_, '_>, element: &str) -> String {
    let at = sibling.range().start;
    match indent(text, at) {
        Some(indent) => {
            let element = lines(element, &indent);
            let element = element.trim_start();
            replaced(text, at..at, &format!("{element}\n{indent}"))
        }
        None => replaced(text, at..at, element),
    }
}

/// The document without an element, and without the line that it alone stood on.
pub fn without(text: &str, range: Range<usize>) -> String {
    let ahead = text[..range.start].trim_end_matches([' ', '\t']);
    let rest = text[range.end..].trim_start_matches([' ', '\t']);
    let alone = ahead.ends_with('\n') && rest.starts_with(['\n', '\r']);
    let start = match alone {
        true => {
            let ahead = ahead.strip_suffix('\n').unwrap_or(ahead);
            ahead.strip_suffix('\r').unwrap_or(ahead).len()
        }
        false => range.start,
    };
    replaced(text, start..range.end, "")
}

/// What stands in front of a place on its line, if that is only white space.
fn indent(text: &str, at: usize) -> Option<String> {
    let line = text[..at].rfind('\n')? + 1;
    let ahead = &text[line..at];
    ahead.trim().is_empty().then(|| ahead.to_owned())
}

/// A text on lines of its own, each indented.
fn lines(text: &str, indent: &str) -> String {
    text.lines()
        .map(|line| format!("\n{indent}{line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims::xml::guard;

    fn edited(text: &str, element: &str, edit: impl Fn(&str, &Node<'_, '_>) -> String) -> String {
        let document = guard::parse(text.as_bytes(), &guard::Limits::default()).unwrap();
        let node = document
            .descendants()
            .find(|node| node.has_tag_name(element))
            .unwrap();
        edit(text, &node)
    }

    #[test]
    fn a_child_goes_behind_the_last_in_the_manner_of_its_siblings() {
        for (text, want) in [
            ("<a/>", "<a><n/></a>"),
            ("<a></a>", "<a><n/></a>"),
            ("<a><b/></a>", "<a><b/><n/></a>"),
            ("<a>\n\t<b/>\n</a>", "<a>\n\t<b/>\n\t<n/>\n</a>"),
            ("<x>\n  <a/>\n</x>", "<x>\n  <a>\n    <n/>\n  </a>\n</x>"),
            (
                "<x>\n  <a>\n  </a>\n</x>",
                "<x>\n  <a>\n    <n/>\n  </a>\n</x>",
            ),
            ("<a><!-- </a> --></a >", "<a><!-- </a> --><n/></a >"),
        ] {
            let appended = |text: &str, node: &Node<'_, '_>| appended(text, node, "<n/>");
            assert_eq!(edited(text, "a", appended), want);
        }
    }

    #[test]
    fn an_element_goes_with_its_line() {
        for (text, want) in [
            ("<x><a/></x>", "<x></x>"),
            ("<x>\n  <a/>\n  <b/>\n</x>", "<x>\n  <b/>\n</x>"),
            ("<x>\r\n  <a/>\r\n</x>", "<x>\r\n</x>"),
            ("<x>\n  <a/><b/>\n</x>", "<x>\n  <b/>\n</x>"),
        ] {
            let gone = |text: &str, node: &Node<'_, '_>| without(text, node.range());
            assert_eq!(edited(text, "a", gone), want);
        }
    }

    #[test]
    fn an_attribute_is_set_or_added() {
        for (text, want) in [
            ("<p:a xmlns:p='u'/>", "<p:a v=\"&lt;&quot;\" xmlns:p='u'/>"),
            ("<a  v = 'x' w=\"y\"/>", "<a  v = '&lt;&quot;' w=\"y\"/>"),
            ("<a>t</a>", "<a v=\"&lt;&quot;\">t</a>"),
        ] {
            let document = guard::parse(text.as_bytes(), &guard::Limits::default()).unwrap();
            let set = with_attribute(text, &document.root_element(), "v", "<\"");
            assert_eq!(set, want);
        }
    }

    #[test]
    fn a_sibling_goes_in_front() {
        for (text, want) in [
            ("<x><a/></x>", "<x><n>\n  <m/>\n</n><a/></x>"),
            (
                "<x>\n  <a/>\n</x>",
                "<x>\n  <n>\n    <m/>\n  </n>\n  <a/>\n</x>",
            ),
        ] {
            let new = |text: &str, node: &Node<'_, '_>| before(text, node, "<n>\n  <m/>\n</n>");
            assert_eq!(edited(text, "a", new), want);
        }
    }
}
