//! What third-party REGISTER tells (TS 24.229 §5.7.1.1), as one more contribution.

use super::Source;
use crate::presence::pidf::lexis::escape_into;
use crate::presence::pidf::names::{DATA_MODEL, OMA, PIDF};
use crate::presence::pidf::{Contribution, Limits, PidfError, parse};
use crate::time::Timestamp;

/// The youngest of all sources: no publication ever has to give up an id for it.
pub(super) const ORDER: u64 = u64::MAX;

/// The registration state of a public identity, ready for composition.
#[derive(Clone, Debug)]
pub struct RegistrationFacts {
    contribution: Contribution,
    since: Timestamp,
}

impl RegistrationFacts {
    /// `identity` is the registered public identity (a URI), `device` the instance URN of the terminal where known,
    /// `since` when the state became so. Fails only for an identity that no document can hold.
    pub fn new(
        identity: &str,
        device: Option<&str>,
        active: bool,
        since: Timestamp,
    ) -> Result<Self, PidfError> {
        let document = document(identity, device, active);
        let limits = Limits {
            body: usize::MAX,
            ..Limits::default()
        };
        Ok(RegistrationFacts {
            contribution: parse(&document, &limits)?,
            since,
        })
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source {
            contribution: &self.contribution,
            at: self.since,
            order: u64::MAX,
            mark: 0,
        }
    }
}

/// No `<basic>`: being registered says that the network reaches a terminal, not that the user is available, and a
/// user who published "closed" must not be contradicted. No timestamp: in a tuple joined with a published one it would
/// tell watchers who may not see the registration when it happened.
fn document(identity: &str, device: Option<&str>, active: bool) -> Vec<u8> {
    let state = if active { "active" } else { "terminated" };
    let made = device_of(identity);
    let mut out = Vec::with_capacity(900);
    let text = |out: &mut Vec<u8>, part: &str| out.extend_from_slice(part.as_bytes());
    text(
        &mut out,
        &format!(
            "<presence xmlns=\"{PIDF}\" xmlns:dm=\"{DATA_MODEL}\" xmlns:op=\"{OMA}\" entity=\""
        ),
    );
    escape_into(&mut out, identity);
    text(
        &mut out,
        &format!(
            "\"><tuple id=\"ims-registration\"><status/><op:registration-state>{state}</op:registration-state><contact>"
        ),
    );
    escape_into(&mut out, identity);
    text(
        &mut out,
        &format!(
            "</contact></tuple><dm:device id=\"ims-terminal\"><op:network-availability><op:network id=\"IMS\"><op:{state}/></op:network></op:network-availability><dm:deviceID>"
        ),
    );
    escape_into(&mut out, device.unwrap_or(&made));
    text(&mut out, "</dm:deviceID></dm:device></presence>");
    out
}

/// A device needs a URN (RFC 4479 §3.3), but REGISTER by a third party names no terminal: a UUID made of the identity
/// (version 8, RFC 9562 §5.8), the same for the same identity on every node.
fn device_of(identity: &str) -> String {
    // FNV-1a of 128 bits: no secret in it, only spread
    let hash = identity.bytes().fold(
        0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128,
        |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        },
    );
    let versioned = (hash & !(0xf << 76) & !(0x3 << 62)) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{versioned:032x}");
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
