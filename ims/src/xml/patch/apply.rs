//! Applying operations one after the other to a tree of the target.

use super::import::{Context, Import};
use super::names::{Names, Uri, XML, XMLNS};
use super::operation::{Change, Operation, Position, Space, text_content};
use super::read::{split, text_value};
use super::selector::{Located, Prefixes, Selector};
use super::tree::{Attribute, DOCUMENT, Declaration, Kind, NodeId, Tree};
use super::{Diff, Error, Failure, Rules, is_blank, report};
use crate::xml::guard;
use crate::xml::schema::is_ncname;

/// Applies all operations of `diff` to `target`.
pub(super) fn apply(diff: &Diff<'_>, target: &str, rules: &Rules) -> Result<String, Failure> {
    let mut names = diff.names.clone();
    let tree = Tree::read(target, &mut names);
    let mut applier = Applier {
        diff: &diff.tree,
        tree,
        names,
        rules,
        visits: rules.limits.visits,
        room: rules.limits.document.bytes,
        namespaces_changed: false,
    };
    for id in operations(&diff.tree, rules)? {
        let done = Operation::read(&diff.tree, id).and_then(|operation| applier.apply(&operation));
        done.map_err(|failure| failure.at(report::operation(diff, id)))?;
    }
    let patched = applier.tree.write(&applier.names);
    if patched.len() > rules.limits.document.bytes {
        return Err(Failure::new(Error::TooMuch, "Patched Document Too Large"));
    }
    // Bound anew, two prefixes may mean one namespace and two attributes have one name; only this can do so.
    if applier.namespaces_changed
        && guard::parse(patched.as_bytes(), &rules.limits.document).is_err()
    {
        return Err(Failure::new(
            Error::InvalidNamespaceUri,
            "Namespaces Of The Patched Document Collide",
        ));
    }
    Ok(patched)
}

/// The operation elements, in document order.
fn operations(diff: &Tree<'_>, rules: &Rules) -> Result<Vec<NodeId>, Failure> {
    let bad = |phrase| Failure::new(Error::InvalidDiffFormat, phrase);
    let root = diff.root().ok_or_else(|| bad("No Root Element"))?;
    let namespace = diff.element(root).map(|root| root.uri);
    let mut operations = Vec::new();
    for child in diff.children(root) {
        match diff.kind(*child) {
            Some(Kind::Element(element)) if Some(element.uri) == namespace => {
                operations.push(*child);
            }
            Some(Kind::Element(_)) => {
                let unknown = "Operation Not Understood";
                return Err(Failure::new(Error::InvalidPatchDirective, unknown));
            }
            Some(Kind::Comment(_) | Kind::Instruction(_)) => {}
            kind if is_blank(kind) => {}
            _ => return Err(bad("Text Between Operations")),
        }
    }
    if operations.len() > rules.limits.operations {
        return Err(Failure::new(Error::TooMuch, "Too Many Operations"));
    }
    Ok(operations)
}

struct Applier<'s, 'a> {
    diff: &'s Tree<'a>,
    tree: Tree<'a>,
    names: Names,
    rules: &'s Rules,
    visits: usize,
    room: usize,
    namespaces_changed: bool,
}

fn directive<T>(phrase: &'static str) -> Result<T, Failure> {
    Err(Failure::new(Error::InvalidPatchDirective, phrase))
}

