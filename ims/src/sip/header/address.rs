//! `name-addr` and `addr-spec`: `From`, `To`, and the elements of every header that holds addresses.

use crate::sip::text::{Params, is_token, quoted_len, trim, unquote};
use crate::sip::uri::Uri;
use std::borrow::Cow;

/// An address with display name and header parameters, RFC 3261 §20.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    raw: &'a str,
    display: &'a str,
    /// URI without angle brackets, as it stood. Only its outer shape is checked: `scheme:something`.
    pub uri: &'a str,
    /// Header parameters, those after `>` (without brackets, those after the first `;`).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// One address. Without angle brackets the URI may hold no comma, question mark or semicolon (§20).
    pub fn parse(value: &'a str) -> Option<NameAddr<'a>> {
        let raw = trim(value);
        let after_display = if raw.starts_with('"') {
            quoted_len(raw)?
        } else {
            0
        };
        let rest = raw.get(after_display..)?;
        let Some(open) = rest.find('<') else {
            return if after_display == 0 {
                Self::bare(raw)
            } else {
                None
            };
        };
        let (between, rest) = rest.split_at(open);
        let display = raw.get(..after_display + open)?;
        let good = if after_display > 0 {
            trim(between).is_empty()
        } else {
            is_words(between)
        };
        let (uri, params) = rest.get(1..)?.split_once('>')?;
        if !good || !has_shape_of_uri(uri) {
            return None;
        }
        Some(NameAddr {
            raw,
            display: trim(display),
            uri,
            params: Params::parse(params)?,
        })
    }

    fn bare(raw: &'a str) -> Option<NameAddr<'a>> {
        let (uri, params) = raw.split_at(raw.find(';').unwrap_or(raw.len()));
        let uri = trim(uri);
        if uri.contains([',', '?']) || !has_shape_of_uri(uri) {
            return None;
        }
        Some(NameAddr {
            raw,
            display: "",
            uri,
            params: Params::parse(params)?,
        })
    }

    /// Text as it stood, trimmed.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Display name without quotes and escapes; `None` when there is none.
    pub fn display(&self) -> Option<Cow<'a, str>> {
        if self.display.is_empty() {
            None
        } else {
            Some(unquote(self.display))
        }
    }

    /// `tag` parameter of From and To.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|t| !t.is_empty())
    }

    /// Value of a header parameter.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.value(name)
    }

    /// The URI taken apart, if it is well-formed.
    pub fn parsed_uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri)
    }
}

/// A display name without quotes: tokens with white space between (letters beyond ASCII are tolerated).
fn is_words(text: &str) -> bool {
    text.split([' ', '\t']).all(|word| {
        word.is_empty()
            || is_token(word)
            || word
                .chars()
                .all(|c| !c.is_ascii() || is_token(c.encode_utf8(&mut [0; 4])))
    })
}

fn has_shape_of_uri(uri: &str) -> bool {
    let bad = |b: u8| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f);
    match uri.split_once(':') {
        Some((scheme, rest)) => {
            let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(letter)
                && !rest.is_empty()
                && !rest.bytes().any(bad)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (value, display, uri, tag) in [
            ("<sip:a@x>;tag=1", None, "sip:a@x", Some("1")),
            ("sip:a@x;tag=1", None, "sip:a@x", Some("1")),
            (
                "caller<sip:caller@example.com>;tag=323",
                Some("caller"),
                "sip:caller@example.com",
                Some("323"),
            ),
            (
                "\"J Rosenberg \\\\\\\"\"   <sip:j@example.com>  ; tag = 98asjd8",
                Some("J Rosenberg \\\""),
                "sip:j@example.com",
                Some("98asjd8"),
            ),
            ("\"\"<sip:a@x;b=c?d=e>", Some(""), "sip:a@x;b=c?d=e", None),
            ("Béla Nagy <tel:+361>", Some("Béla Nagy"), "tel:+361", None),
            ("isbn:2983792873", None, "isbn:2983792873", None),
            (
                "\"a <b>, c\" <sip:[::1]:5>;x=\"y;z\"",
                Some("a <b>, c"),
                "sip:[::1]:5",
                None,
            ),
        ] {
            let Some(address) = NameAddr::parse(value) else {
                panic!("{value}")
            };
            assert_eq!(
                (address.display().as_deref(), address.uri, address.tag()),
                (display, uri, tag),
                "{value}"
            );
            assert_eq!(address.as_str(), value);
        }
    }

    #[test]
    fn a_broken_address_is_refused() {
        for value in [
            "",
            "<>",
            "<sip:>",
            "alice",
            "<sip:a@x",
            "sip:a@x>",
            "\"Mr. J. User <sip:j.user@example.com>",
            "\"x\" sip:a@x",
            "Bell, Alexander <sip:a@x>",
            "< sip:a@x >",
            "sip:a@x?Route=%3Csip:b%3E",
            "sip:a,b@x",
            "<sip:a@x> b",
            "<sip:a@x>;tag=\"1",
            "\"x\" y <sip:a@x>",
            "sip:a b@x",
        ] {
            assert_eq!(NameAddr::parse(value), None, "{value}");
        }
    }
}
