//! The engines that keep their promise on a disk: locks, damage, kill -9, no space.

use crate::committing::committer;
use crate::noise;
use ims::record::{Batch, Table};
use presentia::store::fjall::Fjall;
use presentia::store::journal::Journal;
use presentia::store::{Engine, Record, StoreError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

const ENGINES: [&str; 2] = ["journal", "fjall"];

fn open(engine: &str, directory: &Path) -> Result<Box<dyn Engine>, StoreError> {
    Ok(match engine {
        "journal" => Box::new(Journal::open(directory)?),
        _ => Box::new(Fjall::open(directory)?),
    })
}

fn refusal(engine: &str, directory: &Path) -> StoreError {
    match open(engine, directory) {
        Ok(_) => panic!("{engine} opened {}", directory.display()),
        Err(error) => error,
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let _first = open(engine, directory.path()).unwrap();
        let refused = refusal(engine, directory.path());
        assert_eq!(
            refused,
            StoreError::Locked {
                path: directory.path().into()
            }
        );
        let sentence = refused.to_string();
        assert!(
            sentence.contains("in use by another process; stop that one"),
            "{sentence}"
        );
    }
}

#[test]
fn the_store_of_one_engine_is_not_opened_by_another() {
    for (made, opened) in [("journal", "fjall"), ("fjall", "journal")] {
        let directory = tempfile::tempdir().unwrap();
        drop(open(made, directory.path()).unwrap());
        let refused = refusal(opened, directory.path());
        assert!(
            matches!(refused, StoreError::OtherEngine { engine, .. } if engine == made),
            "{refused}"
        );
        assert!(
            open(made, directory.path()).is_ok(),
            "and it was not touched"
        );
    }
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
        for engine in ENGINES {
            let refused = refusal(engine, &place);
            assert!(
                matches!(refused, StoreError::NotWritable { .. }),
                "{refused:?}"
            );
            let sentence = refused.to_string();
            assert!(sentence.contains(&*place.to_string_lossy()), "{sentence}");
            assert!(
                sentence.contains("[store] path") && sentence.lines().count() == 1,
                "{sentence}"
            );
        }
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open("journal", directory.path()).unwrap());
    let segment = directory.path().join("0000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[14..16].copy_from_slice(&99u16.to_le_bytes());
    std::fs::write(&segment, bytes).unwrap();
    assert!(matches!(
        refusal("journal", directory.path()),
        StoreError::NewerFormat { found: 99, .. }
    ));

    let directory = tempfile::tempdir().unwrap();
    drop(open("fjall", directory.path()).unwrap());
    let database = fjall::Database::builder(directory.path()).open().unwrap();
    let meta = database
        .keyspace("meta", fjall::KeyspaceCreateOptions::default)
        .unwrap();
    meta.insert("format", 99u64.to_be_bytes()).unwrap();
    drop((meta, database));
    assert!(matches!(
        refusal("fjall", directory.path()),
        StoreError::NewerFormat { found: 99, .. }
    ));
}

// Damage

/// A store with 100 acknowledged records of 200 bytes, closed; returns the file they are in.
fn filled(engine: &str, directory: &Path) -> PathBuf {
    let mut store = open(engine, directory).unwrap();
    for number in 0..100u64 {
        let mut one = Batch::default();
        one.put_bytes(
            Table::Charging,
            &number.to_be_bytes(),
            &[number as u8 | 1; 200],
        );
        store.commit(&[one]).unwrap();
    }
    directory.join(if engine == "journal" {
        "0000000001.log"
    } else {
        "0.jnl"
    })
}

/// Whether every record of [`filled`] is there as it was written.
fn is_whole(store: &dyn Engine) -> bool {
    let found = store.reader().scan(Table::Charging, b"", 1000).unwrap();
    let as_written = |(number, record): (usize, &Record)| record.1[..] == [number as u8 | 1; 200];
    found.len() == 100 && found.iter().enumerate().all(as_written)
}

/// Length of what was written into a preallocated file.
fn written(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1)
}

