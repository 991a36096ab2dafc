//! Credit for NOTIFYs (TS 32.260 §5.3): which subscriptions wait for it, who has it in hand, and whose dialogs are over.
//!
//! A subscription that has to tell something asks with [`Quota::lets`] just before it would send. Without a unit in hand
//! it keeps what it owes, as when it is throttled (RFC 6446), and has its turn; when its unit comes it sends what is true
//! then. So it asks once, however many changes come meanwhile. What is told of a subscription that is not active shows
//! nothing, and never asks.
//!
//! Or the credit is that of the subscription ([`limit`]): then it has units for some NOTIFYs, and keeps what it owes
//! when they are used up, until it is told that there are more.

mod limit;

use super::subscription::SubscriptionId;
use super::turn::Ticket;
use limit::Limit;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Credit as the services of all packages see it.
#[derive(Debug, Default)]
pub struct Quota {
    /// NOTIFYs need a unit each.
    asks: bool,
    /// Somebody wants to know of dialogs that are over.
    follows: bool,
    /// Subscriptions for which credit is still to be asked, in their turn.
    queue: VecDeque<SubscriptionId>,
    /// These, and those for which it has been asked.
    wanting: BTreeSet<SubscriptionId>,
    /// Who may send a NOTIFY now.
    in_hand: Option<SubscriptionId>,
    /// The NOTIFY that took the unit in hand.
    spent: Option<Ticket>,
    over: Vec<SubscriptionId>,
    /// Subscriptions whose credit lasts as long as they do.
    limits: BTreeMap<SubscriptionId, Limit>,
    /// Of these, those that may tell what they have kept.
    ready: Vec<SubscriptionId>,
    /// Of these, those that have something to tell and no unit.
    wanted: Vec<SubscriptionId>,
    /// The NOTIFY that left last, while it has no final response.
    left: Option<Ticket>,
}

impl Quota {
    /// Whether NOTIFYs ask.
    pub fn new(asks: bool) -> Quota {
        Quota {
            asks,
            ..Quota::default()
        }
    }

    /// Ends of dialogs are wanted from now on.
    pub fn follow(&mut self) {
        self.follows = true;
    }

    /// Whether a NOTIFY of this subscription may leave now. If not, it has its turn, and is called when its unit is here.
    pub fn lets(&mut self, id: SubscriptionId) -> bool {
        if self.asks {
            return self.has(id);
        }
        let Some(limit) = self.limits.get_mut(&id) else {
            return true;
        };
        let waited = limit.waits();
        let lets = limit.lets();
        if !lets && !waited {
            self.wanted.push(id);
        }
        lets
    }

    fn has(&mut self, id: SubscriptionId) -> bool {
        let has = self.in_hand == Some(id);
        if !has && self.wanting.insert(id) {
            self.queue.push_back(id);
        }
        has
    }

    /// A NOTIFY leaves. One that shows something takes the unit in hand; any takes one of its subscription's, if there is
    /// one.
    pub fn leaves(&mut self, ticket: Ticket, shows: bool) {
        self.left = Some(ticket);
        if self.asks && shows && self.in_hand == Some(ticket.subscription) {
            self.in_hand = None;
            self.spent = Some(ticket);
        }
        if let Some(limit) = self.limits.get_mut(&ticket.subscription) {
            limit.leaves(ticket.cseq);
        }
    }

    /// The dialog of a subscription is over, and no NOTIFY of it is under way.
    pub fn over(&mut self, id: SubscriptionId) {
        if self.follows {
            self.over.push(id);
        }
    }

    /// Nobody wants anything.
    pub fn is_idle(&self) -> bool {
        let tells = self.ready.is_empty() && self.wanted.is_empty();
        self.queue.is_empty() && self.over.is_empty() && tells
    }

    /// The subscription whose turn it is to ask.
    pub fn pop(&mut self) -> Option<SubscriptionId> {
        self.queue.pop_front()
    }

    /// What this subscription asked for is answered, or it has nothing to ask for any more.
    pub fn answered(&mut self, id: SubscriptionId) {
        self.wanting.remove(&id);
    }

    /// Gives a subscription the unit that it asked for.
    pub fn hand(&mut self, id: SubscriptionId) {
        (self.in_hand, self.spent) = (Some(id), None);
    }

    /// The NOTIFY that took the unit given last; none: it is to be given back.
    pub fn taken(&mut self) -> Option<Ticket> {
        self.in_hand = None;
        self.spent.take()
    }

    /// Whose dialogs are over since the last call.
    pub fn take_over(&mut self) -> Vec<SubscriptionId> {
        std::mem::take(&mut self.over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SubscriptionId = SubscriptionId(1);
    const CAROL: SubscriptionId = SubscriptionId(2);

    fn ticket(subscription: SubscriptionId) -> Ticket {
        Ticket {
            subscription,
            cseq: 7,
        }
    }

    #[test]
    fn a_subscription_asks_once_until_it_is_answered() {
        let mut quota = Quota::new(true);
        assert!(!quota.lets(ALICE) && !quota.lets(CAROL) && !quota.lets(ALICE));
        assert_eq!(
            [quota.pop(), quota.pop(), quota.pop()],
            [Some(ALICE), Some(CAROL), None]
        );
        assert!(!quota.lets(ALICE) && quota.is_idle(), "it has asked");
        quota.answered(ALICE);
        assert!(!quota.lets(ALICE) && !quota.is_idle(), "another question");
    }

    #[test]
    fn a_unit_is_for_one_notify_of_whom_it_was_given_to() {
        let mut quota = Quota::new(true);
        quota.hand(ALICE);
        assert!(quota.lets(ALICE) && !quota.lets(CAROL));
        quota.leaves(ticket(CAROL), true);
        quota.leaves(ticket(ALICE), false);
        assert!(quota.lets(ALICE), "it shows nothing");
        quota.leaves(ticket(ALICE), true);
        assert!(!quota.lets(ALICE), "it is spent");
        let next = Ticket {
            cseq: 8,
            ..ticket(ALICE)
        };
        quota.leaves(next, true);
        assert_eq!(quota.taken(), Some(ticket(ALICE)));
        quota.hand(CAROL);
        assert_eq!(quota.taken(), None, "it was not needed");
        quota.leaves(ticket(CAROL), true);
        assert_eq!(quota.taken(), None, "and is not there any more");
    }

    #[test]
    fn where_nothing_is_charged_nothing_is_noted() {
        let mut quota = Quota::new(false);
        assert!(quota.lets(ALICE));
        quota.leaves(ticket(ALICE), true);
        quota.over(ALICE);
        assert!(quota.is_idle() && quota.taken().is_none());
        quota.follow();
        quota.over(ALICE);
        assert_eq!((quota.is_idle(), quota.take_over()), (false, vec![ALICE]));
    }
}
