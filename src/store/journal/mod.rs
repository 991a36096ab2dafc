//! The store as an append-only journal: each group of batches is one frame, written and synchronised once.
//!
//! What the records mean is kept in memory by those who wrote them, so a record is read back at start and by
//! the charging spool only; an index in memory says where each value lies. A commit costs the bytes it writes.
//!
//! Segments are written one after the other. When more than half of them is out of date, the live records
//! of the oldest one are written again with the groups that come by, and the file is removed: always
//! the oldest, since a deletion must not go before the put that it deletes.
//!
//! Frames are numbered without gaps. A frame that is missing or damaged before another one, or before the
//! [mark](super::mark), means that something acknowledged was lost, and the store is refused; an unfinished
//! frame at the very end is what a crash leaves, and is cut off.

mod frame;
mod index;
mod segment;

use super::mark::Mark;
use super::{Engine, Reader, Record, StoreError, Visit, check_sizes};
use frame::{Frame, Writer};
use ims::record::{Batch, FORMAT, Op, Table};
use index::{Index, Place};
use segment::{Readable, Segment, Tail, damaged};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Length after which a segment is followed by a new one, in bytes.
pub const SEGMENT_BYTES: u32 = 64 << 20;

/// Space reserved ahead of what is written, in bytes.
const AHEAD: u32 = 16 << 20;

/// Records read in a scan without letting a commit in.
const SCAN_SHARE: usize = 64;

/// Bytes of old frames looked at with each group, beside twice the length of the group.
const COMPACTION_STEP: usize = 64 << 10;

/// The engine. Holds a lock on its directory for as long as it lives.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    /// The segment that is written to.
    current: Segment,
    writer: Writer,
    mark: Mark,
    /// Number of the last frame.
    number: u64,
    segment_bytes: u32,
    /// Where compaction goes on in the oldest segment.
    compacting: Option<u32>,
    failed: Option<StoreError>,
    _lock: File,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    content: RwLock<Content>,
    /// As the index has it, for those who look often.
    spooled: AtomicU64,
}

/// What readers see. It changes only after the frame that makes the change true is durable.
#[derive(Debug, Default)]
struct Content {
    index: Index,
    /// By number; the last one is written to.
    segments: BTreeMap<u32, Readable>,
}

impl Journal {
    /// Opens the store in `directory`, or makes one there.
    pub fn open(directory: &Path) -> Result<Journal, StoreError> {
        Journal::with_segments(directory, SEGMENT_BYTES)
    }

    /// The same with segments of another length.
    pub fn with_segments(directory: &Path, segment_bytes: u32) -> Result<Journal, StoreError> {
        std::fs::create_dir_all(directory)
            .map_err(|e| StoreError::from_io(directory, "make the directory", &e))?;
        if super::fjall::is_at(directory) {
            return Err(StoreError::OtherEngine {
                path: directory.into(),
                engine: "fjall",
            });
        }
        let lock = lock(directory)?;
        let mut content = Content::default();
        let (mut number, mut current) = (None, None);
        for (segment, path, is_last) in segment_files(directory)? {
            current = Some(content.load(segment, &path, is_last, &mut number)?);
        }
        let current = match current {
            Some(current) => current,
            None => Segment::create(directory, 1, FORMAT.0)?,
        };
        content.segments.insert(current.number, current.readable());
        let number = number.unwrap_or(0);
        let mark = Mark::open(directory, number)?;
        let shared = Arc::new(Shared {
            directory: directory.into(),
            spooled: AtomicU64::new(content.index.spooled()),
            content: RwLock::new(content),
        });
        Ok(Journal {
            shared,
            current,
            writer: Writer::default(),
            mark,
            number,
            segment_bytes,
            compacting: None,
            failed: None,
            _lock: lock,
        })
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        if self.current.end >= self.segment_bytes {
            self.current =
                Segment::create(&self.shared.directory, self.current.number + 1, FORMAT.0)?;
        }
        self.writer.start();
        let group: usize = batches
            .iter()
            .flat_map(|batch| &batch.ops)
            .map(op_bytes)
            .sum();
        let moved = self.compact(COMPACTION_STEP + 2 * group)?;
        let ops = || batches.iter().flat_map(|batch| &batch.ops);
        let values: Vec<Option<usize>> = ops().map(|op| self.writer.change(op)).collect();
        if self.writer.len() > frame::PAYLOAD_MAX {
            return Err(StoreError::TooLarge {
                bytes: self.writer.len(),
                limit: frame::PAYLOAD_MAX,
            });
        }
        let ahead = AHEAD.min(self.segment_bytes);
        let at = self
            .current
            .append(self.writer.finish(self.number + 1), ahead)?;
        self.number += 1;

        let shared = self.shared.clone();
        let mut content = shared.write();
        let segment = self.current.number;
        let readable = content.segments.entry(segment);
        readable.or_insert_with(|| self.current.readable()).end = self.current.end;
        let place = |value_at: usize, length: usize| Place {
            segment,
            at: at + value_at as u32,
            length: length as u32,
        };
        for (table, key, value_at, length) in moved.records {
            content.index.put(table, &key, place(value_at, length));
        }
        for (op, value_at) in ops().zip(values) {
            match (op, value_at) {
                (Op::Put { table, key, value }, Some(value_at)) => {
                    content.index.put(*table, key, place(value_at, value.len()));
                }
                (Op::Put { table, key, .. } | Op::Delete { table, key }, _) => {
                    content.index.delete(*table, key)
                }
            }
        }
        if let Some(emptied) = moved.emptied {
            content.remove(&shared.directory, emptied)?;
        }
        let spooled = content.index.spooled();
        shared.spooled.store(spooled, Ordering::Relaxed);
        drop(content);
        self.mark.set(self.number)
    }

