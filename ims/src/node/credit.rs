//! Requests that wait for credit (TS 32.260 §5.3): asked for before the request is served, once for each transaction
//! however often it is retransmitted, and given back when the request is refused afterwards.

use super::request::{Ask, Brought};
use super::{Effect, Node, Outbox, headers};
use crate::charge::credit::{Answer, Request as Credit, Settled, Verdict, Withdrawal};
use crate::charge::{Chargeable, first_of};
use crate::isc::{Caller, Charging};
use crate::record::{Op, Table};
use crate::reject::{Reject, phrase};
use crate::sip::{self, Flow, Framing, Incoming, KnownMethod, Method, Request};
use crate::time::{Seconds, Timestamp};
use crate::transaction::Key;
use std::collections::BTreeMap;

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    flow: Flow,
    key: Key,
    /// The request as it came.
    bytes: Vec<u8>,
    until: Timestamp,
}

/// A request that was granted and is not answered yet: it may wait for something else.
#[derive(Debug)]
struct Granted {
    number: u64,
    settled: Settled,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Credits {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
    granted: BTreeMap<Key, Granted>,
}

impl Credits {
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    pub fn len(&self) -> usize {
        self.waiting.len() + self.granted.len()
    }

    /// A number that no charge has had, not even one of an earlier process.
    fn number(&mut self, now: Timestamp) -> u64 {
        self.last = (self.last + 1).max(first_of(now));
        self.last
    }

    /// Goes on above a number found in the store.
    pub fn skip_past(&mut self, number: u64) {
        self.last = self.last.max(number);
    }
}

/// How long a peer is asked to stay away when nobody can say whether there is credit.
const AWAY: Seconds = Seconds(10);

/// The methods that may ask, as messages begin with them.
const METHODS: [(&[u8], Chargeable); 3] = [
    (b"PUBLISH ", Chargeable::Publish),
    (b"SUBSCRIBE ", Chargeable::Subscribe),
    (b"REGISTER ", Chargeable::Register),
];

impl Node {
    /// Whether a message may have to wait for credit: then it is kept as it came.
    pub(super) fn may_ask_credit(&self, bytes: &[u8]) -> bool {
        let online = &self.settings.online;
        let begins = |(start, method): &(&[u8], Chargeable)| {
            online.asks(*method) && bytes.starts_with(start)
        };
        METHODS.iter().any(begins)
    }

    /// What a request is charged as, where it has to ask for credit. One that ends something does not.
    pub(super) fn asks_credit(&self, flow: &Flow, request: &Request<'_>) -> Option<Chargeable> {
        let method = match request.method {
            Method::Known(KnownMethod::Publish) => Chargeable::Publish,
            Method::Known(KnownMethod::Subscribe) => Chargeable::Subscribe,
            Method::Known(KnownMethod::Register) => Chargeable::Register,
            _ => return None,
        };
        let ends = headers::expires(&request.headers) == Ok(Some(Seconds(0)));
        let trusted = self.settings.trust.trusts(flow.remote.ip());
        (self.settings.online.asks(method) && trusted && !ends).then_some(method)
    }

