//! Connections of the agent: accepted and opened, known by the peer's address.

use bytes::Bytes;
use ims::sip::frame::Frame;
use ims::sip::{Flow, Limits, StreamFramer, Transport};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for a connection: shorter than timer F, so that UDP can still be tried.
const CONNECT: Duration = Duration::from_secs(4);
/// Messages that wait to be written on one connection.
const QUEUE: usize = 64;
/// Connections at a time: a client talks with few peers.
const MOST: usize = 64;
/// How long what is queued may take to leave when the agent ends.
const LINGER: Duration = Duration::from_secs(1);
/// Read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// What connections tell the agent.
#[derive(Debug)]
pub enum Notice {
    Message {
        flow: Flow,
        bytes: Vec<u8>,
    },
    /// The connection to this peer could not be had, or has ended.
    Gone {
        remote: SocketAddr,
        why: String,
    },
}

/// The open connections.
#[derive(Debug)]
pub struct Streams {
    notices: mpsc::Sender<Notice>,
    open: BTreeMap<SocketAddr, (mpsc::Sender<Bytes>, JoinHandle<()>)>,
}

impl Streams {
    pub fn new(notices: mpsc::Sender<Notice>) -> Streams {
        Streams {
            notices,
            open: BTreeMap::new(),
        }
    }

    /// Takes a connection that a peer has opened; one too many is closed at once.
    pub fn accept(&mut self, stream: TcpStream, remote: SocketAddr) {
        self.forget_ended();
        if self.open.len() < MOST {
            let (writer, queue) = mpsc::channel(QUEUE);
            let task = tokio::spawn(serve(stream, remote, queue, self.notices.clone()));
            self.open.insert(remote, (writer, task));
        }
    }

    /// Sends on the connection to a peer, which is opened when there is none. `false` when there is no room.
    pub fn send(&mut self, remote: SocketAddr, bytes: Bytes) -> bool {
        self.forget_ended();
        let open = self.open.len();
        let entry = self.open.entry(remote);
        let (writer, _) = match entry {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(_) if open >= MOST => return false,
            std::collections::btree_map::Entry::Vacant(new) => {
                let (writer, queue) = mpsc::channel(QUEUE);
                let task = tokio::spawn(connect(remote, queue, self.notices.clone()));
                new.insert((writer, task))
            }
        };
        writer.try_send(bytes).is_ok()
    }

    /// Lets what is queued leave, and closes everything.
    pub async fn close(&mut self) {
        for (_, (writer, task)) in std::mem::take(&mut self.open) {
            drop(writer);
            let _ = timeout(LINGER, task).await; // a peer that takes nothing is left
        }
    }

    fn forget_ended(&mut self) {
        self.open.retain(|_, (_, task)| !task.is_finished());
    }
}

async fn connect(remote: SocketAddr, queue: mpsc::Receiver<Bytes>, notices: mpsc::Sender<Notice>) {
    let why = match timeout(CONNECT, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => return serve(stream, remote, queue, notices).await,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection within {} s", CONNECT.as_secs()),
    };
    drop(queue);
    let _ = notices.send(Notice::Gone { remote, why }).await; // the agent may have ended
}

async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    mut queue: mpsc::Receiver<Bytes>,
    notices: mpsc::Sender<Notice>,
) {
    let local = stream.local_addr().unwrap_or(remote);
    let _ = stream.set_nodelay(true); // messages are written whole
    let flow = Flow {
        transport: Transport::Tcp,
        local,
        remote,
        connection: 1,
    };
    let (reading, mut writing) = stream.into_split();
    let why = tokio::select! {
        why = read(flow, reading, &notices) => why,
        why = write(&mut writing, &mut queue) => why,
    };
    drop(queue);
    if let Some(why) = why {
        let _ = notices.send(Notice::Gone { remote, why }).await; // the agent may have ended
    }
}

/// Reads until the peer ends it; says why it ended.
async fn read(
    flow: Flow,
    mut stream: OwnedReadHalf,
    notices: &mpsc::Sender<Notice>,
) -> Option<String> {
    let mut framer = StreamFramer::new(Limits::default());
    let mut chunk = vec![0; CHUNK];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => return Some("the peer closed the connection".into()),
            Ok(length) => framer.push(chunk.get(..length).unwrap_or_default()),
            Err(error) => return Some(error.to_string()),
        }
        loop {
            match framer.take() {
                Ok(Some(Frame::Message(bytes))) => {
                    notices.send(Notice::Message { flow, bytes }).await.ok()?;
                }
                Ok(Some(Frame::Ping)) => {} // a server has no need to keep a client alive
                Ok(None) => break,
                Err(broken) => return Some(broken.reason.into()),
            }
        }
    }
}

/// Writes until there is nothing more to come.
async fn write(stream: &mut OwnedWriteHalf, queue: &mut mpsc::Receiver<Bytes>) -> Option<String> {
    while let Some(bytes) = queue.recv().await {
        if let Err(error) = stream.write_all(&bytes).await {
            return Some(error.to_string());
        }
    }
    None
}
