//! SUBSCRIBE: what it begins, renews and ends.

use super::*;
use crate::event::subscription::End;
use crate::event::tag::Condition;

#[test]
fn the_first_notify_says_everything_and_what_follows_says_what_changed() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol dave");
    bench.made.says("bob", "here");
    bench.made.is("carol", State::Terminated(End::Rejected), "");
    let (id, first) = bench.subscribe();
    assert_eq!(
        first.said(),
        "0 full bob=here carol/terminated:rejected dave/pending"
    );
    assert_eq!(first.get("Require"), "eventlist");
    assert!(
        first
            .get("Subscription-State")
            .starts_with("active;expires=3600")
    );
    bench.wait(2_000);
    let sent = bench.says("dave", "away");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].said(), "1 part dave=away");
    assert_eq!(bench.answer(&sent[0], 200).len(), 0);
    let sent = bench.renew(id, 600);
    let all = "2 full bob=here carol/terminated:rejected dave=away";
    assert_eq!(sent[0].said(), all);
    assert_eq!(bench.answer(&sent[0], 200).len(), 0);
    let sent = bench.renew(id, 0);
    assert_eq!(
        sent[0].said(),
        all.replace('2', "3"),
        "an end brings the whole state too"
    );
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    assert!(
        bench.made.joined.is_empty(),
        "nobody is watched from then on"
    );
    bench.answer(&sent[0], 200);
    assert!(bench.is_empty());
}

#[test]
fn a_list_without_members_is_a_list() {
    let mut bench = Bench::new(settings());
    bench.list("");
    let (id, first) = bench.subscribe();
    assert_eq!(first.said(), "0 full");
    let sent = bench.edit(id, "bob");
    assert_eq!(sent.len(), 0, "the first NOTIFY was sent just now");
    bench.made.says("bob", "here");
    assert_eq!(bench.wait(1_000)[0].said(), "1 full bob=here");
}

#[test]
fn a_subscription_ends_with_its_time() {
    let mut bench = Bench::new(settings());
    bench.list("bob x@far.test");
    bench.subscribe();
    assert_eq!(bench.far.wanted.len(), 1);
    let sent = bench.wait(3_602_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    assert!(
        bench.far.wanted.is_empty() && bench.made.joined.is_empty(),
        "at once"
    );
    bench.answer(&sent[0], 200);
    assert!(bench.is_empty());
}

#[test]
fn a_fetch_waits_for_members_elsewhere_and_not_for_ever() {
    for (case, speaks) in [("who answer", true), ("who do not", false)] {
        let mut bench = Bench::new(settings());
        bench.list("bob x@far.test");
        bench.made.says("bob", "here");
        let (accepted, sent) = bench.subscribe_with(Some(0), friends(), Wishes::default());
        assert_eq!(accepted.unwrap().lifetime, Seconds(0));
        assert_eq!(sent.len(), 0, "{case}");
        let sent = if speaks {
            let instance = Instance {
                state: State::Active,
                tag: 3,
                content: Some(Content {
                    media_type: "text/plain".into(),
                    bytes: Bytes::from_static(b"far"),
                }),
            };
            bench
                .far
                .says
                .insert("sip:x@far.test".into(), vec![(0, instance)]);
            let member = *bench.far.wanted.keys().next().unwrap();
            bench.far.stirred.push(member);
            bench.stir()
        } else {
            bench.wait(4_000)
        };
        let said = if speaks { "=far" } else { "" };
        assert_eq!(sent[0].said(), format!("0 full bob=here x@far.test{said}"));
        assert_eq!(
            sent[0].get("Subscription-State"),
            "terminated;reason=timeout"
        );
        bench.answer(&sent[0], 200);
        assert!(bench.is_empty(), "{case}");
    }
}

#[test]
fn a_watcher_that_has_the_state_is_told_nothing() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol");
    bench.made.says("bob", "here");
    let (id, first) = bench.subscribe();
    let tag = u64::from_str_radix(first.get("SIP-ETag"), 16).unwrap();
    let wishes = |tag| Wishes {
        condition: Some(Condition::Tag(tag)),
        ..Wishes::default()
    };
    let (accepted, sent) = bench.renew_with(id, None, wishes(tag), None);
    assert!(accepted.unwrap().quiet && sent.is_empty());
    let (accepted, sent) = bench.renew_with(id, None, wishes(tag + 1), None);
    assert!(!accepted.unwrap().quiet);
    assert_eq!(sent[0].said(), "1 full bob=here carol/pending");
    assert_eq!(sent[0].get("SIP-ETag"), first.get("SIP-ETag"));
    bench.answer(&sent[0], 200);
    bench.wait(1_000);
    let sent = bench.says("bob", "gone");
    bench.answer(&sent[0], 200);
    let (accepted, sent) = bench.renew_with(id, None, wishes(tag), None);
    assert!(!accepted.unwrap().quiet, "it has older state");
    assert_eq!(sent[0].said(), "3 full bob=gone carol/pending");
}

