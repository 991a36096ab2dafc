//! Bodies of type definitions: derivation, attributes and facets.

use super::LoadError;
use super::automaton::{Automaton, Particle};
use super::build::{Builder, flag};
use super::builtin::{Builtin, Whitespace, compare};
use super::collect::Place;
use super::model::*;
use super::pattern;
use super::simple::{Facet, SimpleType, normalised};
use std::cmp::Ordering;

/// Most attribute groups inside one another.
const GROUPS: usize = 32;

/// Most values of one enumeration.
const VALUES: usize = 4096;

impl<'a> Builder<'a> {
    pub(super) fn complex_type(
        &mut self,
        id: TypeId,
        place: Place<'a>,
        depth: usize,
    ) -> Result<ComplexType, LoadError> {
        let mut complex = ComplexType {
            base: Some(self.any_type),
            is_abstract: flag(place, "abstract"),
            mixed: flag(place, "mixed"),
            content: Content::Empty,
            attributes: Vec::new(),
            any_attribute: Vec::new(),
        };
        let content = place.child(&["simpleContent", "complexContent"]);
        let Some(content) = content else {
            let own = self.own_particle(place)?;
            complex.content = self.content(id, own)?;
            self.attributes(place, &mut complex)?;
            return Ok(complex);
        };
        complex.mixed |= flag(content, "mixed");
        let Some(derivation) = content.child(&["extension", "restriction"]) else {
            return Err(self.error(content, "neither an extension nor a restriction"));
        };
        let base_id = self.base_of_complex(derivation, depth)?;
        complex.base = Some(base_id);
        let base = self.components.kind(base_id).cloned();
        match base {
            Some(base) if content.is("simpleContent") => {
                complex.content = Content::Simple(self.simple_content(base_id, &base, derivation)?);
                if let Type::Complex(base) = base {
                    complex.attributes = base.attributes;
                    complex.any_attribute = base.any_attribute;
                }
            }
            Some(Type::Complex(base)) if derivation.is("extension") => {
                self.extend(id, base_id, base, derivation, &mut complex)?;
            }
            Some(Type::Complex(base)) => {
                let own = self.own_particle(derivation)?;
                complex.content = self.content(id, own)?;
                // A restriction keeps attributes that it does not mention, but not the wildcard.
                complex.attributes = base.attributes;
            }
            _ => return Err(self.error(derivation, "complex content derived from a simple type")),
        }
        self.attributes(derivation, &mut complex)?;
        Ok(complex)
    }

    fn base_of_complex(
        &mut self,
        derivation: Place<'a>,
        depth: usize,
    ) -> Result<TypeId, LoadError> {
        if derivation.attribute("base").is_none() {
            return Err(self.error(derivation, "a derivation without a base"));
        }
        self.base(derivation, depth)
    }

    /// An extension: what the base has, then what is added (part 1 §3.4.2).
    fn extend(
        &mut self,
        id: TypeId,
        base_id: TypeId,
        base: ComplexType,
        derivation: Place<'a>,
        complex: &mut ComplexType,
    ) -> Result<(), LoadError> {
        let own = self.own_particle(derivation)?;
        complex.mixed |= base.mixed;
        complex.content = match (own, base.content) {
            (None, content) => {
                if let Some(particle) = self.particle_of(base_id).cloned() {
                    self.remember(id, particle);
                }
                content
            }
            (own, Content::Empty) => self.content(id, own)?,
            (Some(own), Content::Elements(_)) if !own.is("all") => {
                let first = self.particle_of(base_id).cloned();
                let second = self.particle(own, 0)?;
                let both = Particle::Sequence(first.into_iter().chain([second]).collect());
                self.compiled(id, derivation, both)?
            }
            _ => return Err(self.error(derivation, "this content cannot be extended")),
        };
        complex.attributes = base.attributes;
        complex.any_attribute = base.any_attribute;
        Ok(())
    }

