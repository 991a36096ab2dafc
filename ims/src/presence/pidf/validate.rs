//! The schemas of PIDF, the data model and the OMA elements as one state machine over tags.
//!
//! Structure and values that composition, rules or watchers rely on are checked in full: where elements stand, and the
//! values of those that hold text, instants and periods. The inside of RPID elements, capabilities and locations, and
//! of unknown extensions, only has to be well-formed: new activities and capabilities appear in the field before a
//! schema names them, and a watcher who does not know one skips it.

use super::fragment::{Place, Sort};
use super::lexis;
use super::names::{CIPID, Kind, Ns, TIMED_STATUS};
use super::scan::{Attribute, Tag};
use super::values::{Value, is_language, is_positive, is_priority};
use std::borrow::Cow;

/// What an element is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Presence,
    Component(Sort),
    Status,
    /// Granted or withheld as a whole.
    Piece(Kind, Place),
    /// Part of a piece.
    Inside,
}

/// Where in its content an open element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Document,
    Presence {
        place: Place,
    },
    /// `place` is that of the last child; `None` before `<status>`.
    Tuple {
        place: Option<Place>,
    },
    Status {
        place: Option<Place>,
    },
    Person {
        place: Place,
    },
    Device {
        place: Place,
    },
    Text(Value),
    /// An OMA element: its own children in order, then others. The number is the next field.
    Fields(&'static [Field], usize),
    /// Anything well-formed.
    Open,
}

/// A child element of an OMA element.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    required: bool,
    content: Content,
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Text(Value),
    /// Repeatable, with an `id` attribute.
    Networks,
}

const fn text(name: &'static str, required: bool, value: Value) -> Field {
    Field {
        name,
        required,
        content: Content::Text(value),
    }
}

/// Willingness, overriding willingness, session participation.
const BASIC: &[Field] = &[text("basic", false, Value::Basic)];
const SERVICE: &[Field] = &[
    text("service-id", true, Value::Any),
    text("version", true, Value::Any),
    text("description", false, Value::Any),
];
const NETWORKS: &[Field] = &[Field {
    name: "network",
    required: true,
    content: Content::Networks,
}];
/// A choice in the schema: `active` leaves no room for `terminated`, see [`Grammar::field`].
const NETWORK: &[Field] = &[
    text("active", false, Value::Empty),
    text("terminated", false, Value::Empty),
];

/// The fault, as a reason phrase.
pub(crate) type Check<T> = Result<T, &'static str>;

/// The state machine.
#[derive(Debug)]
pub(crate) struct Grammar<'a> {
    stack: Vec<State>,
    /// Text of the open element that holds text only.
    value: Cow<'a, str>,
}

impl<'a> Grammar<'a> {
    pub(crate) fn new() -> Self {
        let mut stack = Vec::with_capacity(8);
        stack.push(State::Document);
        Grammar {
            stack,
            value: Cow::Borrowed(""),
        }
    }

