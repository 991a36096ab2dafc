//! `Event`, RFC 6665 §8.2.1.

use crate::sip::text::{Params, is_token, trim};
use std::fmt;

/// Event package and what narrows it. Two values match when package and `id` are equal byte for byte; an
/// `id` never matches its absence; every other parameter is carried but not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Package with its templates: `presence`, `presence.winfo`.
    pub package: &'a str,
    pub id: Option<&'a str>,
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    pub fn parse(value: &'a str) -> Option<Event<'a>> {
        let value = trim(value);
        let (package, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let package = trim(package);
        let params = Params::parse(params)?;
        let mut ids = params
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("id"));
        // §8.4: a token, and one of them: it goes back in every NOTIFY
        let id = match (ids.next(), ids.next()) {
            (None, _) => None,
            (Some((_, Some(id))), None) if is_token(id) => Some(id),
            _ => return None,
        };
        is_token(package).then_some(Event {
            package,
            id,
            params,
        })
    }

    pub fn matches(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id == other.id
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.package)?;
        f.write_str(self.params.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_match_by_package_and_id_alone() {
        for (case, a, b, same) in [
            ("same package", "presence", "presence", true),
            (
                "other parameters do not count",
                "presence;x=1",
                "presence ; y",
                true,
            ),
            ("the same id", "presence;id=7", "presence; id=7", true),
            ("an id against none", "presence;id=7", "presence", false),
            ("another id", "presence;id=7", "presence;id=8", false),
            (
                "a template is another package",
                "presence",
                "presence.winfo",
                false,
            ),
            ("case counts", "presence", "Presence", false),
        ] {
            let (Some(a), Some(b)) = (Event::parse(a), Event::parse(b)) else {
                panic!("{case}")
            };
            assert_eq!(a.matches(&b), same, "{case}");
            assert_eq!(b.matches(&a), same, "{case}");
        }
    }

    #[test]
    fn what_is_no_event_is_refused_and_the_rest_prints_as_read() {
        for value in [
            "",
            ";id=1",
            "pre sence",
            "presence;id=\"x",
            "presence;id=",
            "presence;id",
            "presence;id=\"x\"",
            "presence;id=1;ID=2",
            "presence, dialog",
        ] {
            assert_eq!(Event::parse(value), None, "{value}");
        }
        let value = "ua-profile;profile-type=\"application\";id=3";
        assert_eq!(
            Event::parse(value).map(|e| e.to_string()).as_deref(),
            Some(value)
        );
    }
}
