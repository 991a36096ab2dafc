//! The accounts: how many events each hour has seen, and what became of them, CDF by CDF.
//!
//! The ledger counts an event in the batch that writes it, the charging thread counts its end in the batch that takes
//! it out of the spool. So after any crash what was emitted is what was acknowledged, exported, quarantined and waits;
//! where it is not, records are missing, and [`Report`] says how many of which hour, and which: the same batch notes
//! the places within their hour of the events that a CDF or a file has, and the others are in the store.

use super::online::accounts as credit;
use super::sequences::Sequences;
use super::spool::Quarantined;
use super::tally::{Row, Tally, rows};
use crate::store::{Reader, StoreError};
use ims::charge::{Booked, record};
use ims::record::{Batch, Table, decode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Records read from the store at once.
const PAGE: usize = 4_096;

/// Hours of which the accounts are kept once they add up: 31 days.
pub(super) const KEPT_HOURS: u32 = 744;

/// Runs of missing records that are named for an hour.
const NAMED: usize = 100;

/// What became of an event. The number is on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    Acknowledged = 1,
    Quarantined = 2,
    /// Written to a file in place of a CDF.
    Exported = 3,
    /// Went back from quarantine to the spool.
    Released = 4,
    /// Sent with the T flag. Not an end: it may happen to one event more than once.
    Resent = 5,
}

impl Outcome {
    fn of(kind: u8) -> Option<Outcome> {
        use Outcome::*;
        let all = [Acknowledged, Quarantined, Exported, Released, Resent];
        all.into_iter().find(|outcome| *outcome as u8 == kind)
    }
}

/// Counts of one writer. What a batch adds counts once the batch is committed.
#[derive(Debug)]
pub struct Accounts {
    counts: Tally,
    /// By hour: the places of what a CDF or a file has. As above.
    ended: BTreeMap<u32, Sequences>,
    ended_coming: BTreeMap<u32, Sequences>,
    ended_noted: Vec<Booked>,
}

impl Accounts {
    pub fn load(reader: &dyn Reader) -> Result<Accounts, StoreError> {
        Ok(Accounts {
            counts: Tally::load(reader, Table::ChargingSettled, |_| true)?,
            ended: ended(reader)?,
            ended_coming: BTreeMap::new(),
            ended_noted: Vec::new(),
        })
    }

    /// A record leaves the spool with the next batch, and the store if it does not go to quarantine.
    pub fn note_end(&mut self, booked: Booked, outcome: Outcome, peer: &str) {
        self.note(booked.hour, outcome, peer);
        if booked.hour > 0 && matches!(outcome, Outcome::Acknowledged | Outcome::Exported) {
            self.ended_noted.push(booked);
        }
    }

    /// Counts something that goes with the next batch. Events of a version without accounts are in no hour.
    pub fn note(&mut self, hour: u32, outcome: Outcome, peer: &str) {
        if hour > 0 {
            let (kind, peer) = (outcome as u8, peer.to_owned());
            self.counts.note(Row { hour, kind, peer }, 1);
        }
    }

    /// Puts what was noted into a batch. [`Accounts::left`] or [`Accounts::stayed`] must follow.
    pub fn add_to(&mut self, batch: &mut Batch) {
        self.counts.add_to(batch);
        for Booked { hour, sequence, .. } in std::mem::take(&mut self.ended_noted) {
            let known = || self.ended.get(&hour).cloned().unwrap_or_default();
            let places = self.ended_coming.entry(hour).or_insert_with(known);
            places.insert(sequence);
        }
        for (hour, places) in &mut self.ended_coming {
            places.bound();
            batch.put_owned(Table::ChargingEnded, &hour.to_be_bytes(), places.write());
        }
    }

    pub fn left(&mut self) {
        self.counts.left();
        self.ended.append(&mut self.ended_coming);
    }

    /// The batch was not committed: its records, and with them their counts, come with a later one.
    pub fn stayed(&mut self) {
        self.counts.stayed();
        self.ended_coming.clear();
    }
}

