//! Changes that a subscriber has still to be told, in the order in which they happened (RFC 5875 §4.7).

use super::component::Value;
use crate::xdm::{Document, DocumentKey};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most spans that one subscriber may be owed, whatever the mode: some 200 bytes each.
const MOST: usize = 4096;

/// How a subscriber wants changes told, `diff-processing` (RFC 5875 §4.3). From the least to the most complex; a
/// simpler one may be used, never a more complex one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Entity-tags only.
    #[default]
    NoPatching,
    /// Every change of a document with its patch.
    XcapPatching,
    /// Several changes of a document in one patch.
    Aggregate,
}

impl Mode {
    /// The mode of this name. One that is not understood is the default one.
    pub fn named(name: Option<&str>) -> Mode {
        match name.map(str::trim) {
            Some(name) if name.eq_ignore_ascii_case("xcap-patching") => Mode::XcapPatching,
            Some(name) if name.eq_ignore_ascii_case("aggregate") => Mode::Aggregate,
            _ => Mode::NoPatching,
        }
    }
}

/// One version of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub etag: Arc<str>,
    /// `None` where only the entity-tag is kept.
    pub bytes: Option<Bytes>,
}

impl Version {
    pub fn of(document: &Document) -> Version {
        Version {
            etag: document.etag.as_str().into(),
            bytes: Some(document.bytes.clone()),
        }
    }

    fn without_bytes(&self) -> Version {
        Version {
            etag: self.etag.clone(),
            bytes: None,
        }
    }
}

/// A change of one document, for all who are told of it.
#[derive(Clone, Debug)]
pub struct Change {
    pub number: u64,
    pub key: DocumentKey,
    /// `None`: it was not there.
    pub from: Option<Version>,
    /// `None`: it is gone.
    pub to: Option<Version>,
}

/// One or more changes of one document in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub key: DocumentKey,
    pub from: Option<Version>,
    pub to: Option<Version>,
    /// Numbers of the first and the last change.
    pub changes: (u64, u64),
    /// It was sent before, and nobody knows whether it arrived.
    pub lost: bool,
}

impl Span {
    /// Takes in what came behind it.
    fn join(&mut self, from: Option<&Version>, to: Option<Version>, change: u64) {
        if self.lost && self.from.is_none() && to.is_none() {
            self.from = from.map(Version::without_bytes); // told of its creation, one must be told of its end
        }
        self.to = to;
        self.changes.1 = change;
    }
}

/// What a subscriber was told last of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Was {
    Told(Option<Arc<Value>>),
    /// Nobody knows, so it is told again.
    Unknown,
}

/// What a subscriber is owed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    /// The whole state, whatever else there is.
    pub whole: bool,
    pub spans: Vec<Span>,
    /// Components that may have changed, by their place in the list, with what the subscriber was told last of them.
    pub components: BTreeMap<usize, Was>,
    /// Changes taken in since the spans were last made simple.
    heavy: usize,
}

impl Pending {
    pub fn whole() -> Pending {
        Pending {
            whole: true,
            ..Pending::default()
        }
    }

    /// What of this the whole state does not say: which documents are gone, by the word of `is_gone`, and which components
    /// the subscriber may believe to be there.
    pub fn gone(mut self, is_gone: impl Fn(&DocumentKey) -> bool) -> Pending {
        self.simplify();
        self.whole = true;
        self.spans
            .retain(|span| span.from.is_some() && is_gone(&span.key));
        self.components.retain(|_, was| *was != Was::Told(None));
        self
    }

    pub fn is_empty(&self) -> bool {
        !self.whole && self.spans.is_empty() && self.components.is_empty()
    }

    /// Takes in a change. Above `most` of them without a NOTIFY only entity-tags are
    /// kept, one span for each document.
    pub fn add(&mut self, mode: Mode, change: &Change, most: usize) {
        let known = match mode {
            Mode::XcapPatching => None,
            // one span for each document
            Mode::NoPatching | Mode::Aggregate => {
                self.spans.iter_mut().rfind(|span| span.key == change.key)
            }
        };
        let bare = |version: &Option<Version>| match mode {
            Mode::NoPatching => version.as_ref().map(Version::without_bytes),
            Mode::XcapPatching | Mode::Aggregate => version.clone(),
        };
        match known {
            Some(span) => span.join(change.from.as_ref(), bare(&change.to), change.number),
            None => self.spans.push(Span {
                key: change.key.clone(),
                from: bare(&change.from),
                to: bare(&change.to),
                changes: (change.number, change.number),
                lost: false,
            }),
        }
        self.heavy += usize::from(mode != Mode::NoPatching);
        if self.heavy > most {
            self.simplify();
        }
    }

    /// More than is worth keeping: the subscriber does better to begin anew.
    pub fn is_too_much(&self) -> bool {
        self.spans.len() > MOST
    }

    /// Puts what was sent and did not arrive in front of what came since. A subscriber who has it all the same sees that
    /// by the entity-tags.
    pub fn put_back(&mut self, mode: Mode, lost: Pending, most: usize) {
        self.whole |= lost.whole;
        let since = std::mem::replace(&mut self.spans, lost.spans);
        self.spans.iter_mut().for_each(|span| span.lost = true);
        self.spans.extend(since);
        self.heavy += lost.heavy;
        if mode == Mode::NoPatching || self.heavy > most {
            self.simplify();
        }
        for at in lost.components.into_keys() {
            self.components.insert(at, Was::Unknown);
        }
    }

    /// Entity-tags only, and one span for each document.
    fn simplify(&mut self) {
        let mut simple: Vec<Span> = Vec::new();
        let mut places: BTreeMap<DocumentKey, usize> = BTreeMap::new();
        for span in self.spans.drain(..) {
            let to = span.to.as_ref().map(Version::without_bytes);
            let known = places.get(&span.key).and_then(|at| simple.get_mut(*at));
            if let Some(known) = known {
                known.join(span.from.as_ref(), to, span.changes.1);
                continue;
            }
            places.insert(span.key.clone(), simple.len());
            simple.push(Span {
                from: span.from.as_ref().map(Version::without_bytes),
                to,
                ..span
            });
        }
        self.spans = simple;
        self.heavy = 0;
    }
}
