//! Lists that are served, each once for all who subscribe to it, and the documents that they rest on.

use crate::event::subscription::SubscriptionId;
use crate::rls::list::{Kind, List, Listed, Source};
use crate::xdm::DocumentKey;
use crate::xdm::usage::rls_services::AUID;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most members of lists that are kept for whoever subscribes next, all together: some 30 MB.
const IDLE: usize = 200_000;
/// What a list counts for beside its members.
const LIST: usize = 32;

/// All lists with a subscription, and those that lately had one. A list costs what the names of its documents take,
/// however many members it has.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    last: u64,
    shelves: BTreeMap<u64, Shelf>,
    /// By owner and URI.
    named: BTreeMap<(Box<str>, Box<str>), u64>,
    of: BTreeMap<SubscriptionId, u64>,
    readers: BTreeMap<DocumentKey, BTreeSet<u64>>,
    /// Lists without a subscription, the oldest first, and what they count for.
    idle: VecDeque<(u64, usize)>,
    idle_weight: usize,
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
            None => self.add(name),
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
        let whole = shelf.listed.as_ref().filter(|listed| !listed.stalled);
        match whole.and_then(|listed| listed.list.as_deref()) {
            Some(list) => {
                let weight = LIST + count(list);
                self.idle.push_back((number, weight));
                self.idle_weight += weight;
            }
            None => self.remove(number),
        }
        while self.idle_weight > IDLE
            && let Some((oldest, weight)) = self.idle.pop_front()
        {
            self.idle_weight -= weight;
            self.remove(oldest);
        }
    }

    /// A document changed: the lists that rest on it are to be read again by these.
    pub fn changed(&mut self, key: &DocumentKey) -> BTreeSet<SubscriptionId> {
        let mut all = BTreeSet::new();
        let readers = self.readers.get(&read_as(key));
        for number in readers.cloned().unwrap_or_default() {
            let Some(shelf) = self.shelves.get_mut(&number) else {
                continue;
            };
            shelf.listed = None;
            all.extend(&shelf.subscriptions);
            if shelf.subscriptions.is_empty() {
                self.wake(number);
                self.remove(number);
            }
        }
        all
    }

    /// How many members the list of a subscription has.
    pub fn members(&self, list: SubscriptionId) -> usize {
        let shelf = self.of.get(&list).and_then(|n| self.shelves.get(n));
        let listed = shelf.and_then(|shelf| shelf.listed.as_ref());
        let list = listed.and_then(|listed| listed.list.as_deref());
        list.map_or(0, count)
    }

    /// Whether a list with a subscription rests on a document.
    pub fn is_used(&self, key: &DocumentKey) -> bool {
        let mut readers = self.readers.get(&read_as(key)).into_iter().flatten();
        readers.any(|number| {
            let shelf = self.shelves.get(number);
            shelf.is_some_and(|shelf| !shelf.subscriptions.is_empty())
        })
    }

    fn add(&mut self, name: (Box<str>, Box<str>)) -> u64 {
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

    fn attach(&mut self, list: SubscriptionId, number: u64) {
        if self.of.get(&list).is_some_and(|old| *old != number) {
            self.forget(list);
        }
        self.of.insert(list, number);
        let Some(shelf) = self.shelves.get_mut(&number) else {
            return;
        };
        let was_idle = shelf.subscriptions.is_empty();
        shelf.subscriptions.insert(list);
        if was_idle {
            self.wake(number);
        }
    }

    /// A list is not among those without a subscription any more.
    fn wake(&mut self, number: u64) {
        if let Some(at) = self.idle.iter().position(|(idle, _)| *idle == number)
            && let Some((_, weight)) = self.idle.remove(at)
        {
            self.idle_weight -= weight;
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(gone) = self.shelves.remove(&number) {
            self.named.remove(&gone.name);
            for key in &gone.rests_on {
                self.unread(key, number);
            }
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

/// Members of a list and of those in it.
fn count(list: &List) -> usize {
    let one = |kind: &Kind| match kind {
        Kind::List(list) => LIST + count(list),
        Kind::Presentity | Kind::Excess | Kind::Refused(_) => 1,
    };
    list.resources.iter().map(|r| one(&r.kind)).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rls::list::Resource;
    use crate::sip::Aor;
    use std::sync::Arc;

    fn listed(members: usize) -> Listed {
        let resource = |n| Resource {
            uri: format!("sip:u{n}@ims.test").into(),
            names: Vec::new(),
            kind: Kind::Presentity,
        };
        Listed {
            list: Some(Arc::new(List {
                resources: (0..members).map(resource).collect(),
                ..List::default()
            })),
            ..Listed::default()
        }
    }

    fn source(n: usize) -> Source {
        Source::Service {
            uri: format!("sip:l{n}@ims.test").into(),
            owner: "sip:bob@ims.test".into(),
        }
    }

    fn key(n: usize) -> DocumentKey {
        let user = Aor::parse("sip:bob@ims.test").unwrap();
        DocumentKey::user(user, "resource-lists", &format!("d{n}"))
    }

    fn id(n: usize) -> SubscriptionId {
        SubscriptionId(u64::try_from(n).unwrap())
    }

    #[test]
    fn lists_without_subscriptions_are_kept_within_a_bound_and_only_as_they_are() {
        let mut shelves = Shelves::default();
        for n in 0..300 {
            shelves.keep(id(n), &source(n), &listed(1_000), BTreeSet::from([key(n)]));
            shelves.forget(id(n));
            assert!(shelves.idle_weight <= IDLE);
            assert!(!shelves.is_used(&key(n)), "nobody subscribes");
        }
        assert_eq!(shelves.shelves.len(), IDLE / (1_000 + LIST));
        assert_eq!(shelves.shelves.len(), shelves.idle.len());
        assert!(
            shelves.known(id(1_000), &source(0)).is_none(),
            "the oldest went"
        );
        assert!(shelves.known(id(1_000), &source(299)).is_some());
        assert!(shelves.is_used(&key(299)));
        let before = shelves.shelves.len();
        assert_eq!(shelves.changed(&key(298)), BTreeSet::new());
        assert!(shelves.known(id(1_001), &source(298)).is_none());
        assert_eq!(shelves.changed(&key(299)), BTreeSet::from([id(1_000)]));
        assert!(
            shelves.known(id(1_002), &source(299)).is_none(),
            "to be read again"
        );
        assert_eq!(shelves.shelves.len(), before - 1);
        let sum: usize = shelves.idle.iter().map(|(_, weight)| weight).sum();
        assert_eq!(sum, shelves.idle_weight);
    }

    #[test]
    fn a_subscription_that_turns_to_another_list_leaves_the_first() {
        let mut shelves = Shelves::default();
        shelves.keep(id(1), &source(1), &listed(1), BTreeSet::from([key(1)]));
        shelves.keep(id(1), &source(2), &listed(1), BTreeSet::from([key(2)]));
        assert!(!shelves.is_used(&key(1)) && shelves.is_used(&key(2)));
        shelves.keep(id(1), &source(2), &listed(2), BTreeSet::from([key(3)]));
        assert!(!shelves.is_used(&key(2)) && shelves.is_used(&key(3)));
        shelves.forget(id(1));
        assert!(shelves.of.is_empty());
        let stalled = Listed {
            stalled: true,
            ..listed(1)
        };
        shelves.keep(id(2), &source(4), &stalled, BTreeSet::from([key(4)]));
        shelves.forget(id(2));
        assert!(!shelves.named.contains_key(&name(&source(4)).unwrap()));
        for n in 1..4 {
            shelves.changed(&key(n));
        }
        assert!(shelves.readers.is_empty() && shelves.shelves.is_empty());
    }
}