#[test]
fn damage_in_the_middle_is_refused_and_a_torn_end_is_not() {
    type Damage = fn(&mut Vec<u8>, usize);
    let cases: [(&str, Damage, bool); 8] = [
        ("nothing", |_, _| {}, true),
        (
            "garbage after the last group",
            |file, end| file[end..end + 30].fill(0x5a),
            true,
        ),
        (
            "half of the first group again",
            |file, end| file.copy_within(16..100, end),
            true,
        ),
        (
            "one bit of a value in the middle",
            |file, end| file[end / 2] ^= 4,
            false,
        ),
        (
            "a zeroed stretch in the middle",
            |file, end| file[end / 2..end / 2 + 512].fill(0),
            false,
        ),
        (
            "the second half is gone",
            |file, end| file.truncate(end / 2),
            false,
        ),
        (
            "the last group is gone",
            |file, end| file[end - 150..end].fill(0),
            false,
        ),
        ("all of it is zero", |file, _| file.fill(0), false),
    ];
    for engine in ENGINES {
        for (case, damage, fine) in cases {
            let directory = tempfile::tempdir().unwrap();
            let path = filled(engine, directory.path());
            let mut file = std::fs::read(&path).unwrap();
            let end = written(&file);
            damage(&mut file, end);
            std::fs::write(&path, file).unwrap();
            if fine {
                for round in ["once", "and again"] {
                    let store = open(engine, directory.path());
                    let store = store.unwrap_or_else(|e| panic!("{engine}, {case}, {round}: {e}"));
                    let found = store.reader().scan(Table::Charging, b"", 1000).unwrap();
                    assert_eq!(found.len(), 100, "{engine}, {case}, {round}");
                }
            } else {
                let refused = match open(engine, directory.path()) {
                    Err(refused) => refused,
                    // what fjall does not look at (a value that a later one replaced) may be damaged unseen
                    Ok(store) => {
                        assert_eq!(engine, "fjall", "{case} is not noticed");
                        assert!(
                            is_whole(store.as_ref()),
                            "{engine}, {case}: not noticed, and something is lost"
                        );
                        continue;
                    }
                };
                assert!(
                    matches!(refused, StoreError::Corrupt { .. }),
                    "{engine}, {case}: {refused:?}"
                );
                let sentence = refused.to_string();
                assert!(
                    sentence.contains("restore the data directory from a backup"),
                    "{sentence}"
                );
            }
        }
    }
}

#[test]
fn a_missing_segment_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Journal::with_segments(directory.path(), 2000).unwrap();
    for number in 0..100u64 {
        let mut one = Batch::default();
        one.put_bytes(Table::Charging, &number.to_be_bytes(), &[1; 200]);
        store.commit(&[one]).unwrap();
    }
    drop(store);
    let third = directory.path().join("0000000003.log");
    let bytes = std::fs::read(&third).unwrap();
    std::fs::remove_file(&third).unwrap();
    assert_eq!(
        refusal("journal", directory.path()),
        StoreError::Corrupt {
            file: third.clone(),
            what: "it is missing".into()
        }
    );
    // Put back without its frames it does not pass either.
    std::fs::write(&third, &bytes[..16]).unwrap();
    let fourth = directory.path().join("0000000004.log");
    assert!(
        matches!(refusal("journal", directory.path()), StoreError::Corrupt { file, .. } if file == fourth)
    );
    std::fs::write(&third, bytes).unwrap();
    let reader = open("journal", directory.path()).unwrap().reader();
    assert_eq!(reader.scan(Table::Charging, b"", 1000).unwrap().len(), 100);
}

#[test]
fn a_segment_that_never_got_its_header_is_made_anew() {
    for content in [&b""[..], &[0; 9], &[0; 5000]] {
        let directory = tempfile::tempdir().unwrap();
        filled("journal", directory.path());
        std::fs::write(directory.path().join("0000000002.log"), content).unwrap();
        let mut store = open("journal", directory.path()).unwrap();
        store.commit(&[Batch::default()]).unwrap();
        assert_eq!(
            store
                .reader()
                .scan(Table::Charging, b"", 1000)
                .unwrap()
                .len(),
            100
        );
    }
}

