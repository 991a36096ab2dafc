//! Listeners and connections: HTTP/1.1 and HTTP/2, plain and over TLS, and what one connection may cost.
//!
//! A connection is bounded in the bytes of a head, in the time for a head, for a body and for the reading of an answer, in
//! the requests under way on it (HTTP/2), and in resets; the connections of one address and of all are bounded in number.

use super::patience::Patience;
use super::rates::whom;
use super::{Peer, Service, tls};
use crate::config::Http;
use crate::telemetry::metrics::{Held, Rejected};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Longest request head, in bytes: an XCAP node selector is the longest thing in it.
pub(super) const HEAD_MAX: u32 = 32 << 10;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;

/// Streams that a client may open and reset before they are accepted, and those that we reset for its mistakes; a client
/// that does more of it is sent away (CVE-2023-44487).
const RESETS: usize = 20;

/// Bytes of one answer, and of all requests of a connection, that HTTP/2 holds.
const SEND_BUFFER: usize = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 64 << 10;

/// Wait after a failed `accept`, which fails at once again while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for HTTP on {address} ({cause}); stop what uses it or set [http] listen to another address"
)]
pub struct BindError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// Opens a listener.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| BindError { address, cause })
}

/// Who may be connected: so many strangers, so many of one address, and as many trusted peers again.
#[derive(Debug)]
pub(super) struct Places {
    strangers: Arc<Semaphore>,
    trusted: Arc<Semaphore>,
    of_peer: usize,
    peers: Arc<Counts>,
    /// Bodies that are being read: of HTTP/2 one connection may bring many.
    strangers_bodies: Semaphore,
    trusted_bodies: Semaphore,
}

/// Connections of each address.
type Counts = Mutex<BTreeMap<IpAddr, usize>>;

/// A connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    counted: Option<(IpAddr, Arc<Counts>)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peer, peers)) = &self.counted else {
            return;
        };
        let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(peer);
            }
        }
    }
}

impl Places {
    pub(super) fn new(settings: &Http) -> Places {
        let places = || Arc::new(Semaphore::new(settings.max_connections));
        Places {
            strangers: places(),
            trusted: places(),
            of_peer: settings.max_connections_per_peer,
            peers: Arc::default(),
            strangers_bodies: Semaphore::new(settings.max_connections),
            trusted_bodies: Semaphore::new(settings.max_connections),
        }
    }

    /// A place for a body, as many as there are connections; none when too many are being read.
    pub(super) fn body(&self, is_trusted: bool) -> Option<SemaphorePermit<'_>> {
        let places = match is_trusted {
            true => &self.trusted_bodies,
            false => &self.strangers_bodies,
        };
        places.try_acquire().ok()
    }

    fn admit(&self, address: IpAddr, is_trusted: bool) -> Option<Place> {
        if is_trusted {
            let _permit = self.trusted.clone().try_acquire_owned().ok()?;
            let counted = None;
            return Some(Place { _permit, counted });
        }
        let _permit = self.strangers.clone().try_acquire_owned().ok()?;
        let peer = whom(address);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(peer).or_default();
        if *count >= self.of_peer {
            return None;
        }
        *count += 1;
        let counted = Some((peer, self.peers.clone()));
        Some(Place { _permit, counted })
    }
}

