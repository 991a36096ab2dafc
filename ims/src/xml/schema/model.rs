//! A schema in memory: what the reader builds and the validator walks. Everything refers by index.

use super::automaton::Automaton;
use super::simple::SimpleType;
use std::collections::BTreeMap;
use std::fmt;

/// Index of an element declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ElementId(pub u32);

/// Index of a type definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeId(pub u32);

/// An expanded name: namespace (none for a name in no namespace) and local part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub space: Option<String>,
    pub local: String,
}

impl Name {
    pub fn new(space: Option<&str>, local: &str) -> Name {
        Name {
            space: space.map(str::to_owned),
            local: local.to_owned(),
        }
    }

    pub fn is(&self, space: Option<&str>, local: &str) -> bool {
        self.local == local && self.space.as_deref() == space
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.space {
            Some(space) => write!(f, "{{{space}}}{}", self.local),
            None => f.write_str(&self.local),
        }
    }
}

/// Things by expanded name, found without building a [`Name`] first.
#[derive(Clone, Debug)]
pub(super) struct Table<T>(BTreeMap<String, Vec<(Option<String>, T)>>);

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table(BTreeMap::new())
    }
}

impl<T> Table<T> {
    pub fn get(&self, space: Option<&str>, local: &str) -> Option<&T> {
        let same_local = self.0.get(local)?;
        same_local
            .iter()
            .find(|(s, _)| s.as_deref() == space)
            .map(|(_, thing)| thing)
    }

    /// Adds a thing; false when the name is taken.
    pub fn add(&mut self, name: &Name, thing: T) -> bool {
        if self.get(name.space.as_deref(), &name.local).is_some() {
            return false;
        }
        self.0
            .entry(name.local.clone())
            .or_default()
            .push((name.space.clone(), thing));
        true
    }

    /// Everything, in an order that depends on the names only.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &str, &T)> {
        self.0.iter().flat_map(|(local, same)| {
            same.iter()
                .map(move |(space, thing)| (space.as_deref(), local.as_str(), thing))
        })
    }
}

/// An element declaration, global or local.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub name: Name,
    pub kind: TypeId,
    pub is_abstract: bool,
    /// An empty element takes this value, so its own emptiness is not checked.
    pub default: Option<String>,
    /// Members of the substitution group headed by this element, members of members included.
    pub substitutes: Vec<ElementId>,
}

/// A type definition.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Simple(SimpleType),
    Complex(ComplexType),
}

#[derive(Clone, Debug)]
pub(super) struct ComplexType {
    /// The type this one is derived from; none for `xs:anyType`.
    pub base: Option<TypeId>,
    pub is_abstract: bool,
    pub mixed: bool,
    pub content: Content,
    pub attributes: Vec<AttributeUse>,
    /// An attribute not among `attributes` must fit one of these.
    pub any_attribute: Vec<Wildcard>,
}

/// What may stand between the tags.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Empty,
    /// Text of a simple type.
    Simple(TypeId),
    /// Elements in the order that the automaton knows.
    Elements(Automaton),
    /// `xs:all`: each at most once, in any order; the flag says that it must be there.
    All {
        members: Vec<(ElementId, bool)>,
        optional: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct AttributeUse {
    pub name: Name,
    pub kind: TypeId,
    pub required: bool,
    pub fixed: Option<String>,
}

/// `xs:any` and `xs:anyAttribute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    pub spaces: Spaces,
    pub process: Process,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    Any,
    /// Any namespace but this one; no namespace at all does not fit (XML Schema 1.0 part 1 §3.10.1).
    Other(Option<String>),
    /// One of these; none stands for "no namespace".
    Among(Vec<Option<String>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// Must be declared and valid.
    Strict,
    /// Must be valid where it is declared.
    Lax,
    /// Is not looked into.
    Skip,
}

impl Wildcard {
    pub fn takes(&self, space: Option<&str>) -> bool {
        match &self.spaces {
            Spaces::Any => true,
            Spaces::Other(own) => space.is_some() && space != own.as_deref(),
            Spaces::Among(list) => list.iter().any(|s| s.as_deref() == space),
        }
    }
}

/// Every component of a set of schema documents, resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Components {
    pub elements: Vec<Element>,
    pub types: Vec<Type>,
    pub global_elements: Table<ElementId>,
    pub global_types: Table<TypeId>,
    pub global_attributes: Table<TypeId>,
    /// Every name that any declaration gives to an element, local ones included.
    pub declared_elements: Table<()>,
    /// Likewise for attributes in a namespace.
    pub declared_attributes: Table<()>,
    /// The target namespaces of the set.
    pub spaces: Vec<String>,
}

impl Components {
    pub fn element(&self, id: ElementId) -> Option<&Element> {
        self.elements.get(id.0 as usize)
    }

    pub fn kind(&self, id: TypeId) -> Option<&Type> {
        self.types.get(id.0 as usize)
    }

    /// The declaration that an instance element of this name gets where `head` is expected.
    pub fn stands_for(
        &self,
        head: ElementId,
        space: Option<&str>,
        local: &str,
    ) -> Option<ElementId> {
        let declared = self.element(head)?;
        if declared.name.is(space, local) {
            return Some(head);
        }
        let mut members = declared.substitutes.iter().copied();
        members.find(|id| self.element(*id).is_some_and(|e| e.name.is(space, local)))
    }
}
