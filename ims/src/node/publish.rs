//! PUBLISH at the node: Request-URI, `Event`, publisher, limits; then the compositor.

use super::request::{Ask, Reply};
use super::{Node, Outbox, headers};
use crate::event::publication::Asked;
use crate::presence::service::{BodyType, Package, Publish, Registered};
use crate::reject::{Reject, phrase};
use crate::sip::Aor;
use crate::sip::Name;
use crate::sip::header::sip_etag::IfMatch;
use crate::time::Timestamp;
use std::borrow::Cow;

impl Node {
    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let request = ask.request;
        let presentity = self.presentity(request)?; // RFC 3903 §6, step 1
        let (package, _) = headers::event(request)?; // step 2
        if package != Package::Presence {
            return Err(Reject::BadEvent); // who watches is for the server to say (RFC 3857)
        }
        self.may_publish(ask, &presentity)?;
        let content; // where the body is elsewhere
        let (body_type, body) = match headers::body_type(request) {
            Some(BodyType::External(_)) => {
                content = self.content(now, ask)?;
                let body_type = BodyType::of(&content.0);
                if content.1.len() > self.presence.largest_body(Some(body_type)) {
                    return Err(Reject::TooLarge);
                }
                (Some(body_type), Cow::Borrowed(&content.1[..]))
            }
            other => {
                let limit = self.presence.largest_body(other);
                (other, headers::body(request, limit)?)
            }
        };
        let asked = Asked {
            if_match: IfMatch::of(&request.headers),
            expires: headers::expires(&request.headers)?,
            has_body: !body.is_empty(),
        };
        if asked.if_match == IfMatch::Absent {
            self.admits_new_state(
                self.presence.census().publications,
                self.settings.publications,
            )?;
        }
        let publish = Publish {
            presentity: &presentity,
            asked,
            body_type,
            body: &body,
        };
        let published = self.turn(now, out, |presence, directory, turn| {
            presence.publish(turn, directory, &publish)
        })?;
        // step 6: a new tag with each 200, and the lifetime granted
        Ok(Reply::new(200)
            .with(Name::SipEtag, published.etag.text())
            .with(Name::Expires, published.lifetime.to_string()))
    }

    /// The presentity itself, or an application server that the operator trusts to publish for others. The AD
    /// wants the source authenticated; in IMS the core has done it and asserts who it is (AD 6.1.6.1).
    pub(super) fn may_publish(&self, ask: &Ask<'_>, presentity: &Aor) -> Result<(), Reject> {
        let publishers = &self.settings.publishers;
        let callers = self.watcher(&ask.caller);
        if callers.iter().any(|aor| publishers.contains(aor)) {
            return Ok(());
        }
        if !callers.contains(presentity) {
            return Err(Reject::Forbidden(phrase::NOT_THE_PRESENTITY));
        }
        let needs_registration = self.settings.publish_needs_registration;
        let registered = |r: Registered| r.active;
        if needs_registration && !self.registered(presentity).is_some_and(registered) {
            return Err(Reject::Forbidden(phrase::NOT_REGISTERED));
        }
        Ok(())
    }
}
