//! Full, draining, out of space: what is refused then, and what is not.

use super::*;

#[test]
fn new_state_is_refused_with_503_when_there_is_no_room_and_what_is_there_lives_on() {
    type Case = (&'static str, fn(&mut Settings), fn(&mut Bench));
    let cases: [Case; 4] = [
        (
            "publications and subscriptions full",
            |s| (s.publications, s.subscriptions) = (1, 1),
            |_| (),
        ),
        ("draining", |_| (), |b| b.node.drain(Timestamp(b.now))),
        ("out of space", |_| (), |b| b.node.refuse_new_state(true)),
        (
            "both",
            |_| (),
            |b| {
                b.node.drain(Timestamp(b.now));
                b.node.refuse_new_state(true);
            },
        ),
    ];
    for (case, fill, happens) in cases {
        let mut settings = settings();
        fill(&mut settings);
        let mut bench = Bench::new(settings);
        let published = bench.publish("", "here");
        let subscribed = bench.subscribe("");
        bench.answer(&subscribed[1], 200, "");
        happens(&mut bench);
        for refused in [bench.publish("", "more"), bench.subscribe("").remove(0)] {
            assert_eq!(refused.status(), 503, "{case}: {}", refused.text);
            assert_eq!(refused.get("Retry-After"), "30", "{case}");
        }
        let etag = published.get("SIP-ETag");
        let refreshed = bench.publish(&format!("SIP-If-Match: {etag}\r\n"), "");
        assert_eq!(refreshed.status(), 200, "{case}: a refresh is no new state");
        let renewed = bench.renew(&subscribed[0], "");
        assert_eq!(renewed[0].status(), 200, "{case}");
        assert_eq!(renewed[1].method(), "NOTIFY", "{case}");
        let over = bench.renew(&subscribed[0], "Expires: 0\r\n");
        assert_eq!(over[0].status(), 200, "{case}: an end is always granted");
    }
}

/// A key that no engine takes would end the process.
#[test]
fn names_that_would_make_too_long_a_key_are_refused_and_the_longest_others_served() {
    use crate::sip::aor::LONGEST;
    let mut bench = Bench::new(settings());
    let user = |length: usize| format!("sip:{}@ims.test", "b".repeat(length - 13));
    for (length, status) in [(LONGEST, 200), (LONGEST + 1, 404), (5_000, 404)] {
        let uri = user(length);
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{uri}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        let answered = bench.ask("PUBLISH", &uri, &head, &pidf("here").replace(BOB, &uri));
        assert_eq!(
            answered[0].status(),
            status,
            "{length}: {}",
            answered[0].text
        );
    }
    // NOTIFYs that share a record do so under the Call-ID of the watcher
    let mut settings = settings();
    settings.triggers = Triggers {
        coalescing: charge::Coalescing::Interval {
            length: Seconds(60),
            open: 8,
        },
        ..Triggers {
            notify: charge::Outcomes::All,
            ..Triggers::OFF
        }
    };
    let mut bench = Bench::new(settings);
    for (length, status) in [(1_024, 200), (1_025, 400), (8_000, 400)] {
        let call_id = format!("Call-ID: {}\r\n", "c".repeat(length));
        let answered = bench.subscribe(&call_id);
        assert_eq!(
            answered[0].status(),
            status,
            "{length}: {}",
            answered[0].text
        );
        for notify in &answered[1..] {
            bench.answer(notify, 200, "");
        }
    }
    let coalesced = |(table, _): &&(Table, Vec<u8>)| *table == Table::Coalesced;
    assert_eq!(bench.store.keys().filter(coalesced).count(), 1);
}

#[test]
fn a_node_that_was_out_of_space_takes_new_state_again() {
    let mut bench = Bench::new(settings());
    bench.node.refuse_new_state(true);
    assert_eq!(bench.publish("", "here").status(), 503);
    bench.node.refuse_new_state(false);
    assert_eq!(bench.publish("", "here").status(), 200);
}

#[test]
fn without_room_for_a_transaction_a_request_is_refused_and_nothing_kept() {
    let mut settings = settings();
    settings.transactions.max_transactions = 1;
    let mut bench = Bench::new(settings);
    assert_eq!(bench.publish("", "here").status(), 200);
    let refused = bench.publish("", "more");
    assert_eq!((refused.status(), refused.get("Retry-After")), (503, "30"));
    assert_eq!(bench.node.census().server_transactions, 1);
    bench.wait(32_000);
    assert_eq!(
        bench.publish("", "more").status(),
        200,
        "when the first is over"
    );
}

#[test]
fn one_presentity_cannot_fill_the_node() {
    let mut settings = settings();
    settings.presence.publications_per_presentity = 1;
    settings.presence.subscriptions_per_presentity = 1;
    let mut bench = Bench::new(settings);
    assert_eq!(bench.publish("", "here").status(), 200);
    assert_eq!(bench.publish("", "more").status(), 403);
    assert_eq!(bench.subscribe("")[0].status(), 200);
    assert_eq!(bench.subscribe("")[0].status(), 403);
}

#[test]
fn a_node_at_rest_keeps_no_transaction_and_wants_no_deadline() {
    let mut bench = Bench::new(settings());
    bench.publish("Expires: 60\r\n", "here");
    let subscribed = bench.subscribe("Expires: 60\r\n");
    bench.answer(&subscribed[1], 200, "");
    for told in bench.wait(62_000) {
        bench.answer(&told, 200, "");
    }
    bench.wait(40_000);
    assert_eq!(bench.node.census(), Census::default());
    assert_eq!(bench.node.next_deadline(), None);
}
