//! Requests that wait for credit (TS 32.260 §5.3): asked for before the request is served, once for each transaction
//! however often it is retransmitted, and given back when the request is refused afterwards. `sessions`: subscriptions
//! whose credit lasts as long as they do. `notifies`: NOTIFYs that ask.

mod notifies;
mod payers;
mod sessions;

use super::request::{self, Ask, Brought, Reply};
use super::{Effect, Node, Outbox, headers};
use crate::charge::credit::{Answer, Request as Credit, Settled, Verdict, Withdrawal};
use crate::charge::{Chargeable, first_of};
use crate::event::subscription::SubscriptionId;
use crate::isc::{Caller, Charging};
use crate::record::{Batch, Op, Table, decode};
use crate::reject::{Reject, phrase};
use crate::sip::{self, Flow, Framing, Incoming, KnownMethod, Method, Name, Request};
use crate::time::{Seconds, Timestamp};
use crate::transaction::Key;
use notifies::Notifies;
use sessions::Sessions;
use std::collections::BTreeMap;

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    flow: Flow,
    key: Key,
    /// The request as it came.
    bytes: Vec<u8>,
    until: Timestamp,
    lasting: bool,
    /// What it may use when it has begun, as far as that was said.
    most: Option<u64>,
}

/// A request that was granted and is not answered yet: it may wait for something else.
#[derive(Debug)]
struct Granted {
    number: u64,
    settled: Settled,
    lasting: bool,
    most: Option<u64>,
    /// It is over as soon as it begins.
    withdrawn: Option<Withdrawal>,
}

/// What asks for credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    method: Chargeable,
    /// For a subscription, as long as it lasts.
    lasting: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Credits {
    last: u64,
    /// The number that the store has.
    marked: u64,
    waiting: BTreeMap<u64, Waiting>,
    granted: BTreeMap<Key, Granted>,
    pub sessions: Sessions,
    pub notifies: Notifies,
}

impl Credits {
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // numbers rise, and with them the instants
        let request = self.waiting.first_key_value().map(|(_, w)| w.until);
        request
            .into_iter()
            .chain(self.notifies.next_deadline())
            .chain(self.sessions.next_deadline())
            .min()
    }

    /// Nobody waits for credit, or with it for something else.
    pub fn is_quiet(&self) -> bool {
        self.len() == 0 && self.notifies.is_quiet()
    }

    /// Requests under way.
    fn len(&self) -> usize {
        self.waiting.len() + self.granted.len()
    }

    /// A number that no charge has had, not even one of an earlier process: it begins with the time.
    fn number(&mut self, now: Timestamp, batch: &mut Batch) -> u64 {
        self.last = (self.last + 1).max(first_of(now));
        if self.last >= self.marked.saturating_add(MARK_EVERY) {
            self.marked = self.last;
            batch.put(Table::Node, LAST_CHARGE, &self.last);
        }
        self.last
    }

    /// Takes up the number that the store has. `false`: it is none.
    pub fn recover_mark(&mut self, value: &[u8]) -> bool {
        decode(value).map(|marked| self.marked = marked).is_some()
    }

    /// Everything is read. A clock that was set back since the mark would give numbers that were given before, and with
    /// them Session-Ids, for whose charges an OCS has its answers ready: they go on above all of these.
    pub fn recovered(&mut self, now: Timestamp) {
        let used = self.marked.saturating_add(MARK_EVERY);
        if self.marked > 0 && first_of(now) < used {
            self.skip_past(used);
        }
    }

    /// Goes on above a number found in the store.
    /// The least number that the next charge may have.
    pub fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub fn skip_past(&mut self, number: u64) {
        self.last = self.last.max(number);
    }
}

/// Key of the mark of numbers in [`Table::Node`].
pub(super) const LAST_CHARGE: &[u8] = b"last-charge";

