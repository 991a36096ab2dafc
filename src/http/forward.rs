//! Requests for documents of other servers behind the same XCAP root (OMA XDM, aggregation proxy): sent on with who is
//! asking, and the answer brought back. Only headers that XCAP knows go through, in both directions, so nothing that a
//! client says of itself does.

use super::files::FileError;
use super::merged::Said;
use super::tls;
use super::who::Who;
use super::xcap::joined;
use super::{Answer, coding, plain};
use crate::config::XcapRemote;
use crate::ua::tls::Trust;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ims::xdm::key::{DocumentKey, Tree};
use ims::xdm::merge;
use ims::xdm::request::Identity;
use ims::xdm::selector::Selector;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::warn;

/// Largest answer that is taken from another server, in bytes.
const ANSWER_MAX: usize = 16 << 20;

/// Proxies that a request may pass (RFC 9110 §7.6.2), ours included, where it does not say.
const HOPS: u8 = 10;

/// What goes through from the client: everything that means something to an XDMS.
const ASKED: [HeaderName; 5] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
];

/// What comes back.
const ANSWERED: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ETAG,
    header::ALLOW,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
];

/// `Max-Forwards`.
const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

type Sender = SendRequest<Full<Bytes>>;

/// Another document server.
#[derive(Debug)]
struct Remote {
    auids: Vec<String>,
    domains: Vec<String>,
    /// Host and port as they are written in `Host`.
    authority: String,
    host: String,
    port: u16,
    /// Path of its XCAP root.
    path: String,
    tls: Option<Trust>,
    timeout: Duration,
    /// Connections that wait for work.
    idle: Mutex<Vec<Sender>>,
    places: Semaphore,
}

/// All others, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Remotes {
    all: Vec<Arc<Remote>>,
    /// Our name in `Via`, by which a request that comes back is known.
    own: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    #[error("it ended the connection without an answer ({0})")]
    Broken(String),
    #[error("it does not believe this server")]
    Refused,
    #[error("no answer in time")]
    Late,
}

impl Trouble {
    fn status(&self) -> StatusCode {
        match self {
            Trouble::Late => StatusCode::GATEWAY_TIMEOUT,
            Trouble::Unreachable(_) | Trouble::Broken(_) | Trouble::Refused => {
                StatusCode::BAD_GATEWAY
            }
        }
    }
}

impl Remotes {
    /// `own`: what no other proxy is called.
    pub(super) fn new(settings: &[XcapRemote], own: String) -> Result<Remotes, FileError> {
        let all: Result<Vec<_>, _> = settings
            .iter()
            .map(|one| Remote::new(one).map(Arc::new))
            .collect();
        Ok(Remotes { all: all?, own })
    }

    /// The number of the server that has the documents of `target`, a path below the root; none when it is this one.
    pub(super) fn of(&self, target: &str) -> Option<usize> {
        if self.all.is_empty() {
            return None;
        }
        // a path that says nothing is refused here
        let key = Selector::parse(target).ok()?.key;
        self.serving(&key.auid, &key.tree)
    }

    /// The number of the server that has the documents of a usage in a tree; none when it is this one.
    pub(super) fn serving(&self, auid: &str, tree: &Tree) -> Option<usize> {
        self.all
            .iter()
            .position(|remote| has(&remote.auids, auid) && remote.serves(tree))
    }

    /// The numbers of the servers that have a part in a document that all make together. None of them when one has it
    /// whole, because the operator names its usage there.
    pub(super) fn concerned(&self, key: &DocumentKey) -> Vec<usize> {
        let numbered = self.all.iter().enumerate();
        let concerned = numbered.filter(|(_, remote)| match key.tree {
            Tree::Global => true, // what it can do for its users
            Tree::User(_) => remote.serves(&key.tree),
        });
        let concerned: Vec<_> = concerned.collect();
        let names = |remote: &Remote| {
            let mut auids = remote.auids.iter();
            auids.any(|auid| auid.eq_ignore_ascii_case(&key.auid)) && remote.serves(&key.tree)
        };
        match concerned.iter().any(|(_, remote)| names(remote)) {
            true => Vec::new(),
            false => concerned.into_iter().map(|(number, _)| number).collect(),
        }
    }

    /// Whether requests for documents of a usage may go to server `number`.
    pub(super) fn takes(&self, number: usize, auid: &str) -> bool {
        let remote = self.all.get(number);
        remote.is_some_and(|remote| has(&remote.auids, auid))
    }

    /// The usages of server `number` as far as they can be told without it: those configured, or all that are `known`.
    pub(super) fn auids<'a>(&'a self, number: usize, known: &'a [String]) -> &'a [String] {
        match self.all.get(number) {
            Some(remote) if !remote.auids.is_empty() => &remote.auids,
            _ => known,
        }
    }

