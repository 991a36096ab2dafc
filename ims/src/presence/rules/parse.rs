//! Reading an authorisation document. What is not understood never grants: an unknown condition is FALSE, an unknown
//! exception excludes everybody, an unknown permission is none.

use super::identity::{Except, Identity, Matcher};
use super::ordered::{self, List, OrderedPolicy};
use super::permissions::{Attribute, Member, Permissions, Provide, UserInput};
use super::ruleset::{Condition, Handling, NotificationRule, Rule, RulesError, Ruleset};
use crate::presence::notification;
use crate::sip::Aor;
use crate::time::datetime;
use crate::xml::guard;
use roxmltree::Node;

/// RFC 4745 §13.
const POLICY: &str = "urn:ietf:params:xml:ns:common-policy";
/// RFC 5025 §7.
const RULES: &str = "urn:ietf:params:xml:ns:pres-rules";
/// OMA extensions of conditions.
const OMA_POLICY: &str = "urn:oma:xml:xdm:common-policy";
/// OMA extensions of transformations.
const OMA_RULES: &str = "urn:oma:xml:prs:pres-rules";

pub(super) fn parse(document: &[u8]) -> Result<Ruleset, RulesError> {
    // its length was checked when it was put, against a limit that the operator sets
    let limits = guard::Limits {
        bytes: usize::MAX,
        ..guard::Limits::default()
    };
    let document = guard::parse(document, &limits).map_err(RulesError::Refused)?;
    let root = document.root_element();
    if name(root) != (POLICY, "ruleset") {
        return Err(RulesError::NotRuleset);
    }
    let rules: Vec<Node<'_, '_>> = elements(root)
        .filter(|node| name(*node) == (POLICY, "rule"))
        .collect();
    let ordered = rules.iter().find_map(|rule| order(*rule));
    // A rule that carries the order or notification rules and nothing else decides about nobody.
    let is_rule = |node: &&Node<'_, '_>| {
        !node.descendants().any(|inner| {
            inner.is_element() && name(inner) == (ordered::NAMESPACE, "ordered-policy")
        }) && !only_notifies(**node)
    };
    Ok(Ruleset {
        rules: rules
            .iter()
            .filter(is_rule)
            .map(|node| rule(*node))
            .collect(),
        ordered,
        notifications: rules
            .iter()
            .filter_map(|node| notification_rule(*node))
            .collect(),
    })
}

/// Whether all that a rule does is to say how watchers are notified.
fn only_notifies(rule: Node<'_, '_>) -> bool {
    let done = elements(rule).filter(|part| name(*part) != (POLICY, "conditions"));
    let mut done = done.flat_map(elements).peekable();
    done.peek().is_some() && done.all(|action| name(action).0 == notification::NAMESPACE)
}

fn notification_rule(node: Node<'_, '_>) -> Option<NotificationRule> {
    let mut actions = elements(node).filter(|part| name(*part) == (POLICY, "actions"));
    Some(NotificationRule {
        notification: actions.find_map(notification::read)?,
        conditions: rule(node).conditions,
    })
}

fn name<'a>(node: Node<'a, '_>) -> (&'a str, &'a str) {
    (
        node.tag_name().namespace().unwrap_or(""),
        node.tag_name().name(),
    )
}

fn elements<'a, 'input: 'a>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(|child| child.is_element())
}

/// Character data of an element, trimmed; a comment in between does not cut it.
fn text(node: Node<'_, '_>) -> String {
    let text: String = node
        .children()
        .filter(|child| child.is_text())
        .filter_map(|child| child.text())
        .collect();
    text.trim().to_owned()
}

/// `xs:boolean`; anything else is false.
fn is_true(node: Node<'_, '_>) -> bool {
    matches!(text(node).as_str(), "true" | "1")
}

fn rule(node: Node<'_, '_>) -> Rule {
    let mut rule = Rule {
        id: node.attribute("id").unwrap_or("").into(),
        conditions: Vec::new(),
        handling: None,
        permissions: Permissions::none(),
    };
    for part in elements(node) {
        match name(part) {
            (POLICY, "conditions") => rule.conditions.extend(elements(part).map(condition)),
            (POLICY, "actions") => {
                let handlings =
                    elements(part).filter(|action| name(*action) == (RULES, "sub-handling"));
                rule.handling = rule.handling.max(
                    handlings
                        .filter_map(|action| Handling::parse(&text(action)))
                        .max(),
                );
            }
            (POLICY, "transformations") => {
                for transformation in elements(part) {
                    transform(transformation, &mut rule.permissions);
                }
            }
            // Whatever it is, it may have been meant to restrict.
            _ => rule.conditions.push(Condition::Unknown),
        }
    }
    rule
}

