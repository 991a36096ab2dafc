//! The committing thread: order, end, failure, space.

use crate::Place;
use ims::record::{Batch, Table};
use presentia::store::committer::{Done, Settings};
use presentia::store::memory::{Disk, Faults, Memory};
use presentia::store::{Committer, Engine, Health, StoreError};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub fn committer(engine: Box<dyn Engine>, reserve: u64) -> Committer {
    Committer::start(
        engine,
        Settings {
            queue: 64,
            reserve,
            gather: Duration::from_millis(1),
        },
        (),
    )
    .unwrap()
}

/// Submits `count` numbered batches and returns the outcomes in the order of their calls.
fn submit(
    committer: &Committer,
    numbers: std::ops::Range<u64>,
) -> Vec<(u64, Result<(), StoreError>)> {
    let (told, outcomes) = mpsc::channel();
    let count = numbers.clone().count();
    for number in numbers {
        let mut one = Batch::default();
        one.put_bytes(Table::Node, &number.to_be_bytes(), b"");
        let told = told.clone();
        committer.submit(
            one,
            Box::new(move |result| told.send((number, result)).unwrap()),
        );
    }
    outcomes.iter().take(count).collect()
}

/// Submits one batch in no hurry; tells the answer.
fn submit_patiently(committer: &Committer, number: u64) -> mpsc::Receiver<()> {
    let (one, told, outcome) = waited_for(number);
    committer.submit_patiently(one, told);
    outcome
}

/// A batch, what it is submitted with, and who hears that it is committed.
fn waited_for(number: u64) -> (Batch, Done, mpsc::Receiver<()>) {
    let (told, outcome) = mpsc::channel();
    let mut one = Batch::default();
    one.put_bytes(Table::Charging, &number.to_be_bytes(), b"");
    let told = move |result: Result<(), StoreError>| {
        result.unwrap();
        told.send(()).unwrap();
    };
    (one, Box::new(told), outcome)
}

/// Tries it until it is so; a machine that is busy may miss a moment.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
    }
}

#[test]
fn what_is_in_no_hurry_goes_with_the_next_that_is_or_by_itself() {
    let engine = Memory::new();
    let disk = engine.disk();
    let committer = committer(Box::new(engine), 0);
    let patience = Duration::from_secs(30);
    let mut number = 0..;
    let mut put = || submit_patiently(&committer, number.next().unwrap());
    put().recv_timeout(patience).unwrap();
    assert_eq!(disk.commits(), 1, "nothing else came: it is not held back");
    until("it waits for others where there were some", || {
        submit(&committer, 0..1);
        let start = Instant::now();
        put().recv_timeout(patience).unwrap();
        start.elapsed() >= Duration::from_millis(9)
    });
    until("it goes with the next one", || {
        submit(&committer, 0..1);
        let before = disk.commits();
        let held = put();
        std::thread::yield_now();
        submit(&committer, 0..1);
        held.try_recv().is_ok() && disk.commits() == before + 1
    });
}

#[test]
fn what_is_to_be_committed_at_once_does_not_wait_for_company_and_takes_along_what_does() {
    let engine = Memory::new();
    let disk = engine.disk();
    let settings = Settings {
        queue: 64,
        reserve: 0,
        gather: Duration::from_secs(3_600),
    };
    let committer = Committer::start(Box::new(engine), settings, ()).unwrap();
    let patience = Duration::from_secs(30);
    submit(&committer, 0..1);
    for number in 1..4 {
        let (one, told, waits) = waited_for(number);
        committer.submit(one, told);
        let (one, told, hurried) = waited_for(10 + number);
        committer.submit_at_once(one, told);
        hurried.recv_timeout(patience).unwrap();
        assert!(waits.try_recv().is_ok(), "it was there before");
    }
    let (one, told, hurried) = waited_for(20);
    committer.submit_at_once(one, told);
    hurried.recv_timeout(patience).unwrap();
    let (one, told, waits) = waited_for(21);
    committer.submit(one, told);
    assert!(waits.try_recv().is_err(), "the next one waits as before");
    assert!((5..=8).contains(&disk.commits()), "{}", disk.commits());
    drop(committer); // which ends the wait
    assert!(waits.try_recv().is_ok());
}

#[test]
fn everyone_who_waits_is_told_in_order_after_the_commit() {
    for (engine, place) in Place::all() {
        let committer = committer(place.open(), 0);
        let outcomes = submit(&committer, 0..1000);
        assert!(
            outcomes
                .iter()
                .enumerate()
                .all(|(at, (number, result))| *number == at as u64 && result.is_ok()),
            "{engine}"
        );
        drop(committer);
        assert_eq!(
            place
                .open()
                .reader()
                .scan(Table::Node, b"", 2000)
                .unwrap()
                .len(),
            1000,
            "{engine}"
        );
    }
}

