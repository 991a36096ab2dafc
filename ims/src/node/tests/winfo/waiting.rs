//! Who waits for a decision, who has waited in vain, and how many may.

use super::*;

#[test]
fn an_undecided_subscription_that_runs_out_waits_until_it_is_given_up() {
    let mut bench = Bench::strict();
    bench.settings.presence.watcher_info.give_up = Seconds(7200);
    bench.restart(0);
    bench.rules("confirm", "");
    let (alice, _) = bench.alice_subscribes("Expires: 600\r\n");
    bench.bob_observes();
    let told = bench.hears(620_000);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].rows(), [("waiting", "timeout", ALICE)]);
    assert_eq!(bench.renew(&alice, "")[0].status(), 481);
    for restarts in [false, true] {
        if restarts {
            bench.restart(10);
            bench.hears(10_000);
        }
        let sent = bench.asks(BOB, "presence.winfo", "Expires: 0\r\n");
        let all = reports(&sent).remove(0);
        bench.confirm(&sent);
        assert_eq!(all.rows(), [("waiting", "timeout", ALICE)], "{restarts}");
        assert_eq!(all.watchers[0].id, told[0].watchers[0].id, "{restarts}");
    }
    let sent = bench.asks(BOB, "presence.winfo", "Expires: 7200\r\n");
    bench.confirm(&sent);
    let told = bench.hears(7_200_000);
    let gone: Vec<_> = told.iter().filter(|r| !r.watchers.is_empty()).collect();
    let last = gone.last().unwrap();
    assert_eq!(last.rows(), [("terminated", "giveup", ALICE)]);
    let bob_alone = bench.node.presence.census().subscriptions;
    let stored = |table| bench.store.keys().filter(|(t, _)| *t == table).count();
    assert_eq!(stored(Table::Subscription), bob_alone);
    assert_eq!(stored(Table::Visit), bob_alone);
}

#[test]
fn a_decision_on_one_who_waits_ends_the_waiting() {
    for (handling, event) in [("allow", "approved"), ("block", "rejected")] {
        let mut bench = Bench::strict();
        bench.rules("confirm", "");
        // a fetch before any decision waits at once
        let sent = bench.subscribe("Expires: 0\r\n");
        assert_eq!(sent[0].status(), 202);
        assert_eq!(
            sent[1].get("Subscription-State"),
            "terminated;reason=timeout"
        );
        assert_eq!(sent[1].body(), "");
        bench.confirm(&sent);
        let (_, first) = bench.bob_observes();
        assert_eq!(first.rows(), [("waiting", "timeout", ALICE)]);
        let sent = bench.rules(handling, "");
        assert_eq!(sent.len(), 1, "{handling}: the watcher is not told");
        assert_eq!(reports(&sent)[0].rows(), [("terminated", event, ALICE)]);
        bench.confirm(&sent);
        let (_, now) = bench.bob_observes();
        assert!(now.watchers.is_empty(), "{handling}");
    }
}

#[test]
fn who_comes_again_does_not_wait_twice() {
    let mut bench = Bench::strict();
    bench.rules("confirm", "");
    for _ in 0..3 {
        let sent = bench.subscribe("Expires: 0\r\n");
        bench.confirm(&sent);
    }
    let (_, first) = bench.bob_observes();
    assert_eq!(first.rows(), [("waiting", "timeout", ALICE)]);
    let (_, told) = bench.alice_subscribes("");
    assert_eq!(told[0].rows(), [("pending", "subscribe", ALICE)]);
    let told = bench.hears(6_000);
    assert_eq!(told[0].rows(), [("terminated", "giveup", ALICE)]);
}

#[test]
fn one_watcher_cannot_leave_behind_more_than_the_limit() {
    let mut bench = Bench::new(settings());
    bench.settings.presence.default_handling = Some(Handling::Confirm);
    bench.settings.presence.watcher_info.waiting_per_watcher = 2;
    bench.settings.presence.watcher_info.waiting_per_presentity = 3;
    bench.restart(0);
    let ask = |bench: &mut Bench, who: &str, whom: &str, more: &str| {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{who}>\r\nContact: <sip:10.0.0.2>\r\n{more}"
        );
        let sent = bench.ask("SUBSCRIBE", whom, &head, "");
        bench.confirm(&sent);
        sent[0].status()
    };
    // alice: one waits for carol, then one is pending at dave; the next lets the waiting one go, then no more
    assert_eq!(ask(&mut bench, ALICE, CAROL, "Expires: 0\r\n"), 202);
    assert_eq!(ask(&mut bench, ALICE, "sip:dave@ims.test", ""), 202);
    assert_eq!(bench.node.presence.census().subscriptions, 2);
    assert_eq!(ask(&mut bench, ALICE, "sip:eve@ims.test", ""), 202);
    assert_eq!(bench.node.presence.census().subscriptions, 2);
    assert_eq!(ask(&mut bench, ALICE, BOB, ""), 403);
    // bob is not filled with those who wait
    for n in 0..5 {
        bench.now += 1; // who came first is certain
        let who = format!("sip:w{n}@ims.test");
        assert_eq!(ask(&mut bench, &who, BOB, "Expires: 0\r\n"), 202);
    }
    let (_, all) = bench.bob_observes();
    let left: Vec<&str> = all.watchers.iter().map(|w| w.uri.as_str()).collect();
    assert_eq!(left.len(), 3);
    for n in 2..5 {
        let who = format!("sip:w{n}@ims.test");
        assert!(left.contains(&who.as_str()), "{who}");
    }
}
