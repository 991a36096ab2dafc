//! An HTTP client for XCAP: one request, one connection, everything bounded.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use std::time::Duration;
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
    #[error("{0} is not an http:// address")]
    Url(Uri),
    #[error(
        "HTTPS is not offered yet: name the http:// address of the XDMS or of a proxy that speaks TLS ({0})"
    )]
    Tls(Uri),
    #[error("{0} cannot stand in a header")]
    Header(HeaderName),
    #[error("cannot reach {to}: {why}")]
    Unreachable { to: String, why: String },
    #[error("no complete answer from {to}: {why}")]
    NoAnswer { to: String, why: String },
}

pub async fn exchange(request: Request) -> Result<Response, Error> {
    let authority = match (request.url.scheme_str(), request.url.authority()) {
        (Some("http"), Some(authority)) => authority.clone(),
        (Some("https"), _) => return Err(Error::Tls(request.url)),
        _ => return Err(Error::Url(request.url)),
    };
    let to = authority.to_string();
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let connecting = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
    let unreachable = |why: String| Error::Unreachable {
        to: to.clone(),
        why,
    };
    let stream = match timeout(CONNECT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(unreachable("nobody listens there".into()));
        }
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => {
            return Err(unreachable(format!(
                "no connection within {} s",
                CONNECT.as_secs()
            )));
        }
    };
    let no_answer = |why: String| Error::NoAnswer {
        to: to.clone(),
        why,
    };
    match timeout(ANSWER, converse(stream, &to, request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(Trouble::Header(name))) => Err(Error::Header(name)),
        Ok(Err(Trouble::Broken(why))) => Err(no_answer(why)),
        Err(_) => Err(no_answer(format!("nothing within {} s", ANSWER.as_secs()))),
    }
}

enum Trouble {
    Header(HeaderName),
    Broken(String),
}

impl From<hyper::Error> for Trouble {
    fn from(error: hyper::Error) -> Trouble {
        Trouble::Broken(error.to_string())
    }
}

async fn converse(stream: TcpStream, host: &str, request: Request) -> Result<Response, Trouble> {
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
