//! NOTIFYs that ask for credit, each for itself and in their turn; and what each NOTIFY that was taken costs its
//! subscription.
//!
//! At most [`Online::waiting`](crate::charge::credit::Online::waiting) of these charges are under way at once, from the
//! question to the final response to the NOTIFY. The other subscriptions keep what they owe until there is room.

use super::super::{Effect, Node, Outbox};
use crate::charge::credit::{Answer, Request as Credit, Settled, Verdict};
use crate::event::notice::Bill;
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Ticket;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// A question about a NOTIFY.
#[derive(Clone, Copy, Debug)]
struct Asked {
    subscription: SubscriptionId,
    until: Timestamp,
}

/// Charges of NOTIFYs.
#[derive(Debug, Default)]
pub(in crate::node) struct Notifies {
    asked: BTreeMap<u64, Asked>,
    /// NOTIFYs without a final response yet, with the number of their charge.
    sent: BTreeMap<Ticket, (u64, Settled)>,
}

impl Notifies {
    /// No question is under way.
    pub fn is_quiet(&self) -> bool {
        self.asked.is_empty()
    }

    fn len(&self) -> usize {
        self.asked.len() + self.sent.len()
    }

    /// Numbers rise, and with them the instants.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.asked.first_key_value().map(|(_, asked)| asked.until)
    }
}

impl Node {
    /// What the input has left: dialogs that are over, and questions for which there is room.
    pub(in crate::node) fn credit_step(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.quota.is_idle() {
            return;
        }
        for id in self.quota.take_over() {
            self.end_session(id, out);
            self.ledger.payers.over(&mut out.batch, id.0);
        }
        for id in self.quota.take_ready() {
            self.tell_owed(now, id, out);
        }
        for id in self.quota.take_wanted() {
            if let Some(number) = self.credits.sessions.number(id) {
                out.free.push(Effect::CreditWanted { number });
            }
        }
        while self.credits.notifies.len() < self.settings.online.waiting
            && let Some(id) = self.quota.pop()
        {
            match self.bill(now, id) {
                Some(bill) => self.ask_for_notify(now, id, bill, out),
                None => self.quota.answered(id),
            }
        }
    }

    fn bill(&self, now: Timestamp, id: SubscriptionId) -> Option<Bill> {
        let payers = &self.ledger.payers;
        let bill = self.presence.bill(now, id, payers);
        let bill = bill.or_else(|| self.diff.bill(now, id, payers));
        bill.or_else(|| self.lists.bill(now, id, payers))
    }

    fn ask_for_notify(&mut self, now: Timestamp, id: SubscriptionId, bill: Bill, out: &mut Outbox) {
        let number = self.credits.number(now, &mut out.batch);
        let Bill { mut event, ecf } = bill;
        event.number = number;
        let asked = Asked {
            subscription: id,
            until: now + self.settings.online.patience,
        };
        self.credits.notifies.asked.insert(number, asked);
        out.free.push(Effect::Credit(Box::new(Credit {
            number,
            event,
            ecf,
            lasting: false,
        })));
    }

    /// The charging system has spoken about a NOTIFY. `false`: it was asked about something else, or long ago.
    pub(super) fn notify_decided(
        &mut self,
        now: Timestamp,
        number: u64,
        answer: &Answer,
        out: &mut Outbox,
    ) -> bool {
        let Some(Asked { subscription, .. }) = self.credits.notifies.asked.remove(&number) else {
            return false;
        };
        self.quota.answered(subscription);
        match answer.verdict {
            Verdict::Granted => {
                self.tell_with_credit(now, subscription, out);
                match self.quota.taken() {
                    Some(ticket) => {
                        let settled = answer.settled.clone();
                        self.credits.notifies.sent.insert(ticket, (number, settled));
                    }
                    // what it was asked for is told already, or is not to be told any more
                    None => out.free.push(Effect::CreditEnded {
                        number,
                        delivered: false,
                    }),
                }
            }
            Verdict::NoCredit | Verdict::Refused | Verdict::Unavailable => {
                tracing::debug!(number, verdict = ?answer.verdict, "no credit for a NOTIFY");
                self.withdraw(now, subscription, out);
            }
        }
        true
    }

    fn tell_with_credit(&mut self, now: Timestamp, id: SubscriptionId, out: &mut Outbox) {
        self.quota.hand(id);
        self.tell_owed(now, id, out);
    }

    /// Has a subscription tell what it has kept for want of credit.
    fn tell_owed(&mut self, now: Timestamp, id: SubscriptionId, out: &mut Outbox) {
        if self.presence.holds(id) {
            self.turn(now, out, |presence, directory, turn| {
                presence.credited(turn, directory, id);
            });
        } else if self.diff.holds(id) {
            self.diff_turn(now, out, |diff, store, turn| diff.credited(turn, store, id));
        } else if self.lists.holds(id) {
            self.rls_turn(now, out, |lists, turn, world| {
                lists.credited(turn, world, id);
            });
        }
    }

    /// A NOTIFY has its final response, or there will be none: what it costs is settled in the same batch.
    pub(in crate::node) fn notify_answered(
        &mut self,
        ticket: Ticket,
        delivered: bool,
        out: &mut Outbox,
    ) {
        let has_unit = self.quota.landed(ticket, delivered);
        if self.credits.sessions.is_empty() && self.credits.notifies.sent.is_empty() {
            return;
        }
        let counts = delivered && has_unit && !self.settings.online.notify;
        let session = self.credits.sessions.number(ticket.subscription);
        if let Some(number) = session.filter(|_| counts) {
            out.held.push(Effect::CreditUsed { number, units: 1 });
        }
        if let Some((number, settled)) = self.credits.notifies.sent.remove(&ticket) {
            super::settle(number, settled, delivered, out);
        }
    }

    /// Gives up on answers of which nothing was heard.
    pub(super) fn expire_notifies(&mut self, now: Timestamp, out: &mut Outbox) {
        let answer = Answer {
            verdict: Verdict::Unavailable,
            settled: Settled::Unchanged,
        };
        while let Some((&number, asked)) = self.credits.notifies.asked.first_key_value()
            && asked.until <= now
        {
            self.notify_decided(now, number, &answer, out);
            out.free.push(Effect::CreditEnded {
                number,
                delivered: false,
            });
        }
    }
}