    /// Has a request wait for credit.
    pub(super) fn awaits_credit(
        &mut self,
        now: Timestamp,
        (flow, key): (Flow, Key),
        (request, method): (&Request<'_>, Chargeable),
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) {
        if self.credits.len() >= self.settings.online.waiting {
            let busy = Reject::Busy { retry_after: AWAY };
            return self.respond(now, (flow, key), request, Brought::Refusal(busy), out);
        }
        let ask = Ask {
            request,
            caller: Caller::of(&request.headers),
            charging: Charging::of(&request.headers),
            fetched: None,
        };
        let number = self.credits.number(now);
        let mut event = self.event(now, &ask, method, 0);
        event.number = number;
        let ecf = ask.charging.ecf.iter().map(|a| a.to_string()).collect();
        let waiting = Waiting {
            flow,
            key,
            bytes,
            until: now + self.settings.online.patience,
        };
        self.credits.waiting.insert(number, waiting);
        out.free.push(Effect::Credit(Box::new(Credit {
            number,
            event,
            ecf,
            lasting: false,
        })));
    }

    /// The charging system has spoken, or the program in its place.
    pub(super) fn credit_answered(
        &mut self,
        now: Timestamp,
        number: u64,
        answer: Answer,
        out: &mut Outbox,
    ) {
        let Some(mut waiting) = self.credits.waiting.remove(&number) else {
            // too late: the request was refused meanwhile
            out.free.push(Effect::CreditEnded {
                number,
                delivered: false,
            });
            return;
        };
        let (flow, key) = (waiting.flow, waiting.key);
        let framing = match flow.transport.is_reliable() {
            true => Framing::Stream,
            false => Framing::Datagram,
        };
        let copy = self.copy_of_elsewhere(&waiting.bytes);
        let limits = self.settings.limits;
        let Incoming::Request(request) = sip::parse(&mut waiting.bytes, framing, &limits) else {
            return; // it was read when it came
        };
        let Answer { verdict, settled } = answer;
        if let Some(reject) = self.refusal(verdict) {
            return self.respond(now, (flow, key), &request, Brought::Refusal(reject), out);
        }
        self.credits
            .granted
            .insert(key, Granted { number, settled });
        if let Some(bytes) = copy
            && self.waits(now, (flow, key), &request, bytes, out)
        {
            return;
        }
        self.respond(now, (flow, key), &request, Brought::Nothing, out);
    }

    /// A lasting service has to end.
    pub(super) fn credit_withdrawn(&mut self, number: u64, why: Withdrawal, out: &mut Outbox) {
        tracing::debug!(number, ?why, "credit withdrawn");
        out.free.push(Effect::CreditEnded {
            number,
            delivered: true,
        });
    }

    fn refusal(&self, verdict: Verdict) -> Option<Reject> {
        match verdict {
            Verdict::Granted => None,
            Verdict::NoCredit if self.settings.online.payment_required => {
                Some(Reject::PaymentRequired)
            }
            Verdict::NoCredit => Some(Reject::Forbidden(phrase::NO_CREDIT)),
            Verdict::Refused => Some(Reject::Forbidden(phrase::NOT_CHARGEABLE)),
            Verdict::Unavailable => Some(Reject::Busy { retry_after: AWAY }),
        }
    }

    /// A request has its final status: a service that was given is settled in the same batch, another is given back.
    pub(super) fn settle_credit(&mut self, key: Key, status: u16, out: &mut Outbox) {
        let Some(Granted { number, settled }) = self.credits.granted.remove(&key) else {
            return;
        };
        let delivered = (200..300).contains(&status);
        let record: Box<[u8]> = number.to_be_bytes().into();
        match settled {
            _ if !delivered => {}
            Settled::Unchanged => {}
            Settled::Nothing => out.batch.ops.push(Op::Delete {
                table: Table::Credit,
                key: record,
            }),
            Settled::Owed(value) => out.batch.ops.push(Op::Put {
                table: Table::Credit,
                key: record,
                value: value.into(),
            }),
        }
        out.held.push(Effect::CreditEnded { number, delivered });
    }

    /// Gives up on answers of which nothing was heard.
    pub(super) fn expire_credits(&mut self, now: Timestamp, out: &mut Outbox) {
        let over = |(_, waiting): &(&u64, &Waiting)| waiting.until <= now;
        while let Some((&number, _)) = self.credits.waiting.iter().find(over) {
            let answer = Answer {
                verdict: Verdict::Unavailable,
                settled: Settled::Unchanged,
            };
            self.credit_answered(now, number, answer, out);
            out.free.push(Effect::CreditEnded {
                number,
                delivered: false,
            });
        }
    }
}
