//! Walks a document along a schema and reports the first fault with its place.

use super::automaton::{Cursor, Leaf};
use super::fault::{Fault, Invalid, label, path};
use super::model::*;
use crate::xml::guard::shortened;
use roxmltree::{Document, ExpandedName, Node};
use std::collections::BTreeSet;

/// Namespace of `xsi:type` and its like.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Deepest element looked at. The guard allows less; this protects the stack if it was left out.
const DEPTH: usize = 256;

/// What to do with an element or attribute that a lax wildcard lets in and that no schema declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// XML Schema's own rule: let it be.
    Allowed,
    /// RFC 4825 §8.2.5: let it be in a namespace that no schema here defines, refuse it in one that a
    /// schema here defines.
    RefusedInKnownNamespaces,
}

pub(super) type Checked = Result<(), Box<(usize, Fault)>>;

/// A fault found at a byte offset of the document; its element's path is worked out once, at the end.
pub(super) fn at<T>(node: Node<'_, '_>, fault: Fault) -> Result<T, Box<(usize, Fault)>> {
    Err(Box::new((node.range().start, fault)))
}

pub(super) fn validate(
    components: &Components,
    document: &Document<'_>,
    unknown: Unknown,
) -> Result<Valid, Invalid> {
    let mut walk = Walk::new(components, unknown);
    let root = document.root_element();
    let checked = walk.document(root).map_err(|found| {
        let (offset, fault) = *found;
        let place = document.text_pos_at(offset);
        let node = document
            .descendants()
            .rfind(|n| n.is_element() && n.range().contains(&offset));
        Invalid {
            fault,
            line: place.row,
            column: place.col,
            path: node.map(path).unwrap_or_default(),
        }
    });
    checked.map(|()| Valid {
        refers: !walk.references.is_empty(),
    })
}

/// What is known of a document that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Whether a value in it is an IDREF: whether it is valid may rest on any ID in it.
    pub refers: bool,
}

pub(super) struct Walk<'s> {
    pub(super) components: &'s Components,
    unknown: Unknown,
    pub(super) ids: BTreeSet<String>,
    pub(super) references: Vec<(usize, String)>,
}

