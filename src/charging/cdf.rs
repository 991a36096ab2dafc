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

/// Port of Diameter over TLS, as it is registered; the text of RFC 6733 §2.1 says 5658.
const SECURE_PORT: u16 = 5868;

/// A named CDF that no record has named for so long may give up its place, in milliseconds.
const UNUSED: u64 = 60_000;

/// Where a CDF listens, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: At,
    /// The name that its certificate must have; `None`: without TLS.
    pub secure: Option<String>,
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Address(SocketAddr),
    /// To be resolved at each attempt.
    Name(String, u16),
}

impl Place {
    /// Reads `192.0.2.1:3868`, `[2001:db8::1]:3868` or `cdf1.home1.net:3868`.
    pub fn parse(text: &str) -> Option<Place> {
        let at = match text.parse() {
            Ok(address) => At::Address(address),
            Err(_) => {
                let (host, port) = text.rsplit_once(':')?;
                let port = port.parse().ok().filter(|port| *port != 0)?;
                At::Name(is_name(host).then(|| host.to_owned())?, port)
            }
        };
        Some(Place { at, secure: None })
    }

    pub fn secured(self, secure: Option<String>) -> Place {
        Place { secure, ..self }
    }
}

/// A domain name that an address was not meant to be.
fn is_name(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let number = host
        .split('.')
        .all(|l| l.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 255 && !number && host.split('.').all(label)
}

/// One value of `ccf`, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    host: String,
    port: u16,
    secure: bool,
}

/// Reads `aaa://host:port;transport=tcp`, `host`, `host:port` or an address, also in quotes or brackets. `None` for
/// what names no CDF that can be reached by TCP: another scheme, SCTP, or no host name.
fn read_ccf(value: &str) -> Option<Named> {
    let value = value
        .trim()
        .trim_matches(|c| matches!(c, '"' | '<' | '>'))
        .to_ascii_lowercase();
    // RFC 6733 §4.3.1: "aaa://" FQDN [ port ] [ transport ] [ protocol ]; TCP is meant when nothing is said, since
    // SCTP is not offered here.
    let (secure, rest) = match value.split_once("://") {
        Some(("aaa", rest)) => (false, rest),
        Some(("aaas", rest)) => (true, rest),
        Some(_) => return None,
        None => (false, value.as_str()),
    };
    let usual = if secure { SECURE_PORT } else { PORT };
    let mut parts = rest.split(';');
    let authority = parts.next()?;
    if parts.any(|param| matches!(param.split_once('='), Some(("transport", t)) if t != "tcp")) {
        return None;
    }
    if let Ok(IpAddr::V6(ip)) = authority.parse() {
        return Some(Named {
            host: ip.to_string(),
            port: usual,
            secure,
        });
    }
    if let Ok(SocketAddr::V6(at)) = authority.parse() {
        return Some(Named {
            host: at.ip().to_string(),
            port: at.port(),
            secure,
        });
    }
    let (host, port) = match authority.trim_matches(|c| matches!(c, '[' | ']')) {
        v6 if v6.parse::<std::net::Ipv6Addr>().is_ok() => (v6, usual),
        authority => match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (authority, usual),
        },
    };
    let fine = host.parse::<IpAddr>().is_ok() || is_name(host);
    fine.then(|| Named {
        host: host.to_owned(),
        port,
        secure,
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
    /// Whether a CDF that is named with `aaas` can be reached.
    has_tls: bool,
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
            has_tls: !settings.given.tls.is_empty(),
        }
    }

    /// A peer of the configuration has been added to the node.
    pub fn configured(&mut self, id: PeerId, peer: CheckedPeer) {
        self.configured.push((id, peer));
    }

    /// Where a peer listens.
    pub fn place(&self, id: PeerId) -> Option<Place> {
        let configured = self.configured.iter().find(|(peer, _)| *peer == id);
        let place = configured.map(|(_, peer)| peer.place.clone());
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
        let values: Vec<Named> = ccf.iter().filter_map(|value| self.read(value)).collect();
        for named in values {
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
            let at = match ip {
                Some(ip) => At::Address(SocketAddr::new(ip, named.port)),
                None => At::Name(named.host.clone(), named.port),
            };
            let secure = named.secure.then(|| named.host.clone());
            let place = Place { at, secure };
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
            for named in ccf.iter().filter_map(|value| self.read(value)) {
                let dynamic = self.named.get(&format!("{}:{}", named.host, named.port));
                unsettled |= dynamic.is_some_and(|d| !d.settled);
                ids.extend(self.find_configured(&named).or(dynamic.map(|d| d.id)));
            }
        }
        (ids, unsettled)
    }

    /// A value that can be followed.
    fn read(&self, value: &str) -> Option<Named> {
        read_ccf(value).filter(|named| !named.secure || self.has_tls)
    }

    fn find_configured(&self, named: &Named) -> Option<PeerId> {
        let ip = named.host.parse::<IpAddr>().ok();
        let is = |peer: &CheckedPeer| {
            peer.host.eq_ignore_ascii_case(&named.host)
                || ip
                    .is_some_and(|ip| peer.place.at == At::Address(SocketAddr::new(ip, named.port)))
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
                secure: port >= SECURE_PORT,
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
            ("aaas://cdf1.ims.test", named("cdf1.ims.test", 5868)),
            ("aaas://[2001:db8::1]:5869", named("2001:db8::1", 5869)),
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
        let place = Place::parse("new.test:3868").unwrap();
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
    fn a_cdf_over_tls_is_followed_where_there_are_authorities() {
        for (extra, followed) in [("", false), ("tls = { ca = 'ca.pem' }", true)] {
            let mut directory = directory(extra);
            let steps = directory.prepare(&ccf(&["aaas://new.test"]), 0);
            let secure = steps.iter().any(|step| {
                matches!(step, Step::Add { place, .. } if place.secure.as_deref() == Some("new.test"))
            });
            assert_eq!((steps.len() == 1, secure), (followed, followed), "{extra}");
        }
    }

    #[test]
    fn a_place_is_an_address_or_a_name_with_a_port() {
        for (text, fine) in [
            ("192.0.2.1:3868", true),
            ("[2001:db8::1]:3868", true),
            ("cdf1.ims.test:3868", true),
            ("localhost:1", true),
            ("192.0.2.1", false),
            ("2001:db8::1:3868", false),
            ("cdf1.ims.test:0", false),
            ("192.0.2.999:3868", false),
            ("a b:1", false),
            (":3868", false),
        ] {
            assert_eq!(Place::parse(text).is_some(), fine, "{text}");
        }
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
