//! Equality of what two documents say: the same expanded names, attributes and text, whatever the prefixes, quotes,
//! order of attributes, and white space and comments between elements.

use super::names::Uri;
use super::read::text_value;
use super::tree::{Element, Kind, NodeId, Tree};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The content of an element as a difference sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    /// One text and nothing else.
    Text(NodeId),
    /// Elements; white space, comments and instructions between them do not count.
    Elements(Vec<NodeId>),
    Mixed,
}

impl Content {
    pub(super) fn of(tree: &Tree<'_>, element: &Element<'_>) -> Content {
        if let [only] = element.children.as_slice() {
            match tree.kind(*only) {
                Some(Kind::Text(raw)) if !text_value(raw).is_empty() => {
                    return Content::Text(*only);
                }
                Some(Kind::Element(_)) => return Content::Elements(vec![*only]),
                _ => {}
            }
        }
        let mut elements = Vec::new();
        let mut texts = Vec::new();
        let mut marks = false;
        for child in &element.children {
            match tree.kind(*child) {
                Some(Kind::Element(_)) => elements.push(*child),
                Some(Kind::Text(raw)) if text_value(raw).is_empty() => {}
                Some(Kind::Text(_)) => texts.push(*child),
                _ => marks = true,
            }
        }
        let blank = || texts.iter().all(|text| super::is_blank(tree.kind(*text)));
        match (elements.is_empty(), texts.as_slice()) {
            (true, []) => Content::Empty,
            (true, [text]) if !marks => Content::Text(*text),
            (false, _) if blank() => Content::Elements(elements),
            _ => Content::Mixed,
        }
    }

    /// The children that count.
    fn children<'c>(&'c self, element: &'c Element<'_>) -> &'c [NodeId] {
        match self {
            Content::Empty => &[],
            Content::Text(text) => std::slice::from_ref(text),
            Content::Elements(elements) => elements,
            Content::Mixed => &element.children,
        }
    }
}

/// Whether two nodes say the same; the trees were read with the same names.
pub(super) fn equal(one: &Tree<'_>, a: NodeId, other: &Tree<'_>, b: NodeId) -> bool {
    let mut open = vec![(a, b)];
    while let Some((a, b)) = open.pop() {
        match (one.kind(a), other.kind(b)) {
            (Some(Kind::Text(a)), Some(Kind::Text(b))) => {
                if a != b && text_value(a) != text_value(b) {
                    return false;
                }
            }
            (
                Some(Kind::Comment(a) | Kind::Instruction(a)),
                Some(Kind::Comment(b) | Kind::Instruction(b)),
            ) if a == b => {}
            (Some(Kind::Element(a)), Some(Kind::Element(b))) => {
                if (a.uri, &a.local) != (b.uri, &b.local) || !same_attributes(a, b) {
                    return false;
                }
                let contents = (Content::of(one, a), Content::of(other, b));
                let (from, to) = (contents.0.children(a), contents.1.children(b));
                let same_sort =
                    std::mem::discriminant(&contents.0) == std::mem::discriminant(&contents.1);
                if !same_sort || from.len() != to.len() {
                    return false;
                }
                open.extend(from.iter().copied().zip(to.iter().copied()));
            }
            _ => return false,
        }
    }
    true
}

/// Names are unique in an element, so as many of one as of the other, each found in the other, are the same.
fn same_attributes(a: &Element<'_>, b: &Element<'_>) -> bool {
    let found = |attribute: &super::tree::Attribute<'_>| {
        let position = b.position(attribute.uri, &attribute.local);
        let other = position.and_then(|position| b.attributes.get(position));
        other.is_some_and(|other| other.value == attribute.value)
    };
    a.attributes.len() == b.attributes.len() && a.attributes.iter().all(found)
}

/// Number of a class of equal nodes; equal in two trees when both were classified by one [`Classes`].
pub(super) type Class = u32;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape<'t> {
    Text(Cow<'t, str>),
    /// A comment or an instruction beside text.
    Mark(&'t str),
    Element {
        uri: Uri,
        local: &'t str,
        attributes: Vec<(Uri, &'t str, &'t str)>,
        content: u8,
        children: Vec<Class>,
    },
}

/// The classes of the nodes classified so far.
#[derive(Debug, Default)]
pub(super) struct Classes<'t> {
    index: BTreeMap<Shape<'t>, Class>,
}

impl<'t> Classes<'t> {
    /// The class of a node. It recurses as deep as the document is nested, which the guard bounds.
    pub(super) fn of(&mut self, tree: &'t Tree<'_>, id: NodeId) -> Class {
        let shape = match tree.kind(id) {
            Some(Kind::Text(raw)) => Shape::Text(text_value(raw)),
            Some(Kind::Comment(raw) | Kind::Instruction(raw)) => Shape::Mark(raw),
            Some(Kind::Element(element)) => self.element(tree, element),
            Some(Kind::Document(_)) | None => Shape::Mark(""),
        };
        let next = Class::try_from(self.index.len()).unwrap_or(Class::MAX);
        *self.index.entry(shape).or_insert(next)
    }

    fn element(&mut self, tree: &'t Tree<'_>, element: &'t Element<'_>) -> Shape<'t> {
        let mut attributes: Vec<(Uri, &str, &str)> = element
            .attributes
            .iter()
            .map(|a| (a.uri, a.local.as_ref(), a.value.as_ref()))
            .collect();
        attributes.sort_unstable();
        let content = Content::of(tree, element);
        let children = content.children(element).iter();
        Shape::Element {
            uri: element.uri,
            local: &element.local,
            attributes,
            children: children.map(|child| self.of(tree, *child)).collect(),
            content: match content {
                Content::Empty => 0,
                Content::Text(_) => 1,
                Content::Elements(_) => 2,
                Content::Mixed => 3,
            },
        }
    }
}
