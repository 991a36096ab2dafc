//! Transactions (RFC 3261 §17, RFC 4320): retransmissions absorbed, answers matched, timers as data.
//!
//! A transaction is found by the branch and sent-by of its top Via and its method (§17.2.3), or by the older rules
//! of that section when the branch lacks the magic cookie. Keys are keyed hashes of 128 bits, so that a peer can
//! neither find nor make a collision.

mod client;
mod server;

pub use client::Event;
pub use server::Verdict;

use crate::sip::{Destination, Flow, KnownMethod, Method, Request, Response};
use crate::time::{Millis, Timestamp};
use ahash::RandomState;
use bytes::Bytes;

/// Timers and bounds of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Round-trip estimate: 500 ms (RFC 3261 §17.1.1.1). TS 24.229 §7.7 keeps it between core nodes.
    pub t1: Millis,
    /// Longest pause between retransmissions: 4 s.
    pub t2: Millis,
    /// How long a message may stay in the network: 5 s.
    pub t4: Millis,
    /// Server transactions kept; one more is refused.
    pub max_transactions: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            t1: Millis(500),
            t2: Millis(4000),
            t4: Millis(5000),
            max_transactions: 1_000_000,
        }
    }
}

impl Settings {
    /// 64·T1: timers B, F, H and J.
    pub fn timeout(&self) -> Millis {
        Millis(self.t1.0.saturating_mul(64))
    }
}

/// Key of a transaction in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64, u64);

/// A final or provisional answer to a request of ours.
#[derive(Clone, Copy, Debug)]
pub struct Answer<U> {
    pub user: U,
    pub is_final: bool,
    pub status: u16,
}

/// All transactions of a node. `U` is what the user keeps with a request of its own.
#[derive(Debug)]
pub struct Layer<U> {
    hash: RandomState,
    server: server::Table,
    client: client::Table<U>,
}

impl<U: Copy> Layer<U> {
    pub fn new(settings: Settings, hash: RandomState) -> Layer<U> {
        Layer {
            server: server::Table::new(settings, hash.clone()),
            client: client::Table::new(settings, hash.clone()),
            hash,
        }
    }

    /// Whether a request is new, and if not, what answers it.
    pub fn request(&mut self, now: Timestamp, flow: &Flow, request: &Request<'_>) -> Verdict {
        let key = self.server_key(request);
        match &request.method {
            Method::Known(KnownMethod::Ack) => self.server.ack(now, key),
            Method::Known(KnownMethod::Cancel) => {
                self.server.cancel(now, key, self.cancelled(request), flow)
            }
            method => self
                .server
                .request(now, key, flow, *method == KnownMethod::Invite),
        }
    }

    /// Keeps the final response of a transaction, for those who ask again.
    pub fn respond(&mut self, now: Timestamp, key: Key, to: &Destination, bytes: Bytes) {
        self.server.respond(now, key, to, bytes);
    }

    /// A request of ours leaves: starts its timers.
    pub fn start(
        &mut self,
        now: Timestamp,
        to: Destination,
        branch: &str,
        method: Method<'_>,
        bytes: Bytes,
        user: U,
    ) {
        let key = self.client_key(branch, &method);
        self.client.start(now, key, to, bytes, user);
    }

    /// The transaction that a response answers, unless it had its final response already (RFC 3261 §17.1.3).
    pub fn response(&mut self, now: Timestamp, response: &Response<'_>) -> Option<Answer<U>> {
        let key = self.client_key(response.via.branch?, &response.cseq.method);
        let user = self.client.response(now, key, response.status)?;
        Some(Answer {
            user,
            is_final: response.status >= 200,
            status: response.status,
        })
    }

    /// Ends a transaction whose request could not be handed to its transport; gives back what it was.
    pub fn undeliverable(
        &mut self,
        branch: &str,
        method: Method<'_>,
    ) -> Option<(U, Bytes, Destination)> {
        let key = self.client_key(branch, &method);
        self.client.remove(key)
    }

    /// When [`Layer::on_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.server.next_deadline(), self.client.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what has become due.
    pub fn on_deadline(&mut self, now: Timestamp, events: &mut Vec<Event<U>>) {
        self.server.on_deadline(now, &mut |to, bytes| {
            events.push(Event::Retransmit { to, bytes })
        });
        self.client.on_deadline(now, events);
    }

    /// Transactions in memory.
    pub fn len(&self) -> usize {
        self.server.len() + self.client.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Requests of others in memory.
    pub fn servers(&self) -> usize {
        self.server.len()
    }

    /// Requests of ours that wait for an answer.
    pub fn clients(&self) -> usize {
        self.client.len()
    }

    fn server_key(&self, request: &Request<'_>) -> Key {
        // an ACK to a refused INVITE matches the INVITE (RFC 3261 §17.2.3)
        match request.method {
            Method::Known(KnownMethod::Ack) => self.key_as(request, "INVITE"),
            method => self.key_as(request, method.as_str()),
        }
    }

    /// The transactions that a CANCEL may mean: same branch, another method (RFC 3261 §9.2).
    fn cancelled(&self, request: &Request<'_>) -> [Key; 4] {
        ["INVITE", "SUBSCRIBE", "PUBLISH", "REGISTER"].map(|method| self.key_as(request, method))
    }

    fn key_as(&self, request: &Request<'_>, method: &str) -> Key {
        let via = &request.via;
        match via.unique_branch() {
            Some(branch) => self.key(&(branch, via.host, via.port, method)),
            // RFC 2543: Request-URI, tags, Call-ID, CSeq number and top Via (§17.2.3, second list)
            None => self.key(&(
                request.uri,
                request.from.tag(),
                request.call_id,
                request.cseq.number,
                via.as_str(),
                method,
            )),
        }
    }

    fn client_key(&self, branch: &str, method: &Method<'_>) -> Key {
        self.key(&(branch, method.as_str()))
    }

    fn key<T: std::hash::Hash>(&self, parts: &T) -> Key {
        Key(
            self.hash.hash_one((0u8, parts)),
            self.hash.hash_one((1u8, parts)),
        )
    }
}
