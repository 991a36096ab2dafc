//! Selectors: the part of XPath 1.0 that `sel` may use (RFC 5261 §4.1 and the patterns of §8).

use super::names::{Names, Uri};
use super::read::split;
use super::tree::{DOCUMENT, Element, Kind, NodeId, Tree};
use super::{Error, Failure, Rules};
use crate::xml::schema::is_ncname;

/// The expanded name of an element or attribute.
pub(super) type Name<'a> = (Uri, &'a str);

#[derive(Debug)]
pub(super) struct Selector<'a> {
    /// Begins at the element with this ID instead of at the document.
    id: Option<&'a str>,
    steps: Vec<Step<'a>>,
    last: Option<Last<'a>>,
}

#[derive(Debug)]
struct Step<'a> {
    /// `None`: any element.
    name: Option<Name<'a>>,
    predicates: Vec<Predicate<'a>>,
}

#[derive(Debug)]
enum Predicate<'a> {
    Position(usize),
    Attribute(Name<'a>, &'a str),
    Child(Name<'a>, &'a str),
    Value(&'a str),
}

/// A last step that selects something else than an element.
#[derive(Debug)]
enum Last<'a> {
    Text(Option<usize>),
    Comment(Option<usize>),
    Instruction(Option<&'a str>, Option<usize>),
    Attribute(Name<'a>),
    Namespace(&'a str),
}

/// What a selector found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    Node(NodeId),
    /// An attribute of an element, by position.
    Attribute(NodeId, usize),
    /// A namespace declaration of an element, by position.
    Namespace(NodeId, usize),
}

fn invalid<T>() -> Result<T, Failure> {
    Err(Failure::new(
        Error::InvalidAttributeValue,
        "Selector Not Understood",
    ))
}

/// Prefixes in a selector are those of the diff document; without one an element is of its default namespace (§4.2.1),
/// an attribute of none.
pub(super) struct Prefixes<'t, 'a> {
    pub diff: &'t Tree<'a>,
    pub operation: NodeId,
}

impl Prefixes<'_, '_> {
    fn resolve(&self, prefix: &str) -> Result<Uri, Failure> {
        self.diff
            .resolve(self.operation, prefix)
            .ok_or_else(|| Failure::new(Error::InvalidNamespacePrefix, "Prefix Not Declared"))
    }

    fn element<'s>(&self, qname: &'s str) -> Result<Name<'s>, Failure> {
        let (prefix, local) = qualified(qname)?;
        Ok((self.resolve(prefix)?, local))
    }

    pub(super) fn attribute<'s>(&self, qname: &'s str) -> Result<Name<'s>, Failure> {
        let (prefix, local) = qualified(qname)?;
        if prefix.is_empty() {
            return Ok((Uri::NONE, local));
        }
        Ok((self.resolve(prefix)?, local))
    }
}

fn qualified(qname: &str) -> Result<(&str, &str), Failure> {
    let (prefix, local) = split(qname);
    let prefixed = qname.contains(':');
    if is_ncname(local) && (!prefixed || is_ncname(prefix)) {
        Ok((prefix, local))
    } else {
        invalid()
    }
}

impl<'a> Selector<'a> {
    /// Reads a `sel` value.
    pub(super) fn parse(text: &'a str, prefixes: &Prefixes<'_, '_>) -> Result<Self, Failure> {
        let mut rest = text.strip_prefix('/').unwrap_or(text);
        let mut selector = Selector {
            id: None,
            steps: Vec::new(),
            last: None,
        };
        if let Some(argument) = rest.strip_prefix("id(") {
            let (id, after) = argument_of(argument)?;
            selector.id = Some(id.unwrap_or_default());
            match after.strip_prefix('/') {
                Some(after) => rest = after,
                None if after.is_empty() => return Ok(selector),
                None => return invalid(),
            }
        }
        loop {
            let end = step_end(rest)?;
            let (step, after) = rest.split_at(end);
            if after.is_empty() {
                selector.last_step(step, prefixes)?;
                return Ok(selector);
            }
            selector.steps.push(Step::parse(step, prefixes)?);
            rest = &after[1..];
        }
    }

