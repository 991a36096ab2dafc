//! A component being composed: its elements by name, and what joining it with another one changes.

use super::{Element, Joining, Source};
use crate::presence::pidf::canonical::canonical;
use crate::presence::pidf::fragment::{Component, Parsed, Piece, Place, Sort, Span};
use crate::presence::pidf::names::Kind;
use crate::time::datetime;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, btree_map};

pub(super) struct Draft<'a> {
    pub sort: Sort,
    /// Source and place of the id: that of the oldest source.
    pub id: (u16, Span),
    /// The last source that went into it.
    pub source: u16,
    /// The devices a tuple names.
    devices: BTreeSet<String>,
    groups: BTreeMap<Name<'a>, Group<'a>>,
}

/// What makes two elements the same presence attribute: within `<status>` or not, namespace, local name.
type Name<'a> = (bool, &'a str, &'a str);

/// The elements of one name.
struct Group<'a> {
    /// When they were said.
    age: Age,
    members: Vec<Member<'a>>,
}

/// Instant in milliseconds since the epoch, then the age of the source.
type Age = (i64, u64);

struct Member<'a> {
    /// Where it stands among the elements of the component.
    position: usize,
    element: Element,
    parsed: &'a Parsed,
    piece: &'a Piece,
    /// Spelling that equal elements share, made at need.
    form: OnceCell<String>,
}

impl Member<'_> {
    fn form(&self) -> &str {
        self.form.get_or_init(|| canonical(self.parsed, self.piece))
    }
}

impl Group<'_> {
    fn is_timestamp(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.piece.kind == Kind::Timestamp)
    }

    /// The instant a timestamp element names.
    fn instant(&self) -> Option<i64> {
        self.members
            .iter()
            .filter_map(|member| datetime::parse(&member.parsed.value(member.piece)))
            .max()
    }

    fn agrees(&self, other: &Group<'_>) -> bool {
        // which device it is has been compared already, by the rules of its URN
        let names_device = |group: &Group<'_>| {
            let mut pieces = group.members.iter().map(|member| member.piece);
            pieces.any(|piece| piece.kind == Kind::DeviceId && piece.place == Place::Address)
        };
        if names_device(self) {
            return true;
        }
        if let ([mine], [theirs]) = (self.members.as_slice(), other.members.as_slice()) {
            return mine.form() == theirs.form();
        }
        let sorted = |group: &Group<'_>| {
            let mut forms: Vec<String> = group
                .members
                .iter()
                .map(|member| member.form().to_owned())
                .collect();
            forms.sort_unstable();
            forms
        };
        self.members.len() == other.members.len() && sorted(self) == sorted(other)
    }

    /// The other's value is shown where the two differ.
    fn gives_way_to(&self, other: &Group<'_>) -> bool {
        if self.is_timestamp() {
            other.instant() > self.instant() // the time of the newest input
        } else {
            other.age > self.age
        }
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        source: u16,
        input: &Source<'a>,
        component: &Component,
        devices: BTreeSet<String>,
    ) -> Draft<'a> {
        let parsed: &'a Parsed = input.contribution.parsed();
        let pieces: &'a [Piece] = parsed.pieces_of(component);
        let age = (said_at(input, component), input.order);
        let mut groups: BTreeMap<Name<'a>, Group<'a>> = BTreeMap::new();
        for (position, (number, piece)) in (component.first..).zip(pieces).enumerate() {
            let name = (
                piece.place <= Place::Status,
                parsed.uri(piece.ns),
                parsed.local(piece),
            );
            let group = groups.entry(name).or_insert_with(|| Group {
                age,
                members: Vec::with_capacity(1),
            });
            group.members.push(Member {
                position,
                element: Element {
                    source,
                    piece: number,
                },
                parsed,
                piece,
                form: OnceCell::new(),
            });
        }
        Draft {
            sort: component.sort,
            id: (source, component.id),
            source,
            devices,
            groups,
        }
    }

    /// Tuples of the same devices; with `any`, one that names none goes with each.
    pub(super) fn same_devices(&self, other: &Draft<'_>, any: bool) -> bool {
        self.devices == other.devices
            || (any && (self.devices.is_empty() || other.devices.is_empty()))
    }

    /// Takes in a younger component of the same identity. It is given back when the two contradict each other and
    /// neither may win.
    pub(super) fn join(&mut self, other: Draft<'a>, joining: Joining) -> Result<(), Draft<'a>> {
        let conflict = |(name, theirs): (&Name<'a>, &Group<'a>)| {
            self.groups
                .get(name)
                .is_some_and(|mine| !mine.is_timestamp() && !mine.agrees(theirs))
        };
        if joining != Joining::Newest && other.groups.iter().any(conflict) {
            return Err(other);
        }
        let members = self.groups.values().flat_map(|group| &group.members);
        let behind = members.map(|member| member.position + 1).max().unwrap_or(0);
        for (name, mut theirs) in other.groups {
            match self.groups.entry(name) {
                btree_map::Entry::Vacant(place) => {
                    for member in &mut theirs.members {
                        member.position += behind;
                    }
                    place.insert(theirs);
                }
                btree_map::Entry::Occupied(mut mine) => {
                    let mine = mine.get_mut();
                    if mine.agrees(&theirs) {
                        mine.age = mine.age.max(theirs.age);
                    } else if mine.gives_way_to(&theirs) {
                        let position = mine.members.first().map_or(behind, |first| first.position);
                        *mine = theirs;
                        for member in &mut mine.members {
                            member.position = position;
                        }
                    }
                }
            }
        }
        self.source = other.source;
        self.devices.extend(other.devices);
        Ok(())
    }

    /// The elements in the order of the schema, and within it in the order in which they came.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element> {
        let members = self.groups.values().flat_map(|group| &group.members);
        let mut elements: Vec<(Place, usize, Element)> = members
            .map(|member| (member.piece.place, member.position, member.element))
            .collect();
        elements.sort_by_key(|(place, position, _)| (*place, *position));
        elements.into_iter().map(|(_, _, element)| element)
    }
}

/// When a component was said, in milliseconds: of services and persons by their own timestamp, unless it lies behind
/// the instant at which the server got them; of devices by the latter (OMA: the most recent publication).
fn said_at(input: &Source<'_>, component: &Component) -> i64 {
    let got = i64::try_from(input.at.0).unwrap_or(i64::MAX);
    let parsed = input.contribution.parsed();
    let own = parsed
        .pieces_of(component)
        .iter()
        .filter(|piece| component.sort != Sort::Device && piece.kind == Kind::Timestamp)
        .find_map(|piece| datetime::parse(&parsed.value(piece)));
    own.map_or(got, |own| own.min(got))
}
