//! The simple types of the PIDF, data model, RPID and OMA schemas.

use super::lexis;
use crate::time::datetime;

/// Types of elements that hold text only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Any,
    /// `xs:anyURI`.
    Uri,
    /// `open` or `closed`.
    Basic,
    DateTime,
    /// `active` or `terminated`: registration and barring state.
    Network,
    /// `active` or `idle`: RPID user input.
    Input,
    Integer,
    /// No text at all.
    Empty,
}

impl Value {
    /// Whether `text`, references resolved, is a value of the type; the fault is a reason phrase.
    pub(crate) fn check(self, text: &str) -> Result<(), &'static str> {
        let (ok, fault) = match self {
            Value::Any => (true, ""),
            Value::Uri => (is_uri(lexis::trim(text)), "Not a URI"),
            Value::Basic => (
                matches!(text, "open" | "closed"),
                "basic neither open nor closed",
            ),
            Value::DateTime => (
                datetime::parse(text).is_some(),
                "timestamp is not a dateTime",
            ),
            Value::Network => (
                matches!(text, "active" | "terminated"),
                "State neither active nor terminated",
            ),
            Value::Input => (
                matches!(text, "active" | "idle"),
                "user-input neither active nor idle",
            ),
            Value::Integer => (is_integer(lexis::trim(text)), "time-offset is not a number"),
            Value::Empty => (text.is_empty(), "Text in an empty element"),
        };
        if ok { Ok(()) } else { Err(fault) }
    }
}

/// `qvalue` of RFC 3863 §4.4: 0 to 1 with at most three decimals.
pub(crate) fn is_priority(value: &str) -> bool {
    let (whole, decimals) = lexis::trim(value)
        .split_once('.')
        .unwrap_or((lexis::trim(value), ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    digits && (whole == "0" || (whole == "1" && decimals.bytes().all(|b| b == b'0')))
}

/// `xml:lang`: a language tag. Empty is legal XML, but not to the schema that RFC 3863 imports.
pub(crate) fn is_language(value: &str) -> bool {
    let subtag = |(i, tag): (usize, &str)| {
        (1..=8).contains(&tag.len())
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
    };
    lexis::trim(value).split('-').enumerate().all(subtag)
}

/// `xs:anyURI` allows nearly everything, and relative references. What it does not: a scheme that is none, and a
/// percent sign that encodes nothing.
fn is_uri(text: &str) -> bool {
    let scheme = text
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|s| !s.contains(['/', '?', '#']));
    let named = scheme.is_none_or(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    named
        && memchr::memchr_iter(b'%', bytes)
            .all(|at| hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)))
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `xs:positiveInteger`.
pub(crate) fn is_positive(text: &str) -> bool {
    let text = lexis::trim(text);
    let digits = text.strip_prefix('+').unwrap_or(text);
    is_integer(digits) && digits.bytes().any(|b| b != b'0') && !digits.starts_with('-')
}
