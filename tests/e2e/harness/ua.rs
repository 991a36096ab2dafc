//! User agents of our own over UDP and TCP.

use super::SOON;
use super::sip::{Message, Request};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// A user agent over UDP. It answers every request with `answer`, or leaves it alone when that is `None`.
#[derive(Debug)]
pub struct Ua {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    pub answer: Option<&'static str>,
    /// Requests that came in, retransmissions left out.
    inbox: VecDeque<Message>,
    seen: Vec<String>,
    responses: Vec<Message>,
    serial: u64,
}

impl Ua {
    pub fn new(server: SocketAddr) -> Ua {
        Ua::at("127.0.0.1", server)
    }

    /// A user agent on another address of the machine.
    pub fn at(ip: &str, server: SocketAddr) -> Ua {
        let socket = UdpSocket::bind((ip, 0)).expect("a UDP socket");
        Ua {
            socket,
            server,
            answer: Some("200 OK"),
            inbox: VecDeque::new(),
            seen: Vec::new(),
            responses: Vec::new(),
            serial: 0,
        }
    }

    /// `host:port` of this side.
    pub fn me(&self) -> String {
        self.socket.local_addr().expect("an address").to_string()
    }

    /// The text of a request with what is unique filled in.
    pub fn write(&mut self, request: &Request) -> String {
        self.serial += 1;
        request.text("UDP", &self.me(), self.serial)
    }

    pub fn send(&self, bytes: &[u8]) {
        self.socket
            .send_to(bytes, self.server)
            .expect("a datagram leaves");
    }

    /// Sends and waits for the final response, with retransmissions as RFC 3261 §17.1.2.2 has them.
    pub fn ask(&mut self, request: &Request) -> Message {
        let text = self.write(request);
        self.ask_text(&text)
            .unwrap_or_else(|| panic!("no answer to\n{text}"))
    }

    /// The same for a text of the test's own making; `None` when nothing came.
    pub fn ask_text(&mut self, text: &str) -> Option<Message> {
        let branch = Message::parse(text.as_bytes())?.branch().to_owned();
        let end = Instant::now() + SOON;
        let mut again = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= again {
                self.send(text.as_bytes());
                again = Instant::now() + Duration::from_millis(500);
            }
            self.pump(Duration::from_millis(100));
            let found = self
                .responses
                .iter()
                .position(|r| r.branch() == branch && r.status() >= Some(200));
            if let Some(at) = found {
                return Some(self.responses.remove(at));
            }
        }
        None
    }

    /// Takes in one datagram, if one comes in time; a request is answered at once.
    pub fn pump(&mut self, wait: Duration) {
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .expect("a timeout");
        let mut buffer = [0; 65_536];
        let Ok((size, peer)) = self.socket.recv_from(&mut buffer) else {
            return;
        };
        let Some(message) = Message::parse(&buffer[..size]) else {
            return;
        };
        if message.status().is_some() {
            self.responses.push(message);
            return;
        }
        if let Some(status) = self.answer {
            self.socket
                .send_to(message.answer(status).as_bytes(), peer)
                .expect("an answer leaves");
        }
        let key = format!(
            "{} {} {}",
            message.branch(),
            message.get("call-id"),
            message.get("cseq")
        );
        if !self.seen.contains(&key) {
            self.seen.push(key);
            self.inbox.push_back(message);
        }
    }

    /// Any response, matched or not; for malformed requests whose Via nobody could read back.
    pub fn any_response(&mut self, limit: Duration) -> Option<Message> {
        let end = Instant::now() + limit;
        while self.responses.is_empty() && Instant::now() < end {
            self.pump(end.saturating_duration_since(Instant::now()));
        }
        (!self.responses.is_empty()).then(|| self.responses.remove(0))
    }

    /// The next request, within `limit`.
    pub fn request(&mut self, limit: Duration) -> Option<Message> {
        let end = Instant::now() + limit;
        while self.inbox.is_empty() && Instant::now() < end {
            self.pump(end.saturating_duration_since(Instant::now()));
        }
        self.inbox.pop_front()
    }

    /// The next NOTIFY of one dialog; what others got stays in the inbox.
    pub fn notify(&mut self, call_id: &str) -> Message {
        let end = Instant::now() + SOON;
        loop {
            let found = self
                .inbox
                .iter()
                .position(|m| m.is_request("NOTIFY") && m.get("call-id") == call_id);
            if let Some(at) = found.and_then(|at| self.inbox.remove(at)) {
                return at;
            }
            assert!(Instant::now() < end, "no NOTIFY in dialog {call_id}");
            self.pump(Duration::from_millis(100));
        }
    }

    /// Subscribes, and takes the first NOTIFY.
    pub fn watch(&mut self, request: &Request) -> (Subscription, Message) {
        let text = self.write(request);
        let sent = Message::parse(text.as_bytes()).expect("our own request");
        let answer = self
            .ask_text(&text)
            .unwrap_or_else(|| panic!("no answer to\n{text}"));
        assert!(
            matches!(answer.status(), Some(200 | 202)),
            "SUBSCRIBE was answered {}",
            answer.first
        );
        let call_id = sent.get("call-id").to_owned();
        let first = self.notify(&call_id);
        let subscription = Subscription {
            call_id,
            target: answer.uri("contact"),
            from: sent.get("from").to_owned(),
            to: answer.get("to").to_owned(),
            identity: request
                .headers
                .iter()
                .find(|(n, _)| n == "P-Asserted-Identity")
                .cloned(),
            cseq: 1,
        };
        (subscription, first)
    }
}

