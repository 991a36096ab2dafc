//! Rates of notifications, parameters of `Event` and `Subscription-State` (RFC 6446 §9).

use crate::sip::text::Params;
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Units in one notification a second: the grammar has ten fraction digits (§9.2).
const UNIT: u64 = 10_000_000_000;

/// Notifications a second, never zero, in units of 10^-10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rate(u64);

impl Rate {
    /// Two digits at most before the point, ten at most behind it, and not zero (§9.2, §5.1).
    pub fn parse(text: &str) -> Option<Rate> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 2 || fraction.len() > 10 {
            return None;
        }
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(10);
        let value = whole
            .bytes()
            .chain(fraction)
            .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        (value > 0).then_some(Rate(value))
    }

    /// The rate at which one notification follows another after `interval`, rounded up; the highest for none.
    pub fn of_interval(interval: Millis) -> Rate {
        let highest = 100 * UNIT - 1;
        let rate = (UNIT * 1000)
            .checked_div(interval.0)
            .map_or(highest, |_| (UNIT * 1000).div_ceil(interval.0));
        Rate(rate.clamp(1, highest))
    }

    /// Time between two notifications, rounded up to a millisecond.
    pub fn interval(self) -> Millis {
        Millis((UNIT * 1000).div_ceil(self.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / UNIT, self.0 % UNIT);
        if fraction == 0 {
            return whole.fmt(f);
        }
        let digits = format!("{fraction:010}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// What a watcher asks for, or what it was granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// No more notifications than so many a second (§5).
    pub max: Option<Rate>,
    /// No fewer, whatever changes (§6).
    pub min: Option<Rate>,
    /// The same as a moving average (§7).
    pub adaptive: Option<Rate>,
}

impl Rates {
    /// From the parameters of an `Event`; `None` when a rate is not of the grammar.
    pub fn parse(params: &Params<'_>) -> Option<Rates> {
        let rate = |name| match params.find(name) {
            Some(value) => Rate::parse(value?).map(Some),
            None => Some(None),
        };
        Some(Rates {
            max: rate("max-rate")?,
            min: rate("min-rate")?,
            adaptive: rate("adaptive-min-rate")?,
        })
    }

    pub fn is_none(&self) -> bool {
        *self == Rates::default()
    }
}

/// As parameters of a `Subscription-State`.
impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, rate) in [
            ("max-rate", self.max),
            ("min-rate", self.min),
            ("adaptive-min-rate", self.adaptive),
        ] {
            if let Some(rate) = rate {
                write!(f, ";{name}={rate}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_decimal_that_is_not_zero() {
        for (text, printed, interval) in [
            ("1", Some("1"), 1_000),
            ("0.2", Some("0.2"), 5_000),
            ("00.20", Some("0.2"), 5_000),
            ("99.9999999999", Some("99.9999999999"), 11),
            ("0.0166666667", Some("0.0166666667"), 60_000),
            ("0.0000000001", Some("0.0000000001"), 10_000_000_000_000),
            ("0", None, 0),
            ("0.0000000000", None, 0),
            ("0.00000000001", None, 0),
            ("100", None, 0),
            (".5", None, 0),
            ("1.", None, 0),
            ("-1", None, 0),
            ("1e1", None, 0),
            ("", None, 0),
        ] {
            let rate = Rate::parse(text);
            assert_eq!(rate.map(|r| r.to_string()).as_deref(), printed, "{text:?}");
            assert_eq!(rate.map_or(0, |r| r.interval().0), interval, "{text:?}");
        }
        for (interval, rate) in [
            (0, "99.9999999999"),
            (5_000, "0.2"),
            (60_000, "0.0166666667"),
            (3_600_000, "0.0002777778"),
            (u64::MAX, "0.0000000001"),
        ] {
            assert_eq!(Rate::of_interval(Millis(interval)).to_string(), rate);
        }
    }

    #[test]
    fn rates_are_read_from_an_event_and_printed_as_they_were() {
        for (params, printed) in [
            ("", Some("")),
            (";id=7;MAX-Rate=0.1", Some(";max-rate=0.1")),
            (
                ";adaptive-min-rate=2;min-rate=0.5;max-rate=3",
                Some(";max-rate=3;min-rate=0.5;adaptive-min-rate=2"),
            ),
            (";max-rate=0", None),
            (";max-rate", None),
            (";min-rate=fast", None),
        ] {
            let rates = Params::parse(params).and_then(|p| Rates::parse(&p));
            assert_eq!(rates.map(|r| r.to_string()).as_deref(), printed, "{params}");
        }
    }
}
