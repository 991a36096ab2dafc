//! What an earlier process left in the store is taken up, and at which pace.

use super::Client;
use super::entry::Machine;
use super::order::{Kept, Order};
use crate::Instant;
use crate::credit::event::OneTime;
use crate::credit::session::Session;
use crate::credit::{Denial, Output, Owed, Policy, Withdrawal};

/// Sessions of an earlier process that are asked for in a millisecond.
const RESUMED_EACH_MS: u64 = 1;

/// How much longer than configured those that go on without a session wait at most when they are many.
const LONGEST_AGAIN: u64 = 10;

impl Client {
    /// Takes up what the store kept of an earlier process, with the Session-Id that the charge began with. What is owed is
    /// never refused for lack of room. `lives`: the service still goes on, where it is one that lasts.
    pub fn resume(&mut self, now: Instant, key: u64, session_id: String, kept: Kept, lives: bool) {
        let owed = match kept.owed {
            Owed::Open {
                number,
                used,
                report,
                ..
            } if !lives => Owed::Close {
                number,
                used,
                report,
            },
            Owed::Uncontrolled if !lives => Owed::Nothing,
            Owed::Given { used } if !lives => {
                if used > 0 {
                    let owed = kept.owed; // no session will take it
                    self.orders.push_back(Order::Unsettled {
                        key,
                        owed,
                        said: None,
                    });
                }
                Owed::Nothing
            }
            owed => owed,
        };
        let goes_on = matches!(
            owed,
            Owed::Open { .. } | Owed::Uncontrolled | Owed::Given { .. }
        );
        if lives && !goes_on {
            let why = Withdrawal::Denied(Denial::Unavailable); // it had been, and was not heard of
            self.orders.push_back(Order::Withdrawn { key, why });
        }
        // So many that they would crowd out each other are asked for one after the other.
        let at = now.after(self.lasting as u64 / RESUMED_EACH_MS);
        let event = OneTime::resume(owed, now).map(Machine::Event);
        let (policy, terms) = (self.policy_of(key), kept.terms);
        let session = || {
            let session = Session::resume(owed, terms, at, &policy)?;
            Some(Machine::Session(Box::new(session)))
        };
        match event.or_else(session) {
            Some(machine) => {
                let mut out = Vec::new();
                if let Machine::Session(session) = &machine
                    && goes_on
                {
                    out.push(Output::Allowed(session.allowance()));
                }
                self.insert(key, session_id, machine, goes_on, Some(kept));
                self.follow(now, key, out, None);
            }
            None => self.orders.push_back(Order::Forget { key }),
        }
    }

    /// The policy for one charge: those that ask again do so each at a time of its own, and all of them together not more
    /// often than sessions are taken up after a start.
    pub(super) fn policy_of(&self, key: u64) -> Policy {
        let Policy { again, .. } = self.policy;
        let least = self.lasting as u64 / RESUMED_EACH_MS;
        let spread = u64::from(key_hash(key) % 512); // of 1024: three quarters to five quarters of the time
        let wait = again.max(least.min(again.saturating_mul(LONGEST_AGAIN)));
        Policy {
            again: wait.saturating_mul(768 + spread) / 1_024,
            ..self.policy
        }
    }
}

/// Some bits of a key, which is a time and a count.
fn key_hash(key: u64) -> u16 {
    let x = (key ^ key >> 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 48) as u16
}
