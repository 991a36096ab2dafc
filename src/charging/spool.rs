//! The spool: records that lie in the store until a CDF has taken them. Bookkeeping only; it is told the time and
//! says what to send, what to read from the store and what to take out of it.
//!
//! A record is committed with the state change that it reports, sent in the order of its number, and leaves by
//! acknowledgement only. At most `memory` records are held here; of the others only the lowest number is known, and
//! they are read when there is room.

use super::accounts::Outcome;
use diameter::Instant;
use diameter::route::PeerId;
use ims::charge::Event;
use ims::record::{Batch, Table};
use ims::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// First and longest wait of a record that was refused for now, in milliseconds.
const REFUSED_WAIT: (u64, u64) = (1_000, 300_000);
/// First and longest pause of the whole spool while everything is refused, in milliseconds.
const PAUSE: (u64, u64) = (1_000, 60_000);
/// Refusals in a row, with nothing acknowledged between, that begin a pause: one bad record must not hold up the
/// others, and a CDF that is busy must not be asked for each of them.
const REFUSALS: u32 = 8;
/// Changes of one batch at most.
const BATCH: usize = 512;

/// A record that was refused for good, as it lies in [`Table::Quarantine`] under the number of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The record as it lay in the spool.
    pub record: Vec<u8>,
    /// Result-Code; 0 when it was not sent.
    pub result: u32,
    /// Origin-Host of the answer, when there was one.
    pub peer: String,
    /// What was wrong, for the operator.
    pub reason: String,
    pub at: Timestamp,
}

/// What became of a sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A CDF has it.
    Acknowledged,
    /// Refused for now (3xxx, 4xxx).
    Refused,
    /// It may have been received, and nobody said so.
    Unanswered,
    /// It was not sent.
    NotSent,
    /// Refused for good (5xxx), or not sendable at all.
    Rejected {
        result: u32,
        peer: String,
        reason: String,
    },
}

/// A record that has come to its end, for which it leaves the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// `None`: what lay in the store could not be read.
    pub event: Option<Arc<Event>>,
    pub outcome: Outcome,
    /// Who answered.
    pub peer: Option<PeerId>,
    pub quarantined: Option<Quarantined>,
}

impl Done {
    /// Neither exported nor unreadable: its end came with an answer, or with what was to be sent.
    fn was_sent(&self) -> bool {
        self.event.is_some() && self.outcome != Outcome::Exported
    }
}

/// A record to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    pub event: Arc<Event>,
    /// The T flag.
    pub retransmitted: bool,
    pub avoid: Option<PeerId>,
}

#[derive(Debug)]
struct Record {
    event: Arc<Event>,
    state: State,
    /// Some sending of it ended without an answer.
    unanswered: bool,
    refusals: u32,
    /// The peer that failed it last.
    avoid: Option<PeerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Delayed(Instant),
    InFlight,
}

#[derive(Debug)]
pub struct Spool {
    memory: usize,
    window: usize,
    /// In memory and not yet answered.
    records: BTreeMap<u64, Record>,
    ready: BTreeSet<u64>,
    delayed: BTreeSet<(Instant, u64)>,
    in_flight: usize,
    /// Sent, and answered for good, but still in the store: a crash would send them once more.
    settling: usize,
    /// Answered, and to be taken out of the store.
    done: BTreeMap<u64, Done>,
    /// The part of `done` that is being taken out.
    leaving: Vec<u64>,
    /// The lowest number that may be in the store and not here.
    unread: Option<u64>,
    /// A read is under way; the lowest number that was noted since it began.
    reading: Option<Option<u64>>,
    /// Read from the store before it was told that they are there.
    early: BTreeSet<u64>,
    /// Records in the store that it was told of. Negative while some of `early` have left already.
    depth: i64,
    /// Highest number there is.
    highest: Option<u64>,
    /// Highest number that lay in the store at the start or while no CDF was up.
    stored: Option<u64>,
    refusals: u32,
    pauses: u32,
    pause: Option<Instant>,
}