#[test]
fn a_watcher_that_wants_no_state_is_told_none_until_it_asks_again() {
    let mut bench = Bench::new(settings());
    bench.list("bob carol");
    let (id, _) = bench.subscribe();
    let wishes = Wishes {
        condition: Some(Condition::Always),
        ..Wishes::default()
    };
    let (accepted, sent) = bench.renew_with(id, None, wishes, None);
    assert!(accepted.unwrap().quiet && sent.is_empty());
    bench.wait(5_000);
    assert_eq!(bench.says("bob", "1").len(), 0);
    assert_eq!(bench.edit(id, "bob dave").len(), 0);
    bench.restart(0);
    assert_eq!(bench.wait(60_000).len(), 0, "nor after a restart");
    assert_eq!(bench.says("dave", "2").len(), 0);
    let sent = bench.renew(id, 600);
    assert_eq!(sent[0].said(), "1 full bob=1 dave=2");
}

#[test]
fn a_list_that_the_request_brings_stays_until_another_comes() {
    let mut bench = Bench::new(settings());
    let source = Source::Contained {
        uri: "sip:rls@ims.test".into(),
        document: b"bob carol".as_slice().into(),
    };
    let (accepted, sent) = bench.subscribe_with(None, source, Wishes::default());
    let id = accepted.unwrap().id;
    assert_eq!(sent[0].said(), "0 full bob/pending carol/pending");
    assert!(sent[0].body().contains("uri=\"sip:rls@ims.test\""));
    bench.answer(&sent[0], 200);
    let sent = bench.renew(id, 600);
    assert_eq!(sent[0].said(), "1 full bob/pending carol/pending");
    bench.answer(&sent[0], 200);
    let (accepted, sent) = bench.renew_with(id, None, Wishes::default(), Some("carol dave"));
    accepted.unwrap();
    assert_eq!(sent[0].said(), "2 full carol/pending dave/pending");
    bench.answer(&sent[0], 200);
    bench.restart(bench.now);
    let sent = bench.renew(id, 600);
    assert_eq!(sent.len(), 0, "its members are not there yet");
    let sent = bench.wait(1_000);
    assert_eq!(sent[0].said(), "3 full carol/pending dave/pending");
    bench.answer(&sent[0], 200);
    let sent = bench.renew(id, 0);
    bench.answer(&sent[0], 200);
    assert!(bench.is_empty());
}

#[test]
fn what_cannot_be_served_changes_nothing() {
    let mut bench = Bench::new(settings());
    let (refused, _) = bench.subscribe_with(None, friends(), Wishes::default());
    assert_eq!(refused, Err(Reject::NotFound), "no such list");
    bench.list("bob");
    let bad = || Wishes {
        filter: Some(b"bad".as_slice().into()),
        ..Wishes::default()
    };
    let (refused, sent) = bench.subscribe_with(None, friends(), bad());
    assert!(refused.is_err() && sent.is_empty());
    let (refused, _) = bench.subscribe_with(Some(1), friends(), Wishes::default());
    assert!(matches!(refused, Err(Reject::IntervalTooBrief { .. })));
    assert!(bench.is_empty());
    let (id, _) = bench.subscribe();
    let (refused, sent) = bench.renew_with(id, None, bad(), None);
    assert!(refused.is_err() && sent.is_empty());
    let nobody = SubscriptionId(1);
    let (refused, _) = bench.renew_with(nobody, None, Wishes::default(), None);
    assert_eq!(refused, Err(Reject::NoDialog));
    let sent = bench.renew(id, 0);
    bench.answer(&sent[0], 200);
    assert!(bench.is_empty());
}
