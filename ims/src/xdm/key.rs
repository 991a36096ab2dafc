//! Names of documents (RFC 4825 §6.2), and the bytes under which they are stored.

use crate::sip::Aor;
use std::fmt;

/// Whose documents: the two sub-trees below every application usage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// `global`: one document for everybody.
    Global,
    /// `users` and the XCAP User Identifier, which is the user's address of record in its canonical spelling.
    User(Aor),
}

/// One document. Ordered by owner first, so that everything of one user stands together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    pub tree: Tree,
    /// Application usage, as it stands in the path.
    pub auid: String,
    /// Path below the tree, percent-decoded once, without a leading `/`. Holds no control character.
    pub name: String,
}

impl DocumentKey {
    pub fn user(owner: Aor, auid: &str, name: &str) -> DocumentKey {
        DocumentKey {
            tree: Tree::User(owner),
            auid: auid.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The owner, where the document belongs to one.
    pub fn owner(&self) -> Option<&Aor> {
        match &self.tree {
            Tree::Global => None,
            Tree::User(owner) => Some(owner),
        }
    }

    /// Bytes that sort as the key does and never change: they are on disk.
    ///
    /// `g` or `u` and the owner, NUL, application usage, NUL, name. No part can hold a NUL.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = match &self.tree {
            Tree::Global => b"g\0".to_vec(),
            Tree::User(owner) => DocumentKey::prefix(owner),
        };
        bytes.extend_from_slice(self.auid.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    /// What the encoded keys of all documents of one user begin with, and no other key does.
    pub fn prefix(owner: &Aor) -> Vec<u8> {
        let mut bytes = vec![b'u'];
        bytes.extend_from_slice(owner.as_str().as_bytes());
        bytes.push(0);
        bytes
    }

    /// The key of such bytes; `None` for bytes that [`DocumentKey::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Option<DocumentKey> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut parts = text.split('\0');
        let (tree, auid, name) = (parts.next()?, parts.next()?, parts.next()?);
        let tree = match tree.strip_prefix('u') {
            Some(owner) => Tree::User(Aor::parse(owner)?),
            None if tree == "g" => Tree::Global,
            None => return None,
        };
        let key = DocumentKey {
            tree,
            auid: auid.to_owned(),
            name: name.to_owned(),
        };
        // Also refuses an owner in another than its canonical spelling.
        (parts.next().is_none() && key.encode() == bytes).then_some(key)
    }
}

/// As in a URI below the XCAP root, but not percent-encoded.
impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tree {
            Tree::Global => write!(f, "{}/global/{}", self.auid, self.name),
            Tree::User(owner) => write!(f, "{}/users/{owner}/{}", self.auid, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(owner: &str, auid: &str, name: &str) -> DocumentKey {
        DocumentKey::user(Aor::parse(owner).unwrap(), auid, name)
    }

    #[test]
    fn a_key_survives_its_bytes_and_sorts_like_them() {
        let mut keys = vec![
            key("sip:bob@ims.test", "pres-rules", "index"),
            key("sip:bob@ims.test", "pres-rules", "a/b c"),
            key(
                "sip:bob@ims.test",
                "org.openmobilealliance.pres-rules",
                "pres-rules",
            ),
            key("sip:bob@ims.tes", "pres-rules", "index"),
            key("tel:+36105550001", "pres-rules", "index"),
            DocumentKey {
                tree: Tree::Global,
                auid: "pres-rules".into(),
                name: "index".into(),
            },
        ];
        for key in &keys {
            assert_eq!(DocumentKey::decode(&key.encode()).as_ref(), Some(key));
        }
        keys.sort();
        let encoded: Vec<_> = keys.iter().map(DocumentKey::encode).collect();
        assert!(encoded.is_sorted());
        let bob = DocumentKey::prefix(&Aor::parse("sip:bob@ims.test").unwrap());
        assert_eq!(
            encoded
                .iter()
                .filter(|bytes| bytes.starts_with(&bob))
                .count(),
            3
        );
    }

    #[test]
    fn other_bytes_are_no_key() {
        for bytes in [
            &b""[..],
            b"u",
            b"g\0a",
            b"g\0a\0b\0c",
            b"x\0a\0b",
            b"usip:bob@IMS.test\0a\0b",
            b"unobody\0a\0b",
            b"\xff\0a\0b",
        ] {
            assert_eq!(DocumentKey::decode(bytes), None, "{bytes:?}");
        }
    }
}
