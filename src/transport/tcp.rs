//! Connections: accepted and opened, each read into whole messages and written in order, all bounded.

use super::{Arrival, ListenError};
use crate::driver::{Notice, Request};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Held, Rejected};
use bytes::Bytes;
use ims::event::turn::Ticket;
use ims::sip::frame::Frame;
use ims::sip::{Flow, Limits, StreamFramer, Transport};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Messages that wait to be written on one connection; beyond it the peer is too slow and is let go.
const QUEUE: usize = 1024;
/// Longest wait for a connection of ours: shorter than timer F, so that UDP can still be tried.
const CONNECT: Duration = Duration::from_secs(4);
/// Longest wait for a peer to take what is written.
const WRITE: Duration = Duration::from_secs(10);
/// How long answers are still written to a peer that has stopped sending.
const LINGER: Duration = Duration::from_secs(1);
/// Pause after a failed accept (out of descriptors), which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// Bounds of connections.
#[derive(Clone, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// Connections at a time; further ones are closed at once.
    pub max_connections: usize,
    /// A connection on which nothing arrives for so long is closed.
    pub idle: Duration,
}

/// The connections of a server. Cloning gives another handle to the same.
#[derive(Clone, Debug)]
pub struct Tcp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    runtime: Handle,
    requests: mpsc::Sender<Request>,
    notices: mpsc::UnboundedSender<Notice>,
    metrics: Metrics,
    open: Mutex<Open>,
}

/// Connections by number and by the peer's address.
#[derive(Debug, Default)]
struct Open {
    last: u64,
    writers: BTreeMap<u64, mpsc::Sender<Outgoing>>,
    peers: BTreeMap<SocketAddr, u64>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Bytes,
    ticket: Option<Ticket>,
}

impl Tcp {
    pub fn new(
        settings: Settings,
        runtime: Handle,
        requests: mpsc::Sender<Request>,
        notices: mpsc::UnboundedSender<Notice>,
        metrics: Metrics,
    ) -> Tcp {
        Tcp(Arc::new(Inner {
            settings,
            runtime,
            requests,
            notices,
            metrics,
            open: Mutex::default(),
        }))
    }

    /// Listens on an address and takes connections until the runtime ends.
    pub async fn listen(&self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        let failed = |why| ListenError {
            protocol: "TCP",
            address,
            why,
            key: "[sip] listen_tcp or --sip",
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let tcp = self.clone();
        self.0.runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, remote)) => tcp.accepted(stream, remote),
                    Err(error) => {
                        tracing::warn!(%error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(local)
    }

    fn accepted(&self, stream: TcpStream, remote: SocketAddr) {
        if self.open().writers.len() >= self.0.settings.max_connections {
            self.0.metrics.rejected(Rejected::Connections);
            return; // dropped, and so closed
        }
        let (number, queue) = self.enter(remote);
        self.0
            .runtime
            .spawn(self.clone().serve(number, stream, remote, queue));
    }

    /// Answers on the connection by which a request came, or on a new one when it is gone (RFC 3261 §18.2.2).
    pub fn reply(&self, connection: u64, remote: SocketAddr, bytes: Bytes, ticket: Option<Ticket>) {
        let writer = self.open().writers.get(&connection).cloned();
        match writer {
            Some(writer) => self.queue(&writer, Outgoing { bytes, ticket }),
            None => self.send(remote, bytes, ticket),
        }
    }

    /// Sends to a peer over a connection that is open to it, or over a new one.
    pub fn send(&self, remote: SocketAddr, bytes: Bytes, ticket: Option<Ticket>) {
        let outgoing = Outgoing { bytes, ticket };
        let known = {
            let open = self.open();
            open.peers
                .get(&remote)
                .and_then(|number| open.writers.get(number))
                .cloned()
        };
        if let Some(writer) = known {
            return self.queue(&writer, outgoing);
        }
        if self.open().writers.len() >= self.0.settings.max_connections {
            self.0.metrics.rejected(Rejected::Connections);
            return self.undeliverable(outgoing.ticket);
        }
        let (number, queue) = self.enter(remote);
        if let Some(writer) = self.open().writers.get(&number) {
            self.queue(writer, outgoing);
        }
        self.0
            .runtime
            .spawn(self.clone().connect(number, remote, queue));
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, remote: SocketAddr) -> (u64, mpsc::Receiver<Outgoing>) {
        let (writer, queue) = mpsc::channel(QUEUE);
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.writers.insert(number, writer);
        open.peers.insert(remote, number);
        self.0
            .metrics
            .set_held(Held::Connections, open.writers.len());
        (number, queue)
    }

    fn leave(&self, number: u64, remote: SocketAddr) {
        let mut open = self.open();
        open.writers.remove(&number);
        if open.peers.get(&remote) == Some(&number) {
            open.peers.remove(&remote);
        }
        self.0
            .metrics
            .set_held(Held::Connections, open.writers.len());
    }

    fn queue(&self, writer: &mpsc::Sender<Outgoing>, outgoing: Outgoing) {
        if let Err(refused) = writer.try_send(outgoing) {
            self.undeliverable(refused.into_inner().ticket);
        }
    }

    fn undeliverable(&self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            let _ = self.0.notices.send(Notice::Undeliverable(ticket)); // the driver may have ended
        }
    }

