//! Every service of every user: whose a URI is, and the document that holds them all.

use super::{INDEX, NAMESPACE, root_of};
use crate::sip::canonical::canonical;
use crate::xdm::document::Document;
use crate::xdm::key::DocumentKey;
use crate::xdm::usage::xcap_caps::tag;
use crate::xml::guard::{self, Limits};
use crate::xml::text::escaped;
use roxmltree::Node;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Namespace of `xml:lang`.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// The services of all documents, kept as the documents change.
#[derive(Debug)]
pub struct Services {
    /// What a document may cost.
    limits: Limits,
    /// By URI as it is compared (RFC 4826 §5), then document.
    listed: BTreeMap<Box<str>, BTreeMap<DocumentKey, Service>>,
    /// The URIs of each document.
    of: BTreeMap<DocumentKey, Vec<Box<str>>>,
    /// The union, made when it is asked for.
    union: OnceCell<Document>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its element, with every namespace that it needs declared in it.
    pub element: Arc<str>,
    /// The event packages that it is for; `None`: for all.
    pub packages: Option<Arc<[Box<str>]>>,
}

impl Service {
    /// A service that names no packages is for all of them (RFC 4826 §4.1).
    pub fn is_for(&self, package: &str) -> bool {
        let packages = self.packages.as_ref();
        packages.is_none_or(|all| all.iter().any(|one| **one == *package))
    }

    fn read(node: Node<'_, '_>) -> Service {
        let is = |name: &'static str| move |n: &Node<'_, '_>| n.has_tag_name((NAMESPACE, name));
        let named = |packages: Node<'_, '_>| {
            let all = packages.children().filter(is("package"));
            all.map(|n| n.text().unwrap_or_default().trim().into())
                .collect()
        };
        Service {
            element: standing_alone(node).into(),
            packages: node.children().find(is("packages")).map(named),
        }
    }

    /// The services of a document of `rls-services`, with their URIs as they are compared.
    pub fn all_of(document: &[u8], limits: &Limits) -> Vec<(Box<str>, Service)> {
        // what an earlier version of this server may have kept and this one cannot read offers no service
        let Ok(document) = guard::parse(document, limits) else {
            return Vec::new();
        };
        let services = root_of(&document).into_iter().flat_map(|r| r.children());
        let services = services.filter(Node::is_element);
        let named = services.map(|node| {
            let uri = node.attribute("uri").unwrap_or_default();
            (canonical(uri).into(), Service::read(node))
        });
        named.collect()
    }
}

impl Services {
    /// None yet. `limits` are those of one document.
    pub fn new(limits: Limits) -> Services {
        Services {
            limits,
            listed: BTreeMap::new(),
            of: BTreeMap::new(),
            union: OnceCell::new(),
        }
    }

    /// A document came, changed or went (`None`).
    pub fn changed(&mut self, key: &DocumentKey, document: Option<&Document>) {
        self.union.take();
        for uri in self.of.remove(key).unwrap_or_default() {
            if let Some(of_uri) = self.listed.get_mut(&uri) {
                of_uri.remove(key);
                if of_uri.is_empty() {
                    self.listed.remove(&uri);
                }
            }
        }
        let Some(document) = document else { return };
        let mut uris = Vec::new();
        for (uri, service) in Service::all_of(&document.bytes, &self.limits) {
            uris.push(uri.clone());
            self.listed
                .entry(uri)
                .or_default()
                .insert(key.clone(), service);
        }
        self.of.insert(key.clone(), uris);
    }

    /// What a document may cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The documents that have a service of this URI, in the order of their owners, and the services.
    pub fn of_uri(&self, uri: &str) -> impl Iterator<Item = (&DocumentKey, &Service)> {
        self.listed.get(&*canonical(uri)).into_iter().flatten()
    }

    /// Whether a document other than this one has a service of this URI.
    pub fn taken(&self, uri: &str, but: &DocumentKey) -> bool {
        self.of_uri(uri).any(|(key, _)| key != but)
    }

    /// `rls-services/global/index`: the services of all users' documents called `index` (RFC 4826 §4.4.7), in the order
    /// of their URIs.
    pub fn union(&self) -> Document {
        let make = || {
            let indexed = |key: &DocumentKey| key.name == INDEX && key.owner().is_some();
            let all = self.listed.values().flatten();
            let own = all.filter(|(key, _)| indexed(key));
            let mut text = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rls-services xmlns=\"{NAMESPACE}\">\n"
            );
            for (_, service) in own {
                text.push_str(&service.element);
                text.push('\n');
            }
            text.push_str("</rls-services>\n");
            Document::new(tag(&text), text)
        };
        self.union.get_or_init(make).clone()
    }
}

