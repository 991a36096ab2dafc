//! Quiet hours: times of the day on some days of the week, by the presentity's clock.

use crate::time::Timestamp;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// Longest quiet that is reported at once; when it is over one looks again.
const WEEK: i64 = 7 * DAY;
/// Longest distance of a clock from UTC, in minutes: 14 hours, as `xs:time` has it.
pub(super) const FARTHEST: i32 = 840;

/// One period, which begins on some days of the week and is over within a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Milliseconds after midnight at which it begins, by the presentity's clock.
    pub(super) from: i64,
    /// The same for its end; not later than the beginning: on the next day.
    pub(super) until: i64,
    /// Days on which it begins, Monday first.
    pub(super) days: [bool; 7],
    /// Minutes by which the presentity's clock is ahead of UTC (as RFC 4480 §3.12 counts them).
    pub(super) offset: i32,
}

impl Quiet {
    /// The end of the period that holds at `now`, in milliseconds since the epoch.
    fn end(&self, now: i64) -> Option<i64> {
        let local = now + i64::from(self.offset) * MINUTE;
        let today = local.div_euclid(DAY);
        // one that began yesterday may still hold
        [today - 1, today].into_iter().find_map(|day| {
            let over_midnight = if self.until <= self.from { DAY } else { 0 };
            let (begin, end) = (
                day * DAY + self.from,
                day * DAY + self.until + over_midnight,
            );
            let holds = self.begins_on(day) && begin <= local && local < end;
            holds.then(|| now + end - local)
        })
    }

    fn begins_on(&self, day: i64) -> bool {
        // 1970-01-01 was a Thursday
        let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
        self.days.get(weekday).copied().unwrap_or(false)
    }
}

/// Until when any of the periods holds without a gap.
pub(super) fn end(periods: &[Quiet], now: Timestamp) -> Option<Timestamp> {
    let start = i64::try_from(now.0).ok()?;
    let mut end = start;
    while let Some(later) = periods.iter().filter_map(|quiet| quiet.end(end)).max() {
        end = later;
        if end - start >= WEEK {
            break;
        }
    }
    (end > start).then(|| Timestamp(u64::try_from(end).unwrap_or(u64::MAX)))
}