fn condition(node: Node<'_, '_>) -> Condition {
    match name(node) {
        (POLICY, "identity") => {
            Condition::Identity(Identity(elements(node).map(matcher).collect()))
        }
        (POLICY, "sphere") => match node.attribute("value") {
            Some(value) => {
                Condition::Sphere(value.split_ascii_whitespace().map(Box::from).collect())
            }
            None => Condition::Unknown,
        },
        (POLICY, "validity") => validity(node).map_or(Condition::Unknown, Condition::Validity),
        (OMA_POLICY, "external-list") => {
            let entries = elements(node).filter(|entry| name(*entry) == (OMA_POLICY, "entry"));
            Condition::ExternalList(
                entries
                    .filter_map(|entry| entry.attribute("anc"))
                    .map(Box::from)
                    .collect(),
            )
        }
        (OMA_POLICY, "anonymous-request") => Condition::AnonymousRequest,
        (OMA_POLICY, "other-identity") => Condition::OtherIdentity,
        _ => Condition::Unknown,
    }
}

/// `<from>` and `<until>` in pairs, RFC 4745 §7.4.
fn validity(node: Node<'_, '_>) -> Option<Vec<(i64, i64)>> {
    let children: Vec<Node<'_, '_>> = elements(node).collect();
    let pairs = children.chunks(2).map(|pair| match pair {
        [from, until] if name(*from) == (POLICY, "from") && name(*until) == (POLICY, "until") => {
            Some((
                datetime::parse(&text(*from))?,
                datetime::parse(&text(*until))?,
            ))
        }
        _ => None,
    });
    pairs.collect()
}

fn matcher(node: Node<'_, '_>) -> Matcher {
    match name(node) {
        // what stands inside is of another namespace, and may have been meant to restrict
        (POLICY, "one") if elements(node).next().is_some() => Matcher::Nobody,
        (POLICY, "one") => node
            .attribute("id")
            .and_then(Aor::parse)
            .map_or(Matcher::Nobody, Matcher::One),
        (POLICY, "many") => Matcher::Many {
            domain: node.attribute("domain").map(Box::from),
            except: elements(node).map(except).collect(),
        },
        _ => Matcher::Nobody,
    }
}

fn except(node: Node<'_, '_>) -> Except {
    match (name(node), node.attribute("id"), node.attribute("domain")) {
        ((POLICY, "except"), Some(id), None) => {
            Aor::parse(id).map_or(Except::Everybody, Except::One)
        }
        ((POLICY, "except"), None, Some(domain)) => Except::Domain(domain.into()),
        _ => Except::Everybody,
    }
}

/// One child of `<transformations>`.
fn transform(node: Node<'_, '_>, permissions: &mut Permissions) {
    match name(node) {
        (RULES, "provide-services") => permissions.services.combine(&provide(node, "all-services")),
        (RULES, "provide-persons") => permissions.persons.combine(&provide(node, "all-persons")),
        (RULES, "provide-devices") => permissions.devices.combine(&provide(node, "all-devices")),
        (RULES, "provide-user-input") => {
            permissions.user_input = permissions.user_input.max(user_input(&text(node)))
        }
        (RULES, "provide-all-attributes") => permissions.grant_all_attributes(),
        (RULES, "provide-unknown-attribute") if is_true(node) => {
            if let (Some(ns), Some(name)) = (node.attribute("ns"), node.attribute("name")) {
                permissions.grant_unknown(ns, name);
            }
        }
        (OMA_RULES, "provide-geopriv") if text(node) == "full" => {
            permissions.grant(Attribute::Geopriv)
        }
        (ns, name) => {
            if let Some(attribute) = attribute(ns, name).filter(|_| is_true(node)) {
                permissions.grant(attribute);
            }
        }
    }
}

