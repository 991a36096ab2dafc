//! A disk of the server's own that a test can fill.

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// The file system of a store. Dropped, it is unmounted.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    mounted: bool,
}

impl Disk {
    /// A small file system in memory, or the machine's own where this user may not mount one.
    pub fn at(at: PathBuf, mebibytes: u64) -> Disk {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&at)
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            eprintln!(
                "this user may not mount a small file system: files are bounded in its place"
            );
        }
        Disk { at, mounted }
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

    /// Forbids a process to make any file longer than it is: the other way to a write that fails.
    pub fn forbid(&self, pid: i32) -> bool {
        let done = Command::new("prlimit")
            .args(["--pid", &pid.to_string(), "--fsize=4096"])
            .status();
        done.is_ok_and(|status| status.success())
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
