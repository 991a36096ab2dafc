//! The table of virtual subscriptions. What belongs to a watcher is kept once for its list, what belongs to a presentity
//! once for that, and what is left for each pair of them is small.

use super::super::package::Package;
use super::super::partial::Held;
use super::super::state::Debt;
use super::gathering::Name;
use crate::event::onlooker::{Member, Onlooker};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::watcherinfo::Event;
use crate::presence::content::Authorized;
use crate::presence::filter::ListFilters;
use crate::presence::rules::Decision;
use crate::sip::Aor;
use crate::time::Timestamp;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Outcomes of policies that are kept to be shared: most watchers of most presentities have one of a few.
const OUTCOMES: usize = 64;
/// Filter of a virtual subscription that has none.
pub(super) const UNFILTERED: u8 = u8::MAX;

/// One virtual subscription: 80 bytes, beside which its presentity keeps its number.
#[derive(Debug)]
pub struct Virtual {
    pub name: Arc<Name>,
    /// The policy's verdict; shared with others of the same outcome.
    pub decision: Option<Arc<Decision>>,
    /// Tag of what was taken last, so that what the watcher cannot see stirs nothing. 0: nothing was.
    pub told: u64,
    /// Number of its last change on the presentity's roll.
    pub rolled: u64,
    pub since: Timestamp,
    /// When it came to its state.
    pub changed_at: Timestamp,
    /// When its state was last taken.
    pub taken_at: Timestamp,
    /// What only some need.
    pub more: Option<Box<More>>,
    pub state: State,
    /// Its place in the list.
    pub place: u32,
    /// What brought it to its state.
    pub event: Event,
    /// What the watcher is owed.
    pub debt: Debt,
    /// Which of the list's filters is for it.
    pub filter: u8,
    /// It was named as stirred, and not taken since.
    pub queued: bool,
}

/// What a virtual subscription keeps for watchers of partial documents, for triggers and for watcher information.
#[derive(Debug, Default)]
pub struct More {
    pub held: Option<Held>,
    /// What the watcher might see when it was last told, before its filter.
    pub whole: Option<Authorized>,
    /// Of the last document of watcher information.
    pub version: Option<u32>,
}

/// A list subscription and its members.
#[derive(Debug)]
pub struct List {
    pub onlooker: Onlooker,
    pub package: Package,
    /// What the core asserted of the watcher, and every other name of it: the watcher to the policy.
    pub asserted: Vec<Aor>,
    pub known_as: Arc<[Aor]>,
    /// Its identities as watcher information shows and compares them.
    pub identities: Vec<Box<str>>,
    pub filters: ListFilters,
    /// Members that nobody has decided on.
    pub undecided: usize,
    /// In the order of their places.
    members: Vec<Virtual>,
}

impl List {
    pub fn new(onlooker: Onlooker, package: Package, filters: ListFilters) -> List {
        let asserted = onlooker.asserted.iter();
        let asserted: Vec<Aor> = asserted.filter_map(|text| Aor::parse(text)).collect();
        let identities = onlooker.identities.iter();
        List {
            identities: identities.map(|aor| aor.as_str().into()).collect(),
            known_as: Arc::default(),
            asserted,
            onlooker,
            package,
            filters,
            undecided: 0,
            members: Vec::new(),
        }
    }

    /// A fetch: nobody is told that it came and went.
    pub fn is_fetch(&self) -> bool {
        self.onlooker.expires_at <= self.onlooker.since
    }

    pub fn members(&self) -> &[Virtual] {
        &self.members
    }

    fn at(&self, place: u32) -> Result<usize, usize> {
        self.members.binary_search_by_key(&place, |v| v.place)
    }
}

/// All virtual subscriptions of the node.
///
/// The number of one is that of its list, counted, above its place. A number is never used for another list, so that one
/// which is held too long names nothing.
#[derive(Debug)]
pub struct Onlook {
    pub lists: IndexMap<u32, List, ahash::RandomState>,
    numbers: BTreeMap<SubscriptionId, u32>,
    next: u32,
    /// Lists under the asserted identities of their watchers.
    watching: BTreeSet<(Aor, u32)>,
    /// When to look whether one that had to wait still has to.
    pub paced: BTreeSet<(Timestamp, SubscriptionId)>,
    pub stirred: Vec<Member>,
    outcomes: VecDeque<Arc<Decision>>,
    /// Members whom nobody knows (yet), by whom they name.
    pub strangers: BTreeMap<Aor, BTreeSet<SubscriptionId>>,
    /// When the node was recovered, and up to when all that it owed had been delivered before.
    pub recovered: Option<(Timestamp, Timestamp)>,
    len: usize,
}

