//! Where each record's value lies, in memory; and how much of each segment is still of use.

use ims::record::Table;
use std::collections::BTreeMap;

/// A value on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the segment.
    pub(super) segment: u32,
    /// Offset in its file.
    pub(super) at: u32,
    pub(super) length: u32,
}

/// Bytes that a record takes beside its key and value, about.
const OVERHEAD: u64 = 6;

#[derive(Debug, Default)]
pub(super) struct Index {
    tables: BTreeMap<Table, BTreeMap<Box<[u8]>, Place>>,
    /// Bytes of live records by segment.
    live: BTreeMap<u32, u64>,
    /// Bytes of the values of the charging spool.
    spooled: u64,
}

impl Index {
    pub(super) fn put(&mut self, table: Table, key: &[u8], place: Place) {
        *self.live.entry(place.segment).or_default() += cost(key, place);
        if table == Table::Charging {
            self.spooled += u64::from(place.length);
        }
        let rows = self.tables.entry(table).or_default();
        match rows.get_mut(key) {
            Some(old) => {
                let replaced = std::mem::replace(old, place);
                self.forget(table, key, replaced);
            }
            None => {
                rows.insert(key.into(), place);
            }
        }
    }

    pub(super) fn delete(&mut self, table: Table, key: &[u8]) {
        if let Some(old) = self
            .tables
            .get_mut(&table)
            .and_then(|rows| rows.remove(key))
        {
            self.forget(table, key, old);
        }
    }

    fn forget(&mut self, table: Table, key: &[u8], old: Place) {
        if table == Table::Charging {
            self.spooled -= u64::from(old.length); // it was added when it was put
        }
        if let Some(live) = self.live.get_mut(&old.segment) {
            *live = live.saturating_sub(cost(key, old));
        }
    }

    /// Whether the record of `key` is the one at this place.
    pub(super) fn is_live(&self, table: Table, key: &[u8], segment: u32, at: u32) -> bool {
        let place = self.tables.get(&table).and_then(|rows| rows.get(key));
        place.is_some_and(|place| place.segment == segment && place.at == at)
    }

    /// Length of the value of a record, in bytes.
    pub(super) fn length(&self, table: Table, key: &[u8]) -> Option<u64> {
        let place = self.tables.get(&table).and_then(|rows| rows.get(key));
        place.map(|place| place.length.into())
    }

    /// Bytes of the values of the charging spool.
    pub(super) fn spooled(&self) -> u64 {
        self.spooled
    }

    /// Records of `table` with keys at or after `from`, ascending.
    pub(super) fn from<'a>(
        &'a self,
        table: Table,
        from: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], Place)> {
        let bounds = (std::ops::Bound::Included(from), std::ops::Bound::Unbounded);
        let rows = self.tables.get(&table).into_iter();
        rows.flat_map(move |rows| rows.range::<[u8], _>(bounds))
            .map(|(key, place)| (&**key, *place))
    }

    /// Bytes of live records in all segments.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live.values().sum()
    }

    /// Forgets a segment that holds nothing live any more.
    pub(super) fn drop_segment(&mut self, segment: u32) {
        self.live.remove(&segment);
    }
}

fn cost(key: &[u8], place: Place) -> u64 {
    key.len() as u64 + u64::from(place.length) + OVERHEAD
}
