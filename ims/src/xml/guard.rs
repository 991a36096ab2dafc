//! The door every XML document from outside comes through.
//!
//! `roxmltree` reads well-formed documents fast and does not recurse, but it has no limit on nesting, takes
//! time quadratic in the attributes of one element, reads a surrogate reference as U+FFFD and lets
//! `xmlns:p=""` pass. One pass over the bytes, in constant memory, refuses all of that before it parses.

use super::scan::Scan;
use roxmltree::{Document, ParsingOptions};
use std::fmt;

/// What a document may cost. The defaults suit policy documents and presence documents alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest document, in bytes.
    pub bytes: usize,
    /// Deepest nesting of elements; the root element is at depth 1.
    pub depth: usize,
    /// Most attributes, namespace declarations included, on one element.
    pub attributes: usize,
    /// Most namespace declarations in the document: the parser's cost for one is the number of those in scope.
    pub namespaces: usize,
    /// Most nodes (elements, texts, comments, processing instructions).
    pub nodes: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bytes: 256 * 1024,
            depth: 64,
            attributes: 256,
            namespaces: 1024,
            nodes: 65_536,
        }
    }
}

/// Why a document is refused. Positions are counted from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Longer than [`Limits::bytes`].
    TooLarge { limit: usize },
    /// The bytes, the byte order mark or the encoding declaration are of another encoding.
    NotUtf8(String),
    /// Not a well-formed, namespace-well-formed document (XML 1.0, Namespaces in XML 1.0).
    NotWellFormed(String),
    /// Well-formed as far as read, but with something that is not taken from a network: a document type
    /// declaration, or more of a thing than the limits allow.
    NotTaken(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TooLarge { limit } => write!(f, "the document is longer than {limit} bytes"),
            Refusal::NotUtf8(why) | Refusal::NotWellFormed(why) | Refusal::NotTaken(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// Reads a document, or says why not. Time and memory are linear in the length of `bytes`.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Document<'a>, Refusal> {
    let text = check(bytes, limits)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: limits.nodes,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => {
            Refusal::NotTaken(format!("more than {} nodes", limits.nodes))
        }
        // The message can quote a name of any length out of the document.
        other => Refusal::NotWellFormed(shortened(&other.to_string())),
    })
}

/// Longest message that quotes the document, in characters.
const MESSAGE: usize = 200;

/// `text` cut to a length fit for an error answer or a log.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

/// Everything that is looked at before the parser is let in.
fn check<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, Refusal> {
    if bytes.len() > limits.bytes {
        return Err(Refusal::TooLarge {
            limit: limits.bytes,
        });
    }
    let text = utf8(bytes)?;
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    declaration(body)?;
    Scan::new(body, limits).run()?;
    Ok(text)
}

/// The bytes as text, unless they are of another encoding.
pub fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    let marks: [&[u8]; 4] = [&[0xfe, 0xff], &[0xff, 0xfe], &[0, b'<'], &[b'<', 0]];
    if marks.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Refusal::NotUtf8(
            "the document is in UTF-16 or UTF-32".into(),
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        Refusal::NotUtf8(format!(
            "byte {} is not part of a UTF-8 character",
            error.valid_up_to() + 1
        ))
    })
}

