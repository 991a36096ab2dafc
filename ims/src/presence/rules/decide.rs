//! The decision about one watcher.
//!
//! In this order: the administrator; the presentity itself; anonymous watchers; the ordered lists where the presentity
//! has them; the rules, combined (RFC 4745 §10.2) within the strongest kind of condition that matches (OMA: identity,
//! then external list, then other identity); the operator's default; reject.

use super::ordered::{self, OrderedPolicy};
use super::permissions::Permissions;
use super::ruleset::{Condition, Handling, Rule, Ruleset};
use crate::presence::notification::Notification;
use crate::sip::Aor;
use crate::time::Timestamp;
use std::fmt;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Watcher<'a> {
    /// Every identity the core asserted; any of them may match.
    pub identities: &'a [Aor],
    /// The watcher asked for privacy, or nobody asserted who it is. Its identities are then not looked at.
    pub anonymous: bool,
}

/// What a decision is made in.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub now: Timestamp,
    /// The presentity under all its names.
    pub presentity: &'a [Aor],
    /// See [`crate::presence::compose::Composed::sphere`].
    pub sphere: Option<&'a str>,
    /// Operator's default where nothing matches; `None`: reject.
    pub default: Option<Handling>,
    /// Operator's handling of anonymous watchers the presentity says nothing about; `None`: reject.
    pub anonymous: Option<Handling>,
    /// Administrator's decision for this watcher and presentity, above the presentity's own.
    pub imposed: Option<Handling>,
    /// Is one of these identities in the list at that XCAP URI? `None`: it cannot be read now, or not all of it.
    pub external_list: &'a dyn Fn(&str, &[Aor]) -> Option<bool>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .field("sphere", &self.sphere)
            .finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// Any identity of the watcher is in the list.
    pub(super) fn listed(&self, anchor: &str, watcher: &Watcher<'_>) -> Option<bool> {
        (self.external_list)(anchor, watcher.identities)
    }
}

/// What decided, for logs and for the operator who asks why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Administrator,
    Own,
    Anonymous,
    OrderedList,
    OrderedDefault,
    /// A rule that names the watcher or applies to everybody.
    Identity,
    ExternalList,
    OtherIdentity,
    OperatorDefault,
    NothingMatches,
}

/// What a watcher gets, and for how long the answer holds if nothing else changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub handling: Handling,
    /// Nothing unless `handling` is [`Handling::Allow`].
    pub permissions: Permissions,
    /// The next instant at which a validity interval opens or closes.
    pub until: Option<Timestamp>,
    pub reason: Reason,
    /// A list that could change the decision cannot be read: decide again when it can.
    pub unresolved: bool,
    /// How the presentity wants this watcher notified.
    pub notification: Notification,
}

/// Decides about one watcher. `rulesets` are all the presentity's documents, which apply together (RFC 5025 §9.7).
pub fn decide(rulesets: &[&Ruleset], watcher: &Watcher<'_>, ctx: &Context<'_>) -> Decision {
    let (handling, permissions, reason, unresolved) = outcome(rulesets, watcher, ctx);
    let permissions = if handling == Handling::Allow {
        permissions
    } else {
        Permissions::none()
    };
    let (notification, unread) = match reason {
        Reason::Own => (Notification::default(), false), // what it asks for others is not for itself
        _ if handling == Handling::Block => (Notification::default(), false), // is not notified
        _ => notification(rulesets, watcher, ctx),
    };
    Decision {
        handling,
        permissions,
        until: next_edge(rulesets, ctx.now),
        reason,
        unresolved: unresolved || unread,
        notification,
    }
}

type Outcome = (Handling, Permissions, Reason, bool);

fn outcome(rulesets: &[&Ruleset], watcher: &Watcher<'_>, ctx: &Context<'_>) -> Outcome {
    if let Some(handling) = ctx.imposed {
        return (handling, Permissions::all(), Reason::Administrator, false);
    }
    let orders = rulesets
        .iter()
        .filter_map(|ruleset| ruleset.ordered.as_ref());
    let orders: Vec<&OrderedPolicy> = orders.collect();
    if watcher.anonymous || watcher.identities.is_empty() {
        return anonymous(rulesets, &orders, watcher, ctx);
    }
    if watcher
        .identities
        .iter()
        .any(|identity| ctx.presentity.contains(identity))
    {
        return (Handling::Allow, Permissions::all(), Reason::Own, false);
    }
    let Some(verdict) = ordered::decide(&orders, watcher, ctx) else {
        return Matched::of(rulesets, watcher, ctx).outcome(ctx);
    };
    let reason = match verdict.list {
        Some(_) => Reason::OrderedList,
        None => Reason::OrderedDefault,
    };
    if verdict.handling != Handling::Allow {
        // nothing is shown, so the rules, and the lists that they name, need not be asked
        return (
            verdict.handling,
            Permissions::none(),
            reason,
            verdict.unresolved,
        );
    }
    let matched = Matched::of(rulesets, watcher, ctx);
    let unresolved = verdict.unresolved || matched.unresolved.is_some();
    (verdict.handling, matched.strongest().1, reason, unresolved)
}

