//! Records that were refused for good: what the operator can learn of them, and their way back into the spool.

use super::accounts::{Accounts, Outcome};
use super::spool::Quarantined;
use crate::store::{Engine, Reader, Record, StoreError};
use ims::charge::record;
use ims::record::{Batch, Table, decode};

/// Records read from the store at once.
const PAGE: usize = 1_024;

/// Shows every quarantined record by its number, in order. `None` is shown for one that cannot be read.
pub fn each(
    reader: &dyn Reader,
    mut show: impl FnMut(u64, Option<&Quarantined>),
) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let page = reader.scan(Table::Quarantine, &from, PAGE)?;
        for (key, value) in &page {
            if let Ok(key) = <[u8; 8]>::try_from(key.as_slice()) {
                show(u64::from_be_bytes(key), decode(value).as_ref());
            }
        }
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else {
            return Ok(());
        };
        from.clone_from(last);
        from.push(0); // the least key above it
    }
}

/// Records that went back into the spool with one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub lowest: u64,
    pub highest: u64,
    pub count: u64,
}

/// The way of quarantined records back into the spool, batch by batch: all of them, or those with some numbers. One
/// that holds no event (it could not be read before either) stays where it is.
pub struct Release<'a> {
    reader: &'a dyn Reader,
    numbers: &'a [u64],
    /// Where to read on; `None` at the end.
    from: Option<Vec<u8>>,
}

impl std::fmt::Debug for Release<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Release")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl<'a> Release<'a> {
    /// No numbers: all records.
    pub fn new(reader: &'a dyn Reader, numbers: &'a [u64]) -> Release<'a> {
        Release {
            reader,
            numbers,
            from: Some(Vec::new()),
        }
    }

    /// The next batch, to be committed before the one after it is asked for: it counts over what the store says.
    pub fn next_batch(&mut self) -> Result<Option<(Batch, Range)>, StoreError> {
        while let Some(from) = self.from.take() {
            let page = self.reader.scan(Table::Quarantine, &from, PAGE)?;
            if let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) {
                let mut from = last.clone();
                from.push(0); // the least key above it
                self.from = Some(from);
            }
            if let Some(batch) = self.batch_of(&page)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn batch_of(&self, page: &[Record]) -> Result<Option<(Batch, Range)>, StoreError> {
        let mut batch = Batch::default();
        let mut accounts = Accounts::load(self.reader)?;
        let mut range: Option<Range> = None;
        for (key, value) in page {
            let Some(number) = <[u8; 8]>::try_from(key.as_slice())
                .ok()
                .map(u64::from_be_bytes)
            else {
                continue;
            };
            let wanted = self.numbers.is_empty() || self.numbers.contains(&number);
            let quarantined = decode::<Quarantined>(value).filter(|_| wanted);
            let Some(quarantined) = quarantined else {
                continue;
            };
            let Ok(event) = record::read(&quarantined.record) else {
                continue;
            };
            batch.put_bytes(Table::Charging, key, &quarantined.record);
            batch.delete(Table::Quarantine, key);
            accounts.note(event.booked.hour, Outcome::Released, "");
            let known = range.unwrap_or(Range {
                lowest: number,
                highest: number,
                count: 0,
            });
            range = Some(Range {
                highest: number,
                count: known.count + 1,
                ..known
            });
        }
        accounts.add_to(&mut batch);
        Ok(range.map(|range| (batch, range)))
    }
}

/// Releases records of a store that nobody else uses. Returns how many.
pub fn release(engine: &mut dyn Engine, numbers: &[u64]) -> Result<u64, StoreError> {
    let reader = engine.reader();
    let mut release = Release::new(&*reader, numbers);
    let mut count = 0;
    while let Some((batch, range)) = release.next_batch()? {
        engine.commit(&[batch])?;
        count += range.count;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charging::acr::tests::full;
    use crate::store::memory::Memory;
    use ims::charge::Event;
    use ims::time::Timestamp;

    fn quarantined(record: Vec<u8>) -> Quarantined {
        Quarantined {
            record,
            result: 5004,
            peer: "cdf1".into(),
            reason: "no".into(),
            at: Timestamp(1),
        }
    }

    /// A store with these records in quarantine, and one that cannot be read.
    fn store(numbers: impl IntoIterator<Item = u64>) -> Memory {
        let mut batch = Batch::default();
        for number in numbers {
            let record = quarantined(record::write(&full(number)));
            batch.put(Table::Quarantine, &Event::key(number), &record);
        }
        batch.put(
            Table::Quarantine,
            &Event::key(9_999),
            &quarantined(vec![0xff]),
        );
        let mut engine = Memory::new();
        engine.commit(&[batch]).unwrap();
        engine
    }

    fn held(engine: &Memory, table: Table) -> Vec<u64> {
        let records = engine.reader().scan(table, &[], 10_000).unwrap();
        let number = |key: Vec<u8>| u64::from_be_bytes(key.try_into().unwrap());
        records.into_iter().map(|(key, _)| number(key)).collect()
    }

    #[test]
    fn every_record_is_shown_in_order_however_many_there_are() {
        let engine = store(0..3_000);
        let mut shown = Vec::new();
        each(&*engine.reader(), |number, q| {
            shown.push((number, q.map(|q| q.result)))
        })
        .unwrap();
        let expected = (0..3_000).chain([9_999]).map(|n| (n, Some(5004)));
        assert_eq!(shown, expected.collect::<Vec<_>>());
    }

    #[test]
    fn released_records_lie_in_the_spool_as_before_and_the_others_stay() {
        for (case, wanted, released) in [
            ("all that are events", vec![], vec![1, 2, 3]),
            ("one of them", vec![2], vec![2]),
            ("none of that number", vec![7], vec![]),
            ("one that is no event", vec![9_999], vec![]),
        ] {
            let mut engine = store(1..=3);
            assert_eq!(
                release(&mut engine, &wanted),
                Ok(released.len() as u64),
                "{case}"
            );
            assert_eq!(held(&engine, Table::Charging), released, "{case}");
            let left: Vec<u64> = [1, 2, 3, 9_999]
                .into_iter()
                .filter(|n| !released.contains(n))
                .collect();
            assert_eq!(held(&engine, Table::Quarantine), left, "{case}");
        }
        let mut engine = store([1]);
        release(&mut engine, &[]).unwrap();
        let spooled = engine.reader().scan(Table::Charging, &[], 1).unwrap();
        assert_eq!(record::read(&spooled[0].1), Ok(full(1)));
    }
}
