//! Segments: the files that frames are appended to.

use super::frame::{self, Frame};
use crate::store::StoreError;
use rustix::fs::FallocateFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Starts every segment, followed by the format.
const TITLE: &[u8; 14] = b"presentia log\n";

/// Bytes before the first frame.
pub(super) const HEADER: u32 = 16;

/// A file as its readers see it.
#[derive(Clone, Debug)]
pub(super) struct Readable {
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// Where its frames end.
    pub(super) end: u32,
}

/// A file that is written. Reading from it goes on meanwhile.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    path: PathBuf,
    file: Arc<File>,
    /// Where the next frame goes.
    pub(super) end: u32,
    /// Length on disk.
    reserved: u64,
}

/// Frames of a segment and what follows the last of them.
pub(super) enum Tail {
    /// Nothing, or what a crash leaves of a frame that was never acknowledged.
    Clean,
    /// Something that was written whole once: a frame that no longer is one, at this offset.
    Damaged(usize),
}

impl Segment {
    /// Path of segment `number`; names sort as numbers do.
    pub(super) fn path(directory: &Path, number: u32) -> PathBuf {
        directory.join(format!("{number:010}.log"))
    }

    /// Number of a segment from its file name.
    pub(super) fn number(path: &Path) -> Option<u32> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
        (name.len() == 10).then(|| name.parse().ok())?
    }

    /// Makes a new segment, or makes one anew that never got its header.
    pub(super) fn create(
        directory: &Path,
        number: u32,
        format: u16,
    ) -> Result<Segment, StoreError> {
        let path = Segment::path(directory, number);
        let failed = |e| StoreError::from_io(&path, "make a segment", &e);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path);
        let file = opened.map_err(failed)?;
        let mut header = [0; HEADER as usize];
        header[..TITLE.len()].copy_from_slice(TITLE);
        header[TITLE.len()..].copy_from_slice(&format.to_le_bytes());
        let mut segment = Segment {
            number,
            path: path.clone(),
            file: Arc::new(file),
            end: HEADER,
            reserved: 0,
        };
        segment.reserve(u64::from(HEADER), 0).map_err(failed)?;
        segment.file.write_all_at(&header, 0).map_err(failed)?;
        segment.file.sync_all().map_err(failed)?;
        sync_directory(directory)?;
        Ok(segment)
    }

    /// Opens a segment and shows its frames in order with their offsets. `Ok(None)`: it has no header yet.
    pub(super) fn open(
        number: u32,
        path: &Path,
        format: u16,
        visit: &mut dyn FnMut(u32, &Frame<'_>) -> Result<(), StoreError>,
    ) -> Result<Option<(Segment, Tail)>, StoreError> {
        let failed = |e| StoreError::from_io(path, "read a segment", &e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        let bytes = std::fs::read(path).map_err(failed)?;
        let header = bytes.get(..HEADER as usize).unwrap_or(&bytes);
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let Some(found) = header
            .strip_prefix(TITLE)
            .and_then(|rest| rest.try_into().ok())
        else {
            return Err(damaged(path, 0));
        };
        let found = u16::from_le_bytes(found);
        if found > format {
            let path = path.parent().unwrap_or(path).to_path_buf();
            return Err(StoreError::NewerFormat {
                path,
                found,
                known: format,
            });
        }
        let mut at = HEADER as usize;
        let mut last = None;
        while let Some(frame) = bytes.get(at..).and_then(Frame::at_start) {
            visit(offset(path, at)?, &frame)?;
            last = Some(frame.number);
            at += frame.len();
        }
        let rest = without_zeros(bytes.get(at..).unwrap_or_default());
        let tail = match frame::any_later(rest, last.unwrap_or(0)) {
            true => Tail::Damaged(at),
            false => Tail::Clean,
        };
        let end = offset(path, at)?;
        let mut segment = Segment {
            number,
            path: path.into(),
            file: Arc::new(file),
            end,
            reserved: bytes.len() as u64,
        };
        if matches!(tail, Tail::Clean) && !rest.is_empty() {
            segment.cut().map_err(failed)?;
        }
        Ok(Some((segment, tail)))
    }

    /// Removes what a crash left behind the last frame, so that it never meets a later one.
    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.end.into())?;
        self.reserved = self.end.into();
        self.file.sync_all()
    }

    /// Appends a frame and makes it durable; returns its offset.
    ///
    /// `ahead` more bytes are reserved when space runs out: a full disk shows before a frame is begun, and
    /// synchronising rarely has to write the length of the file.
    pub(super) fn append(&mut self, frame: &[u8], ahead: u32) -> Result<u32, StoreError> {
        let at = self.end;
        let end = u64::from(at) + frame.len() as u64;
        let reserved = self.reserve(end, ahead);
        let failed = |e| StoreError::from_io(&self.path, "append to a segment", &e);
        reserved.map_err(failed)?;
        let next = u32::try_from(end);
        let next = next.map_err(|_| failed(std::io::ErrorKind::FileTooLarge.into()))?;
        self.file.write_all_at(frame, at.into()).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        self.end = next;
        Ok(at)
    }

    /// Makes sure that the file can hold `needed` bytes.
    fn reserve(&mut self, needed: u64, ahead: u32) -> std::io::Result<()> {
        if needed <= self.reserved {
            return Ok(());
        }
        // All the way ahead when there is space for it, and at least what is needed.
        for up_to in [needed + u64::from(ahead), needed] {
            let more = up_to - self.reserved;
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), self.reserved, more) {
                Ok(()) => {
                    self.reserved = up_to;
                    return Ok(());
                }
                // A file system without reservation: the write will tell.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return Ok(()),
                Err(error) if up_to == needed => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn readable(&self) -> Readable {
        Readable {
            path: self.path.clone(),
            file: self.file.clone(),
            end: self.end,
        }
    }
}

/// The frame at `at` as bytes, checked; for compaction.
pub(super) fn read_frame(segment: &Readable, at: u32) -> Result<Vec<u8>, StoreError> {
    let failed = |e| StoreError::from_io(&segment.path, "read a segment", &e);
    let mut bytes = vec![0; frame::HEAD];
    segment
        .file
        .read_exact_at(&mut bytes, at.into())
        .map_err(failed)?;
    let length =
        frame::payload_length(&bytes).ok_or_else(|| damaged(&segment.path, at as usize))?;
    bytes.resize(frame::HEAD + length, 0);
    segment
        .file
        .read_exact_at(&mut bytes, at.into())
        .map_err(failed)?;
    match Frame::at_start(&bytes) {
        Some(_) => Ok(bytes),
        None => Err(damaged(&segment.path, at as usize)),
    }
}

/// `bytes` without the zeros that end it, in steps of a page: reserved space that was never written.
fn without_zeros(mut bytes: &[u8]) -> &[u8] {
    const PAGE: [u8; 4096] = [0; 4096];
    while let Some(rest) = bytes.strip_suffix(&PAGE) {
        bytes = rest;
    }
    let zeros = bytes
        .iter()
        .rev()
        .take(PAGE.len())
        .take_while(|byte| **byte == 0)
        .count();
    &bytes[..bytes.len() - zeros]
}

fn offset(path: &Path, at: usize) -> Result<u32, StoreError> {
    u32::try_from(at).map_err(|_| damaged(path, at))
}

pub(super) fn damaged(path: &Path, at: usize) -> StoreError {
    StoreError::Corrupt {
        file: path.to_path_buf(),
        what: format!("byte {at} does not begin a whole frame"),
    }
}

/// Makes the making or removal of files in `directory` durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|e| StoreError::from_io(directory, "synchronise the directory", &e))
}
