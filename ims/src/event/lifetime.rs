//! How long publications and subscriptions may live.

use crate::reject::Reject;
use crate::time::Seconds;

/// One hour. RFC 6665 §4.2.1.1 and RFC 3903 §6 step 4: "too brief" may be answered only to a request for less
/// than the minimum, and for subscriptions only when the asked time is under one hour.
const HOUR: Seconds = Seconds(3600);

/// Bounds of a lifetime, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Shortest lifetime granted. A shorter one is answered 423 with `Min-Expires`.
    pub min: Seconds,
    /// Granted when the request names none.
    pub default: Seconds,
    /// Longest lifetime granted. A longer request is shortened to it.
    pub max: Seconds,
}

impl Lifetimes {
    /// The lifetime granted to a request for `asked`. Zero is always granted: it ends the state.
    pub fn grant(&self, asked: Option<Seconds>) -> Result<Seconds, Reject> {
        match asked {
            None => Ok(self.default.min(self.max)),
            Some(Seconds(0)) => Ok(Seconds(0)),
            Some(asked) if asked < self.min && asked < HOUR => {
                Err(Reject::IntervalTooBrief { min: self.min })
            }
            Some(asked) => Ok(asked.min(self.max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_granted() {
        let limits = Lifetimes {
            min: Seconds(60),
            default: Seconds(3600),
            max: Seconds(7200),
        };
        let brief = Reject::IntervalTooBrief { min: Seconds(60) };
        for (case, asked, granted) in [
            ("absent takes the default", None, Ok(3600)),
            ("the floor itself is granted", Some(60), Ok(60)),
            (
                "one second under the floor is refused",
                Some(59),
                Err(brief.clone()),
            ),
            ("one second is refused", Some(1), Err(brief)),
            ("zero ends it, whatever the floor", Some(0), Ok(0)),
            ("the ceiling itself is granted", Some(7200), Ok(7200)),
            ("above the ceiling is shortened", Some(7201), Ok(7200)),
            ("the largest value is shortened", Some(u32::MAX), Ok(7200)),
        ] {
            assert_eq!(
                limits.grant(asked.map(Seconds)),
                granted.map(Seconds),
                "{case}"
            );
        }
    }

    #[test]
    fn an_hour_is_never_too_brief() {
        let limits = Lifetimes {
            min: Seconds(4000),
            default: Seconds(4000),
            max: Seconds(7200),
        };
        assert_eq!(limits.grant(Some(Seconds(3600))), Ok(Seconds(3600)));
        assert!(limits.grant(Some(Seconds(3599))).is_err());
    }
}
