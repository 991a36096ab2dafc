//! Time as data. Everything in this crate is told the time; nothing asks for it.

pub mod datetime;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// Milliseconds since the Unix epoch (1970-01-01T00:00:00Z).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

/// Whole seconds, the unit of `Expires`, `Min-Expires` and `Retry-After`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seconds(pub u32);

/// Milliseconds, the unit of protocol timers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Timestamp {
    /// Milliseconds from `earlier` to `self`; zero when the clock stepped back.
    pub fn since(self, earlier: Timestamp) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds left until `self`, rounded up, so that a lifetime is never announced shorter than it is.
    pub fn seconds_from(self, now: Timestamp) -> Seconds {
        Seconds(u32::try_from(self.0.saturating_sub(now.0).div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

impl From<Seconds> for Millis {
    fn from(s: Seconds) -> Millis {
        Millis(u64::from(s.0) * 1000)
    }
}

impl Add<Seconds> for Timestamp {
    type Output = Timestamp;
    fn add(self, s: Seconds) -> Timestamp {
        self + Millis::from(s)
    }
}

impl Add<Millis> for Timestamp {
    type Output = Timestamp;
    fn add(self, m: Millis) -> Timestamp {
        Timestamp(self.0.saturating_add(m.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Timestamp;
    fn sub(self, m: Millis) -> Timestamp {
        Timestamp(self.0.saturating_sub(m.0))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
