use super::*;
use crate::charging::acr::tests::full;
use ims::record::{Op, decode};

const NOW: Instant = Instant(10_000);
const AT: Timestamp = Timestamp(5);
const PEER: Option<PeerId> = Some(PeerId(3));

fn later(millis: u64) -> Instant {
    NOW.after(millis)
}

/// A spool of 4 in flight and 8 in memory that holds these.
fn holding(numbers: impl IntoIterator<Item = u64>) -> Spool {
    let mut spool = Spool::new(8, 4, 0, None);
    for number in numbers {
        spool.committed(full(number));
    }
    spool
}

/// Numbers and T flags of all that can be sent at `now`.
fn send(spool: &mut Spool, now: Instant) -> Vec<(u64, bool)> {
    std::iter::from_fn(|| spool.next_sending(now))
        .map(|s| (s.event.number, s.retransmitted))
        .collect()
}

fn rejected() -> Fate {
    Fate::Rejected {
        result: 5004,
        peer: "cdf1".into(),
        reason: "r".into(),
    }
}

#[test]
fn records_are_sent_in_order_within_the_window() {
    let mut spool = holding([3, 1, 2, 5, 4]);
    assert_eq!(
        send(&mut spool, NOW),
        [(1, false), (2, false), (3, false), (4, false)]
    );
    spool.ended(2, PEER, Fate::Acknowledged, NOW, AT);
    assert_eq!(
        send(&mut spool, NOW),
        [],
        "2 is in the store still, and would be sent again after a crash"
    );
    spool.take_batch().unwrap();
    spool.left();
    assert_eq!(send(&mut spool, NOW), [(5, false)]);
}

#[test]
fn an_acknowledged_record_leaves_the_store_and_counts_until_it_has() {
    let mut spool = holding([1, 2]);
    send(&mut spool, NOW);
    spool.ended(1, PEER, Fate::Acknowledged, NOW, AT);
    let batch = spool.take_batch().unwrap();
    assert_eq!(
        batch.ops,
        [Op::Delete {
            table: Table::Charging,
            key: Event::key(1).into()
        }]
    );
    assert_eq!(
        (spool.depth(), spool.take_batch()),
        (2, None),
        "one batch at a time"
    );
    spool.left();
    assert_eq!((spool.depth(), spool.take_batch()), (1, None));
}

#[test]
fn a_batch_that_failed_is_made_again() {
    let mut spool = holding([1]);
    send(&mut spool, NOW);
    spool.ended(1, PEER, Fate::Acknowledged, NOW, AT);
    let first = spool.take_batch();
    spool.stayed();
    assert_eq!((spool.take_batch(), spool.depth()), (first, 1));
}

#[test]
fn a_rejected_record_moves_to_quarantine_in_one_batch() {
    let mut spool = holding([7]);
    send(&mut spool, NOW);
    spool.ended(7, PEER, rejected(), NOW, AT);
    let batch = spool.take_batch().unwrap();
    let [
        Op::Put {
            table: Table::Quarantine,
            key,
            value,
        },
        Op::Delete {
            table: Table::Charging,
            key: deleted,
        },
    ] = batch.ops.as_slice()
    else {
        panic!("{batch:?}")
    };
    assert_eq!((&**key, key), (&Event::key(7)[..], deleted));
    let kept: Quarantined = decode(value).unwrap();
    assert_eq!(
        (kept.result, kept.peer.as_str(), kept.at),
        (5004, "cdf1", AT)
    );
    assert_eq!(
        ims::charge::record::read(&kept.record),
        Ok(full(7)),
        "nothing of the record is lost"
    );
}

#[test]
fn the_t_flag_says_that_it_may_have_been_received() {
    for (case, fate, wait, flag) in [
        ("nothing came back", Fate::Unanswered, 0, true),
        ("refused for now", Fate::Refused, 1_000, false),
        ("not sent", Fate::NotSent, 1_000, false),
    ] {
        let mut spool = holding([1]);
        send(&mut spool, NOW);
        spool.ended(1, PEER, fate, NOW, AT);
        if wait > 0 {
            assert_eq!(send(&mut spool, later(wait - 1)), [], "{case}");
        }
        assert_eq!(send(&mut spool, later(wait)), [(1, flag)], "{case}");
    }
    let mut spool = holding([1]);
    send(&mut spool, NOW);
    spool.ended(1, PEER, Fate::Unanswered, NOW, AT);
    send(&mut spool, NOW);
    spool.ended(1, PEER, Fate::Refused, NOW, AT);
    assert_eq!(
        send(&mut spool, later(1_000)),
        [(1, true)],
        "the first sending stays in doubt"
    );
}

