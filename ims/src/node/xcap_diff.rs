//! SUBSCRIBE to changes of documents at the node (RFC 5875).

use super::directory::Directory;
use super::request::{Ask, Reply};
use super::{Node, Outbox, Usage, headers};
use crate::event::subscribe::{Accepted, Renewal};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::reject::Reject;
use crate::sip::header::event::Event;
use crate::sip::text::unquote;
use crate::sip::{Aor, Scheme, Uri};
use crate::time::Timestamp;
use crate::xdm::diff::{self, Mode, Package, Renew, Store, Subscribe, Terms, Wanted};

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
                package,
                terms,
                wanted,
                renewal: Renewal {
                    id: SubscriptionId::parse(tag).ok_or(Reject::NoDialog)?,
                    request: ask.request,
                    subscriber,
                    event_id: event.id,
                    expires,
                    acceptable,
                },
            };
            let accepted =
                self.diff_turn(now, out, |diff, store, turn| diff.renew(turn, store, renew))?;
            return Ok(self.told(&accepted, false));
        }
        acceptable?;
        let opening = self.opening(ask, subscriber, event.id, expires)?;
        // without a list: every document of whom the request names, or of whoever asks (docs/xcap.md)
        let home = whose.map(|user| Wanted::Home(user.as_str().into()));
        let subscribe = Subscribe {
            resource: owner,
            entity: ask.request.uri,
            package,
            terms,
            wanted: wanted.or(home).ok_or(Reject::Bad("No Resource List"))?,
            opening,
        };
        let accepted = self.diff_turn(now, out, |diff, store, turn| {
            diff.subscribe(turn, store, subscribe)
        })?;
        Ok(self.told(&accepted, true))
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
        self.step(now, Usage::Documents, out, |rooms, turn| {
            let store = store(rooms.settings, rooms.directory);
            step(rooms.diff, &store, turn)
        })
    }

    fn told(&self, accepted: &Accepted, opens: bool) -> Reply {
        self.subscribed(accepted, self.diff.contact(accepted.id), opens)
    }
}

/// What the service reads.
pub(super) fn store<'a>(settings: &'a super::Settings, directory: &'a Directory) -> Store<'a> {
    Store {
        xdm: &settings.xdm,
        directory,
    }
}
