//! Which events are charged. TS 32.260 §5.2.1 leaves it to the operator, for each method; here also for each direction,
//! outcome and event package.

use super::coalesce::Coalescing;
use super::{Chargeable, Event, Role};
use std::collections::BTreeMap;

/// Which final responses to a request make a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcomes {
    None,
    /// 2xx.
    Successes,
    /// Everything else, and no response at all.
    Failures,
    All,
}

impl Outcomes {
    pub fn include(self, status: u16) -> bool {
        let success = (200..300).contains(&status);
        match self {
            Outcomes::None => false,
            Outcomes::Successes => success,
            Outcomes::Failures => !success,
            Outcomes::All => true,
        }
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Outcomes) -> Outcomes {
        match (self, other) {
            (Outcomes::All, only) | (only, Outcomes::All) => only,
            (a, b) if a == b => a,
            _ => Outcomes::None,
        }
    }
}

/// The events that are charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triggers {
    pub publish: Outcomes,
    /// SUBSCRIBEs received.
    pub subscribe: Outcomes,
    /// SUBSCRIBEs sent, as a list server does.
    pub subscribe_sent: Outcomes,
    /// NOTIFYs sent.
    pub notify: Outcomes,
    /// NOTIFYs received.
    pub notify_received: Outcomes,
    pub register: Outcomes,
    /// By event package, where less is charged than the method says.
    pub packages: BTreeMap<String, Outcomes>,
    /// How NOTIFYs sent become records.
    pub coalescing: Coalescing,
}

impl Triggers {
    /// Charging is off.
    pub const OFF: Triggers = Triggers {
        publish: Outcomes::None,
        subscribe: Outcomes::None,
        subscribe_sent: Outcomes::None,
        notify: Outcomes::None,
        notify_received: Outcomes::None,
        register: Outcomes::None,
        packages: BTreeMap::new(),
        coalescing: Coalescing::Each,
    };

    fn outcomes(&self, method: Chargeable, role: Role) -> Outcomes {
        match (method, role) {
            (Chargeable::Publish, _) => self.publish,
            (Chargeable::Subscribe, Role::Terminating) => self.subscribe,
            (Chargeable::Subscribe, Role::Originating) => self.subscribe_sent,
            (Chargeable::Notify, Role::Originating) => self.notify,
            (Chargeable::Notify, Role::Terminating) => self.notify_received,
            (Chargeable::Register, _) => self.register,
        }
    }

    /// Whether a transaction of this method with this outcome may give a record, in either direction.
    pub fn may_charge(&self, method: Chargeable, status: u16) -> bool {
        [Role::Originating, Role::Terminating]
            .iter()
            .any(|role| self.outcomes(method, *role).include(status))
    }

    pub fn charge(&self, event: &Event) -> bool {
        let package = event.package.as_deref();
        let of_package = package.and_then(|package| self.packages.get(package));
        self.outcomes(event.method, event.role)
            .and(of_package.copied().unwrap_or(Outcomes::All))
            .include(event.status)
    }
}
