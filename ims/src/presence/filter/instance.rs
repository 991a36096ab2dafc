//! Elements and attributes of two documents in pairs: which one became which.

use super::mandatory::name;
use crate::presence::pidf::lexis::trim;
use crate::xml::guard;
use roxmltree::{Attribute, Document, Node};
use std::collections::BTreeMap;

/// Our own documents, which are longer than what one stranger may send.
const OURS: guard::Limits = guard::Limits {
    bytes: 64 << 20,
    depth: 128,
    attributes: 4_096,
    namespaces: 65_536,
    nodes: 4_000_000,
};

/// A document of ours as a tree; `None` never happens to a document that the content rules made.
pub(in crate::presence) fn tree(bytes: &[u8]) -> Option<Document<'_>> {
    guard::parse(bytes, &OURS).ok()
}

/// An element or an attribute that an expression or a rule names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a, 'input> {
    Element(Node<'a, 'input>),
    Attribute(Node<'a, 'input>, Attribute<'a, 'input>),
}

/// Where an item is: for each element from the root its name and its `id`, or its place among siblings of that name. A
/// tuple keeps its id over changes, so the same key in two documents is the same thing.
type Key = Vec<String>;

/// The text of an item, and all there is in it.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    text: String,
    all: String,
}

/// Items by their place, with their values.
#[derive(Debug, Default)]
pub(in crate::presence) struct Instances(BTreeMap<Key, Value>);

/// What became of one item from one document to a later one. Texts without white space at their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Changed { from: &'a str, to: &'a str },
    Added,
    Removed,
}

impl Instances {
    pub(super) fn of<'a, 'input: 'a>(
        document: &'a Document<'input>,
        items: impl Iterator<Item = Item<'a, 'input>>,
    ) -> Instances {
        let places = Places::of(document);
        Instances(items.map(|item| (places.key(item), value(item))).collect())
    }

    /// The elements of one expanded name, anywhere in the document.
    pub(in crate::presence) fn named(document: &Document<'_>, wanted: (&str, &str)) -> Instances {
        let elements = document
            .root_element()
            .descendants()
            .filter(|node| node.is_element() && name(*node) == wanted);
        Instances::of(document, elements.map(Item::Element))
    }

    /// Whether anything is another, new or gone.
    pub(in crate::presence) fn differ(&self, later: &Instances) -> bool {
        self.0 != later.0
    }

    /// What happened from `self` to `later`. Items that have no counterpart of the same key, as when a tuple got
    /// another id, are paired in the order of their keys as far as `Changed` goes.
    pub(super) fn steps<'a>(&'a self, later: &'a Instances) -> Vec<Step<'a>> {
        let changed = |from: &'a Value, to: &'a Value| Step::Changed {
            from: &from.text,
            to: &to.text,
        };
        let mut steps = Vec::new();
        let mut gone = Vec::new();
        for (key, from) in &self.0 {
            match later.0.get(key) {
                Some(to) if to != from => steps.push(changed(from, to)),
                Some(_) => {}
                None => gone.push(from),
            }
        }
        let is_new = |(key, value)| (!self.0.contains_key(key)).then_some(value);
        let new: Vec<&Value> = later.0.iter().filter_map(is_new).collect();
        for (from, to) in gone.iter().zip(&new).filter(|(from, to)| from != to) {
            steps.push(changed(from, to));
        }
        steps.extend(gone.iter().map(|_| Step::Removed));
        steps.extend(new.iter().map(|_| Step::Added));
        steps
    }
}

/// The place of each element among siblings of its name, by node number.
struct Places(Vec<u32>);

impl Places {
    fn of(document: &Document<'_>) -> Places {
        let mut places = Vec::new();
        let mut counts = BTreeMap::new();
        for node in document.root().descendants().filter(Node::is_element) {
            let parent = node.parent().map_or(0, |parent| parent.id().get_usize());
            let count = counts.entry((parent, name(node))).or_insert(0u32);
            places.resize(node.id().get_usize() + 1, 0);
            places[node.id().get_usize()] = *count;
            *count += 1;
        }
        Places(places)
    }

    fn key(&self, item: Item<'_, '_>) -> Key {
        let (node, attribute) = match item {
            Item::Element(node) => (node, None),
            Item::Attribute(node, attribute) => (node, Some(attribute)),
        };
        let elements = node.ancestors().filter(Node::is_element);
        let mut key: Key = elements.map(|element| self.step(element)).collect();
        key.reverse();
        key.extend(attribute.map(|a| format!("@{} {}", a.namespace().unwrap_or(""), a.name())));
        key
    }

    fn step(&self, node: Node<'_, '_>) -> String {
        let (space, local) = name(node);
        match node.attribute("id") {
            Some(id) => format!("{space} {local} #{id}"),
            None => {
                let place = self.0.get(node.id().get_usize()).copied().unwrap_or(0);
                format!("{space} {local} {place}")
            }
        }
    }
}

fn value(item: Item<'_, '_>) -> Value {
    match item {
        Item::Attribute(_, attribute) => Value {
            text: trim(attribute.value()).to_owned(),
            all: attribute.value().to_owned(),
        },
        Item::Element(node) => {
            let mut all = String::new();
            describe(node, &mut all);
            Value {
                text: text(node),
                all,
            }
        }
    }
}

/// Text of an element, white space at its ends removed.
pub(super) fn text(node: Node<'_, '_>) -> String {
    let all: String = node
        .descendants()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect();
    trim(&all).to_owned()
}

/// Elements, attributes and texts in a form in which prefixes, white space between elements and the order of
/// attributes do not matter.
fn describe(root: Node<'_, '_>, out: &mut String) {
    for node in root.descendants() {
        let depth = node.ancestors().count();
        if node.is_element() {
            let (space, local) = name(node);
            out.push_str(&format!("\u{1}{depth} {space} {local}"));
            let mut attributes: Vec<String> = node
                .attributes()
                .map(|a| {
                    format!(
                        "\u{2}{} {}={}",
                        a.namespace().unwrap_or(""),
                        a.name(),
                        a.value()
                    )
                })
                .collect();
            attributes.sort();
            out.extend(attributes);
        } else if let Some(text) = node
            .text()
            .map(trim)
            .filter(|t| node.is_text() && !t.is_empty())
        {
            out.push_str(&format!("\u{3}{depth} {text}"));
        }
    }
}
