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
            method => {
                let is_invite = *method == KnownMethod::Invite;
                let origin = self.origin(request);
                self.server.request(now, (key, origin), flow, is_invite)
            }
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

    /// What a request outside a dialog has in common with its copies by other paths (RFC 3261 §8.2.2.2).
    fn origin(&self, request: &Request<'_>) -> Option<Key> {
        let from = request.from.tag().filter(|_| request.to.tag().is_none())?;
        let (cseq, method) = (request.cseq.number, request.method.as_str());
        Some(self.key(&("origin", from, request.call_id, cseq, method)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Framing, Incoming, Limits, Transport, parse};
    use std::net::SocketAddr;

    fn flow() -> Flow {
        let end = SocketAddr::from(([10, 0, 0, 1], 5060));
        Flow {
            transport: Transport::Udp,
            local: end,
            remote: end,
            connection: 0,
        }
    }

    fn layer() -> Layer<u8> {
        Layer::new(Settings::default(), RandomState::with_seeds(5, 6, 7, 8))
    }

    /// What the layer says to a request with these lines changed.
    fn ask(layer: &mut Layer<u8>, method: &str, via: &str, rest: &str) -> Verdict {
        let text = format!(
            "{method} sip:bob@ims.test SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nTo: <sip:bob@ims.test>\r\n{rest}\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        match parse(
            &mut text.into_bytes(),
            Framing::Datagram,
            &Limits::default(),
        ) {
            Incoming::Request(request) => layer.request(Timestamp(0), &flow(), &request),
            other => panic!("{other:?}"),
        }
    }

    const REST: &str = "From: <sip:a@x>;tag=1\r\nCall-ID: c";

    #[test]
    fn requests_match_by_branch_sent_by_and_method() {
        for (case, method, via, rest, again) in [
            ("the same", "PUBLISH", "h:5060;branch=z9hG4bKa", REST, true),
            (
                "other parameters of Via do not count",
                "PUBLISH",
                "h:5060;rport;branch=z9hG4bKa",
                REST,
                true,
            ),
            (
                "nor does anything else",
                "PUBLISH",
                "h:5060;branch=z9hG4bKa",
                "f: <sip:b@x>\r\ni: d",
                true,
            ),
            (
                "another branch",
                "PUBLISH",
                "h:5060;branch=z9hG4bKb",
                REST,
                false,
            ),
            (
                "another host",
                "PUBLISH",
                "i:5060;branch=z9hG4bKa",
                REST,
                false,
            ),
            ("another port", "PUBLISH", "h;branch=z9hG4bKa", REST, false),
            (
                "another method",
                "SUBSCRIBE",
                "h:5060;branch=z9hG4bKa",
                REST,
                false,
            ),
        ] {
            let mut layer = layer();
            assert!(matches!(
                ask(&mut layer, "PUBLISH", "h:5060;branch=z9hG4bKa", REST),
                Verdict::New(_)
            ));
            let verdict = ask(&mut layer, method, via, rest);
            assert_eq!(
                verdict == Verdict::Again(None),
                again,
                "{case}: {verdict:?}"
            );
        }
    }

    #[test]
    fn without_the_cookie_the_whole_request_decides() {
        for via in ["h", "h;branch=1", "h;branch=z9hG4bK"] {
            let mut layer = layer();
            assert!(
                matches!(ask(&mut layer, "PUBLISH", via, REST), Verdict::New(_)),
                "{via}"
            );
            assert_eq!(
                ask(&mut layer, "PUBLISH", via, REST),
                Verdict::Again(None),
                "{via}"
            );
            for rest in [
                "From: <sip:a@x>;tag=2\r\nCall-ID: c",
                "From: <sip:a@x>;tag=1\r\nCall-ID: d",
            ] {
                assert!(
                    matches!(ask(&mut layer, "PUBLISH", via, rest), Verdict::New(_)),
                    "{via} {rest}"
                );
            }
        }
    }

    #[test]
    fn an_ack_finds_the_invite_it_acknowledges() {
        let mut layer = layer();
        let via = "h;branch=z9hG4bKi";
        let Verdict::New(key) = ask(&mut layer, "INVITE", via, REST) else {
            panic!("a new INVITE")
        };
        layer.respond(
            Timestamp(0),
            key,
            &Destination::Flow(flow()),
            Bytes::from_static(b"405"),
        );
        assert_eq!(layer.next_deadline(), Some(Timestamp(500)), "timer G");
        assert_eq!(ask(&mut layer, "ACK", via, REST), Verdict::Ack);
        let mut events = Vec::new();
        layer.on_deadline(Timestamp(5000), &mut events);
        assert_eq!(
            (events, layer.len()),
            (vec![], 0),
            "nothing is repeated, timer I ends it"
        );
    }

    #[test]
    fn a_cancel_finds_what_it_would_cancel() {
        let mut layer = layer();
        ask(&mut layer, "SUBSCRIBE", "h;branch=z9hG4bKs", REST);
        for (via, hits) in [
            ("h;branch=z9hG4bKs", true),
            ("h;branch=z9hG4bKt", false),
            ("i;branch=z9hG4bKs", false),
        ] {
            let verdict = ask(&mut layer, "CANCEL", via, REST);
            assert!(
                matches!(verdict, Verdict::Cancel { known, .. } if known == hits),
                "{via}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_response_finds_its_request_by_branch_and_method() {
        let mut layer = layer();
        let to = Destination::Flow(flow());
        layer.start(
            Timestamp(0),
            to,
            "z9hG4bKn",
            Method::NOTIFY,
            Bytes::new(),
            7,
        );
        let mut answer = |branch: &str, method: &str, status: u16| {
            let text = format!(
                "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP us;branch={branch}\r\nTo: <sip:a@x>\r\n{REST}\r\nCSeq: 1 {method}\r\n\r\n"
            );
            match parse(
                &mut text.into_bytes(),
                Framing::Datagram,
                &Limits::default(),
            ) {
                Incoming::Response(response) => layer
                    .response(Timestamp(0), &response)
                    .map(|a| (a.user, a.is_final, a.status)),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(answer("z9hG4bKm", "NOTIFY", 200), None, "another branch");
        assert_eq!(answer("z9hG4bKn", "OPTIONS", 200), None, "another method");
        assert_eq!(answer("z9hG4bKn", "NOTIFY", 100), Some((7, false, 100)));
        assert_eq!(answer("z9hG4bKn", "NOTIFY", 481), Some((7, true, 481)));
        assert_eq!(answer("z9hG4bKn", "NOTIFY", 481), None, "it comes again");
    }
}
