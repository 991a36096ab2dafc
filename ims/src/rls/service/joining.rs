//! Members behind a list subscription: they join in shares, and follow the list when it changes (RFC 4662 §4.5).

use super::seats::{Hold, Moves, walk};
use super::state::Subscription;
use super::{Service, World};
use crate::event::onlooker::{Member, Onlooker};
use crate::event::subscription::{End, Input, SubscriptionId};
use crate::event::turn::Turn;
use crate::rls::list::{Kind, List, Resource};
use std::sync::Arc;

/// Members that join in one turn: a list of any length leaves room for other work.
pub(super) const SHARE: usize = 500;
/// What a short list costs beside its members, in members.
const LIST: usize = 10;

impl Service {
    /// The members of a list that is new to its subscription, as many as one turn takes.
    pub(super) fn join(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if subscription.parted {
            return;
        }
        join_share(turn, world, subscription, SHARE);
        if !subscription.seats.all_joined() && !std::mem::replace(&mut subscription.joins, true) {
            self.joining.push_back(id);
        }
    }

    /// A share of the members that are still to join, of the subscriptions that wait longest.
    pub(super) fn join_some(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>) {
        let mut left = SHARE;
        while left > 0
            && let Some(id) = self.joining.pop_front()
        {
            let Some(subscription) = self.subscriptions.get_mut(&id) else {
                continue;
            };
            subscription.joins = false;
            if subscription.parted {
                continue;
            }
            if std::mem::take(&mut subscription.restored) {
                self.restore(turn, world, id);
            }
            self.join(turn, world, id);
            self.show(turn, world, id);
            let members = self.subscriptions.get(&id).map_or(0, |s| s.seats.len());
            left = left.saturating_sub(members.clamp(LIST, SHARE));
        }
    }

    /// Whether a fetch, or a subscription after a restart, still waits for what its members say.
    pub(super) fn gathers(
        &mut self,
        turn: &Turn<'_>,
        world: &World<'_>,
        id: SubscriptionId,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return false;
        };
        let Some(until) = subscription.gather_until else {
            return false;
        };
        let seats = &subscription.seats;
        let awaited = |place: &u32| {
            let elsewhere = seats.get(*place).is_some_and(|s| s.hold == Hold::Elsewhere);
            let place = *place;
            elsewhere && world.back_ends.is_awaited(Member { list: id, place })
        };
        if turn.now < until
            && (subscription.restored
                || subscription.stalled
                || !seats.all_joined()
                || seats.order().iter().any(awaited))
        {
            return true;
        }
        subscription.gather_until = None;
        self.gathering.remove(&(until, id));
        false
    }

    /// The list of this subscription may have changed: it is read again, and who is new joins.
    pub fn list_changed(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if subscription.is_over() || subscription.restored {
            return; // it is not told any more, or still to be read
        }
        let listed = world.catalogue.read(id, &subscription.source);
        report(&listed.faults);
        if listed.list.is_some()
            && let Some(subscription) = self.subscriptions.get_mut(&id)
        {
            subscription.stalled = false;
        }
        match listed.list {
            Some(list) if self.outgrows(id, &list) => {
                let retry_after = super::subscribe::FULL;
                self.end(
                    turn,
                    world,
                    id,
                    Input::Leaving(End::Probation { retry_after }),
                );
            }
            Some(list) => {
                if self.take_list(turn, world, id, list) {
                    if let Some(subscription) = self.subscriptions.get_mut(&id) {
                        subscription.reshaped = true;
                    }
                    self.join(turn, world, id);
                    self.show(turn, world, id);
                }
            }
            None if listed.stalled => {} // what it was is told until it is known what it is
            None => self.end(turn, world, id, Input::NoResource),
        }
    }

    /// Whether a list became longer than its watcher, or the node, has room for.
    fn outgrows(&self, id: SubscriptionId, list: &List) -> bool {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return false;
        };
        let before = subscription.seats.len();
        let after = members(list).len();
        let held = self.held_beside(subscription);
        after > before
            && (held + after > self.settings.max_members_per_watcher
                || self.members - before + after > self.settings.max_members)
    }

    /// Takes the list over as it is now; `false`: it is what it was.
    pub(super) fn take_list(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
        list: Arc<List>,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return false;
        };
        if subscription.list == list {
            subscription.list = list; // perhaps shared with others
            return false;
        }
        let before = subscription.seats.len();
        let Moves { gone, closed } = subscription.seats.follow(&subscription.list, &list);
        subscription.list = list;
        subscription.shape = self.tags.of(&Shape(&subscription.list));
        let after = subscription.seats.len();
        let watcher = subscription.record.watcher.first().cloned();
        for (place, hold) in gone.into_iter().chain(closed) {
            part(turn, world, Member { list: id, place }, hold);
        }
        self.members = self.members + after - before;
        if let Some(held) = watcher.and_then(|watcher| self.held.get_mut(&watcher)) {
            held.members = held.members + after - before;
        }
        true
    }

    /// What the subscription asks for has changed, or its time: those who serve its members are told.
    pub(super) fn look_on_again(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let onlooker = subscription.onlooker();
        for (at, resource) in members(&subscription.list).into_iter().enumerate() {
            let Some(&place) = subscription.seats.order().get(at) else {
                continue;
            };
            if let Some(seat) = subscription.seats.get_mut(place)
                && seat.hold == Hold::Elsewhere
            {
                let member = Member { list: id, place };
                if !world.back_ends.want(turn, member, &onlooker, &resource.uri) {
                    seat.hold = Hold::Nobody;
                }
            }
        }
    }

    /// Nobody watches the members for this subscription any more.
    pub(super) fn part_all(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut subscription.parted, true) {
            return;
        }
        for (place, hold) in subscription.seats.unseat() {
            if hold == Hold::Elsewhere {
                part(turn, world, Member { list: id, place }, hold);
            }
        }
        world.presentities.look_away(turn, id); // at once, and all who are here
        world.catalogue.forget(id);
    }
}

