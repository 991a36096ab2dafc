//! SUBSCRIBE to changes of documents at the node (RFC 5875).

use super::directory::Directory;
use super::request::{Ask, Reply};
use super::{Node, Outbox, Usage, headers};
use crate::dialog::Dialog;
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::reject::Reject;
use crate::sip::header::event::Event;
use crate::sip::text::unquote;
use crate::sip::{Aor, Scheme, Uri};
use crate::time::Timestamp;
use crate::xdm::diff::{self, Accepted, Mode, Package, Renew, Store, Subscribe, Terms, Wanted};

impl Node {
    pub(super) fn subscribe_to_documents(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        (package, event): (Package, Event<'_>),
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let owner = self.named_user(ask)?;
        let subscriber = self.watcher(&ask.caller);
        let expires = headers::expires(&ask.request.headers)?;
        let acceptable = headers::accepts_type(ask.request, diff::MEDIA_TYPE);
        let terms = Terms {
            mode: Mode::named(
                event
                    .params
                    .value("diff-processing")
                    .map(unquote)
                    .as_deref(),
            ),
            condition: headers::condition(ask.request)?,
        };
        let whose = owner.clone().or_else(|| subscriber.first().cloned());
        let listed = self.listed(ask)?;
        let wanted = match listed {
            Some(list) => Some(list),
            None => Wanted::parameters(package, &event, whose.as_ref())?,
        };
        if let Some(tag) = ask.request.to.tag() {
            let renew = Renew {
                id: SubscriptionId::parse(tag).ok_or(Reject::NoDialog)?,
                request: ask.request,
                subscriber,
                package,
                event_id: event.id,
                expires,
                terms,
                wanted,
                acceptable,
            };
            let accepted =
                self.diff_turn(now, out, |diff, store, turn| diff.renew(turn, store, renew))?;
            return Ok(self.subscribed(&accepted, false));
        }
        acceptable?;
        self.admits_new_state(self.held_subscriptions(), self.settings.subscriptions)?;
        let dialog = Dialog::open(ask.request).map_err(|e| Reject::Bad(e.phrase()))?;
        if dialog.path().destination().is_none() {
            return Err(Reject::Bad("Bad Route"));
        }
        // without a list: every document of whom the request names, or of whoever asks (docs/xcap.md)
        let home = whose.map(|user| Wanted::Home(user.as_str().into()));
        let subscribe = Subscribe {
            resource: owner,
            entity: ask.request.uri,
            package,
            subscriber,
            inside: !dialog.routes.is_empty(),
            dialog,
            event_id: event.id,
            expires,
            terms,
            wanted: wanted.or(home).ok_or(Reject::Bad("No Resource List"))?,
            charging: &ask.charging,
        };
        let accepted = self.diff_turn(now, out, |diff, store, turn| {
            diff.subscribe(turn, store, subscribe)
        })?;
        Ok(self.subscribed(&accepted, true))
    }

    /// The user whom a Request-URI names; `None` for this server itself. RFC 5875 §4.4 "does not constrain that URI".
    fn named_user(&self, ask: &Ask<'_>) -> Result<Option<Aor>, Reject> {
        let uri = Uri::parse(ask.request.uri).ok_or(Reject::Bad("Bad Request-URI"))?;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
            return Err(Reject::UnsupportedScheme);
        }
        let own = &self.settings.presence.own_address;
        let named = Aor::parse(ask.request.uri);
        let host = uri.bare_host().to_ascii_lowercase();
        let mut domains = self.settings.home_domains.iter();
        let home = self.settings.home_domains.contains(&host);
        // the URI of a notifier is the operator's to choose: a host of his domain, or our address
        let below = |d: &String| {
            host.strip_suffix(d.as_str())
                .is_some_and(|h| h.ends_with('.'))
        };
        let here = home || domains.any(below) || own.starts_with(&host);
        match named {
            Some(aor) if aor.is_tel() => Ok(Some(self.directory.registrar.canonical(&aor))),
            Some(aor) if home && aor.user().is_some() => {
                Ok(Some(self.directory.registrar.canonical(&aor)))
            }
            _ if here => Ok(None),
            _ => Err(Reject::NotFound),
        }
    }

    /// The list in the body, if there is one.
    fn listed(&self, ask: &Ask<'_>) -> Result<Option<Wanted>, Reject> {
        let body = headers::body(ask.request, self.settings.xdm.diff().max_body)?;
        if !headers::is_of_type(ask.request, &body, diff::LIST_TYPE)? {
            return Ok(None);
        }
        Wanted::list(&body, self.settings.xdm.diff().max_resources).map(Some)
    }

    /// Runs a step of the service that tells of documents and sends what it wants sent.
    pub(super) fn diff_turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut diff::Service, &Store<'_>, &mut Turn<'_>) -> R,
    ) -> R {
        let mut turn = Turn::new(
            now,
            &mut self.random,
            &mut out.batch,
            &mut self.ledger,
            &mut self.quota,
        );
        let store = store(&self.settings, &self.directory);
        let result = step(&mut self.diff, &store, &mut turn);
        let outgoing = turn.outgoing;
        self.send_all(now, outgoing, Usage::Documents, out);
        result
    }

    /// Subscriptions held for others, of every package.
    pub(super) fn held_subscriptions(&self) -> usize {
        self.presence.census().subscriptions + self.diff.len() + self.lists.census().subscriptions
    }

    fn subscribed(&self, accepted: &Accepted, opens: bool) -> Reply {
        let status = if accepted.quiet { 204 } else { 200 }; // RFC 5839 §7.1
        let contact = self.diff.contact(accepted.id);
        Reply::subscribed(status, accepted.id, contact, accepted.lifetime, opens)
    }
}

/// What the service reads.
pub(super) fn store<'a>(settings: &'a super::Settings, directory: &'a Directory) -> Store<'a> {
    Store {
        xdm: &settings.xdm,
        directory,
    }
}
