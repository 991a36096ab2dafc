//! What of a list subscription is in the store.

use super::Service;
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::record::Table;

impl Service {
    pub(super) fn store(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.stored = true;
            let key = id.0.to_be_bytes();
            turn.batch
                .put(Table::ListSubscription, &key, &subscription.record);
        }
    }

    /// Writes what a stored subscription asks for.
    pub(super) fn store_wishes(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get(&id).filter(|s| s.stored) {
            let key = id.0.to_be_bytes();
            turn.batch
                .put(Table::ListWishes, &key, &*subscription.wishes);
        }
    }

    /// Writes how far the watcher of a stored subscription is told, with the NOTIFY that tells it.
    pub(super) fn store_told(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get(&id).filter(|s| s.stored) {
            let key = id.0.to_be_bytes();
            turn.batch.put(Table::ListVersion, &key, &subscription.told);
        }
    }

    /// The store forgets a subscription that is over.
    pub(super) fn forget_record(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && std::mem::take(&mut subscription.stored)
        {
            let key = id.0.to_be_bytes();
            for table in [
                Table::ListSubscription,
                Table::ListWishes,
                Table::ListVersion,
            ] {
                turn.batch.delete(table, &key);
            }
        }
    }
}
