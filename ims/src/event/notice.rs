//! NOTIFY as a message, for any package: its headers, its body, the way it takes, and what its answer says (RFC 6665
//! §4.2.2).

use super::publication::Etag;
use super::reach::OnlyUdp;
use super::subscription::{State, SubscriptionId};
use super::turn::{Outgoing, Ticket};
use crate::charge::{Besides, BodyFacts, Booked, Chargeable, Event, Role};
use crate::dialog::{Dialog, Hop, Path};
use crate::isc::Charging;
use crate::sip::coding::Coding;
use crate::sip::header::rate::Rates;
use crate::sip::text::push_hex;
use crate::sip::{KnownMethod, Method, Name, Transport, Writer, write};
use crate::time::{Seconds, Timestamp};
use bytes::Bytes;

const NOTIFY: Method<'static> = Method::Known(KnownMethod::Notify);

/// Pause before state is told again to a subscriber whose NOTIFY failed without ending the subscription and without
/// Retry-After: 30 s, about the life of the transaction that failed.
const RETRY: Seconds = Seconds(30);
/// Longest Retry-After that is obeyed; a longer one would outlast most subscriptions.
const LONGEST_RETRY: Seconds = Seconds(3600);

/// How many NOTIFYs a subscription may send before its record is written again. RFC 3261 §12.2.2 lets a CSeq
/// jump ahead, so a restart skips to the end of the range and no NOTIFY costs a write.
pub const CSEQ_RANGE: u32 = 256;

/// How the notifier appears in its requests, and which next hops take no TCP.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Host and port of our Via.
    pub address: &'a str,
    /// Contact of our side: host, port, and a transport parameter where there is one.
    pub contact: &'a str,
    /// Network identifier in `P-Charging-Vector`: the home domain.
    pub ioi: &'a str,
    /// Requests above this many bytes leave over TCP (RFC 3261 §18.1.1).
    pub udp_max: usize,
    pub only_udp: &'a OnlyUdp,
}

/// One NOTIFY of a subscription.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    pub subscription: SubscriptionId,
    /// Its `local_cseq` is the one of this NOTIFY.
    pub dialog: &'a Dialog,
    /// Charging headers of the SUBSCRIBE, where it came through a proxy that stays in the path.
    pub charging: Option<&'a Charging>,
    pub package: &'a str,
    pub event_id: Option<&'a str>,
    /// `Subscription-State`, see [`state_text`].
    pub state: &'a str,
    /// Extension without which the subscriber cannot read it.
    pub require: Option<&'static str>,
    /// Tag of the state, whether it is in the body or not (RFC 5839 §6.2).
    pub tag: Option<u64>,
    pub body: Option<Content<'a>>,
}

/// A body as it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    pub media_type: &'a str,
    pub coding: Option<Coding>,
    pub bytes: &'a [u8],
}

/// The final response to a NOTIFY, as far as it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Seconds>,
    /// Rates in its `Event` (RFC 6446 §9.3), if it has one.
    pub rates: Option<Rates>,
}

impl Answer {
    /// None came.
    pub const TIMEOUT: Answer = Answer {
        status: 408,
        retry_after: None,
        rates: None,
    };

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// How long state waits after this answer, which is no success.
    pub fn pause(&self) -> Seconds {
        self.retry_after.unwrap_or(RETRY).min(LONGEST_RETRY)
    }
}

/// What a charging record says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBody {
    pub media_type: &'static str,
    /// Bytes, as sent.
    pub length: u32,
}

