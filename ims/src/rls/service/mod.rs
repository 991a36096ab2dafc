//! List subscriptions, from the SUBSCRIBE to the last NOTIFY (RFC 4662 §4).
//!
//! It decides and does not act, as the presence service does: it is given the time and a parsed request or the members
//! that stirred, and leaves what to write and what to send in the [`Turn`]. What lists consist of and what resources say
//! it asks the [`World`].

mod compose;
mod credit;
mod joining;
mod notify;
mod pace;
mod recover;
mod seats;
mod state;
mod store;
mod subscribe;
#[cfg(test)]
mod tests;

pub use recover::Recovered;
pub use state::{EVENTLIST, ListRecord, Package, Told, Wishes};
pub use subscribe::{Renew, Subscribe};

use super::{BackEnds, Catalogue, Presentities};
use crate::event::deadlines::Deadlines;
use crate::event::debts::Debts;
use crate::event::farewell::{Farewell, Leaving};
use crate::event::lifetime::Lifetimes;
use crate::event::notice::{self, Sender};
use crate::event::onlooker::Member;
use crate::event::reach::OnlyUdp;
use crate::event::subscriber::Own;
use crate::event::subscription::{Input, SubscriptionId};
use crate::event::tag::TagKey;
use crate::event::turn::Turn;
use crate::sip::{Aor, Destination};
use crate::time::{Millis, Timestamp};
use indexmap::IndexMap;
use state::Subscription;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What list subscriptions may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Request-URI of SUBSCRIBEs that bring their list (RFC 5367), as it is compared; none are taken without.
    pub uri: Option<Aor>,
    /// List subscriptions of one watcher; one more is refused.
    pub max_subscriptions_per_watcher: usize,
    /// Members of all list subscriptions of one watcher; a SUBSCRIBE that brings more is refused.
    pub max_members_per_watcher: usize,
    /// Members of all list subscriptions of the node; a SUBSCRIBE that brings more is refused with 503.
    pub max_members: usize,
    /// Shortest time between two NOTIFYs of changes in one subscription: what changes meanwhile is told together. The
    /// first change after a silence is told at once.
    pub notify_interval: Millis,
    /// A NOTIFY above this many bytes before coding is split: what does not fit follows when it is answered.
    pub max_notify: usize,
    /// How long a fetch waits for members elsewhere.
    pub fetch_wait: Millis,
    /// Bodies above this many bytes leave in the coding that the watcher takes.
    pub compress_above: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            uri: None,
            max_subscriptions_per_watcher: 16,
            max_members_per_watcher: 25_000,
            max_members: 2_000_000,
            notify_interval: Millis(1_000),
            max_notify: 60_000,
            fetch_wait: Millis(4_000),
            compress_above: 1_000,
        }
    }
}

/// How the service appears.
#[derive(Clone, Debug)]
pub struct Network {
    pub own: Own,
    pub lifetimes: Lifetimes,
}

/// Whom the service asks.
#[derive(Debug)]
pub struct World<'a> {
    pub presentities: &'a mut dyn Presentities,
    pub catalogue: &'a dyn Catalogue,
    pub back_ends: &'a mut dyn BackEnds,
}

type Subscriptions = IndexMap<SubscriptionId, Subscription, ahash::RandomState>;

/// Figures of the service, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub subscriptions: usize,
    /// Members of all lists, each as often as it is watched.
    pub members: usize,
}

/// What a watcher holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    subscriptions: usize,
    members: usize,
}

/// Every list subscription.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    network: Network,
    subscriptions: Subscriptions,
    looks: Deadlines<SubscriptionId>,
    /// Subscriptions that wait for their pacing instant.
    paced: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Subscriptions whose watchers asked for a minimum rate.
    repeats: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Fetches that wait for what their members say, and subscriptions after a restart; until when at the latest.
    gathering: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Subscriptions some of whose members are still to join, in the order in which they are served.
    joining: VecDeque<SubscriptionId>,
    debts: Debts,
    tags: TagKey,
    only_udp: OnlyUdp,
    leaving: Option<Leaving>,
    /// By the first identity of the watcher.
    held: BTreeMap<Box<str>, Held>,
    members: usize,
}

