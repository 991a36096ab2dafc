//! Documents as stored, and what this service asks of whoever stores them.

use super::key::{DocumentKey, Tree};
use super::request::Response;
use super::usage::rls_services::Services;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xml::schema::Valid;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A stored document: exactly the bytes that were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Entity-tag without its quotes, at most 255 bytes; it changes with every change of the document
    /// (RFC 4825 §8.5).
    pub etag: String,
    pub bytes: Bytes,
    /// Not stored: after a restart the schema may be another.
    pub standing: Standing,
}

/// What is known of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: an edit is judged by the whole result.
    #[default]
    Unknown,
    /// It was found well-formed, within the limits, valid and within the constraints of its usage as they are now, and
    /// no value in it refers to an ID. So an edit is judged by what it touches.
    Obeys,
}

impl From<Valid> for Standing {
    fn from(valid: Valid) -> Standing {
        match valid.refers {
            true => Standing::Unknown,
            false => Standing::Obeys,
        }
    }
}

impl Document {
    /// A document of which nothing is known.
    pub fn new(etag: impl Into<String>, bytes: impl Into<Bytes>) -> Document {
        Document {
            etag: etag.into(),
            bytes: bytes.into(),
            standing: Standing::Unknown,
        }
    }

    /// The value under the key in the store: length of the entity-tag, entity-tag, document.
    pub fn encode(&self) -> Vec<u8> {
        let etag = self.etag.as_bytes();
        let length = u8::try_from(etag.len()).unwrap_or(u8::MAX);
        let mut record = Vec::with_capacity(1 + etag.len() + self.bytes.len());
        record.push(length);
        record.extend(etag.iter().take(usize::from(length)));
        record.extend_from_slice(&self.bytes);
        record
    }

    /// The document of such a value; `None` when the value is damaged.
    pub fn decode(record: &[u8]) -> Option<Document> {
        let (length, rest) = record.split_first()?;
        let (etag, bytes) = rest.split_at_checked(usize::from(*length))?;
        let etag = std::str::from_utf8(etag).ok()?.to_owned();
        Some(Document::new(etag, Bytes::copy_from_slice(bytes)))
    }
}

/// What one user's documents take up, over all application usages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub documents: usize,
    /// Bytes of the documents without names and entity-tags.
    pub bytes: usize,
}

/// A document as a directory shows it.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    pub key: &'a DocumentKey,
    pub document: &'a Document,
    /// When it last changed, where that is known.
    pub modified: Option<Timestamp>,
}

/// The documents there are, as this service reads them. One request sees one state.
pub trait Documents {
    fn document(&self, key: &DocumentKey) -> Option<&Document>;

    /// What this user's documents take up.
    fn held(&self, owner: &Aor) -> Held;

    /// Whether both identities are of one subscriber: the same, or known from registration as aliases.
    fn same_user(&self, one: &Aor, other: &Aor) -> bool {
        one == other
    }

    /// Every document of this user, in the order of their keys.
    fn listed(&self, _owner: &Aor) -> Vec<Listed<'_>> {
        Vec::new()
    }

    /// The services of all documents of resource list services.
    fn services(&self) -> Option<&Services> {
        None
    }

    /// Whether this is the identity of a user who is known.
    fn exists(&self, _identity: &Aor) -> bool {
        false
    }

    /// Whether any of these identities of one watcher may see presence of this user now.
    fn shows(&self, _owner: &Aor, _watcher: &[Aor]) -> bool {
        false
    }

    /// Reads a presence document: the URI of the presentity that it is about, or what is wrong with it.
    fn entity_of(&self, presence: &[u8]) -> Result<String, String>;
}

impl Held {
    /// What a user's documents take up among those of everybody.
    pub fn by(owner: &Aor, documents: &BTreeMap<DocumentKey, Document>) -> Held {
        let first = DocumentKey::user(owner.clone(), "", "");
        let own = documents
            .range(first..)
            .take_while(|(key, _)| matches!(&key.tree, Tree::User(o) if o == owner));
        own.fold(Held::default(), |held, (_, document)| Held {
            documents: held.documents + 1,
            bytes: held.bytes + document.bytes.len(),
        })
    }
}

/// What a request makes of a document. The response may leave once this is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put {
        key: DocumentKey,
        document: Document,
    },
    Delete {
        key: DocumentKey,
    },
}

impl Change {
    /// The document that changes.
    pub fn key(&self) -> &DocumentKey {
        match self {
            Change::Put { key, .. } | Change::Delete { key } => key,
        }
    }
}

/// The answer to a request, and the change that it promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub response: Response,
    pub change: Option<Change>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_its_record() {
        for (etag, bytes) in [
            ("a1", &b"<a/>"[..]),
            ("", b""),
            ("x".repeat(255).as_str(), b"\0\xff"),
        ] {
            let document = Document::new(etag, Bytes::copy_from_slice(bytes));
            assert_eq!(Document::decode(&document.encode()), Some(document));
        }
        for damaged in [&b""[..], b"\x05abc", b"\x01\xff"] {
            assert_eq!(Document::decode(damaged), None);
        }
    }

    #[test]
    fn only_the_owners_documents_are_counted() {
        let bob = Aor::parse("sip:bob@ims.test").unwrap();
        let documents: BTreeMap<_, _> =
            [("bob", "a"), ("bob", "b"), ("bobby", "a"), ("alice", "a")]
                .map(|(user, name)| {
                    let owner = Aor::parse(&format!("sip:{user}@ims.test")).unwrap();
                    let document = Document::new("e", Bytes::from_static(b"1234"));
                    (DocumentKey::user(owner, "pres-rules", name), document)
                })
                .into();
        assert_eq!(
            Held::by(&bob, &documents),
            Held {
                documents: 2,
                bytes: 8
            }
        );
    }
}
