//! A node that leaves, and what refusals say to handsets.

use super::*;
use crate::event::farewell::Farewell;
use crate::event::subscription::End;

/// A node that tells its watchers how to go on, over one second.
fn leaving(end: End) -> Bench {
    let mut settings = settings();
    let over = Millis(1_000);
    settings.farewell = Some(Farewell { end, over });
    Bench::new(settings)
}

#[test]
fn a_node_that_leaves_tells_its_watchers_where_to_go_on_and_keeps_nothing_of_them() {
    let later = End::Probation {
        retry_after: Seconds(90),
    };
    for (end, state) in [
        (End::Deactivated, "terminated;reason=deactivated"),
        (later, "terminated;reason=probation;retry-after=90"),
    ] {
        let mut bench = leaving(end);
        let sent = bench.subscribe("");
        bench.answer(&sent[1], 200, "");
        bench.rules("confirm", ""); // told too: it waits for the presentity in vain
        let pending = bench.sent(true).remove(0);
        bench.answer(&pending, 200, "");
        bench.node.drain(Timestamp(bench.now));
        assert!(!bench.node.is_quiet());
        let told = bench.wait(20);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].get("Subscription-State"), state);
        assert_eq!(bench.subscribe("")[0].status(), 503, "elsewhere");
        assert!(!bench.node.is_quiet(), "the answer is waited for");
        bench.answer(&told[0], 200, "");
        assert!(bench.node.is_quiet());
        assert!(!bench.store.keys().any(|(t, _)| *t == Table::Subscription));
    }
}

#[test]
fn farewells_are_spread_and_those_not_said_are_no_loss() {
    let mut bench = leaving(End::Deactivated);
    for _ in 0..10 {
        let sent = bench.subscribe("");
        bench.answer(&sent[1], 200, "");
    }
    bench.node.drain(Timestamp(bench.now));
    let told = bench.wait(30);
    assert!((1..=5).contains(&told.len()), "{}", told.len());
    for notify in &told {
        bench.answer(notify, 200, "");
    }
    bench.restart(5_000); // time was over
    assert_eq!(
        bench.node.census().presence.subscriptions,
        10 - told.len(),
        "these are served again"
    );
}

#[test]
fn without_a_farewell_subscriptions_wait_for_the_return_of_the_node() {
    let mut bench = Bench::new(settings());
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    bench.node.drain(Timestamp(bench.now));
    assert!(bench.node.is_quiet() && bench.wait(5_000).is_empty());
    bench.restart(1_000);
    assert_eq!(bench.renew(&sent[0], "")[0].status(), 200);
}

#[test]
fn a_refusal_says_what_the_handsets_of_the_operator_understand() {
    let mut bench = Bench::strict();
    let refused = |bench: &mut Bench| {
        let line = bench.subscribe("").remove(0).text;
        line.split("\r\n").next().unwrap().to_owned()
    };
    assert_eq!(
        refused(&mut bench),
        "SIP/2.0 403 Not Authorized For Presence"
    );
    let own = "Frag nicht".to_owned();
    let known = crate::reject::phrase::NOT_AUTHORIZED.to_owned();
    bench.settings.phrases.insert(known, own);
    bench.restart(0);
    assert_eq!(refused(&mut bench), "SIP/2.0 403 Frag nicht");
}

#[test]
fn where_the_operator_wants_it_only_a_registered_user_publishes() {
    let mut settings = settings();
    settings.publish_needs_registration = true;
    let mut bench = Bench::new(settings);
    let answer = bench.publish("", "here");
    assert!(
        answer.text.starts_with("SIP/2.0 403 User Not Registered"),
        "{}",
        answer.text
    );
    let scscf = format!("To: <{BOB}>\r\nContact: <sip:scscf.ims.test>\r\nExpires: 600\r\n");
    assert_eq!(
        bench.ask("REGISTER", "sip:as.ims.test", &scscf, "")[0].status(),
        200
    );
    assert_eq!(bench.publish("", "here").status(), 200);
}