fn attribute(ns: &str, name: &str) -> Option<Attribute> {
    Some(match (ns, name) {
        (RULES, "provide-activities") => Attribute::Activities,
        (RULES, "provide-class") => Attribute::Class,
        (RULES, "provide-deviceID") => Attribute::DeviceId,
        (RULES, "provide-mood") => Attribute::Mood,
        (RULES, "provide-place-is") => Attribute::PlaceIs,
        (RULES, "provide-place-type") => Attribute::PlaceType,
        (RULES, "provide-privacy") => Attribute::Privacy,
        (RULES, "provide-relationship") => Attribute::Relationship,
        (RULES, "provide-sphere") => Attribute::Sphere,
        (RULES, "provide-status-icon") => Attribute::StatusIcon,
        (RULES, "provide-time-offset") => Attribute::TimeOffset,
        (RULES, "provide-note") => Attribute::Note,
        (OMA_RULES, "provide-willingness") => Attribute::Willingness,
        (OMA_RULES, "provide-network-availability") => Attribute::NetworkAvailability,
        (OMA_RULES, "provide-session-participation") => Attribute::SessionParticipation,
        (OMA_RULES, "provide-registration-state") => Attribute::RegistrationState,
        (OMA_RULES, "provide-barring-state") => Attribute::BarringState,
        _ => return None,
    })
}

fn user_input(text: &str) -> UserInput {
    match text {
        "bare" => UserInput::Bare,
        "thresholds" => UserInput::Thresholds,
        "full" => UserInput::Full,
        _ => UserInput::False,
    }
}

/// The set of components one `provide-` element names.
fn provide(node: Node<'_, '_>, all: &str) -> Provide {
    let mut members = std::collections::BTreeSet::new();
    for member in elements(node) {
        let value = || text(member).into_boxed_str();
        members.insert(match name(member) {
            (RULES, name) if name == all => return Provide::All,
            (RULES, "class") => Member::Class(value()),
            (RULES, "occurrence-id") => Member::OccurrenceId(value()),
            (RULES, "deviceID") => Member::DeviceId(value()),
            (RULES, "service-uri") => Member::ServiceUri(value()),
            (RULES, "service-uri-scheme") => Member::ServiceUriScheme(value()),
            (OMA_RULES, "service-id") => Member::ServiceId(value()),
            _ => continue,
        });
    }
    Provide::Some(members)
}

/// The order that a rule carries in its actions. Conditions beside it would be ignored, so it then rejects everybody.
fn order(rule: Node<'_, '_>) -> Option<OrderedPolicy> {
    let mut actions = elements(rule).filter(|part| name(*part) == (POLICY, "actions"));
    let policy = actions
        .find_map(|actions| {
            elements(actions).find(|node| name(*node) == (ordered::NAMESPACE, "ordered-policy"))
        })
        .map(ordered_policy)?;
    let conditional = elements(rule)
        .filter(|part| name(*part) == (POLICY, "conditions"))
        .any(|conditions| elements(conditions).next().is_some());
    Some(if conditional {
        OrderedPolicy::of(Handling::Block)
    } else {
        policy
    })
}

fn ordered_policy(node: Node<'_, '_>) -> OrderedPolicy {
    let handling = |name| node.attribute(name).and_then(Handling::parse);
    let lists = elements(node).filter(|child| name(*child) == (ordered::NAMESPACE, "list"));
    let list = |node: Node<'_, '_>| List {
        // A list whose handling is not understood rejects its members.
        handling: node
            .attribute("handling")
            .and_then(Handling::parse)
            .unwrap_or(Handling::Block),
        members: elements(node).map(list_member).collect(),
    };
    OrderedPolicy {
        lists: lists.map(list).collect(),
        default: handling("default"),
        anonymous: handling("anonymous"),
    }
}

fn list_member(node: Node<'_, '_>) -> ordered::Member {
    let member = match name(node) {
        (ordered::NAMESPACE, "one") => node
            .attribute("id")
            .and_then(Aor::parse)
            .map(ordered::Member::One),
        (ordered::NAMESPACE, "entry") => node
            .attribute("anc")
            .map(|anchor| ordered::Member::Entry(anchor.into())),
        _ => None,
    };
    member.unwrap_or(ordered::Member::Unknown)
}