impl Service {
    pub fn new(
        settings: Settings,
        network: Network,
        hash: ahash::RandomState,
        tags: TagKey,
    ) -> Service {
        Service {
            settings,
            network,
            subscriptions: IndexMap::with_hasher(hash),
            looks: Deadlines::default(),
            paced: BTreeSet::new(),
            repeats: BTreeSet::new(),
            gathering: BTreeSet::new(),
            joining: VecDeque::new(),
            debts: Debts::default(),
            tags,
            only_udp: OnlyUdp::default(),
            leaving: None,
            held: BTreeMap::new(),
            members: 0,
        }
    }

    pub fn census(&self) -> Census {
        Census {
            subscriptions: self.subscriptions.len(),
            members: self.members,
        }
    }

    /// How many resources the list of a subscription has.
    pub fn members(&self, id: SubscriptionId) -> Option<u32> {
        let subscription = self.subscriptions.get(&id)?;
        Some(u32::try_from(subscription.seats.len()).unwrap_or(u32::MAX))
    }

    /// Whether this is the number of a list subscription.
    pub fn holds(&self, id: SubscriptionId) -> bool {
        self.subscriptions.contains_key(&id)
    }

    /// Whether the list of this subscription came with the request.
    pub fn brings_list(&self, id: SubscriptionId) -> bool {
        let subscription = self.subscriptions.get(&id);
        subscription.is_some_and(|s| s.record.owner.is_none())
    }

    /// The key of entity-tags, which the store holds.
    pub fn recover_tag_key(&mut self, key: TagKey) {
        self.tags = key;
    }

    /// A next hop took no TCP: large NOTIFYs to it leave over UDP for a while.
    pub fn took_no_tcp(&mut self, now: Timestamp, to: &Destination) {
        self.only_udp.insert(now, to);
    }

    /// When [`Service::on_deadline`] wants to be called next: at once while members are to join.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let joining = self.joining.front().map(|_| Timestamp::default());
        let paced = self.paced.first().map(|&(at, _)| at);
        let repeat = self.repeats.first().map(|&(at, _)| at);
        let gathering = self.gathering.first().map(|&(at, _)| at);
        let farewell = self.leaving.as_ref().and_then(Leaving::next);
        [
            joining,
            self.looks.next(),
            paced,
            repeat,
            gathering,
            farewell,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what has become due: a share of the members that are to join, expiries, the farewell, paced NOTIFYs.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>) {
        for id in self.looks.due(turn.now) {
            self.look_at(turn, world, id);
        }
        if let Some(leaving) = &mut self.leaving {
            let (share, end) = leaving.step(turn.now);
            for id in share {
                self.end(turn, world, id, Input::Leaving(end));
            }
        }
        self.join_some(turn, world);
        while let Some(&(at, id)) = self.gathering.first().filter(|&&(at, _)| at <= turn.now) {
            self.gathering.remove(&(at, id));
            self.show(turn, world, id);
        }
        while let Some(&(at, id)) = self.paced.first().filter(|&&(at, _)| at <= turn.now) {
            self.paced.remove(&(at, id));
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.paced_at = None;
            }
            self.show(turn, world, id);
        }
        self.repeat_due(turn, world);
    }

    /// Members say something else than they did: their watchers are told.
    pub fn stirred(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, members: Vec<Member>) {
        let mut lists = BTreeSet::new();
        for member in members {
            if let Some(subscription) = self.subscriptions.get_mut(&member.list) {
                subscription.seats.stir(member.place);
                lists.insert(member.list);
            }
        }
        for id in lists {
            self.show(turn, world, id);
        }
    }

    /// Begins to end every subscription.
    pub fn leave(&mut self, now: Timestamp, farewell: Farewell) {
        let left = self.subscriptions.keys().rev().copied().collect();
        self.leaving = Some(Leaving::begin(now, farewell, left));
    }

    /// Nobody is left who must be told that the node leaves.
    pub fn has_left(&self) -> bool {
        self.leaving.as_ref().is_none_or(Leaving::is_done)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Contact of our side of a dialog.
    pub fn contact(&self, id: SubscriptionId) -> String {
        notice::contact(&self.network.own.contact, id)
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            address: &self.network.own.address,
            contact: &self.network.own.contact,
            ioi: &self.network.own.ioi,
            udp_max: self.network.own.udp_max,
            only_udp: &self.only_udp,
        }
    }
}