/// By hour, the places of what a CDF or a file has.
fn ended(reader: &dyn Reader) -> Result<BTreeMap<u32, Sequences>, StoreError> {
    let mut ended = BTreeMap::new();
    each(reader, Table::ChargingEnded, |key, value| {
        if let (Ok(hour), Some(places)) = (<[u8; 4]>::try_from(key), Sequences::read(value)) {
            ended.insert(u32::from_be_bytes(hour), places);
        }
    })?;
    Ok(ended)
}

/// The accounts of one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// Hour since 1970; it begins at `hour * 3600` seconds.
    pub hour: u32,
    pub emitted: u32,
    pub acknowledged: u32,
    /// In quarantine now.
    pub quarantined: u32,
    pub exported: u32,
    pub waiting: u32,
    /// Sendings with the T flag.
    pub resent: u32,
    /// `emitted` without all ends and what waits: records that are gone. Negative: records that nobody emitted.
    pub missing: i64,
    /// Which records are missing, by their places in the hour, the first 100 runs. Empty where that is not known: an
    /// hour of which a version without this account has taken records out of the spool.
    #[serde(default)]
    pub missing_sequences: Vec<Run>,
    pub peers: BTreeMap<String, Peer>,
}

/// Records that follow each other in their hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub first: u32,
    pub last: u32,
}

/// What one CDF did to the events of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub acknowledged: u32,
    /// Refused for good; some may have been released since.
    pub refused: u32,
    pub resent: u32,
}

/// The accounts of all hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub hours: Vec<Hour>,
    /// Records in the spool that cannot be read.
    pub damaged: u32,
    /// What all records in the spool take in the store, in bytes.
    #[serde(default)]
    pub waiting_bytes: u64,
    /// Records that gather NOTIFYs and are not emitted yet.
    pub open: u32,
    /// Records that a version without accounts has left, in the spool.
    pub unaccounted: u32,
    /// What was asked of OCSs, and what became of it.
    #[serde(default)]
    pub credit: Vec<credit::Hour>,
    /// Whether nothing is missing in any hour, offline or online.
    pub adds_up: bool,
}

impl Report {
    /// Reads the accounts. Records may settle meanwhile: then it is read again, a few times.
    pub fn read(reader: &dyn Reader) -> Result<Report, StoreError> {
        let mut report = Report::read_once(reader)?;
        for _ in 0..4 {
            if report.adds_up {
                break;
            }
            report = Report::read_once(reader)?;
        }
        Ok(report)
    }

    fn read_once(reader: &dyn Reader) -> Result<Report, StoreError> {
        let mut report = Report::default();
        let mut hours: BTreeMap<u32, Hour> = BTreeMap::new();
        // Places of the records that are in the store. What leaves it while it is read is then among the ended.
        let mut held: BTreeMap<u32, Sequences> = BTreeMap::new();
        each(reader, Table::ChargingEmitted, |key, value| {
            if let (Ok(hour), Some(count)) = (<[u8; 4]>::try_from(key), decode(value)) {
                hours.entry(u32::from_be_bytes(hour)).or_default().emitted = count;
            }
        })?;
        each(reader, Table::Charging, |_, value| {
            report.waiting_bytes += value.len() as u64;
            match record::booked(value) {
                Err(_) => report.damaged += 1,
                Ok(Booked { hour: 0, .. }) => report.unaccounted += 1,
                Ok(Booked { hour, sequence, .. }) => {
                    hours.entry(hour).or_default().waiting += 1;
                    held.entry(hour).or_default().insert(sequence);
                }
            }
        })?;
        each(reader, Table::Quarantine, |_, value| {
            let record = decode::<Quarantined>(value).map(|quarantined| quarantined.record);
            if let Some(Ok(booked)) = record.as_deref().map(record::booked) {
                held.entry(booked.hour).or_default().insert(booked.sequence);
            }
        })?;
        each(reader, Table::Coalesced, |_, _| report.open += 1)?;
        let mut ended = ended(reader)?;
        rows(reader, Table::ChargingSettled, |row, count| {
            if let Some(outcome) = Outcome::of(row.kind) {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                hours
                    .entry(row.hour)
                    .or_default()
                    .add(outcome, row.peer, count);
            }
        })?;
        for (number, mut hour) in hours {
            hour.hour = number;
            let settled = [
                hour.acknowledged,
                hour.quarantined,
                hour.exported,
                hour.waiting,
            ];
            let settled: i64 = settled.into_iter().map(i64::from).sum();
            hour.missing = i64::from(hour.emitted) - settled;
            let held = held.remove(&number).unwrap_or_default();
            hour.name_missing(ended.remove(&number).unwrap_or_default(), &held);
            report.hours.push(hour);
        }
        report.credit = credit::read(reader)?;
        report.adds_up = report.hours.iter().all(Hour::adds_up)
            && report.credit.iter().all(credit::Hour::adds_up);
        Ok(report)
    }

