//! Presence authorisation rules, ready for decisions: made when their document is written, or when it is first asked for.

use crate::presence::rules::Ruleset;
use crate::xdm::{Document, DocumentKey};
use indexmap::IndexMap;
use std::sync::Arc;

/// Rules that are kept ready, of all documents together: some 100 MB. Those of presentities who have watchers are kept
/// by the presence service beside these.
const READY: usize = 200_000;

#[derive(Debug)]
pub(super) struct Rules {
    ready: IndexMap<DocumentKey, Arc<Ruleset>, ahash::RandomState>,
    /// Of all that is ready.
    weight: usize,
    /// Which of them goes next when room is needed.
    oldest: usize,
}

impl Rules {
    pub fn new(hash: ahash::RandomState) -> Rules {
        Rules {
            ready: IndexMap::with_hasher(hash),
            weight: 0,
            oldest: 0,
        }
    }

    /// The rules of a document.
    pub fn of(&mut self, key: &DocumentKey, document: &Document) -> Arc<Ruleset> {
        if let Some(ready) = self.ready.get(key) {
            return ready.clone();
        }
        // a stored document was valid when it was put; one that no longer parses may have rejected somebody
        let rules = Ruleset::parse(&document.bytes).unwrap_or_else(|_| Ruleset::closed());
        let rules = Arc::new(rules);
        self.weight += rules.weight();
        self.ready.insert(key.clone(), rules.clone());
        while self.weight > READY && self.ready.len() > 1 {
            self.oldest = (self.oldest + 1) % (self.ready.len() - 1); // never the one that came last
            if let Some((_, gone)) = self.ready.swap_remove_index(self.oldest) {
                self.weight -= gone.weight();
            }
        }
        rules
    }

    /// The document changed or is gone.
    pub fn changed(&mut self, key: &DocumentKey) {
        if let Some(gone) = self.ready.swap_remove(key) {
            self.weight -= gone.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Aor;

    #[test]
    fn what_is_kept_ready_is_bounded_and_never_out_of_date() {
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let mut rules = Rules::new(hash);
        let document = |count: usize| {
            let rule = |n| format!("<rule id=\"r{n}\"><conditions/></rule>");
            let all: String = (0..count).map(rule).collect();
            let text =
                format!("<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\">{all}</ruleset>");
            Document::new("e", text)
        };
        let key = |n: usize| {
            let user = Aor::parse(&format!("sip:u{n}@ims.test")).unwrap();
            DocumentKey::user(user, "pres-rules", "index")
        };
        let one = document(1_000);
        for n in 0..1_000 {
            rules.of(&key(n), &one);
            assert!(rules.weight <= READY && rules.ready.contains_key(&key(n)));
        }
        let sum: usize = rules.ready.values().map(|r| r.weight()).sum();
        assert_eq!(rules.weight, sum);
        let old = rules.of(&key(0), &document(3));
        assert_eq!(
            rules.of(&key(0), &document(2)),
            old,
            "nobody said that it changed"
        );
        rules.changed(&key(0));
        assert_ne!(rules.of(&key(0), &document(2)), old);
    }
}