impl<'s> Walk<'s> {
    pub(super) fn new(components: &'s Components, unknown: Unknown) -> Walk<'s> {
        Walk {
            components,
            unknown,
            ids: BTreeSet::new(),
            references: Vec::new(),
        }
    }

    fn document(&mut self, root: Node<'_, '_>) -> Checked {
        let name = root.tag_name();
        let Some(id) = self
            .components
            .global_elements
            .get(space_of(name), name.name())
        else {
            return at(
                root,
                Fault::Undeclared {
                    element: label(root),
                },
            );
        };
        self.declared(root, *id, 1)?;
        for (offset, id) in &self.references {
            if !self.ids.contains(id) {
                return Err(Box::new((
                    *offset,
                    Fault::DanglingIdRef { id: shortened(id) },
                )));
            }
        }
        Ok(())
    }

    /// An element along its declaration.
    pub(super) fn declared(&mut self, node: Node<'_, '_>, id: ElementId, depth: usize) -> Checked {
        let Some(element) = self.components.element(id) else {
            return Ok(());
        };
        if element.is_abstract {
            return at(
                node,
                Fault::Abstract {
                    name: element.name.local.clone(),
                },
            );
        }
        let kind = self.actual_type(node, element.kind)?;
        self.typed(node, kind, element.default.as_deref(), depth)
    }

    /// The type named by `xsi:type`, or the declared one.
    pub(super) fn actual_type(
        &self,
        node: Node<'_, '_>,
        declared: TypeId,
    ) -> Result<TypeId, Box<(usize, Fault)>> {
        if let Some(nil) = node.attribute((XSI, "nil"))
            && !matches!(nil.trim(), "false" | "0")
        {
            return at(node, Fault::Nil);
        }
        let Some(name) = node.attribute((XSI, "type")) else {
            return Ok(declared);
        };
        let bad = || {
            at(
                node,
                Fault::BadType {
                    name: shortened(name),
                },
            )
        };
        let (prefix, local) = match name.trim().split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, name.trim()),
        };
        let space = node
            .lookup_namespace_uri(prefix)
            .filter(|space| !space.is_empty());
        if prefix.is_some() && space.is_none() {
            return bad();
        }
        match self.components.global_types.get(space, local) {
            Some(actual) if self.derives(*actual, declared) => Ok(*actual),
            _ => bad(),
        }
    }

    /// Whether `from` is `base` or derived from it.
    fn derives(&self, from: TypeId, base: TypeId) -> bool {
        let parent = |id: &TypeId| match self.components.kind(*id)? {
            Type::Simple(simple) => simple.base,
            Type::Complex(complex) => complex.base,
        };
        // Derivations have been checked to be without cycles when they were built.
        self.any_type() == Some(base)
            || std::iter::successors(Some(from), parent).any(|id| id == base)
    }

    pub(super) fn any_type(&self) -> Option<TypeId> {
        let types = &self.components.global_types;
        types.get(Some(super::collect::XS), "anyType").copied()
    }

    fn typed(
        &mut self,
        node: Node<'_, '_>,
        kind: TypeId,
        default: Option<&str>,
        depth: usize,
    ) -> Checked {
        if depth > DEPTH {
            return at(node, Fault::TooDeep);
        }
        let components = self.components;
        match components.kind(kind) {
            None => Ok(()),
            Some(Type::Simple(simple)) => {
                self.no_attributes(node)?;
                self.text(node, simple, default)
            }
            Some(Type::Complex(complex)) if complex.is_abstract => at(
                node,
                Fault::Abstract {
                    name: "the type".to_owned(),
                },
            ),
            Some(Type::Complex(complex)) => {
                self.attributes(node, complex)?;
                self.content(node, complex, default, depth)
            }
        }
    }

    /// Whether a name that nothing here declares is refused although a wildcard lets it in.
    pub(super) fn refuses(&self, space: Option<&str>, local: &str, declared: &Table<()>) -> bool {
        let known = |space: &str| {
            self.components
                .spaces
                .binary_search_by(|s| s.as_str().cmp(space))
                .is_ok()
        };
        self.unknown == Unknown::RefusedInKnownNamespaces
            && space.is_some_and(known)
            && declared.get(space, local).is_none()
    }

    fn content(
        &mut self,
        node: Node<'_, '_>,
        complex: &ComplexType,
        default: Option<&str>,
        depth: usize,
    ) -> Checked {
        let components = self.components;
        if let Content::Simple(kind) = &complex.content {
            return match components.kind(*kind) {
                Some(Type::Simple(simple)) => self.text(node, simple, default),
                _ => Ok(()),
            };
        }
        if !complex.mixed {
            let blank = |text: &str| {
                text.bytes()
                    .all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            };
            // Blanks may stand between elements, but not in an element that is declared empty (part 1 §3.4.4).
            let empty = matches!(complex.content, Content::Empty);
            let wrong = |n: &Node<'_, '_>| {
                n.is_text() && n.text().is_some_and(|text| empty || !blank(text))
            };
            if let Some(text) = node.children().find(wrong) {
                return at(text, Fault::Text);
            }
        }
        match &complex.content {
            Content::Elements(automaton) => {
                let mut cursor = Cursor::default();
                let mut before: Option<(ExpandedName<'_, '_>, Fit)> = None;
                for child in node.children().filter(Node::is_element) {
                    let name = child.tag_name();
                    let found = match before {
                        Some((same, fit)) if same == name && cursor.rests() => Some(fit),
                        _ => automaton.step(&mut cursor, |leaf| {
                            self.fits(leaf, space_of(name), name.name())
                        }),
                    };
                    before = found.map(|fit| (name, fit));
                    match found {
                        Some(Fit::Declared(id)) => self.declared(child, id, depth + 1)?,
                        Some(Fit::Wild(process)) => self.wild(child, process, depth + 1)?,
                        None => {
                            let expected = self.names(automaton.expected(&cursor));
                            return at(
                                child,
                                Fault::Unexpected {
                                    element: label(child),
                                    expected,
                                },
                            );
                        }
                    }
                }
                if automaton.may_end(&cursor) {
                    return Ok(());
                }
                at(
                    node,
                    Fault::Incomplete {
                        expected: self.names(automaton.expected(&cursor)),
                    },
                )
            }
            Content::All { members, optional } => self.all(node, members, *optional, depth),
            Content::Empty | Content::Simple(_) => match node.children().find(Node::is_element) {
                Some(child) => at(
                    child,
                    Fault::Unexpected {
                        element: label(child),
                        expected: Vec::new(),
                    },
                ),
                None => Ok(()),
            },
        }
    }

    /// How a leaf takes an element of this name.
    pub(super) fn fits(&self, leaf: &Leaf, space: Option<&str>, local: &str) -> Option<Fit> {
        match leaf {
            Leaf::Element(head) => self
                .components
                .stands_for(*head, space, local)
                .map(Fit::Declared),
            Leaf::Any(wildcard) => wildcard.takes(space).then_some(Fit::Wild(wildcard.process)),
        }
    }

    fn all(
        &mut self,
        node: Node<'_, '_>,
        members: &[(ElementId, bool)],
        optional: bool,
        depth: usize,
    ) -> Checked {
        let mut seen = vec![false; members.len()];
        for child in node.children().filter(Node::is_element) {
            let name = child.tag_name();
            let fit = members
                .iter()
                .zip(&mut seen)
                .filter(|(_, seen)| !**seen)
                .find_map(|((id, _), seen)| {
                    let id = self
                        .components
                        .stands_for(*id, space_of(name), name.name())?;
                    *seen = true;
                    Some(id)
                });
            match fit {
                Some(id) => self.declared(child, id, depth + 1)?,
                None => {
                    return at(
                        child,
                        Fault::Unexpected {
                            element: label(child),
                            expected: Vec::new(),
                        },
                    );
                }
            }
        }
        let nothing = !seen.contains(&true);
        let absent = members
            .iter()
            .zip(&seen)
            .find(|((_, required), seen)| *required && !**seen);
        match absent {
            Some(((id, _), _)) if !(optional && nothing) => {
                let expected = self.components.element(*id).map(|e| e.name.local.clone());
                at(
                    node,
                    Fault::Incomplete {
                        expected: expected.into_iter().collect(),
                    },
                )
            }
            _ => Ok(()),
        }
    }

    /// An element that a wildcard let in.
    pub(super) fn wild(&mut self, node: Node<'_, '_>, process: Process, depth: usize) -> Checked {
        let name = node.tag_name();
        let declared = self
            .components
            .global_elements
            .get(space_of(name), name.name())
            .copied();
        match (process, declared) {
            (Process::Skip, _) => Ok(()),
            (_, Some(id)) => self.declared(node, id, depth),
            (Process::Lax, None)
                if !self.refuses(
                    space_of(name),
                    name.name(),
                    &self.components.declared_elements,
                ) =>
            {
                // Assessed as xs:anyType (part 1 §3.10.4): what is declared further down must be valid.
                match self.any_type() {
                    Some(any) => {
                        let kind = self.actual_type(node, any)?;
                        self.typed(node, kind, None, depth)
                    }
                    None => Ok(()),
                }
            }
            (Process::Strict | Process::Lax, None) => at(
                node,
                Fault::Undeclared {
                    element: label(node),
                },
            ),
        }
    }

    /// Names of the elements among the leaves, for a message.
    fn names<'l>(&self, leaves: impl Iterator<Item = &'l Leaf>) -> Vec<String> {
        const SHOWN: usize = 6;
        let mut names: Vec<String> = Vec::new();
        for leaf in leaves {
            let name = match leaf {
                Leaf::Element(id) => self.components.element(*id).map(|e| e.name.local.clone()),
                Leaf::Any(_) => Some("an element of another namespace".to_owned()),
            };
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                names.push(name);
            }
            if names.len() == SHOWN {
                names.push("...".to_owned());
                break;
            }
        }
        names
    }
}

/// How an element fits into a content model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Declared(ElementId),
    Wild(Process),
}

/// Namespace of an element; none where `xmlns=""` takes the default away, which the parser reads as an empty one.
pub(super) fn space_of<'n>(name: ExpandedName<'n, 'n>) -> Option<&'n str> {
    name.namespace().filter(|space| !space.is_empty())
}
