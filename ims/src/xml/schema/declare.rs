//! Global declarations: every global component gets its index before anything refers to it.

use super::LoadError;
use super::build::Builder;
use super::collect::Place;
use super::model::*;
use std::collections::BTreeMap;

impl<'a> Builder<'a> {
    /// Gives every global component its index, then resolves the declarations.
    pub(super) fn declare(&mut self) -> Result<(), LoadError> {
        let named = |(space, local, place): (Option<&str>, &str, &Place<'a>)| {
            (Name::new(space, local), *place)
        };
        for (name, place) in self.globals.types.iter().map(named).collect::<Vec<_>>() {
            let id = self.pending(place)?;
            if !self.components.global_types.add(&name, id) {
                return Err(self.error(place, "a built-in type is defined anew"));
            }
        }
        for (name, place) in self
            .globals
            .attributes
            .iter()
            .map(named)
            .collect::<Vec<_>>()
        {
            let kind = self.attribute_type(place)?;
            self.components.declared_attributes.add(&name, ());
            self.components.global_attributes.add(&name, kind);
        }
        let elements: Vec<_> = self.globals.elements.iter().map(named).collect();
        for (name, place) in &elements {
            let id = self.element(name.clone(), *place)?;
            self.components.global_elements.add(name, id);
        }
        self.substitution_groups(&elements)?;
        for unit in &self.units {
            self.components.spaces.extend(unit.target.clone());
        }
        self.components.spaces.sort();
        self.components.spaces.dedup();
        Ok(())
    }

    fn substitution_groups(&mut self, elements: &[(Name, Place<'a>)]) -> Result<(), LoadError> {
        let mut members: BTreeMap<ElementId, Vec<ElementId>> = BTreeMap::new();
        for (name, place) in elements {
            let Some(head) = place.attribute("substitutionGroup") else {
                continue;
            };
            let head = self.global_element(*place, head)?;
            let own = self
                .components
                .global_elements
                .get(name.space.as_deref(), &name.local)
                .copied();
            let untyped = place.attribute("type").is_none()
                && place.child(&["simpleType", "complexType"]).is_none();
            let inherited = self.components.element(head).map(|head| head.kind);
            if let (Some(id), Some(kind), true) = (own, inherited, untyped)
                && let Some(element) = self.components.elements.get_mut(id.0 as usize)
            {
                element.kind = kind;
            }
            members.entry(head).or_default().extend(own);
        }
        for head in members.keys() {
            let mut all: Vec<ElementId> = Vec::new();
            let mut heads = vec![*head];
            while let Some(next) = heads.pop() {
                for member in members.get(&next).into_iter().flatten() {
                    if member != head && !all.contains(member) {
                        all.push(*member);
                        heads.push(*member);
                    }
                }
            }
            if let Some(element) = self.components.elements.get_mut(head.0 as usize) {
                element.substitutes = all;
            }
        }
        Ok(())
    }
}
