//! The flat list of RFC 4826 §4.5: references followed, every URI once, everything bounded.

use super::sheet::{Entry, Item, Sheet};
use super::{Absent, Found, Kind, Limits, List, Listed, Name, Nesting, References, Resource};
use crate::event::subscription::End;
use crate::sip::canonical;
use crate::sip::{Scheme, Uri};
use indexmap::IndexSet;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest text of a member that is told, in bytes.
const LONGEST: usize = 1024;
/// Most faults that are kept of one reading.
const FAULTS: usize = 16;

/// A list of a document.
type Place = (u32, u32);

/// One list on its way to be flat.
pub(super) struct Expansion<'a> {
    references: &'a dyn References,
    limits: &'a Limits,
    /// URIs that are in the list, as they are compared.
    seen: IndexSet<Box<str>, ahash::RandomState>,
    /// Lists between the beginning and here, and all that were entered by a reference.
    path: Vec<Place>,
    traversed: BTreeSet<Place>,
    /// Documents that were read.
    documents: BTreeSet<u32>,
    bytes: usize,
    followed: usize,
    lists: usize,
    members: usize,
    listed: usize,
    stalled: bool,
    failed: bool,
    faults: Vec<Box<str>>,
}

impl<'a> Expansion<'a> {
    pub fn new(
        references: &'a dyn References,
        limits: &'a Limits,
        hash: ahash::RandomState,
    ) -> Expansion<'a> {
        Expansion {
            references,
            limits,
            seen: IndexSet::with_hasher(hash),
            path: Vec::new(),
            traversed: BTreeSet::new(),
            documents: BTreeSet::new(),
            bytes: 0,
            followed: 0,
            lists: 0,
            members: 0,
            listed: 0,
            stalled: false,
            failed: false,
            faults: Vec::new(),
        }
    }

    /// The list that was found, under this URI.
    pub fn read(mut self, uri: &str, found: Result<Option<Found>, Absent>) -> Listed {
        let list = match found {
            Ok(None) => None,
            Ok(Some(found)) => Some(self.top(uri, &found)),
            Err(absent) => {
                self.absent(absent, "the list of the service");
                // it may be there again: until then it is not known what it is
                let comes = matches!(absent, Absent::Waiting | Absent::Unreadable);
                self.stalled |= comes;
                (!comes).then(|| List::of(uri))
            }
        };
        self.end(list)
    }

    /// All lists of a document that came with the request.
    pub fn contained(mut self, uri: &str, sheet: Sheet) -> Listed {
        let sheet = Arc::new(sheet);
        let mut list = List::of(uri);
        for at in sheet.topmost() {
            let found = Found {
                sheet: sheet.clone(),
                at,
                document: 0,
            };
            if list.names.is_empty() {
                list.names = found.names();
            }
            self.walk(&found, &mut list.resources);
        }
        self.failed = false; // a watcher who brings a list is told of each member what is wrong with it
        self.end(Some(list))
    }

    fn end(self, list: Option<List>) -> Listed {
        Listed {
            list: list.map(Arc::new),
            refused: self.failed && self.limits.refuses,
            stalled: self.stalled,
            faults: self.faults,
        }
    }

    fn top(&mut self, uri: &str, found: &Found) -> List {
        let mut list = List::of(uri);
        list.names = found.names();
        if self.enters(found) {
            self.walk(found, &mut list.resources);
        }
        list.resources.shrink_to_fit();
        list
    }

    /// The members of a list and of those inside it, in their order. The depth is bounded.
    fn walk(&mut self, found: &Found, out: &mut Vec<Resource>) {
        if self.path.len() >= self.limits.depth {
            return self.fault("lists are nested too deeply");
        }
        let Some(roll) = found.sheet.roll(found.at) else {
            return;
        };
        self.path.push(found.place());
        for item in &roll.items {
            match item {
                Item::Entry(at) => {
                    if let Some(entry) = found.sheet.member(*at) {
                        self.member(found, entry, &entry.names, out);
                    }
                }
                Item::List(at) if self.takes_list() => self.walk(&found.with(*at), out),
                Item::List(_) => {}
                Item::Reference { to, names } => self.reference(found, to, names, out),
                Item::External(anchor) => {
                    self.external(found, anchor.as_deref().unwrap_or_default(), out);
                }
            }
        }
        self.path.pop();
    }

    /// A reference that leads to no entry should be answered 502 (RFC 4826 §4.5), or left out, as the operator says.
    fn reference(&mut self, from: &Found, to: &str, names: &[Name], out: &mut Vec<Resource>) {
        if !self.may_follow() {
            return;
        }
        match self.references.entry(from.document, to) {
            Ok(found) if self.reads(&found) => {
                if let Some(entry) = found.sheet.member(found.at) {
                    // the name that stands beside the reference is the nearer one
                    let names = if names.is_empty() {
                        &entry.names
                    } else {
                        names
                    };
                    self.member(&found, entry, names, out);
                }
            }
            Ok(_) => {}
            Err(absent) => self.absent(absent, "an entry that is referred to"),
        }
    }

    /// What an anchor names must not be read a second time (RFC 4826 §4.5), so that nothing is followed for ever.
    fn external(&mut self, from: &Found, anchor: &str, out: &mut Vec<Resource>) {
        if !self.may_follow() || !self.takes_list() {
            return;
        }
        match self.references.list(from.document, anchor) {
            Ok(found) if self.path.contains(&found.place()) => self.fault("a list is in a loop"),
            Ok(found) if self.traversed.contains(&found.place()) => {
                self.fault("a list is referred to twice");
            }
            Ok(found) if self.enters(&found) => self.walk(&found, out),
            Ok(_) => {}
            Err(absent) => self.absent(absent, "an external list"),
        }
    }

    /// A URI is a member once, and if it has a scheme that can be subscribed to (RFC 4826 §4.5).
    fn member(&mut self, from: &Found, entry: &Entry, names: &[Name], out: &mut Vec<Resource>) {
        if entry.uri.len() > LONGEST || entry.uri.is_empty() {
            return self.fault("a member without a URI, or too long a one");
        }
        if self.listed >= self.limits.listed {
            return self.fault("more members than are told of");
        }
        let key = key(&entry.uri);
        let served = key.is_some();
        let key = key.unwrap_or_else(|| entry.uri.clone());
        if self.seen.contains(&key) {
            return;
        }
        let kind = match served {
            true => match self.references.service(from.document, &key) {
                Ok(None) => self.presentity(),
                Ok(Some(found)) => {
                    self.seen.insert(key);
                    return self.nested(entry, names, &found, out);
                }
                Err(Absent::Waiting) => {
                    self.stalled = true;
                    return;
                }
                Err(Absent::Foreign) => Kind::Refused(End::Rejected),
                Err(absent) => {
                    self.absent(absent, "a list that is a member");
                    Kind::Refused(End::NoResource)
                }
            },
            false => {
                self.fault("a member that cannot be subscribed to");
                Kind::Refused(End::NoResource)
            }
        };
        self.seen.insert(key);
        self.push(entry, names, kind, out);
    }

    fn presentity(&mut self) -> Kind {
        if self.members >= self.limits.members {
            self.fault("more members than are subscribed to");
            return Kind::Excess;
        }
        self.members += 1;
        Kind::Presentity
    }

    fn push(&mut self, entry: &Entry, names: &[Name], kind: Kind, out: &mut Vec<Resource>) {
        self.listed += 1;
        out.push(Resource {
            uri: entry.uri.clone(),
            names: names.to_vec(),
            kind,
        });
    }

    /// A member that is a list itself (RFC 4662 §4.2).
    fn nested(&mut self, entry: &Entry, names: &[Name], found: &Found, out: &mut Vec<Resource>) {
        if self.path.contains(&found.place()) {
            self.fault("a list is in a loop");
            return self.push(entry, names, Kind::Refused(End::NoResource), out);
        }
        if !self.takes_list() || !self.reads(found) {
            return self.push(entry, names, Kind::Excess, out);
        }
        // a list that was read before has its members where it was
        let is_new = self.traversed.insert(found.place());
        match self.limits.nesting {
            Nesting::Flattened if is_new => self.walk(found, out),
            Nesting::Flattened => {}
            Nesting::Kept => {
                let mut list = List::of(&entry.uri);
                list.names = found.names();
                if is_new {
                    self.walk(found, &mut list.resources);
                }
                self.push(entry, names, Kind::List(Box::new(list)), out);
            }
        }
    }

    /// One more reference, unless there have been too many.
    fn may_follow(&mut self) -> bool {
        let may = self.followed < self.limits.references;
        self.followed += 1;
        if !may {
            self.fault("more references than are followed");
        }
        may
    }

    /// One more list inside the list, unless there have been too many.
    fn takes_list(&mut self) -> bool {
        let takes = self.lists < self.limits.lists;
        self.lists += 1;
        if !takes {
            self.fault("more lists than are read");
        }
        takes
    }

    /// Takes note of a list that a reference leads to; `false`: it was read before, or is too much.
    fn enters(&mut self, found: &Found) -> bool {
        self.reads(found) && self.traversed.insert(found.place())
    }

    /// Whether a document may be read, too.
    fn reads(&mut self, found: &Found) -> bool {
        if self.documents.contains(&found.document) {
            return true;
        }
        if self.bytes + found.sheet.bytes() > self.limits.bytes {
            self.fault("more documents than are read");
            return false;
        }
        self.bytes += found.sheet.bytes();
        self.documents.insert(found.document);
        true
    }

    fn absent(&mut self, absent: Absent, what: &str) {
        match absent {
            Absent::Waiting => self.stalled = true,
            Absent::Missing => self.fault(&format!("{what} is not there")),
            Absent::Foreign => self.fault(&format!("{what} is somebody else's")),
            Absent::Unreadable => self.fault(&format!("{what} cannot be read")),
            Absent::Discarded => self.note(&format!("{what} counts for nothing here")),
        }
    }

    /// Something could not be read, or not all of it.
    fn fault(&mut self, what: &str) {
        self.failed = true;
        self.note(what);
    }

    fn note(&mut self, what: &str) {
        let known = self.faults.iter().any(|fault| **fault == *what);
        if !known && self.faults.len() < FAULTS {
            self.faults.push(what.into());
        }
    }
}

