//! Registration information, `application/reginfo+xml` (RFC 3680 §5): one document, and the tables that a
//! subscription makes of the documents it gets.
//!
//! The reader is strict where the schema is (names, required attributes, their values) and blind to what it does not
//! know: other namespaces (RFC 5628's GRUUs among them), `display-name`, `unknown-param`.

use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use crate::xml::{Node, guard};
use serde::{Deserialize, Serialize};

/// The body type of the package's NOTIFYs.
pub const MEDIA_TYPE: &str = "application/reginfo+xml";
/// RFC 3680 §8.3.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";

/// Longest document, in bytes.
pub const LONGEST: usize = 128 * 1024;
/// Registrations taken from one document, and kept of one subscription: the identities of one implicit set.
pub const MOST_REGISTRATIONS: usize = 32;
/// Contacts taken and kept of one registration; an S-CSCF allows a handful.
pub const MOST_CONTACTS: usize = 16;
/// Longest `id` of a registration or a contact, in bytes.
const LONGEST_ID: usize = 128;
const LIMITS: guard::Limits = guard::Limits {
    bytes: LONGEST,
    depth: 16,
    attributes: 32,
    namespaces: 64,
    nodes: 8_192,
};

/// Why a document is refused. The state it would have changed stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReginfoError {
    /// Not well-formed, too large, or with a document type.
    Refused(guard::Refusal),
    /// The root is not `reginfo`.
    NotReginfo,
    /// A required attribute is missing or is not one of its values.
    Attribute(&'static str),
    /// More registrations or contacts than [`MOST_REGISTRATIONS`] and [`MOST_CONTACTS`].
    TooMany,
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub version: u32,
    /// Everything there is; else what changed.
    pub full: bool,
    pub registrations: Vec<Registration>,
}

/// `registration`: what became of one address of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub aor: Aor,
    pub id: Box<str>,
    pub state: State,
    pub contacts: Vec<Contact>,
}

/// State of a registration (RFC 3680 §4.7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Never registered, or everything of it is forgotten.
    Init,
    Active,
    Terminated,
}

/// Why a contact is in its state (§4.7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Registered,
    Created,
    Refreshed,
    Shortened,
    Expired,
    Deactivated,
    Probation,
    Unregistered,
    Rejected,
}

/// `contact`: one binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub id: Box<str>,
    pub active: bool,
    pub event: Event,
    /// Seconds left; required of `shortened`.
    pub expires: Option<Seconds>,
}

impl Document {
    pub fn parse(body: &[u8]) -> Result<Document, ReginfoError> {
        let document = guard::parse(body, &LIMITS).map_err(ReginfoError::Refused)?;
        let root = document.root_element();
        if !is(root, "reginfo") {
            return Err(ReginfoError::NotReginfo);
        }
        let registrations = elements(root, "registration");
        let registrations: Vec<Node<'_, '_>> = registrations.take(MOST_REGISTRATIONS + 1).collect();
        if registrations.len() > MOST_REGISTRATIONS {
            return Err(ReginfoError::TooMany);
        }
        let mut taken = Vec::with_capacity(registrations.len());
        for node in registrations {
            // an address that is none of a user (im:, urn:) is read, for its errors, and passed over
            taken.extend(registration(node)?);
        }
        Ok(Document {
            version: number(root, "version")?.ok_or(ReginfoError::Attribute("version"))?,
            full: one_of(root, "state", &[("full", true), ("partial", false)])?,
            registrations: taken,
        })
    }
}

fn registration(node: Node<'_, '_>) -> Result<Option<Registration>, ReginfoError> {
    let states = [
        ("init", State::Init),
        ("active", State::Active),
        ("terminated", State::Terminated),
    ];
    let (id, state) = (id(node)?, one_of(node, "state", &states)?);
    let aor = node
        .attribute("aor")
        .ok_or(ReginfoError::Attribute("aor"))?;
    let contacts: Vec<Node<'_, '_>> = elements(node, "contact").take(MOST_CONTACTS + 1).collect();
    if contacts.len() > MOST_CONTACTS {
        return Err(ReginfoError::TooMany);
    }
    let contacts = contacts
        .into_iter()
        .map(contact)
        .collect::<Result<_, _>>()?;
    Ok(Aor::parse(aor.trim()).map(|aor| Registration {
        aor,
        id,
        state,
        contacts,
    }))
}

fn contact(node: Node<'_, '_>) -> Result<Contact, ReginfoError> {
    let events = [
        ("registered", Event::Registered),
        ("created", Event::Created),
        ("refreshed", Event::Refreshed),
        ("shortened", Event::Shortened),
        ("expired", Event::Expired),
        ("deactivated", Event::Deactivated),
        ("probation", Event::Probation),
        ("unregistered", Event::Unregistered),
        ("rejected", Event::Rejected),
    ];
    let contact = Contact {
        id: id(node)?,
        active: one_of(node, "state", &[("active", true), ("terminated", false)])?,
        event: one_of(node, "event", &events)?,
        expires: number(node, "expires")?.map(Seconds),
    };
    // §5.1: these two say when
    if contact.event == Event::Shortened && contact.expires.is_none() {
        return Err(ReginfoError::Attribute("expires"));
    }
    if contact.event == Event::Probation && number(node, "retry-after")?.is_none() {
        return Err(ReginfoError::Attribute("retry-after"));
    }
    Ok(contact)
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.has_tag_name((NAMESPACE, name))
}

