//! Section `[charging]` of the configuration: which events are charged, to which CDF, and what happens when it is down.

pub use peers::{CheckedPeer, PeerSettings};
pub use triggers::{Only, Switch, Triggers};

use super::profile::Profile;
use super::{dictionary, export, online, tls};
use diameter::vocabulary::Vocabulary;
use ims::charge;
use ims::time::{Millis, Seconds};
use peers::identity;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;

pub(super) mod peers;
mod triggers;

/// Offline charging over Diameter Rf (RFC 6733 accounting, TS 32.260). Off while `peers` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// CDFs, or Diameter agents in front of them. Default: none, and offline charging is off.
    pub peers: Vec<PeerSettings>,
    /// Our DiameterIdentity; it is part of every Session-Id and must be unique to this node.
    /// Default: `presentia.` and the home domain.
    pub origin_host: Option<String>,
    /// Our Diameter realm. Default: the home domain.
    pub origin_realm: Option<String>,
    /// Realm of the CDFs, for peers that do not name their own. Default: the home domain.
    pub destination_realm: Option<String>,
    /// Service-Context-Id of each record; a release or operator prefix may be put in front. Default: `32260@3gpp.org`.
    pub service_context_id: String,
    /// SIP URI of this application server, in Application-Server-Information.
    /// Default: `sip:` and `origin_host`.
    pub as_uri: Option<String>,
    /// Which final responses make a record.
    pub triggers: Triggers,
    /// On whose account requests go, in records and online: `"served"`, the user whom P-Served-User names, else the
    /// asserted identities of who sent the request; `"requester"`, those always. Default: `"served"`.
    pub payer: Payer,
    /// On whose account NOTIFYs go: `"subscription"`, of who pays for the SUBSCRIBE; `"presentity"`, of whom they tell.
    /// NOTIFYs about lists are always the subscription's. Default: `"subscription"`.
    pub notify_payer: NotifyPayer,
    /// Whether a `ccf` of P-Charging-Function-Addresses chooses the CDF, when a trusted peer sent one. Default: true.
    pub use_ccf: bool,
    /// How many CDFs and OCSs that are named only by a `ccf` or `ecf` may be connected at once; 0 means that those can
    /// choose among the peers of the configuration only. Default: 8. Range: 0-64.
    pub dynamic_peers: u32,
    /// Records sent and not yet answered, at most; those
    /// that are answered count until they have left the store. Default: 256. Range: 1-1024.
    pub max_in_flight: u32,
    /// How long an answer may take before the record is sent again with the T flag, in milliseconds.
    /// Default: 10000. Range: 100-120000.
    pub answer_timeout_ms: Millis,
    /// How long connecting, and then the capabilities exchange, may each take, in milliseconds.
    /// Default: 5000. Range: 100-60000.
    pub connect_timeout_ms: Millis,
    /// Twinit of RFC 3539 §3.4.1, in seconds: silence after which a peer is asked whether it lives.
    /// Default: 30. Range: 6 (the RFC's floor) to 600.
    pub watchdog_s: Seconds,
    /// Where peers may connect to us, as in `192.0.2.1:3868`; they must be among `peers` and come from the address that
    /// is given there. Default: none, and nobody can connect.
    pub listen: Option<SocketAddr>,
    /// The same over TLS: a peer shows a certificate with its `host`. Default: none.
    pub listen_tls: Option<SocketAddr>,
    /// Connections taken that have not said who they are, at most; they have `connect_timeout_ms` for TLS and as long
    /// for the CER. Default: 16. Range: 1-1024.
    pub listen_half_open: u32,
    /// First wait before connecting again, in milliseconds; doubled, with jitter, at each failure.
    /// Default: 500. Range: 10-60000.
    pub reconnect_min_ms: Millis,
    /// Longest wait before connecting again, in milliseconds. Default: 30000 (Tc of RFC 6733 §2.1).
    /// Range: `reconnect_min_ms`-600000.
    pub reconnect_max_ms: Millis,
    /// Spool records held in memory; the others wait on disk only. Default: 4096. Range: 16-1000000.
    pub spool_memory_records: u32,
    /// Spool depth from which each further doubling is logged as an alarm. Default: 10000. At least 1.
    pub spool_alarm_records: u64,
    /// Age of the oldest record in the spool from which there is an alarm, in seconds; 0: none. Default: 3600.
    /// Range: 0-31536000.
    pub spool_alarm_age_s: Seconds,
    /// Whether records are compressed where they lie in the spool. Records of both kinds are read in any case.
    /// Default: true.
    pub spool_compress: bool,
    /// Longest Diameter message taken from a peer, in bytes. Default: 65536. Range: 4096-1048576.
    pub max_message_bytes: u32,
    /// Whether CDFs are asked for overload reports, and heeded (RFC 7683). Default: false: some CDFs do not know its
    /// AVPs.
    pub overload_control: bool,
    /// Files with AVPs beside the built-in ones, for profiles and for what peers send. Default: none. At most 16.
    pub dictionary: Vec<PathBuf>,
    /// File that changes the AVPs of records for a charging system. Default: none.
    pub profile: PathBuf,
    /// Records in the spool above which the oldest are exported; needs `export.directory`. Default: 0, any number.
    pub spool_max_records: u64,
    /// Bytes of the records in the spool, as they lie in the store, above which the oldest are exported; needs
    /// `export.directory`. Default: 0, any number. Range: 0, 4096-1125899906842624.
    pub spool_max_bytes: u64,
    /// Age above which records in the spool are exported, in seconds; needs `export.directory`.
    /// Default: 0, any age. Range: 0-31536000.
    pub spool_max_age_s: Seconds,
    /// Records as files.
    pub export: export::Settings,
    /// Certificates for CDFs that are reached over TLS.
    pub tls: tls::Files,
    /// Credit that is asked for before requests are served.
    pub online: online::settings::Settings,
}

