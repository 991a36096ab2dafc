//! Which watchers a rule matches.

use super::*;

#[test]
fn identity_conditions() {
    let except = |inside: &str| {
        format!("<cp:identity><cp:many domain='home1.test'>{inside}</cp:many></cp:identity>")
    };
    for (case, conditions, watcher, matches) in [
        (
            "the one",
            one("sip:alice@home1.test"),
            &["sip:alice@home1.test"][..],
            true,
        ),
        (
            "another spelling of the host",
            one("sip:alice@HOME1.test"),
            &["sip:alice@home1.test"],
            true,
        ),
        (
            "another one",
            one("sip:carol@home1.test"),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "any asserted identity may match",
            one("tel:+1-555-0199"),
            &["sip:alice@home1.test", "tel:+15550199"],
            true,
        ),
        (
            "a number in a SIP URI is no tel URI",
            one("tel:+15550199"),
            &["sip:+15550199@home1.test"],
            false,
        ),
        (
            "an id of a scheme no watcher has",
            one("mailto:alice@home1.test"),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "anybody",
            "<cp:identity><cp:many/></cp:identity>".into(),
            &["tel:+15550199"],
            true,
        ),
        ("the domain", except(""), &["sip:alice@home1.test"], true),
        (
            "the domain, with a port",
            except(""),
            &["sip:alice@home1.test:5070"],
            true,
        ),
        (
            "a subdomain is another domain",
            except(""),
            &["sip:alice@a.home1.test"],
            false,
        ),
        (
            "a number has no domain",
            except(""),
            &["tel:+15550199"],
            false,
        ),
        (
            "an exception by id",
            except("<cp:except id='sip:alice@home1.test'/>"),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "an exception for another",
            except("<cp:except id='sip:carol@home1.test'/>"),
            &["sip:alice@home1.test"],
            true,
        ),
        (
            "an exception by any identity",
            except("<cp:except id='tel:+15550199'/>"),
            &["sip:alice@home1.test", "tel:+15550199"],
            false,
        ),
        (
            "an exception by domain",
            "<cp:identity><cp:many><cp:except domain='home1.test'/></cp:many></cp:identity>".into(),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "an exception not understood excludes all",
            except("<cp:except/>"),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "a foreign element in many",
            except("<x xmlns='urn:x'/>"),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "a foreign element beside one",
            "<cp:identity><x xmlns='urn:x'/><cp:one id='sip:alice@home1.test'/></cp:identity>"
                .into(),
            &["sip:alice@home1.test"],
            true,
        ),
        (
            "nobody",
            "<cp:identity/>".into(),
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "an unknown condition is false",
            one("sip:alice@home1.test") + "<x xmlns='urn:x'/>",
            &["sip:alice@home1.test"],
            false,
        ),
        (
            "no condition at all",
            String::new(),
            &["sip:alice@home1.test"],
            true,
        ),
    ] {
        let expected = if matches { Allow } else { Block };
        assert_eq!(
            Case { watcher, ..ALICE }.handling(&rule(&conditions, "allow")),
            expected,
            "{case}"
        );
    }
}

#[test]
fn sphere_and_validity() {
    let alice = one("sip:alice@home1.test");
    let sphere = rule(&format!("{alice}<cp:sphere value='home WORK'/>"), "allow");
    for (sphere_now, expected) in [
        (None, Block),
        (Some("work"), Allow),
        (Some("Home"), Allow),
        (Some("travel"), Block),
    ] {
        assert_eq!(
            Case {
                sphere: sphere_now,
                ..ALICE
            }
            .handling(&sphere),
            expected,
            "{sphere_now:?}"
        );
    }
    let valid = "<cp:validity><cp:from>1970-01-01T00:00:01Z</cp:from><cp:until>1970-01-01T00:00:02Z</cp:until>\
                 <cp:from>1970-01-01T00:00:04Z</cp:from><cp:until>1970-01-01T00:00:05Z</cp:until></cp:validity>";
    let rules = ruleset(&rule(&format!("{alice}{valid}"), "allow"));
    for (now, expected, until) in [
        (999, Block, Some(1_000)),
        (1_000, Allow, Some(2_000)),
        (1_999, Allow, Some(2_000)),
        (2_000, Block, Some(4_000)),
        (4_500, Allow, Some(5_000)),
        (5_000, Block, None),
    ] {
        let decision = Case { now, ..ALICE }.decide(&[&rules]);
        assert_eq!(
            (decision.handling, decision.until),
            (expected, until.map(Timestamp)),
            "at {now}"
        );
    }
    let unpaired = "<cp:validity><cp:from>1970-01-01T00:00:00Z</cp:from></cp:validity>";
    assert_eq!(
        ALICE.handling(&rule(&format!("{alice}{unpaired}"), "allow")),
        Block
    );
}

#[test]
fn anonymous_watchers_match_only_rules_that_say_so() {
    let hidden = Case {
        anonymous: true,
        ..ALICE
    };
    for (case, rules, expected) in [
        ("a rule for everybody", rule("", "allow"), Block),
        (
            "a rule for the identity behind",
            rule(&one("sip:alice@home1.test"), "allow"),
            Block,
        ),
        (
            "other identities",
            rule("<ocp:other-identity/>", "allow"),
            Block,
        ),
        (
            "anonymous requests",
            rule("<ocp:anonymous-request/>", "polite-block"),
            PoliteBlock,
        ),
        (
            "anonymous requests of somebody",
            rule(
                &format!("<ocp:anonymous-request/>{}", one("sip:alice@home1.test")),
                "allow",
            ),
            Block,
        ),
    ] {
        assert_eq!(hidden.handling(&rules), expected, "{case}");
    }
    assert_eq!(
        ALICE.handling(&rule("<ocp:anonymous-request/>", "allow")),
        Block,
        "and nobody else matches them"
    );
}
