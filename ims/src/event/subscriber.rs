//! The subscriber's side of one subscription (RFC 6665 §4.1), for any package: one dialog usage from its SUBSCRIBE to
//! its end, as data. What is subscribed to, and what the NOTIFYs say, belongs to the owner; so does a new attempt
//! after the end, for which [`Backoff`] knows the pause.
//!
//! The dialog is the one that the first NOTIFY opens (§4.4.1), which may come before the 200. A NOTIFY from another
//! branch of a forked SUBSCRIBE is answered 481, unless the owner takes it as a subscription of its own
//! ([`Subscriber::forked`]).

mod backoff;
mod charge;
mod wire;

pub use backoff::Backoff;
pub use wire::{Behalf, Own, Terms};

use super::subscription::{SubscriptionId, ends_subscription};
use crate::dialog::Dialog;
use crate::reject::Reject;
use crate::sip::Request;
use crate::sip::header::subscription_state::{State as Wire, SubscriptionState};
use crate::time::{Millis, Seconds, Timestamp};

/// Longest lifetime that a 423 can talk us into: a year.
const LONGEST: Seconds = Seconds(31_536_000);
/// How often a 423 is obeyed in one subscription: a notifier that raises its minimum for ever is refused.
const MOST_RAISES: u8 = 3;
/// Pause before a refresh that failed is tried again, where the answer names none: one minute.
const REFRESH_RETRY: Seconds = Seconds(60);
/// Lifetime assumed of a NOTIFY and a 200 that name none (RFC 6665 §4.1.2.1 demands one in the 200).
const UNNAMED: Seconds = Seconds(3600);

/// The answer to a SUBSCRIBE, as far as it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Final status; 408 when there was none.
    pub status: u16,
    pub expires: Option<Seconds>,
    pub min_expires: Option<Seconds>,
    pub retry_after: Option<Seconds>,
}

/// Why a subscription is over, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The notifier lost or dropped it and would take a new one at once.
    Again,
    /// It cannot be had now; perhaps the notifier named a pause.
    Later(Option<Seconds>),
    /// It will not be had: refused with this status, or ended with a reason that says so (status 0).
    Refused(u16),
    /// We ended it ourselves.
    Done,
}

/// What a step wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// Send a SUBSCRIBE as [`Subscriber::request`] writes it.
    Send,
    Over(Ended),
}

/// Whether a NOTIFY in order is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    New,
    /// Taken before: it comes again over a restart, which forgot the transaction.
    Again,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// SUBSCRIBE has been sent; no NOTIFY yet. Ends with Timer N (§4.1.2.4).
    Asking {
        until: Timestamp,
    },
    Active,
    /// We asked for the end and wait for the last NOTIFY.
    Ending {
        until: Timestamp,
    },
    Over,
}

/// One subscription of ours.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// Our dialog tag.
    pub id: SubscriptionId,
    /// Names its transactions: the dialog tag, but for a fork, which shares that with others.
    pub ticket: SubscriptionId,
    phase: Phase,
    dialog: Option<Dialog>,
    /// Lifetime asked for.
    lifetime: Seconds,
    expires_at: Timestamp,
    refresh_at: Timestamp,
    cseq: u32,
    /// CSeq of the SUBSCRIBE under way.
    in_flight: Option<u32>,
    /// State was asked for while that one was under way: another SUBSCRIBE follows its answer.
    state_wanted: bool,
    /// Until when a refresh that was sent for the sake of state may wait for its NOTIFY.
    state_until: Option<Timestamp>,
    established_at: Option<Timestamp>,
    raises: u8,
    /// 64·T1: Timer N.
    timer_n: Millis,
}

impl Subscriber {
    /// A new subscription; its SUBSCRIBE is to be sent.
    pub fn start(
        now: Timestamp,
        id: SubscriptionId,
        lifetime: Seconds,
        timer_n: Millis,
    ) -> Subscriber {
        Subscriber {
            id,
            ticket: id,
            phase: Phase::Asking {
                until: now + timer_n,
            },
            dialog: None,
            lifetime,
            expires_at: Timestamp::default(),
            refresh_at: Timestamp::default(),
            cseq: 1,
            in_flight: Some(1),
            state_wanted: false,
            state_until: None,
            established_at: None,
            raises: 0,
            timer_n,
        }
    }

