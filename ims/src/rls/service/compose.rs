//! The body of a NOTIFY: what members say, gathered, and written level by level (RFC 4662 §5).

use super::World;
use super::seats::{Hold, walk};
use super::state::Subscription;
use crate::event::onlooker::{Extent, Instance, Member};
use crate::event::subscription::State;
use crate::event::tag::TagKey;
use crate::event::turn::Turn;
use crate::rls::body::{Body, Level};
use crate::rls::list::{Kind, List};
use crate::rls::rlmi;
use std::iter::Peekable;

/// About how many bytes an instance takes beside its state: its part's delimiter and head, and its place in the
/// meta-information.
const AROUND: usize = 350;

/// Position of a member, and what each of its notifiers says.
type Said = (usize, Vec<(u32, Instance)>);

/// What members have to say, by their positions in the list.
#[derive(Debug, Default)]
pub(super) struct News {
    said: Vec<Said>,
    /// There was no room for all of it: the rest is still owed.
    pub cut: bool,
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }
}

/// What every member says, as far as it fits beside the names of all.
pub(super) fn everything(
    turn: &mut Turn<'_>,
    world: &mut World<'_>,
    subscription: &mut Subscription,
    tags: &TagKey,
    most: usize,
) -> News {
    let mut weight = 0;
    walk(&subscription.list, &mut |resource| {
        weight += rlmi::size(&resource.uri, &resource.names);
    });
    gather(turn, world, subscription, tags, (weight, most), true)
}

/// What members say that the watcher does not know, as far as it fits.
pub(super) fn changes(
    turn: &mut Turn<'_>,
    world: &mut World<'_>,
    subscription: &mut Subscription,
    tags: &TagKey,
    most: usize,
) -> News {
    gather(turn, world, subscription, tags, (0, most), false)
}

fn gather(
    turn: &mut Turn<'_>,
    world: &mut World<'_>,
    subscription: &mut Subscription,
    tags: &TagKey,
    (mut weight, most): (usize, usize),
    whole: bool,
) -> News {
    let mut news = News::default();
    let mut has_content = false;
    for at in 0..subscription.seats.len() {
        let Some(&place) = subscription.seats.order().get(at) else {
            break;
        };
        let Some(seat) = subscription.seats.get(place).copied() else {
            continue;
        };
        if !whole && !seat.stirred {
            continue;
        }
        if news.cut {
            // it says it in the next NOTIFY
            if whole && matches!(seat.hold, Hold::Local(_) | Hold::Elsewhere) {
                lose(subscription, place);
            }
            continue;
        }
        let first = whole || seat.lost || seat.told == 0;
        let extent = if first { Extent::Full } else { Extent::Change };
        let list = subscription.id;
        let said = match seat.hold {
            Hold::Empty => continue, // still to join, and stirred then
            Hold::Nobody => Vec::new(),
            Hold::Local(id) => vec![(0, world.presentities.instance(turn, id, extent))],
            Hold::Elsewhere => world.back_ends.instances(Member { list, place }, extent),
        };
        let told = tag(tags, &said);
        // it is listed already, and has said nothing since
        let silent = !whole && !seat.lost && seat.told == 0 && said.is_empty();
        if silent || (!first && told == seat.told) {
            subscription.seats.settle(place);
            continue; // it says again what the watcher knows
        }
        let contents = said.iter().filter_map(|(_, i)| i.content.as_ref());
        let size: usize = contents.map(|c| c.bytes.len() + AROUND).sum();
        if has_content && size > 0 && weight + size > most {
            news.cut = true;
            lose(subscription, place);
            continue;
        }
        has_content |= size > 0;
        weight += size;
        if let Some(seat) = subscription.seats.get_mut(place) {
            (seat.told, seat.lost) = (told, false);
        }
        subscription.seats.settle(place);
        if !said.is_empty() || !whole {
            news.said.push((at, said));
        }
    }
    news
}

/// The watcher is not told now what this member says.
fn lose(subscription: &mut Subscription, place: u32) {
    subscription.seats.stir(place);
    if let Some(seat) = subscription.seats.get_mut(place) {
        (seat.lost, seat.told) = (true, 0);
    }
}

