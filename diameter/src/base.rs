//! The messages that peers exchange about themselves: CER, DWR, DPR, their answers, and refusals (RFC 6733 §5, §7).

use crate::avp::Address;
use crate::dictionary::*;
use crate::fault::{Class, Fault, ResultCode};
use crate::grammar;
use crate::message::{Avp, Header, Message};
use crate::vocabulary::Vocabulary;
use crate::write::Writer;
use std::net::IpAddr;

/// The applications that a node offers, or that it has in common with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applications {
    /// Base accounting, application 3: Rf.
    pub accounting: bool,
    /// Credit control, application 4: Ro.
    pub credit_control: bool,
}

impl Applications {
    pub const ACCOUNTING: Applications = Applications {
        accounting: true,
        credit_control: false,
    };
    pub const CREDIT_CONTROL: Applications = Applications {
        accounting: false,
        credit_control: true,
    };
    pub const BOTH: Applications = Applications {
        accounting: true,
        credit_control: true,
    };

    /// Whether the application with this identifier is among them.
    pub fn serves(self, application: u32) -> bool {
        match application {
            APP_ACCOUNTING => self.accounting,
            APP_CREDIT_CONTROL => self.credit_control,
            _ => false,
        }
    }

    pub(crate) fn and(self, other: Applications) -> Applications {
        Applications {
            accounting: self.accounting && other.accounting,
            credit_control: self.credit_control && other.credit_control,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Applications::default()
    }

    /// What a CER or CEA offers. A relay offers everything (RFC 6733 §2.4).
    pub(crate) fn read(message: &Message<'_>) -> Applications {
        let groups = message
            .avps()
            .filter(|avp| avp.is(&VENDOR_SPECIFIC_APPLICATION_ID))
            .flat_map(|avp| avp.group());
        let mut found = Applications::default();
        for avp in message.avps().chain(groups) {
            let (acct, auth) = (avp.is(&ACCT_APPLICATION_ID), avp.is(&AUTH_APPLICATION_ID));
            match avp.u32() {
                Some(APP_RELAY) if acct || auth => return Applications::BOTH,
                Some(APP_ACCOUNTING) if acct => found.accounting = true,
                Some(APP_CREDIT_CONTROL) if auth => found.credit_control = true,
                _ => {}
            }
        }
        found
    }
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Origin-Host.
    pub host: String,
    /// Origin-Realm.
    pub realm: String,
    /// Product-Name.
    pub product: String,
    /// Origin-State-Id: rises at each start that loses state, so seconds since 1970 at the start serve (§8.16).
    pub state_id: u32,
    /// What it offers in its CER.
    pub applications: Applications,
}

/// Why we leave a peer: Disconnect-Cause (RFC 6733 §5.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// REBOOTING: we stop, and the peer may expect us again.
    Rebooting,
    /// DO_NOT_WANT_TO_TALK_TO_YOU: no "messages to be exchanged in the near future"; nothing is wrong with either.
    NotNeeded,
}

/// Who a peer is, as its CER or CEA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub host: String,
    pub realm: String,
    /// What both sides serve.
    pub applications: Applications,
    /// Origin-State-Id, where it says one.
    pub state_id: Option<u32>,
}

/// Why a capabilities exchange came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    // Theirs: they do not want us.
    #[error("the peer refused us with Result-Code {0}")]
    Result(u32),
    // Theirs: they are not what they should be.
    #[error("the peer is {said}, not {expected}")]
    WrongHost { said: String, expected: String },
    #[error(
        "the peer serves neither accounting (application 3) nor credit control (4) as we need it"
    )]
    NoCommonApplication,
    #[error("the peer's capabilities lack {0}")]
    Missing(&'static str),
}

/// The longest message of this module is far below; only the limit of the format applies.
const MAX: usize = 1 << 23;

impl Local {
    /// CER (§5.3.1). Accounting is advertised both by itself and under 3GPP's vendor: Rf is the base application
    /// (TS 32.299 §6.2.1), and some peers look for one, some for the other. Credit control goes by itself (RFC 8506
    /// §1.3: nodes "MUST advertise support by including the value of 4 in the Auth-Application-Id").
    pub(crate) fn cer(&self, address: IpAddr, hop_by_hop: u32, end_to_end: u32) -> Vec<u8> {
        let mut w = Writer::hop_request(CMD_CAPABILITIES_EXCHANGE, hop_by_hop, end_to_end);
        self.capabilities(&mut w, address);
        w.finish(MAX).unwrap_or_default()
    }

