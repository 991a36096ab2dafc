//! Entity-tags of what watchers are shown (RFC 5839 §6.1).

use crate::presence::content::Authorized;
use serde::{Deserialize, Serialize};

/// The key under which tags are made. Secret and kept in the store, so that a watcher who comes back after a restart
/// with the tag of state that it has still finds it current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagKey(pub [u64; 4]);

/// What a watcher under `Suppress-If-Match: *` was shown last, whatever the state: no tag is this number.
pub(super) const QUENCHED: u64 = 1;

impl TagKey {
    /// The tag of a document as one watcher may see it. It rests on nothing but these bytes: state that a watcher may
    /// not see changes no tag, and a polite block has the tag of real absence.
    pub(super) fn of(&self, document: &[u8]) -> u64 {
        let [a, b, c, d] = self.0;
        let hash = ahash::RandomState::with_seeds(a, b, c, d).hash_one(document);
        hash.max(QUENCHED + 1) // 0 is "nothing yet"
    }

    /// The same with the objects that go with the document.
    pub(super) fn of_document(&self, document: &Authorized) -> u64 {
        if document.objects().is_empty() {
            return self.of(document.bytes());
        }
        let [a, b, c, d] = self.0;
        let state = ahash::RandomState::with_seeds(a, b, c, d);
        let hash = state.hash_one((&document.bytes()[..], document.objects()));
        hash.max(QUENCHED + 1)
    }

    /// The tag where no state is told: the subscription waits for the presentity, or was refused.
    pub(super) fn of_nothing(&self) -> u64 {
        self.of(&[])
    }
}
