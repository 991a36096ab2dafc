//! Lists kept elsewhere, and lists in order.

use super::*;

#[test]
fn a_list_that_cannot_be_read_never_allows() {
    let other = |handling| rule("<ocp:other-identity/>", handling);
    for (case, rules, default, expected) in [
        ("the list alone", rule(&list("lost"), "allow"), None, Block),
        (
            "lost grants, the rest wait",
            rule(&list("lost"), "allow") + &other("confirm"),
            None,
            Confirm,
        ),
        (
            "lost blocks, the rest are allowed",
            rule(&list("lost"), "block") + &other("allow"),
            None,
            Block,
        ),
        (
            "lost blocks, the operator allows",
            rule(&list("lost"), "block"),
            Some(Allow),
            Block,
        ),
        (
            "another list holds the watcher",
            rule(&list("lost"), "block") + &rule(&list("friends"), "allow"),
            None,
            Allow,
        ),
        (
            "a rule names the watcher",
            rule(&list("lost"), "block") + &rule(&one("sip:alice@home1.test"), "allow"),
            None,
            Allow,
        ),
    ] {
        let decision = Case { default, ..ALICE }.decide(&[&ruleset(&rules)]);
        assert_eq!(
            (decision.handling, decision.unresolved),
            (expected, true),
            "{case}"
        );
    }
    assert_eq!(
        ruleset(
            &(rule(&list("a"), "block") + &rule(&list("b"), "allow") + &rule(&list("a"), "allow"))
        )
        .external_lists(),
        ["a", "b"]
    );
}

fn ordered(attributes: &str, lists: &[(&str, &str)]) -> String {
    let lists: String = lists
        .iter()
        .map(|(handling, member)| format!("<po:list handling='{handling}'>{member}</po:list>"))
        .collect();
    format!(
        "<cp:rule id='o'><cp:actions><po:ordered-policy {attributes}>{lists}</po:ordered-policy></cp:actions></cp:rule>"
    )
}

#[test]
fn ordered_lists_end_at_the_first_match() {
    let friends = "<po:entry anc='friends'/>";
    let foes = "<po:entry anc='foes'/>";
    let lost = "<po:entry anc='lost'/>";
    let alice = "<po:one id='sip:alice@home1.test'/>";
    let mallory = Case {
        watcher: &["sip:mallory@home1.test"],
        ..ALICE
    };
    let carol = Case {
        watcher: &["sip:carol@home1.test"],
        ..ALICE
    };
    let seed = ordered(
        "default='polite-block'",
        &[("block", foes), ("allow", friends)],
    );
    for (case, watcher, rules, expected) in [
        ("on the reject list", &mallory, seed.clone(), Block),
        ("on the accept list", &ALICE, seed.clone(), Allow),
        ("on neither: the default", &carol, seed, PoliteBlock),
        (
            "on neither, no default",
            &carol,
            ordered("", &[("block", foes), ("allow", friends)]),
            Block,
        ),
        (
            "on both, reject first",
            &ALICE,
            ordered("", &[("block", alice), ("allow", friends)]),
            Block,
        ),
        (
            "on both, accept first",
            &ALICE,
            ordered("", &[("allow", friends), ("block", alice)]),
            Allow,
        ),
        (
            "a rule that allows does not matter",
            &mallory,
            ordered("", &[("block", foes)]) + &rule("", "allow"),
            Block,
        ),
        (
            "a reject list that cannot be read",
            &ALICE,
            ordered("", &[("block", lost), ("allow", friends)]),
            Block,
        ),
        (
            "an accept list that cannot be read",
            &ALICE,
            ordered("default='confirm'", &[("allow", lost)]),
            Confirm,
        ),
        (
            "a list behind the match is not asked",
            &ALICE,
            ordered("", &[("allow", friends), ("block", lost)]),
            Allow,
        ),
        (
            "a handling not understood rejects",
            &ALICE,
            ordered("", &[("maybe", friends)]),
            Block,
        ),
    ] {
        assert_eq!(watcher.handling(&rules), expected, "{case}");
    }
    let hidden = Case {
        anonymous: true,
        ..ALICE
    };
    assert_eq!(
        hidden.handling(&ordered("anonymous='confirm'", &[("allow", alice)])),
        Confirm
    );
    assert_eq!(
        hidden.handling(&ordered("default='allow'", &[("allow", alice)])),
        Block
    );
}

#[test]
fn ordered_lists_leave_the_content_to_the_rules() {
    let content = rule("<cp:identity><cp:many/></cp:identity>", "block")
        .replace("</cp:rule>", "<cp:transformations><pr:provide-mood>true</pr:provide-mood></cp:transformations></cp:rule>");
    let decision = ALICE.decide(&[&ruleset(
        &(ordered("", &[("allow", "<po:entry anc='friends'/>")]) + &content),
    )]);
    assert_eq!(
        (decision.handling, decision.reason),
        (Allow, Reason::OrderedList)
    );
    assert!(
        decision.permissions.grants(Attribute::Mood)
            && !decision.permissions.grants(Attribute::Note)
    );
}
