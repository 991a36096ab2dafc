//! The peers of `[[charging.peers]]` and `[[charging.online.peers]]`: who they are, and where they listen.

use super::{BadValue, bad};
use crate::charging::place::Place;
use serde::Deserialize;

/// One CDF or OCS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// Its DiameterIdentity. A peer that says another Origin-Host in its CEA is disconnected.
    pub host: String,
    /// Its realm. Default: `destination_realm`.
    #[serde(default)]
    pub realm: Option<String>,
    /// Where it listens: `192.0.2.1:3868`, `[2001:db8::1]:3868` or `cdf1.home1.net:3868`, over TCP. A name is
    /// resolved at each attempt to connect.
    pub address: String,
    /// Whether it is reached over TLS; its certificate must name `host`. Default: false.
    #[serde(default)]
    pub tls: bool,
    /// Whether we connect to it; else it connects to us, which needs `listen` or `listen_tls`. Default: true.
    #[serde(default = "connects")]
    pub connect: bool,
    /// The lowest number that is up is used; equal numbers share the load. Default: 0.
    #[serde(default)]
    pub priority: u16,
}

fn connects() -> bool {
    true
}

/// One CDF or OCS with its realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedPeer {
    pub host: String,
    pub realm: String,
    pub place: Place,
    pub connect: bool,
    pub priority: u16,
}

impl CheckedPeer {
    /// Whether this is its DiameterIdentity, which is compared without regard to case (RFC 6733 §4.3.1).
    pub fn is(&self, host: &str) -> bool {
        self.host.eq_ignore_ascii_case(host)
    }
}

/// Fills in what is missing and checks the rest. `has_tls`: whether there are authorities for certificates.
pub(in crate::charging) fn check(
    peers: &[PeerSettings],
    destination_realm: &str,
    has_tls: bool,
) -> Result<Vec<CheckedPeer>, BadValue> {
    let mut checked: Vec<CheckedPeer> = Vec::new();
    for (i, peer) in peers.iter().enumerate() {
        let key = |name: &str| format!("peers[{i}].{name}");
        let realm = peer.realm.as_deref().unwrap_or(destination_realm);
        identity(&key("host"), &peer.host)?;
        identity(&key("realm"), realm)?;
        if checked.iter().any(|p| p.is(&peer.host)) {
            return Err(bad(&key("host"), "a host that no other peer has"));
        }
        if peer.tls && !has_tls {
            return Err(bad(&key("tls"), "authorities in charging.tls.ca with it"));
        }
        let place = Place::parse(&peer.address).ok_or_else(|| {
            let expected =
                "an address with a port, as in \"192.0.2.1:3868\" or \"cdf1.home1.net:3868\"";
            bad(&key("address"), expected)
        })?;
        checked.push(CheckedPeer {
            host: peer.host.clone(),
            realm: realm.to_owned(),
            place: place.secured(peer.tls.then(|| peer.host.clone())),
            connect: peer.connect,
            priority: peer.priority,
        });
    }
    Ok(checked)
}

/// There is one connection for each pair of identities (RFC 6733 §5.1), so where an OCS is also a CDF it is the same
/// peer, in all but its priority.
pub(in crate::charging) fn agree(
    ocss: &[CheckedPeer],
    cdfs: &[CheckedPeer],
) -> Result<(), BadValue> {
    for (i, ocs) in ocss.iter().enumerate() {
        let Some(cdf) = cdfs.iter().find(|cdf| cdf.is(&ocs.host)) else {
            continue;
        };
        let expected = "the same as in charging.peers, since this OCS is also a CDF";
        for (name, same) in [
            ("realm", cdf.realm.eq_ignore_ascii_case(&ocs.realm)),
            ("address", cdf.place.at == ocs.place.at),
            ("connect", cdf.connect == ocs.connect),
            (
                "tls",
                cdf.place.secure.is_some() == ocs.place.secure.is_some(),
            ),
        ] {
            if !same {
                return Err(bad(&format!("peers[{i}].{name}"), expected));
            }
        }
    }
    Ok(())
}

/// DiameterIdentity is a fully qualified domain name (RFC 6733 §4.3.1).
pub(super) fn identity(key: &str, value: &str) -> Result<(), BadValue> {
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let fine = value.len() <= 255 && value.split('.').all(label);
    if fine {
        Ok(())
    } else {
        Err(bad(key, "a domain name, as in \"cdf1.home1.net\""))
    }
}