/// The presentity's word about anonymous requests, else the operator's, else reject (AD 6.1.5.1).
fn anonymous(
    rulesets: &[&Ruleset],
    orders: &[&OrderedPolicy],
    watcher: &Watcher<'_>,
    ctx: &Context<'_>,
) -> Outcome {
    let nobody = Watcher {
        identities: &[],
        anonymous: watcher.anonymous,
    };
    let explicit = |rule: &&Rule| rule.conditions.contains(&Condition::AnonymousRequest);
    let mut matching = rulesets
        .iter()
        .flat_map(|ruleset| &ruleset.rules)
        .filter(explicit);
    let mut handling = None;
    let mut permissions = Permissions::none();
    for rule in matching.by_ref().filter(|rule| {
        rule.conditions
            .iter()
            .all(|c| holds(c, true, &nobody, ctx, false) == Some(true))
    }) {
        handling = handling.max(Some(rule.handling.unwrap_or(Handling::Block)));
        permissions.combine(&rule.permissions);
    }
    let stated = orders.iter().filter_map(|order| order.anonymous).min();
    match (stated.or(handling), ctx.anonymous) {
        (Some(handling), _) => (handling, permissions, Reason::Anonymous, false),
        (None, Some(handling)) => (handling, Permissions::all(), Reason::OperatorDefault, false),
        (None, None) => (Handling::Block, permissions, Reason::Anonymous, false),
    }
}

/// Whether a condition names watchers.
fn names(condition: &&Condition) -> bool {
    matches!(
        condition,
        Condition::Identity(_) | Condition::ExternalList(_)
    )
}

/// The notification rules of all rules that match, and whether one rests on a list that cannot be read. Such a rule
/// does not match: it would only make the watcher wait.
fn notification(
    rulesets: &[&Ruleset],
    watcher: &Watcher<'_>,
    ctx: &Context<'_>,
) -> (Notification, bool) {
    let mut combined = Notification::default();
    let mut unread = false;
    let rules = || rulesets.iter().flat_map(|ruleset| &ruleset.notifications);
    if rules().next().is_none() {
        return (combined, unread);
    }
    let nobody = Watcher {
        identities: &[],
        ..*watcher
    };
    let anonymous = watcher.anonymous || watcher.identities.is_empty();
    let watcher = if anonymous { &nobody } else { watcher };
    let conditions = rulesets.iter().flat_map(|ruleset| ruleset.conditions());
    let named = conditions
        .filter(names)
        .any(|c| holds(c, anonymous, watcher, ctx, true) == Some(true));
    for rule in rules() {
        let mut matches = Some(true);
        for condition in &rule.conditions {
            match holds(condition, anonymous, watcher, ctx, named) {
                Some(true) => {}
                Some(false) => {
                    matches = Some(false);
                    break;
                }
                None => matches = None,
            }
        }
        match matches {
            Some(true) => combined.combine(&rule.notification),
            Some(false) => {}
            None => unread = true,
        }
    }
    (combined, unread)
}

/// Whether a condition holds; `None` when a list it needs cannot be read. `named` is whether some other rule names the
/// watcher.
pub(super) fn holds(
    condition: &Condition,
    anonymous: bool,
    watcher: &Watcher<'_>,
    ctx: &Context<'_>,
    named: bool,
) -> Option<bool> {
    Some(match condition {
        Condition::Identity(identity) => identity.matches(watcher.identities),
        Condition::Sphere(values) => ctx
            .sphere
            .is_some_and(|sphere| values.iter().any(|v| v.eq_ignore_ascii_case(sphere))),
        Condition::Validity(intervals) => {
            let now = i64::try_from(ctx.now.0).unwrap_or(i64::MAX);
            intervals
                .iter()
                .any(|(from, until)| *from <= now && now < *until)
        }
        Condition::ExternalList(anchors) => {
            let answers: Vec<Option<bool>> = anchors
                .iter()
                .map(|anchor| ctx.listed(anchor, watcher))
                .collect();
            if !answers.contains(&Some(true)) && answers.contains(&None) {
                return None;
            }
            answers.contains(&Some(true))
        }
        Condition::AnonymousRequest => anonymous,
        Condition::OtherIdentity => !anonymous && !named,
        Condition::Unknown => false,
    })
}

