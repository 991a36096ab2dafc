//! What a service may use while it goes on by its failure handling, without its server or before its answer (§5.7: "the
//! service will be granted to the end user"): so much as the operator gives away, and no more.

use super::{Service, Session, State};
use crate::Instant;
use crate::credit::{Denial, Output, Policy};

impl Session {
    /// Nothing is asked of the server for now.
    pub(super) fn loosen(&mut self, policy: &Policy, out: &mut Vec<Output>) {
        self.loose = true;
        let left = policy.given.saturating_sub(self.given);
        let most = (policy.given > 0).then(|| self.total.saturating_add(left));
        self.allow(most, out);
    }

    /// Units were used so. At the bound the failure handling is TERMINATE, whatever it was.
    pub(super) fn give_away(
        &mut self,
        units: u64,
        now: Instant,
        policy: &Policy,
        out: &mut Vec<Output>,
    ) {
        self.given = self.given.saturating_add(units);
        if policy.given == 0 || self.given < policy.given || self.service != Service::Granted {
            return;
        }
        self.stop(Denial::Unavailable, out);
        // While an answer is awaited, or the server is to be told later, the end follows that.
        if self.state == State::Uncontrolled {
            self.over(now, out);
        }
    }
}
