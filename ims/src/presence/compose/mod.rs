//! Composition: one raw state out of all publications of a presentity and what the network knows, by the
//! operator's [`Policy`] (as it comes, the OMA policy).
//!
//! Nothing is copied: the state is a list of references into the publications.

mod draft;
mod ids;
mod merge;
mod policy;
#[cfg(test)]
mod properties;
mod registration;
#[cfg(test)]
mod tests;

pub use policy::{Joining, Policy};
pub use registration::RegistrationFacts;

use super::object::Object;
use super::pidf::Contribution;
use super::pidf::fragment::{Parsed, Piece, Sort, Span};
use super::pidf::names::Kind;
use super::pidf::scan::Token;
use crate::time::Timestamp;
use std::sync::Arc;

/// One publication as an input of composition.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub contribution: &'a Contribution,
    /// When its content last changed (a refresh without body changes nothing).
    pub at: Timestamp,
    /// Unique among the sources of one presentity and constant over the life of the publication: the older, the
    /// smaller. Decides which of two equal ids is kept. State that never expires is the oldest: 0.
    pub order: u64,
    /// Goes into an id that gives way to an older one: unique and constant as the order is, but nobody can tell from it
    /// how many publications there are.
    pub mark: u64,
}

/// A piece of one of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub source: u16,
    pub piece: u16,
}

#[derive(Clone, Debug)]
pub(crate) enum Id {
    Published {
        source: u16,
        span: Span,
    },
    /// The published id, which stands at `span`, is taken by an older publication.
    Renamed {
        source: u16,
        span: Span,
        id: Box<str>,
    },
}

/// A tuple, person or device of the composed state; its elements are in the order of the schema.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub sort: Sort,
    pub id: Id,
    first: u32,
    count: u32,
}

/// An `id` inside a piece that had to give way to another.
#[derive(Clone, Debug)]
pub(crate) struct RenamedId {
    pub source: u16,
    pub span: Span,
    pub id: Box<str>,
}

/// The composed state. Raw: nothing of it may be sent but through [`super::content::view`].
#[derive(Clone, Debug, Default)]
pub struct Composed {
    sources: Vec<Arc<Parsed>>,
    /// Objects of each source; empty when none has any.
    objects: Vec<Vec<Object>>,
    components: Vec<Component>,
    elements: Vec<Element>,
    /// Notes and extensions directly in `<presence>`; positions in [`Parsed::presence`].
    presence: Vec<Element>,
    /// In order of source and offset.
    renamed: Vec<RenamedId>,
    /// Which source is the network's.
    network: Option<u16>,
    sphere: Option<Box<str>>,
}

impl Composed {
    /// Nobody published anything and the network knows of nobody: watchers get [`super::content::unavailable`].
    pub fn is_empty(&self) -> bool {
        self.components.is_empty() && self.presence.is_empty()
    }

    /// The sphere that all published persons with a sphere agree on (RFC 5025 §3.1.2), else `None`.
    pub fn sphere(&self) -> Option<&str> {
        self.sphere.as_deref()
    }

    pub(crate) fn sources(&self) -> &[Arc<Parsed>] {
        &self.sources
    }

