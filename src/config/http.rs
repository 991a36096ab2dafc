//! `[http]`: where XCAP and administration are spoken, over what, and how much of it.

use super::check::{bad, within};
use super::sections::{address_or_empty, loopback};
use super::{BadValue, Cidr};
use ims::time::Seconds;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// XCAP and administration over HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// `None`: no HTTP without TLS. Written as an empty string.
    #[serde(deserialize_with = "address_or_empty")]
    pub listen: Option<SocketAddr>,
    /// `None`: no HTTPS. Written as an empty string.
    #[serde(deserialize_with = "address_or_empty")]
    pub tls_listen: Option<SocketAddr>,
    /// PEM, the server's own certificate first; empty without `tls_listen`.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// PEM; empty: clients are not asked for a certificate.
    pub client_ca: PathBuf,
    /// SHA-256 of certificates, in hexadecimal with or without colons.
    pub trusted_certificates: Vec<String>,
    /// Starts with `/` and does not end with one.
    pub xcap_root: String,
    pub trusted_proxies: Vec<Cidr>,
    /// Bytes.
    pub max_body: usize,
    pub head_timeout_s: Seconds,
    pub body_timeout_s: Seconds,
    pub max_connections: usize,
    pub max_connections_per_peer: usize,
    /// HTTP/2 requests under way on one connection.
    pub max_streams: u32,
    pub queue: usize,
    /// Requests a second; 0: any number.
    pub peer_rate: u32,
    /// Requests a second; 0: any number.
    pub user_rate: u32,
    /// Bytes; 0: never.
    pub compress_above: usize,
    /// A file, or `stdout`; empty: none.
    pub access_log: String,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            tls_listen: None,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            trusted_certificates: Vec::new(),
            xcap_root: "/xcap-root".into(),
            trusted_proxies: loopback(),
            max_body: 1 << 20,
            head_timeout_s: Seconds(30),
            body_timeout_s: Seconds(30),
            max_connections: 256,
            max_connections_per_peer: 64,
            max_streams: 32,
            queue: 1024,
            peer_rate: 100,
            user_rate: 0,
            compress_above: 1400,
            access_log: String::new(),
        }
    }
}

impl Http {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        within("http.max_body", self.max_body, 1_000..=16 << 20)?;
        within("http.head_timeout_s", self.head_timeout_s.0, 1..=600)?;
        within("http.body_timeout_s", self.body_timeout_s.0, 1..=600)?;
        within("http.max_connections", self.max_connections, 1..=100_000)?;
        let of_peer = self.max_connections_per_peer;
        within("http.max_connections_per_peer", of_peer, 1..=100_000)?;
        within("http.max_streams", self.max_streams, 1..=1_000)?;
        within("http.queue", self.queue, 1..=100_000)?;
        within("http.peer_rate", self.peer_rate, 0..=1_000_000)?;
        within("http.user_rate", self.user_rate, 0..=1_000_000)?;
        within("http.compress_above", self.compress_above, 0..=16 << 20)?;
        self.check_root()?;
        self.check_certificates()
    }

    fn check_root(&self) -> Result<(), BadValue> {
        let root = self.xcap_root.as_str();
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
        if ["/metrics", "/healthz", "/readyz", "/overrides"].contains(&root) {
            return Err(bad(
                "http.xcap_root",
                "a path that no administration page has",
            ));
        }
        Ok(())
    }

    fn check_certificates(&self) -> Result<(), BadValue> {
        for (key, path) in [
            ("http.certificate", &self.certificate),
            ("http.key", &self.key),
        ] {
            if self.tls_listen.is_some() && path.as_os_str().is_empty() {
                return Err(bad(key, "a PEM file, since tls_listen is set"));
            }
        }
        let is_any = self.trusted_certificates == ["any"];
        let are_named = self
            .trusted_certificates
            .iter()
            .all(|text| fingerprint(text).is_some());
        if !is_any && !are_named {
            return Err(bad(
                "http.trusted_certificates",
                "SHA-256 fingerprints of 64 hexadecimal digits, or [\"any\"]",
            ));
        }
        if !self.trusted_certificates.is_empty() && self.client_ca.as_os_str().is_empty() {
            return Err(bad(
                "http.client_ca",
                "a PEM file, since trusted_certificates is set",
            ));
        }
        Ok(())
    }

    /// Whether a client with this verified certificate is a trusted proxy; `digest` in lower-case hexadecimal.
    pub fn trusts_certificate(&self, digest: &str) -> bool {
        let mut trusted = self.trusted_certificates.iter();
        trusted.any(|text| text == "any" || fingerprint(text).as_deref() == Some(digest))
    }
}

/// A fingerprint as lower-case hexadecimal.
fn fingerprint(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let is_one = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_one.then(|| digits.to_ascii_lowercase())
}
