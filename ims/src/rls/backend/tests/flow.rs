//! How many leave, and when.

use super::bench::{Bench, N, member, onlooker};
use crate::event::subscription::SubscriptionId;
use crate::rls::backend::Bounds;

fn many(bench: &mut Bench, count: u32) {
    let alice = onlooker("sip:alice@ims.test", 1);
    for place in 0..count {
        assert!(bench.want(&alice, place, &format!("sip:u{place}@b.test")));
    }
}

#[test]
fn a_long_list_of_one_domain_opens_a_few_at_a_time() {
    let mut bench = Bench::with(Bounds {
        under_way: 10,
        per_second: 100,
        ..Bounds::default()
    });
    many(&mut bench, 500);
    bench.due();
    assert_eq!(bench.sent.len(), 1, "the first at once");
    bench.wait(1_000);
    assert_eq!(bench.sent.len(), 10, "as many as may be under way");
    let mut opened = 0;
    let mut seconds = 0;
    while opened < 500 {
        for sent in std::mem::take(&mut bench.sent) {
            bench.answer(&sent, 200);
            assert_eq!(bench.notify(&sent, "n", "active;expires=3600", "<p/>"), 200);
            opened += 1;
        }
        bench.wait(1_000);
        seconds += 1;
        assert!(bench.sent.len() <= 10);
        assert!(seconds < 100, "{opened}");
    }
    assert!(seconds >= 49, "{seconds}");

    bench.step(|service, turn| service.drop_list(turn, SubscriptionId(1)));
    bench.wait(1_000);
    assert!((60..=210).contains(&bench.sent.len()), "ends keep the pace");
    bench.wait(9_000);
    assert_eq!(bench.sent.len(), 500);
    bench.wait(N.0 + 1_000);
    assert_eq!(bench.service.census(), Default::default());
}

#[test]
fn a_domain_that_does_not_answer_holds_up_no_other() {
    let mut bench = Bench::with(Bounds {
        under_way: 4,
        ..Bounds::default()
    });
    many(&mut bench, 20);
    bench.wait(2_000);
    assert_eq!(bench.sent.len(), 4);
    let alice = onlooker("sip:alice@ims.test", 1);
    bench.want(&alice, 100, "sip:carol@c.test");
    bench.want(&alice, 101, "tel:+36105550009");
    bench.wait(100);
    let to: Vec<&str> = bench.sent[4..].iter().map(|s| s.uri()).collect();
    assert_eq!(to, ["sip:carol@c.test", "tel:+36105550009"]);
    bench.wait(N.0);
    assert!(bench.sent.len() >= 10, "Timer N makes room");
}

#[test]
fn refreshes_of_a_list_are_spread() {
    let mut bench = Bench::new();
    many(&mut bench, 100);
    for _ in 0..10 {
        bench.wait(1_000);
        for sent in std::mem::take(&mut bench.sent) {
            let expires = sent.one("Expires").to_owned();
            bench.answer(&sent, 200);
            bench.notify(&sent, "n", &format!("active;expires={expires}"), "<p/>");
        }
    }
    let mut busiest = 0;
    let mut all = 0;
    for _ in 0..3_600 {
        bench.wait(1_000);
        let sent = std::mem::take(&mut bench.sent);
        all += sent.len();
        busiest = busiest.max(sent.len());
        for refresh in sent {
            bench.answer(&refresh, 200);
        }
    }
    assert!((100..=200).contains(&all), "{all}");
    assert!(busiest <= 5, "{busiest} in one second");
}

#[test]
fn a_server_that_takes_no_new_state_asks_nobody_until_it_does() {
    let mut bench = Bench::new();
    bench.admits = false;
    many(&mut bench, 1);
    bench.due();
    bench.wait(20_000);
    assert!(bench.sent.is_empty());
    bench.admits = true;
    bench.wait(31_000);
    assert_eq!(bench.only().uri(), "sip:u0@b.test");
}

#[test]
fn without_a_way_into_the_core_the_member_is_tried_again_later() {
    let mut bench = Bench::new();
    // the bench knows the S-CSCF of its own domain and no other
    bench.want(&onlooker("sip:x@foreign.test", 1), 0, "sip:bob@b.test");
    bench.due();
    assert!(bench.sent.is_empty());
    assert_eq!(bench.told()[0].1, "probation");

    let mut configured = Bench::with(Bounds {
        core: Some("sip:icscf.ims.test".into()),
        ..Bounds::default()
    });
    configured.want(&onlooker("sip:x@foreign.test", 1), 0, "sip:bob@b.test");
    configured.due();
    let sent = configured.only();
    assert_eq!(sent.one("Route"), "<sip:icscf.ims.test;orig;lr>");
    assert_eq!(
        sent.one("P-Served-User"),
        "<sip:x@foreign.test>;sescase=orig;regstate=unreg"
    );
    assert_eq!(configured.told_to(member(1, 0)), []);
}
