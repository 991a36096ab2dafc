//! What is owed to an account or by it and that no OCS takes: refused for good, or given in an outage with nobody to
//! charge it. It lies in the store, in the batch that forgets the charge, until the operator has settled it by hand.

use super::accounts::each as each_of;
use super::acr::Sender;
use super::alarm::Watch;
use super::cdr::{Cdr, Credit};
use super::desk::Wanted;
use super::line::wall_clock;
use super::online::accounts::{Accounts, Count, Lane};
use super::online::enquiry::Said as Answered;
use crate::store::{Engine, Reader, Record, StoreError};
use crate::telemetry::Metrics;
use diameter::credit::Owed;
use diameter::credit::client::Said;
use ims::charge::{first_of, hour_of, record};
use ims::record::{Batch, Table, decode};
use ims::time::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

/// Entries read from the store at once.
const PAGE: usize = 1_024;

/// Characters of an Error-Message that are kept.
const REASON: usize = 200;

/// What was to be done to the account. Variants are numbered on disk, so new ones go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A service was given, and its units are not debited, as far as one knows.
    Debit,
    /// Units were debited for a service that failed.
    Refund,
    /// Units of a session were used that its OCS has not counted.
    Report,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Debit => "debit",
            What::Refund => "refund",
            What::Report => "report",
        }
    }
}

/// What nobody takes, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub what: What,
    pub units: u64,
    /// Result-Code; 0: no OCS answered.
    pub result: u32,
    /// Origin-Host of the OCS that refused.
    pub ocs: String,
    /// Its Error-Message.
    pub reason: String,
}

impl Loss {
    /// `None`: nothing is owed.
    pub fn of(owed: &Owed, said: Option<&Said>) -> Option<Loss> {
        let (what, units) = match owed {
            Owed::Debit => (What::Debit, 1),
            Owed::Refund => (What::Refund, 1),
            Owed::Close { used, report, .. } | Owed::Open { used, report, .. } => {
                let reported = report.map_or(0, |(_, units)| units);
                (What::Report, used.saturating_add(reported))
            }
            Owed::Given { used } => (What::Report, *used),
            Owed::Nothing | Owed::Undo | Owed::Uncontrolled => return None,
        };
        let reason = said.and_then(|said| said.message.as_deref());
        Some(Loss {
            what,
            units,
            result: said.map_or(0, |said| said.result.0),
            ocs: said.and_then(|s| s.host.clone()).unwrap_or_default(),
            reason: reason.unwrap_or_default().chars().take(REASON).collect(),
        })
    }
}

impl Loss {
    /// It was asked for again, and an OCS said this.
    pub fn refused(&mut self, said: &Answered) {
        self.result = said.result.unwrap_or(self.result);
        self.ocs = said.ocs.clone().unwrap_or_default();
        let reason = said.error.as_deref().unwrap_or_default();
        self.reason = reason.chars().take(REASON).collect();
    }
}

/// One entry, as it lies in [`Table::Unpaid`] under the number of the charge and the time: a session may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpaid {
    /// The event in the form of charging records, as it was when it asked for credit.
    pub record: Vec<u8>,
    pub loss: Loss,
    /// That of the requests for credit.
    pub session_id: String,
    pub at: Timestamp,
}

impl Unpaid {
    /// With its number, if it is wanted. One that cannot be read is shown as far as it can.
    pub fn cdr(&self, sender: &Sender, number: u64, wanted: &Wanted) -> Option<Cdr> {
        let event = record::read(&self.record).ok()?;
        if !wanted.is(&event) || event.number != number {
            return None;
        }
        let Loss {
            what,
            units,
            result,
            ocs,
            reason,
        } = &self.loss;
        Some(Cdr {
            session_id: self.session_id.clone(),
            cdf: ocs.clone(),
            result: Some(*result),
            reason: reason.clone(),
            credit: Some(Credit::owed(what.name(), *units)),
            ..Cdr::new(sender, &event, "unpaid").at(self.at)
        })
    }
}

