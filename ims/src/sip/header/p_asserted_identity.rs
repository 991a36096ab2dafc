//! `P-Asserted-Identity`, RFC 3325 §9.1: one or two values, one SIP(S) and one TEL.

use crate::sip::aor::Aor;
use crate::sip::header::address::NameAddr;
use crate::sip::message::Headers;
use crate::sip::name::Name;

/// Who the network says sent a message, as it wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PAssertedIdentity<'a> {
    /// URI of the `sip`, `sips` or `pres` identity.
    pub sip: Option<&'a str>,
    /// URI of the `tel` identity.
    pub tel: Option<&'a str>,
}

impl<'a> PAssertedIdentity<'a> {
    /// Nobody when the header is absent or breaks its rule: a value that is no address of record, a third
    /// one, or two of a kind. An identity that cannot be told for certain is no identity.
    pub fn parse(headers: &Headers<'a>) -> PAssertedIdentity<'a> {
        let mut found = PAssertedIdentity::default();
        for element in headers.values(Name::PAssertedIdentity) {
            let identity = NameAddr::parse(element).and_then(|a| Some((a.uri, Aor::parse(a.uri)?)));
            let Some((uri, aor)) = identity else {
                return PAssertedIdentity::default();
            };
            let slot = if aor.is_tel() {
                &mut found.tel
            } else {
                &mut found.sip
            };
            if slot.replace(uri).is_some() {
                return PAssertedIdentity::default();
            }
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
    fn one_sip_and_one_tel_at_most() {
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
            ("two of a kind", vec!["<sip:a@x>, <sip:b@x>"], vec![]),
            ("three", vec!["<sip:a@x>, <tel:+1>, <tel:+2>"], vec![]),
            ("no address", vec!["bob"], vec![]),
            ("another scheme", vec!["<http://x/>"], vec![]),
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
