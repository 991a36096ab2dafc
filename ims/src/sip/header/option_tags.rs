//! Option tags: `Require`, `Supported`, `Proxy-Require`, `Unsupported` (RFC 3261 §20.32, §20.37).

use crate::sip::message::Headers;
use crate::sip::name::Name;

/// The tags of one of these headers.
#[derive(Clone, Copy, Debug)]
pub struct OptionTags;

impl OptionTags {
    /// Every tag under `name` over all its lines.
    pub fn parse<'a, 'h>(
        headers: &'h Headers<'a>,
        name: Name,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'h> {
        headers.values(name)
    }

    /// Whether `tag` is listed under `name`; case does not count.
    pub fn lists(headers: &Headers<'_>, name: Name, tag: &str) -> bool {
        headers.values(name).any(|t| t.eq_ignore_ascii_case(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn tags_over_all_lines() {
        let line = |value| Line {
            name: Name::Require,
            text: "Require",
            value,
        };
        let headers = Headers::new(vec![line("eventlist, Foo"), line("bar")]);
        assert_eq!(
            OptionTags::parse(&headers, Name::Require).collect::<Vec<_>>(),
            ["eventlist", "Foo", "bar"]
        );
        assert!(OptionTags::lists(&headers, Name::Require, "BAR"));
        assert!(!OptionTags::lists(&headers, Name::Supported, "bar"));
    }
}
