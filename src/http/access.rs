//! The access log: a line of JSON for each request, written by a thread of its own, so that a slow disk delays nobody.
//!
//! Users and addresses are marks under a key of this run unless names are asked for: lines of one user can be counted and
//! not read.

use super::digest::Key;
use super::files::FileError;
use crate::ua::digest::hex;
use serde::Serialize;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::error;

/// Lines that may wait to be written; further ones are counted and lost.
const QUEUE: usize = 8_192;

/// One request, answered.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub peer: std::net::IpAddr,
    /// The header value or identity by which the user is known.
    pub user: Option<&'a str>,
    pub method: &'a str,
    pub path: &'a str,
    pub version: hyper::Version,
    pub is_secure: bool,
    pub status: u16,
    /// Of the answer's body.
    pub bytes: u64,
    pub took: std::time::Duration,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Milliseconds since the epoch.
    at: u64,
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    method: &'a str,
    path: String,
    http: String,
    tls: bool,
    status: u16,
    bytes: u64,
    /// Microseconds until the answer was ready.
    us: u64,
    /// Lines that were lost before this one.
    #[serde(skip_serializing_if = "is_none")]
    lost: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

enum Order {
    Write(String),
    /// The file was moved away.
    Reopen,
}

/// Where entries are left.
pub(super) struct Log {
    orders: SyncSender<Order>,
    lost: AtomicU64,
    /// `None`: names stand in the lines.
    key: Option<Key>,
    root: String,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// `to`: a file, or `stdout`. `root`: the XCAP root, below which paths name users.
    pub(super) fn start(to: &str, key: Option<Key>, root: &str) -> Result<Log, FileError> {
        let file = Some(PathBuf::from(to)).filter(|_| to != "stdout");
        let sink = open(file.as_deref()).map_err(|why| FileError::new(Path::new(to), why))?;
        let (orders, taken) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write(&taken, file.as_deref(), sink))
            .map_err(|why| FileError::new(Path::new(to), why))?;
        Ok(Log {
            orders,
            lost: AtomicU64::new(0),
            key,
            root: root.to_owned(),
        })
    }

    pub(super) fn reopen(&self) {
        // when the queue is full the next signal does it
        let _ = self.orders.try_send(Order::Reopen);
    }

    pub(super) fn add(&self, entry: &Entry<'_>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let line = self.line(entry, lost);
        if self.orders.try_send(Order::Write(line)).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    fn line(&self, entry: &Entry<'_>, lost: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = Line {
            at: now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
            peer: self.name(&entry.peer.to_string()),
            user: entry.user.map(|user| self.name(user)),
            method: entry.method.get(..16).unwrap_or(entry.method),
            path: self.path(entry.path),
            http: format!("{:?}", entry.version),
            tls: entry.is_secure,
            status: entry.status,
            bytes: entry.bytes,
            us: u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX),
            lost,
        };
        // a struct of numbers and texts has no way to fail
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    }

    fn name(&self, name: &str) -> String {
        match &self.key {
            None => name.to_owned(),
            Some(key) => format!("#{}", hex(&key.mark(name.as_bytes())[..6])),
        }
    }

    /// The path as far as it names nobody: the application usage and the tree.
    fn path(&self, path: &str) -> String {
        if self.key.is_none() {
            return path.to_owned();
        }
        let below = path.strip_prefix(self.root.as_str());
        match below.filter(|below| below.starts_with('/')) {
            Some(below) => {
                let known: Vec<&str> = below.splitn(4, '/').take(3).collect();
                format!("{}{}", self.root, known.join("/"))
            }
            None => format!("/{}", path.split('/').nth(1).unwrap_or("")),
        }
    }
}

fn open(file: Option<&Path>) -> io::Result<Box<dyn Write + Send>> {
    Ok(match file {
        None => Box::new(io::stdout()),
        Some(file) => Box::new(append(file)?),
    })
}

fn append(file: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(file)
}

/// Until the server lets go of the log. Lines that wait are written together.
fn write(orders: &Receiver<Order>, file: Option<&Path>, sink: Box<dyn Write + Send>) {
    let mut sink = io::BufWriter::new(sink);
    let mut is_well = true;
    while let Ok(first) = orders.recv() {
        let mut next = Some(first);
        while let Some(order) = next {
            let done = match order {
                Order::Write(line) => sink.write_all(line.as_bytes()),
                Order::Reopen => open(file).map(|new| {
                    // what is not written yet belongs into the old file; a failure there was told
                    let _ = sink.flush();
                    sink = io::BufWriter::new(new);
                }),
            };
            note(&mut is_well, done);
            next = orders.try_recv().ok();
        }
        let done = sink.flush();
        note(&mut is_well, done);
    }
}

/// One line in the log when writing begins to fail, and none for each request.
fn note(is_well: &mut bool, done: io::Result<()>) {
    match done {
        Ok(()) => *is_well = true,
        Err(error) if *is_well => {
            *is_well = false;
            error!(%error, "the access log cannot be written");
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ENTRY: Entry<'static> = Entry {
        peer: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        user: Some("\"sip:bob@ims.test\""),
        method: "GET",
        path: "/xcap-root/pres-rules/users/sip:bob@ims.test/index/~~/x%5B@id=%22sip:alice@ims.test%22%5D",
        version: hyper::Version::HTTP_2,
        is_secure: true,
        status: 200,
        bytes: 12,
        took: Duration::from_micros(34),
    };

    #[test]
    fn a_line_names_nobody_unless_names_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let log = |key| Log::start(file.to_str().unwrap(), key, "/xcap-root").unwrap();
        let hidden = log(Some(Key::random().unwrap())).line(&ENTRY, 0);
        for name in ["bob", "alice", "192.0.2.1"] {
            assert!(!hidden.contains(name), "{name} in {hidden}");
        }
        for part in [
            "\"path\":\"/xcap-root/pres-rules/users\"",
            "\"status\":200",
            "\"http\":\"HTTP/2.0\"",
            "\"us\":34",
        ] {
            assert!(hidden.contains(part), "{part} not in {hidden}");
        }
        let named = log(None).line(&ENTRY, 3);
        assert!(
            named.contains("alice") && named.contains("192.0.2.1") && named.contains("\"lost\":3")
        );
    }

    #[test]
    fn lines_are_in_the_file_and_after_a_rotation_in_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, old) = (folder.path().join("a"), folder.path().join("a.1"));
        let log = Log::start(file.to_str().unwrap(), None, "/xcap-root").unwrap();
        let lines = |file: &Path| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.lines().count()
        };
        let until = |file: &Path, count| {
            let end = std::time::Instant::now() + Duration::from_secs(10);
            while lines(file) != count {
                assert!(std::time::Instant::now() < end, "{} lines", lines(file));
                std::thread::yield_now();
            }
        };
        log.add(&ENTRY);
        log.add(&ENTRY);
        until(&file, 2);
        std::fs::rename(&file, &old).unwrap();
        log.reopen();
        log.add(&ENTRY);
        until(&file, 1);
        assert_eq!(lines(&old), 2);
    }
}