#[test]
fn what_is_out_of_date_leaves_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Journal::with_segments(directory.path(), 20_000).unwrap();
    let segments = || {
        let names = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".log"))
            .count()
    };
    let mut most = 0;
    for number in 0..3000u64 {
        let mut one = Batch::default();
        one.put_bytes(Table::Document, b"kept", b"from the first segment on");
        one.ops.truncate(usize::from(number == 0));
        one.put_bytes(Table::Charging, &number.to_be_bytes(), &[1; 200]);
        one.put_bytes(
            Table::Publication,
            &(number % 50).to_be_bytes(),
            &number.to_be_bytes(),
        );
        if let Some(answered) = number.checked_sub(20) {
            one.delete(Table::Charging, &answered.to_be_bytes());
        }
        store.commit(&[one]).unwrap();
        most = most.max(segments());
    }
    assert!(most <= 5, "{most} segments for 10 kB of live records");
    drop(store);
    let reader = Journal::with_segments(directory.path(), 20_000)
        .unwrap()
        .reader();
    let mut found = Vec::new();
    reader
        .recover(&mut |table, key, value| found.push((table, key.to_vec(), value.to_vec())))
        .unwrap();
    let of = |table: Table| {
        found
            .iter()
            .filter(|(t, ..)| *t == table)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Table::Document)[0].2, b"from the first segment on");
    assert_eq!(
        (of(Table::Charging).len(), of(Table::Publication).len()),
        (20, 50)
    );
    assert!(
        of(Table::Publication)
            .iter()
            .all(|(_, _, value)| *value >= 2950u64.to_be_bytes().to_vec())
    );
}

// Sudden death, no space

/// Where a child process finds its store, and which engine it takes.
const CHILD_STORE: &str = "PRESENTIA_TEST_STORE";
const CHILD_ENGINE: &str = "PRESENTIA_TEST_ENGINE";

/// Starts this test binary again, running one ignored test of it after some words of shell.
fn child(shell: &str, test: &str, engine: &str, directory: &Path) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{shell} exec \"$0\" \"$@\""))
        .arg(own);
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command
        .env(CHILD_STORE, directory)
        .env(CHILD_ENGINE, engine);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn childs_store() -> Option<Box<dyn Engine>> {
    let directory = std::env::var_os(CHILD_STORE)?;
    let engine = std::env::var(CHILD_ENGINE).ok()?;
    Some(open(&engine, directory.as_ref()).unwrap())
}

#[test]
#[ignore = "runs as a child process that is killed"]
fn child_that_writes_until_it_is_killed() {
    let Some(store) = childs_store() else { return };
    let have = store
        .reader()
        .scan(Table::Charging, b"", usize::MAX)
        .unwrap()
        .len() as u64;
    let committer = committer(store, 0);
    for number in have.. {
        let mut one = Batch::default();
        one.put_bytes(Table::Charging, &number.to_be_bytes(), &[number as u8; 400]);
        one.put_bytes(Table::Body, &number.to_be_bytes(), &[number as u8; 100]);
        let tell = move |result: Result<(), StoreError>| {
            let line = match result {
                Ok(()) => format!("acknowledged {number}\n"),
                Err(error) => format!("failed: {error}\n"),
            };
            // A write to the pipe is complete when it returns: what the parent reads was acknowledged.
            let _ = std::io::stdout().write_all(line.as_bytes());
        };
        committer.submit(one, Box::new(tell));
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let mut acknowledged = 0;
        for round in 1..=4u64 {
            let test = "disk::child_that_writes_until_it_is_killed";
            let mut writer = child("", test, engine, directory.path());
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let number = line
                    .rsplit_once("acknowledged ")
                    .and_then(|(_, n)| n.parse::<u64>().ok());
                acknowledged = number.map_or(acknowledged, |n| acknowledged.max(n + 1));
                if acknowledged >= round * 1500 {
                    let _ = writer.kill(); // SIGKILL; the lines still in the pipe are read as well
                }
            }
            writer.wait().unwrap();
            let reader = open(engine, directory.path()).unwrap().reader();
            for table in [Table::Charging, Table::Body] {
                let found = reader.scan(table, b"", usize::MAX).unwrap();
                let is_missing = |n: &u64| {
                    found
                        .get(*n as usize)
                        .is_none_or(|(key, _)| key[..] != n.to_be_bytes())
                };
                let missing = (0..acknowledged).filter(is_missing).count();
                assert_eq!(
                    missing, 0,
                    "{engine}, round {round}: of {acknowledged} acknowledged in {table:?}"
                );
            }
        }
        assert!(
            acknowledged >= 6000,
            "{engine}: the writer acknowledged only {acknowledged}"
        );
    }
}

