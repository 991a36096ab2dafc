//! The end of this node's service: watchers are told to subscribe elsewhere, or later (RFC 6665 §4.1.3).

use super::{Directory, Service};
use crate::event::subscription::{End, Input, Owed, SubscriptionId};
use crate::event::turn::Turn;
use crate::sip::Aor;
use crate::time::{Millis, Timestamp};

/// What becomes of live subscriptions when the node leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// What their watchers are told.
    pub end: End,
    /// Time over which the NOTIFYs are spread, so that watchers do not come back all at once.
    pub over: Millis,
}

/// NOTIFYs leave in steps of this length.
const STEP: Millis = Millis(10);

/// Subscriptions that are still to be ended.
#[derive(Debug)]
pub(super) struct Leaving {
    left: Vec<SubscriptionId>,
    /// How many in one step.
    share: usize,
    next: Timestamp,
    end: End,
}

impl Service {
    /// Begins to end every subscription. Those that time does not suffice for stay in the store, and with them their
    /// watchers stay subscribed here.
    pub fn leave(&mut self, now: Timestamp, farewell: Farewell) {
        let left: Vec<SubscriptionId> = self.subscriptions.keys().rev().copied().collect();
        let steps = usize::try_from(farewell.over.0 / STEP.0)
            .unwrap_or(usize::MAX)
            .max(1);
        self.leaving = Some(Leaving {
            share: left.len().div_ceil(steps),
            left,
            next: now,
            end: farewell.end,
        });
    }

    /// Nobody is left who must be told that the node leaves.
    pub fn has_left(&self) -> bool {
        self.leaving.as_ref().is_none_or(|l| l.left.is_empty())
    }

    pub(super) fn next_farewell(&self) -> Option<Timestamp> {
        let leaving = self.leaving.as_ref().filter(|l| !l.left.is_empty());
        leaving.map(|leaving| leaving.next)
    }

    /// Ends the subscriptions of one step, oldest first.
    pub(super) fn say_farewell(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory) {
        let Some(leaving) = self.leaving.as_mut().filter(|l| l.next <= turn.now) else {
            return;
        };
        let from = leaving.left.len().saturating_sub(leaving.share);
        let share = leaving.left.split_off(from);
        leaving.next = turn.now + STEP;
        let end = leaving.end;
        for id in share.into_iter().rev() {
            self.end_subscription(turn, directory, id, Input::Leaving(end));
        }
    }

    /// The presentity is from now on an alias of another one: its watchers are told to subscribe again at once, and find
    /// that one. What was published under the alias runs out, or its refresh is answered 412 and it comes again.
    pub fn became_alias(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return;
        };
        entry.set_registration(presentity, None);
        entry.rulesets = None;
        let watchers: Vec<SubscriptionId> = entry
            .watchers
            .iter()
            .chain(&entry.observers)
            .copied()
            .collect();
        self.galleries.swap_remove(presentity);
        for id in watchers {
            let input = Input::Leaving(End::Deactivated);
            self.end_subscription(turn, directory, id, input);
        }
        self.forget_idle(turn, presentity);
    }

    /// A step that ends a subscription, and its last NOTIFY.
    pub(super) fn end_subscription(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        input: Input,
    ) {
        if self.advance(turn, directory, id, input) == Owed::Immediate {
            self.store_subscription(turn, id);
            self.notify(turn, directory, id);
        }
    }
}