#[test]
fn what_waited_through_an_outage_or_a_restart_carries_t() {
    let mut spool = Spool::new(8, 4, 1, Some(5));
    let (from, max) = spool.wants_read().unwrap();
    assert_eq!((from, max), (0, 8));
    spool.read(vec![full(5)], None);
    spool.committed(full(6));
    spool.outage();
    spool.committed(full(7));
    assert_eq!(send(&mut spool, NOW), [(5, true), (6, true), (7, false)]);
}

#[test]
fn a_refused_record_waits_longer_each_time_and_tries_another_peer() {
    let mut spool = holding([1]);
    let mut now = NOW;
    for wait in [1_000, 2_000, 4_000, 8_000] {
        assert!(!send(&mut spool, now).is_empty());
        spool.ended(1, PEER, Fate::Refused, now, AT);
        assert_eq!(spool.deadline(), Some(now.after(wait)));
        now = now.after(wait);
        assert_eq!(spool.records[&1].avoid, PEER);
    }
    assert_eq!(doubled(REFUSED_WAIT, 100), 300_000);
}

#[test]
fn one_bad_record_holds_nobody_up() {
    let mut spool = holding(1..=8);
    send(&mut spool, NOW);
    spool.ended(1, PEER, Fate::Refused, NOW, AT);
    spool.ended(2, PEER, Fate::Acknowledged, NOW, AT);
    spool.take_batch().unwrap();
    spool.left();
    assert_eq!(send(&mut spool, NOW), [(5, false), (6, false)]);
}

#[test]
fn when_everything_is_refused_the_spool_pauses_longer_and_longer() {
    let mut spool = Spool::new(100, 100, 0, None);
    (0..50).for_each(|number| spool.committed(full(number)));
    let mut now = NOW;
    for pause in [1_000, 2_000, 4_000] {
        let sent = send(&mut spool, now);
        assert!(sent.len() >= REFUSALS as usize);
        for (number, _) in sent {
            spool.ended(number, PEER, Fate::Refused, now, AT);
        }
        assert_eq!(
            send(&mut spool, now.after(pause - 1)),
            [],
            "pause of {pause}"
        );
        now = now.after(REFUSED_WAIT.1);
    }
    let number = send(&mut spool, now)[0].0;
    spool.ended(number, PEER, Fate::Acknowledged, now, AT);
    assert_eq!(
        (spool.refusals, spool.pauses),
        (0, 0),
        "an acknowledgement ends the series"
    );
}

#[test]
fn what_does_not_fit_in_memory_is_read_back_in_order_and_nothing_twice() {
    let mut spool = holding(1..=20);
    assert_eq!(
        (spool.records.len(), spool.unread, spool.depth()),
        (8, Some(9), 20)
    );
    let mut stored: BTreeMap<u64, Event> = (1..=20).map(|n| (n, full(n))).collect();
    let mut sent = Vec::new();
    while spool.depth() > 0 {
        for (number, _) in send(&mut spool, NOW) {
            sent.push(number);
            spool.ended(number, PEER, Fate::Acknowledged, NOW, AT);
        }
        if let Some((from, max)) = spool.wants_read() {
            let events: Vec<Event> = stored
                .range(from..)
                .take(max)
                .map(|(_, e)| e.clone())
                .collect();
            let more = (events.len() == max).then(|| events[max - 1].number);
            spool.read(events, more);
        }
        if let Some(batch) = spool.take_batch() {
            for op in batch.ops {
                let Op::Delete { key, .. } = op else { panic!() };
                stored
                    .remove(&u64::from_be_bytes((*key).try_into().unwrap()))
                    .unwrap();
            }
            spool.left();
        }
        assert!(spool.records.len() <= 8);
    }
    assert_eq!(sent, (1..=20).collect::<Vec<_>>());
    assert!(stored.is_empty());
}

#[test]
fn a_record_committed_while_the_store_is_read_is_not_lost() {
    for (case, seen_by_the_read) in [("after the scan", false), ("before the scan", true)] {
        let mut spool = Spool::new(8, 8, 1, Some(1));
        spool.wants_read().unwrap();
        spool.committed(full(2));
        let events = if seen_by_the_read {
            vec![full(1), full(2)]
        } else {
            vec![full(1)]
        };
        spool.read(events, None);
        if let Some((from, _)) = spool.wants_read() {
            assert_eq!(from, 2, "{case}");
            spool.read(vec![full(2)], None);
        }
        let sent: Vec<u64> = send(&mut spool, NOW)
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!((sent, spool.unread), (vec![1, 2], None), "{case}");
    }
}

#[test]
fn records_that_nobody_kept_are_read_even_below_what_was_read() {
    let mut spool = holding([5]);
    spool.committed_unseen(3, 4, 2);
    let (from, _) = spool.wants_read().unwrap();
    assert_eq!((from, spool.depth()), (3, 3));
    spool.read(vec![full(3), full(4), full(5)], None);
    assert_eq!(send(&mut spool, NOW), [(3, false), (4, false), (5, false)]);
}