impl<'s, 'a> Applier<'s, 'a> {
    fn apply(&mut self, operation: &Operation<'s>) -> Result<(), Failure> {
        let invalid = |phrase| Err(Failure::new(Error::InvalidAttributeValue, phrase));
        if operation.selector.len() > self.rules.limits.selector {
            return Err(Failure::new(Error::TooMuch, "Selector Too Long"));
        }
        let prefixes = Prefixes {
            diff: self.diff,
            operation: operation.id,
        };
        let selector = Selector::parse(operation.selector, &prefixes)?;
        let adds = !matches!(operation.change, Change::Replace | Change::Remove(_));
        if adds && selector.is_no_node() {
            return invalid("Selector Of An Addition Must Be A Node");
        }
        let (tree, names) = (&self.tree, &self.names);
        let located = selector.locate(tree, names, self.rules, &mut self.visits)?;
        match (operation.change, located) {
            (Change::AddNodes(position), Located::Node(id)) => {
                self.add_nodes(operation.id, id, position)
            }
            (Change::AddAttribute(name), Located::Node(id)) => {
                self.add_attribute(operation.id, id, name)
            }
            (Change::AddNamespace(prefix), Located::Node(id)) => {
                self.add_namespace(operation.id, id, prefix)
            }
            (Change::Replace, Located::Node(id)) => self.replace_node(operation.id, id),
            (Change::Replace, Located::Attribute(id, at)) => {
                let value = attribute_content(self.diff, operation.id)?;
                self.take(value.len())?;
                if let Some(attribute) = self.attribute_mut(id, at) {
                    attribute.value = value.into();
                }
                Ok(())
            }
            (Change::Replace, Located::Namespace(id, at)) => {
                self.replace_namespace(operation.id, id, at)
            }
            (Change::Remove(space), Located::Node(id)) => self.remove_node(id, space),
            (Change::Remove(space), _) if space != Space::default() => {
                invalid("White Space Is Beside Elements Only")
            }
            (Change::Remove(_), Located::Attribute(id, at)) => {
                if let Some(element) = self.tree.element_mut(id) {
                    element.attributes.remove(at);
                }
                Ok(())
            }
            (Change::Remove(_), Located::Namespace(id, at)) => self.remove_namespace(id, at),
            // Excluded above: an addition located by anything but a node.
            (_, Located::Attribute(..) | Located::Namespace(..)) => {
                invalid("Selector Of An Addition Must Be A Node")
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        let left = self.room.checked_sub(bytes);
        self.room = left.ok_or_else(|| Failure::new(Error::TooMuch, "Patch Adds Too Much"))?;
        Ok(())
    }

    fn attribute_mut(&mut self, id: NodeId, at: usize) -> Option<&mut Attribute<'a>> {
        self.tree.element_mut(id)?.attributes.get_mut(at)
    }

    /// Position of a node among its siblings.
    fn index(&self, id: NodeId) -> usize {
        let siblings = self.tree.children(self.tree.parent(id));
        let found = siblings.iter().position(|sibling| *sibling == id);
        found.unwrap_or(siblings.len())
    }

    fn add_nodes(&mut self, from: NodeId, id: NodeId, position: Position) -> Result<(), Failure> {
        let is_element = self.tree.element(id).is_some();
        let (parent, index) = match position {
            Position::Append if is_element => (id, self.tree.children(id).len()),
            Position::Prepend if is_element => (id, 0),
            Position::Append | Position::Prepend => {
                return directive("Only An Element Has Children");
            }
            Position::Before => (self.tree.parent(id), self.index(id)),
            Position::After => (self.tree.parent(id), self.index(id) + 1),
        };
        let content: Vec<NodeId> = self.diff.children(from).to_vec();
        let content = if parent == DOCUMENT {
            self.beside_root(content)?
        } else {
            content
        };
        let nodes = self.import(&content, parent)?;
        let count = nodes.len();
        if let Some(children) = self.tree.children_mut(parent) {
            let index = index.min(children.len());
            children.splice(index..index, nodes);
        }
        self.merge(parent, index + count)?;
        self.merge(parent, index)
    }

    /// What may stand beside the root element: comments and processing instructions (§3).
    fn beside_root(&self, content: Vec<NodeId>) -> Result<Vec<NodeId>, Failure> {
        let mut kept = Vec::new();
        for id in content {
            match self.diff.kind(id) {
                Some(Kind::Comment(_) | Kind::Instruction(_)) => kept.push(id),
                Some(Kind::Element(_)) => {
                    let phrase = "Only One Root Element";
                    return Err(Failure::new(Error::InvalidRootElementOperation, phrase));
                }
                kind if is_blank(kind) => {}
                _ => {
                    let phrase = "Text Outside The Root Element";
                    return Err(Failure::new(Error::InvalidXmlPrologOperation, phrase));
                }
            }
        }
        Ok(kept)
    }

    /// Copies content for a place under `parent`.
    fn import(&mut self, content: &[NodeId], parent: NodeId) -> Result<Vec<NodeId>, Failure> {
        let height = content.iter().map(|id| self.diff.height(*id)).max();
        let levels = self.tree.depth(parent) + height.unwrap_or(0);
        if levels > self.rules.limits.document.depth {
            return Err(Failure::new(Error::TooMuch, "Patch Nests Too Deeply"));
        }
        let mut import = Import {
            diff: self.diff,
            context: Context::of(&self.tree, parent),
            target: &mut self.tree,
            names: &self.names,
            room: &mut self.room,
            local: Vec::new(),
        };
        content.iter().map(|id| import.node(*id, parent)).collect()
    }

    /// Joins the texts on both sides of the gap in front of child `index`: texts are never neighbours (§4.3.5).
    fn merge(&mut self, parent: NodeId, index: usize) -> Result<(), Failure> {
        let children = self.tree.children(parent);
        let pair = index
            .checked_sub(1)
            .and_then(|left| Some((*children.get(left)?, *children.get(index)?)));
        let Some((left, right)) = pair else {
            return Ok(());
        };
        let Some(Kind::Text(behind)) = self.tree.kind(right) else {
            return Ok(());
        };
        let behind = behind.clone();
        // Joining copies the text: counted, so that many joins of a long text cannot cost more than the allowance.
        let cost = behind.len() / 64;
        let Some(Kind::Text(text)) = self.tree.kind_mut(left) else {
            return Ok(());
        };
        text.to_mut().push_str(&behind);
        if let Some(children) = self.tree.children_mut(parent) {
            children.remove(index);
        }
        self.visit(cost)
    }

    fn visit(&mut self, nodes: usize) -> Result<(), Failure> {
        let left = self.visits.checked_sub(nodes);
        self.visits = left.ok_or_else(|| Failure::new(Error::TooMuch, "Patch Too Costly"))?;
        Ok(())
    }

    fn add_attribute(&mut self, from: NodeId, id: NodeId, name: &str) -> Result<(), Failure> {
        let prefixes = Prefixes {
            diff: self.diff,
            operation: from,
        };
        let (uri, local) = prefixes.attribute(name)?;
        let value = attribute_content(self.diff, from)?;
        let Some(element) = self.tree.element(id) else {
            return directive("Only An Element Has Attributes");
        };
        if element.position(uri, local).is_some() {
            return directive("Attribute Already There");
        }
        if element.attributes.len() + element.declared.len()
            >= self.rules.limits.document.attributes
        {
            return Err(Failure::new(Error::TooMuch, "Too Many Attributes"));
        }
        let (prefix, _) = split(name);
        let prefix = if prefix.is_empty() || uri == Uri::XML {
            prefix.to_owned().into()
        } else {
            // §4.3.2: the same rules, without the default namespace.
            let context = Context::of(&self.tree, id);
            let chosen = context.prefix(uri, prefix, true, |_| false);
            chosen.ok_or_else(|| {
                let phrase = "Namespace Not Declared In The Document";
                Failure::new(Error::InvalidNamespaceUri, phrase)
            })?
        };
        self.take(value.len() + prefix.len() + local.len() + 4)?;
        if let Some(element) = self.tree.element_mut(id) {
            element.attributes.push(Attribute {
                prefix,
                local: local.to_owned().into(),
                uri,
                value: value.into(),
            });
        }
        Ok(())
    }

    fn add_namespace(&mut self, from: NodeId, id: NodeId, prefix: &str) -> Result<(), Failure> {
        let uri = self.namespace_content(from)?;
        if !is_ncname(prefix) || matches!(prefix, "xml" | "xmlns") {
            let phrase = "Not A Prefix";
            return Err(Failure::new(Error::InvalidAttributeValue, phrase));
        }
        let Some(element) = self.tree.element(id) else {
            return directive("Only An Element Has Declarations");
        };
        if element.declared.iter().any(|d| d.prefix == prefix) {
            return directive("Prefix Already Declared There");
        }
        if element.attributes.len() + element.declared.len()
            >= self.rules.limits.document.attributes
        {
            return Err(Failure::new(Error::TooMuch, "Too Many Declarations"));
        }
        // A name below must not change its namespace by the way.
        if self.tree.resolve(id, prefix) != Some(uri) && !self.users(id, prefix)?.is_empty() {
            let phrase = "Prefix In Use";
            return Err(Failure::new(Error::InvalidNamespacePrefix, phrase));
        }
        self.take(prefix.len() + self.names.text(uri).len() + 10)?;
        if let Some(element) = self.tree.element_mut(id) {
            element.declared.push(Declaration {
                prefix: prefix.to_owned().into(),
                uri,
            });
        }
        self.namespaces_changed = true;
        Ok(())
    }

    fn replace_node(&mut self, from: NodeId, id: NodeId) -> Result<(), Failure> {
        let parent = self.tree.parent(id);
        let index = self.index(id);
        let content = self.diff.children(from).to_vec();
        if let Some(Kind::Text(_)) = self.tree.kind(id) {
            let raw = text_content(self.diff, from)?;
            if text_value(raw).is_empty() {
                return self.take_out(parent, index..index + 1);
            }
        } else {
            let same = |new: &NodeId| match (self.tree.kind(id), self.diff.kind(*new)) {
                (Some(old), Some(new)) => {
                    std::mem::discriminant(old) == std::mem::discriminant(new)
                }
                _ => false,
            };
            if content.len() != 1 || !content.iter().all(same) {
                return Err(Failure::new(
                    Error::InvalidNodeTypes,
                    "Replacement Is Not One Node Of The Same Type",
                ));
            }
        }
        let nodes = self.import(&content, parent)?;
        if let Some(children) = self.tree.children_mut(parent) {
            children.splice(index..index + 1, nodes);
        }
        Ok(())
    }

    fn replace_namespace(&mut self, from: NodeId, id: NodeId, at: usize) -> Result<(), Failure> {
        let uri = self.namespace_content(from)?;
        let declared = self.tree.element(id).and_then(|e| e.declared.get(at));
        let Some(prefix) = declared.map(|declared| declared.prefix.clone()) else {
            return directive("Declaration Not There");
        };
        let users = self.users(id, &prefix)?;
        self.take(self.names.text(uri).len())?;
        if let Some(declared) = self
            .tree
            .element_mut(id)
            .and_then(|e| e.declared.get_mut(at))
        {
            declared.uri = uri;
        }
        for user in users {
            let Some(element) = self.tree.element_mut(user) else {
                continue;
            };
            if element.prefix == prefix {
                element.uri = uri;
            }
            let prefixed = element.attributes.iter_mut().filter(|a| a.prefix == prefix);
            for attribute in prefixed {
                attribute.uri = uri;
            }
        }
        self.namespaces_changed = true;
        Ok(())
    }

    /// The namespace name that is the content of an operation on a declaration.
    fn namespace_content(&mut self, from: NodeId) -> Result<Uri, Failure> {
        let text = attribute_content(self.diff, from)?;
        if text.is_empty() || text == XML || text == XMLNS {
            let phrase = "Not A Namespace";
            return Err(Failure::new(Error::InvalidNamespaceUri, phrase));
        }
        Ok(self.names.intern(&text))
    }

    /// Elements from `id` down that use `prefix`, on themselves or on an attribute, as it is bound at `id`.
    fn users(&mut self, id: NodeId, prefix: &str) -> Result<Vec<NodeId>, Failure> {
        let mut users = Vec::new();
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            self.visit(1)?;
            let Some(element) = self.tree.element(at) else {
                continue;
            };
            let redeclared = element.declared.iter().any(|d| d.prefix == prefix);
            if at != id && redeclared {
                continue;
            }
            let attributes = &element.attributes;
            if element.prefix == prefix || attributes.iter().any(|a| a.prefix == prefix) {
                users.push(at);
            }
            open.extend(&element.children);
        }
        Ok(users)
    }

