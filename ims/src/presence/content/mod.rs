//! Content rules: the document one watcher may see (RFC 5025 §3.3 and the OMA transformations). Fails closed: what is
//! not granted by name is not copied.

mod body;
mod cut;
mod grant;
mod ids;
mod neutral;
mod objects;
mod render;

#[cfg(test)]
mod tests;

pub use body::Body;
pub use neutral::{neutral, unavailable};

use super::compose::Composed;
use super::object::Object;
use super::rules::{Permissions, Provide};
use bytes::Bytes;

/// A presence document that passed the content rules. There is no way to make one from raw state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    bytes: Bytes,
    /// Objects that it refers to, of the publications that its elements are from.
    objects: Vec<Object>,
}

impl Authorized {
    /// The document, `application/pidf+xml` in UTF-8.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it refers to by `cid:` and the watcher may have with it.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The document alone, for a watcher that takes no `multipart/related`.
    pub fn without_objects(&self) -> Authorized {
        Authorized {
            bytes: self.bytes.clone(),
            objects: Vec::new(),
        }
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// The document for a watcher with `permissions`, naming `entity`, the URI the watcher subscribed to.
///
/// A watcher who may see every service but sees no component at all gets [`unavailable`]: whether something was
/// published that this watcher may not see makes no difference.
pub fn view(composed: &Composed, permissions: &Permissions, entity: &str) -> Authorized {
    let selection = grant::select(composed, permissions);
    if selection.is_empty() && permissions.services == Provide::All {
        return unavailable(entity);
    }
    Authorized {
        bytes: render::render(composed, &selection, entity).into(),
        objects: objects::of(composed, &selection),
    }
}
