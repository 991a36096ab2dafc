//! Counts by hour, kind and peer, as rows of a table that outlive the process.

use super::accounts::each;
use crate::store::{Reader, StoreError};
use ims::record::{Batch, Table, decode};
use std::collections::BTreeMap;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Since 1970; it begins at `hour * 3600` seconds.
    pub hour: u32,
    /// Numbers of the table's owner.
    pub kind: u8,
    /// Host of the CDF or OCS; empty where there is none.
    pub peer: String,
}

impl Row {
    fn key(&self) -> Vec<u8> {
        [
            &self.hour.to_be_bytes()[..],
            &[self.kind],
            self.peer.as_bytes(),
        ]
        .concat()
    }

    fn read(key: &[u8]) -> Option<Row> {
        let (hour, rest) = key.split_first_chunk::<4>()?;
        let (kind, peer) = rest.split_first()?;
        Some(Row {
            hour: u32::from_be_bytes(*hour),
            kind: *kind,
            peer: std::str::from_utf8(peer).ok()?.to_owned(),
        })
    }
}

/// The rows of one writer, whose batches are committed in the order in which they were filled.
#[derive(Debug)]
pub struct Tally {
    table: Table,
    counts: BTreeMap<Row, u64>,
    /// Of the batch under way.
    coming: BTreeMap<Row, u64>,
    /// Of no batch yet.
    noted: BTreeMap<Row, u64>,
}

impl Tally {
    /// With those of a table's rows that are this writer's.
    pub fn load(
        reader: &dyn Reader,
        table: Table,
        is_ours: impl Fn(&Row) -> bool,
    ) -> Result<Tally, StoreError> {
        let mut tally = Tally::new(table);
        rows(reader, table, |row, count| {
            if is_ours(&row) {
                tally.counts.insert(row, count);
            }
        })?;
        Ok(tally)
    }

    /// Nothing has been counted.
    pub fn new(table: Table) -> Tally {
        Tally {
            table,
            counts: BTreeMap::new(),
            coming: BTreeMap::new(),
            noted: BTreeMap::new(),
        }
    }

    /// Counts something that goes with the next batch.
    pub fn note(&mut self, row: Row, more: u64) {
        *self.noted.entry(row).or_default() += more;
    }

    /// Whether something was counted that is in no batch.
    pub fn is_noted(&self) -> bool {
        !self.noted.is_empty()
    }

    /// Puts what was noted into a batch. [`Tally::left`] or [`Tally::stayed`] must follow.
    pub fn add_to(&mut self, batch: &mut Batch) {
        for (row, more) in std::mem::take(&mut self.noted) {
            let count = self.counts.get(&row).copied().unwrap_or(0);
            let count = count.saturating_add(more);
            batch.put(self.table, &row.key(), &count);
            self.coming.insert(row, count);
        }
    }

    pub fn left(&mut self) {
        self.counts.append(&mut self.coming);
    }

    /// The batch was not committed: its counts come with a later one.
    pub fn stayed(&mut self) {
        self.coming.clear();
    }

    #[cfg(test)]
    pub fn counts(&self) -> Vec<u64> {
        self.counts.values().copied().collect()
    }
}

/// Shows every row of a table.
pub fn rows(
    reader: &dyn Reader,
    table: Table,
    mut show: impl FnMut(Row, u64),
) -> Result<(), StoreError> {
    each(reader, table, |key, value| {
        if let (Some(row), Some(count)) = (Row::read(key), decode(value)) {
            show(row, count);
        }
    })
}
