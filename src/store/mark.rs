//! A number on disk below which nothing may be missing.

use super::StoreError;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// File name inside the data directory.
const NAME: &str = "mark";

/// The number of a group that is durable. It is written after the group and not synchronised, so it may lag
/// behind after a loss of power, and never runs ahead.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// Opens the mark of a store that has come back with its groups up to `recovered`.
    pub(super) fn open(directory: &Path, recovered: u64) -> Result<Mark, StoreError> {
        let path = directory.join(NAME);
        let noted = match std::fs::read(&path) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::from_io(&path, "read the mark", &error)),
        };
        if let Some(missing) = noted
            .and_then(|noted| noted.checked_sub(recovered))
            .filter(|missing| *missing > 0)
        {
            return Err(StoreError::Corrupt {
                file: directory.to_path_buf(),
                what: format!(
                    "its journal lacks the last {missing} groups of acknowledged records"
                ),
            });
        }
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = opened.map_err(|e| StoreError::from_io(&path, "open the mark", &e))?;
        Ok(Mark { file, path })
    }

    /// Notes that group `number` is durable.
    pub(super) fn set(&self, number: u64) -> Result<(), StoreError> {
        let written = self.file.write_all_at(&encode(number), 0);
        written.map_err(|e| StoreError::from_io(&self.path, "write the mark", &e))
    }
}

/// The number and its checksum: a mark cut or mixed by a crash is no mark.
fn encode(number: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    tail.copy_from_slice(&crc32fast::hash(head).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == encode(number)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_behind_its_mark_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::open(directory.path(), 0).unwrap();
        mark.set(7).unwrap();
        for (case, recovered, fine) in
            [("ahead", 8, true), ("level", 7, true), ("behind", 6, false)]
        {
            assert_eq!(
                Mark::open(directory.path(), recovered).is_ok(),
                fine,
                "{case}"
            );
        }
        let refused = Mark::open(directory.path(), 5).unwrap_err().to_string();
        assert!(refused.contains("lacks the last 2 groups"), "{refused}");
    }

    #[test]
    fn a_broken_mark_accuses_nobody() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"x", &[255; 12]] {
            std::fs::write(directory.path().join(NAME), bytes).unwrap();
            assert!(Mark::open(directory.path(), 0).is_ok(), "{bytes:?}");
        }
    }
}
