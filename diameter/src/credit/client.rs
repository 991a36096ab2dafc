//! Many charges under way at once: their timers, the sessions that servers ask about, and what has to be stored.
//!
//! It stands between the services, which ask for a decision, and a [`node::Node`](crate::node::Node), which carries
//! the questions. It writes no message, since what a request says of its service is the owner's business.

use super::event::OneTime;
use super::session::Session;
use super::verdict::{Told, Verdict};
use super::{Decision, Denial, Input, Output, Owed, Policy, Question, Withdrawal};
use crate::Instant;
use crate::dictionary::{CMD_RE_AUTH, SESSION_ID};
use crate::fault::{Class, ResultCode};
use crate::message::Message;
use crate::node::{ConnectionId, Outcome};
use crate::ro::{CreditAnswer, RequestedAction, UnitsIn};
use crate::route::PeerId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is asked before a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Immediate event charging: debited now, refunded if the service fails.
    Debit,
    /// Charging with unit reservation: reserved now, debited at the end.
    Reserve,
    /// The same for a service that goes on: units are reserved and debited while it lasts.
    Lasting,
    /// Whether there is credit, without debit or reservation.
    CheckBalance,
    /// What it would cost.
    PriceEnquiry,
}

/// What of a charge outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub owed: Owed,
    /// Origin-Host of the server that holds the session.
    pub server: Option<String>,
    /// Sessions that the charge had before this one: it is part of the Session-Id.
    pub renewals: u32,
}

/// What the owner has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To be in the store before the orders that follow are carried out.
    Keep {
        key: u64,
        kept: Kept,
    },
    /// To be taken out of the store.
    Forget {
        key: u64,
    },
    /// A request for the node; its outcome comes back through [`Client::outcome`].
    Ask {
        key: u64,
        session_id: String,
        /// Sessions that the charge had before this one, each with numbers of its own.
        renewals: u32,
        question: Question,
        /// The peer through which the session's server was reached.
        prefer: Option<PeerId>,
        /// The peer that has just failed.
        avoid: Option<PeerId>,
        /// See [`Request::bound`](crate::node::Request::bound).
        bound: Option<String>,
    },
    Decided {
        key: u64,
        decision: Decision,
    },
    /// See [`Output::Allowed`].
    Allowed {
        key: u64,
        units: Option<u64>,
    },
    Withdrawn {
        key: u64,
        why: Withdrawal,
    },
    /// For [`Input::Reply`](crate::node::Input::Reply).
    Reply {
        connection: ConnectionId,
        request: Vec<u8>,
        result: ResultCode,
    },
    /// The server refuses what was owed, or was not there to take it: for the operator.
    Unsettled {
        key: u64,
        owed: Owed,
        said: Option<Said>,
    },
}

/// How the last question of a charge was refused; there is none where it was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// That of the service, where there is one; else that of the command.
    pub result: ResultCode,
    /// Origin-Host and Error-Message.
    pub host: Option<String>,
    pub message: Option<String>,
}

/// What would be true of a charge if its service were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub kept: Kept,
    /// What nobody would take, as in [`Order::Unsettled`]. Nothing is kept then.
    pub unsettled: Option<(Owed, Option<Said>)>,
}

/// More charges, or sessions of services that last, are under way than this client was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} charges are under way")]
pub struct Full(pub usize);

#[derive(Debug)]
enum Machine {
    Event(OneTime),
    Session(Box<Session>),
}

#[derive(Debug)]
struct Entry {
    machine: Machine,
    /// That of the charge, and behind it which of its sessions this is, unless it is the first.
    session_id: String,
    renewals: u32,
    /// The question under way.
    asked: Option<Question>,
    server: Option<String>,
    said: Option<Box<Said>>,
    peer: Option<PeerId>,
    /// What the store has, as far as it was written here.
    kept: Option<Kept>,
    /// When what the store has is to catch up with what was used.
    late: Option<Instant>,
    /// What happened since the service was granted and before it is known what became of it: until then the store is
    /// written by whoever gives the service.
    handed: Option<Vec<Held>>,
    lasting: bool,
    deadline: Option<Instant>,
}

/// An input that waits, with the request that it is, if any.
type Held = (Input, Option<(ConnectionId, Vec<u8>)>);

