use super::*;
use crate::store::Engine;
use crate::store::memory::Memory;

/// Numbers of an hour, and of one that is 800 hours earlier.
const HOUR: u32 = 500_000;

fn number(hour: u32, place: u64) -> u64 {
    (u64::from(hour) * 3_600_000) << 20 | place
}

/// A store in which so many charges of the hour are open, and so many are on the list.
fn store(open: u64, unpaid: u64) -> Memory {
    let mut batch = Batch::default();
    for place in 0..open {
        batch.put_bytes(Table::Credit, &number(HOUR, place).to_be_bytes(), &[1]);
    }
    for place in 0..unpaid {
        let key = u128::from(number(HOUR, place)) << 64 | 9;
        batch.put_bytes(Table::Unpaid, &key.to_be_bytes(), &[1]);
    }
    let mut engine = Memory::new();
    engine.commit(&[batch]).unwrap();
    engine
}

/// Counts with one batch of a writer.
fn count(engine: &mut Memory, lane: Lane, counts: &[(u32, Count, &str, u64)]) {
    let mut accounts = Accounts::load(&*engine.reader(), lane).unwrap();
    for (hour, count, ocs, more) in counts {
        accounts.note(*hour, *count, ocs, *more);
    }
    let mut batch = Batch::default();
    accounts.add_to(&mut batch);
    engine.commit(&[batch]).unwrap();
}

fn begun(engine: &mut Memory) {
    let reader = engine.reader();
    let mut accounts = Accounts::load(&*reader, Lane::Awaited).unwrap();
    let batch = begin(&*reader, &mut accounts).unwrap();
    engine.commit(&[batch]).unwrap();
}

fn hours(engine: &Memory) -> Vec<Hour> {
    read(&*engine.reader()).unwrap()
}

#[test]
fn what_began_is_what_ended_and_what_is_there_whoever_wrote_it() {
    use Count::*;
    let mut engine = store(2, 1);
    begun(&mut engine);
    begun(&mut engine); // another start
    count(
        &mut engine,
        Lane::Awaited,
        &[(HOUR, Asked, "", 8), (HOUR, Listed, "ocs1", 1)],
    );
    let ends = [
        (HOUR, Settled, "ocs1", 2),
        (HOUR, Free, "ocs2", 1),
        (HOUR, NoCredit, "ocs1", 1),
        (HOUR, Refused, "ocs1", 1),
        (HOUR, Unavailable, "", 1),
        (HOUR, Returned, "ocs2", 1),
        (HOUR, GivenUp, "ocs2", 1),
        (HOUR, Listed, "ocs2", 1),
    ];
    count(&mut engine, Lane::Patient, &ends);
    count(
        &mut engine,
        Lane::Desk,
        &[(HOUR, Forgotten, "", 1), (HOUR, Collected, "ocs1", 1)],
    );
    let hours = hours(&engine);
    let hour = &hours[0];
    assert!(hours.len() == 1 && hour.adds_up(), "{hour:?}");
    assert_eq!((hour.asked, hour.all.ended(), hour.open), (10, 8, 2));
    assert_eq!((hour.all.listed, hour.unpaid), (3, 1));
    assert_eq!(hour.ocss["ocs1"].settled, 2);
    assert_eq!((hour.ocss["ocs1"].listed, hour.ocss["ocs2"].listed), (1, 1));
}

#[test]
fn a_charge_or_an_entry_that_is_gone_is_missing() {
    let mut engine = store(3, 2);
    begun(&mut engine);
    let mut batch = Batch::default();
    batch.delete(Table::Credit, &number(HOUR, 1).to_be_bytes());
    batch.delete(
        Table::Unpaid,
        &(u128::from(number(HOUR, 0)) << 64 | 9).to_be_bytes(),
    );
    engine.commit(&[batch]).unwrap();
    let hour = &hours(&engine)[0];
    assert!(!hour.adds_up());
    assert_eq!((hour.missing, hour.unpaid_missing), (1, 1));
}

#[test]
fn what_a_version_without_accounts_has_left_is_in_them_from_the_first_start() {
    let mut engine = store(3, 1);
    assert_eq!(hours(&engine), [], "not missed before they begin");
    begun(&mut engine);
    let hour = &hours(&engine)[0];
    assert_eq!((hour.asked, hour.open, hour.all.listed), (3, 3, 1));
    assert!(hour.adds_up());
}

#[test]
fn what_comes_and_goes_while_it_is_read_is_not_missing() {
    for (came, went, moved, missing) in [
        (10, [7, 3], 0, 0),
        (10, [7, 2], 0, 1),
        (10, [7, 5], 0, -2),
        (10, [7, 5], 2, 0),
        (10, [7, 1], 1, 2),
    ] {
        assert_eq!(
            difference(came, went, moved),
            missing,
            "{came} {went:?} {moved}"
        );
    }
}

#[test]
fn accounts_are_kept_for_a_month_and_as_long_as_they_are_needed() {
    let mut engine = store(1, 0);
    begun(&mut engine);
    let old = [
        (HOUR - 800, Count::Success, "ocs1", 4),
        (HOUR - 799, Count::Asked, "", 1),
        (HOUR - 700, Count::Success, "ocs1", 4),
    ];
    count(&mut engine, Lane::Awaited, &old);
    let mut batch = Batch::default();
    prune(&hours(&engine), &mut batch, &*engine.reader()).unwrap();
    engine.commit(&[batch]).unwrap();
    let left: Vec<u32> = hours(&engine).iter().map(|hour| hour.hour).collect();
    assert_eq!(left, [HOUR - 799, HOUR - 700, HOUR], "one misses a charge");
}
