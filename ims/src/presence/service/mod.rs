//! The presence service: PUBLISH and SUBSCRIBE of the `presence` package (RFC 3856), policy, and NOTIFY.
//!
//! It decides and does not act: it is given the time and a parsed request, and leaves what to write and what to
//! send in the [`Turn`].

mod body;
mod credit;
mod filtering;
mod gallery;
mod leave;
mod message;
mod notify;
mod onlook;
mod pace;
mod package;
mod partial;
mod permanent;
mod policy;
mod publish;
mod recover;
mod roll;
mod state;
mod subscribe;
mod tag;
mod visit;
mod waiting;
mod watching;
mod winfo;
mod wishes;

pub use body::{BodyType, PUBLISHED_TYPES};
pub use filtering::RecoveredFilters;
pub use package::Package;
pub use policy::{MOST_LISTS, Reach};
pub use publish::{Publish, Published};
pub use recover::{Bodies, RecoveredVisits, RecoveredWishes};
pub use subscribe::{Renew, Subscribe};
pub use visit::Visit;
pub use winfo::WatcherInfo;
pub use wishes::Wishes;

use crate::event::deadlines::Deadlines;
use crate::event::debts::Debts;
use crate::event::farewell::Leaving;
use crate::event::lifetime::Lifetimes;
use crate::event::reach::OnlyUdp;
use crate::event::subscription::SubscriptionId;
use crate::event::tag::TagKey;
use crate::event::turn::Turn;
use crate::presence::rules::{Handling, Ruleset};
use crate::presence::{compose, external, object, pidf};
use crate::record::Table;
use crate::sip::{Aor, Destination};
use crate::time::{Millis, Timestamp};
use indexmap::IndexMap;
use onlook::Onlook;
pub use state::Registered;
use state::{Presentity, Subscription};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use watching::Watching;

/// How the service behaves, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub publication: Lifetimes,
    pub subscription: Lifetimes,
    /// Publications of one presentity; one more is refused.
    pub publications_per_presentity: usize,
    /// Subscriptions to one presentity; one more is refused.
    pub subscriptions_per_presentity: usize,
    /// Shortest time between two NOTIFYs of state in one subscription (RFC 3856 §6.10: 5 s).
    pub notify_interval: Millis,
    /// Bodies above this many bytes leave in the coding that the watcher takes.
    pub compress_above: usize,
    /// Handling of a watcher whom no rule names; none is the AD's: rejected.
    pub default_handling: Option<Handling>,
    pub watcher_info: WatcherInfo,
    pub pidf: pidf::Limits,
    pub objects: object::Limits,
    pub external: external::Settings,
    /// What becomes of components that several sources describe.
    pub composition: compose::Policy,
    /// Network identifier in `P-Charging-Vector` of what we send: the home domain.
    pub own_ioi: String,
    /// Host and port of our Via.
    pub own_address: String,
    /// Contact of our side: host, port, and a transport parameter where there is one.
    pub own_contact: String,
    /// Requests above this many bytes leave over TCP (RFC 3261 §18.1.1).
    pub udp_max: usize,
}

/// The policy documents and identities of presentities, kept elsewhere.
pub trait Directory {
    /// Policy documents of the presentity that apply together.
    fn rulesets(&self, presentity: &Aor) -> Arc<[Arc<Ruleset>]>;
    /// The identity under which a presentity is kept, which any of its names leads to.
    fn canonical(&self, identity: &Aor) -> Aor;
    /// The presentity and the other identities that name it.
    fn identities(&self, presentity: &Aor) -> Vec<Aor>;
    /// Documents of permanent state of the presentity, under all its identities, with the time of their last change.
    fn permanent(&self, presentity: &Aor) -> Vec<(bytes::Bytes, Timestamp)>;
    /// What the operator imposes on a watcher of a presentity, each with all its identities.
    fn imposed(&self, presentity: &[Aor], watcher: &[Aor]) -> Option<Handling>;
    /// Every identity that names the same subscriber as this one.
    fn names(&self, identity: &Aor) -> Vec<Aor>;
    /// Whether one of the identities is in the list that a rule of the presentity names; `None`: it cannot be read.
    /// `left`: what one decision has left of [`MOST_LISTS`].
    fn in_list(
        &self,
        presentity: &Aor,
        anchor: &str,
        identities: &[Aor],
        left: &Cell<usize>,
    ) -> Option<bool>;
    /// After a restart: a rule of the presentity names this list, and nobody has asked for it yet.
    fn depends_on_list(&self, presentity: &Aor, anchor: &str);
    /// Whether a list was asked for since the last call that cannot be read now and may be soon.
    fn take_stalled(&self) -> bool;
}

