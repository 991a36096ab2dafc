//! For whom the notification rules of a presentity are.

use super::*;
use crate::presence::notification::NAMESPACE;
use crate::time::Seconds;

fn interval(seconds: u32) -> String {
    format!("<notification xmlns='{NAMESPACE}' interval='{seconds}'/>")
}

/// A rule that says how watchers are notified, and nothing else.
fn notified(conditions: &str, seconds: u32) -> String {
    format!(
        "<cp:rule id='n{seconds}'><cp:conditions>{conditions}</cp:conditions><cp:actions>{}</cp:actions></cp:rule>",
        interval(seconds)
    )
}

#[test]
fn notification_rules_are_for_the_watchers_of_their_conditions() {
    let alice = one("sip:alice@home1.test");
    let allow = rule("", "allow");
    let own = Case {
        watcher: &["sip:bob@home1.test"],
        ..ALICE
    };
    let carol = Case {
        watcher: &["sip:carol@home1.test"],
        ..ALICE
    };
    let list = |name| format!("<ocp:external-list><ocp:entry anc='{name}'/></ocp:external-list>");
    for (case, rules, watcher, seconds, unresolved) in [
        ("no rule", String::new(), &ALICE, 0, false),
        (
            "one that names the watcher",
            notified(&alice, 60),
            &ALICE,
            60,
            false,
        ),
        (
            "one that names another",
            notified(&alice, 60),
            &carol,
            0,
            false,
        ),
        ("one for everybody", notified("", 60), &carol, 60, false),
        (
            "the presentity itself waits for nothing",
            notified("", 60),
            &own,
            0,
            false,
        ),
        (
            "several: the strictest",
            notified("", 60) + &notified(&alice, 30),
            &ALICE,
            60,
            false,
        ),
        (
            "those whom no other rule names",
            notified(&alice, 60) + &notified("<ocp:other-identity/>", 30),
            &carol,
            30,
            false,
        ),
        (
            "and not those whom one names",
            notified(&alice, 60) + &notified("<ocp:other-identity/>", 90),
            &ALICE,
            60,
            false,
        ),
        ("a list", notified(&list("friends"), 60), &ALICE, 60, false),
        (
            "a list without the watcher",
            notified(&list("foes"), 60),
            &ALICE,
            0,
            false,
        ),
        (
            "a list that cannot be read",
            notified(&list("lost"), 60),
            &ALICE,
            0,
            true,
        ),
    ] {
        let decision = watcher.decide(&[&ruleset(&format!("{allow}{rules}"))]);
        let found = (decision.notification.interval, decision.unresolved);
        assert_eq!(found, (Seconds(seconds), unresolved), "{case}");
        assert_eq!(
            decision.handling,
            Handling::Allow,
            "{case}: it decides nothing else"
        );
    }
}

#[test]
fn a_rule_that_only_says_how_to_notify_leaves_the_decision_to_others() {
    let decide = |rules: &str| {
        let default = Case {
            default: Some(Handling::Confirm),
            ..ALICE
        };
        let decision = default.decide(&[&ruleset(rules)]);
        (decision.handling, decision.notification.interval)
    };
    let alice = one("sip:alice@home1.test");
    assert_eq!(
        decide(&notified(&alice, 60)),
        (Handling::Confirm, Seconds(60)),
        "alone it is as if there were no rule for the watcher"
    );
    let both =
        rule(&alice, "allow").replace("</cp:actions>", &format!("{}</cp:actions>", interval(60)));
    assert_eq!(
        decide(&both),
        (Handling::Allow, Seconds(60)),
        "and beside a handling it does not disturb"
    );
}
