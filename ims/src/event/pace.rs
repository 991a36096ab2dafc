//! The rates that a watcher asks for (RFC 6446), as they are agreed, and what they make of the times of its NOTIFYs.

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
/// The rates by which a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// As the watcher reads them in `Subscription-State`: only those that it asked for.
    pub rates: Rates,
    /// Shortest time between two notifications of state.
    pub pace: Millis,
}

impl Agreed {
    pub fn has_minimum(&self) -> bool {
        self.rates.min.is_some() || self.rates.adaptive.is_some()
    }
}

/// What the rates that a watcher asks for become, where `floor` is the shortest time between two notifications and
/// `left` the rest of the subscription.
pub fn agree(asked: &Rates, floor: Millis, left: Seconds) -> Agreed {
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
    pub repeat_at: Option<Timestamp>,
}

impl Rhythm {
    /// Takes note of a notification.
    pub fn beat(&mut self, now: Timestamp, agreed: &Agreed) {
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
    pub fn timeout(&mut self, now: Timestamp, agreed: &Agreed) -> Option<Millis> {
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
