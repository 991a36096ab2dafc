//! The store in memory: for tests, for the simulator and for a server that may forget.
//!
//! Faults are injected through [`Faults`]; what was committed outlives the engine through [`Memory::disk`],
//! as a disk outlives a process.

use super::{Engine, Reader, Record, StoreError, Visit, check_sizes};
use ims::record::{Batch, Op, Table};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Faults that a test asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Commits that still succeed; the one after them finds the disk full. `None`: no fault.
    pub commits_until_full: Option<u64>,
    /// Space reported as free, in bytes. `None`: no limit.
    pub free_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct Content {
    rows: Rows,
    faults: Faults,
    commits: u64,
    /// Bytes of the values of the charging spool.
    spooled: u64,
}

/// What a [`Memory`] engine has committed; survives the engine.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Content>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Content> {
        // A thread that panicked while holding the lock cannot have left half a batch: see `commit`.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Number of successful commits so far.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Number of records held.
    pub fn len(&self) -> usize {
        self.lock().rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The engine over a [`Disk`].
#[derive(Debug, Default)]
pub struct Memory {
    disk: Disk,
    failed: Option<StoreError>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Opens what an earlier engine committed.
    pub fn open(disk: Disk) -> Memory {
        Memory { disk, failed: None }
    }

    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }
}

impl Engine for Memory {
    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        check_sizes(batches)?;
        let mut content = self.disk.lock();
        match &mut content.faults.commits_until_full {
            Some(0) => {
                let error = StoreError::DiskFull {
                    path: PathBuf::from("memory"),
                    why: "injected".into(),
                };
                self.failed = Some(error.clone());
                return Err(error);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        for op in batches.iter().flat_map(|batch| &batch.ops) {
            let (table, new, old) = match op {
                Op::Put { table, key, value } => {
                    let old = content.rows.insert((*table, key.to_vec()), value.to_vec());
                    (*table, value.len(), old)
                }
                Op::Delete { table, key } => {
                    (*table, 0, content.rows.remove(&(*table, key.to_vec())))
                }
            };
            if table == Table::Charging {
                content.spooled += new as u64;
                content.spooled -= old.map_or(0, |old| old.len() as u64);
            }
        }
        content.commits += 1;
        Ok(())
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.disk.clone())
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.disk.lock().faults.free_bytes)
    }
}

impl Reader for Disk {
    fn scan(&self, table: Table, from: &[u8], max: usize) -> Result<Vec<Record>, StoreError> {
        let content = self.lock();
        let rows = content.rows.range((table, from.to_vec())..);
        let of_table = rows.take_while(|((t, _), _)| *t == table);
        Ok(of_table
            .take(max)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn recover(&self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let content = self.lock();
        for table in Table::ALL {
            for ((_, key), value) in content
                .rows
                .range((table, Vec::new())..)
                .take_while(|((t, _), _)| *t == table)
            {
                visit(table, key, value);
            }
        }
        Ok(())
    }

    fn spooled(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let content = self.lock();
        let value = content.rows.get(&(Table::Charging, key.to_vec()));
        Ok(value.map(|value| value.len() as u64))
    }

    fn spool_bytes(&self) -> u64 {
        self.lock().spooled
    }
}
