//! The documents as a subscriber may see them: what an XCAP GET of the same identity would show, and nothing else.

use super::Settings;
use super::component::{Component, Value};
use super::pending::Version;
use super::scope::Scope;
use super::state::Subscription;
use crate::sip::Aor;
use crate::xdm::authorize::{self, Access};
use crate::xdm::{Document, DocumentKey, Documents, Identity, Xdm};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The documents there are, and who is who.
pub trait Directory: Documents + std::fmt::Debug {
    /// Every identity that names the same subscriber as this one.
    fn names(&self, identity: &Aor) -> Vec<Aor>;

    /// Shows the documents from this key on, in the order of keys, until `visit` says no.
    fn from(&self, key: &DocumentKey, visit: &mut dyn FnMut(&DocumentKey, &Document) -> bool);
}

/// What one turn reads.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    pub xdm: &'a Xdm,
    pub directory: &'a dyn Directory,
}

/// A document that a subscriber may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub key: DocumentKey,
    pub sel: String,
    pub etag: Arc<str>,
}

impl Store<'_> {
    pub fn settings(&self) -> &Settings {
        &self.xdm.settings.diff
    }

    /// Whether one of the identities is a server or an administrator of the operator, who read every tree.
    pub(super) fn reads_all(&self, users: &[Aor]) -> bool {
        let privileged = &self.xdm.settings.privileged;
        let mut users = users.iter();
        users.any(|user| {
            privileged.servers.contains(user) || privileged.administrators.contains(user)
        })
    }

    /// Who reads: all that the network calls him.
    pub(super) fn identity(&self, users: &[Aor]) -> Identity {
        if users.is_empty() {
            return Identity::Unknown;
        }
        let quoted: Vec<String> = users.iter().map(|user| format!("\"{user}\"")).collect();
        Identity::User(quoted.join(", "))
    }

    pub(super) fn may_read(&self, identity: &Identity, key: &DocumentKey) -> bool {
        let Some(usage) = self.xdm.usages.named(&key.auid) else {
            return false;
        };
        let privileged = &self.xdm.settings.privileged;
        match authorize::access(privileged, identity, usage, key, true, self.directory) {
            Access::Granted | Access::Privileged => true,
            Access::Unidentified | Access::Denied => false,
        }
    }

    /// The document as it is now, made by the server or put.
    pub(super) fn version(&self, key: &DocumentKey) -> Option<Version> {
        let usage = self.xdm.usages.named(&key.auid)?;
        let made = self.xdm.usages.made(usage, key, self.directory);
        match made {
            Some(document) => Some(Version::of(&document)),
            None => self.directory.document(key).map(Version::of),
        }
    }

    /// The documents that a subscription shows now, each once, and whether these are all: there may be more of them than
    /// may be shown.
    pub(super) fn shown(&self, subscription: &Subscription) -> (Vec<Shown>, bool) {
        let most = self.settings().max_documents;
        let mut found: BTreeMap<DocumentKey, Shown> = BTreeMap::new();
        let mut complete = true;
        let mut add = |key: &DocumentKey, etag: &str| {
            if found.contains_key(key) || !self.may_read(&subscription.identity, key) {
                return true;
            }
            if found.len() >= most {
                complete = false;
                return false;
            }
            if let Some(sel) = subscription.sel(key) {
                let shown = Shown {
                    key: key.clone(),
                    sel: sel.into_owned(),
                    etag: etag.into(),
                };
                found.insert(key.clone(), shown);
            }
            true
        };
        for key in subscription.keys() {
            if let Some(version) = self.version(key) {
                add(key, &version.etag);
            }
        }
        for scope in &subscription.scopes {
            self.each(scope, &mut |key, document| add(key, &document.etag));
        }
        (found.into_values().collect(), complete)
    }

    fn each(&self, scope: &Scope, visit: &mut dyn FnMut(&DocumentKey, &Document) -> bool) {
        self.directory.from(&scope.first(), &mut |key, document| {
            scope.goes_on(key) && (!scope.contains(key) || visit(key, document))
        });
    }

    /// What the components of a subscription are now, those that may be read. Each document is read once.
    pub(super) fn values(
        &self,
        subscription: &Subscription,
        wanted: &dyn Fn(usize) -> bool,
    ) -> Vec<(usize, Option<Arc<Value>>)> {
        let mut places: BTreeMap<&DocumentKey, Vec<(usize, &Component)>> = BTreeMap::new();
        for (at, component) in subscription.components().filter(|(at, _)| wanted(*at)) {
            if self.may_read(&subscription.identity, &component.key) {
                places
                    .entry(&component.key)
                    .or_default()
                    .push((at, component));
            }
        }
        let mut found = Vec::new();
        for (key, components) in places {
            let bytes = self.version(key).and_then(|version| version.bytes);
            let first = components.first().map(|(_, component)| component);
            let document = bytes.as_deref().zip(first);
            let document = document.and_then(|(bytes, component)| component.read(bytes));
            for (at, component) in components {
                let value = document.as_ref().and_then(|d| component.find(d));
                found.push((at, value));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        found
    }
}
