//! When the watcher of a list is told: the interval of the server and the rates that it asked for, which are of the whole
//! list (RFC 6446 §5.4). The answer to a SUBSCRIBE and the end of a subscription wait for nothing (§5.2).

use super::state::Subscription;
use super::{Service, World};
use crate::event::pace::{Agreed, agree};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::sip::header::rate::Rates;
use crate::time::Timestamp;

impl Service {
    fn agreed(&self, now: Timestamp, subscription: &Subscription) -> Agreed {
        let left = subscription.record.expires_at.seconds_from(now);
        let floor = self.settings.notify_interval;
        agree(&subscription.wishes.rates, floor, left)
    }

    /// The rates as the watcher is told them (RFC 6446 §4.2).
    pub(super) fn told_rates(&self, now: Timestamp, subscription: &Subscription) -> Rates {
        match subscription.wishes.rates.is_none() {
            true => Rates::default(),
            false => self.agreed(now, subscription).rates,
        }
    }

    /// A NOTIFY is sent now: when the next one may be, and when it must be.
    pub(super) fn paced_from(&mut self, now: Timestamp, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let agreed = self.agreed(now, subscription);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.not_before = now + agreed.pace;
        if agreed.has_minimum() {
            let rhythm = subscription.rhythm.get_or_insert_default();
            rhythm.beat(now, &agreed);
        }
        self.schedule_repeat(now, id, now);
    }

    /// Other rates hold from now on, counted from the NOTIFY sent last.
    pub(super) fn change_pace(&mut self, now: Timestamp, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let pace = self.agreed(now, subscription).pace;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let sent_at = subscription.told.at;
        subscription.not_before = sent_at + pace;
        self.schedule_repeat(now, id, sent_at);
    }

    /// Asks for the state to be repeated when the minimum rate wants it, counted from `from`.
    pub(super) fn schedule_repeat(&mut self, now: Timestamp, id: SubscriptionId, from: Timestamp) {
        self.cancel_repeat(id);
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let agreed = self.agreed(now, subscription);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if !agreed.has_minimum() || subscription.is_over() {
            subscription.rhythm = None;
            return;
        }
        let rhythm = subscription.rhythm.get_or_insert_default();
        let at = rhythm.timeout(now, &agreed).map(|after| from + after);
        rhythm.repeat_at = at.filter(|at| *at < subscription.record.expires_at);
        self.repeats.extend(rhythm.repeat_at.map(|at| (at, id)));
    }

    /// Forgets when the state was to be repeated.
    pub(super) fn cancel_repeat(&mut self, id: SubscriptionId) {
        let subscription = self.subscriptions.get_mut(&id);
        let rhythm = subscription.and_then(|s| s.rhythm.as_mut());
        if let Some(at) = rhythm.and_then(|rhythm| rhythm.repeat_at.take()) {
            self.repeats.remove(&(at, id));
        }
    }

    /// Tells watchers whose time has come everything, though nothing may have changed (RFC 6446 §6.2, §7.2).
    pub(super) fn repeat_due(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>) {
        while let Some(&(at, id)) = self.repeats.first().filter(|&&(at, _)| at <= turn.now) {
            self.repeats.remove(&(at, id));
            if let Some(subscription) = self.subscriptions.get_mut(&id)
                && let Some(rhythm) = &mut subscription.rhythm
            {
                rhythm.repeat_at = None;
                subscription.reshaped = true;
                self.show(turn, world, id);
            }
        }
    }

    /// The answer to a NOTIFY names other rates (RFC 6446 §9.3). Only a watcher who asked for rates may do so.
    pub(super) fn rates_answered(&mut self, turn: &mut Turn<'_>, id: SubscriptionId, rates: Rates) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let before = subscription.wishes.rates;
        if before.is_none() || before == rates {
            return;
        }
        subscription.wishes.rates = rates;
        self.store_wishes(turn, id);
        self.change_pace(turn.now, id);
    }
}