/// RARs and ASRs of one session that wait until its service is known to be given.
const HELD_MAX: usize = 4;

/// Sessions of an earlier process that are asked for in a millisecond.
const RESUMED_EACH_MS: u64 = 1;

/// How much longer than configured those that go on without a session wait at most when they are many.
const LONGEST_AGAIN: u64 = 10;

/// The charges of one node, by a key of the owner's choice.
#[derive(Debug)]
pub struct Client {
    policy: Policy,
    units_in: UnitsIn,
    max: usize,
    max_sessions: usize,
    lasting: usize,
    entries: BTreeMap<u64, Entry>,
    sessions: BTreeMap<String, u64>,
    due: BTreeSet<(Instant, u64)>,
    orders: VecDeque<Order>,
}

impl Client {
    /// For at most `max` charges that wait for a decision or run.
    pub fn new(policy: Policy, units_in: UnitsIn, max: usize) -> Client {
        Client {
            policy,
            units_in,
            max,
            max_sessions: max,
            lasting: 0,
            entries: BTreeMap::new(),
            sessions: BTreeMap::new(),
            due: BTreeSet::new(),
            orders: VecDeque::new(),
        }
    }

    /// For at most `max` services that last, besides.
    pub fn with_sessions(self, max: usize) -> Client {
        Client {
            max_sessions: max,
            ..self
        }
    }

    /// Asks for a service. The key and the Session-Id must be new.
    pub fn begin(
        &mut self,
        now: Instant,
        key: u64,
        session_id: String,
        charge: Charge,
    ) -> Result<(), Full> {
        let lasting = charge == Charge::Lasting;
        let (used, max) = match lasting {
            true => (self.lasting, self.max_sessions),
            false => (self.entries.len() - self.lasting, self.max),
        };
        if used >= max {
            return Err(Full(max));
        }
        let mut out = Vec::new();
        let event = |action, out: &mut Vec<Output>| {
            Machine::Event(OneTime::start(action, now, &self.policy, out))
        };
        let machine = match charge {
            Charge::Debit => event(RequestedAction::DirectDebiting, &mut out),
            Charge::CheckBalance => event(RequestedAction::CheckBalance, &mut out),
            Charge::PriceEnquiry => event(RequestedAction::PriceEnquiry, &mut out),
            Charge::Reserve | Charge::Lasting => {
                let session = Session::start(now, &self.policy, lasting, &mut out);
                Machine::Session(Box::new(session))
            }
        };
        self.insert(key, session_id, machine, lasting, None);
        self.follow(now, key, out, None);
        Ok(())
    }

    /// Takes up what the store kept of an earlier process, with the Session-Id that the charge began with. What is owed is
    /// never refused for lack of room. `lives`: the service still goes on, where it is one that lasts.
    pub fn resume(&mut self, now: Instant, key: u64, session_id: String, kept: Kept, lives: bool) {
        let owed = match kept.owed {
            Owed::Open {
                number,
                used,
                report,
                ..
            } if !lives => Owed::Close {
                number,
                used,
                report,
            },
            Owed::Uncontrolled if !lives => Owed::Nothing,
            Owed::Given { used } if !lives => {
                if used > 0 {
                    let owed = kept.owed; // no session will take it
                    self.orders.push_back(Order::Unsettled {
                        key,
                        owed,
                        said: None,
                    });
                }
                Owed::Nothing
            }
            owed => owed,
        };
        let goes_on = matches!(
            owed,
            Owed::Open { .. } | Owed::Uncontrolled | Owed::Given { .. }
        );
        if lives && !goes_on {
            let why = Withdrawal::Denied(Denial::Unavailable); // it had been, and was not heard of
            self.orders.push_back(Order::Withdrawn { key, why });
        }
        // So many that they would crowd out each other are asked for one after the other.
        let at = now.after(self.lasting as u64 / RESUMED_EACH_MS);
        let event = OneTime::resume(owed, now).map(Machine::Event);
        let policy = self.policy_of(key);
        let session = || {
            let session = Session::resume(owed, at, &policy)?;
            Some(Machine::Session(Box::new(session)))
        };
        match event.or_else(session) {
            Some(machine) => {
                let mut out = Vec::new();
                if let Machine::Session(session) = &machine
                    && goes_on
                {
                    out.push(Output::Allowed(session.allowance()));
                }
                self.insert(key, session_id, machine, goes_on, Some(kept));
                self.follow(now, key, out, None);
            }
            None => self.orders.push_back(Order::Forget { key }),
        }
    }

