//! The user agent: one task that owns the sockets and the transactions; handles to it ask and answer.

use super::message::{Answer, Arrived, Draft};
use super::stream::{Notice, Streams};
use crate::driver::Clock;
use ahash::RandomState;
use bytes::Bytes;
use ims::sip::reply::{reply_to, response};
use ims::sip::write::over_udp;
use ims::sip::{
    Destination, Flow, Framing, Incoming, KnownMethod, Limits, Method, Name, Request, Transport,
    parse,
};
use ims::transaction::{self, Event, Layer, Verdict};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// A request larger than this leaves over TCP unless UDP is demanded (RFC 3261 §18.1.1).
const UDP_MAX: usize = 1300;
/// Transactions at a time; a client has a handful.
const TRANSACTIONS: usize = 1000;
/// Commands, arrivals and notices that wait.
const QUEUE: usize = 64;
/// Ports tried until one is free for both UDP and TCP.
const PORTS: usize = 32;
const DATAGRAM: usize = 65_535;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("no answer from {0}")]
    Silent(String),
    #[error("cannot reach {to} over {transport}: {why}")]
    Unreachable {
        to: SocketAddr,
        transport: &'static str,
        why: String,
    },
    #[error("the user agent has ended")]
    Ended,
}

/// A handle to the user agent. The agent ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Agent {
    commands: mpsc::Sender<Command>,
    local: SocketAddr,
    unique: Arc<Unique>,
}

/// Source of tags, branches and client nonces: a keyed hash of a count, so none is guessed from another.
#[derive(Debug)]
struct Unique {
    hash: RandomState,
    count: AtomicU64,
}

impl Unique {
    fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}", self.hash.hash_one(count))
    }
}

#[derive(Debug)]
enum Command {
    Ask {
        draft: Draft,
        to: SocketAddr,
        transport: Option<Transport>,
        reply: oneshot::Sender<Result<Answer, Lost>>,
    },
    Answer {
        arrived: Box<Arrived>,
        status: u16,
    },
    /// NOTIFYs go here from now on.
    Listen(mpsc::Sender<Arrived>),
    Close(oneshot::Sender<()>),
}

impl Agent {
    /// Opens sockets from which `peer` can be reached, and starts the task. Must run inside a runtime.
    pub async fn start(peer: SocketAddr) -> io::Result<Agent> {
        let probe = probe(peer).await?;
        let (udp, tcp) = sockets(probe.local_addr()?).await?;
        let local = udp.local_addr()?;
        let unique = Arc::new(Unique {
            hash: seeded()?,
            count: AtomicU64::new(0),
        });
        let settings = transaction::Settings {
            max_transactions: TRANSACTIONS,
            ..transaction::Settings::default()
        };
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (notices, streams_say) = mpsc::channel(QUEUE);
        let task = Task {
            local,
            udp,
            tcp,
            probe,
            peer,
            streams: Streams::new(notices),
            streams_say,
            inbox,
            layer: Layer::new(settings, seeded()?),
            clock: Clock::start(),
            asked: BTreeMap::new(),
            last: 0,
            listener: None,
            unique: unique.clone(),
        };
        tokio::spawn(task.run());
        Ok(Agent {
            commands,
            local,
            unique,
        })
    }

    /// Text that nobody has had before or can guess: for tags, Call-IDs and client nonces.
    pub fn unique(&self) -> String {
        self.unique.next()
    }

