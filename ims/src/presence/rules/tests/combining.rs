//! What matching rules give together, and what applies where none does.

use super::*;

#[test]
fn rules_that_match_combine_to_the_most_they_grant() {
    let alice = one("sip:alice@home1.test");
    for (case, handlings, expected) in [
        ("block never beats allow", &["block", "allow"][..], Allow),
        (
            "polite-block is more than confirm",
            &["polite-block", "confirm"],
            PoliteBlock,
        ),
        ("confirm is more than block", &["block", "confirm"], Confirm),
        ("a handling not understood is none", &["accept"], Block),
    ] {
        let rules: String = handlings
            .iter()
            .map(|handling| rule(&alice, handling))
            .collect();
        assert_eq!(ALICE.handling(&rules), expected, "{case}");
    }
    let block = ruleset(&rule(&alice, "block"));
    let allow = ruleset(&rule(&alice, "allow"));
    assert_eq!(
        ALICE.decide(&[&block, &allow]).handling,
        Allow,
        "all documents apply together"
    );
}

#[test]
fn transformations_combine_by_type() {
    let grant = |inside: &str| {
        let rule = rule(&one("sip:alice@home1.test"), "allow");
        rule.replace(
            "</cp:rule>",
            &format!("<cp:transformations>{inside}</cp:transformations></cp:rule>"),
        )
    };
    let rules = grant(
        "<pr:provide-services><pr:class>work</pr:class></pr:provide-services><pr:provide-user-input>bare</pr:provide-user-input>\
         <pr:provide-mood>true</pr:provide-mood><pr:provide-note>false</pr:provide-note>\
         <pr:provide-unknown-attribute ns='urn:x' name='a'>true</pr:provide-unknown-attribute>",
    ) + &grant(
        "<pr:provide-services><op:service-id>IM</op:service-id></pr:provide-services><pr:provide-persons><pr:all-persons/></pr:provide-persons>\
         <pr:provide-user-input>thresholds</pr:provide-user-input><pr:provide-class>1</pr:provide-class>\
         <op:provide-geopriv>full</op:provide-geopriv><op:provide-willingness>yes</op:provide-willingness>",
    );
    let granted = ALICE.decide(&[&ruleset(&rules)]).permissions;
    let members = [Member::Class("work".into()), Member::ServiceId("IM".into())];
    assert_eq!(
        granted.services,
        Provide::Some(members.into_iter().collect())
    );
    assert_eq!(
        (&granted.persons, &granted.devices),
        (&Provide::All, &Provide::default())
    );
    assert_eq!(granted.user_input, UserInput::Thresholds);
    for (attribute, expected) in [
        (Attribute::Mood, true),
        (Attribute::Class, true),
        (Attribute::Geopriv, true),
        (Attribute::Note, false),
        (Attribute::Willingness, false), // "yes" is no xs:boolean
    ] {
        assert_eq!(granted.grants(attribute), expected, "{attribute:?}");
    }
    assert!(granted.grants_unknown("urn:x", "a") && !granted.grants_unknown("urn:x", "b"));
    let all = rules + &grant("<pr:provide-all-attributes/>");
    let granted = ALICE.decide(&[&ruleset(&all)]).permissions;
    assert!(granted.grants_all_attributes() && granted.services != Provide::All);
}

#[test]
fn permissions_come_with_allow_only() {
    let rules = rule(&one("sip:alice@home1.test"), "polite-block").replace(
        "</cp:rule>",
        "<cp:transformations><pr:provide-all-attributes/></cp:transformations></cp:rule>",
    );
    assert_eq!(
        ALICE.decide(&[&ruleset(&rules)]).permissions,
        Permissions::none()
    );
}

#[test]
fn defaults_and_exceptions_to_the_rules() {
    let nobody = ruleset("");
    for (case, asked, handling, reason) in [
        (
            "no document and no default",
            Case { ..ALICE },
            Block,
            Reason::NothingMatches,
        ),
        (
            "the operator's default",
            Case {
                default: Some(Confirm),
                ..ALICE
            },
            Confirm,
            Reason::OperatorDefault,
        ),
        (
            "the presentity itself",
            Case {
                watcher: &["sip:bob@home1.test"],
                ..ALICE
            },
            Allow,
            Reason::Own,
        ),
        (
            "the presentity under another name",
            Case {
                watcher: &["tel:+1-555-0100"],
                ..ALICE
            },
            Allow,
            Reason::Own,
        ),
        (
            "the administrator against the presentity",
            Case {
                watcher: &["sip:bob@home1.test"],
                imposed: Some(Block),
                ..ALICE
            },
            Block,
            Reason::Administrator,
        ),
        (
            "anonymous",
            Case {
                anonymous: true,
                default: Some(Allow),
                ..ALICE
            },
            Block,
            Reason::Anonymous,
        ),
        (
            "nobody asserted",
            Case {
                watcher: &[],
                default: Some(Allow),
                ..ALICE
            },
            Block,
            Reason::Anonymous,
        ),
        (
            "anonymous by the operator",
            Case {
                anonymous: true,
                anonymous_default: Some(Confirm),
                ..ALICE
            },
            Confirm,
            Reason::OperatorDefault,
        ),
        (
            "anonymous is nobody, not even oneself",
            Case {
                watcher: &["sip:bob@home1.test"],
                anonymous: true,
                ..ALICE
            },
            Block,
            Reason::Anonymous,
        ),
    ] {
        let decision = asked.decide(&[&nobody]);
        assert_eq!(
            (decision.handling, decision.reason),
            (handling, reason),
            "{case}"
        );
        assert_eq!(
            decision.permissions == Permissions::all(),
            handling == Allow,
            "{case}"
        );
    }
    assert_eq!(ALICE.decide(&[]).handling, Block, "no document at all");
}

#[test]
fn the_strongest_kind_of_condition_decides() {
    let named = rule(&one("sip:alice@home1.test"), "confirm");
    let listed = rule(&list("friends"), "allow");
    let other = rule("<ocp:other-identity/>", "polite-block");
    let carol = Case {
        watcher: &["sip:carol@home1.test"],
        ..ALICE
    };
    for (case, watcher, rules, expected) in [
        (
            "identity before list",
            &ALICE,
            format!("{other}{listed}{named}"),
            Confirm,
        ),
        (
            "list before other identity",
            &ALICE,
            format!("{other}{listed}"),
            Allow,
        ),
        (
            "other identity for the rest",
            &carol,
            format!("{other}{listed}{named}"),
            PoliteBlock,
        ),
        (
            "a rule for everybody applies beside",
            &ALICE,
            format!("{named}{}", rule("", "allow")),
            Allow,
        ),
    ] {
        assert_eq!(watcher.handling(&rules), expected, "{case}");
    }
    let expired = "<cp:validity><cp:from>1960-01-01T00:00:00Z</cp:from><cp:until>1961-01-01T00:00:00Z</cp:until></cp:validity>";
    let past = rule(&(one("sip:alice@home1.test") + expired), "allow");
    assert_eq!(
        ALICE.handling(&format!("{past}{other}")),
        Block,
        "who is named, if not now, is not other"
    );
}

#[test]
fn what_is_no_ruleset_is_an_error() {
    for document in [
        "",
        "<a/>",
        "<ruleset/>",
        "<!DOCTYPE ruleset><ruleset xmlns='urn:ietf:params:xml:ns:common-policy'/>",
    ] {
        assert!(Ruleset::parse(document.as_bytes()).is_err(), "{document}");
    }
}
