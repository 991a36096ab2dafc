//! Pauses between attempts to subscribe: doubled, spread, and not for ever.

use super::Ended;
use crate::event::turn::Random;
use crate::time::{Millis, Seconds};

/// First pause, doubled with each failure up to [`LONGEST`].
const FIRST: Seconds = Seconds(30);
/// Longest pause, ours and of a `Retry-After`: one hour.
const LONGEST: Seconds = Seconds(3600);
/// Attempts that may fail in a row; then the owner goes without until it has a new reason to ask. About six hours.
const MOST: u8 = 12;
/// A subscription that held for this long before it ended was no failure.
const HELD: Millis = Millis(60_000);

/// How many attempts failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u8,
}

impl Backoff {
    /// The pause before the next attempt after one that ended so, having lived for `lived`; `None`: no more attempts.
    pub fn pause(&mut self, ended: Ended, lived: Millis, random: &mut Random) -> Option<Millis> {
        if lived >= HELD {
            self.failures = 0;
        }
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        let doubled = FIRST.0 << failures.min(7);
        let pause = match ended {
            Ended::Done => return None,
            _ if failures >= MOST => return None,
            Ended::Again if failures == 0 => return Some(Millis(0)),
            Ended::Again => doubled,
            Ended::Later(wanted) => wanted.map_or(doubled, |wanted| wanted.0.max(1)),
            // whoever refuses will hardly change within minutes
            Ended::Refused(_) => LONGEST.0,
        };
        let pause = Millis::from(Seconds(pause).min(LONGEST));
        // up to a quarter more, so that what failed together does not come back together
        Some(Millis(pause.0 + random.number() % (pause.0 / 4).max(1)))
    }

    /// An attempt was worth it.
    pub fn forgive(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_end() {
        let (mut backoff, mut random) = (Backoff::default(), Random::new([1; 32]));
        let mut pauses = Vec::new();
        while let Some(pause) = backoff.pause(Ended::Later(None), Millis(0), &mut random) {
            pauses.push(pause.0 / 1000);
        }
        assert_eq!(pauses.len(), usize::from(MOST));
        for (n, (pause, wanted)) in pauses
            .iter()
            .zip([30, 60, 120, 240, 480, 960, 1920])
            .enumerate()
        {
            assert!((wanted..=wanted * 5 / 4).contains(pause), "{n}: {pause}");
        }
        assert!(
            pauses[7..].iter().all(|p| (3600..=4500).contains(p)),
            "{pauses:?}"
        );
    }

    #[test]
    fn each_end_has_its_pause() {
        for (case, ended, lived, seconds) in [
            (
                "a lost one is asked for at once",
                Ended::Again,
                0,
                Some(0..=0),
            ),
            (
                "a pause that the notifier names",
                Ended::Later(Some(Seconds(7))),
                0,
                Some(7..=8),
            ),
            (
                "no longer than an hour",
                Ended::Later(Some(Seconds(99_999))),
                0,
                Some(3600..=4500),
            ),
            (
                "not at once when it says 0",
                Ended::Later(Some(Seconds(0))),
                0,
                Some(1..=1),
            ),
            ("a refusal", Ended::Refused(403), 0, Some(3600..=4500)),
            ("our own end", Ended::Done, 0, None),
        ] {
            let pause = Backoff::default().pause(ended, Millis(lived), &mut Random::new([2; 32]));
            assert_eq!(pause.is_some(), seconds.is_some(), "{case}");
            if let (Some(pause), Some(seconds)) = (pause, seconds) {
                assert!(seconds.contains(&(pause.0 / 1000)), "{case}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_notifier_that_drops_each_one_at_once_is_not_asked_in_a_loop() {
        let (mut backoff, mut random) = (Backoff::default(), Random::new([3; 32]));
        let mut pause = |lived| backoff.pause(Ended::Again, Millis(lived), &mut random);
        assert_eq!(pause(10), Some(Millis(0)));
        assert!(pause(10).is_some_and(|p| p.0 >= 60_000));
        assert_eq!(
            pause(60_000),
            Some(Millis(0)),
            "one that held is no failure"
        );
    }
}
