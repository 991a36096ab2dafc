//! Reading: bytes become a message only after every length in it has been checked.
//!
//! Nothing is copied and nothing panics; what the bytes claim is believed only as far as the bytes go.

use crate::dictionary::{self, Def, Kind};
use crate::fault::{Fault, ResultCode};
use crate::frame::frame_length;
use crate::vocabulary::Vocabulary;

/// Bytes of a message header (RFC 6733 §3).
pub const HEADER: usize = 20;

/// Deepest nesting of Grouped AVPs that is read. The deepest that charging defines is 5.
pub const DEPTH_MAX: u8 = 8;

/// Command flags (RFC 6733 §3). Reserved bits are ignored when read and never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    pub const REQUEST: u8 = 0x80;
    pub const PROXIABLE: u8 = 0x40;
    pub const ERROR: u8 = 0x20;
    /// T: potentially retransmitted.
    pub const RETRANSMITTED: u8 = 0x10;

    pub fn request(self) -> bool {
        self.0 & Flags::REQUEST != 0
    }
    pub fn proxiable(self) -> bool {
        self.0 & Flags::PROXIABLE != 0
    }
    pub fn error(self) -> bool {
        self.0 & Flags::ERROR != 0
    }
    pub fn retransmitted(self) -> bool {
        self.0 & Flags::RETRANSMITTED != 0
    }
}

/// The header, without version and length, which are checked and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub flags: Flags,
    pub command: u32,
    pub application: u32,
    /// Matches an answer to its request on one connection.
    pub hop_by_hop: u32,
    /// Recognises a duplicate across connections.
    pub end_to_end: u32,
}

impl Header {
    /// The header alone; the AVPs may still be anything. `None` when there are fewer than 20 bytes.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let head: &[u8; HEADER] = bytes.first_chunk()?;
        Some(Header {
            flags: Flags(head[4]),
            command: be24([head[5], head[6], head[7]]) as u32,
            application: be32([head[8], head[9], head[10], head[11]]),
            hop_by_hop: be32([head[12], head[13], head[14], head[15]]),
            end_to_end: be32([head[16], head[17], head[18], head[19]]),
        })
    }
}

/// One message whose structure has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub header: Header,
    body: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Message<'a> {
    /// Checks one framed message. A fault carries the Result-Code and Failed-AVP for the answer.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Fault> {
        let wrong_length = || Fault::new(ResultCode::INVALID_MESSAGE_LENGTH);
        if frame_length(bytes, usize::MAX) != Ok(Some(bytes.len())) {
            return Err(wrong_length());
        }
        let header = Header::read(bytes).ok_or_else(wrong_length)?;
        let body = bytes.get(HEADER..).ok_or_else(wrong_length)?;
        // "This bit [E] MUST NOT be set in request messages" (§3); "3008: ... an invalid combination" (§7.1.3).
        if header.flags.request() && header.flags.error() {
            return Err(Fault::new(ResultCode::INVALID_HDR_BITS));
        }
        check(body, 1)?;
        Ok(Message {
            header,
            body,
            whole: bytes,
        })
    }

    /// What can be read of a request that [`Message::parse`] refuses: the AVPs before its fault. "If a Session-Id is
    /// present in the request, it MUST be included in the answer" (RFC 6733 §6.2), and it stands first.
    pub(crate) fn remains(bytes: &'a [u8]) -> Option<Message<'a>> {
        Some(Message {
            header: Header::read(bytes)?,
            body: bytes.get(HEADER..)?,
            whole: bytes,
        })
    }

    pub fn avps(&self) -> Avps<'a> {
        Avps { rest: self.body }
    }

    /// The bytes that were parsed, reserved bits as they came.
    pub fn to_vec(&self) -> Vec<u8> {
        self.whole.to_vec()
    }

    /// The first AVP of this definition at the top level.
    pub fn find(&self, def: &Def) -> Option<Avp<'a>> {
        self.avps().find_def(def)
    }

    /// The first AVP that has the M flag and that this node does not know, at any depth of known groups.
    /// RFC 6733 §4.1: such a request is refused with DIAMETER_AVP_UNSUPPORTED.
    /// `extra` are those that the operator has made known.
    pub fn unknown_mandatory(&self, extra: &Vocabulary) -> Option<Avp<'a>> {
        unknown_mandatory(self.avps(), extra, 1)
    }
}

fn unknown_mandatory<'a>(avps: Avps<'a>, extra: &Vocabulary, depth: u8) -> Option<Avp<'a>> {
    for avp in avps {
        match avp.def() {
            None if avp.mandatory() && extra.of_operator(avp.vendor, avp.code).is_none() => {
                return Some(avp);
            }
            Some(def) if descends(def) && depth < DEPTH_MAX => {
                let inner = unknown_mandatory(avp.group(), extra, depth + 1);
                if inner.is_some() {
                    return inner;
                }
            }
            _ => {}
        }
    }
    None
}

