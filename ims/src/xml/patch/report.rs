//! A failure as the error document of RFC 5261 §5.1.

use super::names::Uri;
use super::tree::{NodeId, push_name};
use super::{Diff, Error, Failure};
use crate::xml::text::escaped;

/// Media type of an error document (RFC 5261 §9.1).
pub const MEDIA_TYPE: &str = "application/patch-ops-error+xml";
/// Namespace of error documents.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:patch-ops-error";
/// Longest operation repeated with its content, in bytes: the answer should fit a datagram.
const OPERATION: usize = 512;

impl Error {
    /// The element that tells this condition, and whether it holds the operation; `None` for our own conditions.
    fn element(self) -> Option<(&'static str, bool)> {
        Some(match self {
            Error::InvalidAttributeValue => ("invalid-attribute-value", true),
            Error::InvalidCharacterSet => ("invalid-character-set", false),
            Error::InvalidDiffFormat => ("invalid-diff-format", false),
            Error::InvalidEntityDeclaration => ("invalid-entity-declaration", true),
            Error::InvalidNamespacePrefix => ("invalid-namespace-prefix", true),
            Error::InvalidNamespaceUri => ("invalid-namespace-uri", true),
            Error::InvalidNodeTypes => ("invalid-node-types", true),
            Error::InvalidPatchDirective => ("invalid-patch-directive", true),
            Error::InvalidRootElementOperation => ("invalid-root-element-operation", true),
            Error::InvalidXmlPrologOperation => ("invalid-xml-prolog-operation", true),
            Error::InvalidWhitespaceDirective => ("invalid-whitespace-directive", true),
            Error::UnlocatedNode => ("unlocated-node", true),
            Error::UnsupportedIdFunction => ("unsupported-id-function", true),
            Error::TooMuch | Error::BadTarget => return None,
        })
    }
}

impl Failure {
    /// The failure of one operation, told with it.
    pub(super) fn at(mut self, operation: String) -> Failure {
        self.operation = Some(operation);
        self
    }

    /// The error document. `None` where RFC 5261 has no element for the condition, or the element needs an operation
    /// and none could be read.
    pub fn document(&self) -> Option<String> {
        let (name, holds_operation) = self.error.element()?;
        let content = match (&self.operation, holds_operation) {
            (Some(operation), true) => operation.as_str(),
            (None, true) => return None,
            (_, false) => "",
        };
        let phrase = escaped(self.phrase);
        Some(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><patch-ops-error xmlns=\"{NAMESPACE}\">\
             <{name} phrase=\"{phrase}\">{content}</{name}></patch-ops-error>"
        ))
    }
}

/// The operation `id` with the declarations around it; without its content when that is long.
pub(super) fn operation(diff: &Diff<'_>, id: NodeId) -> String {
    let (tree, names) = (&diff.tree, &diff.names);
    let scope = tree.in_scope(tree.parent(id));
    let own = tree
        .element(id)
        .map(|e| e.declared.as_slice())
        .unwrap_or_default();
    let mut around: Vec<(&str, Uri)> = scope
        .iter()
        .filter(|(prefix, _)| !own.iter().any(|d| d.prefix == *prefix))
        .map(|(prefix, uri)| (prefix.as_ref(), *uri))
        .collect();
    // The error document has a default namespace of its own.
    if !around.iter().any(|(p, _)| p.is_empty()) && !own.iter().any(|d| d.prefix.is_empty()) {
        around.push(("", Uri::NONE));
    }
    let mut whole = String::new();
    tree.write_node(id, names, &around, &mut whole);
    if whole.len() <= OPERATION {
        return whole;
    }
    let Some(element) = tree.element(id) else {
        return String::new();
    };
    let mut tag = String::from("<");
    push_name(&element.prefix, &element.local, &mut tag);
    let declared = own.iter().map(|d| (d.prefix.as_ref(), d.uri));
    let bindings = around.iter().copied().chain(declared);
    for (prefix, uri) in bindings.filter(|(prefix, _)| *prefix == element.prefix) {
        let name = if prefix.is_empty() {
            "xmlns".into()
        } else {
            format!("xmlns:{prefix}")
        };
        tag.push_str(&format!(" {name}=\"{}\"", escaped(names.text(uri))));
    }
    for attribute in element.attributes.iter().filter(|a| a.prefix.is_empty()) {
        let value: String = attribute.value.chars().take(OPERATION / 2).collect();
        tag.push_str(&format!(" {}=\"{}\"", attribute.local, escaped(&value)));
    }
    tag.push_str("/>");
    tag
}
