//! One battery of promises, kept by every engine of the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod committing;
mod disk;
mod measure;

use ims::record::{Batch, Table};
use presentia::store::fjall::Fjall;
use presentia::store::journal::Journal;
use presentia::store::memory::{Disk, Memory};
use presentia::store::{Engine, KEY_MAX, Reader, StoreError, VALUE_MAX};
use std::collections::BTreeMap;

type Rows = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// A place that outlives an engine, so that it can be opened again.
enum Place {
    Memory(Disk),
    Fjall(tempfile::TempDir),
    Journal(tempfile::TempDir),
    /// With segments so short that they are compacted all the time.
    ShortJournal(tempfile::TempDir),
}

impl Place {
    fn all() -> Vec<(&'static str, Place)> {
        let directory = || tempfile::tempdir().expect("a temporary directory");
        vec![
            ("memory", Place::Memory(Disk::default())),
            ("fjall", Place::Fjall(directory())),
            ("journal", Place::Journal(directory())),
            (
                "journal of short segments",
                Place::ShortJournal(directory()),
            ),
        ]
    }

    fn open(&self) -> Box<dyn Engine> {
        match self {
            Place::Memory(disk) => Box::new(Memory::open(disk.clone())),
            Place::Fjall(directory) => Box::new(Fjall::open(directory.path()).expect("a store")),
            Place::Journal(directory) => {
                Box::new(Journal::open(directory.path()).expect("a store"))
            }
            Place::ShortJournal(directory) => {
                Box::new(Journal::with_segments(directory.path(), 300).expect("a store"))
            }
        }
    }
}

fn batch(ops: &[(Table, &str, Option<&str>)]) -> Batch {
    let mut batch = Batch::default();
    for (table, key, value) in ops {
        match value {
            Some(value) => batch.put_bytes(*table, key.as_bytes(), value.as_bytes()),
            None => batch.delete(*table, key.as_bytes()),
        }
    }
    batch
}

/// Everything in the order of recovery, as `table/key=value`.
fn recovered(reader: &dyn Reader) -> Vec<String> {
    let mut seen = Vec::new();
    let mut visit = |table, key: &[u8], value: &[u8]| {
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        seen.push(format!("{table:?}/{key}={value}"));
    };
    reader.recover(&mut visit).expect("a readable store");
    seen
}

#[test]
fn what_was_committed_comes_back_in_order() {
    use Table::{Body, Charging, Document, Publication, Subscription};
    for (engine, place) in Place::all() {
        let mut store = place.open();
        let first = [
            (Subscription, "s1", Some("alice")),
            (Publication, "b", Some("open")),
            (Publication, "a", Some("closed")),
            (Body, "a", Some("<presence/>")),
        ];
        store
            .commit(&[
                batch(&first),
                batch(&[(Charging, "1", Some("acr")), (Document, "d", Some(""))]),
            ])
            .unwrap();
        store
            .commit(&[batch(&[
                (Charging, "1", None),
                (Publication, "b", Some("away")),
                (Body, "none", None),
            ])])
            .unwrap();
        let expected = [
            "Document/d=",
            "Body/a=<presence/>",
            "Publication/a=closed",
            "Publication/b=away",
            "Subscription/s1=alice",
        ];
        assert_eq!(
            recovered(&*store.reader()),
            expected,
            "{engine}, while open"
        );
        drop(store);
        assert_eq!(
            recovered(&*place.open().reader()),
            expected,
            "{engine}, opened again"
        );
    }
}

#[test]
fn the_bytes_of_the_spool_are_those_of_its_values_after_each_group_and_each_start() {
    for (engine, place) in Place::all() {
        let mut store = place.open();
        for round in 0..40usize {
            let text = "x".repeat(round * 7 % 31);
            let key = |number: usize| number.to_string();
            let (new, again, gone) = (key(round), key(round / 2), key(round.saturating_sub(5)));
            store
                .commit(&[
                    batch(&[(Table::Charging, &new, Some("first"))]),
                    batch(&[
                        (Table::Charging, &new, Some(&text)),
                        (Table::Charging, &again, Some(&text)),
                        (Table::Charging, &gone, None),
                        (Table::Charging, "never", None),
                        (Table::Body, &new, Some("of another table")),
                    ]),
                ])
                .unwrap();
            let reader = store.reader();
            let records = reader.scan(Table::Charging, &[], 100).unwrap();
            let bytes: usize = records.iter().map(|(_, value)| value.len()).sum();
            assert_eq!(reader.spool_bytes(), bytes as u64, "{engine}, {round}");
            for (key, value) in records {
                let length = reader.spooled(&key).unwrap();
                assert_eq!(length, Some(value.len() as u64), "{engine}, {round}");
            }
            assert_eq!(reader.spooled(b"never"), Ok(None), "{engine}");
            if round % 8 == 7 {
                drop((reader, store));
                store = place.open();
                assert_eq!(store.reader().spool_bytes(), bytes as u64, "{engine}, anew");
            }
        }
    }
}

