//! `CSeq`, RFC 3261 §20.16.

use crate::sip::method::Method;
use crate::sip::text::{is_token, number};
use std::fmt;

/// Largest sequence number: it must be below 2**31, RFC 3261 §8.1.1.5.
pub const MAX: u32 = 0x7fff_ffff;

/// Sequence number and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    pub number: u32,
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    pub fn parse(value: &'a str) -> Option<CSeq<'a>> {
        let (digits, method) = value.split_once([' ', '\t'])?;
        let method = method.trim_start_matches([' ', '\t']);
        let number = number::<u32>(strip_zeros(digits)).filter(|n| *n <= MAX)?;
        is_token(method).then(|| CSeq {
            number,
            method: Method::new(method),
        })
    }
}

/// `digits` without leading zeros: `0009` is the number nine (RFC 4475 §3.1.1.1).
fn strip_zeros(digits: &str) -> &str {
    let stripped = digits.trim_start_matches('0');
    if stripped.is_empty() && !digits.is_empty() {
        "0"
    } else {
        stripped
    }
}

impl fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_and_out_of_range() {
        for (value, want) in [
            ("1 PUBLISH", Some("1 PUBLISH")),
            ("0009 \t INVITE", Some("9 INVITE")),
            ("000 NEW", Some("0 NEW")),
            ("2147483647 ACK", Some("2147483647 ACK")),
            ("2147483648 ACK", None),
            ("36893488147419103232 REGISTER", None),
            ("1PUBLISH", None),
            ("-1 PUBLISH", None),
            ("1 ", None),
            ("1 A B", None),
            ("", None),
        ] {
            assert_eq!(
                CSeq::parse(value).map(|c| c.to_string()).as_deref(),
                want,
                "{value}"
            );
        }
    }
}