impl LastBody {
    pub fn new(media_type: &'static str, bytes: &[u8]) -> LastBody {
        LastBody {
            media_type,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Notice<'_> {
    /// The request, and where it goes; `None` when its next hop names no host.
    pub fn compose(&self, now: Timestamp, sender: &Sender<'_>) -> Option<Outgoing> {
        let path = self.dialog.path();
        let (mut to, named) = path.destination()?;
        let transport = to.transport().unwrap_or(Transport::Udp);
        let mut bytes = self.write(sender, &path, transport);
        let large = !named && bytes.len() > sender.udp_max;
        let falls_back = large && !sender.only_udp.contains(now, &to);
        if falls_back {
            // RFC 3261 §18.1.1: a request above 1,300 bytes goes over a congestion-controlled transport
            to = to.over(Transport::Tcp);
            bytes = self.write(sender, &path, Transport::Tcp);
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
            subscription: self.subscription,
            cseq: self.dialog.local_cseq,
        }
    }

    fn write(&self, sender: &Sender<'_>, path: &Path<'_>, transport: Transport) -> Bytes {
        let id = self.subscription.text();
        let length = self.body.map_or(0, |body| body.bytes.len());
        let mut writer = write::request_with_body(NOTIFY, path.request_uri, length);
        writer.via(transport, sender.address, &self.ticket().branch());
        for hop in &path.routes {
            match hop {
                Hop::Written(value) => writer.header(Name::Route, value),
                Hop::Bare(uri) => writer.parts(Name::Route, &["<", uri, ">"]),
            };
        }
        writer
            .number(Name::MaxForwards, 70)
            .parts(Name::From, &[&self.dialog.local, ";tag=", &id])
            .header(Name::To, &self.dialog.remote)
            .header(Name::CallId, &self.dialog.call_id)
            .cseq(self.dialog.local_cseq, NOTIFY)
            .header(Name::Contact, &contact(sender.contact, self.subscription));
        match self.event_id {
            Some(id) => writer.parts(Name::Event, &[self.package, ";id=", id]),
            None => writer.header(Name::Event, self.package),
        };
        writer.header(Name::SubscriptionState, self.state);
        if let Some(extension) = self.require {
            writer.header(Name::Require, extension);
        }
        if let Some(tag) = self.tag {
            writer.header(Name::SipEtag, &Etag(tag).text());
        }
        if let Some(charging) = self.charging {
            write_charging(&mut writer, charging, sender.ioi);
        }
        if let Some(body) = self.body {
            if let Some(coding) = body.coding {
                writer.header(Name::ContentEncoding, coding.name());
            }
            writer.body(body.media_type, body.bytes);
        }
        writer.finish()
    }

    /// The charging event of this NOTIFY, numbered by the ledger later. `entity`: Request-URI of the SUBSCRIBE; `ioi`:
    /// our network, where this request originates, as its P-Charging-Vector says.
    pub fn charge(
        &self,
        charging: &Charging,
        (entity, ioi): (&str, &str),
        body: Option<LastBody>,
        (requested_at, answered_at): (Timestamp, Timestamp),
        status: u16,
    ) -> Event {
        let text = |value: &Option<Box<str>>| value.as_deref().map(str::to_owned);
        Event {
            number: 0,
            method: Chargeable::Notify,
            role: Role::Originating,
            package: Some(self.package.to_owned()),
            expires: None,
            call_id: self.dialog.call_id.to_string(),
            calling: vec![entity.to_owned()],
            called: self.dialog.target.to_string(),
            requested: None,
            icid: text(&charging.icid),
            orig_ioi: Some(ioi.to_owned()),
            term_ioi: None, // a request of ours has none, and that of its answer is not kept
            access_network: None,
            service: None,
            associated: Vec::new(),
            requested_at,
            answered_at,
            status,
            body: body.map(|body| BodyFacts {
                content_type: body.media_type.to_owned(),
                length: body.length,
                disposition: None,
            }),
            ccf: charging.ccf.iter().map(|a| a.to_string()).collect(),
            booked: Booked::default(),
            besides: Besides::default(),
        }
    }
}

impl Notice<'_> {
    /// The same before it is sent, for credit.
    pub fn bill(&self, charging: &Charging, from: (&str, &str), now: Timestamp) -> Bill {
        Bill {
            event: self.charge(charging, from, None, (now, now), 0),
            ecf: charging.ecf.iter().map(|a| a.to_string()).collect(),
        }
    }
}

/// What credit is asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    pub event: Event,
    /// `ecf` values of P-Charging-Function-Addresses.
    pub ecf: Vec<String>,
}

/// Charging headers go back along the path by which the SUBSCRIBE came (RFC 7315 §4.5, §4.6).
fn write_charging(writer: &mut Writer<'_>, charging: &Charging, ioi: &str) {
    if let Some(vector) = charging.request_vector(ioi) {
        writer.header(Name::PChargingVector, &vector);
    }
    if let Some(addresses) = charging.addresses() {
        writer.header(Name::PChargingFunctionAddresses, &addresses);
    }
}

/// Contact of our side of a dialog. Its user part names the partition.
pub fn contact(own: &str, id: SubscriptionId) -> String {
    let mut contact = String::with_capacity(own.len() + 11);
    contact.push_str("<sip:p");
    push_hex(&mut contact, id.0 >> 52, 3);
    contact.extend(["@", own, ">"]);
    contact
}

/// `Subscription-State` (RFC 6665 §4.1.3): `expires` and rates (RFC 6446 §4.2) while it lives, the reason when it is
/// over.
pub fn state_text(state: State, left: Seconds, rates: &Rates) -> String {
    match state {
        State::Active => format!("active;expires={left}{rates}"),
        State::Pending => format!("pending;expires={left}{rates}"),
        State::Terminated(end) => {
            let reason = end.reason().unwrap_or("deactivated");
            match end.retry_after() {
                Some(after) => format!("terminated;reason={reason};retry-after={after}"),
                None => format!("terminated;reason={reason}"),
            }
        }
        State::Waiting => "terminated;reason=timeout".to_owned(), // the resource remembers it, the subscriber need not
    }
}
