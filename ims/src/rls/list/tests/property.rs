//! Random documents that refer to one another: reading them ends, and gives what the words of RFC 4826 §4.5 give.

use super::*;
use proptest::prelude::*;

/// Documents, lists of a document, children of a list.
type World = Vec<Vec<Vec<Child>>>;

#[derive(Clone, Debug)]
enum Child {
    Entry(usize),
    Nested(Vec<Child>),
    External(usize, usize),
    Reference(usize, usize, usize),
    /// A member that is the URI of a service, whose list is this one.
    Service(usize, usize),
}

fn child() -> impl Strategy<Value = Child> {
    let leaf = prop_oneof![
        6 => (0..12usize).prop_map(Child::Entry),
        2 => (0..4usize, 0..3usize).prop_map(|(d, l)| Child::External(d, l)),
        1 => (0..4usize, 0..3usize, 0..4usize).prop_map(|(d, l, n)| Child::Reference(d, l, n)),
        2 => (0..4usize, 0..3usize).prop_map(|(d, l)| Child::Service(d, l)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Child::Nested)
    })
}

fn world() -> impl Strategy<Value = World> {
    let list = prop::collection::vec(child(), 0..6);
    prop::collection::vec(prop::collection::vec(list, 1..4), 1..5)
}

fn text(children: &[Child]) -> String {
    let one = |child: &Child| match child {
        Child::Entry(n) => format!("<entry uri='sip:u{n}@x.test'/>"),
        Child::Nested(inner) => format!("<list>{}</list>", text(inner)),
        Child::External(d, l) => format!("<external anchor='d{d}#l{l}'/>"),
        Child::Reference(d, l, n) => format!("<entry-ref ref='d{d}#l{l}>{}'/>", n + 1),
        Child::Service(d, l) => format!("<entry uri='sip:s{d}-{l}@x.test'/>"),
    };
    children.iter().map(one).collect()
}

fn places(world: &World) -> Places {
    let mut places = Places::default();
    for (d, lists) in world.iter().enumerate() {
        let all = lists.iter().enumerate();
        let all: String = all
            .map(|(l, children)| format!("<list name='l{l}'>{}</list>", text(children)))
            .collect();
        places = places.with(&format!("d{d}"), &all);
        for l in 0..lists.len() {
            places = places.service(&format!("sip:s{d}-{l}@x.test"), Ok(&format!("d{d}#l{l}")));
        }
    }
    places
}

/// The same in the words of the RFC: a flat list and a traversed list.
struct Naive<'a> {
    world: &'a World,
    flat: Vec<String>,
    seen: Vec<String>,
    traversed: Vec<(usize, usize)>,
    path: Vec<(usize, usize)>,
}

impl Naive<'_> {
    fn list(&mut self, d: usize, l: usize) {
        self.traversed.push((d, l));
        self.path.push((d, l));
        let world = self.world;
        self.children(&world[d][l]);
        self.path.pop();
    }

    fn children(&mut self, children: &[Child]) {
        for child in children {
            match child {
                Child::Entry(n) => self.add(format!("u{n}")),
                Child::Nested(inner) => self.children(inner),
                Child::External(d, l) => {
                    let there = self.world.get(*d).is_some_and(|lists| lists.len() > *l);
                    if there && !self.traversed.contains(&(*d, *l)) {
                        self.list(*d, *l);
                    }
                }
                Child::Reference(d, l, n) => {
                    let list = self.world.get(*d).and_then(|lists| lists.get(*l));
                    let is_entry = |c: &&Child| matches!(c, Child::Entry(_) | Child::Service(..));
                    let mut entries = list.into_iter().flatten().filter(is_entry);
                    if let Some(child) = entries.nth(*n) {
                        self.children(std::slice::from_ref(child));
                    }
                }
                Child::Service(d, l) => self.service(*d, *l),
            }
        }
    }

    fn service(&mut self, d: usize, l: usize) {
        let uri = format!("s{d}-{l}");
        if self.world.get(d).is_none_or(|lists| lists.len() <= l) {
            return self.add(uri); // the URI of nobody's list
        }
        if self.seen.contains(&uri) {
            return;
        }
        if self.path.contains(&(d, l)) {
            self.flat.push(format!("{uri}!noresource"));
            return self.seen.push(uri);
        }
        self.seen.push(uri);
        if !self.traversed.contains(&(d, l)) {
            self.list(d, l);
        }
    }

    fn add(&mut self, member: String) {
        if !self.seen.contains(&member) {
            self.seen.push(member.clone());
            self.flat.push(member);
        }
    }
}

proptest! {
    #[test]
    fn a_list_is_what_the_rfc_says_whatever_refers_to_what(world in world()) {
        let limits = Limits {
            depth: 64,
            references: 10_000,
            lists: 10_000,
            ..Limits::default()
        };
        let places = places(&world);
        let listed = places.read("d0#l0", &limits);
        let list = listed.list.unwrap();
        let mut naive = Naive {
            world: &world,
            flat: Vec::new(),
            seen: Vec::new(),
            traversed: Vec::new(),
            path: Vec::new(),
        };
        naive.list(0, 0);
        prop_assert_eq!(shown(&list), naive.flat.join(" "));

        // told nested, it has the same people, each once, and ends as well
        let kept = Limits { nesting: Nesting::Kept, ..limits };
        let nested = places.read("d0#l0", &kept).list.unwrap();
        let mut uris = Vec::new();
        collect(&nested, &mut uris);
        let people = |uri: &&str| uri.starts_with("sip:u");
        let mut one: Vec<&str> = uris.iter().map(|uri| &**uri).filter(people).collect();
        let flat = list.resources.iter().map(|r| &*r.uri);
        let mut other: Vec<&str> = flat.filter(people).collect();
        let all = uris.len();
        one.sort();
        other.sort();
        prop_assert_eq!(one, other);
        uris.sort();
        uris.dedup();
        prop_assert_eq!(uris.len(), all, "each URI once in the whole list");
    }
}

fn collect(list: &List, uris: &mut Vec<Box<str>>) {
    for resource in &list.resources {
        uris.push(resource.uri.clone());
        if let Kind::List(list) = &resource.kind {
            collect(list, uris);
        }
    }
}
