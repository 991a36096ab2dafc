//! The store in fjall, a log-structured merge engine in Rust: less memory than the journal, more CPU.
//!
//! One keyspace for each table. Every group of batches is one fjall batch with its journal synchronised: an
//! fjall batch without a stated durability stays in memory of this process and would be lost by kill -9.
//!
//! fjall takes damage inside its journal for the torn end of a crash and silently drops what follows. So each
//! group carries a number, and the file `mark` holds the number of a group known to be durable; a store that
//! comes back with less than its mark has lost acknowledged records, and is refused.

use super::mark::Mark;
use super::{Engine, Reader, Record, StoreError, Visit, check_sizes};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use ims::record::{Batch, FORMAT, Op, Table};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keyspace of what this file keeps for itself.
const META: &str = "meta";
const FORMAT_KEY: &str = "format";
const GROUP_KEY: &str = "group";

/// Memory for records not yet in sorted files, in bytes and for each table.
const MEMTABLE_BYTES: u64 = 32 << 20;

/// Journal on disk, in bytes, above which old parts are put into sorted files.
const JOURNAL_BYTES: u64 = 256 << 20;

/// The engine. Holds a lock on its directory for as long as it lives.
pub struct Fjall {
    tables: Arc<Tables>,
    meta: Keyspace,
    mark: Mark,
    /// Number of the last group committed.
    group: u64,
}

struct Tables {
    path: PathBuf,
    database: Database,
    /// By `Table as usize`.
    keyspaces: Vec<(Table, Keyspace)>,
    /// Bytes of the values of the charging spool.
    spooled: AtomicU64,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fjall")
            .field("path", &self.tables.path)
            .field("group", &self.group)
            .finish()
    }
}

impl Fjall {
    /// Opens the store in `path`, or makes one there.
    pub fn open(path: &Path) -> Result<Fjall, StoreError> {
        std::fs::create_dir_all(path)
            .map_err(|e| StoreError::from_io(path, "make the directory", &e))?;
        if super::journal::is_at(path) {
            return Err(StoreError::OtherEngine {
                path: path.to_path_buf(),
                engine: "journal",
            });
        }
        let failed = |error| named(path, "open", error);
        let database = open_database(path)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let meta = database.keyspace(META, options).map_err(failed)?;
        let mut keyspaces = Vec::new();
        for table in Table::ALL {
            keyspaces.push((
                table,
                database.keyspace(name(table), options).map_err(failed)?,
            ));
        }
        check_format(path, &meta)?;
        let group = number(path, &meta, GROUP_KEY)?.unwrap_or(0);
        let mark = Mark::open(path, group)?;
        let tables = Arc::new(Tables {
            path: path.to_path_buf(),
            database,
            keyspaces,
            spooled: AtomicU64::new(0),
        });
        tables.spooled.store(tables.weigh()?, Ordering::Relaxed);
        Ok(Fjall {
            tables,
            meta,
            mark,
            group,
        })
    }
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    let builder = Database::builder(path)
        .max_journaling_size(JOURNAL_BYTES)
        .worker_threads(1);
    // Some kinds of damage trip assertions inside the engine; they are damage all the same.
    match catch_unwind(AssertUnwindSafe(|| builder.open())) {
        Ok(opened) => opened.map_err(|error| named(path, "open", error)),
        Err(_) => Err(StoreError::Corrupt {
            file: path.to_path_buf(),
            what: "its engine cannot read it".into(),
        }),
    }
}

/// Whether `path` holds a store of this engine.
pub(super) fn is_at(path: &Path) -> bool {
    path.join("keyspaces").is_dir()
}

/// Names are on disk: never change one.
fn name(table: Table) -> &'static str {
    match table {
        Table::Publication => "publication",
        Table::Body => "body",
        Table::Subscription => "subscription",
        Table::Registration => "registration",
        Table::Alias => "alias",
        Table::Document => "document",
        Table::Charging => "charging",
        Table::Node => "node",
        Table::Touched => "touched",
        Table::Quarantine => "quarantine",
        Table::Coalesced => "coalesced",
        Table::ChargingEmitted => "charging_emitted",
        Table::ChargingSettled => "charging_settled",
        Table::ChargingEnded => "charging_ended",
        Table::Credit => "credit",
        Table::CreditSession => "credit_session",
        Table::Unpaid => "unpaid",
        Table::UnpaidAsked => "unpaid-asked",
        Table::CreditAccounts => "credit-accounts",
        Table::SubscriptionPayer => "subscription-payer",
        Table::ChargingName => "charging-name",
        Table::Wishes => "wishes",
        Table::Filters => "filters",
        Table::PermanentSince => "permanent-since",
        Table::Visit => "visit",
        Table::Watched => "watched",
        Table::Held => "held",
        Table::RegEvent => "reg-event",
        Table::Objects => "objects",
        Table::Override => "override",
        Table::RemoteCopy => "remote-copy",
        Table::DiffSubscription => "diff-subscription",
        Table::DiffTouched => "diff-touched",
        Table::BackEnd => "back-end",
        Table::Modified => "modified",
        Table::ListSubscription => "list-subscription",
        Table::ListWishes => "list-wishes",
        Table::ListVersion => "list-version",
    }
}

