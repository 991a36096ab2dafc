//! HTTP: XCAP below its root, administration beside it, limits around both.
//!
//! A client is bounded in what it sends (head, body), in the time it takes to send or read, in the number of its
//! connections and in how often it asks; trusted addresses have connections of their own, so that probes get through a
//! flood.

mod access;
pub(crate) mod charging;
mod coding;
pub(crate) mod digest;
pub(crate) mod fetch;
pub(crate) mod files;
mod forward;
mod listen;
mod merged;
pub(crate) mod overrides;
mod patience;
mod rates;
mod tls;
mod who;
mod xcap;

pub use fetch::Vouched;
pub use files::FileError;
pub use listen::{BindError, bind, serve};

use crate::admin::{self, Readiness};
use crate::charging::desk::Desk;
use crate::charging::online::enquiry::Enquirer;
use crate::config::{Config, any_contains};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Method;
use ahash::RandomState;
use bytes::Bytes;
use digest::{Guard, Key};
use files::{Loaded, Refresh};
use forward::Remotes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use ims::node::{Administered, Administration};
use ims::xdm::merge::Merger;
use ims::xdm::request as xdm;
use ims::xml::schema::LoadError;
use listen::{Places, stopped};
use rates::{Rates, whom};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::Signal;
use tokio::sync::{oneshot, watch};
use tokio_rustls::rustls::ServerConfig;
use tracing::debug;
use who::Refusal;

/// How often files are looked at for changes.
const LOOK: Duration = Duration::from_secs(30);

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

/// The far end of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: IpAddr,
    /// By its address or by its certificate.
    is_trusted: bool,
    /// Over TLS.
    is_secure: bool,
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Unusable(#[from] FileError),
    #[error("no random numbers from the system ({0})")]
    Random(getrandom::Error),
    #[error("a schema of this program cannot be read ({0}); this is a defect, please report it")]
    Schema(#[from] LoadError),
}

impl From<getrandom::Error> for SetupError {
    fn from(why: getrandom::Error) -> SetupError {
        SetupError::Random(why)
    }
}

/// What answers HTTP requests.
pub struct Service {
    config: Arc<Config>,
    port: Arc<dyn Port>,
    metrics: Metrics,
    readiness: Arc<Readiness>,
    started: Instant,
    places: Places,
    tls: Option<Arc<Loaded<ServerConfig>>>,
    guard: Option<Guard>,
    of_peer: Rates<IpAddr>,
    of_user: Rates<Box<str>>,
    remotes: Remotes,
    /// Where there are remotes.
    merger: Option<Merger>,
    access: Option<access::Log>,
    /// Where charging is on.
    charging: Option<Desk>,
    /// Where online charging is on.
    enquirer: Option<Enquirer>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("settings", &self.config.http)
            .finish_non_exhaustive()
    }
}

type Answer = Response<Full<Bytes>>;

/// Kept with an answer for the access log.
#[derive(Clone, Debug)]
struct AskedBy(String);

impl Service {
    /// Reads the files that the configuration names.
    pub fn new(
        config: Arc<Config>,
        port: Arc<dyn Port>,
        metrics: Metrics,
        readiness: Arc<Readiness>,
    ) -> Result<Service, SetupError> {
        let http = &config.http;
        let hash = seeded()?;
        let tls = match http.tls_listen {
            None => None,
            Some(_) => {
                let files = vec![
                    http.certificate.clone(),
                    http.key.clone(),
                    http.client_ca.clone(),
                ];
                let config = config.clone();
                let load = Box::new(move || tls::server(&config.http));
                Some(Arc::new(Loaded::new("certificates", files, load)?))
            }
        };
        let digest = &config.xcap.digest;
        let guard = match digest.is_on() {
            true => {
                let realm = config.sip.home_domains.first();
                let realm = realm.map_or("", String::as_str);
                Some(Guard::new(digest, realm, Key::random()?, &hash)?)
            }
            false => None,
        };
        let access = match http.access_log.as_str() {
            "" => None,
            to => {
                let is_open = config.log.identities;
                let key = if is_open { None } else { Some(Key::random()?) };
                Some(access::Log::start(to, key, &http.xcap_root)?)
            }
        };
        let own = format!(
            "presentia-{}",
            crate::ua::digest::hex(&Key::random()?.mark(b"via")[..8])
        );
        Ok(Service {
            places: Places::new(http),
            of_peer: Rates::new(http.peer_rate, hash.clone()),
            of_user: Rates::new(http.user_rate, hash),
            remotes: Remotes::new(&config.xcap.remotes, own)?,
            merger: match config.xcap.remotes.is_empty() {
                true => None,
                false => Some(Merger::new()?),
            },
            started: Instant::now(),
            config,
            port,
            metrics,
            readiness,
            tls,
            guard,
            access,
            charging: None,
            enquirer: None,
        })
    }