    /// Where peers reach us, over UDP and TCP alike.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a request and waits for its final answer. Without a transport the size decides.
    pub async fn ask(
        &self,
        draft: Draft,
        to: SocketAddr,
        transport: Option<Transport>,
    ) -> Result<Answer, Lost> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Ask {
            draft,
            to,
            transport,
            reply,
        };
        self.commands.send(command).await.map_err(|_| Lost::Ended)?;
        answer.await.map_err(|_| Lost::Ended)?
    }

    /// Answers a request that came in.
    pub async fn answer(&self, arrived: Arrived, status: u16) {
        let arrived = Box::new(arrived);
        // an agent that has ended has nobody left to answer
        let _ = self
            .commands
            .send(Command::Answer { arrived, status })
            .await;
    }

    /// From now on NOTIFYs come here; before, each is answered 481.
    pub async fn listen(&self) -> mpsc::Receiver<Arrived> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let _ = self.commands.send(Command::Listen(sender)).await; // as above
        receiver
    }

    /// Lets what is written leave, and ends the agent.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            let _ = closed.await; // an error means that it has ended already
        }
    }
}

pub(super) fn seeded() -> io::Result<RandomState> {
    let mut seeds = [0u64; 4];
    for seed in &mut seeds {
        *seed = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    }
    let [a, b, c, d] = seeds;
    Ok(RandomState::with_seeds(a, b, c, d))
}

/// A connected socket: it tells the address from which a peer is reached, and hears when nobody listens there.
async fn probe(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let probe = UdpSocket::bind(any).await?;
    probe.connect(peer).await?;
    Ok(probe)
}