    /// Whether a request is to be answered by this server alone: it says so, or it has been here before.
    pub(super) fn is_last(&self, head: &Parts) -> bool {
        hops(head) == 0 || self.has_passed(head)
    }

    fn has_passed(&self, head: &Parts) -> bool {
        let via = joined(&head.headers, &header::VIA).unwrap_or_default();
        via.split([',', ' ']).any(|name| name == self.own)
    }

    /// `Via` of what is sent on.
    fn via(&self, head: &Parts) -> String {
        match joined(&head.headers, &header::VIA) {
            Some(via) if !via.is_empty() => format!("{via}, 1.1 {}", self.own),
            _ => format!("1.1 {}", self.own),
        }
    }

    /// What several servers say of one document, asked at the same time, each within its own. They ask nobody in turn, so
    /// that proxies which know one another do not multiply a request.
    pub(super) async fn ask_all(
        &self,
        numbers: &[usize],
        target: &str,
        head: &Parts,
        who: &Who,
    ) -> Said {
        let via = self.via(head);
        let mut said = Said::new();
        let mut asked = JoinSet::new();
        for &number in numbers {
            said.insert(number, Err(StatusCode::BAD_GATEWAY));
            let Some(remote) = self.all.get(number).cloned() else {
                continue;
            };
            if let Some(request) = remote.request(target, head, Bytes::new(), who, (&via, 0)) {
                // dropped with the set when the client goes
                asked.spawn(async move { (number, remote.document(request).await) });
            }
        }
        while let Some(one) = asked.join_next().await {
            if let Ok((number, answer)) = one {
                said.insert(number, answer);
            }
        }
        said
    }

    /// The answer of server `number`, or why there is none.
    pub(super) async fn ask(
        &self,
        number: usize,
        target: &str,
        head: &Parts,
        body: Bytes,
        who: &Who,
    ) -> Answer {
        let Some(remote) = self.all.get(number) else {
            return plain(StatusCode::NOT_FOUND);
        };
        let Some(left) = hops(head).checked_sub(1) else {
            return plain(StatusCode::LOOP_DETECTED);
        };
        if self.has_passed(head) {
            warn!(remote = remote.authority, "a request has come back here");
            return plain(StatusCode::LOOP_DETECTED);
        }
        let via = self.via(head);
        let asked = remote.request(target, head, body, who, (&via, left));
        let Some(request) = asked else {
            return plain(StatusCode::BAD_REQUEST);
        };
        match remote.answer(request, ANSWER_MAX).await {
            Ok(answer) => answer,
            Err(status) => plain(status),
        }
    }
}

/// Proxies that a request may still pass.
fn hops(head: &Parts) -> u8 {
    let hops = joined(&head.headers, &MAX_FORWARDS);
    let hops = hops.and_then(|text| text.trim().parse().ok());
    hops.unwrap_or(HOPS).min(HOPS)
}

/// Whether a list names something; an empty one names everything.
fn has(list: &[String], what: &str) -> bool {
    list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(what))
}

impl Remote {
    fn new(settings: &XcapRemote) -> Result<Remote, FileError> {
        let ca = settings.ca.as_path();
        let root = settings.root.parse::<Uri>();
        let root = root.map_err(|why| FileError::new(ca, why))?;
        let is_secure = root.scheme_str() == Some("https");
        let tls = is_secure.then(|| tls::trust(ca)).transpose()?;
        let authority = root.authority();
        let host = authority.map_or("", |authority| authority.host());
        let default = if is_secure { 443 } else { 80 };
        Ok(Remote {
            auids: settings.auids.clone(),
            domains: settings.domains.clone(),
            authority: authority.map_or(String::new(), ToString::to_string),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: root.port_u16().unwrap_or(default),
            path: root.path().trim_end_matches('/').to_owned(),
            tls,
            timeout: Duration::from_millis(settings.timeout_ms.0),
            idle: Mutex::default(),
            places: Semaphore::new(settings.max_connections),
        })
    }

    fn serves(&self, tree: &Tree) -> bool {
        match tree {
            Tree::User(owner) => has(&self.domains, owner.host()),
            Tree::Global => self.domains.is_empty(),
        }
    }

    /// The bytes of a document, or the status that stands for why there are none.
    async fn document(&self, request: Request<Full<Bytes>>) -> Result<Bytes, StatusCode> {
        let answer = self.answer(request, merge::LONGEST).await?;
        match answer.status() {
            StatusCode::OK => Ok(coding::bytes_of(answer.into_body())),
            status => Err(status),
        }
    }

    /// The answer within its time, or the status that stands for why there is none.
    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Answer, StatusCode> {
        let exchange = tokio::time::timeout(self.timeout, self.exchange(request, limit));
        exchange
            .await
            .unwrap_or(Err(Trouble::Late))
            .map_err(|trouble| {
                warn!(remote = self.authority, %trouble, "a document server gives no answer");
                trouble.status()
            })
    }