    /// A start tag: what it is, or why it may not stand here.
    pub(crate) fn open(&mut self, tag: &Tag<'a>, attributes: &[Attribute<'a>]) -> Check<Role> {
        let (role, inside) = match self.stack.last_mut() {
            None | Some(State::Document) => root(tag)?,
            Some(State::Presence { place }) => presence(tag, place)?,
            Some(State::Tuple { place }) => tuple(tag, place)?,
            Some(State::Status { place }) => status(tag, place)?,
            Some(State::Person { place }) => person(tag, place)?,
            Some(State::Device { place }) => device(tag, place)?,
            Some(State::Text(_)) => return Err("Element in place of text"),
            Some(State::Fields(fields, next)) => (Role::Inside, field(tag, fields, next)?),
            Some(State::Open) => (Role::Inside, State::Open),
        };
        check_attributes(tag, role, matches!(inside, State::Text(_)), attributes)?;
        if matches!(inside, State::Text(_)) {
            self.value = Cow::Borrowed("");
        }
        self.stack.push(inside);
        Ok(role)
    }

    pub(crate) fn text(&mut self, text: &'a str, cdata: bool) -> Check<()> {
        match self.stack.last() {
            Some(State::Open) => Ok(()),
            Some(State::Text(Value::Any)) => Ok(()),
            Some(State::Text(_)) => {
                let more = if cdata {
                    Cow::Borrowed(text)
                } else {
                    lexis::unescape(text)
                };
                self.value = if self.value.is_empty() {
                    more
                } else {
                    Cow::Owned(format!("{}{more}", self.value))
                };
                Ok(())
            }
            _ if !cdata && text.bytes().all(lexis::is_space) => Ok(()),
            _ => Err("Text between elements"),
        }
    }

    /// The end of the innermost open element.
    pub(crate) fn close(&mut self) -> Check<()> {
        match self.stack.pop() {
            Some(State::Tuple { place: None }) => Err("tuple without status"),
            Some(State::Device { place }) if place < Place::Address => {
                Err("device without deviceID")
            }
            Some(State::Fields(fields, next)) => match fields.get(next) {
                Some(field) if field.required => Err("OMA element incomplete"),
                _ => Ok(()),
            },
            Some(State::Text(value)) => value.check(&self.value),
            _ => Ok(()),
        }
    }
}

fn root(tag: &Tag<'_>) -> Check<(Role, State)> {
    match (tag.ns, tag.local) {
        (Ns::Pidf, "presence") => Ok((
            Role::Presence,
            State::Presence {
                place: Place::Basic,
            },
        )),
        _ => Err("Not a presence document"),
    }
}

/// RFC 3863 §4.1.1: tuples, then notes, then elements of other namespaces.
fn presence(tag: &Tag<'_>, place: &mut Place) -> Check<(Role, State)> {
    let (role, inside, now) = match (tag.ns, tag.local) {
        (Ns::Pidf, "tuple") => (
            Role::Component(Sort::Tuple),
            State::Tuple { place: None },
            Place::Basic,
        ),
        (Ns::Pidf, "note") => (
            Role::Piece(Kind::Note, Place::Note),
            State::Text(Value::Any),
            Place::Note,
        ),
        (Ns::DataModel, "person") => (
            Role::Component(Sort::Person),
            State::Person {
                place: Place::Extension,
            },
            Place::Timestamp,
        ),
        (Ns::DataModel, "device") => (
            Role::Component(Sort::Device),
            State::Device {
                place: Place::Extension,
            },
            Place::Timestamp,
        ),
        (Ns::Pidf | Ns::Unqualified, _) => return Err("Unknown element in presence"),
        _ => (
            Role::Piece(Kind::Unknown, Place::Extension),
            State::Open,
            Place::Timestamp,
        ),
    };
    if now < *place {
        return Err("Elements of presence out of order");
    }
    *place = now;
    Ok((role, inside))
}

/// RFC 3863 §4.1.2: status, extensions, contact, notes, timestamp.
fn tuple(tag: &Tag<'_>, place: &mut Option<Place>) -> Check<(Role, State)> {
    if (tag.ns, tag.local) == (Ns::Pidf, "status") {
        return match place.replace(Place::Status) {
            None => Ok((Role::Status, State::Status { place: None })),
            Some(_) => Err("More than one status"),
        };
    }
    let Some(last) = place else {
        return Err("tuple without status");
    };
    let (kind, now, inside) = match (tag.ns, tag.local) {
        (Ns::Pidf, "contact") => (Kind::Contact, Place::Address, State::Text(Value::Uri)),
        (Ns::Pidf, "note") => (Kind::Note, Place::Note, State::Text(Value::Any)),
        (Ns::Pidf, "timestamp") => (
            Kind::Timestamp,
            Place::Timestamp,
            State::Text(Value::DateTime),
        ),
        (Ns::Pidf | Ns::Unqualified, _) => return Err("Unknown element in tuple"),
        _ => extension(tag),
    };
    in_order(last, now)?;
    Ok((Role::Piece(kind, now), inside))
}

