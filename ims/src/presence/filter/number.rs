//! Decimal numbers of expressions and of `by` (RFC 4661 §3.6.1.3), without the surprises of binary fractions.

/// Fraction digits that count. A tenth of a second of arc of a geographical position has five.
const FRACTION: usize = 9;
/// Digits before the point that are read; a longer number is none.
const DIGITS: usize = 18;

/// A number as `xs:decimal` writes it, in units of 10^-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decimal(i128);

impl Decimal {
    pub fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > DIGITS {
            return None;
        }
        let fraction = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(FRACTION);
        let value = whole
            .bytes()
            .chain(fraction)
            .fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        Some(Decimal(if negative { -value } else { value }))
    }

    /// How far apart two numbers are.
    pub fn distance(self, other: Decimal) -> Decimal {
        Decimal((self.0 - other.0).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_as_the_schema_writes_them() {
        for (text, value) in [
            ("6", Some(6_000_000_000)),
            (" -0.25\n", Some(-250_000_000)),
            ("+.5", Some(500_000_000)),
            ("007.", Some(7_000_000_000)),
            (
                "999999999999999999",
                Some(999_999_999_999_999_999_000_000_000),
            ),
            ("1999999999999999999", None),
            ("", None),
            (".", None),
            ("-", None),
            ("1e3", None),
            ("1 2", None),
            ("١", None),
        ] {
            assert_eq!(Decimal::parse(text).map(|d| d.0), value, "{text:?}");
        }
    }
}
