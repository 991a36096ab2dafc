//! Virtual subscriptions come and go.

use super::super::policy::input;
use super::super::state::Debt;
use super::super::{Directory, Service};
use super::gathering::Name;
use super::table::{UNFILTERED, Virtual, id_of};
use crate::event::onlooker::Member;
use crate::event::subscription::{End, Input, State, SubscriptionId, begin, step};
use crate::event::turn::Turn;
use crate::event::watcherinfo::Event;
use crate::presence::service::Package;
use crate::sip::Aor;
use crate::time::{Millis, Timestamp};
use std::sync::Arc;

/// How long after a restart members come back that were there before: their watchers neither went nor came.
const COMES_BACK: Millis = Millis(30_000);

impl Service {
    /// Begins a virtual subscription to a presentity, or to somebody who is not known here (yet) and would be served
    /// here: such a one is `noresource` until it is. `None`: there is no such list.
    pub fn join(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        member: Member,
        (presentity, entity): (&Aor, &str),
        known: bool,
    ) -> Option<SubscriptionId> {
        let number = self.onlook.number(member.list)?;
        let id = id_of(number, member.place);
        self.part(turn, directory, id); // somebody else had the place
        let name = match known {
            true => self.gathered(presentity, entity),
            false => Arc::new(Name {
                presentity: presentity.clone(),
                entity: entity.into(),
            }),
        };
        self.onlook
            .insert(number, Virtual::new(turn.now, name, member.place))?;
        self.filter_member(directory, id);
        if known {
            self.attach(id);
            let back = self.comes_back(turn.now, id);
            self.begin_virtual(turn, directory, id, back);
        } else {
            let strangers = self.onlook.strangers.entry(presentity.clone());
            strangers.or_default().insert(id);
        }
        Some(id)
    }

    /// The name of a presentity who has virtual subscriptions from now on.
    fn gathered(&mut self, presentity: &Aor, entity: &str) -> Arc<Name> {
        let entry = self.presentities.entry(presentity.clone()).or_default();
        entry
            .gathering
            .get_or_insert_default()
            .name(presentity, entity)
    }

