//! Permanent presence state (RFC 4827): one document of a user, an input of composition that never expires.

use super::{Candidate, Kept, Names, Readers, Rules, Usage};
use crate::sip::Aor;
use crate::xdm::document::Standing;
use crate::xdm::error::Conflict;
use crate::xml::guard::Limits;
use std::sync::Arc;

/// Application unique identifier, RFC 4827 §4.
pub const AUID: &str = "pidf-manipulation";

/// RFC 4827 §5.
pub const MEDIA_TYPE: &str = "application/pidf+xml";

/// The one document that a user has (RFC 4827 §9).
pub const NAME: &str = "index";

/// Namespaces of which presence documents are checked in full; others are kept as they are.
const NAMESPACES: [&str; 3] = [
    "urn:ietf:params:xml:ns:pidf",
    "urn:ietf:params:xml:ns:pidf:data-model",
    "urn:oma:xml:prs:pidf:oma-pres",
];

/// RFC 4827 §3 to §10.
pub(super) fn usage(limits: Limits) -> Usage {
    Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: NAMESPACES[0].into(), // RFC 4827 §6
        limits,
        users: Kept::Put(Names::One(NAME.into())),
        global: Kept::Nothing,
        readers: Readers::Everybody,
        shown: false,
        rules: Arc::new(State),
    }
}

#[derive(Debug)]
struct State;

impl Rules for State {
    /// Whether the document may be composed with what its owner publishes: what PUBLISH would take, about the owner.
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        let documents = candidate.documents;
        let entity = documents
            .entity_of(candidate.bytes)
            .map_err(Conflict::SchemaValidation)?;
        let entity = Aor::parse(&entity);
        match (candidate.key.owner(), entity) {
            (Some(owner), Some(entity)) if documents.same_user(owner, &entity) => {
                Ok(Standing::Unknown)
            }
            _ => Err(Conflict::Constraint(
                "the entity of the document is not its owner".to_owned(),
            )),
        }
    }

    fn namespaces(&self) -> Vec<String> {
        NAMESPACES.map(str::to_owned).to_vec()
    }
}
