//! Section `[charging.online]`: which requests ask which OCS for credit, and what happens when it cannot be asked.

use super::super::profile::Profile;
use super::super::settings::peers::{agree, check as check_peers};
use super::super::settings::{self, BadValue, CheckedPeer, PeerSettings, bad};
use super::{sessions, unused};
use diameter::credit::Policy;
use diameter::credit::client::Charge;
use diameter::node::Limits;
use diameter::ro::{DebitFailureHandling, FailureHandling, UnitsIn};
use ims::charge::Chargeable;
use ims::charge::credit;
use ims::time::{Millis, Seconds};
use serde::Deserialize;
use std::path::PathBuf;

/// How a method is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Off,
    /// Immediate event charging: a unit is debited, and refunded if the service fails.
    Iec,
    /// Event charging with unit reservation: a unit is set aside, and reported when the service is over.
    Ecur,
}

/// How SUBSCRIBE is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscribeMode {
    #[default]
    Off,
    /// Each one, as [`Mode::Iec`].
    Iec,
    /// Each one, as [`Mode::Ecur`].
    Ecur,
    /// The subscription: one session from the SUBSCRIBE that opens it to its end. A fetch is charged as with `ecur`.
    Session,
}

/// What a watcher is told whose subscription loses its credit (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Come back later.
    #[default]
    Probation,
    /// Subscribe again at once, if you like.
    Deactivated,
}

/// What follows when a reservation cannot be asked for: Credit-Control-Failure-Handling (RFC 8506 §8.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    #[default]
    Terminate,
    Continue,
    RetryAndTerminate,
}

/// What follows when a debit cannot be asked for: Direct-Debiting-Failure-Handling (RFC 8506 §8.15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDebitFailure {
    #[default]
    TerminateOrBuffer,
    Continue,
}

/// Online charging over Diameter Ro (RFC 8506 credit control, TS 32.260 §5.3). Off while `peers` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// OCSs, or Diameter agents in front of them. One that is also in `[[charging.peers]]` is one peer with one
    /// connection; only its priority may be another. Default: none, and only users for whom the core names an OCS are
    /// charged online.
    pub peers: Vec<PeerSettings>,
    /// Whether an `ecf` of P-Charging-Function-Addresses goes before `peers`. One that is not configured is connected on
    /// the spot, within `charging.dynamic_peers`. Default: true.
    pub use_ecf: bool,
    /// How PUBLISH, SUBSCRIBE, third-party REGISTER and our NOTIFYs are charged. Default: `off`.
    pub publish: Mode,
    pub subscribe: SubscribeMode,
    pub register: Mode,
    pub notify: Mode,
    /// `reason` of the NOTIFY that ends a subscription without credit. Default: `probation`.
    pub withdrawn_reason: Reason,
    /// Its `retry-after`, with `probation`, in seconds. Default: 300. Range: 1-86400.
    pub withdrawn_retry_after_s: Seconds,
    /// Tx: how long a request waits for a decision, in milliseconds. Default: 3000. Range: 100-20000, since SIP gives
    /// up after 32 s.
    pub tx_ms: Millis,
    /// How long an answer may take before the request counts as lost, in milliseconds. Default: 10000.
    /// Range: `tx_ms`-120000.
    pub answer_timeout_ms: Millis,
    /// Where no OCS has said otherwise. Default: `terminate`.
    pub ccfh: OnFailure,
    /// Where no OCS has said otherwise. Default: `terminate_or_buffer`.
    pub ddfh: OnDebitFailure,
    /// Status for what the account does not cover. Default: 402. Or 403.
    pub denied_status: u16,
    /// Whether units stand in Multiple-Services-Credit-Control, as in TS 32.299. Default: true.
    pub multiple_services: bool,
    /// Rating-Group and Service-Identifier of presence at the OCS. Default: neither.
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    /// File that changes the AVPs of requests for credit, as `charging.profile` changes those of records. Default: none.
    pub profile: PathBuf,
    /// Requests that wait for a decision, at most; one more is answered 503. As many charges of NOTIFYs are under way
    /// at once, from the question to the answer to the NOTIFY; the others wait. Default: 10000. Range: 1-1000000.
    pub waiting: u32,
    /// Entries in the list of what no OCS takes, beyond which nothing that asks for credit is served: 503. An alarm comes
    /// at four fifths. Default: 1000000. Range: 0-100000000; 0: any number.
    pub unpaid_max: u32,
    /// Charges that last as long as a subscription.
    pub sessions: sessions::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            peers: Vec::new(),
            use_ecf: true,
            publish: Mode::Off,
            subscribe: SubscribeMode::Off,
            register: Mode::Off,
            notify: Mode::Off,
            withdrawn_reason: Reason::default(),
            withdrawn_retry_after_s: Seconds(300),
            tx_ms: Millis(3_000),
            answer_timeout_ms: Millis(10_000),
            ccfh: OnFailure::default(),
            ddfh: OnDebitFailure::default(),
            denied_status: 402,
            multiple_services: true,
            rating_group: None,
            service_identifier: None,
            profile: PathBuf::new(),
            waiting: 10_000,
            unpaid_max: 1_000_000,
            sessions: sessions::Settings::default(),
        }
    }
}