    fn last_step(&mut self, step: &'a str, prefixes: &Prefixes<'_, '_>) -> Result<(), Failure> {
        self.last = Some(if let Some(name) = step.strip_prefix('@') {
            Last::Attribute(prefixes.attribute(name)?)
        } else if let Some(prefix) = step.strip_prefix("namespace::") {
            if !is_ncname(prefix) {
                return invalid();
            }
            Last::Namespace(prefix)
        } else if let Some(rest) = step.strip_prefix("text()") {
            Last::Text(position(rest)?)
        } else if let Some(rest) = step.strip_prefix("comment()") {
            Last::Comment(position(rest)?)
        } else if let Some(argument) = step.strip_prefix("processing-instruction(") {
            let (target, rest) = argument_of(argument)?;
            Last::Instruction(target, position(rest)?)
        } else {
            self.steps.push(Step::parse(step, prefixes)?);
            return Ok(());
        });
        Ok(())
    }

    /// Whether it selects an attribute or a declaration, which `<add>` may not.
    pub(super) fn is_no_node(&self) -> bool {
        matches!(self.last, Some(Last::Attribute(_) | Last::Namespace(_)))
    }

    /// The one node selected. `visits` is what may still be looked at.
    pub(super) fn locate(
        &self,
        tree: &Tree<'_>,
        names: &Names,
        rules: &Rules,
        visits: &mut usize,
    ) -> Result<Located, Failure> {
        let mut walk = Walk {
            tree,
            names,
            rules,
            visits,
        };
        let mut found = match self.id {
            Some(id) => walk.by_id(id)?,
            None => vec![DOCUMENT],
        };
        for step in &self.steps {
            found = walk.step(&found, step)?;
        }
        let mut located = Vec::new();
        for id in found {
            match &self.last {
                Some(last) => walk.last(id, last, &mut located)?,
                None => located.push(Located::Node(id)),
            }
        }
        match located.as_slice() {
            [one] => Ok(*one),
            [] if matches!(self.last, Some(Last::Namespace(_))) => Err(Failure::new(
                Error::InvalidNamespacePrefix,
                "Declaration Not Located",
            )),
            [] => Err(Failure::new(Error::UnlocatedNode, "Node Not Located")),
            _ => Err(Failure::new(
                Error::UnlocatedNode,
                "More Than One Node Located",
            )),
        }
    }
}

/// Length of the first step: up to a `/` that stands outside quotes.
fn step_end(text: &str) -> Result<usize, Failure> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'/') => return Ok(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    if quote.is_some() {
        return invalid();
    }
    Ok(text.len())
}

/// The optional quoted name in front of `)`, and what is behind that.
fn argument_of(text: &str) -> Result<(Option<&str>, &str), Failure> {
    if let Some(rest) = text.strip_prefix(')') {
        return Ok((None, rest));
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inside = quote.and_then(|quote| text.get(1..)?.split_once(quote));
    match inside.and_then(|(name, rest)| Some((name, rest.strip_prefix(')')?))) {
        Some((name, rest)) if is_ncname(name) => Ok((Some(name), rest)),
        _ => invalid(),
    }
}

/// `[n]` or nothing.
fn position(text: &str) -> Result<Option<usize>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match inside.and_then(number) {
        Some(position) => Ok(Some(position)),
        None => invalid(),
    }
}

fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More digits than fit select nothing, as any position past the end.
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

impl<'a> Step<'a> {
    fn parse(text: &'a str, prefixes: &Prefixes<'_, '_>) -> Result<Self, Failure> {
        let end = text.find('[').unwrap_or(text.len());
        let (name, mut rest) = text.split_at(end);
        let name = match name {
            "*" => None,
            name => Some(prefixes.element(name)?),
        };
        let mut predicates = Vec::new();
        while let Some(inside) = rest.strip_prefix('[') {
            let (predicate, after) = Predicate::parse(inside, prefixes)?;
            predicates.push(predicate);
            rest = after;
        }
        if rest.is_empty() {
            Ok(Step { name, predicates })
        } else {
            invalid()
        }
    }
}