impl Spool {
    /// With `recovered` records in the store, of which `highest` is the last.
    pub fn new(memory: usize, window: usize, recovered: u64, highest: Option<u64>) -> Spool {
        Spool {
            memory,
            window,
            records: BTreeMap::new(),
            ready: BTreeSet::new(),
            delayed: BTreeSet::new(),
            in_flight: 0,
            settling: 0,
            done: BTreeMap::new(),
            leaving: Vec::new(),
            unread: (recovered > 0).then_some(0),
            reading: None,
            early: BTreeSet::new(),
            depth: i64::try_from(recovered).unwrap_or(i64::MAX),
            highest,
            stored: highest,
            refusals: 0,
            pauses: 0,
            pause: None,
        }
    }

    /// Records in the store, answered or not.
    pub fn depth(&self) -> u64 {
        u64::try_from(self.depth).unwrap_or(0)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Records that may be under way at the same time.
    pub fn window(&self) -> usize {
        self.window
    }

    /// A record has been committed.
    pub fn committed(&mut self, event: Event) {
        self.depth += 1;
        if self.early.remove(&event.number) {
            self.highest = self.highest.max(Some(event.number));
            return; // it was found in the store, and perhaps sent and answered since
        }
        self.highest = self.highest.max(Some(event.number));
        // Behind what is unread it would jump the queue, and there may be no room.
        if self.unread.is_some() || self.records.len() >= self.memory {
            self.note_unread(event.number);
        } else {
            self.hold(event);
        }
    }

    /// `count` records from `lowest` to `highest` have been committed that nobody kept in memory.
    pub fn committed_unseen(&mut self, lowest: u64, highest: u64, count: u64) {
        self.depth += i64::try_from(count).unwrap_or(i64::MAX);
        self.early
            .retain(|number| !(lowest..=highest).contains(number));
        self.highest = self.highest.max(Some(highest));
        self.note_unread(lowest);
    }

    /// `count` records that had left are in the store again, the lowest of them with this number. Those between were told
    /// of, or will be, for themselves.
    pub fn released(&mut self, lowest: u64, count: u64) {
        self.depth += i64::try_from(count).unwrap_or(i64::MAX);
        self.note_unread(lowest);
    }

    /// No CDF can take anything now. RFC 6733 Appendix C: T may be set by "a client re-sending a stored record from
    /// non-volatile memory". Whether one was sent before the outage is not always known, so all that waited through
    /// it carry T.
    pub fn outage(&mut self) {
        self.stored = self.highest;
    }

    /// Refusals since the last acknowledgement.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// A record that is held.
    pub fn event(&self, number: u64) -> Option<&Event> {
        self.records.get(&number).map(|record| &*record.event)
    }

    fn note_unread(&mut self, number: u64) {
        let lower = |known: Option<u64>| Some(known.map_or(number, |known| known.min(number)));
        self.unread = lower(self.unread);
        if let Some(noted) = &mut self.reading {
            *noted = lower(*noted);
        }
    }

    fn hold(&mut self, event: Event) {
        let number = event.number;
        if self.records.contains_key(&number) || self.done.contains_key(&number) {
            return; // read again, or committed while it was read
        }
        let record = Record {
            event: Arc::new(event),
            state: State::Ready,
            unanswered: false,
            refusals: 0,
            avoid: None,
        };
        self.records.insert(number, record);
        self.ready.insert(number);
    }

    /// The number to read from and how many, when the store should be read. [`Spool::read`] or
    /// [`Spool::read_failed`] must follow.
    pub fn wants_read(&mut self) -> Option<(u64, usize)> {
        let room = self.memory.saturating_sub(self.records.len());
        // In halves, so that a store scan is not made for each record that leaves.
        if self.reading.is_some() || room < self.memory.div_ceil(2) {
            return None;
        }
        let from = self.unread?;
        self.reading = Some(None);
        Some((from, room))
    }

    /// What the store had: `events` with rising numbers, and the last number seen if there may be more.
    pub fn read(&mut self, events: Vec<Event>, more_after: Option<u64>) {
        let noted = self.reading.take().flatten();
        self.unread = match (more_after, noted) {
            (Some(last), noted) => Some(last.saturating_add(1).min(noted.unwrap_or(u64::MAX))),
            (None, noted) => noted,
        };
        for event in events {
            if Some(event.number) > self.highest {
                self.early.insert(event.number);
            }
            self.hold(event);
        }
    }

    /// The store could not be read.
    pub fn read_failed(&mut self) {
        self.reading = None;
    }

    /// A record that cannot be read goes to quarantine as it is.
    pub fn unreadable(&mut self, number: u64, record: Vec<u8>, at: Timestamp) {
        let reason = "the record cannot be read".to_owned();
        let quarantined = Quarantined {
            record,
            result: 0,
            peer: String::new(),
            reason,
            at,
        };
        let done = Done {
            event: None,
            outcome: Outcome::Quarantined,
            peer: None,
            quarantined: Some(quarantined),
        };
        self.done.insert(number, done);
    }

    /// When the oldest record that is held came to be.
    pub fn oldest(&self) -> Option<Timestamp> {
        let (_, first) = self.records.first_key_value()?;
        Some(first.event.answered_at)
    }

    /// Gives up to `count` of the oldest records that are not in flight up for export, those before `until`.
    /// Returns how many.
    pub fn evict(&mut self, count: u64, until: Timestamp) -> u64 {
        let numbers: Vec<u64> = self
            .idle()
            .filter(|(_, record)| record.event.answered_at < until)
            .map(|(number, _)| number)
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .collect();
        self.give_up(&numbers)
    }

    /// The same for as many of the oldest, `count` at most, as take `bytes` in the store. `length` says how many one
    /// takes.
    pub fn evict_bytes(&mut self, bytes: u64, count: usize, length: impl Fn(u64) -> u64) -> u64 {
        let mut freed = 0;
        let numbers: Vec<u64> = self
            .idle()
            .map(|(number, _)| number)
            .take(count)
            .take_while(|number| {
                let is_needed = freed < bytes;
                freed = length(*number).saturating_add(freed);
                is_needed
            })
            .collect();
        self.give_up(&numbers)
    }

    /// Records that are held and not in flight.
    fn idle(&self) -> impl Iterator<Item = (u64, &Record)> {
        let idle = |(_, record): &(&u64, &Record)| record.state != State::InFlight;
        let records = self.records.iter().filter(idle);
        records.map(|(number, record)| (*number, record))
    }

    fn give_up(&mut self, numbers: &[u64]) -> u64 {
        for number in numbers {
            let Some(record) = self.records.remove(number) else {
                continue;
            };
            self.ready.remove(number);
            if let State::Delayed(at) = record.state {
                self.delayed.remove(&(at, *number));
            }
            let done = Done {
                event: Some(record.event),
                outcome: Outcome::Exported,
                peer: None,
                quarantined: None,
            };
            self.done.insert(*number, done);
        }
        numbers.len() as u64
    }

    /// Whether as many records are under way as may be. Those that are answered count until the store knows: then no
    /// crash sends more than a window once more.
    fn is_full(&self) -> bool {
        self.in_flight + self.settling >= self.window
    }

    /// The next record to send, which is then in flight.
    pub fn next_sending(&mut self, now: Instant) -> Option<Sending> {
        if self.is_full() || self.pause.is_some_and(|until| until > now) {
            return None;
        }
        while let Some(&(at, number)) = self.delayed.first().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, number));
            self.ready.insert(number);
        }
        let number = self.ready.pop_first()?;
        let record = self.records.get_mut(&number)?;
        record.state = State::InFlight;
        self.in_flight += 1;
        let retransmitted = record.unanswered || Some(number) <= self.stored;
        Some(Sending {
            event: record.event.clone(),
            retransmitted,
            avoid: record.avoid,
        })
    }

    /// Puts a record back that was to be sent, for `wait` milliseconds.
    pub fn postpone(&mut self, number: u64, now: Instant, wait: u64) {
        self.wait(number, now.after(wait));
    }

    fn wait(&mut self, number: u64, until: Instant) {
        let Some(record) = self.records.get_mut(&number) else {
            return;
        };
        if record.state == State::InFlight {
            self.in_flight -= 1;
        }
        record.state = State::Delayed(until);
        self.delayed.insert((until, number));
    }

    /// What became of a sending by `peer`.
    pub fn ended(
        &mut self,
        number: u64,
        peer: Option<PeerId>,
        fate: Fate,
        now: Instant,
        at: Timestamp,
    ) {
        let Some(record) = self
            .records
            .get_mut(&number)
            .filter(|r| r.state == State::InFlight)
        else {
            return;
        };
        match fate {
            Fate::Acknowledged => {
                self.refusals = 0;
                self.pauses = 0;
                self.leave(number, peer, None);
            }
            Fate::Rejected {
                result,
                peer: host,
                reason,
            } => {
                let by = peer;
                let peer = host;
                let record = ims::charge::record::write(&record.event);
                self.leave(
                    number,
                    by,
                    Some(Quarantined {
                        record,
                        result,
                        peer,
                        reason,
                        at,
                    }),
                );
            }
            // T "MUST NOT be set if an error answer message ... has been received for the earlier message" (RFC 6733
            // §3): a refusal leaves it as it was.
            Fate::Refused => {
                record.avoid = peer;
                record.refusals += 1;
                let until = now.after(doubled(REFUSED_WAIT, record.refusals));
                self.wait(number, until);
                self.refused(now);
            }
            Fate::Unanswered => {
                record.avoid = peer;
                record.unanswered = true;
                self.wait(number, now);
            }
            Fate::NotSent => self.wait(number, now.after(REFUSED_WAIT.0)),
        }
    }

    fn refused(&mut self, now: Instant) {
        self.refusals += 1;
        if self.refusals >= REFUSALS && self.pause.is_none_or(|until| until <= now) {
            self.pauses += 1;
            self.pause = Some(now.after(doubled(PAUSE, self.pauses)));
        }
    }

    fn leave(&mut self, number: u64, peer: Option<PeerId>, quarantined: Option<Quarantined>) {
        self.in_flight -= 1;
        self.settling += 1;
        let done = Done {
            event: self.records.remove(&number).map(|record| record.event),
            outcome: match quarantined {
                None => Outcome::Acknowledged,
                Some(_) => Outcome::Quarantined,
            },
            peer,
            quarantined,
        };
        self.done.insert(number, done);
    }

    /// Numbers of all that is to be taken out of the store and is there still.
    pub fn ended_numbers(&self) -> impl Iterator<Item = u64> {
        self.done.keys().copied()
    }

    /// Answered records that no batch has taken yet.
    pub fn waiting_to_leave(&self) -> usize {
        self.done.len() - self.leaving.len()
    }

    /// Changes to commit, one batch at a time: deletions, and moves to quarantine, each whole.
    /// [`Spool::left`] or [`Spool::stayed`] must follow.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if !self.leaving.is_empty() || self.done.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        for (number, done) in self.done.iter().take(BATCH) {
            let key = Event::key(*number);
            if let Some(quarantined) = &done.quarantined {
                batch.put(Table::Quarantine, &key, quarantined);
            }
            batch.delete(Table::Charging, &key);
            self.leaving.push(*number);
        }
        Some(batch)
    }

    /// The records of the batch under way.
    pub fn batch(&self) -> impl Iterator<Item = &Done> {
        self.leaving
            .iter()
            .filter_map(|number| self.done.get(number))
    }

    /// Whether a batch is under way.
    pub fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// The batch is committed.
    pub fn left(&mut self) {
        for number in self.leaving.drain(..) {
            let done = self.done.remove(&number);
            self.settling -= usize::from(done.is_some_and(|done| done.was_sent()));
            self.depth -= 1;
        }
    }

    /// The batch could not be committed; its changes are for a later one.
    pub fn stayed(&mut self) {
        self.leaving.clear();
    }

    /// When [`Spool::next_sending`] may have something that it has not now.
    pub fn deadline(&self) -> Option<Instant> {
        let due = if self.ready.is_empty() {
            self.delayed.first().map(|(at, _)| *at)
        } else {
            None
        };
        match (self.pause, due) {
            _ if self.is_full() => None,
            (Some(pause), Some(due)) => Some(pause.max(due)),
            (Some(pause), None) => (!self.ready.is_empty()).then_some(pause),
            (None, due) => due,
        }
    }
}

/// The `times`th wait: the first one doubled each time up to the longest.
fn doubled((first, longest): (u64, u64), times: u32) -> u64 {
    first
        .saturating_mul(1 << times.saturating_sub(1).min(20))
        .min(longest)
}

#[cfg(test)]
mod tests;