/// An entry of the deadline queue: whom to look at.
#[derive(Clone, Debug)]
enum Look {
    Presentity(Aor),
    Subscription(SubscriptionId),
    /// The virtual subscriptions of a presentity.
    Gathering(Aor),
}

type Subscriptions = IndexMap<SubscriptionId, Subscription, ahash::RandomState>;

/// State of every presentity and subscription of the node.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    presentities: IndexMap<Aor, Presentity, ahash::RandomState>,
    subscriptions: Subscriptions,
    looks: Deadlines<Look>,
    /// Subscriptions that wait for their pacing instant.
    paced: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Subscriptions whose watchers asked for a minimum rate.
    repeats: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Subscriptions that owe or wait for an answer, oldest first; see [`Service::settled_until`].
    debts: Debts,
    /// Documents of presentities whose watchers are being told.
    galleries: IndexMap<Aor, gallery::Gallery, ahash::RandomState>,
    /// Makes the entity-tags that watchers see.
    tags: TagKey,
    /// Next hops that took no TCP lately.
    only_udp: OnlyUdp,
    publications: usize,
    /// Documents rendered since the start.
    rendered: u64,
    /// Subscriptions that are being ended because the node leaves.
    leaving: Option<Leaving>,
    /// Whose subscriptions they are.
    watching: Watching,
    /// Virtual subscriptions, on behalf of list subscriptions.
    onlook: Onlook,
}

/// Figures of the service, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub presentities: usize,
    pub publications: usize,
    pub subscriptions: usize,
}

impl Service {
    pub fn new(settings: Settings, hash: ahash::RandomState, tags: TagKey) -> Service {
        Service {
            settings,
            presentities: IndexMap::with_hasher(hash.clone()),
            subscriptions: IndexMap::with_hasher(hash.clone()),
            galleries: IndexMap::with_hasher(hash.clone()),
            onlook: Onlook::new(hash),
            tags,
            looks: Deadlines::default(),
            paced: BTreeSet::new(),
            repeats: BTreeSet::new(),
            debts: Debts::default(),
            only_udp: OnlyUdp::default(),
            publications: 0,
            rendered: 0,
            leaving: None,
            watching: Watching::default(),
        }
    }

    /// The key of entity-tags, to be kept.
    pub fn tag_key(&self) -> TagKey {
        self.tags
    }

    pub fn census(&self) -> Census {
        Census {
            presentities: self.presentities.len(),
            publications: self.publications,
            subscriptions: self.subscriptions.len(),
        }
    }

    /// Documents rendered since the start: one for each change and distinct outcome of the rules, however many watch.
    pub fn rendered(&self) -> u64 {
        self.rendered
    }

    /// Whether anything is known of this presentity.
    pub fn knows(&self, presentity: &Aor) -> bool {
        self.presentities.contains_key(presentity)
    }

    /// Whether anybody watches this presentity, or those who do.
    pub fn is_watched(&self, presentity: &Aor) -> bool {
        let entry = self.presentities.get(presentity);
        entry.is_some_and(|p| {
            !p.watchers.is_empty() || !p.observers.is_empty() || p.gathering.is_some()
        })
    }

    /// A next hop took no TCP: large NOTIFYs to it leave over UDP for a while.
    pub fn took_no_tcp(&mut self, now: Timestamp, to: &Destination) {
        self.only_udp.insert(now, to);
    }

