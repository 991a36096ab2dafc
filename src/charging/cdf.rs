//! Which CDF a record goes to: the `ccf` of P-Charging-Function-Addresses, or the configuration.
//!
//! A `ccf` names a peer of the configuration by host or address, or else a CDF that is connected because it was
//! named. The second kind is bounded, and takes only records that name it.

use super::settings::{Checked, CheckedPeer};
use diameter::route::PeerId;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Port of Diameter over TCP (RFC 6733 §2.1).
const PORT: u16 = 3868;

/// A named CDF that no record has named for so long may give up its place, in milliseconds.
const UNUSED: u64 = 60_000;

/// Where a CDF listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Address(SocketAddr),
    /// To be resolved at each attempt.
    Name(String, u16),
}

/// One value of `ccf`, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    host: String,
    port: u16,
}

/// Reads `aaa://host:port;transport=tcp`, `host`, `host:port` or an address, also in quotes or brackets. `None` for
/// what names no CDF that can be reached by TCP: another scheme, `aaas`, SCTP, or no host name.
fn read_ccf(value: &str) -> Option<Named> {
    let value = value
        .trim()
        .trim_matches(|c| matches!(c, '"' | '<' | '>'))
        .to_ascii_lowercase();
    // RFC 6733 §4.3.1: "aaa://" FQDN [ port ] [ transport ] [ protocol ]; TCP is meant when nothing is said, since
    // SCTP is not offered here.
    let rest = match value.split_once("://") {
        Some(("aaa", rest)) => rest,
        Some(_) => return None,
        None => &value,
    };
    let mut parts = rest.split(';');
    let authority = parts.next()?;
    if parts.any(|param| matches!(param.split_once('='), Some(("transport", t)) if t != "tcp")) {
        return None;
    }
    if let Ok(IpAddr::V6(ip)) = authority.parse() {
        return Some(Named {
            host: ip.to_string(),
            port: PORT,
        });
    }
    if let Ok(SocketAddr::V6(at)) = authority.parse() {
        return Some(Named {
            host: at.ip().to_string(),
            port: at.port(),
        });
    }
    let (host, port) = match authority.trim_matches(|c| matches!(c, '[' | ']')) {
        v6 if v6.parse::<std::net::Ipv6Addr>().is_ok() => (v6, PORT),
        authority => match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (authority, PORT),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let fine = host.parse::<IpAddr>().is_ok() || host.len() <= 255 && host.split('.').all(label);
    fine.then(|| Named {
        host: host.to_owned(),
        port,
    })
}

/// What has to be done so that a record can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A CDF that was named and is not known: to be added to the node and then [`Directory::added`].
    Add {
        key: String,
        host: Option<String>,
        place: Place,
    },
    /// A named CDF that gives its place up: to be removed from the node.
    Remove(PeerId),
}

/// The CDFs by the names they are called.
#[derive(Debug)]
pub struct Directory {
    /// Configured peers, by host and by address.
    configured: Vec<(PeerId, CheckedPeer)>,
    named: BTreeMap<String, Dynamic>,
    use_ccf: bool,
    max_named: usize,
}

#[derive(Debug)]
struct Dynamic {
    id: PeerId,
    place: Place,
    used: u64,
    /// Whether the first attempt to connect has come to an end, good or bad.
    settled: bool,
}

impl Directory {
    pub fn new(settings: &Checked) -> Directory {
        Directory {
            configured: Vec::new(),
            named: BTreeMap::new(),
            use_ccf: settings.given.use_ccf,
            max_named: settings.given.dynamic_peers as usize,
        }
    }

    /// A peer of the configuration has been added to the node.
    pub fn configured(&mut self, id: PeerId, peer: CheckedPeer) {
        self.configured.push((id, peer));
    }

    /// Where a peer listens.
    pub fn place(&self, id: PeerId) -> Option<Place> {
        let configured = self.configured.iter().find(|(peer, _)| *peer == id);
        let place = configured.map(|(_, peer)| Place::Address(peer.address));
        place.or_else(|| {
            self.named
                .values()
                .find(|d| d.id == id)
                .map(|d| d.place.clone())
        })
    }

