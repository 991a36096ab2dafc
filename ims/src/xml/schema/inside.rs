//! A change inside a valid document, checked by what it touches.
//!
//! Whether an element is valid rests on its own name, attributes and content, and on its type, which the names and the
//! `xsi:type` of the elements around it give; whether it may stand where it does on the names of its siblings. So with
//! one element changed, this element and the names beside it are to be looked at, and nothing else: where each name
//! has one declaration in the whole content of its parent, whatever stands around it. What cannot be told so is left
//! to [`Schema::validate`](super::Schema::validate), which also says what is wrong.

use super::automaton::{Automaton, Cursor};
use super::model::{ComplexType, Components, Content, ElementId, Process, Type, TypeId};
use super::validate::{Fit, Unknown, Walk, space_of};
use roxmltree::Node;
use std::collections::BTreeSet;

/// An expanded name; no namespace is none.
pub type Named<'n> = (Option<&'n str>, &'n str);

/// A schema's view of documents that are valid but for one change.
///
/// The elements it is asked about stand in a document whose elements from the root to them have the names, attributes
/// and bindings that they have in the whole; their other content may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'s> {
    components: &'s Components,
    unknown: Unknown,
}

impl<'s> Inside<'s> {
    pub(super) fn new(components: &'s Components, unknown: Unknown) -> Inside<'s> {
        Inside {
            components,
            unknown,
        }
    }

    /// The IDs in an element, when it is valid where it stands and refers to no ID; its siblings and their order are
    /// not looked at.
    pub fn element(&self, element: Node<'_, '_>) -> Option<BTreeSet<String>> {
        let mut walk = self.walk();
        let depth = element.ancestors().filter(Node::is_element).count();
        match self.fit(element)? {
            Fit::Declared(id) => walk.declared(element, id, depth),
            Fit::Wild(process) => walk.wild(element, process, depth),
        }
        .ok()?;
        walk.references.is_empty().then_some(walk.ids)
    }

    /// The same of its attributes alone, of which none decides about its type.
    pub fn attributes(&self, element: Node<'_, '_>) -> Option<BTreeSet<String>> {
        let mut walk = self.walk();
        match self.components.kind(self.kind(element)?)? {
            Type::Simple(_) => walk.no_attributes(element),
            Type::Complex(complex) => walk.attributes(element, complex),
        }
        .ok()?;
        walk.references.is_empty().then_some(walk.ids)
    }

    /// Whether elements of these names may stand below `parent` in this order, and none of them changes its
    /// declaration with its place.
    pub fn order<'n>(
        &self,
        parent: Node<'_, '_>,
        names: impl IntoIterator<Item = Named<'n>>,
    ) -> bool {
        let automaton = self.complex(parent).and_then(automaton);
        automaton.is_some_and(|automaton| self.accepts(automaton, names))
    }

    fn accepts<'n>(
        &self,
        automaton: &Automaton,
        names: impl IntoIterator<Item = Named<'n>>,
    ) -> bool {
        let walk = self.walk();
        let mut cursor = Cursor::default();
        let mut before = None;
        for name in names {
            let again = before == Some(name);
            if again && cursor.rests() {
                continue;
            }
            let (space, local) = name;
            let known = again
                || automaton
                    .sole(|leaf| walk.fits(leaf, space, local))
                    .is_some();
            let taken = automaton.step(&mut cursor, |leaf| walk.fits(leaf, space, local));
            if !known || taken.is_none() {
                return false;
            }
            before = Some(name);
        }
        automaton.may_end(&cursor)
    }

    fn walk(&self) -> Walk<'s> {
        Walk::new(self.components, self.unknown)
    }

    /// How the content of its parent takes an element.
    fn fit(&self, element: Node<'_, '_>) -> Option<Fit> {
        let name = element.tag_name();
        let (space, local) = (space_of(name), name.name());
        let automaton = automaton(self.complex(element.parent_element()?)?)?;
        automaton.sole(|leaf| self.walk().fits(leaf, space, local))
    }

    /// The type of an element.
    fn kind(&self, element: Node<'_, '_>) -> Option<TypeId> {
        let name = element.tag_name();
        let global = || -> Option<ElementId> {
            let elements = &self.components.global_elements;
            elements.get(space_of(name), name.name()).copied()
        };
        let fit = match element.parent_element() {
            Some(_) => self.fit(element)?,
            None => Fit::Declared(global()?),
        };
        let declared = match fit {
            Fit::Declared(id) => self.components.element(id)?.kind,
            Fit::Wild(Process::Skip) => return None,
            Fit::Wild(process) => match global() {
                Some(id) => self.components.element(id)?.kind,
                None if process == Process::Lax => self.walk().any_type()?,
                None => return None,
            },
        };
        self.walk().actual_type(element, declared).ok()
    }

    fn complex(&self, element: Node<'_, '_>) -> Option<&'s ComplexType> {
        match self.components.kind(self.kind(element)?)? {
            Type::Complex(complex) => Some(complex),
            Type::Simple(_) => None,
        }
    }
}

/// The content model, where elements stand in an order.
fn automaton(complex: &ComplexType) -> Option<&Automaton> {
    match &complex.content {
        Content::Elements(automaton) => Some(automaton),
        Content::Empty | Content::Simple(_) | Content::All { .. } => None,
    }
}
