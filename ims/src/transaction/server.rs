//! Server transactions (RFC 3261 §17.2): a request that comes again is answered from stored bytes.
//!
//! Non-INVITE: `Trying`, then `Completed` for timer J. No 408 is ever sent and no provisional response but 100
//! (RFC 4320 §4); we answer at once, so none is needed. INVITE: always refused here, so it goes to `Completed`
//! (timers G and H) and, at the ACK, to `Confirmed` (timer I).

use super::{Key, Settings};
use crate::sip::{Destination, Flow};
use crate::time::{Millis, Timestamp};
use ahash::RandomState;
use bytes::Bytes;
use indexmap::IndexMap;
use std::collections::{BTreeSet, VecDeque};

/// What a request is to its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A new transaction: answer it with this key.
    New(Key),
    /// It came before. Send the stored response again, if there is one yet.
    Again(Option<Bytes>),
    /// An ACK: never answered.
    Ack,
    /// A CANCEL: its own transaction, and whether what it cancels is known (RFC 3261 §9.2).
    Cancel { key: Key, known: bool },
    /// No more transactions are taken.
    Overload,
}

#[derive(Debug)]
struct Transaction {
    is_invite: bool,
    is_reliable: bool,
    response: Option<Bytes>,
    /// INVITE over UDP: where its response goes again, and the pause until then. `None` once acknowledged.
    again: Option<(Destination, Millis)>,
    over_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Table {
    settings: Settings,
    transactions: IndexMap<Key, Transaction, RandomState>,
    /// Ends of timer J, H and I, in order of their constant durations.
    ends: VecDeque<(Timestamp, Key)>,
    confirmed: VecDeque<(Timestamp, Key)>,
    /// Timer G of refused INVITEs.
    repeats: BTreeSet<(Timestamp, Key)>,
}

impl Table {
    pub fn new(settings: Settings, hash: RandomState) -> Table {
        Table {
            settings,
            transactions: IndexMap::with_hasher(hash),
            ends: VecDeque::new(),
            confirmed: VecDeque::new(),
            repeats: BTreeSet::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    pub fn request(&mut self, now: Timestamp, key: Key, flow: &Flow, is_invite: bool) -> Verdict {
        if let Some(known) = self.transactions.get(&key) {
            return Verdict::Again(known.response.clone());
        }
        if self.transactions.len() >= self.settings.max_transactions {
            return Verdict::Overload;
        }
        let over_at = now + self.settings.timeout();
        let is_reliable = flow.transport.is_reliable();
        self.transactions.insert(
            key,
            Transaction {
                is_invite,
                is_reliable,
                response: None,
                again: None,
                over_at,
            },
        );
        self.ends.push_back((over_at, key));
        Verdict::New(key)
    }

    /// An ACK ends the retransmission of the response it acknowledges.
    pub fn ack(&mut self, now: Timestamp, key: Key) -> Verdict {
        if let Some(invite) = self.transactions.get_mut(&key).filter(|t| t.is_invite) {
            invite.again = None;
            // timer I: T4 over UDP, zero over a reliable transport
            invite.over_at = if invite.is_reliable {
                now
            } else {
                now + self.settings.t4
            };
            self.confirmed.push_back((invite.over_at, key));
        }
        Verdict::Ack
    }

    pub fn cancel(
        &mut self,
        now: Timestamp,
        key: Key,
        cancelled: [Key; 4],
        flow: &Flow,
    ) -> Verdict {
        let known = cancelled
            .iter()
            .any(|key| self.transactions.contains_key(key));
        match self.request(now, key, flow, false) {
            Verdict::New(key) => Verdict::Cancel { key, known },
            other => other,
        }
    }

    pub fn respond(&mut self, now: Timestamp, key: Key, to: &Destination, bytes: Bytes) {
        let Some(transaction) = self.transactions.get_mut(&key) else {
            return;
        };
        if transaction.is_reliable && !transaction.is_invite {
            self.transactions.swap_remove(&key); // timer J is zero: nothing comes again
            return;
        }
        transaction.response = Some(bytes);
        transaction.over_at = now + self.settings.timeout();
        self.ends.push_back((transaction.over_at, key));
        if transaction.is_invite && !transaction.is_reliable {
            transaction.again = Some((to.clone(), self.settings.t1));
            self.repeats.insert((now + self.settings.t1, key)); // timer G
        }
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        let ends = [
            self.ends.front(),
            self.confirmed.front(),
            self.repeats.first(),
        ];
        ends.into_iter().flatten().map(|&(at, _)| at).min()
    }

    pub fn on_deadline(&mut self, now: Timestamp, send: &mut dyn FnMut(Destination, Bytes)) {
        for queue in [&mut self.ends, &mut self.confirmed] {
            while let Some((_, key)) = queue.pop_front_if(|(at, _)| *at <= now) {
                if self
                    .transactions
                    .get(&key)
                    .is_some_and(|t| t.over_at <= now)
                {
                    self.transactions.swap_remove(&key);
                }
            }
        }
        while let Some(&(at, key)) = self.repeats.first().filter(|&&(at, _)| at <= now) {
            self.repeats.remove(&(at, key));
            let Some(transaction) = self.transactions.get_mut(&key) else {
                continue;
            };
            let (Some((to, pause)), Some(response)) =
                (&mut transaction.again, &transaction.response)
            else {
                continue;
            };
            send(to.clone(), response.clone());
            *pause = Millis((pause.0 * 2).min(self.settings.t2.0));
            self.repeats.insert((now + *pause, key));
        }
    }
}
