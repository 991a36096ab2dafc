//! Presence authorisation rules (RFC 5025 §9) and OMA's constraints on them.

use super::{Candidate, Kept, Names, Readers, Rules, Usage};
use crate::xdm::anchor::{Anchor, NoAnchor};
use crate::xdm::document::{Documents, Standing};
use crate::xdm::error::Conflict;
use crate::xdm::key::DocumentKey;
use crate::xml::guard::Limits;
use crate::xml::schema::{LoadError, Schema, Unknown};
use crate::xml::schemas;
use roxmltree::Node;
use std::sync::Arc;

/// Application unique identifier, RFC 5025 §9.1. Any document name; with one document, `index` (§9.7).
pub const AUID: &str = "pres-rules";

/// OMA's identifier for the same documents, and the one name that a document has there.
pub const OMA_AUID: &str = "org.openmobilealliance.pres-rules";
pub const OMA_NAME: &str = "pres-rules";

/// RFC 4745 §16.1, RFC 5025 §9.4.
pub const MEDIA_TYPE: &str = "application/auth-policy+xml";

const COMMON_POLICY: &str = "urn:ietf:params:xml:ns:common-policy";
const PRES_RULES: &str = "urn:ietf:params:xml:ns:pres-rules";
const OMA_COMMON_POLICY: &str = "urn:oma:xml:xdm:common-policy";
const OMA_PRES_RULES: &str = "urn:oma:xml:prs:pres-rules";
const ORDERED_POLICY: &str = "urn:presentia:xml:ordered-policy";
const NOTIFICATION_RULES: &str = "urn:presentia:xml:notification-rules";

/// Conditions of which OMA lets a rule have one element each.
const CONDITIONS: [(&str, &str); 4] = [
    (COMMON_POLICY, "identity"),
    (OMA_COMMON_POLICY, "external-list"),
    (OMA_COMMON_POLICY, "other-identity"),
    (OMA_COMMON_POLICY, "anonymous-request"),
];

/// RFC 5025 §9.
pub(super) fn usage(rules: Arc<PresRules>, limits: Limits) -> Usage {
    Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: PRES_RULES.into(), // RFC 5025 §9.3, although the document element is of another
        limits,
        users: Kept::Put(Names::Any),
        global: Kept::Nothing,
        readers: Readers::Everybody,
        shown: false,
        rules,
    }
}

/// The same documents under OMA's name: a subscriber's documents of both usages apply together.
pub(super) fn oma_usage(rules: Arc<PresRules>, limits: Limits) -> Usage {
    Usage {
        auid: OMA_AUID.into(),
        namespace: COMMON_POLICY.into(), // the one that names rules; clients are advised to bind prefixes
        users: Kept::Put(Names::One(OMA_NAME.into())),
        ..usage(rules, limits)
    }
}

/// What documents are checked against.
#[derive(Debug)]
pub(super) struct PresRules {
    schema: Schema,
    /// XCAP roots as clients write them; a list must be under one of them. Empty: under any root.
    roots: Vec<String>,
    /// Whether a rule may refer to lists that are not the owner's.
    foreign_lists: bool,
}

