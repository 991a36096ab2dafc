//! Conditional subscriptions (RFC 5839): entity-tags of what a watcher sees, and what is left out for one who has it.

use super::*;

/// `Suppress-If-Match` with the tag of a NOTIFY.
fn having(notify: &Sent) -> String {
    format!("Suppress-If-Match: {}\r\n", notify.get("SIP-ETag"))
}

fn has_no_body(notify: &Sent) {
    assert_eq!(notify.method(), "NOTIFY");
    assert_eq!(notify.get("Content-Length"), "0");
    assert!(notify.all("Content-Type").is_empty() && notify.body().is_empty());
}

/// The NOTIFYs among what was sent last.
fn told(bench: &Bench) -> Vec<Sent> {
    let sent = bench.sent(true).into_iter();
    sent.filter(|s| s.method() == "NOTIFY").collect()
}

/// A watcher who saw `here` and answered, and the pace is over.
fn watching() -> (Bench, Vec<Sent>) {
    let mut bench = Bench::new(settings());
    bench.publish("", "here");
    let sent = bench.subscribe("Expires: 600\r\n");
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    (bench, sent)
}

#[test]
fn every_notify_has_a_tag_that_changes_with_what_its_watcher_sees_and_with_nothing_else() {
    let (mut bench, sent) = watching();
    let tag = sent[1].get("SIP-ETag").to_owned();
    assert_eq!(tag.len(), 16, "{}", sent[1].text);
    let refreshed = bench.renew(&sent[0], "");
    assert_eq!(refreshed[1].get("SIP-ETag"), tag);
    bench.answer(&refreshed[1], 200, "");
    bench.wait(6_000);
    bench.publish("", "elsewhere");
    let moved = told(&bench).remove(0);
    assert_ne!(moved.get("SIP-ETag"), tag);
    bench.answer(&moved, 200, "");
    let blocked = bench.rules("block", "").remove(0);
    has_no_body(&blocked);
    assert!(!blocked.get("SIP-ETag").is_empty(), "of no state");
}

#[test]
fn a_new_subscription_with_the_current_tag_brings_a_notify_without_body() {
    let (mut bench, sent) = watching();
    for (case, condition, expires, state) in [
        ("the tag", having(&sent[1]), 600, "active;expires=600"),
        (
            "a fetch with it",
            having(&sent[1]),
            0,
            "terminated;reason=timeout",
        ),
        (
            "anything",
            "Suppress-If-Match: *\r\n".into(),
            0,
            "terminated;reason=timeout",
        ),
    ] {
        let again = bench.subscribe(&format!("{condition}Expires: {expires}\r\n"));
        assert_eq!(again[0].status(), 200, "{case}: never 204 without a dialog");
        has_no_body(&again[1]);
        assert_eq!(again[1].get("SIP-ETag"), sent[1].get("SIP-ETag"), "{case}");
        assert_eq!(again[1].get("Subscription-State"), state, "{case}");
    }
}

#[test]
fn a_refresh_with_the_current_tag_is_answered_204_until_the_state_changes() {
    let (mut bench, sent) = watching();
    let answer = bench.renew(&sent[0], &format!("{}Expires: 300\r\n", having(&sent[1])));
    assert_eq!(answer.len(), 1, "no NOTIFY");
    assert_eq!((answer[0].status(), answer[0].get("Expires")), (204, "300"));
    assert!(answer[0].text.starts_with("SIP/2.0 204 No Notification"));
    assert!(bench.wait(10_000).is_empty());
    // news, and then the state of the tag again: the watcher has something else by then
    for note in ["elsewhere", "here"] {
        bench.publish("", note);
        let news = told(&bench).remove(0);
        assert!(news.body().contains(note));
        bench.answer(&news, 200, "");
        bench.wait(6_000);
    }
    let over = bench.wait(300_000);
    assert_eq!(
        over[0].get("Subscription-State"),
        "terminated;reason=timeout",
        "300 s from the refresh"
    );
    assert!(over[0].body().contains("here"));
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let (mut bench, sent) = watching();
    bench.publish("", "elsewhere");
    bench.answer(&told(&bench).remove(0), 200, "");
    for (case, condition) in [
        ("an older tag", having(&sent[1])),
        (
            "a tag of somebody else",
            "Suppress-If-Match: ega23\r\n".into(),
        ),
    ] {
        let answer = bench.renew(&sent[0], &condition);
        assert_eq!(answer[0].status(), 200, "{case}");
        assert!(answer[1].body().contains("elsewhere"), "{case}");
        bench.answer(&answer[1], 200, "");
    }
    for bad in ["a, b", "\"a\"", ""] {
        let condition = format!("Suppress-If-Match: {bad}\r\n");
        assert_eq!(bench.renew(&sent[0], &condition)[0].status(), 400, "{bad}");
        assert_eq!(bench.subscribe(&condition)[0].status(), 400, "{bad}");
    }
}

