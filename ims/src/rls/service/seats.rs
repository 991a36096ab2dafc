//! The members of a list subscription: one seat for each, at a place that stays as long as the member is listed.

use crate::event::subscription::SubscriptionId;
use crate::rls::list::{Kind, List, Resource};
use std::collections::BTreeMap;

/// What stands behind a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// It is still to join.
    #[default]
    Empty,
    /// Beyond the limit, refused, or nobody can be asked for it.
    Nobody,
    /// A virtual subscription here.
    Local(SubscriptionId),
    /// A back-end subscription, under its place.
    Elsewhere,
}

/// One member: 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seat {
    pub hold: Hold,
    /// Tag of what the watcher has of it. 0: nothing.
    pub told: u64,
    /// It may say something else than it was told.
    pub stirred: bool,
    /// What it said last had no room in a NOTIFY: it is asked for everything.
    pub lost: bool,
    /// The place is free.
    free: bool,
}

/// All members.
#[derive(Debug, Default)]
pub struct Seats {
    seats: Vec<Seat>,
    /// Places in the order of the list: its members that are no lists, depth first.
    order: Vec<u32>,
    /// How many of `order` are known to have joined.
    joined: usize,
    stirred: usize,
}

impl Seats {
    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn order(&self) -> &[u32] {
        &self.order
    }

    pub fn get(&self, place: u32) -> Option<&Seat> {
        let seat = self.seats.get(usize::try_from(place).ok()?)?;
        (!seat.free).then_some(seat)
    }

    pub fn get_mut(&mut self, place: u32) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(usize::try_from(place).ok()?)?;
        (!seat.free).then_some(seat)
    }

    /// The member may say something else.
    pub fn stir(&mut self, place: u32) {
        if let Some(seat) = self.get_mut(place)
            && !std::mem::replace(&mut seat.stirred, true)
        {
            self.stirred += 1;
        }
    }

    /// What the member says was taken.
    pub fn settle(&mut self, place: u32) {
        if let Some(seat) = self.get_mut(place)
            && std::mem::take(&mut seat.stirred)
        {
            self.stirred -= 1;
        }
    }

    pub fn has_stirred(&self) -> bool {
        self.stirred > 0
    }

    /// How many seats are in use or were, for the operator's memory.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.seats.len()
    }

    /// The next members that are to join, at most so many, with their positions in the list.
    pub fn take_empty(&mut self, most: usize) -> Vec<(usize, u32)> {
        let empty = |place: &u32| self.get(*place).is_some_and(|s| s.hold == Hold::Empty);
        let from = self.joined;
        let rest = self.order.iter().copied().enumerate().skip(from);
        let some: Vec<(usize, u32)> = rest.filter(|(_, place)| empty(place)).take(most).collect();
        self.joined = match some.last() {
            Some((at, _)) if some.len() == most => at + 1,
            _ => self.order.len(),
        };
        some
    }

    /// Whether every member has joined.
    pub fn all_joined(&self) -> bool {
        self.joined == self.order.len()
    }

    /// Every member is to join again.
    pub fn unseat(&mut self) -> Vec<(u32, Hold)> {
        let holds = self.order.iter().filter_map(|&place| {
            let seat = self.seats.get_mut(usize::try_from(place).ok()?)?;
            Some((place, std::mem::take(&mut seat.hold)))
        });
        let holds = holds.collect();
        self.joined = 0;
        holds
    }

    /// Takes the members of `new` in, each that was there before at its old place. Gives who went.
    pub fn follow(&mut self, old: &List, new: &List) -> Moves {
        let mut before: BTreeMap<Box<str>, u32> = BTreeMap::new();
        let mut at = 0;
        walk(old, &mut |resource| {
            if let Some(place) = self.order.get(at) {
                before.insert(resource.uri.clone(), *place);
            }
            at += 1;
        });
        let mut free: Vec<u32> = (0u32..)
            .zip(&self.seats)
            .filter(|(_, seat)| seat.free)
            .map(|(place, _)| place)
            .collect();
        let mut moves = Moves::default();
        let mut order = Vec::new();
        let mut kinds = Vec::new();
        walk(new, &mut |resource| {
            let place = before.remove(&resource.uri);
            kinds.push(is_served(resource));
            order.push(place);
        });
        for place in before.into_values() {
            if let Some(seat) = self.get_mut(place) {
                let hold = seat.hold;
                self.settle(place);
                moves.gone.push((place, hold));
            }
        }
        // the places of those who went are given away at the next change, not at this: what they said is still told
        let mut next = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        self.order.clear();
        for (place, served) in order.into_iter().zip(kinds) {
            let place = place.unwrap_or_else(|| {
                let place = free.pop().unwrap_or(next);
                if place == next {
                    self.seats.push(Seat::default());
                    next += 1;
                }
                if let Ok(index) = usize::try_from(place)
                    && let Some(seat) = self.seats.get_mut(index)
                {
                    *seat = Seat::default();
                }
                place
            });
            self.order.push(place);
            match self.get_mut(place) {
                // one that was within the limits and is not any more, or the other way round
                Some(seat) if served == (seat.hold == Hold::Nobody) => {
                    if let Hold::Local(_) | Hold::Elsewhere = seat.hold {
                        moves.closed.push((place, seat.hold));
                    }
                    seat.hold = if served { Hold::Empty } else { Hold::Nobody };
                }
                Some(seat) if !served => seat.hold = Hold::Nobody,
                _ => {}
            }
        }
        for (place, _) in &moves.gone {
            if let Ok(index) = usize::try_from(*place)
                && let Some(seat) = self.seats.get_mut(index)
            {
                *seat = Seat {
                    free: true,
                    ..Seat::default()
                };
            }
        }
        self.joined = 0;
        moves
    }
}

/// What a change of a list moves.
#[derive(Debug, Default)]
pub struct Moves {
    pub gone: Vec<(u32, Hold)>,
    /// Members that are still listed, and not subscribed to any more.
    pub closed: Vec<(u32, Hold)>,
}

/// Whether somebody may stand behind it.
fn is_served(resource: &Resource) -> bool {
    matches!(resource.kind, Kind::Presentity)
}

/// Every member that is no list itself, in order.
pub fn walk<'l>(list: &'l List, visit: &mut dyn FnMut(&'l Resource)) {
    for resource in &list.resources {
        match &resource.kind {
            Kind::List(inside) => walk(inside, visit),
            Kind::Presentity | Kind::Excess | Kind::Refused(_) => visit(resource),
        }
    }
}
