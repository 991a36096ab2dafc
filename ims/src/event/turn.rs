//! What one input may cause, gathered while it is handled: changes to commit and NOTIFYs to send.

use super::quota::Quota;
use super::subscription::SubscriptionId;
use crate::charge::Ledger;
use crate::record::Batch;
use crate::sip::header::via::MAGIC_COOKIE;
use crate::sip::text::push_hex;
use crate::sip::{Aor, Destination};
use crate::time::Timestamp;
use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Random numbers of the node, from the seed that the program gives at start.
#[derive(Debug)]
pub struct Random(ChaCha12Rng);

impl Random {
    pub fn new(seed: [u8; 32]) -> Random {
        Random(ChaCha12Rng::from_seed(seed))
    }

    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number for a subscription to `resource` that no other has.
    pub fn subscription(
        &mut self,
        resource: Option<&Aor>,
        is_taken: impl Fn(SubscriptionId) -> bool,
    ) -> SubscriptionId {
        loop {
            let id = SubscriptionId::of(resource, self.number());
            if !is_taken(id) {
                return id;
            }
        }
    }
}

/// One NOTIFY on its way: a client transaction of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub subscription: SubscriptionId,
    pub cseq: u32,
}

impl Ticket {
    /// The branch of the transaction: magic cookie, subscription, CSeq. Unique in time and not guessable, and
    /// a response finds its subscription without a table.
    pub fn branch(self) -> String {
        let mut branch = String::with_capacity(MAGIC_COOKIE.len() + 24);
        branch.push_str(MAGIC_COOKIE);
        push_hex(&mut branch, self.subscription.0, 16);
        push_hex(&mut branch, u64::from(self.cseq), 8);
        branch
    }
}

/// A request to send, with what the transaction layer needs to know of it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub ticket: Ticket,
    pub to: Destination,
    /// The size alone chose TCP: UDP is tried when there is no TCP (RFC 3261 §18.1.1).
    pub falls_back: bool,
    pub bytes: Bytes,
}

/// The turn of one input.
#[derive(Debug)]
pub struct Turn<'a> {
    pub now: Timestamp,
    pub random: &'a mut Random,
    pub batch: &'a mut Batch,
    pub ledger: &'a mut Ledger,
    /// Credit for NOTIFYs.
    pub quota: &'a mut Quota,
    pub outgoing: Vec<Outgoing>,
}

impl<'a> Turn<'a> {
    /// Nothing to send yet.
    pub fn new(
        now: Timestamp,
        random: &'a mut Random,
        batch: &'a mut Batch,
        ledger: &'a mut Ledger,
        quota: &'a mut Quota,
    ) -> Turn<'a> {
        Turn {
            now,
            random,
            batch,
            ledger,
            quota,
            outgoing: Vec::new(),
        }
    }
}
