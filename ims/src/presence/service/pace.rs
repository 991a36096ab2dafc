//! When a watcher is told: rates that it asked for (RFC 6446), the presentity's interval and quiet hours, and the
//! server's floor (RFC 3856 §6.10). The strictest of them counts.
//!
//! The answer to a SUBSCRIBE, the end of a subscription and a change of the watcher's right wait for nothing
//! (RFC 6446 §5.2). What waits is not kept: when its time comes the state of that moment is shown.

use super::state::{Debt, Subscription};
use super::{Directory, Service};
use crate::event::pace::{Agreed, agree};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::record::Table;
use crate::sip::header::rate::Rates;
use crate::time::{Millis, Seconds, Timestamp};

/// A wait above this is written down. Shorter ones hold the mark of settled NOTIFYs back instead, which costs nothing
/// and makes a restart tell a few watchers twice.
const LONG_WAIT: Millis = Millis(30_000);

impl Subscription {
    /// The rates of the last SUBSCRIBE, or of the answer to a NOTIFY since.
    fn rates(&self) -> Rates {
        self.wishes
            .as_ref()
            .map_or_else(Rates::default, |w| w.rates)
    }

    /// Until when the presentity wants no notification sent.
    fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.decision.as_ref()?.notification.quiet_until(now)
    }
}

impl Service {
    fn agreed(&self, now: Timestamp, subscription: &Subscription) -> Agreed {
        let decision = subscription.decision.as_ref();
        let presentity = decision.map_or(Seconds(0), |d| d.notification.interval);
        let floor = self.settings.notify_interval.max(presentity.into());
        let left = subscription.record.expires_at.seconds_from(now);
        agree(&subscription.rates(), floor, left)
    }

    /// The rates as the watcher is told them (RFC 6446 §4.2).
    pub(super) fn told_rates(&self, now: Timestamp, subscription: &Subscription) -> Rates {
        if subscription.rates().is_none() {
            return Rates::default();
        }
        self.agreed(now, subscription).rates
    }

    /// A NOTIFY is sent now: when the next one may be, and when it must be.
    pub(super) fn paced_from(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let agreed = self.agreed(turn.now, subscription);
        self.waits_no_more(turn, id);
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.sent_at = turn.now;
            subscription.not_before = turn.now + agreed.pace;
        }
        let rhythm = self.subscriptions.get_mut(&id).map(|s| &mut s.rhythm);
        if let Some(rhythm) = rhythm.filter(|_| agreed.has_minimum()) {
            rhythm.get_or_insert_default().beat(turn.now, &agreed);
        }
        self.schedule_repeat(turn.now, id, turn.now);
    }

    /// Another interval or other rates hold from now on, counted from the NOTIFY sent last.
    pub(super) fn change_pace(&mut self, now: Timestamp, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let pace = self.agreed(now, subscription).pace;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let owed = self.paced.remove(&(subscription.not_before, id));
        let sent_at = subscription.sent_at;
        subscription.not_before = sent_at + pace;
        if owed {
            self.paced.insert((subscription.not_before, id));
        }
        let unknown = sent_at == Timestamp::default(); // before a restart
        self.schedule_repeat(now, id, if unknown { now } else { sent_at });
    }

    /// Asks for the state to be repeated when the minimum rate wants it, counted from `from`.
    pub(super) fn schedule_repeat(&mut self, now: Timestamp, id: SubscriptionId, from: Timestamp) {
        self.cancel_repeat(id);
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if subscription.rates().is_none() && subscription.rhythm.is_none() {
            return; // most have nothing to do with all this
        }
        let agreed = self.agreed(now, subscription);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if !agreed.has_minimum() || subscription.record.state != State::Active {
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

    /// Repeats for watchers whose time has come.
    pub(super) fn repeat_due(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory) {
        while let Some(&(at, id)) = self.repeats.first().filter(|&&(at, _)| at <= turn.now) {
            self.repeats.remove(&(at, id));
            self.repeat(turn, directory, id);
        }
    }

    /// Shows the present state though nothing may have changed (RFC 6446 §6.2, §7.2).
    fn repeat(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory, id: SubscriptionId) {
        self.cancel_repeat(id);
        if self.verdict_is_due(turn.now, id) {
            self.reconsider_one(turn, directory, id);
        }
        let rhythm = self.subscriptions.get(&id).and_then(|s| s.rhythm.as_ref());
        if rhythm.is_some_and(|rhythm| rhythm.repeat_at.is_none()) {
            self.present(turn, directory, id, Debt::Repeat);
        }
    }

    /// Whether what is owed waits at `now`, and until when: for the pace, or for the end of quiet hours.
    pub(super) fn waits(
        &self,
        now: Timestamp,
        id: SubscriptionId,
        debt: Debt,
    ) -> Option<Timestamp> {
        let subscription = self.subscriptions.get(&id)?;
        let pace = Some(subscription.not_before).filter(|at| now < *at);
        let quiet = match debt {
            Debt::Right => None, // what the watcher may see has changed
            _ => subscription.quiet_until(now),
        };
        pace.max(quiet)
    }

    /// Writes down that a watcher is owed something for long.
    pub(super) fn waits_long(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return false;
        };
        let long = subscription.unanswered == 0
            && subscription.stored
            && subscription.not_before.since(turn.now) > LONG_WAIT;
        if long && !subscription.waits {
            subscription.waits = true;
            turn.batch.put(Table::Held, &id.0.to_be_bytes(), &turn.now);
        }
        long
    }

    /// What was owed is paid, or is owed no more.
    pub(super) fn waits_no_more(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && std::mem::take(&mut subscription.waits)
        {
            turn.batch.delete(Table::Held, &id.0.to_be_bytes());
        }
    }

    /// The answer to a NOTIFY names other rates (RFC 6446 §9.3). Only a watcher who asked for rates may do so.
    pub(super) fn rates_answered(&mut self, turn: &mut Turn<'_>, id: SubscriptionId, rates: Rates) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let now = subscription.rates();
        if now.is_none() || now == rates {
            return;
        }
        let mut wishes = subscription.wishes.as_deref().cloned().unwrap_or_default();
        wishes.rates = rates;
        if subscription.stored {
            self.replace_wishes(turn, id, wishes);
        }
        self.change_pace(turn.now, id);
    }
}