/// The rules that match, by the kind of condition that names the watcher.
#[derive(Default)]
pub(super) struct Matched<'a> {
    identity: Vec<&'a Rule>,
    external: Vec<&'a Rule>,
    other: Vec<&'a Rule>,
    /// Rules that name nobody: they apply beside those of every kind.
    everybody: Vec<&'a Rule>,
    /// Strictest handling among rules whose list cannot be read.
    unresolved: Option<Handling>,
}

impl<'a> Matched<'a> {
    pub(super) fn of(
        rulesets: &[&'a Ruleset],
        watcher: &Watcher<'_>,
        ctx: &Context<'_>,
    ) -> Matched<'a> {
        let rules = || rulesets.iter().flat_map(|ruleset| &ruleset.rules);
        // "Not named by any other rule" is about names: a rule that names the watcher but is not valid now still does.
        let asks = |condition: &Condition| matches!(condition, Condition::OtherIdentity);
        let named = rules().any(|rule| rule.conditions.iter().any(asks))
            && rules()
                .flat_map(|rule| rule.conditions.iter().filter(names))
                .any(|c| holds(c, false, watcher, ctx, true) == Some(true));
        let mut matched = Matched::default();
        for rule in rules() {
            let has = |wanted: fn(&Condition) -> bool| rule.conditions.iter().any(wanted);
            // lists last: where something else fails already, they need not be read
            let is_list = |c: &&Condition| matches!(c, Condition::ExternalList(_));
            let others = rule.conditions.iter().filter(|c| !is_list(c));
            let mut all = others.chain(rule.conditions.iter().filter(is_list));
            let mut readable = true;
            let fails = all.any(|c| {
                let result = holds(c, false, watcher, ctx, named);
                readable &= result.is_some();
                result == Some(false)
            });
            if fails {
                continue;
            }
            if !readable {
                let handling = rule.handling.unwrap_or(Handling::Block);
                matched.unresolved = Some(
                    matched
                        .unresolved
                        .map_or(handling, |other| other.min(handling)),
                );
            } else if has(|c| matches!(c, Condition::Identity(_))) {
                matched.identity.push(rule);
            } else if has(|c| matches!(c, Condition::ExternalList(_))) {
                matched.external.push(rule);
            } else if has(|c| matches!(c, Condition::OtherIdentity)) {
                matched.other.push(rule);
            } else {
                matched.everybody.push(rule);
            }
        }
        matched
    }

    /// The rules that count: those of the strongest kind, and those for everybody.
    pub(super) fn counting(&self) -> (impl Iterator<Item = &'a Rule>, Reason) {
        let kinds = [
            (&self.identity, Reason::Identity),
            (&self.external, Reason::ExternalList),
            (&self.other, Reason::OtherIdentity),
        ];
        let strongest = kinds.into_iter().find(|(rules, _)| !rules.is_empty());
        let reason = strongest.map_or(Reason::Identity, |(_, reason)| reason);
        let rules = strongest.into_iter().flat_map(|(rules, _)| rules);
        (rules.chain(&self.everybody).copied(), reason)
    }

    /// The rules that count, combined.
    fn strongest(&self) -> (Option<Handling>, Permissions, Reason) {
        let (rules, reason) = self.counting();
        let mut handling = None;
        let mut permissions = Permissions::none();
        for rule in rules {
            handling = handling.max(Some(rule.handling.unwrap_or(Handling::Block)));
            permissions.combine(&rule.permissions);
        }
        (handling, permissions, reason)
    }

    fn outcome(&self, ctx: &Context<'_>) -> Outcome {
        let (handling, permissions, reason) = self.strongest();
        let (handling, permissions, reason) = match (handling, ctx.default) {
            (Some(handling), _) => (handling, permissions, reason),
            (None, Some(default)) => (default, Permissions::all(), Reason::OperatorDefault),
            (None, None) => (Handling::Block, permissions, Reason::NothingMatches),
        };
        let Some(strictest) = self.unresolved else {
            return (handling, permissions, reason, false);
        };
        // A list that cannot be read would outrank these: until it can, the stricter of both. It never allows.
        let outranked = matches!(
            reason,
            Reason::OtherIdentity | Reason::OperatorDefault | Reason::NothingMatches
        );
        (
            if outranked {
                handling.min(strictest)
            } else {
                handling
            },
            permissions,
            reason,
            true,
        )
    }
}

/// The first instant after `now` at which any validity interval opens or closes.
fn next_edge(rulesets: &[&Ruleset], now: Timestamp) -> Option<Timestamp> {
    let conditions = rulesets.iter().flat_map(|ruleset| ruleset.conditions());
    let intervals = conditions.flat_map(|condition| match condition {
        Condition::Validity(intervals) => intervals.as_slice(),
        _ => &[],
    });
    let edges = intervals
        .flat_map(|(from, until)| [*from, *until])
        .filter_map(|edge| u64::try_from(edge).ok());
    edges.filter(|edge| *edge > now.0).min().map(Timestamp)
}
