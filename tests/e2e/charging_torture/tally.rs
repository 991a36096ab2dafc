//! The account of a run: what the client was told against what the CDFs have, record by record.

use super::driver::{Driver, Outcome, icid};
use super::peers::Received;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events, as the server's own accounts have them.
    pub emitted: u64,
    pub asked: usize,
    pub acknowledged: usize,
    /// Of these, refused with 5xx.
    pub refused: usize,
    pub abandoned: usize,
    /// Of these, those that had been committed: they have a record.
    pub abandoned_recorded: usize,
    /// Records of NOTIFYs.
    pub notifies: usize,
    /// Accounting requests at the CDFs.
    pub received: usize,
    /// Of these, with different Session-Ids.
    pub distinct: usize,
    pub duplicates: usize,
    /// How many duplicates there may be.
    pub allowed: usize,
    pub flagged: usize,
    pub faults: BTreeMap<&'static str, usize>,
    /// What should not be.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Compares what was asked with what the CDFs received, each in its own order.
    pub fn count(&mut self, driver: &Driver, received: &[Vec<Received>]) {
        self.wrong.extend(driver.wrong.iter().cloned());
        let mut sessions: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
        for record in received.iter().flatten() {
            sessions.entry(&record.session).or_default().push(record);
        }
        self.received = received.iter().map(Vec::len).sum();
        self.distinct = sessions.len();
        self.duplicates = self.received - self.distinct;
        self.flagged = received.iter().flatten().filter(|record| record.t).count();
        for of_one in received {
            self.in_order(of_one);
        }
        sessions.values().for_each(|all| self.same(all));
        self.asked_and_recorded(driver, &sessions);
        if self.emitted != self.distinct as u64 {
            let (emitted, distinct) = (self.emitted, self.distinct);
            self.wrong
                .push(format!("{emitted} emitted, {distinct} received"));
        }
        if self.duplicates > self.allowed {
            let (duplicates, allowed) = (self.duplicates, self.allowed);
            self.wrong
                .push(format!("{duplicates} duplicates, {allowed} allowed"));
        }
    }

    /// At one CDF, whatever comes again says so.
    fn in_order(&mut self, received: &[Received]) {
        let mut seen = BTreeSet::new();
        for record in received {
            if !seen.insert(&record.session) && !record.t {
                self.wrong.push(format!("again without T: {record:?}"));
            }
        }
    }

    /// All that came of one session is the same record, and at most one sending has no T, at whatever CDF.
    fn same(&mut self, all: &[&Received]) {
        let first = all[0];
        let name = |r: &Received| (r.end_to_end.clone(), r.icid.clone(), r.call_id.clone());
        if all.iter().any(|other| name(other) != name(first)) {
            self.wrong.push(format!("not the same record: {all:?}"));
        }
        if all.iter().filter(|record| !record.t).count() > 1 {
            self.wrong.push(format!("twice without T: {all:?}"));
        }
    }

    fn asked_and_recorded(&mut self, driver: &Driver, sessions: &BTreeMap<&str, Vec<&Received>>) {
        let mut by_icid: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
        let mut notifies: BTreeMap<&str, usize> = BTreeMap::new();
        for record in sessions.values().map(|all| all[0]) {
            if record.method == "NOTIFY" {
                *notifies.entry(&record.call_id).or_default() += 1;
            } else {
                by_icid.entry(&record.icid).or_default().push(record);
            }
        }
        self.asked = driver.asked.len();
        for (serial, asked) in driver.asked.iter().enumerate() {
            let records = by_icid.remove(icid(serial).as_str()).unwrap_or_default();
            let count = match asked.outcome {
                Outcome::Answered(_) => records.len() == 1,
                Outcome::Abandoned | Outcome::UnderWay => records.len() <= 1,
            };
            let fits = records.iter().all(|record| {
                let cause = match asked.outcome {
                    Outcome::Answered(status @ 300..) => record.cause == status.to_string(),
                    Outcome::Answered(_) => record.cause.starts_with('-'),
                    // it may have been refused as well
                    Outcome::Abandoned | Outcome::UnderWay => true,
                };
                record.method == asked.method && record.call_id == asked.call_id && cause
            });
            match asked.outcome {
                Outcome::Answered(status) => {
                    self.acknowledged += 1;
                    self.refused += usize::from(status >= 500);
                }
                Outcome::Abandoned | Outcome::UnderWay => {
                    self.abandoned += 1;
                    self.abandoned_recorded += records.len();
                }
            }
            if !(count && fits) {
                self.wrong
                    .push(format!("{} {asked:?} has {records:?}", icid(serial)));
            }
        }
        for (icid, records) in by_icid {
            self.wrong
                .push(format!("nobody asked for {icid}: {records:?}"));
        }
        for (call_id, count) in notifies {
            self.notifies += count;
            let seen = driver.dialogs.count(call_id);
            if count > seen {
                self.wrong.push(format!(
                    "{count} NOTIFYs recorded, {seen} seen in {call_id}"
                ));
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} requests: {} had a final response ({} of them 5xx), {} had none when the server died ({} of them were committed all the same)",
            self.asked, self.acknowledged, self.refused, self.abandoned, self.abandoned_recorded
        )?;
        writeln!(
            f,
            "{} events emitted, {} of them NOTIFYs; {} records received, {} distinct, {} duplicates ({} allowed), {} with T",
            self.emitted,
            self.notifies,
            self.received,
            self.distinct,
            self.duplicates,
            self.allowed,
            self.flagged
        )?;
        write!(f, "faults:")?;
        for (fault, times) in &self.faults {
            write!(f, " {fault} {times};")?;
        }
        Ok(())
    }
}
