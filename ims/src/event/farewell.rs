//! The end of this node's service, for any package: subscribers are told to subscribe elsewhere, or later (RFC 6665
//! §4.1.3), over a time, so that they do not come back all at once.

use super::subscription::{End, SubscriptionId};
use crate::time::{Millis, Timestamp};

/// What becomes of live subscriptions when the node leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// What their subscribers are told.
    pub end: End,
    /// Time over which the NOTIFYs are spread.
    pub over: Millis,
}

/// NOTIFYs leave in steps of this length.
const STEP: Millis = Millis(10);

/// Subscriptions that are still to be ended.
#[derive(Debug)]
pub struct Leaving {
    left: Vec<SubscriptionId>,
    /// How many in one step.
    share: usize,
    next: Timestamp,
    end: End,
}

impl Leaving {
    /// Begins to end these subscriptions, the last of them first.
    pub fn begin(now: Timestamp, farewell: Farewell, left: Vec<SubscriptionId>) -> Leaving {
        let steps = usize::try_from(farewell.over.0 / STEP.0)
            .unwrap_or(usize::MAX)
            .max(1);
        Leaving {
            share: left.len().div_ceil(steps),
            left,
            next: now,
            end: farewell.end,
        }
    }

    /// Nobody is left who must be told.
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// When the next step is due.
    pub fn next(&self) -> Option<Timestamp> {
        (!self.is_done()).then_some(self.next)
    }

    /// The subscriptions to end in this step, and what they are told; nothing before its time.
    pub fn step(&mut self, now: Timestamp) -> (Vec<SubscriptionId>, End) {
        if self.next > now {
            return (Vec::new(), self.end);
        }
        let from = self.left.len().saturating_sub(self.share);
        let share = self.left.split_off(from);
        self.next = now + STEP;
        (share.into_iter().rev().collect(), self.end)
    }
}
