//! Resolves collected schema documents into [`Components`]: declarations, groups and complex types.

use super::LoadError;
use super::automaton::{Automaton, Leaf, Particle};
use super::builtin::Builtin;
use super::collect::{self, Globals, Place, Unit, XS};
use super::model::*;
use super::simple::SimpleType;
use roxmltree::Document;
use std::collections::BTreeMap;

/// Most type definitions and most element declarations in one set.
const COMPONENTS: usize = 20_000;

/// Deepest chain of derivations or of groups inside groups.
const CHAIN: usize = 32;

/// A type definition on its way into the model. Bodies are built from a queue and not where they are met,
/// because types contain elements of their own type.
#[derive(Clone, Copy)]
enum Slot<'a> {
    Pending(Place<'a>),
    /// Being built further down the stack: to need it now is a cycle.
    Building,
    Done,
}

pub(super) struct Builder<'a> {
    pub(super) units: Vec<Unit<'a>>,
    pub(super) globals: Globals<'a>,
    pub(super) components: Components,
    slots: Vec<Slot<'a>>,
    /// Content models of complex types as written, for those that extend them.
    particles: BTreeMap<TypeId, Particle>,
    pub(super) any_type: TypeId,
    pub(super) any_simple_type: TypeId,
}

/// Builds the components of a set of parsed schema documents.
pub(super) fn components(documents: &[(&str, Document<'_>)]) -> Result<Components, LoadError> {
    let units = collect::units(documents)?;
    let globals = collect::globals(&units)?;
    let mut builder = Builder {
        units,
        globals,
        components: Components::default(),
        slots: Vec::new(),
        particles: BTreeMap::new(),
        any_type: TypeId(0),
        any_simple_type: TypeId(0),
    };
    builder.foundation();
    builder.declare()?;
    let mut next = 0;
    while next < builder.slots.len() {
        builder.ensure(TypeId(u32::try_from(next).unwrap_or(u32::MAX)), 0)?;
        next += 1;
    }
    Ok(builder.components)
}

impl<'a> Builder<'a> {
    /// `xs:anyType` and the built-in simple types.
    fn foundation(&mut self) {
        let any = Wildcard {
            spaces: Spaces::Any,
            process: Process::Lax,
        };
        let anything = Particle::Repeat(Box::new(Particle::Leaf(Leaf::Any(any.clone()))), 0, None);
        let any_type = Type::Complex(ComplexType {
            base: None,
            is_abstract: false,
            mixed: true,
            // One position never breaks a limit.
            content: Content::Elements(Automaton::new(&anything).unwrap_or_default()),
            attributes: Vec::new(),
            any_attribute: vec![any],
        });
        self.any_type = self.built("anyType", any_type);
        for (name, builtin) in Builtin::ALL {
            let id = self.built(
                name,
                Type::Simple(SimpleType::of(&format!("xs:{name}"), builtin)),
            );
            if builtin == Builtin::AnySimpleType {
                self.any_simple_type = id;
            }
        }
    }

    fn built(&mut self, name: &str, kind: Type) -> TypeId {
        let id = self.add(kind);
        self.components
            .global_types
            .add(&Name::new(Some(XS), name), id);
        id
    }

    /// A type that needs no building.
    pub(super) fn add(&mut self, kind: Type) -> TypeId {
        let id = TypeId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.components.types.push(kind);
        self.slots.push(Slot::Done);
        id
    }

    /// An index for a type whose body is built later.
    pub(super) fn pending(&mut self, place: Place<'a>) -> Result<TypeId, LoadError> {
        if self.slots.len() >= COMPONENTS {
            return Err(self.error(place, &format!("more than {COMPONENTS} types")));
        }
        let id = TypeId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.slots.push(Slot::Pending(place));
        self.components
            .types
            .push(Type::Simple(SimpleType::of("", Builtin::AnySimpleType)));
        Ok(id)
    }

    /// Builds a type now if it is not built yet. `depth` counts the derivations on the way here.
    pub(super) fn ensure(&mut self, id: TypeId, depth: usize) -> Result<(), LoadError> {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return Ok(());
        };
        let Slot::Pending(place) = *slot else {
            return Ok(());
        };
        *slot = Slot::Building;
        if depth > CHAIN {
            return Err(self.error(place, &format!("more than {CHAIN} derivations in a chain")));
        }
        let kind = if place.is("simpleType") {
            Type::Simple(self.simple_type(place, depth)?)
        } else {
            Type::Complex(self.complex_type(id, place, depth)?)
        };
        if let Some(built) = self.components.types.get_mut(id.0 as usize) {
            *built = kind;
        }
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            *slot = Slot::Done;
        }
        Ok(())
    }

    /// A base type, built before the type derived from it.
    pub(super) fn base(&mut self, place: Place<'a>, depth: usize) -> Result<TypeId, LoadError> {
        let id = match (place.attribute("base"), place.child(&["simpleType"])) {
            (Some(name), _) => self.type_named(place, name)?,
            (None, Some(inline)) => self.pending(inline)?,
            (None, None) => return Err(self.error(place, "a derivation without a base")),
        };
        self.built_before(place, id, depth)?;
        Ok(id)
    }

    /// Builds a type that another one is made of; finds a type made of itself.
    pub(super) fn built_before(
        &mut self,
        place: Place<'a>,
        id: TypeId,
        depth: usize,
    ) -> Result<(), LoadError> {
        self.ensure(id, depth + 1)?;
        match self.slots.get(id.0 as usize) {
            Some(Slot::Building) => Err(self.error(place, "a type is made of itself")),
            _ => Ok(()),
        }
    }

    /// An element declaration with a name and a type.
    pub(super) fn element(&mut self, name: Name, place: Place<'a>) -> Result<ElementId, LoadError> {
        if self.components.elements.len() >= COMPONENTS {
            return Err(self.error(place, &format!("more than {COMPONENTS} elements")));
        }
        if let Some(other) = place.child(&["key", "keyref", "unique"]) {
            let what = format!("xs:{} is not supported", other.node.tag_name().name());
            return Err(self.error(place, &what));
        }
        for unsupported in ["nillable", "fixed"] {
            if !matches!(place.attribute(unsupported), None | Some("false")) {
                return Err(self.error(
                    place,
                    &format!("{unsupported} on an element is not supported"),
                ));
            }
        }
        let kind = match (
            place.attribute("type"),
            place.child(&["simpleType", "complexType"]),
        ) {
            (Some(name), _) => self.type_named(place, name)?,
            (None, Some(inline)) => self.pending(inline)?,
            (None, None) => self.any_type,
        };
        self.components.declared_elements.add(&name, ());
        let id = ElementId(u32::try_from(self.components.elements.len()).unwrap_or(u32::MAX));
        self.components.elements.push(Element {
            name,
            kind,
            is_abstract: flag(place, "abstract"),
            default: place.attribute("default").map(str::to_owned),
            substitutes: Vec::new(),
        });
        Ok(id)
    }

    fn local_element(&mut self, place: Place<'a>) -> Result<ElementId, LoadError> {
        if let Some(name) = place.attribute("ref") {
            return self.global_element(place, name);
        }
        let Some(local) = place.attribute("name") else {
            return Err(self.error(place, "an element without a name"));
        };
        let name = self.local_name(place, local, |unit| unit.qualified_elements);
        self.element(name, place)
    }

    /// The name of a local declaration: in the target namespace when `form`, or its default, says so.
    pub(super) fn local_name(
        &self,
        place: Place<'a>,
        local: &str,
        default: fn(&Unit<'_>) -> bool,
    ) -> Name {
        let unit = self.units.get(place.unit);
        let qualified = match place.attribute("form") {
            Some(form) => form == "qualified",
            None => unit.is_some_and(default),
        };
        let space = unit
            .filter(|_| qualified)
            .and_then(|unit| unit.target.as_deref());
        Name::new(space, local)
    }

    /// A model group or element with its occurrences; `xs:all` is for [`Builder::content`] alone.
    pub(super) fn particle(
        &mut self,
        place: Place<'a>,
        depth: usize,
    ) -> Result<Particle, LoadError> {
        let (min, max) = self.occurs(place)?;
        let inner = match place.node.tag_name().name() {
            "element" => Particle::Leaf(Leaf::Element(self.local_element(place)?)),
            "any" => Particle::Leaf(Leaf::Any(self.wildcard(place)?)),
            "sequence" => Particle::Sequence(self.particles(place, depth)?),
            "choice" => Particle::Choice(self.particles(place, depth)?),
            "group" => {
                let group = self.group(place, depth)?;
                self.particle(group, depth + 1)?
            }
            other => return Err(self.error(place, &format!("xs:{other} is not supported here"))),
        };
        Ok(match (min, max) {
            (1, Some(1)) => inner,
            (min, max) => Particle::Repeat(Box::new(inner), min, max),
        })
    }

    fn particles(&mut self, place: Place<'a>, depth: usize) -> Result<Vec<Particle>, LoadError> {
        place
            .children()
            .map(|child| self.particle(child, depth))
            .collect()
    }

    /// The model group inside a referenced named group.
    pub(super) fn group(&mut self, place: Place<'a>, depth: usize) -> Result<Place<'a>, LoadError> {
        if depth > CHAIN {
            return Err(self.error(
                place,
                &format!("more than {CHAIN} groups inside one another"),
            ));
        }
        let name = self.reference(place, place.attribute("ref").unwrap_or_default())?;
        let group = self.globals.groups.get(name.space.as_deref(), &name.local);
        match group.and_then(|group| group.child(&["sequence", "choice", "all"])) {
            Some(model) => Ok(model),
            None => Err(self.error(place, &format!("there is no group {name}"))),
        }
    }

    fn occurs(&self, place: Place<'a>) -> Result<(u32, Option<u32>), LoadError> {
        let number = |text: &str| {
            let parsed = text.parse::<u32>().ok();
            parsed.ok_or_else(|| {
                self.error(place, &format!("\"{text}\" is no number of occurrences"))
            })
        };
        let min = place.attribute("minOccurs").map_or(Ok(1), number)?;
        let max = match place.attribute("maxOccurs") {
            Some("unbounded") => None,
            other => Some(other.map_or(Ok(1), number)?),
        };
        match max {
            Some(max) if max < min => Err(self.error(place, "maxOccurs is less than minOccurs")),
            _ => Ok((min, max)),
        }
    }

    /// Content of `xs:all`.
    pub(super) fn all(&mut self, place: Place<'a>) -> Result<Content, LoadError> {
        let optional = self.occurs(place)?.0 == 0;
        let mut members = Vec::new();
        for child in place.children() {
            let occurs = self.occurs(child)?;
            if !child.is("element") || occurs.1 != Some(1) {
                return Err(self.error(child, "xs:all holds elements that occur at most once"));
            }
            members.push((self.local_element(child)?, occurs.0 == 1));
        }
        Ok(Content::All { members, optional })
    }

    pub(super) fn wildcard(&self, place: Place<'a>) -> Result<Wildcard, LoadError> {
        let target = self
            .units
            .get(place.unit)
            .and_then(|unit| unit.target.clone());
        let spaces = match place.attribute("namespace").unwrap_or("##any") {
            "##any" => Spaces::Any,
            "##other" => Spaces::Other(target),
            list => {
                let space = |word: &str| match word {
                    "##targetNamespace" => target.clone(),
                    "##local" => None,
                    uri => Some(uri.to_owned()),
                };
                Spaces::Among(list.split_whitespace().map(space).collect())
            }
        };
        let process = match place.attribute("processContents").unwrap_or("strict") {
            "strict" => Process::Strict,
            "lax" => Process::Lax,
            "skip" => Process::Skip,
            other => {
                return Err(self.error(place, &format!("processContents \"{other}\" is unknown")));
            }
        };
        Ok(Wildcard { spaces, process })
    }

    /// The expanded name that a qualified name in an attribute of the schema stands for.
    pub(super) fn reference(&self, place: Place<'a>, name: &str) -> Result<Name, LoadError> {
        let name = name.trim();
        let (prefix, local) = match name.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, name),
        };
        let bound = place
            .node
            .lookup_namespace_uri(prefix)
            .filter(|space| !space.is_empty());
        let space = match (bound, prefix) {
            (Some(space), _) => Some(space),
            (None, Some("xml")) => Some(super::XML),
            (None, Some(prefix)) => {
                return Err(self.error(place, &format!("prefix {prefix} is not bound")));
            }
            // In a chameleon document a name without a prefix means the adopted namespace.
            (None, None) => {
                let unit = self.units.get(place.unit).filter(|unit| unit.chameleon);
                unit.and_then(|unit| unit.target.as_deref())
            }
        };
        Ok(Name::new(space, local))
    }

    pub(super) fn type_named(&self, place: Place<'a>, name: &str) -> Result<TypeId, LoadError> {
        let name = self.reference(place, name)?;
        let id = self
            .components
            .global_types
            .get(name.space.as_deref(), &name.local)
            .copied();
        id.ok_or_else(|| {
            self.error(
                place,
                &format!("there is no type {name}, or it is not supported"),
            )
        })
    }

    pub(super) fn global_element(
        &self,
        place: Place<'a>,
        name: &str,
    ) -> Result<ElementId, LoadError> {
        let name = self.reference(place, name)?;
        // References are resolved after every global element got its index, except from a global
        // element's own declaration, which holds none.
        let id = self
            .components
            .global_elements
            .get(name.space.as_deref(), &name.local)
            .copied();
        id.ok_or_else(|| self.error(place, &format!("there is no element {name}")))
    }

    pub(super) fn attribute_group(&self, place: Place<'a>) -> Result<Place<'a>, LoadError> {
        let name = self.reference(place, place.attribute("ref").unwrap_or_default())?;
        let group = self
            .globals
            .attribute_groups
            .get(name.space.as_deref(), &name.local)
            .copied();
        group.ok_or_else(|| self.error(place, &format!("there is no attribute group {name}")))
    }

    /// The type of an attribute declaration.
    pub(super) fn attribute_type(&mut self, place: Place<'a>) -> Result<TypeId, LoadError> {
        match (place.attribute("type"), place.child(&["simpleType"])) {
            (Some(name), _) => self.type_named(place, name),
            (None, Some(inline)) => self.pending(inline),
            (None, None) => Ok(self.any_simple_type),
        }
    }

    pub(super) fn remember(&mut self, id: TypeId, particle: Particle) {
        self.particles.insert(id, particle);
    }

    pub(super) fn particle_of(&self, id: TypeId) -> Option<&Particle> {
        self.particles.get(&id)
    }

    pub(super) fn error(&self, place: Place<'a>, what: &str) -> LoadError {
        match self.units.get(place.unit) {
            Some(unit) => unit.error(place.node, what),
            None => LoadError::new("", 1, what),
        }
    }
}

/// A boolean attribute, absent being false.
pub(super) fn flag(place: Place<'_>, name: &str) -> bool {
    matches!(place.attribute(name), Some("true" | "1"))
}
