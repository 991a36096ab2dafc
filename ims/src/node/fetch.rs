//! What the node has fetched over HTTP, and the PUBLISHes that wait for content from elsewhere (RFC 4483). Such a request
//! is looked at twice: when it comes, as far as it can be without its content, and when the content has come, as if it had
//! brought it.

use super::request::{Ask, Brought};
use super::{Effect, Node, Outbox, headers};
use crate::isc::{Caller, Charging};
use crate::presence::external::{self, Content, External, Fault};
use crate::presence::service::{BodyType, Package};
use crate::reject::Reject;
use crate::sip::{self, Flow, Framing, Incoming, KnownMethod, Method, Request};
use crate::time::{Seconds, Timestamp};
use crate::transaction::Key;
use bytes::Bytes;
use memchr::memmem;
use std::collections::BTreeMap;

/// What came of a fetch: the answer of the server whatever its status, or why there is none.
pub type Fetched = Result<HttpAnswer, Fault>;

/// An HTTP answer, as far as it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub media_type: Option<String>,
    /// `ETag` as it came, with its quotes.
    pub etag: Option<String>,
    pub bytes: Bytes,
}

/// A GET. It is answered by [`super::Input::Fetched`] with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub number: u64,
    /// Over TLS.
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
    /// Header fields besides `Host`.
    pub headers: Vec<(&'static str, String)>,
    /// Most bytes taken.
    pub limit: usize,
    /// After so long it has failed.
    pub timeout: crate::time::Millis,
}

/// A PUBLISH that waits.
#[derive(Debug)]
struct Waiting {
    flow: Flow,
    key: Key,
    /// The request as it came.
    bytes: Vec<u8>,
    until: Timestamp,
}

/// All that wait, by the number of their fetch.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    /// Number of the last fetch, whoever wanted it.
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl Fetches {
    /// A number that no fetch has had.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// The program tells a fetch's end itself; this much later it is given up on without a word from it.
const GRACE: Seconds = Seconds(1);
/// How long a publisher is asked to stay away when too many wait.
const AWAY: Seconds = Seconds(10);

impl Node {
    /// The bytes of a message that may have its body elsewhere, as they came: it is read again when that is here.
    pub(super) fn copy_of_elsewhere(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let any = !self.settings.presence.external.servers.is_empty()
            && bytes.starts_with(b"PUBLISH ")
            && memmem::find(bytes, b"xternal-").is_some();
        (any || self.may_await_list(bytes)).then(|| bytes.to_vec())
    }

    /// The bytes of a message that may have to wait, for whatever reason.
    pub(super) fn copy_to_wait(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.may_ask_credit(bytes) {
            true => Some(bytes.to_vec()),
            false => self.copy_of_elsewhere(bytes),
        }
    }

    /// Has the content of a PUBLISH fetched, where it is elsewhere and everything else is in order. `false`: the
    /// request is to be answered as any other.
    pub(super) fn waits(
        &mut self,
        now: Timestamp,
        (flow, key): (Flow, Key),
        request: &Request<'_>,
        bytes: Vec<u8>,
        out: &mut Outbox,
    ) -> bool {
        if matches!(request.method, Method::Known(KnownMethod::Subscribe)) {
            return self.awaits_list(now, (flow, key), request, bytes);
        }
        let publish = matches!(request.method, Method::Known(KnownMethod::Publish));
        if !publish || !self.settings.trust.trusts(flow.remote.ip()) {
            return false;
        }
        let ask = Ask {
            request,
            caller: Caller::of(&request.headers),
            charging: Charging::of(&request.headers),
            fetched: None,
        };
        let Ok(external) = self.fetchable(now, &ask) else {
            return false; // what is wrong is told where requests are served
        };
        if self.fetches.len() >= self.settings.presence.external.waiting {
            return false;
        }
        let timeout = self.settings.presence.external.timeout;
        let number = self.fetches.number();
        let waiting = Waiting {
            flow,
            key,
            bytes,
            until: now + timeout + GRACE,
        };
        self.fetches.waiting.insert(number, waiting);
        out.free.push(Effect::Fetch(Box::new(Fetch {
            number,
            limit: self.largest_content(&external),
            tls: false,
            headers: Vec::new(),
            host: external.host,
            port: external.port,
            path: external.path,
            timeout,
        })));
        true
    }

    /// What a PUBLISH wants fetched, if it is in order as far as can be seen.
    fn fetchable(&self, now: Timestamp, ask: &Ask<'_>) -> Result<External, Reject> {
        headers::require(ask.request)?;
        let presentity = self.presentity(ask.request)?;
        let (package, _) = headers::event(ask.request)?;
        if package != Package::Presence {
            return Err(Reject::BadEvent);
        }
        self.may_publish(ask, &presentity)?;
        self.external(now, ask.request)
    }

    /// The announcement of a body that is elsewhere.
    fn external(&self, now: Timestamp, request: &Request<'_>) -> Result<External, Reject> {
        let accept = self.presence.published_types();
        let settings = &self.settings.presence.external;
        let Some(BodyType::External(media)) = headers::body_type(request) else {
            return Err(Reject::UnsupportedMedia { accept });
        };
        if settings.servers.is_empty() {
            return Err(Reject::UnsupportedMedia { accept });
        }
        let limit = self.presence.largest_content();
        External::read(&media, request.body, (now, limit), settings, accept)
    }

    /// Content of the type that is announced may be so large.
    fn largest_content(&self, external: &External) -> usize {
        let body_type = external.media_type.as_deref().map(BodyType::of);
        self.presence.largest_body(body_type)
    }

    /// The body of a PUBLISH that says where it is: its type and its bytes, once they are here.
    pub(super) fn content(&self, now: Timestamp, ask: &Ask<'_>) -> Result<(String, Bytes), Reject> {
        let external = self.external(now, ask.request)?;
        match ask.fetched {
            Some(Ok(answer)) if answer.status == 200 => {
                let content = Content {
                    media_type: answer.media_type.clone(),
                    bytes: answer.bytes.clone(),
                };
                Ok((external.check(&content)?, content.bytes))
            }
            // a redirection is not followed: the operator has listed this server and no other
            Some(Ok(_)) => Err(external::refused(Fault::Refused)),
            Some(Err(fault)) => Err(external::refused(*fault)),
            // in order, and yet it does not wait: there are too many
            None => Err(Reject::Busy { retry_after: AWAY }),
        }
    }

    /// The content of a PUBLISH has come, or will not.
    pub(super) fn fetched(
        &mut self,
        now: Timestamp,
        number: u64,
        fetched: &Fetched,
        out: &mut Outbox,
    ) {
        let Some(mut waiting) = self.fetches.waiting.remove(&number) else {
            return self.remote_fetched(now, number, fetched, out); // no PUBLISH waits for it
        };
        let framing = match waiting.flow.transport.is_reliable() {
            true => Framing::Stream,
            false => Framing::Datagram,
        };
        let limits = self.settings.limits;
        if let Incoming::Request(request) = sip::parse(&mut waiting.bytes, framing, &limits) {
            self.respond(
                now,
                (waiting.flow, waiting.key),
                &request,
                Brought::Content(fetched),
                out,
            );
        }
    }

    /// Gives up on fetches of which nothing was heard.
    pub(super) fn expire_fetches(&mut self, now: Timestamp, out: &mut Outbox) {
        let over = |(_, waiting): &(&u64, &Waiting)| waiting.until <= now;
        while let Some((&number, _)) = self.fetches.waiting.iter().find(over) {
            self.fetched(now, number, &Err(Fault::TimedOut), out);
        }
    }
}
