//! Entity-tags: `SIP-ETag`, `SIP-If-Match`, `Suppress-If-Match` (RFC 3903 §11.3, RFC 5839 §5).

use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::{elements, is_token, trim};

/// Longest entity-tag that is looked at, in octets; our own are far shorter.
pub const MAX_TAG: usize = 128;

/// What `SIP-If-Match` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch<'a> {
    /// No such header: an initial publication.
    Absent,
    /// Exactly one entity-tag.
    Tag(&'a str),
    /// More than one, or none that is a token: 400 (RFC 3903 §6 step 3 knows exactly one).
    Bad,
}

impl<'a> IfMatch<'a> {
    pub fn of(headers: &Headers<'a>) -> IfMatch<'a> {
        let mut lines = headers.lines(Name::SipIfMatch);
        match (lines.next(), lines.next()) {
            (None, _) => IfMatch::Absent,
            (Some(value), None) => match (parse(value), elements(value).count()) {
                (Some(tag), 1) => IfMatch::Tag(tag),
                _ => IfMatch::Bad,
            },
            (Some(_), Some(_)) => IfMatch::Bad,
        }
    }
}

/// One entity-tag, a token. `*` (RFC 5839) is a token as well.
pub fn parse(value: &str) -> Option<&str> {
    let tag = trim(value);
    (is_token(tag) && tag.len() <= MAX_TAG).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn exactly_one_tag_is_a_condition() {
        for (case, values, want) in [
            ("absent", vec![], IfMatch::Absent),
            ("one", vec![" dx200xyz "], IfMatch::Tag("dx200xyz")),
            ("two on one line", vec!["a, b"], IfMatch::Bad),
            ("two lines", vec!["a", "a"], IfMatch::Bad),
            ("empty", vec![""], IfMatch::Bad),
            ("no token", vec!["\"a\""], IfMatch::Bad),
        ] {
            let lines = values.iter().map(|value| Line {
                name: Name::SipIfMatch,
                text: "SIP-If-Match",
                value,
            });
            let headers = Headers::new(lines.collect());
            assert_eq!(IfMatch::of(&headers), want, "{case}");
        }
    }
}
