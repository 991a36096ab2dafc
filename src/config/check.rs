//! Ranges and relations that the types alone do not state.

use super::{BadValue, Config, EngineKind};
use ims::presence::external;
use ims::reject::phrase;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Refuses the first value that is out of its range or contradicts another one.
pub(super) fn check(config: &Config) -> Result<(), BadValue> {
    transport_ranges(config)?;
    service_ranges(config)?;
    lifetimes(config)?;
    names(config)?;
    choices(config)?;
    config.watcher_info.check()?;
    config.xcap.check()?;
    config.remote_xdms.check()?;
    config.xcap_diff.check()?;
    config.rls.check()?;
    config.http.check()?;
    let home = config.sip.home_domains.first().map_or("", String::as_str);
    let charging = &config.charging;
    charging
        .complete(home)
        .and_then(|checked| charging.online.check(&checked).map(|_| ()))
        .map_err(|bad| BadValue {
            key: format!("charging.{}", bad.key),
            expected: bad.expected,
        })
}

fn transport_ranges(config: &Config) -> Result<(), BadValue> {
    let sip = &config.sip;
    within("sip.t1_ms", sip.t1_ms.0, 10..=10_000)?;
    within("sip.t2_ms", sip.t2_ms.0, sip.t1_ms.0..=60_000)?;
    within("sip.t4_ms", sip.t4_ms.0, 10..=60_000)?;
    within("sip.udp_max", sip.udp_max, 200..=65_535)?;
    within("sip.max_message", sip.max_message, 2_000..=16 << 20)?;
    within("sip.max_connections", sip.max_connections, 1..=1_000_000)?;
    within("sip.tcp_idle_s", sip.tcp_idle_s.0, 10..=86_400)?;
    within(
        "sip.max_transactions",
        sip.max_transactions,
        100..=10_000_000,
    )?;
    within("store.gather_ms", config.store.gather_ms.0, 0..=1_000)?;
    within("store.queue", config.store.queue, 16..=1_000_000)
}

#[rustfmt::skip] // one line a key
fn service_ranges(config: &Config) -> Result<(), BadValue> {
    const YEAR: u32 = 31_536_000;
    let Config { publication, subscription, registration, limits, shutdown, .. } = config;
    let registration_default = registration.expires_default.0;
    within("publication.max_per_presentity", publication.max_per_presentity, 1..=1_000)?;
    within("publication.max_body", publication.max_body, 100..=1 << 20)?;
    within("publication.max_object", publication.max_object, 0..=1 << 20)?;
    within("publication.max_objects", publication.max_objects, 1..=64)?;
    within("publication.max_components", publication.max_components, 1..=10_000)?;
    within("publication.max_elements", publication.max_elements, 1..=60_000)?;
    within("publication.content_timeout_ms", publication.content_timeout_ms.0, 100..=20_000)?;
    within("publication.max_fetches", publication.max_fetches, 1..=10_000)?;
    for authority in &publication.content_servers {
        if external::server(authority).is_none() {
            return Err(bad("publication.content_servers", "hosts, each with :port where it is not 80"));
        }
    }
    within("subscription.max_per_presentity", subscription.max_per_presentity, 1..=1_000_000)?;
    within("subscription.notify_interval_ms", subscription.notify_interval_ms.0, 0..=3_600_000)?;
    within("subscription.compress_above", subscription.compress_above, 0..=1 << 20)?;
    within("registration.expires_default", registration_default, 1..=YEAR)?;
    within("registration.expires_max", registration.expires_max.0, registration_default..=YEAR)?;
    within("registration.terminated_retention_s", registration.terminated_retention_s.0, 0..=86_400)?;
    within("limits.publications", limits.publications, 1..=100_000_000)?;
    within("limits.subscriptions", limits.subscriptions, 1..=100_000_000)?;
    within("limits.registrations", limits.registrations, 1..=100_000_000)?;
    within("limits.documents", limits.documents, 1..=100_000_000)?;
    within("limits.overrides", limits.overrides, 1..=1_000_000)?;
    within("limits.queue", limits.queue, 16..=1_000_000)?;
    within("shutdown.retry_after_s", shutdown.retry_after_s.0, 1..=86_400)?;
    within("shutdown.drain_s", shutdown.drain_s.0, 0..=600)
}

