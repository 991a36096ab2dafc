//! Connections that peers make: accepted, and handed to the line if they may be from one of the configuration.
//!
//! Who somebody is, only a CER says (RFC 6733 §5.6.1). Before that is read, the source address must be one of a peer's, or
//! the certificate about it; so a stranger cannot make the node look at anything.

use super::StartError;
use super::link::{Event, Line, Stream};
use super::place::{At, Place};
use super::settings::Settings;
use super::socket::{Acknowledge, Socket};
use super::tls::Tls;
use diameter::node::ConnectionId;
use diameter::route::PeerId;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{info, warn};

/// Rest after an error of the listener itself, such as too many open files.
const REST: Duration = Duration::from_millis(200);

/// Addresses of strangers that are remembered, so that each is named in the log once.
const STRANGERS: usize = 256;

/// A socket that peers connect to.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    /// Whether what comes must begin with TLS.
    secure: bool,
}

/// The sockets of the configuration.
pub(super) fn doors(given: &Settings) -> Result<Vec<Door>, StartError> {
    let mut doors = Vec::new();
    for (address, secure) in [(given.listen, false), (given.listen_tls, true)] {
        let Some(address) = address else { continue };
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = bound.map_err(|why| StartError::Listen(address, why))?;
        info!(%address, secure, "charging peers may connect");
        doors.push(Door { listener, secure });
    }
    Ok(doors)
}

/// A peer that may connect.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub id: PeerId,
    pub host: String,
    pub place: Place,
}

/// What is behind the doors.
#[derive(Debug)]
pub(super) struct Hall {
    pub callers: Vec<Caller>,
    pub tls: Option<Tls>,
    /// Connections beside one for each caller.
    pub half_open: usize,
    /// How long it may take to find out whom a connection may be from.
    pub patience: Duration,
    pub max_message: usize,
    pub events: mpsc::Sender<(ConnectionId, Event)>,
}

/// What the connections share.
struct Shared {
    hall: Hall,
    /// A place for each connection, held until its end.
    places: Arc<Semaphore>,
    /// Connections taken so far.
    count: AtomicU32,
    /// Who has been named in the log.
    strangers: Mutex<BTreeSet<IpAddr>>,
}

impl Hall {
    /// Takes connections as long as the runtime lives.
    pub fn open(self, doors: Vec<Door>) {
        let places = Arc::new(Semaphore::new(self.half_open + self.callers.len()));
        let shared = Arc::new(Shared {
            hall: self,
            places,
            count: AtomicU32::new(0),
            strangers: Mutex::default(),
        });
        for door in doors {
            tokio::spawn(shared.clone().stand(door));
        }
    }
}

impl Shared {
    async fn stand(self: Arc<Shared>, door: Door) {
        let listener = match tokio::net::TcpListener::from_std(door.listener) {
            Ok(listener) => listener,
            Err(why) => return warn!(%why, "charging peers cannot connect"),
        };
        loop {
            match listener.accept().await {
                // Without a place it is closed at once.
                Ok((stream, source)) => {
                    if let Ok(place) = self.places.clone().try_acquire_owned() {
                        tokio::spawn(self.clone().meet(stream, source, door.secure, place));
                    }
                }
                Err(why) => {
                    warn!(%why, "a charging connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Serves one connection until its end.
    async fn meet(
        self: Arc<Shared>,
        stream: TcpStream,
        source: SocketAddr,
        secure: bool,
        _place: OwnedSemaphorePermit,
    ) {
        let source = source.ip().to_canonical();
        let local = stream.local_addr().map(|local| local.ip().to_canonical());
        let found =
            tokio::time::timeout(self.hall.patience, self.recognise(stream, source, secure));
        let (stream, peers) = match found.await {
            Ok(Ok((stream, peers))) if !peers.is_empty() => (stream, peers),
            Ok(Ok(_)) => return self.tell(source, "no charging peer connects from there"),
            Ok(Err(why)) => return self.tell(source, &why.to_string()),
            Err(_) => return self.tell(source, "no TLS in time"),
        };
        let Ok(local) = local else { return };
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let connection = ConnectionId::accepted(count);
        let line = Line::new(connection, self.hall.events.clone(), self.hall.max_message);
        line.accepted(stream, local, peers).await;
    }

    /// Whom a connection may be from.
    async fn recognise(
        &self,
        stream: TcpStream,
        source: IpAddr,
        secure: bool,
    ) -> io::Result<(Box<dyn Stream>, Vec<PeerId>)> {
        let stream = Socket::new(stream, Acknowledge::AtOnce)?;
        let callers = &self.hall.callers;
        match (&self.hall.tls, secure) {
            (Some(tls), true) => {
                let (stream, shown) = tls.accept(stream).await?;
                let callers = callers.iter().filter(|caller| shown.is(&caller.host));
                let peers = callers.map(|caller| caller.id).collect();
                Ok((Box::new(stream), peers))
            }
            (None, true) => Err(io::Error::other("TLS is not configured")),
            (_, false) => {
                let mut peers = Vec::new();
                for caller in callers {
                    if caller.place.secure.is_none() && is_at(&caller.place.at, source).await {
                        peers.push(caller.id);
                    }
                }
                Ok((Box::new(stream), peers))
            }
        }
    }

    /// Tells the operator of somebody who is not taken, once for each address.
    fn tell(&self, source: IpAddr, why: &str) {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if strangers.len() < STRANGERS && strangers.insert(source) {
            warn!(%source, why, "charging connection is not taken");
        }
    }
}

/// Whether this is an address of a peer. A name is resolved each time.
async fn is_at(at: &At, source: IpAddr) -> bool {
    match at {
        At::Address(address) => address.ip().to_canonical() == source,
        At::Name(host, port) => match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(mut found) => found.any(|address| address.ip().to_canonical() == source),
            Err(_) => false,
        },
    }
}