impl Onlook {
    pub fn new(hash: ahash::RandomState) -> Onlook {
        Onlook {
            lists: IndexMap::with_hasher(hash),
            numbers: BTreeMap::new(),
            next: 0,
            watching: BTreeSet::new(),
            paced: BTreeSet::new(),
            stirred: Vec::new(),
            outcomes: VecDeque::new(),
            strangers: BTreeMap::new(),
            recovered: None,
            len: 0,
        }
    }

    /// Virtual subscriptions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of the list.
    pub fn number(&self, list: SubscriptionId) -> Option<u32> {
        self.numbers.get(&list).copied()
    }

    /// Takes a list in.
    pub fn add(&mut self, list: List) -> u32 {
        while self.lists.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1); // after four thousand million lists
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.numbers.insert(list.onlooker.list, number);
        let identities = list.asserted.iter().cloned();
        self.watching.extend(identities.map(|aor| (aor, number)));
        self.lists.insert(number, list);
        number
    }

    /// Forgets a list that has no members.
    pub fn remove(&mut self, number: u32) {
        if let Some(list) = self.lists.swap_remove(&number) {
            self.numbers.remove(&list.onlooker.list);
            for aor in list.asserted {
                self.watching.remove(&(aor, number));
            }
        }
    }

    /// The lists of whoever has these names.
    pub fn of_watcher(&self, names: &[Aor]) -> BTreeSet<u32> {
        let of_one = |name: &Aor| {
            let range = (name.clone(), 0)..=(name.clone(), u32::MAX);
            self.watching.range(range).map(|(_, number)| *number)
        };
        names.iter().flat_map(of_one).collect()
    }

    /// Members of these lists.
    pub fn members_of(&self, lists: impl IntoIterator<Item = u32>) -> Vec<SubscriptionId> {
        let of_one = |number: u32| {
            let members = self
                .lists
                .get(&number)
                .map(List::members)
                .unwrap_or_default();
            members.iter().map(move |v| id_of(number, v.place))
        };
        lists.into_iter().flat_map(of_one).collect()
    }

    pub fn get(&self, id: SubscriptionId) -> Option<(&List, &Virtual)> {
        let (number, place) = parts(id);
        let list = self.lists.get(&number)?;
        let at = list.at(place).ok()?;
        Some((list, list.members.get(at)?))
    }

    pub fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Virtual> {
        let (number, place) = parts(id);
        let list = self.lists.get_mut(&number)?;
        let at = list.at(place).ok()?;
        list.members.get_mut(at)
    }

    pub fn list_mut(&mut self, id: SubscriptionId) -> Option<&mut List> {
        self.lists.get_mut(&parts(id).0)
    }

    pub fn insert(&mut self, number: u32, member: Virtual) -> Option<SubscriptionId> {
        let place = member.place;
        let list = self.lists.get_mut(&number)?;
        if let Err(at) = list.at(place) {
            if list.members.len() == list.members.capacity() {
                let room = list.members.len() / 8 + 8; // an eighth more, where a vector would double
                list.members.reserve_exact(room);
            }
            list.members.insert(at, member);
            self.len += 1;
        }
        Some(id_of(number, place))
    }

    pub fn take(&mut self, id: SubscriptionId) -> Option<Virtual> {
        let (number, place) = parts(id);
        let list = self.lists.get_mut(&number)?;
        let at = list.at(place).ok()?;
        self.len -= 1;
        Some(list.members.remove(at))
    }

    /// The same outcome as one value for all who have it.
    pub fn shared(&mut self, decision: Decision) -> Arc<Decision> {
        if let Some(at) = self.outcomes.iter().position(|known| **known == decision) {
            if at > 0
                && let Some(known) = self.outcomes.remove(at)
            {
                self.outcomes.push_front(known);
            }
            if let Some(known) = self.outcomes.front() {
                return known.clone();
            }
        }
        let shared = Arc::new(decision);
        self.outcomes.truncate(OUTCOMES - 1);
        self.outcomes.push_front(shared.clone());
        shared
    }
}

/// Number of the list and place.
fn parts(id: SubscriptionId) -> (u32, u32) {
    let place = id.0 & u64::from(u32::MAX);
    let narrow = |half: u64| u32::try_from(half).unwrap_or(u32::MAX);
    (narrow(id.0 >> 32), narrow(place))
}

