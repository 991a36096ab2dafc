//! `[watcher_info]`: who is told of the watchers of a presentity, and how long undecided ones are remembered.

use super::BadValue;
use super::check::{bad, is_sip_uri, within};
use ims::presence::service;
use ims::sip::Aor;
use ims::time::Seconds;
use serde::Deserialize;

/// RFC 3857.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatcherInfo {
    pub others: Observers,
    pub administrators: Vec<String>,
    pub of_watcher_info: bool,
    pub give_up_s: Seconds,
    pub max_undecided_per_watcher: usize,
    pub max_waiting_per_presentity: usize,
}

/// What those who are not the presentity are told of its watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observers {
    OwnEntry,
    Presentity,
}

impl Default for WatcherInfo {
    fn default() -> WatcherInfo {
        WatcherInfo {
            others: Observers::OwnEntry,
            administrators: Vec::new(),
            of_watcher_info: true,
            give_up_s: Seconds(604_800),
            max_undecided_per_watcher: 100,
            max_waiting_per_presentity: 1000,
        }
    }
}

impl WatcherInfo {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        const YEAR: u32 = 31_536_000;
        within("watcher_info.give_up_s", self.give_up_s.0, 60..=YEAR)?;
        for (key, value) in [
            ("max_undecided_per_watcher", self.max_undecided_per_watcher),
            (
                "max_waiting_per_presentity",
                self.max_waiting_per_presentity,
            ),
        ] {
            within(&format!("watcher_info.{key}"), value, 1..=100_000)?;
        }
        if self.administrators.iter().all(|uri| is_sip_uri(uri)) {
            Ok(())
        } else {
            Err(bad(
                "watcher_info.administrators",
                "SIP URIs, for example [\"sip:helpdesk@ims.example.net\"]",
            ))
        }
    }
}

impl From<&WatcherInfo> for service::WatcherInfo {
    fn from(config: &WatcherInfo) -> service::WatcherInfo {
        let administrators = config.administrators.iter();
        service::WatcherInfo {
            own_entry: config.others == Observers::OwnEntry,
            of_watcher_info: config.of_watcher_info,
            administrators: administrators.filter_map(|text| Aor::parse(text)).collect(),
            give_up: config.give_up_s,
            waiting_per_watcher: config.max_undecided_per_watcher,
            waiting_per_presentity: config.max_waiting_per_presentity,
        }
    }
}
