//! The embedded engine and its disk: locks, damage, kill -9, no space.

use crate::committing::committer;
use crate::noise;
use ims::record::{Batch, Table};
use presentia::store::embedded::Embedded;
use presentia::store::{Engine, StoreError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Embedded::open(directory.path()).unwrap();
    let refused = Embedded::open(directory.path()).unwrap_err();
    assert_eq!(
        refused,
        StoreError::Locked {
            path: directory.path().into()
        }
    );
    assert!(
        refused
            .to_string()
            .contains("in use by another process; stop that one"),
        "{refused}"
    );
}

#[test]
fn a_place_that_cannot_be_written_is_refused_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for place in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/no-such-directory"),
    ] {
        let refused = Embedded::open(&place).unwrap_err();
        assert!(
            matches!(refused, StoreError::NotWritable { .. }),
            "{refused:?}"
        );
        let sentence = refused.to_string();
        assert!(
            sentence.contains(&*place.to_string_lossy()) && sentence.contains("[store] path"),
            "{sentence}"
        );
        assert_eq!(sentence.lines().count(), 1);
    }
}

/// A store with `count` acknowledged records, closed.
fn filled(directory: &Path, count: u64) {
    let mut store = Embedded::open(directory).unwrap();
    for number in 0..count {
        let mut one = Batch::default();
        one.put_bytes(Table::Charging, &number.to_be_bytes(), &[number as u8; 200]);
        store.commit(&[one]).unwrap();
    }
}

/// Length of what was written into a preallocated journal.
fn written(journal: &[u8]) -> usize {
    journal
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1)
}

#[test]
fn damage_in_the_middle_is_refused_and_a_torn_end_is_not() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage, bool); 6] = [
        ("nothing", |_| {}, true),
        (
            "half a group after the last one",
            |j| {
                (0..20).for_each(|at| {
                    let end = written(j);
                    j[end + at % 2] = 1 + at as u8;
                })
            },
            true,
        ),
        (
            "one bit of a value in the middle",
            |j| {
                let at = written(j) / 2;
                j[at] ^= 4;
            },
            false,
        ),
        (
            "a zeroed stretch in the middle",
            |j| {
                let at = written(j) / 2;
                j[at..at + 512].fill(0);
            },
            false,
        ),
        (
            "the second half is gone",
            |j| {
                let at = written(j) / 2;
                j.truncate(at);
            },
            false,
        ),
        ("all of it is zero", |j| j.fill(0), false),
    ];
    for (case, damage, fine) in cases {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), 100);
        let path = directory.path().join("0.jnl");
        let mut journal = std::fs::read(&path).unwrap();
        damage(&mut journal);
        std::fs::write(&path, journal).unwrap();
        match Embedded::open(directory.path()) {
            Ok(store) => {
                assert!(fine, "{case}: accepted");
                assert_eq!(
                    store
                        .reader()
                        .scan(Table::Charging, b"", 1000)
                        .unwrap()
                        .len(),
                    100,
                    "{case}"
                );
            }
            Err(refused) => {
                assert!(
                    !fine && matches!(refused, StoreError::Corrupt { .. }),
                    "{case}: {refused:?}"
                );
                assert!(
                    refused
                        .to_string()
                        .contains("restore the data directory from a backup"),
                    "{case}: {refused}"
                );
            }
        }
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(Embedded::open(directory.path()).unwrap());
    let database = fjall::Database::builder(directory.path()).open().unwrap();
    let meta = database
        .keyspace("meta", fjall::KeyspaceCreateOptions::default)
        .unwrap();
    meta.insert("format", 99u64.to_be_bytes()).unwrap();
    drop((meta, database));
    let refused = Embedded::open(directory.path()).unwrap_err();
    assert!(
        matches!(refused, StoreError::NewerFormat { found: 99, .. }),
        "{refused:?}"
    );
}

/// Where a child process finds its store.
const CHILD_STORE: &str = "PRESENTIA_TEST_STORE";

