//! What is behind the references of one list, read on behalf of its owner.

use super::shelves::read_as;
use super::{Directory, Services};
use crate::rls::list::sheet::{Offer, Sheet, Step};
use crate::rls::list::{Absent, Found, Others, References};
use crate::sip::Aor;
use crate::xdm::anchor::{self, Anchor, Kind, NoAnchor};
use crate::xdm::remote::Reading;
use crate::xdm::usage::rls_services::{AUID, Service};
use crate::xdm::{Document, DocumentKey, Documents};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One reading.
pub(super) struct Behind<'a> {
    directory: &'a Directory,
    /// Whose list it is; `None`: it came with a request, and refers to nothing.
    owner: Option<Aor>,
    /// All identities of the owner.
    users: Vec<Aor>,
    /// The owner's services on other XDMSs.
    elsewhere: Vec<(DocumentKey, Result<Arc<Services>, Absent>)>,
    /// What the numbers of [`Found::document`] mean: a document, and the service of it whose inline list it is.
    documents: RefCell<Vec<(DocumentKey, Box<str>)>>,
    rests_on: RefCell<BTreeSet<DocumentKey>>,
}

impl<'a> Behind<'a> {
    /// A list of this owner.
    pub fn of(directory: &'a Directory, owner: Aor) -> Behind<'a> {
        let users = directory.users(std::slice::from_ref(&owner));
        let services = |user: &Aor| read_as(&DocumentKey::user(user.clone(), AUID, ""));
        Behind {
            directory,
            elsewhere: directory.elsewhere_of(&users),
            documents: RefCell::default(),
            rests_on: RefCell::new(users.iter().map(services).collect()),
            users,
            owner: Some(owner),
        }
    }

    /// A list that came with a request.
    pub fn contained(directory: &'a Directory) -> Behind<'a> {
        Behind {
            directory,
            owner: None,
            users: Vec::new(),
            elsewhere: Vec::new(),
            documents: RefCell::default(),
            rests_on: RefCell::default(),
        }
    }

    /// The documents that were read, and those that were not there.
    pub fn rests_on(self) -> BTreeSet<DocumentKey> {
        self.rests_on.into_inner()
    }

    /// The list of the service of this URI, which is the owner's.
    pub fn offered(&self, uri: &str) -> Result<Option<Found>, Absent> {
        match self.own(uri)? {
            Some((key, service)) => self.list_of(uri, key, &service).map(Some),
            None => Ok(None),
        }
    }

    /// The owner's service of a URI in its canonical spelling.
    fn own(&self, uri: &str) -> Result<Option<(DocumentKey, Service)>, Absent> {
        let remote = &self.directory.remote;
        let mut here = self.directory.services.of_uri(uri);
        let own = here.find(|(key, _)| {
            let owner = key.owner().filter(|owner| self.users.contains(owner));
            owner.is_some_and(|owner| !remote.has(AUID, owner))
        });
        if let Some((key, service)) = own {
            return Ok(Some((key.clone(), service.clone())));
        }
        let mut absent = None;
        for (key, services) in &self.elsewhere {
            match services {
                Ok(services) => {
                    if let Some(service) = services.get(uri) {
                        return Ok(Some((key.clone(), service.clone())));
                    }
                }
                Err(why) => absent = Some(*why),
            }
        }
        absent.map_or(Ok(None), Err)
    }

    fn list_of(&self, uri: &str, key: DocumentKey, service: &Service) -> Result<Found, Absent> {
        match Offer::read(&service.element).ok_or(Absent::Unreadable)? {
            Offer::Inline(sheet) => Ok(Found {
                sheet: Arc::new(sheet),
                at: 0,
                document: self.number(key, uri),
            }),
            Offer::At(anchor) => self.list(self.number(key, uri), &anchor),
        }
    }

    /// The number of a document; a list in a service is as good as a document of its own.
    fn number(&self, key: DocumentKey, service: &str) -> u32 {
        let mut all = self.documents.borrow_mut();
        let known = all.iter().position(|(k, s)| *k == key && **s == *service);
        let at = known.unwrap_or_else(|| {
            all.push((key, service.into()));
            all.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// The document of an anchor, where whoever wrote it may refer to it and it is there.
    fn sheet(&self, from: u32, key: &DocumentKey) -> Result<Arc<Sheet>, Absent> {
        if !self.may_read(from, key) {
            return Err(Absent::Foreign);
        }
        self.rests_on.borrow_mut().insert(key.clone());
        let document = self.document(key)?;
        let longest = self.directory.services.limits().bytes;
        let mut sheets = self.directory.catalogue.sheets.borrow_mut();
        let sheet = sheets.of(key, &document.bytes, |bytes| {
            let sheet = Sheet::read(bytes, longest)?;
            let weight = sheet.weight();
            Some((sheet, weight))
        });
        sheet.ok_or(Absent::Unreadable)
    }

    fn may_read(&self, from: u32, key: &DocumentKey) -> bool {
        let Some(owner) = key.owner() else {
            return true; // the operator's, for everybody
        };
        let documents = self.documents.borrow();
        let writer = documents
            .get(from as usize)
            .and_then(|(key, _)| key.owner());
        let foreign = self.directory.lists.borrow().foreign();
        let user = writer.or(self.owner.as_ref());
        foreign || user.is_some_and(|user| self.directory.same_user(user, owner))
    }

    fn document(&self, key: &DocumentKey) -> Result<&'a Document, Absent> {
        match self.directory.remote.read(key) {
            Reading::Elsewhere => self.directory.documents.get(key).ok_or(Absent::Missing),
            Reading::Known(document) => document.ok_or(Absent::Missing),
            Reading::Waiting => Err(Absent::Waiting),
            Reading::Unreadable(_) => Err(Absent::Unreadable),
        }
    }

    fn anchor(&self, text: &str) -> Result<Anchor, Absent> {
        if self.owner.is_none() {
            return Err(Absent::Discarded);
        }
        let lists = self.directory.lists.borrow();
        Anchor::parse(text, lists.roots()).map_err(|why| match why {
            NoAnchor::Elsewhere => Absent::Unreadable,
            NoAnchor::NoDocument => Absent::Missing,
        })
    }
}

impl References for Behind<'_> {
    fn list(&self, from: u32, anchor: &str) -> Result<Found, Absent> {
        let anchor = self.anchor(anchor)?;
        let steps = anchor.steps.as_deref().ok_or(Absent::Missing)?;
        let lists = steps.iter().all(|step| step.kind == Kind::List);
        let sheet = self.sheet(from, &anchor.document)?;
        let at = sheet.list(&stepped(steps)).filter(|_| lists);
        Ok(Found {
            at: at.ok_or(Absent::Missing)?,
            document: self.number(anchor.document, ""),
            sheet,
        })
    }

    fn entry(&self, from: u32, reference: &str) -> Result<Found, Absent> {
        let anchor = self.anchor(reference)?;
        let steps = anchor.steps.as_deref().ok_or(Absent::Missing)?;
        let entry = steps.last().is_some_and(|step| step.kind == Kind::Entry);
        let sheet = self.sheet(from, &anchor.document)?;
        let at = sheet.entry(&stepped(steps)).filter(|_| entry);
        Ok(Found {
            at: at.ok_or(Absent::Missing)?,
            document: self.number(anchor.document, ""),
            sheet,
        })
    }

    /// A service is a list inside the list where it is the same user's, or anybody may subscribe to it.
    fn service(&self, _from: u32, uri: &str) -> Result<Option<Found>, Absent> {
        let of_list = || self.directory.names_list(uri);
        match self.own(uri) {
            Ok(Some((key, service))) => return self.list_of(uri, key, &service).map(Some),
            Ok(None) => {}
            Err(absent) if of_list() => return Err(absent),
            Err(_) => {} // most members are people: they are not kept waiting
        }
        let mut others = self.directory.services.of_uri(uri);
        match others.next() {
            None if of_list() => Err(Absent::Missing),
            None => Ok(None),
            Some((key, service))
                if self.directory.catalogue.settings.others == Others::Allowed
                    && self.owner.is_some() =>
            {
                self.rests_on.borrow_mut().insert(read_as(key));
                self.list_of(uri, key.clone(), service).map(Some)
            }
            Some(_) => Err(Absent::Foreign),
        }
    }
}

fn stepped(steps: &[anchor::Step]) -> Vec<Step<'_>> {
    let all = steps.iter().map(|step| Step {
        position: step.position,
        value: step.value.as_deref(),
    });
    all.collect()
}
