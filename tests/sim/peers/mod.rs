//! The peers of the server: presence sources, watchers and the S-CSCF, each a small machine of its own.

pub mod home;
pub mod scscf;
pub mod source;
pub mod watcher;

use crate::dice::Dice;
use crate::promises::Meaning;
use crate::text::Message;
use ims::sip::Transport;
use std::net::SocketAddr;

/// What the world does at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// Everybody acts and everything breaks.
    Storm,
    /// Nothing breaks any more; what is published and subscribed is kept alive, nothing else is done.
    Quiet,
    /// Nobody does anything; what is there runs out.
    End,
}

/// Why a peer is woken. Numbers tell a current alarm from one that has been overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    Act(u64),
    Resend(u64),
}

/// What a peer wants done.
#[derive(Debug)]
pub struct Turn<'a> {
    pub now: u64,
    pub season: Season,
    pub dice: &'a mut Dice,
    /// Where it lives.
    pub me: SocketAddr,
    pub sends: Vec<(Transport, Vec<u8>)>,
    pub wakes: Vec<(u64, Alarm)>,
}

pub trait Peer: std::fmt::Debug {
    /// A message for it arrived.
    fn receive(&mut self, message: &Message, transport: Transport, turn: &mut Turn<'_>);
    fn wake(&mut self, alarm: Alarm, turn: &mut Turn<'_>);
    /// What its requests mean, by the branch of one of them.
    fn meaning(&self, request: &Message) -> Meaning;
    fn as_home(&self) -> Option<&home::Home> {
        None
    }
    fn as_watcher(&self) -> Option<&watcher::Watcher> {
        None
    }
    /// A NOTIFY that it could not make anything of, once.
    fn lost(&mut self) -> Option<String> {
        None
    }
}

/// One request on its way: a client transaction (RFC 3261 §17.1.2).
#[derive(Debug)]
struct Transaction {
    serial: u64,
    branch: String,
    bytes: Vec<u8>,
    pause: u64,
    over_at: u64,
}

/// The client side of a peer: one request at a time.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    serial: u64,
    open: Option<Transaction>,
}

/// What became of an alarm or a response.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Nothing,
    TimedOut,
}

const T1: u64 = 500;
const T2: u64 = 4_000;

impl Client {
    pub fn new(transport: Transport) -> Client {
        Client {
            transport,
            serial: 0,
            open: None,
        }
    }

    pub fn is_busy(&self) -> bool {
        self.open.is_some()
    }

    /// Sends a request: `head` is everything from the request line to the last header of the peer's own.
    pub fn send(&mut self, head: &str, body: &str, turn: &mut Turn<'_>) {
        self.send_typed("application/pidf+xml", head, body, turn);
    }

    /// The same with a body of another type.
    pub fn send_typed(&mut self, kind: &str, head: &str, body: &str, turn: &mut Turn<'_>) {
        self.serial += 1;
        let branch = format!("z9hG4bK{:x}.{}", turn.dice.number(), self.serial);
        let (request_line, rest) = head.split_once("\r\n").expect("a request line");
        let content = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: {kind}\r\n")
        };
        let text = format!(
            "{request_line}\r\nVia: SIP/2.0/{} {};branch={branch}\r\nMax-Forwards: 70\r\n{rest}\
             P-Charging-Vector: icid-value={:016x}\r\n{content}Content-Length: {}\r\n\r\n{body}",
            self.transport.as_str(),
            turn.me,
            turn.dice.number(),
            body.len()
        );
        let bytes = text.into_bytes();
        turn.sends.push((self.transport, bytes.clone()));
        let pause = match self.transport {
            Transport::Udp => T1,
            Transport::Tcp => 64 * T1,
        };
        turn.wakes
            .push((turn.now + pause, Alarm::Resend(self.serial)));
        self.open = Some(Transaction {
            serial: self.serial,
            branch,
            bytes,
            pause,
            over_at: turn.now + 64 * T1,
        });
    }

    /// Timer E or F.
    pub fn resend(&mut self, serial: u64, turn: &mut Turn<'_>) -> News {
        let Some(open) = self.open.as_mut().filter(|open| open.serial == serial) else {
            return News::Nothing;
        };
        if turn.now >= open.over_at {
            self.open = None;
            return News::TimedOut;
        }
        turn.sends.push((self.transport, open.bytes.clone()));
        open.pause = (open.pause * 2).min(T2);
        let next = (turn.now + open.pause).min(open.over_at);
        turn.wakes.push((next, Alarm::Resend(serial)));
        News::Nothing
    }

    /// Whether this is the final response to the open request; ends it.
    pub fn answers(&mut self, response: &Message) -> bool {
        let is_ours = self
            .open
            .as_ref()
            .is_some_and(|open| open.branch == response.branch());
        let is_final = response.status().is_some_and(|status| status >= 200);
        if is_ours && is_final {
            self.open = None;
        }
        is_ours && is_final
    }
}