/// An empty path is no profile.
pub(super) fn load_profile(path: &Path, vocabulary: &Vocabulary) -> Result<Profile, BadValue> {
    if path.as_os_str().is_empty() {
        return Ok(Profile::default());
    }
    Profile::load(path, vocabulary).map_err(|why| bad("profile", &format!("a profile; {why}")))
}

/// On whose account a request goes (RFC 5502, TS 32.260 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payer {
    Served,
    Requester,
}

impl From<Payer> for charge::Payer {
    fn from(payer: Payer) -> charge::Payer {
        match payer {
            Payer::Served => charge::Payer::Served,
            Payer::Requester => charge::Payer::Requester,
        }
    }
}

/// On whose account a NOTIFY goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyPayer {
    Subscription,
    Presentity,
}

impl From<NotifyPayer> for charge::NotifyPayer {
    fn from(payer: NotifyPayer) -> charge::NotifyPayer {
        match payer {
            NotifyPayer::Subscription => charge::NotifyPayer::Subscription,
            NotifyPayer::Presentity => charge::NotifyPayer::Presentity,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            peers: Vec::new(),
            origin_host: None,
            origin_realm: None,
            destination_realm: None,
            service_context_id: "32260@3gpp.org".into(),
            as_uri: None,
            triggers: Triggers::default(),
            payer: Payer::Served,
            notify_payer: NotifyPayer::Subscription,
            use_ccf: true,
            dynamic_peers: 8,
            max_in_flight: 256,
            answer_timeout_ms: Millis(10_000),
            connect_timeout_ms: Millis(5_000),
            watchdog_s: Seconds(30),
            listen: None,
            listen_tls: None,
            listen_half_open: 16,
            reconnect_min_ms: Millis(500),
            reconnect_max_ms: Millis(30_000),
            spool_memory_records: 4_096,
            spool_alarm_records: 10_000,
            spool_alarm_age_s: Seconds(3_600),
            spool_compress: true,
            max_message_bytes: 65_536,
            overload_control: false,
            dictionary: Vec::new(),
            profile: PathBuf::new(),
            spool_max_records: 0,
            spool_max_bytes: 0,
            spool_max_age_s: Seconds(0),
            export: export::Settings::default(),
            tls: tls::Files::default(),
            online: Default::default(),
        }
    }
}

