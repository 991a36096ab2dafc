//! The store: batches of records, durable before the answer that promises them leaves.
//!
//! [`Engine`] is the whole port. It is narrow on purpose: soft state lives in memory, so a store is a journal
//! of batches that can be read back at start, plus an ordered scan for the charging spool. What the records
//! mean is decided in `ims`; which engine runs is decided in `server.rs`.

use crate::config::EngineKind;
use ims::record::{Batch, Table};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod committer;
pub mod fjall;
pub mod journal;
mod mark;
pub mod memory;

pub use committer::{Committer, Health};
pub use ims::record::KEY_MAX;

/// Largest value that an engine takes, in bytes: above every configurable body and document limit.
pub const VALUE_MAX: usize = 16 << 20;

/// A place where batches are kept.
pub trait Engine: Send {
    /// Commits every batch given, in order, as one group: when this returns `Ok`, all of them survive the
    /// loss of power. When it fails, each batch is either wholly there after a restart or wholly absent,
    /// and no later commit of this engine may succeed.
    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError>;

    /// A handle for reading committed records from other threads, also while commits go on.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Bytes left to this store on its medium; `None` when the medium has no such limit.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError>;
}

/// What was committed, for reading.
pub trait Reader: Send + Sync {
    /// Up to `max` records of `table` with keys at or after `from`, keys ascending.
    fn scan(&self, table: Table, from: &[u8], max: usize) -> Result<Vec<Record>, StoreError>;

    /// Shows every record once: tables in the order of [`Table::ALL`], keys ascending within a table.
    fn recover(&self, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Length of the value of a record of the charging spool, in bytes; `None`: there is none of that key.
    fn spooled(&self, key: &[u8]) -> Result<Option<u64>, StoreError>;

    /// Bytes of all values of the charging spool. Kept by the engine as it commits, so asking costs nothing.
    fn spool_bytes(&self) -> u64;
}

/// Called with the table, key and value of a record.
pub type Visit<'a> = dyn FnMut(Table, &[u8], &[u8]) + 'a;

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Why the store cannot do its work, sorted by who can help. Each is printed as one sentence that says what
/// happened and what to do; all of them are `Clone`, since one failure is told to everyone who waits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    // For the operator: the place is wrong.
    #[error(
        "the data directory {} cannot be written ({why}); make it writable for this user or name another with [store] path",
        path.display()
    )]
    NotWritable { path: PathBuf, why: String },
    #[error(
        "the data directory {} is in use by another process; stop that one or name another directory with [store] path",
        path.display()
    )]
    Locked { path: PathBuf },
    #[error(
        "the disk of {} is full ({why}); free some space and start again: everything acknowledged so far is kept",
        path.display()
    )]
    DiskFull { path: PathBuf, why: String },
    #[error(
        "the data directory {} holds a store of the engine {engine:?}; set [store] engine to it or name another directory",
        path.display()
    )]
    OtherEngine { path: PathBuf, engine: &'static str },
    // For the operator: the content is wrong.
    #[error(
        "the store is damaged at {} ({what}); restore the data directory from a backup, or move it away to start empty",
        file.display()
    )]
    Corrupt { file: PathBuf, what: String },
    #[error(
        "the store in {} has format {found}, this program knows up to {known}; start the newer version that wrote it",
        path.display()
    )]
    NewerFormat {
        path: PathBuf,
        found: u16,
        known: u16,
    },
    // For the machine.
    #[error(
        "the store in {} failed while trying to {doing} ({why}); check the disk, then start again: everything acknowledged so far is kept",
        path.display()
    )]
    Io {
        path: PathBuf,
        doing: &'static str,
        why: String,
    },
    // For us: a caller broke a limit of this module.
    #[error(
        "a record of {bytes} bytes is above the limit of {limit}; this is a defect, please report it"
    )]
    TooLarge { bytes: usize, limit: usize },
    /// The committing thread has ended; nothing more is stored.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Names the fault behind an error of the operating system.
    pub fn from_io(path: &Path, doing: &'static str, cause: &std::io::Error) -> StoreError {
        use std::io::ErrorKind as Kind;
        let (path, why) = (path.to_path_buf(), cause.to_string());
        match cause.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                StoreError::DiskFull { path, why }
            }
            Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::NotADirectory
            | Kind::AlreadyExists
            | Kind::NotFound => StoreError::NotWritable { path, why },
            _ => StoreError::Io { path, doing, why },
        }
    }
}

/// Opens the engine that the configuration names.
pub fn open(settings: &crate::config::Store) -> Result<Box<dyn Engine>, StoreError> {
    Ok(match settings.engine {
        EngineKind::Journal => Box::new(journal::Journal::open(&settings.path)?),
        EngineKind::Fjall => Box::new(fjall::Fjall::open(&settings.path)?),
        EngineKind::Memory => Box::new(memory::Memory::new()),
    })
}

/// Bytes that an ordinary user may still write to the file system of `path`.
fn free_bytes(path: &Path) -> Result<Option<u64>, StoreError> {
    match rustix::fs::statvfs(path) {
        Ok(space) => Ok(Some(space.f_bavail.saturating_mul(space.f_frsize))),
        Err(error) => Err(StoreError::from_io(
            path,
            "read the free space",
            &error.into(),
        )),
    }
}

/// Refuses a batch that breaks the limits of this module, before anything is written.
pub(crate) fn check_sizes(batches: &[Batch]) -> Result<(), StoreError> {
    use ims::record::Op;
    for op in batches.iter().flat_map(|batch| &batch.ops) {
        let (key, value) = match op {
            Op::Put { key, value, .. } => (key.len(), value.len()),
            Op::Delete { key, .. } => (key.len(), 0),
        };
        if key > KEY_MAX {
            return Err(StoreError::TooLarge {
                bytes: key,
                limit: KEY_MAX,
            });
        }
        if value > VALUE_MAX {
            return Err(StoreError::TooLarge {
                bytes: value,
                limit: VALUE_MAX,
            });
        }
    }
    Ok(())
}
