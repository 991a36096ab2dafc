//! Which peer takes a request, and the table of those that have not been answered (RFC 6733 §5.1, §5.5.4, §6.1).

use crate::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// A peer of this node, for as long as the node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

impl PeerId {
    /// Whoever has connected to us; no peer has this number.
    pub const CALLER: PeerId = PeerId(u32::MAX);
}

/// What the choice knows of a peer that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: PeerId,
    /// The lowest number is chosen.
    pub priority: u16,
    /// Whether it may take requests that do not name it.
    pub general: bool,
    /// Requests it has not answered.
    pub load: usize,
}

/// The first of `prefer` that is up; else, of the general peers, the one with the lowest number, and among equals
/// the least loaded. A peer in `avoid` has just failed this request: it is taken only when there is no other.
pub fn choose(up: &[Candidate], prefer: &[PeerId], avoid: Option<PeerId>) -> Option<PeerId> {
    let find = |id: &PeerId| up.iter().find(|c| c.id == *id);
    let preferred = prefer.iter().filter_map(find).find(|c| Some(c.id) != avoid);
    let general = || {
        let others = up.iter().filter(|c| c.general && Some(c.id) != avoid);
        others.min_by_key(|c| (c.priority, c.load, c.id))
    };
    let avoided = || {
        let avoided = find(&avoid?)?;
        (avoided.general || prefer.contains(&avoided.id)).then_some(avoided)
    };
    preferred.or_else(general).or_else(avoided).map(|c| c.id)
}

/// A request that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Application-Id.
    pub application: u32,
    /// The caller's name for it, among those of its application.
    pub ticket: u64,
    pub end_to_end: u32,
    /// Where it was sent.
    pub peer: PeerId,
    /// The request before its destination and identifiers were put in.
    pub request: Vec<u8>,
    pub through: Option<Through>,
    pub prefer: Vec<PeerId>,
    /// The server that holds its session, to which alone it may go.
    pub bound: Option<String>,
    /// It was sent with the T flag.
    pub retransmitted: bool,
    /// A redirect agent has sent it here: no other one sends it further.
    pub redirected: bool,
}

/// The peer that was asked before. It may be an agent, so its name is nobody's destination (RFC 6733 §6.1.5: an agent that
/// finds itself in Destination-Host does not pass the request on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Through {
    pub peer: PeerId,
    /// The server that has answered through it, and holds a session: Destination-Host while the request goes that way.
    pub server: Option<String>,
}

impl Waiting {
    /// Peers to be tried before all others.
    pub fn first(&self) -> Vec<PeerId> {
        first(self.through.as_ref(), &self.prefer)
    }
}

/// The peer that was asked before, then those that are named.
pub fn first(through: Option<&Through>, named: &[PeerId]) -> Vec<PeerId> {
    let before = through.map(|through| through.peer);
    before.into_iter().chain(named.iter().copied()).collect()
}

/// Requests in flight, by hop-by-hop identifier: unique across all connections of this node.
#[derive(Debug)]
pub struct Pending {
    waiting: BTreeMap<u32, (Instant, Waiting)>,
    /// In the order in which they expire, which for requests of one application is that of sending.
    deadlines: BTreeSet<(Instant, u32)>,
    /// How many each application has.
    counts: BTreeMap<u32, usize>,
    /// How many each peer has not answered.
    loads: BTreeMap<PeerId, usize>,
    next: u32,
}

impl Pending {
    /// Identifiers start at `first`.
    pub fn new(first: u32) -> Pending {
        Pending {
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            counts: BTreeMap::new(),
            loads: BTreeMap::new(),
            next: first,
        }
    }