/// The number of the charge in the key of an entry.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.first_chunk().copied().map(u64::from_be_bytes)
}

/// The time in the key of an entry, which no other of its charge has.
pub(super) fn time_of(key: &[u8]) -> u64 {
    key.last_chunk().copied().map_or(0, u64::from_be_bytes)
}

/// Entries above a number that are wanted, in order, so many at most, and then those of the same charge.
pub fn listed(
    reader: &dyn Reader,
    sender: &Sender,
    wanted: &Wanted,
    most: usize,
) -> Result<Vec<Cdr>, StoreError> {
    let mut found: Vec<Cdr> = Vec::new();
    let mut last_number = None;
    let mut from = match wanted.after {
        Some(after) => after.saturating_add(1).to_be_bytes().to_vec(),
        None => Vec::new(),
    };
    loop {
        let page = reader.scan(Table::Unpaid, &from, PAGE)?;
        for (key, value) in &page {
            let number = number_of(key);
            if found.len() >= most && number != last_number {
                return Ok(found);
            }
            last_number = number;
            if let (Some(number), Some(entry)) = (number, decode::<Unpaid>(value)) {
                found.extend(entry.cdr(sender, number, wanted));
            }
        }
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else {
            return Ok(found);
        };
        from.clone_from(last);
        from.push(0); // the least key above it
    }
}

/// How many entries there are.
pub fn count(reader: &dyn Reader) -> Result<u64, StoreError> {
    let mut count = 0;
    each_of(reader, Table::Unpaid, |_, _| count += 1)?;
    Ok(count)
}

/// The entries of one charge, as the store has them.
pub fn entries(reader: &dyn Reader, number: u64) -> Result<Vec<Record>, StoreError> {
    let mut found = Vec::new();
    let mut from = number.to_be_bytes().to_vec();
    loop {
        let next = reader.scan(Table::Unpaid, &from, 1)?.pop();
        let Some((key, value)) = next.filter(|(key, _)| number_of(key) == Some(number)) else {
            return Ok(found);
        };
        from.clone_from(&key);
        from.push(0); // the least key above it
        found.push((key, value));
    }
}

/// The entries of these charges, as a batch that takes them off the list. They were settled by hand.
pub fn forgetting(reader: &dyn Reader, numbers: &[u64]) -> Result<(Batch, u64), StoreError> {
    let mut batch = Batch::default();
    let mut accounts = Accounts::load(reader, Lane::Desk)?;
    let mut count = 0;
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        for (key, _) in entries(reader, number)? {
            batch.delete(Table::Unpaid, &key);
            batch.delete(Table::UnpaidAsked, &key);
            accounts.note(hour_of(number), Count::Forgotten, "", 1);
            count += 1;
        }
    }
    accounts.add_to(&mut batch);
    Ok((batch, count))
}

/// Counts with a batch that an OCS has taken an entry of this charge, and so many units.
pub fn collected(
    reader: &dyn Reader,
    batch: &mut Batch,
    number: u64,
    (ocs, units): (&str, u64),
) -> Result<(), StoreError> {
    let mut accounts = Accounts::load(reader, Lane::Desk)?;
    accounts.note(hour_of(number), Count::Collected, ocs, 1);
    accounts.note(hour_of(first_of(wall_clock())), Count::Units, ocs, units);
    accounts.add_to(batch);
    Ok(())
}

/// Takes entries off the list of a store that nobody else uses. Returns how many.
pub fn forget(engine: &mut dyn Engine, numbers: &[u64]) -> Result<u64, StoreError> {
    let (batch, count) = forgetting(&*engine.reader(), numbers)?;
    engine.commit(&[batch])?;
    Ok(count)
}

/// How long the list is, and may become.
#[derive(Debug)]
pub struct Length {
    count: u64,
    /// 0: any.
    max: u64,
    watch: Watch,
    metrics: Metrics,
    /// When the last one was listed.
    last: Timestamp,
    /// The log has said that it is full.
    told: bool,
}

