//! `P-Charging-Function-Addresses`, RFC 7315 §4.5.

use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::{Params, unquote};

/// Most addresses of one kind that are kept; a primary and a secondary are usual.
const MAX_EACH: usize = 4;

/// Where to charge one transaction: collection functions for Rf, event (online) functions for Ro, each in
/// order of preference, without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PChargingFunctionAddresses {
    pub ccf: Vec<String>,
    pub ecf: Vec<String>,
}

impl PChargingFunctionAddresses {
    /// Over every line and element; what makes no sense is passed over, for charging must not stop service.
    pub fn parse(headers: &Headers<'_>) -> PChargingFunctionAddresses {
        let mut found = PChargingFunctionAddresses::default();
        for element in headers.values(Name::PChargingFunctionAddresses) {
            for (name, value) in Params::loose(element).iter() {
                let kind = match () {
                    () if name.eq_ignore_ascii_case("ccf") => &mut found.ccf,
                    () if name.eq_ignore_ascii_case("ecf") => &mut found.ecf,
                    () => continue,
                };
                let value = value
                    .map(unquote)
                    .filter(|v| !v.is_empty() && !v.contains(['"', ' ']));
                if let Some(value) = value.filter(|_| kind.len() < MAX_EACH) {
                    kind.push(value.into_owned());
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    #[test]
    fn addresses_in_every_spelling() {
        for (case, values, ccf, ecf) in [
            ("absent", vec![], vec![], vec![]),
            (
                "token",
                vec!["ccf=192.1.1.1;ccf=192.1.1.2; ecf=192.1.1.3"],
                vec!["192.1.1.1", "192.1.1.2"],
                vec!["192.1.1.3"],
            ),
            (
                "quoted URI",
                vec!["ccf=\"aaa://cdf.ims.test:3868;transport=tcp\""],
                vec!["aaa://cdf.ims.test:3868;transport=tcp"],
                vec![],
            ),
            (
                "IPv6",
                vec!["CCF=[5555::b99:c88:d77:e66]"],
                vec!["[5555::b99:c88:d77:e66]"],
                vec![],
            ),
            ("comma", vec!["ccf=a, ecf=b"], vec!["a"], vec!["b"]),
            ("two lines", vec!["ccf=a", "ccf=b"], vec!["a", "b"], vec![]),
            ("broken", vec!["ccf=;ecf=\"x;foo"], vec![], vec![]),
            (
                "too many",
                vec!["ccf=a;ccf=b;ccf=c;ccf=d;ccf=e"],
                vec!["a", "b", "c", "d"],
                vec![],
            ),
        ] {
            let name = Name::PChargingFunctionAddresses;
            let lines = values.iter().map(|value| Line {
                name,
                text: name.as_str(),
                value,
            });
            let found = PChargingFunctionAddresses::parse(&Headers::new(lines.collect()));
            assert_eq!(
                (found.ccf, found.ecf),
                (
                    ccf.into_iter().map(String::from).collect(),
                    ecf.into_iter().map(String::from).collect()
                ),
                "{case}"
            );
        }
    }
}
