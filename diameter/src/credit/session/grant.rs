//! What a service that lasts may use, when more is asked for, and the session that follows one that is lost.

use super::{Remote, Service, Session, State};
use crate::Instant;
use crate::credit::verdict::Told;
use crate::credit::{Denial, Output, Owed, Policy, Question};
use crate::ro::{Measure, Reason, RequestType, TerminationCause};

impl Session {
    /// What the service may use by now, as [`Output::Allowed`] has it.
    pub fn allowance(&self) -> Option<u64> {
        self.allowed
    }

    /// Units that were used since this machine was made, while they are counted.
    pub fn counted(&self) -> Option<u64> {
        let counts = self.lasting && !self.free && self.service == Service::Granted;
        (counts && self.measure == Measure::Events).then_some(self.total)
    }

    /// An answer has granted units. Those used since the report that it answers are the first of them.
    pub(super) fn grant(&mut self, now: Instant, told: &Told, policy: &Policy) {
        self.quota = told.granted;
        self.spent = self.used;
        (self.last_units, self.pooled) = (told.final_unit, told.pooled);
        (self.loose, self.given) = (false, 0);
        (self.parked, self.wants) = (false, false);
        self.holding = told.holding.map(|seconds| u64::from(seconds) * 1_000);
        self.hold(now, policy);
        let share = self.quota.map_or(0, |quota| {
            quota.saturating_mul(policy.early.into()).div_ceil(100)
        });
        self.threshold = told.threshold.unwrap_or(share);
    }

    /// All units that may be used by the last grant, as the service counts them.
    pub(super) fn limit(&self) -> Option<u64> {
        let granted = |quota| self.total.saturating_add(quota);
        Some(granted(self.quota?).saturating_sub(self.spent))
    }

    /// Tells a service that lasts how much it may use, where that has changed.
    pub(super) fn allow(&mut self, limit: Option<u64>, out: &mut Vec<Output>) {
        if self.lasting && self.service != Service::Over && self.allowed != limit {
            self.allowed = limit;
            out.push(Output::Allowed(limit));
        }
    }

    /// Units were used in an open session. TS 32.299 §7.2 (Unit-Quota-Threshold): the client asks for more "when the
    /// quota contents fall below the supplied threshold", and the service uses the rest meanwhile. Each report has a
    /// unit at least, so that a threshold above the grant makes no loop.
    pub(super) fn count(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        let Some(quota) = self.quota else { return };
        let left = quota.saturating_sub(self.spent);
        if left == 0 {
            self.elapsed(now, policy, out);
        } else if left < self.threshold && self.used > 0 && !self.last_units {
            self.update(now, Some(Reason::Threshold), policy, out);
        }
    }

    /// §8.17: units of a kind that is not supported make "an incorrect CCA. In this case, the client MUST terminate the
    /// credit-control session". The service ends whatever the failure handling says, since its session does.
    pub(super) fn misunderstood(&mut self, out: &mut Vec<Output>) {
        self.asked = None;
        self.remote = Remote::Open;
        self.stop(Denial::Unavailable, out);
        self.cause = TerminationCause::BadAnswer;
        self.terminate(out);
    }

    /// Whether the service was taken up, and waits for its server.
    pub(super) fn is_patient(&self, now: Instant) -> bool {
        self.patience.is_some_and(|until| now < until)
    }

    /// Whether the server does not know the session of a service that goes on (5002), for the first time since it took a
    /// report: a server that forgets each session is not asked for ever.
    pub(super) fn is_forgotten(&self, kind: RequestType, told: &Told) -> bool {
        let goes_on = self.lasting && self.service == Service::Granted && !self.free;
        kind == RequestType::Update && told.unknown_session && goes_on && !self.renewed
    }

    /// The session is lost with its grant: another is opened. What the server did not count is reported there.
    pub(super) fn reopen(
        &mut self,
        question: &Question,
        now: Instant,
        policy: &Policy,
        out: &mut Vec<Output>,
    ) {
        if self.lost {
            // an earlier sending may have been counted, before the session was forgotten
            self.dispute(question, out);
        } else {
            self.used = self.used.saturating_add(question.used.unwrap_or(0));
        }
        self.renewed = true;
        let waits = self.allowed.is_some() && !self.loose;
        self.tx = waits.then(|| now.after(policy.tx));
        if waits {
            self.allow(Some(0), out);
        }
        self.renew(out);
    }

    /// Nobody knows whether the units of a report were counted: they are not reported again.
    pub(super) fn dispute(&self, question: &Question, out: &mut Vec<Output>) {
        if let Some(used) = question.used.filter(|used| *used > 0) {
            out.push(Output::Unsettled(Owed::Close {
                number: question.number,
                used,
                report: None,
            }));
        }
    }

    /// The service has gone on without a session for a while (§5.7: the client "MAY" try again). Where one may be open at
    /// the server, that one is asked for first.
    pub(super) fn ask_anew(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        if self.state != State::Uncontrolled || self.service != Service::Granted {
            return;
        }
        self.renewed = false;
        match (self.remote, self.asked) {
            (Remote::Closed, None) => self.renew(out),
            _ => self.send_stored(now, policy, out),
        }
    }

    fn renew(&mut self, out: &mut Vec<Output>) {
        (self.state, self.remote) = (State::PendingI, Remote::Closed);
        (self.quota, self.validity) = (Some(0), None);
        (self.idle, self.parked) = (None, false);
        self.next = 0;
        out.push(Output::Renewed);
        self.ask(RequestType::Initial, None, out);
    }
}
