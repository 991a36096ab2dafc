//! How many NOTIFYs a subscription may send whose credit lasts as long as it does: the node knows what was granted, so
//! that not one leaves beyond it while more is asked for.

use super::Quota;
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Ticket;

/// What one subscription may send. Units are counted from its begin, or from the start of the process.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// Units that it may use; `None`: as many as it likes.
    most: Option<u64>,
    /// Whether `most` was said, after a start.
    told: bool,
    /// NOTIFYs that the watcher has taken.
    used: u64,
    /// NOTIFYs with a unit that have no final response.
    flying: u64,
    /// The CSeqs of those without one: they end the subscription or show nothing, and there was no unit left.
    free: Vec<u32>,
    /// It has something to tell, and no unit.
    waits: bool,
}

impl Limit {
    fn has_room(&self) -> bool {
        self.most.is_none_or(|most| self.used + self.flying < most)
    }

    pub fn lets(&mut self) -> bool {
        let lets = self.has_room();
        self.waits |= !lets;
        lets
    }

    pub fn waits(&self) -> bool {
        self.waits
    }

    pub fn leaves(&mut self, cseq: u32) {
        match self.has_room() {
            true => self.flying += 1,
            false => self.free.push(cseq),
        }
    }

    /// Whether what it has kept may be told now.
    fn wakes(&mut self) -> bool {
        let wakes = self.waits && self.has_room();
        self.waits &= !wakes;
        wakes
    }
}

impl Quota {
    /// A subscription has credit of its own from now on, for so many NOTIFYs; the one that opened it may have left.
    pub fn open(&mut self, id: SubscriptionId, most: Option<u64>) {
        let first = self.left.is_some_and(|left| left.subscription == id);
        let limit = Limit {
            most,
            told: true,
            flying: u64::from(first),
            ..Limit::default()
        };
        self.limits.insert(id, limit);
    }

    /// A subscription was found in the store: it sends nothing before it is known what it may.
    pub fn reopen(&mut self, id: SubscriptionId) {
        let limit = Limit {
            most: Some(0),
            ..Limit::default()
        };
        self.limits.insert(id, limit);
    }

    /// It has none any more.
    pub fn close(&mut self, id: SubscriptionId) {
        self.limits.remove(&id);
    }

    /// It may use so many units by now.
    pub fn allow(&mut self, id: SubscriptionId, most: Option<u64>) {
        if let Some(limit) = self.limits.get_mut(&id) {
            (limit.most, limit.told) = (most, true);
            if limit.wakes() {
                self.ready.push(id);
            } else if limit.waits {
                self.wanted.push(id); // whoever said so may not know yet
            }
        }
    }

    /// Nobody says what those found in the store may use: nothing is held back any longer.
    pub fn allow_untold(&mut self) {
        for (id, limit) in &mut self.limits {
            if !limit.told {
                (limit.most, limit.told) = (None, true);
                if limit.wakes() {
                    self.ready.push(*id);
                }
            }
        }
    }

    /// A NOTIFY has its final response, or there will be none. Whether it counts as used, if the watcher took it.
    pub fn landed(&mut self, ticket: Ticket, delivered: bool) -> bool {
        self.left = self.left.filter(|left| *left != ticket);
        let Some(limit) = self.limits.get_mut(&ticket.subscription) else {
            return true;
        };
        if let Some(at) = limit.free.iter().position(|cseq| *cseq == ticket.cseq) {
            limit.free.swap_remove(at);
            return false;
        }
        limit.flying = limit.flying.saturating_sub(1);
        limit.used += u64::from(delivered);
        if limit.wakes() {
            self.ready.push(ticket.subscription);
        }
        true
    }

    /// Subscriptions that have something to tell, and no unit for it: each once, and again whenever it is told how much
    /// it may use and that is not enough.
    pub fn take_wanted(&mut self) -> Vec<SubscriptionId> {
        std::mem::take(&mut self.wanted)
    }

    /// Subscriptions that may tell what they have kept.
    pub fn take_ready(&mut self) -> Vec<SubscriptionId> {
        std::mem::take(&mut self.ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SubscriptionId = SubscriptionId(1);
    const CAROL: SubscriptionId = SubscriptionId(2);

    fn ticket(cseq: u32) -> Ticket {
        Ticket {
            subscription: ALICE,
            cseq,
        }
    }

    #[test]
    fn a_notify_that_is_under_way_has_its_unit() {
        let mut quota = Quota::default();
        quota.leaves(ticket(1), true);
        quota.open(ALICE, Some(2));
        assert!(quota.lets(ALICE) && quota.lets(CAROL));
        quota.leaves(ticket(2), true);
        assert!(!quota.lets(ALICE), "the one that opened it counts");
        assert!(quota.landed(ticket(1), true));
        assert!(quota.take_ready().is_empty() && !quota.lets(ALICE));
        // the watcher did not take it: the unit is there again
        assert!(quota.landed(ticket(2), false));
        assert_eq!(quota.take_ready(), [ALICE]);
        assert!(quota.lets(ALICE));
        // what landed before does not count for another session
        quota.leaves(ticket(3), true);
        quota.landed(ticket(3), true);
        quota.open(ALICE, Some(1));
        assert!(quota.lets(ALICE));
    }

    #[test]
    fn who_waits_is_called_when_there_is_more_and_nobody_else() {
        let mut quota = Quota::default();
        quota.open(ALICE, Some(0));
        quota.open(CAROL, Some(0));
        assert!(!quota.lets(ALICE) && !quota.lets(ALICE));
        assert_eq!(quota.take_wanted(), [ALICE], "once");
        for (most, ready) in [(Some(0), &[][..]), (Some(1), &[ALICE]), (Some(2), &[])] {
            quota.allow(ALICE, most);
            quota.allow(CAROL, most);
            let wanted: &[_] = if most == Some(0) { &[ALICE] } else { &[] };
            assert_eq!(quota.take_wanted(), wanted, "{most:?}");
            assert_eq!(quota.is_idle(), ready.is_empty());
            assert_eq!(quota.take_ready(), ready, "{most:?}");
        }
        for cseq in 0..9 {
            quota.allow(ALICE, None);
            assert!(quota.lets(ALICE));
            quota.leaves(ticket(cseq), true);
        }
        quota.close(ALICE);
        assert!(quota.lets(ALICE) && quota.landed(ticket(8), true));
    }

    #[test]
    fn one_that_cannot_wait_leaves_without_a_unit_and_costs_nothing() {
        let mut quota = Quota::default();
        quota.open(ALICE, Some(1));
        quota.leaves(ticket(1), true);
        quota.leaves(ticket(2), false);
        assert!(!quota.landed(ticket(2), true) && quota.landed(ticket(1), true));
        quota.allow(ALICE, Some(2));
        assert!(quota.lets(ALICE), "one was used");
    }

    #[test]
    fn after_a_start_nothing_leaves_before_a_word_or_the_end_of_patience() {
        let mut quota = Quota::default();
        quota.reopen(ALICE);
        quota.reopen(CAROL);
        assert!(!quota.lets(ALICE) && !quota.lets(CAROL));
        quota.allow(CAROL, Some(0));
        quota.allow_untold();
        assert_eq!(quota.take_ready(), [ALICE]);
        assert!(quota.lets(ALICE) && !quota.lets(CAROL), "she was told");
    }
}
