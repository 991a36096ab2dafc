//! How the services of the node appear to the network: all as the presence service does.

use super::Settings;
use crate::event::subscriber;
use crate::presence::service as presence;
use crate::{registration, rls as list_server, xdm};

/// How registrations are followed: as the presence service appears.
pub(super) fn follow(settings: &Settings) -> registration::reg_event::Settings {
    let presence = &settings.presence;
    registration::reg_event::Settings {
        own: own(presence),
        timer_n: settings.transactions.timeout(),
    }
}

/// How subscribers are told of documents: as the presence service tells of presence.
pub(super) fn told(presence: &presence::Settings) -> xdm::diff::Network {
    xdm::diff::Network {
        own: own(presence),
        lifetimes: presence.subscription,
        notify_interval: presence.notify_interval,
    }
}

/// How watchers of lists are told: as the presence service tells of presence.
pub(super) fn tells_of_lists(presence: &presence::Settings) -> list_server::service::Network {
    list_server::service::Network {
        own: own(presence),
        lifetimes: presence.subscription,
    }
}

/// How the node appears in requests of its own.
fn own(presence: &presence::Settings) -> subscriber::Own {
    subscriber::Own {
        address: presence.own_address.clone(),
        contact: presence.own_contact.clone(),
        ioi: presence.own_ioi.clone(),
        udp_max: presence.udp_max,
    }
}