    fn own_particle(&mut self, place: Place<'a>) -> Result<Option<Place<'a>>, LoadError> {
        match place.child(&["sequence", "choice", "all", "group"]) {
            // A reference to a group of xs:all is that xs:all.
            Some(group) if group.is("group") => {
                let model = self.group(group, 0)?;
                Ok(Some(if model.is("all") { model } else { group }))
            }
            other => Ok(other),
        }
    }

    fn content(&mut self, id: TypeId, own: Option<Place<'a>>) -> Result<Content, LoadError> {
        match own {
            None => Ok(Content::Empty),
            Some(all) if all.is("all") => self.all(all),
            Some(place) => {
                let particle = self.particle(place, 0)?;
                self.compiled(id, place, particle)
            }
        }
    }

    fn compiled(
        &mut self,
        id: TypeId,
        place: Place<'a>,
        particle: Particle,
    ) -> Result<Content, LoadError> {
        let automaton = Automaton::new(&particle).map_err(|what| self.error(place, &what))?;
        self.remember(id, particle);
        Ok(Content::Elements(automaton))
    }

    /// The simple type of a complex type's text.
    fn simple_content(
        &mut self,
        base_id: TypeId,
        base: &Type,
        derivation: Place<'a>,
    ) -> Result<TypeId, LoadError> {
        let text = match base {
            Type::Simple(_) => base_id,
            Type::Complex(ComplexType {
                content: Content::Simple(text),
                ..
            }) => *text,
            Type::Complex(_) => {
                return Err(self.error(derivation, "simple content derived from elements"));
            }
        };
        if derivation.is("extension") {
            return Ok(text);
        }
        let Some(Type::Simple(narrowed)) = self.components.kind(text).cloned() else {
            return Err(self.error(derivation, "simple content without a simple type"));
        };
        let narrowed = self.narrow(narrowed, text, derivation)?;
        Ok(self.add(Type::Simple(narrowed)))
    }

    fn attributes(&mut self, place: Place<'a>, complex: &mut ComplexType) -> Result<(), LoadError> {
        let mut wildcards = Vec::new();
        self.attributes_inside(place, complex, &mut wildcards, 0)?;
        // Part 1 §3.4.2 wants the intersection of wildcards of one step, which no schema in use needs.
        if wildcards.len() > 1 {
            return Err(self.error(
                place,
                "attribute wildcards of one type that differ are not supported",
            ));
        }
        complex.any_attribute.extend(wildcards);
        Ok(())
    }

    fn attributes_inside(
        &mut self,
        place: Place<'a>,
        complex: &mut ComplexType,
        wildcards: &mut Vec<Wildcard>,
        depth: usize,
    ) -> Result<(), LoadError> {
        if depth > GROUPS {
            return Err(self.error(
                place,
                &format!("more than {GROUPS} attribute groups inside one another"),
            ));
        }
        for child in place.children() {
            match child.node.tag_name().name() {
                "attribute" => self.attribute(child, complex)?,
                "attributeGroup" => {
                    let group = self.attribute_group(child)?;
                    self.attributes_inside(group, complex, wildcards, depth + 1)?;
                }
                "anyAttribute" => {
                    let wildcard = self.wildcard(child)?;
                    if !wildcards.contains(&wildcard) {
                        wildcards.push(wildcard);
                    }
                }
                "sequence" | "choice" | "all" | "group" | "simpleType" => {}
                facet if FACETS.contains(&facet) => {}
                other => {
                    return Err(self.error(child, &format!("xs:{other} is not supported here")));
                }
            }
        }
        Ok(())
    }

    fn attribute(&mut self, place: Place<'a>, complex: &mut ComplexType) -> Result<(), LoadError> {
        let (name, kind) = if let Some(reference) = place.attribute("ref") {
            let name = self.reference(place, reference)?;
            let kind = self
                .components
                .global_attributes
                .get(name.space.as_deref(), &name.local)
                .copied();
            let kind =
                kind.ok_or_else(|| self.error(place, &format!("there is no attribute {name}")))?;
            (name, kind)
        } else {
            let Some(local) = place.attribute("name") else {
                return Err(self.error(place, "an attribute without a name"));
            };
            let name = self.local_name(place, local, |unit| unit.qualified_attributes);
            (name, self.attribute_type(place)?)
        };
        if name.space.is_some() {
            self.components.declared_attributes.add(&name, ());
        }
        complex.attributes.retain(|a| a.name != name);
        if place.attribute("use") != Some("prohibited") {
            complex.attributes.push(AttributeUse {
                name,
                kind,
                required: place.attribute("use") == Some("required"),
                fixed: place.attribute("fixed").map(str::to_owned),
            });
        }
        Ok(())
    }

    pub(super) fn simple_type(
        &mut self,
        place: Place<'a>,
        depth: usize,
    ) -> Result<SimpleType, LoadError> {
        let mut simple = match place.child(&["restriction", "union", "list"]) {
            Some(restriction) if restriction.is("restriction") => {
                let base = self.base(restriction, depth)?;
                let Some(Type::Simple(simple)) = self.components.kind(base).cloned() else {
                    return Err(self.error(restriction, "a simple type derived from a complex one"));
                };
                self.narrow(simple, base, restriction)?
            }
            Some(union) if union.is("union") => {
                let mut simple = SimpleType::of("a union", Builtin::AnySimpleType);
                for name in union
                    .attribute("memberTypes")
                    .unwrap_or_default()
                    .split_whitespace()
                {
                    simple.union.push(self.type_named(union, name)?);
                }
                for inline in union.children() {
                    simple.union.push(self.pending(inline)?);
                }
                for member in &simple.union {
                    self.built_before(union, *member, depth)?;
                }
                simple
            }
            _ => {
                return Err(self.error(
                    place,
                    "a simple type that is neither a restriction nor a union",
                ));
            }
        };
        if let Some(name) = place.attribute("name") {
            simple.label = name.to_owned();
        }
        Ok(simple)
    }

    /// A simple type narrowed by the facets of one restriction.
    fn narrow(
        &self,
        mut simple: SimpleType,
        base: TypeId,
        restriction: Place<'a>,
    ) -> Result<SimpleType, LoadError> {
        simple.base = Some(base);
        let (mut values, mut patterns) = (Vec::new(), Vec::new());
        for facet in restriction.children() {
            let value = facet.attribute("value").unwrap_or_default();
            let text = simple.builtin.is_text() && simple.union.is_empty();
            let number = simple.builtin.is_number() && simple.union.is_empty();
            if BOUNDS.contains(&facet.node.tag_name().name()) && compare(value, "0").is_none() {
                return Err(self.error(facet, &format!("\"{value}\" is no number")));
            }
            let mut bound = |never, or_equal| {
                simple.facets.push(Facet::Bound {
                    bound: value.to_owned(),
                    never,
                    or_equal,
                });
            };
            match facet.node.tag_name().name() {
                "enumeration" if values.len() < VALUES => {
                    values.push(normalised(value, simple.whitespace).into_owned());
                }
                "pattern" if patterns.len() < VALUES => {
                    patterns
                        .push(pattern::compile(value).map_err(|what| self.error(facet, &what))?);
                }
                "whiteSpace" => {
                    simple.whitespace = simple.whitespace.max(self.whitespace(facet, value)?)
                }
                "minLength" if text => simple
                    .facets
                    .push(Facet::MinLength(self.length(facet, value)?)),
                "maxLength" if text => simple
                    .facets
                    .push(Facet::MaxLength(self.length(facet, value)?)),
                "length" if text => {
                    let length = self.length(facet, value)?;
                    simple
                        .facets
                        .extend([Facet::MinLength(length), Facet::MaxLength(length)]);
                }
                "minInclusive" if number => bound(Ordering::Less, true),
                "minExclusive" if number => bound(Ordering::Less, false),
                "maxInclusive" if number => bound(Ordering::Greater, true),
                "maxExclusive" if number => bound(Ordering::Greater, false),
                "simpleType" | "attribute" | "attributeGroup" | "anyAttribute" => {}
                other => {
                    return Err(self.error(facet, &format!("facet {other} is not supported here")));
                }
            }
        }
        if !values.is_empty() {
            simple.facets.push(Facet::Enumeration(values));
        }
        if !patterns.is_empty() {
            simple.facets.push(Facet::Pattern(patterns));
        }
        Ok(simple)
    }

    fn length(&self, facet: Place<'a>, value: &str) -> Result<usize, LoadError> {
        value
            .parse()
            .map_err(|_| self.error(facet, &format!("\"{value}\" is no length")))
    }

    fn whitespace(&self, facet: Place<'a>, value: &str) -> Result<Whitespace, LoadError> {
        match value {
            "preserve" => Ok(Whitespace::Preserve),
            "replace" => Ok(Whitespace::Replace),
            "collapse" => Ok(Whitespace::Collapse),
            other => Err(self.error(facet, &format!("whiteSpace \"{other}\" is unknown"))),
        }
    }
}

/// Facets that [`Builder::narrow`] reads, so that attributes pass them by.
const FACETS: [&str; 10] = [
    "enumeration",
    "pattern",
    "whiteSpace",
    "length",
    "minLength",
    "maxLength",
    "minInclusive",
    "minExclusive",
    "maxInclusive",
    "maxExclusive",
];

/// Those of [`FACETS`] that compare numbers.
const BOUNDS: [&str; 4] = [
    "minInclusive",
    "minExclusive",
    "maxInclusive",
    "maxExclusive",
];
