//! Resource lists (RFC 4826 §3): the lists that rules refer to.
//!
//! OMA's well-known lists (`oma_grantedcontacts`, `oma_blockedcontacts` and their like) are names of lists here, no
//! more: what they mean is said by the rules that name them.

use super::{Candidate, Kept, Names, Readers, Rules, Usage};
use crate::xdm::document::Standing;
use crate::xdm::error::Conflict;
use crate::xdm::touched::{Touch, Touched};
use crate::xml::guard::Limits;
use crate::xml::schema::{LoadError, Schema, Unknown};
use crate::xml::schemas;
use ahash::RandomState;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Application unique identifier, RFC 4826 §3.4.1.
pub const AUID: &str = "resource-lists";

/// RFC 4826 §3.4.2.
pub const MEDIA_TYPE: &str = "application/resource-lists+xml";

/// Namespace of the documents, RFC 4826 §3.4.4.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:resource-lists";

/// What must be unique within one list: element and attribute (RFC 4826 §3.4.5).
const UNIQUE: [(&str, &str); 4] = [
    ("list", "name"),
    ("entry", "uri"),
    ("entry-ref", "ref"),
    ("external", "anchor"),
];

/// What one document of lists may cost: a list of 10,000 entries with names takes six nodes an entry.
pub fn limits(bytes: usize) -> Limits {
    Limits {
        bytes,
        nodes: 200_000,
        ..Limits::default()
    }
}

/// RFC 4826 §3.4. `bytes`: longest document.
pub(super) fn usage(bytes: usize) -> Result<Usage, LoadError> {
    Ok(Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: NAMESPACE.into(),
        limits: limits(bytes),
        users: Kept::Put(Names::Any),
        global: Kept::Put(Names::Any), // lists of the operator
        readers: Readers::Everybody,
        shown: false,
        rules: Arc::new(Lists {
            schema: Schema::load(&schemas::RESOURCE_LISTS)?,
        }),
    })
}

/// What documents are checked against.
#[derive(Debug)]
struct Lists {
    schema: Schema,
}

impl Rules for Lists {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        check(&self.schema, candidate.document)
    }

    fn still_obeyed(&self, touched: &Touched<'_, '_>) -> bool {
        still_obeyed(&self.schema, touched)
    }

    fn namespaces(&self) -> Vec<String> {
        self.schema.namespaces().to_vec()
    }
}

/// Checks a document against the schema and the constraints of RFC 4826 §3.4.5.
pub(super) fn check(schema: &Schema, document: &Document<'_>) -> Result<Standing, Conflict> {
    let root = document.root_element();
    if !is(root, "resource-lists") {
        let phrase = format!("the document element is resource-lists of {NAMESPACE}");
        return Err(Conflict::SchemaValidation(phrase));
    }
    let valid = schema
        .assess(document, Unknown::RefusedInKnownNamespaces)
        .map_err(|invalid| Conflict::SchemaValidation(invalid.to_string()))?;
    constraints(root)?;
    Ok(valid.into())
}

/// The same of a change of one node in a document of which it holds.
pub(super) fn still_obeyed(schema: &Schema, touched: &Touched<'_, '_>) -> bool {
    let unique = |element| unique_value(element).is_none_or(|(_, value)| !touched.beside(value));
    touched.keeps_valid(schema)
        && match touched.touch {
            Touch::Element(element) | Touch::Attributes(element) => {
                unique(element) && constraints(element).is_ok()
            }
            Touch::Removal => true,
        }
}

/// RFC 4826 §3.4.5, for the lists in an element and for itself.
pub(super) fn constraints(element: Node<'_, '_>) -> Result<(), Conflict> {
    unique(element)?;
    for node in element.descendants().filter(Node::is_element) {
        if is(node, "list") {
            unique(node)?;
        }
        references(node)?;
    }
    Ok(())
}

/// Uniqueness among siblings "is determined by case-sensitive string comparison".
fn unique(list: Node<'_, '_>) -> Result<(), Conflict> {
    // Two that are the same have the same hash; only where two have are the values themselves compared.
    let hashes = RandomState::with_seeds(1, 2, 3, 4);
    let hash = |(local, value): (&str, &str)| hashes.hash_one((local, value));
    let mut seen: Vec<u64> = list.children().filter_map(unique_value).map(hash).collect();
    seen.sort_unstable();
    match seen.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        true => duplicate(list),
        false => Ok(()),
    }
}

