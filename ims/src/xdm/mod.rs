//! XML document management: XCAP (RFC 4825) on documents and their parts, one application usage per file.
//!
//! [`Xdm::handle`] is told what documents there are and answers with what becomes of them; it stores nothing.

pub mod anchor;
pub mod authorize;
pub mod conditions;
pub mod diff;
pub mod document;
mod edit;
pub mod error;
mod fragment;
pub mod key;
pub mod lists;
mod markup;
pub mod media;
pub mod merge;
pub mod node;
mod outline;
mod parts;
pub mod remote;
pub mod request;
pub mod selector;
mod sketch;
mod touched;
pub mod usage;

pub use document::{Change, Document, Documents, Held, Listed, Outcome, Standing};
pub use error::{Conflict, Reject};
pub use key::{DocumentKey, Tree};
pub use request::{Identity, Method, Request, Response};

use crate::sip::Aor;
use crate::xml::guard::{self, Refusal};
use authorize::{Access, Privileged};
use bytes::Bytes;
use conditions::Verdict;
use media::Media;
use parts::Part;
use selector::{NodeSelector, Selector, Unselectable};
use std::borrow::Cow;
use usage::declared::Declaration;
use usage::rls_services::Services;
use usage::{Candidate, Failed, Kept, Usage, Usages};

/// How documents are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest document, in bytes; a longer one is answered 413.
    pub max_document: usize,
    /// The same for a document of resource lists.
    pub max_lists: usize,
    /// Most documents of one user, over all application usages.
    pub max_documents_per_user: usize,
    /// Most bytes of documents of one user.
    pub max_bytes_per_user: usize,
    /// Status for a request without an identity: 401 or 403.
    pub unidentified: u16,
    /// XCAP roots as clients write them (`http://xcap.ims.test/xcap-root`): a list named in a rule must be
    /// under one of them. Empty: any.
    pub roots: Vec<String>,
    /// Whether a rule may name lists of other users.
    pub foreign_lists: bool,
    /// Who may do more than a subscriber.
    pub privileged: Privileged,
    /// Application usages of the operator's own.
    pub declared: Vec<Declaration>,
    /// Subscriptions to changes.
    pub diff: diff::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_document: 256 * 1024,
            max_lists: 1024 * 1024,
            max_documents_per_user: 32,
            max_bytes_per_user: 2 * 1024 * 1024,
            unidentified: 403,
            roots: Vec::new(),
            foreign_lists: false,
            privileged: Privileged::default(),
            declared: Vec::new(),
            diff: diff::Settings::default(),
        }
    }
}

/// The document service.
#[derive(Clone, Debug)]
pub struct Xdm {
    settings: Settings,
    usages: Usages,
}

impl Xdm {
    /// Loads the schemas that documents are checked against.
    pub fn new(settings: Settings) -> Result<Xdm, Failed> {
        let usages = Usages::load(&settings)?;
        Ok(Xdm { settings, usages })
    }

    /// Names of documents that the server makes, among other things, of this one.
    pub fn made_of<'a>(&'a self, key: &'a DocumentKey) -> impl Iterator<Item = DocumentKey> + 'a {
        self.usages.made_of(key)
    }

    /// The document of this name that the server makes itself.
    pub fn made(&self, key: &DocumentKey, documents: &dyn Documents) -> Option<Document> {
        let usage = self.usages.named(&key.auid)?;
        self.usages.made(usage, key, documents)
    }

    /// How subscriptions to changes are served.
    pub fn diff(&self) -> &diff::Settings {
        &self.settings.diff
    }

    /// The lists of documents kept under these settings, none of them read yet.
    pub fn lists(&self, hash: ahash::RandomState) -> lists::Lists {
        let Settings {
            roots,
            foreign_lists,
            ..
        } = &self.settings;
        lists::Lists::new(roots.clone(), *foreign_lists, hash)
    }