/// Ends what stands behind a member.
fn part(turn: &mut Turn<'_>, world: &mut World<'_>, member: Member, hold: Hold) {
    match hold {
        Hold::Local(id) => world.presentities.part(turn, id),
        Hold::Elsewhere => world.back_ends.drop(turn, member),
        Hold::Empty | Hold::Nobody => {}
    }
}

/// The next members join. Each of them has something to say.
fn join_share(
    turn: &mut Turn<'_>,
    world: &mut World<'_>,
    subscription: &mut Subscription,
    most: usize,
) {
    let some = subscription.seats.take_empty(most);
    if some.is_empty() {
        return;
    }
    let list = subscription.list.clone();
    let resources = members(&list);
    let mut onlooker: Option<Onlooker> = None;
    for (at, place) in some {
        let Some(resource) = resources.get(at) else {
            continue;
        };
        let member = Member {
            list: subscription.id,
            place,
        };
        let hold = match resource.kind {
            Kind::Presentity => match world.presentities.join(turn, member, &resource.uri) {
                Some(id) => Hold::Local(id),
                None => {
                    let onlooker = onlooker.get_or_insert_with(|| subscription.onlooker());
                    match world.back_ends.want(turn, member, onlooker, &resource.uri) {
                        true => Hold::Elsewhere,
                        false => Hold::Nobody,
                    }
                }
            },
            Kind::Excess | Kind::Refused(_) | Kind::List(_) => Hold::Nobody,
        };
        if let Some(seat) = subscription.seats.get_mut(place) {
            seat.hold = hold;
        }
        subscription.seats.stir(place);
    }
}

/// Every member that is no list, in order.
fn members(list: &List) -> Vec<&Resource> {
    let mut all = Vec::new();
    walk(list, &mut |resource| all.push(resource));
    all
}

pub(super) fn report(faults: &[Box<str>]) {
    for fault in faults {
        tracing::debug!(fault = &**fault, "part of a list left out");
    }
}

/// Members and names of a list, as they are hashed.
struct Shape<'a>(&'a List);

impl std::hash::Hash for Shape<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let name = |name: &crate::rls::list::Name, state: &mut H| {
            name.lang.hash(state);
            name.text.hash(state);
        };
        self.0.uri.hash(state);
        self.0.names.iter().for_each(|n| name(n, state));
        for resource in &self.0.resources {
            resource.uri.hash(state);
            resource.names.iter().for_each(|n| name(n, state));
            match &resource.kind {
                Kind::Presentity => 0u8.hash(state),
                Kind::Excess => 1u8.hash(state),
                Kind::Refused(end) => (2u8, end.reason()).hash(state),
                Kind::List(inside) => Shape(inside).hash(state),
            }
        }
        self.0.resources.len().hash(state);
    }
}