    /// CEA (§5.3.2) to a peer that is let in, or that is not. Only a protocol error may leave out what the grammar of
    /// the CEA demands (§7.2).
    pub(crate) fn cea(&self, cer: &Header, fault: &Fault, address: IpAddr) -> Vec<u8> {
        if fault.result.class() == Class::ProtocolError {
            return self.answer(cer, None, fault);
        }
        let mut w = Writer::answer(cer, fault.result);
        w.u32(&RESULT_CODE, fault.result.0);
        self.capabilities(&mut w, address);
        if !fault.failed.is_empty() {
            w.around(&FAILED_AVP, &fault.failed);
        }
        w.finish(MAX).unwrap_or_default()
    }

    fn capabilities(&self, w: &mut Writer, address: IpAddr) {
        self.origin(w);
        w.address(&HOST_IP_ADDRESS, &Address::Ip(address))
            .u32(&VENDOR_ID, VENDOR_3GPP)
            .utf8(&PRODUCT_NAME, &self.product)
            .u32(&ORIGIN_STATE_ID, self.state_id)
            .u32(&SUPPORTED_VENDOR_ID, VENDOR_3GPP);
        self.offer(w);
    }

    /// DWR (§5.5.1).
    pub(crate) fn dwr(&self, hop_by_hop: u32, end_to_end: u32) -> Vec<u8> {
        let mut w = Writer::hop_request(CMD_DEVICE_WATCHDOG, hop_by_hop, end_to_end);
        self.origin(&mut w);
        w.u32(&ORIGIN_STATE_ID, self.state_id);
        w.finish(MAX).unwrap_or_default()
    }

    /// DPR (§5.4.1).
    pub(crate) fn dpr(&self, cause: Goodbye, hop_by_hop: u32, end_to_end: u32) -> Vec<u8> {
        let mut w = Writer::hop_request(CMD_DISCONNECT_PEER, hop_by_hop, end_to_end);
        self.origin(&mut w);
        let cause = match cause {
            Goodbye::Rebooting => 0,
            Goodbye::NotNeeded => 2,
        };
        w.i32(&DISCONNECT_CAUSE, cause);
        w.finish(MAX).unwrap_or_default()
    }

    /// §6.1.4: whether a request is for another node, which no agent here forwards it to: 3002 where it names the
    /// host, 3003 where it names the realm alone (§7.1.3).
    pub(crate) fn turns_down(&self, request: &Message<'_>) -> Option<ResultCode> {
        let other = |def: &Def, ours: &str| {
            let named = request.find(def)?.text()?;
            Some(!named.eq_ignore_ascii_case(ours))
        };
        match (
            other(&DESTINATION_HOST, &self.host),
            other(&DESTINATION_REALM, &self.realm),
        ) {
            (Some(true), _) => Some(ResultCode::UNABLE_TO_DELIVER),
            (None, Some(true)) => Some(ResultCode::REALM_NOT_SERVED),
            _ => None,
        }
    }

    /// The answer to any request from the peer, good or not.
    pub(crate) fn answer(
        &self,
        request: &Header,
        of: Option<&Message<'_>>,
        fault: &Fault,
    ) -> Vec<u8> {
        let mut w = Writer::answer(request, fault.result);
        let repeated = |avp: &Avp<'_>| avp.is(&SESSION_ID) || avp.is(&PROXY_INFO);
        let repeated = of.map(|m| m.avps().filter(repeated).map(|avp| avp.whole.len()).sum());
        w.reserve(repeated.unwrap_or(0));
        // "If a Session-Id is present in the request, it MUST be included in the answer"; Proxy-Info AVPs
        // "MUST be added ... in the same order" (§6.2).
        if let Some(id) = of
            .and_then(|m| m.find(&SESSION_ID))
            .and_then(|avp| avp.text())
        {
            w.utf8(&SESSION_ID, id);
        }
        w.u32(&RESULT_CODE, fault.result.0);
        self.origin(&mut w);
        if request.application == APP_COMMON && request.command == CMD_DEVICE_WATCHDOG {
            w.u32(&ORIGIN_STATE_ID, self.state_id);
        }
        if !fault.failed.is_empty() {
            w.around(&FAILED_AVP, &fault.failed);
        }
        for proxy in of
            .into_iter()
            .flat_map(|m| m.avps())
            .filter(|avp| avp.is(&PROXY_INFO) && avp.is_sound())
        {
            w.around(&PROXY_INFO, proxy.data);
        }
        w.finish(MAX).unwrap_or_default()
    }

