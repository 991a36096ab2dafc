//! One peer: its state machine, its watchdog, its timers, its connections and what becomes of them.

mod messages;
mod steps;

use crate::Instant;
use crate::base::{Applications, Goodbye, Local, Remote};
use crate::fault::{Fault, ResultCode};
use crate::message::Header;
use crate::node::{Condition, ConnectionId, Output, PeerSettings, Settings};
use crate::overload::Overload;
use crate::peer::{Action, Event, Side, State};
use crate::route::{PeerId, Pending};
use crate::watchdog::{self, Status, Watchdog};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// What a step of an association may use.
pub(crate) struct Tools<'a> {
    pub now: Instant,
    pub settings: &'a Settings,
    pub random: &'a mut ChaCha8Rng,
    pub pending: &'a mut Pending,
    pub out: &'a mut VecDeque<Output>,
}

impl Tools<'_> {
    fn local(&self) -> &Local {
        &self.settings.local
    }

    /// Identifiers of a message of our own. Its End-to-End Identifier has the first bit set, which those of
    /// requests given to the node have not, so that the two cannot meet (RFC 6733 §3).
    fn identifiers(&mut self) -> (u32, u32) {
        let hop_by_hop = self.pending.fresh();
        (hop_by_hop, self.random.next_u32() | 1 << 31)
    }
}

#[derive(Debug)]
pub(crate) struct Association {
    pub id: PeerId,
    pub settings: PeerSettings,
    state: State,
    watchdog: Watchdog,
    /// Counts the connections that we make, so that what is heard of an old one is not taken for the present one.
    generation: u32,
    /// Our address on the connection that we made.
    address: Option<IpAddr>,
    /// The connection that the peer made, from its CER on.
    caller: Option<Caller>,
    /// No connection is made to it: it connects to us.
    passive: bool,
    /// What the peer machine waits for at most: a connection, a CEA, a DPA, or the next attempt.
    timer: Option<Instant>,
    /// Tw.
    watch: Option<Instant>,
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// Hop-by-hop identifiers of our unanswered CER, DWR, DPR.
    asked: Asked,
    /// No connection is made any more.
    leaving: bool,
    /// What our DPR says.
    goodbye: Goodbye,
    /// The peer said by DPR that it wants to be left alone for longer (Disconnect-Cause BUSY or DO_NOT_WANT).
    unwelcome: bool,
    /// What both sides serve, since the last capabilities exchange.
    pub applications: Applications,
    /// Why it is not up, for the operator.
    pub why: String,
    /// What it wants to be spared, by Application-Id: a report is about the application of the answer that carries it
    /// (RFC 7683 §5.2.1.1).
    pub overload: BTreeMap<u32, Overload>,
    /// The highest Origin-State-Id that it has said.
    state_id: Option<u32>,
}

/// A connection that a peer has made, with the CER that it said there.
#[derive(Debug)]
pub(crate) struct Caller {
    pub connection: ConnectionId,
    /// Our address on it.
    pub local: IpAddr,
    pub cer: Header,
    pub remote: Remote,
}

#[derive(Debug, Default)]
struct Asked {
    cer: Option<u32>,
    dwr: Option<u32>,
    dpr: Option<u32>,
}

impl Association {
    pub fn new(id: PeerId, settings: PeerSettings) -> Association {
        Association {
            id,
            settings,
            state: State::Closed,
            watchdog: Watchdog::INITIAL,
            generation: 0,
            address: None,
            caller: None,
            passive: false,
            timer: None,
            watch: None,
            failures: 0,
            asked: Asked::default(),
            leaving: false,
            goodbye: Goodbye::Rebooting,
            unwelcome: false,
            applications: Applications::default(),
            why: String::new(),
            overload: BTreeMap::new(),
            state_id: None,
        }
    }

    /// A peer that connects to us.
    pub fn passive(id: PeerId, settings: PeerSettings) -> Association {
        Association {
            passive: true,
            ..Association::new(id, settings)
        }
    }

    pub fn condition(&self) -> Condition {
        match (self.state, self.watchdog.status) {
            (State::Closed, _) => Condition::Closed,
            (
                State::WaitConnAck | State::WaitICea | State::WaitConnAckElect | State::WaitReturns,
                _,
            ) => Condition::Connecting,
            (State::Closing(_), _) => Condition::Closing,
            (State::Open(_), Status::Okay) => Condition::Up,
            (State::Open(_), Status::Suspect) => Condition::Suspect,
            (State::Open(_), Status::Reopen | Status::Initial | Status::Down) => {
                Condition::Reopening
            }
        }
    }

    /// The connection that messages go over: the one that is open, or the one that is being made.
    pub fn connection(&self) -> ConnectionId {
        match (self.state, &self.caller) {
            (State::Open(Side::Accepted) | State::Closing(Side::Accepted), Some(caller)) => {
                caller.connection
            }
            _ => self.initiated(),
        }
    }

