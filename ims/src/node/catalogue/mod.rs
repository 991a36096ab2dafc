//! What lists consist of: services and lists among the documents here and on other XDMSs (GM-15, GM-16), as the resource
//! list server reads them.

mod ready;
mod references;
mod shelves;

use super::directory::Directory;
use crate::reject::{Reject, phrase};
use crate::rls::Catalogue;
use crate::rls::list::{self, Absent, Listed, Others, Settings, Source, contained};
use crate::sip::canonical::canonical;
use crate::sip::{Aor, Uri};
use crate::time::Seconds;
use crate::xdm::DocumentKey;
use crate::xdm::remote::Reading;
use crate::xdm::usage::rls_services::{AUID, INDEX, Service};
use ready::Ready;
use references::Behind;
use shelves::Shelves;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::subscription::SubscriptionId;

/// How long a watcher is asked to stay away while the document that may name the list cannot be had.
const AWAY: Seconds = Seconds(5);
/// Most bytes of documents of lists, and of services on other XDMSs, that are kept taken apart.
const SHEETS: usize = 64 << 20;
const SERVICES: usize = 16 << 20;

/// The services of one document, by URI as it is compared.
type Services = BTreeMap<Box<str>, Service>;

/// What is kept of lists beside their documents.
#[derive(Debug)]
pub(super) struct Kept {
    settings: Settings,
    hash: ahash::RandomState,
    sheets: RefCell<Ready<list::sheet::Sheet>>,
    /// Of documents on other XDMSs; those here are indexed.
    services: RefCell<Ready<Services>>,
    shelves: RefCell<Shelves>,
}

impl Kept {
    pub fn new(settings: Settings, hash: ahash::RandomState) -> Kept {
        Kept {
            settings,
            sheets: RefCell::new(Ready::new(SHEETS, hash.clone())),
            services: RefCell::new(Ready::new(SERVICES, hash.clone())),
            shelves: RefCell::default(),
            hash,
        }
    }

    /// A document changed, came, went, or can be read or not: the list subscriptions whose lists rest on it.
    pub fn changed(&mut self, key: &DocumentKey) -> BTreeSet<SubscriptionId> {
        self.sheets.get_mut().changed(key);
        self.services.get_mut().changed(key);
        self.shelves.get_mut().changed(key)
    }

    /// How many members the list of a subscription has, where it is kept.
    pub fn members(&self, list: SubscriptionId) -> usize {
        self.shelves.borrow().members(list)
    }

    /// Whether a list subscription rests on a document.
    pub fn is_used(&self, key: &DocumentKey) -> bool {
        self.shelves.borrow().is_used(key)
    }
}

impl Catalogue for Directory {
    /// RFC 4826 §4.5: the service of this URI, its packages, then whether the watcher may subscribe.
    fn find(
        &self,
        uri: &str,
        watcher: &[Aor],
        package: &str,
        takes_lists: bool,
    ) -> Result<Option<Source>, Reject> {
        let names_list = self.names_list(uri);
        let none = || match names_list {
            true => Err(Reject::NotFound),
            false => Ok(None),
        };
        let named = canonical(uri);
        if self.services.of_uri(&named).next().is_none() && !self.remote.serves(AUID) {
            return none(); // nearly every SUBSCRIBE is for a presentity
        }
        let users = self.users(watcher);
        let found = match self.service(&named, &users) {
            Ok(found) => found,
            // fail closed: what may be a list is not served as anything else
            Err(_) if names_list || takes_lists && !self.is_somebody(uri) => {
                return Err(Reject::Busy { retry_after: AWAY });
            }
            Err(_) => None,
        };
        let Some((key, service)) = found else {
            return none();
        };
        let owner = key.owner().ok_or(Reject::NotFound)?;
        let others = self.catalogue.settings.others;
        let is_own = users.contains(owner);
        if !is_own && others == Others::Hidden {
            return Err(Reject::NotFound); // whatever else is wrong, nothing is told of the list
        }
        if !service.is_for(package) {
            // RFC 4826 §4.5: a package that is not among those of the service must be answered 489
            return Err(Reject::BadEvent);
        }
        if !is_own && others == Others::Forbidden {
            return Err(Reject::Forbidden(phrase::NOT_THE_OWNER));
        }
        Ok(Some(Source::Service {
            uri: uri.into(),
            owner: owner.as_str().into(),
        }))
    }

