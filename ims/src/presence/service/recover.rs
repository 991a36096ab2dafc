//! The service after a restart: state from the store, and NOTIFYs for what changed and was not delivered.

use super::filtering::RecoveredFilters;
use super::partial::Held;
use super::state::{
    Debt, Presentity, Registered, Subscription, SubscriptionRecord, parse_publication_key,
};
use super::visit::Visit;
use super::wishes::Wishes;
use super::{Directory, Service};
use crate::event::publication::{Publication, PublicationRecord};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::{Condition, QUENCHED, TagKey};
use crate::presence::object::Object;
use crate::presence::pidf::{self, Contribution};
use crate::sip::Aor;
use crate::time::{Millis, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Bodies read before their publications.
#[derive(Debug, Default)]
pub struct Bodies(BTreeMap<Box<[u8]>, Contribution>);

/// NOTIFYs owed after a restart leave one in each such step, so that the restart of a large node is no storm.
const SPREAD: Millis = Millis(1);

/// Visits read before their subscriptions.
#[derive(Debug, Default)]
pub struct RecoveredVisits(BTreeMap<SubscriptionId, Visit>);

impl RecoveredVisits {
    /// A visit from the store; it waits for its subscription.
    pub fn insert(&mut self, key: &[u8], visit: Visit) -> bool {
        let id = number(key);
        id.map(|id| self.0.insert(id, visit)).is_some()
    }
}

/// Wishes read before their subscriptions.
#[derive(Debug, Default)]
pub struct RecoveredWishes(BTreeMap<SubscriptionId, Box<Wishes>>);

impl RecoveredWishes {
    /// Wishes from the store; they wait for their subscription.
    pub fn insert(&mut self, key: &[u8], wishes: Wishes) -> bool {
        let id = number(key);
        id.map(|id| self.0.insert(id, Box::new(wishes))).is_some()
    }
}

/// The subscription that a key names.
fn number(key: &[u8]) -> Option<SubscriptionId> {
    let bytes = <[u8; 8]>::try_from(key).ok()?;
    Some(SubscriptionId(u64::from_be_bytes(bytes)))
}

impl Service {
    /// The key of entity-tags that the store holds.
    pub fn recover_tag_key(&mut self, key: TagKey) {
        self.tags = key;
    }

    /// A body from the store; it waits for its publication.
    pub fn recover_body(&self, bodies: &mut Bodies, key: &[u8], body: &[u8]) -> bool {
        match pidf::parse(body, &self.settings.pidf) {
            Ok(contribution) => bodies.0.insert(key.into(), contribution).is_none(),
            Err(_) => false,
        }
    }

    /// The objects of a publication, read behind its body.
    pub fn recover_objects(bodies: &mut Bodies, key: &[u8], objects: Vec<Object>) -> bool {
        let Some(contribution) = bodies.0.remove(key) else {
            return false;
        };
        let with_objects = contribution.with_objects(objects);
        bodies.0.insert(key.into(), with_objects).is_none()
    }

    /// A publication from the store. `false` when its body or key is not there.
    pub fn recover_publication(
        &mut self,
        bodies: &mut Bodies,
        key: &[u8],
        record: PublicationRecord,
    ) -> bool {
        let (Some((presentity, number)), Some(state)) =
            (parse_publication_key(key), bodies.0.remove(key))
        else {
            return false;
        };
        let PublicationRecord {
            etag,
            expires_at,
            changed_at,
        } = record;
        let publication = Publication {
            number,
            etag,
            expires_at,
            changed_at,
            state,
        };
        self.presentities
            .entry(presentity.clone())
            .or_default()
            .publications
            .push(publication);
        self.publications += 1;
        self.schedule_presentity(&presentity);
        true
    }

    /// What presence shows of a registration from the store.
    pub fn recover_registration(&mut self, presentity: &Aor, registered: Option<Registered>) {
        self.presentities
            .entry(presentity.clone())
            .or_default()
            .set_registration(presentity, registered);
    }

    /// A subscription that was owed something for long.
    pub fn recover_waiting(&mut self, key: &[u8]) -> bool {
        let subscription = number(key).and_then(|id| self.subscriptions.get_mut(&id));
        subscription.map(|s| s.waits = true).is_some()
    }

    /// When what watchers see of a presentity last changed.
    pub fn recover_touched(&mut self, key: &[u8], at: Timestamp) -> bool {
        let Some(presentity) = std::str::from_utf8(key).ok().and_then(Aor::parse) else {
            return false;
        };
        self.presentities.entry(presentity).or_default().touched_at = at;
        true
    }

    /// When the watchers of a presentity last changed.
    pub fn recover_watched(&mut self, key: &[u8], at: Timestamp) -> bool {
        let Some(presentity) = std::str::from_utf8(key).ok().and_then(Aor::parse) else {
            return false;
        };
        self.presentities.entry(presentity).or_default().watched_at = at;
        true
    }

    /// A subscription from the store. Its CSeq goes on above the range it had reserved.
    pub fn recover_subscription(
        &mut self,
        (visits, wishes): (&mut RecoveredVisits, &mut RecoveredWishes),
        key: &[u8],
        mut record: SubscriptionRecord,
    ) -> bool {
        let (Some(id), Some(presentity)) = (number(key), Aor::parse(&record.presentity)) else {
            return false;
        };
        record.dialog.local_cseq = record.dialog.local_cseq.max(record.cseq_reserved);
        let wishes = wishes.0.remove(&id);
        let visit = visits.0.remove(&id).unwrap_or_else(|| Visit::of(&record));
        let mut subscription = Subscription::new(id, presentity, record, visit, wishes);
        subscription.stored = true;
        if subscription.wishes.as_ref().is_some_and(|w| w.counted) {
            // each version had a NOTIFY of its own, so none is above the CSeq numbers that may have been used
            let used = subscription.record.dialog.local_cseq;
            subscription.held = Some(Held::after(used).into());
        }
        self.insert(subscription);
        true
    }

    /// Works out, before the first change since a restart, what the watchers were shown until now. Else each of them
    /// would be told of a change that it cannot see: a politely blocked one that there was a PUBLISH.
    pub(super) fn remember_views(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let known = |entry: &mut Presentity| std::mem::replace(&mut entry.views_known, true);
        if self.presentities.get_mut(presentity).is_none_or(known) {
            return;
        }
        let entry = self.presentities.get(presentity);
        let watchers: Vec<SubscriptionId> = entry
            .map(|entry| entry.watchers.iter().copied().collect())
            .unwrap_or_default();
        self.remember_views_virtual(now, directory, presentity);
        for id in watchers {
            let knows_nothing = |s: &&Subscription| {
                s.record.state == State::Active && s.last_told == 0 && s.owed_since.is_none()
            };
            if self.subscriptions.get(&id).filter(knows_nothing).is_none() {
                continue;
            }
            let Some(shown) = self.due(now, directory, id) else {
                continue;
            };
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.last_told = shown.tag;
            }
            self.keep_whole(id, Some(&shown));
        }
    }

    /// Everything is read: schedules expiries, and owes a NOTIFY to each watcher whose presentity, or whose own
    /// subscription, changed after `settled`, or whose rules may say something else by now.
    pub fn recovered(
        &mut self,
        now: Timestamp,
        settled: Timestamp,
        directory: &dyn Directory,
        filters: &mut RecoveredFilters,
    ) -> usize {
        self.recover_filters(directory, filters);
        self.onlook.recovered = Some((now, settled));
        let mut owed = 0;
        let mut noted = BTreeSet::new();
        let mut at = now;
        let ids: Vec<SubscriptionId> = self.subscriptions.keys().copied().collect();
        for id in ids {
            let Some(subscription) = self.subscriptions.get(&id) else {
                continue;
            };
            let presentity = subscription.presentity.clone();
            let rulesets = self.rulesets(directory, &presentity);
            let timed = rulesets.iter().any(|rules| rules.depends_on_time());
            if noted.insert(presentity.clone()) {
                for anchor in rulesets.iter().flat_map(|rules| rules.external_lists()) {
                    directory.depends_on_list(&presentity, anchor);
                }
            }
            let Some(subscription) = self.subscriptions.get_mut(&id) else {
                continue;
            };
            let touched =
                self.presentities
                    .get(&subscription.presentity)
                    .map_or(Timestamp::default(), |p| match subscription.observer {
                        Some(_) => p.watched_at,
                        None => p.touched_at,
                    });
            let over = matches!(subscription.record.state, State::Terminated(_));
            if subscription.record.renewed_at < settled {
                subscription.last_told = match subscription.condition() {
                    Some(Condition::Always) => QUENCHED,
                    Some(Condition::Tag(known)) => known,
                    None => 0,
                };
            }
            let owes = touched >= settled || subscription.record.renewed_at >= settled;
            let heard = !subscription.record.dialog.is_none();
            if heard && (owes || over || timed || subscription.waits) {
                at = at + SPREAD;
                subscription.not_before = at;
                subscription.debt = Debt::State;
                self.paced.insert((at, id));
                self.debts.note(now, id, &mut self.subscriptions);
                owed += 1;
            }
            self.schedule_subscription(id);
            self.schedule_repeat(now, id, now);
        }
        owed
    }
}
