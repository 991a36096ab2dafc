//! `[composition]`: what becomes of services, persons and devices that several sources describe.

use ims::presence::compose;
use serde::Deserialize;

/// RFC 4479 §3.5 leaves the policy to the server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Composition {
    pub services: Joining,
    pub persons: Joining,
    pub devices: Joining,
    pub services_without_device: WithoutDevice,
    pub overriding_willingness: Overriding,
}

/// What becomes of components that are the same but for what is said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Joining {
    Separate,
    KeepApart,
    Newest,
}

/// Which services one without deviceID may be the same as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutDevice {
    /// Others without deviceID only.
    Apart,
    Any,
}

/// What an overriding willingness does to the willingness of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overriding {
    Beside,
    Replaces,
}

impl Default for Composition {
    fn default() -> Self {
        Composition {
            services: Joining::KeepApart,
            persons: Joining::KeepApart,
            devices: Joining::Newest,
            services_without_device: WithoutDevice::Apart,
            overriding_willingness: Overriding::Beside,
        }
    }
}

impl From<&Composition> for compose::Policy {
    fn from(section: &Composition) -> compose::Policy {
        let joining = |joining| match joining {
            Joining::Separate => compose::Joining::Separate,
            Joining::KeepApart => compose::Joining::KeepApart,
            Joining::Newest => compose::Joining::Newest,
        };
        compose::Policy {
            services: joining(section.services),
            persons: joining(section.persons),
            devices: joining(section.devices),
            any_device: section.services_without_device == WithoutDevice::Any,
            overriding_replaces: section.overriding_willingness == Overriding::Replaces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_policy_of_oma() {
        let policy = compose::Policy::from(&Composition::default());
        assert_eq!(policy, compose::Policy::default());
    }
}