impl<'a> Predicate<'a> {
    /// From behind the `[`; gives what is behind the `]` too.
    fn parse(text: &'a str, prefixes: &Prefixes<'_, '_>) -> Result<(Self, &'a str), Failure> {
        if let Some((inside, rest)) = text.split_once(']')
            && let Some(position) = number(inside)
        {
            return Ok((Predicate::Position(position), rest));
        }
        let Some((name, value)) = text.split_once('=') else {
            return invalid();
        };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let inside = quote.and_then(|quote| value.get(1..)?.split_once(quote));
        let Some((value, rest)) = inside.and_then(|(v, rest)| Some((v, rest.strip_prefix(']')?)))
        else {
            return invalid();
        };
        let predicate = match name.strip_prefix('@') {
            Some(name) => Predicate::Attribute(prefixes.attribute(name)?, value),
            None if name == "." => Predicate::Value(value),
            None => Predicate::Child(prefixes.element(name)?, value),
        };
        Ok((predicate, rest))
    }
}

/// An evaluation, with its allowance.
struct Walk<'w, 'a> {
    tree: &'w Tree<'a>,
    names: &'w Names,
    rules: &'w Rules,
    visits: &'w mut usize,
}

impl<'a> Walk<'_, 'a> {
    fn visit(&mut self, nodes: usize) -> Result<(), Failure> {
        match self.visits.checked_sub(nodes) {
            Some(left) => {
                *self.visits = left;
                Ok(())
            }
            None => Err(Failure::new(Error::TooMuch, "Selectors Too Costly")),
        }
    }

    fn is(&self, id: NodeId, element: &Element<'_>, name: &Name<'_>) -> bool {
        if (element.uri, element.local.as_ref()) == *name {
            return true;
        }
        let alias = self
            .rules
            .root_alias
            .filter(|_| self.tree.parent(id) == DOCUMENT);
        alias.is_some_and(|alias| alias == (self.names.text(name.0), name.1))
    }

    /// Elements among the children of `from` that pass the node test and the predicates, which filter one after the
    /// other for each parent (XPath 1.0 §2.4).
    fn step(&mut self, from: &[NodeId], step: &Step<'_>) -> Result<Vec<NodeId>, Failure> {
        let mut found = Vec::new();
        for parent in from {
            let children = self.tree.children(*parent);
            self.visit(children.len())?;
            let passes = |id: &NodeId| match (self.tree.element(*id), &step.name) {
                (Some(element), Some(name)) => self.is(*id, element, name),
                (element, _) => element.is_some(),
            };
            let mut some: Vec<NodeId> = children.iter().copied().filter(passes).collect();
            for predicate in &step.predicates {
                some = self.filter(some, predicate)?;
            }
            found.append(&mut some);
        }
        Ok(found)
    }

    fn filter(&mut self, some: Vec<NodeId>, by: &Predicate<'_>) -> Result<Vec<NodeId>, Failure> {
        let (name, wanted) = match by {
            Predicate::Position(at) => {
                let at = at.checked_sub(1);
                return Ok(at
                    .and_then(|at| some.get(at).copied())
                    .into_iter()
                    .collect());
            }
            Predicate::Attribute((uri, local), wanted) => {
                let same = |id: &NodeId| {
                    let element = self.tree.element(*id)?;
                    let attribute = element.attributes.get(element.position(*uri, local)?)?;
                    Some(attribute.value == *wanted)
                };
                let tested = some.into_iter().filter(|id| same(id) == Some(true));
                return Ok(tested.collect());
            }
            Predicate::Child(name, wanted) => (Some(name), wanted),
            Predicate::Value(wanted) => (None, wanted),
        };
        let mut kept = Vec::new();
        for id in some {
            let candidates = match name {
                None => vec![id],
                Some(name) => {
                    let children = self.tree.children(id);
                    self.visit(children.len())?;
                    let named = |id: &NodeId| {
                        let element = self.tree.element(*id);
                        element.is_some_and(|element| self.is(*id, element, name))
                    };
                    children.iter().copied().filter(named).collect()
                }
            };
            for candidate in candidates {
                if self.has_value(candidate, wanted)? {
                    kept.push(id);
                    break;
                }
            }
        }
        Ok(kept)
    }

    /// Whether the string value is `wanted`. It costs a visit for each node below and for each 64 bytes of text.
    fn has_value(&mut self, id: NodeId, wanted: &str) -> Result<bool, Failure> {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let size = match self.tree.kind(id) {
                Some(Kind::Text(raw)) => raw.len() / 64,
                _ => 0,
            };
            self.visit(1 + size)?;
            open.extend(self.tree.children(id));
        }
        Ok(self.tree.string_value(id) == wanted)
    }

    /// The elements with this ID; it looks through the whole document.
    fn by_id(&mut self, id: &str) -> Result<Vec<NodeId>, Failure> {
        let mut found = Vec::new();
        let mut open = vec![DOCUMENT];
        let mut by_xml_id = false;
        while let Some(at) = open.pop() {
            self.visit(1)?;
            if let Some(element) = self.tree.element(at) {
                let uri = self.names.text(element.uri);
                let is_id = |attribute: &&super::tree::Attribute<'_>| {
                    let typed = |is_id: fn(&str, &str, &str) -> bool| {
                        attribute.uri == Uri::NONE && is_id(uri, &element.local, &attribute.local)
                    };
                    let xml_id = attribute.uri == Uri::XML && attribute.local == "id";
                    attribute.value == id && (xml_id || self.rules.is_id.is_some_and(typed))
                };
                if element.attributes.iter().any(|a| is_id(&a)) {
                    found.push(at);
                    by_xml_id |= element.position(Uri::XML, "id").is_some();
                }
            }
            open.extend(self.tree.children(at).iter().rev());
        }
        if self.rules.is_id.is_none() && !by_xml_id {
            return Err(Failure::new(
                Error::UnsupportedIdFunction,
                "No Attribute Is Known To Be An ID",
            ));
        }
        Ok(found)
    }

    fn last(&mut self, id: NodeId, last: &Last<'_>, out: &mut Vec<Located>) -> Result<(), Failure> {
        let children = self.tree.children(id);
        self.visit(children.len() + 1)?;
        let element = self.tree.element(id);
        let (wanted, position): (fn(&Kind<'_>) -> bool, _) = match last {
            Last::Attribute((uri, local)) => {
                let position = element.and_then(|element| element.position(*uri, local));
                out.extend(position.map(|position| Located::Attribute(id, position)));
                return Ok(());
            }
            Last::Namespace(prefix) => {
                // Only one declared here: "the parent node of the declaration" must be this element (§4.4.3, §4.5.3).
                let position = element
                    .and_then(|element| element.declared.iter().position(|d| d.prefix == *prefix));
                out.extend(position.map(|position| Located::Namespace(id, position)));
                return Ok(());
            }
            Last::Text(position) => (|kind| matches!(kind, Kind::Text(_)), position),
            Last::Comment(position) => (|kind| matches!(kind, Kind::Comment(_)), position),
            Last::Instruction(_, position) => {
                (|kind| matches!(kind, Kind::Instruction(_)), position)
            }
        };
        let target = match last {
            Last::Instruction(target, _) => *target,
            _ => None,
        };
        let passes = |kind: &Kind<'_>| match (kind, target) {
            (Kind::Instruction(raw), Some(target)) => instruction_target(raw) == target,
            _ => wanted(kind),
        };
        let tree = self.tree;
        let some = children
            .iter()
            .copied()
            .filter(|id| tree.kind(*id).is_some_and(passes))
            .map(Located::Node);
        match position {
            None => out.extend(some),
            Some(at) => out.extend(at.checked_sub(1).and_then(|at| some.clone().nth(at))),
        }
        Ok(())
    }
}

/// The target of a processing instruction as written.
fn instruction_target(raw: &str) -> &str {
    let inside = raw.strip_prefix("<?").unwrap_or(raw);
    let end = inside.find(|c: char| c.is_ascii_whitespace() || c == '?');
    inside.get(..end.unwrap_or(inside.len())).unwrap_or(inside)
}