    /// What is sent; `None` when it cannot be written.
    fn request(
        &self,
        target: &str,
        head: &Parts,
        body: Bytes,
        who: &Who,
        (via, hops): (&str, u8),
    ) -> Option<Request<Full<Bytes>>> {
        let query = head.uri.query().map(|query| format!("?{query}"));
        let path = format!("{}{target}{}", self.path, query.unwrap_or_default());
        let mut request = Request::builder()
            .method(head.method.clone())
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::VIA, via)
            .header(MAX_FORWARDS, HeaderValue::from(u16::from(hops)))
            .body(Full::new(body))
            .ok()?;
        let headers = request.headers_mut();
        for name in &ASKED {
            for value in head.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        if let Identity::User(identities) = &who.identity {
            let value = HeaderValue::from_str(identities).ok()?;
            headers.insert(who.header.clone(), value);
        }
        Some(request)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Answer, Trouble> {
        let place = self.places.acquire().await;
        let _place = place.map_err(|_| Trouble::Unreachable("shutting down".into()))?;
        let (mut sender, response) = self.send(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|why| Trouble::Broken(why.to_string()))?;
        if head.status == StatusCode::UNAUTHORIZED || head.status.is_informational() {
            return Err(Trouble::Refused);
        }
        let mut answer = plain(head.status);
        for name in &ANSWERED {
            for value in head.headers.get_all(name) {
                answer.headers_mut().append(name, value.clone());
            }
        }
        *answer.body_mut() = Full::new(body.to_bytes());
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(sender); // no more than there are places
        }
        Ok(answer)
    }

    /// Over a connection that waits, or a new one. What the other side had closed meanwhile is tried again: such a
    /// request was not sent.
    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Sender, Response<hyper::body::Incoming>), Trouble> {
        loop {
            let waiting = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.pop()
            };
            let Some(mut sender) = waiting else {
                break;
            };
            if sender.is_closed() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Trouble::Broken(failed.into_error().to_string())),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|why| Trouble::Broken(why.to_string()))?;
        Ok((sender, response))
    }

    async fn connect(&self) -> Result<Sender, Trouble> {
        let unreachable = |why: &dyn ToString| Trouble::Unreachable(why.to_string());
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|why| unreachable(&why))?;
        let _ = stream.set_nodelay(true); // works without, a little slower
        match &self.tls {
            None => self.begin(stream).await,
            Some(tls) => {
                let stream = tls.connect(&self.host, stream).await;
                self.begin(stream.map_err(|why| unreachable(&why))?).await
            }
        }
    }

    async fn begin<S>(&self, stream: S) -> Result<Sender, Trouble>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let begun = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = begun.map_err(|why| Trouble::Unreachable(why.to_string()))?;
        // ends when the sender is dropped or the other side closes
        tokio::spawn(async move {
            let _ = connection.await; // what became of a request is told to who waits for it
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ims::time::Millis;

    fn remote(auids: &[&str], domains: &[&str], root: &str) -> XcapRemote {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        XcapRemote {
            auids: owned(auids),
            domains: owned(domains),
            root: root.into(),
            ca: std::path::PathBuf::new(),
            timeout_ms: Millis(100),
            max_connections: 1,
        }
    }

    #[test]
    fn the_first_server_that_fits_is_asked() {
        let all = [
            remote(&["rls-services"], &[], "http://a"),
            remote(&[], &["far.test"], "http://b:81/x"),
            remote(&["resource-lists"], &["IMS.test"], "http://[::1]:82"),
        ];
        let remotes = Remotes::new(&all, "p".into()).unwrap();
        for (target, number) in [
            ("/rls-services/users/sip:bob@ims.test/index", Some(0)),
            ("/rls-services/global/index", Some(0)),
            ("/rls-services/users/sip:bob@far.test/index", Some(0)),
            ("/pres-rules/users/sip:bob@far.test/index", Some(1)),
            ("/pres-rules/users/sip%3Abob%40FAR.test/index/~~/x", Some(1)),
            ("/pres-rules/users/sip:bob@ims.test/index", None),
            ("/resource-lists/users/sip:bob@ims.test/index", Some(2)),
            ("/resource-lists/global/index", None),
            ("/xcap-caps/global/index", None),
            ("/rls-services", None),
            ("/", None),
        ] {
            assert_eq!(remotes.of(target), number, "{target}");
        }
        let parts: Vec<_> = remotes
            .all
            .iter()
            .map(|r| (&*r.host, r.port, &*r.path))
            .collect();
        assert_eq!(parts, [("a", 80, ""), ("b", 81, "/x"), ("::1", 82, "")]);
    }
}
