//! The end of this node's service: watchers are told to subscribe elsewhere, or later (RFC 6665 §4.1.3).

use super::{Directory, Service};
use crate::event::farewell::{Farewell, Leaving};
use crate::event::subscription::{End, Input, Owed, SubscriptionId};
use crate::event::turn::Turn;
use crate::sip::Aor;
use crate::time::Timestamp;

impl Service {
    /// Begins to end every subscription. Those that time does not suffice for stay in the store, and with them their
    /// watchers stay subscribed here.
    pub fn leave(&mut self, now: Timestamp, farewell: Farewell) {
        let left: Vec<SubscriptionId> = self.subscriptions.keys().rev().copied().collect();
        self.leaving = Some(Leaving::begin(now, farewell, left));
    }

    /// Nobody is left who must be told that the node leaves.
    pub fn has_left(&self) -> bool {
        self.leaving.as_ref().is_none_or(Leaving::is_done)
    }

    pub(super) fn next_farewell(&self) -> Option<Timestamp> {
        self.leaving.as_ref().and_then(Leaving::next)
    }

    /// Ends the subscriptions of one step, oldest first.
    pub(super) fn say_farewell(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory) {
        let Some(leaving) = &mut self.leaving else {
            return;
        };
        let (share, end) = leaving.step(turn.now);
        for id in share {
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
        self.admit_strangers(turn, directory, presentity);
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
        self.follow_alias(turn, directory, presentity);
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
