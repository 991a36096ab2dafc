//! Nonces that say themselves whether they are ours (RFC 7616 §5.4), and the counts that were used with them (§5.5).

use crate::ua::digest::hex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Nonces whose counts are remembered. Above it the oldest is no longer good, and its client asks for a new one.
const REMEMBERED: usize = 65_536;

/// How far a count may lie behind the highest one: requests overtake one another on parallel connections.
const WINDOW: u32 = 64;

/// Bytes of the mark that makes a nonce ours.
const MARK: usize = 16;

/// A secret, and what follows from it.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn random() -> Result<Key, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Key(key))
    }

    /// HMAC-SHA-256 (RFC 2104).
    pub(crate) fn mark(&self, text: &[u8]) -> [u8; 32] {
        const BLOCK: usize = 64;
        let pad = |byte: u8| {
            let mut block = [byte; BLOCK];
            for (to, from) in block.iter_mut().zip(self.0) {
                *to ^= from;
            }
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
        let outer = Sha256::new()
            .chain_update(pad(0x5c))
            .chain_update(inner.finalize());
        outer.finalize().into()
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

/// What a nonce is still good for, once the proof made with it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redeemed {
    Good,
    /// Good, and nearing its end: the client is given the next one.
    Aging,
    /// Not ours, too old, forgotten, or this count was there before.
    Stale,
}

/// Counts seen with one nonce: the highest, and a bit for each of those below it.
#[derive(Clone, Copy, Debug)]
struct Counts {
    at: u64,
    highest: u32,
    below: u64,
}

impl Counts {
    /// False when `count` was there before or lies too far behind.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let step = count - self.highest;
            // the bit of the former highest comes in at step - 1
            self.below =
                self.below.checked_shl(step).unwrap_or(0) | 1u64.checked_shl(step - 1).unwrap_or(0);
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if behind == 0 || behind > WINDOW {
            return false;
        }
        let bit = 1u64 << (behind - 1);
        let is_new = self.below & bit == 0;
        self.below |= bit;
        is_new
    }
}

#[derive(Debug, Default)]
struct Used {
    /// By the number of the nonce, so by age.
    counts: BTreeMap<u64, Counts>,
    /// Nonces below this number are forgotten.
    floor: u64,
}

/// Gives out nonces and takes them back.
pub(super) struct Nonces {
    key: Key,
    life: Duration,
    next: AtomicU64,
    used: Mutex<Used>,
}

impl Nonces {
    pub(super) fn new(key: Key, life: Duration) -> Nonces {
        Nonces {
            key,
            life,
            next: AtomicU64::new(1),
            used: Mutex::default(),
        }
    }

