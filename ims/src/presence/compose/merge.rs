//! Which components of different sources are one, and what the one consists of.
//!
//! Tuples of one contact, service description, deviceID and class are one service; persons of one class are one, and
//! devices of one deviceID and class. What happens when they contradict each other is the operator's [`Joining`].
//! Components of one source are never joined: its author kept them apart.

use super::draft::Draft;
use super::ids;
use super::{Component, Composed, Element, Id, Joining, Policy, Source, index};
use crate::presence::pidf::canonical::canonical;
use crate::presence::pidf::fragment::{self, Parsed, Sort};
use crate::presence::pidf::names::Kind;
use crate::presence::uri;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Components of one identity that a further one is compared with: enough for the devices of one user, and few enough
/// that a source full of persons who contradict each other costs no more than its size.
const CANDIDATES: usize = 16;

/// What must be equal for two components to be one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    sort: Sort,
    contact: Option<String>,
    service: Option<String>,
    /// Of a device; those of a tuple are compared by themselves, see [`Policy::any_device`].
    device: Option<String>,
    /// Rules grant by class, so joining components of different classes would show one under the other's grant.
    class: BTreeSet<String>,
}

struct Merger<'a> {
    policy: &'a Policy,
    drafts: Vec<Draft<'a>>,
    /// Drafts of each identity, the oldest first.
    alike: BTreeMap<Identity, Vec<usize>>,
}

/// `inputs` are in order of age.
pub(super) fn merge(inputs: &[Source<'_>], policy: &Policy) -> Composed {
    let mut merger = Merger {
        policy,
        drafts: Vec::new(),
        alike: BTreeMap::new(),
    };
    for (source, input) in (0u16..).zip(inputs) {
        for component in &input.contribution.parsed().components {
            merger.add(source, input, component);
        }
    }
    let mut composed = Composed {
        sources: inputs
            .iter()
            .map(|input| input.contribution.parsed().clone())
            .collect(),
        ..Composed::default()
    };
    for draft in merger.drafts {
        let first = composed.elements.len();
        composed.elements.extend(draft.elements());
        composed.components.push(Component {
            sort: draft.sort,
            id: Id::Published {
                source: draft.id.0,
                span: draft.id.1,
            },
            first: index(first),
            count: index(composed.elements.len() - first),
        });
    }
    composed.presence = presence(&composed.sources);
    ids::make_unique(&mut composed, inputs);
    composed
}

/// Notes and extensions of the documents as such, each once.
fn presence(sources: &[Arc<Parsed>]) -> Vec<Element> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut elements = Vec::new();
    for (source, parsed) in (0u16..).zip(sources) {
        for (position, piece) in (0u16..).zip(&parsed.presence) {
            if seen.insert(canonical(parsed, piece)) {
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

impl Identity {
    /// `None`: nothing says that it is the same as another. A tuple needs a contact or a service description.
    fn of(parsed: &Parsed, component: &fragment::Component) -> Option<Identity> {
        let pieces = parsed.pieces_of(component);
        let find = |kind| pieces.iter().find(|piece| piece.kind == kind);
        let value = |kind| find(kind).map(|piece| parsed.value(piece).into_owned());
        let tuple = component.sort == Sort::Tuple;
        let identity = Identity {
            sort: component.sort,
            contact: value(Kind::Contact).filter(|_| tuple),
            service: find(Kind::ServiceDescription)
                .filter(|_| tuple)
                .map(|piece| canonical(parsed, piece)),
            device: value(Kind::DeviceId)
                .filter(|_| component.sort == Sort::Device)
                .map(|urn| uri::device(&urn).into_owned()),
            class: values(parsed, component, Kind::Class),
        };
        (!tuple || identity.contact.is_some() || identity.service.is_some()).then_some(identity)
    }
}

/// On which devices a tuple's service runs.
fn devices(parsed: &Parsed, component: &fragment::Component) -> BTreeSet<String> {
    let urns = values(parsed, component, Kind::DeviceId).into_iter();
    urns.filter(|_| component.sort == Sort::Tuple)
        .map(|urn| uri::device(&urn).into_owned())
        .collect()
}

fn values(parsed: &Parsed, component: &fragment::Component, kind: Kind) -> BTreeSet<String> {
    let pieces = parsed.pieces_of(component).iter();
    pieces
        .filter(|piece| piece.kind == kind)
        .map(|piece| parsed.value(piece).into_owned())
        .collect()
}

impl<'a> Merger<'a> {
    fn add(&mut self, source: u16, input: &Source<'a>, component: &fragment::Component) {
        let parsed: &'a Parsed = input.contribution.parsed();
        let devices = devices(parsed, component);
        let mut draft = Draft::new(source, input, component, devices);
        let joining = self.policy.joining(component.sort);
        let identity = Identity::of(parsed, component).filter(|_| joining != Joining::Separate);
        if let Some(identity) = identity {
            let alike = self.alike.entry(identity).or_default();
            for position in alike.iter().take(CANDIDATES) {
                let Some(older) = self.drafts.get_mut(*position) else {
                    continue;
                };
                if older.source == source || !older.same_devices(&draft, self.policy.any_device) {
                    continue;
                }
                match older.join(draft, joining) {
                    Ok(()) => return,
                    Err(apart) => draft = apart,
                }
            }
            alike.push(self.drafts.len());
        }
        self.drafts.push(draft);
    }
}
