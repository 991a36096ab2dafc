//! An event as it lies in the store: a mark, a checksum, the accounts, the event, and behind it what only later versions
//! know, where there is any. A version that does not know it reads the event and stops. From the accounts on it may be
//! compressed.
//!
//! A record of an earlier version is the event alone. It begins with its number, which has been above 127 in every
//! store and so has the first bit of its first byte set (postcard's varint); the marks have not.

use super::{Besides, Booked, Event};
use crate::record::encode;
use flate2::Crc;
use lz4_flex::block;
use std::borrow::Cow;

/// First byte of a record: the mark, CRC-32 of the rest, the rest.
const PLAIN: u8 = 1;
/// First byte of a compressed record: the mark, CRC-32 of what was compressed, its length (4 bytes), an LZ4 block
/// with [`WORDS`] as its dictionary.
const COMPRESSED: u8 = 2;

/// A payload above this is not compressed, and none is believed to be longer, in bytes.
const PAYLOAD_MAX: usize = 1 << 20;

/// What records have in common, whoever writes them. It is part of the format on disk: for other words another mark is
/// needed, and this one stays.
const WORDS: &[u8] = b"presence.winfo reg xcap-diff presence\
application/watcherinfo+xml application/rlmi+xml application/reginfo+xml multipart/related message/sipfrag \
application/resource-lists+xml application/simple-filter+xml application/pidf-diff+xml application/pidf+xml \
session render ;schemetype=IMEI urn:gsma:imei: urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpim-message \
urn:urn-7:3gpp-service.ims.icsi.mmtel urn:urn-7:3gpp-service.ims.icsi.presence \
aaas:// aaa:// ;transport=tcp ;transport=udp IEEE-802.11;i-wlan-node-id= 3GPP-NR-TDD;utran-cell-id-3gpp= \
3GPP-E-UTRAN-TDD;utran-cell-id-3gpp= 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp= 3GPP-NR-FDD;utran-cell-id-3gpp= \
sips:+ ;user=phone;gr= ;phone-context= tel:+ sip:+ @ims.mnc001.mcc001.3gppnetwork.org sip:";

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("its checksum does not fit")]
    Checksum,
    #[error("it cannot be read")]
    Unreadable,
}

pub fn write(event: &Event) -> Vec<u8> {
    let (booked, event) = (encode(&event.booked), write_event(event));
    let mut crc = Crc::new();
    crc.update(&booked);
    crc.update(&event);
    // as long as it has to be: the batch takes it as it is
    [&[PLAIN][..], &crc.sum().to_be_bytes(), &booked, &event].concat()
}

/// The record compressed. `None`: it is not one that [`write`] made, or it would not become shorter.
pub fn compress(record: &[u8]) -> Option<Vec<u8>> {
    let (sum, payload) = record.strip_prefix(&[PLAIN])?.split_first_chunk::<4>()?;
    if payload.len() > PAYLOAD_MAX {
        return None;
    }
    let length = u32::try_from(payload.len()).ok()?;
    let block = block::compress_with_dict(payload, WORDS);
    let compressed = [&[COMPRESSED][..], sum, &length.to_be_bytes(), &block].concat();
    (compressed.len() < record.len()).then_some(compressed)
}

pub fn read(bytes: &[u8]) -> Result<Event, Damage> {
    let Some(payload) = payload(bytes)? else {
        return read_event(bytes).ok_or(Damage::Unreadable);
    };
    let unreadable = |_| Damage::Unreadable;
    let (booked, event) = postcard::take_from_bytes::<Booked>(&payload).map_err(unreadable)?;
    let event = read_event(event).ok_or(Damage::Unreadable)?;
    Ok(Event { booked, ..event })
}

/// The accounts of a record alone, whose checksum fits.
pub fn booked(bytes: &[u8]) -> Result<Booked, Damage> {
    let Some(payload) = payload(bytes)? else {
        return read(bytes).map(|event| event.booked);
    };
    let booked = postcard::take_from_bytes::<Booked>(&payload);
    booked
        .map(|(booked, _)| booked)
        .map_err(|_| Damage::Unreadable)
}

