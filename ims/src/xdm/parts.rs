//! Requests on parts of documents: elements, attributes and bindings (RFC 4825 §8.2 to §8.4).

use super::document::{Document, Documents, Outcome};
use super::edit::{self, Splice};
use super::error::{Conflict, Reject};
use super::fragment;
use super::key::DocumentKey;
use super::media;
use super::node::{self, Found};
use super::request::Request;
use super::selector::{NodeSelector, Terminal};
use super::sketch::Sketch;
use super::usage::{Candidate, Usage};
use super::{Change, Xdm, answered, stored, unconditional};
use crate::xml::guard::{self, Limits, Refusal};
use bytes::Bytes;

/// A part of a document, as a request names it.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub usage: &'a Usage,
    pub key: &'a DocumentKey,
    pub selector: &'a NodeSelector,
    pub documents: &'a dyn Documents,
}

/// GET and HEAD (RFC 4825 §8.3).
pub(super) fn read(
    request: &Request,
    part: &Part<'_>,
    document: Option<&Document>,
) -> Result<Outcome, Reject> {
    let document = document.ok_or(Reject::NotFound)?;
    let sketch = Sketch::of(&document.bytes, &part.selector.steps);
    let read = sketch.read(&part.limits(document));
    let read = read.map_err(|_| Reject::NotFound)?;
    // "no-match or invalid"
    let found = node::find(&read, part.selector).ok_or(Reject::NotFound)?;
    let body = match found.range(&read) {
        Some(range) => document.bytes.slice(sketch.original_range(&range)),
        None => Bytes::from(found.content(&read).into_owned()),
    };
    answered(request, document, found.media_type().into(), body)
}

impl Xdm {
    /// PUT of an element or attribute (RFC 4825 §8.2).
    pub(super) fn put_part(
        &self,
        request: &Request,
        part: &Part<'_>,
        new_etag: &mut dyn FnMut() -> String,
    ) -> Result<Outcome, Reject> {
        let kind = match &part.selector.terminal {
            None => media::ELEMENT,
            Some(Terminal::Attribute(_)) => media::ATTRIBUTE,
            Some(Terminal::Namespaces) => return Err(Reject::ReadOnly), // §8.2
        };
        let old = part.documents.document(part.key);
        let old = old.ok_or_else(|| {
            Reject::Conflict(Conflict::NoParent {
                phrase: "there is no such document".to_owned(),
                ancestor: None,
            })
        })?;
        let charset = self.body_taken(request, kind, part.usage)?;
        // §8.2.6: the document stands for the part, there or not, so `If-None-Match: *` fails always.
        unconditional(request, Some(old))?;
        charset.map_err(Reject::Conflict)?;
        let (document, splice) = part.spliced(request, old).map_err(Reject::Conflict)?;
        let Some(document) = document else {
            return Ok(stored(200, &old.etag, None));
        };
        let bytes = self
            .admitted(part, old, document, |found, edited| {
                // GET(PUT(x)) == x, or "the server MUST NOT perform the insertion"
                found.and_then(|found| found.range(edited)) == Some(splice.node.clone())
            })
            .map_err(|conflict| match conflict {
                Refused::Fails => Conflict::CannotInsert(
                    "after the change the URI would not name what was put".to_owned(),
                ),
                Refused::Conflict(conflict) => conflict,
            })
            .map_err(Reject::Conflict)?;
        let status = if splice.creates { 201 } else { 200 };
        Ok(kept(status, part.key, bytes, new_etag))
    }

    /// DELETE of an element or attribute (RFC 4825 §8.4).
    pub(super) fn delete_part(
        &self,
        request: &Request,
        part: &Part<'_>,
        new_etag: &mut dyn FnMut() -> String,
    ) -> Result<Outcome, Reject> {
        if part.selector.terminal == Some(Terminal::Namespaces) {
            return Err(Reject::ReadOnly);
        }
        let old = part.documents.document(part.key).ok_or(Reject::NotFound)?;
        let text = guard::utf8(&old.bytes).map_err(|_| Reject::NotFound)?;
        let sketch = Sketch::of(&old.bytes, &part.selector.steps);
        let document = sketch.read(&part.limits(old));
        let document = document.map_err(|_| Reject::NotFound)?;
        let found = node::find(&document, part.selector).ok_or(Reject::NotFound)?;
        unconditional(request, Some(old))?;
        let splice = edit::remove(&document, &found).ok_or(Reject::ReadOnly)?;
        let result = splice.of_original(&sketch).applied(text);
        let bytes = self
            .admitted(part, old, result, |found, _| found.is_none())
            .map_err(|conflict| match conflict {
                Refused::Fails => Conflict::CannotDelete(
                    "after the change the URI would name another node".to_owned(),
                ),
                Refused::Conflict(conflict) => conflict,
            })
            .map_err(Reject::Conflict)?;
        Ok(kept(200, part.key, bytes, new_etag))
    }

