//! How often one peer or user may ask, and how long who guesses passwords has to wait. Every table is bounded: where one
//! is full, an entry makes room, which forgives somebody and refuses nobody.

use ahash::RandomState;
use indexmap::IndexMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Entries of one table.
const ENTRIES: usize = 65_536;

/// Longest wait of who guesses passwords.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// After this time without another wrong password nothing is held against anybody.
const FORGIVEN: Duration = Duration::from_secs(900);

/// Whom an address stands for: of IPv6 the first 64 bits, since one subscriber has all of the others (RFC 6177).
pub(super) fn whom(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let network = six.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        four => four,
    }
}

/// A bounded table; what is least in use makes room, as far as a short look finds it.
#[derive(Debug)]
struct Table<K, V> {
    entries: IndexMap<K, V, RandomState>,
    /// Where the next one to make room is looked for.
    hand: usize,
}

impl<K: Hash + Eq, V> Table<K, V> {
    fn new(hash: RandomState) -> Table<K, V> {
        Table {
            entries: IndexMap::with_hasher(hash),
            hand: 0,
        }
    }

    /// `weight`: how much an entry is worth keeping.
    fn entry(&mut self, key: K, fresh: V, weight: impl Fn(&V) -> Duration) -> &mut V {
        const LOOKED_AT: usize = 8;
        let length = self.entries.len();
        if length >= ENTRIES && !self.entries.contains_key(&key) {
            let seen = (self.hand..self.hand + LOOKED_AT).map(|at| at % length);
            let light = seen.min_by_key(|at| self.entries.get_index(*at).map(|(_, v)| weight(v)));
            if let Some(light) = light {
                self.entries.swap_remove_index(light);
            }
            self.hand = (self.hand + LOOKED_AT) % ENTRIES;
        }
        self.entries.entry(key).or_insert(fresh)
    }
}

/// Requests a second for each of many, with twice as many at once (a token bucket, kept as the time at which the bucket
/// will be full again).
#[derive(Debug)]
pub(super) struct Rates<K> {
    /// `None`: any number.
    each: Option<Duration>,
    burst: Duration,
    full_at: Mutex<Table<K, Duration>>,
}

impl<K: Hash + Eq> Rates<K> {
    /// `rate` requests a second; 0: any number.
    pub(super) fn new(rate: u32, hash: RandomState) -> Rates<K> {
        Rates {
            each: Duration::from_secs(1).checked_div(rate),
            burst: Duration::from_secs(2),
            full_at: Mutex::new(Table::new(hash)),
        }
    }

    /// One more request at `now`, the time since the start; `Err` says after which time to come again.
    pub(super) fn take(&self, key: K, now: Duration) -> Result<(), Duration> {
        let Some(each) = self.each else {
            return Ok(());
        };
        let mut table = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = table.entry(key, now, |full_at| full_at.saturating_sub(now));
        let after = (*full_at).max(now) + each;
        if after > now + self.burst {
            return Err(after - now - self.burst);
        }
        *full_at = after;
        Ok(())
    }
}

/// Wrong passwords of one kind of offender.
#[derive(Debug)]
pub(super) struct Offences<K> {
    /// How many are forgiven.
    free: u32,
    known: Mutex<Table<K, Offence>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Offence {
    count: u32,
    last: Duration,
    until: Duration,
}

impl<K: Hash + Eq> Offences<K> {
    pub(super) fn new(free: u32, hash: RandomState) -> Offences<K> {
        Offences {
            free,
            known: Mutex::new(Table::new(hash)),
        }
    }

    /// `Err` says how long nothing of this offender is looked at.
    pub(super) fn check(&self, key: &K, now: Duration) -> Result<(), Duration> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.entries.get(key) {
            Some(offence) if offence.until > now => Err(offence.until - now),
            _ => Ok(()),
        }
    }

    /// A wrong password.
    pub(super) fn add(&self, key: K, now: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let offence = known.entry(key, Offence::default(), |offence| {
            offence.until.max(offence.last)
        });
        if now.saturating_sub(offence.last) > FORGIVEN {
            offence.count = 0;
        }
        offence.count = offence.count.saturating_add(1);
        offence.last = now;
        if let Some(over) = offence.count.checked_sub(self.free) {
            let seconds = 1u64.checked_shl(over).unwrap_or(u64::MAX);
            offence.until = now + Duration::from_secs(seconds).min(LONGEST_WAIT);
        }
    }

    /// The right password: what was before is forgotten.
    pub(super) fn forgive(&self, key: &K) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entries.swap_remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> RandomState {
        RandomState::with_seeds(1, 2, 3, 4)
    }

    #[test]
    fn twice_the_rate_may_come_at_once_and_then_the_rate() {
        let rates = Rates::new(10, hash());
        let at = Duration::from_millis;
        let took = (0..100).filter(|_| rates.take("a", at(0)).is_ok()).count();
        assert_eq!(took, 20);
        assert_eq!(rates.take("a", at(0)), Err(at(100)));
        assert_eq!(rates.take("b", at(0)), Ok(()), "another one");
        assert_eq!(rates.take("a", at(99)), Err(at(1)));
        assert_eq!(rates.take("a", at(100)), Ok(()));
        assert_eq!(rates.take("a", at(100)), Err(at(100)));
        let any = Rates::new(0, hash());
        assert!((0..1000).all(|_| any.take("a", at(0)).is_ok()), "no limit");
    }

    #[test]
    fn the_wait_doubles_up_to_its_end_and_is_forgiven() {
        let offences = Offences::new(3, hash());
        let mut now = Duration::from_secs(1);
        let mut waits = Vec::new();
        for _ in 0..14 {
            offences.add("a", now);
            let wait = offences.check(&"a", now).err().unwrap_or_default();
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(
            waits,
            [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
        );
        assert_eq!(offences.check(&"b", now), Ok(()), "another one");
        offences.add("a", now + FORGIVEN + Duration::from_secs(1));
        let later = now + FORGIVEN + Duration::from_secs(1);
        assert_eq!(offences.check(&"a", later), Ok(()), "long ago");
        for _ in 0..3 {
            offences.add("a", later);
        }
        assert!(offences.check(&"a", later).is_err());
        offences.forgive(&"a");
        assert_eq!(offences.check(&"a", later), Ok(()));
    }

    #[test]
    fn a_full_table_makes_room_and_keeps_who_is_over_the_rate() {
        let rates = Rates::new(1, hash());
        let now = Duration::from_secs(5);
        while rates.take(u64::MAX, now).is_ok() {}
        for peer in 0..200_000u64 {
            let _ = rates.take(peer, now);
        }
        assert!(rates.full_at.lock().unwrap().entries.len() <= ENTRIES);
        assert!(rates.take(u64::MAX, now).is_err(), "still over it");
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let (one, other): (IpAddr, IpAddr) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(whom(one) == whom(other), same, "{one} {other}");
        }
    }
}
