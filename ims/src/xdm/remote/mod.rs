//! Documents that are kept on other XDMSs (reference points GM-5, GM-13, GM-15, GM-16), read as the local ones are.
//!
//! A document is got by XCAP when somebody first reads it here, and kept with its entity-tag while it is in use. Its
//! XDMS tells of changes where it can (RFC 5875: GM-9, GM-17), and is asked from time to time in any case. Nothing here
//! decides what a document means: the owner is told which have changed ([`Remote::take_changed`]) and reads them again.
//!
//! What cannot be read grants nothing. A copy counts while its XDMS says that it is current, and for
//! [`Server::max_stale`] while the XDMS says nothing at all; a document that can be got and not used counts at once no more.

mod asking;
pub mod changes;
mod copy;
mod follow;
mod following;
mod health;
mod settings;
mod verify;

pub use asking::Ask;
pub use copy::{Answer, Known, Record, Standing};
pub use follow::{Notify, PACKAGE};
pub use settings::{Root, Server, Settings, Unreadable};

use super::document::Document;
use super::key::DocumentKey;
use crate::event::deadlines::Deadlines;
use crate::event::subscriber::Own;
use crate::event::turn::Turn;
use crate::record::{Batch, Table};
use crate::sip::Aor;
use crate::time::{Millis, Timestamp};
use asking::UnderWay;
use copy::{Copy, Fetching};
use follow::{Follows, Place};
use health::Health;
use indexmap::IndexMap;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A document that nobody has needed for so long is not followed any more: one minute.
const IDLE: Millis = Millis(60_000);
/// While its XDMS tells of changes a document is asked for this many times more rarely.
const FOLLOWED: u64 = 10;
/// Copies looked at for one that can give way.
const LOOKED_THROUGH: usize = 256;

/// What is known of a document, for those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// It is kept here, or nowhere.
    Elsewhere,
    /// It is as its XDMS has it; `None`: there is none.
    Known(Option<&'a Document>),
    /// It is being got.
    Waiting,
    /// It cannot be got.
    Unreadable(Unreadable),
}

/// Figures for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Copies kept, and their bytes.
    pub copies: usize,
    pub bytes: usize,
    /// Subscriptions of ours by which changes are followed.
    pub followed: usize,
    /// XDMSs that do not answer.
    pub silent: usize,
    /// Since when the one that has been silent longest has been.
    pub silent_since: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum Look {
    Copy(DocumentKey),
    Follow(Place),
}

/// All documents of other XDMSs that are in use here, or were lately.
#[derive(Debug)]
pub struct Remote {
    settings: Settings,
    copies: IndexMap<DocumentKey, Copy, ahash::RandomState>,
    /// Of all copies.
    bytes: usize,
    /// Which copy is looked at next when room is needed.
    oldest: usize,
    health: Vec<Health>,
    /// Documents to be asked for, by XDMS.
    queues: Vec<VecDeque<DocumentKey>>,
    under_way: BTreeMap<u64, UnderWay>,
    follows: Follows,
    looks: Deadlines<Look>,
    /// Documents that were read and are not known.
    wanted: RefCell<BTreeSet<DocumentKey>>,
    /// Somebody read what could not be read.
    stalled: Cell<bool>,
    changed: Vec<DocumentKey>,
    /// When it was last said that there is no room.
    full_at: Timestamp,
    /// Records of documents that are on no XDMS any more.
    dropped: Vec<DocumentKey>,
}

impl Remote {
    /// `own` is how our SUBSCRIBEs appear, `timer_n` 64·T1.
    pub fn new(settings: Settings, own: Own, timer_n: Millis, hash: ahash::RandomState) -> Remote {
        let servers = settings.servers.len();
        Remote {
            settings,
            copies: IndexMap::with_hasher(hash.clone()),
            bytes: 0,
            oldest: 0,
            health: vec![Health::default(); servers],
            queues: vec![VecDeque::new(); servers],
            under_way: BTreeMap::new(),
            follows: Follows::new(own, timer_n, hash),
            looks: Deadlines::default(),
            wanted: RefCell::default(),
            stalled: Cell::new(false),
            changed: Vec::new(),
            full_at: Timestamp::default(),
            dropped: Vec::new(),
        }
    }

    /// Whether the documents of this usage and user are on another XDMS.
    pub fn has(&self, auid: &str, owner: &Aor) -> bool {
        self.settings.servers.iter().any(|s| s.has(auid, owner))
    }

