//! Bodies that are a part of a document: one element, or the value of an attribute (RFC 4825 §8.2.2).

use super::error::Conflict;
use crate::xml::guard::{self, Limits, Refusal};
use crate::xml::text::escaped;
use roxmltree::Node;

/// White space of XML 1.0 §2.3. Around a part it is what editors leave at the end of a file, and belongs to nothing.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// What an element is read in, to have the bindings of the place where it is to stand.
const AROUND: &str = "around";

/// One element.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    /// From its `<` to its last `>`.
    pub text: &'a str,
    /// Its expanded name; empty: no namespace.
    pub namespace: String,
    pub local: String,
}

/// Reads the body of a PUT of an element that is to stand below `context`.
pub(super) fn element<'a>(
    body: &'a [u8],
    context: Node<'_, '_>,
    limits: &Limits,
) -> Result<Fragment<'a>, Conflict> {
    let text = guard::utf8(body).map_err(|refusal| refused(refusal, 0))?;
    let text = text.trim_matches(BLANK);
    let mut around = format!("<{AROUND}");
    for namespace in context.namespaces() {
        let uri = escaped(namespace.uri());
        match namespace.name() {
            Some("xml") => {}
            Some(prefix) => around.push_str(&format!(" xmlns:{prefix}=\"{uri}\"")),
            None => around.push_str(&format!(" xmlns=\"{uri}\"")),
        }
    }
    around.push('>');
    let shift = around.chars().count();
    let place = around.len()..around.len() + text.len();
    let whole = format!("{around}{text}</{AROUND}>");
    // What stands around it counts for nothing; the document that results is held to the limits themselves.
    let limits = Limits {
        bytes: whole.len().max(limits.bytes),
        depth: limits.depth.saturating_add(1),
        attributes: limits.attributes.max(context.namespaces().count()),
        namespaces: limits.namespaces.saturating_mul(2),
        nodes: limits.nodes.saturating_add(2),
    };
    let document =
        guard::parse(whole.as_bytes(), &limits).map_err(|refusal| refused(refusal, shift))?;
    let mut children = document.root_element().children();
    match (children.next(), children.next()) {
        (Some(element), None) if element.is_element() && element.range() == place => Ok(Fragment {
            text,
            namespace: element
                .tag_name()
                .namespace()
                .unwrap_or_default()
                .to_owned(),
            local: element.tag_name().name().to_owned(),
        }),
        _ => Err(Conflict::NotXmlFrag(
            "the body is not one element and nothing else".to_owned(),
        )),
    }
}

/// Reads the body of a PUT of an attribute: an AttValue of XML 1.0 §2.3 with its quotes.
pub(super) fn attribute_value(body: &[u8]) -> Result<&str, Conflict> {
    let text = guard::utf8(body).map_err(|refusal| refused(refusal, 0))?;
    let text = text.trim_matches(BLANK);
    let no = |why: &str| Err(Conflict::NotXmlAttValue(why.to_owned()));
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return no("the value does not stand in quotes");
    };
    let inside = text
        .strip_prefix(quote)
        .and_then(|rest| rest.strip_suffix(quote));
    match inside {
        Some(inside) if !inside.contains([quote, '<']) => {}
        _ => return no("a quote of the same kind, or a <, stands inside the quotes"),
    }
    let element = format!("<a v={text}/>");
    let limits = Limits {
        bytes: element.len(),
        ..Limits::default()
    };
    match guard::parse(element.as_bytes(), &limits) {
        Ok(_) => Ok(text),
        Err(refusal) => no(&shifted(&refusal.to_string(), "<a v=".len())),
    }
}

fn refused(refusal: Refusal, shift: usize) -> Conflict {
    let phrase = shifted(&refusal.to_string(), shift);
    match refusal {
        Refusal::NotUtf8(_) => Conflict::NotUtf8(phrase),
        Refusal::NotWellFormed(_) => Conflict::NotXmlFrag(phrase),
        Refusal::NotTaken(_) | Refusal::TooLarge { .. } => Conflict::local(phrase),
    }
}

