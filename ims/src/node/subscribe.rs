//! SUBSCRIBE at the node: a new subscription, a fetch, or one in a dialog.

use super::headers::Subscribed;
use super::request::{Ask, Reply};
use super::{Node, Outbox, headers};
use crate::dialog::Dialog;
use crate::event::subscription::SubscriptionId;
use crate::presence::service::{Accepted, Package, Renew, Subscribe};
use crate::reject::Reject;
use crate::time::Timestamp;

impl Node {
    pub(super) fn subscribe(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let (package, event) = match headers::subscribed_event(ask.request)? {
            (Subscribed::Presence(package), event) => (package, event),
            (Subscribed::Documents(package), event) => {
                headers::require(ask.request)?;
                return self.subscribe_to_documents(now, ask, (package, event), out);
            }
        };
        let of_winfo = self.settings.presence.watcher_info.of_watcher_info;
        if package == Package::WatchersOfWatchers && !of_winfo {
            return Err(Reject::BadEvent);
        }
        if let Some(reply) = self.subscribe_to_list(now, ask, (package, &event), out)? {
            return Ok(reply);
        }
        let body = headers::body(ask.request, self.settings.presence.pidf.body)?;
        let filter = headers::filter(ask.request, package, &body)?;
        let expires = headers::expires(&ask.request.headers)?;
        let wishes = headers::wishes(ask.request, package, &event)?;
        if let Some(tag) = ask.request.to.tag() {
            // RFC 6665 §4.2.1.2: a tag that names no dialog of ours is answered 481
            let renew = Renew {
                id: SubscriptionId::parse(tag).ok_or(Reject::NoDialog)?,
                request: ask.request,
                watcher: self.watcher(&ask.caller),
                package,
                event_id: event.id,
                expires,
                wishes,
                filter,
                acceptable: headers::accepts(ask.request, package),
            };
            let accepted = self.turn(now, out, |presence, directory, turn| {
                presence.renew(turn, directory, renew)
            })?;
            return Ok(self.accepted(&accepted, false));
        }
        let presentity = self.presentity(ask.request)?;
        headers::accepts(ask.request, package)?;
        self.admits_new_state(self.held_subscriptions(), self.settings.subscriptions)?;
        let dialog = Dialog::open(ask.request).map_err(|e| Reject::Bad(e.phrase()))?;
        if dialog.path().destination().is_none() {
            return Err(Reject::Bad("Bad Route"));
        }
        let subscribe = Subscribe {
            presentity,
            entity: ask.request.uri,
            package,
            caller: &ask.caller,
            display_name: headers::display_name(ask.request),
            watcher: self.watcher(&ask.caller),
            inside: !dialog.routes.is_empty(),
            dialog,
            event_id: event.id,
            expires,
            wishes,
            filter,
            charging: &ask.charging,
        };
        let accepted = self.turn(now, out, |presence, directory, turn| {
            presence.subscribe(turn, directory, subscribe)
        })?;
        Ok(self.accepted(&accepted, true))
    }

    fn accepted(&self, accepted: &Accepted, opens: bool) -> Reply {
        let status = match (accepted.quiet, accepted.pending) {
            (true, _) => 204, // RFC 5839 §7.1
            (false, true) => self.settings.pending_status,
            (false, false) => 200,
        };
        let contact = self.presence.contact(accepted.id);
        Reply::subscribed(status, accepted.id, contact, accepted.lifetime, opens)
    }
}
