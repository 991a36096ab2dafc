//! How fast domains are asked: each has its queue, its pace, and a bound on what is under way.
//!
//! A list with 500 members of one domain, a restart and the end of a list each make 500 requests; they leave one by one.

use crate::event::turn::Random;
use crate::time::{Millis, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Number of a back-end subscription, as long as it is wanted.
pub(super) type Number = u64;

/// What is to be done when a domain's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Subscribe.
    Open(Number),
    /// Ask for full state after a restart.
    Refresh(Number),
    /// Nobody wants it any more.
    End(Number),
}

#[derive(Debug, Default)]
struct Domain {
    /// Ends and refreshes: whoever waits for them has state already, or wants none.
    first: VecDeque<Job>,
    open: VecDeque<Number>,
    under_way: usize,
    next_at: Timestamp,
    /// Its entry among those that wait for their turn.
    turn_at: Option<Timestamp>,
}

/// All domains that are asked.
#[derive(Debug)]
pub(super) struct Flow {
    under_way: usize,
    gap: Millis,
    domains: BTreeMap<Arc<str>, Domain>,
    turns: BTreeSet<(Timestamp, Arc<str>)>,
}

impl Flow {
    pub fn new(under_way: usize, per_second: u32) -> Flow {
        Flow {
            under_way: under_way.max(1),
            gap: Millis(u64::from(1000 / per_second.clamp(1, 1000))),
            domains: BTreeMap::new(),
            turns: BTreeSet::new(),
        }
    }

    pub fn push(&mut self, domain: &Arc<str>, job: Job) {
        let known = self.domains.entry(domain.clone()).or_default();
        match job {
            Job::Open(number) => known.open.push_back(number),
            Job::Refresh(_) | Job::End(_) => known.first.push_back(job),
        }
        self.settle(domain);
    }

    /// A subscription that was taken to be opened is open, or over.
    pub fn done(&mut self, domain: &Arc<str>) {
        if let Some(known) = self.domains.get_mut(domain) {
            known.under_way = known.under_way.saturating_sub(1);
        }
        self.settle(domain);
    }

    /// When [`Flow::take`] has something.
    pub fn next(&self) -> Option<Timestamp> {
        self.turns.first().map(|(at, _)| *at)
    }

    /// The next thing to do. What is taken to be opened counts until [`Flow::done`].
    pub fn take(&mut self, now: Timestamp, random: &mut Random) -> Option<(Arc<str>, Job)> {
        while self.turns.first().is_some_and(|(at, _)| *at <= now) {
            let (_, domain) = self.turns.pop_first()?;
            let Some(known) = self.domains.get_mut(&domain) else {
                continue;
            };
            known.turn_at = None;
            let mut job = known.first.pop_front();
            if job.is_none() && known.under_way < self.under_way {
                job = known.open.pop_front().map(Job::Open);
                known.under_way += usize::from(job.is_some());
            }
            if job.is_some() {
                // half to one and a half of the pace, so that servers who ask the same domain do not keep step
                let gap = self.gap.0 / 2 + random.number() % self.gap.0.max(1);
                known.next_at = now + Millis(gap.max(1));
            } else if known.is_idle() {
                self.domains.remove(&domain);
                continue;
            }
            self.settle(&domain);
            if let Some(job) = job {
                return Some((domain, job));
            }
        }
        None
    }

    /// Gives a domain its turn, when it has something to do, or is to be forgotten.
    fn settle(&mut self, domain: &Arc<str>) {
        let limit = self.under_way;
        let Some(known) = self.domains.get_mut(domain) else {
            return;
        };
        let can = !known.first.is_empty() || !known.open.is_empty() && known.under_way < limit;
        if known.turn_at.is_none() && (can || known.is_idle()) {
            known.turn_at = Some(known.next_at);
            self.turns.insert((known.next_at, domain.clone()));
        }
    }
}

impl Domain {
    fn is_idle(&self) -> bool {
        self.first.is_empty() && self.open.is_empty() && self.under_way == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench() -> (Flow, Random, Arc<str>) {
        (Flow::new(2, 10), Random::new([7; 32]), Arc::from("b.test"))
    }

    fn take(flow: &mut Flow, now: Timestamp, random: &mut Random) -> Option<Job> {
        flow.take(now, random).map(|(_, job)| job)
    }

    #[test]
    fn a_domain_is_asked_at_its_pace_and_for_few_at_a_time() {
        let (mut flow, mut random, domain) = bench();
        for number in 0..5 {
            flow.push(&domain, Job::Open(number));
        }
        let mut now = Timestamp(1_000_000);
        assert_eq!(
            take(&mut flow, now, &mut random),
            Some(Job::Open(0)),
            "at once"
        );
        assert_eq!(
            take(&mut flow, now, &mut random),
            None,
            "not in the same instant"
        );
        let next = flow.next().unwrap();
        assert!((50..150).contains(&next.since(now).0), "about 100 ms later");
        now = next;
        assert_eq!(take(&mut flow, now, &mut random), Some(Job::Open(1)));
        assert_eq!(flow.next(), None, "two are under way");
        flow.push(&domain, Job::End(9));
        now = now + Millis(150);
        assert_eq!(
            take(&mut flow, now, &mut random),
            Some(Job::End(9)),
            "an end waits for nobody"
        );
        flow.done(&domain);
        now = now + Millis(150);
        assert_eq!(take(&mut flow, now, &mut random), Some(Job::Open(2)));
    }

    #[test]
    fn a_slow_domain_holds_up_no_other_and_an_idle_one_is_forgotten() {
        let (mut flow, mut random, slow) = bench();
        let other: Arc<str> = Arc::from("c.test");
        let mut now = Timestamp(1_000_000);
        for number in 0..3 {
            flow.push(&slow, Job::Open(number));
        }
        for _ in 0..2 {
            assert!(take(&mut flow, now, &mut random).is_some());
            now = now + Millis(150);
        }
        flow.push(&other, Job::Open(7));
        assert_eq!(take(&mut flow, now, &mut random), Some(Job::Open(7)));
        flow.done(&other);
        now = now + Millis(150);
        assert_eq!(take(&mut flow, now, &mut random), None);
        assert_eq!(flow.domains.len(), 1, "the slow one is left");
    }
}
