//! The places of records within an hour, as ranges: where records leave the spool in order, one range is all of them.

use ims::record::{decode, encode};
use std::collections::BTreeMap;

/// Ranges that are kept for an hour. With more holes than that the smallest ones are closed: the count of what is
/// missing stays exact, only the names of the few records in them are lost.
pub const RANGES_MAX: usize = 1_024;

/// A set of places, each below 2^32 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    /// First place to the one behind the last; they neither overlap nor touch.
    ranges: BTreeMap<u32, u32>,
    /// Places in holes that were closed.
    closed: u32,
}

impl Sequences {
    /// The set as it lies in the store. `None`: these bytes are none.
    pub fn read(bytes: &[u8]) -> Option<Sequences> {
        let (closed, lengths): (u32, Vec<(u32, u32)>) = decode(bytes)?;
        let (mut ranges, mut end) = (BTreeMap::new(), 0u32);
        for (hole, length) in lengths {
            let start = end.checked_add(hole)?;
            end = start.checked_add(length)?;
            ranges.insert(start, end);
        }
        Some(Sequences { ranges, closed })
    }

    /// Holes and lengths in turn: a few bytes for each.
    pub fn write(&self) -> Vec<u8> {
        let mut end = 0;
        let lengths = self.ranges.iter().map(|(&start, &next)| {
            let hole = start - std::mem::replace(&mut end, next);
            (hole, next - start)
        });
        let lengths: Vec<(u32, u32)> = lengths.collect();
        encode(&(self.closed, lengths))
    }

    pub fn insert(&mut self, place: u32) {
        let Some(mut end) = place.checked_add(1) else {
            return;
        };
        let mut start = place;
        if let Some((&first, &next)) = self.ranges.range(..=place).next_back() {
            if next > place {
                return;
            }
            if next == place {
                start = first;
            }
        }
        if let Some(next) = self.ranges.remove(&end) {
            end = next;
        }
        self.ranges.insert(start, end);
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Sequences) {
        for (&start, &end) in &other.ranges {
            self.insert_range(start, end);
        }
        self.closed = self.closed.saturating_add(other.closed);
    }

    fn insert_range(&mut self, mut start: u32, mut end: u32) {
        while let Some((&first, &next)) = self.ranges.range(..=end).next_back() {
            if next < start {
                break;
            }
            self.ranges.remove(&first);
            start = start.min(first);
            end = end.max(next);
        }
        self.ranges.insert(start, end);
    }

    /// Keeps the number of ranges within [`RANGES_MAX`].
    pub fn bound(&mut self) {
        while self.ranges.len() > RANGES_MAX {
            let holes = self.ranges.values().zip(self.ranges.keys().skip(1));
            let smallest = holes.min_by_key(|(end, start)| *start - *end);
            let Some((&end, &start)) = smallest else {
                return;
            };
            self.closed = self.closed.saturating_add(start - end);
            self.insert_range(end, start);
        }
    }

    /// How many places there are, with those in holes that were closed.
    pub fn span(&self) -> u64 {
        let lengths = self.ranges.iter();
        lengths.map(|(start, end)| u64::from(end - start)).sum()
    }

    /// First and last place of each run that is missing below `end`.
    pub fn missing_below(&self, end: u32) -> Vec<(u32, u32)> {
        let (mut missing, mut at) = (Vec::new(), 0);
        let ranges = self.ranges.iter().map(|(&start, &next)| (start, next));
        for (start, next) in ranges.chain([(end, end)]) {
            if at < start.min(end) {
                missing.push((at, start.min(end) - 1));
            }
            at = at.max(next);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(places: &[u32]) -> Sequences {
        let mut set = Sequences::default();
        places.iter().for_each(|place| set.insert(*place));
        set
    }

    #[test]
    fn what_is_missing_is_named_by_its_first_and_last_place() {
        for (case, places, end, missing) in [
            ("nothing was written", &[][..], 0, &[][..]),
            ("nothing is left", &[], 3, &[(0, 2)]),
            ("all in order", &[0, 1, 2], 3, &[]),
            ("the last", &[0, 1], 3, &[(2, 2)]),
            ("the first", &[1, 2], 3, &[(0, 0)]),
            ("in between, out of order", &[5, 0, 1, 4], 6, &[(2, 3)]),
            ("twice", &[1, 1, 0, 1], 2, &[]),
            ("above the end", &[0, 9], 2, &[(1, 1)]),
        ] {
            assert_eq!(of(places).missing_below(end), missing, "{case}");
        }
    }

    #[test]
    fn a_million_in_order_are_a_few_bytes() {
        let mut set = Sequences::default();
        (0..1_000_000).for_each(|place| set.insert(place));
        assert!(set.write().len() < 8 && set.span() == 1_000_000);
    }

    #[test]
    fn too_many_holes_are_closed_from_the_smallest_and_counted() {
        let mut set = Sequences::default();
        (0..RANGES_MAX as u32).for_each(|place| set.insert(place * 10));
        set.insert(5_002);
        let places = set.span();
        set.bound();
        assert_eq!(set.ranges.len(), RANGES_MAX);
        assert_eq!(
            (set.closed, set.span()),
            (1, places + 1),
            "5001 was the smallest"
        );
        assert_eq!(Sequences::read(&set.write()), Some(set));
    }

    #[test]
    fn bytes_that_are_no_set_are_refused() {
        assert_eq!(Sequences::read(&[]), None);
        assert_eq!(Sequences::read(&encode(&(0u32, [(u32::MAX, 2u32)]))), None);
    }

    proptest! {
        #[test]
        fn any_order_makes_the_same_set(
            mut places in prop::collection::vec(0u32..60, 0..80),
            more in prop::collection::vec(0u32..60, 0..80),
        ) {
            let mut set = of(&places);
            set.extend(&of(&more));
            places.extend(more);
            let all: std::collections::BTreeSet<u32> = places.into_iter().collect();
            let sorted: Vec<u32> = all.iter().copied().collect();
            prop_assert_eq!(&set, &of(&sorted));
            prop_assert_eq!(set.span(), all.len() as u64);
            let missing: u32 = set.missing_below(60).iter().map(|(a, b)| b - a + 1).sum();
            prop_assert_eq!(missing as usize, 60 - all.len());
            let read = Sequences::read(&set.write());
            prop_assert_eq!(read, Some(set));
        }
    }
}
