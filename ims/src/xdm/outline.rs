//! One resource-lists document, ready to be asked who is in which of its lists.
//!
//! A list is a range of positions: its members, and those of the lists inside it, stand between its start and its
//! end. So "is this identity in that list, however deep" is one search in a sorted table and one comparison.

use super::anchor::{Anchor, Kind, Step};
use super::usage::resource_lists::{NAMESPACE, limits};
use crate::sip::Aor;
use crate::xml::guard;
use roxmltree::Node;

/// The lists of one document.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// In the order of the document.
    lists: Vec<List>,
    /// Which list each position belongs to, and whether an entry stands there.
    owners: Vec<Owner>,
    /// Identities with their positions, sorted.
    entries: Vec<Entry>,
    /// The identities of `entries`, one after the other: a document may have ten thousand, and a server of a million
    /// subscribers keeps many documents ready.
    text: Box<str>,
    links: Vec<Link>,
}

/// The list of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    OfEntry(u32),
    OfLink(u32),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its identity is in [`Outline::text`].
    start: u32,
    end: u32,
    at: u32,
}

#[derive(Debug)]
struct List {
    name: Option<Box<str>>,
    parent: Option<u32>,
    /// Counted from 1 among the lists of its parent.
    nth: u32,
    start: u32,
    end: u32,
}

/// A member that stands in another place.
#[derive(Debug)]
pub(super) struct Link {
    at: u32,
    pub kind: Kind,
    /// `None`: not on this server, or nothing that could be read here.
    pub target: Option<Anchor>,
}

impl Outline {
    /// Reads a document; `None` when it is no document of lists.
    pub fn read(document: &[u8], roots: &[String]) -> Option<Outline> {
        let document = guard::parse(document, &limits(usize::MAX)).ok()?;
        let root = document.root_element();
        let mut outline = Outline::default();
        if !is(root, "resource-lists") {
            return None;
        }
        let mut identities = Vec::new();
        outline.members(root, None, roots, &mut identities);
        identities.sort_unstable();
        outline.keep(&identities);
        Some(outline)
    }

    /// Takes the identities with their positions, sorted.
    fn keep(&mut self, identities: &[(Aor, u32)]) {
        let mut text = String::new();
        let mut last = 0..0;
        for (aor, at) in identities {
            if text.get(last.clone()) != Some(aor.as_str()) {
                last = text.len()..text.len() + aor.as_str().len();
                text.push_str(aor.as_str());
            }
            self.entries.push(Entry {
                start: number(last.start),
                end: number(last.end),
                at: *at,
            });
        }
        self.entries.shrink_to_fit();
        self.owners.shrink_to_fit();
        self.text = text.into();
    }