#[test]
fn an_asterisk_quenches_a_subscription_until_a_subscribe_without_it() {
    let (mut bench, sent) = watching();
    let quench = "Suppress-If-Match: *\r\n";
    let answer = bench.renew(&sent[0], quench);
    assert_eq!((answer.len(), answer[0].status()), (1, 204));
    bench.publish("", "unseen");
    assert!(told(&bench).is_empty());
    assert!(bench.wait(10_000).is_empty());
    // what becomes of the subscription itself is told, without state
    let pending = bench.rules("confirm", "").remove(0);
    assert!(pending.get("Subscription-State").starts_with("pending"));
    bench.answer(&pending, 200, "");
    let active = bench.rules("allow", "").remove(0);
    assert!(active.get("Subscription-State").starts_with("active"));
    has_no_body(&active);
    bench.answer(&active, 200, "");
    bench.wait(6_000);
    bench.restart(1_000);
    bench.publish("", "still unseen");
    assert!(told(&bench).is_empty() && bench.wait(10_000).is_empty());

    let answer = bench.renew(&sent[0], "");
    assert_eq!(answer[0].status(), 200);
    assert!(answer[1].body().contains("still unseen"));
    bench.answer(&answer[1], 200, "");
    let end = bench.renew(&sent[0], &format!("{quench}Expires: 0\r\n"));
    assert_eq!((end.len(), end[0].status()), (1, 204));
    assert_eq!(bench.node.census().presence.subscriptions, 0);
    let kept = |table| bench.store.keys().filter(|(t, _)| *t == table).count();
    assert_eq!((kept(Table::Wishes), kept(Table::Subscription)), (0, 0));
}

#[test]
fn an_end_with_the_current_tag_is_answered_204_and_waits_for_answers_that_are_owed() {
    let (mut bench, sent) = watching();
    bench.publish("", "news");
    let news = told(&bench).remove(0);
    let end = bench.renew(&sent[0], &format!("{}Expires: 0\r\n", having(&news)));
    assert_eq!((end.len(), end[0].status()), (1, 204));
    assert_eq!(bench.renew(&sent[0], "")[0].status(), 481, "it is over");
    bench.answer(&news, 200, "");
    assert_eq!(bench.node.census().presence.subscriptions, 0);
}

#[test]
fn a_pending_watcher_who_has_nothing_is_answered_204_and_told_when_it_is_allowed() {
    let mut bench = Bench::new(settings());
    bench.publish("", "here");
    bench.rules("confirm", "");
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    let answer = bench.renew(&sent[0], &having(&sent[1]));
    assert_eq!((answer.len(), answer[0].status()), (1, 204));
    let allowed = bench.rules("allow", "").remove(0);
    assert!(allowed.body().contains("here"));
}

#[test]
fn a_tag_and_a_condition_outlive_a_restart() {
    let (mut bench, sent) = watching();
    bench.renew(&sent[0], &having(&sent[1]));
    bench.restart(1_000);
    bench.publish("", "elsewhere"); // two publications now: this one and the first
    let news = told(&bench).remove(0);
    bench.answer(&news, 200, "");
    bench.wait(6_000);
    bench.restart(1_000);
    let answer = bench.renew(&sent[0], &having(&news));
    assert_eq!(answer[0].status(), 204, "the same state has the same tag");
    // rules that change nothing for this watcher: a restart looks again, and sees that there is nothing to tell
    bench.rules("allow", "<cp:validity xmlns:cp=\"urn:ietf:params:xml:ns:common-policy\"><cp:from>2020-01-01T00:00:00Z\
        </cp:from><cp:until>2040-01-01T00:00:00Z</cp:until></cp:validity>");
    let allowed = told(&bench);
    bench.wait(6_000);
    assert!(bench.restart(1_000).owed > 0 && allowed.is_empty());
    assert!(bench.wait(10_000).is_empty());
}

#[test]
fn a_204_is_charged_and_a_notify_without_body_is_charged_without_one() {
    let mut settings = settings();
    settings.triggers = charge::Triggers {
        subscribe: charge::Outcomes::All,
        notify: charge::Outcomes::All,
        ..charge::Triggers::OFF
    };
    let mut bench = Bench::new(settings);
    let charged = |bench: &Bench| -> Vec<_> {
        let event = |effect: &Effect| match effect {
            Effect::Charge(event) => {
                let body = event.body.as_ref();
                let body = body.map(|b| (b.content_type.clone(), b.length));
                Some((event.method, event.status, body))
            }
            _ => None,
        };
        bench.out.held.iter().filter_map(event).collect()
    };
    let (subscribe, notify) = (charge::Chargeable::Subscribe, charge::Chargeable::Notify);
    let sent = bench.subscribe("Accept: application/pidf-diff+xml\r\n");
    assert_eq!(charged(&bench), [(subscribe, 200, None)]);
    bench.answer(&sent[1], 200, "");
    let length = sent[1].body().len().try_into().unwrap();
    let body = ("application/pidf-diff+xml".to_owned(), length);
    assert_eq!(
        charged(&bench),
        [(notify, 200, Some(body))],
        "as it was sent"
    );
    bench.renew(&sent[0], &having(&sent[1]));
    assert_eq!(charged(&bench), [(subscribe, 204, None)]);
    let fetched = bench.subscribe(&format!("{}Expires: 0\r\n", having(&sent[1])));
    assert_eq!(charged(&bench), [(subscribe, 200, None)]);
    bench.answer(&fetched[1], 200, "");
    assert_eq!(charged(&bench), [(notify, 200, None)]);
}
