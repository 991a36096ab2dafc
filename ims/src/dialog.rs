//! The dialog of a subscription, of those who watch here and of our own (RFC 6665 §4.4, RFC 3261 §12).

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
    /// No dialog: of a subscription that is remembered, and whose watcher nobody tells.
    pub fn none() -> Dialog {
        Dialog {
            call_id: "".into(),
            local: "".into(),
            remote: "".into(),
            remote_tag: "".into(),
            target: "".into(),
            routes: Box::default(),
            remote_cseq: 0,
            local_cseq: 0,
        }
    }

    /// Whether there is nobody at its other end.
    pub fn is_none(&self) -> bool {
        self.target.is_empty()
    }

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

    /// The dialog that the first NOTIFY of a subscription of ours opens (RFC 6665 §4.4.1). `identity`: the URI in
    /// `From` of our SUBSCRIBE, whose CSeq is `cseq`.
    pub fn notified(
        request: &Request<'_>,
        identity: &str,
        cseq: u32,
    ) -> Result<Dialog, DialogError> {
        Ok(Dialog {
            local: format!("<{identity}>").into(),
            local_cseq: cseq,
            ..Dialog::open(request)?
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{self, Framing, Incoming, Limits};

    /// Lets `look` see a SUBSCRIBE with these headers beside those that each has.
    fn subscribe<R>(head: &str, look: impl FnOnce(&Request<'_>) -> R) -> R {
        let from = if head.contains("From: ") {
            ""
        } else {
            "From: <sip:a@ims.test>;tag=a\r\n"
        };
        let mut bytes = format!(
            "SUBSCRIBE sip:b@ims.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\n{from}\
             To: <sip:b@ims.test>\r\nCall-ID: c\r\nCSeq: 7 SUBSCRIBE\r\n{head}Content-Length: 0\r\n\r\n"
        )
        .into_bytes();
        match sip::parse(&mut bytes, Framing::Datagram, &Limits::default()) {
            Incoming::Request(request) => look(&request),
            other => panic!("{other:?}"),
        }
    }

    fn dialog(routes: &[&str]) -> Dialog {
        let mut dialog = subscribe("Contact: <sip:a@10.0.0.2>\r\n", Dialog::open).unwrap();
        dialog.routes = routes.iter().map(|&route| route.into()).collect();
        dialog
    }

    #[test]
    fn a_subscribe_opens_a_dialog_when_it_says_where_the_watcher_is() {
        for (case, head, outcome) in [
            (
                "a SIP URI",
                "Contact: <sip:a@10.0.0.2:5070;x=y>\r\n",
                Ok("sip:a@10.0.0.2:5070;x=y"),
            ),
            (
                "a SIPS URI",
                "Contact: <sips:a@10.0.0.2>\r\n",
                Ok("sips:a@10.0.0.2"),
            ),
            ("none", "", Err(DialogError::Contact)),
            (
                "two",
                "Contact: <sip:a@10.0.0.2>, <sip:a@10.0.0.3>\r\n",
                Err(DialogError::Contact),
            ),
            ("a star", "Contact: *\r\n", Err(DialogError::Contact)),
            (
                "not SIP",
                "Contact: <tel:+36105550001>\r\n",
                Err(DialogError::Contact),
            ),
            (
                "no tag",
                "From: <sip:a@ims.test>\r\nContact: <sip:a@10.0.0.2>\r\n",
                Err(DialogError::FromTag),
            ),
        ] {
            let opened = subscribe(head, Dialog::open);
            let target = opened.as_ref().map(|dialog| &*dialog.target);
            assert_eq!(target, outcome.as_ref().copied(), "{case}");
        }
    }

    #[test]
    fn the_route_set_is_what_was_recorded_in_its_order_and_to_the_letter() {
        let head = "Contact: <sip:a@10.0.0.2>\r\nRecord-Route: <sip:p;lr>, <sip:p;lr>\r\n\
                    Record-Route: <sip:iscmark@q;lr;s=2;a=00>;r2=on\r\n";
        let opened = subscribe(head, Dialog::open).unwrap();
        let routes: Vec<&str> = opened.routes.iter().map(|route| &**route).collect();
        assert_eq!(
            routes,
            [
                "<sip:p;lr>",
                "<sip:p;lr>",
                "<sip:iscmark@q;lr;s=2;a=00>;r2=on"
            ]
        );
    }

    #[test]
    fn a_request_takes_the_path_of_rfc_3261_12_2_1_1() {
        let target = "sip:a@10.0.0.2";
        for (case, routes, path) in [
            (
                "no route: to the target",
                &[][..],
                Path {
                    request_uri: target,
                    routes: vec![],
                    next_hop: target,
                },
            ),
            (
                "a loose router leaves the Request-URI alone",
                &["<sip:p;lr>", "<sip:q>"],
                Path {
                    request_uri: target,
                    routes: vec![Hop::Written("<sip:p;lr>"), Hop::Written("<sip:q>")],
                    next_hop: "sip:p;lr",
                },
            ),
            (
                "a strict router becomes the Request-URI, and the target the last route",
                &["<sip:p>", "<sip:q;lr>"],
                Path {
                    request_uri: "sip:p",
                    routes: vec![Hop::Written("<sip:q;lr>"), Hop::Bare(target)],
                    next_hop: "sip:p",
                },
            ),
        ] {
            assert_eq!(dialog(routes).path(), path, "{case}");
        }
    }

    #[test]
    fn the_next_hop_names_host_port_and_perhaps_the_transport() {
        for (route, host, port, transport, named) in [
            ("<sip:p;lr>", "p", None, Transport::Udp, false),
            (
                "<sip:p:6060;lr;transport=tcp>",
                "p",
                Some(6060),
                Transport::Tcp,
                true,
            ),
            ("<sip:p;lr;transport=UDP>", "p", None, Transport::Udp, true),
            (
                "<sip:[2001:db8::1]:6060;lr>",
                "2001:db8::1",
                Some(6060),
                Transport::Udp,
                false,
            ),
        ] {
            let dialog = dialog(&[route]);
            let (to, is_named) = dialog.path().destination().unwrap();
            let wanted = Destination::Host {
                host: host.into(),
                port,
                transport: Some(transport),
            };
            assert_eq!((to, is_named), (wanted, named), "{route}");
        }
    }

    #[test]
    fn a_refresh_moves_the_target_and_leaves_the_route_alone() {
        let mut dialog = dialog(&["<sip:p;lr>"]);
        let moved = "Contact: <sip:a@10.0.0.9>\r\nRecord-Route: <sip:other;lr>\r\n";
        subscribe(moved, |request| dialog.refresh(request)).unwrap();
        assert_eq!(&*dialog.target, "sip:a@10.0.0.9");
        assert_eq!(dialog.path().next_hop, "sip:p;lr");
        subscribe("", |request| dialog.refresh(request)).unwrap();
        assert_eq!(
            &*dialog.target, "sip:a@10.0.0.9",
            "without a Contact it stays"
        );
        let bad = subscribe("Contact: *\r\n", |request| dialog.refresh(request));
        assert_eq!(bad, Err(DialogError::Contact));
        assert_eq!(&*dialog.target, "sip:a@10.0.0.9");
    }

    #[test]
    fn a_request_belongs_to_the_dialog_by_call_id_and_tag_of_the_watcher() {
        for (case, call_id, tag, owned) in [
            ("both", "c", "a", true),
            ("another call", "d", "a", false),
            ("another watcher", "c", "b", false),
        ] {
            let mut dialog = dialog(&[]);
            (dialog.call_id, dialog.remote_tag) = (call_id.into(), tag.into());
            assert_eq!(
                subscribe("", |request| dialog.owns(request)),
                owned,
                "{case}"
            );
        }
    }
}