/// Starts this test binary again, running one ignored test of it below `shell` words.
fn child(shell: &str, test: &str, directory: &Path) -> std::process::Child {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{shell} exec \"$0\" \"$@\""))
        .arg(own);
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD_STORE, directory);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "runs as a child process that is killed"]
fn child_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD_STORE) else {
        return;
    };
    let store = Embedded::open(directory.as_ref()).unwrap();
    let have = store
        .reader()
        .scan(Table::Charging, b"", usize::MAX)
        .unwrap()
        .len() as u64;
    let committer = committer(Box::new(store), 0);
    for number in have.. {
        let mut one = Batch::default();
        one.put_bytes(Table::Charging, &number.to_be_bytes(), &[number as u8; 400]);
        one.put_bytes(Table::Body, &number.to_be_bytes(), &[number as u8; 100]);
        committer.submit(
            one,
            Box::new(move |result| {
                let line = match result {
                    Ok(()) => format!("acknowledged {number}\n"),
                    Err(error) => format!("failed {error}\n"),
                };
                // A write to the pipe is complete when it returns: what the parent reads was acknowledged.
                let _ = std::io::stdout().write_all(line.as_bytes());
            }),
        );
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=4u64 {
        let mut writer = child(
            "",
            "disk::child_that_writes_until_it_is_killed",
            directory.path(),
        );
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            let Some(number) = line
                .rsplit_once("acknowledged ")
                .and_then(|(_, n)| n.parse::<u64>().ok())
            else {
                continue;
            };
            acknowledged = acknowledged.max(number + 1);
            if acknowledged >= round * 1500 {
                let _ = writer.kill(); // SIGKILL; the lines still in the pipe are read as well
            }
        }
        writer.wait().unwrap();
        let store = Embedded::open(directory.path()).unwrap();
        for table in [Table::Charging, Table::Body] {
            let found = store.reader().scan(table, b"", usize::MAX).unwrap();
            let missing = (0..acknowledged).filter(|n| {
                found
                    .get(*n as usize)
                    .is_none_or(|(key, _)| key[..] != n.to_be_bytes())
            });
            assert_eq!(
                missing.count(),
                0,
                "round {round}: acknowledged records lost of {table:?}, of {acknowledged}"
            );
        }
    }
    assert!(
        acknowledged >= 6000,
        "the writer acknowledged only {acknowledged}"
    );
}

#[test]
fn a_full_disk_is_named_and_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    // No file may grow beyond 68 MiB, which the preallocated journal reaches soon.
    let mut writer = child(
        "trap '' XFSZ; ulimit -f 139264;",
        "disk::child_that_fills_its_disk",
        directory.path(),
    );
    let lines: Vec<String> = BufReader::new(writer.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .collect();
    writer.wait().unwrap();
    let acknowledged = lines
        .iter()
        .filter(|line| line.starts_with("acknowledged"))
        .count();
    let failed: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("failed "))
        .collect();
    assert!(
        failed.len() >= 2 && failed.iter().all(|line| line.contains("is full")),
        "{failed:?}"
    );
    let last = lines
        .iter()
        .rposition(|line| line.starts_with("acknowledged"));
    let first = lines.iter().position(|line| line.starts_with("failed "));
    assert!(last < first, "nothing is acknowledged after the failure");
    let store = Embedded::open(directory.path()).unwrap();
    let found = store
        .reader()
        .scan(Table::Body, b"", usize::MAX)
        .unwrap()
        .len();
    assert!(
        found >= acknowledged && acknowledged > 0,
        "{found} of {acknowledged}"
    );
}

#[test]
#[ignore = "runs as a child process with a small disk"]
fn child_that_fills_its_disk() {
    let Some(directory) = std::env::var_os(CHILD_STORE) else {
        return;
    };
    let committer = committer(Box::new(Embedded::open(directory.as_ref()).unwrap()), 0);
    let (told, outcomes) = mpsc::channel();
    for number in 0..100u64 {
        let mut one = Batch::default();
        one.put_bytes(Table::Body, &number.to_be_bytes(), &noise(number, 1 << 20));
        let told = told.clone();
        committer.submit(one, Box::new(move |result| told.send(result).unwrap()));
    }
    for result in outcomes.iter().take(100) {
        match result {
            Ok(()) => println!("\nacknowledged "),
            Err(error) => println!("\nfailed {error}"),
        }
    }
}