    /// Puts live records of the oldest segment into the frame under construction, looking at frames of
    /// about `budget` bytes. They become the current ones when the frame is durable.
    fn compact(&mut self, budget: usize) -> Result<Moved, StoreError> {
        let content = self.shared.read();
        let mut moved = Moved::default();
        let Some((&segment, oldest)) = content.segments.first_key_value() else {
            return Ok(moved);
        };
        let size: u64 = content
            .segments
            .values()
            .map(|segment| u64::from(segment.end))
            .sum();
        let is_worth_it = size > 2 * content.index.live_bytes() + 2 * u64::from(self.segment_bytes);
        if content.segments.len() < 2 || !(is_worth_it || self.compacting.is_some()) {
            return Ok(moved);
        }
        let start = self.compacting.unwrap_or(segment::HEADER);
        let mut at = start;
        while at < oldest.end && ((at - start) as usize) < budget {
            let bytes = segment::read_frame(oldest, at)?;
            let Some(frame) = Frame::at_start(&bytes) else {
                return Err(damaged(&oldest.path, at as usize));
            };
            for change in frame.changes() {
                let change = change.map_err(|_| damaged(&oldest.path, at as usize))?;
                // Deletions need not be kept: no older segment holds what they delete.
                let Some(value) = change.value else { continue };
                if content.index.is_live(
                    change.table,
                    change.key,
                    segment,
                    at + change.value_at as u32,
                ) {
                    let value_at = self.writer.put(change.table, change.key, value);
                    moved
                        .records
                        .push((change.table, change.key.into(), value_at, value.len()));
                }
            }
            at += frame.len() as u32;
        }
        let is_done = at >= oldest.end;
        moved.emptied = is_done.then_some(segment);
        self.compacting = (!is_done).then_some(at);
        Ok(moved)
    }
}

/// What compaction put into a frame.
#[derive(Debug, Default)]
struct Moved {
    /// Table, key, place in the frame and length of the value.
    records: Vec<(Table, Box<[u8]>, usize, usize)>,
    /// A segment that holds nothing live once the frame is durable.
    emptied: Option<u32>,
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } => key.len(),
    }
}

impl Content {
    /// Reads a segment into the index; `number` is that of the last frame read so far.
    fn load(
        &mut self,
        segment: u32,
        path: &Path,
        is_last: bool,
        number: &mut Option<u64>,
    ) -> Result<Segment, StoreError> {
        let index = &mut self.index;
        let opened = Segment::open(segment, path, FORMAT.0, &mut |at, frame| {
            if number.is_some_and(|last| frame.number != last + 1) {
                return Err(damaged(path, at as usize)); // a frame before this one is gone
            }
            *number = Some(frame.number);
            for change in frame.changes() {
                let change = change.map_err(|_| damaged(path, at as usize))?;
                match change.value {
                    Some(value) => {
                        let (at, length) = (at + change.value_at as u32, value.len() as u32);
                        index.put(
                            change.table,
                            change.key,
                            Place {
                                segment,
                                at,
                                length,
                            },
                        );
                    }
                    None => index.delete(change.table, change.key),
                }
            }
            Ok(())
        })?;
        let loaded = match opened {
            Some((opened, Tail::Clean)) => opened,
            // A crash between making the file and its header; nothing was acknowledged in it.
            None if is_last => Segment::create(path.parent().unwrap_or(path), segment, FORMAT.0)?,
            Some((_, Tail::Damaged(at))) => return Err(damaged(path, at)),
            None => return Err(damaged(path, 0)),
        };
        self.segments.insert(segment, loaded.readable());
        Ok(loaded)
    }

