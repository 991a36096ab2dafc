//! `P-Asserted-Identity`, RFC 3325 §9.1: one or two values, one SIP(S) and one TEL.

use crate::sip::aor::Aor;
use crate::sip::header::address::NameAddr;
use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::uri::{Scheme, Uri};

/// Who the network says sent a message, as it wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PAssertedIdentity<'a> {
    /// URI of the `sip`, `sips` or `pres` identity.
    pub sip: Option<&'a str>,
    /// URI of the `tel` identity.
    pub tel: Option<&'a str>,
}

impl<'a> PAssertedIdentity<'a> {
    /// What is not expected is passed over: the first SIP or SIPS URI and the first TEL URI count (RFC 5876 §4.5). Nobody
    /// when the header is absent or one of its values is no address: an identity that cannot be told for certain is none.
    pub fn parse(headers: &Headers<'a>) -> PAssertedIdentity<'a> {
        let mut found = PAssertedIdentity::default();
        for element in headers.values(Name::PAssertedIdentity) {
            let address = NameAddr::parse(element).and_then(|a| Uri::parse(a.uri));
            let Some(uri) = address else {
                return PAssertedIdentity::default();
            };
            let slot = match uri.scheme {
                Scheme::Sip | Scheme::Sips | Scheme::Pres => &mut found.sip,
                Scheme::Tel => &mut found.tel,
                Scheme::Im | Scheme::Urn | Scheme::Other(_) => continue,
            };
            if Aor::of(&uri).is_none() {
                return PAssertedIdentity::default();
            }
            slot.get_or_insert(uri.as_str());
        }
        found
    }

    /// The SIP identity, then the number.
    pub fn uris(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.sip.into_iter().chain(self.tel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn the_first_sip_and_the_first_tel_count() {
        for (case, values, want) in [
            ("absent", vec![], vec![]),
            (
                "one",
                vec!["\"Bob, B\" <sip:bob@IMS.test>"],
                vec!["sip:bob@IMS.test"],
            ),
            ("bare", vec!["tel:+36-1"], vec!["tel:+36-1"]),
            (
                "both on a line",
                vec!["<sip:b@x>, <tel:+361>"],
                vec!["sip:b@x", "tel:+361"],
            ),
            (
                "both on two lines",
                vec!["<tel:+361>", "<sip:b@x>"],
                vec!["sip:b@x", "tel:+361"],
            ),
            (
                "the first of a kind",
                vec!["<sip:a@x>, <sip:b@x>"],
                vec!["sip:a@x"],
            ),
            (
                "SIP and SIPS are one kind",
                vec!["<sips:a@x>", "<sip:b@x>"],
                vec!["sips:a@x"],
            ),
            (
                "three",
                vec!["<sip:a@x>, <tel:+1>, <tel:+2>"],
                vec!["sip:a@x", "tel:+1"],
            ),
            ("no address", vec!["bob"], vec![]),
            ("one is no address", vec!["<sip:a@x>, bob"], vec![]),
            ("one is no number", vec!["<sip:a@x>, <tel:x>"], vec![]),
            ("another scheme", vec!["<http://x/>"], vec![]),
            (
                "another scheme beside a known one",
                vec!["<http://x/>, <sip:a@x>"],
                vec!["sip:a@x"],
            ),
        ] {
            let lines = values.iter().map(|value| Line {
                name: Name::PAssertedIdentity,
                text: "P-Asserted-Identity",
                value,
            });
            let found = PAssertedIdentity::parse(&Headers::new(lines.collect()));
            assert_eq!(found.uris().collect::<Vec<_>>(), want, "{case}");
        }
    }
}
