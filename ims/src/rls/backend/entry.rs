//! One back-end subscription: on whose behalf and to whom, its dialogs, and what they have told.

use super::content;
use super::filter;
use super::flow::Number;
use super::settings::Way;
use crate::event::onlooker::{Content, Extent, Instance, Member, Onlooker};
use crate::event::subscriber::{Backoff, Subscriber};
use crate::event::subscription::{End, State, SubscriptionId};
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most notifiers of one resource: a SUBSCRIBE that is forked to more is told of by so many.
pub(super) const MOST_FORKS: usize = 8;
/// What each list server on the way takes off `Max-Forwards` of a subscription that may be to a list, so that lists of
/// each other end after a few rounds (RFC 4662 §7.4).
const HOPS_A_LIST: u32 = 10;
/// `Max-Forwards` of a request that we originate (RFC 3261 §8.1.1.6).
const HOPS: u32 = 70;

/// What makes two wishes the same: nothing that one watcher may see is ever shown to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// Identities of the watcher, as the network asserted them. Never empty.
    pub asserted: Box<[Box<str>]>,
    pub anonymous: bool,
    pub member: Aor,
    pub package: Box<str>,
    pub filter: Option<Arc<[u8]>>,
    /// `Max-Forwards`. Where a member may be a list it tells the rounds of lists that contain each other apart: one that
    /// shared the subscription of the round before would keep it alive for ever.
    pub hops: u32,
}

impl Key {
    /// What a member of a list asks for; the error is how it ends before it begins.
    pub fn of(onlooker: &Onlooker, uri: &str, lists: bool) -> Result<Key, End> {
        let member = Aor::parse(uri).ok_or(End::NoResource)?;
        if member.user().is_none() || content::accept(onlooker.package, lists).is_none() {
            return Err(End::NoResource);
        }
        // the core serves users: a watcher who is nobody has nobody to ask for him
        if onlooker.asserted.is_empty() {
            return Err(End::Rejected);
        }
        let hops = hops(onlooker.hops, lists).ok_or(End::NoResource)?;
        let document = onlooker.filter.as_deref();
        Ok(Key {
            filter: document.and_then(|d| filter::for_member(d, &onlooker.uri, &member, lists)),
            asserted: onlooker.asserted.as_slice().into(),
            anonymous: onlooker.anonymous,
            member,
            package: onlooker.package.into(),
            hops,
        })
    }

    /// Under which back-ends of one watcher are counted.
    pub fn watcher(&self) -> &str {
        self.asserted.first().map_or("", |uri| uri)
    }

    /// Whose pace it keeps.
    pub fn domain(&self) -> Arc<str> {
        match self.member.is_tel() {
            true => "tel".into(),
            false => self.member.host().into(),
        }
    }

    /// `From`.
    pub fn from(&self) -> &str {
        match self.anonymous {
            true => "sip:anonymous@anonymous.invalid", // RFC 3323 §4.1.1.3
            false => self.watcher(),
        }
    }
}

/// `Max-Forwards` of a back-end subscription for a list subscription that came with `hops` left; `None`: it has gone
/// through too many lists.
fn hops(hops: u32, lists: bool) -> Option<u32> {
    match lists {
        false => Some(HOPS),
        true => hops.min(HOPS).checked_sub(HOPS_A_LIST).filter(|h| *h > 0),
    }
}

/// One dialog.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub subscriber: Subscriber,
    /// The instance that it tells of, from its first NOTIFY on.
    pub slot: Option<usize>,
}

/// One instance of the resource (RFC 4662 §5.5). Its place is its id: what comes back takes the place it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub state: State,
    pub tag: u64,
    pub content: Option<Content>,
}

impl Slot {
    pub fn new(state: State) -> Slot {
        Slot {
            state,
            tag: 0,
            content: None,
        }
    }

