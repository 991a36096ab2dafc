//! Messages out of a byte stream, RFC 3261 §18.3, with the keep-alive of RFC 5626 §3.5.1.

use super::flow::Flow;
use super::limits::Limits;
use super::message::{Incoming, Malformed};
use super::name::Name;
use super::parse::{Framing, parse};
use super::text::number;
use bytes::Bytes;

/// What a stream gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of one message, for [`super::parse()`] with [`super::Framing::Stream`].
    Message(Vec<u8>),
    /// Double CRLF between messages: answer with one CRLF.
    Ping,
}

/// Why a stream cannot go on. Whatever follows cannot be told apart from the message, so the connection is
/// closed; `head` is the header part as far as it is known, to answer from, and `status` the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    pub status: u16,
    pub reason: &'static str,
    pub head: Vec<u8>,
}

impl Broken {
    /// The answer to send before the connection is closed; `None` when there may be none.
    pub fn answer(mut self, flow: &Flow, limits: &Limits) -> Option<Bytes> {
        let (status, reason) = (self.status, self.reason);
        let bad = match parse(&mut self.head, Framing::Stream, limits) {
            Incoming::Malformed(bad) => Malformed {
                status,
                reason,
                ..bad
            },
            Incoming::Request(req) => Malformed {
                status,
                reason,
                method: Some(req.method),
                headers: req.headers,
                via: Some(req.via),
            },
            Incoming::Response(_) | Incoming::KeepAlive | Incoming::Ignored(_) => return None,
        };
        bad.answer(flow).map(|(_, bytes)| bytes)
    }
}

/// Cuts a stream into messages. Holds at most one message and what was read beyond it.
#[derive(Debug)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Octets at the start of `buffer` already given out.
    taken: usize,
    /// Octets after `taken` already searched for the end of the header part.
    searched: usize,
    /// Length of the message being read, once its header part is complete.
    expected: Option<usize>,
    limits: Limits,
    broken: bool,
}

/// What stands where a message should start.
enum Start {
    Ping,
    /// Line ends that may be half a ping, or nothing.
    Undecided,
    Message,
}

impl StreamFramer {
    pub fn new(limits: Limits) -> StreamFramer {
        StreamFramer {
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
            expected: None,
            limits,
            broken: false,
        }
    }

    /// Adds what was read. Take every message before adding more: the buffer grows by what is added.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message or ping, if it is complete.
    pub fn take(&mut self) -> Result<Option<Frame>, Broken> {
        if self.broken {
            return Ok(None);
        }
        match self.start() {
            Start::Ping => return Ok(Some(Frame::Ping)),
            Start::Undecided => return Ok(None),
            Start::Message => {}
        }
        if self.expected.is_none() {
            self.expected = self.find_length()?;
        }
        let Some(expected) = self.expected.filter(|e| *e <= self.len()) else {
            return Ok(None);
        };
        let message = self.data().get(..expected).unwrap_or(&[]).to_vec();
        self.taken += expected;
        self.searched = 0;
        self.expected = None;
        Ok(Some(Frame::Message(message)))
    }

    fn data(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or(&[])
    }

    /// Length of the message at the start, when its header part is there.
    fn find_length(&mut self) -> Result<Option<usize>, Broken> {
        let data = self.data();
        let from = self.searched.saturating_sub(3);
        let found = memchr::memmem::find(data.get(from..).unwrap_or(&[]), b"\r\n\r\n")
            .map(|at| from + at + 4);
        let Some(head) = found else {
            self.searched = data.len();
            if self.searched > self.limits.max_message {
                return Err(self.fail(513, "Message Too Large", None));
            }
            return Ok(None);
        };
        match content_length(data.get(..head).unwrap_or(&[])) {
            Err(reason) => Err(self.fail(400, reason, Some(head))),
            Ok(body) => match head
                .checked_add(body)
                .filter(|t| *t <= self.limits.max_message)
            {
                None => Err(self.fail(513, "Message Too Large", Some(head))),
                total => Ok(total),
            },
        }
    }

    /// Octets held.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.taken
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Passes over line ends before a start-line: a double CRLF is a ping, a single one a pong or the
    /// harmless padding of §7.5.
    fn start(&mut self) -> Start {
        if self.searched > 0 {
            return Start::Message;
        }
        loop {
            match self.data() {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.taken += 4;
                    return Start::Ping;
                }
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Start::Undecided,
                [b'\r', b'\n', ..] => self.taken += 2,
                [b'\n', ..] => self.taken += 1,
                _ => return Start::Message,
            }
        }
    }

    fn fail(&mut self, status: u16, reason: &'static str, head: Option<usize>) -> Broken {
        self.broken = true;
        let data = self.data();
        let head = data
            .get(..head.unwrap_or(data.len()).min(self.limits.max_message))
            .unwrap_or(&[])
            .to_vec();
        self.buffer = Vec::new();
        self.taken = 0;
        Broken {
            status,
            reason,
            head,
        }
    }
}

