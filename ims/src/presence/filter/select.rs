//! `<what>`: which part of the document is delivered (RFC 4661 §3.5, RFC 4660 §5.3.1).
//!
//! Nothing is written: the outcome is what to cut out of the document, byte ranges of it. What is left is valid against
//! the schemas known here: elements that lead to a selected one stay, with the attributes and children that they may
//! not be without.

mod cut;

use super::instance::Item;
use super::mandatory::{self, Children, name};
use super::path::Path;
use crate::presence::pidf::names::XML;
use roxmltree::{Document, Node};
use std::ops::Range;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct What {
    /// None: everything.
    pub includes: Vec<Selector>,
    pub excludes: Vec<Selector>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    Path(Path),
    /// Everything of a namespace.
    Namespace(Box<str>),
}

/// What is kept of one element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Its tags.
    shown: bool,
    /// Its own text.
    text: bool,
    /// Everything in it was included.
    whole: bool,
    /// Its attributes, by their place.
    attributes: Vec<bool>,
}

/// What is kept of a document, by node number.
#[derive(Clone, Debug)]
struct Selection(Vec<Kept>);

impl What {
    pub fn is_everything(&self) -> bool {
        self.includes.is_empty() && self.excludes.is_empty()
    }

    /// What is to be cut out of the document; sorted, apart.
    pub fn cuts(&self, document: &Document<'_>) -> Vec<Range<usize>> {
        let mut selection = Selection::none(document);
        let root = document.root_element();
        if self.includes.is_empty() {
            selection.include_all(root);
        }
        for include in &self.includes {
            selection.include(document, include);
        }
        selection.complete(root);
        for exclude in &self.excludes {
            selection.exclude(document, exclude);
        }
        cut::cuts(document, &selection)
    }
}

impl Selection {
    fn none(document: &Document<'_>) -> Selection {
        let mut kept = Vec::new();
        for node in document.descendants() {
            kept.push(Kept {
                attributes: vec![false; node.attributes().len()],
                ..Kept::default()
            });
        }
        Selection(kept)
    }

    fn kept(&mut self, node: Node<'_, '_>) -> &mut Kept {
        &mut self.0[node.id().get_usize()]
    }

    fn shows(&self, node: Node<'_, '_>) -> bool {
        self.0[node.id().get_usize()].shown
    }

    /// An element with everything in it.
    fn include_all(&mut self, node: Node<'_, '_>) {
        for element in node.descendants().filter(Node::is_element) {
            let kept = self.kept(element);
            kept.shown = true;
            kept.text = true;
            kept.whole = true;
            kept.attributes.fill(true);
        }
    }

    fn include(&mut self, document: &Document<'_>, selector: &Selector) {
        match selector {
            Selector::Path(path) => {
                for item in path.select(document) {
                    match item {
                        // an element inside one that is there already needs no second walk
                        Item::Element(node) if self.kept(node).whole => {}
                        Item::Element(node) => self.include_all(node),
                        Item::Attribute(node, wanted) => {
                            let place = node.attributes().position(|a| a == wanted);
                            let kept = self.kept(node);
                            kept.shown = true;
                            if let Some(slot) = place.and_then(|at| kept.attributes.get_mut(at)) {
                                *slot = true;
                            }
                        }
                    }
                }
            }
            Selector::Namespace(space) => {
                let elements = document.descendants().filter(Node::is_element);
                for node in elements.filter(|node| name(*node).0 == &**space) {
                    let kept = &mut self.0[node.id().get_usize()];
                    kept.shown = true;
                    kept.text = true;
                    for (slot, attribute) in kept.attributes.iter_mut().zip(node.attributes()) {
                        let of = attribute.namespace();
                        *slot |= of.is_none_or(|of| of == &**space || of == XML);
                    }
                }
            }
        }
    }

    /// Adds what must be there: the elements that lead to a selected one, and what an element may not be without.
    fn complete(&mut self, root: Node<'_, '_>) {
        let mut elements: Vec<Node<'_, '_>> = root.descendants().filter(Node::is_element).collect();
        self.kept(root).shown = true;
        elements.reverse(); // children before their parents
        for node in &elements {
            if let Some(parent) = node.parent_element().filter(|_| self.shows(*node)) {
                self.kept(parent).shown = true;
            }
        }
        elements.reverse(); // parents first: what is added to one may need something itself
        for node in elements {
            if !self.shows(node) {
                continue;
            }
            let kept = &mut self.0[node.id().get_usize()];
            for (slot, attribute) in kept.attributes.iter_mut().zip(node.attributes()) {
                let own = attribute.namespace().is_none();
                *slot |= own && mandatory::attribute(node, attribute.name());
            }
            // the value of an element that has nothing but text is its content, and not optional
            kept.text |= !node.children().any(|child| child.is_element());
            for child in self.missing(node) {
                self.include_all(child);
            }
        }
    }

    /// Children that are not kept and may not be missing.
    fn missing<'a, 'input>(&self, node: Node<'a, 'input>) -> Vec<Node<'a, 'input>> {
        let space = name(node).0;
        let elements = || node.children().filter(Node::is_element);
        match mandatory::children(node) {
            Children::Nothing => Vec::new(),
            Children::Each(names) => elements()
                .filter(|child| {
                    let (of, local) = name(*child);
                    of == space && names.contains(&local) && !self.shows(*child)
                })
                .collect(),
            Children::One => {
                let counts = |child: &Node<'_, '_>| name(*child) != (space, "note");
                if elements().filter(counts).any(|child| self.shows(child)) {
                    return Vec::new();
                }
                elements().filter(counts).collect()
            }
        }
    }

    /// Takes away what the selector names. Where a document would not be valid without it, it stays as it was
    /// (RFC 4661 §3.5.2).
    fn exclude(&mut self, document: &Document<'_>, selector: &Selector) {
        let before = self.clone();
        let mut parents = Vec::new();
        let items = match selector {
            Selector::Path(path) => path.select(document),
            Selector::Namespace(space) => document
                .descendants()
                .filter(|node| node.is_element() && name(*node).0 == &**space)
                .map(Item::Element)
                .collect(),
        };
        for item in items {
            match item {
                Item::Attribute(node, wanted) => {
                    let own = wanted.namespace().is_none();
                    if own && mandatory::attribute(node, wanted.name()) {
                        continue;
                    }
                    let place = node.attributes().position(|a| a == wanted);
                    let slots = &mut self.kept(node).attributes;
                    if let Some(slot) = place.and_then(|at| slots.get_mut(at)) {
                        *slot = false;
                    }
                }
                // the document element stays
                Item::Element(node) => {
                    let Some(parent) = node.parent_element().filter(|_| self.shows(node)) else {
                        continue;
                    };
                    for below in node.descendants().filter(Node::is_element) {
                        self.kept(below).shown = false;
                    }
                    parents.push(parent);
                }
            }
        }
        for parent in parents {
            if self.shows(parent) {
                for missing in self.missing(parent) {
                    for below in missing.descendants() {
                        self.0[below.id().get_usize()] = before.0[below.id().get_usize()].clone();
                    }
                }
            }
        }
    }
}
