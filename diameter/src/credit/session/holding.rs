//! Quota-Holding-Time (TS 32.299 §7.2): units that lie unused are given back, and asked for again when the service wants
//! one.

use super::{Service, Session, State};
use crate::Instant;
use crate::credit::{Output, Policy};
use crate::ro::Reason;

impl Session {
    /// The service may use units, or has just used one: they are held from here on.
    pub(super) fn hold(&mut self, now: Instant, policy: &Policy) {
        let holding = policy.holding.map(|usual| self.holding.unwrap_or(usual));
        let holds = self.lasting && !self.parked && self.quota.is_some();
        let time = holding.filter(|time| holds && *time > 0);
        self.idle = time.map(|time| now.after(time));
    }

    /// The time is over: CCR UPDATE without Requested-Service-Unit.
    pub(super) fn give_back(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        self.idle = None;
        if self.service != Service::Granted || self.free {
            return;
        }
        self.allow(Some(self.total), out); // not one more
        self.update(now, Some(Reason::HoldingTime), policy, out);
    }

    /// What was given back is with the server.
    pub(super) fn park(&mut self) {
        (self.quota, self.spent) = (Some(0), self.used);
        (self.parked, self.last_units, self.idle) = (true, false, None);
        (self.loose, self.given) = (false, 0);
    }

    /// The service has to wait for a unit.
    pub(super) fn wanted(&mut self, now: Instant, policy: &Policy, out: &mut Vec<Output>) {
        self.wants = self.service == Service::Granted && !self.free;
        if self.wants && self.parked && self.state == State::Open {
            self.update(now, None, policy, out);
        }
    }
}
