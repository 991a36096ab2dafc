//! Ordered lists, OMA Presence SIMPLE architecture §6.1.5.1: the first list that holds the watcher decides.
//!
//! RFC 4745 rules have no order and a block can never beat an allow, so an order needs words of its own. They stand
//! inside `<actions>` of a rule, where common policy allows elements of other namespaces:
//!
//! ```xml
//! <cp:rule id="order"><cp:actions>
//!   <ordered-policy xmlns="urn:presentia:xml:ordered-policy" default="confirm" anonymous="block">
//!     <list handling="block"><entry anc="http://.../list[@name=%22rejected%22]"/></list>
//!     <list handling="allow"><one id="sip:alice@home1.test"/></list>
//!   </ordered-policy>
//! </cp:actions></cp:rule>
//! ```
//!
//! It decides the handling; what is shown to an allowed watcher is what the transformations of matching rules grant.

use super::decide::{Context, Watcher};
use super::ruleset::Handling;
use crate::sip::Aor;

/// Namespace of the extension; its schema is `ordered-policy.xsd`.
pub const NAMESPACE: &str = "urn:presentia:xml:ordered-policy";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderedPolicy {
    pub lists: Vec<List>,
    /// For watchers on no list; without it they are rejected.
    pub default: Option<Handling>,
    /// For watchers who do not say who they are; without it the rules and the operator are asked.
    pub anonymous: Option<Handling>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub handling: Handling,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    One(Aor),
    /// XCAP URI of a shared list.
    Entry(Box<str>),
    /// Not understood: whoever was meant may be the watcher, as with a list that cannot be read.
    Unknown,
}

/// What the lists say of a watcher.
pub(super) struct Verdict {
    pub handling: Handling,
    /// Which list holds the watcher, from 1; `None`: none, and the default decided.
    pub list: Option<usize>,
    /// A list before the one that decided could not be read.
    pub unresolved: bool,
}

/// What the orders of all documents of a presentity say; `None` without any. No document stands above another, so
/// where several have an order the strictest answer holds.
pub(super) fn decide(
    orders: &[&OrderedPolicy],
    watcher: &Watcher<'_>,
    ctx: &Context<'_>,
) -> Option<Verdict> {
    let verdicts = orders.iter().map(|order| order.decide(watcher, ctx));
    verdicts.reduce(|one, other| {
        let unresolved = one.unresolved || other.unresolved;
        let strictest = if other.handling < one.handling {
            other
        } else {
            one
        };
        Verdict {
            unresolved,
            ..strictest
        }
    })
}

impl OrderedPolicy {
    /// The same for everybody: in place of what cannot be understood, or is not here yet.
    pub(super) fn of(handling: Handling) -> OrderedPolicy {
        OrderedPolicy {
            lists: Vec::new(),
            default: Some(handling),
            anonymous: Some(handling),
        }
    }

    pub(super) fn external_lists(&self) -> impl Iterator<Item = &Box<str>> {
        self.lists
            .iter()
            .flat_map(|list| &list.members)
            .filter_map(|member| match member {
                Member::Entry(anchor) => Some(anchor),
                Member::One(_) | Member::Unknown => None,
            })
    }

    /// The first match ends the evaluation; lists behind it are not even asked for. Where a list before it cannot be
    /// read, it might have matched: the watcher gets the stricter of both.
    fn decide(&self, watcher: &Watcher<'_>, ctx: &Context<'_>) -> Verdict {
        let mut strictest = Handling::Allow;
        let mut unresolved = false;
        for (before, list) in self.lists.iter().enumerate() {
            match list.holds(watcher, ctx) {
                Some(true) => {
                    return Verdict {
                        handling: list.handling.min(strictest),
                        list: Some(before + 1),
                        unresolved,
                    };
                }
                Some(false) => {}
                None => {
                    unresolved = true;
                    strictest = strictest.min(list.handling);
                }
            }
        }
        Verdict {
            handling: self.default.unwrap_or(Handling::Block).min(strictest),
            list: None,
            unresolved,
        }
    }
}

impl List {
    /// `None` when it does not hold the watcher as far as it can be read.
    fn holds(&self, watcher: &Watcher<'_>, ctx: &Context<'_>) -> Option<bool> {
        let mut unresolved = false;
        for member in &self.members {
            match member {
                Member::One(id) if watcher.identities.contains(id) => return Some(true),
                Member::One(_) => {}
                Member::Unknown => unresolved = true,
                Member::Entry(anchor) => match ctx.listed(anchor, watcher) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => unresolved = true,
                },
            }
        }
        (!unresolved).then_some(false)
    }
}