/// Serves until `stop` becomes true, then finishes the requests under way.
pub async fn serve(
    listener: TcpListener,
    is_secure: bool,
    service: Arc<Service>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue, // forget the finished ones
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let is_trusted = service.trusts(address.ip());
                match service.places.admit(address.ip(), is_trusted) {
                    Some(place) => {
                        let peer = Peer {
                            address: address.ip(),
                            is_trusted,
                            is_secure,
                        };
                        tasks.spawn(connection(
                            stream,
                            peer,
                            service.clone(),
                            stop.clone(),
                            place,
                        ));
                    }
                    None => service.metrics.rejected(Rejected::Connections), // closed by being dropped
                }
            }
            Err(error) => {
                warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Waits until stopping is asked for, or nobody is left to ask.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    mut peer: Peer,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
    _place: Place,
) {
    // Small answers must not wait for acknowledgements; a stream that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    service.metrics.change_held(Held::HttpConnections, 1);
    let certificates = service.tls.as_ref().filter(|_| peer.is_secure);
    match certificates {
        None => converse(stream, peer, &service, stop).await,
        Some(certificates) => {
            let acceptor = TlsAcceptor::from(certificates.current());
            let limit = Duration::from_secs(service.config.http.head_timeout_s.0.into());
            match tokio::time::timeout(limit, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let shown = tls::shown(stream.get_ref().1);
                    peer.is_trusted |=
                        shown.is_some_and(|digest| service.config.http.trusts_certificate(&digest));
                    converse(stream, peer, &service, stop).await;
                }
                Ok(Err(error)) => {
                    service.metrics.rejected(Rejected::Malformed);
                    debug!(%error, "no TLS");
                }
                Err(_) => service.metrics.rejected(Rejected::Idle),
            }
        }
    }
    service.metrics.change_held(Held::HttpConnections, -1);
}

/// What goes on on one connection.
#[derive(Debug, Default)]
struct Activity {
    under_way: AtomicUsize,
    seen: AtomicUsize,
    /// HTTP/2, where nothing else ends a connection that is only kept alive.
    is_multiplexed: AtomicBool,
}

struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    fn begin(self: &Arc<Activity>, version: hyper::Version) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.seen.fetch_add(1, Ordering::Relaxed);
        if version == hyper::Version::HTTP_2 {
            self.is_multiplexed.store(true, Ordering::Relaxed);
        }
        UnderWay(self.clone())
    }

    /// Returns when nothing was asked between two looks `limit` apart. HTTP/1.1 has a limit of its own between requests.
    async fn ends(&self, limit: Duration) {
        let mut before = usize::MAX;
        loop {
            let seen = self.seen.load(Ordering::Relaxed);
            let is_ours = seen == 0 || self.is_multiplexed.load(Ordering::Relaxed);
            let is_quiet = self.under_way.load(Ordering::Relaxed) == 0;
            if is_ours && is_quiet && seen == before {
                return;
            }
            before = seen;
            tokio::time::sleep(limit).await;
        }
    }
}

async fn converse<S>(stream: S, peer: Peer, service: &Arc<Service>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &service.config.http;
    let head = Duration::from_secs(settings.head_timeout_s.0.into());
    let body = Duration::from_secs(settings.body_timeout_s.0.into());
    let activity = Arc::new(Activity::default());
    let (answering, noted) = (service.clone(), activity.clone());
    let handle = hyper::service::service_fn(move |request: hyper::Request<_>| {
        let service = answering.clone();
        let under_way = noted.begin(request.version());
        async move {
            let answer = service.answer(peer, request).await;
            drop(under_way);
            Ok::<_, Infallible>(answer)
        }
    });
    let http = builder(settings.max_streams, head);
    let connection = http.serve_connection(TokioIo::new(Patience::new(stream, body)), handle);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.ends(head) => {
            service.metrics.rejected(Rejected::Idle);
            connection.as_mut().graceful_shutdown();
            // what it is still reading of an answer has this time
            let _ = tokio::time::timeout(body, connection).await;
            Ok(())
        }
    };
    if let Err(error) = result {
        let cause = error.downcast_ref::<hyper::Error>();
        service.metrics.rejected(reason(cause));
        debug!(%error, "HTTP connection ended");
    }
}

fn builder(max_streams: u32, head: Duration) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_MAX as usize)
        .max_headers(HEADERS_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_streams)
        .max_header_list_size(HEAD_MAX)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .keep_alive_interval(head)
        .keep_alive_timeout(head);
    http
}

fn reason(error: Option<&hyper::Error>) -> Rejected {
    match error {
        Some(error) if error.is_parse_too_large() => Rejected::TooLarge,
        Some(error) if error.is_parse() => Rejected::Malformed,
        _ => Rejected::Idle,
    }
}
