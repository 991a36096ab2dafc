//! Elements side by side: which of the old ones are which of the new ones, and how each is selected.

use super::classes::Class;
use super::names::Uri;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What tells an element from its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sibling<'t> {
    pub uri: Uri,
    pub local: &'t str,
    /// Its `id`, a value that can stand in a selector.
    pub id: Option<&'t str>,
    /// Set where names repeat, see [`repeat`].
    pub class: Option<Class>,
}

impl<'t> Sibling<'t> {
    fn key(&self) -> Option<Key<'t>> {
        Some((self.uri, self.local, self.id?))
    }
}

type Key<'t> = (Uri, &'t str, &'t str);

/// Takes away each `id` that two siblings of one name share, in the old list or the new.
pub(super) fn distinguish<'t>(old: &mut [Sibling<'t>], new: &mut [Sibling<'t>]) {
    let mut shared = BTreeSet::new();
    for list in [&*old, &*new] {
        let mut seen = BTreeSet::new();
        let keys = list.iter().filter_map(Sibling::key);
        shared.extend(keys.filter(|key| !seen.insert(*key)));
    }
    for sibling in old.iter_mut().chain(new) {
        if sibling.key().is_some_and(|key| shared.contains(&key)) {
            sibling.id = None;
        }
    }
}

/// Pairs of positions in the old and in the new list that are the same element, perhaps changed, both rising. What is
/// in no pair goes, or comes.
pub(super) fn pair(old: &[Sibling<'_>], new: &[Sibling<'_>]) -> Vec<(usize, usize)> {
    let mut taken = vec![false; old.len()];
    let mut partner: Vec<Option<usize>> = vec![None; new.len()];
    let by_key: BTreeMap<_, _> = (0..)
        .zip(old)
        .filter_map(|(i, s)| Some((s.key()?, i)))
        .collect();
    for (sibling, partner) in new.iter().zip(&mut partner) {
        *partner = sibling.key().and_then(|key| by_key.get(&key).copied());
        if let Some(taken) = partner.and_then(|i| taken.get_mut(i)) {
            *taken = true;
        }
    }
    // Without an id: first those that are equal, then those of one name, in their order.
    match_in_order(old, new, &mut taken, &mut partner, |sibling| sibling.class);
    match_in_order(old, new, &mut taken, &mut partner, |sibling| {
        let name = (sibling.uri, sibling.local);
        sibling.id.is_none().then_some(name)
    });
    let pairs = (0..)
        .zip(partner)
        .filter_map(|(new, old)| Some((old?, new)));
    rising(&pairs.collect::<Vec<_>>())
}

/// Whether two siblings without an id have one name, so that which is which shows only in what they say.
pub(super) fn repeat(list: &[Sibling<'_>]) -> bool {
    let mut seen = BTreeSet::new();
    let anonymous = list.iter().filter(|sibling| sibling.id.is_none());
    let mut names = anonymous.map(|sibling| (sibling.uri, sibling.local));
    names.any(|name| !seen.insert(name))
}

fn match_in_order<'t, K: Ord>(
    old: &[Sibling<'t>],
    new: &[Sibling<'t>],
    taken: &mut [bool],
    partner: &mut [Option<usize>],
    key: impl Fn(&Sibling<'t>) -> Option<K>,
) {
    let mut free: BTreeMap<K, VecDeque<usize>> = BTreeMap::new();
    for ((index, sibling), taken) in old.iter().enumerate().zip(&*taken) {
        if let Some(key) = key(sibling).filter(|_| !taken) {
            free.entry(key).or_default().push_back(index);
        }
    }
    for (sibling, partner) in new.iter().zip(partner) {
        if partner.is_some() {
            continue;
        }
        let found = key(sibling).and_then(|key| free.get_mut(&key)?.pop_front());
        if let Some(taken) = found.and_then(|index| taken.get_mut(index)) {
            *taken = true;
        }
        *partner = found;
    }
}

/// A longest subsequence of `pairs` in which the first parts rise; the second parts do already.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // tails[n]: position of the pair that ends the best run of length n + 1; before[i]: the pair in front of i in its run.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let first = |position: usize| pairs.get(position).map_or(0, |pair| pair.0);
    for (position, (old, _)) in pairs.iter().enumerate() {
        let length = tails.partition_point(|tail| first(*tail) < *old);
        before.push(length.checked_sub(1).and_then(|l| tails.get(l).copied()));
        match tails.get_mut(length) {
            Some(tail) => *tail = position,
            None => tails.push(position),
        }
    }
    let mut run = Vec::new();
    let mut at = tails.last().copied();
    while let Some(position) = at {
        run.extend(pairs.get(position));
        at = before.get(position).copied().flatten();
    }
    run.reverse();
    run
}

/// For each sibling, its number among those of the same name (from 1), and whether it is the only one; for one of no
/// namespace, its number among all.
pub(super) fn positions(list: &[Sibling<'_>]) -> Vec<(usize, bool)> {
    let mut counts: BTreeMap<(Uri, &str), usize> = BTreeMap::new();
    let numbers: Vec<usize> = list
        .iter()
        .map(|sibling| {
            let count = counts.entry((sibling.uri, sibling.local)).or_default();
            *count += 1;
            *count
        })
        .collect();
    let alone = |sibling: &Sibling<'_>| counts.get(&(sibling.uri, sibling.local)) == Some(&1);
    list.iter()
        .zip(numbers)
        .enumerate()
        .map(|(index, (sibling, number))| match sibling.uri {
            Uri::NONE => (index + 1, false),
            _ => (number, alone(sibling)),
        })
        .collect()
}
