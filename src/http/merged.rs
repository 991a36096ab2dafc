//! Documents that this server and the others behind its root make together (OMA XDM 1.1, aggregation proxy): what they
//! can do (`xcap-caps`), and which documents a user has (the directory). Whether the requester may read one is decided
//! here first; then the others are asked at the same time, each for itself alone, and each decides once more.

use super::who::Who;
use super::xcap::{decided, joined, written};
use super::{Answer, Peer, Service, coding};
use bytes::Bytes;
use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri};
use ims::xdm::conditions::{self, Verdict};
use ims::xdm::document::Document;
use ims::xdm::key::{DocumentKey, Tree};
use ims::xdm::merge::Merger;
use ims::xdm::node;
use ims::xdm::request::Response;
use ims::xdm::selector::{NodeSelector, Selector, Unselectable};
use ims::xdm::usage::{xcap_caps, xcap_directory};
use ims::xml::guard::{self, Limits};
use std::collections::BTreeMap;
use tracing::warn;

/// What the others say, by their numbers, or the status that stands for why they say nothing.
pub(super) type Said = BTreeMap<usize, Result<Bytes, StatusCode>>;

/// Which of the documents a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Capabilities,
    Directory,
}

/// A request for such a document or a part of it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    kind: Kind,
    key: DocumentKey,
    /// Path of the document below the root.
    target: &'a str,
    node: Option<String>,
    others: Vec<usize>,
    merger: &'a Merger,
}

impl Kind {
    fn of(key: &DocumentKey) -> Option<Kind> {
        let is = |auid, name| key.auid == auid && key.name == name;
        match key.tree {
            Tree::Global if is(xcap_caps::AUID, xcap_caps::NAME) => Some(Kind::Capabilities),
            Tree::User(_) if is(xcap_directory::AUID, xcap_directory::NAME) => {
                Some(Kind::Directory)
            }
            _ => None,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Kind::Capabilities => xcap_caps::MEDIA_TYPE,
            Kind::Directory => xcap_directory::MEDIA_TYPE,
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Kind::Capabilities => xcap_caps::NAMESPACE,
            Kind::Directory => xcap_directory::NAMESPACE,
        }
    }
}

impl<'a> Wanted<'a> {
    /// None: the request is about something else, or nobody but this server is concerned.
    pub(super) fn of(service: &'a Service, target: &'a str, head: &Parts) -> Option<Wanted<'a>> {
        let merger = service.merger.as_ref()?;
        if head.method != Method::GET && head.method != Method::HEAD {
            return None; // who would change one is told here that nobody can
        }
        let Selector { key, node } = Selector::parse(target).ok()?;
        let kind = Kind::of(&key)?;
        let others = service.remotes.concerned(&key);
        let below = node.as_ref().map_or(0, |node| "/~~/".len() + node.len());
        Some(Wanted {
            kind,
            target: target.get(..target.len().checked_sub(below)?)?,
            key,
            node,
            others,
            merger,
        })
        .filter(|wanted| !wanted.others.is_empty())
    }
}

/// The answer to a request for what all make together.
pub(super) async fn answer(
    service: &Service,
    peer: Peer,
    wanted: &Wanted<'_>,
    head: &Parts,
    who: &Who,
) -> Answer {
    let asked = whole(head);
    let own = decided(service, peer, wanted.target, &asked, Bytes::new(), who).await;
    if own.status() != StatusCode::OK {
        return own;
    }
    let own_bytes = coding::bytes_of(own.body().clone());
    let remotes = &service.remotes;
    let said = remotes
        .ask_all(&wanted.others, wanted.target, &asked, who)
        .await;
    let document = match wanted.kind {
        Kind::Capabilities => capabilities(service, wanted, &own_bytes, said),
        Kind::Directory => {
            let known = known(service, peer, &asked, who).await;
            directory(service, wanted, &own_bytes, said, &known)
        }
    };
    match document {
        Some(document) => written(response(wanted, head, &document)),
        None => {
            warn!("the document of this server is too large to be merged with others");
            own
        }
    }
}

/// The same request for the document as a whole, whatever it was before.
fn whole(head: &Parts) -> Parts {
    let mut asked = head.clone();
    asked.method = Method::GET;
    asked.uri = Uri::default(); // no query
    for name in [header::IF_MATCH, header::IF_NONE_MATCH, header::ACCEPT] {
        asked.headers.remove(name);
    }
    asked
}