/// A UDP and a TCP socket on the same port: a peer may choose TCP for a long NOTIFY to a Contact without transport.
async fn sockets(at: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORTS {
        let udp = UdpSocket::bind((at.ip(), 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A request that waits for its final answer.
#[derive(Debug)]
struct Asked {
    reply: oneshot::Sender<Result<Answer, Lost>>,
    branch: String,
    method: Method<'static>,
    to: SocketAddr,
    transport: Transport,
    /// The size alone chose TCP.
    falls_back: bool,
}

#[derive(Debug)]
struct Task {
    local: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    probe: UdpSocket,
    /// The peer of the probe.
    peer: SocketAddr,
    streams: Streams,
    streams_say: mpsc::Receiver<Notice>,
    inbox: mpsc::Receiver<Command>,
    layer: Layer<u64>,
    clock: Clock,
    asked: BTreeMap<u64, Asked>,
    last: u64,
    listener: Option<mpsc::Sender<Arrived>>,
    unique: Arc<Unique>,
}

impl Task {
    async fn run(mut self) {
        let mut datagram = vec![0; DATAGRAM];
        let mut echo = [0; 16];
        loop {
            let now = self.clock.now();
            let due = self
                .layer
                .next_deadline()
                .map(|at| Duration::from_millis(at.since(now).0));
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Close(done)) => {
                        self.streams.close().await;
                        let _ = done.send(()); // whoever asked may not wait
                        return;
                    }
                    Some(command) => self.command(command).await,
                    None => return,
                },
                Ok((length, remote)) = self.udp.recv_from(&mut datagram) => {
                    let flow = self.flow(Transport::Udp, remote);
                    let bytes = datagram.get(..length).unwrap_or_default().to_vec();
                    self.arrived(flow, bytes).await;
                }
                Ok((stream, remote)) = self.tcp.accept() => self.streams.accept(stream, remote),
                Some(notice) = self.streams_say.recv() => match notice {
                    Notice::Message { flow, bytes } => self.arrived(flow, bytes).await,
                    Notice::Gone { remote, why } => self.gone(Transport::Tcp, remote, &why).await,
                },
                said = self.probe.recv(&mut echo) => {
                    if said.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                        self.gone(Transport::Udp, self.peer, "nobody listens there").await;
                    }
                }
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => self.deadline().await,
            }
        }
    }

    fn flow(&self, transport: Transport, remote: SocketAddr) -> Flow {
        Flow {
            transport,
            local: self.local,
            remote,
            connection: 0,
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Ask {
                draft,
                to,
                transport,
                reply,
            } => self.ask(&draft, to, transport, reply).await,
            Command::Answer {
                mut arrived,
                status,
            } => {
                let (flow, key) = (arrived.flow, arrived.key);
                if let Incoming::Request(request) = parse(
                    &mut arrived.bytes,
                    framing(flow.transport),
                    &Limits::default(),
                ) {
                    self.respond(&request, flow, key, status).await;
                }
            }
            Command::Listen(listener) => self.listener = Some(listener),
            Command::Close(_) => {} // taken by the loop
        }
    }

    async fn ask(
        &mut self,
        draft: &Draft,
        to: SocketAddr,
        transport: Option<Transport>,
        reply: oneshot::Sender<Result<Answer, Lost>>,
    ) {
        self.last += 1;
        let branch = format!("z9hG4bK{}", self.unique.next());
        let sent_by = self.local.to_string();
        let mut bytes = draft.write(transport.unwrap_or(Transport::Udp), &sent_by, &branch);
        let falls_back = transport.is_none() && bytes.len() > UDP_MAX;
        if falls_back {
            bytes = draft.write(Transport::Tcp, &sent_by, &branch);
        }
        let transport = match falls_back {
            true => Transport::Tcp,
            false => transport.unwrap_or(Transport::Udp),
        };
        let asked = Asked {
            reply,
            branch,
            method: draft.method,
            to,
            transport,
            falls_back,
        };
        self.asked.insert(self.last, asked);
        self.start(self.last, bytes).await;
        if transport == Transport::Udp && to == self.peer {
            let _ = self.probe.send(b"\r\n\r\n").await; // an error shows when the probe is read
        }
    }

    /// Starts the transaction of a request that is in `asked`.
    async fn start(&mut self, number: u64, bytes: Bytes) {
        let Some(asked) = self.asked.get(&number) else {
            return;
        };
        let flow = self.flow(asked.transport, asked.to);
        let (now, to) = (self.clock.now(), Destination::Flow(flow));
        self.layer
            .start(now, to, &asked.branch, asked.method, bytes.clone(), number);
        self.send(flow, bytes).await;
    }

    async fn send(&mut self, flow: Flow, bytes: Bytes) {
        match flow.transport {
            // what does not leave is sent again, as if the network had lost it
            Transport::Udp => drop(self.udp.send_to(&bytes, flow.remote).await),
            Transport::Tcp => {
                if !self.streams.send(flow.remote, bytes) {
                    self.gone(Transport::Tcp, flow.remote, "the connection takes no more")
                        .await;
                }
            }
        }
    }

    /// What waits for this peer has no answer to expect, unless UDP can still be tried (RFC 3261 §18.1.1).
    async fn gone(&mut self, transport: Transport, remote: SocketAddr, why: &str) {
        let concerned = |asked: &Asked| asked.to == remote && asked.transport == transport;
        let numbers: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| concerned(asked))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let Some(mut asked) = self.asked.remove(&number) else {
                continue;
            };
            let undone = self.layer.undeliverable(&asked.branch, asked.method);
            match undone {
                Some((_, bytes, _)) if asked.falls_back => {
                    (asked.transport, asked.falls_back) = (Transport::Udp, false);
                    self.asked.insert(number, asked);
                    Box::pin(self.start(number, over_udp(&bytes))).await;
                }
                _ => {
                    let lost = Lost::Unreachable {
                        to: remote,
                        transport: transport.as_str(),
                        why: why.to_owned(),
                    };
                    let _ = asked.reply.send(Err(lost)); // whoever asked may have gone
                }
            }
        }
    }

    async fn deadline(&mut self) {
        let mut events = Vec::new();
        self.layer.on_deadline(self.clock.now(), &mut events);
        for event in events {
            match event {
                Event::Retransmit {
                    to: Destination::Flow(flow),
                    bytes,
                } => {
                    self.send(flow, bytes).await;
                    if flow.remote == self.peer {
                        let _ = self.probe.send(b"\r\n\r\n").await; // as in `ask`
                    }
                }
                Event::Retransmit { .. } => {} // every destination of ours is a flow
                Event::TimedOut { user } => {
                    if let Some(asked) = self.asked.remove(&user) {
                        let lost =
                            Lost::Silent(format!("{} over {}", asked.to, asked.transport.as_str()));
                        let _ = asked.reply.send(Err(lost)); // whoever asked may have gone
                    }
                }
            }
        }
    }

    async fn arrived(&mut self, flow: Flow, mut bytes: Vec<u8>) {
        let kept = bytes.clone();
        match parse(&mut bytes, framing(flow.transport), &Limits::default()) {
            Incoming::Request(request) => self.request(&request, flow, kept).await,
            Incoming::Response(response) => {
                let answered = self.layer.response(self.clock.now(), &response);
                let Some(done) = answered.filter(|answered| answered.is_final) else {
                    return;
                };
                if let Some(asked) = self.asked.remove(&done.user) {
                    let _ = asked.reply.send(Ok(Answer::of(&response))); // whoever asked may have gone
                }
            }
            Incoming::Malformed(bad) => {
                if let Some((to, answer)) = bad.answer(&flow)
                    && let Some(back) = back(to, &flow)
                {
                    self.send(back, answer).await;
                }
            }
            Incoming::KeepAlive | Incoming::Ignored(_) => {}
        }
    }

    async fn request(&mut self, request: &Request<'_>, flow: Flow, bytes: Vec<u8>) {
        let key = match self.layer.request(self.clock.now(), &flow, request) {
            Verdict::New(key) => key,
            Verdict::Again(Some(answer)) => {
                if let Some(back) = back(reply_to(&request.via, &flow), &flow) {
                    self.send(back, answer).await;
                }
                return;
            }
            Verdict::Cancel { key, known } => {
                return self
                    .respond(request, flow, key, if known { 200 } else { 481 })
                    .await;
            }
            Verdict::Merged(key) => return self.respond(request, flow, key, 482).await,
            Verdict::Again(None) | Verdict::Ack | Verdict::Overload => return,
        };
        let status = match &request.method {
            Method::Known(KnownMethod::Notify) => {
                match self.listener.as_ref().map(mpsc::Sender::try_reserve) {
                    Some(Ok(room)) => return room.send(Arrived::of(request, flow, key, bytes)),
                    // more NOTIFYs than are read: the notifier tries again
                    Some(Err(TrySendError::Full(()))) => 500,
                    // there is no subscription (RFC 6665 §4.1.3)
                    Some(Err(TrySendError::Closed(()))) | None => 481,
                }
            }
            Method::Known(KnownMethod::Options) => 200,
            _ => 405,
        };
        self.respond(request, flow, key, status).await;
    }

    async fn respond(
        &mut self,
        request: &Request<'_>,
        flow: Flow,
        key: transaction::Key,
        status: u16,
    ) {
        let tag = self.unique.next();
        let mut writer = response(request, status, None, Some(&tag), flow.remote);
        if matches!(status, 200 | 405) && request.to.tag().is_none() {
            writer.header(Name::Allow, "NOTIFY, OPTIONS");
        }
        let bytes = writer.finish();
        if let Some(back) = back(reply_to(&request.via, &flow), &flow) {
            let to = Destination::Flow(back);
            self.layer
                .respond(self.clock.now(), key, &to, bytes.clone());
            self.send(back, bytes).await;
        }
    }
}

/// Where an answer goes: over TCP nowhere but the connection of the request, since a client listens on no port.
fn back(to: Destination, flow: &Flow) -> Option<Flow> {
    match to {
        _ if flow.transport.is_reliable() => Some(*flow),
        Destination::Flow(back) => Some(back),
        Destination::Host { .. } => None,
    }
}

fn framing(transport: Transport) -> Framing {
    match transport {
        Transport::Udp => Framing::Datagram,
        Transport::Tcp => Framing::Stream,
    }
}
