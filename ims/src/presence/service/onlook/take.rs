//! What RLMI says of a virtual subscription, when the list server asks (RFC 4662 §5.5).

use super::super::partial::Form;
use super::super::state::Debt;
use super::super::{Directory, Service};
use crate::event::onlooker::{Content, Extent, Instance};
use crate::event::subscription::{End, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::presence::content::Body;
use crate::presence::service::Package;

/// Highest version that is taken as given before a restart: what is above it lasts for good.
const MOST_BEFORE: u32 = u32::MAX / 2;

impl Service {
    /// The instance of a member; what it says counts as told.
    ///
    /// [`Extent::Full`] is for the answer to a SUBSCRIBE and for what is sent again: it waits for nothing, and partial
    /// documents begin with a whole one. With [`Extent::Change`] there is content only where it is news.
    pub fn instance(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        extent: Extent,
    ) -> Instance {
        if self.verdict_is_over(turn.now, id) {
            self.reconsider_member(turn, directory, id);
        }
        let Some(member) = self.onlook.get_mut(id) else {
            return nothing(State::Terminated(End::NoResource));
        };
        let (state, debt) = (member.state, std::mem::take(&mut member.debt));
        member.queued = false;
        if state != State::Active {
            return nothing(state); // RFC 3856 §6.6.2: no state while pending
        }
        if extent == Extent::Change {
            if debt == Debt::Nothing {
                return self.told(id); // whatever is new is owed
            }
            if let Some(until) = self.virtual_waits(turn.now, id, debt) {
                self.pace_until(id, debt, until);
                return self.told(id);
            }
        }
        let package = self.onlook.get(id).map(|(list, _)| list.package);
        match package {
            Some(Package::Presence) => self.presence_of(turn, directory, id, (extent, debt)),
            _ => self.watchers_of(turn, id),
        }
    }

    fn presence_of(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        (extent, debt): (Extent, Debt),
    ) -> Instance {
        let Some(shown) = self.shown_virtual(turn.now, directory, id) else {
            return nothing(State::Active);
        };
        if extent == Extent::Change && !self.is_news_to(id, &shown, debt) {
            return self.told(id);
        }
        self.keep_whole_virtual(id, &shown);
        self.taken(turn, id, shown.tag);
        let partial = self
            .onlook
            .get(id)
            .is_some_and(|(l, _)| l.onlooker.takes.partial);
        let form = match extent {
            Extent::Full => Form::Whole,
            Extent::Change => Form::Change,
        };
        let body = match shown.state() {
            Some(state) if partial => self.partial_virtual(id, (shown.tag, state), form),
            Some(state) => Some(Body::full(state)),
            None => None,
        };
        Instance {
            state: State::Active,
            tag: shown.tag,
            content: body.as_ref().map(content),
        }
    }

    /// The next partial document; `None` where it would say nothing.
    fn partial_virtual(
        &mut self,
        id: SubscriptionId,
        state: (u64, &crate::presence::content::Authorized),
        form: Form,
    ) -> Option<Body> {
        let first = self.first_version(id);
        let name = self.onlook.get(id)?.1.name.clone();
        let gallery = self.galleries.get_mut(&name.presentity);
        let more = self.onlook.get_mut(id)?.more();
        let held = more
            .held
            .get_or_insert(super::super::partial::Held::after(first));
        held.next(gallery, &self.tags, state, form)
    }

    /// The version before the first. After a restart it is above all that may have been given before: no watcher is told
    /// more than one in each ten milliseconds.
    pub(super) fn first_version(&self, id: SubscriptionId) -> u32 {
        let Some((list, _)) = self.onlook.get(id) else {
            return 0;
        };
        let since = list.onlooker.since;
        let again = self.onlook.recovered.filter(|(at, _)| since < *at);
        again.map_or(0, |(at, _)| {
            let above = u32::try_from(at.since(since).0 / 10 + 1);
            above.unwrap_or(MOST_BEFORE).min(MOST_BEFORE)
        })
    }

    /// Takes note that it was taken: the next change is not told before its time.
    pub(super) fn taken(&mut self, turn: &Turn<'_>, id: SubscriptionId, tag: u64) {
        if let Some(member) = self.onlook.get_mut(id) {
            member.told = tag;
            member.taken_at = turn.now;
        }
    }

    /// Active, and nothing new to say.
    pub(super) fn told(&self, id: SubscriptionId) -> Instance {
        let tag = self.onlook.get(id).map_or(0, |(_, member)| member.told);
        Instance {
            tag,
            ..nothing(State::Active)
        }
    }
}

pub(super) fn content(body: &Body) -> Content {
    Content {
        media_type: body.content_type().into(),
        bytes: body.bytes().clone(),
    }
}

/// A state of which there is nothing to tell.
fn nothing(state: State) -> Instance {
    Instance {
        state,
        tag: 0,
        content: None,
    }
}