    fn insert(
        &mut self,
        key: u64,
        session_id: String,
        machine: Machine,
        lasting: bool,
        kept: Option<Kept>,
    ) {
        self.lasting += usize::from(lasting);
        let renewals = kept.as_ref().map_or(0, |kept| kept.renewals);
        let session_id = session_id_of(&session_id, renewals);
        self.sessions.insert(session_id.clone(), key);
        let entry = Entry {
            machine,
            session_id,
            renewals,
            asked: None,
            server: kept.as_ref().and_then(|kept| kept.server.clone()),
            said: None,
            peer: None,
            kept,
            late: None,
            handed: None,
            lasting,
            deadline: None,
        };
        self.entries.insert(key, entry);
    }

    /// How a question ended, from [`Output::Answered`](crate::node::Output::Answered).
    pub fn outcome(&mut self, now: Instant, key: u64, peer: Option<PeerId>, outcome: &Outcome) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.peer = peer.or(entry.peer);
        let Some(question) = entry.asked.take() else {
            return;
        };
        entry.said = None;
        let input = match outcome {
            Outcome::Answer(bytes) => entry.read(bytes, &question, self.units_in),
            Outcome::Unreadable | Outcome::Unanswered => Input::Lost,
            Outcome::NoPeer | Outcome::Full | Outcome::Spared => Input::Unsent,
            Outcome::TooLong => Input::Answered(Told::plain(Verdict::Failed)), // and always will be
        };
        self.handle(now, key, input, None);
    }

    /// A service that lasts goes on, and the store says so: it has used so many units that were not told before, none
    /// at its begin.
    pub fn used(&mut self, now: Instant, key: u64, units: u64) {
        if self.entries.get(&key).is_some_and(|e| e.handed.is_some()) {
            self.fated(now, key, Input::Begun);
        }
        self.handle(now, key, Input::Used { units }, None);
    }

    /// The service is over, and the store says so: it used so many units that were not told before. Of one that does
    /// not last that is 1 when it was delivered, and 0 when it was not.
    pub fn ended(&mut self, now: Instant, key: u64, used: u64) {
        self.fated(now, key, Input::Ended { used });
    }

    /// What became of the service is known: the store is written here again, and what happened meanwhile follows.
    fn fated(&mut self, now: Instant, key: u64, input: Input) {
        let held = self.entries.get_mut(&key).and_then(|e| e.handed.take());
        if held.is_some() {
            self.overwrite(key);
        }
        self.handle(now, key, input, None);
        for (input, from) in held.into_iter().flatten() {
            let from = from.as_ref().map(|(id, bytes)| (*id, bytes.as_slice()));
            self.handle(now, key, input, from);
        }
    }

    /// The store has what another wrote, which has to go whatever this client thinks is there.
    fn overwrite(&mut self, key: u64) {
        if let Some(entry) = self.entries.get_mut(&key) {
            let nothing = Kept {
                owed: Owed::Nothing,
                server: None,
                renewals: 0,
            };
            entry.kept = Some(nothing); // unlike all that is ever stored
        }
    }

    /// A RAR or ASR, from [`Output::Asked`](crate::node::Output::Asked).
    pub fn asked(&mut self, now: Instant, connection: ConnectionId, request: &[u8]) {
        let message = Message::parse(request).ok();
        let session = message
            .as_ref()
            .and_then(|m| m.find(&SESSION_ID)?.text())
            .and_then(|id| self.sessions.get(id));
        let from = Some((connection, request));
        match (session, message) {
            (Some(key), Some(message)) => {
                let input = match message.header.command {
                    CMD_RE_AUTH => Input::ReAuth,
                    _ => Input::Abort,
                };
                self.handle(now, *key, input, from);
            }
            // RFC 6733 §8.3.2 and §8.5.2: DIAMETER_UNKNOWN_SESSION_ID
            _ => self.reply(from, ResultCode::UNKNOWN_SESSION_ID),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        while let Some((_, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.handle(now, key, Input::Tick, None);
        }
    }

    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whether a charge is not over yet.
    pub fn knows(&self, key: u64) -> bool {
        self.entries.contains_key(&key)
    }

    /// What would be true if the service were given now; `None` for a charge that is over.
    pub fn if_given(&self, key: u64, now: Instant) -> Option<Given> {
        let entry = self.entries.get(&key)?;
        let given = match entry.lasting {
            true => Input::Begun,
            false => Input::Ended { used: 1 },
        };
        let mut out = Vec::new();
        let owed = match &entry.machine {
            Machine::Event(event) => {
                let mut event = event.clone();
                event.handle(now, given, &self.policy, &mut out);
                event.owed()
            }
            Machine::Session(session) => {
                let mut session = session.clone();
                session.handle(now, given, &self.policy, &mut out);
                session.owed()
            }
        };
        let unsettled = out.iter().find_map(|output| match output {
            Output::Unsettled(owed) => Some((*owed, entry.said.as_deref().cloned())),
            _ => None,
        });
        let kept = entry.kept_for(owed);
        Some(Given { kept, unsettled })
    }

    /// The policy for one charge: those that ask again do so each at a time of its own, and all of them together not more
    /// often than sessions are taken up after a start.
    fn policy_of(&self, key: u64) -> Policy {
        let Policy { again, .. } = self.policy;
        let least = self.lasting as u64 / RESUMED_EACH_MS;
        let spread = u64::from(key_hash(key) % 512); // of 1024: three quarters to five quarters of the time
        let wait = again.max(least.min(again.saturating_mul(LONGEST_AGAIN)));
        Policy {
            again: wait.saturating_mul(768 + spread) / 1_024,
            ..self.policy
        }
    }

    /// Charges that are not over.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those of them that last.
    pub fn sessions(&self) -> usize {
        self.lasting
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn handle(
        &mut self,
        now: Instant,
        key: u64,
        input: Input,
        from: Option<(ConnectionId, &[u8])>,
    ) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some(held) = &mut entry.handed {
            if from.is_none() || held.len() < HELD_MAX {
                held.push((input, from.map(|(id, bytes)| (id, bytes.to_vec()))));
            } else {
                self.reply(from, ResultCode::TOO_BUSY);
            }
            return;
        }
        let policy = self.policy_of(key);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let mut out = Vec::new();
        match &mut entry.machine {
            Machine::Event(event) => event.handle(now, input, &policy, &mut out),
            Machine::Session(session) => session.handle(now, input, &policy, &mut out),
        }
        self.follow(now, key, out, from);
    }

    /// Turns what a machine said into orders: first what has to be stored, then what depends on it.
    fn follow(
        &mut self,
        now: Instant,
        key: u64,
        out: Vec<Output>,
        from: Option<(ConnectionId, &[u8])>,
    ) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let (owed, deadline, done) = match &entry.machine {
            Machine::Event(event) => (event.owed(), event.deadline(), event.is_done()),
            Machine::Session(session) => (session.owed(), session.deadline(), session.is_done()),
        };
        let said = entry.said.clone();
        if out.contains(&Output::Renewed) {
            self.sessions.remove(&entry.session_id);
            entry.renew();
            self.sessions.insert(entry.session_id.clone(), key);
        }
        let kept = (owed != Owed::Nothing).then(|| entry.kept_for(owed));
        let is_quiet = out.iter().all(|o| matches!(o, Output::Allowed(_)));
        if kept == entry.kept {
            entry.late = None;
        } else if is_quiet && entry.may_wait(now, kept.as_ref()) {
            entry.late.get_or_insert(now.after(self.policy.lag));
        } else {
            entry.late = None;
            self.orders.push_back(match kept.clone() {
                Some(kept) => Order::Keep { key, kept },
                None => Order::Forget { key },
            });
            entry.kept = kept;
        }
        if let Some(old) = entry.deadline {
            self.due.remove(&(old, key));
        }
        let granted = |o: &Output| matches!(o, Output::Decided(Decision::Granted | Decision::Free));
        if !done && out.iter().any(granted) {
            entry.handed = Some(Vec::new());
        }
        let next = deadline.into_iter().chain(entry.late).min();
        entry.deadline = next.filter(|_| !done && entry.handed.is_none());
        self.due.extend(entry.deadline.map(|at| (at, key)));
        for output in out {
            match output {
                Output::Ask(question) => {
                    if let Some(entry) = self.entries.get_mut(&key) {
                        self.orders.push_back(entry.ask(key, question));
                    }
                }
                Output::Decided(decision) => {
                    self.orders.push_back(Order::Decided { key, decision });
                }
                Output::Allowed(units) => self.orders.push_back(Order::Allowed { key, units }),
                Output::Renewed => {} // seen to before
                Output::Withdrawn(why) => self.orders.push_back(Order::Withdrawn { key, why }),
                Output::Reply(result) => self.reply(from, result),
                Output::Unsettled(owed) => {
                    let said = said.as_deref().cloned();
                    self.orders.push_back(Order::Unsettled { key, owed, said });
                }
            }
        }
        if done && let Some(entry) = self.entries.remove(&key) {
            self.lasting -= usize::from(entry.lasting);
            self.sessions.remove(&entry.session_id);
        }
    }

    fn reply(&mut self, from: Option<(ConnectionId, &[u8])>, result: ResultCode) {
        if let Some((connection, request)) = from {
            self.orders.push_back(Order::Reply {
                connection,
                request: request.to_vec(),
                result,
            });
        }
    }
}