    fn identity(&self, entry: &Entry) -> &str {
        let (start, end) = (entry.start as usize, entry.end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    /// About what it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        let links = self.links.iter().map(|link| {
            let target = link.target.as_ref().map_or(0, Anchor::weight);
            size_of::<Link>() + target
        });
        let named = self.lists.iter().map(|list| {
            let name = list.name.as_ref().map_or(0, |name| name.len());
            size_of::<List>() + name
        });
        size_of::<Outline>()
            + self.owners.len() * size_of::<Owner>()
            + self.entries.len() * size_of::<Entry>()
            + self.text.len()
            + links.sum::<usize>()
            + named.sum::<usize>()
    }

    /// Nesting is bounded by the guard.
    fn members(
        &mut self,
        node: Node<'_, '_>,
        parent: Option<u32>,
        roots: &[String],
        identities: &mut Vec<(Aor, u32)>,
    ) {
        let mut lists = 0;
        for member in node.children().filter(Node::is_element) {
            let at = number(self.owners.len());
            if is(member, "list") {
                lists += 1;
                let index = self.lists.len();
                self.lists.push(List {
                    name: member.attribute("name").map(Box::from),
                    parent,
                    nth: lists,
                    start: at,
                    end: at,
                });
                self.members(member, Some(number(index)), roots, identities);
                let end = number(self.owners.len());
                if let Some(list) = self.lists.get_mut(index) {
                    list.end = end;
                }
                continue;
            }
            let Some(owner) = parent else { continue };
            let reference = match () {
                () if is(member, "entry") => {
                    let uri = member.attribute("uri").and_then(Aor::parse);
                    identities.extend(uri.map(|aor| (aor, at)));
                    self.owners.push(Owner::OfEntry(owner));
                    continue;
                }
                () if is(member, "entry-ref") => (Kind::Entry, member.attribute("ref")),
                () if is(member, "external") => (Kind::List, member.attribute("anchor")),
                () => continue,
            };
            let (kind, Some(text)) = reference else {
                continue; // an external without an anchor names nothing
            };
            self.owners.push(Owner::OfLink(owner));
            self.links.push(Link {
                at,
                kind,
                target: Anchor::parse(text, roots).ok(),
            });
        }
    }

    /// The list at the end of `steps`; a selector that names none or several is invalid (RFC 4825 §6.3).
    pub fn list(&self, steps: &[Step]) -> Option<u32> {
        let mut at = None;
        for step in steps {
            if step.kind != Kind::List {
                return None;
            }
            let parent = at;
            let fits = |list: &List| {
                list.parent == parent
                    && step.position.is_none_or(|n| list.nth == n)
                    && step
                        .value
                        .as_deref()
                        .is_none_or(|v| list.name.as_deref() == Some(v))
            };
            let mut found = (0..).zip(&self.lists).filter(|(_, list)| fits(list));
            at = Some(found.next()?.0);
            if found.next().is_some() {
                return None;
            }
        }
        at
    }

    /// The identity at the entry at the end of `steps`.
    pub fn entry(&self, steps: &[Step]) -> Option<&str> {
        let (last, lists) = steps.split_last()?;
        if last.kind != Kind::Entry {
            return None;
        }
        let list = self.list(lists)?;
        let is_own = |at: &u32| self.owners.get(*at as usize) == Some(&Owner::OfEntry(list));
        let Some(value) = last.value.as_deref() else {
            let places = 0..number(self.owners.len());
            let mut own = places.filter(is_own);
            let at = match last.position {
                Some(n) => own.nth(usize::try_from(n).ok()?.checked_sub(1)?)?,
                None => own.next().filter(|_| own.next().is_none())?,
            };
            let mut entries = self.entries.iter();
            let entry = entries.find(|entry| entry.at == at)?;
            return Some(self.identity(entry));
        };
        let named = Aor::parse(value)?;
        let first = self.first(named.as_str(), 0);
        let spelt = self.entries.get(first..)?.iter();
        let entry = spelt
            .take_while(|entry| self.identity(entry) == named.as_str())
            .find(|entry| is_own(&entry.at))?;
        let before = || (0..entry.at).filter(is_own).count();
        let counted = last
            .position
            .is_none_or(|n| usize::try_from(n).is_ok_and(|n| n == before() + 1));
        counted.then(|| self.identity(entry))
    }

    /// The first entry of the identity at this position or later.
    fn first(&self, identity: &str, at: u32) -> usize {
        self.entries
            .partition_point(|entry| (self.identity(entry), entry.at) < (identity, at))
    }

    /// Whether one of the identities is an entry of the list, or of a list inside it.
    pub fn holds(&self, list: u32, identities: &[Aor]) -> bool {
        let Some(List { start, end, .. }) = self.lists.get(list as usize) else {
            return false;
        };
        identities.iter().any(|identity| {
            let first = self.first(identity.as_str(), *start);
            let entry = self.entries.get(first);
            entry.is_some_and(|entry| self.identity(entry) == identity.as_str() && entry.at < *end)
        })
    }

    /// What the list, or a list inside it, takes from other places.
    pub fn links(&self, list: u32) -> &[Link] {
        let Some(List { start, end, .. }) = self.lists.get(list as usize) else {
            return &[];
        };
        let first = self.links.partition_point(|link| link.at < *start);
        let last = self.links.partition_point(|link| link.at < *end);
        self.links.get(first..last).unwrap_or_default()
    }
}

/// Members and lists of a document are far fewer: its length is bounded.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn is(node: Node<'_, '_>, local: &str) -> bool {
    node.tag_name().namespace() == Some(NAMESPACE) && node.tag_name().name() == local
}
