//! Deadlines of long-lived state, in buckets of one second.
//!
//! An entry is a hint: when it is due, its owner looks at the real deadline, which may have moved on, and asks
//! for another look. So a refresh costs nothing here, and each object has one entry at a time.

use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Entries that are due in the same second, under the second (since the epoch, rounded up).
#[derive(Debug)]
pub struct Deadlines<K> {
    buckets: BTreeMap<u64, Vec<K>>,
    len: usize,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines {
            buckets: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<K> Deadlines<K> {
    /// Asks for a look at `key` at `at`, up to one second late and never early.
    pub fn at(&mut self, at: Timestamp, key: K) {
        self.buckets
            .entry(at.0.div_ceil(1000))
            .or_default()
            .push(key);
        self.len += 1;
    }

    /// When the first entry is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.buckets
            .keys()
            .next()
            .map(|second| Timestamp(second * 1000))
    }

    /// Takes the entries of the first bucket that is due. At most one bucket a call bounds the work of one turn.
    pub fn due(&mut self, now: Timestamp) -> Vec<K> {
        match self.buckets.first_entry() {
            Some(first) if first.key() * 1000 <= now.0 => {
                let due = first.remove();
                self.len -= due.len();
                due
            }
            _ => Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_due_at_its_second_and_never_before() {
        let mut deadlines = Deadlines::default();
        deadlines.at(Timestamp(1_500), 'a');
        deadlines.at(Timestamp(2_000), 'b');
        deadlines.at(Timestamp(2_001), 'c');
        assert_eq!(deadlines.next(), Some(Timestamp(2_000)));
        assert_eq!(deadlines.due(Timestamp(1_999)), Vec::<char>::new());
        assert_eq!(deadlines.due(Timestamp(2_000)), vec!['a', 'b']);
        assert_eq!(deadlines.len(), 1);
        assert_eq!(deadlines.due(Timestamp(3_000)), vec!['c']);
        assert!(deadlines.is_empty() && deadlines.next().is_none());
    }
}
