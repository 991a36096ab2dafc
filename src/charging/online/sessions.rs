//! Section `[charging.online.sessions]`: charges that last as long as a subscription.

use super::super::settings::{BadValue, bad};
use ims::time::{Millis, Seconds};
use serde::Deserialize;

/// What one unit of a session pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A NOTIFY that the watcher has taken.
    #[default]
    Notify,
    /// The subscription, however long it lasts.
    Subscription,
}

/// Sessions of credit control that last as long as a subscription (RFC 8506 §5).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Default: `notify`.
    pub unit: Unit,
    /// Units asked for at once, where NOTIFYs count. Default: 10. Range: 1-1000000.
    pub quota: u32,
    /// More is asked for when less than this share of a grant is left, in percent, unless the OCS names a threshold
    /// (Unit-Quota-Threshold); 0: when all is used. Default: 20. Range: 0-100.
    pub early_percent: u8,
    /// Sessions open at once; a SUBSCRIBE that would open one more is answered 503. Default: 100000. Range: 1-10000000.
    pub max: u32,
    /// How long the store may be behind what was used: so much of it a process that is killed gives away, in
    /// milliseconds. Default: 1000. Range: 0-60000.
    pub lag_ms: Millis,
    /// Units that the store may be behind what was used: so many of a subscription a process that is killed gives away at
    /// most, and more are used only when these are stored. 0: bounded by `lag_ms` alone. Default: 10. Range: 0-1000000.
    pub lag_units: u32,
    /// Units that a subscription may use while it goes on without an answer of its OCS, by `ccfh`, counted from then on;
    /// then it ends. 0: any number. Default: 1000. Range: 0-1000000000.
    pub given_max: u32,
    /// How long units of a grant may lie unused before they are given back, in seconds, where the OCS names no
    /// Quota-Holding-Time; 0: until they are used. Default: 0. Range: 0-86400.
    pub holding_s: Seconds,
    /// After a start, how long subscriptions go on while their OCS cannot be reached, before `ccfh` decides.
    /// Default: 60. Range: 0-3600.
    pub grace_s: Seconds,
    /// How long a subscription that goes on without credit control, by `ccfh`, waits before a session is asked for again;
    /// 0: for ever. Default: 60. Range: 0-86400.
    pub again_s: Seconds,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            unit: Unit::default(),
            quota: 10,
            early_percent: 20,
            max: 100_000,
            lag_ms: Millis(1_000),
            lag_units: 10,
            given_max: 1_000,
            holding_s: Seconds(0),
            grace_s: Seconds(60),
            again_s: Seconds(60),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        let ranges = [
            ("quota", u64::from(self.quota), 1, 1_000_000),
            ("early_percent", u64::from(self.early_percent), 0, 100),
            ("again_s", u64::from(self.again_s.0), 0, 86_400),
            ("max", u64::from(self.max), 1, 10_000_000),
            ("lag_ms", self.lag_ms.0, 0, 60_000),
            ("lag_units", u64::from(self.lag_units), 0, 1_000_000),
            ("given_max", u64::from(self.given_max), 0, 1_000_000_000),
            ("holding_s", u64::from(self.holding_s.0), 0, 86_400),
            ("grace_s", u64::from(self.grace_s.0), 0, 3_600),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                let expected = format!("a number from {min} to {max}, not {value}");
                return Err(bad(&format!("online.sessions.{key}"), &expected));
            }
        }
        Ok(())
    }

    /// How long units may lie unused, in milliseconds; `None`: they are in use for as long as the subscription lasts.
    pub(super) fn holding(&self, notify_has_charges: bool) -> Option<u64> {
        let counts = self.unit == Unit::Notify && !notify_has_charges;
        counts.then(|| u64::from(self.holding_s.0) * 1_000)
    }

    /// Units asked for at once.
    pub(in crate::charging) fn wanted(&self) -> u64 {
        match self.unit {
            Unit::Notify => u64::from(self.quota),
            Unit::Subscription => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_is_refused_by_its_key() {
        for (text, key) in [
            ("quota = 0", "quota"),
            ("quota = 1000001", "quota"),
            ("early_percent = 101", "early_percent"),
            ("again_s = 86401", "again_s"),
            ("max = 0", "max"),
            ("max = 10000001", "max"),
            ("lag_ms = 60001", "lag_ms"),
            ("lag_units = 1000001", "lag_units"),
            ("given_max = 1000000001", "given_max"),
            ("holding_s = 86401", "holding_s"),
            ("grace_s = 3601", "grace_s"),
        ] {
            let settings: Settings = toml::from_str(text).unwrap();
            let refused = settings.check().unwrap_err();
            assert_eq!(refused.key, format!("online.sessions.{key}"), "{text}");
        }
        for text in [
            "",
            "quota = 1000000\nmax = 10000000\nlag_ms = 0\ngrace_s = 0",
        ] {
            let settings: Settings = toml::from_str(text).unwrap();
            assert!(settings.check().is_ok(), "{text}");
        }
        assert!(toml::from_str::<Settings>("unit = 'minute'").is_err());
    }

    #[test]
    fn a_subscription_that_is_the_unit_wants_one() {
        let settings: Settings = toml::from_str("unit = 'subscription'").unwrap();
        assert_eq!((settings.wanted(), Settings::default().wanted()), (1, 10));
    }
}