    /// Another notifier to which the SUBSCRIBE of `id` was forked (§4.4.1): its first NOTIFY is about to be heard. It is a
    /// dialog of its own, whose transactions are named by `ticket`.
    pub fn forked(
        now: Timestamp,
        id: SubscriptionId,
        ticket: SubscriptionId,
        lifetime: Seconds,
        timer_n: Millis,
    ) -> Subscriber {
        Subscriber {
            ticket,
            in_flight: None,
            ..Subscriber::start(now, id, lifetime, timer_n)
        }
    }

    /// The name of its transactions, for a fork out of the store.
    pub fn with_ticket(self, ticket: SubscriptionId) -> Subscriber {
        Subscriber { ticket, ..self }
    }

    /// One from the store, whose dialog was open. A refresh that was under way is sent again in its time.
    pub fn recover(
        id: SubscriptionId,
        dialog: Dialog,
        lifetime: Seconds,
        expires_at: Timestamp,
        timer_n: Millis,
    ) -> Subscriber {
        Subscriber {
            phase: Phase::Active,
            cseq: dialog.local_cseq,
            dialog: Some(dialog),
            expires_at,
            in_flight: None,
            ..Subscriber::start(Timestamp::default(), id, lifetime, timer_n)
        }
    }

    /// A recovered one goes on at this time.
    pub fn resume(&mut self, now: Timestamp) {
        self.established_at = Some(now);
        self.refresh_at = refresh_at(now, self.expires_at);
    }

    /// The dialog to store, once there is one.
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    pub fn lifetime(&self) -> Seconds {
        self.lifetime
    }

