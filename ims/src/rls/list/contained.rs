//! A list that comes with the SUBSCRIBE (RFC 5367): the part of the body that is one, and what stands in it.
//!
//! What is more than a flat list of URIs may be discarded (§4): nested lists are flattened, references are not followed,
//! whoever they name. Copy control (RFC 5364) says who of the recipients sees whom; nobody but the watcher sees the list,
//! so it changes nothing here.

use super::expand::Expansion;
use super::sheet::Sheet;
use super::{Limits, Listed, References};
use crate::reject::Reject;
use crate::sip::coding::{Coding, Fault};
use crate::sip::header::media_type::MediaType;
use crate::sip::multipart::{self, Part};
use std::borrow::Cow;
use std::sync::Arc;

/// The option tag that a SUBSCRIBE with a list requires (RFC 5367 §9.2).
pub const OPTION_TAG: &str = "recipient-list-subscribe";
/// Type and disposition of the list (RFC 5363 §5, RFC 5367 §4).
pub const MEDIA_TYPE: &str = "application/resource-lists+xml";
const DISPOSITION: &str = "recipient-list";
/// Most parts of a body.
const PARTS: usize = 8;

/// The body of a SUBSCRIBE, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bodies<'a> {
    /// The document of lists.
    pub list: Option<Arc<[u8]>>,
    /// What stands beside it, or instead of it: a filter, which others understand.
    pub rest: Option<Rest<'a>>,
}

/// Another body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest<'a> {
    pub media_type: String,
    pub body: Cow<'a, [u8]>,
}

impl<'a> Bodies<'a> {
    /// Takes the body of a SUBSCRIBE apart, whose own content coding is undone. `media_type` and `disposition` are
    /// `Content-Type` and `Content-Disposition` of the request, `accept` the types that are taken.
    pub fn read(
        media_type: &str,
        disposition: Option<&str>,
        body: &'a [u8],
        limits: &Limits,
        accept: &'static str,
    ) -> Result<Bodies<'a>, Reject> {
        let mut bodies = Bodies::default();
        if body.is_empty() {
            return Ok(bodies);
        }
        let media = MediaType::parse(media_type).ok_or(Reject::UnsupportedMedia { accept })?;
        if !media.kind.eq_ignore_ascii_case("multipart") {
            bodies.take(media, disposition, Cow::Borrowed(body), limits, accept)?;
            return Ok(bodies);
        }
        let parts = multipart::parse(&media, body, PARTS).map_err(|_| Reject::Bad("Bad Body"))?;
        for part in &parts {
            let content = uncoded(part, limits, accept)?;
            let disposition = part.field("Content-Disposition");
            match part.media_type() {
                Some(media) => bodies.take(media, disposition, content, limits, accept)?,
                None if is_optional(disposition) => {}
                None => return Err(Reject::UnsupportedMedia { accept }),
            }
        }
        Ok(bodies)
    }

    fn take(
        &mut self,
        media: MediaType<'_>,
        disposition: Option<&str>,
        body: Cow<'a, [u8]>,
        limits: &Limits,
        accept: &'static str,
    ) -> Result<(), Reject> {
        let named = disposition.map(|d| d.split(';').next().unwrap_or_default().trim());
        let is_list = media.is("application", "resource-lists+xml")
            && named.is_none_or(|name| name.eq_ignore_ascii_case(DISPOSITION));
        if is_list && self.list.is_none() {
            check(&body, limits)?;
            self.list = Some(body.into_owned().into());
        } else if is_list {
            return Err(Reject::Bad("More Than One List"));
        } else if self.rest.is_none() && !media.is("application", "resource-lists+xml") {
            self.rest = Some(Rest {
                media_type: media.to_string(),
                body,
            });
        } else if !is_optional(disposition) {
            return Err(Reject::UnsupportedMedia { accept });
        }
        Ok(())
    }
}

/// Whether a document is a list within the limits.
fn check(document: &[u8], limits: &Limits) -> Result<(), Reject> {
    if document.len() > limits.bytes {
        return Err(Reject::TooLarge);
    }
    let sheet = Sheet::read(document, limits.bytes).ok_or(Reject::Bad("Bad Recipient List"))?;
    // RFC 5363 §8: a request must not become an unbounded number of requests
    if sheet.len() > limits.contained {
        return Err(Reject::TooLarge);
    }
    Ok(())
}

/// The content of a part out of its codings.
fn uncoded<'a>(
    part: &Part<'a>,
    limits: &Limits,
    accept: &'static str,
) -> Result<Cow<'a, [u8]>, Reject> {
    if !part.is_plain() {
        return Err(Reject::UnsupportedMedia { accept });
    }
    let refused = |fault| match fault {
        Fault::Unknown => Reject::UnsupportedEncoding,
        Fault::TooLarge => Reject::TooLarge,
        Fault::Broken => Reject::Bad("Bad Content-Encoding"),
    };
    match Coding::of_part(part.field("Content-Encoding")).map_err(refused)? {
        None => Ok(Cow::Borrowed(part.body)),
        Some(coding) => coding
            .decode(part.body, limits.bytes)
            .map(Cow::Owned)
            .map_err(refused),
    }
}

/// A body that is not understood may be passed over (RFC 3261 §20.11).
fn is_optional(disposition: Option<&str>) -> bool {
    let mut params = disposition.unwrap_or_default().split(';').skip(1);
    params.any(|param| {
        param.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("handling")
                && value.trim().eq_ignore_ascii_case("optional")
        })
    })
}

/// Reads a list that came with a request, under the Request-URI. `None`: it is no list, which [`Bodies::read`] refuses.
pub fn read(
    uri: &str,
    document: &[u8],
    references: &dyn References,
    limits: &Limits,
    hash: ahash::RandomState,
) -> Option<Listed> {
    let sheet = Sheet::read(document, limits.bytes)?;
    Some(Expansion::new(references, limits, hash).contained(uri, sheet))
}
