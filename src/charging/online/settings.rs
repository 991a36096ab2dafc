//! Section `[charging.online]`: which requests ask which OCS for credit, and what happens when it cannot be asked.

use super::super::settings::{self, BadValue, PeerSettings, bad};
use diameter::credit::Policy;
use diameter::credit::client::Charge;
use diameter::ro::{DebitFailureHandling, FailureHandling, UnitsIn};
use ims::charge::Chargeable;
use ims::charge::credit;
use ims::time::Millis;
use serde::Deserialize;

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
    /// OCSs, or Diameter agents in front of them. Default: none, and online charging is off.
    pub peers: Vec<PeerSettings>,
    /// Our DiameterIdentity towards them. Default: that of `[charging]`. It must be another one where an OCS is also a
    /// CDF, since there is one connection for each pair of identities (RFC 6733 §5.1).
    pub origin_host: Option<String>,
    /// How PUBLISH, SUBSCRIBE and third-party REGISTER are charged. Default: `off`.
    pub publish: Mode,
    pub subscribe: Mode,
    pub register: Mode,
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
    /// Requests that wait for a decision, at most; one more is answered 503. Default: 10000. Range: 1-1000000.
    pub waiting: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            peers: Vec::new(),
            origin_host: None,
            publish: Mode::Off,
            subscribe: Mode::Off,
            register: Mode::Off,
            tx_ms: Millis(3_000),
            answer_timeout_ms: Millis(10_000),
            ccfh: OnFailure::default(),
            ddfh: OnDebitFailure::default(),
            denied_status: 402,
            multiple_services: true,
            rating_group: None,
            service_identifier: None,
            waiting: 10_000,
        }
    }
}

/// Settings with every default filled in and every range checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Identity and OCSs, in the form of offline charging.
    pub peers: settings::Checked,
    pub given: Settings,
}

/// Beyond Tx, for the way there and back between threads.
const GRACE: Millis = Millis(2_000);

impl Settings {
    /// Completes the settings with those of `[charging]` and checks them. `Ok(None)`: online charging is off.
    pub fn check(
        &self,
        charging: &settings::Settings,
        home_domain: &str,
    ) -> Result<Option<Checked>, BadValue> {
        let ranges = [
            ("tx_ms", self.tx_ms.0, 100, 20_000),
            (
                "answer_timeout_ms",
                self.answer_timeout_ms.0,
                self.tx_ms.0,
                120_000,
            ),
            ("waiting", u64::from(self.waiting), 1, 1_000_000),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                let expected = format!("a number from {min} to {max}, not {value}");
                return Err(bad(&format!("online.{key}"), &expected));
            }
        }
        if !matches!(self.denied_status, 402 | 403) {
            return Err(bad("online.denied_status", "402 or 403"));
        }
        if self.peers.is_empty() {
            return Ok(None);
        }
        let as_offline = settings::Settings {
            peers: self.peers.clone(),
            origin_host: self.origin_host.clone().or(charging.origin_host.clone()),
            use_ccf: true, // here: ecf
            dynamic_peers: 0,
            // what is done with records is no matter of credit
            profile: Default::default(),
            spool_max_records: 0,
            spool_max_age_s: Default::default(),
            export: Default::default(),
            ..charging.clone()
        };
        let within = |bad: BadValue| BadValue {
            key: format!("online.{}", bad.key),
            ..bad
        };
        let Some(peers) = as_offline.check(home_domain).map_err(within)? else {
            return Ok(None);
        };
        let offline = charging.check(home_domain)?;
        let shared = offline.is_some_and(|offline| {
            let both = |host: &str| {
                peers
                    .peers
                    .iter()
                    .any(|p| p.host.eq_ignore_ascii_case(host))
            };
            offline.origin_host == peers.origin_host && offline.peers.iter().any(|p| both(&p.host))
        });
        if shared {
            let expected = "another name than charging.origin_host, since an OCS is also a CDF";
            return Err(bad("online.origin_host", expected));
        }
        let given = self.clone();
        Ok(Some(Checked { peers, given }))
    }

    /// What the node asks for; nothing while there is no OCS.
    pub fn of_node(&self) -> credit::Online {
        if self.peers.is_empty() {
            return credit::Online::OFF;
        }
        credit::Online {
            publish: self.publish != Mode::Off,
            subscribe: self.subscribe != Mode::Off,
            lasting: false,
            register: self.register != Mode::Off,
            notify: false,
            parting: credit::Parting::Deactivated,
            payment_required: self.denied_status == 402,
            waiting: self.waiting as usize,
            patience: Millis(self.tx_ms.0 + GRACE.0),
        }
    }

    pub(super) fn charge(&self, method: Chargeable) -> Option<Charge> {
        let mode = match method {
            Chargeable::Publish => self.publish,
            Chargeable::Subscribe => self.subscribe,
            Chargeable::Register => self.register,
            Chargeable::Notify => Mode::Off,
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
            ..Policy::default()
        }
    }

    pub(super) fn units_in(&self) -> UnitsIn {
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
        toml::from_str::<Settings>(text)
            .unwrap()
            .check(&charging, "ims.test")
    }

    #[test]
    fn without_an_ocs_nothing_asks_for_credit() {
        let settings: Settings = toml::from_str("publish = 'iec'").unwrap();
        assert!(settings.of_node().is_off());
        assert_eq!(check("publish = 'iec'", ""), Ok(None));
        let settings: Settings = toml::from_str(&format!("publish = 'ecur'\n{PEER}")).unwrap();
        assert!(settings.of_node().publish && !settings.of_node().subscribe);
        assert_eq!(settings.charge(Chargeable::Publish), Some(Charge::Reserve));
        assert_eq!(settings.charge(Chargeable::Notify), None);
    }

    #[test]
    fn a_bad_value_is_refused_by_its_key() {
        let cdf = "origin_host = 'ps.test'\n[[peers]]\nhost = 'OCS.test'\naddress = '127.0.0.1:1'";
        for (text, offline, key) in [
            ("tx_ms = 99", "", "online.tx_ms"),
            ("tx_ms = 20001", "", "online.tx_ms"),
            ("answer_timeout_ms = 2999", "", "online.answer_timeout_ms"),
            ("waiting = 0", "", "online.waiting"),
            ("denied_status = 404", "", "online.denied_status"),
            ("origin_host = '?'", "", "online.origin_host"),
            ("", cdf, "online.origin_host"),
        ] {
            let bad = check(&format!("{text}\n{PEER}"), offline).unwrap_err();
            assert_eq!(bad.key, key, "{text}");
        }
        assert!(check(&format!("origin_host = 'ro.ps.test'\n{PEER}"), cdf).is_ok());
    }
}