    /// The applications, in a CER or CEA.
    fn offer(&self, w: &mut Writer) {
        if self.applications.credit_control {
            w.u32(&AUTH_APPLICATION_ID, APP_CREDIT_CONTROL);
        }
        if self.applications.accounting {
            w.u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING).group(
                &VENDOR_SPECIFIC_APPLICATION_ID,
                |w| {
                    w.u32(&VENDOR_ID, VENDOR_3GPP)
                        .u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
                },
            );
        }
    }

    fn origin(&self, w: &mut Writer) {
        w.utf8(&ORIGIN_HOST, &self.host)
            .utf8(&ORIGIN_REALM, &self.realm);
    }
}

/// Process-CEA (§5.3.2, §5.6.4): who the peer is, or why it will not do. `expected` is the host that was configured,
/// `ours` what we offered.
pub(crate) fn read_cea(
    cea: &Message<'_>,
    expected: Option<&str>,
    ours: Applications,
) -> Result<Remote, Refusal> {
    let text = |def: &Def| cea.find(def).and_then(|avp| avp.text()).map(str::to_owned);
    let result = cea
        .find(&RESULT_CODE)
        .and_then(|avp| avp.u32())
        .ok_or(Refusal::Missing("Result-Code"))?;
    if result != ResultCode::SUCCESS.0 {
        return Err(Refusal::Result(result));
    }
    let name = |def: &Def| text(def).filter(|name| grammar::is_identity(name));
    let host = name(&ORIGIN_HOST).ok_or(Refusal::Missing("Origin-Host"))?;
    let realm = name(&ORIGIN_REALM).ok_or(Refusal::Missing("Origin-Realm"))?;
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&host) => {
            return Err(Refusal::WrongHost {
                said: host,
                expected: expected.to_owned(),
            });
        }
        _ => {}
    }
    let applications = Applications::read(cea).and(ours);
    if applications.is_empty() {
        return Err(Refusal::NoCommonApplication);
    }
    Ok(Remote {
        host,
        realm,
        applications,
        state_id: state_id(cea),
    })
}

/// Process-CER (§5.3.1, §5.6.4): who has connected, or what it is told instead. `extra` are AVPs that the operator has
/// made known.
pub(crate) fn read_cer(
    cer: &Message<'_>,
    ours: Applications,
    extra: &Vocabulary,
) -> Result<Remote, Fault> {
    grammar::check(cer, extra)?;
    let text = |def: &Def| {
        let text = cer.find(def).and_then(|avp| avp.text());
        text.map(str::to_owned)
            .ok_or(Fault::new(ResultCode::MISSING_AVP))
    };
    // §5.3: "If none of the applications are in common ... DIAMETER_NO_COMMON_APPLICATION"
    let applications = Applications::read(cer).and(ours);
    if applications.is_empty() {
        return Err(Fault::new(ResultCode::NO_COMMON_APPLICATION));
    }
    // §6.10: TLS begins before the CER or not at all; who offers nothing but TLS after it has nothing in common with us.
    let mut inband = cer.avps().filter(|avp| avp.is(&INBAND_SECURITY_ID));
    let offers = inband.clone().next().is_some();
    if offers && !inband.any(|avp| avp.u32() == Some(NO_INBAND_SECURITY)) {
        return Err(Fault::new(ResultCode::NO_COMMON_SECURITY));
    }
    Ok(Remote {
        host: text(&ORIGIN_HOST)?,
        realm: text(&ORIGIN_REALM)?,
        applications,
        state_id: state_id(cer),
    })
}

/// Inband-Security-Id of a connection that stays as it is (§6.10).
const NO_INBAND_SECURITY: u32 = 0;