    /// What to call a peer in logs and metrics; `None` for a named one, of which there may be many over time.
    pub fn label(&self, id: PeerId) -> Option<&str> {
        self.configured
            .iter()
            .find(|(peer, _)| *peer == id)
            .map(|(_, peer)| peer.host.as_str())
    }

    /// Looks at the `ccf` values of a record at `now` (milliseconds) and says what is to be done first.
    pub fn prepare(&mut self, ccf: &[String], now: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.use_ccf {
            return steps;
        }
        for named in ccf.iter().filter_map(|value| read_ccf(value)) {
            if self.find_configured(&named).is_some() {
                continue;
            }
            let key = format!("{}:{}", named.host, named.port);
            if let Some(known) = self.named.get_mut(&key) {
                known.used = now;
                continue;
            }
            if self.named.len() >= self.max_named {
                let unused = self
                    .named
                    .iter()
                    .find(|(_, d)| d.used.saturating_add(UNUSED) <= now);
                let Some(unused) = unused.map(|(key, _)| key.clone()) else {
                    continue;
                };
                steps.extend(self.named.remove(&unused).map(|d| Step::Remove(d.id)));
            }
            let ip = named.host.parse::<IpAddr>().ok();
            let place = match ip {
                Some(ip) => Place::Address(SocketAddr::new(ip, named.port)),
                None => Place::Name(named.host.clone(), named.port),
            };
            let host = ip.is_none().then_some(named.host);
            steps.push(Step::Add {
                key: key.clone(),
                host,
                place: place.clone(),
            });
            let nobody = PeerId(u32::MAX);
            self.named.insert(
                key,
                Dynamic {
                    id: nobody,
                    place,
                    used: now,
                    settled: false,
                },
            );
        }
        steps
    }

    /// The node calls the CDF of [`Step::Add`] by this.
    pub fn added(&mut self, key: &str, id: PeerId) {
        if let Some(dynamic) = self.named.get_mut(key) {
            dynamic.id = id;
        }
    }

    /// A peer has come up or failed to.
    pub fn settled(&mut self, id: PeerId) {
        if let Some(dynamic) = self.named.values_mut().find(|d| d.id == id) {
            dynamic.settled = true;
        }
    }

    /// The peers that a record names, in its order, and whether one of them is still being connected for the
    /// first time: then it is worth waiting for.
    pub fn preferred(&self, ccf: &[String]) -> (Vec<PeerId>, bool) {
        let (mut ids, mut unsettled) = (Vec::new(), false);
        if self.use_ccf {
            for named in ccf.iter().filter_map(|value| read_ccf(value)) {
                let dynamic = self.named.get(&format!("{}:{}", named.host, named.port));
                unsettled |= dynamic.is_some_and(|d| !d.settled);
                ids.extend(self.find_configured(&named).or(dynamic.map(|d| d.id)));
            }
        }
        (ids, unsettled)
    }

