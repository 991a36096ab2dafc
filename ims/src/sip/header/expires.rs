//! `Expires` and `Min-Expires`, RFC 3261 §20.19 and §20.23.

use crate::sip::text::{number, trim};
use crate::time::Seconds;

/// Seconds from `value`. A number beyond 2**32-1 is refused, as is anything but digits.
pub fn parse(value: &str) -> Option<Seconds> {
    let digits = trim(value);
    let stripped = digits.trim_start_matches('0');
    match (digits.is_empty(), stripped.is_empty()) {
        (true, _) => None,
        (false, true) => Some(Seconds(0)),
        (false, false) => number::<u32>(stripped).map(Seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_in_and_out_of_range() {
        for (value, want) in [
            ("0", Some(0)),
            ("000", Some(0)),
            ("3600", Some(3600)),
            ("0000000000000000000000000060", Some(60)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("1000000000000000000000000000000000", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("Thu, 01 Dec 1994 16:00:00 GMT", None),
        ] {
            assert_eq!(parse(value), want.map(Seconds), "{value}");
        }
    }
}
