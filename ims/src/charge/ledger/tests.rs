use super::*;
use crate::charge::record::Damage;
use crate::charge::{Besides, BodyFacts, Outcomes};
use crate::record::Op;
use crate::time::Seconds;
use std::collections::BTreeMap;

const HOUR_0: u64 = 500_000 * HOUR;

fn event(method: Chargeable, role: Role, status: u16) -> Event {
    Event {
        number: 0,
        method,
        role,
        package: Some("presence".into()),
        expires: Some(3600),
        call_id: "call-1".into(),
        calling: vec!["sip:alice@ims.test".into()],
        called: "sip:bob@ims.test".into(),
        requested: None,
        icid: Some("icid-1".into()),
        orig_ioi: None,
        term_ioi: None,
        access_network: None,
        service: None,
        associated: Vec::new(),
        requested_at: Timestamp(HOUR_0),
        answered_at: Timestamp(HOUR_0 + 10),
        status,
        body: Some(BodyFacts {
            content_type: "application/pidf+xml".into(),
            length: 100,
            disposition: None,
        }),
        ccf: Vec::new(),
        booked: Booked::default(),
        besides: Besides::default(),
    }
}

fn notify(at: u64) -> Event {
    Event {
        requested_at: Timestamp(HOUR_0 + at),
        answered_at: Timestamp(HOUR_0 + at + 10),
        ..event(Chargeable::Notify, Role::Originating, 200)
    }
}

const ALL: Triggers = Triggers {
    publish: Outcomes::All,
    subscribe: Outcomes::All,
    subscribe_sent: Outcomes::All,
    notify: Outcomes::All,
    notify_received: Outcomes::All,
    register: Outcomes::All,
    packages: BTreeMap::new(),
    coalescing: Coalescing::Each,
};

fn coalescing(open: usize) -> Ledger {
    let length = Seconds(60);
    let triggers = Triggers {
        coalescing: Coalescing::Interval { length, open },
        ..ALL
    };
    Ledger::new(triggers, 1)
}