    /// Whether any documents of this usage are on another XDMS.
    pub fn serves(&self, auid: &str) -> bool {
        let servers = &self.settings.servers;
        servers.iter().any(|s| s.auids.iter().any(|a| a == auid))
    }

    fn place(&self, key: &DocumentKey) -> Option<usize> {
        let owner = key.owner()?;
        let mut servers = self.settings.servers.iter();
        servers.position(|server| server.has(&key.auid, owner))
    }

    /// Reads a document. One that is not known is asked for from now on.
    pub fn read(&self, key: &DocumentKey) -> Reading<'_> {
        let Some(server) = self.place(key) else {
            return Reading::Elsewhere;
        };
        let copy = self.copies.get(key);
        let standing = copy.map_or(Standing::Waiting, |copy| copy.standing);
        if standing == Standing::Waiting && copy.is_none_or(|c| c.fetching == Fetching::Idle) {
            self.wanted.borrow_mut().insert(key.clone());
        }
        let unreadable = self.settings.servers.get(server).map(|s| s.unreadable);
        let pends = unreadable == Some(Unreadable::Pending);
        if standing == Standing::Waiting || standing == Standing::Unreadable && pends {
            self.stalled.set(true);
        }
        match standing {
            Standing::Counts => Reading::Known(copy.and_then(Copy::document)),
            Standing::Waiting => Reading::Waiting,
            Standing::Unreadable => Reading::Unreadable(unreadable.unwrap_or(Unreadable::Rejected)),
        }
    }

    /// The document as far as it counts, without asking for it.
    pub fn counting(&self, key: &DocumentKey) -> Option<&Document> {
        let copy = self.copies.get(key)?;
        let counts = copy.standing == Standing::Counts;
        copy.document().filter(|_| counts)
    }

    /// Since when a document that counts is as it is.
    pub fn since(&self, key: &DocumentKey) -> Option<Timestamp> {
        let known = self.copies.get(key)?.known.as_ref()?;
        Some(known.since)
    }

    /// Every document of which a copy is kept.
    pub fn keys(&self) -> impl Iterator<Item = &DocumentKey> {
        self.copies.keys()
    }

    /// Whether something was read since the last call that is on its way, or may come back.
    pub fn take_stalled(&self) -> bool {
        self.stalled.take()
    }

    /// Documents that changed, came, went, or cannot be read any more, since the last call.
    pub fn take_changed(&mut self) -> Vec<DocumentKey> {
        std::mem::take(&mut self.changed)
    }

    /// Whether [`Remote::prepare`] has something to do.
    pub fn is_asked(&self) -> bool {
        let queued = || self.queues.iter().any(|queue| !queue.is_empty());
        !self.wanted.borrow().is_empty() || !self.changed.is_empty() || queued()
    }

    pub fn census(&self) -> Census {
        let silent = self.health.iter().filter(|h| h.is_down());
        let since = silent.clone().filter_map(|h| h.silent_since);
        Census {
            copies: self.copies.len(),
            bytes: self.bytes,
            followed: self.follows.len(),
            silent_since: since.min(),
            silent: silent.count(),
        }
    }

    /// When [`Remote::due`] wants to be called.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let given_up = self.under_way.values().map(|u| u.until).min();
        [self.looks.next(), given_up].into_iter().flatten().min()
    }

    /// Takes a copy from the store; `false` when it is none.
    pub fn recover(&mut self, key: &[u8], record: Record) -> bool {
        let Some(key) = DocumentKey::decode(key) else {
            return false;
        };
        let Some(server) = self.place(&key) else {
            self.dropped.push(key);
            return true;
        };
        let mut copy = Copy::new(server, Timestamp::default());
        let known = record.known();
        copy.stored_at = Some(known.valid_at);
        copy.known = Some(known);
        copy.failures = 1; // it counts for as long as if its XDMS did not answer
        copy.standing = Standing::Counts;
        self.bytes += copy.bytes();
        self.copies.insert(key, copy);
        true
    }

    /// Everything is read from the store: each copy is asked for anew, and counts until then if it is not too old.
    pub fn recovered(&mut self, now: Timestamp, batch: &mut Batch) {
        for key in std::mem::take(&mut self.dropped) {
            batch.delete(Table::RemoteCopy, &key.encode());
        }
        let keys: Vec<DocumentKey> = self.copies.keys().cloned().collect();
        for key in keys {
            let Some(copy) = self.copies.get_mut(&key) else {
                continue;
            };
            copy.used_at = now;
            let Some(server) = self.settings.servers.get(copy.server) else {
                continue;
            };
            if let Some(known) = &mut copy.known {
                known.valid_at = known.valid_at.min(now); // a clock that was set back
                if now >= known.valid_at + server.max_stale {
                    copy.standing = Standing::Waiting;
                }
            }
            self.queue(&key);
        }
    }

    /// Does what has become due. `in_use`: whether a live subscription rests on a document.
    pub fn due(&mut self, turn: &mut Turn<'_>, in_use: &dyn Fn(&DocumentKey) -> bool) {
        for look in self.looks.due(turn.now) {
            match look {
                Look::Copy(key) => self.look_at(turn, &key, in_use),
                Look::Follow(place) => {
                    let servers = &self.settings.servers;
                    let left = self.follows.due(turn, servers, &place);
                    self.polled(turn.now, left);
                }
            }
        }
        self.schedule_follows();
    }

    fn look_at(
        &mut self,
        turn: &mut Turn<'_>,
        key: &DocumentKey,
        in_use: &dyn Fn(&DocumentKey) -> bool,
    ) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        copy.look_at = None;
        if copy.fetching != Fetching::Idle {
            return; // its answer schedules the next look
        }
        if in_use(key) {
            copy.used_at = turn.now;
        } else if turn.now.since(copy.used_at) >= IDLE {
            return self.forget(turn, key);
        }
        let due = copy.ask_at <= turn.now;
        self.weigh(turn.now, key);
        if due {
            self.queue(key);
        } else {
            self.schedule(key);
        }
    }

    /// Nobody needs it now: it is not asked for any more, and what it says counts no more. Its bytes stay while there
    /// is room, for the next one who needs it.
    fn forget(&mut self, turn: &mut Turn<'_>, key: &DocumentKey) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        (copy.standing, copy.failures) = (Standing::Waiting, 0);
        if copy.stored_at.take().is_some() {
            turn.batch.delete(Table::RemoteCopy, &key.encode());
        }
        let server = copy.server;
        let empty = copy.document().is_none();
        if let Some(settings) = self.settings.servers.get(server) {
            self.follows.remove(turn, (server, settings), key);
        }
        if empty {
            self.remove(key);
        }
        self.changed.push(key.clone());
    }

    fn remove(&mut self, key: &DocumentKey) {
        if let Some(gone) = self.copies.swap_remove(key) {
            self.bytes -= gone.bytes();
        }
    }

    /// Makes room for one more copy of so many bytes among those that nobody needs now; `false` when there is none.
    fn make_room(&mut self, copies: usize, bytes: usize) -> bool {
        let Settings {
            documents,
            bytes: most,
            ..
        } = self.settings;
        for _ in 0..LOOKED_THROUGH {
            if self.copies.len() + copies <= documents && self.bytes + bytes <= most {
                return true;
            }
            if self.copies.is_empty() {
                return false;
            }
            self.oldest = (self.oldest + 1) % self.copies.len();
            let oldest = self.copies.get_index(self.oldest);
            let idle = oldest.filter(|(_, copy)| {
                copy.standing == Standing::Waiting
                    && copy.fetching == Fetching::Idle
                    && copy.look_at.is_none()
            });
            if let Some(key) = idle.map(|(key, _)| key.clone()) {
                self.remove(&key);
            }
        }
        false
    }

    /// Asks for a look at the copy when it is to be asked for next, or counts no more.
    fn schedule(&mut self, key: &DocumentKey) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        let stale = self.settings.servers.get(copy.server).and_then(|server| {
            let known = copy.known.as_ref()?;
            let fails = copy.failures > 0 && copy.standing == Standing::Counts;
            fails.then(|| known.valid_at + server.max_stale)
        });
        let at = stale.map_or(copy.ask_at, |stale| stale.min(copy.ask_at));
        if copy.look_at.is_none_or(|scheduled| at < scheduled) {
            copy.look_at = Some(at);
            self.looks.at(at, Look::Copy(key.clone()));
        }
    }

    fn schedule_follows(&mut self) {
        for (at, place) in self.follows.take_looks() {
            self.looks.at(at, Look::Follow(place));
        }
    }
}
