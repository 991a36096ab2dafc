//! Writing: lengths and padding are put in by the writer, so that a message cannot be misframed.

use crate::avp::{Address, time};
use crate::dictionary::{Def, Kind};
use crate::fault::ResultCode;
use crate::message::{AVP_MANDATORY, AVP_VENDOR, Flags, HEADER, Header};

/// Room for what is put behind a finished message, its destination above all, in bytes.
const ROOM: usize = 256;

/// A message that became longer than the limit given to [`Writer::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {length} bytes is above the limit of {limit}")]
pub struct TooLong {
    pub length: usize,
    pub limit: usize,
}

/// A message being written, AVP after AVP.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A request that may be proxied (R and P flags), as accounting is.
    pub fn request(command: u32, application: u32) -> Writer {
        Writer::start(
            Flags::REQUEST | Flags::PROXIABLE,
            command,
            application,
            0,
            0,
        )
    }

    /// A request to the neighbour itself: CER, DWR, DPR (RFC 6733 §3: their P flag is clear).
    pub fn hop_request(command: u32, hop_by_hop: u32, end_to_end: u32) -> Writer {
        Writer::start(Flags::REQUEST, command, 0, hop_by_hop, end_to_end)
    }

    /// The answer to a request: same command, application and identifiers, same P flag (RFC 6733 §6.2).
    pub fn answer(request: &Header, result: ResultCode) -> Writer {
        let proxiable = request.flags.0 & Flags::PROXIABLE;
        // E marks protocol errors only: the message does not follow its command's grammar (RFC 6733 §7.2).
        let error = if (3_000..4_000).contains(&result.0) {
            Flags::ERROR
        } else {
            0
        };
        let Header {
            command,
            application,
            hop_by_hop,
            end_to_end,
            ..
        } = *request;
        Writer::start(
            proxiable | error,
            command,
            application,
            hop_by_hop,
            end_to_end,
        )
    }

    fn start(
        flags: u8,
        command: u32,
        application: u32,
        hop_by_hop: u32,
        end_to_end: u32,
    ) -> Writer {
        let mut bytes = Vec::with_capacity(2_048);
        let [_, a, b, c] = command.to_be_bytes();
        bytes.extend_from_slice(&[1, 0, 0, 0, flags, a, b, c]);
        bytes.extend_from_slice(&application.to_be_bytes());
        bytes.extend_from_slice(&hop_by_hop.to_be_bytes());
        bytes.extend_from_slice(&end_to_end.to_be_bytes());
        Writer { bytes }
    }

    /// Goes on behind the last AVP of a finished message.
    pub fn reopen(bytes: &[u8]) -> Writer {
        let mut copy = Vec::with_capacity(bytes.len() + ROOM);
        copy.extend_from_slice(bytes);
        Writer { bytes: copy }
    }

    /// Makes room for so many bytes beyond those of an ordinary message, and no more.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        let ordinary = self.bytes.capacity();
        self.bytes.reserve_exact(ordinary + bytes);
    }

    #[inline]
    pub fn u32(&mut self, def: &Def, value: u32) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::U32, "{}", def.name);
        self.word(def, value.to_be_bytes())
    }

    pub fn u64(&mut self, def: &Def, value: u64) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::U64, "{}", def.name);
        self.put(def, &value.to_be_bytes())
    }

    pub fn i64(&mut self, def: &Def, value: i64) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::I64, "{}", def.name);
        self.put(def, &value.to_be_bytes())
    }

    #[inline]
    pub fn i32(&mut self, def: &Def, value: i32) -> &mut Self {
        debug_assert!(
            matches!(def.kind, Kind::I32 | Kind::Enumerated),
            "{}",
            def.name
        );
        self.word(def, value.to_be_bytes())
    }

    /// UTF8String, DiameterIdentity or DiameterURI.
    #[inline]
    pub fn utf8(&mut self, def: &Def, value: &str) -> &mut Self {
        debug_assert!(
            matches!(def.kind, Kind::Utf8 | Kind::Identity | Kind::Uri),
            "{}",
            def.name
        );
        self.put(def, value.as_bytes())
    }

    pub fn octets(&mut self, def: &Def, value: &[u8]) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::Octets, "{}", def.name);
        self.put(def, value)
    }

    /// Time, from seconds since 1970.
    #[inline]
    pub fn time(&mut self, def: &Def, unix_seconds: u64) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::Time, "{}", def.name);
        self.word(def, time::to_wire(unix_seconds))
    }

    pub fn address(&mut self, def: &Def, value: &Address<'_>) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::Address, "{}", def.name);
        let at = self.open(def);
        value.write(&mut self.bytes);
        self.close(at)
    }

    /// A Grouped AVP with what `fill` writes.
    #[inline]
    pub fn group(&mut self, def: &Def, fill: impl FnOnce(&mut Writer)) -> &mut Self {
        debug_assert_eq!(def.kind, Kind::Grouped, "{}", def.name);
        let at = self.open(def);
        fill(self);
        self.close(at)
    }

    /// AVPs that are already bytes, each padded.
    pub fn raw(&mut self, avps: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(avps);
        self.pad();
        self
    }

    /// A Grouped AVP around one AVP that is already bytes, padded: Failed-AVP.
    pub fn around(&mut self, def: &Def, whole: &[u8]) -> &mut Self {
        let at = self.open(def);
        self.bytes.extend_from_slice(whole);
        self.close(at)
    }

    /// The message with its length put in.
    pub fn finish(mut self, max: usize) -> Result<Vec<u8>, TooLong> {
        let length = self.bytes.len();
        // The field has 24 bits (RFC 6733 §3); an AVP within a message within that limit fits its own 24 bits.
        if length > max || length >= 1 << 24 {
            return Err(TooLong {
                length,
                limit: max.min((1 << 24) - 1),
            });
        }
        self.put24(1, length);
        Ok(self.bytes)
    }

    /// An AVP of text or bytes, whose length is known beforehand.
    #[inline]
    fn put(&mut self, def: &Def, data: &[u8]) -> &mut Self {
        self.header(def, data.len());
        self.bytes.extend_from_slice(data);
        self.pad();
        self
    }

    /// An AVP of four bytes, which is one copy: header and value.
    #[inline]
    fn word(&mut self, def: &Def, value: [u8; 4]) -> &mut Self {
        let [p, q, r, s] = value;
        let (plain, [a, b, c, d, e, f, g, h, i, j, k, l]) = head(def, 4);
        match plain {
            true => self
                .bytes
                .extend_from_slice(&[a, b, c, d, e, f, g, h, p, q, r, s]),
            false => self
                .bytes
                .extend_from_slice(&[a, b, c, d, e, f, g, h, i, j, k, l, p, q, r, s]),
        }
        self
    }

    /// Writes the header of an AVP whose length is not known yet and returns where it stands.
    #[inline]
    fn open(&mut self, def: &Def) -> usize {
        let at = self.bytes.len();
        self.header(def, 0);
        at
    }

    /// The header of an AVP with `data` bytes. A length above 24 bits is cut here; [`Writer::finish`] then refuses
    /// the message around it.
    #[inline]
    fn header(&mut self, def: &Def, data: usize) {
        match head(def, data) {
            (true, [a, b, c, d, e, f, g, h, ..]) => {
                self.bytes.extend_from_slice(&[a, b, c, d, e, f, g, h]);
            }
            (false, all) => self.bytes.extend_from_slice(&all),
        }
    }

    /// Puts in the length, which does not count the padding (RFC 6733 §4.1), and pads.
    #[inline]
    fn close(&mut self, at: usize) -> &mut Self {
        let end = self.bytes.len();
        self.put24(at + 5, end - at);
        self.pad();
        self
    }

    /// Zeros up to the next multiple of four.
    #[inline]
    fn pad(&mut self) {
        let end = self.bytes.len().next_multiple_of(4);
        if end != self.bytes.len() {
            // four at once and too many cut off: cheaper than as many as are wanted
            self.bytes.extend_from_slice(&[0; 4]);
            self.bytes.truncate(end);
        }
    }

    #[inline]
    fn put24(&mut self, at: usize, value: usize) {
        let [.., a, b, c] = (value as u64).to_be_bytes();
        if let Some(field) = self.bytes.get_mut(at..at + 3) {
            field.copy_from_slice(&[a, b, c]);
        }
    }
}