    /// With questions to the OCS.
    pub fn with_enquiries(self, enquirer: Option<Enquirer>) -> Service {
        Service { enquirer, ..self }
    }

    /// With the records of charging.
    pub fn with_charging(self, charging: Option<Desk>) -> Service {
        Service { charging, ..self }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        any_contains(&self.config.http.trusted_proxies, peer)
    }

    async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Answer {
        let began = Instant::now();
        let method = Method::from(request.method().as_str());
        let is_head = method == Method::Head;
        let version = request.version();
        let takes_gzip = coding::takes_gzip(request.headers());
        let asked_tag = request.headers().get(header::IF_NONE_MATCH).cloned();
        let line = self.access.as_ref();
        let line = line.map(|_| (request.method().clone(), request.uri().path().to_owned()));
        let mut answer = match self.admits(peer) {
            Ok(()) => self.route(peer, request).await,
            Err(refusal) => refusal.answer(self),
        };
        self.metrics.http(method, answer.status().as_u16());
        debug!(method = ?method, status = answer.status().as_u16(), "HTTP request answered");
        if method == Method::Get || is_head {
            coding::apply(&mut answer, self.config.http.compress_above, takes_gzip);
            coding::as_asked(&mut answer, asked_tag.as_ref());
        }
        if let Ok(server) = HeaderValue::from_str(&self.config.sip.server)
            && !server.is_empty()
        {
            answer.headers_mut().insert(header::SERVER, server);
        }
        if version == Version::HTTP_2 {
            answer.headers_mut().remove(header::CONNECTION); // RFC 9113 §8.2.2
        }
        let length = answer.body().size_hint().exact().unwrap_or(0);
        if let (Some(log), Some((method, path))) = (&self.access, line) {
            log.add(&access::Entry {
                peer: peer.address,
                user: answer.extensions().get().map(|AskedBy(user)| user.as_str()),
                method: method.as_str(),
                path: &path,
                version,
                is_secure: peer.is_secure,
                status: answer.status().as_u16(),
                bytes: if is_head { 0 } else { length },
                took: began.elapsed(),
            });
        }
        if is_head {
            // RFC 9110 §9.3.2: the headers of a GET; the length is stated since the body is not sent.
            answer
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
            *answer.body_mut() = Full::default();
        }
        answer
    }

    /// Whether the peer may ask once more.
    fn admits(&self, peer: Peer) -> Result<(), Refusal> {
        if peer.is_trusted {
            return Ok(());
        }
        let now = self.started.elapsed();
        let taken = self.of_peer.take(whom(peer.address), now);
        taken.map_err(Refusal::Wait)
    }

    /// Looks at the files again when they have changed, and when a signal asks for it, until `stop` becomes true.
    pub async fn keep_current(
        self: Arc<Service>,
        mut hangups: Signal,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut files: Vec<Arc<dyn Refresh>> = Vec::new();
        if let Some(tls) = &self.tls {
            files.push(tls.clone());
        }
        files.extend(self.guard.as_ref().map(Guard::file));
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                _ = hangups.recv() => true,
                () = stopped(&mut stop) => return,
            };
            if let Some(log) = self.access.as_ref().filter(|_| is_asked) {
                log.reopen();
            }
            let files = files.clone();
            let work = move || files.iter().for_each(|file| file.refresh(is_asked));
            // it ends by itself; a panic in it would be a defect and is in the log
            let _ = tokio::task::spawn_blocking(work).await;
        }
    }

    async fn route(&self, peer: Peer, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let below_root = path.strip_prefix(self.config.http.xcap_root.as_str());
        if let Some(target) = below_root.filter(|rest| rest.starts_with('/')) {
            let target = target.to_owned();
            return xcap::answer(self, peer, &target, request).await;
        }
        let overrides = path.strip_prefix(overrides::PATH);
        if let Some(below) = overrides
            .filter(|below| peer.is_trusted && (below.is_empty() || below.starts_with('/')))
        {
            let below = below.to_owned();
            return overrides::answer(self, peer.address, &below, request).await;
        }
        let charges = self.charging.is_some() || self.enquirer.is_some();
        let below = path.strip_prefix(charging::PATH);
        if let Some(below) = below.filter(|_| peer.is_trusted && charges) {
            let below = below.to_owned();
            return charging::answer(self, peer.address, &below, request).await;
        }
        let page = match peer.is_trusted {
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

/// Tables that strangers fill are hashed with a seed that they do not know.
fn seeded() -> Result<RandomState, getrandom::Error> {
    let mut seeds = [0; 4];
    for seed in &mut seeds {
        *seed = getrandom::u64()?;
    }
    let [a, b, c, d] = seeds;
    Ok(RandomState::with_seeds(a, b, c, d))
}

#[cfg(test)]
mod tests;