/// Accounts and event behind a checksum that fits; `None` for a record of the earlier version, which has neither.
fn payload(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Damage> {
    let (mark, rest) = match bytes.split_first() {
        Some((mark @ (&PLAIN | &COMPRESSED), rest)) => (*mark, rest),
        _ => return Ok(None),
    };
    let (sum, rest) = rest.split_first_chunk::<4>().ok_or(Damage::Unreadable)?;
    let payload = match mark {
        PLAIN => Cow::Borrowed(rest),
        _ => Cow::Owned(decompress(rest)?),
    };
    match checksum(&payload) == *sum {
        true => Ok(Some(payload)),
        false => Err(Damage::Checksum),
    }
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, Damage> {
    let (length, block) = bytes.split_first_chunk::<4>().ok_or(Damage::Unreadable)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > PAYLOAD_MAX {
        return Err(Damage::Unreadable);
    }
    let payload = block::decompress_with_dict(block, length, WORDS);
    let payload = payload.ok().filter(|payload| payload.len() == length);
    payload.ok_or(Damage::Unreadable)
}

/// The event without its accounts.
pub(super) fn write_event(event: &Event) -> Vec<u8> {
    let mut bytes = encode(event);
    if event.besides != Besides::default() {
        bytes.extend(encode(&event.besides));
    }
    bytes
}

pub(super) fn read_event(bytes: &[u8]) -> Option<Event> {
    let (event, behind) = postcard::take_from_bytes::<Event>(bytes).ok()?;
    let besides = match behind {
        [] => Besides::default(),
        _ => postcard::from_bytes(behind).ok()?,
    };
    Some(Event { besides, ..event })
}

/// CRC-32, big-endian.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charge::{BodyFacts, Chargeable, Role};
    use crate::time::Timestamp;

    /// A SUBSCRIBE as a core sends it.
    fn subscribe(number: u64) -> Event {
        Event {
            number,
            method: Chargeable::Subscribe,
            role: Role::Terminating,
            package: Some("presence".into()),
            expires: Some(3600),
            call_id: "j6c5G0AJzzP2wnRBqWz9Kw@10.45.0.17".into(),
            calling: vec![
                "sip:alice@home1.example.net".into(),
                "tel:+15551230001".into(),
            ],
            called: "sip:bob@home1.example.net".into(),
            requested: None,
            icid: Some("AyretyU0dm+6O2IrT5tAFrbHLso=023551024".into()),
            orig_ioi: Some("home1.example.net".into()),
            term_ioi: None,
            access_network: Some("3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010019B01".into()),
            service: None,
            associated: vec!["sip:+15551230001@home1.example.net;user=phone".into()],
            requested_at: Timestamp(1_700_000_000_123),
            answered_at: Timestamp(1_700_000_000_125),
            status: 200,
            body: Some(BodyFacts {
                content_type: "application/simple-filter+xml".into(),
                length: 512,
                disposition: None,
            }),
            ccf: vec!["aaa://cdf1.home1.example.net:3868;transport=tcp".into()],
            booked: Booked {
                hour: 472_222,
                sequence: 1_000,
                notifies: 0,
            },
            besides: Besides::default(),
        }
    }

    #[test]
    fn a_compressed_record_is_shorter_and_read_as_it_was_written() {
        let event = subscribe(1 << 60);
        let plain = write(&event);
        let compressed = compress(&plain).unwrap();
        assert!(
            compressed.len() * 4 < plain.len() * 3,
            "{} of {} bytes",
            compressed.len(),
            plain.len()
        );
        for record in [&plain, &compressed] {
            assert_eq!(read(record).as_ref(), Ok(&event));
            assert_eq!(booked(record), Ok(event.booked));
        }
    }

    #[test]
    fn what_is_no_plain_record_is_not_compressed() {
        let event = subscribe(1 << 60);
        let plain = write(&event);
        let compressed = compress(&plain).unwrap();
        let long = Event {
            called: "ab".repeat(PAYLOAD_MAX),
            ..event.clone()
        };
        for (case, bytes) in [
            ("compressed already", compressed),
            ("of the earlier version", encode(&event)),
            ("nothing", Vec::new()),
            ("a mark alone", vec![PLAIN]),
            ("too long", write(&long)),
            ("too short to gain", vec![PLAIN, 1, 2, 3, 4, 5, 6]),
        ] {
            assert_eq!(compress(&bytes), None, "{case}");
        }
        assert_eq!(read(&encode(&event)).map(|event| event.number), Ok(1 << 60));
    }

    #[test]
    fn a_compressed_record_with_a_changed_or_missing_byte_is_never_another_record() {
        let event = subscribe(1 << 60);
        let compressed = compress(&write(&event)).unwrap();
        for at in 1..compressed.len() {
            assert!(read(&compressed[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut damaged = compressed.clone();
                damaged[at] ^= 1 << bit;
                // a match may name the same bytes elsewhere
                let read = read(&damaged);
                assert!(
                    read.is_err() || read.as_ref() == Ok(&event),
                    "bit {bit} of byte {at}"
                );
            }
        }
    }
}
