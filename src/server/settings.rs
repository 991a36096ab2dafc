//! The configuration as the settings of the parts that it configures.

use crate::config::{Aliases, AtShutdown, Config, Handling, Presentities, Shutdown};
use crate::transport::tcp;
use ims::event::farewell::Farewell;
use ims::event::lifetime::Lifetimes;
use ims::event::subscription::End;
use ims::isc::Trust;
use ims::presence::{external, object, pidf, rules, service};
use ims::sip::{Aor, Limits};
use ims::time::Millis;
use ims::xdm::Xdm;
use ims::{charge, node, registration, transaction};
use std::time::Duration;

/// The network that we are in charging: the first home domain.
pub fn home_domain(config: &Config) -> &str {
    config.sip.home_domains.first().map_or("", String::as_str)
}

fn sip_limits(config: &Config) -> Limits {
    Limits {
        max_message: config.sip.max_message,
        ..Limits::default()
    }
}

pub fn tcp(config: &Config) -> tcp::Settings {
    tcp::Settings {
        limits: sip_limits(config),
        max_connections: config.sip.max_connections,
        idle: Duration::from_secs(u64::from(config.sip.tcp_idle_s.0)),
    }
}

pub fn node(config: &Config, xdm: Xdm) -> node::Settings {
    let Config {
        sip,
        trust,
        limits,
        presence,
        registration,
        ..
    } = config;
    node::Settings {
        home_domains: sip.home_domains.clone(),
        product: sip.server.clone(),
        trust: Trust::new(trust.peers.clone()),
        limits: sip_limits(config),
        transactions: transaction::Settings {
            t1: sip.t1_ms,
            t2: sip.t2_ms,
            t4: sip.t4_ms,
            max_transactions: sip.max_transactions,
        },
        presence: service(config),
        registration: registration::Settings {
            default_expires: registration.expires_default,
            max_expires: registration.expires_max,
            terminated_retention: registration.terminated_retention_s,
            capacity: limits.registrations,
            reg_event: registration.reg_event,
            aliases: match registration.aliases {
                Aliases::Tel => registration::Aliases::Tel,
                Aliases::Set => registration::Aliases::Set,
            },
        },
        xdm,
        remote: config.remote_xdms.settings(&config.as_uri()),
        lists: config.rls.lists(),
        back_ends: config.rls.back_ends.bounds(),
        list_server: config
            .rls
            .service(home_domain(config), config.subscription.compress_above),
        triggers: triggers(config),
        payer: config.charging.payer.into(),
        notify_payer: config.charging.notify_payer.into(),
        online: config.charging.online.of_node(&config.charging),
        farewell: farewell(&config.shutdown),
        phrases: presence.phrases.clone(),
        publish_needs_registration: presence.publish_needs_registration,
        pending_status: config.subscription.pending_status,
        publishers: presence
            .publishers
            .iter()
            .filter_map(|text| Aor::parse(text))
            .collect(),
        known_presentities_only: presence.presentities == Presentities::Registered,
        publications: limits.publications,
        subscriptions: limits.subscriptions,
        documents: limits.documents,
        overrides: limits.overrides,
    }
}

/// What watchers are told at shutdown; the other half of the time is for their answers.
fn farewell(shutdown: &Shutdown) -> Option<Farewell> {
    let end = match shutdown.subscriptions {
        AtShutdown::Keep => return None,
        AtShutdown::Move => End::Deactivated,
        AtShutdown::Later => End::Probation {
            retry_after: shutdown.retry_after_s,
        },
    };
    let over = Millis(u64::from(shutdown.drain_s.0) * 500);
    Some(Farewell { end, over })
}

fn service(config: &Config) -> service::Settings {
    let Config {
        publication,
        subscription,
        ..
    } = config;
    let own_contact = config.as_uri();
    let own_contact = own_contact.split_once(':').map_or("", |(_, rest)| rest);
    // without a user part: each dialog puts its own
    let own_contact = own_contact
        .rsplit_once('@')
        .map_or(own_contact, |(_, host)| host);
    service::Settings {
        publication: Lifetimes {
            min: publication.expires_min,
            default: publication.expires_default,
            max: publication.expires_max,
        },
        subscription: Lifetimes {
            min: subscription.expires_min,
            default: subscription.expires_default,
            max: subscription.expires_max,
        },
        publications_per_presentity: publication.max_per_presentity,
        subscriptions_per_presentity: subscription.max_per_presentity,
        notify_interval: subscription.notify_interval_ms,
        compress_above: subscription.compress_above,
        default_handling: match config.presence.default_handling {
            Handling::Block => None,
            Handling::Confirm => Some(rules::Handling::Confirm),
            Handling::PoliteBlock => Some(rules::Handling::PoliteBlock),
            Handling::Allow => Some(rules::Handling::Allow),
        },
        pidf: pidf::Limits {
            body: publication.max_body,
            components: publication.max_components,
            elements: publication.max_elements,
        },
        watcher_info: (&config.watcher_info).into(),
        external: external::Settings {
            servers: publication
                .content_servers
                .iter()
                .filter_map(|authority| external::server(authority))
                .collect(),
            timeout: publication.content_timeout_ms,
            waiting: publication.max_fetches,
        },
        objects: object::Limits {
            bytes: publication.max_object,
            count: publication.max_objects,
        },
        composition: (&config.composition).into(),
        own_ioi: home_domain(config).to_owned(),
        own_address: own_contact.split(';').next().unwrap_or_default().to_owned(),
        own_contact: own_contact.to_owned(),
        udp_max: config.sip.udp_max,
    }
}

/// What is charged: nothing where no CDF is configured.
fn triggers(config: &Config) -> charge::Triggers {
    let charging = &config.charging;
    if charging.peers.is_empty() {
        return charge::Triggers::OFF;
    }
    (&charging.triggers).into()
}
