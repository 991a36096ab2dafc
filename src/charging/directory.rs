//! Which peers there are, by the names they are called: in the configuration, or by the `ccf` and `ecf` of
//! P-Charging-Function-Addresses.
//!
//! Such a value names a peer of the configuration by host or address, or else one that is connected because it was
//! named. The second kind is bounded, and takes only what names it.

use super::listen::Caller;
use super::place::{At, Named, Place};
use diameter::route::PeerId;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A named peer that nothing has named for so long may give up its place, in milliseconds.
const UNUSED: u64 = 60_000;

/// What has to be done so that a request can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A peer that was named and is not known: to be added to the node and then [`Directory::added`].
    Add {
        key: String,
        host: Option<String>,
        place: Place,
    },
    /// A named peer that gives its place up: to be removed from the node.
    Remove(PeerId),
}

/// The peers by the names they are called.
#[derive(Debug)]
pub struct Directory {
    /// Peers of the configuration, by host and by address.
    configured: Vec<Known>,
    named: BTreeMap<String, Dynamic>,
    max_named: usize,
    /// Whether a peer that is named with `aaas` can be reached.
    has_tls: bool,
}

#[derive(Debug)]
struct Known {
    id: PeerId,
    host: String,
    place: Place,
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
    /// For at most `max_named` peers beside those of the configuration.
    pub fn new(max_named: usize, has_tls: bool) -> Directory {
        Directory {
            configured: Vec::new(),
            named: BTreeMap::new(),
            max_named,
            has_tls,
        }
    }

    /// A peer of the configuration has been added to the node.
    pub fn configured(&mut self, id: PeerId, host: String, place: Place) {
        self.configured.push(Known { id, host, place });
    }

    /// The peers that may connect to us: those of the configuration.
    pub fn callers(&self) -> Vec<Caller> {
        let caller = |known: &Known| Caller {
            id: known.id,
            host: known.host.clone(),
            place: known.place.clone(),
        };
        self.configured.iter().map(caller).collect()
    }

    /// Where a peer listens.
    pub fn place(&self, id: PeerId) -> Option<Place> {
        let configured = self.configured.iter().find(|known| known.id == id);
        let place = configured.map(|known| known.place.clone());
        place.or_else(|| {
            let named = self.named.values().find(|named| named.id == id);
            named.map(|named| named.place.clone())
        })
    }

    /// What to call a peer in logs and metrics; `None` for a named one, of which there may be many over time.
    pub fn label(&self, id: PeerId) -> Option<&str> {
        let known = self.configured.iter().find(|known| known.id == id);
        known.map(|known| known.host.as_str())
    }

    /// Looks at values of `ccf` or `ecf` at `now` (milliseconds) and says what is to be done first.
    pub fn prepare(&mut self, values: &[String], now: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let values: Vec<Named> = values.iter().filter_map(|value| self.read(value)).collect();
        for named in values {
            if self.find_configured(&named).is_some() {
                continue;
            }
            let key = key(&named);
            if let Some(known) = self.named.get_mut(&key) {
                known.used = now;
                continue;
            }
            if self.named.len() >= self.max_named {
                let Some(unused) = self.unused(now) else {
                    continue;
                };
                steps.extend(self.named.remove(&unused).map(|d| Step::Remove(d.id)));
            }
            steps.push(self.add(key, named, now));
        }
        steps
    }

    /// A named peer that may give up its place.
    fn unused(&self, now: u64) -> Option<String> {
        let is = |named: &Dynamic| named.used.saturating_add(UNUSED) <= now;
        let mut unused = self.named.iter().filter(|(_, named)| is(named));
        unused.next().map(|(key, _)| key.clone())
    }