    /// A new nonce at `now`, the time since the start: it needs no memory until a right proof comes with it.
    pub(super) fn issue(&self, now: Duration) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let facts = [number.to_be_bytes(), at.to_be_bytes()].concat();
        let mark = self.key.mark(&facts);
        hex(&facts) + &hex(&mark[..MARK])
    }

    /// Number and time of a nonce of ours.
    fn read(&self, text: &str) -> Option<(u64, u64)> {
        let (number, rest) = (text.get(..16)?, text.get(16..)?);
        let (at, mark) = (rest.get(..16)?, rest.get(16..)?);
        let number = u64::from_str_radix(number, 16).ok()?;
        let at = u64::from_str_radix(at, 16).ok()?;
        let facts = [number.to_be_bytes(), at.to_be_bytes()].concat();
        let expected = hex(&self.key.mark(&facts)[..MARK]);
        is_same(mark.as_bytes(), expected.as_bytes()).then_some((number, at))
    }

    /// Takes one use of a nonce, to be asked only after the proof made with it was found right: so nobody without a
    /// password fills the table.
    pub(super) fn redeem(&self, text: &str, count: u32, now: Duration) -> Redeemed {
        let Some((number, at)) = self.read(text) else {
            return Redeemed::Stale;
        };
        let age = now.saturating_sub(Duration::from_millis(at));
        if age > self.life {
            return Redeemed::Stale;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(&mut used, now);
        if number < used.floor {
            return Redeemed::Stale;
        }
        let fresh = Counts {
            at,
            highest: 0,
            below: 0,
        };
        let is_new = used.counts.entry(number).or_insert(fresh).take(count);
        if used.counts.len() > REMEMBERED
            && let Some((oldest, _)) = used.counts.pop_first()
        {
            used.floor = used.floor.max(oldest + 1);
        }
        match is_new {
            false => Redeemed::Stale,
            true if age > self.life / 2 => Redeemed::Aging,
            true => Redeemed::Good,
        }
    }

    /// Lets go of nonces that are too old to be good.
    fn forget(&self, used: &mut Used, now: Duration) {
        while let Some(first) = used.counts.first_entry()
            && now.saturating_sub(Duration::from_millis(first.get().at)) > self.life
        {
            first.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(100);
    const NOW: Duration = Duration::from_secs(7);

    fn nonces(secret: u8) -> Nonces {
        Nonces::new(Key([secret; 32]), LIFE)
    }

    #[test]
    fn the_mark_is_that_of_rfc_4231() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mark = Key(key).mark(b"what do ya want for nothing?");
        assert_eq!(
            hex(&mark),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_count_is_taken_once() {
        let nonces = nonces(1);
        let nonce = nonces.issue(NOW);
        for (case, count, redeemed) in [
            ("the first", 1, Redeemed::Good),
            ("again", 1, Redeemed::Stale),
            ("one overtakes another", 3, Redeemed::Good),
            ("the one overtaken", 2, Redeemed::Good),
            ("that one again", 2, Redeemed::Stale),
            ("none", 0, Redeemed::Stale),
            ("far ahead", 3 + WINDOW, Redeemed::Good),
            ("just inside the window, but used", 3, Redeemed::Stale),
            ("just inside the window", 4, Redeemed::Good),
            ("the farthest", u32::MAX, Redeemed::Good),
            ("behind the window", u32::MAX - WINDOW - 1, Redeemed::Stale),
            ("at its end", u32::MAX - WINDOW, Redeemed::Good),
        ] {
            assert_eq!(nonces.redeem(&nonce, count, NOW), redeemed, "{case}");
        }
    }

    #[test]
    fn a_nonce_is_good_for_its_life_and_where_it_was_made() {
        let here = nonces(1);
        let nonce = here.issue(NOW);
        let other = nonces(2).issue(NOW);
        let changed = nonce.replacen('0', "1", 1);
        for (case, nonce, at, redeemed) in [
            ("half its life", &nonce, NOW + LIFE / 2, Redeemed::Good),
            ("its whole life", &nonce, NOW + LIFE, Redeemed::Aging),
            (
                "a moment more",
                &nonce,
                NOW + LIFE + Duration::from_millis(1),
                Redeemed::Stale,
            ),
            ("of another server", &other, NOW, Redeemed::Stale),
            ("changed", &changed, NOW, Redeemed::Stale),
            ("empty", &String::new(), NOW, Redeemed::Stale),
            ("not text", &"é".repeat(32), NOW, Redeemed::Stale),
        ] {
            let count = u32::try_from(at.as_millis()).unwrap();
            assert_eq!(here.redeem(nonce, count, at), redeemed, "{case}");
        }
    }

    #[test]
    fn what_is_forgotten_is_stale_and_not_new() {
        let nonces = nonces(1);
        let first = nonces.issue(NOW);
        let second = nonces.issue(NOW);
        assert_eq!(nonces.redeem(&first, 1, NOW), Redeemed::Good);
        for _ in 0..REMEMBERED {
            let nonce = nonces.issue(NOW);
            assert_eq!(nonces.redeem(&nonce, 1, NOW), Redeemed::Good);
        }
        assert_eq!(nonces.redeem(&first, 1, NOW), Redeemed::Stale);
        assert_eq!(nonces.redeem(&second, 1, NOW), Redeemed::Good, "never used");
        let used = nonces.used.lock().unwrap();
        assert!(used.counts.len() <= REMEMBERED);
    }
}
