//! `[xcap.digest]` and `[[xcap.remotes]]`: the server as the aggregation proxy of its own domain.

use super::BadValue;
use super::check::{bad, within};
use ims::time::{Millis, Seconds};
use serde::Deserialize;
use std::path::PathBuf;

/// HTTP Digest (RFC 7616).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct XcapDigest {
    /// Credentials; empty: no Digest.
    pub users: PathBuf,
    /// `None`: the first home domain.
    pub realm: Option<String>,
    /// In the order of preference.
    pub algorithms: Vec<DigestAlgorithm>,
    pub allow_plain: bool,
    pub nonce_s: Seconds,
    pub max_failures: u32,
}

/// Hash of the proof (RFC 7616 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum DigestAlgorithm {
    #[serde(rename = "SHA-256")]
    Sha256,
    #[serde(rename = "MD5")]
    Md5,
}

impl Default for XcapDigest {
    fn default() -> XcapDigest {
        XcapDigest {
            users: PathBuf::new(),
            realm: None,
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            allow_plain: false,
            nonce_s: Seconds(300),
            max_failures: 5,
        }
    }
}

impl XcapDigest {
    pub fn is_on(&self) -> bool {
        !self.users.as_os_str().is_empty()
    }

    pub(super) fn check(&self) -> Result<(), BadValue> {
        within("xcap.digest.nonce_s", self.nonce_s.0, 10..=86_400)?;
        within("xcap.digest.max_failures", self.max_failures, 1..=1_000)?;
        if self.algorithms.is_empty() || self.algorithms.len() > 2 {
            let expected = "[\"SHA-256\", \"MD5\"] or one of them";
            return Err(bad("xcap.digest.algorithms", expected));
        }
        let realm = self.realm.as_deref().unwrap_or("realm");
        if !is_word(realm) {
            let expected = "up to 200 printable characters without quotes, colons and spaces";
            return Err(bad("xcap.digest.realm", expected));
        }
        Ok(())
    }
}

/// What may stand as one word in a credentials file, and unescaped between quotes in a header.
fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"\\:".contains(&b);
    (1..=200).contains(&text.len()) && text.bytes().all(plain)
}

/// Another document server behind the same XCAP root.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XcapRemote {
    /// Application usages that it serves; empty: every one.
    #[serde(default)]
    pub auids: Vec<String>,
    /// Domains of users whom it serves; empty: all.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Its XCAP root, without a slash at the end.
    pub root: String,
    /// PEM: who vouches for its certificate.
    #[serde(default)]
    pub ca: PathBuf,
    /// For connection and answer together.
    #[serde(default = "five_seconds")]
    pub timeout_ms: Millis,
    #[serde(default = "sixteen")]
    pub max_connections: usize,
}

fn five_seconds() -> Millis {
    Millis(5_000)
}

fn sixteen() -> usize {
    16
}

impl XcapRemote {
    pub(super) fn check(&self, number: usize) -> Result<(), BadValue> {
        let key = |name: &str| format!("xcap.remotes[{number}].{name}");
        within(&key("timeout_ms"), self.timeout_ms.0, 100..=60_000)?;
        within(&key("max_connections"), self.max_connections, 1..=1_000)?;
        if self.auids.is_empty() && self.domains.is_empty() {
            let expected = "at least one application usage, or one domain in domains";
            return Err(bad(&key("auids"), expected));
        }
        let (is_secure, rest) = match self.root.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => (false, ""),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~:[]".contains(&b);
        let is_root = !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.ends_with('/')
            && rest.bytes().all(plain);
        if !is_root {
            let expected = "an XCAP root such as \"https://rls.example.net/xcap-root\"";
            return Err(bad(&key("root"), expected));
        }
        if is_secure && self.ca.as_os_str().is_empty() {
            let expected = "a PEM file of those who vouch for the server, since root is https";
            return Err(bad(&key("ca"), expected));
        }
        Ok(())
    }
}