fn elements<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| is(*child, name))
}

fn id(node: Node<'_, '_>) -> Result<Box<str>, ReginfoError> {
    let id = node.attribute("id").filter(|id| id.len() <= LONGEST_ID);
    id.map(Into::into).ok_or(ReginfoError::Attribute("id"))
}

fn one_of<T: Copy>(
    node: Node<'_, '_>,
    name: &'static str,
    values: &[(&str, T)],
) -> Result<T, ReginfoError> {
    let found = node.attribute(name).map(str::trim);
    let known = values.iter().find(|(value, _)| found == Some(value));
    known
        .map(|(_, meaning)| *meaning)
        .ok_or(ReginfoError::Attribute(name))
}

/// A number of 32 bits: `version` must be one (§5.1), and a longer time than 136 years says nothing more.
fn number(node: Node<'_, '_>, name: &'static str) -> Result<Option<u32>, ReginfoError> {
    let Some(text) = node.attribute(name).map(str::trim) else {
        return Ok(None);
    };
    let digits = text.strip_prefix('+').unwrap_or(text);
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let parsed = digits.parse().ok().filter(|_| all);
    let is_time = name != "version" && all;
    parsed
        .or(is_time.then_some(u32::MAX))
        .map(Some)
        .ok_or(ReginfoError::Attribute(name))
}

/// What a subscription knows: the tables of RFC 3680 §5.2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    version: Option<u32>,
    rows: Vec<Row>,
}

/// One registration with its active contacts; those that ended are dropped at once (§5.2 leaves it open).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    id: Box<str>,
    pub aor: Aor,
    pub state: State,
    contacts: Vec<Binding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Binding {
    id: Box<str>,
    expires_at: Option<Timestamp>,
}

/// What a document did to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its version is not above what is known: ignored.
    Older,
    /// Taken over.
    InOrder,
    /// Taken over, and one before it never came: full state is wanted.
    Gap,
}

impl Tables {
    /// Takes over a document. Versions may start anywhere (Kamailio starts at 2).
    pub fn take(&mut self, now: Timestamp, document: &Document) -> Taken {
        let gap = match self.version {
            Some(known) if document.version <= known => return Taken::Older,
            Some(known) => document.version > known + 1,
            None => !document.full, // what changed, before anybody said what there was
        };
        self.version = Some(document.version);
        if document.full {
            self.rows.clear();
        }
        for told in &document.registrations {
            self.merge(now, told);
        }
        if gap && !document.full {
            Taken::Gap
        } else {
            Taken::InOrder
        }
    }

    fn merge(&mut self, now: Timestamp, told: &Registration) {
        let known = self.rows.iter().position(|row| row.id == told.id);
        let at = match known {
            Some(at) => at,
            None if self.rows.len() >= MOST_REGISTRATIONS => return,
            None => {
                self.rows.push(Row {
                    id: told.id.clone(),
                    aor: told.aor.clone(),
                    state: told.state,
                    contacts: Vec::new(),
                });
                self.rows.len() - 1
            }
        };
        let Some(row) = self.rows.get_mut(at) else {
            return;
        };
        (row.aor, row.state) = (told.aor.clone(), told.state);
        for contact in &told.contacts {
            row.contacts.retain(|known| known.id != contact.id);
            if contact.active && row.contacts.len() < MOST_CONTACTS {
                row.contacts.push(Binding {
                    id: contact.id.clone(),
                    expires_at: contact.expires.map(|left| now + left),
                });
            }
        }
        if row.state != State::Active {
            row.contacts.clear();
        }
    }

    /// Version of the last document taken; `None` before the first.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether this address of record is registered, if anything is known of it.
    pub fn is_active(&self, aor: &Aor) -> Option<bool> {
        let mut rows = self.rows.iter().filter(|row| row.aor == *aor);
        let first = rows.next()?;
        Some(first.state == State::Active || rows.any(|row| row.state == State::Active))
    }

    /// Whether anything is registered.
    pub fn any_active(&self) -> bool {
        self.rows.iter().any(|row| row.state == State::Active)
    }
}

impl Row {
    /// When the last contact runs out; `None` where the notifier does not say.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let ends = self.contacts.iter().map(|contact| contact.expires_at);
        ends.max().flatten()
    }

    /// Active contacts.
    pub fn contacts(&self) -> usize {
        self.contacts.len()
    }
}

#[cfg(test)]
mod tests;
