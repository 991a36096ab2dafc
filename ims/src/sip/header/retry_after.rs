//! `Retry-After`, RFC 3261 §20.33: seconds, then perhaps a comment or parameters.

use crate::sip::header::expires;
use crate::time::Seconds;

/// Seconds to wait; comment and parameters mean nothing to a machine.
pub fn parse(value: &str) -> Option<Seconds> {
    let end = value
        .find(|c: char| !c.is_ascii_digit() && c != ' ')
        .unwrap_or(value.len());
    let (digits, rest) = value.split_at(end);
    (rest.is_empty() || rest.starts_with(['(', ';', '\t']))
        .then(|| expires::parse(digits))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_with_and_without_comment() {
        for (value, want) in [
            ("18000;duration=3600", Some(18000)),
            ("120 (I'm in a meeting)", Some(120)),
            ("5", Some(5)),
            ("", None),
            ("soon", None),
            ("5x", None),
            ("99999999999", None),
        ] {
            assert_eq!(parse(value), want.map(Seconds), "{value}");
        }
    }
}
