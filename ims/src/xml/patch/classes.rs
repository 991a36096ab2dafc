//! Equality of what two documents say: the same expanded names, attributes and text, whatever the prefixes, quotes,
//! order of attributes, and white space and comments between elements.

use super::names::Uri;
use super::read::text_value;
use super::tree::{Element, Kind, NodeId, Tree};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Number of a class of equal elements; equal in two trees when both were classified by one [`Classes`].
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
        children: Vec<Class>,
    },
}

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
}

/// The classes of the trees classified so far.
#[derive(Debug, Default)]
pub(super) struct Classes<'t> {
    index: BTreeMap<Shape<'t>, Class>,
}

impl<'t> Classes<'t> {
    /// The class of each node of a tree, by position.
    pub(super) fn of(&mut self, tree: &'t Tree<'_>) -> Vec<Class> {
        let mut classes = vec![0; tree.len()];
        // Children stand behind their parents, so going backwards finds theirs known.
        for id in tree.ids().rev() {
            let shape = match tree.kind(id) {
                Some(Kind::Text(raw)) => Shape::Text(text_value(raw)),
                Some(Kind::Comment(raw) | Kind::Instruction(raw)) => Shape::Mark(raw),
                Some(Kind::Element(element)) => element_shape(tree, element, &classes),
                Some(Kind::Document(_)) | None => continue,
            };
            let next = Class::try_from(self.index.len()).unwrap_or(Class::MAX);
            let class = *self.index.entry(shape).or_insert(next);
            if let Some(place) = classes.get_mut(id.index()) {
                *place = class;
            }
        }
        classes
    }
}

fn element_shape<'t>(tree: &'t Tree<'_>, element: &'t Element<'_>, classes: &[Class]) -> Shape<'t> {
    let mut attributes: Vec<(Uri, &str, &str)> = element
        .attributes
        .iter()
        .map(|a| (a.uri, a.local.as_ref(), a.value.as_ref()))
        .collect();
    attributes.sort_unstable();
    let children = match Content::of(tree, element) {
        Content::Empty => Vec::new(),
        Content::Text(text) => vec![text],
        Content::Elements(elements) => elements,
        Content::Mixed => element.children.clone(),
    };
    let class = |id: &NodeId| classes.get(id.index()).copied().unwrap_or(0);
    Shape::Element {
        uri: element.uri,
        local: &element.local,
        attributes,
        children: children.iter().map(class).collect(),
    }
}
