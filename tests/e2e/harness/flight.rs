//! A client that keeps many requests under way at the same time over one UDP socket.

use super::sip::{Message, Request};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A request without an answer is sent again after this time, as a transaction over UDP does (RFC 3261 §17.1.2.2).
const AGAIN: Duration = Duration::from_millis(500);
/// Longest silence of a server that should live.
const SILENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Waiting<T> {
    about: T,
    text: String,
    sent: Instant,
}

/// What a datagram was.
#[derive(Debug)]
pub enum Came<T> {
    /// The final response to a request under way, by its serial number.
    Answer {
        serial: usize,
        status: u16,
        about: T,
        message: Message,
    },
    /// A request of the server. It has been answered with 200.
    Request(Message),
    /// Something that nobody waits for: provisional, late, or no SIP.
    Other,
}

/// The requests under way, each with what its sender has to know when it is answered. All other requests are answered
/// with 200 as they come.
#[derive(Debug)]
pub struct Flight<T> {
    socket: UdpSocket,
    server: SocketAddr,
    me: String,
    under_way: BTreeMap<usize, Waiting<T>>,
    heard: Instant,
    looked: Instant,
}

impl<T> Flight<T> {
    pub fn new(server: SocketAddr) -> Flight<T> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        let me = socket.local_addr().expect("an address").to_string();
        Flight {
            socket,
            server,
            me,
            under_way: BTreeMap::new(),
            heard: Instant::now(),
            looked: Instant::now(),
        }
    }

    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Sends a request under a serial number that no other has, and gives it as it left.
    pub fn send(&mut self, serial: usize, request: &Request, about: T) -> Message {
        let text = request.text("UDP", &self.me, serial as u64);
        let sent = Message::parse(text.as_bytes()).expect("our own request");
        if self.is_empty() {
            self.rest(); // nothing was due before
        }
        self.emit(&text);
        let waiting = Waiting {
            about,
            text,
            sent: Instant::now(),
        };
        self.under_way.insert(serial, waiting);
        sent
    }

    /// Refused while the server is not there, and then sent again later.
    fn emit(&self, text: &str) {
        let _ = self.socket.send_to(text.as_bytes(), self.server);
    }

    /// Takes in one datagram that comes within `wait`. Sends again what has had no answer for too long, and fails when
    /// the server says nothing for much longer than that.
    pub fn take(&mut self, wait: Duration) -> Option<Came<T>> {
        let came = self.receive(wait);
        if came.is_some() {
            self.heard = Instant::now();
        }
        if self.looked.elapsed() > Duration::from_millis(100) {
            self.looked = Instant::now();
            self.send_again();
        }
        came
    }

    /// The same for what is in the socket already.
    pub fn take_rest(&mut self) -> Option<Came<T>> {
        self.receive(Duration::ZERO)
    }

    fn send_again(&mut self) {
        let (socket, server) = (&self.socket, self.server);
        for waiting in self.under_way.values_mut() {
            if waiting.sent.elapsed() > AGAIN {
                waiting.sent = Instant::now();
                let _ = socket.send_to(waiting.text.as_bytes(), server); // refused while it starts
            }
        }
        let silent = !self.under_way.is_empty() && self.heard.elapsed() > SILENCE;
        assert!(!silent, "no answer for {SILENCE:?}");
    }

    /// From now on the server is expected to say something.
    pub fn rest(&mut self) {
        self.heard = Instant::now();
    }

    /// What is under way will not be answered.
    pub fn abandon(&mut self) -> impl Iterator<Item = (usize, T)> + use<T> {
        let all = std::mem::take(&mut self.under_way).into_iter();
        all.map(|(serial, waiting)| (serial, waiting.about))
    }

    fn receive(&mut self, wait: Duration) -> Option<Came<T>> {
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_micros(100))))
            .expect("a timeout");
        let mut buffer = [0; 65_536];
        let (size, peer) = self.socket.recv_from(&mut buffer).ok()?;
        let Some(message) = Message::parse(&buffer[..size]) else {
            return Some(Came::Other);
        };
        Some(match message.status() {
            Some(status @ 200..) => self.answer(status, message),
            Some(_) => Came::Other,
            None => {
                let answer = message.answer("200 OK");
                let _ = self.socket.send_to(answer.as_bytes(), peer); // it may be dead by now
                Came::Request(message)
            }
        })
    }

    fn answer(&mut self, status: u16, message: Message) -> Came<T> {
        // the branch ends in the serial number
        let serial = message.branch().rsplit_once('x');
        let serial = serial.and_then(|(_, serial)| serial.parse().ok());
        match serial.and_then(|serial| Some((serial, self.under_way.remove(&serial)?))) {
            Some((serial, waiting)) => Came::Answer {
                serial,
                status,
                about: waiting.about,
                message,
            },
            None => Came::Other,
        }
    }
}
