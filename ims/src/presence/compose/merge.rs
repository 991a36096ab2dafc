//! Which components of different publications are one, and what the one consists of.
//!
//! Tuples of one contact, service description and device are one service unless something in them conflicts; persons
//! likewise; devices of one deviceID are one device, in which the newest publication wins (OMA composition policy).
//! Components of one publication are never joined: its author kept them apart.

use super::ids;
use super::{Component, Composed, Element, Id, Source, index};
use crate::presence::datetime;
use crate::presence::pidf::canonical::canonical;
use crate::presence::pidf::fragment::{self, Parsed, Piece, Place, Sort};
use crate::presence::pidf::names::Kind;
use std::sync::Arc;

/// What must be equal for two components to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    sort: Sort,
    contact: Option<String>,
    service: Option<String>,
    device: Option<String>,
    /// Rules grant by class, so joining components of different classes would show one under the other's grant.
    class: Option<String>,
}

/// A component being composed.
struct Draft {
    identity: Identity,
    id: Id,
    /// The last publication that went into it.
    source: u16,
    elements: Vec<Element>,
}

struct Merger<'a> {
    inputs: &'a [Source<'a>],
    drafts: Vec<Draft>,
}

/// `inputs` are in order of age.
pub(super) fn merge(inputs: &[Source<'_>]) -> Composed {
    let mut merger = Merger {
        inputs,
        drafts: Vec::new(),
    };
    for (source, input) in (0u16..).zip(inputs) {
        for component in &input.contribution.parsed().components {
            merger.add(source, component);
        }
    }
    let mut composed = Composed {
        sources: inputs
            .iter()
            .map(|input| input.contribution.parsed().clone())
            .collect(),
        ..Composed::default()
    };
    for mut draft in merger.drafts {
        draft
            .elements
            .sort_by_key(|element| piece(inputs, *element).map(|(_, piece)| piece.place));
        composed.components.push(Component {
            sort: draft.identity.sort,
            id: draft.id,
            first: index(composed.elements.len()),
            count: index(draft.elements.len()),
        });
        composed.elements.append(&mut draft.elements);
    }
    composed.presence = presence(&composed.sources);
    ids::make_unique(&mut composed, inputs);
    composed
}

/// Notes and extensions of the documents as such, each once.
fn presence(sources: &[Arc<Parsed>]) -> Vec<Element> {
    let mut seen: Vec<String> = Vec::new();
    let mut elements = Vec::new();
    for (source, parsed) in (0u16..).zip(sources) {
        for (position, piece) in (0u16..).zip(&parsed.presence) {
            let form = canonical(parsed, piece);
            if !seen.contains(&form) {
                seen.push(form);
                elements.push((
                    piece.place,
                    Element {
                        source,
                        piece: position,
                    },
                ));
            }
        }
    }
    elements.sort_by_key(|(place, _)| *place);
    elements.into_iter().map(|(_, element)| element).collect()
}

fn piece<'a>(inputs: &'a [Source<'a>], element: Element) -> Option<(&'a Parsed, &'a Piece)> {
    let parsed = inputs
        .get(usize::from(element.source))?
        .contribution
        .parsed();
    Some((parsed, parsed.pieces.get(usize::from(element.piece))?))
}

impl Identity {
    fn of(parsed: &Parsed, component: &fragment::Component) -> Identity {
        let pieces = parsed.pieces_of(component);
        let value = |kind| {
            pieces
                .iter()
                .find(|piece| piece.kind == kind)
                .map(|piece| parsed.value(piece).into_owned())
        };
        let service = pieces
            .iter()
            .find(|piece| piece.kind == Kind::ServiceDescription);
        let tuple = component.sort == Sort::Tuple;
        Identity {
            sort: component.sort,
            contact: value(Kind::Contact).filter(|_| tuple),
            service: service
                .filter(|_| tuple)
                .map(|piece| canonical(parsed, piece)),
            device: value(Kind::DeviceId),
            class: value(Kind::Class),
        }
    }

    fn same(&self, other: &Identity) -> bool {
        match self.sort {
            // Two tuples with neither contact nor service description have nothing that says they are one service.
            Sort::Tuple => (self.contact.is_some() || self.service.is_some()) && self == other,
            Sort::Person => self.sort == other.sort && self.class == other.class,
            Sort::Device => self.sort == other.sort && self.device == other.device,
        }
    }
}

impl Merger<'_> {
    fn add(&mut self, source: u16, component: &fragment::Component) {
        let Some(input) = self.inputs.get(usize::from(source)) else {
            return;
        };
        let parsed = input.contribution.parsed();
        let identity = Identity::of(parsed, component);
        let elements: Vec<Element> = (component.first..component.first + component.count)
            .map(|piece| Element { source, piece })
            .collect();
        for draft in self
            .drafts
            .iter_mut()
            .filter(|draft| draft.source != source && draft.identity.same(&identity))
        {
            if let Some(joined) = join(self.inputs, identity.sort, &draft.elements, &elements) {
                draft.elements = joined;
                draft.source = source;
                return;
            }
        }
        self.drafts.push(Draft {
            identity,
            id: Id::Published {
                source,
                span: component.id,
            },
            source,
            elements,
        });
    }
}

