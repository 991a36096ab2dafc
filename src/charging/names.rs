//! The names that this node has had. A Session-Id begins with the Origin-Host under which its record came to be, and stays
//! when `origin_host` changes: a record that a CDF may have already must be recognised as the same (RFC 6733 §8.8, §9.4), and
//! an OCS knows a session by no other name.

use super::accounts::each;
use crate::store::{Reader, StoreError};
use ims::record::{Batch, Table, decode};
use std::collections::BTreeMap;

/// Names that are remembered; what is older than the first of them is taken to be from its time.
const KEPT: usize = 64;

/// From which number on which name was that of new records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<u64, String>);

impl Names {
    pub fn load(reader: &dyn Reader) -> Result<Names, StoreError> {
        let mut names = BTreeMap::new();
        each(reader, Table::ChargingName, |key, value| {
            let from = <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
            if let (Ok(from), Some(name)) = (from, decode(value)) {
                names.insert(from, name);
            }
        })?;
        Ok(Names(names))
    }

    /// Records from number `first` on are made under `name`. The batch is empty where they were before.
    pub fn go_on(&mut self, first: u64, name: &str) -> Batch {
        let mut batch = Batch::default();
        if self
            .0
            .last_key_value()
            .is_some_and(|(_, last)| last == name)
        {
            return batch;
        }
        batch.put(Table::ChargingName, &first.to_be_bytes(), &name);
        self.0.insert(first, name.to_owned());
        while self.0.len() > KEPT
            && let Some((oldest, _)) = self.0.pop_first()
        {
            batch.delete(Table::ChargingName, &oldest.to_be_bytes());
        }
        batch
    }

    /// The name under which a number was given. `None`: nothing is known of any.
    pub fn of(&self, number: u64) -> Option<&str> {
        let under = self.0.range(..=number).next_back();
        let (_, name) = under.or_else(|| self.0.first_key_value())?;
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Engine;
    use crate::store::memory::Memory;

    #[test]
    fn a_number_keeps_the_name_of_its_time() {
        let mut engine = Memory::new();
        let mut start = |first, name: &str| {
            let mut names = Names::load(&*engine.reader()).unwrap();
            let batch = names.go_on(first, name);
            let changes = batch.ops.len();
            engine.commit(&[batch]).unwrap();
            (names, changes)
        };
        assert_eq!(Names::default().of(1), None);
        assert_eq!(start(100, "a").1, 1);
        assert_eq!(start(200, "a").1, 0, "still the same");
        assert_eq!(start(300, "b").1, 1);
        let (names, _) = start(400, "a");
        for (number, name) in [
            (5, "a"),
            (100, "a"),
            (299, "a"),
            (300, "b"),
            (399, "b"),
            (400, "a"),
            (u64::MAX, "a"),
        ] {
            assert_eq!(names.of(number), Some(name), "{number}");
        }
    }

    #[test]
    fn only_the_last_names_are_kept() {
        let mut names = Names::default();
        for n in 0..=KEPT as u64 {
            let batch = names.go_on(n, &n.to_string());
            let dropped = usize::from(n == KEPT as u64);
            assert_eq!(batch.ops.len(), 1 + dropped);
        }
        assert_eq!(names.of(0), Some("1"), "the oldest that is known");
    }
}
