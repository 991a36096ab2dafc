//! The document of somebody who is not there, really or for the politely blocked.

use super::Authorized;
use crate::presence::pidf::lexis::escape_into;
use crate::presence::pidf::names::PIDF;

/// Polite block (RFC 5025 §3.2.1): one closed service, no person, no device, whatever is published. The same bytes as
/// [`unavailable`] gives, so that the two cannot be told apart; it depends on nothing but the URI subscribed to.
pub fn neutral(entity: &str) -> Authorized {
    unavailable(entity)
}

/// What a watcher allowed to see all services is sent about a presentity of which nothing is known.
pub fn unavailable(entity: &str) -> Authorized {
    let mut out = Vec::with_capacity(192 + entity.len());
    out.extend_from_slice(super::render::PROLOG);
    out.extend_from_slice(b"<presence xmlns=\"");
    out.extend_from_slice(PIDF.as_bytes());
    out.extend_from_slice(b"\" entity=\"");
    escape_into(&mut out, entity);
    out.extend_from_slice(
        b"\"><tuple id=\"service\"><status><basic>closed</basic></status></tuple></presence>",
    );
    Authorized {
        bytes: out.into(),
        objects: Vec::new(),
    }
}
