//! The service after a restart: subscriptions from the store, their lists read and their members joined again.

use super::state::{ListRecord, Subscription, Told, Wishes};
use super::{Service, World};
use crate::event::subscription::{End, Input, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::time::{Millis, Timestamp};
use std::collections::BTreeMap;

/// Records read before what they are about.
#[derive(Debug, Default)]
pub struct Recovered {
    records: BTreeMap<SubscriptionId, ListRecord>,
    wishes: BTreeMap<SubscriptionId, Wishes>,
    told: BTreeMap<SubscriptionId, Told>,
}

fn id(key: &[u8]) -> Option<SubscriptionId> {
    let key = <[u8; 8]>::try_from(key).ok()?;
    Some(SubscriptionId(u64::from_be_bytes(key)))
}

impl Recovered {
    pub fn subscription(&mut self, key: &[u8], record: ListRecord) -> bool {
        id(key).map(|id| self.records.insert(id, record)).is_some()
    }

    pub fn wishes(&mut self, key: &[u8], wishes: Wishes) -> bool {
        id(key).map(|id| self.wishes.insert(id, wishes)).is_some()
    }

    pub fn told(&mut self, key: &[u8], told: Told) -> bool {
        id(key).map(|id| self.told.insert(id, told)).is_some()
    }
}

/// How long members elsewhere may take after a restart before a watcher is told without them.
const GATHER: Millis = Millis(30_000);

impl Service {
    /// Everything is read: subscriptions are there again, their lists are read one after the other ([`Service::restore`]),
    /// and each watcher is told everything, unless it has just that.
    pub fn recovered(
        &mut self,
        now: Timestamp,
        settled: Timestamp,
        recovered: &mut Recovered,
    ) -> usize {
        let mut owed = 0;
        for (id, record) in std::mem::take(&mut recovered.records) {
            let wishes = recovered.wishes.remove(&id).unwrap_or_default();
            let mut subscription = Subscription::new(id, record, wishes);
            if let Some(told) = recovered.told.remove(&id) {
                let dialog = &mut subscription.record.dialog;
                dialog.local_cseq = dialog.local_cseq.max(told.cseq);
                subscription.told = told;
            }
            subscription.stored = true;
            subscription.joins = true;
            subscription.restored = true;
            subscription.last_is_owed = subscription.is_over();
            let unsettled = subscription.record.renewed_at.max(subscription.told.at) >= settled;
            // one that wants no state is told what there is by the NOTIFY for its next SUBSCRIBE
            subscription.reshaped = subscription.is_quenched();
            subscription.whole = !subscription.is_quenched();
            subscription.compares = !unsettled;
            owed += usize::from(unsettled || subscription.last_is_owed);
            let until = now + GATHER;
            subscription.gather_until = Some(until);
            self.gathering.insert((until, id));
            self.joining.push_back(id);
            self.insert(subscription);
            self.schedule(id);
            self.schedule_repeat(now, id, now);
            self.debts.note(now, id, &mut self.subscriptions);
        }
        owed
    }

    /// Reads the list of a subscription from the store.
    pub(super) fn restore(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
    ) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let over = subscription.is_over();
        if over && subscription.record.state != State::Terminated(End::Timeout) {
            return self.part_all(turn, world, id);
        }
        let onlooker = subscription.onlooker();
        let listed = world.catalogue.read(id, &subscription.source);
        let refused = world.presentities.look_on(turn, onlooker).is_err();
        match listed.list {
            Some(list) if !refused => {
                self.take_list(turn, world, id, list);
            }
            None if listed.stalled && !refused => {
                if let Some(subscription) = self.subscriptions.get_mut(&id) {
                    subscription.stalled = true;
                }
            }
            _ => self.end(turn, world, id, Input::NoResource),
        }
    }
}