/// A dialog opened by SUBSCRIBE, seen from the watcher.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub call_id: String,
    pub target: String,
    pub from: String,
    pub to: String,
    identity: Option<(String, String)>,
    cseq: u64,
}

impl Subscription {
    /// A SUBSCRIBE inside the dialog.
    pub fn refresh(&mut self, expires: u32) -> Request {
        self.cseq += 1;
        let request = Request::new("SUBSCRIBE", &self.target)
            .with("From", &self.from)
            .with("To", &self.to)
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{} SUBSCRIBE", self.cseq))
            .with("Event", "presence")
            .with("Accept", "application/pidf+xml")
            .with("Expires", expires);
        match &self.identity {
            Some((name, value)) => request.with(name, value),
            None => request,
        }
    }
}

/// One TCP connection, framed by Content-Length.
#[derive(Debug)]
pub struct Tcp {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    serial: u64,
}

impl Tcp {
    pub fn connect(server: SocketAddr) -> Tcp {
        let stream = TcpStream::connect(server).expect("a TCP connection");
        Tcp::over(stream)
    }

    pub fn over(stream: TcpStream) -> Tcp {
        stream.set_nodelay(true).expect("no delay");
        Tcp {
            stream,
            buffer: Vec::new(),
            serial: 0,
        }
    }

    pub fn write(&mut self, request: &Request) -> String {
        self.serial += 1;
        let me = self.stream.local_addr().expect("an address").to_string();
        request.text("TCP", &me, self.serial)
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next whole message; `None` when the time or the connection ended first.
    pub fn receive(&mut self, limit: Duration) -> Option<Message> {
        let end = Instant::now() + limit;
        loop {
            if let Some(message) = self.framed() {
                return Some(message);
            }
            let left = end.checked_duration_since(Instant::now())?;
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a timeout");
            let mut chunk = [0; 65_536];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return self.framed(),
                Ok(size) => self.buffer.extend_from_slice(&chunk[..size]),
            }
        }
    }

    fn framed(&mut self) -> Option<Message> {
        let skip = self
            .buffer
            .iter()
            .take_while(|b| b"\r\n".contains(b))
            .count();
        self.buffer.drain(..skip);
        let head = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let length = Message::parse(&self.buffer[..head])?
            .get("content-length")
            .parse()
            .unwrap_or(0);
        let whole = self.buffer.get(..head + length)?.to_vec();
        self.buffer.drain(..head + length);
        Message::parse(&whole)
    }

    /// Sends a request and waits for its final response.
    pub fn ask(&mut self, request: &Request) -> Message {
        let text = self.write(request);
        self.send(text.as_bytes()).expect("a request leaves");
        loop {
            let message = self
                .receive(SOON)
                .unwrap_or_else(|| panic!("no answer to\n{text}"));
            if message.status() >= Some(200) {
                return message;
            }
        }
    }

    /// True when the other side has closed the connection within `limit`.
    pub fn closed(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut chunk = [0; 4096];
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a timeout");
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return true,
                Ok(_) | Err(_) => {}
            }
        }
        false
    }
}
