//! URIs of a subscription: what below our XCAP root each of them names (RFC 5875 §4.4), and how a document is named in
//! what we send (RFC 5874 §3).

use super::component::Component;
use super::scope::{Branch, Scope};
use crate::sip::Aor;
use crate::xdm::selector::{Selector, decoded};
use crate::xdm::usage::Usages;
use crate::xdm::{DocumentKey, Tree};
use std::fmt::Write;

/// Longest URI that is looked at, in bytes: a path and a node selector as long as a GET takes.
pub const LONGEST: usize = 8192;

/// What a URI names.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    Document(DocumentKey),
    Collection(Scope),
    Component(Component),
    /// Nothing that this server could ever have. Like what is not there now, it is never shown.
    Nothing,
}

/// Where our XCAP root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// As it is told, with a `/` at its end: `http://xcap.ims.test/xcap-root/`.
    pub told: String,
    /// Roots as clients write them; empty: ours below any authority.
    pub known: Vec<String>,
}

impl Root {
    /// The root of these roots; `own` where there are none.
    pub fn new(known: &[String], own: &str) -> Root {
        let told = known.first().map_or(own, String::as_str);
        Root {
            told: format!("{}/", told.trim_end_matches('/')),
            known: known.to_vec(),
        }
    }

    /// The path below the root that a URI without its query names, without a leading `/`.
    fn below<'a>(&self, uri: &'a str) -> Option<&'a str> {
        let told = std::slice::from_ref(&self.told);
        let roots = if self.known.is_empty() {
            told
        } else {
            &self.known
        };
        let paths = || roots.iter().filter_map(|root| parts(root));
        let Some((authority, path)) = parts(uri) else {
            let under = uri.starts_with('/').then(|| {
                let mut found = paths().filter_map(|(_, root)| strip(uri, root));
                found.next()
            });
            return under.flatten().or(Some(uri.trim_start_matches('/')));
        };
        let any = self.known.is_empty();
        let mut found = paths()
            .filter(|(own, _)| any || own.eq_ignore_ascii_case(authority))
            .filter_map(|(_, root)| strip(path, root));
        found.next()
    }

    /// What a URI names.
    pub fn place(&self, uri: &str, usages: &Usages) -> Place {
        if uri.len() > LONGEST {
            return Place::Nothing;
        }
        let (path, query) = match uri.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (uri, None),
        };
        let Some(below) = self.below(path) else {
            return Place::Nothing;
        };
        if below.is_empty() || below.ends_with('/') {
            return collection(below).map_or(Place::Nothing, Place::Collection);
        }
        let Ok(Selector { key, node }) = Selector::parse(below) else {
            return Place::Nothing;
        };
        let Some(usage) = usages.named(&key.auid) else {
            return Place::Nothing;
        };
        match node {
            None => Place::Document(key),
            Some(node) => {
                Component::parse(key, &node, query, usage).map_or(Place::Nothing, Place::Component)
            }
        }
    }
}

/// Authority and path of an HTTP URI.
fn parts(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let http = ["http", "https"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s));
    let end = rest.find('/').unwrap_or(rest.len());
    rest.split_at_checked(end).filter(|_| http)
}

/// A path without the root that it is under.
fn strip<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    rest.strip_prefix('/').or(rest.is_empty().then_some(rest))
}

/// A path that ends in `/`, or the root itself.
fn collection(path: &str) -> Option<Scope> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut steps = Vec::new();
    for segment in path.split('/').filter(|_| !path.is_empty()) {
        let segment = decoded(segment)?;
        let bad = segment.is_empty() || segment == "~~" || segment.chars().any(char::is_control);
        if bad || matches!(segment.as_str(), "." | "..") {
            return None;
        }
        steps.push(segment);
    }
    let (auid, branch, below) = match steps.as_slice() {
        [] => (None, Branch::Any, &[][..]),
        [auid] => (Some(auid), Branch::Any, &[][..]),
        [auid, tree] if tree == "users" => (Some(auid), Branch::Users, &[][..]),
        [auid, tree, owner, below @ ..] if tree == "users" => {
            (Some(auid), Branch::User(Aor::parse(owner)?), below)
        }
        [auid, tree, below @ ..] if tree == "global" => (Some(auid), Branch::Global, below),
        _ => return None,
    };
    if below
        .iter()
        .chain(auid)
        .any(|segment| segment.contains('/'))
    {
        return None;
    }
    let mut directory = String::new();
    for segment in below {
        directory.push_str(segment);
        directory.push('/');
    }
    Some(Scope {
        branch,
        auid: auid.cloned(),
        directory,
    })
}

/// The path of a document below the root, percent-encoded.
pub fn path(key: &DocumentKey) -> String {
    let mut path = String::new();
    encode(&key.auid, "", &mut path);
    match &key.tree {
        Tree::Global => path.push_str("/global/"),
        Tree::User(owner) => {
            path.push_str("/users/");
            encode(owner.as_str(), "", &mut path);
            path.push('/');
        }
    }
    encode(&key.name, "/", &mut path);
    path
}

/// A text in a path: what is no `pchar` of RFC 3986 §3.3, nor kept, is escaped.
fn encode(text: &str, kept: &str, out: &mut String) {
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
        if plain || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            // writing to a String does not fail
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