/// Charging records that are unanswered at any time in the next test.
const UNANSWERED: u64 = 300;

#[test]
#[ignore = "runs as a child process that is killed"]
fn child_that_writes_and_deletes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD_STORE) else {
        return;
    };
    let store = Journal::with_segments(directory.as_ref(), 30_000).unwrap();
    let have = store
        .reader()
        .scan(Table::Charging, b"", usize::MAX)
        .unwrap();
    let next = have.last().map_or(0, |(key, _)| {
        1 + u64::from_be_bytes(key[..].try_into().unwrap())
    });
    let committer = committer(Box::new(store), 0);
    for number in next.. {
        let mut one = Batch::default();
        one.put_bytes(Table::Charging, &number.to_be_bytes(), &[number as u8; 400]);
        if let Some(answered) = number.checked_sub(UNANSWERED) {
            one.delete(Table::Charging, &answered.to_be_bytes());
        }
        let tell = move |result: Result<(), StoreError>| {
            let line = format!("acknowledged {number} {}\n", result.is_ok());
            let _ = std::io::stdout().write_all(line.as_bytes());
        };
        committer.submit(one, Box::new(tell));
    }
}

#[test]
fn kill_9_while_segments_are_compacted_neither_loses_nor_revives() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=5u64 {
        let test = "disk::child_that_writes_and_deletes_until_it_is_killed";
        let mut writer = child("", test, "journal", directory.path());
        for line in BufReader::new(writer.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            let told = line
                .strip_suffix(" true")
                .and_then(|line| line.rsplit_once("acknowledged "));
            let number = told.and_then(|(_, n)| n.parse::<u64>().ok());
            acknowledged = number.map_or(acknowledged, |n| acknowledged.max(n));
            if acknowledged >= round * 1700 {
                let _ = writer.kill();
            }
        }
        writer.wait().unwrap();
        let reader = Journal::with_segments(directory.path(), 30_000)
            .unwrap()
            .reader();
        let found = reader.scan(Table::Charging, b"", usize::MAX).unwrap();
        let numbers: Vec<u64> = found
            .iter()
            .map(|(key, _)| u64::from_be_bytes(key[..].try_into().unwrap()))
            .collect();
        let last = *numbers.last().unwrap();
        assert!(
            last >= acknowledged,
            "round {round}: {last} is before {acknowledged}"
        );
        assert_eq!(
            numbers,
            (last + 1 - UNANSWERED..=last).collect::<Vec<_>>(),
            "round {round}"
        );
        assert!(
            found.iter().all(|(key, value)| *value == vec![key[7]; 400]),
            "round {round}"
        );
    }
    let first = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .min();
    assert!(
        first.unwrap() > *"0000000010.log",
        "segments were compacted meanwhile"
    );
}

