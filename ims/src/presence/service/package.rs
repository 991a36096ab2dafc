//! The event packages of the service: presence, and who watches it.

use crate::event::watcherinfo;
use crate::presence::pidf;
use serde::{Deserialize, Serialize};

/// Event package of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Package {
    /// RFC 3856.
    #[default]
    Presence,
    /// Who watches the presence of a presentity (RFC 3857).
    Watchers,
    /// Who watches that (RFC 3857 §4.6). Nothing deeper is served.
    WatchersOfWatchers,
}

impl Package {
    /// The package of this name (RFC 6665 §8.2.1: case counts).
    pub fn named(name: &str) -> Option<Package> {
        let all = [
            Package::Presence,
            Package::Watchers,
            Package::WatchersOfWatchers,
        ];
        all.into_iter().find(|package| package.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Package::Presence => "presence",
            Package::Watchers => "presence.winfo",
            Package::WatchersOfWatchers => "presence.winfo.winfo",
        }
    }

    /// The package whose subscriptions it tells of.
    pub fn subject(self) -> Option<Package> {
        match self {
            Package::Presence => None,
            Package::Watchers => Some(Package::Presence),
            Package::WatchersOfWatchers => Some(Package::Watchers),
        }
    }

    /// Type of the documents that every watcher of the package takes.
    pub fn media_type(self) -> &'static str {
        match self {
            Package::Presence => pidf::MEDIA_TYPE,
            Package::Watchers | Package::WatchersOfWatchers => watcherinfo::MEDIA_TYPE,
        }
    }
}
