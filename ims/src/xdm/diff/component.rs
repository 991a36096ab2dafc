//! XCAP components: elements and attributes of documents (RFC 5875 §3), found and shown (RFC 5874 §3).

use crate::xdm::DocumentKey;
use crate::xdm::node::{self, Found};
use crate::xdm::selector::{NodeSelector, Terminal};
use crate::xdm::usage::Usage;
use crate::xml::guard::{self, Limits};
use crate::xml::text::escaped;
use roxmltree::{Document, Node};
use std::sync::Arc;

/// One element or attribute that is watched, there or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub key: DocumentKey,
    selector: NodeSelector,
    limits: Limits,
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Element,
    Attribute,
}

/// A component that is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// Namespace declarations that its content needs around it, as they are written in a start tag.
    pub declarations: String,
    /// Prefixes among them.
    pub prefixes: Vec<String>,
    /// An element as it stands in the document, the text of an attribute escaped.
    pub content: String,
}

impl Component {
    /// `None` for what is never shown: a selector that does not read, and namespace bindings, to which nobody may
    /// subscribe (RFC 5875 §4.1).
    pub fn parse(
        key: DocumentKey,
        node: &str,
        query: Option<&str>,
        usage: &Usage,
    ) -> Option<Component> {
        let selector = NodeSelector::parse(node, query, &usage.namespace).ok()?;
        let shown = !matches!(selector.terminal, Some(Terminal::Namespaces));
        shown.then_some(Component {
            key,
            selector,
            limits: usage.limits,
        })
    }

    /// A document of the usage, read for [`Component::find`].
    pub fn read<'d>(&self, document: &'d [u8]) -> Option<Document<'d>> {
        guard::parse(document, &self.limits).ok()
    }

    pub fn kind(&self) -> Kind {
        match self.selector.terminal {
            Some(_) => Kind::Attribute,
            None => Kind::Element,
        }
    }

    /// The component in a document.
    pub fn find(&self, document: &Document<'_>) -> Option<Arc<Value>> {
        let found = node::find(document, &self.selector)?;
        let value = match found {
            Found::Element(element) => {
                let (declarations, prefixes) = around(element);
                Value {
                    declarations,
                    prefixes,
                    content: found.content(document).into_owned(),
                }
            }
            Found::Attribute(attribute) => Value {
                declarations: String::new(),
                prefixes: Vec::new(),
                content: escaped(attribute.value()),
            },
            Found::Namespaces(_) => return None,
        };
        Some(Arc::new(value))
    }
}

/// The namespaces in scope around an element: its prefixes stay as they are in the document (RFC 5874 §3).
fn around(element: Node<'_, '_>) -> (String, Vec<String>) {
    let (mut text, mut prefixes) = (String::new(), Vec::new());
    let parent = element.parent().filter(Node::is_element);
    for namespace in parent.iter().flat_map(Node::namespaces) {
        let uri = escaped(namespace.uri());
        match namespace.name() {
            Some("xml") => {}
            None if uri.is_empty() => {}
            None => text.push_str(&format!(" xmlns=\"{uri}\"")),
            Some(prefix) => {
                text.push_str(&format!(" xmlns:{prefix}=\"{uri}\""));
                prefixes.push(prefix.to_owned());
            }
        }
    }
    (text, prefixes)
}
