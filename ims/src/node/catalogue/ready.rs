//! Documents taken apart, kept within a bound while they are as they were.

use crate::xdm::DocumentKey;
use bytes::Bytes;
use indexmap::IndexMap;
use std::sync::Arc;

/// What a document takes beside what is made of it, in bytes.
const ENTRY: usize = 160;

/// What was made of documents.
#[derive(Debug)]
pub(super) struct Ready<T> {
    /// Most bytes, all together.
    most: usize,
    kept: IndexMap<DocumentKey, One<T>, ahash::RandomState>,
    weight: usize,
    /// Which of them goes next when room is needed.
    oldest: usize,
}

#[derive(Debug)]
struct One<T> {
    /// The document; the same bytes in the same place are the same version.
    bytes: Bytes,
    /// `None`: it is not what it should be.
    made: Option<Arc<T>>,
    weight: usize,
}

impl<T> Ready<T> {
    pub fn new(most: usize, hash: ahash::RandomState) -> Ready<T> {
        Ready {
            most,
            kept: IndexMap::with_hasher(hash),
            weight: 0,
            oldest: 0,
        }
    }

    /// What `make` makes of a document, with its weight in bytes.
    pub fn of(
        &mut self,
        key: &DocumentKey,
        bytes: &Bytes,
        make: impl FnOnce(&[u8]) -> Option<(T, usize)>,
    ) -> Option<Arc<T>> {
        let known = self.kept.get(key);
        if let Some(known) = known.filter(|one| is_same(&one.bytes, bytes)) {
            return known.made.clone();
        }
        let made = make(bytes);
        let weight = ENTRY + made.as_ref().map_or(0, |(_, weight)| *weight);
        let made = made.map(|(made, _)| Arc::new(made));
        let one = One {
            bytes: bytes.clone(),
            made: made.clone(),
            weight,
        };
        self.weight += weight;
        if let Some(before) = self.kept.insert(key.clone(), one) {
            self.weight -= before.weight;
        }
        while self.weight > self.most && self.kept.len() > 1 {
            self.oldest = (self.oldest + 1) % (self.kept.len() - 1); // never the one that came last
            if let Some((_, gone)) = self.kept.swap_remove_index(self.oldest) {
                self.weight -= gone.weight;
            }
        }
        made
    }

    /// The document changed or is gone.
    pub fn changed(&mut self, key: &DocumentKey) {
        if let Some(gone) = self.kept.swap_remove(key) {
            self.weight -= gone.weight;
        }
    }
}

fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Aor;

    #[test]
    fn what_is_kept_is_bounded_and_never_out_of_date() {
        let hash = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let mut ready: Ready<Vec<u8>> = Ready::new(10_000, hash);
        let key = |n: usize| {
            let user = Aor::parse(&format!("sip:u{n}@ims.test")).unwrap();
            DocumentKey::user(user, "resource-lists", "index")
        };
        let copied = |bytes: &[u8]| Some((bytes.to_vec(), bytes.len()));
        let documents: Vec<Bytes> = (0..100u8).map(|n| vec![n; 900].into()).collect();
        for (n, document) in documents.iter().enumerate() {
            let made = ready.of(&key(n), document, copied).unwrap();
            assert_eq!(*made, **document);
            assert!(ready.weight <= 10_000 && ready.kept.contains_key(&key(n)));
        }
        let sum: usize = ready.kept.values().map(|one| one.weight).sum();
        assert_eq!(ready.weight, sum);

        let (last, other) = (documents.last().unwrap(), Bytes::from(vec![99; 900]));
        let unread = |_: &[u8]| -> Option<(Vec<u8>, usize)> { panic!("it is ready") };
        assert_eq!(*ready.of(&key(99), last, unread).unwrap(), **last);
        assert!(
            ready.of(&key(99), &other, |_| None).is_none(),
            "the same bytes in another place are another version"
        );
        assert!(ready.of(&key(99), last, copied).is_some());
        ready.changed(&key(99));
        assert!(ready.of(&key(99), last, |_| None).is_none());
    }
}