#[test]
#[ignore = "runs as a child process with a small disk"]
fn child_that_fills_its_disk() {
    let Some(store) = childs_store() else { return };
    let committer = committer(store, 0);
    let (told, outcomes) = mpsc::channel();
    for number in 0..100u64 {
        let mut one = Batch::default();
        one.put_bytes(Table::Body, &number.to_be_bytes(), &noise(number, 1 << 20));
        let told = told.clone();
        committer.submit(one, Box::new(move |result| told.send(result).unwrap()));
    }
    for result in outcomes.iter().take(100) {
        match result {
            Ok(()) => println!("\nacknowledged"),
            Err(error) => println!("\nfailed: {error}"),
        }
    }
}

#[test]
fn a_full_disk_is_named_and_keeps_what_was_acknowledged() {
    // No file may grow beyond 10 MiB. (fjall meets no such limit: its journal has its full 64 MiB from the start
    // and is followed by another file before it grows.)
    let engine = "journal";
    let directory = tempfile::tempdir().unwrap();
    let limit = "trap '' XFSZ; ulimit -f 20480;";
    let mut writer = child(
        limit,
        "disk::child_that_fills_its_disk",
        engine,
        directory.path(),
    );
    let output = BufReader::new(writer.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().map_while(Result::ok).collect();
    writer.wait().unwrap();
    let acknowledged = lines
        .iter()
        .filter(|line| line.starts_with("acknowledged"))
        .count();
    let failed: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("failed: "))
        .collect();
    assert!(
        failed.len() >= 2 && failed.iter().all(|line| line.contains("is full")),
        "{engine}: {lines:?}"
    );
    let last = lines
        .iter()
        .rposition(|line| line.starts_with("acknowledged"));
    let first = lines.iter().position(|line| line.starts_with("failed: "));
    assert!(
        last < first,
        "{engine}: nothing is acknowledged after the failure"
    );
    let reader = open(engine, directory.path()).unwrap().reader();
    let found = reader.scan(Table::Body, b"", usize::MAX).unwrap().len();
    assert!(
        found >= acknowledged && acknowledged > 0,
        "{engine}: {found} of {acknowledged}"
    );
}

#[test]
fn a_copy_taken_while_the_server_runs_is_a_backup() {
    let (directory, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = Journal::with_segments(directory.path(), 30_000).unwrap();
    let (acknowledged, latest) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let writing = std::thread::spawn(move || {
        for number in 0.. {
            let mut one = Batch::default();
            one.put_bytes(Table::Publication, b"latest", &u64::to_be_bytes(number));
            one.put_bytes(Table::Body, &(number % 40).to_be_bytes(), &[1; 500]);
            store.commit(&[one]).unwrap();
            acknowledged.send(number).unwrap();
            if stopped.try_recv() != Err(mpsc::TryRecvError::Empty) {
                return;
            }
        }
    });
    for number in latest.iter() {
        if number > 0 && number.is_multiple_of(150) {
            copy(directory.path(), backup.path());
            let reader = Journal::with_segments(backup.path(), 30_000)
                .unwrap()
                .reader();
            let record = &reader.scan(Table::Publication, b"latest", 1).unwrap()[0];
            assert!(
                record.1 >= number.to_be_bytes().to_vec(),
                "older than what was acknowledged"
            );
            assert_eq!(reader.scan(Table::Body, b"", 100).unwrap().len(), 40);
        }
        if number == 600 {
            break;
        }
    }
    drop(stop);
    drop(latest);
    let _ = writing.join(); // its last send finds nobody
}

/// What docs/operating.md says: the mark first, then the segments in the order of their names.
fn copy(from: &Path, to: &Path) {
    let script = "rm -f \"$2\"/*.log && cp \"$1\"/mark \"$2\" && cp \"$1\"/*.log \"$2\"";
    // a segment that is out of date may leave while it is being copied: then once more, as the text says
    let copied = (0..50).any(|_| {
        let mut command = Command::new("sh");
        let done = command.args(["-c", script, "copy"]).args([from, to]);
        done.stderr(std::process::Stdio::null())
            .status()
            .unwrap()
            .success()
    });
    assert!(copied, "no copy succeeds");
}
