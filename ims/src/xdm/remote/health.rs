//! Whether an XDMS answers: one that does not is left alone for a while, so that its return is noticed and nothing waits
//! for it meanwhile.

use crate::time::{Millis, Timestamp};

/// Failures in a row after which an XDMS counts as down.
const DOWN: u32 = 3;
/// First pause, doubled up to [`LONGEST`].
const FIRST: Millis = Millis(1_000);
pub(super) const LONGEST: Millis = Millis(30_000);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    failures: u32,
    /// No question before that.
    until: Timestamp,
    /// Since when it has not answered.
    pub silent_since: Option<Timestamp>,
    pub under_way: usize,
}

impl Health {
    pub fn is_down(&self) -> bool {
        self.failures >= DOWN
    }

    /// How many more questions it may be asked now: one that is down is asked one, when its pause is over.
    pub fn slots(&self, now: Timestamp, most: usize) -> usize {
        match self.is_down() {
            false => most.saturating_sub(self.under_way),
            true if self.until <= now => 1usize.saturating_sub(self.under_way),
            true => 0,
        }
    }

    /// When one that is down is asked again.
    pub fn until(&self) -> Option<Timestamp> {
        self.is_down().then_some(self.until)
    }

    /// It answered. `true`: it did not before.
    pub fn answered(&mut self) -> bool {
        let was_down = self.is_down();
        (self.failures, self.silent_since) = (0, None);
        was_down
    }

    /// It did not. `true`: it counts as down from now on.
    pub fn failed(&mut self, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.silent_since.get_or_insert(now);
        if self.is_down() {
            self.until = now + pause(self.failures - DOWN, LONGEST);
        }
        self.failures == DOWN
    }
}

/// The pause after so many failures before the last one.
pub(super) fn pause(failures: u32, longest: Millis) -> Millis {
    Millis((FIRST.0 << failures.min(16)).min(longest.0.max(FIRST.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_xdms_that_is_down_is_asked_once_at_a_time_and_ever_more_rarely() {
        let mut health = Health::default();
        let mut now = Timestamp(1_000_000);
        for (n, goes_down) in [false, false, true, false].into_iter().enumerate() {
            assert_eq!(health.slots(now, 4), if n < 3 { 4 } else { 0 }, "{n}");
            assert_eq!(health.failed(now), goes_down, "{n}");
        }
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let until = health.until().unwrap();
            pauses.push(until.since(now).0 / 1000);
            assert_eq!(health.slots(Timestamp(until.0 - 1), 4), 0);
            assert_eq!(health.slots(until, 4), 1);
            now = until;
            health.failed(now);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30]);
        assert!(health.answered() && !health.answered());
        assert_eq!(health.slots(now, 4), 4);
    }
}
