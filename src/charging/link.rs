//! Sockets for the Diameter peers: one task a connection, which frames what it reads while it writes.
//!
//! Diameter runs over TCP here, with TLS where it is configured. SCTP (RFC 6733 §2.1) is not offered.

use super::place::{At, Place};
use super::socket::{Acknowledge, Socket};
use super::tls::Tls;
use diameter::fault::FrameError;
use diameter::frame::Framer;
use diameter::message::{HEADER, Header};
use diameter::node::{ConnectionId, Input};
use diameter::route::PeerId;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages that wait to be written to one peer. The window of requests is far smaller; what fills this queue is a
/// peer that asks and does not read.
const QUEUE: usize = 4_096;

/// Answers to a peer that wait to be written, in longest messages: it may make us say as much as it has said.
const ANSWERS: usize = 2;

/// Bytes taken from a socket at once.
const READ: usize = 16_384;

/// Messages written with one call at most.
const WRITE: usize = 64;

/// How long the end of a connection that we close is awaited, so that our last words (DPA, a refusal) are not
/// overtaken by a reset.
const LINGER: Duration = Duration::from_millis(500);

/// Bytes read in that time at most.
const DRAINED: usize = 1 << 20;

/// What happened on a connection.
#[derive(Debug)]
pub enum Event {
    Connected {
        local: IpAddr,
    },
    ConnectFailed {
        why: String,
    },
    /// Somebody has connected who may be one of `peers`.
    Accepted {
        local: IpAddr,
        peers: Vec<PeerId>,
        writer: Writer,
    },
    /// A message. Until it is dropped it takes room of what its connection may have waiting: one longest message.
    Message {
        bytes: Vec<u8>,
        _room: OwnedSemaphorePermit,
    },
    /// Nothing can be read any more; `start` is the header at fault.
    Garbled {
        start: Vec<u8>,
        error: FrameError,
    },
    Disconnected,
}

/// Where the messages for one peer are queued. Dropping it ends the connection.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Queued>,
    /// Bytes that answers may still take.
    answers: Arc<Semaphore>,
    /// Nothing is sent over it: it ends with the last writer, also while a message cannot be written.
    _alive: mpsc::Sender<()>,
}

/// The other end of a [`Writer`].
struct Waiting {
    queue: mpsc::Receiver<Queued>,
    alive: mpsc::Receiver<()>,
}

/// A message that waits to be written; an answer with the room that it takes.
#[derive(Debug)]
pub struct Queued {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Writer {
    fn new(max_message: usize) -> (Writer, Waiting) {
        let (queue, queued) = mpsc::channel(QUEUE);
        let (_alive, alive) = mpsc::channel(1);
        let answers = Arc::new(Semaphore::new(ANSWERS * max_message));
        let waiting = Waiting {
            queue: queued,
            alive,
        };
        let writer = Writer {
            queue,
            answers,
            _alive,
        };
        (writer, waiting)
    }

    fn send(&self, bytes: Vec<u8>) -> bool {
        let is_answer = Header::read(&bytes).is_some_and(|header| !header.flags.request());
        let room = match is_answer {
            false => None,
            true => match self.answers.clone().try_acquire_many_owned(size(&bytes)) {
                Ok(room) => Some(room),
                Err(_) => return false,
            },
        };
        self.queue.try_send(Queued { bytes, _room: room }).is_ok()
    }
}

/// Length of a message, of which the header has 24 bits.
fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The connections. Dropping one ends it.
#[derive(Debug)]
pub struct Links {
    writers: BTreeMap<ConnectionId, Writer>,
    events: mpsc::Sender<(ConnectionId, Event)>,
    max_message: usize,
    tls: Option<Tls>,
}

impl Links {
    /// `events` is told what happens; `max_message` is the longest message taken, in bytes.
    pub fn new(
        events: mpsc::Sender<(ConnectionId, Event)>,
        max_message: usize,
        tls: Option<Tls>,
    ) -> Links {
        Links {
            tls,
            writers: BTreeMap::new(),
            events,
            max_message,
        }
    }

    /// Begins to connect; the outcome comes as an event.
    pub fn connect(&mut self, connection: ConnectionId, place: Place, acknowledge: Acknowledge) {
        let (writer, waiting) = Writer::new(self.max_message);
        self.writers.insert(connection, writer);
        let line = Line::new(connection, self.events.clone(), self.max_message);
        tokio::spawn(line.run(place, acknowledge, self.tls.clone(), waiting));
    }

    /// Queues a message. `false`: the peer does not read what it is sent, or is gone.
    #[must_use]
    pub fn send(&self, connection: ConnectionId, bytes: Vec<u8>) -> bool {
        self.writers
            .get(&connection)
            .is_some_and(|writer| writer.send(bytes))
    }

