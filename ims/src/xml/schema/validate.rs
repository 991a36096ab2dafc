//! Walks a document along a schema and reports the first fault with its place.

use super::automaton::{Cursor, Leaf};
use super::model::*;
use super::simple::{Meaning, SimpleType, listed};
use crate::xml::guard::shortened;
use roxmltree::{Attribute, Document, ExpandedName, Node};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// Namespace of `xsi:type` and its like.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

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

/// The first thing found wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub fault: Fault,
    /// Line and column in characters, counted from 1.
    pub line: u32,
    pub column: u32,
    /// The element concerned, as `/ruleset/rule[2]/actions`: local names, and the place among siblings of
    /// the same name where there are several.
    pub path: String,
}

/// What is wrong. Texts that quote the document are cut to a bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No schema declares the element, and one is needed here.
    Undeclared {
        element: String,
    },
    /// The element may not stand here; what may is listed, as far as it has names.
    Unexpected {
        element: String,
        expected: Vec<String>,
    },
    /// The content ends too early.
    Incomplete {
        expected: Vec<String>,
    },
    /// Text where only elements may stand.
    Text,
    /// An abstract element or type stands for itself.
    Abstract {
        name: String,
    },
    /// An attribute that the type does not have.
    Attribute {
        name: String,
    },
    /// An attribute that must be there is not.
    Missing {
        attribute: String,
    },
    /// A value that its type does not have; `phrase` completes "the value ...".
    Value {
        of: String,
        value: String,
        phrase: String,
    },
    /// An ID that the document has already used.
    DuplicateId {
        id: String,
    },
    /// An IDREF to an ID that the document does not have.
    DanglingIdRef {
        id: String,
    },
    /// `xsi:type` names no type, or none that is derived from the declared one.
    BadType {
        name: String,
    },
    /// `xsi:nil` on an element that is not nillable.
    Nil,
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Undeclared { element } => write!(f, "element {element} is not known"),
            Fault::Unexpected { element, expected } if expected.is_empty() => {
                write!(f, "element {element} is not allowed here")
            }
            Fault::Unexpected { element, expected } => {
                write!(
                    f,
                    "element {element} is not allowed here, expected {}",
                    expected.join(", ")
                )
            }
            Fault::Incomplete { expected } => {
                write!(f, "content is missing, expected {}", expected.join(", "))
            }
            Fault::Text => f.write_str("text is not allowed here"),
            Fault::Abstract { name } => write!(f, "{name} is abstract"),
            Fault::Attribute { name } => write!(f, "attribute {name} is not allowed here"),
            Fault::Missing { attribute } => write!(f, "attribute {attribute} is missing"),
            Fault::Value { of, value, phrase } => {
                write!(f, "the value \"{value}\" of {of} {phrase}")
            }
            Fault::DuplicateId { id } => write!(f, "the id \"{id}\" is used twice"),
            Fault::DanglingIdRef { id } => write!(f, "there is no id \"{id}\""),
            Fault::BadType { name } => write!(f, "xsi:type \"{name}\" does not fit"),
            Fault::Nil => f.write_str("xsi:nil is not allowed here"),
            Fault::TooDeep => f.write_str("elements are nested too deep"),
        }
    }
}

/// A phrase for a person: path, what is wrong, and where in the text.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (line {}, column {})",
            self.path, self.fault, self.line, self.column
        )
    }
}

impl std::error::Error for Invalid {}

type Checked = Result<(), Box<(usize, Fault)>>;

/// A fault found at a byte offset of the document; its element's path is worked out once, at the end.
fn at<T>(node: Node<'_, '_>, fault: Fault) -> Result<T, Box<(usize, Fault)>> {
    Err(Box::new((node.range().start, fault)))
}

pub(super) fn validate(
    components: &Components,
    document: &Document<'_>,
    unknown: Unknown,
) -> Result<(), Invalid> {
    let mut walk = Walk {
        components,
        unknown,
        ids: BTreeSet::new(),
        references: Vec::new(),
    };
    let root = document.root_element();
    walk.document(root).map_err(|found| {
        let (offset, fault) = *found;
        let place = document.text_pos_at(offset);
        let node = document
            .descendants()
            .filter(|n| n.is_element() && n.range().contains(&offset))
            .last();
        Invalid {
            fault,
            line: place.row,
            column: place.col,
            path: node.map(path).unwrap_or_default(),
        }
    })
}