    fn add(&mut self, key: String, named: Named, used: u64) -> Step {
        let ip = named.host.parse::<IpAddr>().ok();
        let at = match ip {
            Some(ip) => At::Address(SocketAddr::new(ip, named.port)),
            None => At::Name(named.host.clone(), named.port),
        };
        let secure = named.secure.then(|| named.host.clone());
        let place = Place { at, secure };
        let known = Dynamic {
            id: PeerId(u32::MAX), // nobody, until the node has given it one
            place: place.clone(),
            used,
            settled: false,
        };
        self.named.insert(key.clone(), known);
        let host = ip.is_none().then_some(named.host);
        Step::Add { key, host, place }
    }

    /// The node calls the peer of [`Step::Add`] by this.
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

    /// The peers that these values name, in their order, and whether one of them is still being connected for the
    /// first time: then it is worth waiting for.
    pub fn preferred(&self, values: &[String]) -> (Vec<PeerId>, bool) {
        let (mut ids, mut unsettled) = (Vec::new(), false);
        for named in values.iter().filter_map(|value| self.read(value)) {
            let dynamic = self.named.get(&key(&named));
            unsettled |= dynamic.is_some_and(|d| !d.settled);
            ids.extend(self.find_configured(&named).or(dynamic.map(|d| d.id)));
        }
        (ids, unsettled)
    }

    /// A value that can be followed.
    fn read(&self, value: &str) -> Option<Named> {
        Named::read(value).filter(|named| !named.secure || self.has_tls)
    }

    fn find_configured(&self, named: &Named) -> Option<PeerId> {
        let ip = named.host.parse::<IpAddr>().ok();
        let is = |known: &&Known| {
            let listens = |ip| known.place.at == At::Address(SocketAddr::new(ip, named.port));
            known.host.eq_ignore_ascii_case(&named.host) || ip.is_some_and(listens)
        };
        self.configured.iter().find(is).map(|known| known.id)
    }
}

/// What names one connection: who asks for TLS is not sent over one without.
fn key(named: &Named) -> String {
    let scheme = if named.secure { "aaas://" } else { "" };
    format!("{scheme}{}:{}", named.host, named.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(max_named: usize, has_tls: bool) -> Directory {
        let mut directory = Directory::new(max_named, has_tls);
        let place = Place::parse("192.0.2.1:3868").unwrap();
        directory.configured(PeerId(0), "cdf1.ims.test".into(), place);
        directory
    }

    fn ccf(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| v.to_string()).collect()
    }

    #[test]
    fn a_configured_peer_is_found_by_its_host_or_its_address() {
        let mut directory = directory(8, false);
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
        let mut directory = directory(8, false);
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
        for followed in [false, true] {
            let mut directory = directory(8, followed);
            let steps = directory.prepare(&ccf(&["aaas://new.test"]), 0);
            let secure = steps.iter().any(|step| {
                matches!(step, Step::Add { place, .. } if place.secure.as_deref() == Some("new.test"))
            });
            assert_eq!((steps.len() == 1, secure), (followed, followed));
        }
    }

    #[test]
    fn a_cdf_that_is_named_with_tls_is_not_the_one_of_that_place_without() {
        let mut directory = directory(8, true);
        directory.prepare(&ccf(&["aaa://new.test:5868"]), 0);
        directory.added("new.test:5868", PeerId(7));
        let secure = ccf(&["aaas://new.test:5868"]);
        assert_eq!(directory.preferred(&secure), (vec![], false));
        let steps = directory.prepare(&secure, 0);
        let [Step::Add { key, place, .. }] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(place.secure.as_deref(), Some("new.test"));
        directory.added(key, PeerId(8));
        assert_eq!(directory.preferred(&secure), (vec![PeerId(8)], true));
    }

    #[test]
    fn named_cdfs_are_bounded_and_an_unused_one_makes_room() {
        let mut directory = directory(1, false);
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
    fn without_room_only_peers_of_the_configuration_are_found() {
        let mut directory = directory(0, false);
        let both = ccf(&["new.test", "cdf1.ims.test"]);
        assert_eq!(directory.prepare(&both, 0), []);
        assert_eq!(directory.preferred(&both), (vec![PeerId(0)], false));
    }
}
