//! Requests for documents of other servers behind the same XCAP root (OMA XDM, aggregation proxy): sent on with who is
//! asking, and the answer brought back. Only headers that XCAP knows go through, in both directions, so nothing that a
//! client says of itself does.

use super::files::FileError;
use super::tls;
use super::who::Who;
use super::xcap::joined;
use super::{Answer, plain};
use crate::config::XcapRemote;
use crate::ua::tls::Trust;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ims::xdm::key::Tree;
use ims::xdm::request::Identity;
use ims::xdm::selector::Selector;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
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
    all: Vec<Remote>,
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
        let all: Result<Vec<_>, _> = settings.iter().map(Remote::new).collect();
        Ok(Remotes { all: all?, own })
    }

    /// The number of the server that has the documents of `target`, a path below the root; none when it is this one.
    pub(super) fn of(&self, target: &str) -> Option<usize> {
        if self.all.is_empty() {
            return None;
        }
        // a path that says nothing is refused here
        let key = Selector::parse(target).ok()?.key;
        let domain = match &key.tree {
            Tree::User(owner) => Some(owner.host().to_owned()),
            Tree::Global => None,
        };
        self.all.iter().position(|remote| {
            let has = |list: &[String], what: &str| {
                list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(what))
            };
            let serves_tree = match &domain {
                Some(domain) => has(&remote.domains, domain),
                None => remote.domains.is_empty(),
            };
            has(&remote.auids, &key.auid) && serves_tree
        })
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
        let hops = joined(&head.headers, &MAX_FORWARDS);
        let hops = hops.map_or(Some(HOPS), |text| text.trim().parse().ok());
        let via = joined(&head.headers, &header::VIA).unwrap_or_default();
        let is_back = via.split([',', ' ']).any(|name| name == self.own);
        let Some(left) = hops.unwrap_or(HOPS).min(HOPS).checked_sub(1) else {
            return plain(StatusCode::LOOP_DETECTED);
        };
        if is_back {
            warn!(remote = remote.authority, "a request has come back here");
            return plain(StatusCode::LOOP_DETECTED);
        }
        let via = match via.is_empty() {
            true => format!("1.1 {}", self.own),
            false => format!("{via}, 1.1 {}", self.own),
        };
        let asked = remote.request(target, head, body, who, (&via, left));
        let Some(request) = asked else {
            return plain(StatusCode::BAD_REQUEST);
        };
        let exchange = tokio::time::timeout(remote.timeout, remote.exchange(request));
        match exchange.await.unwrap_or(Err(Trouble::Late)) {
            Ok(answer) => answer,
            Err(trouble) => {
                warn!(remote = remote.authority, %trouble, "a document server gives no answer");
                plain(trouble.status())
            }
        }
    }
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

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Trouble> {
        let place = self.places.acquire().await;
        let _place = place.map_err(|_| Trouble::Unreachable("shutting down".into()))?;
        let (mut sender, response) = self.send(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
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