/// The element as it was written, with declarations of the namespaces that it has from elements around it, and their language.
fn standing_alone(node: Node<'_, '_>) -> String {
    let text = node.document().input_text();
    let written = text.get(node.range()).unwrap_or_default();
    let end = written
        .find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))
        .unwrap_or(written.len());
    let (start, rest) = written.split_at_checked(end).unwrap_or((written, ""));
    let own = declared(rest);
    let mut out = start.to_owned();
    let mut has_default = own.contains(&"");
    for space in node.namespaces() {
        let prefix = space.name().unwrap_or_default();
        if prefix == "xml" || own.contains(&prefix) {
            continue;
        }
        has_default |= prefix.is_empty();
        let uri = escaped(space.uri());
        match prefix {
            "" if space.uri() == NAMESPACE => {} // as around it in the union
            "" => out.push_str(&format!(" xmlns=\"{uri}\"")),
            _ => out.push_str(&format!(" xmlns:{prefix}=\"{uri}\"")),
        }
    }
    if !has_default {
        out.push_str(" xmlns=\"\"");
    }
    if node.attribute((XML, "lang")).is_none()
        && let Some(lang) = node
            .ancestors()
            .find_map(|around| around.attribute((XML, "lang")))
    {
        out.push_str(&format!(" xml:lang=\"{}\"", escaped(lang)));
    }
    out.push_str(rest);
    out
}

/// The prefixes that a start tag declares, the default one as an empty text; `tag` is what follows its name.
fn declared(tag: &str) -> Vec<&str> {
    let mut prefixes = Vec::new();
    let mut rest = tag.trim_start();
    while let Some((name, after)) = rest
        .split_once('=')
        .filter(|_| !rest.starts_with(['>', '/']))
    {
        let value = after.trim_start();
        let Some(quote) = value.chars().next() else {
            break;
        };
        let name = name.trim_end();
        if name == "xmlns" {
            prefixes.push("");
        }
        prefixes.extend(name.strip_prefix("xmlns:"));
        let Some((_, behind)) = value.get(1..).and_then(|v| v.split_once(quote)) else {
            break;
        };
        rest = behind.trim_start();
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Aor;

    fn key(user: &str, name: &str) -> DocumentKey {
        let owner = Aor::parse(&format!("sip:{user}@ims.test")).unwrap();
        DocumentKey::user(owner, super::super::AUID, name)
    }

    fn document(text: &str) -> Document {
        Document::new("e", text.to_owned())
    }

    #[test]
    fn the_union_follows_every_change_and_is_well_formed_whatever_prefixes_were_used() {
        let mut services = Services::new(Limits::default());
        let first = services.union();
        let bob = document(
            "<r:rls-services xmlns:r='urn:ietf:params:xml:ns:rls-services' xmlns:l='urn:ietf:params:xml:ns:resource-lists' \
             xmlns:x='urn:x'><r:service uri='sip:z@IMS.test' xmlns:l = 'urn:ietf:params:xml:ns:resource-lists' a='>'>\
             <r:list><l:entry uri='sip:a@b'/></r:list><x:y>x:q</x:y><none/></r:service></r:rls-services>",
        );
        let alice = document(
            "<rls-services xmlns='urn:ietf:params:xml:ns:rls-services'><service uri='sip:a@ims.test'>\
             <resource-list>http://x/resource-lists/users/sip:a@b/i/~~/resource-lists/list</resource-list></service></rls-services>",
        );
        services.changed(&key("bob", "index"), Some(&bob));
        services.changed(&key("alice", "index"), Some(&alice));
        services.changed(
            &key("alice", "other"),
            Some(&document(
                &std::str::from_utf8(&alice.bytes)
                    .unwrap()
                    .replace("sip:a@", "sip:c@"),
            )),
        );
        let union = services.union();
        let text = std::str::from_utf8(&union.bytes).unwrap();
        let tree = roxmltree::Document::parse(text).unwrap();
        let uris: Vec<_> = tree
            .descendants()
            .filter(|n| n.has_tag_name((NAMESPACE, "service")))
            .map(|n| n.attribute("uri").unwrap())
            .collect();
        assert_eq!(uris, ["sip:a@ims.test", "sip:z@IMS.test"], "{text}");
        for (space, name) in [
            ("urn:ietf:params:xml:ns:resource-lists", "entry"),
            ("urn:x", "y"),
        ] {
            assert!(
                tree.descendants().any(|n| n.has_tag_name((space, name))),
                "{name} in {text}"
            );
        }
        let bare = tree
            .descendants()
            .find(|n| n.tag_name().name() == "none")
            .unwrap();
        assert_eq!(bare.tag_name().namespace().unwrap_or(""), "", "{text}");
        assert_ne!(union.etag, first.etag);

        assert!(services.taken("SIP:c@ims.test", &key("bob", "index")));
        assert!(!services.taken("sip:C@ims.test", &key("bob", "index")));
        assert!(!services.taken("sip:z@ims.test", &key("bob", "index")));
        services.changed(&key("bob", "index"), None);
        assert!(!services.taken("sip:z@ims.test", &key("alice", "index")));
        services.changed(&key("alice", "index"), None);
        assert_eq!(services.union(), first, "as it was");
    }
}
