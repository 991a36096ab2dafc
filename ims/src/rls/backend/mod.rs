//! Back-end subscriptions (RFC 4662 §2, §4.5): members of lists that are not served here, watched by SIP through the core
//! on behalf of the watcher.
//!
//! What is wanted is said by [`super::BackEnds`]; nothing leaves before [`Service::due`], which
//! keeps to the pace of each domain. Members who ask for the same on behalf of the same watcher share one subscription.

mod content;
mod entry;
mod filter;
mod flow;
mod hearing;
mod outcome;
mod record;
mod sending;
mod settings;
#[cfg(test)]
mod tests;

pub use content::Told;
pub use hearing::Notify;
pub use record::Record;
pub use settings::{Bounds, Core, Settings, Way};

use super::BackEnds as _;
use crate::event::deadlines::Deadlines;
use crate::event::onlooker::{Extent, Instance, Member, Onlooker};
use crate::event::subscription::{End, State, SubscriptionId};
use crate::event::tag::TagKey;
use crate::event::turn::Turn;
use crate::record::Table;
use crate::time::{Seconds, Timestamp};
use entry::{Entry, Key, Slot};
use flow::{Flow, Job, Number};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A refusal is asked about again when the list subscription is refreshed, and no more often than this.
const REFUSED_FOR: Seconds = Seconds(300);

type Map<K, V> = IndexMap<K, V, ahash::RandomState>;

/// What became of a member's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Entry(Number),
    /// Nobody can be asked.
    Hopeless(End),
}

/// Figures for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Resources that are watched elsewhere.
    pub back_ends: usize,
    /// Dialogs with their notifiers, also those that are being opened or ended.
    pub dialogs: usize,
    /// Members that want them.
    pub members: usize,
}

/// All of them.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    tags: TagKey,
    entries: Map<Number, Entry>,
    by_key: Map<Arc<Key>, Number>,
    members: BTreeMap<Member, Place>,
    /// Dialog tags of ours.
    ids: Map<SubscriptionId, Number>,
    /// Names of the transactions of each dialog.
    tickets: Map<SubscriptionId, Number>,
    watchers: BTreeMap<Box<str>, usize>,
    last: Number,
    flow: Flow,
    looks: Deadlines<Number>,
    stirred: BTreeSet<Member>,
    /// When what the store had and nobody wants is ended.
    sweep_at: Option<Timestamp>,
    /// Records that are of no use.
    spoilt: Vec<Box<[u8]>>,
}

impl Service {
    pub fn new(settings: Settings, tags: TagKey, hash: ahash::RandomState) -> Service {
        Service {
            flow: Flow::new(settings.bounds.under_way, settings.bounds.per_second),
            settings,
            tags,
            entries: IndexMap::with_hasher(hash.clone()),
            by_key: IndexMap::with_hasher(hash.clone()),
            members: BTreeMap::new(),
            ids: IndexMap::with_hasher(hash.clone()),
            tickets: IndexMap::with_hasher(hash),
            watchers: BTreeMap::new(),
            last: 0,
            looks: Deadlines::default(),
            stirred: BTreeSet::new(),
            sweep_at: None,
            spoilt: Vec::new(),
        }
    }

    pub fn census(&self) -> Census {
        Census {
            back_ends: self.entries.len(),
            dialogs: self.tickets.len(),
            members: self.members.len(),
        }
    }

    fn create(&mut self, key: &Arc<Key>) -> Option<Number> {
        let own = self.watchers.get(key.watcher()).copied().unwrap_or(0);
        if self.entries.len() >= self.settings.bounds.capacity
            || own >= self.settings.bounds.per_watcher
        {
            tracing::debug!(own, "no more back-end subscriptions");
            return None;
        }
        self.last += 1;
        let number = self.last;
        self.insert(Entry::new(number, key.clone()));
        Some(number)
    }

    fn insert(&mut self, entry: Entry) {
        *self.watchers.entry(entry.key.watcher().into()).or_default() += 1;
        self.by_key.insert(entry.key.clone(), entry.number);
        self.entries.insert(entry.number, entry);
    }

    /// The list subscription is over.
    pub fn drop_list(&mut self, turn: &mut Turn<'_>, list: SubscriptionId) {
        let all = Member { list, place: 0 }..=Member {
            list,
            place: u32::MAX,
        };
        let members: Vec<Member> = self.members.range(all).map(|(member, _)| *member).collect();
        for member in members {
            self.drop(turn, member);
        }
    }