/// Content-Length of a header part; exactly one, a number, folded or not, full or compact.
fn content_length(head: &[u8]) -> Result<usize, &'static str> {
    let mut found = None;
    let mut rest = head;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let mut line_end = end;
        // A folded value continues on the next line.
        while let Some(b' ' | b'\t') = rest.get(line_end + 1) {
            match memchr::memchr(b'\n', rest.get(line_end + 1..).unwrap_or(&[])) {
                Some(next) => line_end += 1 + next,
                None => break,
            }
        }
        let (line, tail) = rest.split_at(line_end + 1);
        rest = tail;
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = std::str::from_utf8(name)
            .unwrap_or("")
            .trim_end_matches([' ', '\t']);
        if Name::parse(name) != Name::ContentLength {
            continue;
        }
        let value = std::str::from_utf8(value.get(1..).unwrap_or(&[])).unwrap_or("");
        let value = value.trim_matches([' ', '\t', '\r', '\n']);
        let length = number::<usize>(value).ok_or("Bad Content-Length")?;
        if found.replace(length).is_some() {
            return Err("Repeated Content-Length");
        }
    }
    found.ok_or("Missing Content-Length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    const A: &[u8] =
        b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP b;branch=z9hG4bK1\r\nl: 3\r\n\r\nabc";
    const B: &[u8] = b"OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/TCP b;branch=z9hG4bK2\r\nContent-Length :\r\n 0\r\n\r\n";

    fn read(chunks: &[&[u8]]) -> Result<Vec<Frame>, Broken> {
        let mut framer = StreamFramer::new(Limits {
            max_message: 200,
            ..Limits::default()
        });
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            while let Some(frame) = framer.take()? {
                frames.push(frame);
            }
        }
        assert!(framer.len() <= 3, "nothing but line ends is left");
        Ok(frames)
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let stream = [b"\r\n\r\n", A, b"\r\n", B, b"\r\n\r\n\r\n\r\n", A, b"\r\n"].concat();
        let message = |m: &[u8]| Frame::Message(m.to_vec());
        let want = vec![
            Frame::Ping,
            message(A),
            message(B),
            Frame::Ping,
            Frame::Ping,
            message(A),
        ];
        assert_eq!(read(&[&stream]).as_ref(), Ok(&want));
        for cut in 1..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(read(&[head, tail]).as_ref(), Ok(&want), "cut at {cut}");
        }
        let octets: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&octets).as_ref(), Ok(&want), "octet by octet");
    }

    #[test]
    fn a_stream_that_cannot_go_on_is_answered_and_left() {
        let head = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP b;branch=z9hG4bK1\r\n";
        let long = format!("{head}X: {}", "x".repeat(200));
        for (case, text, status) in [
            ("no length", format!("{head}\r\n"), 400),
            (
                "two lengths",
                format!("{head}l: 1\r\nContent-Length: 1\r\n\r\na"),
                400,
            ),
            ("no number", format!("{head}l: x\r\n\r\n"), 400),
            ("negative", format!("{head}l: -1\r\n\r\n"), 400),
            ("too large", format!("{head}l: 200\r\n\r\n"), 513),
            (
                "overflow",
                format!("{head}l: 18446744073709551615\r\n\r\n"),
                400,
            ),
            ("endless header part", long, 513),
        ] {
            let mut framer = StreamFramer::new(Limits {
                max_message: 200,
                ..Limits::default()
            });
            framer.push(text.as_bytes());
            let Err(broken) = framer.take() else {
                panic!("{case}")
            };
            assert_eq!(broken.status, status, "{case}");
            assert_eq!(framer.take(), Ok(None), "{case}: nothing more comes");
            framer.push(A);
            assert_eq!(
                (framer.take(), framer.len()),
                (Ok(None), 0),
                "{case}: nothing more is kept"
            );
            let end = std::net::SocketAddr::from(([10, 0, 0, 1], 5060));
            let flow = Flow {
                transport: Transport::Tcp,
                local: end,
                remote: end,
                connection: 1,
            };
            let answer = broken.answer(&flow, &Limits::default()).unwrap_or_default();
            assert!(
                answer.starts_with(format!("SIP/2.0 {status} ").as_bytes()),
                "{case}"
            );
        }
    }
}
