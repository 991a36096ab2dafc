//! Step 5 of RFC 3903 §6: the body of a PUBLISH, whole (RFC 3863) or partial (RFC 5264), as the state it makes.

use super::publish::Publish;
use super::{Directory, Service};
use crate::presence::object;
use crate::presence::partial::{self, Partial};
use crate::presence::pidf::{self, Contribution};
use crate::reject::Reject;
use crate::sip::Aor;
use crate::sip::header::media_type::MediaType;
use crate::xml::patch::{Error, Failure};
use std::borrow::Cow;

/// The body types that a PUBLISH may bring: [`pidf::MEDIA_TYPE`] and [`partial::MEDIA_TYPE`]. Listing the second says
/// that partial publication is supported (RFC 5264 §4.1).
pub const PUBLISHED_TYPES: &str = "application/pidf+xml, application/pidf-diff+xml";
/// The same where a document may come with objects.
const WITH_OBJECTS: &str = "application/pidf+xml, application/pidf-diff+xml, multipart/related";

/// The same where a body may be elsewhere.
const WITH_EXTERNAL: &str =
    "application/pidf+xml, application/pidf-diff+xml, message/external-body";
const WITH_BOTH: &str =
    "application/pidf+xml, application/pidf-diff+xml, multipart/related, message/external-body";

/// What a body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyType<'a> {
    /// [`pidf::MEDIA_TYPE`].
    Whole,
    /// [`partial::MEDIA_TYPE`].
    Partial,
    /// One of the two and the objects that it refers to ([`object::RELATED`]).
    Related(MediaType<'a>),
    /// Says where the body is ([`crate::presence::external::EXTERNAL`]).
    External(MediaType<'a>),
    Unknown,
}

impl<'a> BodyType<'a> {
    /// What a value of `Content-Type` says.
    pub fn of(content_type: &'a str) -> BodyType<'a> {
        match MediaType::parse(content_type) {
            Some(media) if media.is("application", "pidf+xml") => BodyType::Whole,
            Some(media) if media.is("application", "pidf-diff+xml") => BodyType::Partial,
            Some(media) if media.is("multipart", "related") => BodyType::Related(media),
            Some(media) if media.is("message", "external-body") => BodyType::External(media),
            _ => BodyType::Unknown,
        }
    }
}

/// New state of a publication.
pub(super) struct State<'a> {
    pub contribution: Contribution,
    /// The whole document, as it is stored.
    pub document: Cow<'a, [u8]>,
}

impl Service {
    /// The body types that are taken, for `Accept`.
    pub fn published_types(&self) -> &'static str {
        let external = !self.settings.external.servers.is_empty();
        match (self.settings.objects.are_taken(), external) {
            (false, false) => PUBLISHED_TYPES,
            (true, false) => WITH_OBJECTS,
            (false, true) => WITH_EXTERNAL,
            (true, true) => WITH_BOTH,
        }
    }

    /// Largest body of any type that is taken, in bytes.
    pub fn largest_content(&self) -> usize {
        let document = self.settings.pidf.body;
        if self.settings.objects.are_taken() {
            self.settings.objects.body(document)
        } else {
            document
        }
    }

    /// Largest body of a PUBLISH of this type, in bytes.
    pub fn largest_body(&self, body_type: Option<BodyType<'_>>) -> usize {
        let document = self.settings.pidf.body;
        match body_type {
            Some(BodyType::Related(_)) if self.settings.objects.are_taken() => {
                self.settings.objects.body(document)
            }
            _ => document,
        }
    }

    /// The state that a body makes: of a type that is taken, well-formed, valid, and about this presentity. `present` is
    /// the state it is to change, where the request names one.
    pub(super) fn state<'a>(
        &self,
        directory: &dyn Directory,
        request: &'a Publish<'_>,
        present: Option<&Contribution>,
    ) -> Result<State<'a>, Reject> {
        let objects = &self.settings.objects;
        let (body_type, body, new) = match &request.body_type {
            Some(BodyType::Related(media)) if objects.are_taken() => {
                let inline = object::read(media, request.body, objects)?;
                let root = match BodyType::of(&inline.media_type) {
                    BodyType::Whole => BodyType::Whole,
                    BodyType::Partial => BodyType::Partial,
                    BodyType::Related(_) | BodyType::External(_) | BodyType::Unknown => {
                        BodyType::Unknown
                    }
                };
                (root, inline.root, inline.objects)
            }
            Some(other) => (*other, request.body, Vec::new()),
            None => return Err(Reject::Bad("Missing Content-Type")),
        };
        if body.len() > self.settings.pidf.body {
            return Err(Reject::TooLarge);
        }
        // a change brings what it changes; a whole document brings all that belongs to it
        let (document, old) = match body_type {
            BodyType::Whole => (Cow::Borrowed(body), None),
            BodyType::Partial => {
                let patched = self.patched(directory, request.presentity, body, present)?;
                (Cow::Owned(patched), present)
            }
            BodyType::Related(_) | BodyType::External(_) | BodyType::Unknown => {
                return Err(Reject::UnsupportedMedia {
                    accept: self.published_types(),
                });
            }
        };
        let contribution =
            pidf::parse(&document, &self.settings.pidf).map_err(|e| Reject::Bad(e.reason()))?;
        about(directory, request.presentity, contribution.entity())?;
        let old = old.map(Contribution::objects).unwrap_or_default();
        let objects = object::named_in(&document, new, old);
        Ok(State {
            contribution: contribution.with_objects(objects),
            document,
        })
    }

    /// The whole document that a partial one makes (RFC 5264 §4.3). `version` counts for nothing here: the entity-tag
    /// orders publications (§3.2).
    fn patched(
        &self,
        directory: &dyn Directory,
        presentity: &Aor,
        body: &[u8],
        present: Option<&Contribution>,
    ) -> Result<Vec<u8>, Reject> {
        let limits = &self.settings.pidf;
        match partial::read(body, limits).map_err(refused)? {
            Partial::Full { document, .. } => Ok(document.into_bytes()),
            Partial::Diff { entity, diff, .. } => {
                if let Some(entity) = entity {
                    about(directory, presentity, &entity)?;
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
    use crate::presence::external::EXTERNAL;

    #[test]
    fn the_types_listed_are_those_that_are_taken() {
        let listed: Vec<&str> = PUBLISHED_TYPES.split(", ").collect();
        assert_eq!(listed, [pidf::MEDIA_TYPE, partial::MEDIA_TYPE]);
        let listed: Vec<&str> = WITH_OBJECTS.split(", ").collect();
        let related = object::RELATED;
        assert_eq!(listed, [pidf::MEDIA_TYPE, partial::MEDIA_TYPE, related]);
        assert_eq!(WITH_EXTERNAL, format!("{PUBLISHED_TYPES}, {EXTERNAL}"));
        assert_eq!(WITH_BOTH, format!("{WITH_OBJECTS}, {EXTERNAL}"));
    }
}
