//! Steps of the peer machine (RFC 6733 §5.6) and of the watchdog (RFC 3539 §3.4.1), with all that follows from them:
//! connections, messages of the base protocol, timers.

use super::{Asked, Association, Tools};
use crate::Instant;
use crate::fault::{Fault, ResultCode};
use crate::node::{Condition, Output};
use crate::peer::{Action, Event, Side, State, wins};
use crate::watchdog;
use rand_chacha::rand_core::Rng;

impl Association {
    /// One step of the peer machine with all that follows from it.
    pub(super) fn fire(&mut self, event: Event, tools: &mut Tools<'_>) {
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
    pub(super) fn fire_for(&mut self, event: Event, why: String, tools: &mut Tools<'_>) {
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
    pub(super) fn watched(&mut self, event: watchdog::Event, tools: &mut Tools<'_>) {
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
}