/// The Session-Id of one session of a charge.
fn session_id_of(first: &str, renewals: u32) -> String {
    match renewals {
        0 => first.to_owned(),
        _ => format!("{first};{renewals}"),
    }
}

/// Some bits of a key, which is a time and a count.
fn key_hash(key: u64) -> u16 {
    let x = (key ^ key >> 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 48) as u16
}

impl Entry {
    fn kept_for(&self, owed: Owed) -> Kept {
        Kept {
            owed,
            server: self.server.clone(),
            renewals: self.renewals,
        }
    }

    /// Another session follows, at whichever server takes it.
    fn renew(&mut self) {
        let behind = match self.renewals {
            0 => None,
            _ => self.session_id.rfind(';'),
        };
        let first = &self.session_id[..behind.unwrap_or(self.session_id.len())];
        let renewals = self.renewals.saturating_add(1);
        self.session_id = session_id_of(first, renewals);
        (self.renewals, self.server) = (renewals, None);
    }

    /// Whether the store may be behind for a while: a session goes on, and nothing but the count of its units, or what
    /// was learnt of them, has changed.
    fn may_wait(&self, now: Instant, kept: Option<&Kept>) -> bool {
        let open = |kept: &Kept| matches!(kept.owed, Owed::Open { .. } | Owed::Given { .. });
        self.late.is_none_or(|at| now < at)
            && kept.is_some_and(open)
            && self.kept.as_ref().is_some_and(open)
    }

