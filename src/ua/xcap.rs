//! An XCAP client: requests to one XCAP root as one user, with the proof of a password where one is asked for.

use super::agent::seeded;
use super::digest::{self, Challenge};
use super::http::{self, Request, Response, exchange};
use super::line::Credentials;
use super::tls::Trust;
use ahash::RandomState;
use bytes::Bytes;
use hyper::header::{self, HeaderName};
use hyper::{Method, Uri};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// TS 24.109 §6: what a client wants to act as, and what a proxy that has authenticated it says it is.
const INTENDED: HeaderName = HeaderName::from_static("x-3gpp-intended-identity");
const ASSERTED: HeaderName = HeaderName::from_static("x-3gpp-asserted-identity");
/// Requests for one answer: the first, one with the proof, one more when the nonce was too old.
const TRIES: usize = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("{0} asks for a password, and none was given")]
    NoPassword(String),
    #[error("{0} does not accept this user and password")]
    WrongPassword(String),
    #[error(
        "no challenge of {0} can be met: it asks for something else than Digest with MD5 or SHA-256"
    )]
    StrangeChallenge(String),
}

/// As whom requests are made.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The identity that the user wants to act as.
    pub intended: Option<String>,
    /// What we assert, as a proxy does that an XDMS trusts.
    pub asserted: Option<String>,
    pub credentials: Option<Credentials>,
    /// Who vouches for a server that is reached over TLS.
    pub trust: Option<Trust>,
}

/// What is put, and where.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub url: Uri,
    /// Value of `If-Match`, and of `If-None-Match`.
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    /// Content-Type and body.
    pub content: Option<(String, Bytes)>,
}

impl Ask {
    /// A request without conditions and body.
    pub fn plain(method: Method, url: Uri) -> Ask {
        Ask {
            method,
            url,
            if_match: None,
            if_none_match: None,
            content: None,
        }
    }
}

/// One user of an XDMS or Aggregation Proxy.
#[derive(Debug)]
pub struct Client {
    identity: Identity,
    /// The challenge that was met last: its nonce serves the next requests too (RFC 7616 §3.3).
    challenge: Mutex<Option<Challenge>>,
    /// Source of client nonces: a keyed hash of a count.
    unique: (RandomState, AtomicU64),
}

impl Client {
    /// Fails where the system has no randomness.
    pub fn new(identity: Identity) -> io::Result<Client> {
        Ok(Client {
            identity,
            challenge: Mutex::default(),
            unique: (seeded()?, AtomicU64::new(0)),
        })
    }

    /// Sends a request, and again with a proof when it is challenged. Gives the final answer.
    pub async fn ask(&self, ask: &Ask) -> Result<Response, Error> {
        let host = ask.url.authority().map_or("", |a| a.as_str()).to_owned();
        let mut fresh = false;
        for _ in 0..TRIES {
            let response = exchange(self.request(ask), self.identity.trust.as_ref()).await?;
            if response.status != 401 {
                self.renew(&response);
                return Ok(response);
            }
            let challenges = response.headers.get_all(header::WWW_AUTHENTICATE);
            let mut challenges = challenges.iter().filter_map(|c| c.to_str().ok()).peekable();
            if challenges.peek().is_none() {
                return Ok(response); // an XDMS that wants its proxy to say who asks
            }
            if self.identity.credentials.is_none() {
                return Err(Error::NoPassword(host));
            }
            let challenge = Challenge::choose(challenges);
            let challenge = challenge.ok_or_else(|| Error::StrangeChallenge(host.clone()))?;
            if fresh && !challenge.is_stale {
                return Err(Error::WrongPassword(host));
            }
            // one more try at the most, unless the nonce alone was too old
            fresh = true;
            *self.challenge() = Some(challenge);
        }
        Err(Error::WrongPassword(host))
    }

    fn challenge(&self) -> MutexGuard<'_, Option<Challenge>> {
        self.challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// `Authentication-Info` may name the nonce for the next time.
    fn renew(&self, response: &Response) {
        let info = response.header(HeaderName::from_static("authentication-info"));
        if let (Some(info), Some(challenge)) = (info, self.challenge().as_mut()) {
            challenge.renew(info);
        }
    }

    fn request(&self, ask: &Ask) -> Request {
        let mut headers = Vec::new();
        let quoted = |identity: &String| format!("\"{identity}\"");
        let identity = &self.identity;
        headers.extend(identity.intended.iter().map(|i| (INTENDED, quoted(i))));
        headers.extend(identity.asserted.iter().map(|i| (ASSERTED, quoted(i))));
        let conditions = [
            (header::IF_MATCH, &ask.if_match),
            (header::IF_NONE_MATCH, &ask.if_none_match),
        ];
        headers.extend(
            conditions
                .into_iter()
                .filter_map(|(name, tag)| Some((name, tag.clone()?))),
        );
        headers.extend(self.proof(ask).map(|proof| (header::AUTHORIZATION, proof)));
        let mut body = Bytes::new();
        if let Some((kind, content)) = &ask.content {
            headers.push((header::CONTENT_TYPE, kind.clone()));
            body = content.clone();
        }
        Request {
            method: ask.method.clone(),
            url: ask.url.clone(),
            headers,
            body,
        }
    }

    fn proof(&self, ask: &Ask) -> Option<String> {
        let credentials = self.identity.credentials.as_ref()?;
        let mut challenge = self.challenge();
        let uri = ask.url.path_and_query().map_or("/", |path| path.as_str());
        let request = digest::Request {
            method: ask.method.as_str(),
            uri,
        };
        let (hash, count) = &self.unique;
        let cnonce = hash.hash_one(count.fetch_add(1, Ordering::Relaxed));
        let (user, password) = (&credentials.user, &credentials.password);
        let challenge = challenge.as_mut()?;
        Some(challenge.prove(request, user, password, &format!("{cnonce:016x}")))
    }
}