pub(super) fn within<N: PartialOrd + Display>(
    key: &str,
    value: N,
    range: RangeInclusive<N>,
) -> Result<(), BadValue> {
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = (range.start(), range.end());
    Err(bad(
        key,
        &format!("a number from {min} to {max}, not {value}"),
    ))
}

fn lifetimes(config: &Config) -> Result<(), BadValue> {
    let Config {
        publication: p,
        subscription: s,
        ..
    } = config;
    for (section, min, default, max) in [
        (
            "publication",
            p.expires_min,
            p.expires_default,
            p.expires_max,
        ),
        (
            "subscription",
            s.expires_min,
            s.expires_default,
            s.expires_max,
        ),
    ] {
        for (key, value, floor) in [
            ("expires_min", min.0, 1),
            ("expires_default", default.0, min.0),
            ("expires_max", max.0, default.0),
        ] {
            if !(floor..=31_536_000).contains(&value) {
                let expected = format!("a number of seconds from {floor} to 31536000, not {value}");
                return Err(bad(&format!("{section}.{key}"), &expected));
            }
        }
    }
    Ok(())
}

fn names(config: &Config) -> Result<(), BadValue> {
    let Config {
        sip,
        presence,
        store,
        ..
    } = config;
    if sip.home_domains.is_empty() {
        return Err(bad("sip.home_domains", "at least one domain"));
    }
    if sip.listen_udp.is_empty() && sip.listen_tcp.is_empty() {
        return Err(bad(
            "sip.listen_udp",
            "at least one address in listen_udp or listen_tcp",
        ));
    }
    if sip.as_uri.as_ref().is_some_and(|uri| !is_sip_uri(uri)) {
        return Err(bad(
            "sip.as_uri",
            "a SIP URI, for example \"sip:ps.ims.example.net:5080\"",
        ));
    }
    if sip.server.len() > 200 || sip.server.chars().any(|c| !(' '..='~').contains(&c)) {
        return Err(bad("sip.server", "up to 200 printable ASCII characters"));
    }
    if presence.publishers.iter().any(|uri| !is_sip_uri(uri)) {
        return Err(bad(
            "presence.publishers",
            "SIP URIs, for example [\"sip:poc.ims.example.net\"]",
        ));
    }
    if store.path.as_os_str().is_empty() && store.engine != EngineKind::Memory {
        return Err(bad("store.path", "a directory"));
    }
    Ok(())
}

fn choices(config: &Config) -> Result<(), BadValue> {
    if ![200, 202].contains(&config.subscription.pending_status) {
        return Err(bad("subscription.pending_status", "200 or 202"));
    }
    for (known, own) in &config.presence.phrases {
        let printable = |c: char| c == ' ' || c.is_alphanumeric() || c.is_ascii_punctuation();
        if !phrase::ALL.contains(&known.as_str()) {
            return Err(bad(
                "presence.phrases",
                "phrases of the server, as default.toml names them",
            ));
        }
        if own.is_empty() || own.len() > 128 || !own.chars().all(printable) {
            return Err(bad("presence.phrases", "1 to 128 bytes of plain text"));
        }
    }
    Ok(())
}

/// A shape check only; the SIP parser has the last word where the URI is used.
pub(super) fn is_sip_uri(text: &str) -> bool {
    let rest = text
        .strip_prefix("sip:")
        .or_else(|| text.strip_prefix("sips:"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"<>\",".contains(&b))
    })
}

pub(super) fn bad(key: &str, expected: &str) -> BadValue {
    BadValue {
        key: key.into(),
        expected: expected.into(),
    }
}
