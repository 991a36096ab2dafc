//! How the simulated server is configured.

use ims::charge::{Outcomes, Triggers};
use ims::event::lifetime::Lifetimes;
use ims::isc::Trust;
use ims::node::Settings;
use ims::presence::{compose, external, object, pidf, service};
use ims::sip::Limits;
use ims::time::{Millis, Seconds};
use ims::xdm::Xdm;
use ims::{registration, transaction};

/// How long "not registered any more" is remembered, in seconds.
pub const RETENTION: u32 = 120;

/// `failures`: failed requests are charged too.
pub fn settings(xdm: Xdm, failures: bool) -> Settings {
    let lifetimes = |max| Lifetimes {
        min: Seconds(30),
        default: Seconds(300),
        max: Seconds(max),
    };
    Settings {
        home_domains: vec!["ims.test".into()],
        product: "sim".into(),
        trust: Trust::new(vec!["10.0.0.0/8".parse().expect("a network")]),
        limits: Limits::default(),
        transactions: transaction::Settings::default(),
        presence: service::Settings {
            publication: lifetimes(3600),
            subscription: lifetimes(3600),
            publications_per_presentity: 64,
            subscriptions_per_presentity: 64,
            notify_interval: Millis(5_000),
            compress_above: 512,
            default_handling: None,
            pidf: pidf::Limits::default(),
            watcher_info: service::WatcherInfo {
                give_up: Seconds(1_000), // who waits for a decision is forgotten before the end
                ..service::WatcherInfo::default()
            },
            external: external::Settings {
                servers: Vec::new(),
                timeout: Millis(5_000),
                waiting: 0,
            },
            objects: object::Limits { bytes: 0, count: 0 },
            composition: compose::Policy::default(),
            own_ioi: "ims.test".into(),
            own_address: "10.0.0.1:5060".into(),
            own_contact: "10.0.0.1:5060".into(),
            udp_max: 1_300,
        },
        registration: registration::Settings {
            default_expires: Seconds(600),
            max_expires: Seconds(3600),
            terminated_retention: Seconds(RETENTION),
            capacity: 1_000,
            reg_event: false,
            aliases: registration::Aliases::Tel,
        },
        xdm,
        remote: ims::xdm::remote::Settings::default(),
        list_server: Default::default(),
        lists: ims::rls::list::Settings::default(),
        back_ends: ims::rls::backend::Bounds::default(),
        triggers: triggers(failures),
        payer: Default::default(),
        notify_payer: Default::default(),
        online: ims::charge::credit::Online::OFF,
        farewell: None,
        phrases: Default::default(),
        publish_needs_registration: false,
        pending_status: 202,
        publishers: Vec::new(),
        known_presentities_only: false,
        publications: 10_000,
        subscriptions: 10_000,
        documents: 1_000,
        overrides: 100,
    }
}

fn triggers(failures: bool) -> Triggers {
    let outcomes = match failures {
        true => Outcomes::All,
        false => Outcomes::Successes,
    };
    Triggers {
        publish: outcomes,
        subscribe: outcomes,
        notify: outcomes,
        register: outcomes,
        ..Triggers::OFF
    }
}