    /// Deletes the accounts of hours that add up and are older than they need be kept.
    pub fn prune(&self, batch: &mut Batch, reader: &dyn Reader) -> Result<(), StoreError> {
        let newest = self.hours.last().map_or(0, |hour| hour.hour);
        let is_old = |hour: u32| {
            let known = self.hours.iter().find(|known| known.hour == hour);
            hour.saturating_add(KEPT_HOURS) < newest
                && known.is_some_and(|hour| {
                    hour.adds_up() && hour.waiting == 0 && hour.quarantined == 0
                })
        };
        for table in [
            Table::ChargingEmitted,
            Table::ChargingSettled,
            Table::ChargingEnded,
        ] {
            each(reader, table, |key, _| {
                let hour = key.first_chunk().copied().map(u32::from_be_bytes);
                if hour.is_some_and(is_old) {
                    batch.delete(table, key);
                }
            })?;
        }
        credit::prune(&self.credit, batch, reader)
    }
}

impl Hour {
    /// Whether no record is missing.
    pub fn adds_up(&self) -> bool {
        self.missing == 0 && self.missing_sequences.is_empty()
    }

    /// The places of the missing records, as `3, 7-9`.
    pub fn missing_names(&self) -> String {
        let name = |run: &Run| match run.first == run.last {
            true => run.first.to_string(),
            false => format!("{}-{}", run.first, run.last),
        };
        let names: Vec<String> = self.missing_sequences.iter().map(name).collect();
        match names.is_empty() && self.missing != 0 {
            true => "not known".to_owned(),
            false => names.join(", "),
        }
    }

    fn name_missing(&mut self, ended: Sequences, held: &Sequences) {
        let had = u64::from(self.acknowledged) + u64::from(self.exported);
        if ended.span() < had {
            return; // not all of its ends were noted
        }
        let mut there = ended;
        there.extend(held);
        let missing = there.missing_below(self.emitted);
        let runs = missing.iter().map(|(first, last)| last - first + 1);
        // The counts cannot see what was taken out of quarantine. Below 0 they say that records settled meanwhile.
        let gone: i64 = runs.map(i64::from).sum();
        if gone > 0 {
            self.missing = self.missing.max(gone);
        }
        let named = missing.into_iter().take(NAMED);
        self.missing_sequences = named.map(|(first, last)| Run { first, last }).collect();
    }

    fn add(&mut self, outcome: Outcome, peer: String, count: u32) {
        if outcome == Outcome::Released {
            self.quarantined = self.quarantined.saturating_sub(count);
            return;
        }
        let of_peer = self.peers.entry(peer).or_default();
        match outcome {
            Outcome::Acknowledged => {
                self.acknowledged += count;
                of_peer.acknowledged += count;
            }
            Outcome::Quarantined => {
                self.quarantined += count;
                of_peer.refused += count;
            }
            Outcome::Resent => {
                self.resent += count;
                of_peer.resent += count;
            }
            Outcome::Exported => self.exported += count,
            Outcome::Released => {}
        }
    }
}

/// Shows every record of a table.
pub(super) fn each(
    reader: &dyn Reader,
    table: Table,
    mut show: impl FnMut(&[u8], &[u8]),
) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let page = reader.scan(table, &from, PAGE)?;
        for (key, value) in &page {
            show(key, value);
        }
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else {
            return Ok(());
        };
        from.clone_from(last);
        from.push(0); // the least key above it
    }
}

#[cfg(test)]
mod tests {
    use super::super::acr::tests::full;
    use super::*;
    use crate::store::Engine;
    use crate::store::memory::Memory;
    use ims::charge::{Booked, Event};