    /// Whether the document that would result may be stored: whether the URI `holds` what it should, the schema and
    /// the constraints of the usage (§8.2.5), and this server's limits.
    fn admitted(
        &self,
        part: &Part<'_>,
        old: &Document,
        result: String,
        holds: impl FnOnce(Option<Found<'_, '_>>, &roxmltree::Document<'_>) -> bool,
    ) -> Result<Bytes, Refused> {
        let bytes = Bytes::from(result);
        let document = guard::parse(&bytes, &part.limits(old)).map_err(ill_formed)?;
        if !holds(node::find(&document, part.selector), &document) {
            return Err(Refused::Fails);
        }
        let candidate = Candidate {
            key: part.key,
            bytes: &bytes,
            document: &document,
            documents: part.documents,
        };
        part.usage.check(&candidate).map_err(Refused::Conflict)?;
        self.quota(part.key, Some(old), bytes.len(), part.documents)
            .map_err(Refused::Conflict)?;
        drop(document);
        Ok(bytes)
    }
}

/// Why a result is not kept.
enum Refused {
    /// The URI would not name what it should.
    Fails,
    Conflict(Conflict),
}

/// A result that is no document, or more of one than is taken. The parts were well-formed, so what is ill-formed is the
/// document without its element.
fn ill_formed(refusal: Refusal) -> Refused {
    let phrase = refusal.to_string();
    Refused::Conflict(match refusal {
        Refusal::NotUtf8(_) => Conflict::NotUtf8(phrase),
        Refusal::NotWellFormed(_) => Conflict::SchemaValidation(phrase),
        Refusal::NotTaken(_) | Refusal::TooLarge { .. } => Conflict::local(phrase),
    })
}

impl Part<'_> {
    /// The limits of the usage; a document that is over a limit that was lowered may still be read and made smaller.
    fn limits(&self, old: &Document) -> Limits {
        let limits = self.usage.limits;
        Limits {
            bytes: limits.bytes.max(old.bytes.len()),
            ..limits
        }
    }

    /// The change that a PUT asks for, and the document that it would make; `None` when that is the same.
    fn spliced(
        &self,
        request: &Request,
        old: &Document,
    ) -> Result<(Option<String>, Splice), Conflict> {
        let unread = |refusal: Refusal| Conflict::local(refusal.to_string());
        let text = guard::utf8(&old.bytes).map_err(unread)?;
        let sketch = Sketch::of(&old.bytes, &self.selector.steps);
        let document = sketch.read(&self.limits(old)).map_err(unread)?;
        let steps = &self.selector.steps;
        let (last, before) = steps.split_last().ok_or_else(|| self.no_parent(0))?;
        let walked = |steps| node::walk(&document, steps).map_err(|taken| self.no_parent(taken));
        let splice = match &self.selector.terminal {
            Some(Terminal::Attribute(name)) => {
                let element = walked(steps)?;
                let value = fragment::attribute_value(&request.body)?;
                edit::put_attribute(&document, element, name, value)?
            }
            _ => {
                let parent = walked(before)?;
                let element = fragment::element(&request.body, parent, &self.usage.limits)?;
                edit::put_element(&document, parent, last, &element)?
            }
        };
        let splice = splice.of_original(&sketch);
        let result = (!splice.is_idle(text)).then(|| splice.applied(text));
        Ok((result, splice))
    }

    /// The element that would contain it is not there, or not one; the first `taken` steps name one each.
    fn no_parent(&self, taken: usize) -> Conflict {
        Conflict::NoParent {
            phrase: "no one element of the document is the parent".to_owned(),
            ancestor: (taken > 0).then(|| self.selector.beginning(taken)),
        }
    }
}

/// The answer to a change that is kept.
fn kept(
    status: u16,
    key: &DocumentKey,
    bytes: Bytes,
    new_etag: &mut dyn FnMut() -> String,
) -> Outcome {
    let document = Document {
        etag: new_etag(),
        bytes,
    };
    let etag = document.etag.clone();
    let key = key.clone();
    stored(status, &etag, Some(Change::Put { key, document }))
}
