//! The changes of the watchers of one presentity, in order: what each observer has still to be told.

use super::package::Package;
use super::visit::Row;
use crate::event::subscription::SubscriptionId;
use std::collections::BTreeMap;

/// Changes kept for observers that lag behind; one that lags further is told everything.
const MOST: usize = 16_384;
/// Changes below which nobody looks for those that all observers know.
const FEW: usize = 64;

/// Numbered changes. A watcher who changes again moves to the end, so that an observer is told its last state only.
#[derive(Debug, Default)]
pub(super) struct Roll {
    last: u64,
    /// Changes up to this number may be forgotten.
    floor: u64,
    changes: BTreeMap<u64, Change>,
    /// Length at which to look for what all know.
    look: usize,
}

/// Who changed.
#[derive(Debug)]
pub(super) enum Change {
    /// A subscription that is still there, if only to wait.
    Kept(SubscriptionId),
    /// The same of a member of a list.
    Member(SubscriptionId),
    /// One that is over, as it is to be shown for the last time.
    Gone(Box<Departed>),
}

/// A watcher that is gone.
#[derive(Debug)]
pub(super) struct Departed {
    pub package: Package,
    /// Its identities, canonical.
    pub watcher: Vec<Box<str>>,
    pub row: Row,
    /// It waited: to itself it was over before.
    pub waited: bool,
}

impl Roll {
    /// The number of the last change.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Notes a change of a watcher whose change before had the number `before`; the number of this one.
    pub fn note(&mut self, before: u64, change: Change) -> u64 {
        self.changes.remove(&before);
        self.last += 1;
        self.changes.insert(self.last, change);
        if self.changes.len() > MOST
            && let Some((oldest, _)) = self.changes.pop_first()
        {
            self.floor = oldest;
        }
        self.last
    }

    /// The changes after the one numbered `told`; `None` when some of them are forgotten.
    pub fn since(&self, told: u64) -> Option<impl Iterator<Item = &Change>> {
        (told >= self.floor).then(|| self.changes.range(told.saturating_add(1)..).map(|(_, c)| c))
    }

    /// Whether it is long enough to look for what every observer knows.
    pub fn is_long(&self) -> bool {
        self.changes.len() >= self.look.max(FEW)
    }

    /// Forgets what every observer knows: all changes up to `known`.
    pub fn forget(&mut self, known: u64) {
        self.changes = self.changes.split_off(&known.saturating_add(1));
        self.floor = self.floor.max(known);
        self.look = self.changes.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(roll: &Roll, told: u64) -> Option<Vec<u64>> {
        let ids = roll.since(told)?.map(|change| match change {
            Change::Kept(id) => id.0,
            Change::Member(_) | Change::Gone(_) => 0,
        });
        Some(ids.collect())
    }

    #[test]
    fn an_observer_is_told_the_last_state_of_each_watcher_once() {
        let mut roll = Roll::default();
        let first = roll.note(0, Change::Kept(SubscriptionId(7)));
        let other = roll.note(0, Change::Kept(SubscriptionId(8)));
        let again = roll.note(first, Change::Kept(SubscriptionId(7)));
        assert_eq!(kept(&roll, 0), Some(vec![8, 7]));
        assert_eq!(kept(&roll, other), Some(vec![7]));
        assert_eq!(kept(&roll, again), Some(vec![]));
        assert_eq!(again, roll.last());
    }

    #[test]
    fn an_observer_that_lags_behind_what_is_kept_is_told_everything() {
        let mut roll = Roll::default();
        for id in 0..=MOST as u64 {
            roll.note(0, Change::Kept(SubscriptionId(id)));
        }
        assert_eq!(kept(&roll, 0), None);
        assert_eq!(kept(&roll, 1).map(|changes| changes.len()), Some(MOST));
    }

    #[test]
    fn what_every_observer_knows_is_forgotten_and_nothing_else() {
        let mut roll = Roll::default();
        for id in 1..=FEW as u64 {
            assert!(!roll.is_long(), "{id}");
            roll.note(0, Change::Kept(SubscriptionId(id)));
        }
        assert!(roll.is_long());
        let last = roll.last();
        roll.forget(last - 2);
        assert!(!roll.is_long());
        assert_eq!(kept(&roll, last - 2), Some(vec![last - 1, last]));
        assert_eq!(kept(&roll, last - 3), None);
    }
}