    /// What RLMI says of it; `None`: nothing yet. An active instance has state (RFC 4662 §5.5).
    pub fn instance(&self) -> Option<Instance> {
        if self.state == State::Active && self.content.is_none() {
            return None;
        }
        Some(Instance {
            state: self.state,
            tag: self.tag,
            content: self.content.clone(),
        })
    }
}

/// The SUBSCRIBE that opened the dialogs, while more of them may open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub id: SubscriptionId,
    pub until: Timestamp,
}

/// A back-end subscription.
#[derive(Debug)]
pub(super) struct Entry {
    pub number: Number,
    pub key: Arc<Key>,
    pub domain: Arc<str>,
    pub display_name: Option<Box<str>>,
    /// Those who want it, each with the tags of the instances that it has taken.
    pub members: BTreeMap<Member, Vec<u64>>,
    /// Until when the last of their list subscriptions lives.
    pub until: Timestamp,
    pub legs: Vec<Leg>,
    pub slots: Vec<Slot>,
    pub opening: Option<Opening>,
    pub way: Option<Way>,
    pub retry_at: Option<Timestamp>,
    pub backoff: Backoff,
    /// When it was refused.
    pub refused_at: Option<Timestamp>,
    /// A job of it waits for the turn of its domain.
    pub queued: bool,
    /// It counts among what is under way at its domain.
    pub counted: bool,
    /// It is being ended.
    pub closing: bool,
    /// The store has its record.
    pub stored: bool,
    pub look_at: Option<Timestamp>,
}

impl Entry {
    pub fn new(number: Number, key: Arc<Key>) -> Entry {
        Entry {
            number,
            domain: key.domain(),
            key,
            display_name: None,
            members: BTreeMap::new(),
            until: Timestamp::default(),
            legs: Vec::new(),
            slots: Vec::new(),
            opening: None,
            way: None,
            retry_at: None,
            backoff: Backoff::default(),
            refused_at: None,
            queued: false,
            counted: false,
            closing: false,
            stored: false,
            look_at: None,
        }
    }

    /// The lifetime to ask for: that of the list subscription, within bounds.
    pub fn lifetime(&self, now: Timestamp, longest: Seconds) -> Seconds {
        /// A fetch of a list, too, waits a moment for those who are asked.
        const SHORTEST: Seconds = Seconds(60);
        let left = self.until.seconds_from(now);
        left.max(SHORTEST).min(longest.max(SHORTEST))
    }

    /// Whether somebody may still answer soon who has not.
    pub fn is_awaited(&self) -> bool {
        let silent = self.slots.iter().all(|slot| slot.instance().is_none());
        silent && (self.queued || self.counted)
    }

    /// What a member is told, as taken.
    pub fn take(&mut self, member: Member, extent: Extent) -> Vec<(u32, Instance)> {
        let Some(taken) = self.members.get_mut(&member) else {
            return Vec::new();
        };
        taken.resize(self.slots.len(), 0);
        let mut told = Vec::new();
        for ((slot, taken), id) in self.slots.iter().zip(taken).zip(0..) {
            let Some(mut instance) = slot.instance() else {
                continue;
            };
            let had = std::mem::replace(taken, slot.tag);
            if extent == Extent::Change && had == slot.tag {
                instance.content = None;
            }
            told.push((id, instance));
        }
        told
    }

    pub fn is_asking(&self) -> bool {
        self.legs.iter().any(|leg| leg.subscriber.is_asking())
    }

    /// The first place that no dialog tells of.
    pub fn free_slot(&mut self) -> usize {
        let taken = |slot| self.legs.iter().any(|leg| leg.slot == Some(slot));
        let free = (0..self.slots.len()).find(|slot| !taken(*slot));
        free.unwrap_or_else(|| {
            self.slots.push(Slot::new(State::Pending));
            self.slots.len() - 1
        })
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let legs = self.legs.iter().map(|leg| leg.subscriber.next_deadline());
        let waits = self.legs.is_empty() && !self.queued;
        let retry = self.retry_at.filter(|_| waits);
        legs.chain([retry]).flatten().min()
    }
}
