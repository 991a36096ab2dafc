//! SUBSCRIBE of ours, as bytes.

use super::{Phase, Subscriber};
use crate::dialog::{Hop, Path};
use crate::event::turn::{Outgoing, Ticket};
use crate::isc::Charging;
use crate::sip::header::p_served_user::{PServedUser, RegistrationState, SessionCase};
use crate::sip::text::quote;
use crate::sip::{KnownMethod, Method, Name, Transport, Writer, write};
use bytes::Bytes;

const SUBSCRIBE: Method<'static> = Method::Known(KnownMethod::Subscribe);

/// How this node appears in its requests.
#[derive(Clone, Debug)]
pub struct Own {
    /// Host and port of our Via.
    pub address: String,
    /// Contact of our side: host, port, and a transport parameter where there is one.
    pub contact: String,
    /// Network identifier in `P-Charging-Vector`.
    pub ioi: String,
    /// Requests above this many bytes leave over TCP (RFC 3261 §18.1.1).
    pub udp_max: usize,
}

/// What is subscribed to, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Request-URI and `To`.
    pub resource: &'a str,
    /// URI of the first hop of the SUBSCRIBE that opens the dialog.
    pub hop: &'a str,
    /// Who asks: `From`, and `P-Asserted-Identity` unless it is on behalf of somebody; a URI.
    pub identity: &'a str,
    pub behalf: Option<Behalf<'a>>,
    /// With the parameters that the package has.
    pub package: &'a str,
    pub accept: &'a str,
    /// Type and bytes of the body.
    pub body: Option<(&'a str, &'a [u8])>,
    /// `P-Charging-Function-Addresses`, where the home network has told them.
    pub charging: Option<&'a Charging>,
}

/// The user on whose behalf we ask, as his originating application server (TS 24.229 §5.7.3).
#[derive(Clone, Copy, Debug)]
pub struct Behalf<'a> {
    /// `P-Asserted-Identity`: URIs, as the network asserted them to us.
    pub asserted: &'a [Box<str>],
    pub display_name: Option<&'a str>,
    /// `P-Served-User` (RFC 5502) of the request that opens the dialog: a URI, and whether it is registered.
    pub served: (&'a str, bool),
    /// The user withholds the identity: `Privacy: id` (RFC 3325 §9.3).
    pub anonymous: bool,
    /// A notifier that is a list itself may answer with a list (RFC 4662 §4.1).
    pub lists: bool,
    pub max_forwards: u32,
}

impl Subscriber {
    /// The SUBSCRIBE that [`super::Next::Send`] asks for; `None` when its next hop names no host.
    pub fn request(&self, own: &Own, terms: &Terms<'_>) -> Option<Outgoing> {
        let first = loose(terms.hop);
        let path = match &self.dialog {
            Some(dialog) => dialog.path(),
            None => Path {
                request_uri: terms.resource,
                routes: vec![Hop::Bare(&first)],
                next_hop: terms.hop,
            },
        };
        let (mut to, named) = path.destination()?;
        let transport = to.transport().unwrap_or(Transport::Udp);
        let mut bytes = self.write(own, terms, &path, transport);
        let falls_back = !named && bytes.len() > own.udp_max;
        if falls_back {
            to = to.over(Transport::Tcp);
            bytes = self.write(own, terms, &path, Transport::Tcp);
        }
        Some(Outgoing {
            ticket: self.ticket(),
            to,
            falls_back,
            bytes,
        })
    }

    fn ticket(&self) -> Ticket {
        Ticket {
            subscription: self.ticket,
            cseq: self.cseq,
        }
    }

