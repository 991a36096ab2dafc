//! Entity-tags of what subscribers are told (RFC 5839 §6.1), and conditions on them.

use serde::{Deserialize, Serialize};
use std::hash::Hash;

/// The key under which tags are made. Secret and kept in the store, so that a subscriber who comes back after a restart
/// with the tag of state that it has still finds it current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagKey(pub [u64; 4]);

/// What a subscriber under `Suppress-If-Match: *` was told last, whatever the state: no tag is this number.
pub const QUENCHED: u64 = 1;

impl TagKey {
    /// The tag of what one subscriber may see. It rests on nothing else: state that the subscriber may not see changes
    /// no tag.
    pub fn of<T: Hash + ?Sized>(&self, seen: &T) -> u64 {
        let [a, b, c, d] = self.0;
        let hash = ahash::RandomState::with_seeds(a, b, c, d).hash_one(seen);
        hash.max(QUENCHED + 1) // 0 is "nothing yet"
    }

    /// What tells one publication from others, and nothing of how many there are.
    pub fn mark(&self, number: u64) -> u64 {
        self.of(&("mark", number)) & 0xffff_ffff
    }
}

/// `Suppress-If-Match` (RFC 5839 §6.2, §6.3): while it holds, the subscriber is sent no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `*`: it always holds, until a SUBSCRIBE without it.
    Always,
    /// It holds while the state has this tag, and is over with the first state that has another: from then on the
    /// subscriber has the newer state, and the old tag coming back is news to it.
    Tag(u64),
}

impl Condition {
    /// Whether it holds for state with this tag.
    pub fn holds(self, tag: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Tag(known) => known == tag,
        }
    }
}
