//! NOTIFY: where it goes, over which transport, and what its answer means.

use super::*;

fn host(sent: &Sent) -> (String, Option<u16>, Option<Transport>) {
    match &sent.to {
        Destination::Host {
            host,
            port,
            transport,
        } => (host.to_string(), *port, *transport),
        Destination::Flow(_) => panic!("a NOTIFY goes to a host"),
    }
}

#[test]
fn a_notify_takes_the_route_that_the_subscribe_recorded() {
    let twice = "Record-Route: <sip:10.0.0.3:6060;lr>\r\n".repeat(2);
    for (case, recorded, uri, routes, next) in [
        (
            "without a route it goes to the Contact",
            "",
            "sip:10.0.0.2:5060",
            vec![],
            ("10.0.0.2", Some(5060)),
        ),
        (
            "two identical entries of one proxy are kept",
            &*twice,
            "sip:10.0.0.2:5060",
            vec!["<sip:10.0.0.3:6060;lr>", "<sip:10.0.0.3:6060;lr>"],
            ("10.0.0.3", Some(6060)),
        ),
        (
            "a pair with r2=on and an opaque mark are kept as written",
            "Record-Route: <sip:10.0.0.3;r2=on;lr>, <sip:iscmark@10.0.0.4;lr;s=2;h=1;a=7369>;x=y\r\n",
            "sip:10.0.0.2:5060",
            vec![
                "<sip:10.0.0.3;r2=on;lr>",
                "<sip:iscmark@10.0.0.4;lr;s=2;h=1;a=7369>;x=y",
            ],
            ("10.0.0.3", None),
        ),
        (
            "a strict router gets itself as Request-URI and the target at the end",
            "Record-Route: <sip:strict.ims.test>, <sip:10.0.0.4;lr>\r\n",
            "sip:strict.ims.test",
            vec!["<sip:10.0.0.4;lr>", "<sip:10.0.0.2:5060>"],
            ("strict.ims.test", None),
        ),
    ] {
        let mut bench = Bench::new(settings());
        let sent = bench.subscribe(recorded);
        let (answer, notify) = (&sent[0], &sent[1]);
        assert_eq!(answer.status(), 200, "{case}");
        assert_eq!(notify.text.split(' ').nth(1), Some(uri), "{case}");
        let written: Vec<&str> = notify.all("Route");
        assert_eq!(written, routes, "{case}: {}", notify.text);
        let (to, port, _) = host(notify);
        assert_eq!((to.as_str(), port), next, "{case}");
        let given_back = answer.all("Record-Route").join(", ");
        let recorded: Vec<&str> = recorded
            .split("Record-Route: ")
            .filter(|r| !r.is_empty())
            .map(str::trim)
            .collect();
        assert_eq!(given_back, recorded.join(", "), "{case}");
    }
}

#[test]
fn above_1300_bytes_a_notify_leaves_over_tcp_and_falls_back_to_udp() {
    let mut bench = Bench::new(settings());
    bench.publish("", &"long ".repeat(300));
    let sent = bench.subscribe("");
    let (answer, notify) = (&sent[0], &sent[1]);
    assert_eq!(host(notify).2, Some(Transport::Tcp));
    assert!(notify.get("Via").starts_with("SIP/2.0/TCP"));
    assert!(
        bench.wait(5_000).is_empty(),
        "over TCP nothing is sent twice"
    );

    let again = bench.feed(Input::Undeliverable(notify.ticket.unwrap()));
    assert_eq!(again.len(), 1);
    assert_eq!(host(&again[0]).2, Some(Transport::Udp));
    assert!(again[0].get("Via").starts_with("SIP/2.0/UDP"));
    assert_eq!(again[0].get("CSeq"), notify.get("CSeq"), "the same request");
    assert_eq!(again[0].body(), notify.body());
    assert_eq!(bench.wait(500).len(), 1, "over UDP it is sent again");

    // not even a datagram can leave: as if nobody had answered (RFC 3261 §8.1.3.1), so the watcher is gone
    assert!(
        bench
            .feed(Input::Undeliverable(again[0].ticket.unwrap()))
            .is_empty()
    );
    assert_eq!(bench.renew(answer, "")[0].status(), 481);
}

#[test]
fn a_transport_that_the_route_names_is_kept_whatever_the_size() {
    let mut bench = Bench::new(settings());
    bench.publish("", &"long ".repeat(300));
    for (named, wanted) in [("udp", Transport::Udp), ("tcp", Transport::Tcp)] {
        let route = format!("Record-Route: <sip:10.0.0.3;lr;transport={named}>\r\n");
        let notify = bench.subscribe(&route).remove(1);
        assert_eq!(host(&notify).2, Some(wanted), "{named}");
    }
}