/// A phrase that ends in line and column, told for a text that begins `shift` characters later on the first line.
fn shifted(phrase: &str, shift: usize) -> String {
    let place = phrase.rsplit_once(" at 1:");
    let moved = place.and_then(|(what, column)| {
        let column: usize = column.parse().ok()?;
        let column = column.saturating_sub(shift).max(1);
        Some(format!("{what} at 1:{column}"))
    });
    moved.unwrap_or_else(|| phrase.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    fn named(conflict: &Conflict) -> &'static str {
        match conflict {
            Conflict::NotXmlFrag(_) => "not-xml-frag",
            Conflict::NotXmlAttValue(_) => "not-xml-att-value",
            Conflict::NotUtf8(_) => "not-utf-8",
            Conflict::Local(_) => "local",
            _ => "something else",
        }
    }

    #[test]
    fn a_body_is_one_element_or_not() {
        let document = "<r xmlns='urn:d' xmlns:p='urn:p&#9;&amp;\"'><s xmlns=''/></r>";
        let document = Document::parse(document).unwrap();
        let root = document.root_element();
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        for (case, body, expected) in [
            ("an element", "<a/>".to_owned(), "urn:d a"),
            (
                "with an end tag",
                "<a><b/>t<!-- c --></a>".into(),
                "urn:d a",
            ),
            (
                "a prefix from around",
                "<p:a p:b=''/>".into(),
                "urn:p\t&\" a",
            ),
            ("a namespace of its own", "<q:a xmlns:q='u'/>".into(), "u a"),
            ("white space around", "\r\n <a/>\t\n".into(), "urn:d a"),
            ("64 levels", deep(64), "urn:d a"),
            ("nothing", String::new(), "not-xml-frag"),
            ("text", "a".into(), "not-xml-frag"),
            ("two elements", "<a/><b/>".into(), "not-xml-frag"),
            ("text behind", "<a/>b".into(), "not-xml-frag"),
            ("a comment before", "<!-- c --><a/>".into(), "not-xml-frag"),
            (
                "an XML declaration",
                "<?xml version='1.0'?><a/>".into(),
                "not-xml-frag",
            ),
            ("left open", "<a><b></a>".into(), "not-xml-frag"),
            ("a prefix of nowhere", "<q:a/>".into(), "not-xml-frag"),
            ("a way out", "<a/></around><around>".into(), "not-xml-frag"),
            (
                "another way out",
                "</around><around><a/>".into(),
                "not-xml-frag",
            ),
            (
                "behind a comment",
                "<a/></around><!--".into(),
                "not-xml-frag",
            ),
            ("an unknown entity", "<a>&b;</a>".into(), "not-xml-frag"),
            ("a control character", "<a>\u{1}</a>".into(), "not-xml-frag"),
            ("a document type", "<!DOCTYPE a><a/>".into(), "local"),
            ("66 levels", deep(66), "local"),
        ] {
            let read = element(body.as_bytes(), root, &Limits::default());
            let shown = match &read {
                Ok(fragment) => format!("{} {}", fragment.namespace, fragment.local),
                Err(conflict) => named(conflict).to_owned(),
            };
            assert_eq!(shown, expected, "{case}");
        }
        for (body, expected) in [
            (&b"<a>\xe9</a>"[..], "not-utf-8"),
            (b"\xfe\xff\0<\0a", "not-utf-8"),
            (b"<\0a\0/\0>\0", "not-utf-8"),
        ] {
            let read = element(body, root, &Limits::default());
            assert_eq!(read.err().as_ref().map(named), Some(expected));
        }
        let nowhere = element(b"<a/>", document.root(), &Limits::default()).unwrap();
        assert_eq!(nowhere.namespace, "");
        let refused = element(b"<a> </b>", root, &Limits::default());
        let Err(Conflict::NotXmlFrag(phrase)) = refused else {
            unreachable!("taken")
        };
        assert!(phrase.ends_with(" at 1:5"), "{phrase}");
    }

    #[test]
    fn a_body_is_a_quoted_value_or_not() {
        for (case, body, expected) in [
            ("double quotes", "\"a 'b' >\"", Ok("\"a 'b' >\"")),
            ("single quotes", "'a \"b\"'", Ok("'a \"b\"'")),
            ("empty", "''", Ok("''")),
            (
                "references",
                "\"&amp;&#60;&#x10FFFF;\"",
                Ok("\"&amp;&#60;&#x10FFFF;\""),
            ),
            ("white space around", " 'a'\r\n", Ok("'a'")),
            ("nothing", "", Err("not-xml-att-value")),
            ("no quotes", "a", Err("not-xml-att-value")),
            ("one quote", "\"", Err("not-xml-att-value")),
            ("two kinds of quotes", "\"a'", Err("not-xml-att-value")),
            ("more attributes", "\"a\" b=\"c\"", Err("not-xml-att-value")),
            ("markup", "\"<\"", Err("not-xml-att-value")),
            ("an ampersand", "\"a&b\"", Err("not-xml-att-value")),
            ("an unknown entity", "\"&b;\"", Err("not-xml-att-value")),
            ("a surrogate", "\"&#xD800;\"", Err("not-xml-att-value")),
            ("a control character", "\"\u{0}\"", Err("not-xml-att-value")),
        ] {
            let read = attribute_value(body.as_bytes());
            assert_eq!(read.as_ref().copied().map_err(named), expected, "{case}");
        }
        let read = attribute_value(b"\"\xe9\"");
        assert_eq!(read.as_ref().err().map(named), Some("not-utf-8"));
    }
}