/// The header of an AVP with `data` bytes, and whether its last four bytes, the Vendor-Id, are to be left out. Computed
/// when this is compiled wherever the AVP is a constant, but for the length.
#[inline]
fn head(def: &Def, data: usize) -> (bool, [u8; 12]) {
    let plain = def.vendor == 0;
    let mandatory = if def.mandatory { AVP_MANDATORY } else { 0 };
    let (flags, header) = match plain {
        true => (mandatory, 8),
        false => (mandatory | AVP_VENDOR, 12),
    };
    let [a, b, c, d] = def.code.to_be_bytes();
    let [.., x, y, z] = ((data + header) as u64).to_be_bytes();
    let [e, f, g, h] = def.vendor.to_be_bytes();
    (plain, [a, b, c, d, flags, x, y, z, e, f, g, h])
}

/// Changes the header of a finished message: the identifiers and the T flag are known only when it is sent.
pub fn stamp(message: &mut [u8], hop_by_hop: u32, end_to_end: u32, retransmitted: bool) {
    let Some(header) = message.first_chunk_mut::<HEADER>() else {
        return;
    };
    header[4] &= !Flags::RETRANSMITTED;
    if retransmitted {
        header[4] |= Flags::RETRANSMITTED;
    }
    header[12..16].copy_from_slice(&hop_by_hop.to_be_bytes());
    header[16..20].copy_from_slice(&end_to_end.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::*;
    use crate::message::Message;

    #[test]
    fn padding_is_outside_the_length() {
        for (text, length, size) in [("", 8, 8), ("a", 9, 12), ("abc", 11, 12), ("abcd", 12, 12)] {
            let mut writer = Writer::hop_request(CMD_DEVICE_WATCHDOG, 0, 0);
            writer.utf8(&PRODUCT_NAME, text);
            let bytes = writer.finish(100).unwrap();
            assert_eq!(
                (bytes[27], bytes.len() - HEADER),
                (length, size),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_message_above_the_limit_is_refused_not_wrapped() {
        for (text, limit, fits) in [(4, 32, true), (5, 32, false), (1 << 24, usize::MAX, false)] {
            let mut writer = Writer::hop_request(CMD_DEVICE_WATCHDOG, 0, 0);
            writer.utf8(&PRODUCT_NAME, &"x".repeat(text));
            assert_eq!(
                writer.finish(limit).is_ok(),
                fits,
                "{text} bytes under {limit}"
            );
        }
    }

    #[test]
    fn an_answer_keeps_the_identifiers_and_marks_protocol_errors() {
        let mut request = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING)
            .finish(100)
            .unwrap();
        stamp(&mut request, 5, 6, true);
        let header = Message::parse(&request).unwrap().header;
        assert!(header.flags.retransmitted());
        for (result, flags) in [
            (ResultCode::SUCCESS, 0x40),
            (ResultCode::COMMAND_UNSUPPORTED, 0x60),
        ] {
            let answer = Writer::answer(&header, result).finish(100).unwrap();
            let answer = Message::parse(&answer).unwrap().header;
            assert_eq!(
                (answer.flags.0, answer.hop_by_hop, answer.end_to_end),
                (flags, 5, 6)
            );
        }
    }
}
