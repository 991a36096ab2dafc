//! NOTIFYs that wait for credit, and list subscriptions that end without it.

use super::{Service, World};
use crate::charge::Payers;
use crate::event::notice::Bill;
use crate::event::subscription::{End, Input, SubscriptionId};
use crate::event::turn::Turn;
use crate::isc::Charging;
use crate::time::Timestamp;

impl Service {
    /// On whose account a subscription goes, as far as its record says.
    pub fn payers(&self, id: SubscriptionId) -> Option<&[Box<str>]> {
        let subscription = self.subscriptions.get(&id)?;
        Some(&subscription.record.asserted)
    }

    /// Whether its watcher is still subscribed.
    pub fn is_alive(&self, id: SubscriptionId) -> bool {
        let subscription = self.subscriptions.get(&id);
        subscription.is_some_and(|s| !s.is_over())
    }

    /// What the SUBSCRIBE that opened a dialog said of its charging, and whom it asked for.
    pub fn opened(&self, id: SubscriptionId, call_id: &str) -> Option<(&Charging, &str)> {
        let record = &self.subscriptions.get(&id)?.record;
        let same = *record.dialog.call_id == *call_id;
        same.then_some((&record.charging, &*record.entity))
    }

    /// What credit is asked for; `None`: nothing is to be told any more.
    pub fn bill(&self, now: Timestamp, id: SubscriptionId, payers: &Payers) -> Option<Bill> {
        let subscription = self.subscriptions.get(&id)?;
        if subscription.is_over() || !subscription.owes() {
            return None;
        }
        let record = &subscription.record;
        let notice = subscription.notice();
        let from = (&*record.entity, self.network.own.ioi.as_str());
        let mut bill = notice.bill(&record.charging, from, now);
        // a list has no account: who watches it pays
        bill.event.besides.payers = payers.of_subscription(id.0, &record.asserted);
        bill.event.besides.members = self.members(id);
        Some(bill)
    }

    /// Credit has come, in the hand of the turn: sends what is owed now.
    pub fn credited(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        self.show(turn, world, id);
    }

    /// There is no credit, or no more: the subscription is over.
    pub fn withdraw(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
        end: End,
    ) {
        self.end(turn, world, id, Input::Leaving(end));
    }
}