/// Tag of what a member says: 0 for nothing.
fn tag(tags: &TagKey, said: &[(u32, Instance)]) -> u64 {
    if said.is_empty() {
        return 0;
    }
    let said: Vec<_> = said
        .iter()
        .map(|(number, i)| (number, rlmi::state_of(i.state), i.tag))
        .collect();
    tags.of(&said)
}

/// Tag of what the watcher has when it takes what it was told (RFC 5839 §6.5): "the full resource state of a resource
/// list including RLMI".
pub(super) fn aggregate(subscription: &Subscription, tags: &TagKey) -> u64 {
    let seats = &subscription.seats;
    let told: Vec<u64> = seats
        .order()
        .iter()
        .map(|place| seats.get(*place).map_or(0, |seat| seat.told))
        .collect();
    tags.of(&(subscription.shape, told))
}

/// The body, with the version that is next; the lists inside have theirs.
pub(super) fn write(
    subscription: &mut Subscription,
    tags: &TagKey,
    news: News,
    whole: bool,
) -> Body {
    let list = subscription.list.clone();
    let version = subscription.told.next;
    let mark = tags.of(&("body", subscription.id, version));
    let mut level = Level::new(
        &subscription.record.entity,
        version,
        whole,
        &list.names,
        mark,
    );
    if whole {
        forget_versions(subscription, &list);
    }
    let mut pen = Pen {
        subscription,
        tags,
        at: 0,
        news: news.said.into_iter().peekable(),
        whole,
    };
    pen.write(&mut level, &list);
    level.finish()
}

/// Where writing is.
struct Pen<'a> {
    subscription: &'a mut Subscription,
    tags: &'a TagKey,
    /// Position of the next member that is no list.
    at: usize,
    news: Peekable<std::vec::IntoIter<Said>>,
    whole: bool,
}

impl Pen<'_> {
    fn write(&mut self, level: &mut Level, list: &List) {
        for resource in &list.resources {
            let instance = |tags: &TagKey, id, number: u32| {
                let id = tags.of(&("instance", id, &*resource.uri, number));
                format!("{:012x}", id >> 16)
            };
            let id = self.subscription.id;
            if let Kind::List(inside) = &resource.kind {
                let mut count = 0;
                walk(inside, &mut |_| count += 1);
                let end = self.at + count;
                if !self.whole && self.news.peek().is_none_or(|(at, _)| *at >= end) {
                    self.at = end;
                    continue;
                }
                let version = self.next_version(&resource.uri);
                level.resource(&resource.uri, &resource.names);
                let mut below = level.inside(&resource.uri, version, self.whole, &inside.names);
                self.write(&mut below, inside);
                level.list(&instance(self.tags, id, 0), State::Active, below);
                continue;
            }
            let at = self.at;
            self.at += 1;
            let said = self.news.next_if(|(position, _)| *position == at);
            if !self.whole && said.is_none() {
                continue;
            }
            level.resource(&resource.uri, &resource.names);
            if let Kind::Refused(end) = resource.kind {
                level.instance(&instance(self.tags, id, 0), State::Terminated(end), None);
            }
            for (number, said) in said.map(|(_, said)| said).unwrap_or_default() {
                let name = instance(self.tags, id, number);
                level.instance(&name, said.state, said.content.as_ref());
            }
        }
    }

    /// The version of a list inside, which has a count of its own (RFC 4662 §5.2).
    fn next_version(&mut self, uri: &str) -> u32 {
        let inside = &mut self.subscription.told.inside;
        let next = inside.entry(uri.into()).or_default();
        let version = *next;
        *next = next.wrapping_add(1);
        version
    }
}

/// Lists that are not inside any more begin again when they come back.
fn forget_versions(subscription: &mut Subscription, list: &List) {
    fn names<'l>(list: &'l List, all: &mut Vec<&'l str>) {
        for resource in &list.resources {
            if let Kind::List(inside) = &resource.kind {
                all.push(&resource.uri);
                names(inside, all);
            }
        }
    }
    let mut all = Vec::new();
    names(list, &mut all);
    let inside = &mut subscription.told.inside;
    inside.retain(|uri, _| all.contains(&&**uri));
}
