//! Alarms of the spool, and the watch on any other limit. Each is raised while there is still room, so that no record is exported and no request refused
//! for want of room without a word before. Pure: it is told what is seen, and says what is new.

use super::settings::Settings;
use crate::store::committer::Space;
use ims::time::Timestamp;

/// Of a limit, the part from which it is near: four fifths.
const NEAR: (u64, u64) = (4, 5);

/// An alarm is over under this part of what raised it.
const OVER: (u64, u64) = (3, 4);

/// So many times the space that is kept free: under it the disk is nearly full.
const TIGHT: u64 = 2;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// More records than `spool_alarm_records`.
    Depth,
    /// Four fifths of `spool_max_records`: beyond it the oldest are exported.
    Limit,
    /// Four fifths of `spool_max_bytes`: beyond it the oldest are exported.
    Bytes,
    /// The oldest record waits for longer than `spool_alarm_age_s`, or four fifths of `spool_max_age_s`.
    Age,
    /// Less free space than twice `min_free_bytes`: under it new state is refused, and with it new records.
    Disk,
}

impl Reason {
    pub const ALL: [Reason; 5] = [
        Reason::Depth,
        Reason::Limit,
        Reason::Bytes,
        Reason::Age,
        Reason::Disk,
    ];

    /// As in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Depth => "depth",
            Reason::Limit => "limit",
            Reason::Bytes => "bytes",
            Reason::Age => "age",
            Reason::Disk => "disk",
        }
    }
}

/// What there is to be seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Records in the store.
    pub depth: u64,
    /// What they take there, in bytes.
    pub bytes: u64,
    pub oldest: Option<Timestamp>,
    pub now: Timestamp,
    pub space: Space,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Also when the depth has doubled since it was told.
    Raised(Reason),
    Over(Reason),
}

/// One value that is watched: an alarm is raised from `from` on, if that is not 0, and over below `under`.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    from: u64,
    under: u64,
    raised: bool,
}

impl Watch {
    fn new(from: u64, under: u64) -> Watch {
        Watch {
            from,
            under: under.max(1),
            raised: false,
        }
    }

    /// On a limit: raised at four fifths of it, over under three fifths. 0: no limit.
    pub fn near(limit: u64) -> Watch {
        let from = part(limit, NEAR);
        Watch::new(from, part(from, OVER))
    }

    /// Whether the alarm is raised or over, where that is news.
    pub fn look(&mut self, value: u64) -> Option<bool> {
        let raised = match self.raised {
            false => self.from > 0 && value >= self.from,
            true => value >= self.under,
        };
        (raised != std::mem::replace(&mut self.raised, raised)).then_some(raised)
    }
}

/// Which alarms are raised.
#[derive(Debug)]
pub struct Alarms {
    depth: u64,
    /// The depth that is told next.
    next: u64,
    /// In the order of [`Reason::ALL`].
    watches: [Watch; Reason::ALL.len()],
}

impl Alarms {
    pub fn new(settings: &Settings) -> Alarms {
        let millis = |seconds: ims::time::Seconds| u64::from(seconds.0) * 1_000;
        let ages = [
            millis(settings.spool_alarm_age_s),
            part(millis(settings.spool_max_age_s), NEAR),
        ];
        let age = ages.into_iter().filter(|age| *age > 0).min().unwrap_or(0);
        Alarms {
            depth: settings.spool_alarm_records,
            next: settings.spool_alarm_records,
            watches: [
                Watch::new(
                    settings.spool_alarm_records,
                    settings.spool_alarm_records / 2,
                ),
                Watch::near(settings.spool_max_records),
                Watch::near(settings.spool_max_bytes),
                Watch::new(age, part(age, OVER)),
                Watch::new(1, 1),
            ],
        }
    }

    /// What is new since the last time.
    pub fn look(&mut self, seen: &Seen) -> Vec<News> {
        let mut news = Vec::new();
        let waits = seen.oldest.filter(|_| seen.depth > 0);
        let waits = waits.map_or(0, |since| seen.now.0.saturating_sub(since.0));
        // Lack of space, so that it is measured like the others; an unknown free space is no lack.
        let Space { free, reserve } = seen.space;
        let tight = reserve.saturating_mul(TIGHT);
        let lack = tight.saturating_sub(free.unwrap_or(u64::MAX));
        let values = [seen.depth, seen.depth, seen.bytes, waits, lack];
        for ((reason, watch), value) in Reason::ALL.into_iter().zip(&mut self.watches).zip(values) {
            match watch.look(value) {
                Some(true) => news.push(News::Raised(reason)),
                Some(false) => news.push(News::Over(reason)),
                None => {}
            }
        }
        self.tell_doubled(seen.depth, &mut news);
        news
    }