    /// The notifier has told us state and would tell us more.
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// The SUBSCRIBE that opens it has left, and no NOTIFY has come.
    pub fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::Asking { .. })
    }

    /// Whether a request is one of the notifier of this dialog.
    pub fn is_with(&self, request: &Request<'_>) -> bool {
        self.dialog.as_ref().is_some_and(|d| d.owns(request))
    }

    /// How long it lived, for a back-off that forgives: a subscription that held was no failure.
    pub fn lived(&self, now: Timestamp) -> Millis {
        self.established_at.map_or(Millis(0), |at| now.since(at))
    }

    /// Asks for longer from the next refresh on.
    pub fn wants(&mut self, lifetime: Seconds) {
        self.lifetime = self.lifetime.max(lifetime);
    }

    /// The final response to our SUBSCRIBE with this CSeq came, or none did (408).
    pub fn answered(&mut self, now: Timestamp, cseq: u32, answer: &Answer) -> Next {
        if self.in_flight != Some(cseq) {
            return Next::Nothing;
        }
        self.in_flight = None;
        let success = (200..300).contains(&answer.status);
        let next = self.judge(now, answer, success);
        match next {
            Next::Nothing if success => self.catch_up(now),
            _ => next,
        }
    }

    fn judge(&mut self, now: Timestamp, answer: &Answer, success: bool) -> Next {
        match self.phase {
            Phase::Over => Next::Nothing,
            Phase::Ending { .. } if success => Next::Nothing, // the last NOTIFY is still to come
            Phase::Ending { .. } => self.over(Ended::Done),
            Phase::Asking { .. } | Phase::Active if answer.status == 423 => self.raise(now, answer),
            Phase::Asking { .. } if success => Next::Nothing, // Timer N runs until the NOTIFY
            Phase::Asking { .. } => self.over(failure(answer)),
            Phase::Active if success => self.prolonged(now, answer.expires),
            // §4.1.2.2 with RFC 5057: these end the usage
            Phase::Active if answer.status == 481 => self.over(Ended::Again),
            Phase::Active if answer.status != 408 && ends_subscription(answer.status) => {
                self.over(failure(answer))
            }
            Phase::Active => self.refresh_failed(now, answer.retry_after),
        }
    }

    /// 423: the notifier wants to be asked for longer (§4.1.2.1).
    fn raise(&mut self, now: Timestamp, answer: &Answer) -> Next {
        let min = answer
            .min_expires
            .filter(|min| *min > self.lifetime && *min <= LONGEST);
        match min {
            Some(min) if self.raises < MOST_RAISES => {
                self.raises += 1;
                self.lifetime = min;
                if self.phase != Phase::Active {
                    self.phase = Phase::Asking {
                        until: now + self.timer_n,
                    };
                }
                self.send()
            }
            _ => self.over(Ended::Refused(answer.status)),
        }
    }

    fn prolonged(&mut self, now: Timestamp, granted: Option<Seconds>) -> Next {
        match granted {
            Some(Seconds(0)) => self.over(Ended::Again),
            Some(granted) => {
                self.grant(now, granted);
                Next::Nothing
            }
            None => {
                self.grant(now, self.lifetime.min(UNNAMED));
                Next::Nothing
            }
        }
    }

    fn grant(&mut self, now: Timestamp, granted: Seconds) {
        self.expires_at = now + granted.min(LONGEST);
        self.refresh_at = refresh_at(now, self.expires_at);
    }

    /// §4.1.2.2: the subscription stands until it runs out, and another refresh may still save it.
    fn refresh_failed(&mut self, now: Timestamp, retry_after: Option<Seconds>) -> Next {
        let left = self.expires_at.since(now);
        let pause = Millis::from(retry_after.unwrap_or(REFRESH_RETRY));
        self.refresh_at = now + Millis(pause.0.min(left.0 / 2).max(1_000));
        Next::Nothing
    }

    /// Whether a NOTIFY with our tag is one of this subscription, and in order. Nothing changes yet.
    pub fn order(&self, request: &Request<'_>) -> Result<Order, Reject> {
        match (&self.phase, &self.dialog) {
            (Phase::Over, _) => Err(Reject::NoDialog),
            (_, Some(dialog)) if !dialog.owns(request) => Err(Reject::NoDialog), // also another fork's
            (_, Some(dialog)) if request.cseq.number < dialog.remote_cseq => {
                Err(Reject::OutOfOrder) // RFC 3261 §12.2.2
            }
            (_, Some(dialog)) if request.cseq.number == dialog.remote_cseq => Ok(Order::Again),
            (_, Some(_)) => Ok(Order::New),
            (_, None) if request.call_id == self.call_id() && request.from.tag().is_some() => {
                Ok(Order::New)
            }
            (_, None) => Err(Reject::NoDialog),
        }
    }

    /// Takes over what a new NOTIFY says of the subscription itself. `identity`: our side as written in `From`.
    pub fn heard(
        &mut self,
        now: Timestamp,
        request: &Request<'_>,
        state: &SubscriptionState<'_>,
        identity: &str,
    ) -> Result<Next, Reject> {
        if state.state == Wire::Terminated {
            return Ok(self.terminated(state));
        }
        match &mut self.dialog {
            Some(dialog) => dialog
                .refresh(request)
                .map_err(|e| Reject::Bad(e.phrase()))?,
            None => {
                let dialog = Dialog::notified(request, identity, self.cseq);
                let dialog = dialog.map_err(|e| Reject::Bad(e.phrase()))?;
                if dialog.path().destination().is_none() {
                    return Err(Reject::Bad("Bad Record-Route"));
                }
                self.dialog = Some(dialog);
                self.established_at = Some(now);
            }
        }
        if matches!(self.phase, Phase::Asking { .. }) {
            self.phase = Phase::Active;
        }
        if self.phase == Phase::Active {
            match state.expires {
                Some(left) => self.grant(now, left),
                None if self.expires_at <= now => self.grant(now, self.lifetime.min(UNNAMED)),
                None => {}
            }
            self.state_until = None;
        }
        Ok(self.catch_up(now))
    }

    /// Sends the SUBSCRIBE that waited for the one before it: the NOTIFY of that one may have left before there was
    /// anything to ask for.
    fn catch_up(&mut self, now: Timestamp) -> Next {
        if self.phase != Phase::Active || self.in_flight.is_some() || !self.state_wanted {
            return Next::Nothing;
        }
        self.state_wanted = false;
        self.ask_state(now)
    }

    /// §4.1.3: what the reason says about asking again.
    fn terminated(&mut self, state: &SubscriptionState<'_>) -> Next {
        if matches!(self.phase, Phase::Ending { .. }) {
            return self.over(Ended::Done);
        }
        self.over(match state.reason {
            Some("deactivated" | "timeout") => Ended::Again,
            Some("rejected" | "noresource" | "invariant") => Ended::Refused(0),
            // probation, giveup, none, or one that we do not know
            _ => Ended::Later(state.retry_after),
        })
    }

    /// Asks the notifier for full state: a refresh before its time (§4.1.2.2), once the SUBSCRIBE under way is answered.
    pub fn ask_state(&mut self, now: Timestamp) -> Next {
        match self.phase {
            Phase::Ending { .. } | Phase::Over => return Next::Nothing,
            Phase::Asking { .. } | Phase::Active => {}
        }
        if self.phase != Phase::Active || self.in_flight.is_some() {
            self.state_wanted = true;
            return Next::Nothing;
        }
        if self.state_until.is_some() {
            return Next::Nothing; // it is on its way already
        }
        self.state_until = Some(now + self.timer_n);
        self.send()
    }

    /// Asks for the end (§4.1.2.3). Nothing is sent where no dialog is open; whatever comes then is answered 481.
    pub fn end(&mut self, now: Timestamp) -> Next {
        if self.phase != Phase::Active {
            return self.over(Ended::Done);
        }
        self.phase = Phase::Ending {
            until: now + self.timer_n,
        };
        self.send()
    }

    /// When [`Subscriber::due`] wants to be called.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Asking { until } | Phase::Ending { until } => Some(until),
            Phase::Active => {
                let refresh = self.in_flight.is_none().then_some(self.refresh_at);
                let all = [Some(self.expires_at), refresh, self.state_until];
                all.into_iter().flatten().min()
            }
            Phase::Over => None,
        }
    }

    /// Does what has become due.
    pub fn due(&mut self, now: Timestamp) -> Next {
        match self.phase {
            Phase::Asking { until } if until <= now => self.over(Ended::Later(None)), // Timer N
            Phase::Ending { until } if until <= now => self.over(Ended::Done),
            Phase::Active if self.expires_at <= now => self.over(Ended::Again),
            // State was asked for and none came. After a refresh for the sake of time the missing NOTIFY is
            // forgiven, where §4.1.2.2 sees the end: Kamailio 5.6 answers 200, goes on, and sends none.
            Phase::Active if self.state_until.is_some_and(|until| until <= now) => {
                self.over(Ended::Again)
            }
            Phase::Active if self.in_flight.is_none() && self.refresh_at <= now => self.send(),
            _ => Next::Nothing,
        }
    }

    fn send(&mut self) -> Next {
        self.cseq = self.cseq.saturating_add(1);
        self.in_flight = Some(self.cseq);
        if let Some(dialog) = &mut self.dialog {
            dialog.local_cseq = self.cseq;
        }
        Next::Send
    }

    fn over(&mut self, ended: Ended) -> Next {
        self.phase = Phase::Over;
        Next::Over(ended)
    }

    /// Made of our tag, which is random: unique, and known again after a restart.
    fn call_id(&self) -> String {
        call_id(self.id)
    }
}

/// Call-ID of the subscriptions of ours with this dialog tag.
pub fn call_id(id: SubscriptionId) -> String {
    format!("{id}-sub")
}

/// When to refresh, as TS 24.229 §5.1.1.3 has it: 600 s before the end, or half-way through 1,200 s and less.
fn refresh_at(now: Timestamp, expires_at: Timestamp) -> Timestamp {
    const EARLY: u64 = 600_000;
    let left = expires_at.since(now).0;
    now + Millis(if left > 2 * EARLY {
        left - EARLY
    } else {
        left / 2
    })
}

/// What a failure that ends the subscription says about the next one.
fn failure(answer: &Answer) -> Ended {
    match answer.status {
        // the notifier knows what we want and does not give it
        401 | 403 | 405 | 406 | 407 | 415 | 416 | 420 | 423 | 489 | 501 | 603 => {
            Ended::Refused(answer.status)
        }
        _ => Ended::Later(answer.retry_after),
    }
}

#[cfg(test)]
mod tests;
