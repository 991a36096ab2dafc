//! `[rls]`: subscriptions to lists.

use super::BadValue;
use super::back_ends::BackEnds;
use super::check::within;
use ims::rls::list::{self, Nesting};
use ims::rls::service;
use ims::sip::Aor;
use ims::time::Millis;
use serde::Deserialize;

/// RFC 4662, RFC 4826, RFC 5367.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rls {
    pub others: Others,
    /// Names of URI parameters.
    pub list_parameters: Vec<String>,
    pub nested_lists: Nested,
    pub on_unreadable: OnUnreadable,
    /// Members of one list: subscribed to, and listed.
    pub max_members: usize,
    pub max_listed: usize,
    /// Lists inside one list, and one inside the other.
    pub max_lists: usize,
    pub max_depth: usize,
    pub max_references: usize,
    /// Bytes of documents of one list.
    pub max_bytes: usize,
    /// Entries of a list in a request.
    pub max_request_entries: usize,
    /// Request-URI of SUBSCRIBEs with a list; none: `sip:rls@` the first home domain.
    pub uri: Option<String>,
    /// Whether a SUBSCRIBE may bring its list (RFC 5367).
    pub request_lists: bool,
    pub max_subscriptions_per_watcher: usize,
    /// Members of all lists of a watcher, and of the node.
    pub max_members_per_watcher: usize,
    pub max_members_in_all: usize,
    /// Between two NOTIFYs of changes.
    pub notify_interval_ms: Millis,
    /// Bytes.
    pub max_notify: usize,
    /// How long a fetch waits for members elsewhere.
    pub fetch_wait_ms: Millis,
    /// SUBSCRIBEs that wait for a document of another XDMS.
    pub max_waiting: usize,
    pub wait_ms: Millis,
    pub back_ends: BackEnds,
}

/// What others than the owner get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    Forbid,
    Hide,
    Allow,
}

/// How a member that is a list is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nested {
    Flatten,
    Keep,
}

/// What becomes of a list of which something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OnUnreadable {
    #[serde(rename = "partial")]
    Partial,
    #[serde(rename = "502")]
    BadGateway,
}

impl Default for Rls {
    fn default() -> Rls {
        Rls {
            others: Others::Forbid,
            list_parameters: vec!["pres-list".to_owned()],
            nested_lists: Nested::Flatten,
            on_unreadable: OnUnreadable::Partial,
            max_members: 1000,
            max_listed: 20_000,
            max_lists: 64,
            max_depth: 8,
            max_references: 256,
            max_bytes: 4 << 20,
            max_request_entries: 200,
            uri: None,
            request_lists: true,
            max_subscriptions_per_watcher: 16,
            max_members_per_watcher: 25_000,
            max_members_in_all: 2_000_000,
            notify_interval_ms: Millis(1_000),
            max_notify: 60_000,
            fetch_wait_ms: Millis(4_000),
            max_waiting: 1000,
            wait_ms: Millis(3_000),
            back_ends: BackEnds::default(),
        }
    }
}

impl Rls {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        within("rls.max_members", self.max_members, 1..=20_000)?;
        within("rls.max_listed", self.max_listed, 1..=100_000)?;
        within("rls.max_lists", self.max_lists, 0..=1_000)?;
        within("rls.max_depth", self.max_depth, 1..=32)?;
        within("rls.max_references", self.max_references, 0..=2_000)?;
        within("rls.max_bytes", self.max_bytes, 65_536..=64 << 20)?;
        let entries = self.max_request_entries;
        within("rls.max_request_entries", entries, 0..=10_000)?;
        if let Some(uri) = self.uri.as_ref().filter(|uri| Aor::parse(uri).is_none()) {
            return Err(BadValue {
                key: "rls.uri".into(),
                expected: format!(
                    "a SIP URI with a user, for example sip:rls@ims.example, not {uri}"
                ),
            });
        }
        let held = self.max_subscriptions_per_watcher;
        within("rls.max_subscriptions_per_watcher", held, 1..=100_000)?;
        let members = self.max_members_per_watcher;
        within("rls.max_members_per_watcher", members, 1..=1_000_000)?;
        let all = self.max_members_in_all;
        within("rls.max_members_in_all", all, 1..=100_000_000)?;
        within(
            "rls.notify_interval_ms",
            self.notify_interval_ms.0,
            0..=60_000,
        )?;
        within("rls.max_notify", self.max_notify, 1_000..=16 << 20)?;
        within("rls.fetch_wait_ms", self.fetch_wait_ms.0, 0..=30_000)?;
        within("rls.max_waiting", self.max_waiting, 0..=100_000)?;
        within("rls.wait_ms", self.wait_ms.0, 100..=20_000)?;
        self.back_ends.check()
    }

    /// What subscriptions to them may cost. `domain`: the first home domain.
    pub fn service(&self, domain: &str, compress_above: usize) -> service::Settings {
        let named = || format!("sip:rls@{domain}");
        let uri = self
            .request_lists
            .then(|| self.uri.clone().unwrap_or_else(named));
        service::Settings {
            uri: uri.and_then(|uri| Aor::parse(&uri)),
            max_subscriptions_per_watcher: self.max_subscriptions_per_watcher,
            max_members_per_watcher: self.max_members_per_watcher,
            max_members: self.max_members_in_all,
            notify_interval: self.notify_interval_ms,
            max_notify: self.max_notify,
            fetch_wait: self.fetch_wait_ms,
            compress_above,
        }
    }

    /// What lists consist of.
    pub fn lists(&self) -> list::Settings {
        let lower = |name: &String| name.to_ascii_lowercase();
        list::Settings {
            limits: list::Limits {
                members: self.max_members,
                listed: self.max_listed,
                lists: self.max_lists,
                depth: self.max_depth,
                references: self.max_references,
                bytes: self.max_bytes,
                contained: self.max_request_entries,
                nesting: match self.nested_lists {
                    Nested::Flatten => Nesting::Flattened,
                    Nested::Keep => Nesting::Kept,
                },
                refuses: self.on_unreadable == OnUnreadable::BadGateway,
            },
            others: match self.others {
                Others::Forbid => list::Others::Forbidden,
                Others::Hide => list::Others::Hidden,
                Others::Allow => list::Others::Allowed,
            },
            parameters: self.list_parameters.iter().map(lower).collect(),
            waiting: self.max_waiting,
            wait: self.wait_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_service() {
        let rls = Rls::default();
        assert_eq!(rls.lists(), list::Settings::default());
        let service = service::Settings {
            uri: Aor::parse("sip:rls@ims.example"),
            ..service::Settings::default()
        };
        assert_eq!(rls.service("ims.example", service.compress_above), service);
        let none = Rls {
            request_lists: false,
            ..rls
        };
        assert_eq!(none.service("ims.example", 1).uri, None);
    }
}