    /// Our address on the connection that messages go over.
    fn here(&self) -> Option<IpAddr> {
        match (self.state, &self.caller) {
            (State::Open(Side::Accepted) | State::Closing(Side::Accepted), Some(caller)) => {
                Some(caller.local)
            }
            _ => self.address,
        }
    }

    pub fn open_connection(&self) -> Option<ConnectionId> {
        matches!(self.state, State::Open(_)).then(|| self.connection())
    }

    /// The connection that we made last.
    fn initiated(&self) -> ConnectionId {
        ConnectionId {
            peer: self.id,
            generation: self.generation,
        }
    }

    /// Who made this connection, if it is one of this peer's present ones.
    pub fn side_of(&self, connection: ConnectionId) -> Option<Side> {
        if self.initiated() == connection {
            return Some(Side::Initiated);
        }
        let caller = self.caller.as_ref();
        caller
            .filter(|caller| caller.connection == connection)
            .map(|_| Side::Accepted)
    }

    /// Whether messages are exchanged over the connection of this side.
    fn talks_on(&self, side: Side) -> bool {
        matches!(self.state, State::Open(on) | State::Closing(on) if on == side)
    }

    /// Whether it is closed for good.
    pub fn has_left(&self) -> bool {
        self.leaving && self.state == State::Closed
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.timer.into_iter().chain(self.watch).min()
    }

    /// Time has passed.
    pub fn tick(&mut self, tools: &mut Tools<'_>) {
        if self.timer.is_some_and(|at| at <= tools.now) {
            self.timer = None;
            let event = if self.state == State::Closed {
                Event::Start
            } else {
                Event::Timeout
            };
            if event == Event::Timeout {
                self.why = match self.state {
                    State::WaitConnAck | State::WaitConnAckElect => "no connection in time".into(),
                    State::WaitICea | State::WaitReturns => "no CEA in time".into(),
                    _ => "no DPA in time".into(),
                };
            }
            self.fire(event, tools);
        }
        if self.watch.is_some_and(|at| at <= tools.now) {
            self.watch = None;
            self.watched(watchdog::Event::TimerElapsed, tools);
        }
    }

    /// The applications that we have for this peer.
    pub fn offered(&self, local: &Local) -> Applications {
        self.settings.applications().and(local.applications)
    }

    /// Who we are to this peer.
    fn toward(&self, local: &Local) -> Local {
        Local {
            applications: self.offered(local),
            ..local.clone()
        }
    }

    /// Asks for a connection.
    pub fn start(&mut self, tools: &mut Tools<'_>) {
        self.fire(Event::Start, tools);
    }

    pub fn connected(&mut self, local: IpAddr, tools: &mut Tools<'_>) {
        self.address = Some(local);
        self.fire(Event::ConnAck, tools);
    }

    pub fn connect_failed(&mut self, why: String, tools: &mut Tools<'_>) {
        self.fire_for(Event::ConnNack, why, tools);
    }

    /// The peer has connected and said a CER that is in order.
    pub fn called(&mut self, caller: Caller, tools: &mut Tools<'_>) {
        let (_, actions) = self.state.step(Event::ConnCer);
        if self.leaving || actions.contains(&Action::Reject) {
            return self.reject(&caller, tools);
        }
        self.caller = Some(caller);
        self.fire(Event::ConnCer, tools);
    }

    /// R-Reject (§5.6): there is a connection already. A peer that has lost it without our notice (its machine was
    /// switched off) could not come back until the watchdog finds out, so that connection is asked for a sign of life.
    fn reject(&mut self, caller: &Caller, tools: &mut Tools<'_>) {
        let connection = caller.connection;
        let refusal = Fault::new(ResultCode::UNABLE_TO_COMPLY);
        let bytes = tools.local().cea(&caller.cer, &refusal, caller.local);
        tools.out.push_back(Output::Send { connection, bytes });
        tools.out.push_back(Output::Close { connection });
        if self.condition() == Condition::Up && !self.watchdog.awaits_answer() {
            self.watched(watchdog::Event::TimerElapsed, tools);
        }
    }

    pub fn disconnected(&mut self, side: Side, tools: &mut Tools<'_>) {
        let why = match self.state {
            // it said so before, or we did
            State::Closing(_) => std::mem::take(&mut self.why),
            _ => "the peer closed the connection".into(),
        };
        self.fire_for(Event::Gone(side), why, tools);
    }

    /// Ends the association: DPR if it is open.
    pub fn stop(&mut self, why: Goodbye, tools: &mut Tools<'_>) {
        self.goodbye = why;
        self.leaving = true;
        self.timer = None;
        self.why = "stopped here".into();
        self.fire(Event::Stop, tools);
    }

    pub fn send(&self, bytes: Vec<u8>, tools: &mut Tools<'_>) {
        tools.out.push_back(Output::Send {
            connection: self.connection(),
            bytes,
        });
    }
}