/// An element with what decides whether two are the same presence attribute and whether they agree.
struct Entry<'a> {
    element: Element,
    kind: Kind,
    name: (&'a str, &'a str),
    in_status: bool,
    form: String,
}

fn entries<'a>(inputs: &'a [Source<'a>], elements: &[Element]) -> Vec<Entry<'a>> {
    let entry = |element: &Element| {
        let (parsed, piece) = piece(inputs, *element)?;
        Some(Entry {
            element: *element,
            kind: piece.kind,
            name: (parsed.uri(piece.ns), parsed.local(piece)),
            in_status: piece.place <= Place::Status,
            form: canonical(parsed, piece),
        })
    };
    elements.iter().filter_map(entry).collect()
}

/// The elements of both, or `None` when an attribute that both have differs and neither may win.
fn join(
    inputs: &[Source<'_>],
    sort: Sort,
    mine: &[Element],
    theirs: &[Element],
) -> Option<Vec<Element>> {
    let mine = entries(inputs, mine);
    let theirs = entries(inputs, theirs);
    let same = |a: &Entry<'_>, b: &Entry<'_>| a.name == b.name && a.in_status == b.in_status;
    let mut joined: Vec<Element> = Vec::with_capacity(mine.len() + theirs.len());
    for (i, entry) in mine.iter().enumerate() {
        if mine[..i].iter().any(|earlier| same(earlier, entry)) {
            continue; // taken together with the first of its name
        }
        let ours: Vec<&Entry<'_>> = mine.iter().filter(|e| same(e, entry)).collect();
        let other: Vec<&Entry<'_>> = theirs.iter().filter(|e| same(e, entry)).collect();
        let winner = if other.is_empty() || agree(&ours, &other) {
            ours
        } else if entry.kind == Kind::Timestamp {
            if instant(inputs, &other) > instant(inputs, &ours) {
                other
            } else {
                ours
            }
        } else if sort == Sort::Device {
            if age(inputs, &other) > age(inputs, &ours) {
                other
            } else {
                ours
            }
        } else {
            return None;
        };
        joined.extend(winner.iter().map(|e| e.element));
    }
    joined.extend(
        theirs
            .iter()
            .filter(|e| !mine.iter().any(|m| same(m, e)))
            .map(|e| e.element),
    );
    Some(joined)
}

fn agree(ours: &[&Entry<'_>], other: &[&Entry<'_>]) -> bool {
    let sorted = |entries: &[&Entry<'_>]| {
        let mut forms: Vec<String> = entries.iter().map(|e| e.form.clone()).collect();
        forms.sort_unstable();
        forms
    };
    sorted(ours) == sorted(other)
}

/// The instant a timestamp element names.
fn instant(inputs: &[Source<'_>], entries: &[&Entry<'_>]) -> Option<i64> {
    entries
        .iter()
        .filter_map(|e| piece(inputs, e.element))
        .filter_map(|(parsed, piece)| datetime::parse(&parsed.value(piece)))
        .max()
}

/// How new the publication is that elements come from.
fn age(inputs: &[Source<'_>], entries: &[&Entry<'_>]) -> Option<(u64, u64)> {
    entries
        .iter()
        .filter_map(|e| inputs.get(usize::from(e.element.source)))
        .map(|input| (input.at.0, input.order))
        .max()
}
