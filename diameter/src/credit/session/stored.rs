//! A session beyond its process: what it leaves behind, and how the next process takes it up.

use super::{Remote, Service, Session, State};
use crate::Instant;
use crate::credit::{Output, Owed, Policy, Question, Terms};
use crate::ro::{FailureHandling, Reason, RequestType, TerminationCause};

impl Session {
    /// Takes up what an earlier process owed, not before `at`; nothing for what is not owed by a session.
    pub fn resume(owed: Owed, terms: Terms, at: Instant, policy: &Policy) -> Option<Session> {
        let mut session = Session::taken_up(owed, at, policy)?;
        session.measure = terms.measure;
        if let Some(asked) = &mut session.asked {
            asked.measure = terms.measure;
            asked.reason = match asked.kind {
                RequestType::Update => terms.reason,
                _ => Some(Reason::Final),
            };
            // what was given back was not asked for again
            let gives_back = asked.reason == Some(Reason::HoldingTime);
            asked.requested = asked.requested.filter(|_| !gives_back);
        }
        Some(session)
    }

    fn taken_up(owed: Owed, at: Instant, policy: &Policy) -> Option<Session> {
        match owed {
            Owed::Close {
                number,
                used,
                report,
            } => Some(Session::closing(at, policy, (number, used, report))),
            Owed::Open {
                number,
                used,
                report,
                failure,
                failover,
                quota,
            } => {
                let told = (failure, failover, quota);
                Some(Session::going_on(at, policy, (number, used, report), told))
            }
            Owed::Uncontrolled => {
                let mut session = Session::without(at, policy);
                session.free = true;
                Some(session)
            }
            Owed::Given { used } => {
                let mut session = Session::without(at, policy);
                session.handling = FailureHandling::Continue;
                session.cause = TerminationCause::Logout;
                (session.used, session.given, session.loose) = (used, used, true);
                session.allowed = (policy.given > 0).then(|| policy.given.saturating_sub(used));
                session.again = (policy.again > 0).then(|| at.after(policy.again));
                Some(session)
            }
            Owed::Nothing | Owed::Debit | Owed::Undo | Owed::Refund => None,
        }
    }

    /// A service that goes on without a session.
    fn without(at: Instant, policy: &Policy) -> Session {
        let mut session = Session::new(at, policy, true);
        session.state = State::Uncontrolled;
        (session.service, session.begun, session.tx) = (Service::Granted, true, None);
        session
    }

    /// The service is over: its end is told, after an update whose fate is not known.
    fn closing(
        at: Instant,
        policy: &Policy,
        (number, used, report): (u32, u64, Option<(u32, u64)>),
    ) -> Session {
        let mut session = Session::new(at, policy, false);
        session.state = State::Stored(at);
        session.remote = Remote::Perhaps;
        session.service = Service::Over;
        // Each of them may have been sent before.
        let question = match report {
            Some(report) => session.reported(report),
            None => Question {
                used: Some(used),
                cause: Some(TerminationCause::Logout),
                bound: !policy.failover,
                ..Question::new(RequestType::Termination, number)
            },
        };
        let first = report.is_none();
        session.asked = Some(question);
        session.next = number + u32::from(first);
        session.used = if first { 0 } else { used };
        session.tx = None;
        session.cause = TerminationCause::Logout;
        session.lost = true;
        session
    }

    /// The service goes on: its server is asked for more, and told what was used. Nothing was sent with `number`, since
    /// what is sent is stored before.
    fn going_on(
        at: Instant,
        policy: &Policy,
        (number, used, report): (u32, u64, Option<(u32, u64)>),
        (failure, failover, quota): (FailureHandling, bool, Option<u64>),
    ) -> Session {
        let mut session = Session::new(at, policy, true);
        session.state = State::Stored(at);
        session.remote = Remote::Open;
        (session.service, session.begun) = (Service::Granted, true);
        (session.handling, session.failover) = (failure, failover);
        (session.next, session.used) = (number, used);
        session.asked = report.map(|report| session.reported(report));
        session.lost = report.is_some();
        session.tx = None;
        session.patience = Some(at.after(policy.grace));
        session.quota = quota;
        session.spent = used.saturating_add(report.map_or(0, |(_, units)| units));
        let beyond = quota.map(|quota| session.spent.saturating_sub(quota));
        session.given = beyond.unwrap_or(0);
        session.allowed = session.limit();
        session.cause = TerminationCause::Logout;
        session
    }

    /// An update that may have been sent before.
    fn reported(&self, (number, used): (u32, u64)) -> Question {
        Question {
            requested: Some(self.wanted),
            used: Some(used),
            bound: !self.failover,
            ..Question::new(RequestType::Update, number)
        }
    }

    /// What is kept beside [`Session::owed`].
    pub fn terms(&self) -> Terms {
        let update = self.asked.filter(|asked| asked.kind == RequestType::Update);
        Terms {
            measure: self.measure,
            reason: update.and_then(|asked| asked.reason),
        }
    }

    /// What a process that died now would leave behind.
    pub fn owed(&self) -> Owed {
        let goes_on = self.begun && self.service == Service::Granted;
        if self.state == State::Closed {
            return Owed::Nothing;
        }
        if self.remote == Remote::Closed && self.asked.is_none() {
            return match goes_on {
                true if self.free => Owed::Uncontrolled,
                true => Owed::Given { used: self.used },
                false => Owed::Nothing,
            };
        }
        let asked = self.asked;
        let of = |kind| asked.filter(|question| question.kind == kind);
        let (number, used) = match of(RequestType::Termination) {
            Some(last) => (last.number, last.used.unwrap_or(0)),
            None => (self.next, self.used),
        };
        let report = of(RequestType::Update).map(|q| (q.number, q.used.unwrap_or(0)));
        match goes_on {
            true => Owed::Open {
                number,
                used,
                report,
                failure: self.handling,
                failover: self.failover,
                quota: self.quota,
            },
            false => Owed::Close {
                number,
                used,
                report,
            },
        }
    }

    /// In storage: an update whose fate is not known goes before what follows it.
    pub(super) fn send_stored(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        // While it goes on within its grant nobody waits; beyond that Tx bounds the wait.
        if self.service == Service::Granted && self.allowed.is_some() && !self.loose {
            self.tx = Some(now.after(policy.tx));
        }
        self.retried = true; // each attempt is a new choice of server anyway
        match self.asked {
            Some(question) => {
                self.state = match question.kind {
                    RequestType::Termination => State::PendingT,
                    _ => State::PendingU,
                };
                out.push(Output::Ask(Question {
                    retransmitted: self.lost,
                    ..question
                }));
            }
            None if self.service == Service::Granted => {
                self.state = State::PendingU;
                let spent = self.quota.is_some_and(|quota| self.spent >= quota);
                let reason = (spent && self.used > 0).then_some(Reason::QuotaExhausted);
                self.ask(RequestType::Update, reason, out);
            }
            None => self.terminate(out),
        }
    }
}