fn capabilities(
    service: &Service,
    wanted: &Wanted<'_>,
    own: &[u8],
    said: Said,
) -> Option<Document> {
    let mut all = wanted.merger.capabilities(own)?;
    for (number, said) in said {
        let read = said.ok().and_then(|bytes| {
            let read = wanted.merger.capabilities(&bytes);
            if read.is_none() {
                unusable(number);
            }
            read
        });
        if let Some(other) = read {
            all.add(other, |auid| service.remotes.takes(number, auid));
        }
    }
    Some(all.document())
}

/// The application usages that this server knows, besides those of the merged documents.
async fn known(service: &Service, peer: Peer, asked: &Parts, who: &Who) -> Vec<String> {
    let target = format!("/{}/global/{}", xcap_caps::AUID, xcap_caps::NAME);
    let own = decided(service, peer, &target, asked, Bytes::new(), who).await;
    let bytes = coding::bytes_of(own.body().clone());
    let merger = service.merger.as_ref();
    let read = merger.and_then(|merger| merger.capabilities(&bytes));
    let auids = read
        .iter()
        .flat_map(|read| read.auids())
        .filter(|auid| ![xcap_caps::AUID, xcap_directory::AUID].contains(auid));
    auids.map(str::to_owned).collect()
}

/// Each folder comes from the server that a request for its documents goes to.
fn directory(
    service: &Service,
    wanted: &Wanted<'_>,
    own: &[u8],
    said: Said,
    known: &[String],
) -> Option<Document> {
    let root = service.config.xcap.roots.first().map(String::as_str);
    let place = |auid: &str| service.remotes.serving(auid, &wanted.key.tree);
    let mut all = ims::xdm::merge::Directory::default();
    all.add(wanted.merger.directory(own, root)?, |auid| {
        place(auid).is_none()
    });
    for (number, said) in said {
        let read = said.and_then(|bytes| {
            let read = wanted.merger.directory(&bytes, root);
            read.ok_or_else(|| {
                unusable(number);
                StatusCode::BAD_GATEWAY
            })
        });
        let is_there = |auid: &str| place(auid) == Some(number);
        match read {
            Ok(other) => all.add(other, is_there),
            Err(status) => {
                let auids = service.remotes.auids(number, known);
                for auid in auids.iter().filter(|auid| is_there(auid)) {
                    all.fail(auid, status.as_str());
                }
            }
        }
    }
    Some(all.document())
}

fn unusable(number: usize) {
    warn!(
        remote = number,
        "what a document server says it has is no such document"
    );
}

/// As the document service answers for a document that it keeps (RFC 4825 §8.3, §8.5).
fn response(wanted: &Wanted<'_>, head: &Parts, document: &Document) -> Response {
    let part = match &wanted.node {
        None => Ok((wanted.kind.media_type(), document.bytes.clone())),
        Some(node) => part(wanted, node, head.uri.query(), document),
    };
    let (media_type, body) = match part {
        Ok(part) => part,
        Err(status) => return Response::empty(status),
    };
    let condition = |name: HeaderName| joined(&head.headers, &name);
    let (must, must_not) = (
        condition(header::IF_MATCH),
        condition(header::IF_NONE_MATCH),
    );
    let etag = Some(document.etag.as_str());
    let tag = Some(format!("\"{}\"", document.etag));
    match conditions::evaluate(must.as_deref(), must_not.as_deref(), etag) {
        Err(conditions::Malformed) => Response::empty(400),
        Ok(Verdict::Fails) => Response::empty(412),
        Ok(Verdict::Unchanged) => Response {
            etag: tag,
            ..Response::empty(304)
        },
        Ok(Verdict::Holds) => Response {
            content_type: Some(media_type.into()),
            etag: tag,
            body,
            ..Response::empty(200)
        },
    }
}

/// What a node selector names in the merged document, or the status of the refusal.
fn part(
    wanted: &Wanted<'_>,
    node: &str,
    query: Option<&str>,
    document: &Document,
) -> Result<(&'static str, Bytes), u16> {
    let selector = NodeSelector::parse(node, query, wanted.kind.namespace());
    let selector = selector.map_err(|why| -> u16 {
        match why {
            Unselectable::Malformed | Unselectable::Unbound => 400,
            Unselectable::TooLong => 414,
            Unselectable::Outside => 404,
        }
    })?;
    // each part of it has been within the limits of one document
    let limits = Limits {
        bytes: document.bytes.len(),
        nodes: u32::MAX,
        ..Limits::default()
    };
    let read = guard::parse(&document.bytes, &limits).map_err(|_| 500_u16)?;
    let found = node::find(&read, &selector).ok_or(404u16)?;
    let content = found.content(&read).into_owned();
    Ok((found.media_type(), Bytes::from(content)))
}