/// One AVP inside a checked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avp<'a> {
    pub code: u32,
    /// Vendor-Id; 0 without the V flag.
    pub vendor: u32,
    pub(crate) flags: u8,
    pub data: &'a [u8],
    /// Header, data and padding.
    pub whole: &'a [u8],
}

/// AVP flags (RFC 6733 §4.1).
pub(crate) const AVP_VENDOR: u8 = 0x80;
pub(crate) const AVP_MANDATORY: u8 = 0x40;

impl<'a> Avp<'a> {
    pub fn mandatory(&self) -> bool {
        self.flags & AVP_MANDATORY != 0
    }

    /// What this AVP is, when the dictionary has it.
    #[inline]
    pub fn def(&self) -> Option<&'static Def> {
        dictionary::lookup(self.vendor, self.code)
    }

    /// Whether lengths fit at every depth: always so in a message that was parsed, and not in the remains of one.
    pub(crate) fn is_sound(&self) -> bool {
        check(self.whole, 1).is_ok()
    }

    pub fn is(&self, def: &Def) -> bool {
        self.code == def.code && self.vendor == def.vendor
    }

    /// The AVPs inside a Grouped AVP. Of anything else, whatever can be read as AVPs.
    pub fn group(&self) -> Avps<'a> {
        Avps { rest: self.data }
    }
}

/// AVPs one after another. Ends at the first that does not fit, which a checked message does not have.
#[derive(Clone, Copy, Debug)]
pub struct Avps<'a> {
    rest: &'a [u8],
}

impl<'a> Avps<'a> {
    /// About how many there are, for what is to hold them: most AVPs of charging have 20 bytes or more.
    pub(crate) fn likely(&self) -> usize {
        (self.rest.len() / 24).min(20)
    }

    /// The first AVP of this definition from here on.
    pub fn find_def(mut self, def: &Def) -> Option<Avp<'a>> {
        self.find(|avp| avp.is(def))
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Avp<'a>;

    #[inline]
    fn next(&mut self) -> Option<Avp<'a>> {
        let (avp, rest) = split(self.rest)?;
        self.rest = rest;
        Some(avp)
    }
}

/// The first AVP and what follows it; `None` at the end, or where lengths do not fit.
///
/// The padding of the last AVP in a group may be missing: some peers leave it out, and no byte depends on it.
#[inline(always)] // every AVP of every message passes here, and what it returns is large
fn split(bytes: &[u8]) -> Option<(Avp<'_>, &[u8])> {
    let head: &[u8; 8] = bytes.first_chunk()?;
    let flags = head[4];
    let length = be24([head[5], head[6], head[7]]);
    let (vendor, start) = if flags & AVP_VENDOR != 0 {
        let vendor = bytes.get(8..12)?;
        (be32([vendor[0], vendor[1], vendor[2], vendor[3]]), 12)
    } else {
        (0, 8)
    };
    let data = bytes.get(start..length)?;
    let padded = length.next_multiple_of(4).min(bytes.len());
    let (whole, rest) = bytes.split_at_checked(padded)?;
    let code = be32([head[0], head[1], head[2], head[3]]);
    Some((
        Avp {
            code,
            vendor,
            flags,
            data,
            whole,
        },
        rest,
    ))
}

/// Checks the AVPs of one level and, through known groups, of the levels below.
fn check(bytes: &[u8], depth: u8) -> Result<(), Fault> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((avp, after)) = split(rest) else {
            return Err(unreadable(rest));
        };
        rest = after;
        let Some(def) = avp.def() else { continue };
        if !length_fits(def.kind, avp.data.len()) {
            return Err(Fault::with(
                ResultCode::INVALID_AVP_LENGTH,
                &zeroed(avp.whole, def.kind.least()),
            ));
        }
        if descends(def) {
            if depth >= DEPTH_MAX {
                return Err(Fault::new(ResultCode::UNABLE_TO_COMPLY));
            }
            check(avp.data, depth + 1)?;
        }
    }
    Ok(())
}

/// Failed-AVP holds what was wrong in another message, so it need not be right itself (RFC 6733 §7.5).
fn descends(def: &Def) -> bool {
    def.kind == Kind::Grouped && *def != dictionary::FAILED_AVP
}

