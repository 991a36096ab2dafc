//! Content of a PUBLISH from its server, by HTTP (RFC 4483). Redirections are not followed: the operator has listed this
//! server and no other.

use crate::transport::resolve::Resolver;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use ims::node::{Fetch, Fetched};
use ims::presence::external::{Content, Fault};
use std::time::Duration;
use tokio::net::TcpStream;

/// Gets what is asked for within its time.
pub async fn fetch(resolver: &Resolver, fetch: Fetch) -> Fetched {
    let patience = Duration::from_millis(fetch.timeout.0);
    let got = tokio::time::timeout(patience, get(resolver, &fetch)).await;
    got.unwrap_or(Err(Fault::TimedOut))
}

async fn get(resolver: &Resolver, fetch: &Fetch) -> Fetched {
    let address = match resolver.known(&fetch.host, Some(fetch.port)) {
        Some(known) => known,
        None => resolver.look_up(&fetch.host, Some(fetch.port)).await,
    };
    let address = address.ok_or(Fault::Unreachable)?;
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|_| Fault::Unreachable)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| Fault::Unreachable)?;
    let request = Request::get(&fetch.path)
        .header(HOST, format!("{}:{}", fetch.host, fetch.port))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Fault::Refused)?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|_| Fault::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(Fault::Refused);
        }
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let media_type = media_type.map(str::to_owned);
        let body = Limited::new(response.into_body(), fetch.limit);
        match body.collect().await {
            Ok(body) => Ok(Content {
                media_type,
                bytes: body.to_bytes(),
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
