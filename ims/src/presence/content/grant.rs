//! What of the composed state a grant covers.

use crate::presence::compose::{Component, Composed, Element};
use crate::presence::pidf::fragment::{Parsed, Piece, Place, Sort};
use crate::presence::pidf::names::{Kind, Ns};
use crate::presence::pidf::scan::Token;
use crate::presence::rules::{Attribute, Member, Permissions, Provide, UserInput};
use crate::presence::uri;

/// How an element is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    AsPublished,
    /// `<user-input>` less some of its attributes.
    Reduced(UserInput),
}

/// A component that is shown, and its elements in [`Selection::elements`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'a> {
    pub component: &'a Component,
    pub first: usize,
    pub end: usize,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    pub components: Vec<Chosen<'a>>,
    pub elements: Vec<(Element, Shown)>,
    /// Directly in `<presence>`.
    pub presence: Vec<Element>,
}

impl Selection<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.components.is_empty() && self.presence.is_empty()
    }
}

pub(super) fn select<'a>(composed: &'a Composed, permissions: &Permissions) -> Selection<'a> {
    let mut selection = Selection {
        components: Vec::with_capacity(composed.components().len()),
        elements: Vec::with_capacity(32),
        presence: Vec::new(),
    };
    for component in composed.components() {
        let Some(reason) = component_granted(composed, component, permissions) else {
            continue;
        };
        let first = selection.elements.len();
        for element in composed.elements(component) {
            let Some((parsed, piece)) = composed.piece(*element) else {
                continue;
            };
            let named = piece.kind == Kind::Class
                && reason == Reason::Class
                && names_class(provide(component.sort, permissions), &parsed.value(piece));
            if named {
                selection.elements.push((*element, Shown::AsPublished));
            } else if let Some(shown) = element_granted(component.sort, parsed, piece, permissions)
            {
                selection.elements.push((*element, shown));
            }
        }
        // What the network made exists to say one thing; without that its mere presence would say it.
        if composed.is_network_made(component)
            && !says_registration(composed, &selection.elements[first..])
        {
            selection.elements.truncate(first);
            continue;
        }
        selection.components.push(Chosen {
            component,
            first,
            end: selection.elements.len(),
        });
    }
    for element in composed.presence() {
        let piece = composed
            .source(*element)
            .and_then(|parsed| parsed.presence.get(usize::from(element.piece)));
        if piece.is_some_and(|piece| presence_granted(piece, permissions)) {
            selection.presence.push(*element);
        }
    }
    selection
}

fn says_registration(composed: &Composed, elements: &[(Element, Shown)]) -> bool {
    let kinds = elements
        .iter()
        .filter_map(|(element, _)| composed.piece(*element))
        .map(|(_, piece)| piece.kind);
    kinds
        .into_iter()
        .any(|kind| matches!(kind, Kind::RegistrationState | Kind::NetworkAvailability))
}

/// Why a component is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// For its class only. The class then stays in it even without `provide-class`: the grant names it already, and
    /// without it the document would not pass the same filter again, as RFC 5025 §4 asks (D = F(D)).
    Class,
    Other,
}

/// RFC 5025 §3.3.1.
fn component_granted(
    composed: &Composed,
    component: &Component,
    permissions: &Permissions,
) -> Option<Reason> {
    let members = match provide(component.sort, permissions) {
        Provide::All => return Some(Reason::Other),
        Provide::Some(members) => members,
    };
    let pieces = || {
        composed
            .elements(component)
            .iter()
            .filter_map(|element| composed.piece(*element))
    };
    let value = |kind| {
        pieces()
            .find(|(_, piece)| piece.kind == kind)
            .map(|(parsed, piece)| parsed.value(piece))
    };
    let mut by_class = false;
    for member in members {
        let matches = match (component.sort, member) {
            (_, Member::Class(class)) => {
                by_class |= pieces()
                    .filter(|(_, piece)| piece.kind == Kind::Class)
                    .any(|(parsed, piece)| same_token(&parsed.value(piece), class));
                false
            }
            (_, Member::OccurrenceId(id)) => composed.id(component) == &**id,
            (Sort::Device, Member::DeviceId(id)) => {
                value(Kind::DeviceId).is_some_and(|value| uri::equivalent(&value, id))
            }
            (Sort::Tuple, Member::ServiceUri(to)) => {
                value(Kind::Contact).is_some_and(|value| uri::equivalent(&value, to))
            }
            (Sort::Tuple, Member::ServiceUriScheme(scheme)) => value(Kind::Contact)
                .is_some_and(|value| value.split_once(':').is_some_and(|(s, _)| s == &**scheme)),
            (Sort::Tuple, Member::ServiceId(id)) => pieces()
                .find(|(_, piece)| piece.kind == Kind::ServiceDescription)
                .is_some_and(|(parsed, piece)| {
                    service_id(parsed, piece).is_some_and(|value| same_token(&value, id))
                }),
            _ => false,
        };
        if matches {
            return Some(Reason::Other);
        }
    }
    by_class.then_some(Reason::Class)
}

