//! Who is in a list that a rule names: nested lists, references and external lists followed, within bounds.
//!
//! The answer fails closed. A list that is not here, not this subscriber's, on another server, in a loop, or too far
//! away is one that cannot be read: whoever has not been found in the rest of it is neither in nor out.

use super::anchor::{self, Anchor, Kind};
use super::document::{Document, Documents};
use super::key::DocumentKey;
use super::outline::Outline;
use crate::sip::Aor;
use indexmap::IndexMap;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest chain of lists that refer to one another.
const DEEPEST: usize = 16;
/// Most lists in other places that one question follows.
const MOST: usize = 256;
/// Most bytes of documents that are kept ready, all together: some 5 million members.
const READY: usize = 256 << 20;
/// Most bytes of anchors that are kept taken apart: some 100,000 of them.
const ANCHORS: usize = 64 << 20;

/// What an anchor takes in the table, beside its text, in bytes.
const ANCHOR: usize = 96;
/// What a document takes in the table, beside its outline, in bytes.
const READY_ENTRY: usize = 160;

/// The lists of all documents, and who depends on them.
#[derive(Debug)]
pub struct Lists {
    /// XCAP roots as clients write them; empty: any.
    roots: Vec<String>,
    /// Lists of other users may be read.
    foreign: bool,
    anchors: IndexMap<Box<str>, Option<Arc<Anchor>>, ahash::RandomState>,
    anchors_weight: usize,
    ready: IndexMap<DocumentKey, Ready, ahash::RandomState>,
    /// Of all that is ready.
    weight: usize,
    /// Which of them goes next when room is needed.
    oldest: usize,
    readers: IndexMap<DocumentKey, Readers, ahash::RandomState>,
}

/// A document as it was when it had this entity-tag.
#[derive(Debug)]
struct Ready {
    etag: Box<str>,
    /// `None`: no document of lists, which an earlier version may have kept.
    outline: Option<Arc<Outline>>,
}

/// Presentities on whose watchers was decided with a document, whether or not it was there.
#[derive(Debug, Default)]
struct Readers {
    all: BTreeSet<Aor>,
    /// The last one, which often is the next one.
    last: Option<Aor>,
}

/// One question on its way through the lists.
struct Walk<'a> {
    documents: &'a dyn Documents,
    reader: &'a Aor,
    identities: &'a [Aor],
    /// Lists between the question and here.
    path: Vec<Place>,
    /// Lists that need not be looked through again.
    seen: Vec<Place>,
    /// How many more lists and entries may be followed.
    left: &'a Cell<usize>,
    readable: bool,
}

/// A list of a document. The number stands first, since it mostly tells two apart.
type Place = (u32, DocumentKey);

impl Walk<'_> {
    /// One more list or entry in another place, unless there have been too many.
    fn follow(&mut self) -> bool {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.unwrap_or_default());
        self.readable &= left.is_some();
        left.is_some()
    }
}

impl Lists {
    /// `roots` and `foreign` are those of [`super::Settings`].
    pub fn new(roots: Vec<String>, foreign: bool, hash: ahash::RandomState) -> Lists {
        Lists {
            roots,
            foreign,
            anchors: IndexMap::with_hasher(hash.clone()),
            anchors_weight: 0,
            ready: IndexMap::with_hasher(hash.clone()),
            weight: 0,
            oldest: 0,
            readers: IndexMap::with_hasher(hash),
        }
    }

    /// XCAP roots as clients write them; empty: any.
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// Whether lists of other users may be read.
    pub fn foreign(&self) -> bool {
        self.foreign
    }

    /// Whether one of the identities is in the list that `anchor` names in a rule of `reader`; `None` when it cannot
    /// be read, or not all of it, and they are not in the rest. Remembers that the reader depends on what was read.
    /// `left`: how many lists and entries in other places may still be followed, over all questions of a decision.
    pub fn hold(
        &mut self,
        documents: &dyn Documents,
        reader: &Aor,
        anchor: &str,
        identities: &[Aor],
        left: &Cell<usize>,
    ) -> Option<bool> {
        let anchor = self.anchor(anchor)?;
        let mut walk = Walk {
            documents,
            reader,
            identities,
            path: Vec::new(),
            seen: Vec::new(),
            left,
            readable: true,
        };
        if self.in_list(&mut walk, reader, &anchor) {
            return Some(true);
        }
        walk.readable.then_some(false)
    }

    /// A document changed, came or went: the presentities on whose watchers must be decided again, and whether anybody
    /// may ask for it soon, so that it should be made ready.
    pub fn changed(&mut self, document: &DocumentKey) -> (BTreeSet<Aor>, bool) {
        let ready = self.ready.swap_remove(document);
        if let Some(ready) = &ready {
            self.weight -= weight(ready);
        }
        let readers = self.readers.swap_remove(document);
        let wanted = ready.is_some() || readers.is_some();
        (
            readers.map(|readers| readers.all).unwrap_or_default(),
            wanted,
        )
    }

    /// The presentities on whose watchers was decided with this document.
    pub fn readers(&self, document: &DocumentKey) -> impl Iterator<Item = &Aor> {
        let readers = self.readers.get(document).into_iter();
        readers.flat_map(|readers| &readers.all)
    }