/// A value that cannot be served, by its key inside `[charging]`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("charging.{key}: expected {expected}")]
pub struct BadValue {
    /// Key, as in `peers[1].host`.
    pub key: String,
    /// What would have been right.
    pub expected: String,
}

/// Settings with every default filled in and every range checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub origin_host: String,
    pub origin_realm: String,
    pub as_uri: String,
    /// Inter-operator identifier of our network: the home domain.
    pub own_ioi: String,
    /// CDFs, each with its realm. None: nothing is charged offline.
    pub peers: Vec<CheckedPeer>,
    /// Realm for peers that do not name their own.
    pub destination_realm: String,
    /// AVPs of `dictionary`.
    pub vocabulary: Vocabulary,
    pub profile: Profile,
    /// Everything that needs no completion.
    pub given: Settings,
}

impl Settings {
    /// Completes the settings with the home domain and checks them, also where charging is off.
    pub fn complete(&self, home_domain: &str) -> Result<Checked, BadValue> {
        self.check_ranges()?;
        let or_home = |given: &Option<String>| given.clone().unwrap_or_else(|| home_domain.into());
        let destination_realm = or_home(&self.destination_realm);
        let vocabulary = dictionary::load(&self.dictionary)
            .map_err(|why| bad("dictionary", &why.to_string()))?;
        let checked = Checked {
            origin_host: self
                .origin_host
                .clone()
                .unwrap_or_else(|| format!("presentia.{home_domain}")),
            origin_realm: or_home(&self.origin_realm),
            as_uri: String::new(),
            own_ioi: home_domain.to_owned(),
            peers: peers::check(&self.peers, &destination_realm, !self.tls.is_empty())?,
            profile: load_profile(&self.profile, &vocabulary)?,
            vocabulary,
            destination_realm,
            given: self.clone(),
        };
        identity("origin_host", &checked.origin_host)?;
        identity("origin_realm", &checked.origin_realm)?;
        identity("destination_realm", &checked.destination_realm)?;
        let as_uri = self
            .as_uri
            .clone()
            .unwrap_or_else(|| format!("sip:{}", checked.origin_host));
        if !(as_uri.starts_with("sip:") || as_uri.starts_with("sips:"))
            || as_uri.contains(char::is_whitespace)
        {
            return Err(bad("as_uri", "a SIP URI, as in \"sip:ps.home1.net\""));
        }
        Ok(Checked { as_uri, ..checked })
    }

    fn check_ranges(&self) -> Result<(), BadValue> {
        self.triggers.check()?;
        let ranges = [
            ("dynamic_peers", u64::from(self.dynamic_peers), 0, 64),
            ("max_in_flight", u64::from(self.max_in_flight), 1, 1_024),
            ("answer_timeout_ms", self.answer_timeout_ms.0, 100, 120_000),
            ("connect_timeout_ms", self.connect_timeout_ms.0, 100, 60_000),
            ("watchdog_s", u64::from(self.watchdog_s.0), 6, 600),
            (
                "listen_half_open",
                u64::from(self.listen_half_open),
                1,
                1_024,
            ),
            ("reconnect_min_ms", self.reconnect_min_ms.0, 10, 60_000),
            (
                "reconnect_max_ms",
                self.reconnect_max_ms.0,
                self.reconnect_min_ms.0,
                600_000,
            ),
            (
                "spool_memory_records",
                u64::from(self.spool_memory_records),
                16,
                1_000_000,
            ),
            ("spool_alarm_records", self.spool_alarm_records, 1, u64::MAX),
            (
                "max_message_bytes",
                u64::from(self.max_message_bytes),
                4_096,
                1_048_576,
            ),
            ("peers", self.peers.len() as u64, 0, 64),
            (
                "spool_alarm_age_s",
                u64::from(self.spool_alarm_age_s.0),
                0,
                31_536_000,
            ),
            (
                "spool_max_age_s",
                u64::from(self.spool_max_age_s.0),
                0,
                31_536_000,
            ),
            (
                "spool_max_bytes",
                self.spool_max_bytes,
                if self.spool_max_bytes > 0 { 4_096 } else { 0 },
                1 << 50,
            ),
            ("export.file_bytes", self.export.file_bytes, 4_096, 16 << 30),
            ("export.file_s", u64::from(self.export.file_s.0), 1, 86_400),
            ("dictionary", self.dictionary.len() as u64, 0, 16),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(bad(
                    key,
                    &format!("a number from {min} to {max}, not {value}"),
                ));
            }
        }
        let sizes = [self.spool_max_records, self.spool_max_bytes];
        let bounded = sizes.iter().any(|size| *size > 0) || self.spool_max_age_s.0 > 0;
        if bounded && !self.export.is_on() {
            let expected = "a directory for what the spool_max settings push out";
            return Err(bad("export.directory", expected));
        }
        if self.listen_tls.is_some() && self.tls.certificate.as_os_str().is_empty() {
            let expected = "a certificate in charging.tls with it";
            return Err(bad("listen_tls", expected));
        }
        if self.service_context_id.is_empty() || !self.service_context_id.contains('@') {
            return Err(bad(
                "service_context_id",
                "text of the form \"32260@3gpp.org\"",
            ));
        }
        Ok(())
    }
}