fn provide(sort: Sort, permissions: &Permissions) -> &Provide {
    match sort {
        Sort::Tuple => &permissions.services,
        Sort::Person => &permissions.persons,
        Sort::Device => &permissions.devices,
    }
}

fn names_class(provide: &Provide, value: &str) -> bool {
    match provide {
        Provide::All => true,
        Provide::Some(members) => members
            .iter()
            .any(|member| matches!(member, Member::Class(class) if same_token(class, value))),
    }
}

/// Equality of `xs:token` values: white space collapsed, case kept.
fn same_token(a: &str, b: &str) -> bool {
    a.split_ascii_whitespace().eq(b.split_ascii_whitespace())
}

/// The service-id of an OMA service description.
fn service_id(parsed: &Parsed, piece: &Piece) -> Option<String> {
    let mut scanner = parsed.scan(piece);
    scanner.next().ok()?;
    let mut value = None;
    loop {
        match scanner.next().ok()? {
            Token::Start(tag) if (tag.ns, tag.local) == (Ns::Oma, "service-id") => {
                value = Some(String::new())
            }
            Token::Text { text, cdata, .. } => {
                if let Some(value) = &mut value {
                    value.push_str(&if cdata {
                        text.into()
                    } else {
                        crate::presence::pidf::lexis::unescape(text)
                    });
                }
            }
            Token::End(_) if value.is_some() => return value,
            Token::Eof => return None,
            Token::Start(_) | Token::End(_) => {}
        }
    }
}

/// RFC 5025 §3.3.2 and the OMA permissions. An element out of its schema's place is nothing a permission names, so
/// only "all attributes" covers it.
fn element_granted(
    sort: Sort,
    parsed: &Parsed,
    piece: &Piece,
    permissions: &Permissions,
) -> Option<Shown> {
    let always =
        match (sort, piece.kind, piece.place) {
            (Sort::Tuple, Kind::Basic, Place::Basic)
            | (Sort::Tuple, Kind::Contact, Place::Address) => true,
            (_, Kind::Timestamp, Place::Timestamp)
            | (Sort::Device, Kind::DeviceId, Place::Address) => true,
            (Sort::Tuple, Kind::ServiceClass, Place::Extension) => true,
            // Says which service the tuple is, as the contact does; OMA defines no permission for it.
            (Sort::Tuple, Kind::ServiceDescription, Place::Extension) => true,
            _ => false,
        };
    if always || permissions.grants_all_attributes() {
        return Some(Shown::AsPublished);
    }
    let granted = match piece.kind {
        Kind::Activities => permissions.grants(Attribute::Activities),
        Kind::Class => permissions.grants(Attribute::Class),
        Kind::DeviceId => sort == Sort::Tuple && permissions.grants(Attribute::DeviceId),
        Kind::Mood => permissions.grants(Attribute::Mood),
        Kind::PlaceIs => permissions.grants(Attribute::PlaceIs),
        Kind::PlaceType => permissions.grants(Attribute::PlaceType),
        Kind::Privacy => permissions.grants(Attribute::Privacy),
        Kind::Relationship => permissions.grants(Attribute::Relationship),
        Kind::Sphere => permissions.grants(Attribute::Sphere),
        Kind::StatusIcon => permissions.grants(Attribute::StatusIcon),
        Kind::TimeOffset => permissions.grants(Attribute::TimeOffset),
        Kind::Note => permissions.grants(Attribute::Note),
        Kind::Willingness | Kind::OverridingWillingness => {
            permissions.grants(Attribute::Willingness)
        }
        Kind::SessionParticipation => permissions.grants(Attribute::SessionParticipation),
        Kind::RegistrationState => permissions.grants(Attribute::RegistrationState),
        Kind::BarringState => permissions.grants(Attribute::BarringState),
        Kind::NetworkAvailability => permissions.grants(Attribute::NetworkAvailability),
        Kind::Geopriv => permissions.grants(Attribute::Geopriv),
        Kind::UserInput => {
            return match permissions.user_input {
                UserInput::False => None,
                UserInput::Full => Some(Shown::AsPublished),
                level => Some(Shown::Reduced(level)),
            };
        }
        // §3.3.2.14: not for elements of namespaces whose authorisation is defined here
        Kind::Unknown => {
            piece.ns.is_other()
                && permissions.grants_unknown(parsed.uri(piece.ns), parsed.local(piece))
        }
        Kind::Basic
        | Kind::Contact
        | Kind::Timestamp
        | Kind::ServiceClass
        | Kind::ServiceDescription => false,
    };
    granted.then_some(Shown::AsPublished)
}

/// Elements of `<presence>` itself belong to no component, and RFC 5025 names no permission for them. A note there
/// speaks of the person (RFC 3863 §4.1.1), so it follows persons and notes; an extension needs everything granted.
fn presence_granted(piece: &Piece, permissions: &Permissions) -> bool {
    let everything = permissions.services == Provide::All
        && permissions.persons == Provide::All
        && permissions.devices == Provide::All
        && permissions.grants_all_attributes();
    match piece.kind {
        Kind::Note => permissions.persons == Provide::All && permissions.grants(Attribute::Note),
        _ => everything,
    }
}