#[test]
fn the_last_change_of_a_key_within_a_group_wins() {
    for (engine, place) in Place::all() {
        let mut store = place.open();
        let changes = |last| {
            [
                batch(&[(Table::Alias, "k", Some("1"))]),
                batch(&[(Table::Alias, "k", None)]),
                last,
            ]
        };
        store
            .commit(&changes(batch(&[
                (Table::Alias, "k", Some("3")),
                (Table::Alias, "l", Some("0")),
            ])))
            .unwrap();
        store
            .commit(&changes(batch(&[(Table::Alias, "l", None)])))
            .unwrap();
        assert!(recovered(&*store.reader()).is_empty(), "{engine}");
        store
            .commit(&changes(batch(&[(Table::Alias, "k", Some("4"))])))
            .unwrap();
        drop(store);
        assert_eq!(
            recovered(&*place.open().reader()),
            ["Alias/k=4"],
            "{engine}"
        );
    }
}

#[test]
fn a_scan_is_ordered_bounded_and_stays_in_its_table() {
    for (engine, place) in Place::all() {
        let mut store = place.open();
        let mut spool = Batch::default();
        for number in [300u64, 2, 1, 256, 255] {
            spool.put_bytes(
                Table::Charging,
                &ims::charge::Event::key(number),
                &number.to_be_bytes(),
            );
        }
        spool.put_bytes(Table::Node, b"x", b"");
        spool.put_bytes(Table::Touched, b"x", b"");
        store.commit(&[spool]).unwrap();
        let reader = store.reader();
        let scan = |from: u64, max| {
            let records = reader
                .scan(Table::Charging, &ims::charge::Event::key(from), max)
                .unwrap();
            records
                .iter()
                .map(|(_, value)| u64::from_be_bytes(value[..].try_into().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(scan(0, 10), [1, 2, 255, 256, 300], "{engine}");
        assert_eq!(scan(2, 2), [2, 255], "{engine}, from a key, at most two");
        assert_eq!(scan(301, 10), [] as [u64; 0], "{engine}, past the end");
        assert_eq!(
            reader.scan(Table::Charging, b"", 1).unwrap().len(),
            1,
            "{engine}, from the start"
        );
    }
}

#[test]
fn keys_and_values_of_any_bytes_and_allowed_size_are_kept() {
    for (engine, place) in Place::all() {
        let mut store = place.open();
        let mut all = Batch::default();
        let keys = [
            vec![0],
            vec![255; 300],
            (0..=255).collect::<Vec<u8>>(),
            vec![7; KEY_MAX],
        ];
        for key in &keys {
            all.put_bytes(Table::Body, key, &vec![key[0]; 100_000]);
        }
        all.put_bytes(Table::Document, b"large", &vec![1; VALUE_MAX]);
        store.commit(&[all]).unwrap();
        drop(store);
        let reader = place.open().reader();
        let found = reader.scan(Table::Body, b"", 10).unwrap();
        assert_eq!(found.len(), keys.len(), "{engine}");
        assert!(
            found
                .iter()
                .all(|(key, value)| *value == vec![key[0]; 100_000]),
            "{engine}"
        );
        assert_eq!(
            reader.scan(Table::Document, b"", 10).unwrap()[0].1.len(),
            VALUE_MAX,
            "{engine}"
        );
    }
}

#[test]
fn a_record_above_the_limits_is_refused_and_changes_nothing() {
    for (engine, place) in Place::all() {
        for (key, value) in [(KEY_MAX + 1, 0), (1, VALUE_MAX + 1)] {
            let mut store = place.open();
            let mut both = batch(&[(Table::Alias, "good", Some("1"))]);
            both.put_bytes(Table::Body, &vec![1; key], &vec![1; value]);
            assert!(
                matches!(store.commit(&[both]), Err(StoreError::TooLarge { .. })),
                "{engine}"
            );
            assert!(recovered(&*store.reader()).is_empty(), "{engine}");
        }
    }
}

#[test]
fn random_histories_end_as_a_map_would() {
    use proptest::prelude::*;
    let table = (0..Table::ALL.len()).prop_map(|at| Table::ALL[at]);
    let key = proptest::collection::vec(0u8..4, 1..3);
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let groups =
        proptest::collection::vec(proptest::collection::vec((table, key, value), 0..8), 1..40);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(8));
    let outcome = runner.run(&groups, |groups| {
        for (engine, place) in Place::all() {
            let mut model = Rows::new();
            let mut store = place.open();
            for (at, group) in groups.iter().enumerate() {
                let mut changes = Batch::default();
                for (table, key, value) in group {
                    let order = Table::ALL.iter().position(|t| t == table).unwrap();
                    match value {
                        Some(value) => {
                            changes.put_bytes(*table, key, value);
                            model.insert((order, key.clone()), value.clone());
                        }
                        None => {
                            changes.delete(*table, key);
                            model.remove(&(order, key.clone()));
                        }
                    }
                }
                let halves = changes.ops.split_off(changes.ops.len() / 2 * (at % 2));
                store.commit(&[changes, Batch { ops: halves }]).unwrap();
                if at % 13 == 12 {
                    drop(store);
                    store = place.open();
                }
            }
            drop(store);
            let mut rows = Vec::new();
            let order = |table| Table::ALL.iter().position(|t| *t == table).unwrap();
            let mut visit = |table, key: &[u8], value: &[u8]| {
                rows.push(((order(table), key.to_vec()), value.to_vec()))
            };
            place.open().reader().recover(&mut visit).unwrap();
            prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>(), "{}", engine);
        }
        Ok(())
    });
    outcome.unwrap();
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
