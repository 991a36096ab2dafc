//! Finding operations that make one document of another.
//!
//! Elements are matched by their `id` among siblings of the same name, else by being equal, else by name and order.
//! The operations hold on any copy that equals the old document in the sense of [`same`], whatever its prefixes:
//! selectors use prefixes of the diff document, and new content brings the declarations it needs along, so that it never
//! depends on what the holder of the copy has declared where (RFC 5261 §4.2.3 copies such declarations unaltered).

use super::classes::{Classes, Content, equal};
use super::names::{Names, Uri};
use super::siblings::{Sibling, distinguish, pair, positions, repeat};
use super::tree::{Element, NodeId, Tree, push_name};
use crate::xml::text::escaped;
use std::collections::{BTreeMap, BTreeSet};

/// Operations as the content of a diff document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Prefixes of the selectors and their namespaces, to be declared on the root element.
    pub declarations: Vec<(String, String)>,
    /// The operation elements; empty when nothing differs.
    pub text: String,
    pub count: usize,
    /// Attribute `entity` of the root element of the new document.
    pub entity: Option<String>,
}

/// The diff document that operations are made for.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f> {
    /// Default namespace: of the diff document, and in every copy at the root element.
    pub default: &'f str,
    /// Prefix of the operation elements.
    pub prefix: &'f str,
    /// Most operations.
    pub operations: usize,
}

