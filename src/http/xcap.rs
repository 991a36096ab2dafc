//! An XCAP request over HTTP to a value and back (RFC 4825 §7, §8).

use super::merged::{self, Wanted};
use super::who::{self, Refusal, Who};
use super::{Answer, AskedBy, Busy, Peer, Service, coding, plain};
use crate::telemetry::log::AUDIT_TARGET;
use crate::telemetry::metrics::Rejected;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use ims::xdm::request::{self as xdm, Identity};
use std::time::Duration;
use tracing::{info, warn};

/// What an XCAP resource takes (RFC 4825 §7); `OPTIONS` is answered here.
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, DELETE, OPTIONS");

/// Seconds after which a client is asked to try again.
const RETRY_AFTER_S: u16 = 2;

/// Longest wait for a decision: it takes microseconds and one disk write.
const DECISION_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn answer(
    service: &Service,
    peer: Peer,
    target: &str,
    request: Request<Incoming>,
) -> Answer {
    if request.method() == hyper::Method::OPTIONS {
        let mut answer = plain(StatusCode::OK);
        answer.headers_mut().insert(header::ALLOW, ALLOW);
        return answer;
    }
    let (mut head, body) = request.into_parts();
    let body = match read(service, peer.is_trusted, body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let who = match who::is_asking(service, peer, &head) {
        Ok(who) => who,
        Err(refusal) => return refusal.answer(service),
    };
    let mut answer = match admitted(service, &who) {
        Err(refusal) => refusal.answer(service),
        Ok(()) => {
            for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
                let condition = joined(&head.headers, &name).map(coding::without_coding);
                if let Some(Ok(value)) = condition.as_deref().map(HeaderValue::from_str) {
                    head.headers.insert(name, value);
                }
            }
            routed(service, peer, target, &head, body, &who).await
        }
    };
    if let Some(nonce) = who.next_nonce
        && let Ok(value) = HeaderValue::from_str(&format!("nextnonce=\"{nonce}\""))
    {
        answer.headers_mut().insert(AUTHENTICATION_INFO, value);
    }
    if let Identity::User(user) = who.identity {
        answer.extensions_mut().insert(AskedBy(user));
    }
    answer
}

/// The answer of this server, of another, or of all that have a part in it.
async fn routed(
    service: &Service,
    peer: Peer,
    target: &str,
    head: &Parts,
    body: Bytes,
    who: &Who,
) -> Answer {
    let remotes = &service.remotes;
    match Wanted::of(service, target, head) {
        Some(_) if remotes.is_last(head) => {
            return decided(service, peer, target, head, body, who).await;
        }
        Some(wanted) => return merged::answer(service, peer, &wanted, head, who).await,
        None => {}
    }
    match remotes.of(target) {
        Some(_) if who.identity == Identity::Unknown => unknown(service),
        Some(number) => remotes.ask(number, target, head, body, who).await,
        None => decided(service, peer, target, head, body, who).await,
    }
}

/// RFC 7615 §3.
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

/// Whether the user may ask once more.
fn admitted(service: &Service, who: &Who) -> Result<(), Refusal> {
    if who.identity == Identity::Unknown {
        return Ok(());
    }
    let now = service.started.elapsed();
    let taken = service.of_user.take(who.account.as_str().into(), now);
    taken.map_err(Refusal::Wait)
}

