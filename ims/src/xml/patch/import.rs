//! New content on its way into the target: prefixes chosen so that every name keeps its namespace (RFC 5261 §4.2.3).

use super::names::{Names, Uri};
use super::tree::{Attribute, Declaration, Element, Kind, NodeId, Tree};
use super::{Error, Failure};
use std::borrow::Cow;

/// Prefixes in scope of the evaluation context node: the element the content is put into.
pub(super) struct Context<'a> {
    scope: Vec<(Cow<'a, str>, Uri)>,
    /// Prefix and namespace of that element itself.
    own: (Cow<'a, str>, Uri),
}

impl<'a> Context<'a> {
    /// `parent` is the document node for a new root element; then nothing is in scope.
    pub(super) fn of(tree: &Tree<'a>, parent: NodeId) -> Context<'a> {
        let own = tree.element(parent);
        Context {
            scope: tree.in_scope(parent),
            own: own.map_or_else(Default::default, |own| (own.prefix.clone(), own.uri)),
        }
    }

    /// The prefix for a name that the diff document writes with `prefix`, by the three rules of §4.2.3; `None` when the
    /// target has no prefix for the namespace. Attributes never take the default namespace. `shadowed` prefixes mean
    /// something else in the content.
    pub(super) fn prefix(
        &self,
        uri: Uri,
        prefix: &str,
        attribute: bool,
        shadowed: impl Fn(&str) -> bool,
    ) -> Option<Cow<'a, str>> {
        let fits = |(candidate, bound): &&(Cow<'a, str>, Uri)| {
            *bound == uri && !(attribute && candidate.is_empty()) && !shadowed(candidate)
        };
        let mut candidates: Vec<&Cow<'a, str>> =
            self.scope.iter().filter(fits).map(|(p, _)| p).collect();
        let same = candidates.iter().find(|candidate| ***candidate == prefix);
        let own = candidates
            .iter()
            .find(|candidate| self.own.1 == uri && ***candidate == self.own.0);
        if let Some(chosen) = same.or(own) {
            return Some((**chosen).clone());
        }
        // The closest before it in the alphabet, else the first; the default namespace sorts first as the empty prefix.
        candidates.sort_unstable();
        let behind = candidates.partition_point(|candidate| candidate.as_ref() <= prefix);
        let chosen = candidates.get(behind.saturating_sub(1))?;
        Some((**chosen).clone())
    }

    fn is_bound(&self, uri: Uri) -> bool {
        self.scope.iter().any(|(_, bound)| *bound == uri)
    }

    fn default(&self) -> Uri {
        let bound = self.scope.iter().find(|(prefix, _)| prefix.is_empty());
        bound.map_or(Uri::NONE, |(_, uri)| *uri)
    }
}

/// Copies content of a diff document into a target.
pub(super) struct Import<'i, 'a> {
    pub diff: &'i Tree<'a>,
    pub target: &'i mut Tree<'a>,
    pub names: &'i Names,
    pub context: Context<'a>,
    /// Bytes that may still be added.
    pub room: &'i mut usize,
    /// Declarations in the content around the node at hand, the innermost last.
    pub local: Vec<(Cow<'a, str>, Uri)>,
}

impl<'a> Import<'_, 'a> {
    /// Copies a node with all below it. It recurses as deep as the diff document is nested, which the guard bounds.
    pub(super) fn node(&mut self, id: NodeId, parent: NodeId) -> Result<NodeId, Failure> {
        match self.diff.kind(id) {
            Some(Kind::Element(element)) => self.element(element, parent),
            Some(kind @ (Kind::Text(_) | Kind::Comment(_) | Kind::Instruction(_))) => {
                let size = match kind {
                    Kind::Text(raw) => raw.len(),
                    Kind::Comment(raw) | Kind::Instruction(raw) => raw.len(),
                    _ => 0,
                };
                self.take(size)?;
                Ok(self.target.push(parent, kind.clone()))
            }
            Some(Kind::Document(_)) | None => Err(Failure::new(
                Error::InvalidDiffFormat,
                "Content Not Understood",
            )),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        let left = self.room.checked_sub(bytes);
        *self.room = left.ok_or_else(|| Failure::new(Error::TooMuch, "Patch Adds Too Much"))?;
        Ok(())
    }

    fn element(&mut self, from: &Element<'a>, parent: NodeId) -> Result<NodeId, Failure> {
        let outer = self.local.len();
        // Declarations of the content itself are copied unaltered.
        let mut declared = from.declared.clone();
        for declaration in &declared {
            self.local
                .push((declaration.prefix.clone(), declaration.uri));
        }
        let prefix = self.place(from.uri, &from.prefix, false, &mut declared)?;
        let mut attributes = Vec::with_capacity(from.attributes.len());
        for attribute in &from.attributes {
            let prefix = if attribute.prefix.is_empty() || attribute.uri == Uri::XML {
                attribute.prefix.clone()
            } else {
                self.place(attribute.uri, &attribute.prefix, true, &mut declared)?
            };
            attributes.push(Attribute {
                prefix,
                ..attribute.clone()
            });
        }
        self.take(size(&prefix, from, &declared, &attributes, self.names))?;
        let id = self.target.push(
            parent,
            Kind::Element(Element {
                prefix,
                local: from.local.clone(),
                uri: from.uri,
                declared,
                attributes,
                children: Vec::new(),
            }),
        );
        let mut children = Vec::with_capacity(from.children.len());
        for child in &from.children {
            children.push(self.node(*child, id)?);
        }
        if let Some(element) = self.target.element_mut(id) {
            element.children = children;
        }
        self.local.truncate(outer);
        Ok(id)
    }

    /// The prefix a name is written with in the target; a declaration is added where nothing else keeps its namespace.
    fn place(
        &mut self,
        uri: Uri,
        prefix: &Cow<'a, str>,
        attribute: bool,
        declared: &mut Vec<Declaration<'a>>,
    ) -> Result<Cow<'a, str>, Failure> {
        let innermost = self.local.iter().rev().find(|(local, _)| local == prefix);
        match innermost {
            Some((_, bound)) if *bound == uri => return Ok(prefix.clone()),
            None if uri == Uri::NONE && self.context.default() == Uri::NONE => {
                return Ok(prefix.clone());
            }
            _ => {}
        }
        let local = &self.local;
        let shadowed = |candidate: &str| local.iter().any(|(prefix, _)| prefix == candidate);
        if let Some(chosen) = self.context.prefix(uri, prefix, attribute, shadowed) {
            return Ok(chosen);
        }
        // §4.2.3 wants the target to have the declaration. It is repeated here in two cases only: it is there and hidden by
        // a declaration of the content, or a name of no namespace comes under a default namespace.
        if uri != Uri::NONE && !self.context.is_bound(uri) {
            return Err(Failure::new(
                Error::InvalidNamespaceUri,
                "Namespace Not Declared In The Document",
            ));
        }
        self.local.push((prefix.clone(), uri));
        declared.push(Declaration {
            prefix: prefix.clone(),
            uri,
        });
        Ok(prefix.clone())
    }
}

/// Bytes of a start and end tag as written, about.
fn size(
    prefix: &str,
    element: &Element<'_>,
    declared: &[Declaration<'_>],
    attributes: &[Attribute<'_>],
    names: &Names,
) -> usize {
    let declarations = declared
        .iter()
        .map(|d| 10 + d.prefix.len() + names.text(d.uri).len());
    let values = attributes
        .iter()
        .map(|a| 4 + a.prefix.len() + a.local.len() + a.value.len());
    2 * (prefix.len() + element.local.len())
        + 5
        + declarations.sum::<usize>()
        + values.sum::<usize>()
}
