//! The dialog of a subscription, seen from the notifier (RFC 6665 §4.2.1, RFC 3261 §12).

use crate::sip::header::contact::Contact;
use crate::sip::header::route::{self, Route};
use crate::sip::{Destination, Name, Request, Scheme, Transport, Uri};
use serde::{Deserialize, Serialize};

/// Dialog state that lasts: what a NOTIFY needs and what an in-dialog SUBSCRIBE must match.
/// Our tag is the number of the subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    pub call_id: Box<str>,
    /// `To` of the SUBSCRIBE without a tag, as written: our side.
    pub local: Box<str>,
    /// `From` of the SUBSCRIBE with its tag, as written: the watcher's side.
    pub remote: Box<str>,
    pub remote_tag: Box<str>,
    /// Contact of the watcher: where a NOTIFY goes at last.
    pub target: Box<str>,
    /// Route set in the order of the Record-Routes, each as written: identical ones and opaque parameters
    /// belong to the proxies that wrote them (RFC 3261 §12.1.1).
    pub routes: Box<[Box<str>]>,
    /// Highest CSeq seen from the watcher.
    pub remote_cseq: u32,
    /// CSeq of our last NOTIFY.
    pub local_cseq: u32,
}

/// Why a SUBSCRIBE cannot open or use a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogError {
    /// No Contact, several, `*`, or one that is not a SIP URI.
    Contact,
    /// No tag in `From` (RFC 3261 §8.1.1.3 demands one).
    FromTag,
    /// Record-Route that is not a list of addresses.
    RecordRoute,
}

impl DialogError {
    pub fn phrase(self) -> &'static str {
        match self {
            DialogError::Contact => "Missing Or Bad Contact",
            DialogError::FromTag => "Missing From Tag",
            DialogError::RecordRoute => "Bad Record-Route",
        }
    }
}

impl Dialog {
    /// The dialog that an initial SUBSCRIBE opens.
    pub fn open(request: &Request<'_>) -> Result<Dialog, DialogError> {
        let tag = request.from.tag().ok_or(DialogError::FromTag)?;
        Ok(Dialog {
            call_id: request.call_id.into(),
            local: request.headers.get(Name::To).unwrap_or_default().into(),
            remote: request.headers.get(Name::From).unwrap_or_default().into(),
            remote_tag: tag.into(),
            target: remote_target(request)?,
            routes: route_set(request)?,
            remote_cseq: request.cseq.number,
            local_cseq: 0,
        })
    }

    /// Whether a request with our tag belongs to this dialog (RFC 3261 §12.2.2).
    pub fn owns(&self, request: &Request<'_>) -> bool {
        *self.call_id == *request.call_id && request.from.tag() == Some(&*self.remote_tag)
    }

    /// Takes over what an in-dialog SUBSCRIBE renews: CSeq and remote target; the route set stays
    /// (RFC 3261 §12.2.2).
    pub fn refresh(&mut self, request: &Request<'_>) -> Result<(), DialogError> {
        self.remote_cseq = request.cseq.number;
        if request.headers.get(Name::Contact).is_some() {
            self.target = remote_target(request)?;
        }
        Ok(())
    }

    /// Request-URI, Route values in order, and the URI of the next hop of a request that we send
    /// (RFC 3261 §12.2.1.1).
    pub fn path(&self) -> Path<'_> {
        let target = &*self.target;
        let Some(first) = self.routes.first() else {
            return Path {
                request_uri: target,
                routes: Vec::new(),
                next_hop: target,
            };
        };
        let Some(first) = Route::parse(first) else {
            return Path {
                request_uri: target,
                routes: Vec::new(),
                next_hop: target,
            };
        };
        let first_uri = first.0.uri;
        let routes = self.routes.iter().map(|r| &**r);
        if first.is_loose() {
            return Path {
                request_uri: target,
                routes: routes.map(Hop::Written).collect(),
                next_hop: first_uri,
            };
        }
        // a strict router gets itself as the Request-URI and the target at the end of the route
        let rest = routes
            .skip(1)
            .map(Hop::Written)
            .chain([Hop::Bare(target)])
            .collect();
        Path {
            request_uri: first_uri,
            routes: rest,
            next_hop: first_uri,
        }
    }
}

/// Where a request in the dialog goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Path<'a> {
    pub request_uri: &'a str,
    pub routes: Vec<Hop<'a>>,
    pub next_hop: &'a str,
}

/// One value of `Route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop<'a> {
    /// As a proxy wrote it, with brackets and parameters.
    Written(&'a str),
    /// A URI that still needs its brackets.
    Bare(&'a str),
}

impl Path<'_> {
    /// Next hop as host, port and transport; `None` when its URI names no host.
    ///
    /// Without a `transport` parameter UDP is meant, until size asks for TCP (RFC 3261 §18.1.1).
    pub fn destination(&self) -> Option<(Destination, bool)> {
        let uri = Uri::parse(self.next_hop)?;
        let named = uri.params.value("transport").and_then(Transport::parse);
        let host = uri.bare_host();
        let transport = named.unwrap_or(Transport::Udp);
        let destination = Destination::Host {
            host: host.into(),
            port: uri.port,
            transport: Some(transport),
        };
        (!host.is_empty()).then_some((destination, named.is_some()))
    }
}

fn remote_target(request: &Request<'_>) -> Result<Box<str>, DialogError> {
    let contact = Contact::of(&request.headers).ok_or(DialogError::Contact)?;
    let contact = contact.single().ok_or(DialogError::Contact)?;
    let uri = contact
        .parsed_uri()
        .filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    uri.filter(|uri| !uri.host.is_empty())
        .map(|_| contact.uri.into())
        .ok_or(DialogError::Contact)
}

fn route_set(request: &Request<'_>) -> Result<Box<[Box<str>]>, DialogError> {
    let routes =
        route::list(&request.headers, Name::RecordRoute).ok_or(DialogError::RecordRoute)?;
    Ok(routes.iter().map(|route| route.as_str().into()).collect())
}