    /// The index of resource list services under these settings, without any.
    pub fn services(&self) -> Services {
        Services::new(usage::resource_lists::limits(self.settings.max_lists))
    }

    /// Decides one request. `new_etag` gives an entity-tag, without quotes, that nobody can guess and that no
    /// document has had (RFC 4825 §8.5); it is asked only when a document changes.
    pub fn handle(
        &self,
        request: &Request,
        documents: &dyn Documents,
        new_etag: &mut dyn FnMut() -> String,
    ) -> Outcome {
        let selected = self.select(request, documents);
        let oma = matches!(selected, Ok((usage, ..)) if usage.is_oma());
        let outcome = selected.and_then(|(usage, key, node)| {
            let part = node.as_ref().map(|selector| Part {
                usage,
                key: &key,
                selector,
                documents,
            });
            match (&request.method, part) {
                (Method::Get | Method::Head, part) => {
                    let made = self.usages.made(usage, &key, documents);
                    let document = made.as_ref().or_else(|| documents.document(&key));
                    match part {
                        Some(part) => parts::read(request, &part, document),
                        None => read(request, usage, document),
                    }
                }
                (Method::Put | Method::Delete, _)
                    if matches!(usage.kept(&key.tree), Kept::Made(_)) =>
                {
                    Err(Reject::ReadOnly)
                }
                (Method::Put, Some(part)) => self.put_part(request, &part, new_etag),
                (Method::Put, None) => self.put(request, usage, key, documents, new_etag),
                (Method::Delete, Some(part)) => self.delete_part(request, &part, new_etag),
                (Method::Delete, None) => delete(request, key, documents),
                (Method::Other(_), _) => Err(Reject::Method),
            }
        });
        outcome.unwrap_or_else(|reject| Outcome {
            response: reject.response(self.settings.unidentified, oma),
            change: None,
        })
    }

    /// Finds what the request is about and whether it may be made, in the order of RFC 4825 §8.
    fn select(
        &self,
        request: &Request,
        documents: &dyn Documents,
    ) -> Result<(&Usage, DocumentKey, Option<NodeSelector>), Reject> {
        let Selector { key, node } = Selector::parse(&request.target).map_err(unselectable)?;
        let usage = self.usages.named(&key.auid).ok_or(Reject::NotFound)?;
        if matches!(request.method, Method::Other(_)) {
            return Err(Reject::Method);
        }
        let node = node
            .map(|node| NodeSelector::parse(&node, request.query.as_deref(), &usage.namespace))
            .transpose();
        // Only prefixes are looked at after authorisation.
        if let Err(error) = node
            && error != Unselectable::Unbound
        {
            return Err(unselectable(error));
        }
        let reads = matches!(request.method, Method::Get | Method::Head);
        match self.access(&request.identity, usage, &key, reads, documents) {
            Access::Granted | Access::Privileged => {}
            Access::Unidentified => return Err(Reject::Unidentified),
            Access::Denied => return Err(Reject::Forbidden),
        }
        let absent = match usage.kept(&key.tree) {
            Kept::Nothing => true,
            Kept::Made(name) => key.name != *name,
            Kept::Put(_) => false,
        };
        if absent {
            return Err(Reject::NotFound);
        }
        Ok((usage, key, node.map_err(unselectable)?))
    }

    fn access(
        &self,
        identity: &Identity,
        usage: &Usage,
        key: &DocumentKey,
        reads: bool,
        documents: &dyn Documents,
    ) -> Access {
        let privileged = &self.settings.privileged;
        authorize::access(privileged, identity, usage, key, reads, documents)
    }

    /// Whether this identity may read a document, which need not be there.
    pub fn may_read(
        &self,
        identity: &Identity,
        key: &DocumentKey,
        documents: &dyn Documents,
    ) -> bool {
        let Some(usage) = self.usages.named(&key.auid) else {
            return false;
        };
        let access = self.access(identity, usage, key, true, documents);
        matches!(access, Access::Granted | Access::Privileged)
    }

