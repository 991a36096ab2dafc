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

/// Decides and says which lists were asked for, in order.
fn asked(rules: &[&Ruleset]) -> (Handling, Vec<String>) {
    let asked = std::cell::RefCell::new(Vec::new());
    let ask = |anchor: &str, identities: &[Aor]| {
        asked.borrow_mut().push(anchor.to_owned());
        lists(anchor, identities)
    };
    let alice = aors(&["sip:alice@home1.test"]);
    let ctx = Context {
        now: Timestamp(0),
        presentity: &aors(&["sip:bob@home1.test"]),
        sphere: None,
        default: None,
        anonymous: None,
        imposed: None,
        external_list: &ask,
    };
    let watcher = Watcher {
        identities: &alice,
        anonymous: false,
    };
    let handling = decide(rules, &watcher, &ctx).handling;
    (handling, asked.take())
}

#[test]
fn lists_behind_the_first_match_are_not_read() {
    let entry = |anchor: &str| format!("<po:entry anc='{anchor}'/>");
    let (foes, friends, lost) = (entry("foes"), entry("friends"), entry("lost"));
    let alice = "<po:one id='sip:alice@home1.test'/>";
    let seen = |lists: &[(&str, &str)]| asked(&[&ruleset(&ordered("", lists))]);
    for (case, lists, handling, read) in [
        (
            "a match in the first of three",
            &[("block", &*friends), ("allow", &lost), ("block", &foes)][..],
            Block,
            &["friends"][..],
        ),
        (
            "a match in the second",
            &[("block", &foes), ("confirm", &friends), ("allow", &lost)],
            Confirm,
            &["foes", "friends"],
        ),
        (
            "named in place, before a list of the same kind",
            &[("block", alice), ("block", &lost)],
            Block,
            &[],
        ),
    ] {
        assert_eq!(
            seen(lists),
            (handling, read.iter().map(ToString::to_string).collect()),
            "{case}"
        );
    }
    let elsewhere = format!("{}<cp:sphere value='home'/>", list("friends"));
    assert_eq!(
        asked(&[&ruleset(&rule(&elsewhere, "allow"))]),
        (Block, vec![]),
        "nor is the list of a rule that another condition rules out"
    );
    assert_eq!(
        asked(&[&ruleset(
            &(ordered("", &[("block", alice)]) + &rule(&list("friends"), "allow"))
        )])
        .1,
        Vec::<String>::new(),
        "nor those of rules where the order shows nothing"
    );
}

#[test]
fn several_orders_give_the_strictest_answer_whichever_stands_first() {
    let allow = ruleset(&ordered(
        "default='allow' anonymous='allow'",
        &[("allow", "<po:entry anc='friends'/>")],
    ));
    let confirm = ruleset(&ordered("default='confirm' anonymous='confirm'", &[]));
    let hidden = Case {
        anonymous: true,
        ..ALICE
    };
    for rules in [[&allow, &confirm], [&confirm, &allow]] {
        assert_eq!(ALICE.decide(&rules).handling, Confirm);
        assert_eq!(hidden.decide(&rules).handling, Confirm);
    }
}

#[test]
fn what_is_not_understood_in_an_order_lets_nobody_in() {
    let allow = ("allow", "<po:entry anc='friends'/>");
    let with = |policy: &str, part: &str| policy.replace("<cp:actions>", part);
    let valid = ordered("", &[allow]);
    for (case, rules, expected) in [
        ("as it should be", valid.clone(), Allow),
        (
            "a reject list with a member of another kind",
            ordered("", &[("block", "<po:many domain='home1.test'/>"), allow]),
            Block,
        ),
        (
            "a reject list with a member that is no URI",
            ordered("", &[("block", "<po:one id='alice'/>"), allow]),
            Block,
        ),
        (
            "an accept list with a member of another kind",
            ordered("default='confirm'", &[("allow", "<po:many/>")]),
            Confirm,
        ),
        (
            "conditions beside it, which would be ignored",
            with(
                &valid,
                "<cp:conditions><cp:sphere value='work'/></cp:conditions><cp:actions>",
            ),
            Block,
        ),
        (
            "no conditions in its conditions",
            with(&valid, "<cp:conditions/><cp:actions>"),
            Allow,
        ),
    ] {
        assert_eq!(ALICE.handling(&rules), expected, "{case}");
    }
    let closed = Ruleset::closed();
    let everybody = ruleset(&rule("", "allow"));
    assert_eq!(
        ALICE.decide(&[&everybody, &closed]).handling,
        Block,
        "a document that cannot be read any more may have rejected her"
    );
}
