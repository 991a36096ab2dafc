//! Many charges under way at once: their timers, the sessions that servers ask about, and what has to be stored.
//!
//! It stands between the services, which ask for a decision, and a [`node::Node`](crate::node::Node), which carries
//! the questions. It writes no message, since what a request says of its service is the owner's business.

use super::event::OneTime;
use super::session::Session;
use super::verdict::{Told, Verdict};
use super::{Decision, Input, Output, Owed, Policy, Terms};
use crate::Instant;
use crate::dictionary::{CMD_RE_AUTH, SESSION_ID};
use crate::fault::ResultCode;
use crate::message::Message;
use crate::node::{ConnectionId, Outcome};
use crate::ro::{RequestedAction, UnitsIn};
use crate::route::PeerId;
use entry::{Entry, Machine, session_id_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use order::{Charge, Full, Given, Kept, Order, Said};

/// RARs and ASRs of one session that wait until its service is known to be given.
const HELD_MAX: usize = 4;

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
        // nothing is said of a new one as long as it may use any number
        let told = kept.is_none().then_some(None);
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
            limit: None,
            told,
            stored: 0,
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

    /// A service that lasts has to wait for a unit.
    pub fn wanted(&mut self, now: Instant, key: u64) {
        self.handle(now, key, Input::Wanted, None);
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
                terms: Terms::default(),
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
        let kept = entry.keep(key, now, owed, &out, &self.policy);
        self.orders.extend(kept);
        if !done {
            let allowed = entry.tell(key, self.policy.lag_units);
            self.orders.extend(allowed); // behind what was stored for it
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
                Output::Allowed(_) | Output::Renewed => {} // seen to before
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

mod entry;
mod order;
mod resume;
#[cfg(test)]
mod tests;
