//! The service after a restart: subscriptions from the store, and NOTIFYs for what changed and was not delivered.

use super::pending::{Change, Pending, Span, Version, Was};
use super::state::{Subscription, SubscriptionRecord};
use super::{Service, Store};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::record::{Batch, Table};
use crate::time::{Millis, Timestamp};
use crate::xdm::DocumentKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// NOTIFYs owed after a restart leave one in each such step, so that the restart of a large node is no storm.
const SPREAD: Millis = Millis(1);

/// A document of which a change may still be owed to somebody. Key: that of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Its last change.
    pub at: Timestamp,
    /// Its entity-tag before the first change that may be owed; `None`: it was not there.
    pub before: Option<Box<str>>,
    /// The same before its last change, of which a subscriber may have been told.
    pub last: Option<Box<str>>,
}

/// Records read before what they are about.
#[derive(Debug, Default)]
pub struct Recovered {
    subscriptions: BTreeMap<SubscriptionId, SubscriptionRecord>,
}

impl Recovered {
    /// A subscription from the store. Its CSeq goes on above the range it had reserved.
    pub fn insert(&mut self, key: &[u8], mut record: SubscriptionRecord) -> bool {
        let Ok(id) = <[u8; 8]>::try_from(key).map(u64::from_be_bytes) else {
            return false;
        };
        record.dialog.local_cseq = record.dialog.local_cseq.max(record.cseq_reserved);
        self.subscriptions.insert(SubscriptionId(id), record);
        true
    }
}

impl Service {
    /// Notes that subscribers are owed a change, so that a restart knows it too.
    pub(super) fn touch(&mut self, turn: &mut Turn<'_>, change: &Change) {
        let etag = |version: &Version| Box::from(version.etag.as_ref());
        let last = change.from.as_ref().map(etag);
        let first = self
            .touched
            .get(&change.key)
            .map(|known| known.before.clone());
        let touched = Touched {
            at: turn.now,
            before: first.unwrap_or_else(|| last.clone()),
            last,
        };
        let key = change.key.encode();
        turn.batch.put(Table::DiffTouched, &key, &touched);
        self.touched.insert(change.key.clone(), touched);
    }

    /// Everything owed before this instant is delivered: what was noted of it is forgotten.
    pub fn settled(&mut self, until: Timestamp, batch: &mut Batch) {
        self.touched.retain(|key, touched| {
            let open = touched.at >= until;
            if !open {
                batch.delete(Table::DiffTouched, &key.encode());
            }
            open
        });
    }

    /// A change from the store that may be owed.
    pub fn recover_touched(&mut self, key: &[u8], touched: Touched) -> bool {
        let key = DocumentKey::decode(key);
        key.map(|key| self.touched.insert(key, touched)).is_some()
    }

    /// Everything is read: schedules expiries, and owes a NOTIFY to each subscriber whose documents, or whose own
    /// subscription, changed after `settled`.
    pub fn recovered(
        &mut self,
        now: Timestamp,
        settled: Timestamp,
        store: &Store<'_>,
        recovered: &mut Recovered,
        batch: &mut Batch,
    ) -> usize {
        for (id, record) in std::mem::take(&mut recovered.subscriptions) {
            let mut subscription = Subscription::new(id, record, store);
            subscription.stored = true;
            subscription.last_is_owed = subscription.record.state != State::Active;
            subscription.owed.whole = subscription.record.renewed_at >= settled;
            self.insert(subscription);
        }
        self.settled(settled, batch);
        let touched: Vec<(DocumentKey, Touched)> = self
            .touched
            .iter()
            .map(|(k, t)| (k.clone(), t.clone()))
            .collect();
        for (key, touched) in touched {
            self.owe_again(store, &key, &touched);
        }
        let mut at = now;
        let mut owed = 0;
        let ids: Vec<SubscriptionId> = self.subscriptions.keys().copied().collect();
        for id in ids {
            let owes = |s: &mut Subscription| s.last_is_owed || !s.owed.is_empty();
            self.schedule(id);
            if self.subscriptions.get_mut(&id).is_some_and(owes) {
                at = at + SPREAD;
                owed += 1;
                self.paced.insert((at, id));
                if let Some(subscription) = self.subscriptions.get_mut(&id) {
                    subscription.not_before = at;
                }
                self.debts.note(now, id, &mut self.subscriptions);
            }
        }
        owed
    }

    /// Owes entity-tags of a document that changed, and the parts of it that are watched, to all who ask for them.
    fn owe_again(&mut self, store: &Store<'_>, key: &DocumentKey, touched: &Touched) {
        self.changes += 1;
        let bare = |etag: &str| Version {
            etag: etag.into(),
            bytes: None,
        };
        let to = store.version(key).map(|version| bare(&version.etag));
        // created and deleted since, it may have been told of in between
        let last = touched.last.as_deref().filter(|_| to.is_none());
        let from = touched.before.as_deref().or(last).map(bare);
        if from == to {
            return;
        }
        for id in self.index.of(key) {
            let Some(subscription) = self.subscriptions.get_mut(&id) else {
                continue;
            };
            if subscription.is_quenched() || subscription.record.state != State::Active {
                continue;
            }
            if subscription.sel(key).is_some() {
                subscription.owed.spans.push(Span {
                    key: key.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    changes: (self.changes, self.changes),
                    lost: true,
                });
            }
            let components: Vec<usize> = subscription
                .components()
                .filter(|(_, component)| component.key == *key)
                .map(|(at, _)| at)
                .collect();
            let owed: &mut Pending = &mut subscription.owed;
            for at in components {
                owed.components.insert(at, Was::Unknown);
            }
        }
    }
}
