//! Text on its way into a document.

use super::guard::is_xml_char;
use quick_xml::escape::{escape, unescape};

/// Text as it may stand in character data and in an attribute value between double quotes.
///
/// Line ends and tabs become character references, since in an attribute they would be read back as spaces
/// (XML 1.0 §3.3.3). What no document can carry (§2.2) becomes U+FFFD.
pub fn escaped(text: &str) -> String {
    let carried: String = text
        .chars()
        .map(|c| if is_xml_char(c) { c } else { '\u{fffd}' })
        .collect();
    let escaped = escape(&carried);
    if !escaped.contains(['\t', '\n', '\r']) {
        return escaped.into_owned();
    }
    escaped
        .replace('\t', "&#9;")
        .replace('\n', "&#10;")
        .replace('\r', "&#13;")
}

/// Appends [`escaped`] text. Text that needs nothing of it, as nearly all does, is copied at once.
pub fn push_escaped(out: &mut String, text: &str) {
    let plain = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'<' | b'>' | b'&' | b'"' | b'\'');
    if text.bytes().all(plain) {
        out.push_str(text);
    } else {
        out.push_str(&escaped(text));
    }
}

/// The text behind character references and the five entities of XML; `None` when one is broken.
pub fn unescaped(text: &str) -> Option<String> {
    unescape(text).ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_it_is_read_back_from_an_attribute() {
        for (text, read) in [
            ("plain", "plain"),
            ("<a b=\"c\">&'</a>", "<a b=\"c\">&'</a>"),
            ("two\r\nlines\tand", "two\r\nlines\tand"),
            (
                "\u{0}\u{1f}\u{fffe}é\u{10ffff}",
                "\u{fffd}\u{fffd}\u{fffd}é\u{10ffff}",
            ),
        ] {
            let document = format!("<x a=\"{0}\">{0}</x>", escaped(text));
            let document = roxmltree::Document::parse(&document).unwrap();
            let root = document.root_element();
            assert_eq!(root.attribute("a"), Some(read), "{text:?}");
            assert_eq!(root.text(), Some(read), "{text:?}");
            assert_eq!(unescaped(&escaped(text)).as_deref(), Some(read), "{text:?}");
            let mut appended = String::from("x");
            push_escaped(&mut appended, text);
            assert_eq!(appended[1..], escaped(text), "{text:?}");
        }
        assert_eq!(unescaped("&nothing;"), None);
    }
}
