//! XCAP at the node: the document service decides, the batch keeps the change, live subscriptions follow.

use super::{Directory, Effect, Node, Outbox};
use crate::presence::pidf;
use crate::record::Table;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::{self, Change, Document, DocumentKey, Documents, Held};

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
        let owner = match change {
            Change::Put { key, document } => {
                out.batch
                    .put_bytes(Table::Document, &key.encode(), &document.encode());
                let owner = key.owner().cloned();
                self.directory.documents.insert(key, document);
                owner
            }
            Change::Delete { key } => {
                out.batch.delete(Table::Document, &key.encode());
                self.directory.documents.remove(&key);
                key.owner().cloned()
            }
        };
        let Some(owner) = owner else { return };
        let presentity = self.directory.registrar.canonical(&owner);
        self.turn(now, out, |presence, directory, turn| {
            presence.policy_changed(turn, directory, &presentity)
        });
    }
}

impl Directory {
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
