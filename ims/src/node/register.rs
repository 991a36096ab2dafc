//! Third-party REGISTER at the node (TS 24.229 §5.4.1.7, §5.7.1.1).

use super::request::{Ask, Reply};
use super::{Node, Outbox, headers};
use crate::isc;
use crate::presence::service::Registered;
use crate::registration::{Registrar, ThirdParty, service_info};
use crate::reject::Reject;
use crate::sip::Aor;
use crate::sip::header::contact::Contact;
use crate::sip::header::p_associated_uri::PAssociatedUri;
use crate::sip::{Name, Request};
use crate::time::{Seconds, Timestamp};

impl Node {
    pub(super) fn register(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let request = ask.request;
        let identity = Aor::parse(request.to.uri).ok_or(Reject::Bad("Bad To"))?;
        demands_body(request)?;
        if !identity.is_tel()
            && !self
                .settings
                .home_domains
                .iter()
                .any(|d| d == identity.host())
        {
            return Err(Reject::NotFound);
        }
        if self.draining {
            return self.admits_new_state(0, 0).map(|()| Reply::new(200));
        }
        let contacts = Contact::of(&request.headers).ok_or(Reject::Bad("Bad Contact"))?;
        let third_party = ThirdParty {
            identity,
            expires: headers::expires(&request.headers)?,
            scscf: contacts.single().map(|c| c.uri.to_owned()),
            associated: PAssociatedUri::parse(&request.headers).aors(),
            service_info: service_info(request.body),
            access_network: isc::access_network(&request.headers),
            charging: ask.charging.clone(),
        };
        let taken = self.registrar_turn(now, out, |registrar, turn| {
            registrar.register(turn, &third_party)
        })?;
        for subscriber in &taken.renamed {
            self.renamed(now, subscriber, out);
        }
        if taken.changed {
            self.registration_changed(now, &third_party.identity, out);
        }
        if taken.lifetime > Seconds(0) {
            let facts = (taken.lifetime, taken.changed);
            self.follow(now, &third_party, request.uri, facts, out);
        }
        let mut reply = Reply::new(200).with(Name::Expires, taken.lifetime.to_string());
        if let Some(contact) = request.headers.values(Name::Contact).next() {
            reply = reply.with(Name::Contact, contact.to_owned());
        }
        Ok(reply)
    }

    /// What presence shows of a subscriber's registration.
    pub(super) fn registered(&self, subscriber: &Aor) -> Option<Registered> {
        let state = self.directory.registrar.state_of(subscriber);
        state.map(|(active, since)| Registered { active, since })
    }

    /// A subscriber gained or lost an identity.
    pub(super) fn renamed(&mut self, now: Timestamp, subscriber: &Aor, out: &mut Outbox) {
        let registered = self.registered(subscriber);
        let moved = self.directory.registrar.canonical(subscriber) != *subscriber;
        self.turn(now, out, |presence, directory, turn| {
            if moved {
                presence.became_alias(turn, directory, subscriber);
            } else {
                presence.renamed(turn, directory, subscriber, registered);
            }
            presence.watcher_renamed(turn, directory, subscriber);
        });
        self.list_owner_renamed(now, subscriber, out);
    }

    /// Tells the watchers of a subscriber whose registration changed.
    pub(super) fn registration_changed(
        &mut self,
        now: Timestamp,
        identity: &Aor,
        out: &mut Outbox,
    ) {
        let presentity = self.directory.registrar.canonical(identity);
        let registered = self.registered(&presentity);
        self.turn(now, out, |presence, directory, turn| {
            presence.registration_changed(turn, directory, &presentity, registered);
        });
    }

    /// Ends registrations that ran out, forgets old ones, and keeps our subscriptions to the others alive.
    pub(super) fn expire_registrations(&mut self, now: Timestamp, out: &mut Outbox) {
        let changes = self.registrar_turn(now, out, Registrar::on_deadline);
        self.tell(now, changes, out);
    }
}

/// The body types that a third-party REGISTER may bring.
const BODIES: &str = "application/3gpp-ims+xml, multipart/mixed, message/sip";

/// An unknown body is ignored, unless it says that it must be understood (RFC 3261 §20.11).
fn demands_body(request: &Request<'_>) -> Result<(), Reject> {
    let Some(kind) = request
        .headers
        .get(Name::ContentType)
        .filter(|_| !request.body.is_empty())
    else {
        return Ok(());
    };
    let is_known = BODIES.split(", ").any(|k| {
        kind.trim_start()
            .get(..k.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(k))
    });
    let disposition = request
        .headers
        .get(Name::ContentDisposition)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let required = disposition
        .split(';')
        .any(|part| part.replace(' ', "") == "handling=required");
    if required && !is_known {
        Err(Reject::UnsupportedMedia { accept: BODIES })
    } else {
        Ok(())
    }
}