impl Rules for PresRules {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        let Candidate {
            key,
            document,
            documents,
            ..
        } = *candidate;
        let root = document.root_element();
        if !is(&root, COMMON_POLICY, "ruleset") {
            // The schema also declares elements that are no document.
            let phrase = format!("the document element is ruleset of {COMMON_POLICY}");
            return Err(Conflict::SchemaValidation(phrase));
        }
        self.schema
            .validate(document, Unknown::RefusedInKnownNamespaces)
            .map_err(|invalid| Conflict::SchemaValidation(invalid.to_string()))?;
        let oma = |n: Node<'_, '_>| {
            matches!(
                n.tag_name().namespace(),
                Some(OMA_COMMON_POLICY | OMA_PRES_RULES)
            )
        };
        let is_list =
            |n: &Node<'_, '_>| is(n, OMA_COMMON_POLICY, "entry") || is(n, ORDERED_POLICY, "entry");
        for entry in document.descendants().filter(is_list) {
            self.list(key, entry.attribute("anc"), documents)?;
        }
        let order = |n: &Node<'_, '_>| is(n, ORDERED_POLICY, "ordered-policy");
        let in_actions =
            |n: &Node<'_, '_>| n.parent().is_some_and(|p| is(&p, COMMON_POLICY, "actions"));
        for (count, policy) in document.descendants().filter(order).enumerate() {
            if count > 0 || !in_actions(&policy) {
                // elsewhere it would be kept and mean nothing, and nobody would be told
                let phrase = "a document has one ordered-policy, in the actions of a rule";
                return Err(Conflict::Constraint(phrase.to_owned()));
            }
        }
        let notification = |n: &Node<'_, '_>| is(n, NOTIFICATION_RULES, "notification");
        let mut notifications = document.descendants().filter(notification);
        if notifications.any(|n| !in_actions(&n)) {
            let phrase = "notification stands in the actions of a rule";
            return Err(Conflict::Constraint(phrase.to_owned()));
        }
        if document.descendants().any(oma) {
            for rule in root.children().filter(|n| is(n, COMMON_POLICY, "rule")) {
                complex(&rule)?;
            }
        }
        Ok(Standing::Unknown)
    }

    fn namespaces(&self) -> Vec<String> {
        self.schema.namespaces().to_vec()
    }
}

impl PresRules {
    pub(super) fn load(roots: &[String], foreign_lists: bool) -> Result<PresRules, LoadError> {
        Ok(PresRules {
            schema: Schema::load(&schemas::PRESENCE_RULES)?,
            roots: roots.to_vec(),
            foreign_lists,
        })
    }

    /// A list is the owner's and under an XCAP root of ours, unless others are allowed: resolving it reads
    /// it with this server's rights.
    fn list(
        &self,
        key: &DocumentKey,
        anchor: Option<&str>,
        documents: &dyn Documents,
    ) -> Result<(), Conflict> {
        let Some(anchor) = anchor.filter(|_| !self.foreign_lists) else {
            return Ok(());
        };
        let refused = |why: &str| Err(Conflict::Constraint(format!("external-list entry {why}")));
        let list = match Anchor::parse(anchor, &self.roots) {
            Err(NoAnchor::Elsewhere) => {
                return refused("is not a resource list of this XCAP root");
            }
            Err(NoAnchor::NoDocument) => None,
            Ok(anchor) => Some(anchor.document),
        };
        match (key.owner(), list.as_ref().and_then(DocumentKey::owner)) {
            (Some(user), Some(owner)) if documents.same_user(user, owner) => Ok(()),
            _ => refused("refers to a list of another user"),
        }
    }
}

/// OMA's constraints, which hold in a document that uses OMA's vocabulary.
fn complex(rule: &Node<'_, '_>) -> Result<(), Conflict> {
    let part = |name| rule.children().find(|n| is(n, COMMON_POLICY, name));
    let elements =
        |part: Option<Node<'_, '_>>| part.is_some_and(|p| p.children().any(|n| n.is_element()));
    if let Some(conditions) = part("conditions") {
        for (space, name) in CONDITIONS {
            if conditions
                .children()
                .filter(|n| is(n, space, name))
                .nth(1)
                .is_some()
            {
                return Err(Conflict::Constraint(
                    "Complex rules are not allowed".to_owned(),
                ));
            }
        }
    }
    let handling =
        part("actions").and_then(|a| a.children().find(|n| is(n, PRES_RULES, "sub-handling")));
    let other = handling
        .and_then(|n| n.text())
        .is_some_and(|text| text.trim() != "allow");
    if other && elements(part("transformations")) {
        return Err(Conflict::Constraint(
            "transformations element not allowed".to_owned(),
        ));
    }
    Ok(())
}

fn is(node: &Node<'_, '_>, space: &str, local: &str) -> bool {
    node.is_element()
        && node.tag_name().namespace() == Some(space)
        && node.tag_name().name() == local
}
