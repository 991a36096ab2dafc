//! `Content-Type`, RFC 3261 §20.15.

use crate::sip::text::{Params, is_token, trim, unquote};
use std::borrow::Cow;
use std::fmt;

/// A media type with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    pub kind: &'a str,
    pub subtype: &'a str,
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    pub fn parse(value: &'a str) -> Option<MediaType<'a>> {
        let value = trim(value);
        let (range, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let (kind, subtype) = range.split_once('/')?;
        let (kind, subtype) = (trim(kind), trim(subtype));
        let params = Params::parse(params)?;
        (is_token(kind) && is_token(subtype)).then_some(MediaType {
            kind,
            subtype,
            params,
        })
    }

    /// Whether this is `kind/subtype`; case and parameters do not count.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        kind.eq_ignore_ascii_case(self.kind) && subtype.eq_ignore_ascii_case(self.subtype)
    }

    /// Parameter without quotes.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params.value(name).map(unquote)
    }
}

impl fmt::Display for MediaType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_compared_and_printed() {
        let value = "Application/PIDF+xml;charset=\"UTF-8\"";
        let Some(media) = MediaType::parse(value) else {
            panic!("{value}")
        };
        assert!(media.is("application", "pidf+xml"));
        assert!(!media.is("application", "pidf"));
        assert_eq!(media.param("CHARSET").as_deref(), Some("UTF-8"));
        assert_eq!(media.to_string(), value);
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain/x",
            "text/pl ain",
            "text/plain;a=\"b",
        ] {
            assert_eq!(MediaType::parse(bad), None, "{bad}");
        }
    }
}