    fn remove_node(&mut self, id: NodeId, space: Space) -> Result<(), Failure> {
        let parent = self.tree.parent(id);
        let index = self.index(id);
        match self.tree.kind(id) {
            Some(Kind::Element(_)) if parent == DOCUMENT => {
                let phrase = "The Root Element Stays";
                return Err(Failure::new(Error::InvalidRootElementOperation, phrase));
            }
            Some(Kind::Text(_)) if space != Space::default() => {
                let phrase = "White Space Beside Text";
                return Err(Failure::new(Error::InvalidAttributeValue, phrase));
            }
            _ => {}
        }
        let siblings = self.tree.children(parent);
        let blank = |at: Option<usize>| {
            let sibling = at.and_then(|at| siblings.get(at));
            if sibling.is_some_and(|sibling| is_blank(self.tree.kind(*sibling))) {
                return Ok(());
            }
            let phrase = "No White Space There";
            Err(Failure::new(Error::InvalidWhitespaceDirective, phrase))
        };
        let (mut first, mut end) = (index, index + 1);
        if space.before {
            blank(index.checked_sub(1))?;
            first -= 1;
        }
        if space.after {
            blank(Some(end))?;
            end += 1;
        }
        self.take_out(parent, first..end)
    }

    fn take_out(&mut self, parent: NodeId, gone: std::ops::Range<usize>) -> Result<(), Failure> {
        let gap = gone.start;
        if let Some(children) = self.tree.children_mut(parent) {
            children.drain(gone.start..gone.end.min(children.len()));
        }
        self.merge(parent, gap)
    }

    fn remove_namespace(&mut self, id: NodeId, at: usize) -> Result<(), Failure> {
        let declared = self.tree.element(id).and_then(|e| e.declared.get(at));
        let Some(prefix) = declared.map(|declared| declared.prefix.clone()) else {
            return directive("Declaration Not There");
        };
        // §4.5.3: no node may use the prefix any more.
        if !self.users(id, &prefix)?.is_empty() {
            let phrase = "Prefix In Use";
            return Err(Failure::new(Error::InvalidNamespacePrefix, phrase));
        }
        if let Some(element) = self.tree.element_mut(id) {
            element.declared.remove(at);
        }
        self.namespaces_changed = true;
        Ok(())
    }
}

/// Content of an operation that gives an attribute its value: text without CDATA sections (§5.1), references resolved.
fn attribute_content(diff: &Tree<'_>, id: NodeId) -> Result<String, Failure> {
    let raw = text_content(diff, id)?;
    if raw.contains("<![CDATA[") {
        return Err(Failure::new(
            Error::InvalidAttributeValue,
            "CDATA In An Attribute",
        ));
    }
    Ok(text_value(raw).into_owned())
}
