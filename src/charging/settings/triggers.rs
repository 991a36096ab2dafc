//! Section `[charging.triggers]`: which transactions are charged, and which NOTIFYs share a record.

use super::{BadValue, bad};
use ims::charge::{self, Coalescing, Outcomes};
use ims::time::Seconds;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Which final responses to a method make a record (TS 32.260 §5.2.1: by configuration, per node and method):
/// `true`, `false`, `"success"` (2xx) or `"failure"` (all others, and none at all).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected true, false, \"success\" or \"failure\""
)]
pub enum Switch {
    All(bool),
    Only(Only),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    Success,
    Failure,
}

impl From<Switch> for Outcomes {
    fn from(switch: Switch) -> Outcomes {
        match switch {
            Switch::All(true) => Outcomes::All,
            Switch::All(false) => Outcomes::None,
            Switch::Only(Only::Success) => Outcomes::Successes,
            Switch::Only(Only::Failure) => Outcomes::Failures,
        }
    }
}

/// How the NOTIFYs that we send become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Records {
    /// One each.
    Each,
    /// One for each subscription and interval, with their number in it. Failed ones have one each.
    Interval,
}

/// What makes a record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Triggers {
    /// PUBLISH. Default: true.
    pub publish: Switch,
    /// SUBSCRIBE received. Default: true.
    pub subscribe: Switch,
    /// SUBSCRIBE sent for a watcher, as a list server does. Default: true.
    pub subscribe_sent: Switch,
    /// NOTIFY sent. Default: true.
    pub notify: Switch,
    /// NOTIFY received for a watcher. Default: false: it answers a SUBSCRIBE that is charged.
    pub notify_received: Switch,
    /// Third-party REGISTER. Default: true.
    pub register: Switch,
    /// Also 3xx-6xx and missing responses, of every method. Default: true.
    pub failures: bool,
    /// Less for some event packages than the method says, as in `{ "presence.winfo" = false }`. Default: none.
    /// At most 64.
    pub packages: BTreeMap<String, Switch>,
    /// `"each"` or `"interval"`: how successful NOTIFYs that we send become records. Default: `"each"`.
    pub notify_records: Records,
    /// Length of an interval, in seconds. Default: 300. Range: 1-86400.
    pub notify_interval_s: Seconds,
    /// Records that gather NOTIFYs at the same time; one more ends the oldest early. Default: 65536.
    /// Range: 1-1000000.
    pub notify_open_records: u32,
}

impl Default for Triggers {
    fn default() -> Self {
        Triggers {
            publish: Switch::All(true),
            subscribe: Switch::All(true),
            subscribe_sent: Switch::All(true),
            notify: Switch::All(true),
            notify_received: Switch::All(false),
            register: Switch::All(true),
            failures: true,
            packages: BTreeMap::new(),
            notify_records: Records::Each,
            notify_interval_s: Seconds(300),
            notify_open_records: 65_536,
        }
    }
}

impl Triggers {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        for (key, value, most) in [
            (
                "triggers.notify_interval_s",
                self.notify_interval_s.0,
                86_400,
            ),
            (
                "triggers.notify_open_records",
                self.notify_open_records,
                1_000_000,
            ),
        ] {
            if !(1..=most).contains(&value) {
                return Err(bad(key, &format!("a number from 1 to {most}, not {value}")));
            }
        }
        if self.packages.len() > 64 {
            return Err(bad("triggers.packages", "at most 64 event packages"));
        }
        Ok(())
    }
}

impl From<&Triggers> for charge::Triggers {
    fn from(given: &Triggers) -> charge::Triggers {
        let all = match given.failures {
            true => Outcomes::All,
            false => Outcomes::Successes,
        };
        let of = |switch: Switch| Outcomes::from(switch).and(all);
        let packages = given.packages.iter();
        charge::Triggers {
            publish: of(given.publish),
            subscribe: of(given.subscribe),
            subscribe_sent: of(given.subscribe_sent),
            notify: of(given.notify),
            notify_received: of(given.notify_received),
            register: of(given.register),
            packages: packages.map(|(name, s)| (name.clone(), of(*s))).collect(),
            coalescing: match given.notify_records {
                Records::Each => Coalescing::Each,
                Records::Interval => Coalescing::Interval {
                    length: given.notify_interval_s,
                    open: given.notify_open_records as usize,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<charge::Triggers, String> {
        let triggers: Triggers = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        triggers.check().map_err(|bad| bad.key)?;
        Ok((&triggers).into())
    }

    #[test]
    fn a_switch_takes_each_of_its_words() {
        for (text, outcomes) in [
            ("publish = true", Outcomes::All),
            ("publish = false", Outcomes::None),
            ("publish = 'success'", Outcomes::Successes),
            ("publish = 'failure'", Outcomes::Failures),
            ("failures = false", Outcomes::Successes),
            ("publish = 'failure'\nfailures = false", Outcomes::None),
        ] {
            assert_eq!(read(text).unwrap().publish, outcomes, "{text}");
        }
    }

    #[test]
    fn what_is_no_switch_is_refused_with_what_would_be_one() {
        let refused = read("publish = 'always'").unwrap_err();
        assert!(refused.contains("\"success\""), "{refused}");
        for (text, key) in [
            ("notify_interval_s = 0", "triggers.notify_interval_s"),
            ("notify_interval_s = 86401", "triggers.notify_interval_s"),
            ("notify_open_records = 0", "triggers.notify_open_records"),
        ] {
            assert_eq!(read(text).unwrap_err(), key);
        }
    }

    #[test]
    fn packages_and_intervals_reach_the_ledger() {
        let read = read(
            "notify_records = 'interval'\nnotify_interval_s = 60\npackages = { reg = 'failure' }",
        )
        .unwrap();
        assert_eq!(read.packages["reg"], Outcomes::Failures);
        let (length, open) = (Seconds(60), 65_536);
        assert_eq!(read.coalescing, Coalescing::Interval { length, open });
    }
}
