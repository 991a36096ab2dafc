//! Subscriptions that have credit for as long as they last: one charge for each, from the SUBSCRIBE that opened it to the
//! end of its dialog, whatever ends it.

use super::super::{Effect, Node, Outbox};
use crate::charge::credit::{Answer, Parting, Settled, Verdict, Withdrawal, read_session};
use crate::event::subscription::{End, SubscriptionId};
use crate::record::Table;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Which charge is of which subscription; stored in [`Table::CreditSession`].
#[derive(Debug, Default)]
pub(in crate::node) struct Sessions {
    numbers: BTreeMap<SubscriptionId, u64>,
    subscriptions: BTreeMap<u64, SubscriptionId>,
    /// After a start, how long the program may take to say what they may use.
    untold_until: Option<Timestamp>,
}

impl Sessions {
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.untold_until
    }

    pub fn number(&self, id: SubscriptionId) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// Takes a charge in; the one that the subscription had before, if any.
    fn insert(&mut self, id: SubscriptionId, number: u64) -> Option<u64> {
        let before = self.numbers.insert(id, number);
        if let Some(before) = before {
            self.subscriptions.remove(&before);
        }
        self.subscriptions.insert(number, id);
        before
    }

    fn remove(&mut self, id: SubscriptionId) -> Option<u64> {
        let number = self.numbers.remove(&id)?;
        self.subscriptions.remove(&number);
        Some(number)
    }
}

impl Node {
    /// A SUBSCRIBE with credit was accepted: its charge lasts as long as the subscription.
    pub(super) fn open_session(
        &mut self,
        id: SubscriptionId,
        (number, most): (u64, Option<u64>),
        out: &mut Outbox,
    ) {
        self.quota.follow();
        self.quota.open(id, most);
        let key = id.0.to_be_bytes();
        let value = number.to_be_bytes();
        out.batch.put_bytes(Table::CreditSession, &key, &value);
        if let Some(before) = self.credits.sessions.insert(id, number) {
            // two SUBSCRIBEs of one dialog asked at once
            out.held.push(ended(before));
        }
        out.held.push(Effect::CreditUsed { number, units: 0 }); // it has begun
        if self.settings.online.notify {
            // NOTIFYs have charges of their own: what is used here is the subscription
            out.held.push(Effect::CreditUsed { number, units: 1 });
        }
        if !self.is_subscribed(id) {
            self.end_session(id, out); // it was over before it had begun
        }
    }

    /// What a lasting service may use has changed, or is known now. It may not have begun.
    pub(in crate::node) fn credit_allowed(&mut self, number: u64, units: Option<u64>) {
        if let Some(waiting) = self.credits.waiting.get_mut(&number) {
            waiting.most = units;
            return;
        }
        let mut granted = self.credits.granted.values_mut();
        match granted.find(|granted| granted.number == number) {
            Some(granted) => granted.most = units,
            None => {
                if let Some(&id) = self.credits.sessions.subscriptions.get(&number) {
                    self.quota.allow(id, units);
                }
            }
        }
    }

    /// The program has said nothing: what was recovered goes on as if it were not counted.
    pub(super) fn expire_untold(&mut self, now: Timestamp) {
        let over = |until: &mut Timestamp| *until <= now;
        if self.credits.sessions.untold_until.take_if(over).is_some() {
            self.quota.allow_untold();
        }
    }

    /// A lasting service has to end.
    pub(in crate::node) fn credit_withdrawn(
        &mut self,
        now: Timestamp,
        number: u64,
        why: Withdrawal,
        out: &mut Outbox,
    ) {
        tracing::info!(number, ?why, "credit for a subscription is withdrawn");
        if self.credits.waiting.contains_key(&number) {
            // it never began
            let verdict = match why {
                Withdrawal::Spent => Verdict::NoCredit,
                Withdrawal::Refused => Verdict::Refused,
                Withdrawal::Unavailable => Verdict::Unavailable,
            };
            let settled = Settled::Unchanged;
            self.credit_answered(now, number, Answer { verdict, settled }, out);
            return out.free.push(Effect::CreditEnded {
                number,
                delivered: false,
            });
        }
        let mut granted = self.credits.granted.values_mut();
        if let Some(granted) = granted.find(|g| g.number == number) {
            // its SUBSCRIBE still waits for something else
            granted.withdrawn = Some(why);
            return;
        }
        match self.credits.sessions.subscriptions.get(&number) {
            // its session ends with its dialog, when the last NOTIFY is answered
            Some(&id) => self.withdraw(now, id, out),
            // an end and this have crossed, or the store has lost it: whoever says so is told that it is over
            None => out.free.push(ended(number)),
        }
    }

    /// Ends a subscription for which there is no credit (RFC 6665 §4.4.1), whatever it is to.
    pub(super) fn withdraw(&mut self, now: Timestamp, id: SubscriptionId, out: &mut Outbox) {
        let end = match self.settings.online.parting {
            Parting::Deactivated => End::Deactivated,
            Parting::Probation { retry_after } => End::Probation { retry_after },
        };
        if self.presence.holds(id) {
            self.turn(now, out, |presence, directory, turn| {
                presence.withdraw(turn, directory, id, end);
            });
        } else if self.diff.holds(id) {
            self.diff_turn(now, out, |diff, store, turn| {
                diff.withdraw(turn, store, id, end);
            });
        } else if self.lists.holds(id) {
            self.rls_turn(now, out, |lists, turn, world| {
                lists.withdraw(turn, world, id, end);
            });
        }
    }

    fn is_subscribed(&self, id: SubscriptionId) -> bool {
        self.presence.is_alive(id) || self.diff.is_alive(id) || self.lists.is_alive(id)
    }

    /// The dialog of a subscription is over.
    pub(super) fn end_session(&mut self, id: SubscriptionId, out: &mut Outbox) {
        if let Some(number) = self.credits.sessions.remove(id) {
            let key = id.0.to_be_bytes();
            out.batch.delete(Table::CreditSession, &key);
            self.quota.close(id);
            out.held.push(ended(number));
        }
    }

    /// A record of the store.
    pub(in crate::node) fn recover_session(&mut self, key: &[u8], value: &[u8]) -> bool {
        let id = <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
        let (Ok(id), Some(number)) = (id, read_session(value)) else {
            return false;
        };
        self.credits.skip_past(number);
        self.credits.sessions.insert(SubscriptionId(id), number);
        true
    }

    /// Everything is read: charges go on where the watcher is still subscribed, and are over elsewhere.
    pub(in crate::node) fn recovered_sessions(&mut self, now: Timestamp, out: &mut Outbox) {
        if !self.credits.sessions.is_empty() {
            self.quota.follow();
            // where online charging is off by now nobody would say what they may use
            let online = &self.settings.online;
            let counts = !online.is_off() && !online.notify;
            for id in self.credits.sessions.numbers.keys().filter(|_| counts) {
                self.quota.reopen(*id);
            }
            self.credits.sessions.untold_until = counts.then(|| now + online.patience);
        }
        let all = self.credits.sessions.numbers.keys();
        let over: Vec<SubscriptionId> =
            all.copied().filter(|id| !self.is_subscribed(*id)).collect();
        for id in over {
            self.end_session(id, out);
        }
    }
}

/// What it used was said before.
fn ended(number: u64) -> Effect {
    Effect::CreditEnded {
        number,
        delivered: true,
    }
}
