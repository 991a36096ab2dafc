//! One authorisation document as values.

use super::identity::Identity;
use super::ordered::OrderedPolicy;
use super::permissions::Permissions;
use crate::presence::notification::Notification;
use crate::xml::guard::Refusal;
use std::collections::BTreeSet;
use std::fmt;

/// `<sub-handling>`, RFC 5025 §3.2.1. Ordered as its numbers (0, 10, 20, 30): combining is the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handling {
    /// Reject; end a subscription.
    Block,
    /// Pending until the presentity decides.
    Confirm,
    /// Active, with the document of somebody who is not there.
    PoliteBlock,
    /// Active, with what the transformations grant.
    Allow,
}

impl Handling {
    /// The word as it stands in documents.
    pub fn word(self) -> &'static str {
        match self {
            Handling::Block => "block",
            Handling::Confirm => "confirm",
            Handling::PoliteBlock => "polite-block",
            Handling::Allow => "allow",
        }
    }

    /// The handling of such a word.
    pub fn parse(text: &str) -> Option<Handling> {
        Some(match text.trim() {
            "block" => Handling::Block,
            "confirm" => Handling::Confirm,
            "polite-block" => Handling::PoliteBlock,
            "allow" => Handling::Allow,
            _ => return None,
        })
    }
}

/// One condition of a rule. All of a rule's conditions must hold (RFC 4745 §10.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Identity(Identity),
    /// Any of these spheres, compared without case (RFC 4745 §7.3).
    Sphere(Vec<Box<str>>),
    /// Intervals in milliseconds since the epoch, the end not included (RFC 4745 §7.4).
    Validity(Vec<(i64, i64)>),
    /// OMA: the watcher is in one of these lists, named by XCAP URI.
    ExternalList(Vec<Box<str>>),
    /// OMA: the watcher does not say who it is.
    AnonymousRequest,
    /// OMA: no other rule names the watcher.
    OtherIdentity,
    /// Not known or not understood: FALSE (RFC 4745 §7).
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub id: Box<str>,
    pub conditions: Vec<Condition>,
    pub handling: Option<Handling>,
    pub permissions: Permissions,
}

/// A rule that says how watchers are notified. It decides nothing else, so it stands apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotificationRule {
    pub conditions: Vec<Condition>,
    pub notification: Notification,
}

/// An authorisation document (`pres-rules`), ready for decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub(super) rules: Vec<Rule>,
    pub(super) ordered: Option<OrderedPolicy>,
    pub(super) notifications: Vec<NotificationRule>,
}

impl Ruleset {
    /// Reads a document. Whatever is not understood grants nothing.
    pub fn parse(document: &[u8]) -> Result<Ruleset, RulesError> {
        super::parse::parse(document)
    }

    /// Rejects everybody but the presentity itself: in place of a document that cannot be read any more.
    pub fn closed() -> Ruleset {
        Ruleset {
            ordered: Some(OrderedPolicy::of(Handling::Block)),
            ..Ruleset::default()
        }
    }

    /// Has everybody but the presentity itself wait: in place of a document that is on its way.
    pub fn waiting() -> Ruleset {
        Ruleset {
            ordered: Some(OrderedPolicy::of(Handling::Confirm)),
            ..Ruleset::default()
        }
    }

    /// Rules in it, and one.
    pub fn weight(&self) -> usize {
        let lists = self
            .ordered
            .as_ref()
            .map_or(0, |ordered| ordered.lists.len());
        1 + self.rules.len() + self.notifications.len() + lists
    }

    /// Conditions of every rule.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let notifications = self.notifications.iter().flat_map(|rule| &rule.conditions);
        let rules = self.rules.iter().flat_map(|rule| &rule.conditions);
        rules.chain(notifications)
    }

    /// XCAP URIs of all lists that decisions may ask for, without repetition, in the order of the document.
    pub fn external_lists(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        self.anchors()
            .filter(|anchor| seen.insert(*anchor))
            .collect()
    }

    fn anchors(&self) -> impl Iterator<Item = &str> {
        let in_rules = self.conditions().flat_map(|condition| match condition {
            Condition::ExternalList(anchors) => anchors.as_slice(),
            _ => &[],
        });
        let in_order = self.ordered.iter().flat_map(OrderedPolicy::external_lists);
        in_rules.chain(in_order).map(|anchor| &**anchor)
    }

    /// A rule names a list: decisions must be made again when it changes.
    pub fn depends_on_lists(&self) -> bool {
        self.anchors().next().is_some()
    }

    /// A rule asks for the sphere: decisions must be made again when it changes.
    pub fn depends_on_sphere(&self) -> bool {
        self.conditions()
            .any(|condition| matches!(condition, Condition::Sphere(_)))
    }

    /// A rule holds for a time only: decisions must be made again at its edges.
    pub fn depends_on_time(&self) -> bool {
        self.conditions()
            .any(|condition| matches!(condition, Condition::Validity(_)))
    }
}

/// Why a document is not an authorisation document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// Refused before it was looked at: size, encoding, well-formedness.
    Refused(Refusal),
    /// Another kind of document.
    NotRuleset,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RulesError::Refused(refusal) => refusal.fmt(f),
            RulesError::NotRuleset => f.write_str("not a common-policy ruleset"),
        }
    }
}

impl std::error::Error for RulesError {}
