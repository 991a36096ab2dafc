//! Ranges and relations that the types alone do not state.

use super::{BadValue, Config, EngineKind};

/// Refuses the first value that is out of its range or contradicts another one.
pub(super) fn check(config: &Config) -> Result<(), BadValue> {
    ranges(config)?;
    lifetimes(config)?;
    names(config)?;
    choices(config)?;
    let home = config.sip.home_domains.first().map_or("", String::as_str);
    match config.charging.check(home) {
        Ok(_) => Ok(()),
        Err(bad) => Err(BadValue {
            key: format!("charging.{}", bad.key),
            expected: bad.expected,
        }),
    }
}

fn ranges(config: &Config) -> Result<(), BadValue> {
    let Config {
        sip,
        http,
        store,
        publication,
        subscription,
        registration,
        xcap,
        limits,
        shutdown,
        ..
    } = config;
    let year = 31_536_000;
    let size = |n: usize| n as u64;
    for (key, value, min, max) in [
        ("sip.t1_ms", sip.t1_ms.0, 10, 10_000),
        ("sip.t2_ms", sip.t2_ms.0, sip.t1_ms.0, 60_000),
        ("sip.t4_ms", sip.t4_ms.0, 10, 60_000),
        ("sip.udp_max", size(sip.udp_max), 200, 65_535),
        ("sip.max_message", size(sip.max_message), 2_000, 16 << 20),
        (
            "sip.max_connections",
            size(sip.max_connections),
            1,
            1_000_000,
        ),
        ("sip.tcp_idle_s", sip.tcp_idle_s.0.into(), 10, 86_400),
        (
            "sip.max_transactions",
            size(sip.max_transactions),
            100,
            10_000_000,
        ),
        ("http.max_body", size(http.max_body), 1_000, 16 << 20),
        ("http.head_timeout_s", http.head_timeout_s.0.into(), 1, 600),
        ("http.body_timeout_s", http.body_timeout_s.0.into(), 1, 600),
        (
            "http.max_connections",
            size(http.max_connections),
            1,
            100_000,
        ),
        ("http.queue", size(http.queue), 1, 100_000),
        ("store.queue", size(store.queue), 16, 1_000_000),
        (
            "publication.max_per_presentity",
            size(publication.max_per_presentity),
            1,
            1_000,
        ),
        (
            "publication.max_body",
            size(publication.max_body),
            100,
            1 << 20,
        ),
        (
            "subscription.max_per_presentity",
            size(subscription.max_per_presentity),
            1,
            1_000_000,
        ),
        (
            "subscription.notify_interval_ms",
            subscription.notify_interval_ms.0,
            0,
            3_600_000,
        ),
        (
            "registration.expires_default",
            registration.expires_default.0.into(),
            1,
            year,
        ),
        (
            "registration.expires_max",
            registration.expires_max.0.into(),
            registration.expires_default.0.into(),
            year,
        ),
        (
            "registration.terminated_retention_s",
            registration.terminated_retention_s.0.into(),
            0,
            86_400,
        ),
        (
            "xcap.max_document",
            size(xcap.max_document),
            1_000,
            16 << 20,
        ),
        (
            "xcap.max_documents_per_user",
            size(xcap.max_documents_per_user),
            1,
            10_000,
        ),
        (
            "limits.publications",
            size(limits.publications),
            1,
            100_000_000,
        ),
        (
            "limits.subscriptions",
            size(limits.subscriptions),
            1,
            100_000_000,
        ),
        (
            "limits.registrations",
            size(limits.registrations),
            1,
            100_000_000,
        ),
        ("limits.documents", size(limits.documents), 1, 100_000_000),
        ("limits.queue", size(limits.queue), 16, 1_000_000),
        ("shutdown.drain_s", shutdown.drain_s.0.into(), 0, 600),
    ] {
        if !(min..=max).contains(&value) {
            return Err(bad(
                key,
                &format!("a number from {min} to {max}, not {value}"),
            ));
        }
    }
    Ok(())
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
        http,
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
    let root = http.xcap_root.as_str();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    if !root.starts_with('/')
        || root.ends_with('/')
        || root.contains("//")
        || !root.bytes().all(plain)
    {
        return Err(bad(
            "http.xcap_root",
            "a path that starts with / and does not end with it, as in \"/xcap-root\"",
        ));
    }
    if ["/metrics", "/healthz", "/readyz"].contains(&root) {
        return Err(bad(
            "http.xcap_root",
            "a path that no administration page has",
        ));
    }
    if store.path.as_os_str().is_empty() && store.engine == EngineKind::Embedded {
        return Err(bad("store.path", "a directory"));
    }
    Ok(())
}

fn choices(config: &Config) -> Result<(), BadValue> {
    if ![200, 202].contains(&config.subscription.pending_status) {
        return Err(bad("subscription.pending_status", "200 or 202"));
    }
    if ![401, 403].contains(&config.xcap.unknown_identity) {
        return Err(bad("xcap.unknown_identity", "401 or 403"));
    }
    Ok(())
}

/// A shape check only; the SIP parser has the last word where the URI is used.
fn is_sip_uri(text: &str) -> bool {
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

fn bad(key: &str, expected: &str) -> BadValue {
    BadValue {
        key: key.into(),
        expected: expected.into(),
    }
}
