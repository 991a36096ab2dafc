//! Who is who, which documents there are and what the operator imposes: what the services ask the node.

use super::catalogue;
use super::overrides::Overrides;
use super::rules::Rules;
use crate::presence::rules::{Handling, Ruleset};
use crate::presence::{pidf, service as presence};
use crate::registration::Registrar;
use crate::sip::Aor;
use crate::time::Timestamp;
use crate::xdm::diff;
use crate::xdm::lists::Lists;
use crate::xdm::remote::{Reading, Remote, Unreadable};
pub(super) use crate::xdm::usage::pidf_manipulation as permanent;
use crate::xdm::usage::pres_rules;
use crate::xdm::usage::rls_services::Services;
use crate::xdm::{Document, DocumentKey, Documents, Held, Listed};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who is who and which documents there are: what the presence service asks others.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) registrar: Registrar,
    pub(super) documents: BTreeMap<DocumentKey, Document>,
    /// Those that are on other XDMSs, as far as they are in use.
    pub(super) remote: Remote,
    /// When each document here last changed.
    pub(super) modified: BTreeMap<DocumentKey, Timestamp>,
    /// The services of resource lists among them.
    pub(super) services: Services,
    /// Whether the one who asks for a document of somebody may see presence of that user, where it matters.
    pub(super) shown: Option<(Aor, bool)>,
    /// Which of them are permanent presence state, and when each last changed.
    pub(super) permanent: BTreeMap<DocumentKey, Timestamp>,
    /// What lists consist of that are subscribed to.
    pub(super) catalogue: catalogue::Kept,
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
        let mut all = Vec::new();
        for user in &identities {
            for (auid, name) in POLICIES {
                if self.remote.has(auid, user) {
                    all.extend(
                        self.elsewhere(&mut rules, &DocumentKey::user(user.clone(), auid, name)),
                    );
                }
            }
            let here = policies_of(&self.documents, user);
            let here = here.filter(|(key, _)| !self.remote.has(&key.auid, user));
            all.extend(here.map(|(key, document)| rules.of(key, document)));
            // asked for with the rules, so that it is here when somebody may see it
            self.remote.read(&permanent_of(user));
        }
        all.into()
    }

    fn canonical(&self, identity: &Aor) -> Aor {
        self.registrar.canonical(identity)
    }

    fn identities(&self, presentity: &Aor) -> Vec<Aor> {
        self.registrar.identities(presentity)
    }

    fn permanent(&self, presentity: &Aor) -> Vec<(Bytes, Timestamp)> {
        if self.registrar.canonical(presentity) != *presentity {
            return Vec::new(); // another name of somebody, whose state this is
        }
        let document = |user: &Aor| {
            let key = permanent_of(user);
            if self.remote.has(permanent::AUID, user) {
                let document = self.remote.counting(&key)?;
                return Some((document.bytes.clone(), self.remote.since(&key)?));
            }
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
        lists.hold(&Sources(self), presentity, anchor, identities, left)
    }

    fn take_stalled(&self) -> bool {
        self.remote.take_stalled()
    }

    fn depends_on_list(&self, presentity: &Aor, anchor: &str) {
        let mut lists = self.lists.borrow_mut();
        // the lists of a presentity's own are looked after by their owner, see `Directory::readers`
        if lists.foreign() {
            let left = Cell::new(presence::MOST_LISTS);
            lists.hold(&Sources(self), presentity, anchor, &[], &left);
        }
    }
}

impl Directory {
    /// The presentities whose rules may rest on this document of lists: those on whose watchers was decided with it,
    /// and its owner, of whom that is not known after a restart.
    pub(super) fn readers(&mut self, document: &DocumentKey, owner: Aor) -> BTreeSet<Aor> {
        let lists = self.lists.get_mut();
        let (mut readers, wanted) = lists.changed(document);
        readers.insert(owner);
        // ready now, so that no SUBSCRIBE waits for it; a list that no rule names costs its reader nothing
        let written = counting(&self.documents, &self.remote, document);
        if let Some(written) = written.filter(|_| wanted) {
            lists.prepare(document, written);
        }
        readers
    }

    /// A document of rules was written or deleted: it is made ready now, so that no SUBSCRIBE waits for it.
    pub(super) fn rules_changed(&mut self, key: &DocumentKey) {
        let rules = self.rules.get_mut();
        rules.changed(key);
        let written = |key: &DocumentKey| counting(&self.documents, &self.remote, key);
        if let Some(document) = written(key) {
            let lists = self.lists.get_mut();
            for anchor in rules.of(key, document).external_lists() {
                lists.named(anchor, written);
            }
        }
    }