/// Settings with every default filled in and every range checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub peers: Vec<CheckedPeer>,
    pub profile: Profile,
    pub given: Settings,
}

/// OCSs at most.
const PEERS: usize = 64;

/// Beyond Tx, for the way there and back between threads.
const GRACE: Millis = Millis(2_000);

impl Settings {
    /// Completes the settings with those of `[charging]` and checks them. `Ok(None)`: online charging is off.
    pub fn check(&self, charging: &settings::Checked) -> Result<Option<Checked>, BadValue> {
        let checked = self.complete(charging)?;
        unused::check(self, &charging.given)?;
        Ok(self.is_on(&charging.given).then_some(checked))
    }

    /// The same, also where online charging is off.
    pub fn complete(&self, charging: &settings::Checked) -> Result<Checked, BadValue> {
        let ranges = [
            ("tx_ms", self.tx_ms.0, 100, 20_000),
            (
                "answer_timeout_ms",
                self.answer_timeout_ms.0,
                self.tx_ms.0,
                120_000,
            ),
            ("waiting", u64::from(self.waiting), 1, 1_000_000),
            ("unpaid_max", u64::from(self.unpaid_max), 0, 100_000_000),
            (
                "withdrawn_retry_after_s",
                u64::from(self.withdrawn_retry_after_s.0),
                1,
                86_400,
            ),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                let expected = format!("a number from {min} to {max}, not {value}");
                return Err(bad(&format!("online.{key}"), &expected));
            }
        }
        self.sessions.check()?;
        if !matches!(self.denied_status, 402 | 403) {
            return Err(bad("online.denied_status", "402 or 403"));
        }
        if self.peers.len() > PEERS {
            let expected = format!("at most {PEERS}");
            return Err(bad("online.peers", &expected));
        }
        let within = |bad: BadValue| BadValue {
            key: format!("online.{}", bad.key),
            ..bad
        };
        let has_tls = !charging.given.tls.is_empty();
        let peers = check_peers(&self.peers, &charging.destination_realm, has_tls);
        let peers = peers.map_err(within)?;
        agree(&peers, &charging.peers).map_err(within)?;
        Ok(Checked {
            peers,
            profile: settings::load_profile(&self.profile, &charging.vocabulary).map_err(within)?,
            given: self.clone(),
        })
    }

    /// Whether there is an OCS, or the core may name one.
    fn is_on(&self, charging: &settings::Settings) -> bool {
        let may_name = self.use_ecf && charging.dynamic_peers > 0;
        !self.peers.is_empty() || may_name && !self.asked().is_off()
    }

    /// What the node asks for.
    pub fn of_node(&self, charging: &settings::Settings) -> credit::Online {
        match self.is_on(charging) {
            true => self.asked(),
            false => credit::Online::OFF,
        }
    }

    /// Each method and how it is charged, as the configuration has it; `None`: not at all.
    pub fn modes(&self) -> [(&'static str, Option<&'static str>); 4] {
        let of = |mode| match mode {
            Mode::Off => None,
            Mode::Iec => Some("iec"),
            Mode::Ecur => Some("ecur"),
        };
        let subscribe = match self.subscribe {
            SubscribeMode::Off => None,
            SubscribeMode::Iec => Some("iec"),
            SubscribeMode::Ecur => Some("ecur"),
            SubscribeMode::Session => Some("session"),
        };
        [
            ("PUBLISH", of(self.publish)),
            ("SUBSCRIBE", subscribe),
            ("REGISTER", of(self.register)),
            ("NOTIFY", of(self.notify)),
        ]
    }

    fn asked(&self) -> credit::Online {
        credit::Online {
            publish: self.publish != Mode::Off,
            subscribe: self.subscribe != SubscribeMode::Off,
            lasting: self.subscribe == SubscribeMode::Session,
            register: self.register != Mode::Off,
            notify: self.notify != Mode::Off,
            parting: match self.withdrawn_reason {
                Reason::Deactivated => credit::Parting::Deactivated,
                Reason::Probation => credit::Parting::Probation {
                    retry_after: self.withdrawn_retry_after_s,
                },
            },
            payment_required: self.denied_status == 402,
            waiting: self.waiting as usize,
            patience: Millis(self.tx_ms.0 + GRACE.0),
        }
    }

    /// Whether requests of this method ask for credit.
    pub(in crate::charging) fn asks(&self, method: Chargeable) -> bool {
        self.charge(method).is_some()
    }

    pub(super) fn charge(&self, method: Chargeable) -> Option<Charge> {
        let mode = match method {
            Chargeable::Publish => self.publish,
            Chargeable::Subscribe => match self.subscribe {
                SubscribeMode::Off => Mode::Off,
                SubscribeMode::Iec => Mode::Iec,
                SubscribeMode::Ecur | SubscribeMode::Session => Mode::Ecur,
            },
            Chargeable::Register => self.register,
            Chargeable::Notify => self.notify,
        };
        match mode {
            Mode::Off => None,
            Mode::Iec => Some(Charge::Debit),
            Mode::Ecur => Some(Charge::Reserve),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            tx: self.tx_ms.0,
            failure: match self.ccfh {
                OnFailure::Terminate => FailureHandling::Terminate,
                OnFailure::Continue => FailureHandling::Continue,
                OnFailure::RetryAndTerminate => FailureHandling::RetryAndTerminate,
            },
            debit_failure: match self.ddfh {
                OnDebitFailure::TerminateOrBuffer => DebitFailureHandling::TerminateOrBuffer,
                OnDebitFailure::Continue => DebitFailureHandling::Continue,
            },
            units: self.sessions.wanted(),
            early: self.sessions.early_percent,
            again: u64::from(self.sessions.again_s.0) * 1_000,
            lag: self.sessions.lag_ms.0,
            lag_units: u64::from(self.sessions.lag_units),
            given: u64::from(self.sessions.given_max),
            holding: self.sessions.holding(self.notify != Mode::Off),
            grace: u64::from(self.sessions.grace_s.0) * 1_000,
            ..Policy::default()
        }
    }

    /// Charges under way at most, beside those that last: those that wait for a decision, and as many services that run.
    pub(super) fn charges(&self) -> usize {
        self.waiting as usize * 2
    }

    /// What the Diameter node allows requests for credit.
    pub(in crate::charging) fn limits(&self) -> Limits {
        Limits {
            answer_timeout: self.answer_timeout_ms.0,
            max_pending: self.charges() + self.sessions.max as usize,
        }
    }

    pub(in crate::charging) fn units_in(&self) -> UnitsIn {
        match self.multiple_services {
            true => UnitsIn::Services {
                service_identifier: self.service_identifier,
                rating_group: self.rating_group,
            },
            false => UnitsIn::Command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "[[peers]]\nhost = 'ocs.test'\naddress = '127.0.0.1:3868'\n";

    fn check(text: &str, offline: &str) -> Result<Option<Checked>, BadValue> {
        let charging: settings::Settings = toml::from_str(offline).unwrap();
        let charging = charging.complete("ims.test").unwrap();
        toml::from_str::<Settings>(text).unwrap().check(&charging)
    }

    #[test]
    fn without_an_ocs_and_without_any_that_may_be_named_nothing_asks_for_credit() {
        for (text, offline, is_on) in [
            ("", "", false),
            ("publish = 'iec'", "", true),
            ("use_ecf = false", "", false),
            ("", "dynamic_peers = 0", false),
            (PEER, "dynamic_peers = 0", true),
        ] {
            let checked = check(text, offline).unwrap();
            assert_eq!(checked.is_some(), is_on, "{text}, {offline}");
        }
        let charging = settings::Settings::default();
        let settings: Settings = toml::from_str("publish = 'iec'").unwrap();
        assert!(settings.of_node(&charging).publish, "an ecf may name one");
        let settings: Settings = toml::from_str("publish = 'iec'\nuse_ecf = false").unwrap();
        assert!(settings.of_node(&charging).is_off());
        let settings: Settings = toml::from_str(&format!("publish = 'ecur'\n{PEER}")).unwrap();
        let asked = settings.of_node(&charging);
        assert!(asked.publish && !asked.subscribe);
        assert_eq!(settings.charge(Chargeable::Publish), Some(Charge::Reserve));
        assert_eq!(settings.charge(Chargeable::Notify), None);
    }

    #[test]
    fn a_bad_value_is_refused_by_its_key() {
        for (text, key) in [
            ("tx_ms = 99", "online.tx_ms"),
            ("tx_ms = 20001", "online.tx_ms"),
            ("answer_timeout_ms = 2999", "online.answer_timeout_ms"),
            ("waiting = 0", "online.waiting"),
            ("denied_status = 404", "online.denied_status"),
            (
                "withdrawn_retry_after_s = 0",
                "online.withdrawn_retry_after_s",
            ),
        ] {
            let bad = check(&format!("{text}\n{PEER}"), "").unwrap_err();
            assert_eq!(bad.key, key, "{text}");
        }
    }

    #[test]
    fn an_ocs_that_is_also_a_cdf_is_the_same_peer_but_for_its_priority() {
        let cdf = PEER.replace("ocs.test", "OCS.test");
        for (text, key) in [
            ("priority = 7", None),
            ("realm = 'other.test'", Some("online.peers[0].realm")),
            ("tls = true", Some("online.peers[0].tls")),
        ] {
            let checked = check(
                &format!("{PEER}{text}"),
                &format!("{cdf}\n[tls]\nca = 'ca.pem'"),
            );
            assert_eq!(checked.err().map(|bad| bad.key).as_deref(), key, "{text}");
        }
        let elsewhere = check(PEER, &cdf.replace("3868", "3869")).unwrap_err();
        assert_eq!(elsewhere.key, "online.peers[0].address");
    }
}