/// Origin-State-Id of a message (§8.16). 0 says nothing: it is for nodes that cannot tell.
pub(crate) fn state_id(message: &Message<'_>) -> Option<u32> {
    let state = message.find(&ORIGIN_STATE_ID)?.u32();
    state.filter(|state| *state != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Local {
        Local {
            host: "ps.ims.test".into(),
            realm: "ims.test".into(),
            product: "Presentia".into(),
            state_id: 9,
            applications: Applications::BOTH,
        }
    }

    /// A CEA from cdf.ims.test with what `fill` adds.
    fn cea(result: u32, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let cer = local().cer([127, 0, 0, 1].into(), 1, 2);
        let mut w = Writer::answer(&Message::parse(&cer).unwrap().header, ResultCode::SUCCESS);
        w.u32(&RESULT_CODE, result)
            .utf8(&ORIGIN_HOST, "CDF.ims.test")
            .utf8(&ORIGIN_REALM, "ims.test");
        fill(&mut w);
        w.finish(MAX).unwrap()
    }

    #[test]
    fn accounting_is_found_wherever_a_peer_puts_it() {
        let direct = |w: &mut Writer| _ = w.u32(&ACCT_APPLICATION_ID, 3);
        let vendor = |w: &mut Writer| {
            w.group(&VENDOR_SPECIFIC_APPLICATION_ID, |w| {
                _ = w.u32(&VENDOR_ID, 10_415).u32(&ACCT_APPLICATION_ID, 3)
            });
        };
        let relay = |w: &mut Writer| _ = w.u32(&AUTH_APPLICATION_ID, APP_RELAY);
        let credit = |w: &mut Writer| _ = w.u32(&AUTH_APPLICATION_ID, 4);
        let other =
            |w: &mut Writer| _ = w.u32(&AUTH_APPLICATION_ID, 3).u32(&ACCT_APPLICATION_ID, 4);
        let wrong = Refusal::WrongHost {
            said: "CDF.ims.test".into(),
            expected: "cdf2.ims.test".into(),
        };
        for (case, bytes, expected, refusal) in [
            ("by itself", cea(2001, direct), Some("cdf.ims.test"), None),
            (
                "under a vendor",
                cea(2001, vendor),
                Some("cdf.ims.test"),
                None,
            ),
            ("as a relay", cea(2001, relay), None, None),
            (
                "nowhere",
                cea(2001, other),
                None,
                Some(Refusal::NoCommonApplication),
            ),
            (
                "behind a refusal",
                cea(5010, direct),
                None,
                Some(Refusal::Result(5010)),
            ),
            (
                "at another host",
                cea(2001, direct),
                Some("cdf2.ims.test"),
                Some(wrong),
            ),
        ] {
            let message = Message::parse(&bytes).unwrap();
            let read = read_cea(&message, expected, Applications::ACCOUNTING);
            assert_eq!(read.err(), refusal, "{case}");
        }
        let bytes = cea(2001, credit);
        let message = Message::parse(&bytes).unwrap();
        for (ours, common) in [
            (Applications::ACCOUNTING, None),
            (Applications::BOTH, Some(Applications::CREDIT_CONTROL)),
        ] {
            let read = read_cea(&message, None, ours);
            assert_eq!(read.ok().map(|remote| remote.applications), common);
        }
    }

    #[test]
    fn what_is_offered_is_what_is_read() {
        for applications in [
            Applications::ACCOUNTING,
            Applications::CREDIT_CONTROL,
            Applications::BOTH,
        ] {
            let local = Local {
                applications,
                ..local()
            };
            let cer = local.cer([127, 0, 0, 1].into(), 1, 2);
            let read = Applications::read(&Message::parse(&cer).unwrap());
            assert_eq!(read, applications);
        }
    }

    #[test]
    fn an_answer_gives_back_the_session_and_the_proxies() {
        let mut w = Writer::request(274, 3);
        w.utf8(&SESSION_ID, "a;1;2").group(&PROXY_INFO, |w| {
            _ = w.utf8(&PROXY_HOST, "p1").octets(&PROXY_STATE, b"s")
        });
        let bytes = w.finish(MAX).unwrap();
        let request = Message::parse(&bytes).unwrap();
        let fault = Fault::new(ResultCode::COMMAND_UNSUPPORTED);
        let answer = local().answer(&request.header, Some(&request), &fault);
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(
            answer.avps().next().and_then(|avp| avp.text()),
            Some("a;1;2")
        );
        assert_eq!(
            answer.find(&PROXY_INFO).map(|avp| avp.data),
            request.find(&PROXY_INFO).map(|avp| avp.data)
        );
        assert!(answer.header.flags.error() && !answer.header.flags.request());
    }
}