#[test]
fn the_answer_to_a_notify_says_whether_the_watcher_is_still_there() {
    for (case, status, head, renewal, told_again_after) in [
        ("taken", 200, "", 200, None),
        ("gone", 481, "", 481, None),
        ("gone for good", 404, "", 481, None),
        (
            "a server error says when to come again",
            503,
            "Retry-After: 20\r\n",
            200,
            Some(20_000),
        ),
        ("or not: then in half a minute", 500, "", 200, Some(30_000)),
    ] {
        let mut bench = Bench::new(settings());
        let sent = bench.subscribe("");
        assert!(bench.answer(&sent[1], status, head).is_empty(), "{case}");
        let pause = told_again_after.unwrap_or(60_000);
        assert!(bench.wait(pause - 1).is_empty(), "{case}: nothing before");
        let then: Vec<_> = bench
            .wait(1)
            .iter()
            .map(|s| s.method().to_owned())
            .collect();
        let wanted = told_again_after.map(|_| "NOTIFY".to_owned());
        assert_eq!(then, Vec::from_iter(wanted), "{case}");
        assert_eq!(bench.renew(&sent[0], "")[0].status(), renewal, "{case}");
    }
}

#[test]
fn a_watcher_that_never_answers_is_given_up_after_64_t1() {
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("");
    assert_eq!(bench.wait(31_999).len(), 10, "timer E");
    assert_eq!(bench.node.census().presence.subscriptions, 1);
    bench.wait(1);
    assert_eq!(bench.node.census().presence.subscriptions, 0);
    assert_eq!(bench.renew(&sent[0], "")[0].status(), 481);
}

#[test]
fn changes_in_a_row_are_told_once_in_five_seconds_and_the_last_one_wins() {
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    for note in ["one", "two", "three"] {
        bench.publish("", note);
        assert!(
            bench.sent(true).iter().all(|s| s.status() == 200),
            "paced: {note}"
        );
    }
    let told = bench.wait(5_000);
    assert_eq!(told.len(), 1);
    assert!(told[0].body().contains("three"));
    assert_eq!(told[0].get("CSeq"), "2 NOTIFY");
}

#[test]
fn a_fetch_is_answered_by_one_notify_that_ends_it() {
    let mut bench = Bench::new(settings());
    bench.publish("", "here");
    let sent = bench.subscribe("Expires: 0\r\n");
    assert_eq!((sent[0].status(), sent[0].get("Expires")), (200, "0"));
    assert_eq!(
        sent[1].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    assert!(sent[1].body().contains("here"));
    assert!(bench.out.batch.is_empty(), "a fetch is nothing to store");
    bench.answer(&sent[1], 200, "");
    assert_eq!(bench.node.census().presence.subscriptions, 0);
}

#[test]
fn each_notify_of_a_watcher_that_is_gone_is_charged_as_its_answer_comes() {
    let mut settings = settings();
    settings.triggers = Triggers {
        notify: crate::charge::Outcomes::All,
        ..Triggers::OFF
    };
    let mut bench = Bench::new(settings);
    let first = bench.subscribe("");
    let second = bench.renew(&first[0], "");
    let mut statuses = Vec::new();
    for notify in [&first[1], &second[1]] {
        bench.answer(notify, 481, "");
        statuses.extend(bench.out.held.iter().filter_map(|effect| match effect {
            Effect::Charge(event) => Some(event.status),
            _ => None,
        }));
    }
    assert_eq!(statuses, [481, 481]);
    assert_eq!(bench.node.census().presence.subscriptions, 0);
}

#[test]
fn notifies_within_an_interval_share_a_charging_record_also_through_a_restart() {
    use crate::charge::{Coalescing, Outcomes, Triggers};
    let mut settings = settings();
    settings.triggers = Triggers {
        notify: Outcomes::Successes,
        coalescing: Coalescing::Interval {
            length: Seconds(60),
            open: 8,
        },
        ..Triggers::OFF
    };
    let mut bench = Bench::new(settings);
    let charged = |bench: &Bench| -> Vec<u32> {
        let records = bench.store.iter();
        let records = records.filter(|((table, _), _)| *table == Table::Charging);
        let notifies = |bytes: &[u8]| charge::record::read(bytes).unwrap().booked.notifies;
        records.map(|(_, bytes)| notifies(bytes)).collect()
    };
    let first = bench.subscribe("");
    bench.answer(&first[1], 200, "");
    assert!(charged(&bench).is_empty());
    let second = bench.renew(&first[0], "");
    bench.answer(&second[1], 200, "");
    bench.restart(1_000);
    bench.wait(50_000);
    assert!(charged(&bench).is_empty(), "the interval is not over");
    bench.wait(10_000);
    assert_eq!(charged(&bench), [2]);
}