/// Refuses records of a newer program; writes the format of a new store.
fn check_format(path: &Path, meta: &Keyspace) -> Result<(), StoreError> {
    match number(path, meta, FORMAT_KEY)? {
        None => {
            let written = meta.insert(FORMAT_KEY, u64::from(FORMAT.0).to_be_bytes());
            written.map_err(|error| named(path, "write the format", error))
        }
        Some(found) if found <= u64::from(FORMAT.0) => Ok(()),
        Some(found) => Err(StoreError::NewerFormat {
            path: path.to_path_buf(),
            found: u16::try_from(found).unwrap_or(u16::MAX),
            known: FORMAT.0,
        }),
    }
}

fn number(path: &Path, meta: &Keyspace, key: &str) -> Result<Option<u64>, StoreError> {
    let value = meta.get(key).map_err(|error| named(path, "read", error))?;
    match value.map(|bytes| <[u8; 8]>::try_from(&*bytes)) {
        None => Ok(None),
        Some(Ok(bytes)) => Ok(Some(u64::from_be_bytes(bytes))),
        Some(Err(_)) => Err(StoreError::Corrupt {
            file: path.to_path_buf(),
            what: format!("the record {key:?} is not a number"),
        }),
    }
}

/// Whose fault an error of fjall is.
fn named(path: &Path, doing: &'static str, error: fjall::Error) -> StoreError {
    let damaged = |what: String| StoreError::Corrupt {
        file: path.to_path_buf(),
        what,
    };
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => {
            match cause.kind() {
                // A file that ends early or holds nonsense, not a disk that fails.
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
                    damaged(cause.to_string())
                }
                _ => StoreError::from_io(path, doing, &cause),
            }
        }
        fjall::Error::Locked => StoreError::Locked {
            path: path.to_path_buf(),
        },
        fjall::Error::Poisoned => StoreError::Io {
            path: path.to_path_buf(),
            doing,
            why: "an earlier write has failed".into(),
        },
        fjall::Error::InvalidVersion(version) => {
            damaged(format!("its engine format is {version:?}, not 3"))
        }
        other => damaged(other.to_string()),
    }
}

impl Engine for Fjall {
    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        check_sizes(batches)?;
        // SyncData: the journal is preallocated, so its size does not change with what is appended.
        let mut group = self
            .tables
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        let (mut more, mut less) = (0, 0);
        for op in last_of_each_key(batches) {
            let (Op::Put { table, key, .. } | Op::Delete { table, key }) = op;
            if *table == Table::Charging {
                less += self.tables.spooled(key)?.unwrap_or(0);
            }
            match op {
                Op::Put { table, key, value } => {
                    if *table == Table::Charging {
                        more += value.len() as u64;
                    }
                    group.insert(self.tables.keyspace(*table)?, &**key, &**value)
                }
                Op::Delete { table, key } => group.remove(self.tables.keyspace(*table)?, &**key),
            }
        }
        self.group += 1;
        group.insert(&self.meta, GROUP_KEY, self.group.to_be_bytes());
        group
            .commit()
            .map_err(|error| named(&self.tables.path, "commit", error))?;
        let spooled = self.tables.spool_bytes() + more - less;
        self.tables.spooled.store(spooled, Ordering::Relaxed);
        self.mark.set(self.group)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.tables.clone()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        super::free_bytes(&self.tables.path)
    }
}

/// The changes of a group without those that a later one replaces: a charging record that is answered within
/// the group it was written in never reaches the sorted files, and no key is written twice under one number.
fn last_of_each_key(batches: &[Batch]) -> impl Iterator<Item = &Op> {
    let ops = || batches.iter().flat_map(|batch| &batch.ops);
    let key_of = |op: &'_ Op| match op {
        Op::Put { table, key, .. } | Op::Delete { table, key } => (*table, key.clone()),
    };
    let last: HashMap<_, _> = ops().enumerate().map(|(at, op)| (key_of(op), at)).collect();
    ops()
        .enumerate()
        .filter(move |(at, op)| last.get(&key_of(op)) == Some(at))
        .map(|(_, op)| op)
}

impl Tables {
    /// Counts the bytes of the spool: at the start only.
    fn weigh(&self) -> Result<u64, StoreError> {
        let rows = self.keyspace(Table::Charging)?.iter();
        let sizes = rows.map(|row| row.size().map(u64::from));
        let bytes = sizes.sum::<fjall::Result<u64>>();
        bytes.map_err(|error| named(&self.path, "read", error))
    }

    fn keyspace(&self, table: Table) -> Result<&Keyspace, StoreError> {
        let found = self.keyspaces.iter().find(|(of, _)| *of == table);
        found
            .map(|(_, keyspace)| keyspace)
            .ok_or(StoreError::Closed)
    }
}

impl Reader for Tables {
    fn scan(&self, table: Table, from: &[u8], max: usize) -> Result<Vec<Record>, StoreError> {
        let rows = self.keyspace(table)?.range(from..);
        let read = |row: fjall::Guard| {
            row.into_inner()
                .map(|(key, value)| (key.to_vec(), value.to_vec()))
        };
        let records: fjall::Result<Vec<Record>> = rows.take(max).map(read).collect();
        records.map_err(|error| named(&self.path, "read", error))
    }

    fn recover(&self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for (table, keyspace) in &self.keyspaces {
            for row in keyspace.iter() {
                let (key, value) = row
                    .into_inner()
                    .map_err(|error| named(&self.path, "read", error))?;
                visit(*table, &key, &value);
            }
        }
        Ok(())
    }

    fn spooled(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let size = self.keyspace(Table::Charging)?.size_of(key);
        let size = size.map_err(|error| named(&self.path, "read", error))?;
        Ok(size.map(u64::from))
    }

    fn spool_bytes(&self) -> u64 {
        self.spooled.load(Ordering::Relaxed)
    }
}
