//! Units reserved before the service and reported after it (RFC 8506 §5, Tables 3 and 4): CCR INITIAL, UPDATE,
//! TERMINATION. A service that is over at once ends its session at once (ECUR, TS 32.299 §5.2.2); one that lasts
//! keeps it, so that the server can ask for it again (RAR) or end it (ASR, last units).
//!
//! The rows of the tables stand beside the arms. Where the tables forget a session whose server cannot be reached,
//! this machine keeps what has to be said about it and says it later: units that were used are not lost, and units
//! that were reserved do not stay so until the server's own timer frees them.

use super::verdict::{Told, Verdict};
use super::{Backoff, Decision, Denial, Input, Output, Owed, Policy, Question, Withdrawal};
use crate::Instant;
use crate::fault::ResultCode;
use crate::ro::{FailureHandling, Measure, Reason, RequestType, TerminationCause};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    PendingI,
    Open,
    PendingU,
    PendingT,
    /// The service goes on without the server, which could not be reached (CONTINUE) or does not charge for it: Idle,
    /// in the tables.
    Uncontrolled,
    /// The server is told then: the service is over, or is taken up after the death of its process.
    Stored(Instant),
    Closed,
}

/// What is known of the session at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remote {
    Closed,
    Perhaps,
    Open,
}

/// What is known of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Waiting,
    Granted,
    /// Denied, withdrawn, or at its end.
    Over,
}

/// One session of credit control, for one service.
#[derive(Clone, Debug)]
pub struct Session {
    state: State,
    remote: Remote,
    service: Service,
    /// The service goes on after its begin, until it is said to have ended.
    lasting: bool,
    begun: bool,
    /// The server does not charge for the service.
    free: bool,
    /// What its units count.
    measure: Measure,
    /// Units asked for at once.
    wanted: u64,
    /// The question under way or, when its fate is not known, stored.
    asked: Option<Question>,
    /// Number of the next question.
    next: u32,
    /// Units used and not reported.
    used: u64,
    /// Units granted with the last answer; `None`: not counted.
    quota: Option<u64>,
    /// Of these, units used.
    spent: u64,
    /// More is asked for when fewer of them than this are left.
    threshold: u64,
    /// All units that this process was told of.
    total: u64,
    /// What the service was told last: see [`Output::Allowed`].
    allowed: Option<u64>,
    last_units: bool,
    /// The last grant was of a pool.
    pooled: bool,
    /// Milliseconds for which the last grant may lie unused.
    holding: Option<u64>,
    /// When that time is over.
    idle: Option<Instant>,
    /// The grant was given back, and none is asked for before the service wants a unit.
    parked: bool,
    /// It wants one.
    wants: bool,
    /// The service goes on by the failure handling, without its server or before its answer.
    loose: bool,
    /// Units used so.
    given: u64,
    cause: TerminationCause,
    handling: FailureHandling,
    failover: bool,
    tx: Option<Instant>,
    validity: Option<Instant>,
    /// Until then a service that was taken up waits for its server.
    patience: Option<Instant>,
    /// When a session is asked for again, while the service goes on without one.
    again: Option<Instant>,
    /// A session that its server did not know was opened again, and no report has been taken since.
    renewed: bool,
    /// An alternative server has been tried for this question.
    retried: bool,
    /// A sending of this question was not answered: the T flag is due.
    lost: bool,
    backoff: Backoff,
}

impl Session {
    /// Idle, client requests service: send CC initial request, start Tx.
    pub fn start(now: Instant, policy: &Policy, lasting: bool, out: &mut Vec<Output>) -> Session {
        let mut session = Session::new(now, policy, lasting);
        session.ask(RequestType::Initial, None, out);
        session
    }

    fn new(now: Instant, policy: &Policy, lasting: bool) -> Session {
        Session {
            state: State::PendingI,
            remote: Remote::Closed,
            service: Service::Waiting,
            lasting,
            begun: false,
            free: false,
            measure: Measure::default(),
            wanted: if lasting { policy.units } else { 1 },
            asked: None,
            next: 0,
            used: 0,
            quota: None,
            spent: 0,
            threshold: 0,
            total: 0,
            allowed: None,
            last_units: false,
            pooled: false,
            holding: None,
            idle: None,
            parked: false,
            wants: false,
            loose: false,
            given: 0,
            cause: TerminationCause::ServiceNotProvided,
            handling: policy.failure,
            failover: policy.failover,
            tx: Some(now.after(policy.tx)),
            validity: None,
            patience: None,
            again: None,
            renewed: false,
            retried: false,
            lost: false,
            backoff: Backoff::default(),
        }
    }

