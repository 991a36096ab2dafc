//! Lists that are served, each once for all who subscribe to it, and the documents that they rest on.

use crate::event::subscription::SubscriptionId;
use crate::rls::list::{Listed, Source};
use crate::xdm::DocumentKey;
use crate::xdm::usage::rls_services::AUID;
use std::collections::{BTreeMap, BTreeSet};

/// All lists with a subscription. A list costs what its documents' names take, whoever many members it has.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    last: u64,
    shelves: BTreeMap<u64, Shelf>,
    /// By owner and URI.
    named: BTreeMap<(Box<str>, Box<str>), u64>,
    of: BTreeMap<SubscriptionId, u64>,
    readers: BTreeMap<DocumentKey, BTreeSet<u64>>,
}

/// One list.
#[derive(Debug)]
struct Shelf {
    name: (Box<str>, Box<str>),
    /// `None`: it is to be read again.
    listed: Option<Listed>,
    /// Documents that were read, and those that were not there.
    rests_on: BTreeSet<DocumentKey>,
    subscriptions: BTreeSet<SubscriptionId>,
}

impl Shelves {
    /// The list, if it was read and nothing it rests on has changed since.
    pub fn known(&mut self, list: SubscriptionId, source: &Source) -> Option<Listed> {
        let number = *self.named.get(&name(source)?)?;
        let shelf = self.shelves.get(&number)?;
        let listed = shelf.listed.clone()?;
        self.attach(list, number);
        Some(listed)
    }

    /// Keeps what was read, and what it rests on.
    pub fn keep(
        &mut self,
        list: SubscriptionId,
        source: &Source,
        listed: &Listed,
        rests_on: BTreeSet<DocumentKey>,
    ) {
        let Some(name) = name(source) else { return };
        let number = match self.named.get(&name) {
            Some(number) => *number,
            None => {
                self.last += 1;
                self.named.insert(name.clone(), self.last);
                let shelf = Shelf {
                    name,
                    listed: None,
                    rests_on: BTreeSet::new(),
                    subscriptions: BTreeSet::new(),
                };
                self.shelves.insert(self.last, shelf);
                self.last
            }
        };
        self.attach(list, number);
        let Some(shelf) = self.shelves.get_mut(&number) else {
            return;
        };
        shelf.listed = Some(listed.clone());
        let before = std::mem::replace(&mut shelf.rests_on, rests_on.clone());
        for key in before.difference(&rests_on) {
            self.unread(key, number);
        }
        for key in rests_on.difference(&before) {
            self.readers.entry(key.clone()).or_default().insert(number);
        }
    }

    /// A list subscription is over.
    pub fn forget(&mut self, list: SubscriptionId) {
        let Some(number) = self.of.remove(&list) else {
            return;
        };
        let Some(shelf) = self.shelves.get_mut(&number) else {
            return;
        };
        shelf.subscriptions.remove(&list);
        if !shelf.subscriptions.is_empty() {
            return;
        }
        if let Some(gone) = self.shelves.remove(&number) {
            self.named.remove(&gone.name);
            for key in &gone.rests_on {
                self.unread(key, number);
            }
        }
    }

    /// A document changed: the lists that rest on it are to be read again by these.
    pub fn changed(&mut self, key: &DocumentKey) -> BTreeSet<SubscriptionId> {
        let mut all = BTreeSet::new();
        for number in self.readers.get(&read_as(key)).into_iter().flatten() {
            if let Some(shelf) = self.shelves.get_mut(number) {
                shelf.listed = None;
                all.extend(&shelf.subscriptions);
            }
        }
        all
    }

    pub fn is_used(&self, key: &DocumentKey) -> bool {
        self.readers.contains_key(&read_as(key))
    }

    fn attach(&mut self, list: SubscriptionId, number: u64) {
        if self.of.get(&list).is_some_and(|old| *old != number) {
            self.forget(list);
        }
        self.of.insert(list, number);
        if let Some(shelf) = self.shelves.get_mut(&number) {
            shelf.subscriptions.insert(list);
        }
    }

    fn unread(&mut self, key: &DocumentKey, number: u64) {
        if let Some(readers) = self.readers.get_mut(key) {
            readers.remove(&number);
            if readers.is_empty() {
                self.readers.remove(key);
            }
        }
    }
}

/// A list is one with another of the same owner under the same URI, as it is written: it is told so.
fn name(source: &Source) -> Option<(Box<str>, Box<str>)> {
    match source {
        Source::Service { uri, owner } => Some((owner.clone(), uri.clone())),
        Source::Contained { .. } => None, // rests on nothing, and is one subscription's alone
    }
}

/// The name under which a document is read: those of services all together, since a service may come to be in any.
pub(super) fn read_as(key: &DocumentKey) -> DocumentKey {
    let mut key = key.clone();
    if key.auid == AUID {
        key.name.clear();
    }
    key
}
