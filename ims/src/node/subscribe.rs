//! SUBSCRIBE at the node: a new subscription, a fetch, or one in a dialog. What is said of every package alike is here;
//! lists are in `rls`, changes of documents in `xcap_diff`.

use super::headers::Subscribed;
use super::request::{Ask, Reply};
use super::{Node, Outbox, headers};
use crate::dialog::Dialog;
use crate::event::subscribe::{Accepted, Opening, Renewal};
use crate::event::subscription::SubscriptionId;
use crate::presence::service::{Package, Renew, Subscribe};
use crate::reject::Reject;
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};

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
                package,
                wishes,
                filter,
                renewal: Renewal {
                    id: SubscriptionId::parse(tag).ok_or(Reject::NoDialog)?,
                    request: ask.request,
                    subscriber: self.watcher(&ask.caller),
                    event_id: event.id,
                    expires,
                    acceptable: headers::accepts(ask.request, package),
                },
            };
            let accepted = self.turn(now, out, |presence, directory, turn| {
                presence.renew(turn, directory, renew)
            })?;
            return Ok(self.accepted(&accepted, false));
        }
        let presentity = self.presentity(ask.request)?;
        headers::accepts(ask.request, package)?;
        let subscriber = self.watcher(&ask.caller);
        let subscribe = Subscribe {
            presentity,
            entity: ask.request.uri,
            package,
            caller: &ask.caller,
            display_name: headers::display_name(ask.request),
            wishes,
            filter,
            opening: self.opening(ask, subscriber, event.id, expires)?,
        };
        let accepted = self.turn(now, out, |presence, directory, turn| {
            presence.subscribe(turn, directory, subscribe)
        })?;
        Ok(self.accepted(&accepted, true))
    }

    /// Refuses what would be new state where no more is taken, and what could not be answered by a NOTIFY.
    pub(super) fn opening<'a>(
        &self,
        ask: &'a Ask<'_>,
        subscriber: Vec<Aor>,
        event_id: Option<&'a str>,
        expires: Option<Seconds>,
    ) -> Result<Opening<'a>, Reject> {
        self.admits_new_state(self.held_subscriptions(), self.settings.subscriptions)?;
        let dialog = Dialog::open(ask.request).map_err(|e| Reject::Bad(e.phrase()))?;
        if dialog.path().destination().is_none() {
            return Err(Reject::Bad("Bad Route"));
        }
        Ok(Opening {
            subscriber,
            inside: !dialog.routes.is_empty(),
            dialog,
            event_id,
            expires,
            charging: &ask.charging,
        })
    }

    /// Subscriptions held for others, of every package.
    fn held_subscriptions(&self) -> usize {
        self.presence.census().subscriptions + self.diff.len() + self.lists.census().subscriptions
    }

    fn accepted(&self, accepted: &Accepted, opens: bool) -> Reply {
        self.subscribed(accepted, self.presence.contact(accepted.id), opens)
    }

    /// The 2xx, from the Contact of the service that has the subscription. `opens`: its dialog.
    pub(super) fn subscribed(&self, accepted: &Accepted, contact: String, opens: bool) -> Reply {
        let status = match (accepted.quiet, accepted.pending) {
            (true, _) => 204, // RFC 5839 §7.1
            (false, true) => self.settings.pending_status,
            (false, false) => 200,
        };
        Reply::subscribed(status, accepted.id, contact, accepted.lifetime, opens)
    }
}
