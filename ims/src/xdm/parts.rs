//! Requests on parts of documents: elements, attributes and bindings (RFC 4825 §8.2 to §8.4).

use super::document::{Document, Documents, Outcome, Standing};
use super::edit::{self, Kind, Splice};
use super::error::{Conflict, Reject};
use super::fragment;
use super::key::DocumentKey;
use super::media;
use super::node;
use super::request::Request;
use super::selector::{NodeSelector, Terminal};
use super::sketch::Sketch;
use super::touched::Edit;
use super::usage::{Candidate, Usage};
use super::{Change, Xdm, answered, stored, unconditional};
use crate::xml::guard::{self, Limits, Refusal};
use bytes::Bytes;
use roxmltree::Node;

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
        let text = guard::utf8(&old.bytes).map_err(unread)?;
        let sketch = Sketch::of_text(text, &part.selector.steps);
        let read = sketch.read(&part.limits(old)).map_err(unread)?;
        let sketched = part.change(request, &read).map_err(Reject::Conflict)?;
        let edit = part.edit(old, text, (&sketch, &read), sketched);
        if edit.splice.is_idle(text) {
            return Ok(stored(200, &old.etag, None));
        }
        let status = match edit.splice.kind {
            Kind::Created => 201,
            Kind::Replaced | Kind::Removed => 200,
        };
        self.kept(status, &edit, new_etag)
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
        let sketch = Sketch::of_text(text, &part.selector.steps);
        let read = sketch.read(&part.limits(old));
        let read = read.map_err(|_| Reject::NotFound)?;
        let found = node::find(&read, part.selector).ok_or(Reject::NotFound)?;
        unconditional(request, Some(old))?;
        let sketched = edit::remove(&read, &found).ok_or(Reject::ReadOnly)?;
        let edit = part.edit(old, text, (&sketch, &read), sketched);
        self.kept(200, &edit, new_etag)
    }

    /// The answer to a change, which is kept if the document that would result may be stored.
    fn kept(
        &self,
        status: u16,
        edit: &Edit<'_>,
        new_etag: &mut dyn FnMut() -> String,
    ) -> Result<Outcome, Reject> {
        let Edit { part, old, .. } = *edit;
        let result = edit.splice.applied(edit.text);
        let limits = part.limits(old);
        let standing = match edit.obeys(&result, &limits) {
            true => Standing::Obeys,
            false => admitted(edit, &result, &limits).map_err(Reject::Conflict)?,
        };
        self.quota(part.key, Some(old), result.len(), part.documents)
            .map_err(Reject::Conflict)?;
        let document = Document {
            etag: new_etag(),
            bytes: Bytes::from(result),
            standing,
        };
        let etag = document.etag.clone();
        let key = part.key.clone();
        Ok(stored(status, &etag, Some(Change::Put { key, document })))
    }
}

/// Whether the document that would result may be stored, read whole: whether the URI names what it should, the schema
/// and the constraints of the usage (§8.2.5), and this server's limits.
fn admitted(edit: &Edit<'_>, result: &str, limits: &Limits) -> Result<Standing, Conflict> {
    let Edit { part, splice, .. } = edit;
    let document = guard::parse(result.as_bytes(), limits).map_err(ill_formed)?;
    if !splice.holds(&document, part.selector) {
        return Err(match splice.kind {
            Kind::Created | Kind::Replaced => Conflict::CannotInsert(
                "after the change the URI would not name what was put".to_owned(),
            ),
            Kind::Removed => Conflict::CannotDelete(
                "after the change the URI would name another node".to_owned(),
            ),
        });
    }
    part.usage.check(&Candidate {
        key: part.key,
        bytes: result.as_bytes(),
        document: &document,
        documents: part.documents,
    })
}

/// A result that is no document, or more of one than is taken. The parts were well-formed, so what is ill-formed is the
/// document without its element.
fn ill_formed(refusal: Refusal) -> Conflict {
    let phrase = refusal.to_string();
    match refusal {
        Refusal::NotUtf8(_) => Conflict::NotUtf8(phrase),
        Refusal::NotWellFormed(_) => Conflict::SchemaValidation(phrase),
        Refusal::NotTaken(_) | Refusal::TooLarge { .. } => Conflict::local(phrase),
    }
}

/// A stored document that cannot be read.
fn unread(refusal: Refusal) -> Reject {
    Reject::Conflict(Conflict::local(refusal.to_string()))
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

    /// The change that a PUT asks for, of a sketch of the document.
    fn change(
        &self,
        request: &Request,
        document: &roxmltree::Document<'_>,
    ) -> Result<Splice, Conflict> {
        let steps = &self.selector.steps;
        let (last, before) = steps.split_last().ok_or_else(|| self.no_parent(0))?;
        let walked = |steps| node::walk(document, steps).map_err(|taken| self.no_parent(taken));
        match &self.selector.terminal {
            Some(Terminal::Attribute(name)) => {
                let element = walked(steps)?;
                let value = fragment::attribute_value(&request.body)?;
                edit::put_attribute(document, element, name, value)
            }
            _ => {
                let parent = walked(before)?;
                let element = fragment::element(&request.body, parent, &self.usage.limits)?;
                edit::put_element(document, parent, last, &element)
            }
        }
    }

    /// A change of the sketch as one of the document.
    fn edit<'a>(
        &'a self,
        old: &'a Document,
        text: &'a str,
        (sketch, read): (&Sketch<'_>, &'a roxmltree::Document<'a>),
        sketched: Splice,
    ) -> Edit<'a> {
        let steps = &self.selector.steps;
        let before = steps.split_last().map_or(&steps[..], |(_, before)| before);
        // an element is below those before it, as its own element is to an attribute
        let parent = node::walk(read, before).ok().filter(Node::is_element);
        Edit {
            part: self,
            old,
            text,
            read,
            splice: sketched.of_original(sketch),
            sketched,
            parent: parent.map(|parent| sketch.original_range(&parent.range())),
        }
    }

    /// The element that would contain it is not there, or not one; the first `taken` steps name one each.
    fn no_parent(&self, taken: usize) -> Conflict {
        Conflict::NoParent {
            phrase: "no one element of the document is the parent".to_owned(),
            ancestor: (taken > 0).then(|| self.selector.beginning(taken)),
        }
    }
}