/// The store after a batch, as far as charging is concerned.
fn stored(batches: &[Batch], table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    for op in batches.iter().flat_map(|batch| &batch.ops) {
        match op {
            Op::Put {
                table: t,
                key,
                value,
            } if *t == table => {
                found.insert(key.to_vec(), value.to_vec());
            }
            Op::Delete { table: t, key } if *t == table => {
                found.remove(key.as_ref());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn each_method_direction_outcome_and_package_is_switched_by_itself() {
    use Chargeable::*;
    use Role::*;
    type Change = fn(&mut Triggers);
    let cases: [(&str, Change, Chargeable, Role, u16); 9] = [
        (
            "publish",
            |t| t.publish = Outcomes::None,
            Publish,
            Terminating,
            200,
        ),
        (
            "subscribe",
            |t| t.subscribe = Outcomes::None,
            Subscribe,
            Terminating,
            200,
        ),
        (
            "subscribe_sent",
            |t| t.subscribe_sent = Outcomes::None,
            Subscribe,
            Originating,
            200,
        ),
        (
            "notify",
            |t| t.notify = Outcomes::None,
            Notify,
            Originating,
            200,
        ),
        (
            "notify_received",
            |t| t.notify_received = Outcomes::None,
            Notify,
            Terminating,
            200,
        ),
        (
            "register",
            |t| t.register = Outcomes::None,
            Register,
            Terminating,
            200,
        ),
        (
            "successes only",
            |t| t.publish = Outcomes::Successes,
            Publish,
            Terminating,
            412,
        ),
        (
            "failures only",
            |t| t.publish = Outcomes::Failures,
            Publish,
            Terminating,
            200,
        ),
        (
            "package",
            |t| _ = t.packages.insert("presence".into(), Outcomes::None),
            Publish,
            Terminating,
            200,
        ),
    ];
    for (case, change, method, role, status) in cases {
        for (on, expected) in [(true, 1), (false, 0)] {
            let mut triggers = ALL;
            if !on {
                change(&mut triggers);
            }
            let mut ledger = Ledger::new(triggers, 1);
            ledger.write(&mut Batch::default(), event(method, role, status));
            assert_eq!(ledger.take().len(), expected, "{case}, unchanged: {on}");
        }
    }
}

#[test]
fn events_of_an_hour_are_numbered_without_a_gap_and_counted_in_the_same_batch() {
    let mut ledger = Ledger::new(ALL, 7);
    let mut batch = Batch::default();
    for (at, place) in [(0, 0), (1, 1), (HOUR, 0), (5, 1), (HOUR + 1, 2)] {
        ledger.write(
            &mut batch,
            Event {
                answered_at: Timestamp(HOUR_0 + at),
                ..notify(0)
            },
        );
        let event = ledger.take().pop().unwrap();
        assert_eq!(event.booked.sequence, place, "at {at}");
    }
    let batch = [batch];
    let counts = stored(&batch, Table::ChargingEmitted);
    let counts: Vec<u32> = counts.values().map(|v| decode(v).unwrap()).collect();
    assert_eq!(counts, [2, 3]);
    let records = stored(&batch, Table::Charging);
    let numbers: Vec<u64> = records
        .values()
        .map(|v| record::read(v).unwrap().number)
        .collect();
    assert_eq!(numbers, [7, 8, 9, 10, 11]);
    let mut after = Ledger::new(ALL, 100);
    for (key, value) in &stored(&batch, Table::ChargingEmitted) {
        assert!(after.recover_count(key, value));
    }
    after.write(&mut Batch::default(), notify(HOUR + 2));
    assert_eq!(after.take()[0].booked.sequence, 3, "after a restart");
    assert!(!after.recover_count(&[1], &[]));
}

#[test]
fn notifies_of_a_subscription_within_an_interval_are_one_record_that_counts_them() {
    let mut ledger = coalescing(10);
    let mut batch = Batch::default();
    for at in [0, 1_000, 59_000] {
        ledger.write(&mut batch, notify(at));
    }
    let other = Event {
        call_id: "call-2".into(),
        ..notify(2_000)
    };
    ledger.write(&mut batch, other);
    assert!(ledger.take().is_empty(), "nothing is due");
    let due = ledger.next_deadline().unwrap();
    assert_eq!(due, Timestamp(HOUR_0 + 10 + 60_000));
    ledger.close_due(&mut batch, due);
    let [record] = ledger.take().try_into().unwrap();
    assert_eq!(record.booked.notifies, 3);
    assert_eq!(record.requested_at, Timestamp(HOUR_0), "of the first");
    assert_eq!(
        record.answered_at,
        Timestamp(HOUR_0 + 59_010),
        "of the last"
    );
    assert_eq!(ledger.open_records(), 1);
    assert_eq!(stored(&[batch], Table::Coalesced).len(), 1);
}

#[test]
fn a_notify_that_failed_has_a_record_of_its_own() {
    let mut ledger = coalescing(10);
    let mut batch = Batch::default();
    ledger.write(&mut batch, notify(0));
    ledger.write(
        &mut batch,
        Event {
            status: 481,
            ..notify(1)
        },
    );
    let [failed] = ledger.take().try_into().unwrap();
    assert_eq!((failed.status, failed.booked.notifies), (481, 0));
}

#[test]
fn open_records_are_bounded_and_the_oldest_gives_way() {
    let mut ledger = coalescing(2);
    let mut batch = Batch::default();
    for (at, call) in [(0, "a"), (1, "b"), (2, "c")] {
        ledger.write(
            &mut batch,
            Event {
                call_id: call.into(),
                ..notify(at)
            },
        );
    }
    assert_eq!(ledger.take()[0].call_id, "a");
    assert_eq!(ledger.open_records(), 2);
}

#[test]
fn open_records_survive_a_restart_and_close_when_they_are_due() {
    let mut before = coalescing(10);
    let mut batch = Batch::default();
    before.write(&mut batch, notify(0));
    before.write(&mut batch, notify(5));
    let open = stored(&[batch], Table::Coalesced);
    let mut after = Ledger::new(ALL, 50);
    for (key, value) in &open {
        assert!(after.recover_open(key, value));
        assert!(
            !after.recover_open(key, &value[..3]),
            "half a record is none"
        );
    }
    let mut batch = Batch::default();
    after.close_due(&mut batch, Timestamp(HOUR_0 + HOUR));
    assert_eq!(after.take()[0].booked.notifies, 2);
    assert_eq!(after.next_deadline(), None);
}

#[test]
fn a_record_comes_back_with_its_accounts_and_one_of_an_earlier_version_without() {
    let booked = Booked {
        hour: 9,
        sequence: 8,
        notifies: 7,
    };
    let event = Event {
        number: 1 << 60,
        booked,
        ..notify(0)
    };
    let bytes = record::write(&event);
    assert_eq!(record::read(&bytes), Ok(event.clone()));
    let earlier = crate::record::encode(&event);
    let booked = Booked::default();
    assert_eq!(record::read(&earlier), Ok(Event { booked, ..event }));
}

#[test]
fn what_an_event_says_besides_is_stored_behind_it_and_read_over_by_an_earlier_version() {
    let plain = Event {
        number: 1 << 60,
        ..notify(0)
    };
    let event = Event {
        besides: Besides {
            payers: vec!["sip:carol@ims.test".into()],
            members: Some(3),
        },
        ..plain.clone()
    };
    let bytes = record::write(&event);
    assert_eq!(record::read(&bytes), Ok(event.clone()));
    // an earlier version reads the accounts, then the event, and nothing behind it
    let (_, rest) = postcard::take_from_bytes::<Booked>(&bytes[5..]).unwrap();
    assert_eq!(postcard::from_bytes::<Event>(rest), Ok(plain.clone()));
    assert!(record::write(&plain).len() < bytes.len());
    let mut ledger = coalescing(10);
    let mut batch = Batch::default();
    ledger.write(&mut batch, event.clone());
    ledger.close_due(&mut batch, Timestamp(HOUR_0 + HOUR));
    assert_eq!(
        ledger.take()[0].besides,
        event.besides,
        "also of NOTIFYs that share it"
    );
}

#[test]
fn a_record_with_any_bit_changed_is_known_for_damaged() {
    let bytes = record::write(&Event {
        number: 1 << 60,
        ..notify(0)
    });
    for at in 1..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert_eq!(record::read(&damaged), Err(Damage::Checksum), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(record::read(&bytes[..length]).is_err(), "{length} bytes");
    }
}
