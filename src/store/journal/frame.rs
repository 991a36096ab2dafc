//! Frames: the bytes of one group of changes, with what is needed to tell a whole frame from anything else.
//!
//! ```text
//! magic 4 | length of the payload u32 | CRC-32 of number and payload u32 | number u64 | payload
//! payload: changes, each  table u8 (+ 0x80 for a deletion) | key length | value length (puts only) | key | value
//! ```
//! Integers are little-endian, the lengths of a change are LEB128.

use ims::record::{Op, Table};

/// Starts every frame; no byte of it is ASCII text, so that it is rare inside records.
const MAGIC: [u8; 4] = [0xf7, 0x1a, 0x93, 0xe4];

/// Bytes before the payload.
pub(super) const HEAD: usize = 20;

/// Longest payload: a full group of the committer and what compaction adds to it, with room.
pub(super) const PAYLOAD_MAX: usize = 256 << 20;

const DELETION: u8 = 0x80;

/// A frame under construction.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts a new frame, keeping the memory of the last one.
    pub(super) fn start(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEAD, 0);
    }

    /// Adds a put; returns where in the frame its value begins.
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> usize {
        self.bytes.push(table as u8);
        self.length(key.len());
        self.length(value.len());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.bytes.len() - value.len()
    }

    pub(super) fn delete(&mut self, table: Table, key: &[u8]) {
        self.bytes.push(table as u8 | DELETION);
        self.length(key.len());
        self.bytes.extend_from_slice(key);
    }

    /// Adds a change of a batch; returns where its value begins when it is a put.
    pub(super) fn change(&mut self, op: &Op) -> Option<usize> {
        match op {
            Op::Put { table, key, value } => Some(self.put(*table, key, value)),
            Op::Delete { table, key } => {
                self.delete(*table, key);
                None
            }
        }
    }

    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.bytes.push(length as u8 | 0x80); // the low seven bits, and more to come
            length >>= 7;
        }
        self.bytes.push(length as u8);
    }

    /// Length so far, head included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished frame.
    pub(super) fn finish(&mut self, number: u64) -> &[u8] {
        let length = (self.bytes.len() - HEAD) as u32; // the engine keeps frames below PAYLOAD_MAX
        self.bytes[12..HEAD].copy_from_slice(&number.to_le_bytes());
        let crc = crc32fast::hash(&self.bytes[12..]);
        self.bytes[..4].copy_from_slice(&MAGIC);
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

/// A whole frame found in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`; `None` when there is none, or not the whole of it.
    pub(super) fn at_start(bytes: &'a [u8]) -> Option<Frame<'a>> {
        let length = payload_length(bytes)?;
        let checked = bytes.get(12..HEAD + length)?;
        let crc = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
        if crc32fast::hash(checked) != crc {
            return None;
        }
        let (number, payload) = checked.split_at_checked(8)?;
        Some(Frame {
            number: u64::from_le_bytes(number.try_into().ok()?),
            payload,
        })
    }

    /// Length of the frame, head included.
    pub(super) fn len(&self) -> usize {
        HEAD + self.payload.len()
    }

    pub(super) fn changes(&self) -> Changes<'a> {
        Changes {
            payload: self.payload,
            at: 0,
        }
    }
}

/// Length of the payload that a head announces; `None` when it is no head.
pub(super) fn payload_length(head: &[u8]) -> Option<usize> {
    if head.get(..4)? != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?) as usize;
    (length <= PAYLOAD_MAX).then_some(length)
}

/// Whether any whole frame with a number above `after` begins somewhere in `bytes`.
pub(super) fn any_later(bytes: &[u8], after: u64) -> bool {
    let starts = bytes
        .windows(MAGIC.len())
        .enumerate()
        .filter(|(_, window)| *window == MAGIC);
    let mut frames = starts.filter_map(|(at, _)| Frame::at_start(&bytes[at..]));
    frames.any(|frame| frame.number > after)
}

/// A change read from a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) table: Table,
    pub(super) key: &'a [u8],
    /// Absent for a deletion.
    pub(super) value: Option<&'a [u8]>,
    /// Where in the frame the value begins.
    pub(super) value_at: usize,
}

/// The changes of a frame in order. A payload that is not made of changes gives `Err` once and ends.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    payload: &'a [u8],
    at: usize,
}

/// A checked frame holds something that this program did not write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAChange;

impl<'a> Changes<'a> {
    fn read(&mut self) -> Option<Change<'a>> {
        let kind = self.take(1)?[0];
        let table = Table::ALL
            .into_iter()
            .find(|table| *table as u8 == kind & !DELETION)?;
        let is_put = kind & DELETION == 0;
        let key_length = self.length()?;
        let value_length = if is_put { self.length()? } else { 0 };
        let key = self.take(key_length)?;
        let value_at = HEAD + self.at;
        let value = self.take(value_length)?;
        Some(Change {
            table,
            key,
            value: is_put.then_some(value),
            value_at,
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.payload.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0usize;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>, NotAChange>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let change = self.read().ok_or(NotAChange);
        if change.is_err() {
            self.at = self.payload.len();
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = (Table, Vec<u8>, Option<Vec<u8>>);

    fn frame(number: u64, changes: &[Row]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.start();
        for (table, key, value) in changes {
            match value {
                Some(value) => {
                    writer.put(*table, key, value);
                }
                None => writer.delete(*table, key),
            }
        }
        writer.finish(number).to_vec()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(changes in proptest::collection::vec(
            ((0..Table::ALL.len()).prop_map(|at| Table::ALL[at]),
             proptest::collection::vec(any::<u8>(), 0..300),
             proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20_000))), 0..6),
            number in any::<u64>(), tail in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = frame(number, &changes);
            let length = bytes.len();
            bytes.extend(tail);
            let read = Frame::at_start(&bytes).unwrap();
            prop_assert_eq!((read.number, read.len()), (number, length));
            let found: Vec<_> = read.changes().map(|change| {
                let change = change.unwrap();
                if let Some(value) = change.value {
                    assert_eq!(&bytes[change.value_at..change.value_at + value.len()], value);
                }
                (change.table, change.key.to_vec(), change.value.map(<[u8]>::to_vec))
            }).collect();
            prop_assert_eq!(found, changes);
        }

        #[test]
        fn a_changed_byte_makes_it_no_frame(at in 0usize..60, bit in 0u8..8) {
            let mut bytes = frame(7, &[(Table::Body, vec![1; 10], Some(vec![2; 25]))]);
            let length = bytes.len();
            bytes[at % length] ^= 1 << bit;
            prop_assert_eq!(Frame::at_start(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_harm(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            let changes: Vec<_> = Frame { number: 1, payload: &payload }.changes().collect();
            prop_assert!(changes.len() <= payload.len());
        }
    }

    #[test]
    fn a_later_frame_is_found_behind_garbage() {
        let mut bytes = vec![0xf7; 9];
        bytes.extend(frame(8, &[]));
        assert!(any_later(&bytes, 7));
        assert!(!any_later(&bytes, 8), "the same frame again is not later");
        bytes.pop();
        assert!(!any_later(&bytes, 7), "half a frame is none");
    }
}
