//! Who stands behind a request (TS 33.222, TS 24.109 §6, OMA XDM): a trusted proxy says so, or Digest proves it.
//!
//! Credentials go before assertions: a request that carries them comes from a client, and what it says of itself beside
//! them counts for nothing.

use super::digest::{Asked, Guard, Verdict, is_same_identity};
use super::xcap::joined;
use super::{Answer, Peer, Service, plain};
use crate::telemetry::metrics::Rejected;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use ims::sip::Aor;
use ims::xdm::request::Identity;
use std::time::Duration;

/// Headers by which a trusted proxy says who is asking, in order of preference.
const ASSERTED: [&str; 2] = [GAA, OMA];
const GAA: &str = "x-3gpp-asserted-identity";
const OMA: &str = "x-xcap-asserted-identity";
/// RFC 3325 §9.1: another shape, `"Bob" <sip:bob@ims.test>`.
const SIP: &str = "p-asserted-identity";

/// By which a client says which of its identities it wants to use (TS 24.109 §6.4.2.2).
const INTENDED: &str = "x-3gpp-intended-identity";

/// Who is asking, and how we know.
#[derive(Debug)]
pub(super) struct Who {
    pub identity: Identity,
    /// One name for all spellings and identities under which the same user may ask.
    pub account: String,
    /// The header in which another document server is told.
    pub header: HeaderName,
    /// For the client's next credentials.
    pub next_nonce: Option<String>,
}

impl Who {
    fn user(identities: String, header: &'static str) -> Who {
        let first = identities.split(',').next().unwrap_or_default();
        let first = first.trim_matches([' ', '"', '<', '>']);
        Who {
            account: Aor::parse(first).map_or_else(|| identities.clone(), |aor| aor.to_string()),
            identity: Identity::User(identities),
            header: HeaderName::from_static(header),
            next_nonce: None,
        }
    }
}

/// Why somebody is not served: one variant for each answer on which a client acts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 401: no or wrong credentials, or right ones that are stale.
    Challenge { is_stale: bool },
    /// 400: credentials for another resource.
    OtherResource,
    /// 403: an identity of somebody else.
    NotTheirs,
    /// 429: too often, or too many wrong passwords.
    Wait(Duration),
}

impl Refusal {
    pub(super) fn answer(self, service: &Service) -> Answer {
        let rejected = |why| service.metrics.rejected(why);
        match self {
            Refusal::Challenge { is_stale } => {
                let mut answer = plain(StatusCode::UNAUTHORIZED);
                let guard = service.guard.iter();
                let now = service.started.elapsed();
                for challenge in guard.flat_map(|guard| guard.challenges(now, is_stale)) {
                    if let Ok(value) = HeaderValue::from_str(&challenge) {
                        answer.headers_mut().append(header::WWW_AUTHENTICATE, value);
                    }
                }
                answer
            }
            Refusal::OtherResource => plain(StatusCode::BAD_REQUEST),
            Refusal::NotTheirs => plain(StatusCode::FORBIDDEN),
            Refusal::Wait(wait) => {
                rejected(Rejected::Rate);
                let mut answer = plain(StatusCode::TOO_MANY_REQUESTS);
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let headers = answer.headers_mut();
                headers.insert(header::RETRY_AFTER, seconds.into());
                answer
            }
        }
    }
}

/// Who is asking, or why that cannot be known.
pub(super) fn is_asking(service: &Service, peer: Peer, head: &Parts) -> Result<Who, Refusal> {
    let allows_plain = service.config.xcap.digest.allow_plain;
    let guard = service.guard.as_ref();
    let guard = guard.filter(|_| peer.is_secure || allows_plain);
    let credentials = head.headers.get(header::AUTHORIZATION);
    let credentials = credentials.and_then(|value| value.to_str().ok());
    if let (Some(guard), Some(credentials)) = (guard, credentials) {
        return proven(service, guard, peer, head, credentials);
    }
    if peer.is_trusted
        && let Some(who) = asserted(&head.headers)
    {
        return Ok(who);
    }
    match guard {
        Some(_) => Err(Refusal::Challenge { is_stale: false }),
        None => Ok(Who {
            identity: Identity::Unknown,
            account: String::new(),
            header: HeaderName::from_static(OMA),
            next_nonce: None,
        }),
    }
}

fn proven(
    service: &Service,
    guard: &Guard,
    peer: Peer,
    head: &Parts,
    credentials: &str,
) -> Result<Who, Refusal> {
    let target = head.uri.path_and_query();
    let verdict = guard.judge(
        credentials,
        Asked {
            method: head.method.as_str(),
            target: target.map_or("/", |target| target.as_str()),
            peer: peer.address,
            now: service.started.elapsed(),
        },
    );
    match verdict {
        Verdict::Known {
            identities,
            next_nonce,
        } => {
            let account = identities.first().cloned().unwrap_or_default();
            let meant = meant(identities, &head.headers)?;
            Ok(Who {
                next_nonce,
                account,
                ..Who::user(meant, OMA)
            })
        }
        Verdict::Challenge { is_stale } => {
            if !is_stale {
                service.metrics.rejected(Rejected::Credentials);
            }
            Err(Refusal::Challenge { is_stale })
        }
        Verdict::BadRequest => Err(Refusal::OtherResource),
        Verdict::Wait(wait) => Err(Refusal::Wait(wait)),
    }
}

