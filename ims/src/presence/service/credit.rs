//! NOTIFYs that wait for credit, and subscriptions that end without it.

use super::state::Debt;
use super::{Directory, Service};
use crate::charge::Payers;
use crate::event::notice::Bill;
use crate::event::subscription::{End, Input, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::isc::Charging;
use crate::time::Timestamp;

impl Service {
    /// On whose account a subscription goes, as far as its record says.
    pub fn payers(&self, id: SubscriptionId) -> Option<&[Box<str>]> {
        let subscription = self.subscriptions.get(&id)?;
        Some(&subscription.record.asserted)
    }

    /// Whether a subscription of this number is here, over or not.
    pub fn holds(&self, id: SubscriptionId) -> bool {
        self.subscriptions.contains_key(&id)
    }

    /// Whether its watcher is still subscribed.
    pub fn is_alive(&self, id: SubscriptionId) -> bool {
        let subscription = self.subscriptions.get(&id);
        subscription.is_some_and(|s| s.record.state.is_alive())
    }

    /// What is owed waits for credit: not for an instant, and whatever it is by then.
    pub(super) fn await_credit(&mut self, now: Timestamp, id: SubscriptionId, debt: Debt) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.debt = subscription.debt.max(debt);
        self.paced.remove(&(subscription.not_before, id));
        self.debts.note(now, id, &mut self.subscriptions);
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
        let record = &subscription.record;
        let notice = subscription.notice();
        let owes = record.state == State::Active && subscription.debt != Debt::Nothing;
        owes.then(|| {
            let from = (&*record.entity, self.settings.own_ioi.as_str());
            let mut bill = notice.bill(&record.charging, from, now);
            bill.event.besides.payers = payers.of_notify(id.0, &record.asserted);
            bill
        })
    }

    /// Credit has come, in the hand of the turn: sends what is owed now.
    pub fn credited(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory, id: SubscriptionId) {
        self.pay(turn, directory, id);
    }

    /// There is no credit, or no more: the subscription is over.
    pub fn withdraw(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        end: End,
    ) {
        self.end_subscription(turn, directory, id, Input::Leaving(end));
    }
}