struct Walk<'s, 'd> {
    components: &'s Components,
    unknown: Unknown,
    ids: BTreeSet<Cow<'d, str>>,
    references: Vec<(usize, Cow<'d, str>)>,
}

impl<'s, 'd> Walk<'s, 'd> {
    fn document(&mut self, root: Node<'d, '_>) -> Checked {
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
    fn declared(&mut self, node: Node<'d, '_>, id: ElementId, depth: usize) -> Checked {
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
    fn actual_type(
        &self,
        node: Node<'d, '_>,
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
        let any = self
            .components
            .global_types
            .get(Some(super::collect::XS), "anyType");
        // Derivations have been checked to be without cycles when they were built.
        any == Some(&base) || std::iter::successors(Some(from), parent).any(|id| id == base)
    }

    fn typed(
        &mut self,
        node: Node<'d, '_>,
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

    fn no_attributes(&self, node: Node<'d, '_>) -> Checked {
        match node.attributes().find(|a| a.namespace() != Some(XSI)) {
            Some(attribute) => at_attribute(
                &attribute,
                Fault::Attribute {
                    name: attribute_label(&attribute),
                },
            ),
            None => Ok(()),
        }
    }

    fn attributes(&mut self, node: Node<'d, '_>, complex: &ComplexType) -> Checked {
        let mut required = 0;
        for attribute in node.attributes() {
            let (space, local) = (attribute.namespace(), attribute.name());
            if space == Some(XSI)
                && matches!(
                    local,
                    "type" | "nil" | "schemaLocation" | "noNamespaceSchemaLocation"
                )
            {
                continue;
            }
            let Some(declared) = complex.attributes.iter().find(|a| a.name.is(space, local)) else {
                self.wild_attribute(node, &attribute, complex)?;
                continue;
            };
            required += usize::from(declared.required);
            self.attribute_value(node, &attribute, declared.kind)?;
            if declared
                .fixed
                .as_deref()
                .is_some_and(|fixed| fixed != attribute.value())
            {
                let fixed = declared.fixed.as_slice();
                return at_attribute(
                    &attribute,
                    bad_value(&attribute, format!("is not {}", listed(fixed))),
                );
            }
        }
        if required == complex.attributes.iter().filter(|a| a.required).count() {
            return Ok(());
        }
        let absent = complex.attributes.iter().find(|a| {
            a.required
                && !node
                    .attributes()
                    .any(|b| a.name.is(b.namespace(), b.name()))
        });
        match absent {
            Some(absent) => at(
                node,
                Fault::Missing {
                    attribute: absent.name.local.clone(),
                },
            ),
            None => Ok(()),
        }
    }

    /// An attribute that the type does not name.
    fn wild_attribute(
        &mut self,
        node: Node<'d, '_>,
        attribute: &Attribute<'_, 'd>,
        complex: &ComplexType,
    ) -> Checked {
        let (space, local) = (attribute.namespace(), attribute.name());
        let wildcard = complex
            .any_attribute
            .iter()
            .find(|wildcard| wildcard.takes(space));
        let declared = self.components.global_attributes.get(space, local).copied();
        match (wildcard.map(|w| w.process), declared) {
            (Some(Process::Skip), _) => Ok(()),
            (Some(Process::Strict | Process::Lax), Some(kind)) => {
                self.attribute_value(node, attribute, kind)
            }
            (Some(Process::Lax), None)
                if !self.refuses(space, local, &self.components.declared_attributes) =>
            {
                Ok(())
            }
            _ => at_attribute(
                attribute,
                Fault::Attribute {
                    name: attribute_label(attribute),
                },
            ),
        }
    }

    /// Whether a name that nothing here declares is refused although a wildcard lets it in.
    fn refuses(&self, space: Option<&str>, local: &str, declared: &Table<()>) -> bool {
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

    fn attribute_value(
        &mut self,
        node: Node<'d, '_>,
        attribute: &Attribute<'_, 'd>,
        kind: TypeId,
    ) -> Checked {
        let Some(Type::Simple(simple)) = self.components.kind(kind) else {
            return Ok(());
        };
        let offset = attribute.range().start;
        match simple.check(self.components, attribute.value()) {
            Err(phrase) => at_attribute(attribute, bad_value(attribute, phrase)),
            Ok((value, meaning)) => {
                let value = Cow::Owned(value.into_owned());
                self.meaning(node, offset, value, meaning)
            }
        }
    }

    /// What a value says about the rest of the document.
    fn meaning(
        &mut self,
        node: Node<'d, '_>,
        offset: usize,
        value: Cow<'d, str>,
        meaning: Meaning,
    ) -> Checked {
        match meaning {
            Meaning::Plain => {}
            Meaning::Id => {
                let id = shortened(&value);
                if !self.ids.insert(value) {
                    return Err(Box::new((offset, Fault::DuplicateId { id })));
                }
            }
            Meaning::IdRef => self.references.push((offset, value)),
            Meaning::QName => {
                let unbound = |(prefix, _): (&str, &str)| {
                    prefix != "xml" && node.lookup_namespace_uri(Some(prefix)).is_none()
                };
                if value.split_once(':').is_some_and(unbound) {
                    let fault = Fault::Value {
                        of: label(node),
                        value: shortened(&value),
                        phrase: "has a prefix that is not bound".to_owned(),
                    };
                    return Err(Box::new((offset, fault)));
                }
            }
        }
        Ok(())
    }

    fn content(
        &mut self,
        node: Node<'d, '_>,
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
                for child in node.children().filter(Node::is_element) {
                    let found = automaton.step(&mut cursor, |leaf| self.fits(leaf, child));
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

    fn fits(&self, leaf: &Leaf, child: Node<'_, '_>) -> Option<Fit> {
        let name = child.tag_name();
        match leaf {
            Leaf::Element(head) => self
                .components
                .stands_for(*head, space_of(name), name.name())
                .map(Fit::Declared),
            Leaf::Any(wildcard) => wildcard
                .takes(space_of(name))
                .then_some(Fit::Wild(wildcard.process)),
        }
    }

    fn all(
        &mut self,
        node: Node<'d, '_>,
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
    fn wild(&mut self, node: Node<'d, '_>, process: Process, depth: usize) -> Checked {
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
                let any = self
                    .components
                    .global_types
                    .get(Some(super::collect::XS), "anyType")
                    .copied();
                match any {
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

    /// The text of an element of a simple type.
    fn text(&mut self, node: Node<'d, '_>, simple: &SimpleType, default: Option<&str>) -> Checked {
        if let Some(child) = node.children().find(Node::is_element) {
            return at(
                child,
                Fault::Unexpected {
                    element: label(child),
                    expected: Vec::new(),
                },
            );
        }
        let mut pieces = node
            .children()
            .filter_map(|n| n.text_storage().filter(|_| n.is_text()));
        // A comment or an instruction parts the text, but not the value.
        let first: &str = pieces.next().map_or("", |piece| piece.as_str());
        let whole: String = [first]
            .into_iter()
            .chain(pieces.map(|piece| piece.as_str()))
            .collect();
        if whole.is_empty() && default.is_some() {
            return Ok(());
        }
        match simple.check(self.components, &whole) {
            Err(phrase) => at(
                node,
                Fault::Value {
                    of: label(node),
                    value: shortened(&whole),
                    phrase,
                },
            ),
            Ok((value, meaning)) => {
                let value = Cow::Owned(value.into_owned());
                self.meaning(node, node.range().start, value, meaning)
            }
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
enum Fit {
    Declared(ElementId),
    Wild(Process),
}

fn at_attribute<T>(attribute: &Attribute<'_, '_>, fault: Fault) -> Result<T, Box<(usize, Fault)>> {
    Err(Box::new((attribute.range().start, fault)))
}

fn bad_value(attribute: &Attribute<'_, '_>, phrase: String) -> Fault {
    Fault::Value {
        of: attribute_label(attribute),
        value: shortened(attribute.value()),
        phrase,
    }
}

/// The element's local name, cut to a bounded length.
fn label(node: Node<'_, '_>) -> String {
    shortened(node.tag_name().name())
}

fn attribute_label(attribute: &Attribute<'_, '_>) -> String {
    shortened(attribute.name())
}

/// Namespace of an element; none where `xmlns=""` takes the default away, which the parser reads as an empty one.
fn space_of<'n>(name: ExpandedName<'n, 'n>) -> Option<&'n str> {
    name.namespace().filter(|space| !space.is_empty())
}

/// Path of an element by local names.
fn path(node: Node<'_, '_>) -> String {
    let mut steps: Vec<String> = Vec::new();
    for element in node.ancestors().filter(Node::is_element) {
        let same = |n: &Node<'_, '_>| n.is_element() && n.tag_name() == element.tag_name();
        let before = element.prev_siblings().skip(1).filter(same).count();
        let more = before > 0 || element.next_siblings().skip(1).any(|n| same(&n));
        let name = label(element);
        steps.push(if more {
            format!("/{name}[{}]", before + 1)
        } else {
            format!("/{name}")
        });
    }
    steps.reverse();
    steps.concat()
}
