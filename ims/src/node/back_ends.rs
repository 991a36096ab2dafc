//! Back-end subscriptions at the node: SUBSCRIBEs of ours on behalf of watchers of lists, and the NOTIFYs to them.

use super::request::{Ask, Reply};
use super::{Node, Outbox, Report, Settings, Usage, headers};
use crate::event::subscriber::{Answer, Order, Own};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::registration::Registrar;
use crate::reject::Reject;
use crate::rls::backend::{self, Core, Notify, Way};
use crate::sip::header::event::Event;
use crate::sip::header::option_tags::OptionTags;
use crate::sip::header::subscription_state::SubscriptionState;
use crate::sip::{Aor, Name, Request};
use crate::time::Timestamp;

impl Core for Registrar {
    /// The S-CSCF that has told us of the watcher's registration (TS 24.229 §5.7.3 a).
    fn way(&self, watcher: &[Aor]) -> Option<Way> {
        let mut known = watcher.iter().enumerate().filter_map(|(served, identity)| {
            let registration = self.get(identity)?;
            let way = Way {
                hop: registration.scscf.as_deref()?.to_owned(),
                served,
                registered: registration.active,
                charging: registration.charging.clone(),
            };
            Some(way)
        });
        let first = known.next()?;
        match first.registered {
            true => Some(first),
            false => Some(known.find(|way| way.registered).unwrap_or(first)),
        }
    }
}

impl Node {
    /// Runs a step of the back-end subscriptions and sends the SUBSCRIBEs it wants sent.
    fn back_ends_turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut backend::Service, &Registrar, &mut Turn<'_>) -> R,
    ) -> R {
        self.step(now, Usage::BackEnd, out, |rooms, turn| {
            step(rooms.back_ends, &rooms.directory.registrar, turn)
        })
    }

    /// Does what has become due: after each input, since what is wanted waits for nothing but its domain's turn.
    pub(super) fn back_ends_due(&mut self, now: Timestamp, out: &mut Outbox) {
        let admits = !self.draining && !self.low_space;
        while self.back_ends.next_deadline().is_some_and(|at| at <= now) {
            self.back_ends_turn(now, out, |back_ends, registrar, turn| {
                back_ends.due(turn, registrar, admits);
            });
        }
    }

    /// A NOTIFY for a back-end subscription, answered once what it says is committed.
    pub(super) fn back_end_notified(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        id: SubscriptionId,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let request = ask.request;
        let order = self.back_ends.order(now, id, request)?;
        let bounds = self.back_ends.bounds();
        required(request, bounds.nested)?;
        let event = request.headers.get(Name::Event).and_then(Event::parse);
        let package = self.back_ends.package(id);
        if !event.is_some_and(|event| Some(event.package) == package && event.id.is_none()) {
            return Err(Reject::BadEvent);
        }
        if order == Order::Again {
            return Ok(Reply::new(200));
        }
        let state = request.headers.get(Name::SubscriptionState);
        let state = state.and_then(SubscriptionState::parse);
        let body = headers::body(request, bounds.max_body)?;
        let media_type = request.headers.get(Name::ContentType);
        let notify = Notify {
            id,
            request,
            state: state.ok_or(Reject::Bad("Missing Or Bad Subscription-State"))?,
            told: self.back_ends.read(id, media_type, &body)?,
        };
        self.back_ends_turn(now, out, |back_ends, _, turn| {
            back_ends.notified(turn, notify)
        })?;
        Ok(Reply::new(200))
    }

    /// The final response to a SUBSCRIBE on behalf of a watcher came, or none did.
    pub(super) fn back_end_answered(
        &mut self,
        now: Timestamp,
        (ticket, asked_at): (Ticket, Timestamp),
        answer: &Answer,
        out: &mut Outbox,
    ) {
        self.subscribing = self.subscribing.saturating_sub(1);
        out.reports.push(Report::Subscribed {
            status: answer.status,
        });
        self.back_ends_turn(now, out, |back_ends, _, turn| {
            back_ends.answered(turn, ticket, answer, asked_at);
        });
    }
}

/// RFC 3261 §8.2.2.3; a list server demands `eventlist` of those whom it tells of lists (RFC 4662 §4.5).
fn required(request: &Request<'_>, lists: bool) -> Result<(), Reject> {
    let mut tags = OptionTags::parse(&request.headers, Name::Require);
    if lists && tags.all(|tag| tag.eq_ignore_ascii_case("eventlist")) {
        return Ok(());
    }
    headers::require(request)
}

/// How back-end subscriptions are made: as the presence service appears.
pub(super) fn settings(settings: &Settings) -> backend::Settings {
    let presence = &settings.presence;
    backend::Settings {
        own: Own {
            address: presence.own_address.clone(),
            contact: presence.own_contact.clone(),
            ioi: presence.own_ioi.clone(),
            udp_max: presence.udp_max,
        },
        timer_n: settings.transactions.timeout(),
        bounds: settings.back_ends.clone(),
    }
}