    /// Takes a member in under its presentity.
    fn attach(&mut self, id: SubscriptionId) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        let Some(entry) = self.presentities.get_mut(&member.name.presentity) else {
            return;
        };
        let gathering = entry.gathering.get_or_insert_default();
        match list.package {
            Package::Presence => gathering.presence.insert(id),
            Package::Watchers | Package::WatchersOfWatchers => gathering.observers.insert(id),
        };
    }

    /// The virtual subscription begins, as one of its own would (RFC 3857 §4.7.1). One for which there is no room is
    /// refused like a SUBSCRIBE, and asked again when the watcher is heard of again. Nobody is told of one that is only
    /// `back` after a restart.
    fn begin_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        back: bool,
    ) {
        let refused = State::Terminated(End::Rejected);
        let Some(decision) = self.verdict_virtual(turn.now, directory, id) else {
            return;
        };
        let begins = begin(input(decision.handling), false);
        let state = match begins {
            Some(state) if self.has_room(turn, directory, id, state) => state,
            Some(_) | None => refused,
        };
        let since = self.onlook.get(id).map(|(list, _)| list.onlooker.since);
        if let Some(member) = self.onlook.get_mut(id) {
            member.since = since.filter(|_| back).unwrap_or(turn.now);
            member.changed_at = member.since;
            member.event = Event::of(None, state);
            member.debt = Debt::Right; // what it is shown first waits for nothing
            member.told = 0;
        }
        self.come_to(id, state);
        self.schedule_gathering(turn.now, id);
        if back {
            return self.owed_since_before(turn, id);
        }
        if state.is_alive() {
            self.supersede_for(turn, directory, id);
            self.report_virtual(turn, directory, id, None);
        }
    }

    /// Whether the member was there before the node was restarted.
    fn comes_back(&self, now: Timestamp, id: SubscriptionId) -> bool {
        let Some((list, _)) = self.onlook.get(id) else {
            return false;
        };
        let at = self.onlook.recovered.map(|(at, _)| at);
        at.is_some_and(|at| list.onlooker.since < at && now.since(at) <= COMES_BACK)
    }

    /// What changed before the restart, and was perhaps not told, is told again.
    fn owed_since_before(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(((_, settled), (_, member))) = self.onlook.recovered.zip(self.onlook.get(id))
        else {
            return;
        };
        let entry = self.presentities.get(&member.name.presentity);
        if entry.is_some_and(|entry| entry.touched_at >= settled && entry.touched_at < turn.now) {
            self.queue(id, Debt::State);
        } else if let Some(member) = self.onlook.get_mut(id) {
            member.debt = Debt::Nothing;
        }
    }

    /// A virtual subscription that is over tries again: now it may be let in, or be asked for.
    pub(super) fn try_again(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let Some((_, member)) = self.onlook.get(id) else {
            return;
        };
        let was = member.state;
        if was == State::Terminated(End::NoResource) {
            return; // until it is known
        }
        self.begin_virtual(turn, directory, id, false);
        match self.onlook.get(id) {
            Some((_, member)) if member.state != was => self.queue(id, Debt::Right),
            _ => {}
        }
    }

    /// Somebody became known: those who wait for him in lists find him, under the name that he has.
    pub fn admit_strangers(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory, named: &Aor) {
        let Some(waiting) = self.onlook.strangers.remove(named) else {
            return;
        };
        let presentity = directory.canonical(named);
        for id in waiting {
            let name = self.onlook.get(id).map(|(_, member)| member.name.clone());
            let Some(stranger) = name else { continue };
            self.move_to(turn, directory, id, (&presentity, &stranger.entity));
        }
    }

    /// Members of a list whom nothing had made known when they joined.
    pub fn strangers_of(&self, list: SubscriptionId) -> Vec<Aor> {
        let Some(number) = self.onlook.number(list) else {
            return Vec::new();
        };
        let unknown = |id: &SubscriptionId| {
            let (_, member) = self.onlook.get(*id)?;
            let unknown = member.state == State::Terminated(End::NoResource);
            unknown.then(|| member.name.presentity.clone())
        };
        let members = self.onlook.members_of([number]);
        members.iter().filter_map(unknown).collect()
    }

    /// The presentity is an alias of another from now on: its members watch that one.
    pub(in crate::presence::service) fn follow_alias(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let entry = self.presentities.get(presentity);
        let gathered = entry.and_then(|entry| entry.gathering.as_ref());
        let to = directory.canonical(presentity);
        for id in gathered.map(|g| g.all()).unwrap_or_default() {
            self.advance_virtual(turn, directory, id, Input::Leaving(End::Deactivated));
            let name = self.onlook.get(id).map(|(_, member)| member.name.clone());
            let Some(name) = name else { continue };
            self.detach(id);
            self.move_to(turn, directory, id, (&to, &name.entity));
        }
    }

    /// Begins anew with this presentity.
    fn move_to(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        (presentity, entity): (&Aor, &str),
    ) {
        let name = self.gathered(presentity, entity);
        let Some(member) = self.onlook.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut member.name, name);
        member.decision = None;
        member.rolled = 0;
        self.release(before);
        self.filter_member(directory, id);
        self.attach(id);
        self.begin_virtual(turn, directory, id, false);
        self.queue(id, Debt::Right);
    }

    /// The presentity forgets a member of a list.
    fn detach(&mut self, id: SubscriptionId) {
        let Some((_, member)) = self.onlook.get(id) else {
            return;
        };
        let name = member.name.clone();
        if let Some(strangers) = self.onlook.strangers.get_mut(&name.presentity) {
            strangers.remove(&id);
            if strangers.is_empty() {
                self.onlook.strangers.remove(&name.presentity);
            }
        }
        let entry = self.presentities.get_mut(&name.presentity);
        if let Some(gathering) = entry.and_then(|entry| entry.gathering.as_mut()) {
            gathering.presence.remove(&id);
            gathering.observers.remove(&id);
        }
    }

    fn release(&mut self, name: Arc<Name>) {
        let presentity = name.presentity.clone();
        let Some(entry) = self.presentities.get_mut(&presentity) else {
            return;
        };
        if let Some(gathering) = &mut entry.gathering {
            gathering.release(name);
            if gathering.is_empty() {
                entry.gathering = None;
            }
        }
    }

    /// Forgets a virtual subscription that is over.
    pub(super) fn drop_virtual(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        self.detach(id);
        let Some(member) = self.onlook.take(id) else {
            return;
        };
        let presentity = member.name.presentity.clone();
        self.release(member.name);
        self.forget_idle(turn, &presentity);
    }

    /// Takes one step. Who watches the watchers learns of a new state, and so does the list.
    pub(super) fn advance_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        input: Input,
    ) {
        let Some((_, member)) = self.onlook.get(id) else {
            return;
        };
        let before = member.state;
        if matches!(before, State::Terminated(_)) {
            // it comes to life when it is let in, or may wait for that
            if matches!(input, Input::Allowed | Input::Undecided) {
                self.try_again(turn, directory, id);
            }
            return;
        }
        let (after, _) = step(before, input);
        if after == before {
            return;
        }
        if let Some(member) = self.onlook.get_mut(id) {
            member.event = Event::of(Some(before), after);
            member.changed_at = turn.now;
        }
        self.come_to(id, after);
        self.queue(id, Debt::Right);
        self.schedule_gathering(turn.now, id);
        if after == State::Waiting {
            self.remember_undecided(turn, directory, id);
        } else {
            self.report_virtual(turn, directory, id, Some(before));
        }
    }

    /// Sets the state, and counts.
    pub(super) fn come_to(&mut self, id: SubscriptionId, after: State) {
        let Some(member) = self.onlook.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut member.state, after);
        if after != State::Active {
            member.told = 0; // what it has seen is over
            if let Some(more) = &mut member.more {
                more.whole = None;
                more.held.iter_mut().for_each(|held| held.forget());
            }
        }
        let presentity = member.name.presentity.clone();
        let Some(list) = self.onlook.list_mut(id) else {
            return;
        };
        let undecided = |state| usize::from(state == State::Pending);
        list.undecided = list.undecided + undecided(after) - undecided(before);
        let of_presence = list.package == Package::Presence;
        let entry = self.presentities.get_mut(&presentity);
        if let Some(gathering) = entry.and_then(|entry| entry.gathering.as_mut())
            && of_presence
        {
            let alive = |state: State| usize::from(state.is_alive());
            gathering.alive = (gathering.alive + alive(after)).saturating_sub(alive(before));
        }
    }
}

impl Virtual {
    /// One that nobody has decided on, and that nobody can: its presentity is not known.
    fn new(now: Timestamp, name: Arc<Name>, place: u32) -> Virtual {
        Virtual {
            name,
            decision: None,
            told: 0,
            rolled: 0,
            since: now,
            changed_at: now,
            taken_at: Timestamp::default(),
            more: None,
            state: State::Terminated(End::NoResource),
            place,
            event: Event::NoResource,
            debt: Debt::Nothing,
            filter: UNFILTERED,
            queued: false,
        }
    }
}