    /// Whose documents a request reads that go with presence, and who asks: [`Documents::shows`] must know about them.
    pub fn shown_to(&self, request: &Request) -> Option<(Aor, Vec<Aor>)> {
        let Identity::User(asserted) = &request.identity else {
            return None;
        };
        let Selector { key, .. } = Selector::parse(&request.target).ok()?;
        self.usages.named(&key.auid).filter(|usage| usage.shown)?;
        let owner = key.owner()?.clone();
        Some((owner, authorize::identities(asserted)))
    }

    /// Whether a request reaches a document that is not the requester's own, for what the requester is.
    pub fn crosses(&self, request: &Request, documents: &dyn Documents) -> bool {
        let Ok(Selector { key, .. }) = Selector::parse(&request.target) else {
            return false;
        };
        let reads = matches!(request.method, Method::Get | Method::Head);
        self.usages.named(&key.auid).is_some_and(|usage| {
            let access = self.access(&request.identity, usage, &key, reads, documents);
            access == Access::Privileged
        })
    }

    fn put(
        &self,
        request: &Request,
        usage: &Usage,
        key: DocumentKey,
        documents: &dyn Documents,
        new_etag: &mut dyn FnMut() -> String,
    ) -> Result<Outcome, Reject> {
        let charset = self.body_taken(request, &usage.media_type, usage)?;
        let old = documents.document(&key);
        unconditional(request, old)?;
        usage.admits(&key).map_err(Reject::Conflict)?;
        charset.map_err(Reject::Conflict)?;
        if let Some(old) = old.filter(|old| old.bytes == request.body) {
            // The same document again changes nothing, so neither does its entity-tag.
            return Ok(stored(200, &old.etag, None));
        }
        let standing = self
            .check(request, usage, &key, documents)
            .map_err(Reject::Conflict)?;
        self.quota(&key, old, request.body.len(), documents)
            .map_err(Reject::Conflict)?;
        let status = if old.is_some() { 200 } else { 201 };
        let document = Document {
            etag: new_etag(),
            bytes: request.body.clone(),
            standing,
        };
        let etag = document.etag.clone();
        Ok(stored(status, &etag, Some(Change::Put { key, document })))
    }

    /// Whether a body is of the media type `kind`, uncoded and within the limits; inside, whether its charset is UTF-8.
    fn body_taken(
        &self,
        request: &Request,
        kind: &str,
        usage: &Usage,
    ) -> Result<Result<(), Conflict>, Reject> {
        let charset = match media::compare(request.content_type.as_deref(), kind) {
            Media::Expected => Ok(()),
            Media::OtherCharset => Err(Conflict::NotUtf8(
                "the Content-Type names another charset than UTF-8".to_owned(),
            )),
            Media::Other => return Err(Reject::MediaType),
        };
        let coding = request.content_encoding.as_deref().unwrap_or("identity");
        if !coding.trim().eq_ignore_ascii_case("identity") {
            return Err(Reject::MediaType); // RFC 9110 §15.5.16
        }
        if request.body.len() > usage.limits.bytes {
            return Err(Reject::TooLarge);
        }
        Ok(charset)
    }

    /// RFC 4825 §8.2.2 and §8.2.5.
    fn check(
        &self,
        request: &Request,
        usage: &Usage,
        key: &DocumentKey,
        documents: &dyn Documents,
    ) -> Result<Standing, Conflict> {
        let document = guard::parse(&request.body, &usage.limits).map_err(|refusal| {
            let phrase = refusal.to_string();
            match refusal {
                Refusal::NotWellFormed(_) => Conflict::NotWellFormed(phrase),
                Refusal::NotUtf8(_) => Conflict::NotUtf8(phrase),
                Refusal::NotTaken(_) | Refusal::TooLarge { .. } => Conflict::local(phrase),
            }
        })?;
        usage.check(&Candidate {
            key,
            bytes: &request.body,
            document: &document,
            documents,
        })
    }