    fn ask(&mut self, key: u64, question: Question) -> Order {
        self.asked = Some(question);
        // Until the server has named itself, or when it may be any, the choice is the node's.
        let bound = self.server.clone().filter(|_| question.bound);
        Order::Ask {
            key,
            session_id: self.session_id.clone(),
            renewals: self.renewals,
            question,
            prefer: self.peer.filter(|_| !question.elsewhere),
            avoid: self.peer.filter(|_| question.elsewhere),
            bound,
        }
    }

    /// An answer that cannot be read, or belongs to something else, says nothing: it counts as none.
    fn read(&mut self, bytes: &[u8], question: &Question, units_in: UnitsIn) -> Input {
        let message = Message::parse(bytes).ok();
        let answer = message
            .as_ref()
            .and_then(|message| CreditAnswer::read(message, units_in))
            .filter(|a| a.answers(&self.session_id, question.kind, question.number));
        let Some(answer) = answer else {
            return Input::Lost;
        };
        let result = answer.service_result.unwrap_or(answer.result);
        if result.class() != Class::Success {
            self.said = Some(Box::new(Said {
                result,
                host: answer.origin_host.map(str::to_owned),
                message: answer.error_message.map(str::to_owned),
            }));
        }
        let told = Told::read(&answer);
        if told.session_open {
            self.server = answer.origin_host.map(str::to_owned);
        }
        Input::Answered(told)
    }
}

#[cfg(test)]
mod tests;
