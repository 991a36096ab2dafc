//! What a decision rests on, for a person who asks why: the list of the order and the rules that counted.

use super::decide::{Context, Matched, Reason, Watcher, decide, holds};
use super::ordered::{self, OrderedPolicy};
use super::ruleset::{Condition, Handling, Rule, Ruleset};

/// What stands behind a [`super::Decision`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The list of the order that holds the watcher, from 1.
    pub list: Option<usize>,
    /// `id` of each rule that was combined into the handling or into what is shown, in the order of the documents.
    pub rules: Vec<Box<str>>,
}

/// The same way as [`decide`], with the names of what was met on it.
pub fn basis(rulesets: &[&Ruleset], watcher: &Watcher<'_>, ctx: &Context<'_>) -> Basis {
    let decision = decide(rulesets, watcher, ctx);
    let counting = || {
        let matched = Matched::of(rulesets, watcher, ctx);
        matched.counting().0.map(|rule| rule.id.clone()).collect()
    };
    match decision.reason {
        Reason::Administrator | Reason::Own | Reason::OperatorDefault | Reason::NothingMatches => {
            Basis::default()
        }
        Reason::Anonymous => Basis {
            list: None,
            rules: for_anonymous(rulesets, watcher, ctx),
        },
        Reason::OrderedList | Reason::OrderedDefault => {
            let orders = rulesets.iter().filter_map(|r| r.ordered.as_ref());
            let orders: Vec<&OrderedPolicy> = orders.collect();
            let verdict = ordered::decide(&orders, watcher, ctx);
            Basis {
                list: verdict.and_then(|verdict| verdict.list),
                rules: match decision.handling {
                    Handling::Allow => counting(),
                    Handling::Block | Handling::Confirm | Handling::PoliteBlock => Vec::new(),
                },
            }
        }
        Reason::Identity | Reason::ExternalList | Reason::OtherIdentity => Basis {
            list: None,
            rules: counting(),
        },
    }
}

/// The rules about anonymous requests that hold now.
fn for_anonymous(rulesets: &[&Ruleset], watcher: &Watcher<'_>, ctx: &Context<'_>) -> Vec<Box<str>> {
    let nobody = Watcher {
        identities: &[],
        anonymous: watcher.anonymous,
    };
    let hold = |rule: &&Rule| {
        rule.conditions.contains(&Condition::AnonymousRequest)
            && rule
                .conditions
                .iter()
                .all(|condition| holds(condition, true, &nobody, ctx, false) == Some(true))
    };
    let rules = rulesets.iter().flat_map(|ruleset| &ruleset.rules);
    rules.filter(hold).map(|rule| rule.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Aor;
    use crate::time::Timestamp;

    const RULES: &str = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" \
        xmlns:o=\"urn:oma:xml:xdm:common-policy\"><rule id=\"a\"><conditions><identity><one id=\"sip:a@x\"/></identity>\
        </conditions><actions><pr:sub-handling>allow</pr:sub-handling></actions></rule><rule id=\"all\"><transformations>\
        <pr:provide-all-attributes/></transformations></rule><rule id=\"nobody\"><conditions><o:anonymous-request/>\
        </conditions></rule>";
    const ORDER: &str = "<rule id=\"order\"><actions><ordered-policy xmlns=\"urn:presentia:xml:ordered-policy\">\
        <list handling=\"block\"><one id=\"sip:b@x\"/></list><list handling=\"allow\"><one id=\"sip:a@x\"/></list>\
        </ordered-policy></actions></rule>";

    #[test]
    fn what_counted_is_named() {
        for (case, order, watcher, list, rules) in [
            ("a rule", "", Some("sip:a@x"), None, &["a", "all"][..]),
            ("a rule for everybody", "", Some("sip:b@x"), None, &["all"]),
            ("nobody", "", None, None, &["nobody"]),
            (
                "the second list",
                ORDER,
                Some("sip:a@x"),
                Some(2),
                &["a", "all"],
            ),
            ("the first list", ORDER, Some("sip:b@x"), Some(1), &[]),
            ("no list", ORDER, Some("sip:c@x"), None, &[]),
        ] {
            let text = format!("{RULES}{order}</ruleset>");
            let ruleset = Ruleset::parse(text.as_bytes()).unwrap();
            let identities: Vec<Aor> = watcher.and_then(Aor::parse).into_iter().collect();
            let watcher = Watcher {
                identities: &identities,
                anonymous: identities.is_empty(),
            };
            let ctx = Context {
                now: Timestamp(0),
                presentity: &[],
                sphere: None,
                default: None,
                anonymous: None,
                imposed: None,
                external_list: &|_, _| None,
            };
            let basis = basis(&[&ruleset], &watcher, &ctx);
            assert_eq!(basis.list, list, "{case}");
            let named: Vec<&str> = basis.rules.iter().map(|id| &**id).collect();
            assert_eq!(named, rules, "{case}");
        }
    }
}
