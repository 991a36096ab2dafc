//! What a peer says on its connections, and what it is answered.

use super::{Association, Tools};
use crate::base::{Remote, read_cea, state_id};
use crate::dictionary::*;
use crate::fault::{Fault, FrameError, ResultCode};
use crate::grammar;
use crate::message::{Header, Message};
use crate::node::Output;
use crate::overload::Overload;
use crate::peer::{Event, Side, State};
use crate::watchdog::{self, Watchdog};

impl Association {
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
    pub(super) fn met(&mut self, remote: Remote, tools: &mut Tools<'_>) {
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
}
