//! The ISC context of one request: who may be believed, who asks, and what charging needs to know
//! (TS 24.229 §5.7; RFC 3324, 3325, 7315).

use crate::charge::Payer;
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
        let orig_ioi = self.orig_ioi.as_deref().map(str::to_owned);
        self.vector(orig_ioi, Some(own_ioi.to_owned()))
    }

    /// `P-Charging-Vector` of a request that we send in the dialog: the same icid, our network originating.
    pub fn request_vector(&self, own_ioi: &str) -> Option<String> {
        self.vector(Some(own_ioi.to_owned()), None)
    }

    /// What came in quotes leaves in quotes, where it is no token.
    fn vector(&self, orig_ioi: Option<String>, term_ioi: Option<String>) -> Option<String> {
        let icid = quotable(self.icid.as_deref()?);
        let rest = PChargingVector {
            icid_value: None,
            icid_generated_at: self.generated_at.as_deref().map(str::to_owned),
            orig_ioi,
            term_ioi,
        };
        Some(format!("icid-value=\"{icid}\";{rest}"))
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

/// On whose account a trusted request goes, where that is none of the identities of its caller.
pub fn payer(headers: &Headers<'_>, caller: &Caller, payer: Payer) -> Option<String> {
    let served = match payer {
        Payer::Served => PServedUser::parse(headers)?,
        Payer::Requester => return None,
    };
    let aor = Aor::parse(served.uri)?;
    let is_caller = caller.identities.contains(&aor);
    (!is_caller && served.uri.len() <= LONGEST_VALUE).then(|| served.uri.to_owned())
}

/// Headers of a trusted request that only the charging record carries.
pub fn access_network(headers: &Headers<'_>) -> Option<String> {
    // that of the network may stand on a line of its own behind that of the user (RFC 7315 §4.4)
    let lines: Vec<&str> = headers.lines(Name::PAccessNetworkInfo).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// `P-Asserted-Service` (RFC 6050): the ICSI that the core set.
pub fn asserted_service(headers: &Headers<'_>) -> Option<String> {
    headers.get(Name::PAssertedService).map(str::to_owned)
}

/// The presentity that a Request-URI names, before aliases.
pub fn target(request: &Request<'_>) -> Option<Aor> {
    Aor::parse(request.uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{self, Framing, Incoming, Limits};

    fn request<R>(head: &str, look: impl FnOnce(&Headers<'_>) -> R) -> R {
        let mut bytes = format!(
            "PUBLISH sip:b@ims.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\n\
             From: <sip:liar@ims.test>;tag=a\r\nTo: <sip:b@ims.test>\r\nCall-ID: c\r\nCSeq: 7 PUBLISH\r\n\
             {head}Content-Length: 0\r\n\r\n"
        )
        .into_bytes();
        match sip::parse(&mut bytes, Framing::Datagram, &Limits::default()) {
            Incoming::Request(request) => look(&request.headers),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_trust_domain_is_networks_by_prefix() {
        for (case, network, address, trusted) in [
            ("a host itself", "10.0.0.1", "10.0.0.1", true),
            ("its neighbour", "10.0.0.1", "10.0.0.2", false),
            ("last of a network", "10.1.0.0/16", "10.1.255.255", true),
            ("first after it", "10.1.0.0/16", "10.2.0.0", false),
            (
                "everybody, if somebody wants that",
                "0.0.0.0/0",
                "192.0.2.1",
                true,
            ),
            (
                "IPv4 on a dual-stack socket",
                "10.0.0.1",
                "::ffff:10.0.0.1",
                true,
            ),
            ("IPv6", "2001:db8::/32", "2001:db8:ffff::1", true),
            ("IPv6 outside", "2001:db8::/32", "2001:db9::1", false),
            (
                "IPv4 everybody is not IPv6 everybody",
                "0.0.0.0/0",
                "2001:db8::1",
                false,
            ),
        ] {
            let trust = Trust::new(vec![network.parse().unwrap()]);
            assert_eq!(trust.trusts(address.parse().unwrap()), trusted, "{case}");
        }
        assert!(
            !Trust::default().trusts([127, 0, 0, 1].into()),
            "empty trusts nobody"
        );
    }

    #[test]
    fn the_caller_is_whom_the_core_asserts_and_never_from() {
        for (case, head, identities, anonymous) in [
            ("nobody", "", &[][..], true),
            (
                "one",
                "P-Asserted-Identity: <sip:a@ims.test>\r\n",
                &["sip:a@ims.test"],
                false,
            ),
            (
                "SIP and tel",
                "P-Asserted-Identity: \"A\" <sip:a@ims.test>, <tel:+36-1-555>\r\n",
                &["sip:a@ims.test", "tel:+361555"],
                false,
            ),
            (
                "an originating AS session by P-Served-User",
                "P-Served-User: <sip:a@ims.test>;sescase=orig;regstate=reg\r\n",
                &["sip:a@ims.test"],
                false,
            ),
            (
                "the user who is served as terminating asks nothing",
                "P-Served-User: <sip:a@ims.test>;sescase=term;regstate=reg\r\n",
                &[],
                true,
            ),
            (
                "who asks for privacy is anonymous, and known to the network",
                "P-Asserted-Identity: <sip:a@ims.test>\r\nPrivacy: id\r\n",
                &["sip:a@ims.test"],
                true,
            ),
            (
                "P-Preferred-Identity is for the P-CSCF",
                "P-Preferred-Identity: <sip:a@ims.test>\r\n",
                &[],
                true,
            ),
        ] {
            let caller = request(head, Caller::of);
            let known: Vec<&str> = caller.identities.iter().map(Aor::as_str).collect();
            assert_eq!(
                (known.as_slice(), caller.anonymous),
                (identities, anonymous),
                "{case}"
            );
        }
    }

    #[test]
    fn a_request_is_paid_for_by_whom_it_is_made_for() {
        const ALICE: &str = "P-Asserted-Identity: <sip:a@ims.test>, <tel:+36-1-555>\r\n";
        for (case, served, payer_is, expected) in [
            ("nobody is served", "", Payer::Served, None),
            (
                "who asks is served: each of his identities pays",
                "P-Served-User: <sip:a@ims.test>;sescase=orig;regstate=reg\r\n",
                Payer::Served,
                None,
            ),
            (
                "the same by his number",
                "P-Served-User: <tel:+361555>;sescase=orig\r\n",
                Payer::Served,
                None,
            ),
            (
                "the S-CSCF of the presentity asks",
                "P-Served-User: <sip:b@ims.test>;sescase=term;regstate=reg\r\n",
                Payer::Served,
                Some("sip:b@ims.test"),
            ),
            (
                "the operator lets the watcher pay",
                "P-Served-User: <sip:b@ims.test>;sescase=term\r\n",
                Payer::Requester,
                None,
            ),
            (
                "two served users are none",
                "P-Served-User: <sip:b@ims.test>\r\nP-Served-User: <sip:c@ims.test>\r\n",
                Payer::Served,
                None,
            ),
            (
                "no address",
                "P-Served-User: <mailto:b@x>\r\n",
                Payer::Served,
                None,
            ),
        ] {
            let head = format!("{ALICE}{served}");
            let found = request(&head, |headers| {
                payer(headers, &Caller::of(headers), payer_is)
            });
            assert_eq!(found.as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn the_charging_vector_goes_on_with_the_same_icid_and_our_network() {
        let head = "P-Charging-Vector: icid-value=\"a\\\"b\";icid-generated-at=10.0.0.9;orig-ioi=visited.test\r\n\
                    P-Charging-Function-Addresses: ccf=\"aaa://cdf1\";ccf=\"aaa://cdf2\";ecf=ocs\r\n";
        let charging = request(head, Charging::of);
        for (case, written, wanted) in [
            (
                "an answer",
                charging.answer_vector("ims.test"),
                "icid-value=\"a\\\"b\";icid-generated-at=10.0.0.9;orig-ioi=visited.test;term-ioi=ims.test",
            ),
            (
                "a NOTIFY",
                charging.request_vector("ims.test"),
                "icid-value=\"a\\\"b\";icid-generated-at=10.0.0.9;orig-ioi=ims.test",
            ),
            (
                "its addresses",
                charging.addresses(),
                "ccf=\"aaa://cdf1\";ccf=\"aaa://cdf2\";ecf=\"ocs\"",
            ),
        ] {
            assert_eq!(written.as_deref(), Some(wanted), "{case}");
        }
    }

    #[test]
    fn an_ioi_that_came_in_quotes_adds_no_parameters_to_the_answer() {
        let head = "P-Charging-Vector: icid-value=a;icid-generated-at=[2001:db8::1];orig-ioi=\"x;y=\\\"z\"\r\n";
        let wanted = "icid-value=\"a\";icid-generated-at=[2001:db8::1];orig-ioi=\"x;y=\\\"z\";term-ioi=ims.test";
        let written = request(head, Charging::of).answer_vector("ims.test");
        assert_eq!(written.as_deref(), Some(wanted));
    }

    #[test]
    fn without_an_icid_there_is_no_vector_and_what_is_too_long_is_dropped() {
        let none = request("", Charging::of);
        assert_eq!((none.answer_vector("x"), none.addresses()), (None, None));
        for (length, kept) in [(LONGEST_VALUE, true), (LONGEST_VALUE + 1, false)] {
            let head = format!("P-Charging-Vector: icid-value={}\r\n", "a".repeat(length));
            assert_eq!(
                request(&head, Charging::of).icid.is_some(),
                kept,
                "{length}"
            );
        }
        let many = "P-Charging-Function-Addresses: ".to_owned() + &["ccf=a"; 9].join(";") + "\r\n";
        assert_eq!(request(&many, Charging::of).ccf.len(), MOST_ADDRESSES);
    }

    #[test]
    fn the_access_network_that_the_network_adds_on_a_line_of_its_own_is_recorded_too() {
        let user = "P-Access-Network-Info: IEEE-802.11\r\n";
        let network = "P-Access-Network-Info: 3GPP-E-UTRAN;network-provided\r\n";
        for (head, expected) in [
            ("", None),
            (user, Some("IEEE-802.11")),
            (
                &format!("{user}{network}"),
                Some("IEEE-802.11, 3GPP-E-UTRAN;network-provided"),
            ),
        ] {
            let found = request(head, access_network);
            assert_eq!(found.as_deref(), expected);
        }
    }
}