    fn read(&self, list: SubscriptionId, source: &Source) -> Listed {
        let kept = &self.catalogue;
        let limits = &kept.settings.limits;
        let (uri, owner) = match source {
            Source::Service { uri, owner } => (uri, owner),
            Source::Contained { uri, document } => {
                let behind = Behind::contained(self);
                let hash = kept.hash.clone();
                let listed = contained::read(uri, document, &behind, limits, hash);
                return listed.unwrap_or_default();
            }
        };
        if let Some(known) = kept.shelves.borrow_mut().known(list, source) {
            return known;
        }
        let Some(owner) = Aor::parse(owner) else {
            return Listed::default();
        };
        let behind = Behind::of(self, owner);
        let found = behind.offered(&canonical(uri));
        let listed = list::read(uri, found, &behind, limits, kept.hash.clone());
        let rests_on = behind.rests_on();
        let mut shelves = kept.shelves.borrow_mut();
        shelves.keep(list, source, &listed, rests_on);
        listed
    }

    fn forget(&self, list: SubscriptionId) {
        self.catalogue.shelves.borrow_mut().forget(list);
    }
}

impl Directory {
    /// Whether a SUBSCRIBE for this URI has to wait until a document of another XDMS is here: which ones.
    pub(super) fn list_awaits(&self, uri: &str, watcher: &[Aor]) -> Vec<DocumentKey> {
        let users = self.users(watcher);
        let waits = matches!(self.service(&canonical(uri), &users), Err(Absent::Waiting));
        if !waits || !self.names_list(uri) && self.is_somebody(uri) {
            return Vec::new();
        }
        let indexes = users
            .into_iter()
            .map(|user| DocumentKey::user(user, AUID, INDEX));
        indexes
            .filter(|key| self.remote.read(key) == Reading::Waiting)
            .collect()
    }

    /// All identities of a watcher.
    fn users(&self, watcher: &[Aor]) -> Vec<Aor> {
        let mut all = Vec::new();
        for identity in watcher {
            let canonical = self.registrar.canonical(identity);
            for aor in self.registrar.identities(&canonical) {
                if !all.contains(&aor) {
                    all.push(aor);
                }
            }
            if !all.contains(identity) {
                all.push(identity.clone());
            }
        }
        all
    }

    /// Whether a URI can only be that of a list, by a parameter of the operator's choice.
    fn names_list(&self, uri: &str) -> bool {
        let parameters = &self.catalogue.settings.parameters;
        Uri::parse(uri.trim()).is_some_and(|uri| parameters.iter().any(|name| uri.has_param(name)))
    }

    /// Whether a URI is that of a user who is known here.
    fn is_somebody(&self, uri: &str) -> bool {
        Aor::parse(uri).is_some_and(|aor| self.knows(&self.registrar.canonical(&aor)))
    }

    /// The service of a URI in its canonical spelling: one of these users', or else the first by its owner.
    fn service(&self, uri: &str, users: &[Aor]) -> Result<Option<(DocumentKey, Service)>, Absent> {
        let here = self.services.of_uri(uri).filter(|(key, _)| {
            let owner = key.owner();
            owner.is_some_and(|owner| !self.remote.has(AUID, owner))
        });
        let mut foreign = None;
        for (key, service) in here {
            if key.owner().is_some_and(|owner| users.contains(owner)) {
                return Ok(Some((key.clone(), service.clone())));
            }
            foreign.get_or_insert((key, service));
        }
        let mut absent = None;
        for (key, services) in self.elsewhere_of(users) {
            match services.map(|services| services.get(uri).cloned()) {
                Ok(Some(service)) => return Ok(Some((key, service))),
                Ok(None) => {}
                Err(why) => absent = Some(why),
            }
        }
        match absent {
            Some(absent) => Err(absent),
            None => Ok(foreign.map(|(key, service)| (key.clone(), service.clone()))),
        }
    }

    /// The services of those of these users whose documents are on another XDMS (GM-15).
    fn elsewhere_of(&self, users: &[Aor]) -> Vec<(DocumentKey, Result<Arc<Services>, Absent>)> {
        let away = users.iter().filter(|user| self.remote.has(AUID, user));
        let index = |user: &Aor| {
            let key = DocumentKey::user(user.clone(), AUID, INDEX);
            let services = match self.remote.read(&key) {
                Reading::Elsewhere | Reading::Known(None) => Ok(Arc::default()),
                Reading::Waiting => Err(Absent::Waiting),
                Reading::Unreadable(_) => Err(Absent::Unreadable),
                Reading::Known(Some(document)) => {
                    let limits = self.services.limits();
                    let mut ready = self.catalogue.services.borrow_mut();
                    let services = ready.of(&key, &document.bytes, |bytes| {
                        let all = Service::all_of(bytes, limits);
                        Some((all.into_iter().collect(), 2 * bytes.len()))
                    });
                    services.ok_or(Absent::Unreadable)
                }
            };
            (key, services)
        };
        away.map(index).collect()
    }
}