#[test]
fn a_record_that_cannot_be_read_goes_to_quarantine_as_it_is() {
    let mut spool = Spool::new(8, 4, 1, Some(1));
    spool.wants_read().unwrap();
    spool.unreadable(1, vec![0xff], AT);
    spool.read(Vec::new(), None);
    let Op::Put { value, .. } = &spool.take_batch().unwrap().ops[0] else {
        panic!()
    };
    assert_eq!(decode::<Quarantined>(value).unwrap().record, [0xff]);
    spool.left();
    assert_eq!(spool.depth(), 0);
}

#[test]
fn a_record_that_was_found_before_it_was_announced_is_sent_once() {
    for announced_unseen in [false, true] {
        let mut spool = Spool::new(8, 4, 1, Some(1));
        spool.wants_read().unwrap();
        // Number 2 is committed already; the news of it is still on its way.
        spool.read(vec![full(1), full(2)], None);
        for number in [1, 2] {
            assert_eq!(spool.next_sending(NOW).unwrap().event.number, number);
            spool.ended(number, PEER, Fate::Acknowledged, NOW, AT);
        }
        spool.take_batch().unwrap();
        spool.left();
        assert_eq!(spool.depth(), 0);
        if announced_unseen {
            spool.committed_unseen(2, 2, 1);
            spool.wants_read().unwrap();
            spool.read(Vec::new(), None);
        } else {
            spool.committed(full(2));
        }
        assert_eq!((send(&mut spool, NOW), spool.depth()), (vec![], 0));
        spool.committed(full(3));
        assert_eq!(
            (send(&mut spool, NOW), spool.depth()),
            (vec![(3, false)], 1)
        );
    }
}

#[test]
fn what_is_released_from_quarantine_has_no_say_about_what_was_read_before_it_was_told() {
    let mut spool = Spool::new(8, 4, 1, Some(1));
    spool.wants_read().unwrap();
    spool.read(vec![full(1), full(3)], None); // the news of 2 and 3 is on its way
    for number in [1, 3] {
        assert_eq!(spool.next_sending(NOW).unwrap().event.number, number);
        spool.ended(number, PEER, Fate::Acknowledged, NOW, AT);
    }
    spool.take_batch().unwrap();
    spool.left();
    // two that were in quarantine are there again, one on either side
    spool.released(0, 2);
    spool.wants_read().unwrap();
    spool.read(vec![full(0), full(4)], None);
    assert_eq!(send(&mut spool, NOW), [(0, true), (4, false)]);
    spool.committed(full(3));
    assert_eq!(send(&mut spool, NOW), [], "3 was answered");
}

#[test]
fn as_many_of_the_oldest_give_way_as_take_the_bytes_and_no_more() {
    let length = |number: u64| 100 * number;
    for (case, bytes, count, given) in [
        ("nothing is wanted", 0, 9, &[][..]),
        ("the first is enough", 1, 9, &[2]),
        ("exactly", 200, 9, &[2]),
        ("one byte more", 201, 9, &[2, 3]),
        ("no more than may go at once", 10_000, 2, &[2, 3]),
        ("what is in flight stays", 10_000, 9, &[2, 3, 4, 5, 6]),
    ] {
        let mut spool = holding(1..=6);
        spool.next_sending(NOW).unwrap();
        assert_eq!(
            spool.evict_bytes(bytes, count, length),
            given.len() as u64,
            "{case}"
        );
        assert_eq!(spool.ended_numbers().collect::<Vec<_>>(), given, "{case}");
    }
}

#[test]
fn the_oldest_records_that_are_not_in_flight_give_way_in_order() {
    let mut spool = holding(1..=6);
    let sent = spool.next_sending(later(0)).unwrap();
    assert_eq!(sent.event.number, 1);
    let any_age = Timestamp(u64::MAX);
    assert_eq!(spool.evict(2, any_age), 2);
    let batch = spool.take_batch().unwrap();
    assert_eq!(batch.ops.len(), 2, "deletions and no quarantine");
    let evicted: Vec<_> = spool
        .batch()
        .map(|done| done.event.as_ref().unwrap().number)
        .collect();
    assert_eq!(evicted, [2, 3]);
    assert!(spool.batch().all(|done| done.outcome == Outcome::Exported));
    spool.left();
    assert_eq!(spool.depth(), 4);
    assert_eq!(spool.evict(9, full(1).answered_at), 0, "none is older");
    assert_eq!(spool.oldest(), Some(full(1).answered_at));
    assert_eq!(spool.evict(9, any_age), 3, "what is in flight stays");
}
