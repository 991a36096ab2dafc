//! Who is who, which documents there are and what the operator imposes: what the services ask the node.

use super::overrides::Overrides;
use super::rules::Rules;
use crate::presence::rules::{Handling, Ruleset};
use crate::presence::{pidf, service as presence};
use crate::registration::Registrar;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::lists::Lists;
pub(super) use crate::xdm::usage::pidf_manipulation as permanent;
use crate::xdm::{Document, DocumentKey, Documents, Held};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who is who and which documents there are: what the presence service asks others.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) registrar: Registrar,
    pub(super) documents: BTreeMap<DocumentKey, Document>,
    /// Which of them are permanent presence state, and when each last changed.
    pub(super) permanent: BTreeMap<DocumentKey, Timestamp>,
    /// The lists among the documents; behind a cell since a decision that asks for one makes it ready.
    pub(super) lists: RefCell<Lists>,
    /// The rules among them, likewise.
    pub(super) rules: RefCell<Rules>,
    pub(super) overrides: Overrides,
    /// What a presence document may cost.
    pub(super) pidf: pidf::Limits,
}

impl presence::Directory for Directory {
    fn rulesets(&self, presentity: &Aor) -> Arc<[Arc<Ruleset>]> {
        let identities = self.registrar.identities(presentity);
        let mut rules = self.rules.borrow_mut();
        identities
            .iter()
            .flat_map(|user| policies_of(&self.documents, user))
            .map(|(key, document)| rules.of(key, document))
            .collect()
    }

    fn identities(&self, presentity: &Aor) -> Vec<Aor> {
        self.registrar.identities(presentity)
    }

    fn permanent(&self, presentity: &Aor) -> Vec<(Bytes, Timestamp)> {
        if self.registrar.canonical(presentity) != *presentity {
            return Vec::new(); // another name of somebody, whose state this is
        }
        let document = |user: &Aor| {
            let key = DocumentKey::user(user.clone(), permanent::AUID, permanent::NAME);
            let at = *self.permanent.get(&key)?;
            Some((self.documents.get(&key)?.bytes.clone(), at))
        };
        let identities = self.registrar.identities(presentity);
        identities.iter().filter_map(document).collect()
    }

    fn imposed(&self, presentity: &[Aor], watcher: &[Aor]) -> Option<Handling> {
        self.overrides.of(presentity, watcher)
    }

    fn names(&self, identity: &Aor) -> Vec<Aor> {
        self.registrar
            .identities(&self.registrar.canonical(identity))
    }

    fn in_list(
        &self,
        presentity: &Aor,
        anchor: &str,
        identities: &[Aor],
        left: &Cell<usize>,
    ) -> Option<bool> {
        let mut lists = self.lists.borrow_mut();
        lists.hold(self, presentity, anchor, identities, left)
    }

    fn depends_on_list(&self, presentity: &Aor, anchor: &str) {
        let mut lists = self.lists.borrow_mut();
        // the lists of a presentity's own are looked after by their owner, see `Directory::readers`
        if lists.foreign() {
            let left = Cell::new(presence::MOST_LISTS);
            lists.hold(self, presentity, anchor, &[], &left);
        }
    }
}

impl Directory {
    /// The presentities whose rules may rest on this document of lists: those on whose watchers was decided with it,
    /// and its owner, of whom that is not known after a restart.
    pub(super) fn readers(&mut self, document: &DocumentKey, owner: Aor) -> BTreeSet<Aor> {
        let lists = self.lists.get_mut();
        let mut readers = lists.changed(document);
        readers.insert(owner);
        // ready now, so that no SUBSCRIBE waits for it
        if let Some(written) = self.documents.get(document) {
            lists.prepare(document, written);
        }
        readers
    }

    /// A document of rules was written or deleted: it is made ready now, so that no SUBSCRIBE waits for it.
    pub(super) fn rules_changed(&mut self, key: &DocumentKey) {
        let rules = self.rules.get_mut();
        rules.changed(key);
        if let Some(document) = self.documents.get(key) {
            rules.of(key, document);
        }
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

/// The policy documents of one user, whatever their names: all of them apply together (RFC 5025 §9.7).
fn policies_of<'a>(
    documents: &'a BTreeMap<DocumentKey, Document>,
    user: &Aor,
) -> impl Iterator<Item = (&'a DocumentKey, &'a Document)> {
    let own = documents
        .range(DocumentKey::user(user.clone(), "", "")..)
        .take_while(move |(key, _)| key.owner() == Some(user));
    own.filter(|(key, _)| POLICIES.contains(&key.auid.as_str()))
}

/// Application usages whose documents are presence authorisation rules.
pub(super) const POLICIES: [&str; 2] = ["pres-rules", "org.openmobilealliance.pres-rules"];
