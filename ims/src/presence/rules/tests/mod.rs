//! Decisions, table by table: conditions, combining, precedence, order, failure.

mod combining;
mod conditions;
mod lists;
mod notification;

use super::*;
use crate::sip::Aor;
use crate::time::Timestamp;

const HEAD: &str = "<cp:ruleset xmlns:cp='urn:ietf:params:xml:ns:common-policy' xmlns:pr='urn:ietf:params:xml:ns:pres-rules' \
    xmlns:ocp='urn:oma:xml:xdm:common-policy' xmlns:op='urn:oma:xml:prs:pres-rules' xmlns:po='urn:presentia:xml:ordered-policy'>";

fn ruleset(rules: &str) -> Ruleset {
    Ruleset::parse(format!("{HEAD}{rules}</cp:ruleset>").as_bytes()).unwrap()
}

/// A rule with these conditions and that handling.
fn rule(conditions: &str, handling: &str) -> String {
    format!(
        "<cp:rule id='r'><cp:conditions>{conditions}</cp:conditions>\
         <cp:actions><pr:sub-handling>{handling}</pr:sub-handling></cp:actions></cp:rule>"
    )
}

fn one(id: &str) -> String {
    format!("<cp:identity><cp:one id='{id}'/></cp:identity>")
}

fn aors(uris: &[&str]) -> Vec<Aor> {
    uris.iter().map(|uri| Aor::parse(uri).unwrap()).collect()
}

/// Alice is in the list `friends`, Mallory in `foes`; `lost` cannot be read.
fn lists(anchor: &str, identities: &[Aor]) -> Option<bool> {
    let holds = |member: &str| Some(identities.iter().any(|aor| aor.as_str() == member));
    match anchor {
        "friends" => holds("sip:alice@home1.test"),
        "foes" => holds("sip:mallory@home1.test"),
        _ => None,
    }
}

struct Case<'a> {
    watcher: &'a [&'a str],
    anonymous: bool,
    now: u64,
    sphere: Option<&'a str>,
    default: Option<Handling>,
    anonymous_default: Option<Handling>,
    imposed: Option<Handling>,
}

const ALICE: Case<'static> = Case {
    watcher: &["sip:alice@home1.test"],
    anonymous: false,
    now: 0,
    sphere: None,
    default: None,
    anonymous_default: None,
    imposed: None,
};

impl Case<'_> {
    fn decide(&self, rules: &[&Ruleset]) -> Decision {
        let presentity = aors(&["sip:bob@home1.test", "tel:+15550100"]);
        let identities = aors(self.watcher);
        let ctx = Context {
            now: Timestamp(self.now),
            presentity: &presentity,
            sphere: self.sphere,
            default: self.default,
            anonymous: self.anonymous_default,
            imposed: self.imposed,
            external_list: &lists,
        };
        decide(
            rules,
            &Watcher {
                identities: &identities,
                anonymous: self.anonymous,
            },
            &ctx,
        )
    }

    fn handling(&self, rules: &str) -> Handling {
        self.decide(&[&ruleset(rules)]).handling
    }
}

use Handling::{Allow, Block, Confirm, PoliteBlock};

fn list(anchor: &str) -> String {
    format!("<ocp:external-list><ocp:entry anc='{anchor}'/></ocp:external-list>")
}
