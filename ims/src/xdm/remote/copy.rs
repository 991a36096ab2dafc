//! One document of another XDMS as we know it.

use crate::time::Timestamp;
use crate::xdm::document::Document;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Whether what is known of a document counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not asked for yet, or not for long: its XDMS is being asked.
    Waiting,
    /// It is what its XDMS has, as far as can be told.
    Counts,
    /// Its XDMS does not answer, or not with anything that can be used.
    Unreadable,
}

/// What its XDMS last said that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `None`: there is no such document.
    pub document: Option<Document>,
    /// `ETag` as it came, for the next question.
    pub etag: Option<String>,
    /// When it was so.
    pub valid_at: Timestamp,
    /// Since when the document is as it is.
    pub since: Timestamp,
}

/// The request for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetching {
    Idle,
    Queued,
    /// `again`: it changed meanwhile, so what comes may be old.
    UnderWay {
        again: bool,
    },
}

#[derive(Debug)]
pub(super) struct Copy {
    /// Number of its XDMS in the settings.
    pub server: usize,
    pub known: Option<Known>,
    pub standing: Standing,
    pub fetching: Fetching,
    /// Questions in a row without a usable answer.
    pub failures: u32,
    /// When it is asked for next.
    pub ask_at: Timestamp,
    /// When somebody last needed it.
    pub used_at: Timestamp,
    /// The entry in the deadline queue.
    pub look_at: Option<Timestamp>,
    /// `valid_at` in the store.
    pub stored_at: Option<Timestamp>,
}

impl Copy {
    pub fn new(server: usize, now: Timestamp) -> Copy {
        Copy {
            server,
            known: None,
            standing: Standing::Waiting,
            fetching: Fetching::Idle,
            failures: 0,
            ask_at: now,
            used_at: now,
            look_at: None,
            stored_at: None,
        }
    }

    /// What it takes up, without its name.
    pub fn bytes(&self) -> usize {
        let document = self.known.as_ref().and_then(|k| k.document.as_ref());
        document.map_or(0, |document| document.bytes.len())
    }

    pub fn document(&self) -> Option<&Document> {
        self.known.as_ref().and_then(|k| k.document.as_ref())
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A document that obeys the rules of its usage.
    Document { etag: Option<String>, bytes: Bytes },
    /// As it was (304).
    Unchanged,
    /// There is none (404).
    Absent,
    /// Something that is no document of this usage and user, or too large.
    Unusable,
    /// Another status.
    Refused(u16),
    /// None: no connection, or not in time.
    Silence,
}

/// A copy in the store, under the key of its document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    valid_at: Timestamp,
    since: Timestamp,
    etag: Option<Box<str>>,
    /// Entity-tag without its quotes, and the bytes.
    document: Option<(Box<str>, Vec<u8>)>,
}

impl Record {
    pub(super) fn of(known: &Known) -> Record {
        let document = known.document.as_ref();
        Record {
            valid_at: known.valid_at,
            since: known.since,
            etag: known.etag.as_deref().map(Box::from),
            document: document.map(|d| (d.etag.as_str().into(), d.bytes.to_vec())),
        }
    }

    pub(super) fn known(self) -> Known {
        Known {
            document: self
                .document
                .map(|(etag, bytes)| Document::new(etag, bytes)),
            etag: self.etag.map(String::from),
            valid_at: self.valid_at,
            since: self.since,
        }
    }
}
