//! What the store of a server lies on, and the ways in which a test takes the space away.
//!
//! Where this user may mount one, it is a small file system that is filled up. Everywhere else the same errors are had
//! from limits: new state is refused below a reserve that is larger than the disk, and a process whose files may not
//! grow (`RLIMIT_FSIZE`) fails in the calls in which a full disk fails.

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Less than a whole segment of the journal, in bytes: the next one must not fit either.
const SEGMENT: u64 = 48 << 20;

/// The file system of a store. Dropped, it is unmounted.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    mounted: bool,
}

impl Disk {
    /// A small file system in memory, or the machine's own where this user may not mount one.
    pub fn own(at: PathBuf, mebibytes: u64) -> Disk {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&at)
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            eprintln!("this user may not mount a small file system: limits take its place");
        }
        Disk { at, mounted }
    }

    /// The machine's own.
    pub fn shared(at: PathBuf) -> Disk {
        Disk { at, mounted: false }
    }

    pub fn is_own(&self) -> bool {
        self.mounted
    }

    /// Fills it until no more than `left` bytes are free, also once more.
    pub fn fill(&self, left: u64) {
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .unwrap();
        let (before, space) = (file.metadata().unwrap().len(), statvfs(&self.at).unwrap());
        let mut more = (space.f_bavail * space.f_frsize).saturating_sub(left);
        while more > 0 && fallocate(&file, FallocateFlags::empty(), before, more).is_err() {
            more = more.saturating_sub(4096); // somebody else was faster
        }
    }

    pub fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.at.join("fill")
    }

    /// Forbids a process to make its files longer than the one that its store writes.
    pub fn bound(&self, process: i32) {
        let limit = Rlimit {
            current: Some(newest(&self.at).min(SEGMENT)),
            ..getrlimit(Resource::Fsize) // inherited
        };
        prlimit(Pid::from_raw(process), Resource::Fsize, limit).unwrap();
    }

    /// Takes it away, also from under a process that uses it.
    pub fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let _ = Command::new("umount").arg("-l").arg(&self.at).status(); // the directory goes anyway
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Bytes of the journal's newest segment.
fn newest(store: &Path) -> u64 {
    let files = fs::read_dir(store)
        .unwrap()
        .map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let newest = segments.max().expect("a segment");
    newest.metadata().unwrap().len()
}
