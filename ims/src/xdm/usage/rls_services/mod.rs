//! Services of a resource list server (RFC 4826 §4): URIs behind which there is a list.

pub mod services;

use super::resource_lists;
use super::{Candidate, Kept, Names, Readers, Rules, Usage};
use crate::sip::Aor;
use crate::sip::canonical::canonical;
use crate::xdm::anchor::{Anchor, Kind};
use crate::xdm::document::Standing;
use crate::xdm::error::Conflict;
use crate::xml::guard::Limits;
use crate::xml::schema::{LoadError, Schema, Unknown};
use crate::xml::schemas;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use services::{Service, Services};

/// Application unique identifier, RFC 4826 §4.4.1.
pub const AUID: &str = "rls-services";

/// RFC 4826 §4.4.2.
pub const MEDIA_TYPE: &str = "application/rls-services+xml";

/// RFC 4826 §4.4.4.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:rls-services";

/// The union of all users' documents of this name, and the name of the union (RFC 4826 §4.4.7).
pub const INDEX: &str = "index";

/// How many other URIs are offered for one that is taken, and how many are tried for that.
const OFFERED: usize = 3;
const TRIED: u32 = 100;

/// RFC 4826 §4.4. `limits` are those of a document of lists.
pub(super) fn usage(roots: &[String], limits: Limits) -> Result<Usage, LoadError> {
    Ok(Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: NAMESPACE.into(),
        limits,
        users: Kept::Put(Names::Any),
        global: Kept::Made(INDEX),
        readers: Readers::Trusted, // §4.4.9: it holds what all users have
        shown: false,
        rules: Arc::new(RlsServices {
            schema: Schema::load(&schemas::RLS_SERVICES)?,
            roots: roots.to_vec(),
        }),
    })
}

/// What documents are checked against.
#[derive(Debug)]
struct RlsServices {
    schema: Schema,
    /// XCAP roots as clients write them; empty: any.
    roots: Vec<String>,
}

impl Rules for RlsServices {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        let Some(root) = root_of(candidate.document) else {
            let phrase = format!("the document element is rls-services of {NAMESPACE}");
            return Err(Conflict::SchemaValidation(phrase));
        };
        self.schema
            .validate(candidate.document, Unknown::RefusedInKnownNamespaces)
            .map_err(|invalid| Conflict::SchemaValidation(invalid.to_string()))?;
        let mut uris = BTreeSet::new();
        for service in root.children().filter(Node::is_element) {
            let uri = service.attribute("uri").unwrap_or_default().trim();
            free(candidate, service, uri, uris.insert(canonical(uri)))?;
            for part in service.children().filter(|n| n.is_element()) {
                match part.tag_name().name() {
                    "resource-list" => self.reference(candidate, part)?,
                    "list" => resource_lists::constraints(part)?,
                    "packages" => packages(part)?,
                    _ => {}
                }
            }
        }
        Ok(Standing::Unknown)
    }

    fn namespaces(&self) -> Vec<String> {
        self.schema.namespaces().to_vec()
    }
}

impl RlsServices {
    /// §4.4.5: "The URI in a `<resource-list>` element MUST be an absolute URI" below an XCAP root of this server, of a
    /// list of the same user. It is not looked whether there is such a list.
    fn reference(&self, candidate: &Candidate<'_>, part: Node<'_, '_>) -> Result<(), Conflict> {
        let refused = |why: &str| {
            let place = resource_lists::path(part);
            Err(Conflict::Constraint(format!("{place}: {why}")))
        };
        let text = part.text().unwrap_or_default().trim();
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !scheme
            .is_some_and(|s| s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https"))
        {
            return refused("a resource-list is an absolute HTTP URI");
        }
        let Ok(anchor) = Anchor::parse(text, &self.roots) else {
            return refused("not a resource list below an XCAP root of this server");
        };
        let is_list = |steps: &Vec<_>| {
            steps
                .last()
                .is_some_and(|step: &crate::xdm::anchor::Step| step.kind == Kind::List)
        };
        if !anchor.steps.as_ref().is_some_and(is_list) {
            return refused("a resource-list names a list of a document of lists");
        }
        match (candidate.key.owner(), anchor.document.owner()) {
            (Some(owner), Some(other)) if candidate.documents.same_user(owner, other) => Ok(()),
            _ => refused("a resource-list is one of the same user"),
        }
    }
}

/// §4.4.5: a URI is unique among the services of all documents on this server and is nobody's own.
fn free(
    candidate: &Candidate<'_>,
    service: Node<'_, '_>,
    uri: &str,
    first_here: bool,
) -> Result<(), Conflict> {
    let Candidate { key, documents, .. } = *candidate;
    let is_taken = |uri: &str| documents.services().is_some_and(|s| s.taken(uri, key));
    let refused = |phrase: &str| {
        let here = |other: &str| {
            let mut services = service
                .parent_element()
                .into_iter()
                .flat_map(|n| n.children());
            services.any(|s| {
                let uri = s.attribute("uri");
                uri.is_some_and(|uri| canonical(uri) == canonical(other))
            })
        };
        let open =
            |other: &String| !is_taken(other) && !here(other) && !is_somebody(candidate, other);
        let alternatives = (2..TRIED).map(|n| numbered(uri, n));
        Err(Conflict::uniqueness(
            format!("{}/@uri", resource_lists::path(service)),
            alternatives.filter(open).take(OFFERED).collect(),
            phrase.to_owned(),
        ))
    };
    if !first_here {
        return refused("two services of the document have this URI");
    }
    if is_taken(uri) {
        return refused("another service has this URI");
    }
    if is_somebody(candidate, uri) {
        return refused("the URI is that of a user");
    }
    Ok(())
}

/// Whether the URI is the identity of a user. With parameters of its own it may be one of the owner: OMA names the lists
/// of a user `sip:user@host;pres-list=name`.
fn is_somebody(candidate: &Candidate<'_>, uri: &str) -> bool {
    let Candidate { key, documents, .. } = *candidate;
    Aor::parse(uri).is_some_and(|aor| {
        let own = key
            .owner()
            .is_some_and(|owner| documents.same_user(owner, &aor));
        let list_of_own = own && uri.contains(';');
        documents.exists(&aor) && !list_of_own
    })
}

/// The URI with a number behind its user part.
fn numbered(uri: &str, number: u32) -> String {
    match uri.split_once('@') {
        Some((user, host)) => format!("{user}-{number}@{host}"),
        None => format!("{uri}-{number}"),
    }
}

/// A package is named by a token (RFC 6665 §8.4).
fn packages(packages: Node<'_, '_>) -> Result<(), Conflict> {
    let named = packages
        .children()
        .filter(|n| n.has_tag_name((NAMESPACE, "package")));
    for package in named {
        let name = package.text().unwrap_or_default();
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            let place = resource_lists::path(package);
            let phrase = format!("{place}: not the name of an event package");
            return Err(Conflict::Constraint(phrase));
        }
    }
    Ok(())
}

/// The document element, where it is the right one.
fn root_of<'a, 'i>(document: &'a Document<'i>) -> Option<Node<'a, 'i>> {
    let root = document.root_element();
    root.has_tag_name((NAMESPACE, "rls-services"))
        .then_some(root)
}
