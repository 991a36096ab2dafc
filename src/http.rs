//! The HTTP listener: XCAP below its root, administration beside it, limits around both.
//!
//! A client is bounded in what it sends (head, body), in the time it takes to send or read, and in the number
//! of its connections; trusted addresses have connections of their own, so that probes get through a flood.

pub(crate) mod fetch;
pub(crate) mod overrides;
mod patience;
mod xcap;

use crate::admin::{self, Readiness};
use crate::config::{Config, any_contains};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Held, Method, Rejected};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ims::node::{Administered, Administration};
use ims::xdm::request as xdm;
use patience::Patience;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tracing::{debug, warn};

/// Longest request head, in bytes: an XCAP node selector is the longest thing in it.
const HEAD_MAX: usize = 32 << 10;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;

/// Wait after a failed `accept`, which fails at once again while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes requests to where they are decided.
pub trait Port: Send + Sync {
    /// The answer comes through the channel; [`Busy`] when no more requests may wait.
    fn submit(&self, request: xdm::Request) -> Result<oneshot::Receiver<xdm::Response>, Busy>;

    /// The same for an operator's request about overrides.
    fn administer(&self, request: Administration) -> Result<oneshot::Receiver<Administered>, Busy>;
}

/// No more requests may wait; the client is asked to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// What answers HTTP requests.
pub struct Service {
    config: Arc<Config>,
    port: Arc<dyn Port>,
    metrics: Metrics,
    readiness: Arc<Readiness>,
    connections: Arc<Semaphore>,
    trusted_connections: Arc<Semaphore>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("settings", &self.config.http)
            .finish_non_exhaustive()
    }
}

type Answer = Response<Full<Bytes>>;

impl Service {
    pub fn new(
        config: Arc<Config>,
        port: Arc<dyn Port>,
        metrics: Metrics,
        readiness: Arc<Readiness>,
    ) -> Service {
        let connections = || Arc::new(Semaphore::new(config.http.max_connections));
        let (of_all, of_trusted) = (connections(), connections());
        Service {
            config,
            port,
            metrics,
            readiness,
            connections: of_all,
            trusted_connections: of_trusted,
        }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        any_contains(&self.config.http.trusted_proxies, peer)
    }

    /// A place among the connections of this peer's kind.
    fn admit(&self, peer: IpAddr) -> Option<OwnedSemaphorePermit> {
        let places = if self.trusts(peer) {
            &self.trusted_connections
        } else {
            &self.connections
        };
        places.clone().try_acquire_owned().ok()
    }

    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let method = Method::from(request.method().as_str());
        let is_head = method == Method::Head;
        let mut answer = self.route(peer, request).await;
        self.metrics.http(method, answer.status().as_u16());
        debug!(method = ?method, status = answer.status().as_u16(), "HTTP request answered");
        if let Ok(server) = HeaderValue::from_str(&self.config.sip.server)
            && !server.is_empty()
        {
            answer.headers_mut().insert(header::SERVER, server);
        }
        if is_head {
            // RFC 9110 §9.3.2: the headers of a GET; the length is stated since the body is not sent.
            let length = answer.body().size_hint().exact().unwrap_or(0);
            answer
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
            *answer.body_mut() = Full::default();
        }
        answer
    }

    async fn route(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let below_root = path.strip_prefix(self.config.http.xcap_root.as_str());
        if let Some(target) = below_root.filter(|rest| rest.starts_with('/')) {
            let target = target.to_owned();
            return xcap::answer(self, peer, &target, request).await;
        }
        let overrides = path.strip_prefix(overrides::PATH);
        if let Some(below) = overrides
            .filter(|below| self.trusts(peer) && (below.is_empty() || below.starts_with('/')))
        {
            let below = below.to_owned();
            return overrides::answer(self, peer, &below, request).await;
        }
        let page = match self.trusts(peer) {
            true => admin::page(path, &self.metrics, &self.readiness),
            false => None, // the pages do not exist for others
        };
        match (page, request.method().as_str()) {
            (None, _) => plain(StatusCode::NOT_FOUND),
            (Some((status, kind, text)), "GET" | "HEAD") => {
                let mut answer = plain(
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                );
                answer
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                *answer.body_mut() = Full::new(text.into());
                answer
            }
            (Some(_), _) => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
                answer
                    .headers_mut()
                    .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                answer
            }
        }
    }
}

/// An answer without a body.
fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// Why the listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for HTTP on {address} ({cause}); stop what uses it or set [http] listen to another address"
)]
pub struct BindError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// Opens the listener.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| BindError { address, cause })
}

/// Serves until `stop` becomes true, then finishes the requests under way.
pub async fn serve(listener: TcpListener, service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue, // forget the finished ones
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => match service.admit(peer.ip()) {
                Some(place) => {
                    tasks.spawn(connection(
                        stream,
                        peer,
                        service.clone(),
                        stop.clone(),
                        place,
                    ));
                }
                None => service.metrics.rejected(Rejected::Connections), // closed by being dropped
            },
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
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let settings = &service.config.http;
    let body_timeout = Duration::from_secs(settings.body_timeout_s.0.into());
    // Small answers must not wait for acknowledgements; a stream that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    service.metrics.change_held(Held::HttpConnections, 1);
    let answering = service.clone();
    let handle = hyper::service::service_fn(move |request| {
        let service = answering.clone();
        async move { Ok::<_, Infallible>(service.answer(peer.ip(), request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(settings.head_timeout_s.0.into()))
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX);
    let connection =
        http.serve_connection(TokioIo::new(Patience::new(stream, body_timeout)), handle);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        service.metrics.rejected(reason(&error));
        debug!(%error, "HTTP connection ended");
    }
    service.metrics.change_held(Held::HttpConnections, -1);
}

fn reason(error: &hyper::Error) -> Rejected {
    match () {
        () if error.is_parse_too_large() => Rejected::TooLarge,
        () if error.is_parse() => Rejected::Malformed,
        () => Rejected::Idle,
    }
}

#[cfg(test)]
mod tests;
