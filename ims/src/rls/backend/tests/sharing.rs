//! Who shares a back-end subscription, who must not, and when it ends.

use super::bench::{Bench, N, filters, member, onlooker};
use crate::event::subscription::SubscriptionId;
use crate::rls::BackEnds;
use crate::rls::backend::Bounds;

#[test]
fn lists_of_one_watcher_share_one_subscription() {
    let (mut bench, sent) = Bench::active();
    bench.want(&onlooker("sip:alice@ims.test", 2), 5, "SIP:bob@B.test;x=y");
    bench.wait(100);
    assert!(bench.sent.is_empty());
    let second = member(2, 5);
    assert_eq!(bench.service.take_stirred(), [second], "it is told at once");
    assert_eq!(bench.told_to(second), bench.told());
    bench.notify(&sent, "n", "active", "<q/>");
    assert_eq!(bench.service.take_stirred(), [member(1, 0), second]);

    bench.drop(member(1, 0));
    bench.wait(100);
    assert!(bench.sent.is_empty(), "the other still wants it");
    bench.drop(second);
    bench.wait(100);
    assert!(bench.only().is_end());
}

#[test]
fn nothing_is_shared_between_those_who_may_be_shown_different_things() {
    let alice = onlooker("sip:alice@ims.test", 1);
    let carol = onlooker("sip:carol@ims.test", 2);
    let mut also = alice.clone();
    also.asserted.push("tel:+36105550001".into());
    let mut anonymous = alice.clone();
    anonymous.anonymous = true;
    let mut watchers = alice.clone();
    watchers.package = "presence.winfo";
    let mut filtered = alice.clone();
    filtered.filter = Some(filters(r#"<filter id="1"/>"#));
    let mut other_filter = alice.clone();
    other_filter.filter = Some(filters(r#"<filter id="2"/>"#));
    let mut bench = Bench::new();
    let all = [carol, also, anonymous, watchers, filtered, other_filter];
    let count = all.len() + 1;
    bench.want(&alice, 0, "sip:bob@b.test");
    for (n, mut other) in all.into_iter().enumerate() {
        other.list = SubscriptionId(10 + n as u64);
        bench.want(&other, 0, "sip:bob@b.test");
    }
    bench.wait(2_000);
    assert_eq!(bench.sent.len(), count);
    let filters: Vec<&str> = bench
        .sent
        .iter()
        .flat_map(|s| s.header("Content-Type"))
        .collect();
    assert_eq!(filters, ["application/simple-filter+xml"; 2]);
}

#[test]
fn a_filter_for_somebody_else_of_the_list_makes_no_difference() {
    let mut bench = Bench::new();
    let mut alice = onlooker("sip:alice@ims.test", 1);
    bench.want(&alice, 0, "sip:bob@b.test");
    alice.list = SubscriptionId(2);
    alice.filter = Some(filters(r#"<filter id="1" uri="sip:carol@b.test"/>"#));
    bench.want(&alice, 0, "sip:bob@b.test");
    bench.wait(100);
    assert_eq!(bench.only().header("Content-Type"), [""; 0]);
}

#[test]
fn a_member_that_moves_in_its_list_keeps_its_subscription() {
    let (mut bench, _) = Bench::active();
    let alice = onlooker("sip:alice@ims.test", 1);
    bench.drop(member(1, 0));
    bench.want(&alice, 3, "sip:bob@b.test");
    bench.wait(100);
    assert!(bench.sent.is_empty());
    assert_eq!(bench.told_to(member(1, 3)).len(), 1);
    assert_eq!(bench.told(), []);
}

#[test]
fn an_end_is_told_to_the_notifier_and_leaves_nothing_behind() {
    let (mut bench, sent) = Bench::active();
    assert_eq!(bench.store.len(), 1);
    bench.step(|service, turn| service.drop_list(turn, SubscriptionId(1)));
    bench.wait(100);
    let end = bench.only();
    assert!(end.is_end());
    assert!(bench.store.is_empty());
    assert_eq!(bench.told(), []);
    bench.answer(&end, 200);
    assert_eq!(
        bench.notify(&sent, "n", "terminated;reason=timeout", ""),
        200
    );
    assert_eq!(bench.service.census(), Default::default());
    bench.wait(7_200_000);
    assert!(bench.sent.is_empty());

    let (mut silent, _) = Bench::active();
    silent.drop(member(1, 0));
    silent.wait(N.0 + 1_000);
    assert_eq!(
        silent.service.census(),
        Default::default(),
        "nobody answered"
    );

    let (mut early, sent) = Bench::asking();
    early.drop(member(1, 0));
    early.wait(100);
    assert_eq!(
        early.service.census(),
        Default::default(),
        "no dialog was open"
    );
    assert_eq!(
        early.notify(&sent, "n", "active", "<p/>"),
        481,
        "ends it there"
    );
    early.answer(&sent, 200);
    early.wait(7_200_000);
    assert!(early.sent.is_empty());
}

#[test]
fn whoever_comes_while_it_is_being_ended_gets_another() {
    let (mut bench, sent) = Bench::active();
    bench.drop(member(1, 0));
    bench.wait(100);
    let end = bench.only();
    bench.want(&onlooker("sip:alice@ims.test", 2), 0, "sip:bob@b.test");
    bench.wait(200);
    let again = bench.only();
    assert_eq!(again.uri(), "sip:bob@b.test");
    bench.notify(&sent, "n", "terminated;reason=timeout", "");
    bench.answer(&end, 200);
    bench.notify(&again, "m", "active", "<q/>");
    assert_eq!(bench.told_to(member(2, 0))[0].2, "<q/>");
}

#[test]
fn one_watcher_has_so_many_and_the_node_has_so_many() {
    let mut bench = Bench::with(Bounds {
        per_watcher: 2,
        capacity: 3,
        ..Bounds::default()
    });
    let (alice, carol) = (
        onlooker("sip:alice@ims.test", 1),
        onlooker("sip:carol@ims.test", 2),
    );
    let wants = |bench: &mut Bench, who, place, uri| bench.want(who, place, uri);
    assert!(wants(&mut bench, &alice, 0, "sip:a@b.test"));
    assert!(wants(&mut bench, &alice, 1, "sip:b@b.test"));
    assert!(!wants(&mut bench, &alice, 2, "sip:c@b.test"), "her third");
    assert!(wants(&mut bench, &carol, 0, "sip:a@b.test"));
    assert!(
        !wants(&mut bench, &carol, 1, "sip:b@b.test"),
        "the fourth of all"
    );
    assert_eq!(
        bench.told_to(member(1, 2)),
        [],
        "listed without an instance"
    );
    bench.drop(member(1, 0));
    bench.wait(1_000);
    assert!(
        wants(&mut bench, &alice, 2, "sip:c@b.test"),
        "there is room again"
    );
}

#[test]
fn each_subscribe_is_charged_to_its_watcher_with_an_icid_of_its_own() {
    let mut bench = Bench::new();
    bench.want(&onlooker("sip:alice@ims.test", 1), 0, "sip:bob@b.test");
    bench.wait(100);
    let sent = bench.sent.remove(0);
    bench.answer(&sent, 403);
    let [event] = bench.charged.as_slice() else {
        panic!("{:?}", bench.charged)
    };
    assert_eq!(event.calling, ["sip:alice@ims.test"]);
    assert_eq!(
        (event.called.as_str(), event.status),
        ("sip:bob@b.test", 403)
    );
    assert_eq!(event.role, crate::charge::Role::Originating);
    assert_eq!(event.call_id, sent.one("Call-ID"));
    let icid = event.icid.as_deref().unwrap();
    let vector = sent.one("P-Charging-Vector");
    assert!(
        vector.contains(&format!("icid-value=\"{icid}\"")),
        "{vector}"
    );
}