    const HOUR: u32 = 500_000;

    fn event(number: u64, hour: u32) -> Event {
        let sequence = number as u32;
        let booked = Booked {
            hour,
            sequence,
            notifies: 0,
        };
        Event {
            booked,
            ..full(number)
        }
    }

    /// A store in which `emitted` events of an hour were written and these wait.
    fn store(emitted: u32, waiting: &[u64]) -> Memory {
        let mut batch = Batch::default();
        batch.put(Table::ChargingEmitted, &HOUR.to_be_bytes(), &emitted);
        for number in waiting {
            let record = record::write(&event(*number, HOUR));
            batch.put_bytes(Table::Charging, &Event::key(*number), &record);
        }
        let mut engine = Memory::new();
        engine.commit(&[batch]).unwrap();
        engine
    }

    /// Ends events of the hour, with one batch.
    fn settle(engine: &mut Memory, ends: &[(u32, Outcome, &str)]) {
        let mut accounts = Accounts::load(&*engine.reader()).unwrap();
        for (sequence, outcome, peer) in ends {
            let booked = Booked {
                hour: HOUR,
                sequence: *sequence,
                notifies: 0,
            };
            accounts.note_end(booked, *outcome, peer);
        }
        let mut batch = Batch::default();
        accounts.add_to(&mut batch);
        engine.commit(&[batch]).unwrap();
        accounts.left();
    }

    /// Moves a record to quarantine.
    fn quarantine(engine: &mut Memory, number: u64) {
        let quarantined = Quarantined {
            record: record::write(&event(number, HOUR)),
            result: 5012,
            peer: String::new(),
            reason: String::new(),
            at: ims::time::Timestamp(0),
        };
        let mut batch = Batch::default();
        batch.put(Table::Quarantine, &Event::key(number), &quarantined);
        engine.commit(&[batch]).unwrap();
    }

    #[test]
    fn an_hour_adds_up_whatever_became_of_its_events() {
        use Outcome::*;
        let mut engine = store(6, &[5]);
        settle(
            &mut engine,
            &[
                (0, Acknowledged, "cdf1"),
                (0, Resent, "cdf1"),
                (1, Resent, "cdf2"),
            ],
        );
        settle(
            &mut engine,
            &[
                (1, Acknowledged, "cdf2"),
                (2, Quarantined, "cdf1"),
                (3, Exported, ""),
            ],
        );
        quarantine(&mut engine, 2);
        settle(&mut engine, &[(4, Acknowledged, "cdf1")]);
        let report = Report::read(&*engine.reader()).unwrap();
        assert!(report.adds_up, "{report:?}");
        let hour = &report.hours[0];
        assert_eq!(
            (hour.emitted, hour.acknowledged, hour.quarantined),
            (6, 3, 1)
        );
        assert_eq!((hour.exported, hour.waiting, hour.resent), (1, 1, 2));
        assert_eq!(hour.peers["cdf1"].acknowledged, 2);
    }

    #[test]
    fn a_released_record_waits_again_and_the_hour_still_adds_up() {
        let mut engine = store(1, &[0]);
        settle(&mut engine, &[(0, Outcome::Quarantined, "cdf1")]);
        settle(&mut engine, &[(0, Outcome::Released, "")]);
        let report = Report::read(&*engine.reader()).unwrap();
        assert!(
            report.adds_up && report.hours[0].quarantined == 0,
            "{report:?}"
        );
    }

    /// An hour of ten: 0 to 3 acknowledged, 4 refused, 5 exported, 6 to 9 waiting.
    fn hour_of_ten() -> Memory {
        let mut engine = store(10, &[6, 7, 8, 9]);
        let mut ends: Vec<_> = (0..4).map(|n| (n, Outcome::Acknowledged, "cdf1")).collect();
        ends.extend([
            (4, Outcome::Quarantined, "cdf1"),
            (5, Outcome::Exported, ""),
        ]);
        settle(&mut engine, &ends);
        quarantine(&mut engine, 4);
        engine
    }

