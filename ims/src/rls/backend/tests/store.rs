//! Restarts.

use super::bench::{Bench, member, onlooker};
use crate::rls::BackEnds;

#[test]
fn a_subscription_survives_a_crash_with_its_state_and_is_refreshed() {
    let (mut bench, sent) = Bench::active();
    bench.notify(&sent, "m", "active;expires=3600", "<m/>");
    let before = bench.told();
    bench.restart();
    assert_eq!(bench.told(), [], "nobody wants it yet");
    let refreshes = std::mem::take(&mut bench.sent);
    assert_eq!(
        refreshes.len(),
        2,
        "each notifier is asked what has changed"
    );
    for refresh in &refreshes {
        assert_eq!(refresh.tag(), sent.tag());
        assert_eq!(refresh.one("CSeq"), "2 SUBSCRIBE");
        assert_eq!(refresh.one("Call-ID"), sent.one("Call-ID"));
        bench.answer(refresh, 200);
    }
    bench.want(&onlooker("sip:alice@ims.test", 1), 0, "sip:bob@b.test");
    assert_eq!(bench.told(), before);
    assert_eq!(bench.notify(&sent, "n", "active", "<new/>"), 200);
    assert_eq!(bench.notify(&sent, "m", "active", "<new2/>"), 200);
    let told: Vec<String> = bench.told().into_iter().map(|(_, _, body)| body).collect();
    assert_eq!(told, ["<new/>", "<new2/>"], "under their numbers");
    bench.wait(120_000);
    assert!(bench.sent.is_empty(), "it is wanted");
}

#[test]
fn what_is_told_again_after_a_crash_is_taken_once() {
    let (mut bench, sent) = Bench::active();
    bench.restart();
    let again = bench.notify_as(&sent, ("n", 1), "active", (super::bench::PIDF, "<p/>"), "");
    assert_eq!(again, 200);
    let old = bench.notify_as(&sent, ("n", 0), "active", (super::bench::PIDF, "<q/>"), "");
    assert_eq!(old, 500);
}

#[test]
fn a_notifier_that_lost_us_meanwhile_is_asked_anew() {
    let (mut bench, _) = Bench::active();
    bench.restart();
    bench.want(&onlooker("sip:alice@ims.test", 1), 0, "sip:bob@b.test");
    let refresh = bench.only();
    bench.answer(&refresh, 481);
    bench.wait(100);
    assert_eq!(bench.only().uri(), "sip:bob@b.test");
    assert_eq!(
        bench.told()[0].1,
        "active",
        "as it was, for the time of one attempt"
    );
}

#[test]
fn what_nobody_wants_after_a_crash_is_ended() {
    let (mut bench, sent) = Bench::active();
    bench.restart();
    let refresh = bench.only();
    bench.answer(&refresh, 200);
    bench.notify(&sent, "n", "active", "<p/>");
    bench.wait(59_000);
    assert!(bench.sent.is_empty());
    bench.wait(2_000);
    assert!(bench.only().is_end());
    assert!(bench.store.is_empty());
}

#[test]
fn one_that_ran_out_while_the_server_was_down_is_asked_anew() {
    let (mut bench, _) = Bench::active();
    bench.now = bench.now + crate::time::Seconds(7_200);
    bench.restart();
    bench.want(&onlooker("sip:alice@ims.test", 1), 0, "sip:bob@b.test");
    bench.wait(2_000);
    let last = bench.sent.last().unwrap();
    assert_eq!(last.uri(), "sip:bob@b.test", "{:?}", bench.sent);
    assert!(!bench.told_to(member(1, 0)).is_empty());
}

#[test]
fn an_attempt_that_a_crash_cut_off_is_forgotten() {
    let (mut bench, sent) = Bench::asking();
    assert!(bench.store.is_empty());
    bench.restart();
    assert_eq!(bench.notify(&sent, "n", "active", "<p/>"), 481);
}

#[test]
fn an_end_that_a_crash_cut_off_is_made_up_for() {
    let (mut bench, sent) = Bench::active();
    bench.drop(member(1, 0));
    // the crash comes before its domain's turn
    bench.restart();
    bench.notify(&sent, "n", "active", "<p/>");
    bench.wait(61_000);
    assert!(bench.sent.last().unwrap().is_end());
    assert_eq!(bench.service.take_stirred(), []);
}