    /// The rules of a document of another XDMS; nobody is let in by what is not here.
    fn elsewhere(&self, rules: &mut Rules, key: &DocumentKey) -> Option<Arc<Ruleset>> {
        match self.remote.read(key) {
            Reading::Elsewhere | Reading::Known(None) => None,
            Reading::Known(Some(document)) => Some(rules.of(key, document)),
            Reading::Waiting | Reading::Unreadable(Unreadable::Pending) => {
                Some(Arc::new(Ruleset::waiting()))
            }
            Reading::Unreadable(Unreadable::Rejected) => Some(Arc::new(Ruleset::closed())),
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

    fn listed(&self, owner: &Aor) -> Vec<Listed<'_>> {
        let own = self
            .documents
            .range(DocumentKey::user(owner.clone(), "", "")..)
            .take_while(|(key, _)| key.owner() == Some(owner));
        own.map(|(key, document)| Listed {
            key,
            document,
            modified: self.modified.get(key).copied(),
        })
        .collect()
    }

    fn services(&self) -> Option<&Services> {
        Some(&self.services)
    }

    fn exists(&self, identity: &Aor) -> bool {
        self.knows(&self.registrar.canonical(identity))
    }

    fn shows(&self, owner: &Aor, _watcher: &[Aor]) -> bool {
        matches!(&self.shown, Some((of, true)) if of == owner)
    }

    /// What a PUBLISH may bring may be kept for good.
    fn entity_of(&self, presence: &[u8]) -> Result<String, String> {
        pidf::parse(presence, &self.pidf)
            .map(|document| document.entity().to_owned())
            .map_err(|fault| fault.reason().to_owned())
    }
}

impl diff::Directory for Directory {
    fn names(&self, identity: &Aor) -> Vec<Aor> {
        presence::Directory::names(self, identity)
    }

    fn from(&self, key: &DocumentKey, visit: &mut dyn FnMut(&DocumentKey, &Document) -> bool) {
        let mut all = self.documents.range(key..);
        while let Some((key, document)) = all.next().filter(|(key, document)| visit(key, document))
        {
            let _ = (key, document);
        }
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
    own.filter(|(key, _)| is_policy(&key.auid))
}

/// The document that decides under this name. Where another XDMS has it, one that lies here as well is nobody's rule
/// or list.
fn counting<'a>(
    documents: &'a BTreeMap<DocumentKey, Document>,
    remote: &'a Remote,
    key: &DocumentKey,
) -> Option<&'a Document> {
    match key
        .owner()
        .is_some_and(|owner| remote.has(&key.auid, owner))
    {
        true => remote.counting(key),
        false => documents.get(key),
    }
}

/// The one document of permanent state that a user has.
fn permanent_of(user: &Aor) -> DocumentKey {
    DocumentKey::user(user.clone(), permanent::AUID, permanent::NAME)
}

/// Documents here and on other XDMSs alike, for lists that refer to one another.
struct Sources<'a>(&'a Directory);

impl Documents for Sources<'_> {
    fn document(&self, key: &DocumentKey) -> Option<&Document> {
        match self.0.remote.read(key) {
            Reading::Elsewhere => self.0.documents.get(key),
            Reading::Known(document) => document,
            Reading::Waiting | Reading::Unreadable(_) => None,
        }
    }

    fn held(&self, owner: &Aor) -> Held {
        self.0.held(owner)
    }

    fn same_user(&self, one: &Aor, other: &Aor) -> bool {
        self.0.same_user(one, other)
    }

    fn entity_of(&self, presence: &[u8]) -> Result<String, String> {
        self.0.entity_of(presence)
    }
}

/// Application usages whose documents are presence authorisation rules, and the name under which each is asked for at
/// another XDMS (RFC 5025 §9.7, OMA Presence XDM).
pub(super) const POLICIES: [(&str, &str); 2] = [
    (pres_rules::AUID, "index"),
    (pres_rules::OMA_AUID, pres_rules::OMA_NAME),
];

/// Whether documents of this usage are presence authorisation rules.
pub(super) fn is_policy(auid: &str) -> bool {
    POLICIES.iter().any(|(policy, _)| *policy == auid)
}
