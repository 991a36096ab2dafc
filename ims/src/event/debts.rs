//! Since when watchers are owed a NOTIFY or an answer to one, oldest first.

use super::subscription::SubscriptionId;
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Entries that may be out of date before they are looked through, beside one for each subscription.
const SLACK: usize = 1024;

/// One entry for each time that a watcher began to be owed something. An entry whose debt is paid is dropped when it
/// comes to the front; one that stays there (a watcher with a long Retry-After) must not let the others pile up behind
/// it, so the queue is looked through when it is longer than what can be open.
#[derive(Debug, Default)]
pub struct Debts(VecDeque<(Timestamp, SubscriptionId)>);

impl Debts {
    /// Adds a debt; `held` is the number of subscriptions, each of which has at most one that `is_open`.
    pub fn note(
        &mut self,
        since: Timestamp,
        id: SubscriptionId,
        held: usize,
        is_open: impl Fn(Timestamp, SubscriptionId) -> bool,
    ) {
        if self.0.len() > held.saturating_mul(2).saturating_add(SLACK) {
            self.0.retain(|&(since, id)| is_open(since, id));
        }
        self.0.push_back((since, id));
    }

    /// The oldest debt that is open.
    pub fn oldest(
        &mut self,
        is_open: impl Fn(Timestamp, SubscriptionId) -> bool,
    ) -> Option<Timestamp> {
        while let Some(&(since, id)) = self.0.front() {
            if is_open(since, id) {
                return Some(since);
            }
            self.0.pop_front();
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_that_stays_open_does_not_let_paid_ones_pile_up_behind_it() {
        let (stuck, other) = (SubscriptionId(1), SubscriptionId(2));
        let mut debts = Debts::default();
        let mut last = Timestamp(0);
        debts.note(Timestamp(1), stuck, 2, |_, _| true);
        for at in 2..100_000 {
            last = Timestamp(at);
            debts.note(last, other, 2, |_, id| id == stuck);
            assert!(debts.0.len() <= SLACK + 6, "{}", debts.0.len());
        }
        assert_eq!(debts.oldest(|_, id| id == stuck), Some(Timestamp(1)));
        let newest = debts.oldest(|since, id| id == other && since == last);
        assert_eq!(newest, Some(last), "what is open is kept");
        assert_eq!((debts.oldest(|_, _| false), debts.is_empty()), (None, true));
    }
}