    /// A rule names a list: what it names is made ready before it is asked for.
    pub fn named<'a>(
        &mut self,
        anchor: &str,
        document: impl Fn(&DocumentKey) -> Option<&'a Document>,
    ) {
        if let Some(anchor) = self.anchor(anchor)
            && let Some(document) = document(&anchor.document)
        {
            self.outline(&anchor.document, document);
        }
    }

    fn anchor(&mut self, text: &str) -> Option<Arc<Anchor>> {
        if let Some(known) = self.anchors.get(text) {
            return known.clone();
        }
        if text.len() > anchor::LONGEST {
            return None;
        }
        let anchor = Anchor::parse(text, &self.roots).ok().map(Arc::new);
        let bytes = ANCHOR + text.len() + anchor.as_ref().map_or(0, |anchor| anchor.weight());
        if self.anchors_weight + bytes > ANCHORS {
            self.anchors.clear();
            self.anchors_weight = 0;
        }
        self.anchors_weight += bytes;
        self.anchors.insert(text.into(), anchor.clone());
        anchor
    }

    /// `user` is whose rule or document names the list.
    fn in_list(&mut self, walk: &mut Walk<'_>, user: &Aor, anchor: &Anchor) -> bool {
        if !walk.follow() {
            return false;
        }
        let outline = self.reach(walk, user, anchor);
        let list = outline
            .as_ref()
            .zip(anchor.steps.as_ref())
            .and_then(|(outline, steps)| outline.list(steps));
        let (Some(outline), Some(list), Some(owner)) = (outline, list, anchor.document.owner())
        else {
            walk.readable = false;
            return false;
        };
        let here = (list, anchor.document.clone());
        if walk.seen.contains(&here) {
            return false;
        }
        let too_far = walk.path.len() >= DEEPEST || walk.seen.len() >= MOST;
        if too_far || walk.path.contains(&here) {
            walk.readable = false;
            return false;
        }
        if outline.holds(list, walk.identities) {
            return true;
        }
        walk.path.push(here);
        let found = outline.links(list).iter().any(|link| {
            let Some(target) = &link.target else {
                walk.readable = false;
                return false;
            };
            match link.kind {
                Kind::List => self.in_list(walk, owner, target),
                Kind::Entry => self.is_entry(walk, owner, target),
            }
        });
        walk.seen.extend(walk.path.pop());
        found
    }

    fn is_entry(&mut self, walk: &mut Walk<'_>, user: &Aor, anchor: &Anchor) -> bool {
        if !walk.follow() {
            return false;
        }
        let outline = self.reach(walk, user, anchor);
        let steps = anchor.steps.as_deref().unwrap_or_default();
        match outline.as_ref().and_then(|outline| outline.entry(steps)) {
            Some(entry) => walk
                .identities
                .iter()
                .any(|identity| identity.as_str() == entry),
            None => {
                walk.readable = false;
                false
            }
        }
    }

    /// The document of an anchor, where the user may refer to it and it is there. The reader depends on it from now on.
    fn reach(&mut self, walk: &Walk<'_>, user: &Aor, anchor: &Anchor) -> Option<Arc<Outline>> {
        let owner = anchor.document.owner()?;
        if !self.foreign && !walk.documents.same_user(user, owner) {
            return None;
        }
        self.depend(&anchor.document, walk.reader);
        let document = walk.documents.document(&anchor.document)?;
        self.outline(&anchor.document, document)
    }

    /// Makes a document ready for questions.
    pub fn prepare(&mut self, key: &DocumentKey, document: &Document) {
        self.outline(key, document);
    }

    fn outline(&mut self, key: &DocumentKey, document: &Document) -> Option<Arc<Outline>> {
        if let Some(ready) = self.ready.get(key)
            && *ready.etag == *document.etag
        {
            return ready.outline.clone();
        }
        let ready = Ready {
            etag: document.etag.as_str().into(),
            outline: Outline::read(&document.bytes, &self.roots).map(Arc::new),
        };
        let outline = ready.outline.clone();
        self.keep(key.clone(), ready);
        outline
    }

    fn depend(&mut self, document: &DocumentKey, reader: &Aor) {
        let readers = match self.readers.get_mut(document) {
            Some(readers) => readers,
            None => self.readers.entry(document.clone()).or_default(),
        };
        if readers.last.as_ref() != Some(reader) {
            readers.all.insert(reader.clone());
            readers.last = Some(reader.clone());
        }
    }

    /// Keeps a document ready; others give way, one after the other.
    fn keep(&mut self, document: DocumentKey, ready: Ready) {
        self.weight += weight(&ready);
        if let Some(before) = self.ready.insert(document, ready) {
            self.weight -= weight(&before);
        }
        while self.weight > READY && self.ready.len() > 1 {
            self.oldest = (self.oldest + 1) % (self.ready.len() - 1); // never the one that came last
            if let Some((_, gone)) = self.ready.swap_remove_index(self.oldest) {
                self.weight -= weight(&gone);
            }
        }
    }
}

fn weight(ready: &Ready) -> usize {
    READY_ENTRY + ready.outline.as_ref().map_or(0, |outline| outline.weight())
}
