//! `[remote_xdms]`: other XDMSs, whose documents are read as the local ones are.

use super::BadValue;
use super::check::{bad, is_sip_uri, within};
use ims::time::{Millis, Seconds};
use ims::xdm::remote;
use serde::Deserialize;
use std::path::PathBuf;

/// Other XDMSs (reference points GM-5, GM-13, GM-15, GM-16).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteXdms {
    pub servers: Vec<XdmsServer>,
    pub max_documents: usize,
    /// Bytes.
    pub max_bytes: usize,
    /// At one server.
    pub max_fetches: usize,
}

/// One XDMS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XdmsServer {
    pub auids: Vec<String>,
    pub users: Vec<String>,
    pub root: String,
    /// PEM: who vouches for its certificate.
    #[serde(default)]
    pub ca: PathBuf,
    /// Absent: the URI of this server.
    #[serde(default)]
    pub identity: Option<String>,
    #[serde(default)]
    pub sip: Option<String>,
    #[serde(default)]
    pub route: Option<String>,
    #[serde(default = "poll")]
    pub poll_s: Seconds,
    #[serde(default = "timeout")]
    pub timeout_ms: Millis,
    #[serde(default = "max_stale")]
    pub max_stale_s: Seconds,
    #[serde(default = "unreadable")]
    pub unreadable: Unreadable,
}

/// What watchers get while the rules of a presentity cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    Confirm,
    Block,
}

fn poll() -> Seconds {
    Seconds(60)
}

fn timeout() -> Millis {
    Millis(2_000)
}

fn max_stale() -> Seconds {
    Seconds(3_600)
}

fn unreadable() -> Unreadable {
    Unreadable::Confirm
}

impl Default for RemoteXdms {
    fn default() -> RemoteXdms {
        RemoteXdms {
            servers: Vec::new(),
            max_documents: 100_000,
            max_bytes: 256 << 20,
            max_fetches: 16,
        }
    }
}

impl RemoteXdms {
    #[rustfmt::skip] // one line a key
    pub(super) fn check(&self) -> Result<(), BadValue> {
        within("remote_xdms.max_documents", self.max_documents, 1..=10_000_000)?;
        within("remote_xdms.max_bytes", self.max_bytes, 1_000..=64 << 30)?;
        within("remote_xdms.max_fetches", self.max_fetches, 1..=1_000)?;
        within("remote_xdms.servers", self.servers.len(), 0..=64)?;
        for (n, server) in self.servers.iter().enumerate() {
            let key = |name: &str| format!("remote_xdms.servers[{n}].{name}");
            let uris = [("identity", &server.identity), ("sip", &server.sip), ("route", &server.route)];
            for (name, uri) in uris {
                if uri.as_ref().is_some_and(|uri| !is_sip_uri(uri)) {
                    return Err(bad(&key(name), "a SIP URI, for example \"sip:xdms.ims.example.net\""));
                }
            }
            if server.auids.is_empty() || server.users.is_empty() {
                return Err(bad(&key("auids"), "at least one application usage, and in users one domain or \"*\""));
            }
            let Some(root) = remote::Root::parse(&server.root) else {
                return Err(bad(&key("root"), "an XCAP root, for example \"https://xdms.ims.example.net/xcap-root\""));
            };
            if root.tls && server.ca.as_os_str().is_empty() {
                return Err(bad(&key("ca"), "a PEM file of those who vouch for the server, since root is https"));
            }
            let is_same = |other: &&XdmsServer| {
                remote::Root::parse(&other.root).is_some_and(|other| (&other.host, other.port) == (&root.host, root.port))
            };
            // one server shows one certificate
            if self.servers.iter().take(n).filter(is_same).any(|other| other.ca != server.ca) {
                return Err(bad(&key("ca"), "the same file in every entry of one host and port"));
            }
            within(&key("poll_s"), server.poll_s.0, 1..=86_400)?;
            within(&key("timeout_ms"), server.timeout_ms.0, 100..=20_000)?;
            within(&key("max_stale_s"), server.max_stale_s.0, 0..=604_800)?;
        }
        Ok(())
    }

    /// XCAP roots of all of them: a list below one of them may be named.
    pub fn roots(&self) -> impl Iterator<Item = String> {
        self.servers.iter().map(|server| server.root.clone())
    }

    /// As the node wants it. `own` is the URI of this server.
    pub fn settings(&self, own: &str) -> remote::Settings {
        let server = |server: &XdmsServer| {
            let users = server
                .users
                .iter()
                .map(|domain| domain.to_ascii_lowercase());
            Some(remote::Server {
                auids: server.auids.clone(),
                users: users.collect(),
                root: remote::Root::parse(&server.root)?,
                identity: server.identity.clone().unwrap_or_else(|| own.to_owned()),
                notifier: server.sip.clone(),
                route: server.route.clone(),
                poll: server.poll_s,
                timeout: server.timeout_ms,
                max_stale: server.max_stale_s,
                unreadable: match server.unreadable {
                    Unreadable::Confirm => remote::Unreadable::Pending,
                    Unreadable::Block => remote::Unreadable::Rejected,
                },
            })
        };
        remote::Settings {
            servers: self.servers.iter().filter_map(server).collect(),
            documents: self.max_documents,
            bytes: self.max_bytes,
            fetches: self.max_fetches,
        }
    }
}