    fn find_configured(&self, named: &Named) -> Option<PeerId> {
        let ip = named.host.parse::<IpAddr>().ok();
        let is = |peer: &CheckedPeer| {
            peer.host.eq_ignore_ascii_case(&named.host)
                || ip.is_some_and(|ip| peer.address == SocketAddr::new(ip, named.port))
        };
        self.configured
            .iter()
            .find(|(_, peer)| is(peer))
            .map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn a_ccf_is_read_in_each_form_that_cores_send() {
        let named = |host: &str, port| {
            Some(Named {
                host: host.into(),
                port,
            })
        };
        for (value, expected) in [
            ("cdf1.ims.test", named("cdf1.ims.test", 3868)),
            ("CDF1.ims.test", named("cdf1.ims.test", 3868)),
            (
                "\"aaa://cdf1.ims.test:3900;transport=tcp\"",
                named("cdf1.ims.test", 3900),
            ),
            ("<aaa://cdf1.ims.test>", named("cdf1.ims.test", 3868)),
            (
                "aaa://cdf1.ims.test;protocol=diameter;transport=tcp",
                named("cdf1.ims.test", 3868),
            ),
            ("192.0.2.5", named("192.0.2.5", 3868)),
            ("192.0.2.5:3869", named("192.0.2.5", 3869)),
            ("2001:db8::1", named("2001:db8::1", 3868)),
            ("[2001:db8::1]", named("2001:db8::1", 3868)),
            ("aaa://[2001:DB8::1]:3870", named("2001:db8::1", 3870)),
            ("aaa://cdf1.ims.test;transport=sctp", None),
            ("aaas://cdf1.ims.test", None),
            ("sip:cdf1.ims.test", None),
            ("cdf1.ims.test:0", None),
            ("cdf1.ims.test:99999", None),
            ("cdf 1", None),
            ("a..b", None),
            ("../etc", None),
            ("", None),
        ] {
            assert_eq!(read_ccf(value), expected, "{value}");
        }
    }

    fn directory(extra: &str) -> Directory {
        let text =
            format!("{extra}\n[[peers]]\nhost = 'cdf1.ims.test'\naddress = '192.0.2.1:3868'");
        let settings = toml::from_str::<Settings>(&text)
            .unwrap()
            .check("ims.test")
            .unwrap()
            .unwrap();
        let mut directory = Directory::new(&settings);
        directory.configured(PeerId(0), settings.peers[0].clone());
        directory
    }

    fn ccf(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| v.to_string()).collect()
    }

    #[test]
    fn a_configured_peer_is_found_by_its_host_or_its_address() {
        let mut directory = directory("");
        for value in [
            "cdf1.ims.test",
            "CDF1.IMS.TEST",
            "aaa://cdf1.ims.test:9999",
            "192.0.2.1",
        ] {
            assert_eq!(directory.prepare(&ccf(&[value]), 0), [], "{value}");
            assert_eq!(
                directory.preferred(&ccf(&[value])),
                (vec![PeerId(0)], false),
                "{value}"
            );
        }
        assert_eq!(
            directory.preferred(&ccf(&["192.0.2.1:3869"])),
            (vec![], false),
            "another port"
        );
    }

    #[test]
    fn an_unknown_cdf_is_added_once_and_waited_for_until_it_settles() {
        let mut directory = directory("");
        let both = ccf(&["new.test", "cdf1.ims.test"]);
        let steps = directory.prepare(&both, 0);
        let place = Place::Name("new.test".into(), 3868);
        let host = Some("new.test".to_owned());
        assert_eq!(
            steps,
            [Step::Add {
                key: "new.test:3868".into(),
                host,
                place: place.clone()
            }]
        );
        directory.added("new.test:3868", PeerId(7));
        assert_eq!(directory.prepare(&both, 1), []);
        assert_eq!(
            directory.preferred(&both),
            (vec![PeerId(7), PeerId(0)], true)
        );
        assert_eq!(directory.place(PeerId(7)), Some(place));
        directory.settled(PeerId(7));
        assert_eq!(
            directory.preferred(&both),
            (vec![PeerId(7), PeerId(0)], false)
        );
    }

    #[test]
    fn named_cdfs_are_bounded_and_an_unused_one_makes_room() {
        let mut directory = directory("dynamic_peers = 1");
        assert_eq!(
            directory.prepare(&ccf(&["a.test", "b.test"]), 0).len(),
            1,
            "the second finds no room"
        );
        directory.added("a.test:3868", PeerId(1));
        assert_eq!(directory.prepare(&ccf(&["b.test"]), UNUSED - 1), []);
        let steps = directory.prepare(&ccf(&["b.test"]), UNUSED);
        assert_eq!(steps[0], Step::Remove(PeerId(1)));
        assert!(matches!(&steps[1], Step::Add { key, .. } if key == "b.test:3868"));
    }

    #[test]
    fn ccf_is_ignored_when_it_is_switched_off() {
        for (extra, ids) in [
            ("use_ccf = false", vec![]),
            ("dynamic_peers = 0", vec![PeerId(0)]),
        ] {
            let mut directory = directory(extra);
            let both = ccf(&["new.test", "cdf1.ims.test"]);
            assert_eq!(directory.prepare(&both, 0), [], "{extra}");
            assert_eq!(directory.preferred(&both), (ids, false), "{extra}");
        }
    }
}