/// What this server has to say.
pub(super) async fn decided(
    service: &Service,
    peer: Peer,
    target: &str,
    head: &Parts,
    body: Bytes,
    who: &Who,
) -> Answer {
    let is_unknown = who.identity == Identity::Unknown;
    let trail = match &who.identity {
        Identity::User(who) => Some((who.clone(), head.method.clone())),
        Identity::Server | Identity::Unknown => None,
    };
    let request = xdm::Request {
        method: xdm::Method::named(head.method.as_str()),
        target: target.to_owned(),
        query: head.uri.query().map(str::to_owned),
        content_type: joined(&head.headers, &header::CONTENT_TYPE),
        content_encoding: joined(&head.headers, &header::CONTENT_ENCODING),
        if_match: joined(&head.headers, &header::IF_MATCH),
        if_none_match: joined(&head.headers, &header::IF_NONE_MATCH),
        body,
        identity: who.identity.clone(),
    };
    let decided = match service.port.submit(request) {
        Ok(decision) => tokio::time::timeout(DECISION_TIMEOUT, decision).await,
        Err(Busy) => {
            service.metrics.rejected(Rejected::Overload);
            return busy();
        }
    };
    match decided {
        Ok(Ok(response)) if is_unknown && [401, 403].contains(&response.status) => unknown(service),
        Ok(Ok(response)) => {
            if let Some((by, method)) = trail.filter(|_| response.crossed) {
                let status = response.status;
                info!(target: AUDIT_TARGET, peer = %peer.address, by, %method, document = target, status, "documents of others");
            }
            written(response)
        }
        Ok(Err(_)) | Err(_) => {
            warn!("an XCAP request was not decided");
            busy()
        }
    }
}

/// The whole body within the limits, or the refusal.
pub(super) async fn read(
    service: &Service,
    is_trusted: bool,
    body: Incoming,
) -> Result<Bytes, Answer> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let Some(_place) = service.places.body(is_trusted) else {
        return Err(busy());
    };
    let settings = &service.config.http;
    if body.size_hint().lower() > settings.max_body as u64 {
        return Err(closing(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let limit = Duration::from_secs(settings.body_timeout_s.0.into());
    match tokio::time::timeout(limit, Limited::new(body, settings.max_body).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(closing(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(_)) => Err(closing(StatusCode::BAD_REQUEST)),
        Err(_) => Err(closing(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// A refusal after which the rest of the request is not wanted.
fn closing(status: StatusCode) -> Answer {
    let mut answer = plain(status);
    answer
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

pub(super) fn busy() -> Answer {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
    answer
}

/// A refusal because nobody vouches for the sender, with the configured status.
fn unknown(service: &Service) -> Answer {
    if service.config.xcap.unknown_identity != 401 {
        return plain(StatusCode::FORBIDDEN);
    }
    let mut answer = plain(StatusCode::UNAUTHORIZED);
    // RFC 9110 §15.5.2 asks for a challenge; authentication itself is the proxy's (TS 33.222).
    let realm = service
        .config
        .sip
        .home_domains
        .first()
        .map_or("", String::as_str);
    if let Ok(challenge) =
        HeaderValue::from_str(&format!("X-3GPP-Asserted-Identity realm=\"{realm}\""))
    {
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// All lines of a header as one value; `None` when it is absent. What is not text becomes U+FFFD, which no
/// entity-tag, type or identity has: a condition that cannot be read must fail and not vanish.
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = lines.next()?.into_owned();
    Some(lines.fold(first, |all, line| format!("{all}, {line}")))
}

pub(super) fn written(response: xdm::Response) -> Answer {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = plain(status);
    let headers = answer.headers_mut();
    if let Some(Ok(kind)) = response.content_type.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(Ok(etag)) = response.etag.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::ETAG, etag);
        // RFC 4825 §9: a cache cannot know that a change of one part changes others, so it asks each time.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(allow) = response.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
    }
    *answer.body_mut() = Full::new(response.body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_not_text_does_not_vanish() {
        for (case, lines, expected) in [
            ("absent", &[][..], None),
            ("one line", &[&b"\"a\""[..]], Some("\"a\"")),
            ("two lines", &[b"\"a\"", b"\"b\""], Some("\"a\", \"b\"")),
            ("not text", &[b"\"\xff\""], Some("\"\u{fffd}\"")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_MATCH, HeaderValue::from_bytes(line).unwrap());
            }
            assert_eq!(
                joined(&headers, &header::IF_MATCH).as_deref(),
                expected,
                "{case}"
            );
        }
    }
}