/// Its name among the alarms.
const ALARM: &str = "unpaid";

impl Length {
    pub fn new(count: u64, max: u32, metrics: Metrics) -> Length {
        metrics.set_spool_alarm(ALARM, false);
        let max = u64::from(max);
        let watch = Watch::near(max);
        let mut length = Length {
            count: 0,
            max,
            watch,
            metrics,
            last: Timestamp(0),
            told: false,
        };
        length.add(count);
        length
    }

    /// The key of the next entry: no two have one time.
    pub fn key(&mut self, number: u64, at: Timestamp) -> [u8; 16] {
        self.last = Timestamp(at.0.max(self.last.0.saturating_add(1)));
        (u128::from(number) << 64 | u128::from(self.last.0)).to_be_bytes()
    }

    pub fn add(&mut self, more: u64) {
        self.set(self.count.saturating_add(more));
    }

    pub fn take(&mut self, fewer: u64) {
        self.set(self.count.saturating_sub(fewer));
    }

    fn set(&mut self, count: u64) {
        self.count = count;
        self.metrics.set_unpaid(count);
        if let Some(raised) = self.watch.look(count) {
            self.metrics.set_spool_alarm(ALARM, raised);
            match raised {
                true => error!(
                    count,
                    "the list of what no OCS takes is nearly at online.unpaid_max: beyond it nothing that asks for \
                     credit is served; see presentia charging unpaid"
                ),
                false => info!(count, "the list of what no OCS takes is shorter again"),
            }
        }
    }

