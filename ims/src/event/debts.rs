//! Since when watchers are owed a NOTIFY or an answer to one, oldest first.

use super::subscription::SubscriptionId;
use crate::time::Timestamp;
use indexmap::IndexMap;
use std::collections::VecDeque;

/// Entries that may be out of date before they are looked through, beside one for each subscription.
const SLACK: usize = 1024;

/// A subscription, which knows since when it is owed something.
pub trait Debtor {
    /// `None`: nothing is owed, and nothing unanswered.
    fn owed_since(&mut self) -> &mut Option<Timestamp>;
}

type Debtors<S> = IndexMap<SubscriptionId, S, ahash::RandomState>;

/// One entry for each time that a watcher began to be owed something. An entry whose debt is paid is dropped when it
/// comes to the front; one that stays there (a watcher with a long Retry-After) must not let the others pile up behind
/// it, so the queue is looked through when it is longer than what can be open.
#[derive(Debug, Default)]
pub struct Debts(VecDeque<(Timestamp, SubscriptionId)>);

impl Debts {
    /// From now on this subscription is owed something, unless it is already.
    pub fn note<S: Debtor>(
        &mut self,
        now: Timestamp,
        id: SubscriptionId,
        debtors: &mut Debtors<S>,
    ) {
        let Some(since) = debtors.get_mut(&id).map(Debtor::owed_since) else {
            return;
        };
        if since.is_some() {
            return;
        }
        *since = Some(now);
        if self.0.len() > debtors.len().saturating_mul(2).saturating_add(SLACK) {
            self.0.retain(|debt| is_open(debtors, *debt));
        }
        self.0.push_back((now, id));
    }

    /// The oldest debt that is open.
    pub fn oldest<S: Debtor>(&mut self, debtors: &mut Debtors<S>) -> Option<Timestamp> {
        while let Some(&debt) = self.0.front() {
            if is_open(debtors, debt) {
                return Some(debt.0);
            }
            self.0.pop_front();
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether it is the debt that the subscription has now.
fn is_open<S: Debtor>(debtors: &mut Debtors<S>, (since, id): (Timestamp, SubscriptionId)) -> bool {
    let debtor = debtors.get_mut(&id);
    debtor.is_some_and(|debtor| *debtor.owed_since() == Some(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Debtor for Option<Timestamp> {
        fn owed_since(&mut self) -> &mut Option<Timestamp> {
            self
        }
    }

    #[test]
    fn a_debt_that_stays_open_does_not_let_paid_ones_pile_up_behind_it() {
        let (stuck, other) = (SubscriptionId(1), SubscriptionId(2));
        let mut debtors = Debtors::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4));
        debtors.extend([(stuck, None), (other, None)]);
        let mut debts = Debts::default();
        debts.note(Timestamp(1), stuck, &mut debtors);
        debts.note(Timestamp(2), stuck, &mut debtors);
        assert_eq!(debts.0.len(), 1, "it is owed something already");
        for at in 2..100_000 {
            debtors.insert(other, None); // paid
            debts.note(Timestamp(at), other, &mut debtors);
            assert!(debts.0.len() <= SLACK + 6, "{}", debts.0.len());
        }
        assert_eq!(debts.oldest(&mut debtors), Some(Timestamp(1)));
        debtors.insert(stuck, None);
        let newest = debts.oldest(&mut debtors);
        assert_eq!(newest, Some(Timestamp(99_999)), "what is open is kept");
        debtors.insert(other, None);
        assert_eq!((debts.oldest(&mut debtors), debts.is_empty()), (None, true));
        debts.note(Timestamp(7), SubscriptionId(3), &mut debtors);
        assert!(debts.is_empty(), "there is no such subscription");
    }
}
