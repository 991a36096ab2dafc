//! XCAP at the node: the document service decides, the batch keeps the change, live subscriptions follow.

use super::{Directory, Effect, Node, Outbox, POLICIES, permanent};
use crate::presence::pidf;
use crate::record::Table;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::{self, Change, Document, DocumentKey, Documents, Held, usage};
use std::collections::BTreeSet;

impl Node {
    pub(super) fn xcap(
        &mut self,
        now: Timestamp,
        number: u64,
        request: &xdm::Request,
        out: &mut Outbox,
    ) {
        let random = &mut self.random;
        let mut new_etag = || format!("{:016x}", random.number());
        let refused = self.draining || self.directory.documents.len() >= self.settings.documents;
        let outcome = self
            .settings
            .xdm
            .handle(request, &self.directory, &mut new_etag);
        let (response, change) = match outcome.change {
            Some(Change::Put { .. }) if refused => (xdm::Response::empty(503), None),
            change => (outcome.response, change),
        };
        if let Some(change) = change {
            self.apply(now, change, out);
        }
        let effect = Effect::Xcap {
            number,
            response: Box::new(response),
        };
        if out.batch.is_empty() {
            out.free.push(effect)
        } else {
            out.held.insert(0, effect)
        }
    }

    fn apply(&mut self, now: Timestamp, change: Change, out: &mut Outbox) {
        let key = match change {
            Change::Put { key, document } => {
                out.batch
                    .put_bytes(Table::Document, &key.encode(), &document.encode());
                if key.auid == permanent::AUID {
                    out.batch.put(Table::PermanentSince, &key.encode(), &now);
                    self.directory.permanent.insert(key.clone(), now);
                }
                self.directory.documents.insert(key.clone(), document);
                key
            }
            Change::Delete { key } => {
                out.batch.delete(Table::Document, &key.encode());
                if self.directory.permanent.remove(&key).is_some() {
                    out.batch.delete(Table::PermanentSince, &key.encode());
                }
                self.directory.documents.remove(&key);
                key
            }
        };
        let Some(owner) = key.owner() else { return };
        let owner = self.directory.registrar.canonical(owner);
        match key.auid.as_str() {
            usage::resource_lists::AUID => {
                let readers = self.directory.readers(&key, owner);
                self.turn(now, out, |presence, directory, turn| {
                    for reader in &readers {
                        presence.lists_changed(turn, directory, reader);
                    }
                });
            }
            permanent::AUID => {
                self.turn(now, out, |presence, directory, turn| {
                    presence.permanent_changed(turn, directory, &owner)
                });
            }
            auid if POLICIES.contains(&auid) => {
                self.turn(now, out, |presence, directory, turn| {
                    presence.policy_changed(turn, directory, &owner)
                });
            }
            _ => {}
        }
    }
}

impl Directory {
    /// The presentities whose rules may rest on this document of lists: those on whose watchers was decided with it,
    /// and its owner, of whom that is not known after a restart.
    fn readers(&mut self, document: &DocumentKey, owner: Aor) -> BTreeSet<Aor> {
        let mut readers = self.lists.get_mut().changed(document);
        readers.insert(owner);
        readers
    }

    /// Whether anything but a subscription makes this identity known: a registration or a document.
    pub(super) fn knows(&self, presentity: &Aor) -> bool {
        let identities = self.registrar.identities(presentity);
        self.registrar.knows(presentity)
            || identities
                .iter()
                .any(|user| Held::by(user, &self.documents).documents > 0)
    }
}

impl Documents for Directory {
    fn document(&self, key: &DocumentKey) -> Option<&Document> {
        self.documents.get(key)
    }

    fn held(&self, owner: &Aor) -> Held {
        Held::by(owner, &self.documents)
    }

    fn same_user(&self, one: &Aor, other: &Aor) -> bool {
        self.registrar.canonical(one) == self.registrar.canonical(other)
    }

    /// What a PUBLISH may bring may be kept for good.
    fn entity_of(&self, presence: &[u8]) -> Result<String, String> {
        pidf::parse(presence, &self.pidf)
            .map(|document| document.entity().to_owned())
            .map_err(|fault| fault.reason().to_owned())
    }
}