/// Whether `length` bytes of data can be of this format (RFC 6733 §4.2, §4.3.1).
fn length_fits(kind: Kind, length: usize) -> bool {
    match kind {
        Kind::U32 | Kind::I32 | Kind::Enumerated | Kind::Time => length == 4,
        Kind::U64 | Kind::I64 => length == 8,
        Kind::Address => length >= 2,
        Kind::Octets | Kind::Utf8 | Kind::Identity | Kind::Uri | Kind::Grouped => true,
    }
}

/// The fault of an AVP whose length runs past its message or does not cover its own header.
fn unreadable(bytes: &[u8]) -> Fault {
    let code = bytes.first_chunk::<4>().map_or(0, |c| be32(*c));
    let vendor = match (bytes.get(4), bytes.get(8..12)) {
        (Some(flags), Some(v)) if flags & AVP_VENDOR != 0 => be32([v[0], v[1], v[2], v[3]]),
        _ => 0,
    };
    let payload = dictionary::lookup(vendor, code).map_or(0, |def| def.kind.least());
    Fault::with(ResultCode::INVALID_AVP_LENGTH, &zeroed(bytes, payload))
}

/// RFC 6733 §7.1.5, 5014: "it is sufficient to include the offending AVP header and a zero filled payload of the
/// minimum required length for the payload data type".
fn zeroed(bytes: &[u8], payload: usize) -> Vec<u8> {
    let header = if bytes.get(4).is_some_and(|flags| flags & AVP_VENDOR != 0) {
        12
    } else {
        8
    };
    let mut avp: Vec<u8> = bytes.iter().copied().take(header).collect();
    avp.resize(header, 0);
    avp.resize(header + payload, 0);
    let [_, a, b, c] = ((header + payload) as u32).to_be_bytes();
    avp[5..8].copy_from_slice(&[a, b, c]);
    avp.resize(avp.len().next_multiple_of(4), 0);
    avp
}

pub(crate) fn be24([a, b, c]: [u8; 3]) -> usize {
    (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c)
}

