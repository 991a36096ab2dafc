//! An event as it lies in the store: a mark, a checksum, the accounts, the event, and behind it what only later versions
//! know, where there is any. A version that does not know it reads the event and stops.
//!
//! A record of an earlier version is the event alone. It begins with its number, which has been above 127 in every
//! store and so has the first bit of its first byte set (postcard's varint); the mark has not.

use super::{Besides, Booked, Event};
use crate::record::encode;
use flate2::Crc;

/// First byte of a record.
const MARK: u8 = 1;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("its checksum does not fit")]
    Checksum,
    #[error("it cannot be read")]
    Unreadable,
}

pub fn write(event: &Event) -> Vec<u8> {
    let mut payload = encode(&event.booked);
    payload.extend(write_event(event));
    let mut bytes = Vec::with_capacity(payload.len() + 5);
    bytes.push(MARK);
    bytes.extend_from_slice(&checksum(&payload));
    bytes.append(&mut payload);
    bytes
}

pub fn read(bytes: &[u8]) -> Result<Event, Damage> {
    let Some((&MARK, rest)) = bytes.split_first() else {
        return read_event(bytes).ok_or(Damage::Unreadable);
    };
    let (sum, payload) = rest.split_first_chunk::<4>().ok_or(Damage::Unreadable)?;
    if checksum(payload) != *sum {
        return Err(Damage::Checksum);
    }
    let unreadable = |_| Damage::Unreadable;
    let (booked, event) = postcard::take_from_bytes::<Booked>(payload).map_err(unreadable)?;
    let event = read_event(event).ok_or(Damage::Unreadable)?;
    Ok(Event { booked, ..event })
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
