//! One peer: its state machine, its watchdog, its timers and the messages that drive them.

use crate::Instant;
use crate::base::{Applications, Local, read_cea, state_id};
use crate::dictionary::*;
use crate::fault::{Fault, FrameError, ResultCode};
use crate::grammar;
use crate::message::{Header, Message};
use crate::node::{Condition, ConnectionId, Output, PeerSettings, Settings};
use crate::overload::Overload;
use crate::peer::{Action, Event, State};
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
    /// Counts connections, so that what is heard of an old one is not taken for the present one.
    generation: u32,
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
    /// The peer said by DPR that it wants to be left alone for longer (Disconnect-Cause BUSY or DO_NOT_WANT).
    unwelcome: bool,
    /// What both sides serve, since the last CEA.
    pub applications: Applications,
    /// Why it is not up, for the operator.
    pub why: String,
    /// What it wants to be spared, by Application-Id: a report is about the application of the answer that carries it
    /// (RFC 7683 §5.2.1.1).
    pub overload: BTreeMap<u32, Overload>,
    /// The highest Origin-State-Id that it has said.
    state_id: Option<u32>,
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
            timer: None,
            watch: None,
            failures: 0,
            asked: Asked::default(),
            leaving: false,
            unwelcome: false,
            applications: Applications::default(),
            why: String::new(),
            overload: BTreeMap::new(),
            state_id: None,
        }
    }

    pub fn condition(&self) -> Condition {
        match (self.state, self.watchdog.status) {
            (State::Closed, _) => Condition::Closed,
            (State::WaitConnAck | State::WaitCea, _) => Condition::Connecting,
            (State::Closing, _) => Condition::Closing,
            (State::Open, Status::Okay) => Condition::Up,
            (State::Open, Status::Suspect) => Condition::Suspect,
            (State::Open, Status::Reopen | Status::Initial | Status::Down) => Condition::Reopening,
        }
    }

    pub fn connection(&self) -> ConnectionId {
        ConnectionId {
            peer: self.id,
            generation: self.generation,
        }
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
                    State::WaitConnAck => "no connection in time".into(),
                    State::WaitCea => "no CEA in time".into(),
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
    fn offered(&self, tools: &Tools<'_>) -> Applications {
        self.settings.applications().and(tools.local().applications)
    }

    /// Asks for a connection.
    pub fn start(&mut self, tools: &mut Tools<'_>) {
        self.fire(Event::Start, tools);
    }

    pub fn connected(&mut self, local: IpAddr, tools: &mut Tools<'_>) {
        if self.state != State::WaitConnAck {
            return;
        }
        let (hop_by_hop, end_to_end) = tools.identifiers();
        self.asked.cer = Some(hop_by_hop);
        let offer = Local {
            applications: self.offered(tools),
            ..tools.local().clone()
        };
        let cer = offer.cer(local, hop_by_hop, end_to_end);
        self.fire(Event::ConnAck, tools);
        self.send(cer, tools);
    }

    pub fn connect_failed(&mut self, why: String, tools: &mut Tools<'_>) {
        self.why = why;
        self.fire(Event::ConnNack, tools);
    }

    pub fn disconnected(&mut self, tools: &mut Tools<'_>) {
        self.why = "the peer closed the connection".into();
        self.fire(Event::PeerDisconnected, tools);
    }

    /// The stream cannot be read any further. A request is told why (RFC 6733 §7.1.5) before the end.
    pub fn garbled(&mut self, start: &[u8], error: FrameError, tools: &mut Tools<'_>) {
        let header = Header::read(start).filter(|header| header.flags.request());
        if let (State::Open | State::Closing, Some(header)) = (self.state, header) {
            let answer = tools
                .local()
                .answer(&header, None, &Fault::new(error.result()));
            self.send(answer, tools);
        }
        self.why = error.to_string();
        self.fire(Event::Broken, tools);
    }

    /// Ends the association: DPR if it is open.
    pub fn stop(&mut self, tools: &mut Tools<'_>) {
        self.leaving = true;
        self.timer = None;
        self.why = "stopped here".into();
        self.fire(Event::Stop, tools);
    }

    /// A request that cannot be read, or one that breaks a rule of the format.
    pub fn refuse(&mut self, header: &Header, fault: &Fault, tools: &mut Tools<'_>) {
        match self.state {
            State::Open | State::Closing => {
                let answer = tools.local().answer(header, None, fault);
                self.send(answer, tools);
                self.watched(watchdog::Event::OtherMessage, tools);
            }
            _ => self.fire(Event::NonCea, tools),
        }
    }

    /// Answers a request that was handed over as [`Output::Asked`].
    pub fn reply(&mut self, request: &Message<'_>, result: ResultCode, tools: &mut Tools<'_>) {
        if matches!(self.state, State::Open | State::Closing) {
            let fault = Fault::new(result);
            let answer = tools.local().answer(&request.header, Some(request), &fault);
            self.send(answer, tools);
        }
    }

    /// Takes a message. Returns whether it is an answer for whoever sent a request through this peer.
    pub fn received(&mut self, message: &Message<'_>, tools: &mut Tools<'_>) -> bool {
        let header = &message.header;
        let ours = |asked: Option<u32>| asked == Some(header.hop_by_hop);
        match (self.state, header.flags.request(), header.command) {
            (State::Closed | State::WaitConnAck, ..) => false,
            (State::WaitCea, false, CMD_CAPABILITIES_EXCHANGE) if ours(self.asked.cer) => {
                self.judge(message, tools);
                false
            }
            (State::WaitCea, ..) => {
                self.why = "a message came where a CEA was due".into();
                self.fire(Event::NonCea, tools);
                false
            }
            (State::Open | State::Closing, true, _) => {
                self.watched(watchdog::Event::OtherMessage, tools);
                self.notice_restart(state_id(message), tools);
                self.serve(message, tools);
                false
            }
            (State::Open | State::Closing, false, CMD_DEVICE_WATCHDOG) => {
                if ours(self.asked.dwr.take_if(|hop| *hop == header.hop_by_hop)) {
                    self.notice_restart(state_id(message), tools);
                    self.watched(watchdog::Event::Answer, tools);
                }
                false
            }
            (State::Open | State::Closing, false, CMD_DISCONNECT_PEER) => {
                if ours(self.asked.dpr) {
                    self.fire(Event::Dpa, tools);
                }
                false
            }
            (State::Open | State::Closing, false, _) => {
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
        let offered = self.offered(tools);
        match read_cea(cea, self.settings.host.as_deref(), offered) {
            Ok(remote) => {
                self.notice_restart(remote.state_id, tools);
                self.applications = remote.applications;
                self.settings.realm.get_or_insert(remote.realm);
                self.settings.host.get_or_insert(remote.host);
                self.why.clear();
                self.fire(Event::Cea, tools);
            }
            Err(refusal) => {
                self.why = refusal.to_string();
                self.fire(Event::BadCea, tools);
            }
        }
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
        let ours = self.offered(tools);
        let verdict = grammar::check(request, &tools.settings.vocabulary);
        let verdict = match (header.command, header.application) {
            (CMD_DEVICE_WATCHDOG | CMD_DISCONNECT_PEER, _) => verdict,
            // §5.6: R-Conn-CER in Open is R-Reject; on the open connection itself a CER makes no sense at all.
            (CMD_CAPABILITIES_EXCHANGE, _) => Err(Fault::new(ResultCode::UNABLE_TO_COMPLY)),
            (_, application) if application != APP_COMMON && !ours.serves(application) => {
                Err(Fault::new(ResultCode::APPLICATION_UNSUPPORTED))
            }
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
        let answer = tools.local().answer(header, Some(request), &fault);
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
            match action {
                Action::Connect => {
                    self.generation = self.generation.wrapping_add(1);
                    tools.out.push_back(Output::Connect {
                        connection: self.connection(),
                    });
                }
                Action::Disconnect => tools.out.push_back(Output::Close {
                    connection: self.connection(),
                }),
                Action::SendDpr => {
                    let (hop_by_hop, end_to_end) = tools.identifiers();
                    self.asked.dpr = Some(hop_by_hop);
                    let dpr = tools.local().dpr(hop_by_hop, end_to_end);
                    self.send(dpr, tools);
                }
                // The CER is sent with the address that the connection brought; the DPA where the DPR is judged.
                Action::SendCer | Action::SendDpa => {}
            }
        }
        if before == state {
            return;
        }
        self.timer = match state {
            State::Open => None,
            State::WaitConnAck | State::WaitCea | State::Closing => {
                Some(tools.now.after(tools.settings.connect_timeout))
            }
            State::Closed if self.leaving => None,
            State::Closed => Some(tools.now.after(self.next_wait(tools))),
        };
        match state {
            State::Open => self.watched(watchdog::Event::ConnectionUp, tools),
            State::Closed => {
                self.asked = Asked::default();
                self.watched(watchdog::Event::ConnectionDown, tools);
                self.watch = None;
            }
            State::WaitConnAck | State::WaitCea | State::Closing => {}
        }
    }

    /// One step of the watchdog. FailOver is what the node does when the condition changes.
    fn watched(&mut self, event: watchdog::Event, tools: &mut Tools<'_>) {
        if self.state != State::Open && event != watchdog::Event::ConnectionDown {
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
                    self.fire(Event::Broken, tools);
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
        let wait = if std::mem::take(&mut self.unwelcome) {
            max
        } else {
            doubled
        };
        self.failures = self.failures.saturating_add(1);
        wait - u64::from(tools.random.next_u32()) % (wait / 2 + 1)
    }

    pub fn send(&self, bytes: Vec<u8>, tools: &mut Tools<'_>) {
        tools.out.push_back(Output::Send {
            connection: self.connection(),
            bytes,
        });
    }
}
