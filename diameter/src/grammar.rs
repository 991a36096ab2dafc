//! What a request of a peer must look like (RFC 6733 §5.4.1, §5.5.1, §8.3.1, §8.4.1, §8.5.1), and the Result-Code with
//! Failed-AVP that says where it does not (§7.1.3, §7.1.5).

use crate::dictionary::*;
use crate::fault::{Fault, ResultCode};
use crate::message::{AVP_MANDATORY, AVP_VENDOR, Avp, Message};
use crate::vocabulary::Vocabulary;

/// A command as its document defines it, as far as this node is asked by it.
struct Command {
    code: u32,
    /// Whether agents may pass it on; what concerns two neighbours only has the P flag clear.
    proxiable: bool,
    /// AVPs that stand there exactly once.
    required: &'static [Def],
    /// AVPs that stand there once or more.
    several: &'static [Def],
    /// AVPs that stand there at most once.
    optional: &'static [Def],
}

const COMMANDS: &[Command] = &[
    Command {
        code: CMD_CAPABILITIES_EXCHANGE,
        proxiable: false,
        required: &[ORIGIN_HOST, ORIGIN_REALM, VENDOR_ID, PRODUCT_NAME],
        several: &[HOST_IP_ADDRESS],
        optional: &[ORIGIN_STATE_ID, FIRMWARE_REVISION],
    },
    Command {
        code: CMD_DEVICE_WATCHDOG,
        proxiable: false,
        required: &[ORIGIN_HOST, ORIGIN_REALM],
        several: &[],
        optional: &[ORIGIN_STATE_ID],
    },
    Command {
        code: CMD_DISCONNECT_PEER,
        proxiable: false,
        required: &[ORIGIN_HOST, ORIGIN_REALM, DISCONNECT_CAUSE],
        several: &[],
        optional: &[],
    },
    Command {
        code: CMD_RE_AUTH,
        proxiable: true,
        required: &[
            SESSION_ID,
            ORIGIN_HOST,
            ORIGIN_REALM,
            DESTINATION_REALM,
            DESTINATION_HOST,
            AUTH_APPLICATION_ID,
            RE_AUTH_REQUEST_TYPE,
        ],
        several: &[],
        optional: &[USER_NAME, ORIGIN_STATE_ID],
    },
    Command {
        code: CMD_ABORT_SESSION,
        proxiable: true,
        required: &[
            SESSION_ID,
            ORIGIN_HOST,
            ORIGIN_REALM,
            DESTINATION_REALM,
            DESTINATION_HOST,
            AUTH_APPLICATION_ID,
        ],
        several: &[],
        optional: &[USER_NAME, ORIGIN_STATE_ID],
    },
    Command {
        code: CMD_SESSION_TERMINATION,
        proxiable: true,
        required: &[
            SESSION_ID,
            ORIGIN_HOST,
            ORIGIN_REALM,
            DESTINATION_REALM,
            AUTH_APPLICATION_ID,
            TERMINATION_CAUSE,
        ],
        several: &[],
        optional: &[USER_NAME, DESTINATION_HOST, ORIGIN_STATE_ID],
    },
];

/// What a server is asked (RFC 6733 §9.7.1, RFC 8506 §3.1). What stands there besides is not looked at: a profile may add
/// much that nobody knows.
const SERVED: &[Command] = &[
    Command {
        code: CMD_ACCOUNTING,
        proxiable: true,
        required: &[
            SESSION_ID,
            ORIGIN_HOST,
            ORIGIN_REALM,
            DESTINATION_REALM,
            ACCOUNTING_RECORD_TYPE,
            ACCOUNTING_RECORD_NUMBER,
        ],
        several: &[],
        optional: &[ACCT_APPLICATION_ID, DESTINATION_HOST],
    },
    Command {
        code: CMD_CREDIT_CONTROL,
        proxiable: true,
        required: &[
            SESSION_ID,
            ORIGIN_HOST,
            ORIGIN_REALM,
            DESTINATION_REALM,
            AUTH_APPLICATION_ID,
            SERVICE_CONTEXT_ID,
            CC_REQUEST_TYPE,
            CC_REQUEST_NUMBER,
        ],
        several: &[],
        optional: &[DESTINATION_HOST, REQUESTED_ACTION],
    },
];

/// Whether a request to a server has what it must have, and nothing of it twice.
pub(crate) fn check_served(request: &Message<'_>) -> Result<(), Fault> {
    let command = SERVED.iter().find(|c| c.code == request.header.command);
    command.map_or(Ok(()), |command| check_occurrences(request, command))
}

/// Values that an Enumerated AVP of these commands may have.
const RANGES: &[(Def, i32, i32)] = &[
    (DISCONNECT_CAUSE, 0, 2),     // §5.4.3
    (RE_AUTH_REQUEST_TYPE, 0, 1), // §8.12
    (TERMINATION_CAUSE, 1, 8),    // §8.15
];