/// The identities that the request is made under, in the words of an asserted-identity header: the one intended, if it
/// is the user's, or all.
fn meant(identities: Vec<String>, headers: &HeaderMap) -> Result<String, Refusal> {
    let Some(intended) = joined(headers, &HeaderName::from_static(INTENDED)) else {
        let quoted: Vec<String> = identities.iter().map(|one| format!("\"{one}\"")).collect();
        return Ok(quoted.join(", "));
    };
    let intended = intended.trim().trim_matches('"').trim();
    // in the operator's spelling: what the client writes goes no further
    let own = identities
        .iter()
        .find(|own| is_same_identity(intended, own));
    own.map(|own| format!("\"{own}\""))
        .ok_or(Refusal::NotTheirs)
}

/// Who is asking, in the words of a trusted proxy.
fn asserted(headers: &HeaderMap) -> Option<Who> {
    // A URI is ASCII (RFC 3986 §1.2.1); anything else names nobody.
    let is_said = |value: &String| value.is_ascii() && !value.trim().is_empty();
    let value_of = |name| joined(headers, &HeaderName::from_static(name));
    for name in ASSERTED {
        if let Some(value) = value_of(name) {
            // all identities stand in one line: of two, a client wrote one, and the proxy let it through
            let is_one = headers.get_all(name).iter().count() == 1;
            return (is_one && is_said(&value)).then(|| Who::user(value, name));
        }
    }
    let addresses = quoted_uris(&value_of(SIP).filter(is_said)?);
    (!addresses.is_empty()).then(|| Who::user(addresses, OMA))
}

/// The URIs of a list of name-addrs, each in double quotes.
fn quoted_uris(value: &str) -> String {
    let (mut uris, mut is_quoted, mut from) = (Vec::new(), false, None);
    let mut is_escaped = false;
    let mut take = |text: &str| {
        let uri = text.trim();
        if !uri.is_empty() && !uri.contains(['"', '<', '>']) {
            uris.push(format!("\"{uri}\""));
        }
    };
    let mut start = 0;
    for (at, c) in value.char_indices() {
        match c {
            '\\' if is_quoted && !is_escaped => {
                is_escaped = true;
                continue;
            }
            '"' if from.is_none() && !is_escaped => is_quoted = !is_quoted,
            '<' if !is_quoted => from = Some(at + 1),
            '>' if !is_quoted => {
                if let Some(from) = from.take() {
                    take(value.get(from..at).unwrap_or(""));
                }
                start = usize::MAX; // nothing more of this member
            }
            ',' if !is_quoted && from.is_none() => {
                take(value.get(start..at).unwrap_or(""));
                start = at + 1;
            }
            _ => {}
        }
        is_escaped = false;
    }
    take(value.get(start..).unwrap_or(""));
    uris.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uris_of_p_asserted_identity_are_taken_and_no_display_name() {
        for (value, uris) in [
            ("<sip:bob@ims.test>", "\"sip:bob@ims.test\""),
            ("sip:bob@ims.test", "\"sip:bob@ims.test\""),
            (
                "\"Bob, <sip:eve@ims.test>\" <sip:bob@ims.test>, tel:+361",
                "\"sip:bob@ims.test\", \"tel:+361\"",
            ),
            (
                "\"a\\\" <sip:eve@ims.test>\" <sip:bob@ims.test>",
                "\"sip:bob@ims.test\"",
            ),
            ("<sip:bob@ims.test", ""),
            ("\"sip:bob@ims.test\"", ""),
            ("", ""),
        ] {
            assert_eq!(quoted_uris(value), uris, "{value}");
        }
    }

    #[test]
    fn the_intended_identity_is_one_of_the_users() {
        let own = || vec!["sip:bob@ims.test".to_owned(), "tel:+36105550001".to_owned()];
        for (case, intended, meant_as) in [
            (
                "none",
                None,
                Some("\"sip:bob@ims.test\", \"tel:+36105550001\""),
            ),
            (
                "the first",
                Some("\"sip:bob@ims.test\""),
                Some("\"sip:bob@ims.test\""),
            ),
            (
                "the second",
                Some("tel:+36105550001"),
                Some("\"tel:+36105550001\""),
            ),
            ("of somebody else", Some("\"sip:eve@ims.test\""), None),
            (
                "two",
                Some("\"sip:bob@ims.test\", \"sip:eve@ims.test\""),
                None,
            ),
            ("empty", Some("\"\""), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(intended) = intended {
                headers.insert(INTENDED, HeaderValue::from_static(intended));
            }
            let seen = meant(own(), &headers);
            assert_eq!(
                seen,
                meant_as.map(String::from).ok_or(Refusal::NotTheirs),
                "{case}"
            );
        }
    }
}