impl List {
    fn of(uri: &str) -> List {
        List {
            uri: uri.into(),
            ..List::default()
        }
    }
}

impl Found {
    fn place(&self) -> Place {
        (self.document, self.at)
    }

    fn with(&self, at: u32) -> Found {
        Found { at, ..self.clone() }
    }

    fn names(&self) -> Vec<Name> {
        self.sheet
            .roll(self.at)
            .map_or(Vec::new(), |roll| roll.names.clone())
    }
}

/// A member as it is compared: two spellings of one URI are one member, and so are `pres:` and `sip:` of one presentity
/// (RFC 3859 §3.2: it is subscribed to by SIP). `None`: nobody who can be subscribed to.
fn key(uri: &str) -> Option<Box<str>> {
    if is_plain(uri) {
        return Some(uri.into());
    }
    let uri = Uri::parse(uri)?;
    let canonical = canonical::of(&uri);
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => Some(canonical.into()),
        Scheme::Tel => Some(canonical.into()),
        Scheme::Pres => {
            let rest = canonical.strip_prefix("pres:")?;
            Some(format!("sip:{rest}").into())
        }
        Scheme::Im | Scheme::Urn | Scheme::Other(_) => None,
    }
}

/// Whether a text is a SIP URI of the plainest kind, as nearly all are: `sip:user@host.name`, canonical as it is.
fn is_plain(uri: &str) -> bool {
    let Some((user, host)) = uri.strip_prefix("sip:").and_then(|u| u.split_once('@')) else {
        return false;
    };
    let mark = |b: u8| matches!(b, b'-' | b'_' | b'.' | b'+');
    let of_host = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !user.is_empty()
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || mark(b))
        && host.len() <= 255
        && host.starts_with(|c: char| c.is_ascii_lowercase())
        && host.bytes().all(of_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_its_own_canonical_spelling() {
        let mut plain = 0;
        for text in [
            "sip:a@x.test",
            "sip:+36-1@x-y.test",
            "sip:A.b_c@x",
            "sip:@x.test",
            "sip:a@",
            "sip:a@X.test",
            "sip:a@1.2.3.4",
            "sip:a@x.test:5060",
            "sip:a@x.test;p",
            "sip:a:b@x.test",
            "sip:%61@x.test",
            "sip:a@b@c",
            "sips:a@x.test",
            "sip:x.test",
        ] {
            if is_plain(text) {
                plain += 1;
                let uri = Uri::parse(text).unwrap();
                assert_eq!(canonical::of(&uri), text);
            }
        }
        assert_eq!(plain, 3);
    }
}
