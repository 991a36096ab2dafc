//! What a restart, and the end of the node, keep and say.

use super::*;
use crate::event::farewell::Farewell;
use crate::event::subscription::End;

#[test]
fn a_subscription_lives_on_and_what_was_told_is_not_told_again() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    let part = format!("{LIST}/~~/resource-lists/list/@name");
    let (opened, first) = bench.told_of("xcap-diff;diff-processing=xcap-patching", &[LIST, &part]);
    bench.wait(2_000);
    let recovery = bench.restart(1_000);
    assert_eq!(recovery.owed, 0);
    assert!(bench.wait(10_000).is_empty());
    let (e2, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
    assert_eq!(
        said(&bench.told(&sent)),
        [format!("document {LIST} {e1}>{e2} add")],
        "with its patch"
    );
    let number = |s: &Sent| {
        s.get("CSeq")
            .split(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert!(number(&sent[0]) > number(&first), "CSeq never goes back");
    let known = format!("Suppress-If-Match: {}\r\n", sent[0].get("SIP-ETag"));
    let sent = bench.follow_on(&opened, BOB, "xcap-diff", &known, "");
    assert_eq!((sent.len(), sent[0].status()), (1, 204), "tags too");
}

#[test]
fn what_was_owed_is_told_after_the_restart() {
    let part = format!("{LIST}/~~/resource-lists/list/@name");
    for (case, last) in [("a change", "m"), ("a removal", "")] {
        let mut bench = bench();
        let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
        bench.told_of("xcap-diff;diff-processing=xcap-patching", &[LIST, &part]);
        bench.wait(2_000);
        // its NOTIFY leaves, and nobody answers before the crash
        let (_, sent) = bench.edit(BOB, LIST, &list(&["a", "b"]));
        assert_eq!(sent.len(), 1);
        let body = if last.is_empty() {
            String::new()
        } else {
            list(&["a"]).replace("\"l\"", "\"m\"")
        };
        let (e3, sent) = bench.edit(BOB, LIST, &body);
        assert!(sent.is_empty());
        let recovery = bench.restart(1_000);
        assert_eq!(recovery.owed, 1, "{case}");
        let sent = bench.wait(100);
        let there = if last.is_empty() { "0 -" } else { "1 m" };
        assert_eq!(
            said(&bench.told(&sent)),
            [
                format!("document {LIST} {e1}>{e3}"),
                format!("attribute {part} {there}")
            ],
            "{case}"
        );
        bench.wait(10_000);
        assert_eq!(bench.restart(0).owed, 0, "{case}: once");
        assert!(
            !bench.store.keys().any(|(t, _)| *t == Table::DiffTouched),
            "{case}"
        );
    }
}

#[test]
fn a_subscribe_whose_notify_was_lost_is_told_the_whole_state() {
    let mut bench = bench();
    let (e1, _) = bench.edit(BOB, LIST, &list(&["a"]));
    bench.ask_for(BOB, "xcap-diff", "", &wanted(&[LIST]));
    assert_eq!(bench.restart(100).owed, 1);
    let sent = bench.wait(100);
    assert_eq!(said(&bench.told(&sent)), [format!("document {LIST} >{e1}")]);
}

#[test]
fn a_node_that_leaves_says_so() {
    let mut settings = with(|_| {});
    settings.farewell = Some(Farewell {
        end: End::Deactivated,
        over: Millis(100),
    });
    let mut bench = Bench::new(settings);
    bench.told_of("xcap-diff", &[LIST]);
    bench.node.drain(Timestamp(bench.now));
    assert!(!bench.node.is_quiet());
    let sent = bench.wait(100);
    assert_eq!(
        sent[0].get("Subscription-State"),
        "terminated;reason=deactivated"
    );
    bench.answer(&sent[0], 200, "");
    assert!(bench.node.is_quiet());
    assert!(
        !bench
            .store
            .keys()
            .any(|(t, _)| *t == Table::DiffSubscription)
    );
    assert_eq!(
        bench.ask_for(BOB, "xcap-diff", "", &wanted(&[LIST]))[0].status(),
        503
    );
}
