//! The sections of the configuration as typed values. `default.toml` beside this file explains every key to
//! the operator; a test holds both together.

use ims::network::Cidr;
use ims::time::{Millis, Seconds};
use serde::{Deserialize, Deserializer, de::Error};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// SIP: addresses, names, timers and limits of the transport.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sip {
    #[serde(deserialize_with = "addresses")]
    pub listen_udp: Vec<SocketAddr>,
    #[serde(deserialize_with = "addresses")]
    pub listen_tcp: Vec<SocketAddr>,
    /// Lower case.
    #[serde(deserialize_with = "domains")]
    pub home_domains: Vec<String>,
    /// See [`Config::as_uri`](super::Config::as_uri) for the value in force.
    pub as_uri: Option<String>,
    pub server: String,
    /// RFC 3261 §17.1.1.1.
    pub t1_ms: Millis,
    pub t2_ms: Millis,
    pub t4_ms: Millis,
    /// Bytes.
    pub udp_max: usize,
    /// Bytes.
    pub max_message: usize,
    pub max_connections: usize,
    pub tcp_idle_s: Seconds,
    pub max_transactions: usize,
}

/// Who is believed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    pub peers: Vec<Cidr>,
}

/// Which store, and where.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub engine: EngineKind,
    pub path: PathBuf,
    pub min_free_bytes: u64,
    pub gather_ms: Millis,
    pub queue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// [`store::journal`](crate::store::journal).
    Journal,
    /// [`store::fjall`](crate::store::fjall).
    Fjall,
    Memory,
}

/// RFC 3903.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publication {
    pub expires_min: Seconds,
    pub expires_default: Seconds,
    pub expires_max: Seconds,
    pub max_per_presentity: usize,
    /// Bytes.
    pub max_body: usize,
    /// Bytes; 0: no objects.
    pub max_object: usize,
    pub max_objects: usize,
    pub max_components: usize,
    pub max_elements: usize,
    /// Host or `host:port`.
    pub content_servers: Vec<String>,
    pub content_timeout_ms: Millis,
    pub max_fetches: usize,
}

/// RFC 6665.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subscription {
    pub expires_min: Seconds,
    pub expires_default: Seconds,
    pub expires_max: Seconds,
    pub max_per_presentity: usize,
    /// 200 or 202.
    pub pending_status: u16,
    pub notify_interval_ms: Millis,
    /// Bytes.
    pub compress_above: usize,
}

/// Policy of the operator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presence {
    pub default_handling: Handling,
    pub publishers: Vec<String>,
    pub publish_needs_registration: bool,
    /// Under the phrase that each replaces.
    pub phrases: BTreeMap<String, String>,
    pub presentities: Presentities,
}

/// Treatment of a watcher (RFC 5025 §3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handling {
    Block,
    Confirm,
    PoliteBlock,
    Allow,
}

/// Which addresses of a home domain exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presentities {
    HomeDomain,
    Registered,
}

/// Third-party REGISTER.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    pub expires_default: Seconds,
    pub expires_max: Seconds,
    pub terminated_retention_s: Seconds,
    /// RFC 3680.
    pub reg_event: bool,
    pub aliases: Aliases,
}

/// Which identities of an implicit registration set are one presentity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aliases {
    Tel,
    Set,
}

/// Log lines.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub level: Level,
    pub format: Format,
    pub identities: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Text,
    Json,
}

/// How much is held.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub publications: usize,
    pub subscriptions: usize,
    pub registrations: usize,
    pub documents: usize,
    pub overrides: usize,
    pub queue: usize,
}

/// The end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    pub drain_s: Seconds,
    pub subscriptions: AtShutdown,
    pub retry_after_s: Seconds,
}

/// What becomes of subscriptions at shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtShutdown {
    Keep,
    Move,
    Later,
}

impl Default for Sip {
    fn default() -> Sip {
        let here = SocketAddr::from(([127, 0, 0, 1], 5080));
        Sip {
            listen_udp: vec![here],
            listen_tcp: vec![here],
            home_domains: vec!["ims.test".into()],
            as_uri: None,
            server: "Presentia".into(),
            t1_ms: Millis(500),
            t2_ms: Millis(4000),
            t4_ms: Millis(5000),
            udp_max: 1300,
            max_message: 65535,
            max_connections: 1024,
            tcp_idle_s: Seconds(600),
            max_transactions: 200_000,
        }
    }
}

impl Default for Trust {
    fn default() -> Trust {
        Trust { peers: loopback() }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store {
            engine: EngineKind::Journal,
            path: "./data".into(),
            min_free_bytes: 64 << 20,
            gather_ms: Millis(2),
            queue: 8192,
        }
    }
}

impl Default for Publication {
    fn default() -> Publication {
        Publication {
            expires_min: Seconds(60),
            expires_default: Seconds(3600),
            expires_max: Seconds(7200),
            max_per_presentity: 16,
            max_body: 32768,
            max_object: 8192,
            max_objects: 4,
            max_components: 64,
            max_elements: 1024,
            content_servers: Vec::new(),
            content_timeout_ms: Millis(5_000),
            max_fetches: 64,
        }
    }
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription {
            expires_min: Seconds(60),
            expires_default: Seconds(3600),
            expires_max: Seconds(7200),
            max_per_presentity: 10_000,
            pending_status: 200,
            notify_interval_ms: Millis(5000),
            compress_above: 512,
        }
    }
}

impl Default for Presence {
    fn default() -> Presence {
        Presence {
            default_handling: Handling::Block,
            publishers: Vec::new(),
            publish_needs_registration: false,
            phrases: BTreeMap::new(),
            presentities: Presentities::HomeDomain,
        }
    }
}

impl Default for Registration {
    fn default() -> Registration {
        Registration {
            expires_default: Seconds(3600),
            expires_max: Seconds(604_800),
            terminated_retention_s: Seconds(300),
            reg_event: true,
            aliases: Aliases::Tel,
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: Level::Info,
            format: Format::Text,
            identities: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        const MILLION: usize = 1_000_000;
        Limits {
            publications: MILLION,
            subscriptions: MILLION,
            registrations: MILLION,
            documents: MILLION,
            overrides: 10_000,
            queue: 16_384,
        }
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown {
            drain_s: Seconds(10),
            subscriptions: AtShutdown::Keep,
            retry_after_s: Seconds(60),
        }
    }
}

pub(super) fn loopback() -> Vec<Cidr> {
    ["127.0.0.0/8", "::1"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts
        .iter()
        .map(|text| address(text).map_err(D::Error::custom))
        .collect()
}

pub(super) fn address_or_empty<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    match String::deserialize(from)?.as_str() {
        "" => Ok(None),
        text => address(text).map(Some).map_err(D::Error::custom),
    }
}

/// An address to listen on.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("expected ADDRESS:PORT, for example 127.0.0.1:5080 or [::1]:5080, not {text:?}")
    })
}

fn domains<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts
        .iter()
        .map(|text| domain(text).map_err(D::Error::custom))
        .collect()
}

/// A domain name (RFC 1123 §2.1) or IP address, in lower case.
pub fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let address = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>()
        .is_ok();
    match address || (text.len() <= 253 && text.split('.').all(label)) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "expected a domain name, for example ims.example.net, not {text:?}"
        )),
    }
}