    /// An identifier that nothing in flight has.
    pub fn fresh(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            if !self.waiting.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    /// `hop_by_hop` is fresh.
    pub fn insert(&mut self, hop_by_hop: u32, deadline: Instant, waiting: Waiting) {
        *self.counts.entry(waiting.application).or_default() += 1;
        *self.loads.entry(waiting.peer).or_default() += 1;
        self.waiting.insert(hop_by_hop, (deadline, waiting));
        self.deadlines.insert((deadline, hop_by_hop));
    }

    fn remove(&mut self, hop_by_hop: u32) -> Option<Waiting> {
        let (deadline, waiting) = self.waiting.remove(&hop_by_hop)?;
        self.deadlines.remove(&(deadline, hop_by_hop));
        less(&mut self.counts, &waiting.application);
        less(&mut self.loads, &waiting.peer);
        Some(waiting)
    }

    /// Takes out what this answer belongs to. An answer from another peer belongs to nothing.
    pub fn answered(&mut self, hop_by_hop: u32, from: PeerId) -> Option<Waiting> {
        if self.get(hop_by_hop)?.peer != from {
            return None;
        }
        self.remove(hop_by_hop)
    }

    /// Takes out one request whose time is over.
    pub fn expired(&mut self, now: Instant) -> Option<Waiting> {
        let (_, hop) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.remove(*hop)
    }

    /// The identifiers of everything that was sent to a peer, oldest first within an application.
    pub fn sent_to(&self, peer: PeerId) -> Vec<u32> {
        let hops = self.deadlines.iter().map(|(_, hop)| *hop);
        hops.filter(|hop| self.get(*hop).is_some_and(|waiting| waiting.peer == peer))
            .collect()
    }

    pub fn get(&self, hop_by_hop: u32) -> Option<&Waiting> {
        self.waiting.get(&hop_by_hop).map(|(_, waiting)| waiting)
    }

    /// Requests that a peer has not answered.
    pub fn load(&self, peer: PeerId) -> usize {
        self.loads.get(&peer).copied().unwrap_or(0)
    }

    /// Requests of an application.
    pub fn count(&self, application: u32) -> usize {
        self.counts.get(&application).copied().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next request expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

/// One less of this; none is forgotten.
fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);
    const NAMED: PeerId = PeerId(3);

    fn candidate(id: PeerId, priority: u16, load: usize) -> Candidate {
        Candidate {
            id,
            priority,
            general: id != NAMED,
            load,
        }
    }

    #[test]
    fn the_peer_is_chosen_by_name_then_by_priority_then_by_load() {
        let (a, b, named) = (
            candidate(A, 0, 9),
            candidate(B, 1, 0),
            candidate(NAMED, 0, 0),
        );
        let equal = candidate(B, 0, 8);
        for (case, up, prefer, avoid, chosen) in [
            ("nobody is up", &[][..], &[][..], None, None),
            ("the lowest number", &[b, a], &[], None, Some(A)),
            ("what is left", &[b], &[], None, Some(B)),
            ("the less loaded of equals", &[a, equal], &[], None, Some(B)),
            ("by name, whatever the number", &[a, b], &[B], None, Some(B)),
            (
                "the second name when the first is down",
                &[a, b],
                &[NAMED, B],
                None,
                Some(B),
            ),
            ("no name is up", &[a], &[NAMED], None, Some(A)),
            ("a peer for its name only", &[named], &[], None, None),
            ("its name", &[a, named], &[NAMED], None, Some(NAMED)),
            ("not the one that failed", &[a, b], &[], Some(A), Some(B)),
            (
                "not the one that failed, even by name",
                &[a, b],
                &[A],
                Some(A),
                Some(B),
            ),
            (
                "the one that failed, for lack of another",
                &[a],
                &[],
                Some(A),
                Some(A),
            ),
            ("never another's own peer", &[named], &[], Some(NAMED), None),
        ] {
            assert_eq!(choose(up, prefer, avoid), chosen, "{case}");
        }
    }

    fn waiting(ticket: u64, peer: PeerId) -> Waiting {
        Waiting {
            application: 3,
            ticket,
            end_to_end: 0,
            peer,
            request: Vec::new(),
            through: None,
            prefer: Vec::new(),
            bound: None,
            retransmitted: false,
            redirected: false,
        }
    }

    fn table(requests: &[(u64, PeerId)]) -> Pending {
        let mut pending = Pending::new(u32::MAX - 1);
        for (ticket, peer) in requests {
            let hop = pending.fresh();
            pending.insert(hop, Instant(*ticket), waiting(*ticket, *peer));
        }
        pending
    }

    #[test]
    fn identifiers_wrap_and_skip_what_is_in_flight() {
        let mut pending = table(&[(1, A), (2, A)]);
        assert_eq!(pending.waiting.keys().collect::<Vec<_>>(), [&0, &u32::MAX]);
        pending.next = u32::MAX - 1;
        assert_eq!(pending.fresh(), 1);
    }

    #[test]
    fn an_answer_takes_its_request_once_and_only_from_its_peer() {
        let mut pending = table(&[(1, A), (2, B)]);
        assert_eq!(pending.answered(u32::MAX, B), None);
        assert_eq!(pending.answered(7, A), None);
        assert_eq!(pending.answered(u32::MAX, A).map(|w| w.ticket), Some(1));
        assert_eq!(pending.answered(u32::MAX, A), None);
    }

    #[test]
    fn requests_expire_in_order_and_not_after_their_answer() {
        let mut pending = table(&[(1, A), (2, A), (3, A)]);
        pending.answered(u32::MAX, A);
        assert_eq!(pending.deadline(), Some(Instant(2)));
        assert_eq!(pending.expired(Instant(1)), None);
        assert_eq!(pending.expired(Instant(2)).map(|w| w.ticket), Some(2));
        assert_eq!(pending.expired(Instant(2)), None);
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn what_a_peer_owes_is_named_oldest_first() {
        let pending = table(&[(1, A), (2, B), (3, A)]);
        assert_eq!((pending.load(A), pending.load(B)), (2, 1));
        assert_eq!(
            pending
                .sent_to(A)
                .iter()
                .map(|hop| pending.get(*hop).unwrap().ticket)
                .collect::<Vec<_>>(),
            [1, 3]
        );
    }

    #[test]
    fn requests_of_two_applications_are_counted_apart_and_expire_by_their_own_time() {
        let mut pending = table(&[(50, A)]);
        let credit = Waiting {
            application: 4,
            ..waiting(50, A)
        };
        let hop = pending.fresh();
        pending.insert(hop, Instant(10), credit);
        assert_eq!((pending.count(3), pending.count(4)), (1, 1));
        assert_eq!(
            (pending.load(A), pending.deadline()),
            (2, Some(Instant(10)))
        );
        assert_eq!(pending.expired(Instant(49)).map(|w| w.application), Some(4));
        assert_eq!(pending.expired(Instant(49)), None);
        assert_eq!((pending.count(3), pending.count(4)), (1, 0));
    }

    #[test]
    fn nothing_stays_of_what_was_answered() {
        let mut pending = table(&[]);
        for i in 0..1_000 {
            let hop = pending.fresh();
            pending.insert(hop, Instant(i), waiting(i, A));
            pending.answered(hop, A);
        }
        assert!(pending.deadlines.is_empty() && pending.counts.is_empty());
        assert!(pending.is_empty() && pending.loads.is_empty());
    }
}