/// RFC 3863 §4.1.4: at most one basic, then extensions.
fn status(tag: &Tag<'_>, place: &mut Option<Place>) -> Check<(Role, State)> {
    match (tag.ns, tag.local) {
        (Ns::Pidf, "basic") if place.is_none() => {
            *place = Some(Place::Basic);
            Ok((
                Role::Piece(Kind::Basic, Place::Basic),
                State::Text(Value::Basic),
            ))
        }
        (Ns::Pidf, "basic") => Err("basic not first in status"),
        (Ns::Pidf | Ns::Unqualified, _) => Err("Unknown element in status"),
        _ => {
            *place = Some(Place::Status);
            let (kind, _, inside) = extension(tag);
            Ok((Role::Piece(kind, Place::Status), inside))
        }
    }
}

/// RFC 4479 §6: extensions, notes, timestamp.
fn person(tag: &Tag<'_>, last: &mut Place) -> Check<(Role, State)> {
    let (kind, now, inside) = match (tag.ns, tag.local) {
        (Ns::DataModel, "note") => (Kind::Note, Place::Note, State::Text(Value::Any)),
        (Ns::DataModel, "timestamp") => (
            Kind::Timestamp,
            Place::Timestamp,
            State::Text(Value::DateTime),
        ),
        (Ns::DataModel | Ns::Unqualified, _) => return Err("Unknown element in person"),
        _ => extension(tag),
    };
    in_order(last, now)?;
    Ok((Role::Piece(kind, now), inside))
}

/// RFC 4479 §6: extensions, deviceID, notes, timestamp.
fn device(tag: &Tag<'_>, last: &mut Place) -> Check<(Role, State)> {
    let (kind, now, inside) = match (tag.ns, tag.local) {
        (Ns::DataModel, "deviceID") => (Kind::DeviceId, Place::Address, State::Text(Value::Uri)),
        (Ns::DataModel, "note") => (Kind::Note, Place::Note, State::Text(Value::Any)),
        (Ns::DataModel, "timestamp") => (
            Kind::Timestamp,
            Place::Timestamp,
            State::Text(Value::DateTime),
        ),
        (Ns::DataModel | Ns::Unqualified, _) => return Err("Unknown element in device"),
        _ => extension(tag),
    };
    if now > Place::Address && *last < Place::Address {
        return Err("device without deviceID");
    }
    in_order(last, now)?;
    Ok((Role::Piece(kind, now), inside))
}

fn in_order(last: &mut Place, now: Place) -> Check<()> {
    let repeats = matches!(now, Place::Extension | Place::Note);
    if now < *last || (now == *last && !repeats) {
        return Err("Elements out of order or repeated");
    }
    *last = now;
    Ok(())
}

/// An element of another namespace where the schemas allow any.
fn extension(tag: &Tag<'_>) -> (Kind, Place, State) {
    let kind = Kind::of(tag.ns, tag.local);
    let inside = match kind {
        Kind::Class | Kind::Note => State::Text(Value::Any),
        Kind::StatusIcon | Kind::DeviceId | Kind::Contact => State::Text(Value::Uri),
        Kind::Timestamp => State::Text(Value::DateTime),
        Kind::Basic => State::Text(Value::Basic),
        Kind::UserInput => State::Text(Value::Input),
        Kind::TimeOffset => State::Text(Value::Integer),
        Kind::RegistrationState | Kind::BarringState => State::Text(Value::Network),
        Kind::Willingness | Kind::OverridingWillingness | Kind::SessionParticipation => {
            State::Fields(BASIC, 0)
        }
        Kind::ServiceDescription => State::Fields(SERVICE, 0),
        Kind::NetworkAvailability => State::Fields(NETWORKS, 0),
        _ => match (tag.uri, tag.local) {
            (CIPID, "display-name") => State::Text(Value::Any),
            (CIPID, "card" | "homepage" | "icon" | "map" | "sound") => State::Text(Value::Uri),
            _ => State::Open,
        },
    };
    (kind, Place::Extension, inside)
}

