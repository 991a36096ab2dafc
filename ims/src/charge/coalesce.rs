//! NOTIFYs that share a record, so that a fan-out is no charging storm.
//!
//! What is open is in the store after each NOTIFY, so a crash loses none; the record is written when the interval that
//! began with its first NOTIFY is over. NOTIFYs that failed are always recorded by themselves: each has a Cause-Code of
//! its own.

use super::{Booked, Event, record};
use crate::record::{Batch, Table, decode};
use crate::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How NOTIFYs become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalescing {
    /// Each makes one.
    Each,
    /// Those of one dialog and package within an interval make one, which says how many they were.
    Interval {
        length: Seconds,
        /// Records open at the same time; one more closes the oldest early.
        open: usize,
    },
}

/// NOTIFYs that wait for their record. The layout of [`Table::Coalesced`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    closes_at: Timestamp,
    notifies: u32,
    /// When the first one was sent.
    since: Timestamp,
    /// The event of the last one, as [`record`] has it.
    last: Vec<u8>,
}

/// The open records of a ledger.
#[derive(Debug, Default)]
pub(super) struct OpenRecords {
    by_key: BTreeMap<Box<[u8]>, Open>,
    due: BTreeSet<(Timestamp, Box<[u8]>)>,
}

impl OpenRecords {
    /// Adds a NOTIFY. Returns an older record that has to give up its place.
    pub fn add(
        &mut self,
        batch: &mut Batch,
        event: &Event,
        (length, most): (Seconds, usize),
    ) -> Option<Event> {
        let key = key(event);
        let known = self.by_key.remove(&key);
        let evicted = match known {
            None if self.by_key.len() >= most => self.close_first(batch, |_| true),
            _ => None,
        };
        let (notifies, since, closes_at) = match &known {
            Some(open) => (open.notifies, open.since, open.closes_at),
            None => (0, event.requested_at, event.answered_at + length),
        };
        let open = Open {
            closes_at,
            notifies: notifies.saturating_add(1),
            since,
            last: record::write_event(event),
        };
        batch.put(Table::Coalesced, &key, &open);
        self.due.insert((closes_at, key.clone()));
        self.by_key.insert(key, open);
        evicted
    }

    /// The first record that is due, closed.
    pub fn close_due(&mut self, batch: &mut Batch, now: Timestamp) -> Option<Event> {
        self.close_first(batch, |at| at <= now)
    }

    fn close_first(
        &mut self,
        batch: &mut Batch,
        wanted: impl Fn(Timestamp) -> bool,
    ) -> Option<Event> {
        while self.due.first().is_some_and(|(at, _)| wanted(*at)) {
            let (_, key) = self.due.pop_first()?;
            batch.delete(Table::Coalesced, &key);
            // what was recovered was read, so what is here can be
            let open = self.by_key.remove(&key)?;
            if let Some(event) = open.event() {
                return Some(event);
            }
        }
        None
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes up a record of the store. `false`: it is none.
    pub fn recover(&mut self, key: &[u8], value: &[u8]) -> bool {
        let open = decode::<Open>(value).filter(|open| open.event().is_some());
        let Some(open) = open else { return false };
        self.due.insert((open.closes_at, key.into()));
        self.by_key.insert(key.into(), open);
        true
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }
}

impl Open {
    /// The record: the last NOTIFY, from when the first was sent, with their number.
    fn event(&self) -> Option<Event> {
        let event = record::read_event(&self.last)?;
        Some(Event {
            requested_at: self.since,
            booked: Booked {
                notifies: self.notifies,
                ..Booked::default()
            },
            ..event
        })
    }
}

/// Package and Call-ID, which together name a subscription as long as a dialog has one of a package.
fn key(event: &Event) -> Box<[u8]> {
    let package = event.package.as_deref().unwrap_or_default();
    [package.as_bytes(), &[0], event.call_id.as_bytes()]
        .concat()
        .into()
}
