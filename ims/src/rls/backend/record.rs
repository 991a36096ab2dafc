//! Back-end subscriptions in the store: each goes on in its dialogs after a restart, with the state that it had.
//!
//! Who wanted it is not stored: the list subscriptions are, and want it again. What none of them wants is ended.

use super::entry::{Entry, Key, Leg, Slot};
use super::flow::{Job, Number};
use super::hearing::tag;
use super::{Service, content};
use crate::dialog::Dialog;
use crate::event::onlooker::Content;
use crate::event::subscriber::Subscriber;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::TagKey;
use crate::event::turn::Turn;
use crate::record::{Batch, Table};
use crate::sip::Aor;
use crate::time::{Millis, Seconds, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How long after a restart list subscriptions may take to want theirs again: lists on other servers are asked for.
const UNWANTED: Millis = Millis(60_000);

/// One back-end subscription, under its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    asserted: Vec<Box<str>>,
    anonymous: bool,
    display_name: Option<Box<str>>,
    member: Aor,
    package: Box<str>,
    filter: Option<Vec<u8>>,
    hops: u32,
    until: Timestamp,
    slots: Vec<SlotRecord>,
    legs: Vec<LegRecord>,
}

/// State of an instance, and what it says: media type and document.
type SlotRecord = (State, Option<(Box<str>, Vec<u8>)>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LegRecord {
    id: SubscriptionId,
    ticket: SubscriptionId,
    slot: Option<u32>,
    dialog: Dialog,
    lifetime: Seconds,
    expires_at: Timestamp,
}

impl Record {
    fn of(entry: &Entry) -> Record {
        let key = &entry.key;
        let content = |slot: &Slot| {
            let content = slot.content.as_ref();
            content.map(|c| (c.media_type.clone(), c.bytes.to_vec()))
        };
        Record {
            asserted: key.asserted.to_vec(),
            anonymous: key.anonymous,
            display_name: entry.display_name.clone(),
            member: key.member.clone(),
            package: key.package.clone(),
            filter: key.filter.as_deref().map(<[u8]>::to_vec),
            hops: key.hops,
            until: entry.until,
            slots: entry.slots.iter().map(|s| (s.state, content(s))).collect(),
            legs: entry.legs.iter().filter_map(LegRecord::of).collect(),
        }
    }
}

impl LegRecord {
    /// `None` before its first NOTIFY: one that comes after a restart is answered 481, which ends it there.
    fn of(leg: &Leg) -> Option<LegRecord> {
        let subscriber = &leg.subscriber;
        Some(LegRecord {
            id: subscriber.id,
            ticket: subscriber.ticket,
            slot: leg.slot.and_then(|slot| u32::try_from(slot).ok()),
            dialog: subscriber.dialog()?.clone(),
            lifetime: subscriber.lifetime(),
            expires_at: subscriber.expires_at(),
        })
    }

    fn leg(self, slots: usize, timer_n: Millis) -> Leg {
        let LegRecord {
            id,
            ticket,
            slot,
            dialog,
            lifetime,
            expires_at,
        } = self;
        let subscriber = Subscriber::recover(id, dialog, lifetime, expires_at, timer_n);
        let slot = slot.and_then(|slot| usize::try_from(slot).ok());
        Leg {
            subscriber: subscriber.with_ticket(ticket),
            slot: slot.filter(|slot| *slot < slots),
        }
    }
}

impl Service {
    /// Writes an entry that has a dialog; one that has none any more is nothing to come back to.
    pub(super) fn store(&mut self, turn: &mut Turn<'_>, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let key = number.to_be_bytes();
        let mut legs = entry.legs.iter();
        if !entry.closing && legs.any(|leg| leg.subscriber.dialog().is_some()) {
            turn.batch.put(Table::BackEnd, &key, &Record::of(entry));
            entry.stored = true;
        } else if std::mem::take(&mut entry.stored) {
            turn.batch.delete(Table::BackEnd, &key);
        }
    }

    /// The key of entity-tags, from the store, before the records.
    pub fn recover_tag_key(&mut self, tags: TagKey) {
        self.tags = tags;
    }

    /// Takes one record; `None`: it is none of ours.
    pub fn recover(&mut self, key: &[u8], record: Record) -> Option<()> {
        let number = Number::from_be_bytes(key.try_into().ok()?);
        self.last = self.last.max(number);
        let wanted = Key {
            asserted: record.asserted.into(),
            anonymous: record.anonymous,
            member: record.member,
            package: record.package,
            filter: record.filter.map(Arc::from),
            hops: record.hops,
        };
        let lists = self.settings.bounds.nested;
        let is_served = content::accept(&wanted.package, lists).is_some();
        let is_usable = is_served && !wanted.asserted.is_empty() && !record.legs.is_empty();
        let ids = record.legs.iter().map(|leg| leg.id);
        let is_known = self.by_key.contains_key(&wanted) || ids.clone().any(|id| self.owns(id));
        if !is_usable || is_known {
            self.spoilt.push(key.into());
            return Some(());
        }
        let mut entry = Entry::new(number, Arc::new(wanted));
        entry.display_name = record.display_name;
        entry.until = record.until;
        entry.stored = true;
        for (state, content) in record.slots {
            let content = content.map(|(media_type, bytes)| Content {
                media_type,
                bytes: Bytes::from(bytes),
            });
            entry.slots.push(Slot {
                state,
                tag: content.as_ref().map_or(0, |c| tag(c, self.tags)),
                content,
            });
        }
        for leg in record.legs {
            let leg = leg.leg(entry.slots.len(), self.settings.timer_n);
            self.ids.insert(leg.subscriber.id, number);
            self.tickets.insert(leg.subscriber.ticket, number);
            entry.legs.push(leg);
        }
        self.insert(entry);
        Some(())
    }

    /// Everything is read: each is refreshed at the pace of its domain, for what has changed meanwhile.
    pub fn recovered(&mut self, now: Timestamp, batch: &mut Batch) {
        for key in std::mem::take(&mut self.spoilt) {
            batch.delete(Table::BackEnd, &key);
        }
        let numbers: Vec<Number> = self.entries.keys().copied().collect();
        for number in numbers {
            if let Some(entry) = self.entries.get_mut(&number) {
                for leg in &mut entry.legs {
                    leg.subscriber.resume(now);
                }
            }
            self.queue(number, Job::Refresh(number));
            self.schedule(number);
        }
        self.sweep_at = (!self.entries.is_empty()).then_some(now + UNWANTED);
    }
}
