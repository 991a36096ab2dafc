//! XCAP at the node: the document service decides, the batch keeps the change, live subscriptions follow.

use super::directory::{is_policy, permanent};
use super::{Effect, Node, Outbox};
use crate::record::Table;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::{self, Change, Document, DocumentKey, usage};

impl Node {
    pub(super) fn xcap(
        &mut self,
        now: Timestamp,
        number: u64,
        request: &xdm::Request,
        out: &mut Outbox,
    ) {
        self.directory.shown = self.shown(now, request);
        let random = &mut self.random;
        let mut new_etag = || format!("{:016x}", random.number());
        let refused = self.draining || self.directory.documents.len() >= self.settings.documents;
        let outcome = self
            .settings
            .xdm
            .handle(request, &self.directory, &mut new_etag);
        let (mut response, change) = match outcome.change {
            Some(Change::Put { .. }) if refused => (xdm::Response::empty(503), None),
            change => (outcome.response, change),
        };
        response.crossed = self.settings.xdm.crosses(request, &self.directory);
        self.directory.shown = None; // it was about this requester, and nobody else is judged by it
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

    /// Whose presence the requester would have to be shown, where documents go with presence, and whether it would be.
    fn shown(&mut self, now: Timestamp, request: &xdm::Request) -> Option<(Aor, bool)> {
        let (owner, watcher) = self.settings.xdm.shown_to(request)?;
        let presentity = self.directory.registrar.canonical(&owner);
        let directory = &self.directory;
        let shows = self.presence.shows(now, directory, &presentity, &watcher);
        Some((owner, shows))
    }

    fn apply(&mut self, now: Timestamp, change: Change, out: &mut Outbox) {
        let made = self.made_of(change.key());
        let (key, old) = match change {
            Change::Put { key, document } => {
                out.batch
                    .put_owned(Table::Document, &key.encode(), document.encode());
                if key.auid == permanent::AUID {
                    out.batch.put(Table::PermanentSince, &key.encode(), &now);
                    self.directory.permanent.insert(key.clone(), now);
                }
                out.batch.put(Table::Modified, &key.encode(), &now);
                self.directory.modified.insert(key.clone(), now);
                let old = self.directory.documents.insert(key.clone(), document);
                (key, old)
            }
            Change::Delete { key } => {
                out.batch.delete(Table::Document, &key.encode());
                if self.directory.permanent.remove(&key).is_some() {
                    out.batch.delete(Table::PermanentSince, &key.encode());
                }
                if self.directory.modified.remove(&key).is_some() {
                    out.batch.delete(Table::Modified, &key.encode());
                }
                let old = self.directory.documents.remove(&key);
                (key, old)
            }
        };
        if key.auid == usage::rls_services::AUID {
            let document = self.directory.documents.get(&key);
            self.directory.services.changed(&key, document);
        }
        self.changed(now, &key, out);
        let new = self.directory.documents.get(&key).cloned();
        self.diff_turn(now, out, |diff, store, turn| {
            diff.changed(turn, store, &key, (old.as_ref(), new.as_ref()));
        });
        for (key, old) in made {
            let new = self.settings.xdm.made(&key, &self.directory);
            self.diff_turn(now, out, |diff, store, turn| {
                diff.changed(turn, store, &key, (old.as_ref(), new.as_ref()));
            });
        }
    }

    /// Documents that the server makes of this one, among others, as they are now: those to whose changes somebody has
    /// subscribed.
    fn made_of(&self, key: &DocumentKey) -> Vec<(DocumentKey, Option<Document>)> {
        let xdm = &self.settings.xdm;
        let watched = xdm.made_of(key).filter(|made| self.diff.watches(made));
        watched
            .map(|made| {
                let document = xdm.made(&made, &self.directory);
                (made, document)
            })
            .collect()
    }

    /// A document changed, came or went, here or on another XDMS: live subscriptions that rest on it follow.
    pub(super) fn changed(&mut self, now: Timestamp, key: &DocumentKey, out: &mut Outbox) {
        let lists = self.directory.catalogue.changed(key);
        self.rls_lists_changed(now, lists, out);
        self.list_document_came(now, key, out);
        let Some(owner) = key.owner() else { return };
        let owner = self.directory.registrar.canonical(owner);
        match key.auid.as_str() {
            usage::resource_lists::AUID => {
                let readers = self.directory.readers(key, owner);
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
            auid if is_policy(auid) => {
                self.directory.rules_changed(key);
                self.turn(now, out, |presence, directory, turn| {
                    presence.policy_changed(turn, directory, &owner)
                });
            }
            _ => {}
        }
    }
}