fn be32(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::*;
    use crate::write::Writer;

    const MAX: usize = 65_536;

    /// A DWR with these bytes as its AVPs.
    fn with_body(body: &[u8]) -> Vec<u8> {
        let length = (HEADER + body.len()) as u32;
        let mut bytes = vec![1];
        bytes.extend(&length.to_be_bytes()[1..]);
        bytes.extend([0x80, 0, 1, 24, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut writer = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
        writer
            .utf8(&SESSION_ID, "ps;1;2")
            .group(&SERVICE_INFORMATION, |w| {
                w.group(&IMS_INFORMATION, |w| {
                    w.u32(&EXPIRES, 3600).utf8(&CALLED_PARTY_ADDRESS, "tel:+1");
                });
            });
        let bytes = writer.finish(MAX).unwrap();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            (message.header.command, message.header.application),
            (271, 3)
        );
        assert!(message.header.flags.request() && message.header.flags.proxiable());
        let ims = message
            .find(&SERVICE_INFORMATION)
            .unwrap()
            .group()
            .find_def(&IMS_INFORMATION)
            .unwrap();
        let inner: Vec<_> = ims
            .group()
            .map(|avp| (avp.def().unwrap().name, avp.data))
            .collect();
        assert_eq!(
            inner,
            [
                ("Expires", &[0, 0, 14, 16][..]),
                ("Called-Party-Address", b"tel:+1")
            ]
        );
    }

    #[test]
    fn every_wrong_length_is_refused_with_the_avp_at_fault() {
        for (case, body, failed) in [
            (
                "an AVP shorter than its header",
                vec![0, 0, 1, 8, 64, 0, 0, 7],
                vec![0, 0, 1, 8, 64, 0, 0, 8],
            ),
            (
                "an AVP of length zero",
                vec![0, 0, 1, 8, 64, 0, 0, 0],
                vec![0, 0, 1, 8, 64, 0, 0, 8],
            ),
            (
                "an AVP longer than the message",
                vec![0, 0, 1, 8, 64, 0, 1, 0],
                vec![0, 0, 1, 8, 64, 0, 0, 8],
            ),
            (
                "half an AVP header",
                vec![0, 0, 1, 8],
                vec![0, 0, 1, 8, 0, 0, 0, 8],
            ),
            (
                "a vendor AVP without room for its vendor",
                vec![0, 0, 3, 57, 192, 0, 0, 8],
                vec![0, 0, 3, 57, 192, 0, 0, 12, 0, 0, 0, 0],
            ),
            (
                "an Unsigned32 of five bytes",
                vec![0, 0, 1, 22, 64, 0, 0, 13, 1, 2, 3, 4, 5, 0, 0, 0],
                vec![0, 0, 1, 22, 64, 0, 0, 12, 0, 0, 0, 0],
            ),
            (
                "an Unsigned32 of eight bytes",
                vec![0, 0, 1, 22, 64, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1],
                vec![0, 0, 1, 22, 64, 0, 0, 12, 0, 0, 0, 0],
            ),
            (
                "an Address without a family",
                vec![0, 0, 1, 1, 64, 0, 0, 9, 1, 0, 0, 0],
                vec![0, 0, 1, 1, 64, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                "inside a group",
                vec![0, 0, 1, 41, 64, 0, 0, 16, 0, 0, 1, 42, 64, 0, 0, 99],
                vec![0, 0, 1, 42, 64, 0, 0, 12, 0, 0, 0, 0],
            ),
        ] {
            let fault = Message::parse(&with_body(&body)).unwrap_err();
            assert_eq!(fault.result, ResultCode::INVALID_AVP_LENGTH, "{case}");
            assert_eq!(fault.failed, failed, "{case}");
        }
    }

    #[test]
    fn what_surrounds_the_avps_is_checked_too() {
        let good = with_body(&[]);
        assert!(Message::parse(&good).is_ok());
        let mut error = good.clone();
        error[4] |= Flags::ERROR;
        let longer = [good.clone(), vec![0; 4]].concat();
        for (case, bytes, result) in [
            ("no bytes", vec![], ResultCode::INVALID_MESSAGE_LENGTH),
            (
                "cut off",
                good[..19].to_vec(),
                ResultCode::INVALID_MESSAGE_LENGTH,
            ),
            (
                "more than it says",
                longer,
                ResultCode::INVALID_MESSAGE_LENGTH,
            ),
            ("a request with E", error, ResultCode::INVALID_HDR_BITS),
        ] {
            assert_eq!(Message::parse(&bytes).unwrap_err().result, result, "{case}");
        }
    }

    /// `depth` Service-Information AVPs, each inside the other.
    fn nested(depth: usize) -> Vec<u8> {
        let mut body = Vec::new();
        for level in 0..depth {
            let [_, a, b, c] = ((level as u32 + 1) * 12).to_be_bytes();
            body.splice(0..0, [0, 0, 3, 105, 192, a, b, c, 0, 0, 40, 175]);
        }
        with_body(&body)
    }

    #[test]
    fn nesting_is_followed_to_its_limit_only() {
        for (depth, refused) in [(1, false), (7, false), (8, true), (5_000, true)] {
            assert_eq!(
                Message::parse(&nested(depth)).is_err(),
                refused,
                "{depth} groups"
            );
        }
    }

    #[test]
    fn unknown_avps_are_passed_over_unless_they_are_mandatory() {
        let avp = |flags: u8| [vec![0, 0, 255, 255, flags, 0, 0, 9, 5, 0, 0, 0]].concat();
        let grouped = [vec![0, 0, 1, 41, 64, 0, 0, 20], avp(64)].concat();
        for (case, body, refused) in [
            ("without M", avp(0), false),
            ("with M", avp(64), true),
            ("with M in a known group", grouped, true),
            (
                "an unknown group that holds M",
                [vec![0, 0, 255, 254, 0, 0, 0, 20], avp(64)].concat(),
                false,
            ),
        ] {
            let bytes = with_body(&body);
            let message = Message::parse(&bytes).unwrap();
            assert_eq!(
                message.unknown_mandatory(&Vocabulary::default()).is_some(),
                refused,
                "{case}"
            );
        }
    }

    #[test]
    fn a_failed_avp_may_hold_what_failed() {
        let body = [0, 0, 1, 23, 64, 0, 0, 16, 0, 0, 1, 8, 64, 0, 0, 3];
        assert!(Message::parse(&with_body(&body)).is_ok());
    }

    #[test]
    fn missing_padding_at_the_end_of_a_group_is_forgiven() {
        let body = [
            0, 0, 1, 41, 64, 0, 0, 17, 0, 0, 1, 25, 0, 0, 0, 9, b'x', 0, 0, 0,
        ];
        let bytes = with_body(&body);
        let group = Message::parse(&bytes)
            .unwrap()
            .find(&EXPERIMENTAL_RESULT)
            .unwrap()
            .group();
        assert_eq!(group.map(|avp| avp.data).collect::<Vec<_>>(), [b"x"]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(body: Vec<u8>) {
            let mut padded = body;
            padded.resize(padded.len().next_multiple_of(4), 0);
            let bytes = with_body(&padded);
            if let Ok(message) = Message::parse(&bytes) {
                let read: usize = message.avps().map(|avp| avp.whole.len()).sum();
                proptest::prop_assert_eq!(read, padded.len());
                message.unknown_mandatory(&Vocabulary::default());
            }
        }
    }
}