    /// The depth is told once more at each doubling.
    fn tell_doubled(&mut self, depth: u64, news: &mut Vec<News>) {
        let was_told = news.contains(&News::Raised(Reason::Depth));
        if depth >= self.next {
            while depth >= self.next && self.next < u64::MAX {
                self.next = self.next.saturating_mul(2);
            }
            if !was_told {
                news.push(News::Raised(Reason::Depth));
            }
        } else if news.contains(&News::Over(Reason::Depth)) {
            self.next = self.depth;
        }
    }

    pub fn is_raised(&self, reason: Reason) -> bool {
        let watch = self.watches.get(reason as usize);
        watch.is_some_and(|watch| watch.raised)
    }
}

fn part(of: u64, (numerator, denominator): (u64, u64)) -> u64 {
    of / denominator * numerator + of % denominator * numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::News::{Over, Raised};
    use super::Reason::{Age, Bytes, Depth, Disk, Limit};
    use super::*;
    use ims::time::Seconds;

    fn alarms() -> Alarms {
        Alarms::new(&Settings {
            spool_alarm_records: 100,
            spool_max_records: 1_000,
            spool_alarm_age_s: Seconds(600),
            spool_max_age_s: Seconds(1_000),
            ..Settings::default()
        })
    }

    fn seen(depth: u64, waits_s: u64, free: Option<u64>) -> Seen {
        let now = Timestamp(10_000_000);
        Seen {
            depth,
            bytes: 0,
            oldest: Some(Timestamp(now.0 - waits_s * 1_000)),
            now,
            space: Space { free, reserve: 50 },
        }
    }

    #[test]
    fn an_alarm_comes_before_the_limit_and_once_for_each_time_it_is_near() {
        let mut alarms = alarms();
        for (case, depth, waits, free, news) in [
            ("little, young", 99, 599, Some(100), &[][..]),
            ("the depth", 100, 0, None, &[Raised(Depth)]),
            ("no deeper than twice", 199, 0, None, &[]),
            ("twice as deep", 200, 0, None, &[Raised(Depth)]),
            (
                "under the limit's near part",
                799,
                0,
                None,
                &[Raised(Depth)],
            ),
            (
                "near the limit",
                800,
                0,
                None,
                &[Raised(Limit), Raised(Depth)],
            ),
            ("at the limit", 1_000, 0, None, &[]),
            ("a little less", 700, 0, None, &[]),
            ("far from it", 599, 0, None, &[Over(Limit)]),
            ("the pile is gone", 49, 0, None, &[Over(Depth)]),
            ("old", 1, 600, None, &[Raised(Age)]),
            ("older", 1, 800, None, &[]),
            ("nothing waits", 0, 800, None, &[Over(Age)]),
            ("twice the reserve", 1, 0, Some(100), &[]),
            ("less than that", 1, 0, Some(99), &[Raised(Disk)]),
            ("under the reserve", 1, 0, Some(10), &[]),
            ("space again", 1, 0, Some(100), &[Over(Disk)]),
        ] {
            assert_eq!(alarms.look(&seen(depth, waits, free)), news, "{case}");
        }
        assert!(Reason::ALL.iter().all(|reason| !alarms.is_raised(*reason)));
    }

    #[test]
    fn the_bytes_of_the_spool_have_an_alarm_of_their_own() {
        let mut alarms = Alarms::new(&Settings {
            spool_max_bytes: 1_000_000,
            ..Settings::default()
        });
        for (case, bytes, news) in [
            ("under four fifths", 799_999, &[][..]),
            ("four fifths", 800_000, &[Raised(Bytes)]),
            ("at the limit", 1_000_000, &[]),
            ("three fifths", 600_000, &[]),
            ("under them", 599_999, &[Over(Bytes)]),
        ] {
            let seen = Seen {
                bytes,
                ..seen(9_999, 0, None)
            };
            assert_eq!(alarms.look(&seen), news, "{case}");
        }
    }

    #[test]
    fn without_limits_the_depth_and_the_disk_are_watched() {
        let mut alarms = Alarms::new(&Settings {
            spool_alarm_records: 100,
            spool_alarm_age_s: Seconds(0),
            ..Settings::default()
        });
        let news = alarms.look(&seen(1_000_000, 9_000, Some(0)));
        assert_eq!(news, [Raised(Depth), Raised(Disk)]);
    }

    #[test]
    fn a_limit_that_is_lower_than_the_depth_of_alarm_still_warns_before() {
        let mut alarms = Alarms::new(&Settings {
            spool_max_records: 10,
            spool_max_age_s: Seconds(100),
            ..Settings::default()
        });
        assert_eq!(alarms.look(&seen(7, 79, None)), []);
        assert_eq!(
            alarms.look(&seen(8, 80, None)),
            [Raised(Limit), Raised(Age)]
        );
    }
}