/// A child of an OMA element: the next of its own, or one of another namespace after them.
fn field(tag: &Tag<'_>, fields: &'static [Field], next: &mut usize) -> Check<State> {
    if tag.ns == Ns::Unqualified {
        return Err("Unknown element in OMA element");
    }
    let missing = |from: usize, to: usize| {
        fields
            .get(from..to)
            .is_some_and(|skipped| skipped.iter().any(|f| f.required))
    };
    if tag.ns != Ns::Oma {
        if missing(*next, fields.len()) {
            return Err("OMA element incomplete");
        }
        *next = fields.len() + 1;
        return Ok(State::Open);
    }
    // `network` repeats until an element of another namespace.
    if let [
        Field {
            name: "network", ..
        },
    ] = fields
    {
        if tag.local != "network" || *next > 1 {
            return Err("Unknown element in OMA element");
        }
        *next = 1;
        return Ok(State::Fields(NETWORK, 0));
    }
    let position = fields
        .iter()
        .position(|f| f.name == tag.local)
        .filter(|p| *p >= *next);
    match position.and_then(|p| Some((p, fields.get(p)?))) {
        Some((
            p,
            Field {
                content: Content::Text(value),
                ..
            },
        )) if !missing(*next, p) => {
            // active or terminated, not both
            *next = if *value == Value::Empty {
                fields.len()
            } else {
                p + 1
            };
            Ok(State::Text(*value))
        }
        _ => Err("Unknown element in OMA element"),
    }
}

/// Attributes the schemas allow. Hints at schema locations may stand anywhere; most extensions may carry any attribute.
fn check_attributes(
    tag: &Tag<'_>,
    role: Role,
    simple: bool,
    attributes: &[Attribute<'_>],
) -> Check<()> {
    let mut identified = false;
    let open = match role {
        // children of OMA elements that hold text only
        Role::Inside => !simple,
        Role::Piece(Kind::Class | Kind::Relationship | Kind::ServiceClass, _) => false,
        Role::Piece(..) => !matches!(tag.ns, Ns::Pidf | Ns::DataModel),
        Role::Presence | Role::Component(_) | Role::Status => false,
    };
    for attribute in attributes {
        check_period(tag, role, attribute)?;
        match (role, attribute.ns, attribute.name) {
            (_, Ns::Xsi, _) if attribute.local.ends_with("chemaLocation") => {}
            (Role::Presence, Ns::Unqualified, "entity") => identified = true,
            (Role::Component(_), Ns::Unqualified, "id") => identified = true,
            (Role::Piece(Kind::Contact, _), Ns::Unqualified, "priority")
                if is_priority(attribute.value) => {}
            (Role::Piece(Kind::Note, _), Ns::Xml, _)
                if attribute.local == "lang" && is_language(attribute.value) => {}
            _ if open => {}
            _ => return Err("Attribute not allowed"),
        }
    }
    if tag.ns == Ns::Oma && tag.local == "network" && !attributes.iter().any(|a| a.name == "id") {
        return Err("network without id");
    }
    let timed = tag.uri == TIMED_STATUS && tag.local == "timed-status";
    if timed && !attributes.iter().any(|a| a.name == "from") {
        return Err("timed-status without from");
    }
    match role {
        Role::Presence if !identified => Err("presence without entity"),
        Role::Component(_) if !identified => Err("Component without id"),
        _ => Ok(()),
    }
}

/// From when to when an element holds (RFC 4480 §3.1, RFC 4481 §3), and since when there was no input (RFC 4480 §3.13).
fn check_period(tag: &Tag<'_>, role: Role, attribute: &Attribute<'_>) -> Check<()> {
    let timed = tag.ns == Ns::Rpid || tag.uri == TIMED_STATUS;
    if !timed || !matches!(role, Role::Piece(..)) {
        return Ok(());
    }
    let value = || lexis::unescape(attribute.value);
    match attribute.name {
        "from" | "until" | "last-input" => Value::DateTime
            .check(lexis::trim(&value()))
            .map_err(|_| "Attribute is not a dateTime"),
        "idle-threshold" if !is_positive(&value()) => Err("idle-threshold is not a number"),
        _ => Ok(()),
    }
}