    /// What happened on a connection, as the node takes it. A connection that is over is forgotten.
    pub fn heard<'a>(&mut self, connection: ConnectionId, event: &'a Event) -> Input<'a> {
        match event {
            Event::Connected { local } => Input::Connected {
                connection,
                local: *local,
            },
            Event::ConnectFailed { why } => {
                self.close(connection);
                let why = why.clone();
                Input::ConnectFailed { connection, why }
            }
            Event::Accepted {
                local,
                peers,
                writer,
            } => {
                self.writers.insert(connection, writer.clone());
                Input::Accepted {
                    connection,
                    local: *local,
                    peers: peers.clone(),
                }
            }
            Event::Message { bytes, .. } => Input::Received {
                connection,
                message: bytes,
            },
            Event::Garbled { start, error } => Input::Garbled {
                connection,
                start,
                error: *error,
            },
            Event::Disconnected => {
                self.close(connection);
                Input::Disconnected { connection }
            }
        }
    }

    /// Ends a connection after what is queued has been written.
    pub fn close(&mut self, connection: ConnectionId) {
        self.writers.remove(&connection);
    }
}

/// One connection.
pub(super) struct Line {
    connection: ConnectionId,
    events: mpsc::Sender<(ConnectionId, Event)>,
    max_message: usize,
    /// Bytes of messages that may still wait to be looked at.
    room: Arc<Semaphore>,
}

/// What a connection is made of, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Line {
    pub fn new(
        connection: ConnectionId,
        events: mpsc::Sender<(ConnectionId, Event)>,
        max_message: usize,
    ) -> Line {
        Line {
            connection,
            events,
            max_message,
            room: Arc::new(Semaphore::new(max_message)),
        }
    }

    async fn run(
        self,
        place: Place,
        acknowledge: Acknowledge,
        tls: Option<Tls>,
        mut waiting: Waiting,
    ) {
        let connected = tokio::select! {
            connected = connect(&place, acknowledge, tls.as_ref()) => connected,
            // Nothing is queued before the connection is up, so this is its end.
            _ = waiting.queue.recv() => return,
        };
        let stream = match connected {
            Ok((stream, local)) => {
                self.tell(Event::Connected { local }).await;
                stream
            }
            Err(e) => return self.tell(Event::ConnectFailed { why: e.to_string() }).await,
        };
        self.serve(stream, waiting).await;
    }

    /// Serves a connection that a peer has made; it may be one of `peers`.
    pub async fn accepted(self, stream: Box<dyn Stream>, local: IpAddr, peers: Vec<PeerId>) {
        let (writer, waiting) = Writer::new(self.max_message);
        let accepted = Event::Accepted {
            local,
            peers,
            writer,
        };
        self.tell(accepted).await;
        self.serve(stream, waiting).await;
    }

    async fn serve(self, stream: Box<dyn Stream>, mut waiting: Waiting) {
        let Waiting { queue, alive } = &mut waiting;
        let (mut read, mut write) = tokio::io::split(stream);
        {
            let writing = write_all(&mut write, queue);
            tokio::pin!(writing);
            let (gone, written) = tokio::select! {
                gone = self.read(&mut read) => (gone, false),
                written = &mut writing => (written.is_err(), true),
                // Closed here: nothing more is listened to, whatever the peer goes on to say.
                _ = alive.recv() => (false, false),
            };
            if gone {
                self.tell(Event::Disconnected).await;
            }
            if !written {
                // Our last words (a DPA, the answer to what is garbled), if the peer reads.
                let _ = tokio::time::timeout(LINGER, writing).await;
            }
        }
        let _ = tokio::time::timeout(LINGER, write.shutdown()).await;
        let _ = tokio::time::timeout(LINGER, drain(&mut read)).await;
    }

    /// Reads until the end, or until the stream cannot be framed. `true`: the end is still to be told. After a
    /// frame that is none the node ends the connection itself, once the peer has been told why.
    async fn read(&self, read: &mut (impl AsyncRead + Unpin)) -> bool {
        let mut framer = Framer::new(self.max_message);
        let mut buffer = vec![0; READ];
        loop {
            match read.read(&mut buffer).await {
                Ok(0) | Err(_) => return true,
                Ok(count) => framer.push(&buffer[..count]),
            }
            loop {
                match framer.next_message() {
                    Ok(Some(message)) => {
                        let room = self.room.clone().acquire_many_owned(size(&message));
                        let Ok(room) = room.await else { return true };
                        let (bytes, _room) = (message, room);
                        self.tell(Event::Message { bytes, _room }).await;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        let start = framer.rest().iter().copied().take(HEADER).collect();
                        self.tell(Event::Garbled { start, error }).await;
                        return false;
                    }
                }
            }
        }
    }

    async fn tell(&self, event: Event) {
        // Whoever listened has stopped: then nobody needs to know.
        let _ = self.events.send((self.connection, event)).await;
    }
}

