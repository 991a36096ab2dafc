//! Overrides of the operator over HTTP: `/overrides` lists them, `/overrides/<presentity>/<watcher>` is one.
//!
//! Every change that the node has committed leaves a line of the target `audit`.

use super::{Answer, Busy, Service, plain, xcap};
use crate::telemetry::log::AUDIT_TARGET;
use crate::telemetry::metrics::Rejected;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use ims::node::{Administered, Administration, Override, Scope};
use ims::presence::rules::Handling;
use ims::sip::text::hex;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use tracing::{info, warn};

/// Path of the list.
pub(crate) const PATH: &str = "/overrides";

/// Longest wait for a decision, as for an XCAP request; all live subscriptions may have to be looked at.
const DECISION_TIMEOUT: Duration = Duration::from_secs(20);

/// An override as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub presentity: String,
    pub watcher: String,
    pub handling: String,
    /// Who ordered it, and why.
    pub by: String,
    pub why: String,
    /// When it was set, in milliseconds since the epoch.
    pub at: u64,
}

impl From<&Override> for Shown {
    fn from(of: &Override) -> Shown {
        Shown {
            presentity: of.scope.presentity().to_owned(),
            watcher: of.scope.watcher().to_owned(),
            handling: of.handling.word().to_owned(),
            by: of.by.clone(),
            why: of.why.clone(),
            at: of.at.0,
        }
    }
}

/// Body of a PUT.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ordered {
    /// `allow`, `polite-block`, `confirm` or `block`.
    pub handling: String,
    pub by: String,
    pub why: String,
}

/// Body of a DELETE.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lifted {
    pub by: String,
    pub why: String,
}

/// Body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub error: String,
}

/// What a request asks, and who asks it why.
struct Order {
    request: Administration,
    by: String,
    why: String,
}

pub(super) async fn answer(
    service: &Service,
    peer: IpAddr,
    below: &str,
    request: Request<Incoming>,
) -> Answer {
    let method = request.method().clone();
    // trusted peers alone get here
    let body = match xcap::read(service, true, request.into_body()).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let order = match (method.as_str(), below) {
        ("GET" | "HEAD", "") => Ok(Order {
            request: Administration::List,
            by: String::new(),
            why: String::new(),
        }),
        ("PUT", path) if !path.is_empty() => imposing(path, &body),
        ("DELETE", path) if !path.is_empty() => lifting(path, &body),
        (_, "") => return not_allowed("GET, HEAD"),
        _ => return not_allowed("PUT, DELETE"),
    };
    let order = match order {
        Ok(order) => order,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error),
    };
    let decided = match service.port.administer(order.request) {
        Ok(decision) => tokio::time::timeout(DECISION_TIMEOUT, decision).await,
        Err(Busy) => {
            service.metrics.rejected(Rejected::Overload);
            return xcap::busy();
        }
    };
    match decided {
        Ok(Ok(administered)) => told(peer, &administered, &order.by, &order.why),
        Ok(Err(_)) | Err(_) => {
            warn!("a request about overrides was not decided");
            xcap::busy()
        }
    }
}

fn imposing(path: &str, body: &[u8]) -> Result<Order, String> {
    let ordered: Ordered = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let handling = Handling::parse(&ordered.handling)
        .ok_or("handling is allow, polite-block, confirm or block")?;
    let Ordered { by, why, .. } = ordered;
    let request = Administration::impose(scope(path)?, handling, &by, &why);
    let request = request.map_err(|e| e.to_string())?;
    Ok(Order { request, by, why })
}

fn lifting(path: &str, body: &[u8]) -> Result<Order, String> {
    let Lifted { by, why } = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    Administration::said(&by, &why).map_err(|e| e.to_string())?;
    let request = Administration::Lift(scope(path)?);
    Ok(Order { request, by, why })
}

/// Presentity and watcher in a path, each percent-encoded.
fn scope(path: &str) -> Result<Scope, String> {
    let halves = path.strip_prefix('/').and_then(|p| p.split_once('/'));
    let (presentity, watcher) = halves.ok_or("the path is /overrides/<presentity>/<watcher>")?;
    let decode = |part| decoded(part).ok_or("the path has a broken escape");
    Scope::parse(&decode(presentity)?, &decode(watcher)?).map_err(|e| e.to_string())
}

pub(super) fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? * 16 + hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The answer to what is committed, and its line in the audit log: who, when (the line's own time), what, why.
fn told(peer: IpAddr, administered: &Administered, by: &str, why: &str) -> Answer {
    match administered {
        Administered::All(all) => {
            let all: Vec<Shown> = all.iter().map(Shown::from).collect();
            json(StatusCode::OK, &all)
        }
        Administered::Imposed { now, before } => {
            let (presentity, watcher) = (now.scope.presentity(), now.scope.watcher());
            let handling = now.handling.word();
            let before = before.as_ref().map(|before| before.handling.word());
            info!(target: AUDIT_TARGET, %peer, by, why, presentity, watcher, handling, before, "override set");
            let status = match before {
                Some(_) => StatusCode::OK,
                None => StatusCode::CREATED,
            };
            json(status, &Shown::from(now))
        }
        Administered::Lifted(lifted) => {
            let (presentity, watcher) = (lifted.scope.presentity(), lifted.scope.watcher());
            let before = lifted.handling.word();
            info!(target: AUDIT_TARGET, %peer, by, why, presentity, watcher, before, "override removed");
            json(StatusCode::OK, &Shown::from(lifted))
        }
        Administered::Absent => refused(StatusCode::NOT_FOUND, "there is no such override"),
        Administered::Full(most) => refused(
            StatusCode::INSUFFICIENT_STORAGE,
            format!(
                "{most} overrides are kept and no more: remove some, or raise limits.overrides"
            ),
        ),
    }
}

fn refused(status: StatusCode, error: impl Into<String>) -> Answer {
    json(
        status,
        &Refused {
            error: error.into(),
        },
    )
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
    let allow = HeaderValue::from_static(methods);
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let mut answer = plain(status);
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    // plain structs of text and numbers always serialise
    let text = serde_json::to_vec(value).unwrap_or_default();
    *answer.body_mut() = Full::new(Bytes::from(text));
    answer
}