    async fn connect(self, number: u64, remote: SocketAddr, mut queue: mpsc::Receiver<Outgoing>) {
        match timeout(CONNECT, TcpStream::connect(remote)).await {
            Ok(Ok(stream)) => self.serve(number, stream, remote, queue).await,
            failed => {
                tracing::debug!(?failed, "no connection to the peer");
                self.leave(number, remote);
                queue.close();
                while let Some(outgoing) = queue.recv().await {
                    self.undeliverable(outgoing.ticket);
                }
            }
        }
    }

    /// Reads and writes one connection until either side ends it.
    async fn serve(
        self,
        number: u64,
        stream: TcpStream,
        remote: SocketAddr,
        mut queue: mpsc::Receiver<Outgoing>,
    ) {
        let local = stream.local_addr().unwrap_or(remote);
        let _ = stream.set_nodelay(true); // messages are written whole: waiting for more only delays them
        let flow = Flow {
            transport: Transport::Tcp,
            local,
            remote,
            connection: number,
        };
        let (reading, mut writing) = stream.into_split();
        let (pong, mut pongs) = mpsc::channel(1);
        let last = tokio::select! {
            last = self.read(flow, reading, pong) => Some(last),
            () = self.write(&mut writing, &mut queue, &mut pongs) => None,
        };
        match last {
            Some(Some(answer)) => drop(timeout(WRITE, writing.write_all(&answer)).await),
            // a peer that has only stopped sending still waits for its answers
            Some(None) => {
                drop(timeout(LINGER, self.write(&mut writing, &mut queue, &mut pongs)).await)
            }
            None => {}
        }
        self.leave(number, remote);
        queue.close();
        while let Some(outgoing) = queue.recv().await {
            self.undeliverable(outgoing.ticket);
        }
    }

    /// Reads until the peer ends it, is silent too long, or sends what cannot be cut into messages: then the
    /// answer to that is the last thing to write.
    async fn read(
        &self,
        flow: Flow,
        mut stream: OwnedReadHalf,
        pong: mpsc::Sender<()>,
    ) -> Option<Bytes> {
        let mut framer = StreamFramer::new(self.0.settings.limits);
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = match timeout(self.0.settings.idle, stream.read(&mut chunk)).await {
                Ok(Ok(length)) if length > 0 => length,
                Err(_) => {
                    self.0.metrics.rejected(Rejected::Idle);
                    return None;
                }
                Ok(_) => return None,
            };
            framer.push(chunk.get(..length).unwrap_or_default());
            loop {
                match framer.take() {
                    Ok(Some(Frame::Message(bytes))) => {
                        // waits while the driver has enough: the peer's window fills and it waits too
                        let arrived = Request::Arrived(Arrival::Message { flow, bytes });
                        self.0.requests.send(arrived).await.ok()?;
                    }
                    Ok(Some(Frame::Ping)) => drop(pong.try_send(())), // one pong answers what has piled up
                    Ok(None) => break,
                    Err(broken) => {
                        self.0.metrics.rejected(Rejected::Malformed);
                        let answer = broken.answer(&flow, &self.0.settings.limits);
                        return answer;
                    }
                }
            }
        }
    }

    async fn write(
        &self,
        stream: &mut OwnedWriteHalf,
        queue: &mut mpsc::Receiver<Outgoing>,
        pongs: &mut mpsc::Receiver<()>,
    ) {
        loop {
            let (bytes, ticket) = tokio::select! {
                outgoing = queue.recv() => match outgoing {
                    Some(Outgoing { bytes, ticket }) => (bytes, ticket),
                    None => return,
                },
                Some(()) = pongs.recv() => (Bytes::from_static(b"\r\n"), None), // RFC 5626 §3.5.1
            };
            let written = timeout(WRITE, stream.write_all(&bytes)).await;
            if !matches!(written, Ok(io::Result::Ok(()))) {
                return self.undeliverable(ticket);
            }
        }
    }
}