/// Checks the XML declaration (XML 1.0 §2.8), where there is one.
fn declaration(text: &str) -> Result<(), Refusal> {
    let Some(rest) = text
        .strip_prefix("<?xml")
        .filter(|rest| rest.starts_with([' ', '\t', '\r', '\n']))
    else {
        return Ok(());
    };
    let bad = || Refusal::NotWellFormed("the XML declaration is malformed".into());
    let (inside, _) = rest.split_once("?>").ok_or_else(bad)?;
    let mut rest = inside.trim();
    let mut seen = 0;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(bad)?;
        let after = after.trim_start();
        let quote = after
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or_else(bad)?;
        let (value, tail) = after
            .get(1..)
            .and_then(|v| v.split_once(quote))
            .ok_or_else(bad)?;
        let place = match name.trim_end() {
            "version" if value.strip_prefix("1.").is_some_and(digits) => 1,
            "encoding" if value.eq_ignore_ascii_case("utf-8") => 2,
            "encoding" => {
                return Err(Refusal::NotUtf8(shortened(&format!(
                    "the document declares encoding \"{value}\""
                ))));
            }
            "standalone" if matches!(value, "yes" | "no") => 3,
            _ => return Err(bad()),
        };
        // In this order, each at most once, the version always (production XMLDecl).
        if place <= seen || (seen == 0 && place != 1) {
            return Err(bad());
        }
        seen = place;
        rest = tail.trim_start();
    }
    if seen == 0 { Err(bad()) } else { Ok(()) }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Production Char, XML 1.0 §2.2.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> &'static str {
        match parse(bytes, &Limits::default()) {
            Ok(_) => "taken",
            Err(Refusal::TooLarge { .. }) => "too large",
            Err(Refusal::NotUtf8(_)) => "not utf-8",
            Err(Refusal::NotWellFormed(_)) => "not well-formed",
            Err(Refusal::NotTaken(_)) => "not taken",
        }
    }

    #[test]
    fn documents_are_taken_or_refused_for_the_right_reason() {
        let cases: &[(&str, &[u8], &str)] = &[
            ("a plain element", b"<a/>", "taken"),
            (
                "a byte order mark of UTF-8",
                b"\xef\xbb\xbf<?xml version='1.0' encoding=\"utf-8\"?><a/>",
                "taken",
            ),
            (
                "every part of the declaration",
                b"<?xml version=\"1.0\" encoding='UTF-8' standalone='yes' ?><a/>",
                "taken",
            ),
            (
                "references, CDATA, comment, instruction",
                b"<a b='&#38;&#x10FFFF;'>&lt;<![CDATA[<&]]><!-- <!DOCTYPE --><?p <?></a>",
                "taken",
            ),
            (
                "a quote of the other kind and > in a value",
                b"<a b='\">' c=\"'/>\"><b/></a>",
                "taken",
            ),
            (
                "undeclaring the default namespace",
                b"<a xmlns='u'><b xmlns=''/></a>",
                "taken",
            ),
            ("nothing at all", b"", "not well-formed"),
            ("text only", b"hello", "not well-formed"),
            ("two roots", b"<a/><b/>", "not well-formed"),
            ("an element left open", b"<a><b></a>", "not well-formed"),
            ("a prefix without a namespace", b"<p:a/>", "not well-formed"),
            (
                "the same attribute twice",
                b"<a b='1' b='2'/>",
                "not well-formed",
            ),
            (
                "a prefix bound to nothing",
                b"<a xmlns:p=''/>",
                "not well-formed",
            ),
            (
                "an attribute without quotes",
                b"<a b=1/>",
                "not well-formed",
            ),
            ("a tag cut off", b"<a b='", "not well-formed"),
            ("an unknown entity", b"<a>&foo;</a>", "not well-formed"),
            (
                "a surrogate reference",
                b"<a>&#xD800;</a>",
                "not well-formed",
            ),
            (
                "a surrogate reference in a value",
                b"<a b='&#55296;'/>",
                "not well-formed",
            ),
            (
                "a reference past Unicode",
                b"<a>&#x110000;</a>",
                "not well-formed",
            ),
            (
                "a reference past any integer",
                b"<a>&#99999999999999999999;</a>",
                "not well-formed",
            ),
            ("a reference to NUL", b"<a>&#0;</a>", "not well-formed"),
            ("NUL itself", b"<a>\0</a>", "not well-formed"),
            ("a control character", b"<a>\x01</a>", "not well-formed"),
            ("]]> in text", b"<a>]]></a>", "not well-formed"),
            (
                "a declaration after a blank",
                b" <?xml version='1.0'?><a/>",
                "not well-formed",
            ),
            (
                "a declaration without version",
                b"<?xml encoding='UTF-8'?><a/>",
                "not well-formed",
            ),
            (
                "a declaration of version 2",
                b"<?xml version='2.0'?><a/>",
                "not well-formed",
            ),
            (
                "a declaration in the wrong order",
                b"<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
                "not well-formed",
            ),
            (
                "declared ISO-8859-1",
                b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
                "not utf-8",
            ),
            (
                "declared UTF-16 in UTF-8 bytes",
                b"<?xml version='1.0' encoding='UTF-16'?><a/>",
                "not utf-8",
            ),
            (
                "UTF-16, big end first",
                b"\xfe\xff\0<\0a\0/\0>",
                "not utf-8",
            ),
            (
                "UTF-16, little end first, no mark",
                b"<\0a\0/\0>\0",
                "not utf-8",
            ),
            ("a Latin-1 letter", b"<a>\xe9</a>", "not utf-8"),
            ("an overlong character", b"<a>\xc0\xaf</a>", "not utf-8"),
            (
                "a surrogate in the bytes",
                b"<a>\xed\xa0\x80</a>",
                "not utf-8",
            ),
            ("a document type", b"<!DOCTYPE a><a/>", "not taken"),
            (
                "an entity bomb",
                b"<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;'>]><a>&c;</a>",
                "not taken",
            ),
        ];
        for (case, bytes, expected) in cases {
            assert_eq!(verdict(bytes), *expected, "{case}");
        }
    }

    #[test]
    fn limits_hold_at_their_boundary() {
        let nested = |n: usize| [b"<a>".repeat(n), b"</a>".repeat(n)].concat();
        let attributes = |n: usize| {
            let list: String = (0..n).map(|i| format!(" a{i}='='")).collect();
            format!("<a{list}/>").into_bytes()
        };
        let declared = |n: usize| {
            let list: String = (0..n).map(|i| format!("<b xmlns:p{i}='u{i}'/>")).collect();
            format!("<a>{list}</a>").into_bytes()
        };
        let long = |n: usize| [b"<a>".to_vec(), vec![b'='; n - 7], b"</a>".to_vec()].concat();
        for (case, inside, outside, word) in [
            ("depth", nested(64), nested(65), "not taken"),
            ("attributes", attributes(256), attributes(257), "not taken"),
            ("namespaces", declared(1024), declared(1025), "not taken"),
            (
                "length",
                long(256 * 1024),
                long(256 * 1024 + 1),
                "too large",
            ),
        ] {
            assert_eq!(verdict(&inside), "taken", "{case}");
            assert_eq!(verdict(&outside), word, "{case}");
        }
        let siblings = |n: usize| format!("<r>{}</r>", "<a/>".repeat(n)).into_bytes();
        assert_eq!(verdict(&siblings(40_000)), "taken", "siblings do not nest");
        let few = Limits {
            nodes: 100,
            ..Limits::default()
        };
        assert!(matches!(
            parse(&siblings(100), &few),
            Err(Refusal::NotTaken(_))
        ));
    }

    #[test]
    fn a_message_is_short_and_names_the_place() {
        let long = format!("<a>\n  <{}:b/></a>", "p".repeat(5000));
        let Err(refusal) = parse(long.as_bytes(), &Limits::default()) else {
            unreachable!("an undeclared prefix was taken")
        };
        assert!(refusal.to_string().chars().count() <= MESSAGE + 3);
        let Err(refusal) = parse(b"<a>\n <b c='&#xD800;'/></a>", &Limits::default()) else {
            unreachable!("a surrogate was taken")
        };
        assert_eq!(
            refusal.to_string(),
            "a reference names no XML character, at 2:8"
        );
    }
}