    /// A member shares an entry from now on, or its list subscription was refreshed.
    fn join(&mut self, now: Timestamp, number: Number, member: Member, onlooker: &Onlooker) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let joins = !entry.members.contains_key(&member);
        entry.members.entry(member).or_default();
        entry.until = entry.until.max(onlooker.expires_at);
        entry.display_name = match onlooker.anonymous {
            true => None,
            false => onlooker.display_name.clone(),
        };
        let lifetime = entry.lifetime(now, self.settings.bounds.lifetime);
        for leg in &mut entry.legs {
            leg.subscriber.wants(lifetime);
        }
        // whoever refused is asked again when somebody asks for the list again
        if entry.refused_at.is_some_and(|at| at + REFUSED_FOR <= now) {
            entry.retry_at = Some(now);
        }
        if entry.legs.is_empty() && entry.retry_at.is_none_or(|at| at <= now) {
            self.queue(number, Job::Open(number));
        }
        if joins {
            self.stirred.insert(member);
        }
    }

    fn stir(&mut self, number: Number) {
        if let Some(entry) = self.entries.get(&number) {
            self.stirred.extend(entry.members.keys().copied());
        }
    }

    /// A job of an entry waits for the turn of its domain; at most one opens it.
    fn queue(&mut self, number: Number, job: Job) {
        if let Some(entry) = self.entries.get_mut(&number)
            && !entry.queued
            && !entry.closing
        {
            entry.queued = true;
            self.flow.push(&entry.domain, job);
        }
    }

    /// Forgets an entry of which no dialog is left.
    fn remove(&mut self, turn: &mut Turn<'_>, number: Number) {
        let Some(entry) = self.entries.swap_remove(&number) else {
            return;
        };
        self.forget_key(&entry.key, number);
        for leg in &entry.legs {
            self.tickets.swap_remove(&leg.subscriber.ticket);
            self.ids.swap_remove(&leg.subscriber.id);
        }
        if let Some(opening) = entry.opening {
            self.ids.swap_remove(&opening.id);
        }
        if entry.counted {
            self.flow.done(&entry.domain);
        }
        if entry.stored {
            turn.batch.delete(Table::BackEnd, &number.to_be_bytes());
        }
    }

    /// From now on a wish for the same makes a new entry.
    fn forget_key(&mut self, key: &Arc<Key>, number: Number) {
        if self.by_key.get(key) == Some(&number) {
            self.by_key.swap_remove(key);
            if let Some(count) = self.watchers.get_mut(key.watcher()) {
                *count -= 1;
                if *count == 0 {
                    self.watchers.remove(key.watcher());
                }
            }
        }
    }
}

impl super::BackEnds for Service {
    fn want(
        &mut self,
        turn: &mut Turn<'_>,
        member: Member,
        onlooker: &Onlooker,
        uri: &str,
    ) -> bool {
        let key = match Key::of(onlooker, uri, self.settings.bounds.nested) {
            Ok(key) => Arc::new(key),
            Err(end) => {
                self.drop(turn, member);
                self.members.insert(member, Place::Hopeless(end));
                return true;
            }
        };
        let known = self.by_key.get(&key).copied();
        if self.members.get(&member) != known.map(Place::Entry).as_ref() {
            self.drop(turn, member);
        }
        let Some(number) = known.or_else(|| self.create(&key)) else {
            return false;
        };
        self.members.insert(member, Place::Entry(number));
        self.join(turn.now, number, member, onlooker);
        true
    }

    fn instances(&mut self, member: Member, extent: Extent) -> Vec<(u32, Instance)> {
        match self.members.get(&member) {
            Some(Place::Hopeless(end)) => {
                let slot = Slot::new(State::Terminated(*end));
                slot.instance()
                    .map(|instance| (0, instance))
                    .into_iter()
                    .collect()
            }
            Some(Place::Entry(number)) => {
                let entry = self.entries.get_mut(number);
                entry.map_or_else(Vec::new, |entry| entry.take(member, extent))
            }
            None => Vec::new(),
        }
    }

    fn is_awaited(&self, member: Member) -> bool {
        let Some(Place::Entry(number)) = self.members.get(&member) else {
            return false;
        };
        self.entries.get(number).is_some_and(Entry::is_awaited)
    }

    fn drop(&mut self, _turn: &mut Turn<'_>, member: Member) {
        self.stirred.remove(&member);
        let Some(Place::Entry(number)) = self.members.remove(&member) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.members.remove(&member);
        if entry.members.is_empty() {
            // not at once: it may be wanted again in the same step, at another place of the list
            self.flow.push(&entry.domain, Job::End(number));
        }
    }

    fn take_stirred(&mut self) -> Vec<Member> {
        std::mem::take(&mut self.stirred).into_iter().collect()
    }
}
