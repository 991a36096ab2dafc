//! The node as a subscriber: SUBSCRIBE of ours and NOTIFY to us, for the reg event package (RFC 3680;
//! TS 24.229 §5.7.1.1).

use super::request::{Ask, Reply};
use super::{Node, Outbox, Report, Usage, headers};
use crate::event::subscriber::{Answer, Order};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::registration::reg_event::{Notify, PACKAGE};
use crate::registration::reginfo::{self, Document, ReginfoError};
use crate::registration::{Changes, Registrar, ThirdParty};
use crate::reject::Reject;
use crate::sip::header::event::Event;
use crate::sip::header::media_type::MediaType;
use crate::sip::header::subscription_state::SubscriptionState;
use crate::sip::header::{expires as expiry, retry_after as pause};
use crate::sip::{Name, Request, Response};
use crate::time::{Seconds, Timestamp};

impl Node {
    /// Runs a step of the registrar and sends the SUBSCRIBEs it wants sent.
    pub(super) fn registrar_turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut Registrar, &mut Turn<'_>) -> R,
    ) -> R {
        self.step(now, Usage::RegEvent, out, |rooms, turn| {
            step(&mut rooms.directory.registrar, turn)
        })
    }

    /// Follows the registration that a third-party REGISTER has shown. A server that takes no new state goes without:
    /// the next REGISTER, or its next start, makes up for it.
    pub(super) fn follow(
        &mut self,
        now: Timestamp,
        third_party: &ThirdParty,
        as_uri: &str,
        taken: (Seconds, bool),
        out: &mut Outbox,
    ) {
        if self.draining || self.low_space {
            return;
        }
        let (lifetime, fresh) = taken;
        let changes = self.registrar_turn(now, out, |registrar, turn| {
            registrar.follow(turn, third_party, as_uri, lifetime, fresh)
        });
        self.tell(now, changes, out);
    }

    /// Tells presence what became of registrations.
    pub(super) fn tell(&mut self, now: Timestamp, changes: Changes, out: &mut Outbox) {
        for subscriber in &changes.renamed {
            self.renamed(now, subscriber, out);
        }
        for identity in &changes.changed {
            self.registration_changed(now, identity, out);
        }
    }

    /// A NOTIFY for a subscription of ours (RFC 6665 §4.1.3), answered once what it says is committed. One that
    /// belongs to none, or comes from outside the trust domain, is told that there is none.
    pub(super) fn notified(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let request = ask.request;
        let tag = request.to.tag().ok_or(Reject::NoDialog)?;
        let id = SubscriptionId::parse(tag).ok_or(Reject::NoDialog)?;
        if self.directory.remote.follows(id) {
            return self.remote_notified(now, ask, id, out);
        }
        if self.back_ends.owns(id) {
            return self.back_end_notified(now, ask, id, out);
        }
        let order = self.directory.registrar.order(id, request)?;
        headers::require(request)?;
        let event = request.headers.get(Name::Event).and_then(Event::parse);
        if !event.is_some_and(|event| event.package == PACKAGE && event.id.is_none()) {
            return Err(Reject::BadEvent);
        }
        if order == Order::Again {
            return Ok(Reply::new(200));
        }
        let state = request.headers.get(Name::SubscriptionState);
        let state = state.and_then(SubscriptionState::parse);
        let mut notify = Notify {
            id,
            request,
            state: state.ok_or(Reject::Bad("Missing Or Bad Subscription-State"))?,
            document: document(request, &headers::body(request, reginfo::LONGEST)?)?,
        };
        if let Some(document) = &mut notify.document {
            // an S-CSCF speaks for its own network
            let home = &self.settings.home_domains;
            let is_home = |host: &str| home.iter().any(|domain| domain == host);
            document
                .registrations
                .retain(|r| r.aor.is_tel() || is_home(r.aor.host()));
        }
        let changes = self.registrar_turn(now, out, |registrar, turn| {
            registrar.notified(turn, &notify)
        })?;
        self.tell(now, changes, out);
        Ok(Reply::new(200))
    }

    /// The final response to a SUBSCRIBE of ours came, or none did.
    pub(super) fn subscribe_answered(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        answer: &Answer,
        out: &mut Outbox,
    ) {
        self.subscribing = self.subscribing.saturating_sub(1);
        out.reports.push(Report::Subscribed {
            status: answer.status,
        });
        let changes = self.registrar_turn(now, out, |registrar, turn| {
            registrar.answered(turn, ticket, answer)
        });
        self.tell(now, changes, out);
    }
}

/// Nobody answered a SUBSCRIBE (RFC 3261 §8.1.3.1).
pub(super) const NOBODY: Answer = Answer {
    status: 408,
    expires: None,
    min_expires: None,
    retry_after: None,
};

/// What counts of a response to a SUBSCRIBE.
pub(super) fn answer(response: &Response<'_>) -> Answer {
    let headers = &response.headers;
    Answer {
        status: response.status,
        expires: headers.get(Name::Expires).and_then(expiry::parse),
        min_expires: headers.get(Name::MinExpires).and_then(expiry::parse),
        retry_after: headers.get(Name::RetryAfter).and_then(pause::parse),
    }
}

/// The registration information of a NOTIFY, if it has a body.
fn document(request: &Request<'_>, body: &[u8]) -> Result<Option<Document>, Reject> {
    if body.is_empty() {
        return Ok(None);
    }
    let kind = request.headers.get(Name::ContentType);
    let kind = kind.and_then(MediaType::parse);
    if !kind.is_some_and(|kind| kind.is("application", "reginfo+xml")) {
        return Err(Reject::UnsupportedMedia {
            accept: reginfo::MEDIA_TYPE,
        });
    }
    let read = Document::parse(body);
    if let Err(error) = &read {
        tracing::debug!(?error, "registration information refused");
    }
    read.map(Some).map_err(|error| match error {
        ReginfoError::TooMany => Reject::TooLarge,
        _ => Reject::Bad("Bad Registration Information"),
    })
}
