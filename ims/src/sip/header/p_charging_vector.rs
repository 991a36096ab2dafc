//! `P-Charging-Vector`, RFC 7315 §4.6.

use crate::sip::message::Headers;
use crate::sip::name::Name;
use crate::sip::text::{Params, is_token, quote, unquote};
use std::fmt::{self, Write as _};

/// Correlation of everything that is charged for one transaction or dialog. Values without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PChargingVector {
    pub icid_value: Option<String>,
    /// Address of the node that made the ICID.
    pub icid_generated_at: Option<String>,
    /// Operator on the originating side.
    pub orig_ioi: Option<String>,
    /// Operator on the terminating side.
    pub term_ioi: Option<String>,
}

impl PChargingVector {
    /// The first such header. What makes no sense is as good as absent: charging must not stop service.
    pub fn parse(headers: &Headers<'_>) -> PChargingVector {
        let params = Params::loose(headers.get(Name::PChargingVector).unwrap_or(""));
        let value = |name| {
            let text = params
                .value(name)
                .map(unquote)
                .filter(|v| !v.is_empty() && !v.starts_with('"'))?;
            Some(text.into_owned())
        };
        PChargingVector {
            icid_value: value("icid-value"),
            icid_generated_at: value("icid-generated-at"),
            orig_ioi: value("orig-ioi"),
            term_ioi: value("term-ioi"),
        }
    }
}

/// A token as it is, anything else quoted; an IPv6 address in brackets stands bare as well.
impl fmt::Display for PChargingVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("icid-value=", &self.icid_value),
            ("icid-generated-at=", &self.icid_generated_at),
            ("orig-ioi=", &self.orig_ioi),
            ("term-ioi=", &self.term_ioi),
        ];
        let mut first = true;
        for (name, value) in all
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            if !first {
                f.write_char(';')?;
            }
            first = false;
            f.write_str(name)?;
            let bare = value
                .strip_prefix('[')
                .and_then(|v| v.strip_suffix(']'))
                .map_or(value.as_str(), |v| v);
            let is_ipv6 = bare.len() < value.len() && bare.parse::<std::net::Ipv6Addr>().is_ok();
            if is_ipv6 || is_token(value) {
                f.write_str(value)?
            } else {
                quote(value, f)?
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Line;

    fn parse(value: &str) -> PChargingVector {
        let headers = Headers::new(vec![Line {
            name: Name::PChargingVector,
            text: "P-Charging-Vector",
            value,
        }]);
        PChargingVector::parse(&headers)
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for (value, printed) in [
            (
                "icid-value=\"AyretyU0dm+6O2IrT5tAFrbHLso=023551024\"; orig-ioi=home1.net;term-ioi=\"home2.net\";x-odd",
                "icid-value=\"AyretyU0dm+6O2IrT5tAFrbHLso=023551024\";orig-ioi=home1.net;term-ioi=home2.net",
            ),
            (
                "icid-value=1234;icid-generated-at=[2001:db8::1]",
                "icid-value=1234;icid-generated-at=[2001:db8::1]",
            ),
            (
                "ICID-VALUE=\"a;b\\\"c\" ; orig-ioi = x",
                "icid-value=\"a;b\\\"c\";orig-ioi=x",
            ),
            ("icid-value=;orig-ioi=a", "orig-ioi=a"),
            ("icid-value=\"open;orig-ioi=a", ""),
            ("icid-value", ""),
            ("", ""),
        ] {
            let vector = parse(value);
            assert_eq!(vector.to_string(), printed, "{value}");
            assert_eq!(parse(printed), vector, "{value}");
        }
    }
}
