//! The ISC context of one request: who may be believed, who asks, and what charging needs to know
//! (TS 24.229 §5.7; RFC 3324, 3325, 7315).

use crate::network::{Cidr, any_contains};
use crate::sip::header::p_asserted_identity::PAssertedIdentity;
use crate::sip::header::p_charging_function_addresses::PChargingFunctionAddresses;
use crate::sip::header::p_charging_vector::PChargingVector;
use crate::sip::header::p_served_user::{PServedUser, SessionCase};
use crate::sip::header::privacy::Privacy;
use crate::sip::{Aor, Headers, Name, Request};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Longest icid-value, IOI or address kept from a peer, in bytes; a longer one is dropped, not cut.
const LONGEST_VALUE: usize = 256;
/// Most charging function addresses kept of each kind; the standard has a primary and a secondary.
const MOST_ADDRESSES: usize = 4;

/// The trust domain (RFC 3324): peers whose asserted identities are believed. Empty trusts nobody.
#[derive(Clone, Debug, Default)]
pub struct Trust(Vec<Cidr>);

impl Trust {
    pub fn new(networks: Vec<Cidr>) -> Trust {
        Trust(networks)
    }

    /// Whether a message from this address comes from inside the trust domain.
    pub fn trusts(&self, address: IpAddr) -> bool {
        any_contains(&self.0, address)
    }
}

/// Who sent a request, as a trusted peer asserts it. `From` is never asked (RFC 3325 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Asserted identities, canonical, at most one SIP and one tel. Empty: nobody is asserted.
    pub identities: Vec<Aor>,
    /// The same as the peer wrote them, for the charging record.
    pub asserted: Vec<String>,
    /// The caller asked that the identity be withheld, or none is asserted: OMA's anonymous request.
    pub anonymous: bool,
}

impl Caller {
    /// The caller of a request that a trusted peer sent. Never call it for any other.
    pub fn of(headers: &Headers<'_>) -> Caller {
        let mut caller = Caller::default();
        for value in PAssertedIdentity::parse(headers).uris() {
            caller.add(value);
        }
        if !headers.has(Name::PAssertedIdentity) {
            // an originating AS session without P-Asserted-Identity: the served user asks (TS 24.229 §5.7.1.3A)
            if let Some(served) =
                PServedUser::parse(headers).filter(|s| s.case == Some(SessionCase::Originating))
            {
                caller.add(served.uri);
            }
        }
        // RFC 3325 §9.3; the AD treats a request with privacy as anonymous although the network knows the caller
        caller.anonymous =
            caller.identities.is_empty() || Privacy::parse(headers).withholds_identity();
        caller
    }

    fn add(&mut self, uri: &str) {
        if let Some(aor) = Aor::parse(uri) {
            self.identities.push(aor);
            self.asserted.push(uri.to_owned());
        }
    }
}

/// What a request says about its charging (RFC 7315 §4.5, §4.6), kept with the dialog it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charging {
    /// icid-value: correlates the records of all nodes of one session or request.
    pub icid: Option<Box<str>>,
    /// icid-generated-at, carried on as it came.
    pub generated_at: Option<Box<str>>,
    pub orig_ioi: Option<Box<str>>,
    pub term_ioi: Option<Box<str>>,
    /// Addresses of CDFs (`ccf`), primary first.
    pub ccf: Vec<Box<str>>,
    /// Addresses of OCSs (`ecf`), primary first.
    pub ecf: Vec<Box<str>>,
}

impl Charging {
    /// The charging headers of a request that a trusted peer sent.
    pub fn of(headers: &Headers<'_>) -> Charging {
        let vector = PChargingVector::parse(headers);
        let addresses = PChargingFunctionAddresses::parse(headers);
        let bounded = |value: Option<String>| {
            value
                .filter(|v| v.len() <= LONGEST_VALUE)
                .map(String::into_boxed_str)
        };
        let list = |values: Vec<String>| {
            values
                .into_iter()
                .filter(|v| v.len() <= LONGEST_VALUE)
                .take(MOST_ADDRESSES)
                .map(String::into_boxed_str)
                .collect()
        };
        Charging {
            icid: bounded(vector.icid_value),
            generated_at: bounded(vector.icid_generated_at),
            orig_ioi: bounded(vector.orig_ioi),
            term_ioi: bounded(vector.term_ioi),
            ccf: list(addresses.ccf),
            ecf: list(addresses.ecf),
        }
    }

    /// `P-Charging-Vector` of a response: the request's, with the terminating network's identifier (type 3 IOI).
    pub fn answer_vector(&self, own_ioi: &str) -> Option<String> {
        let mut vector = self.vector_head()?;
        if let Some(ioi) = &self.orig_ioi {
            vector.push_str(&format!(";orig-ioi={ioi}"));
        }
        vector.push_str(&format!(";term-ioi={own_ioi}"));
        Some(vector)
    }

    /// `P-Charging-Vector` of a request that we send in the dialog: the same icid, our network originating.
    pub fn request_vector(&self, own_ioi: &str) -> Option<String> {
        let mut vector = self.vector_head()?;
        vector.push_str(&format!(";orig-ioi={own_ioi}"));
        Some(vector)
    }

    fn vector_head(&self) -> Option<String> {
        let mut vector = format!("icid-value=\"{}\"", quotable(self.icid.as_deref()?));
        if let Some(at) = &self.generated_at {
            vector.push_str(&format!(";icid-generated-at={at}"));
        }
        Some(vector)
    }

    /// `P-Charging-Function-Addresses` towards a peer in the home network.
    pub fn addresses(&self) -> Option<String> {
        let ccf = self.ccf.iter().map(|a| format!("ccf=\"{}\"", quotable(a)));
        let ecf = self.ecf.iter().map(|a| format!("ecf=\"{}\"", quotable(a)));
        let all: Vec<String> = ccf.chain(ecf).collect();
        if all.is_empty() {
            None
        } else {
            Some(all.join(";"))
        }
    }
}

/// A value inside a quoted-string: quote and backslash escaped (RFC 3261 §25.1).
fn quotable(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Headers of a trusted request that only the charging record carries.
pub fn access_network(headers: &Headers<'_>) -> Option<String> {
    headers.get(Name::PAccessNetworkInfo).map(str::to_owned)
}

/// `P-Asserted-Service` (RFC 6050): the ICSI that the core set.
pub fn asserted_service(headers: &Headers<'_>) -> Option<String> {
    headers.get(Name::PAssertedService).map(str::to_owned)
}

/// The presentity that a Request-URI names, before aliases.
pub fn target(request: &Request<'_>) -> Option<Aor> {
    Aor::parse(request.uri)
}
