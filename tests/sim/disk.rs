//! The store of the simulated server: what is committed outlives a crash, and nothing else does.

use ims::record::{Batch, Op, Table};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Disk {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Disk {
    pub fn commit(&mut self, batch: &Batch) {
        for op in &batch.ops {
            match op {
                Op::Put { table, key, value } => {
                    self.rows.insert((*table, key.to_vec()), value.to_vec());
                }
                Op::Delete { table, key } => {
                    self.rows.remove(&(*table, key.to_vec()));
                }
            }
        }
    }

    /// Records in the order in which recovery reads them.
    pub fn records(&self) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        Table::ALL.into_iter().flat_map(|table| self.table(table))
    }

    pub fn table(&self, table: Table) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        self.rows
            .range((table, Vec::new())..)
            .take_while(move |((t, _), _)| *t == table)
            .map(|((t, key), value)| (*t, key.as_slice(), value.as_slice()))
    }
}
