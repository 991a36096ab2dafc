//! An XCAP request and its answer as values; the program's HTTP side fills and sends them.

use bytes::Bytes;
use std::borrow::Cow;

/// Request method. Names are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Put,
    Delete,
    /// Any other method: none is offered on an XCAP resource (RFC 4825 §8.1).
    Other(String),
}

impl Method {
    /// The method named by an HTTP request line.
    pub fn named(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            other => Method::Other(other.to_owned()),
        }
    }
}

/// Who stands behind a request, as the program's transport could establish it.
///
/// The program believes `X-3GPP-Asserted-Identity` and `X-XCAP-Asserted-Identity` from a trusted proxy only
/// (TS 33.222, TS 24.109) and gives [`Identity::Unknown`] for everybody else, whatever their headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody trusted vouches for the sender.
    Unknown,
    /// The value of the asserted-identity header as received: one or more URIs, comma-separated, in double
    /// quotes or not. More than one names the same subscriber.
    User(String),
    /// A server of the operator (Presence Server, Resource List Server, administration): reads and writes every tree.
    Server,
}

/// One XCAP request. Sizes are bounded by the program before the request is built and checked again here.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Path below the XCAP root, without its leading `/` or with it, still percent-encoded, without the query.
    pub target: String,
    /// Query, still percent-encoded, without the `?`; holds `xmlns()` bindings (RFC 4825 §6.4).
    pub query: Option<String>,
    /// `Content-Type` as received.
    pub content_type: Option<String>,
    /// `Content-Encoding` as received.
    pub content_encoding: Option<String>,
    /// `If-Match` as received; several header lines joined with `, `.
    pub if_match: Option<String>,
    /// `If-None-Match` as received; several header lines joined with `, `.
    pub if_none_match: Option<String>,
    pub body: Bytes,
    pub identity: Identity,
}

/// The answer to one XCAP request. For HEAD the program sends the headers that it derives and leaves the body out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// `Content-Type`, present exactly when there is a body.
    pub content_type: Option<Cow<'static, str>>,
    /// Value for `ETag`, with its quotes.
    pub etag: Option<String>,
    /// Value for `Allow`, present exactly with 405.
    pub allow: Option<&'static str>,
    pub body: Bytes,
    /// The requester reached what is not their own, for what they are: the operator wants a line in the log.
    pub crossed: bool,
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: u16) -> Response {
        Response {
            status,
            content_type: None,
            etag: None,
            allow: None,
            body: Bytes::new(),
            crossed: false,
        }
    }
}
