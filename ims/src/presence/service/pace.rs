//! When a watcher is told: rates that it asked for (RFC 6446), the presentity's interval and quiet hours, and the
//! server's floor (RFC 3856 §6.10). The strictest of them counts.
//!
//! The answer to a SUBSCRIBE, the end of a subscription and a change of the watcher's right wait for nothing
//! (RFC 6446 §5.2). What waits is not kept: when its time comes the state of that moment is shown.

use super::state::{Debt, Subscription};
use super::{Directory, Service};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::record::Table;
use crate::sip::header::rate::{Rate, Rates};
use crate::time::{Millis, Seconds, Timestamp};
use std::collections::VecDeque;

/// Shortest time after which unchanged state is repeated, whatever the watcher asks for (RFC 6446 §6.3): a second.
const SHORTEST_REPEAT: Millis = Millis(1_000);
/// How many notifications at the adaptive rate make its period (RFC 6446 §7.4: several times more than one).
const PERIOD: u64 = 10;
/// Notifications of the last period that are counted. A watcher who is sent more is left alone for 25 times the
/// interval that it asked for.
const MOST_COUNTED: usize = 256;
/// A wait above this is written down. Shorter ones hold the mark of settled NOTIFYs back instead, which costs nothing
/// and makes a restart tell a few watchers twice.
const LONG_WAIT: Millis = Millis(30_000);

/// The rates by which a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreed {
    /// As the watcher reads them in `Subscription-State`: only those that it asked for.
    rates: Rates,
    /// Shortest time between two notifications of state.
    pace: Millis,
}

impl Agreed {
    fn has_minimum(&self) -> bool {
        self.rates.min.is_some() || self.rates.adaptive.is_some()
    }
}

/// What the rates that a watcher asks for become, where `floor` is the shortest time between two notifications and
/// `left` the rest of the subscription.
fn agree(asked: &Rates, floor: Millis, left: Seconds) -> Agreed {
    let left = Millis::from(left).max(SHORTEST_REPEAT);
    let max = asked.max.map(|max| {
        let max = max.min(Rate::of_interval(floor));
        // §5.3: it MUST allow a notification before the subscription ends
        if max.interval() > left {
            Rate::of_interval(left)
        } else {
            max
        }
    });
    let pace = max.map_or(floor, |max| floor.max(max.interval()));
    // §8: neither minimum is above the maximum
    let ceiling = Rate::of_interval(pace.max(SHORTEST_REPEAT));
    let adaptive = asked.adaptive.map(|rate| rate.min(ceiling));
    let min = asked.min.map(|rate| rate.min(ceiling));
    // §8: a minimum that is not under the adaptive one MUST NOT be considered
    let min = min.filter(|min| adaptive.is_none_or(|adaptive| *min < adaptive));
    Agreed {
        rates: Rates { max, min, adaptive },
        pace,
    }
}

/// What a subscription with a minimum rate keeps.
#[derive(Debug, Default)]
pub struct Rhythm {
    /// The adaptive rate that `recent` is about.
    adaptive: Option<Rate>,
    /// Notifications of the last period, oldest first.
    recent: VecDeque<Timestamp>,
    /// When the state is repeated.
    repeat_at: Option<Timestamp>,
}

impl Rhythm {
    /// Takes note of a notification.
    fn beat(&mut self, now: Timestamp, agreed: &Agreed) {
        if agreed.rates.adaptive.is_some() {
            self.begin(now, agreed.rates.adaptive);
            self.recent.push_back(now);
        }
    }

    /// Another adaptive rate: it begins as if as many notifications had been sent as it asks for (§7.2).
    fn begin(&mut self, now: Timestamp, adaptive: Option<Rate>) {
        if self.adaptive != adaptive {
            self.adaptive = adaptive;
            let interval = adaptive.map_or(Millis(0), Rate::interval);
            let before = (1..PERIOD).rev();
            self.recent = before
                .map(|n| now - Millis(interval.0.saturating_mul(n)))
                .collect();
        }
    }

