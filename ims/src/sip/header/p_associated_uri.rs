//! `P-Associated-URI`, RFC 7315 §4.1: the identities of one implicit registration set.

use crate::sip::aor::Aor;
use crate::sip::message::Headers;
use crate::sip::name::Name;

/// Most identities that are kept; a subscriber has a handful.
pub const MAX: usize = 32;

/// Identities in their order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PAssociatedUri(Vec<Aor>);

impl PAssociatedUri {
    /// Kamailio writes `<sip:a@x>, <sip:b@x, tel:+36105550001>`, with brackets opened and closed in the
    /// wrong places, so brackets are not trusted: every piece between commas, brackets and white space
    /// that is an address of record counts, and nothing else does.
    pub fn parse(headers: &Headers<'_>) -> PAssociatedUri {
        let mut found: Vec<Aor> = Vec::new();
        for line in headers.lines(Name::PAssociatedUri) {
            let pieces = line
                .split([',', '<', '>', ' ', '\t', '"'])
                .filter(|p| p.contains(':'));
            for aor in pieces.filter_map(Aor::parse) {
                if found.len() < MAX && !found.contains(&aor) {
                    found.push(aor);
                }
            }
        }
        PAssociatedUri(found)
    }

    pub fn aors(self) -> Vec<Aor> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn identities_are_found_however_they_are_bracketed() {
        for (case, value, want) in [
            (
                "as the RFC has it",
                "<sip:a@x>, \"A\" <sip:b@x>;p=1, <tel:+36105550001>",
                vec!["sip:a@x", "sip:b@x", "tel:+36105550001"],
            ),
            (
                "as Kamailio writes it",
                "<sip:a@x>, <sip:b@x, tel:+36105550001>",
                vec!["sip:a@x", "sip:b@x", "tel:+36105550001"],
            ),
            ("twice is once", "<sip:a@x>, <sip:a@X>", vec!["sip:a@x"]),
            ("nothing", "", vec![]),
            ("junk", "<<,>, http://x, a:b", vec![]),
        ] {
            let headers = Headers::new(vec![Line {
                name: Name::PAssociatedUri,
                text: "P-Associated-URI",
                value,
            }]);
            assert_eq!(
                PAssociatedUri::parse(&headers)
                    .aors()
                    .iter()
                    .map(Aor::as_str)
                    .collect::<Vec<_>>(),
                want,
                "{case}"
            );
        }
    }
}