    #[test]
    fn a_record_that_is_gone_is_named_by_its_place_in_its_hour() {
        use Table::{Charging, Quarantine};
        for (case, gone, missing, names) in [
            ("none", &[][..], 0, ""),
            ("one of those that wait", &[(Charging, 7)], 1, "7"),
            ("two apart", &[(Charging, 6), (Charging, 8)], 2, "6, 8"),
            ("the last ones", &[(Charging, 8), (Charging, 9)], 2, "8-9"),
            ("out of quarantine", &[(Quarantine, 4)], 1, "4"),
        ] {
            let mut engine = hour_of_ten();
            let mut batch = Batch::default();
            for (table, number) in gone {
                batch.delete(*table, &Event::key(*number));
            }
            engine.commit(&[batch]).unwrap();
            let report = Report::read(&*engine.reader()).unwrap();
            let hour = &report.hours[0];
            assert_eq!(report.adds_up, gone.is_empty(), "{case}");
            assert_eq!(hour.missing, missing, "{case}");
            assert_eq!(hour.missing_names(), names, "{case}");
        }
    }

    #[test]
    fn where_ends_were_not_noted_by_place_the_count_alone_is_told() {
        let mut engine = hour_of_ten();
        let mut batch = Batch::default();
        batch.delete(Table::ChargingEnded, &HOUR.to_be_bytes());
        batch.delete(Table::Charging, &Event::key(6));
        engine.commit(&[batch]).unwrap();
        let report = Report::read(&*engine.reader()).unwrap();
        assert_eq!(report.hours[0].missing, 1);
        assert_eq!(report.hours[0].missing_names(), "not known");
    }

    #[test]
    fn what_a_batch_counted_that_was_not_committed_is_counted_once_later() {
        let mut accounts = Accounts::load(&*Memory::new().reader()).unwrap();
        let booked = Booked {
            hour: HOUR,
            ..Booked::default()
        };
        accounts.note_end(booked, Outcome::Acknowledged, "cdf1");
        accounts.add_to(&mut Batch::default());
        accounts.stayed();
        assert!(accounts.ended.is_empty());
        accounts.note_end(booked, Outcome::Acknowledged, "cdf1");
        let mut batch = Batch::default();
        accounts.add_to(&mut batch);
        accounts.left();
        assert_eq!(accounts.ended[&HOUR].span(), 1);
        assert_eq!(accounts.counts.counts(), [1]);
    }

    #[test]
    fn damaged_records_and_those_of_earlier_versions_are_counted_apart() {
        let mut engine = store(1, &[0]);
        let mut batch = Batch::default();
        batch.put_bytes(Table::Charging, &Event::key(8), &[1, 2, 3]);
        let earlier = record::write(&full(9));
        batch.put_bytes(Table::Charging, &Event::key(9), &earlier);
        engine.commit(&[batch]).unwrap();
        let report = Report::read(&*engine.reader()).unwrap();
        assert_eq!(
            (report.damaged, report.unaccounted, report.adds_up),
            (1, 1, true)
        );
    }

    #[test]
    fn accounts_are_kept_for_a_month_and_as_long_as_they_are_needed() {
        let mut engine = store(1, &[0]);
        let mut batch = Batch::default();
        for (hour, count) in [(HOUR - 800, 0u32), (HOUR - 799, 1), (HOUR - 700, 0)] {
            batch.put(Table::ChargingEmitted, &hour.to_be_bytes(), &count);
            let none = Sequences::default().write();
            batch.put_owned(Table::ChargingEnded, &hour.to_be_bytes(), none);
        }
        engine.commit(&[batch]).unwrap();
        let report = Report::read(&*engine.reader()).unwrap();
        let mut batch = Batch::default();
        report.prune(&mut batch, &*engine.reader()).unwrap();
        engine.commit(&[batch]).unwrap();
        let left = Report::read(&*engine.reader()).unwrap();
        let hours: Vec<u32> = left.hours.iter().map(|hour| hour.hour).collect();
        assert_eq!(
            hours,
            [HOUR - 799, HOUR - 700, HOUR],
            "one is missing a record"
        );
        let ended = ended(&*engine.reader()).unwrap();
        assert!(!ended.contains_key(&(HOUR - 800)) && ended.contains_key(&(HOUR - 700)));
    }
}