    /// How long after a notification the next one is sent at the latest.
    fn timeout(&mut self, now: Timestamp, agreed: &Agreed) -> Option<Millis> {
        let min = agreed.rates.min.map(Rate::interval);
        let adaptive = agreed.rates.adaptive.map(|rate| {
            let interval = rate.interval();
            self.begin(now, Some(rate));
            let since = now - Millis(interval.0.saturating_mul(PERIOD));
            while self.recent.front().is_some_and(|at| *at <= since)
                || self.recent.len() > MOST_COUNTED
            {
                self.recent.pop_front();
            }
            // §7.4, equations 1 and 2; the period is PERIOD intervals
            let count = u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
            Millis(interval.0.saturating_mul(count) / PERIOD).max(agreed.pace)
        });
        min.into_iter().chain(adaptive).min()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Option<Rate> {
        (!text.is_empty()).then(|| Rate::parse(text).unwrap())
    }

    #[test]
    fn rates_are_adjusted_to_the_strictest_and_to_each_other() {
        let hour = 3600;
        for (case, [max, min, adaptive], floor, left, told, pace) in [
            ("none", ["", "", ""], 5_000, hour, "", 5_000),
            (
                "a slower one is granted",
                ["0.1", "", ""],
                5_000,
                hour,
                ";max-rate=0.1",
                10_000,
            ),
            (
                "a faster one is not",
                ["2", "", ""],
                5_000,
                hour,
                ";max-rate=0.2",
                5_000,
            ),
            (
                "one notification before the end at least",
                ["0.0000000001", "", ""],
                5_000,
                hour,
                ";max-rate=0.0002777778",
                3_600_000,
            ),
            (
                "a minimum",
                ["", "0.1", ""],
                5_000,
                hour,
                ";min-rate=0.1",
                5_000,
            ),
            (
                "a minimum above the floor",
                ["", "3", ""],
                5_000,
                hour,
                ";min-rate=0.2",
                5_000,
            ),
            (
                "a minimum above the maximum",
                ["0.1", "0.5", ""],
                5_000,
                hour,
                ";max-rate=0.1;min-rate=0.1",
                10_000,
            ),
            (
                "no floor: a repetition each second",
                ["", "50", ""],
                0,
                hour,
                ";min-rate=1",
                0,
            ),
            (
                "an adaptive one",
                ["0.1", "", "1"],
                0,
                hour,
                ";max-rate=0.1;adaptive-min-rate=0.1",
                10_000,
            ),
            (
                "a minimum under the adaptive one",
                ["", "0.01", "0.1"],
                5_000,
                hour,
                ";min-rate=0.01;adaptive-min-rate=0.1",
                5_000,
            ),
            (
                "a minimum that is not under it does not count",
                ["", "0.1", "0.1"],
                5_000,
                hour,
                ";adaptive-min-rate=0.1",
                5_000,
            ),
        ] {
            let asked = Rates {
                max: rate(max),
                min: rate(min),
                adaptive: rate(adaptive),
            };
            let agreed = agree(&asked, Millis(floor), Seconds(left));
            assert_eq!(agreed.rates.to_string(), told, "{case}");
            assert_eq!(agreed.pace, Millis(pace), "{case}");
        }
    }

    /// The timeouts after each of these NOTIFYs, in seconds; they are sent at these instants.
    fn timeouts(adaptive: &str, min: &str, sent: &[u64]) -> Vec<u64> {
        let asked = Rates {
            max: None,
            min: rate(min),
            adaptive: rate(adaptive),
        };
        let agreed = agree(&asked, Millis(1_000), Seconds(86_400));
        let mut rhythm = Rhythm::default();
        let beats = sent.iter().map(|at| {
            let now = Timestamp(1_000_000_000 + at * 1000);
            rhythm.beat(now, &agreed);
            rhythm.timeout(now, &agreed).unwrap().0 / 1000
        });
        beats.collect()
    }

    #[test]
    fn the_adaptive_rate_follows_what_was_sent_lately() {
        assert_eq!(
            timeouts("0.1", "", &[0]),
            [10],
            "as if ten had been sent in 100 s"
        );
        assert_eq!(
            timeouts("0.1", "", &[0, 10, 20, 30]),
            [10, 10, 10, 10],
            "steady"
        );
        assert_eq!(
            timeouts("0.1", "", &[0, 1, 2, 3, 4]),
            [10, 11, 12, 13, 14],
            "after many it waits longer"
        );
        assert_eq!(
            timeouts("0.1", "", &[0, 95]),
            [10, 2],
            "after few less long"
        );
        assert_eq!(
            timeouts("0.1", "0.08", &[0, 1, 2, 3, 4]),
            [10, 11, 12, 12, 12],
            "within the minimum"
        );
        assert_eq!(
            timeouts("", "0.02", &[0, 7]),
            [50, 50],
            "without an adaptive one"
        );
        let many: Vec<u64> = (0..1000).map(|n| n / 20).collect();
        assert_eq!(
            timeouts("0.1", "", &many).last(),
            Some(&256),
            "counted as far as there is room"
        );
    }
}
