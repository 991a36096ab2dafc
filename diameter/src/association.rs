//! One peer: its state machine, its watchdog, its timers, its connections and the messages that drive them.

use crate::Instant;
use crate::base::{Applications, Goodbye, Local, Remote, read_cea, state_id};
use crate::dictionary::*;
use crate::fault::{Fault, FrameError, ResultCode};
use crate::grammar;
use crate::message::{Header, Message};
use crate::node::{Condition, ConnectionId, Output, PeerSettings, Settings};
use crate::overload::Overload;
use crate::peer::{Action, Event, Side, State, wins};
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

    /// The stream cannot be read any further. A request is told why (RFC 6733 §7.1.5) before the end.
    pub fn garbled(&mut self, side: Side, start: &[u8], error: FrameError, tools: &mut Tools<'_>) {
        let header = Header::read(start).filter(|header| header.flags.request());
        if let (true, Some(header)) = (self.talks_on(side), header) {
            let answer = tools
                .local()
                .answer(&header, None, &Fault::new(error.result()));
            self.send(answer, tools);
        }
        self.fire_for(Event::Gone(side), error.to_string(), tools);
    }

    /// Ends the association: DPR if it is open.
    pub fn stop(&mut self, why: Goodbye, tools: &mut Tools<'_>) {
        self.goodbye = why;
        self.leaving = true;
        self.timer = None;
        self.why = "stopped here".into();
        self.fire(Event::Stop, tools);
    }

    /// A request that cannot be read, or one that breaks a rule of the format.
    pub fn refuse(&mut self, side: Side, bytes: &[u8], fault: &Fault, tools: &mut Tools<'_>) {
        let Some(request) = Message::remains(bytes) else {
            return;
        };
        if self.talks_on(side) {
            let answer = tools.local().answer(&request.header, Some(&request), fault);
            self.send(answer, tools);
            self.watched(watchdog::Event::OtherMessage, tools);
        } else {
            self.untimely(side, tools);
        }
    }

    /// An answer that cannot be read. Returns whether it may be one to a request of ours.
    pub fn unreadable(&mut self, side: Side, tools: &mut Tools<'_>) -> bool {
        match self.talks_on(side) {
            true => self.watched(watchdog::Event::OtherMessage, tools),
            false => self.untimely(side, tools),
        }
        self.talks_on(side)
    }

    /// Answers a request that was handed over as [`Output::Asked`].
    pub fn reply(&mut self, request: &Message<'_>, result: ResultCode, tools: &mut Tools<'_>) {
        if matches!(self.state, State::Open(_) | State::Closing(_)) {
            let fault = Fault::new(result);
            let answer = tools.local().answer(&request.header, Some(request), &fault);
            self.send(answer, tools);
        }
    }

    /// A message on a connection over which none is due but the end of the capabilities exchange.
    fn untimely(&mut self, side: Side, tools: &mut Tools<'_>) {
        match (self.state, side) {
            (State::WaitICea | State::WaitReturns, Side::Initiated) => {
                self.why = "a message came where a CEA was due".into();
                self.fire(Event::NonCea, tools);
            }
            // It has not had its CEA, and speaks.
            (State::WaitConnAckElect | State::WaitReturns, Side::Accepted) => {
                self.fire(Event::Gone(side), tools);
            }
            _ => {}
        }
    }

    /// Takes a message. Returns whether it is an answer for whoever sent a request through this peer.
    pub fn received(&mut self, side: Side, message: &Message<'_>, tools: &mut Tools<'_>) -> bool {
        let header = &message.header;
        let ours = |asked: Option<u32>| asked == Some(header.hop_by_hop);
        if !self.talks_on(side) {
            let cea = !header.flags.request() && header.command == CMD_CAPABILITIES_EXCHANGE;
            let waits = matches!(self.state, State::WaitICea | State::WaitReturns);
            if waits && side == Side::Initiated && cea && ours(self.asked.cer) {
                self.judge(message, tools);
            } else {
                self.untimely(side, tools);
            }
            return false;
        }
        match (header.flags.request(), header.command) {
            (true, _) => {
                self.watched(watchdog::Event::OtherMessage, tools);
                self.notice_restart(state_id(message), tools);
                self.serve(message, tools);
                false
            }
            (false, CMD_DEVICE_WATCHDOG) => {
                if ours(self.asked.dwr.take_if(|hop| *hop == header.hop_by_hop)) {
                    self.notice_restart(state_id(message), tools);
                    self.watched(watchdog::Event::Answer, tools);
                }
                false
            }
            (false, CMD_DISCONNECT_PEER) => {
                if ours(self.asked.dpr) {
                    self.fire(Event::Dpa, tools);
                }
                false
            }
            (false, _) => {
                self.watched(watchdog::Event::OtherMessage, tools);
                if tools.settings.overload_control && self.applications.serves(header.application) {
                    let known = self.overload.remove(&header.application);
                    let after = Overload::after(known, message, tools.now);
                    self.overload
                        .extend(after.map(|of| (header.application, of)));
                }
                true
            }
        }
    }

    fn judge(&mut self, cea: &Message<'_>, tools: &mut Tools<'_>) {
        let offered = self.offered(tools.local());
        match read_cea(cea, self.settings.host.as_deref(), offered) {
            Ok(remote) => {
                self.met(remote, tools);
                self.fire(Event::Cea, tools);
            }
            Err(refusal) => {
                self.why = refusal.to_string();
                self.fire(Event::BadCea, tools);
            }
        }
    }

    /// Capabilities have been exchanged.
    fn met(&mut self, remote: Remote, tools: &mut Tools<'_>) {
        self.notice_restart(remote.state_id, tools);
        self.applications = remote.applications;
        self.settings.realm.get_or_insert(remote.realm);
        self.settings.host.get_or_insert(remote.host);
        self.why.clear();
    }

    /// A higher Origin-State-Id than before says that the peer has lost its sessions meanwhile (§8.16). Events are
    /// sessions that are over, so nothing is lost to accounting; credit control must know.
    fn notice_restart(&mut self, said: Option<u32>, tools: &mut Tools<'_>) {
        let Some(said) = said else { return };
        if self.state_id.is_some_and(|known| known < said) {
            tools.out.push_back(Output::Restarted { peer: self.id });
        }
        self.state_id = self.state_id.max(Some(said));
    }

    /// Answers a request of the peer. We are a client: it may ask only after ourselves and, where credit is
    /// controlled, about the sessions that we opened (RFC 6733 §8.3, §8.5): these the node's owner answers.
    fn serve(&mut self, request: &Message<'_>, tools: &mut Tools<'_>) {
        let header = &request.header;
        let ours = self.offered(tools.local());
        let verdict = grammar::check(request, &tools.settings.vocabulary);
        let verdict = match (header.command, header.application) {
            (CMD_DEVICE_WATCHDOG | CMD_DISCONNECT_PEER, _) => verdict,
            // §5.6: R-Conn-CER in Open is R-Reject; on the open connection itself a CER makes no sense at all.
            (CMD_CAPABILITIES_EXCHANGE, _) => Err(Fault::new(ResultCode::UNABLE_TO_COMPLY)),
            (_, application) if application != APP_COMMON && !ours.serves(application) => {
                Err(Fault::new(ResultCode::APPLICATION_UNSUPPORTED))
            }
            _ if let Some(result) = tools.local().turns_down(request) => Err(Fault::new(result)),
            (CMD_RE_AUTH | CMD_ABORT_SESSION, APP_CREDIT_CONTROL) if verdict.is_ok() => {
                return tools.out.push_back(Output::Asked {
                    connection: self.connection(),
                    request: request.to_vec(),
                });
            }
            // An event is a session that is over with its answer: there is none that could be asked for.
            (CMD_RE_AUTH | CMD_ABORT_SESSION | CMD_SESSION_TERMINATION, _) => {
                verdict.and(Err(Fault::new(ResultCode::UNKNOWN_SESSION_ID)))
            }
            _ => Err(Fault::new(ResultCode::COMMAND_UNSUPPORTED)),
        };
        let fault = verdict.err().unwrap_or(Fault::new(ResultCode::SUCCESS));
        let answer = match (header.command, self.here()) {
            (CMD_CAPABILITIES_EXCHANGE, Some(here)) => {
                self.toward(tools.local()).cea(header, &fault, here)
            }
            _ => tools.local().answer(header, Some(request), &fault),
        };
        self.send(answer, tools);
        if header.command == CMD_DISCONNECT_PEER && fault.result == ResultCode::SUCCESS {
            let cause = request.find(&DISCONNECT_CAUSE).and_then(|avp| avp.i32());
            self.unwelcome = matches!(cause, Some(1 | 2)); // §5.4.3: BUSY, DO_NOT_WANT_TO_TALK_TO_YOU
            self.why = "the peer said goodbye (DPR)".into();
            // An orderly end: the next connection starts like the first.
            self.watchdog = Watchdog::INITIAL;
            self.fire(Event::Dpr, tools);
        }
    }

    /// One step of the peer machine with all that follows from it.
    fn fire(&mut self, event: Event, tools: &mut Tools<'_>) {
        let before = self.state;
        let (state, actions) = before.step(event);
        self.state = state;
        for action in actions {
            self.act(*action, tools);
        }
        if before == state {
            return;
        }
        self.timer = self.timer_after(before, tools);
        match state {
            State::Open(_) => self.watched(watchdog::Event::ConnectionUp, tools),
            State::Closed => {
                self.asked = Asked::default();
                self.watched(watchdog::Event::ConnectionDown, tools);
                self.watch = None;
            }
            State::WaitConnAck
            | State::WaitICea
            | State::WaitConnAckElect
            | State::WaitReturns
            | State::Closing(_) => {}
        }
        if actions.contains(&Action::Elect) {
            let caller = self.caller.as_ref();
            if caller.is_some_and(|caller| wins(&tools.local().host, &caller.remote.host)) {
                self.fire(Event::Won, tools);
            }
        }
    }

    /// The same, with the reason that the operator is told where it changes anything.
    fn fire_for(&mut self, event: Event, why: String, tools: &mut Tools<'_>) {
        if self.state.step(event).0 != self.state {
            self.why = why;
        }
        self.fire(event, tools);
    }

    fn act(&mut self, action: Action, tools: &mut Tools<'_>) {
        match action {
            Action::Connect => {
                self.generation = self.generation.wrapping_add(1);
                tools.out.push_back(Output::Connect {
                    connection: self.initiated(),
                });
            }
            Action::SendCer => {
                let Some(address) = self.address else { return };
                let (hop_by_hop, end_to_end) = tools.identifiers();
                self.asked.cer = Some(hop_by_hop);
                let cer = self
                    .toward(tools.local())
                    .cer(address, hop_by_hop, end_to_end);
                self.send(cer, tools);
            }
            Action::SendCea => {
                let Some(caller) = &self.caller else { return };
                let ours = self.toward(tools.local());
                let success = Fault::new(ResultCode::SUCCESS);
                let cea = ours.cea(&caller.cer, &success, caller.local);
                let remote = caller.remote.clone();
                self.send(cea, tools);
                self.met(remote, tools);
            }
            Action::Disconnect(side) => {
                let connection = match side {
                    Side::Initiated => self.initiated(),
                    Side::Accepted => match self.caller.take() {
                        Some(caller) => caller.connection,
                        None => return,
                    },
                };
                tools.out.push_back(Output::Close { connection });
            }
            Action::SendDpr => {
                let (hop_by_hop, end_to_end) = tools.identifiers();
                self.asked.dpr = Some(hop_by_hop);
                let dpr = tools.local().dpr(self.goodbye, hop_by_hop, end_to_end);
                self.send(dpr, tools);
            }
            // The DPA is sent where the DPR is judged, a rejection where the CER comes in; an election is held once
            // the state has changed.
            Action::SendDpa | Action::Reject | Action::Elect => {}
        }
    }

    /// When the state just entered is over at the latest.
    fn timer_after(&mut self, before: State, tools: &mut Tools<'_>) -> Option<Instant> {
        let patience = tools.settings.connect_timeout;
        match (before, self.state) {
            (_, State::Open(_)) => None,
            (_, State::Closed) if self.leaving || self.passive => None,
            (_, State::Closed) => Some(tools.now.after(self.next_wait(tools))),
            // The peer waits for its CEA perhaps no longer than we would: our attempt must be over before.
            (_, State::WaitConnAckElect) => self.timer.min(Some(tools.now.after(patience / 2))),
            // What the peer does with its own connection does not put off the end of ours.
            (State::WaitConnAckElect, State::WaitConnAck)
            | (State::WaitICea, State::WaitReturns)
            | (State::WaitReturns, State::WaitICea) => self.timer,
            (_, State::WaitConnAck | State::WaitICea | State::WaitReturns | State::Closing(_)) => {
                Some(tools.now.after(patience))
            }
        }
    }

    /// One step of the watchdog. FailOver is what the node does when the condition changes.
    fn watched(&mut self, event: watchdog::Event, tools: &mut Tools<'_>) {
        if !matches!(self.state, State::Open(_)) && event != watchdog::Event::ConnectionDown {
            return;
        }
        let (watchdog, actions) = self.watchdog.step(event);
        self.watchdog = watchdog;
        for action in actions {
            match action {
                watchdog::Action::SendWatchdog => {
                    let (hop_by_hop, end_to_end) = tools.identifiers();
                    self.asked.dwr = Some(hop_by_hop);
                    let dwr = tools.local().dwr(hop_by_hop, end_to_end);
                    self.send(dwr, tools);
                }
                watchdog::Action::SetWatchdog => {
                    // RFC 3539 §3.4.1: Twinit with a jitter of two seconds either way.
                    let jitter = u64::from(tools.random.next_u32() % 4_001);
                    self.watch = Some(
                        tools
                            .now
                            .after((tools.settings.watchdog + jitter).saturating_sub(2_000)),
                    );
                }
                watchdog::Action::FailOver => {}
                watchdog::Action::CloseConnection => {
                    self.why = "the peer has been silent for too long".into();
                    self.fire(Event::Silent, tools);
                }
            }
        }
        if self.condition() == Condition::Up {
            self.failures = 0;
            self.why.clear();
        }
    }

    /// Wait before the next attempt: doubled at each failure, and somewhere in its upper half, so that nodes
    /// that lost the same peer at once do not come back at once.
    fn next_wait(&mut self, tools: &mut Tools<'_>) -> u64 {
        let (min, max) = tools.settings.backoff;
        let doubled = min.saturating_mul(1 << self.failures.min(20)).min(max);
        self.failures = self.failures.saturating_add(1);
        let jitter = u64::from(tools.random.next_u32());
        match std::mem::take(&mut self.unwelcome) {
            // §5.4: "a periodic connection request would not be welcomed"
            true => max + jitter % (max / 2 + 1),
            false => doubled - jitter % (doubled / 2 + 1),
        }
    }

    pub fn send(&self, bytes: Vec<u8>, tools: &mut Tools<'_>) {
        tools.out.push_back(Output::Send {
            connection: self.connection(),
            bytes,
        });
    }
}