    /// What a source brings beside its document.
    pub(crate) fn objects(&self, source: u16) -> &[Object] {
        self.objects
            .get(usize::from(source))
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn source(&self, element: Element) -> Option<&Parsed> {
        self.sources
            .get(usize::from(element.source))
            .map(|parsed| &**parsed)
    }

    pub(crate) fn components(&self) -> &[Component] {
        &self.components
    }

    pub(crate) fn elements(&self, component: &Component) -> &[Element] {
        let first = component.first as usize;
        self.elements
            .get(first..first + component.count as usize)
            .unwrap_or(&[])
    }

    /// Made by the network alone: no publication has a part in it.
    pub(crate) fn is_network_made(&self, component: &Component) -> bool {
        self.network.is_some_and(|network| {
            self.elements(component)
                .iter()
                .all(|element| element.source == network)
        })
    }

    pub(crate) fn presence(&self) -> &[Element] {
        &self.presence
    }

    /// An element of a component, with the publication it is from.
    pub(crate) fn piece(&self, element: Element) -> Option<(&Parsed, &Piece)> {
        let parsed = self.source(element)?;
        Some((parsed, parsed.pieces.get(usize::from(element.piece))?))
    }

    pub(crate) fn id<'a>(&'a self, component: &'a Component) -> &'a str {
        match &component.id {
            Id::Published { source, span } => self
                .sources
                .get(usize::from(*source))
                .map_or("", |parsed| parsed.slice(*span)),
            Id::Renamed { id, .. } => id,
        }
    }

    /// Whether two sources use one id.
    pub(crate) fn has_renamed(&self) -> bool {
        let given_way = |component: &Component| matches!(component.id, Id::Renamed { .. });
        !self.renamed.is_empty() || self.components.iter().any(given_way)
    }

    /// The ids inside a stretch of a source: where each stands, and what it became where it gave way.
    pub(crate) fn ids_within(
        &self,
        source: u16,
        within: Span,
    ) -> impl Iterator<Item = (Span, Option<&str>)> {
        let parsed = self.sources.get(usize::from(source));
        let ids = parsed.map_or(&[][..], |parsed| &parsed.ids);
        let first = ids.partition_point(|span| span.start < within.start);
        let inside = ids.iter().skip(first);
        let inside = inside.take_while(move |span| span.start < within.end);
        inside.map(move |span| {
            let key = |renamed: &RenamedId| (renamed.source, renamed.span.start);
            let found = self
                .renamed
                .binary_search_by_key(&(source, span.start), key);
            let renamed = found.ok().and_then(|index| self.renamed.get(index));
            (*span, renamed.map(|renamed| &*renamed.id))
        })
    }

    /// Leaves out what services say of willingness where a person overrides it ([`Policy::overriding_replaces`]).
    fn drop_overridden(&mut self) {
        let kind = |element: &Element, composed: &Composed| {
            composed.piece(*element).map(|(_, piece)| piece.kind)
        };
        let overrides = |component: &Component| {
            component.sort == Sort::Person
                && self
                    .elements(component)
                    .iter()
                    .any(|element| kind(element, self) == Some(Kind::OverridingWillingness))
        };
        if !self.components.iter().any(overrides) {
            return;
        }
        let mut elements = Vec::with_capacity(self.elements.len());
        let mut components = self.components.clone();
        for component in &mut components {
            let first = elements.len();
            let kept = self.elements(component).iter().filter(|element| {
                component.sort != Sort::Tuple || kind(element, self) != Some(Kind::Willingness)
            });
            elements.extend(kept.copied());
            component.first = index(first);
            component.count = index(elements.len() - first);
        }
        (self.components, self.elements) = (components, elements);
    }
}

/// Composes `sources` (in any order) with the registration state, an ended one as long as it is remembered. Without
/// a publication and without either the presentity is unavailable, and nothing tells whether it ever was registered.
pub fn compose(
    sources: &[Source<'_>],
    registration: Option<&RegistrationFacts>,
    policy: &Policy,
) -> Composed {
    let network = registration.map(RegistrationFacts::source);
    let mut inputs: Vec<Source<'_>> = sources
        .iter()
        .copied()
        .chain(network)
        .take(usize::from(u16::MAX))
        .collect();
    inputs.sort_unstable_by_key(|source| source.order);
    let mut composed = match inputs.as_slice() {
        [] => return Composed::default(),
        [only] => single(only),
        _ => merge::merge(&inputs, policy),
    };
    if policy.overriding_replaces {
        composed.drop_overridden();
    }
    let objects = |input: &Source<'_>| input.contribution.objects().to_vec();
    if inputs
        .iter()
        .any(|input| !input.contribution.objects().is_empty())
    {
        composed.objects = inputs.iter().map(objects).collect();
    }
    composed.network = inputs
        .iter()
        .position(|source| source.order == registration::ORDER)
        .and_then(|i| u16::try_from(i).ok());
    composed.sphere = sphere(&composed.sources);
    composed
}

/// One publication and nothing to compose it with: its components as they are.
fn single(source: &Source<'_>) -> Composed {
    let parsed = source.contribution.parsed();
    let mut components = Vec::with_capacity(parsed.components.len());
    let mut elements: Vec<Element> = Vec::with_capacity(parsed.pieces.len());
    for component in &parsed.components {
        let first = elements.len();
        elements.extend(
            (component.first..component.first + component.count)
                .map(|piece| Element { source: 0, piece }),
        );
        components.push(Component {
            sort: component.sort,
            id: Id::Published {
                source: 0,
                span: component.id,
            },
            first: index(first),
            count: u32::from(component.count),
        });
    }
    let presence = (0..u16::try_from(parsed.presence.len()).unwrap_or(u16::MAX))
        .map(|piece| Element { source: 0, piece });
    Composed {
        presence: presence.collect(),
        sources: vec![parsed.clone()],
        components,
        elements,
        ..Composed::default()
    }
}

/// Limits on sources and elements keep counts far below this.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// RFC 5025 §3.1.2: the value that all spheres published have; none or several are no value.
fn sphere(sources: &[Arc<Parsed>]) -> Option<Box<str>> {
    let mut value: Option<&str> = None;
    for parsed in sources {
        for piece in parsed
            .pieces
            .iter()
            .filter(|piece| piece.kind == Kind::Sphere)
        {
            let mut scanner = parsed.scan(piece);
            scanner.next().ok()?;
            while let Ok(token) = scanner.next() {
                match token {
                    Token::Start(tag) if value.is_some_and(|value| value != tag.local) => {
                        return None;
                    }
                    Token::Start(tag) => value = Some(tag.local),
                    Token::Eof => break,
                    Token::Text { .. } | Token::End(_) => {}
                }
            }
        }
    }
    value.map(Box::from)
}