/// Checks a request whose lengths are right already. `extra` are AVPs that the operator has made known.
pub(crate) fn check(request: &Message<'_>, extra: &Vocabulary) -> Result<(), Fault> {
    let command = COMMANDS.iter().find(|c| c.code == request.header.command);
    if command.is_some_and(|c| !c.proxiable) && request.header.flags.proxiable() {
        return Err(Fault::new(ResultCode::INVALID_HDR_BITS));
    }
    if let Some(avp) = request.unknown_mandatory(extra) {
        return Err(Fault::with(ResultCode::AVP_UNSUPPORTED, avp.whole));
    }
    // Some OCSs leave the M flag out (python-diameter does, of Origin-Host). Their RAR is understood all the same, and
    // a session that could not be asked for again, or a peer that is not let in, would be a high price.
    let lenient = [CMD_RE_AUTH, CMD_ABORT_SESSION, CMD_CAPABILITIES_EXCHANGE];
    let strict = !lenient.contains(&request.header.command);
    for avp in request.avps() {
        check_flags(&avp, strict)?;
    }
    if let Some(command) = command {
        check_occurrences(request, command)?;
    }
    for avp in request.avps() {
        check_value(&avp)?;
    }
    Ok(())
}

/// §7.1.3, 3009. Only what no reading of §4.1 and §4.5 allows: a vendor flag for the IETF's own space, and an AVP of
/// the base protocol "that MUST have the M flag" without it, or that must not have it with it.
fn check_flags(avp: &Avp<'_>, strict: bool) -> Result<(), Fault> {
    let wrong = || Err(Fault::with(ResultCode::INVALID_AVP_BITS, avp.whole));
    if avp.flags & AVP_VENDOR != 0 && avp.vendor == 0 {
        return wrong();
    }
    match avp.def() {
        Some(def)
            if def.vendor == 0
                && BASE.contains(&def.code)
                && (strict || avp.mandatory())
                && def.mandatory != avp.mandatory() =>
        {
            wrong()
        }
        _ => Ok(()),
    }
}

/// Codes of §4.5 that its table gives a fixed M flag, without those that came from RADIUS.
const BASE: std::ops::Range<u32> = 257..300;

fn check_occurrences(request: &Message<'_>, command: &Command) -> Result<(), Fault> {
    for def in command.required.iter().chain(command.several) {
        if request.find(def).is_none() {
            return Err(missing(def));
        }
    }
    for def in command.required.iter().chain(command.optional) {
        // "a copy of the first instance of the offending AVP that exceeded the maximum number of occurrences"
        if let Some(second) = request.avps().filter(|avp| avp.is(def)).nth(1) {
            return Err(Fault::with(ResultCode::AVP_OCCURS_TOO_MANY, second.whole));
        }
    }
    Ok(())
}

/// §7.1.5, 5005: "a Failed-AVP AVP ... with the missing AVP's code and a zero-filled value of minimum length".
fn missing(def: &Def) -> Fault {
    let payload = match def.kind {
        // §4.3.1: they name somebody, so they are never empty; nor is a Session-Id (§8.8) or a Product-Name
        Kind::Identity | Kind::Uri | Kind::Utf8 => 1,
        kind => kind.least(),
    };
    let [a, b, c, d] = def.code.to_be_bytes();
    let [_, x, y, z] = ((8 + payload) as u32).to_be_bytes();
    let mut avp = vec![a, b, c, d, AVP_MANDATORY, x, y, z];
    avp.resize((8 + payload).next_multiple_of(4), 0);
    Fault::with(ResultCode::MISSING_AVP, &avp)
}

/// 5004: text that is no text, an identity that names nobody, a value that is not enumerated.
fn check_value(avp: &Avp<'_>) -> Result<(), Fault> {
    let Some(def) = avp.def() else { return Ok(()) };
    let fine = match def.kind {
        Kind::Utf8 | Kind::Uri => avp.text().is_some(),
        Kind::Identity => avp.text().is_some_and(is_identity),
        Kind::Enumerated => RANGES
            .iter()
            .find(|(ranged, ..)| avp.is(ranged))
            .is_none_or(|(_, least, most)| {
                avp.i32().is_some_and(|v| (*least..=*most).contains(&v))
            }),
        Kind::Address => avp.address().is_some(),
        _ => true,
    };
    match fine {
        true => Ok(()),
        false => Err(Fault::with(ResultCode::INVALID_AVP_VALUE, avp.whole)),
    }
}

