//! What the node wants over HTTP: content of a PUBLISH (RFC 4483), documents of other XDMSs (RFC 4825). Redirections are
//! not followed: the operator has listed this server and no other.

use super::files::FileError;
use super::tls;
use crate::config::XdmsServer;
use crate::transport::resolve::Resolver;
use crate::ua::tls::Trust;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use ims::node::{Fetch, Fetched, HttpAnswer};
use ims::presence::external::Fault;
use ims::xdm::remote::Root;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::warn;

/// Who vouches for the servers that are reached over TLS, by host and port.
#[derive(Clone, Debug, Default)]
pub struct Vouched(Arc<BTreeMap<(String, u16), Trust>>);

impl Vouched {
    /// Reads the files that the configuration names.
    pub fn new(servers: &[XdmsServer]) -> Result<Vouched, FileError> {
        let mut vouched = BTreeMap::new();
        for server in servers {
            if let Some(root) = Root::parse(&server.root).filter(|root| root.tls) {
                vouched.insert((root.host, root.port), tls::trust(&server.ca)?);
            }
        }
        Ok(Vouched(Arc::new(vouched)))
    }

    fn of(&self, host: &str, port: u16) -> Option<&Trust> {
        self.0.get(&(host.to_owned(), port))
    }
}

/// Gets what is asked for within its time.
pub async fn fetch(resolver: &Resolver, vouched: &Vouched, fetch: Fetch) -> Fetched {
    let patience = Duration::from_millis(fetch.timeout.0);
    let got = tokio::time::timeout(patience, get(resolver, vouched, &fetch)).await;
    got.unwrap_or(Err(Fault::TimedOut))
}

async fn get(resolver: &Resolver, vouched: &Vouched, fetch: &Fetch) -> Fetched {
    let address = match resolver.known(&fetch.host, Some(fetch.port)) {
        Some(known) => known,
        None => resolver.look_up(&fetch.host, Some(fetch.port)).await,
    };
    let address = address.ok_or(Fault::Unreachable)?;
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|_| Fault::Unreachable)?;
    if !fetch.tls {
        return converse(stream, fetch).await;
    }
    // nobody vouches: it is not asked
    let trust = vouched.of(&fetch.host, fetch.port).ok_or(Fault::Refused)?;
    match trust.connect(&fetch.host, stream).await {
        Ok(stream) => converse(stream, fetch).await,
        Err(why) => {
            warn!(host = fetch.host, port = fetch.port, %why, "no TLS with a document server");
            Err(Fault::Unreachable)
        }
    }
}

async fn converse<S>(stream: S, fetch: &Fetch) -> Fetched
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| Fault::Unreachable)?;
    let mut request = Request::get(&fetch.path)
        .header(HOST, format!("{}:{}", fetch.host, fetch.port))
        .header(CONNECTION, "close");
    for (name, value) in &fetch.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|_| Fault::Refused)?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|_| Fault::Unreachable)?;
        let (head, body) = response.into_parts();
        let answer = HttpAnswer {
            status: head.status.as_u16(),
            media_type: text(&head.headers, CONTENT_TYPE),
            etag: text(&head.headers, ETAG),
            bytes: Bytes::new(),
        };
        if head.status != StatusCode::OK {
            return Ok(answer); // what else it says is for people
        }
        match Limited::new(body, fetch.limit).collect().await {
            Ok(body) => Ok(HttpAnswer {
                bytes: body.to_bytes(),
                ..answer
            }),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Fault::TooLarge),
            Err(_) => Err(Fault::Unreachable),
        }
    };
    // the connection works while the exchange waits, and ends with it
    tokio::pin!(exchange);
    tokio::select! {
        fetched = &mut exchange => fetched,
        _ = connection => exchange.await,
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    value.to_str().ok().map(str::to_owned)
}