    fn write(&self, own: &Own, terms: &Terms<'_>, path: &Path<'_>, transport: Transport) -> Bytes {
        let id = self.id.to_string();
        let ending = matches!(self.phase, Phase::Ending { .. });
        let mut writer = write::request(SUBSCRIBE, path.request_uri);
        writer.via(transport, &own.address, &self.ticket().branch());
        for hop in &path.routes {
            match hop {
                Hop::Written(value) => writer.header(Name::Route, value),
                Hop::Bare(uri) => writer.parts(Name::Route, &["<", uri, ">"]),
            };
        }
        writer.number(
            Name::MaxForwards,
            terms.behalf.map_or(70, |behalf| behalf.max_forwards),
        );
        match terms.behalf {
            // RFC 3261 §20.20
            Some(Behalf {
                anonymous: true, ..
            }) => writer.parts(
                Name::From,
                &["\"Anonymous\" <", terms.identity, ">;tag=", &id],
            ),
            _ => writer.parts(Name::From, &["<", terms.identity, ">;tag=", &id]),
        };
        match &self.dialog {
            Some(dialog) => writer.header(Name::To, &dialog.remote),
            None => writer.parts(Name::To, &["<", terms.resource, ">"]),
        };
        writer
            .header(Name::CallId, &self.call_id())
            .cseq(self.cseq, SUBSCRIBE)
            .header(Name::Contact, &self.contact(own))
            .header(Name::Event, terms.package)
            .header(Name::Accept, terms.accept)
            .number(Name::Expires, if ending { 0 } else { self.lifetime.0 });
        self.write_network(&mut writer, own, terms);
        if let Some((media_type, body)) = terms.body.filter(|_| !ending) {
            writer.body(media_type, body);
        }
        writer.finish()
    }

    /// What the trust domain is told (RFC 3325, RFC 7315 §4.6: a request that we originate has an icid of its own,
    /// the same in the whole dialog).
    fn write_network(&self, writer: &mut Writer<'_>, own: &Own, terms: &Terms<'_>) {
        match &terms.behalf {
            None => {
                writer.parts(Name::PAssertedIdentity, &["<", terms.identity, ">"]);
            }
            Some(behalf) => self.write_behalf(writer, behalf),
        }
        writer.parts(
            Name::PChargingVector,
            &["icid-value=\"", &self.icid(own), "\";orig-ioi=", &own.ioi],
        );
        if let Some(addresses) = terms.charging.and_then(Charging::addresses) {
            writer.header(Name::PChargingFunctionAddresses, &addresses);
        }
    }

    /// icid-value of `P-Charging-Vector`.
    pub(super) fn icid(&self, own: &Own) -> String {
        format!("{}@{}", self.id, own.address)
    }

    /// Inside the trust domain the identity goes on whatever privacy is asked for; who takes the request out of it
    /// takes the identity off (RFC 3325 §5, §7).
    fn write_behalf(&self, writer: &mut Writer<'_>, behalf: &Behalf<'_>) {
        for (place, uri) in behalf.asserted.iter().enumerate() {
            let mut value = String::new();
            if let Some(name) = behalf.display_name.filter(|_| place == 0) {
                // writing to a string does not fail
                let _ = quote(name, &mut value);
                value.push(' ');
            }
            value.push('<');
            value.push_str(uri);
            value.push('>');
            writer.header(Name::PAssertedIdentity, &value);
        }
        if behalf.anonymous {
            writer.header(Name::Privacy, "id");
        }
        if behalf.lists {
            writer.header(Name::Supported, "eventlist");
        }
        if self.dialog.is_none() {
            let (uri, registered) = behalf.served;
            let served = PServedUser {
                uri,
                case: Some(SessionCase::Originating),
                registration: Some(match registered {
                    true => RegistrationState::Registered,
                    false => RegistrationState::Unregistered,
                }),
            };
            writer.display(Name::PServedUser, &served);
        }
    }

    /// Our Contact, whose user part names the partition.
    fn contact(&self, own: &Own) -> String {
        format!("<sip:p{:03x}@{}>", self.id.0 >> 52, own.contact)
    }
}

/// The URI of a hop that routes loosely: every element of the core does (RFC 3261 §16.12).
fn loose(hop: &str) -> String {
    let has = hop
        .split(';')
        .skip(1)
        .any(|param| param.eq_ignore_ascii_case("lr"));
    if has {
        hop.to_owned()
    } else {
        format!("{hop};lr")
    }
}
