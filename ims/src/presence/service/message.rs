//! NOTIFY as a message: its headers, its body, and the way it takes.

use super::Service;
use super::state::Subscription;
use crate::dialog::{Hop, Path};
use crate::event::publication::Etag;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::{Outgoing, Ticket};
use crate::presence::content::Body;
use crate::sip::Transport;
use crate::sip::header::rate::Rates;
use crate::sip::text::push_hex;
use crate::sip::{KnownMethod, Method, Name, Writer, write};
use crate::time::Timestamp;
use bytes::Bytes;

const NOTIFY: Method<'static> = Method::Known(KnownMethod::Notify);

/// What one NOTIFY says of the presentity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// Tag of the state, whether it is in the body or not (RFC 5839 §6.2). Watcher information has none: its documents
    /// are numbered, and most say only what changed.
    pub tag: Option<u64>,
    /// The state; none while it may not be told, or need not.
    pub body: Option<&'a Body>,
}

impl Service {
    pub(super) fn compose_notify(
        &self,
        now: Timestamp,
        subscription: &Subscription,
        told: Told<'_>,
    ) -> Option<Outgoing> {
        let record = &subscription.record;
        let ticket = Ticket {
            subscription: subscription.id,
            cseq: record.dialog.local_cseq,
        };
        let path = record.dialog.path();
        let (mut to, named) = path.destination()?;
        let transport = to.transport().unwrap_or(Transport::Udp);
        let mut bytes = self.write_notify(now, subscription, &path, transport, told);
        let large = !named && bytes.len() > self.settings.udp_max;
        let falls_back = large && !self.only_udp.contains(now, &to);
        if falls_back {
            // RFC 3261 §18.1.1: a request above 1,300 bytes goes over a congestion-controlled transport
            to = to.over(Transport::Tcp);
            bytes = self.write_notify(now, subscription, &path, Transport::Tcp, told);
        }
        Some(Outgoing {
            ticket,
            to,
            falls_back,
            bytes,
        })
    }

    fn write_notify(
        &self,
        now: Timestamp,
        subscription: &Subscription,
        path: &Path<'_>,
        transport: Transport,
        told: Told<'_>,
    ) -> Bytes {
        let record = &subscription.record;
        let id = subscription.id.text();
        let cseq = record.dialog.local_cseq;
        let branch = Ticket {
            subscription: subscription.id,
            cseq,
        }
        .branch();
        let length = told.body.map_or(0, |body| body.bytes().len());
        let mut writer = write::request_with_body(NOTIFY, path.request_uri, length);
        writer.via(transport, &self.settings.own_address, &branch);
        for hop in &path.routes {
            match hop {
                Hop::Written(value) => writer.header(Name::Route, value),
                Hop::Bare(uri) => writer.parts(Name::Route, &["<", uri, ">"]),
            };
        }
        writer
            .number(Name::MaxForwards, 70)
            .parts(Name::From, &[&record.dialog.local, ";tag=", &id])
            .header(Name::To, &record.dialog.remote)
            .header(Name::CallId, &record.dialog.call_id)
            .cseq(cseq, NOTIFY)
            .header(Name::Contact, &self.contact(subscription.id));
        let package = subscription.visit.package.name();
        match &record.event_id {
            Some(id) => writer.parts(Name::Event, &[package, ";id=", id]),
            None => writer.header(Name::Event, package),
        };
        let rates = self.told_rates(now, subscription);
        writer.header(
            Name::SubscriptionState,
            &state_text(now, subscription, &rates),
        );
        if let Some(tag) = told.tag {
            writer.header(Name::SipEtag, &Etag(tag).text());
        }
        if record.inside {
            self.write_charging(&mut writer, subscription);
        }
        if let Some(body) = told.body {
            if let Some(coding) = body.coding() {
                writer.header(Name::ContentEncoding, coding.name());
            }
            writer.body(body.content_type(), body.bytes());
        }
        writer.finish()
    }

    /// Charging headers go back along the path by which the SUBSCRIBE came (RFC 7315 §4.5, §4.6).
    fn write_charging(&self, writer: &mut Writer<'_>, subscription: &Subscription) {
        if let Some(vector) = subscription
            .record
            .charging
            .request_vector(&self.settings.own_ioi)
        {
            writer.header(Name::PChargingVector, &vector);
        }
        if let Some(addresses) = subscription.record.charging.addresses() {
            writer.header(Name::PChargingFunctionAddresses, &addresses);
        }
    }

    /// Contact of our side of a dialog. Its user part names the partition.
    pub fn contact(&self, id: SubscriptionId) -> String {
        let own = &self.settings.own_contact;
        let mut contact = String::with_capacity(own.len() + 11);
        contact.push_str("<sip:p");
        push_hex(&mut contact, id.0 >> 52, 3);
        contact.extend(["@", own, ">"]);
        contact
    }
}

/// `Subscription-State` (RFC 6665 §4.1.3): `expires` and rates (RFC 6446 §4.2) while it lives, the reason when it is
/// over.
fn state_text(now: Timestamp, subscription: &Subscription, rates: &Rates) -> String {
    let left = subscription.record.expires_at.seconds_from(now);
    match subscription.record.state {
        State::Active => format!("active;expires={left}{rates}"),
        State::Pending => format!("pending;expires={left}{rates}"),
        State::Terminated(end) => {
            let reason = end.reason().unwrap_or("deactivated");
            match end.retry_after() {
                Some(after) => format!("terminated;reason={reason};retry-after={after}"),
                None => format!("terminated;reason={reason}"),
            }
        }
        State::Waiting => "terminated;reason=timeout".to_owned(), // the presentity remembers it, the watcher need not
    }
}