pub(super) fn id_of(number: u32, place: u32) -> SubscriptionId {
    SubscriptionId(u64::from(number) << 32 | u64::from(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::onlooker::Takes;
    use crate::event::subscription::End;
    use crate::sip::Aor;

    fn list(number: u64) -> List {
        let onlooker = Onlooker {
            list: SubscriptionId(number),
            uri: "sip:friends@ims.test".into(),
            package: "presence",
            identities: Vec::new(),
            asserted: vec!["sip:alice@ims.test".into()],
            anonymous: false,
            display_name: None,
            takes: Takes::default(),
            filter: None,
            hops: 70,
            since: Timestamp(0),
            expires_at: Timestamp(1_000),
        };
        List::new(onlooker, Package::Presence, ListFilters::default())
    }

    fn member(place: u32) -> Virtual {
        Virtual {
            name: Arc::new(Name {
                presentity: Aor::parse("sip:bob@ims.test").unwrap(),
                entity: "sip:bob@ims.test".into(),
            }),
            decision: None,
            told: 0,
            rolled: 0,
            since: Timestamp(0),
            changed_at: Timestamp(0),
            taken_at: Timestamp(0),
            more: None,
            state: State::Terminated(End::NoResource),
            place,
            event: Event::NoResource,
            debt: Debt::Nothing,
            filter: UNFILTERED,
            queued: false,
        }
    }

    #[test]
    fn a_member_of_a_list_of_a_hundred_costs_at_most_120_bytes() {
        let mut onlook = Onlook::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let number = onlook.add(list(7));
        for place in 0..100 {
            onlook.insert(number, member(place));
        }
        let room = onlook.lists[&number].members.capacity() * size_of::<Virtual>();
        // beside it stands its number in the set of its presentity: a node of a BTreeSet has room for 11, of which 5
        // are used at least, and 16 bytes of its own
        let set = (11 * size_of::<SubscriptionId>() + 16).div_ceil(5);
        let each = room.div_ceil(100) + set;
        assert!(each <= 120, "{each} bytes");
    }

    #[test]
    fn the_number_of_a_list_that_is_over_names_no_other() {
        let mut onlook = Onlook::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let first = onlook.add(list(7));
        let id = onlook.insert(first, member(3)).unwrap();
        assert!(onlook.get(id).is_some() && onlook.get(id_of(first, 4)).is_none());
        onlook.take(id);
        onlook.remove(first);
        let second = onlook.add(list(7));
        onlook.insert(second, member(3));
        assert!(onlook.get(id).is_none());
        let alice = [Aor::parse("sip:alice@ims.test").unwrap()];
        assert_eq!(onlook.of_watcher(&alice), [second].into());
        // and when they begin again, one that is in use is passed over
        onlook.next = second;
        assert_ne!(onlook.add(list(8)), second);
    }

    #[test]
    fn members_are_found_by_their_places_in_whatever_order_they_come_and_go() {
        let mut onlook = Onlook::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let number = onlook.add(list(7));
        for place in [5, 0, 9, u32::MAX, 3] {
            onlook.insert(number, member(place));
        }
        onlook.take(id_of(number, 9));
        let places = |onlook: &Onlook| -> Vec<u32> {
            onlook.lists[&number]
                .members
                .iter()
                .map(|v| v.place)
                .collect()
        };
        assert_eq!(places(&onlook), [0, 3, 5, u32::MAX]);
        assert_eq!(onlook.get(id_of(number, 5)).unwrap().1.place, 5);
        assert_eq!(
            (onlook.len(), onlook.take(id_of(number, 9)).is_none()),
            (4, true)
        );
    }

    #[test]
    fn the_same_outcome_is_one_value() {
        use crate::presence::notification::Notification;
        use crate::presence::rules::{Handling, Permissions, Reason};
        let mut onlook = Onlook::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let decision = |until: u64| Decision {
            handling: Handling::Allow,
            permissions: Permissions::all(),
            notification: Notification::default(),
            until: Some(Timestamp(until)),
            reason: Reason::Identity,
            unresolved: false,
        };
        let first = onlook.shared(decision(0));
        for until in 1..1_000 {
            assert!(Arc::ptr_eq(&first, &onlook.shared(decision(0))));
            onlook.shared(decision(until));
        }
        assert_eq!(onlook.outcomes.len(), OUTCOMES);
    }
}