/// DiameterIdentity (§4.3.1): the octets of a domain name; an address literal, which some write there, passes too.
pub(crate) fn is_identity(text: &str) -> bool {
    let octet = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Writer;

    fn dwr(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::hop_request(CMD_DEVICE_WATCHDOG, 1, 2);
        w.utf8(&ORIGIN_HOST, "cdf.test").utf8(&ORIGIN_REALM, "test");
        fill(&mut w);
        w.finish(10_000).unwrap()
    }

    fn bare(command: u32, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::hop_request(command, 1, 2);
        fill(&mut w);
        w.finish(10_000).unwrap()
    }

    /// The request with flags of its header changed.
    fn flagged(mut request: Vec<u8>, set: u8) -> Vec<u8> {
        request[4] |= set;
        request
    }

    const UNKNOWN: Def = Def {
        name: "?",
        code: 99_999,
        vendor: 0,
        kind: Kind::U32,
        mandatory: true,
    };

    /// Case, request, Result-Code of the refusal, code of the AVP in its Failed-AVP.
    type Case = (&'static str, Vec<u8>, Option<(u32, u32)>);

    #[test]
    fn a_request_is_refused_by_its_first_fault_with_the_avp_at_fault() {
        let optional = Def {
            mandatory: false,
            ..ORIGIN_HOST
        };
        let cause = |value| {
            bare(CMD_DISCONNECT_PEER, |w| {
                w.utf8(&ORIGIN_HOST, "a")
                    .utf8(&ORIGIN_REALM, "b")
                    .i32(&DISCONNECT_CAUSE, value);
            })
        };
        let vendor_zero = dwr(|w| {
            // Origin-State-Id with a V flag and Vendor-Id 0
            let avp = [0, 0, 1, 22, 0xc0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1];
            w.raw(&avp);
        });
        let cases: Vec<Case> = vec![
            ("complete", dwr(|_| {}), None),
            (
                "an unknown AVP without M",
                dwr(|w| {
                    let def = Def {
                        mandatory: false,
                        ..UNKNOWN
                    };
                    w.u32(&def, 1);
                }),
                None,
            ),
            (
                "an unknown AVP with M",
                dwr(|w| _ = w.u32(&UNKNOWN, 1)),
                Some((5001, 99_999)),
            ),
            (
                "a P flag between neighbours",
                flagged(dwr(|_| {}), 0x40),
                Some((3008, 0)),
            ),
            (
                "its realm is missing",
                bare(CMD_DEVICE_WATCHDOG, |w| _ = w.utf8(&ORIGIN_HOST, "a")),
                Some((5005, 296)),
            ),
            (
                "its cause is missing",
                bare(CMD_DISCONNECT_PEER, |w| {
                    w.utf8(&ORIGIN_HOST, "a").utf8(&ORIGIN_REALM, "b");
                }),
                Some((5005, 273)),
            ),
            (
                "its host twice",
                dwr(|w| _ = w.utf8(&ORIGIN_HOST, "c")),
                Some((5009, 264)),
            ),
            ("a cause that is defined", cause(2), None),
            ("a cause that is not", cause(3), Some((5004, 273))),
            (
                "a host that is no name",
                bare(CMD_DEVICE_WATCHDOG, |w| {
                    w.utf8(&ORIGIN_HOST, "").utf8(&ORIGIN_REALM, "b");
                }),
                Some((5004, 264)),
            ),
            (
                "a base AVP without its M flag",
                bare(CMD_DEVICE_WATCHDOG, |w| {
                    w.utf8(&optional, "a").utf8(&ORIGIN_REALM, "b");
                }),
                Some((3009, 264)),
            ),
            ("a vendor that is none", vendor_zero, Some((3009, 278))),
            (
                "text that is not UTF-8",
                dwr(|w| _ = w.raw(&[0, 0, 0, 1, 0x40, 0, 0, 9, 0xff, 0, 0, 0])),
                Some((5004, 1)),
            ),
        ];
        for (case, bytes, refused) in cases {
            let message = Message::parse(&bytes).unwrap();
            let fault = check(&message, &Vocabulary::default()).err();
            let said = fault.map(|fault| {
                let code = fault.failed.first_chunk().copied();
                (fault.result.0, code.map_or(0, u32::from_be_bytes))
            });
            assert_eq!(said, refused, "{case}");
        }
    }

    #[test]
    fn a_missing_avp_is_shown_with_a_value_of_its_least_length() {
        for (def, length) in [(SESSION_ID, 9), (DISCONNECT_CAUSE, 12)] {
            let fault = missing(&def);
            assert_eq!(fault.failed.len(), 12, "{}, padded", def.name);
            assert_eq!(usize::from(fault.failed[7]), length, "{}", def.name);
        }
    }

    #[test]
    fn what_the_operator_made_known_is_not_refused() {
        let bytes = dwr(|w| _ = w.u32(&UNKNOWN, 1));
        let mut extra = Vocabulary::default();
        extra
            .add("Site-Number", 99_999, 0, Kind::U32, true)
            .unwrap();
        assert_eq!(check(&Message::parse(&bytes).unwrap(), &extra), Ok(()));
    }
}