pub(super) fn bad(key: &str, expected: &str) -> BadValue {
    BadValue {
        key: key.into(),
        expected: expected.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn without_a_peer_charging_is_off() {
        assert_eq!(parse("").unwrap(), Settings::default());
        let checked = Settings::default().complete("ims.test").unwrap();
        assert!(checked.peers.is_empty());
    }

    #[test]
    fn what_is_not_given_follows_from_the_home_domain() {
        let s = parse("[[peers]]\nhost = 'cdf1.ims.test'\naddress = '127.0.0.1:3868'").unwrap();
        let c = s.complete("ims.test").unwrap();
        assert_eq!(
            (c.origin_host.as_str(), c.origin_realm.as_str()),
            ("presentia.ims.test", "ims.test")
        );
        assert_eq!(
            (c.as_uri.as_str(), c.peers[0].realm.as_str()),
            ("sip:presentia.ims.test", "ims.test")
        );
    }

    #[test]
    fn a_bad_value_is_refused_by_its_key() {
        const PEER: &str = "[[peers]]\nhost = 'a.b'\naddress = '127.0.0.1:3868'\n";
        for (case, text, key) in [
            (
                "a watchdog under the RFC's floor",
                "watchdog_s = 5",
                "watchdog_s",
            ),
            ("no window", "max_in_flight = 0", "max_in_flight"),
            (
                "a longest wait under the first",
                "reconnect_min_ms = 500\nreconnect_max_ms = 499",
                "reconnect_max_ms",
            ),
            (
                "an origin host with a space",
                "origin_host = 'a b'",
                "origin_host",
            ),
            ("an AS that is no SIP URI", "as_uri = 'http://x'", "as_uri"),
            (
                "a context without a domain",
                "service_context_id = '32260'",
                "service_context_id",
            ),
            (
                "a bounded spool without files",
                "spool_max_records = 5",
                "export.directory",
            ),
            (
                "a spool of so many bytes without files",
                "spool_max_bytes = 4096",
                "export.directory",
            ),
            (
                "a spool that holds no record",
                "spool_max_bytes = 4095",
                "spool_max_bytes",
            ),
            (
                "TLS without authorities",
                &format!("{PEER}tls = true"),
                "peers[0].tls",
            ),
            (
                "an address without a port",
                &PEER.replace(":3868", ""),
                "peers[0].address",
            ),
            (
                "a dictionary that is not there",
                "dictionary = ['/no/such/file']",
                "dictionary",
            ),
            (
                "the same peer twice",
                &format!("{PEER}{}", PEER.replace("a.b", "A.B")),
                "peers[1].host",
            ),
        ] {
            let refused = parse(text).unwrap().complete("ims.test").unwrap_err();
            assert_eq!(refused.key, key, "{case}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        for text in [
            "peer = []",
            "[triggers]\nmessage = true",
            "[[peers]]\nhost='a'\naddress='1.2.3.4:1'\nport=3",
        ] {
            assert!(
                parse(text).unwrap_err().message().contains("unknown field"),
                "{text}"
            );
        }
    }
}