#[test]
fn a_batch_that_waits_when_the_committer_is_dropped_is_still_committed() {
    for (engine, place) in Place::all() {
        let committer = committer(place.open(), 0);
        let (told, outcomes) = mpsc::channel();
        for number in 0..50u64 {
            let mut one = Batch::default();
            one.put_bytes(Table::Node, &number.to_be_bytes(), b"");
            let told = told.clone();
            committer.submit(one, Box::new(move |result| told.send(result).unwrap()));
        }
        drop(committer);
        assert_eq!(
            outcomes.try_iter().filter(Result::is_ok).count(),
            50,
            "{engine}"
        );
        assert_eq!(
            place
                .open()
                .reader()
                .scan(Table::Node, b"", 100)
                .unwrap()
                .len(),
            50,
            "{engine}"
        );
    }
}

#[test]
fn after_a_failed_commit_nothing_succeeds_any_more() {
    let disk = Disk::default();
    let committer = committer(Box::new(Memory::open(disk.clone())), 0);
    assert!(submit(&committer, 0..1)[0].1.is_ok());
    disk.set_faults(Faults {
        commits_until_full: Some(0),
        ..Faults::default()
    });
    assert!(matches!(
        submit(&committer, 1..2)[0].1,
        Err(StoreError::DiskFull { .. })
    ));
    disk.set_faults(Faults::default()); // space is there again, and what was lost is still lost
    let outcomes = submit(&committer, 2..9);
    assert!(
        outcomes
            .iter()
            .all(|(_, result)| matches!(result, Err(StoreError::DiskFull { .. })))
    );
    assert!(matches!(
        committer.health(),
        Health::Failed(StoreError::DiskFull { .. })
    ));
    assert_eq!(disk.len(), 1);
}

#[test]
fn little_space_is_told_before_it_runs_out() {
    for (case, free, health) in [
        ("unlimited", None, Health::Good),
        ("the reserve itself is enough", Some(1000), Health::Good),
        ("one byte less is little", Some(999), Health::LowSpace),
    ] {
        let disk = Disk::default();
        disk.set_faults(Faults {
            free_bytes: free,
            ..Faults::default()
        });
        let committer = committer(Box::new(Memory::open(disk)), 1000);
        assert!(
            submit(&committer, 0..1)[0].1.is_ok(),
            "{case}: what is under way still goes through"
        );
        assert_eq!(committer.health(), health, "{case}");
    }
}

#[test]
fn the_first_commit_waits_for_nobody_and_the_others_are_no_more_often_than_set() {
    let gathering = |gather| {
        let engine = Memory::new();
        let disk = engine.disk();
        let settings = Settings {
            queue: 64,
            reserve: 0,
            gather,
        };
        (
            disk,
            Committer::start(Box::new(engine), settings, ()).unwrap(),
        )
    };
    // Longer than any test waits: what is answered was not gathered, and what was gathered is not answered.
    let (disk, committer) = gathering(Duration::from_secs(3_600));
    let patience = Duration::from_secs(30);
    let (one, told, first) = waited_for(0);
    committer.submit(one, told);
    first.recv_timeout(patience).unwrap();
    let others: Vec<_> = (1..50)
        .map(|number| {
            let (one, told, outcome) = waited_for(number);
            committer.submit(one, told);
            outcome
        })
        .collect();
    drop(committer); // which ends the wait
    assert!(others.iter().all(|outcome| outcome.try_recv().is_ok()));
    assert_eq!(disk.commits(), 2, "all the others share the second one");

    // Each waits for its own commit, so these come one after the other, however slow the machine is.
    let gather = Duration::from_millis(30);
    let (disk, committer) = gathering(gather);
    let started = Instant::now();
    for number in 0..8 {
        submit(&committer, number..number + 1);
    }
    let taken = started.elapsed();
    assert_eq!(disk.commits(), 8);
    assert!(taken >= gather * 7, "{taken:?} for eight commits");
}

#[test]
fn space_that_comes_back_is_noticed_while_nothing_is_written() {
    let disk = Disk::default();
    let free = |bytes| {
        disk.set_faults(Faults {
            free_bytes: Some(bytes),
            ..Faults::default()
        })
    };
    free(10);
    let committer = committer(Box::new(Memory::open(disk.clone())), 1000);
    for (bytes, health) in [
        (10, Health::LowSpace),
        (2000, Health::Good),
        (10, Health::LowSpace),
    ] {
        free(bytes);
        let started = Instant::now();
        while committer.health() != health {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{bytes} bytes are never noticed"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}
