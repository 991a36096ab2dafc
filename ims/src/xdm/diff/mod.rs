//! Changes of documents told to who subscribed to them: the event package `xcap-diff` (RFC 5874, RFC 5875), and its
//! predecessors.
//!
//! It decides and does not act, as the presence service does: it is given the time and a parsed request or a change, and
//! leaves what to write and what to send in the [`Turn`].

mod change;
mod component;
mod credit;
mod index;
mod notify;
mod patches;
mod pending;
mod place;
mod recover;
mod scope;
mod state;
mod store;
mod subscribe;
mod wanted;
mod writer;

pub use pending::Mode;
pub use place::Root;
pub use recover::{Recovered, Touched};
pub use state::SubscriptionRecord;
pub use store::{Directory, Store};
pub use subscribe::{Renew, Subscribe, Terms};
pub use wanted::{LIST_TYPE, Package, Wanted};
pub use writer::MEDIA_TYPE;

use crate::event::deadlines::Deadlines;
use crate::event::debts::Debts;
use crate::event::farewell::{Farewell, Leaving};
use crate::event::lifetime::Lifetimes;
use crate::event::notice::{self, Sender};
use crate::event::reach::OnlyUdp;
use crate::event::subscriber::Own;
use crate::event::subscription::{Input, SubscriptionId};
use crate::event::tag::TagKey;
use crate::event::turn::Turn;
use crate::sip::Destination;
use crate::time::{Millis, Timestamp};
use crate::xdm::DocumentKey;
use index::Index;
use indexmap::IndexMap;
use patches::Patches;
use state::Subscription;
use std::collections::{BTreeMap, BTreeSet};

/// What subscriptions to documents may cost, and who may have which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub root: Root,
    /// Subscriptions of one user; one more is refused. Servers and administrators have no such bound.
    pub max_subscriptions_per_user: usize,
    /// URIs of one subscription; a longer list is refused.
    pub max_resources: usize,
    /// Documents that one subscription may show; collections that hold more are refused.
    pub max_documents: usize,
    /// Changes of one subscription that are kept with their patches while a NOTIFY is under way.
    pub max_changes: usize,
    /// Longest body with patches and content, in bytes; above it only entity-tags are told.
    pub max_body: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            root: Root::new(&[], "http://localhost/xcap-root"),
            max_subscriptions_per_user: 64,
            max_resources: 100,
            max_documents: 1_000,
            max_changes: 32,
            max_body: 65_536,
        }
    }
}

/// How the service appears and paces.
#[derive(Clone, Debug)]
pub struct Network {
    pub own: Own,
    pub lifetimes: Lifetimes,
    /// Shortest time between two NOTIFYs of changes in one subscription (RFC 5875 §4.10: 5 s).
    pub notify_interval: Millis,
}

type Subscriptions = IndexMap<SubscriptionId, Subscription, ahash::RandomState>;

/// Every subscription to documents.
#[derive(Debug)]
pub struct Service {
    network: Network,
    subscriptions: Subscriptions,
    index: Index,
    looks: Deadlines<SubscriptionId>,
    /// Subscriptions that wait for their pacing instant.
    paced: BTreeSet<(Timestamp, SubscriptionId)>,
    debts: Debts,
    tags: TagKey,
    only_udp: OnlyUdp,
    leaving: Option<Leaving>,
    patches: Patches,
    /// Number of the last change.
    changes: u64,
    /// Documents of which a change may still be owed to somebody.
    touched: BTreeMap<DocumentKey, Touched>,
}

impl Service {
    pub fn new(network: Network, hash: ahash::RandomState, tags: TagKey) -> Service {
        Service {
            network,
            subscriptions: IndexMap::with_hasher(hash),
            index: Index::default(),
            looks: Deadlines::default(),
            paced: BTreeSet::new(),
            debts: Debts::default(),
            tags,
            only_udp: OnlyUdp::default(),
            leaving: None,
            patches: Patches::default(),
            changes: 0,
            touched: BTreeMap::new(),
        }
    }

    /// Subscriptions held.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Whether anybody asked to be told of the document.
    pub fn watches(&self, key: &DocumentKey) -> bool {
        !self.index.of(key).is_empty()
    }

    /// The key of entity-tags, which the store holds.
    pub fn recover_tag_key(&mut self, key: TagKey) {
        self.tags = key;
    }

    /// A next hop took no TCP: large NOTIFYs to it leave over UDP for a while.
    pub fn took_no_tcp(&mut self, now: Timestamp, to: &Destination) {
        self.only_udp.insert(now, to);
    }

    /// When [`Service::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let paced = self.paced.first().map(|&(at, _)| at);
        let farewell = self.leaving.as_ref().and_then(Leaving::next);
        [self.looks.next(), paced, farewell]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what has become due: expiries, paced NOTIFYs, the farewell. One bucket a call.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>, store: &Store<'_>) {
        for id in self.looks.due(turn.now) {
            self.look_at(turn, store, id);
        }
        if let Some(leaving) = &mut self.leaving {
            let (share, end) = leaving.step(turn.now);
            for id in share {
                self.end(turn, store, id, Input::Leaving(end));
            }
        }
        while let Some(&(at, id)) = self.paced.first().filter(|&&(at, _)| at <= turn.now) {
            self.paced.remove(&(at, id));
            self.show(turn, store, id);
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