/// How far numbers may be above the mark: those of ten seconds.
const MARK_EVERY: u64 = first_of(Timestamp(10_000));

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

    /// What a request is charged as, where it has to ask for credit. One that ends something does not, nor one that
    /// goes on with a subscription whose credit lasts.
    pub(super) fn asks_credit(&self, flow: &Flow, request: &Request<'_>) -> Option<Asking> {
        let method = match request.method {
            Method::Known(KnownMethod::Publish) => Chargeable::Publish,
            Method::Known(KnownMethod::Subscribe) => Chargeable::Subscribe,
            Method::Known(KnownMethod::Register) => Chargeable::Register,
            _ => return None,
        };
        let subscribes = method == Chargeable::Subscribe;
        let tag = request.to.tag().filter(|_| subscribes);
        let none_left = headers::expires(&request.headers) == Ok(Some(Seconds(0)));
        let fetches = none_left && subscribes && tag.is_none();
        let session = tag
            .and_then(SubscriptionId::parse)
            .and_then(|id| self.credits.sessions.number(id));
        let online = &self.settings.online;
        let lasting = online.lasting && subscribes && !none_left;
        let asks = online.asks(method)
            && self.settings.trust.trusts(flow.remote.ip())
            && (fetches || !none_left)
            && !(lasting && session.is_some());
        asks.then_some(Asking { method, lasting })
    }

    /// Has a request wait for credit.
    pub(super) fn awaits_credit(
        &mut self,
        now: Timestamp,
        (flow, key): (Flow, Key),
        (request, asking): (&Request<'_>, Asking),
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) {
        // what is to be refused anyway is not debited first, nor are its charges written to a disk that is nearly full
        let moot = (self.draining || self.low_space) && makes_new_state(request);
        if moot || self.credits.len() >= self.settings.online.waiting {
            let retry_after = if moot { request::AWAY } else { AWAY };
            let busy = Reject::Busy { retry_after };
            return self.respond(now, (flow, key), request, Brought::Refusal(busy), out);
        }
        let ask = Ask {
            request,
            caller: Caller::of(&request.headers),
            charging: Charging::of(&request.headers),
            fetched: None,
        };
        let number = self.credits.number(now, &mut out.batch);
        let Asking { method, lasting } = asking;
        let mut event = self.event(now, &ask, method, 0);
        event.number = number;
        let ecf = self
            .addresses(&ask)
            .ecf
            .iter()
            .map(|a| a.to_string())
            .collect();
        let waiting = Waiting {
            flow,
            key,
            bytes,
            until: now + self.settings.online.patience,
            lasting,
            most: None,
        };
        self.credits.waiting.insert(number, waiting);
        out.free.push(Effect::Credit(Box::new(Credit {
            number,
            event,
            ecf,
            lasting,
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
        if self.notify_decided(now, number, &answer, out) {
            return;
        }
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
        let granted = Granted {
            number,
            settled,
            lasting: waiting.lasting,
            most: waiting.most,
            withdrawn: None,
        };
        self.credits.granted.insert(key, granted);
        if let Some(bytes) = copy
            && self.waits(now, (flow, key), &request, bytes, out)
        {
            return;
        }
        self.respond(now, (flow, key), &request, Brought::Nothing, out);
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

    /// A request has its final status: a service that was given is settled in the same batch, or goes on; another is
    /// given back.
    pub(super) fn settle_credit(
        &mut self,
        now: Timestamp,
        key: Key,
        reply: &Reply,
        out: &mut Outbox,
    ) {
        let Some(granted) = self.credits.granted.remove(&key) else {
            return;
        };
        let number = granted.number;
        let delivered = (200..300).contains(&reply.status);
        let id = reply.to_tag.as_deref().and_then(SubscriptionId::parse);
        // where the store is to know nothing of it there is no session: nobody charges this user
        let session = granted.lasting && matches!(granted.settled, Settled::Owed(_));
        let Some(id) = id.filter(|_| session && delivered) else {
            return settle(number, granted.settled, delivered, out);
        };
        write(number, granted.settled, out);
        self.open_session(id, (number, granted.most), out);
        if let Some(why) = granted.withdrawn {
            self.credit_withdrawn(now, number, why, out);
        }
    }

    /// Gives up on answers of which nothing was heard.
    pub(super) fn expire_credits(&mut self, now: Timestamp, out: &mut Outbox) {
        while let Some((&number, waiting)) = self.credits.waiting.first_key_value()
            && waiting.until <= now
        {
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
        self.expire_notifies(now, out);
        self.expire_untold(now);
    }
}

/// Whether a request that asks for credit can only be served with a new publication or subscription.
fn makes_new_state(request: &Request<'_>) -> bool {
    let lasts = headers::expires(&request.headers) != Ok(Some(Seconds(0)));
    match request.method {
        Method::Known(KnownMethod::Publish) => request.headers.get(Name::SipIfMatch).is_none(),
        Method::Known(KnownMethod::Subscribe) => lasts && request.to.tag().is_none(),
        _ => false,
    }
}

/// Settles a service that is over, and says so behind the batch.
fn settle(number: u64, settled: Settled, delivered: bool, out: &mut Outbox) {
    if delivered {
        write(number, settled, out);
    }
    out.held.push(Effect::CreditEnded { number, delivered });
}

/// What the store says of a charge from now on.
fn write(number: u64, settled: Settled, out: &mut Outbox) {
    let key: Box<[u8]> = number.to_be_bytes().into();
    let table = Table::Credit;
    match settled {
        Settled::Unchanged => {}
        Settled::Nothing => out.batch.ops.push(Op::Delete { table, key }),
        Settled::Owed(value) | Settled::Over(value) => out.batch.ops.push(Op::Put {
            table,
            key,
            value: value.into(),
        }),
    }
}
