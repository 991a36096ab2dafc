//! SUBSCRIBE to lists at the node (RFC 4662, RFC 5367), and what links the list server with those whom it asks.

use super::presentities::Local;
use super::request::{Ask, Reply};
use super::{Node, Outbox, Report, Sent, Usage, headers};
use crate::event::notice::Answer;
use crate::event::onlooker::{Extent, Instance, Member, Onlooker};
use crate::event::subscribe::{Accepted, Renewal};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Outgoing, Turn};
use crate::presence::service as presence;
use crate::reject::Reject;
use crate::rls::list::Source;
use crate::rls::list::contained::{Bodies, OPTION_TAG};
use crate::rls::service::{EVENTLIST, Package, Renew, Service, Subscribe, Wishes, World};
use crate::rls::{BackEnds, Catalogue, Presentities};
use crate::sip::coding::Coding;
use crate::sip::header::event::Event;
use crate::sip::header::option_tags::OptionTags;
use crate::sip::header::rate::Rates;
use crate::sip::{Aor, Name};
use crate::time::Timestamp;
use std::sync::Arc;

/// Rounds of members that stir one another in one turn; what is left waits for the next.
const ROUNDS: usize = 16;

impl Node {
    /// Serves a SUBSCRIBE that is for a list, or in the dialog of one; `None`: it is for something else.
    pub(super) fn subscribe_to_list(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        (package, event): (presence::Package, &Event<'_>),
        out: &mut Outbox,
    ) -> Result<Option<Reply>, Reject> {
        let request = ask.request;
        if let Some(tag) = request.to.tag() {
            let id = SubscriptionId::parse(tag).filter(|id| self.lists.holds(*id));
            return match id {
                Some(id) => self
                    .renew_list(now, ask, (id, package, event), out)
                    .map(Some),
                None => Ok(None),
            };
        }
        let brings = OptionTags::lists(&request.headers, Name::Require, OPTION_TAG);
        let own = self.lists.settings().uri.as_ref();
        let to_server = own.is_some() && Aor::parse(request.uri).as_ref() == own;
        if brings && !to_server {
            return Err(Reject::BadExtension(OPTION_TAG.to_owned()));
        }
        let watcher = self.watcher(&ask.caller);
        let takes = OptionTags::lists(&request.headers, Name::Supported, EVENTLIST)
            || OptionTags::lists(&request.headers, Name::Require, EVENTLIST);
        let service = match to_server {
            true => None,
            false => match self
                .directory
                .find(request.uri, &watcher, package.name(), takes)?
            {
                Some(source) => Some(source),
                None => return Ok(None),
            },
        };
        if !takes {
            // RFC 4662 §4.1: "SHALL be rejected with a response code of 421 (Extension Required)"
            return Err(Reject::ExtensionRequired(EVENTLIST));
        }
        headers::accepts_list(request, package)?;
        let brought = self.brought(ask, package, to_server)?;
        let source = match (service, brought.list) {
            (Some(source), _) => source,
            (None, Some(document)) => Source::Contained {
                uri: request.uri.into(),
                document,
            },
            (None, None) => return Err(Reject::Bad("No Resource List")),
        };
        let expires = headers::expires(&request.headers)?;
        let subscribe = Subscribe {
            source,
            package: listed(package),
            caller: &ask.caller,
            display_name: headers::display_name(request),
            wishes: Wishes {
                filter: brought.filter,
                ..list_wishes(ask, package, event)?
            },
            opening: self.opening(ask, watcher, event.id, expires)?,
        };
        let accepted = self.rls_turn(now, out, |lists, turn, world| {
            lists.subscribe(turn, world, subscribe)
        })?;
        Ok(Some(self.list_accepted(&accepted, true)))
    }

    fn renew_list(
        &mut self,
        now: Timestamp,
        ask: &Ask<'_>,
        (id, package, event): (SubscriptionId, presence::Package, &Event<'_>),
        out: &mut Outbox,
    ) -> Result<Reply, Reject> {
        let brought = self.brought(ask, package, self.lists.brings_list(id))?;
        let renew = Renew {
            package: listed(package),
            wishes: Wishes {
                filter: brought.filter,
                ..list_wishes(ask, package, event)?
            },
            contained: brought.list.map(|list| list.as_ref().into()),
            renewal: Renewal {
                id,
                request: ask.request,
                subscriber: self.watcher(&ask.caller),
                event_id: event.id,
                expires: headers::expires(&ask.request.headers)?,
                acceptable: headers::accepts_list(ask.request, package),
            },
        };
        let accepted = self.rls_turn(now, out, |lists, turn, world| {
            lists.renew(turn, world, renew)
        })?;
        Ok(self.list_accepted(&accepted, false))
    }

    /// What the body of a SUBSCRIBE to a list brings.
    fn brought(
        &self,
        ask: &Ask<'_>,
        package: presence::Package,
        takes_list: bool,
    ) -> Result<Brought, Reject> {
        let limits = &self.settings.lists.limits;
        let body = headers::body(
            ask.request,
            self.settings.presence.pidf.body.max(limits.bytes),
        )?;
        let media_type = ask
            .request
            .headers
            .get(Name::ContentType)
            .unwrap_or_default();
        let disposition = ask.request.headers.get(Name::ContentDisposition);
        let accept = headers::taken_with_list(package);
        let bodies = Bodies::read(media_type, disposition, &body, limits, accept)?;
        if bodies.list.is_some() && !takes_list {
            return Err(Reject::UnsupportedMedia { accept });
        }
        let filter = match &bodies.rest {
            Some(rest) => headers::filter_of(ask.request, package, &rest.media_type, &rest.body)?,
            None => None,
        };
        Ok(Brought {
            filter: filter.map(Into::into),
            list: bodies.list,
        })
    }

    fn list_accepted(&self, accepted: &Accepted, opens: bool) -> Reply {
        self.subscribed(accepted, self.lists.contact(accepted.id), opens)
            .with(Name::Require, EVENTLIST) // RFC 4662 §4.1
    }

    pub(super) fn told_of_list(
        &mut self,
        now: Timestamp,
        sent: Sent,
        answer: Answer,
        out: &mut Outbox,
    ) {
        out.reports.push(Report::Notified {
            status: answer.status,
        });
        self.rls_turn(now, out, |lists, turn, world| {
            lists.answered(turn, world, sent.ticket, answer, sent.at);
        });
    }

    /// Runs a step of the list server and sends what it wants sent, and what those whom it asks want sent for it.
    pub(super) fn rls_turn<R>(
        &mut self,
        now: Timestamp,
        out: &mut Outbox,
        step: impl FnOnce(&mut Service, &mut Turn<'_>, &mut World<'_>) -> R,
    ) -> R {
        let (result, others) = self.step(now, Usage::List, out, |rooms, turn| {
            let directory = &*rooms.directory;
            let mut presentities = Apart {
                local: Local {
                    presence: rooms.presence,
                    directory,
                    home_domains: &rooms.settings.home_domains,
                    known_only: rooms.settings.known_presentities_only,
                },
                outgoing: Vec::new(),
            };
            let mut world = World {
                presentities: &mut presentities,
                catalogue: directory,
                back_ends: rooms.back_ends,
            };
            let result = step(rooms.lists, turn, &mut world);
            (result, presentities.outgoing)
        });
        self.send_all(now, others, Usage::Presence, out);
        result
    }

    /// Members that say something else since the last input: their lists tell it.
    pub(super) fn rls_step(&mut self, now: Timestamp, out: &mut Outbox) {
        for _ in 0..ROUNDS {
            let mut stirred = self.presence.take_stirred();
            stirred.append(&mut BackEnds::take_stirred(&mut self.back_ends));
            if stirred.is_empty() {
                return;
            }
            self.rls_turn(now, out, |lists, turn, world| {
                lists.stirred(turn, world, stirred);
            });
        }
    }
}

/// What comes in the body of a SUBSCRIBE.
struct Brought {
    filter: Option<Box<[u8]>>,
    list: Option<std::sync::Arc<[u8]>>,
}

/// The package of a list subscription.
fn listed(package: presence::Package) -> Package {
    match package {
        presence::Package::Presence => Package::Presence,
        presence::Package::Watchers => Package::Watchers,
        presence::Package::WatchersOfWatchers => Package::WatchersOfWatchers,
    }
}

/// What a SUBSCRIBE to a list asks for in its headers.
fn list_wishes(
    ask: &Ask<'_>,
    package: presence::Package,
    event: &Event<'_>,
) -> Result<Wishes, Reject> {
    let of_members = headers::wishes(ask.request, package, event)?;
    Ok(Wishes {
        condition: headers::condition(ask.request)?,
        coding: Coding::wanted(&ask.request.headers),
        rates: Rates::parse(&event.params).ok_or(Reject::Bad("Bad Event Rate"))?,
        hops: ask.request.max_forwards.map_or(70, u32::from),
        partial: of_members.partial,
        objects: of_members.objects,
        ..Wishes::default()
    })
}

/// The presentities here, who may want NOTIFYs of their own sent: watcher information tells of those who join.
#[derive(Debug)]
struct Apart<'a> {
    local: Local<'a>,
    outgoing: Vec<Outgoing>,
}

impl<'a> Apart<'a> {
    fn run<R>(
        &mut self,
        turn: &mut Turn<'_>,
        step: impl FnOnce(&mut Local<'a>, &mut Turn<'_>) -> R,
    ) -> R {
        let own = std::mem::take(&mut turn.outgoing);
        let result = step(&mut self.local, turn);
        self.outgoing.append(&mut turn.outgoing);
        turn.outgoing = own;
        result
    }
}

impl Presentities for Apart<'_> {
    fn look_on(&mut self, turn: &mut Turn<'_>, onlooker: Onlooker) -> Result<(), Reject> {
        self.run(turn, |local, turn| local.look_on(turn, onlooker))
    }

    fn filters(&mut self, list: SubscriptionId) -> Option<Arc<[u8]>> {
        self.local.filters(list)
    }

    fn join(&mut self, turn: &mut Turn<'_>, member: Member, uri: &str) -> Option<SubscriptionId> {
        self.run(turn, |local, turn| local.join(turn, member, uri))
    }

    fn instance(&mut self, turn: &mut Turn<'_>, id: SubscriptionId, extent: Extent) -> Instance {
        self.run(turn, |local, turn| local.instance(turn, id, extent))
    }

    fn part(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        self.run(turn, |local, turn| local.part(turn, id));
    }

    fn look_away(&mut self, turn: &mut Turn<'_>, list: SubscriptionId) {
        self.run(turn, |local, turn| local.look_away(turn, list));
    }

    fn take_stirred(&mut self) -> Vec<Member> {
        self.local.take_stirred()
    }
}