/// Whether two well-formed documents say the same: expanded names, attributes, text and order are equal. Prefixes,
/// quotes, and white space and comments between elements do not count.
pub fn same(one: &str, other: &str) -> bool {
    let mut names = Names::new();
    let (one, other) = (Tree::read(one, &mut names), Tree::read(other, &mut names));
    match (one.root(), other.root()) {
        (Some(a), Some(b)) => equal(&one, a, &other, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The operations from `old` to `new`, two well-formed documents nested no deeper than the guard allows. `None` when a
/// patch is no good: the root elements differ in name, the operations are too many, or longer than `new` itself.
/// Time is that of sorting the elements, and of at most `frame.operations` selectors.
pub fn generate(old: &str, new: &str, frame: &Frame<'_>) -> Option<Operations> {
    let mut names = Names::new();
    let default = names.intern(frame.default);
    let (old, length) = (Tree::read(old, &mut names), new.len());
    let new = Tree::read(new, &mut names);
    let generator = Generator {
        old: &old,
        new: &new,
        names: &names,
        frame,
        default,
        most: length,
        prefixes: BTreeMap::new(),
        done: Operations::default(),
    };
    generator.run()
}

/// Why an element cannot be changed by operations on its parts.
enum Stop {
    /// It is to be replaced.
    Replace,
    /// The whole patch is no good.
    GiveUp,
}

struct Generator<'g, 'a> {
    old: &'g Tree<'a>,
    new: &'g Tree<'a>,
    names: &'g Names,
    frame: &'g Frame<'g>,
    default: Uri,
    /// Most bytes of operations.
    most: usize,
    prefixes: BTreeMap<Uri, String>,
    done: Operations,
}

impl<'g> Generator<'g, '_> {
    fn run(mut self) -> Option<Operations> {
        let (old, new) = (self.old.root()?, self.new.root()?);
        let (one, other) = (self.old.element(old)?, self.new.element(new)?);
        if (one.uri, &one.local) != (other.uri, &other.local) {
            return None;
        }
        let entity = other.attribute("entity").map(str::to_owned);
        self.element(old, new, "*", true).ok()?;
        self.done.entity = entity;
        Some(self.done)
    }

    /// Operations that make `old` into `new`, two elements of one name; `path` selects it.
    fn element(&mut self, old: NodeId, new: NodeId, path: &str, is_root: bool) -> Result<(), Stop> {
        if equal(self.old, old, self.new, new) {
            return Ok(());
        }
        let (Some(one), Some(other)) = (self.old.element(old), self.new.element(new)) else {
            return Err(Stop::GiveUp);
        };
        self.attributes(one, other, path)?;
        match (Content::of(self.old, one), Content::of(self.new, other)) {
            (Content::Empty, Content::Empty) => Ok(()),
            (Content::Text(from), Content::Text(to)) => {
                if equal(self.old, from, self.new, to) {
                    return Ok(());
                }
                let text = escaped_text(&self.new.string_value(to));
                self.emit("replace", &format!("{path}/text()"), "", &text)
            }
            (Content::Text(_), Content::Empty) => {
                self.emit("remove", &format!("{path}/text()"), "", "")
            }
            (Content::Empty, Content::Text(to)) => {
                let text = escaped_text(&self.new.string_value(to));
                self.emit("add", path, "", &text)
            }
            (Content::Elements(from), Content::Elements(to)) => {
                self.children(&from, &to, path, is_root)
            }
            (Content::Empty, Content::Elements(to)) => self.children(&[], &to, path, is_root),
            // Below the root, white space that may stay behind would become content.
            (Content::Elements(from), Content::Empty) if is_root => {
                self.children(&from, &[], path, is_root)
            }
            _ => Err(Stop::Replace),
        }
    }

    fn attributes(
        &mut self,
        one: &Element<'_>,
        other: &Element<'_>,
        path: &str,
    ) -> Result<(), Stop> {
        let written = |uri: Uri, local: &str| match uri {
            Uri::NONE => Ok(local.to_owned()),
            Uri::XML => Ok(format!("xml:{local}")),
            // Whoever holds the copy may have no prefix in scope for another.
            _ => Err(Stop::Replace),
        };
        for attribute in &one.attributes {
            if other.position(attribute.uri, &attribute.local).is_none() {
                let name = written(attribute.uri, &attribute.local)?;
                self.emit("remove", &format!("{path}/@{name}"), "", "")?;
            }
        }
        for attribute in &other.attributes {
            let position = one.position(attribute.uri, &attribute.local);
            let before = position.and_then(|position| one.attributes.get(position));
            let value = escaped_text(&attribute.value);
            match before {
                Some(before) if before.value == attribute.value => {}
                Some(_) => {
                    let name = written(attribute.uri, &attribute.local)?;
                    self.emit("replace", &format!("{path}/@{name}"), "", &value)?;
                }
                // An addition must have text (§4.3).
                None if value.is_empty() => return Err(Stop::Replace),
                None => {
                    let name = written(attribute.uri, &attribute.local)?;
                    self.emit("add", path, &format!(" type=\"@{name}\""), &value)?;
                }
            }
        }
        Ok(())
    }

    fn children(
        &mut self,
        from: &[NodeId],
        to: &[NodeId],
        path: &str,
        is_root: bool,
    ) -> Result<(), Stop> {
        let mut old = siblings(self.old, from);
        let mut new = siblings(self.new, to);
        distinguish(&mut old, &mut new);
        if repeat(&old) || repeat(&new) {
            let mut classes = Classes::default();
            for (sibling, id) in old.iter_mut().zip(from) {
                sibling.class = Some(classes.of(self.old, *id));
            }
            for (sibling, id) in new.iter_mut().zip(to) {
                sibling.class = Some(classes.of(self.new, *id));
            }
        }
        let pairs = pair(&old, &new);
        let steps = self.steps(self.old, from, &old);
        let step = |steps: &[String], at: usize| {
            let step = steps.get(at).map_or("*", String::as_str);
            format!("{path}/{step}")
        };
        // First what stays is changed, while all selectors are those of the old list; then what goes goes, from behind, so
        // that the numbers in front keep; then what is new comes, from the front, where the list is the new one already.
        for (before, after) in &pairs {
            let (Some(before_id), Some(after_id)) = (from.get(*before), to.get(*after)) else {
                continue;
            };
            self.changed(*before_id, *after_id, &step(&steps, *before), is_root)?;
        }
        let kept: BTreeSet<usize> = pairs.iter().map(|(before, _)| *before).collect();
        for gone in (0..from.len()).rev().filter(|at| !kept.contains(at)) {
            self.emit("remove", &step(&steps, gone), "", "")?;
        }
        let steps = self.steps(self.new, to, &new);
        let stays: BTreeSet<usize> = pairs.iter().map(|(_, after)| *after).collect();
        let mut at = 0;
        while at < to.len() {
            if stays.contains(&at) {
                at += 1;
                continue;
            }
            let end = (at..to.len())
                .find(|i| stays.contains(i))
                .unwrap_or(to.len());
            let mut content = String::new();
            for id in to.get(at..end).unwrap_or_default() {
                self.content(*id, is_root, &mut content);
            }
            if end == to.len() {
                self.emit("add", path, "", &content)?;
            } else if at == 0 {
                self.emit("add", path, " pos=\"prepend\"", &content)?;
            } else {
                self.emit("add", &step(&steps, at - 1), " pos=\"after\"", &content)?;
            }
            at = end;
        }
        Ok(())
    }

    /// Operations inside an element that stays, or its replacement where that is shorter.
    fn changed(&mut self, old: NodeId, new: NodeId, path: &str, is_root: bool) -> Result<(), Stop> {
        let (length, count) = (self.done.text.len(), self.done.count);
        let parts = self.element(old, new, path, false);
        let by_parts = self.done.text.len() - length;
        match parts {
            Ok(()) if by_parts == 0 => return Ok(()),
            Ok(()) | Err(Stop::Replace) => {}
            Err(Stop::GiveUp) => return Err(Stop::GiveUp),
        }
        let mut content = String::new();
        self.content(new, is_root, &mut content);
        if parts.is_ok() && by_parts <= content.len() + path.len() {
            return Ok(());
        }
        self.done.text.truncate(length);
        self.done.count = count;
        self.emit("replace", path, "", &content)
    }

    fn emit(&mut self, name: &str, sel: &str, more: &str, content: &str) -> Result<(), Stop> {
        let prefix = self.frame.prefix;
        let text = &mut self.done.text;
        text.push('<');
        push_name(prefix, name, text);
        text.push_str(" sel=\"");
        text.push_str(&quoted(sel));
        text.push('"');
        text.push_str(more);
        if content.is_empty() {
            text.push_str("/>");
        } else {
            text.push('>');
            text.push_str(content);
            text.push_str("</");
            push_name(prefix, name, text);
            text.push('>');
        }
        self.done.count += 1;
        if self.done.count > self.frame.operations || self.done.text.len() > self.most {
            return Err(Stop::GiveUp);
        }
        Ok(())
    }

    /// A last step for each element of a list.
    fn steps(&mut self, tree: &Tree<'_>, ids: &[NodeId], list: &[Sibling<'_>]) -> Vec<String> {
        let mut steps = Vec::with_capacity(list.len());
        for ((id, sibling), (number, alone)) in ids.iter().zip(list).zip(positions(list)) {
            if sibling.uri == Uri::NONE {
                // Without a prefix the name would be of the default namespace.
                steps.push(format!("*[{number}]"));
                continue;
            }
            let mut step = String::new();
            let prefix = self.prefix(tree, *id, sibling.uri);
            push_name(&prefix, sibling.local, &mut step);
            match sibling.id {
                Some(id) if id.contains('\'') => step.push_str(&format!("[@id=\"{id}\"]")),
                Some(id) => step.push_str(&format!("[@id='{id}']")),
                None if alone => {}
                None => step.push_str(&format!("[{number}]")),
            }
            steps.push(step);
        }
        steps
    }

    /// The prefix of a namespace in selectors: the document's own where it is free.
    fn prefix(&mut self, tree: &Tree<'_>, id: NodeId, uri: Uri) -> String {
        if uri == self.default {
            return String::new();
        }
        if uri == Uri::XML {
            return "xml".into();
        }
        if let Some(prefix) = self.prefixes.get(&uri) {
            return prefix.clone();
        }
        let free = |prefix: &str| {
            let taken = self.prefixes.values().any(|other| other == prefix);
            !prefix.is_empty() && prefix != self.frame.prefix && !taken
        };
        let own = tree.element(id).map(|element| element.prefix.to_string());
        let numbered = (0..).map(|n| format!("ns{n}"));
        let prefix = own.into_iter().chain(numbered).find(|prefix| free(prefix));
        let prefix = prefix.unwrap_or_default();
        self.prefixes.insert(uri, prefix.clone());
        let text = self.names.text(uri).to_owned();
        self.done.declarations.push((prefix.clone(), text));
        prefix
    }

    /// An element of the new document as it can stand anywhere; right under the root the default namespace is known.
    fn content(&self, id: NodeId, under_root: bool, out: &mut String) {
        let mut needed = BTreeSet::new();
        free_prefixes(self.new, id, &mut Vec::new(), &mut needed);
        let parent = self.new.parent(id);
        let extra: Vec<(&str, Uri)> = needed
            .into_iter()
            .filter_map(|prefix| Some((prefix, self.new.resolve(parent, prefix)?)))
            .filter(|(prefix, uri)| !(under_root && prefix.is_empty() && *uri == self.default))
            .collect();
        self.new.write_node(id, self.names, &extra, out);
    }
}

fn siblings<'t>(tree: &'t Tree<'_>, ids: &[NodeId]) -> Vec<Sibling<'t>> {
    let sibling = |id: &NodeId| {
        let element = tree.element(*id)?;
        let quotable = |value: &&str| !(value.contains('\'') && value.contains('"'));
        Some(Sibling {
            uri: element.uri,
            local: &element.local,
            id: element.attribute("id").filter(quotable),
            class: None,
        })
    };
    ids.iter().filter_map(sibling).collect()
}

/// Prefixes that names from `id` down use and that no element from there down to them declares.
fn free_prefixes<'t>(
    tree: &'t Tree<'_>,
    id: NodeId,
    declared: &mut Vec<&'t str>,
    needed: &mut BTreeSet<&'t str>,
) {
    let Some(element) = tree.element(id) else {
        return;
    };
    let outer = declared.len();
    declared.extend(element.declared.iter().map(|d| d.prefix.as_ref()));
    let prefixed = element.attributes.iter().map(|a| a.prefix.as_ref());
    let prefixed = prefixed.filter(|prefix| !prefix.is_empty());
    for prefix in prefixed.chain([element.prefix.as_ref()]) {
        if prefix != "xml" && !declared.contains(&prefix) {
            needed.insert(prefix);
        }
    }
    for child in &element.children {
        free_prefixes(tree, *child, declared, needed);
    }
    declared.truncate(outer);
}

/// A selector in an attribute between double quotes.
fn quoted(selector: &str) -> String {
    let plain = selector.replace('&', "&amp;").replace('<', "&lt;");
    let plain = plain.replace('"', "&quot;");
    if plain.contains(['\t', '\n', '\r']) {
        return plain
            .replace('\t', "&#9;")
            .replace('\n', "&#10;")
            .replace('\r', "&#13;");
    }
    plain
}

/// Text as content of an operation: white space stays as it is, since this is no attribute.
fn escaped_text(text: &str) -> String {
    escaped(text).replace("&#10;", "\n").replace("&#9;", "\t")
}
