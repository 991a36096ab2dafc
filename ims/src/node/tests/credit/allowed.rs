//! NOTIFYs of a subscription that has credit for some of them: not one leaves beyond it.

use super::sessions::{lasting, session, watched};
use super::*;

/// Alice watches bob, and may be told so often in all; the first is taken.
fn limited(online: Online, units: u64) -> (Bench, Sent, u64) {
    let mut bench = bench(online);
    bench.subscribe("Expires: 600\r\n");
    let number = bench.asked()[0].number;
    assert!(bench.allow(number, Some(units)).is_empty(), "said first");
    let sent = bench.credit(number, Verdict::Granted, session());
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    bench.credit.clear();
    (bench, sent[0].clone(), number)
}

#[test]
fn notifies_beyond_the_grant_wait_and_the_next_says_what_is_true_then() {
    for (case, subscribe) in packages() {
        let mut bench = bench(lasting());
        bench.publish("", "first");
        subscribe(&mut bench);
        let number = bench.asked()[0].number;
        bench.allow(number, Some(1));
        let mut told = bench.credit(number, Verdict::Granted, session()).remove(1);
        for more in [Some(1), None] {
            // what it has not taken is told again, and by now there is no unit for that
            bench.allow(number, Some(0));
            bench.answer(&told, 500, "");
            assert!(bench.wait(60_000).is_empty(), "{case}: it waits");
            assert!(bench.allow(number, Some(0)).is_empty(), "{case}: no more");
            let mut all = bench.allow(number, more);
            assert_eq!(all.len(), 1, "{case}");
            told = all.remove(0);
        }
    }
    let (mut bench, _, number) = limited(lasting(), 2);
    let second = bench.publish_later("second");
    bench.answer(&second, 200, "");
    for note in ["third", "fourth"] {
        bench.publish("", note);
        assert!(bench.wait(6_000).is_empty(), "{note}");
    }
    let told = bench.allow(number, Some(9));
    assert_eq!(told.len(), 1, "what came meanwhile is one NOTIFY");
    assert!(told[0].body().contains("fourth"));
    bench.answer(&told[0], 200, "");
    let names = &mut vec![number];
    assert_eq!(bench.credit_talk(names), ["0 used 1", "0 used 1"]);
}

#[test]
fn one_that_the_watcher_does_not_take_leaves_its_unit_to_the_next() {
    let (mut bench, _, number) = limited(lasting(), 2);
    let second = bench.publish_later("second");
    bench.answer(&second, 500, "");
    let again = bench.wait(40_000);
    assert!(again[0].body().contains("second"), "for the same unit");
    bench.answer(&again[0], 200, "");
    let names = &mut vec![number];
    assert_eq!(bench.credit_talk(names), ["0 used 1"]);
    bench.publish("", "third");
    assert!(bench.wait(6_000).is_empty());
}

#[test]
fn what_cannot_wait_is_free_where_no_unit_is_left() {
    // the watcher ends it
    let (mut bench, opened, number) = limited(lasting(), 1);
    let sent = bench.renew(&opened, "Expires: 0\r\n");
    assert!(sent[1].get("Subscription-State").starts_with("terminated"));
    bench.answer(&sent[1], 200, "");
    let names = &mut vec![number];
    assert_eq!(bench.credit_talk(names), ["0 ended"]);
    // its credit is withdrawn while it waits
    let (mut bench, _, number) = limited(lasting(), 1);
    bench.publish("", "unpaid");
    assert!(bench.wait(6_000).is_empty());
    let last = bench.withdraw(number);
    assert!(last[0].get("Subscription-State").starts_with("terminated"));
    assert_eq!(last[0].body(), "");
    bench.answer(&last[0], 200, "");
    assert_eq!(bench.credit_talk(&mut vec![number]), ["0 ended"]);
    assert!(bench.allow(number, Some(9)).is_empty(), "nobody is there");
}

#[test]
fn after_a_restart_nothing_leaves_before_it_is_known_what_may() {
    let mut bench = bench(lasting());
    let (opened, first, number) = watched(&mut bench);
    bench.answer(&first, 200, "");
    bench.wait(6_000);
    // it waits when the process dies
    bench.allow(number, Some(1));
    bench.publish("", "kept");
    assert!(bench.wait(1_000).is_empty());
    bench.restart(1_000);
    assert!(bench.wait(1_000).is_empty(), "nothing is known");
    assert!(bench.allow(number, Some(0)).is_empty(), "the grant is used");
    assert!(bench.wait(20_000).is_empty(), "and that was said");
    let told = bench.allow(number, Some(3));
    assert!(told[0].body().contains("kept"));
    bench.answer(&told[0], 200, "");
    // nobody says anything
    bench.restart(1_000);
    assert_eq!(bench.renew(&opened, "").len(), 1);
    let told = bench.wait(5_100);
    assert_eq!(told.len(), 1, "patience is at its end");
    // online charging is off by now
    bench.answer(&told[0], 200, "");
    bench.settings.online = Online::OFF;
    bench.restart(1_000);
    assert_eq!(bench.renew(&opened, "").len(), 2, "it goes on at once");
}

#[test]
fn a_subscription_that_is_charged_otherwise_is_not_held_back() {
    let online = Online {
        notify: true,
        ..lasting()
    };
    let mut bench = bench(online);
    bench.subscribe("");
    let number = bench.asked()[0].number;
    bench.allow(number, Some(0));
    bench.credit(number, Verdict::Granted, session());
    let asked = bench.asked();
    let asked = asked
        .iter()
        .find(|asked| asked.event.method == Chargeable::Notify);
    let number = asked.unwrap().number;
    let sent = bench.credit(number, Verdict::Granted, Settled::Nothing);
    assert_eq!(sent[0].method(), "NOTIFY");
}