/// The value of a member that no other member of this name may have, with the name.
fn unique_value<'a>(member: Node<'a, '_>) -> Option<(&'static str, &'a str)> {
    let name = member.tag_name();
    let (element, attribute) = UNIQUE.iter().find(|(local, _)| *local == name.name())?;
    let value = member.attribute(*attribute)?;
    (name.namespace() == Some(NAMESPACE)).then_some((element, value))
}

/// The first two members of one list that are the same, if there are any.
fn duplicate(list: Node<'_, '_>) -> Result<(), Conflict> {
    for (element, attribute) in UNIQUE {
        let mut seen = BTreeSet::new();
        let members = list.children().filter(|child| is(*child, element));
        for member in members {
            if let Some(value) = member.attribute(attribute)
                && !seen.insert(value)
            {
                return Err(Conflict::uniqueness(
                    format!("{}/@{attribute}", path(member)),
                    Vec::new(),
                    format!("two {element} elements of one list have this {attribute}"),
                ));
            }
        }
    }
    Ok(())
}

/// The `ref` of an entry-ref is a relative path below the XCAP root, the `anchor` of an external an absolute HTTP URI.
fn references(node: Node<'_, '_>) -> Result<(), Conflict> {
    let refused = |why: &str| Err(Conflict::Constraint(format!("{}: {why}", path(node))));
    if is(node, "entry-ref") {
        let reference = node.attribute("ref").unwrap_or_default().trim();
        // RFC 3986 §4.2: a colon before the first slash would make it a scheme
        let scheme = reference
            .split('/')
            .next()
            .is_none_or(|first| first.contains(':'));
        if reference.is_empty() || reference.starts_with('/') || scheme {
            return refused("ref is a path relative to the XCAP root");
        }
    }
    if is(node, "external")
        && let Some(anchor) = node.attribute("anchor").map(str::trim)
    {
        let authority = ["http://", "https://"].iter().find_map(|scheme| {
            let start = anchor.get(..scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(())?;
            anchor.get(scheme.len()..)
        });
        if authority.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return refused("anchor is an absolute HTTP URI");
        }
    }
    Ok(())
}

/// The place of an element below the document, as a node selector (RFC 4825 §6.3, §11.2.10). Elements of another
/// namespace than the document element are told by their place alone, which needs no prefix.
pub(super) fn path(node: Node<'_, '_>) -> String {
    let root = node.document().root_element().tag_name().namespace();
    let mut steps: Vec<String> = Vec::new();
    let mut at = Some(node);
    while let Some(node) = at.filter(Node::is_element) {
        let name = node.tag_name();
        let own = name.namespace() == root;
        let before = node
            .prev_siblings()
            .skip(1)
            .filter(|sibling| sibling.is_element() && (!own || sibling.tag_name() == name))
            .count();
        let step = if own { name.name() } else { "*" };
        steps.push(match node.parent_element() {
            None => step.to_owned(),
            Some(_) => format!("{step}%5B{}%5D", before + 1),
        });
        at = node.parent_element();
    }
    steps.reverse();
    steps.join("/")
}

fn is(node: Node<'_, '_>, local: &str) -> bool {
    let name = node.tag_name();
    // The name of a node that is no element is empty.
    name.name() == local && name.namespace() == Some(NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_members_that_are_the_same_are_found_among_any(
            members in prop::collection::vec((0..6_usize, 0..3_usize, 0..24_u8), 0..9)
        ) {
            const NAMES: [&str; 6] = ["list", "entry", "entry-ref", "external", "x:entry", "display-name"];
            const ATTRIBUTES: [&str; 4] = ["name", "uri", "ref", "x:uri"];
            let members = members.iter().map(|(name, other, value)| {
                let other = ATTRIBUTES[(name + other) % 4];
                format!("<{} {other}='{value}'/>", NAMES[*name])
            });
            let members = members.collect::<String>();
            let text = format!("<list xmlns='{NAMESPACE}' xmlns:x='urn:x'>{members}text<!-- --></list>");
            let document = Document::parse(&text).unwrap();
            let list = document.root_element();
            let said = |outcome| format!("{outcome:?}");
            prop_assert_eq!(said(unique(list)), said(duplicate(list)), "{}", text);
        }
    }
}