    /// Whether nothing may be given that could make it longer. It says so in the log when that begins.
    pub fn is_full(&mut self) -> bool {
        let full = self.max > 0 && self.count >= self.max;
        if full && !self.told {
            let count = self.count;
            error!(
                count,
                "the list of what no OCS takes is full: what asks for credit is refused with 503"
            );
        }
        self.told = full;
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charging::acr::tests::{full, sender};
    use crate::store::memory::Memory;
    use diameter::fault::ResultCode;

    fn loss() -> Loss {
        let said = Said {
            result: ResultCode(5012),
            host: Some("ocs1.test".into()),
            message: Some("no".repeat(500)),
        };
        Loss::of(&Owed::Debit, Some(&said)).unwrap()
    }

    fn key(number: u64, at: u64) -> [u8; 16] {
        Length::new(0, 0, Metrics::new()).key(number, Timestamp(at))
    }

    fn store(numbers: impl IntoIterator<Item = u64>) -> Memory {
        let mut batch = Batch::default();
        for number in numbers {
            let entry = Unpaid {
                record: record::write(&full(number)),
                loss: loss(),
                session_id: format!("ps.test;0;{number};1;ro"),
                at: Timestamp(9),
            };
            batch.put(Table::Unpaid, &key(number, 9), &entry);
        }
        batch.put_bytes(Table::Unpaid, &key(9_999, 9), &[0xff]);
        let mut engine = Memory::new();
        engine.commit(&[batch]).unwrap();
        engine
    }

    fn numbers(engine: &Memory, wanted: &Wanted, most: usize) -> Vec<u64> {
        let found = listed(&*engine.reader(), &sender(), wanted, most).unwrap();
        found
            .iter()
            .map(|cdr| cdr.number.parse().unwrap())
            .collect()
    }

    #[test]
    fn what_is_owed_is_told_with_its_units_and_who_refused_it() {
        let close = |used, report| Owed::Close {
            number: 3,
            used,
            report,
        };
        for (owed, expected) in [
            (Owed::Debit, Some(("debit", 1))),
            (Owed::Refund, Some(("refund", 1))),
            (close(4, None), Some(("report", 4))),
            (close(4, Some((2, 3))), Some(("report", 7))),
            (Owed::Undo, None),
            (Owed::Nothing, None),
            (Owed::Uncontrolled, None),
        ] {
            let loss = Loss::of(&owed, None);
            let told = loss.as_ref().map(|loss| (loss.what.name(), loss.units));
            assert_eq!(told, expected, "{owed:?}");
            assert!(loss.is_none_or(|loss| loss.result == 0 && loss.ocs.is_empty()));
        }
        let loss = loss();
        assert_eq!((loss.result, loss.ocs.as_str()), (5012, "ocs1.test"));
        assert_eq!(loss.reason.len(), REASON, "what a peer says is bounded");
    }

    #[test]
    fn entries_are_listed_in_order_page_by_page() {
        let engine = store(0..2_500);
        assert_eq!(
            numbers(&engine, &Wanted::default(), usize::MAX),
            (0..2_500).collect::<Vec<_>>()
        );
        let wanted = Wanted {
            after: Some(2_497),
            ..Wanted::default()
        };
        assert_eq!(numbers(&engine, &wanted, 1), [2_498]);
        assert_eq!(numbers(&engine, &wanted, 10), [2_498, 2_499]);
        let wanted = Wanted {
            number: Some(7),
            ..Wanted::default()
        };
        assert_eq!(numbers(&engine, &wanted, 10), [7]);
        assert_eq!(count(&*engine.reader()), Ok(2_501));
    }

    #[test]
    fn an_entry_says_what_is_owed_in_the_words_of_a_record() {
        let engine = store([7]);
        let found = listed(&*engine.reader(), &sender(), &Wanted::default(), 10).unwrap();
        let cdr = &found[0];
        assert_eq!((cdr.state.as_str(), cdr.result), ("unpaid", Some(5012)));
        assert_eq!((cdr.cdf.as_str(), cdr.at), ("ocs1.test", Some(9)));
        assert_eq!(cdr.session_id, "ps.test;0;7;1;ro");
        let credit = cdr.credit.as_ref().unwrap();
        assert_eq!((credit.what.as_str(), credit.units), ("debit", Some(1)));
        assert!(cdr.icid.is_some() && !cdr.call_id.is_empty());
    }

    #[test]
    fn those_that_were_settled_by_hand_are_forgotten_and_no_others() {
        let mut engine = store(1..=3);
        assert_eq!(forget(&mut engine, &[2, 2, 77]), Ok(1));
        assert_eq!(numbers(&engine, &Wanted::default(), 10), [1, 3]);
        assert_eq!(forget(&mut engine, &[2]), Ok(0));
        // a session may have more than one: they are listed and go together
        let value = engine
            .reader()
            .scan(Table::Unpaid, &key(3, 0), 1)
            .unwrap()
            .remove(0)
            .1;
        let mut batch = Batch::default();
        batch.put_bytes(Table::Unpaid, &key(3, 10), &value);
        engine.commit(&[batch]).unwrap();
        assert_eq!(numbers(&engine, &Wanted::default(), 2), [1, 3, 3]);
        assert_eq!(forget(&mut engine, &[3]), Ok(2));
        let mut length = Length::new(0, 0, Metrics::new());
        let keys = [9, 9, 8].map(|at| length.key(3, Timestamp(at)));
        assert!(keys.is_sorted_by(|a, b| a < b), "each has its own");
    }

    #[test]
    fn an_alarm_comes_before_the_list_is_full_and_ends_when_it_is_shorter() {
        let metrics = Metrics::new();
        let alarm = |raised: u8| {
            let line = format!("presentia_charging_spool_alarm{{reason=\"unpaid\"}} {raised}");
            metrics.encode().lines().any(|l| l == line)
        };
        let mut length = Length::new(7, 10, metrics.clone());
        assert!(alarm(0) && !length.is_full());
        length.add(1);
        assert!(alarm(1) && !length.is_full());
        length.add(2);
        assert!(alarm(1) && length.is_full());
        length.take(5);
        assert!(alarm(0) && !length.is_full());
        assert!(metrics.encode().contains("presentia_charging_unpaid 5\n"));
        let mut any = Length::new(1_000_000, 0, metrics.clone());
        assert!(alarm(0) && !any.is_full(), "without a limit");
    }
}