    /// Removes a segment without live records. The removal is made durable at once: if a segment came back
    /// after a younger one was removed, deleted records would come back with it.
    fn remove(&mut self, directory: &Path, segment: u32) -> Result<(), StoreError> {
        self.index.drop_segment(segment);
        let Some(removed) = self.segments.remove(&segment) else {
            return Ok(());
        };
        let gone = std::fs::remove_file(&removed.path);
        gone.map_err(|e| StoreError::from_io(&removed.path, "remove a segment", &e))?;
        segment::sync_directory(directory)
    }
}

/// Whether `directory` holds a store of this engine.
pub(super) fn is_at(directory: &Path) -> bool {
    segment_files(directory).is_ok_and(|files| !files.is_empty())
}

/// One process at a time.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file =
        File::create(&path).map_err(|e| StoreError::from_io(directory, "open the lock", &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked {
            path: directory.into(),
        }),
        Err(std::fs::TryLockError::Error(e)) => {
            Err(StoreError::from_io(directory, "lock the directory", &e))
        }
    }
}

/// The segments of a directory in order: number, path, whether it is the last.
fn segment_files(directory: &Path) -> Result<Vec<(u32, PathBuf, bool)>, StoreError> {
    let failed = |e| StoreError::from_io(directory, "list the directory", &e);
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(number) = Segment::number(&path) {
            found.insert(number, path);
        }
    }
    let (first, last) = (
        found.keys().next().copied(),
        found.keys().next_back().copied(),
    );
    let expected = first.unwrap_or(1)..=last.unwrap_or(0);
    if let Some(missing) = expected
        .into_iter()
        .find(|number| !found.contains_key(number))
    {
        let file = Segment::path(directory, missing);
        return Err(StoreError::Corrupt {
            file,
            what: "it is missing".into(),
        });
    }
    Ok(found
        .into_iter()
        .map(|(number, path)| (number, path, Some(number) == last))
        .collect())
}

impl Engine for Journal {
    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        check_sizes(batches)?;
        let done = self.append(batches);
        self.failed = done.clone().err();
        done
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.shared.clone()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        super::free_bytes(&self.shared.directory)
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Content> {
        // A panic while the lock was held has ended the committing thread; what is there is still readable.
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn value(segments: &BTreeMap<u32, Readable>, place: Place) -> Result<Vec<u8>, StoreError> {
    let Some(segment) = segments.get(&place.segment) else {
        return Err(StoreError::Closed);
    };
    let mut bytes = vec![0; place.length as usize];
    let read = segment.file.read_exact_at(&mut bytes, place.at.into());
    read.map_err(|e| StoreError::from_io(&segment.path, "read a segment", &e))?;
    Ok(bytes)
}

impl Reader for Shared {
    fn scan(&self, table: Table, from: &[u8], max: usize) -> Result<Vec<Record>, StoreError> {
        let (mut records, mut from) = (Vec::new(), from.to_vec());
        while records.len() < max {
            // A commit waits for whoever reads, so it is let in now and then.
            let share = SCAN_SHARE.min(max - records.len());
            let content = self.read();
            let rows = content.index.from(table, &from).take(share);
            let before = records.len();
            for (key, place) in rows {
                records.push((key.to_vec(), value(&content.segments, place)?));
            }
            let Some((last, _)) = records.last().filter(|_| records.len() == before + share) else {
                break;
            };
            from.clone_from(last);
            from.push(0); // the least key above it
        }
        Ok(records)
    }

    fn recover(&self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let content = self.read();
        for table in Table::ALL {
            for (key, place) in content.index.from(table, &[]) {
                visit(table, key, &value(&content.segments, place)?);
            }
        }
        Ok(())
    }

    fn spooled(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        Ok(self.read().index.length(Table::Charging, key))
    }

    fn spool_bytes(&self) -> u64 {
        self.spooled.load(Ordering::Relaxed)
    }
}