/// Connects to the first address that answers, and makes sure of who it is before a word of Diameter is said.
async fn connect(
    place: &Place,
    acknowledge: Acknowledge,
    tls: Option<&Tls>,
) -> io::Result<(Box<dyn Stream>, IpAddr)> {
    let stream = match &place.at {
        At::Address(address) => TcpStream::connect(address).await?,
        At::Name(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
    };
    let local = stream.local_addr()?.ip();
    let stream = Socket::new(stream, acknowledge)?;
    let stream: Box<dyn Stream> = match (&place.secure, tls) {
        (None, _) => Box::new(stream),
        (Some(name), Some(tls)) => Box::new(tls.connect(name, stream).await?),
        (Some(_), None) => return Err(io::Error::other("TLS is not configured")),
    };
    Ok((stream, local))
}

/// Writes what is queued until the queue is closed and empty.
async fn write_all(
    write: &mut (impl AsyncWrite + Unpin),
    waiting: &mut mpsc::Receiver<Queued>,
) -> io::Result<()> {
    let mut messages = Vec::new();
    while waiting.recv_many(&mut messages, WRITE).await > 0 {
        let bytes: Vec<&[u8]> = messages.iter().map(|queued| &queued.bytes[..]).collect();
        write.write_all(&bytes.concat()).await?;
        messages.clear();
    }
    Ok(())
}

/// Reads what comes before the end, as far as a peer that takes its leave has more to say: not what floods us.
async fn drain(read: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1_024];
    for _ in 0..DRAINED / buffer.len() {
        if !matches!(read.read(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const ID: ConnectionId = ConnectionId {
        peer: PeerId(1),
        generation: 1,
    };

    fn plain(address: std::net::SocketAddr) -> Place {
        Place {
            at: At::Address(address),
            secure: None,
        }
    }

    async fn pair() -> (Links, mpsc::Receiver<(ConnectionId, Event)>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (events, mut heard) = mpsc::channel(16);
        let mut links = Links::new(events, 4_096, None);
        let place = plain(listener.local_addr().unwrap());
        links.connect(ID, place, Acknowledge::AtOnce);
        let (peer, _) = listener.accept().await.unwrap();
        assert!(matches!(
            heard.recv().await,
            Some((ID, Event::Connected { .. }))
        ));
        (links, heard, peer)
    }

    #[tokio::test]
    async fn a_refused_connection_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (events, mut heard) = mpsc::channel(16);
        Links::new(events, 4_096, None).connect(ID, plain(address), Acknowledge::AtOnce);
        // The links are gone, but an attempt under way still ends one way or the other.
        assert!(matches!(
            heard.recv().await,
            Some((ID, Event::ConnectFailed { .. })) | None
        ));
    }

    #[tokio::test]
    async fn messages_come_one_by_one_and_a_broken_frame_ends_them() {
        let (mut links, mut heard, mut peer) = pair().await;
        let message = [&[1, 0, 0, 20][..], &[7; 16]].concat();
        peer.write_all(&[message.clone(), message.clone(), vec![1, 0, 0, 3]].concat())
            .await
            .unwrap();
        for _ in 0..2 {
            let Some((_, Event::Message { bytes: read, .. })) = heard.recv().await else {
                panic!()
            };
            assert_eq!(read, message);
        }
        assert!(matches!(
            heard.recv().await,
            Some((
                _,
                Event::Garbled {
                    error: FrameError::Length(3),
                    ..
                }
            ))
        ));
        // The end is the node's: what it says to that goes before.
        assert!(links.send(ID, vec![2; 20]));
        links.close(ID);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [2; 20]);
    }

    #[tokio::test]
    async fn what_is_queued_is_written_before_the_end() {
        let (mut links, _heard, mut peer) = pair().await;
        assert!(links.send(ID, vec![1; 1_000]) && links.send(ID, vec![2; 1_000]));
        links.close(ID);
        assert!(!links.send(ID, vec![3]));
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 2_000);
    }

    #[tokio::test]
    async fn the_end_of_the_peer_is_told() {
        let (_links, mut heard, peer) = pair().await;
        drop(peer);
        assert!(matches!(heard.recv().await, Some((_, Event::Disconnected))));
    }
}
