//! An HTTP client for XCAP: one request, one connection, in TLS or plain, everything bounded.

use super::tls::Trust;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a connection, and then for the whole answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// Largest body that is taken.
const MAX_BODY: usize = 16 << 20;

/// A request. Host and Content-Length are added.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Uri,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// Value of a header, when it is text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not an http:// or https:// address")]
    Url(Uri),
    #[error("{0} is reached over TLS, and there is no file of authorities to trust")]
    NoTrust(Uri),
    #[error("no TLS with {to}: {why}")]
    Tls { to: String, why: String },
    #[error("{0} cannot stand in a header")]
    Header(HeaderName),
    #[error("cannot reach {to}: {why}")]
    Unreachable { to: String, why: String },
    #[error("no complete answer from {to}: {why}")]
    NoAnswer { to: String, why: String },
}

/// Sends a request and takes the answer. `trust`: who vouches for a server that is reached over TLS.
pub async fn exchange(request: Request, trust: Option<&Trust>) -> Result<Response, Error> {
    let (authority, trust) = match (request.url.scheme_str(), request.url.authority()) {
        (Some("http"), Some(authority)) => (authority.clone(), None),
        (Some("https"), Some(authority)) => {
            let trust = trust.ok_or_else(|| Error::NoTrust(request.url.clone()))?;
            (authority.clone(), Some(trust))
        }
        _ => return Err(Error::Url(request.url)),
    };
    let to = authority.to_string();
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let port = authority
        .port_u16()
        .unwrap_or(if trust.is_some() { 443 } else { 80 });
    let stream = connect(host, port, &to).await?;
    let no_answer = |why: String| Error::NoAnswer {
        to: to.clone(),
        why,
    };
    let answer = async {
        match trust {
            None => converse(stream, &to, request).await,
            Some(trust) => {
                let stream = trust.connect(host, stream).await;
                let stream = stream.map_err(|error| Trouble::Tls(error.to_string()))?;
                converse(stream, &to, request).await
            }
        }
    };
    match timeout(ANSWER, answer).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(Trouble::Header(name))) => Err(Error::Header(name)),
        Ok(Err(Trouble::Tls(why))) => Err(Error::Tls { to, why }),
        Ok(Err(Trouble::Broken(why))) => Err(no_answer(why)),
        Err(_) => Err(no_answer(format!("nothing within {} s", ANSWER.as_secs()))),
    }
}

async fn connect(host: &str, port: u16, to: &str) -> Result<TcpStream, Error> {
    let unreachable = |why: String| Error::Unreachable {
        to: to.to_owned(),
        why,
    };
    match timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(unreachable("nobody listens there".into()))
        }
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => {
            let why = format!("no connection within {} s", CONNECT.as_secs());
            Err(unreachable(why))
        }
    }
}

enum Trouble {
    Header(HeaderName),
    Tls(String),
    Broken(String),
}

impl From<hyper::Error> for Trouble {
    fn from(error: hyper::Error) -> Trouble {
        Trouble::Broken(error.to_string())
    }
}

async fn converse<S>(stream: S, host: &str, request: Request) -> Result<Response, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = request
        .url
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let built = hyper::Request::builder()
        .method(request.method)
        .uri(path)
        .header(header::HOST, host);
    let mut built = built
        .body(Full::new(request.body))
        .map_err(|e| Trouble::Broken(e.to_string()))?;
    for (name, value) in request.headers {
        let value = HeaderValue::from_str(&value).map_err(|_| Trouble::Header(name.clone()))?;
        built.headers_mut().append(name, value);
    }
    let (head, body) = sender.send_request(built).await?.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body
        .map_err(|error| Trouble::Broken(error.to_string()))?
        .to_bytes();
    connection.abort(); // one request is all it is for
    Ok(Response {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    })
}
