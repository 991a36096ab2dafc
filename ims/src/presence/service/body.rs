//! Step 5 of RFC 3903 §6: the body of a PUBLISH, whole (RFC 3863) or partial (RFC 5264), as the state it makes.

use super::publish::Publish;
use super::{Directory, Service};
use crate::presence::partial::{self, Partial};
use crate::presence::pidf::{self, Contribution};
use crate::reject::Reject;
use crate::sip::Aor;
use crate::xml::patch::{Error, Failure};
use std::borrow::Cow;

/// The body types that a PUBLISH may bring: [`pidf::MEDIA_TYPE`] and [`partial::MEDIA_TYPE`]. Listing the second says
/// that partial publication is supported (RFC 5264 §4.1).
pub const PUBLISHED_TYPES: &str = "application/pidf+xml, application/pidf-diff+xml";

/// What a body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyType {
    /// [`pidf::MEDIA_TYPE`].
    Whole,
    /// [`partial::MEDIA_TYPE`].
    Partial,
    Unknown,
}

/// New state of a publication.
pub(super) struct State<'a> {
    pub contribution: Contribution,
    /// The whole document, as it is stored.
    pub document: Cow<'a, [u8]>,
}

impl Service {
    /// The state that a body makes: of a type that is taken, well-formed, valid, and about this presentity. `present` is
    /// the state it is to change, where the request names one.
    pub(super) fn state<'a>(
        &self,
        directory: &dyn Directory,
        request: &'a Publish<'_>,
        present: Option<&Contribution>,
    ) -> Result<State<'a>, Reject> {
        let document = match request.body_type {
            Some(BodyType::Whole) => Cow::Borrowed(request.body),
            Some(BodyType::Partial) => Cow::Owned(self.patched(directory, request, present)?),
            Some(BodyType::Unknown) => {
                return Err(Reject::UnsupportedMedia {
                    accept: PUBLISHED_TYPES,
                });
            }
            None => return Err(Reject::Bad("Missing Content-Type")),
        };
        let contribution =
            pidf::parse(&document, &self.settings.pidf).map_err(|e| Reject::Bad(e.reason()))?;
        about(directory, request.presentity, contribution.entity())?;
        Ok(State {
            contribution,
            document,
        })
    }

    /// The whole document that a partial one makes (RFC 5264 §4.3). `version` counts for nothing here: the entity-tag
    /// orders publications (§3.2).
    fn patched(
        &self,
        directory: &dyn Directory,
        request: &Publish<'_>,
        present: Option<&Contribution>,
    ) -> Result<Vec<u8>, Reject> {
        let limits = &self.settings.pidf;
        match partial::read(request.body, limits).map_err(refused)? {
            Partial::Full { document, .. } => Ok(document.into_bytes()),
            Partial::Diff { entity, diff, .. } => {
                if let Some(entity) = entity {
                    about(directory, request.presentity, &entity)?;
                }
                // §4.3.2: there must be something to change; an initial publication is <pidf-full>.
                let present = present.ok_or(Reject::Bad("Invalid Partial Publication"))?;
                let document = present.document().as_bytes();
                let patched = partial::patched(document, &diff, limits).map_err(refused)?;
                Ok(patched.into_bytes())
            }
        }
    }
}

/// Whether an entity is the presentity, by whichever of its identities.
fn about(directory: &dyn Directory, presentity: &Aor, entity: &str) -> Result<(), Reject> {
    let entity = Aor::parse(entity).ok_or(Reject::Bad("Bad Entity"))?;
    if entity == *presentity || directory.identities(presentity).contains(&entity) {
        Ok(())
    } else {
        Err(Reject::Bad("Entity Is Not The Presentity"))
    }
}

/// RFC 5264 §4.3.2: 400 with the condition of RFC 5261 where the document is at fault, 500 where it is not.
fn refused(failure: Failure) -> Reject {
    match failure.error {
        Error::BadTarget => Reject::Internal(failure.phrase),
        _ => Reject::BadPatch {
            phrase: failure.phrase,
            report: failure.document().map(String::into_boxed_str),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_listed_are_those_that_are_taken() {
        let listed: Vec<&str> = PUBLISHED_TYPES.split(", ").collect();
        assert_eq!(listed, [pidf::MEDIA_TYPE, partial::MEDIA_TYPE]);
    }
}