    /// When [`Service::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let paced = self.paced.first().map(|&(at, _)| at);
        let repeat = self.repeats.first().map(|&(at, _)| at);
        let members = self.onlook.paced.first().map(|&(at, _)| at);
        let all = [self.looks.next(), paced, repeat, members];
        all.into_iter()
            .chain([self.next_farewell()])
            .flatten()
            .min()
    }

    /// Does what has become due: expiries, policy instants, paced NOTIFYs. One bucket a call.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory) {
        for look in self.looks.due(turn.now) {
            match look {
                Look::Presentity(presentity) => {
                    self.look_at_presentity(turn, directory, presentity)
                }
                Look::Subscription(id) => self.look_at_subscription(turn, directory, id),
                Look::Gathering(presentity) => self.look_at_gathering(turn, directory, &presentity),
            }
        }
        if self.looks.next().is_some_and(|at| at <= turn.now) {
            return; // after a standstill much is over: it goes before anything of it is shown
        }
        self.say_farewell(turn, directory);
        while let Some(&(at, id)) = self.paced.first().filter(|&&(at, _)| at <= turn.now) {
            self.paced.remove(&(at, id));
            self.pay(turn, directory, id);
        }
        self.stir_paced(turn, directory);
        self.repeat_due(turn, directory);
    }

    /// Registration state changed: watchers who may see it are told.
    pub fn registration_changed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
        facts: Option<Registered>,
    ) {
        if facts.is_none() && !self.presentities.contains_key(presentity) {
            return;
        }
        self.admit_strangers(turn, directory, presentity);
        let entry = self.presentities.entry(presentity.clone()).or_default();
        if entry.registration == facts {
            return;
        }
        self.remember_views(turn.now, directory, presentity);
        let entry = self.presentities.entry(presentity.clone()).or_default();
        entry.set_registration(presentity, facts);
        self.state_changed(turn, directory, presentity);
        self.forget_idle(turn, presentity);
    }

    /// The presentity gained or lost an identity: rules written under it and its registration count from now on, or
    /// no more. All of that is taken over before anything is shown.
    pub fn renamed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
        facts: Option<Registered>,
    ) {
        self.take_permanent(directory, presentity);
        self.admit_strangers(turn, directory, presentity);
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return; // nobody to decide on
        };
        entry.set_registration(presentity, facts);
        entry.rulesets = None;
        self.galleries.swap_remove(presentity);
        self.reconsider(turn, directory, presentity);
        self.state_changed(turn, directory, presentity);
        self.forget_idle(turn, presentity);
    }

    /// A policy document of the presentity changed: live subscriptions follow at once.
    pub fn policy_changed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        self.admit_strangers(turn, directory, presentity);
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return;
        };
        entry.rulesets = None;
        self.touch(turn, presentity);
        self.reconsider(turn, directory, presentity);
    }

    /// What watchers may see of the presentity changed.
    fn state_changed(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory, presentity: &Aor) {
        self.touch(turn, presentity);
        self.fan_out(turn, directory, presentity);
    }

    /// Notes that watchers are owed the present state, so that a restart knows it too.
    fn touch(&mut self, turn: &mut Turn<'_>, presentity: &Aor) {
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return;
        };
        if entry.is_watched() {
            entry.touched_at = turn.now;
            turn.batch
                .put(Table::Touched, presentity.as_str().as_bytes(), &turn.now);
        }
    }

    /// Drops a presentity of which nothing is left.
    fn forget_idle(&mut self, turn: &mut Turn<'_>, presentity: &Aor) {
        if let Some(entry) = self.presentities.get(presentity).filter(|p| p.is_idle()) {
            if entry.touched_at != Timestamp::default() {
                turn.batch
                    .delete(Table::Touched, presentity.as_str().as_bytes());
            }
            if entry.watched_at != Timestamp::default() {
                turn.batch
                    .delete(Table::Watched, presentity.as_str().as_bytes());
            }
            self.presentities.swap_remove(presentity);
        }
    }

    fn look_at_presentity(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: Aor,
    ) {
        if let Some(entry) = self.presentities.get_mut(&presentity) {
            entry.look_at = None;
            self.expire_publications(turn, directory, &presentity);
        }
    }

    /// Asks for a look at the presentity when its next publication runs out.
    fn schedule_presentity(&mut self, presentity: &Aor) {
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return;
        };
        let Some(at) = entry.publications.iter().map(|p| p.expires_at).min() else {
            return;
        };
        if entry.look_at.is_none_or(|scheduled| at < scheduled) {
            entry.look_at = Some(at);
            self.looks.at(at, Look::Presentity(presentity.clone()));
        }
    }

    /// Asks for a look at a subscription at its end or at the next instant at which its policy may differ.
    fn schedule_subscription(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let policy = subscription.decision.as_ref().and_then(|d| d.until);
        let gives_up = subscription.gives_up_at(self.settings.watcher_info.give_up);
        let ends = Some(subscription.record.expires_at);
        let Some(at) = [policy, gives_up, ends].into_iter().flatten().min() else {
            return;
        };
        if subscription.look_at.is_none_or(|scheduled| at < scheduled) {
            subscription.look_at = Some(at);
            self.looks.at(at, Look::Subscription(id));
        }
    }
}
