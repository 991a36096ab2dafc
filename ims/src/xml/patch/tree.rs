//! A document as a tree that can be changed: names resolved, prefixes, references and CDATA sections as written.

use super::names::{Names, Uri};
use crate::xml::text::escaped;
use std::borrow::Cow;

/// Position of a node in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// The document node, parent of the root element.
pub(super) const DOCUMENT: NodeId = NodeId(0);

#[derive(Clone, Debug)]
pub(super) struct Attribute<'a> {
    pub prefix: Cow<'a, str>,
    pub local: Cow<'a, str>,
    pub uri: Uri,
    /// References resolved.
    pub value: Cow<'a, str>,
}

/// A namespace declaration; the empty prefix is the default namespace, [`Uri::NONE`] undeclares it.
#[derive(Clone, Debug)]
pub(super) struct Declaration<'a> {
    pub prefix: Cow<'a, str>,
    pub uri: Uri,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Element<'a> {
    pub prefix: Cow<'a, str>,
    pub local: Cow<'a, str>,
    pub uri: Uri,
    pub declared: Vec<Declaration<'a>>,
    pub attributes: Vec<Attribute<'a>>,
    pub children: Vec<NodeId>,
}

impl Element<'_> {
    /// Position of an attribute by its expanded name.
    pub(super) fn position(&self, uri: Uri, local: &str) -> Option<usize> {
        self.attributes
            .iter()
            .position(|attribute| attribute.uri == uri && attribute.local == local)
    }

    /// Value of an attribute of no namespace.
    pub(super) fn attribute(&self, local: &str) -> Option<&str> {
        let position = self.position(Uri::NONE, local)?;
        Some(&self.attributes.get(position)?.value)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Kind<'a> {
    /// Only [`DOCUMENT`]; its name and attributes are empty.
    Document(Element<'a>),
    Element(Element<'a>),
    /// Character data as written: references and CDATA sections stay.
    Text(Cow<'a, str>),
    /// With its `<!--` and `-->`.
    Comment(&'a str),
    /// With its `<?` and `?>`.
    Instruction(&'a str),
}

#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub parent: NodeId,
    pub kind: Kind<'a>,
}

/// A document. Nodes that are taken out stay in the arena, unreachable, until the tree is dropped.
#[derive(Clone, Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    /// Reads a text that the guard found well-formed; of anything else the tree is some tree, in bounded time.
    pub(super) fn read(text: &'a str, names: &mut Names) -> Tree<'a> {
        super::read::read(text, names)
    }

    pub(super) fn empty() -> Tree<'a> {
        Tree {
            nodes: vec![Node {
                parent: DOCUMENT,
                kind: Kind::Document(Element::default()),
            }],
        }
    }

    /// Adds a node to the arena; it is in no list of children yet.
    pub(super) fn push(&mut self, parent: NodeId, kind: Kind<'a>) -> NodeId {
        // The guard counts nodes in u32, and each operation adds a bounded number.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { parent, kind });
        id
    }

    pub(super) fn kind(&self, id: NodeId) -> Option<&Kind<'a>> {
        Some(&self.nodes.get(id.0 as usize)?.kind)
    }

    pub(super) fn kind_mut(&mut self, id: NodeId) -> Option<&mut Kind<'a>> {
        Some(&mut self.nodes.get_mut(id.0 as usize)?.kind)
    }

    pub(super) fn parent(&self, id: NodeId) -> NodeId {
        self.nodes.get(id.0 as usize).map_or(DOCUMENT, |n| n.parent)
    }

    pub(super) fn element(&self, id: NodeId) -> Option<&Element<'a>> {
        match self.kind(id)? {
            Kind::Element(element) => Some(element),
            _ => None,
        }
    }

    pub(super) fn element_mut(&mut self, id: NodeId) -> Option<&mut Element<'a>> {
        match self.kind_mut(id)? {
            Kind::Element(element) => Some(element),
            _ => None,
        }
    }

    /// The root element.
    pub(super) fn root(&self) -> Option<NodeId> {
        self.children(DOCUMENT)
            .iter()
            .copied()
            .find(|id| self.element(*id).is_some())
    }

    pub(super) fn children(&self, id: NodeId) -> &[NodeId] {
        match self.kind(id) {
            Some(Kind::Element(element) | Kind::Document(element)) => &element.children,
            _ => &[],
        }
    }

    pub(super) fn children_mut(&mut self, id: NodeId) -> Option<&mut Vec<NodeId>> {
        match self.kind_mut(id)? {
            Kind::Element(element) | Kind::Document(element) => Some(&mut element.children),
            _ => None,
        }
    }

    /// Depth of a node: the root element is at 1.
    pub(super) fn depth(&self, id: NodeId) -> usize {
        let mut depth = 0;
        let mut at = id;
        while at != DOCUMENT {
            at = self.parent(at);
            depth += 1;
        }
        depth
    }

    /// Levels of elements from this node down, itself included.
    pub(super) fn height(&self, id: NodeId) -> usize {
        let mut deepest = 0;
        let mut open = vec![(id, 1)];
        while let Some((id, level)) = open.pop() {
            if self.element(id).is_some() {
                deepest = deepest.max(level);
                open.extend(self.children(id).iter().map(|child| (*child, level + 1)));
            }
        }
        deepest
    }

    /// Bindings that hold inside an element, innermost last declared wins; the default namespace only where it is bound.
    pub(super) fn in_scope(&self, id: NodeId) -> Vec<(Cow<'a, str>, Uri)> {
        let mut scope: Vec<(Cow<'a, str>, Uri)> = Vec::new();
        let mut at = id;
        while at != DOCUMENT {
            if let Some(element) = self.element(at) {
                for declaration in &element.declared {
                    if !scope
                        .iter()
                        .any(|(prefix, _)| *prefix == declaration.prefix)
                    {
                        scope.push((declaration.prefix.clone(), declaration.uri));
                    }
                }
            }
            at = self.parent(at);
        }
        scope.retain(|(_, uri)| *uri != Uri::NONE);
        scope
    }

    /// The namespace a prefix stands for inside an element; `None` for a prefix without declaration.
    pub(super) fn resolve(&self, id: NodeId, prefix: &str) -> Option<Uri> {
        if prefix == "xml" {
            return Some(Uri::XML);
        }
        let mut at = id;
        while at != DOCUMENT {
            if let Some(element) = self.element(at) {
                let declared = element.declared.iter().find(|d| d.prefix == prefix);
                if let Some(declared) = declared {
                    return Some(declared.uri);
                }
            }
            at = self.parent(at);
        }
        prefix.is_empty().then_some(Uri::NONE)
    }

    /// String value of a node as XPath 1.0 §5 defines it for elements and texts.
    pub(super) fn string_value(&self, id: NodeId) -> String {
        let mut out = String::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            match self.kind(id) {
                Some(Kind::Text(raw)) => out.push_str(&super::read::text_value(raw)),
                Some(Kind::Element(element)) => open.extend(element.children.iter().rev()),
                _ => {}
            }
        }
        out
    }

    /// The document as text, declaration included.
    pub(super) fn write(&self, names: &Names) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        for child in self.children(DOCUMENT) {
            self.write_node(*child, names, &[], &mut out);
        }
        out
    }

    /// One node and what is in it, with `extra` declarations on it when it is an element. It recurses as deep as
    /// the elements are nested, which the guard and the applier bound.
    pub(super) fn write_node(
        &self,
        id: NodeId,
        names: &Names,
        extra: &[(&str, Uri)],
        out: &mut String,
    ) {
        let element = match self.kind(id) {
            Some(Kind::Element(element)) => element,
            Some(Kind::Text(raw)) => return out.push_str(raw),
            Some(Kind::Comment(raw) | Kind::Instruction(raw)) => return out.push_str(raw),
            Some(Kind::Document(_)) | None => return,
        };
        out.push('<');
        push_name(&element.prefix, &element.local, out);
        let declared = element.declared.iter().map(|d| (d.prefix.as_ref(), d.uri));
        for (prefix, uri) in extra.iter().copied().chain(declared) {
            out.push_str(if prefix.is_empty() {
                " xmlns"
            } else {
                " xmlns:"
            });
            out.push_str(prefix);
            push_value(names.text(uri), out);
        }
        for attribute in &element.attributes {
            out.push(' ');
            push_name(&attribute.prefix, &attribute.local, out);
            push_value(&attribute.value, out);
        }
        if element.children.is_empty() {
            return out.push_str("/>");
        }
        out.push('>');
        for child in &element.children {
            self.write_node(*child, names, &[], out);
        }
        out.push_str("</");
        push_name(&element.prefix, &element.local, out);
        out.push('>');
    }
}

pub(super) fn push_name(prefix: &str, local: &str, out: &mut String) {
    if !prefix.is_empty() {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(local);
}

fn push_value(value: &str, out: &mut String) {
    out.push_str("=\"");
    out.push_str(&escaped(value));
    out.push('"');
}
