//! Names of next hops. Route sets usually carry addresses; a name is looked up once a minute.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer, also an empty one, is used again.
const KEEP: Duration = Duration::from_secs(60);
/// Names kept; when there are more, old ones go first.
const NAMES: usize = 4096;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Port of SIP without TLS (RFC 3261 §19.1.2).
pub const SIP_PORT: u16 = 5060;

/// Addresses of names, by the system's resolver (A and AAAA records, RFC 3263 §4.2 last step).
#[derive(Debug, Default)]
pub struct Resolver {
    known: Mutex<BTreeMap<String, (Instant, Option<IpAddr>)>>,
}

impl Resolver {
    /// The address of an IP literal, or of a name that was looked up lately. `Some(None)`: the name has none.
    pub fn known(&self, host: &str, port: Option<u16>) -> Option<Option<SocketAddr>> {
        let port = port.unwrap_or(SIP_PORT);
        if let Ok(ip) = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return Some(Some(SocketAddr::new(ip, port)));
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, ip) = known.get(host)?;
        (at.elapsed() < KEEP).then(|| ip.map(|ip| SocketAddr::new(ip, port)))
    }

    /// Looks a name up and remembers the answer.
    pub async fn look_up(&self, host: &str, port: Option<u16>) -> Option<SocketAddr> {
        let port = port.unwrap_or(SIP_PORT);
        let answer = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
        let address = answer
            .ok()
            .and_then(Result::ok)
            .and_then(|mut all| all.next());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES {
            known.retain(|_, (at, _)| at.elapsed() < KEEP);
        }
        if known.len() < NAMES {
            known.insert(host.to_owned(), (Instant::now(), address.map(|a| a.ip())));
        }
        address
    }
}
