//! Framing: where one message ends in a stream of bytes, decided from its first four bytes.

use crate::fault::FrameError;
use crate::message::{HEADER, be24};

/// Length of the first message in a stream of bytes, once its first four bytes are there.
///
/// RFC 6733 §3: the Message Length "indicates the length of the Diameter message including the header fields and
/// the padded AVPs. Thus, [it] is always a multiple of 4."
pub fn frame_length(stream: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    match stream.first() {
        Some(1) | None => {}
        Some(&version) => return Err(FrameError::Version(version)),
    }
    let Some([_, a, b, c]) = stream.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = be24([*a, *b, *c]);
    if length < HEADER || !length.is_multiple_of(4) {
        Err(FrameError::Length(length))
    } else if length > max {
        Err(FrameError::TooLong { length, limit: max })
    } else {
        Ok(Some(length))
    }
}

/// Bytes of one connection on their way to becoming messages.
///
/// It holds at most one unfinished message and what was pushed last. Room is made for what has come, not for what a
/// header claims, and a message leaves with the room that it took: one that is long is never held twice.
#[derive(Debug)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Where the first unread message starts.
    start: usize,
    max: usize,
}

impl Framer {
    /// For messages of at most `max` bytes.
    pub fn new(max: usize) -> Framer {
        Framer {
            bytes: Vec::new(),
            start: 0,
            max,
        }
    }

    pub fn push(&mut self, received: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        let (held, needed) = (self.bytes.len(), self.bytes.len() + received.len());
        if needed > self.bytes.capacity() {
            let claimed = frame_length(&self.bytes, self.max).ok().flatten();
            let room = needed.max(claimed.unwrap_or(needed).min(2 * held));
            self.bytes.reserve_exact(room - held);
        }
        self.bytes.extend_from_slice(received);
    }

    /// The next whole message. After an error nothing more can be read from this connection.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let rest = self.rest();
        let Some(length) = frame_length(rest, self.max)?.filter(|length| *length <= rest.len())
        else {
            return Ok(None);
        };
        if self.start == 0 && length >= self.bytes.len() / 2 {
            let rest = self.bytes.split_off(length);
            return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
        }
        let message = rest.get(..length).map(<[u8]>::to_vec);
        self.start += length;
        Ok(message)
    }

    /// What stands where the next message should begin: after an error, the header at fault.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 65_536;

    fn start(version: u8, length: u32) -> Vec<u8> {
        let [_, a, b, c] = length.to_be_bytes();
        vec![version, a, b, c]
    }

    #[test]
    fn the_frame_is_found_or_refused() {
        for (case, stream, expected) in [
            ("nothing yet", vec![], Ok(None)),
            ("half a length", vec![1, 0, 0], Ok(None)),
            ("a header alone", start(1, 20), Ok(Some(20))),
            ("length zero", start(1, 0), Err(FrameError::Length(0))),
            (
                "one word under the header",
                start(1, 16),
                Err(FrameError::Length(16)),
            ),
            (
                "no multiple of four",
                start(1, 22),
                Err(FrameError::Length(22)),
            ),
            ("the limit itself", start(1, MAX as u32), Ok(Some(MAX))),
            (
                "one word above the limit",
                start(1, MAX as u32 + 4),
                Err(FrameError::TooLong {
                    length: MAX + 4,
                    limit: MAX,
                }),
            ),
            (
                "the next version",
                start(2, 20),
                Err(FrameError::Version(2)),
            ),
            (
                "another protocol",
                b"GET / HTTP".to_vec(),
                Err(FrameError::Version(b'G')),
            ),
        ] {
            assert_eq!(frame_length(&stream, MAX), expected, "{case}");
        }
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let one = [start(1, 20), vec![7; 16]].concat();
        let stream = [one.clone(), one.clone(), one[..10].to_vec()].concat();
        for step in 1..stream.len() {
            let mut framer = Framer::new(MAX);
            let mut seen = 0;
            for chunk in stream.chunks(step) {
                framer.push(chunk);
                while let Ok(Some(message)) = framer.next_message() {
                    assert_eq!(message, one);
                    seen += 1;
                }
            }
            assert_eq!((seen, framer.rest()), (2, &one[..10]), "chunks of {step}");
        }
    }

    #[test]
    fn an_error_stays() {
        let mut framer = Framer::new(MAX);
        framer.push(&start(1, 3));
        assert!(framer.next_message().is_err() && framer.next_message().is_err());
    }
}