    /// What one user may keep.
    fn quota(
        &self,
        key: &DocumentKey,
        old: Option<&Document>,
        bytes: usize,
        documents: &dyn Documents,
    ) -> Result<(), Conflict> {
        let Some(owner) = key.owner() else {
            return Ok(());
        };
        let held = documents.held(owner);
        let Settings {
            max_documents_per_user,
            max_bytes_per_user,
            ..
        } = self.settings;
        if old.is_none() && held.documents >= max_documents_per_user {
            let phrase = format!("a user may keep {max_documents_per_user} documents");
            return Err(Conflict::local(phrase));
        }
        let others = held
            .bytes
            .saturating_sub(old.map_or(0, |old| old.bytes.len()));
        let grows = bytes > old.map_or(0, |old| old.bytes.len());
        // A user who is over a limit that was lowered may still make documents smaller.
        if grows && others.saturating_add(bytes) > max_bytes_per_user {
            let phrase = format!("a user may keep {max_bytes_per_user} bytes of documents");
            return Err(Conflict::local(phrase));
        }
        Ok(())
    }
}

fn unselectable(error: Unselectable) -> Reject {
    match error {
        Unselectable::Malformed | Unselectable::Unbound => Reject::Malformed, // RFC 4825 §8
        Unselectable::TooLong => Reject::UriTooLong,
        Unselectable::Outside => Reject::NotFound,
    }
}

/// GET and HEAD (RFC 4825 §8.3).
fn read(request: &Request, usage: &Usage, document: Option<&Document>) -> Result<Outcome, Reject> {
    let document = document.ok_or(Reject::NotFound)?;
    let media_type = usage.media_type.clone();
    answered(request, document, media_type, document.bytes.clone())
}

/// The answer to a GET of a document or of a part of it, under the one entity-tag that they have (§8.5).
fn answered(
    request: &Request,
    document: &Document,
    content_type: Cow<'static, str>,
    body: Bytes,
) -> Result<Outcome, Reject> {
    let response = match verdict(request, Some(document))? {
        Verdict::Fails => return Err(Reject::Precondition),
        Verdict::Unchanged => Response {
            etag: Some(quoted(&document.etag)),
            ..Response::empty(304)
        },
        Verdict::Holds => Response {
            content_type: Some(content_type),
            etag: Some(quoted(&document.etag)),
            body,
            ..Response::empty(200)
        },
    };
    Ok(Outcome {
        response,
        change: None,
    })
}

/// DELETE (RFC 4825 §8.4).
fn delete(
    request: &Request,
    key: DocumentKey,
    documents: &dyn Documents,
) -> Result<Outcome, Reject> {
    // RFC 9110 §13.2.1: a condition counts only where the request would succeed without it.
    let document = documents.document(&key).ok_or(Reject::NotFound)?;
    unconditional(request, Some(document))?;
    Ok(Outcome {
        response: Response::empty(200),
        change: Some(Change::Delete { key }),
    })
}

/// Refuses a change whose conditions do not hold.
fn unconditional(request: &Request, document: Option<&Document>) -> Result<(), Reject> {
    match verdict(request, document)? {
        Verdict::Holds => Ok(()),
        Verdict::Fails | Verdict::Unchanged => Err(Reject::Precondition),
    }
}

fn verdict(request: &Request, document: Option<&Document>) -> Result<Verdict, Reject> {
    let etag = document.map(|document| document.etag.as_str());
    conditions::evaluate(
        request.if_match.as_deref(),
        request.if_none_match.as_deref(),
        etag,
    )
    .map_err(|_| Reject::Malformed)
}

/// The answer to a PUT that holds (RFC 4825 §8.2.6: with the entity-tag).
fn stored(status: u16, etag: &str, change: Option<Change>) -> Outcome {
    let response = Response {
        etag: Some(quoted(etag)),
        ..Response::empty(status)
    };
    Outcome { response, change }
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

#[cfg(test)]
mod tests;
