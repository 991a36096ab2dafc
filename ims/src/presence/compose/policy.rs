//! What the operator wants done with components that several sources describe.

use crate::presence::pidf::fragment::Sort;

/// What becomes of components of one sort that different sources describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Each stays as it was published.
    Separate,
    /// They become one unless an element that both have differs.
    KeepApart,
    /// They become one; of an element that differs the newest is shown.
    Newest,
}

/// The composition policy, RFC 4479 §3.5 leaves it to the server. The default is OMA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Tuples with the same contact, service description, deviceID and class. Default: kept apart on a conflict.
    pub services: Joining,
    /// Persons of the same class. Default: kept apart on a conflict.
    pub persons: Joining,
    /// Devices of the same deviceID and class. Default: the newest wins.
    pub devices: Joining,
    /// A tuple without deviceID may be joined with one that has some. Default: no.
    pub any_device: bool,
    /// While a person has an overriding willingness, services are shown without a willingness of their own.
    /// Default: no, and watchers put the one before the other.
    pub overriding_replaces: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            services: Joining::KeepApart,
            persons: Joining::KeepApart,
            devices: Joining::Newest,
            any_device: false,
            overriding_replaces: false,
        }
    }
}

impl Policy {
    pub(super) fn joining(&self, sort: Sort) -> Joining {
        match sort {
            Sort::Tuple => self.services,
            Sort::Person => self.persons,
            Sort::Device => self.devices,
        }
    }
}
