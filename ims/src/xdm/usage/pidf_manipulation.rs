//! Permanent presence state (RFC 4827): one document of a user, an input of composition that never expires.

use crate::sip::Aor;
use crate::xdm::document::Documents;
use crate::xdm::error::Conflict;
use crate::xdm::key::DocumentKey;

/// Application unique identifier, RFC 4827 §4.
pub const AUID: &str = "pidf-manipulation";

/// RFC 4827 §5.
pub const MEDIA_TYPE: &str = "application/pidf+xml";

/// The one document that a user has (RFC 4827 §9).
pub const NAME: &str = "index";

/// Whether the document may be composed with what its owner publishes: what PUBLISH would take, about the owner.
pub fn check(
    key: &DocumentKey,
    document: &[u8],
    documents: &dyn Documents,
) -> Result<(), Conflict> {
    let entity = documents
        .entity_of(document)
        .map_err(Conflict::SchemaValidation)?;
    let entity = Aor::parse(&entity);
    match (key.owner(), entity) {
        (Some(owner), Some(entity)) if documents.same_user(owner, &entity) => Ok(()),
        _ => Err(Conflict::Constraint(
            "the entity of the document is not its owner".to_owned(),
        )),
    }
}