    /// When a `Tick` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let stored = match self.state {
            State::Stored(at) => Some(at),
            _ => None,
        };
        let idle = self.idle.filter(|_| self.state == State::Open);
        let all = [self.tx, self.validity, stored, self.again, idle];
        all.into_iter().flatten().min()
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.state == State::Closed
    }

    pub fn handle(&mut self, now: Instant, input: Input, policy: &Policy, out: &mut Vec<Output>) {
        match input {
            Input::Answered(told) => self.answered(now, &told, policy, out),
            Input::Lost | Input::Unsent => self.unreached(now, input, policy, out),
            Input::Tick => self.tick(now, policy, out),
            Input::Begun => self.begun = self.service == Service::Granted,
            Input::Used { units } => self.used(units, now, policy, out),
            Input::Ended { used } => self.ended(used, now, out),
            Input::Wanted => self.wanted(now, policy, out),
            Input::ReAuth => self.re_auth(now, policy, out),
            Input::Abort => self.abort(now, out),
        }
    }

    fn answered(&mut self, now: Instant, told: &Told, policy: &Policy, out: &mut Vec<Output>) {
        let Some(question) = self.asked else { return };
        // §5.7: what the server says "always overrides any existing values".
        self.handling = told.failure.unwrap_or(self.handling);
        self.failover = told.failover.unwrap_or(self.failover);
        match (question.kind, told.verdict) {
            (RequestType::Termination, verdict) => self.closed(now, verdict, policy, out),
            (_, Verdict::Temporary { elsewhere }) => {
                if !(elsewhere && self.ask_again(out)) {
                    self.no_server(now, policy, out);
                }
            }
            (_, Verdict::Granted) if told.incorrect => self.misunderstood(out),
            (_, Verdict::Granted) => self.granted(now, told, policy, out),
            // it has reported and asked for nothing
            _ if told.empty && question.requested.is_none() => {
                self.granted(now, told, policy, out);
            }
            _ if self.is_forgotten(question.kind, told) => self.reopen(&question, now, policy, out),
            (_, verdict) => {
                self.asked = None;
                self.tx = None;
                // The command failed: the server has no session, or has closed it with what was reported (Table 6).
                self.remote = match told.session_open {
                    true => Remote::Open,
                    false => Remote::Closed,
                };
                match verdict {
                    Verdict::Free => self.go_on_without(Decision::Free, now, policy, out),
                    // Pending, answer with END_USER_SERVICE_DENIED or USER_UNKNOWN: terminate service
                    Verdict::Denied(denial) => self.refuse(denial, now, out),
                    // Pending, failed answer, CONTINUE: grant service
                    _ if self.handling == FailureHandling::Continue => {
                        self.go_on_without(Decision::Granted, now, policy, out);
                    }
                    // Pending, failed answer, TERMINATE or RETRY_AND_TERMINATE: terminate service
                    _ => self.refuse(Denial::Unavailable, now, out),
                }
                if verdict == Verdict::Failed && self.remote == Remote::Closed {
                    self.dispute(&question, out);
                }
            }
        }
    }

    /// Pending, successful answer: stop Tx, Open. What was queued meanwhile follows.
    fn granted(&mut self, now: Instant, told: &Told, policy: &Policy, out: &mut Vec<Output>) {
        let question = self.asked.take();
        (self.state, self.remote, self.tx) = (State::Open, Remote::Open, None);
        (self.free, self.patience) = (false, None);
        if question.is_some_and(|question| question.kind == RequestType::Update) {
            self.renewed = false;
        }
        match question.is_some_and(|question| question.requested.is_none()) {
            true if told.granted.unwrap_or(0) == 0 => self.park(),
            _ => self.grant(now, told, policy),
        }
        let seconds = told.validity.filter(|seconds| *seconds > 0);
        self.validity = seconds.map(|s| now.after(u64::from(s) * 1_000));
        self.backoff = Backoff::default();
        self.allow(self.limit(), out);
        self.decide(Decision::Granted, out);
        if self.service == Service::Over {
            self.terminate(out); // Open, service terminated in queue
        } else if self.used > 0 {
            self.count(now, policy, out); // used while it was asked for
        } else if self.parked && self.wants {
            self.update(now, None, policy, out); // wanted while it was given back
        }
    }

    /// The question will not be answered, or was answered with a temporary error and there is no other server.
    fn unreached(&mut self, now: Instant, input: Input, policy: &Policy, out: &mut Vec<Output>) {
        let Some(question) = self.asked else { return };
        if input == Input::Lost {
            self.lost = true;
            if question.kind == RequestType::Initial {
                self.remote = Remote::Perhaps;
            }
            if self.ask_again(out) {
                return;
            }
        }
        if question.kind == RequestType::Termination {
            self.lost = true;
            self.state = State::Stored(self.backoff.next(now, policy));
        } else {
            self.no_server(now, policy, out);
        }
    }

    /// Sends the same question to another server, where that is allowed: a new session may be (§5.7: "for new
    /// credit-control sessions, failover ... SHOULD be performed"), one that is open only if its server said so.
    fn ask_again(&mut self, out: &mut Vec<Output>) -> bool {
        let Some(question) = self.asked else {
            return false;
        };
        let movable = question.kind == RequestType::Initial || self.failover;
        let wanted = self.service != Service::Over || question.kind != RequestType::Initial;
        if !movable || !wanted || std::mem::replace(&mut self.retried, true) {
            return false;
        }
        out.push(Output::Ask(Question {
            elsewhere: true,
            retransmitted: self.lost,
            ..question
        }));
        true
    }

    /// Pending, failure to send or temporary error.
    fn no_server(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        self.tx = None;
        if self.service == Service::Granted && self.is_patient(now) {
            if self.handling == FailureHandling::Continue {
                self.loosen(policy, out);
            }
            self.state = State::Stored(self.backoff.next(now, policy));
            return;
        }
        match self.asked {
            // An update that may have been counted is kept as it is; one that was not is used units again.
            Some(question) if question.kind == RequestType::Update => {
                if !self.lost {
                    self.used += question.used.unwrap_or(0);
                    self.asked = None;
                }
            }
            _ => self.asked = None,
        }
        if self.handling == FailureHandling::Continue {
            // CONTINUE: grant service, Idle
            self.go_on_without(Decision::Granted, now, policy, out);
        } else {
            // TERMINATE or RETRY_AND_TERMINATE: terminate service, Idle
            self.refuse(Denial::Unavailable, now, out);
        }
        if let State::Stored(at) = &mut self.state {
            *at = self.backoff.next(now, policy); // it has just been unreachable
        }
    }

    fn tick(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        if self.tx.is_some_and(|at| at <= now) {
            self.tx = None;
            match self.handling {
                // one that was taken up waits for its server, within what was granted
                FailureHandling::Terminate if self.is_patient(now) => {}
                // Pending, Tx expired, TERMINATE: terminate service. A late grant is given back.
                FailureHandling::Terminate => self.stop(Denial::Unavailable, out),
                // Pending, Tx expired, CONTINUE or RETRY_AND_TERMINATE: grant service, stay
                FailureHandling::Continue | FailureHandling::RetryAndTerminate => {
                    self.loosen(policy, out);
                    self.decide(Decision::Granted, out);
                }
            }
        }
        if self.validity.is_some_and(|at| at <= now) {
            self.validity = None;
            if self.state == State::Open {
                // Open, Validity-Time elapses
                self.update(now, Some(Reason::ValidityTime), policy, out);
            }
        }
        if self.idle.is_some_and(|at| at <= now) && self.state == State::Open {
            self.give_back(now, policy, out);
        }
        if matches!(self.state, State::Stored(at) if at <= now) {
            self.send_stored(now, policy, out);
        }
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            self.ask_anew(now, policy, out);
        }
    }

    fn used(&mut self, units: u64, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        self.total = self.total.saturating_add(units);
        if self.service != Service::Granted || self.free {
            return;
        }
        self.used = self.used.saturating_add(units);
        self.spent = self.spent.saturating_add(units);
        self.cause = TerminationCause::Logout;
        self.hold(now, policy);
        if self.loose {
            self.give_away(units, now, policy, out);
        } else if self.state == State::Open {
            self.count(now, policy, out);
        }
    }

    /// Everything that was granted is used.
    fn elapsed(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        if self.last_units {
            // Open, granted unit elapses, final unit action TERMINATE: terminate service, send termination request
            self.service = Service::Over;
            self.cause = TerminationCause::Administrative;
            out.push(Output::Withdrawn(Withdrawal::Spent));
            self.terminate(out);
        } else {
            // Open, granted unit elapses: send update request, start Tx
            let reason = match self.pooled {
                true => Reason::PoolExhausted,
                false => Reason::QuotaExhausted,
            };
            self.update(now, Some(reason), policy, out);
        }
    }

    /// User service terminated: at once in Open, queued while an answer is awaited.
    fn ended(&mut self, used: u64, now: Instant, out: &mut Vec<Output>) {
        match self.service {
            Service::Granted => {}
            Service::Waiting if used == 0 => {} // the user has left before the decision
            _ => return,                        // denied or withdrawn before, or told twice
        }
        if !self.free {
            self.used = self.used.saturating_add(used);
        }
        self.service = Service::Over;
        if self.used > 0 || self.begun {
            self.cause = TerminationCause::Logout;
        }
        match self.state {
            State::Open => self.terminate(out),
            State::Uncontrolled => self.settle(now, out),
            _ => {}
        }
    }

    fn re_auth(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        match self.state {
            // Open, RAR received: send RAA, then the update. §5.5: 2002, since another message follows.
            State::Open => {
                out.push(Output::Reply(ResultCode::LIMITED_SUCCESS));
                self.update(now, Some(Reason::ForcedReauthorisation), policy, out);
            }
            // PendingU, RAR received: send RAA. 2001, since one is under way.
            State::PendingI | State::PendingU => out.push(Output::Reply(ResultCode::SUCCESS)),
            // Idle, in the tables, but the server has the session and comes back to it.
            State::Uncontrolled | State::Stored(_)
                if self.service == Service::Granted && self.remote != Remote::Closed =>
            {
                out.push(Output::Reply(ResultCode::LIMITED_SUCCESS));
                self.again = None;
                self.send_stored(now, policy, out);
            }
            _ => out.push(Output::Reply(ResultCode::UNKNOWN_SESSION_ID)),
        }
    }

    fn abort(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.state {
            State::Closed => out.push(Output::Reply(ResultCode::UNKNOWN_SESSION_ID)),
            _ => {
                out.push(Output::Reply(ResultCode::SUCCESS));
                match self.service {
                    Service::Granted => out.push(Output::Withdrawn(Withdrawal::Aborted)),
                    Service::Waiting => {
                        out.push(Output::Decided(Decision::Denied(Denial::NoCredit)));
                    }
                    Service::Over => return,
                }
                self.service = Service::Over;
                self.cause = TerminationCause::Administrative;
                match self.state {
                    State::Open => self.terminate(out),
                    State::Uncontrolled => self.settle(now, out),
                    _ => {}
                }
            }
        }
    }

    fn decide(&mut self, decision: Decision, out: &mut Vec<Output>) {
        if self.service == Service::Waiting {
            self.service = match decision {
                Decision::Granted | Decision::Free => Service::Granted,
                Decision::Denied(_) => Service::Over,
            };
            out.push(Output::Decided(decision));
        }
    }

    /// The service ends here, or does not begin.
    fn stop(&mut self, denial: Denial, out: &mut Vec<Output>) {
        if self.service == Service::Granted {
            self.service = Service::Over;
            self.cause = TerminationCause::Administrative;
            out.push(Output::Withdrawn(Withdrawal::Denied(denial)));
        }
        self.decide(Decision::Denied(denial), out);
    }

    fn refuse(&mut self, denial: Denial, now: Instant, out: &mut Vec<Output>) {
        self.stop(denial, out);
        self.over(now, out);
    }

    /// The service is given, and credit control has no further part in it.
    fn go_on_without(
        &mut self,
        decision: Decision,
        now: Instant,
        policy: &Policy,
        out: &mut Vec<Output>,
    ) {
        match decision {
            Decision::Granted => self.loosen(policy, out),
            _ => {
                self.loose = false;
                self.allow(None, out);
            }
        }
        self.decide(decision, out);
        self.quota = None;
        if decision == Decision::Free {
            (self.used, self.free) = (0, true);
        }
        match self.service {
            Service::Over => self.over(now, out),
            // 4011 for the service alone: the session that it is the only service of is ended.
            _ if decision == Decision::Free && !self.lasting && self.remote == Remote::Open => {
                self.service = Service::Over;
                self.cause = TerminationCause::Logout;
                self.terminate(out);
            }
            _ if decision == Decision::Free && !self.lasting => self.state = State::Closed,
            _ => {
                self.state = State::Uncontrolled;
                let asks = self.lasting && !self.free && policy.again > 0;
                self.again = asks.then(|| now.after(policy.again));
            }
        }
    }

    fn over(&mut self, now: Instant, out: &mut Vec<Output>) {
        match self.remote {
            Remote::Open if self.asked.is_none() && !self.lost => self.terminate(out),
            _ => self.settle(now, out),
        }
    }

    /// Keeps what the server still has to be told. Where it has no session nobody takes the units: the failure
    /// handling gave them away, and the operator hears of it.
    fn settle(&mut self, now: Instant, out: &mut Vec<Output>) {
        (self.validity, self.again) = (None, None);
        if self.remote == Remote::Closed && self.asked.is_none() && self.used > 0 {
            let (number, used) = (self.next, self.used);
            out.push(Output::Unsettled(Owed::Close {
                number,
                used,
                report: None,
            }));
        }
        self.state = match self.remote {
            Remote::Closed if self.asked.is_none() => State::Closed,
            _ => State::Stored(now),
        };
    }

    fn update(
        &mut self,
        now: Instant,
        reason: Option<Reason>,
        policy: &Policy,
        out: &mut Vec<Output>,
    ) {
        self.state = State::PendingU;
        self.tx = Some(now.after(policy.tx));
        self.validity = None;
        self.ask(RequestType::Update, reason, out);
    }

    /// Send CC termination request, PendingT.
    fn terminate(&mut self, out: &mut Vec<Output>) {
        self.state = State::PendingT;
        (self.tx, self.validity, self.again) = (None, None, None);
        self.ask(RequestType::Termination, Some(Reason::Final), out);
    }

    /// PendingT: the session is over, or is kept to be told again.
    fn closed(&mut self, now: Instant, verdict: Verdict, policy: &Policy, out: &mut Vec<Output>) {
        match verdict {
            // PendingT, successful answer: Idle
            Verdict::Granted => self.finish(),
            // PendingT, temporary error: the table gives up here; what was used would never be paid.
            Verdict::Temporary { elsewhere } => {
                if !(elsewhere && self.ask_again(out)) {
                    self.state = State::Stored(self.backoff.next(now, policy));
                }
            }
            // PendingT, failed answer: Idle. The units were not counted, as far as one can know.
            Verdict::Free | Verdict::Denied(_) | Verdict::Failed => {
                let units = self.asked.and_then(|question| question.used);
                if units.is_some_and(|units| units > 0) {
                    out.push(Output::Unsettled(self.owed()));
                }
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        (self.asked, self.again) = (None, None);
        self.remote = Remote::Closed;
        self.state = State::Closed;
    }

    fn ask(&mut self, kind: RequestType, reason: Option<Reason>, out: &mut Vec<Output>) {
        let number = self.next;
        self.next += 1;
        (self.retried, self.lost) = (false, false);
        let question = Question {
            measure: self.measure,
            ..Question::new(kind, number)
        };
        let question = match kind {
            RequestType::Initial | RequestType::Event => Question {
                requested: Some(self.wanted),
                ..question
            },
            // What is given back is not asked for again (§8.16). What is parked has nothing to report (§5.6.4).
            RequestType::Update => Question {
                requested: (reason != Some(Reason::HoldingTime)).then_some(self.wanted),
                used: Some(std::mem::take(&mut self.used)).filter(|used| !self.parked || *used > 0),
                bound: !self.failover,
                ..question
            },
            // §8.16: without Requested-Service-Unit no new quota is granted
            RequestType::Termination => Question {
                used: Some(std::mem::take(&mut self.used)),
                cause: Some(self.cause),
                bound: !self.failover,
                ..question
            },
        };
        let question = Question {
            reason: reason.filter(|_| question.used.is_some()),
            ..question
        };
        self.asked = Some(question);
        out.push(Output::Ask(question));
    }
}

mod grant;
mod holding;
mod loose;
mod stored;
#[cfg(test)]
mod tests;
