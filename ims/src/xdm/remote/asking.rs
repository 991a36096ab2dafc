//! Questions to other XDMSs: one at a time for each document, so many at a time for each XDMS, and what an answer brings.

use super::changes::bare;
use super::copy::{Answer, Copy, Fetching, Known, Record, Standing};
use super::health::{Health, LONGEST, pause};
use super::settings::Server;
use super::{FOLLOWED, Remote};
use crate::event::turn::Turn;
use crate::record::Table;
use crate::time::{Millis, Timestamp};
use crate::xdm::document::Document;
use crate::xdm::key::DocumentKey;
use bytes::Bytes;

/// The program tells the end of a request itself; this much later it is given up on without a word from it.
const GRACE: Millis = Millis(1_000);
/// Longest entity-tag that is kept, in bytes; a document with a longer one is got whole each time.
const ETAG: usize = 255;

/// A question: GET of one document.
#[derive(Debug)]
pub struct Ask<'a> {
    pub number: u64,
    pub key: DocumentKey,
    pub server: &'a Server,
    /// Entity-tag of what is known, for `If-None-Match`.
    pub etag: Option<String>,
}

#[derive(Debug)]
pub(super) struct UnderWay {
    key: DocumentKey,
    server: usize,
    pub until: Timestamp,
}

impl Remote {
    /// Takes up what was read and is not known, and asks for what waits, as far as may be asked now.
    pub fn prepare(&mut self, now: Timestamp, number: &mut dyn FnMut() -> u64) -> Vec<Ask<'_>> {
        let wanted = std::mem::take(self.wanted.get_mut());
        for key in wanted {
            self.want(now, key);
        }
        let mut numbers = Vec::new();
        for server in 0..self.queues.len() {
            while let Some(key) = self.next_of(now, server) {
                numbers.push(self.start(now, server, key, number()));
            }
        }
        let ask = |number: u64| {
            let under_way = self.under_way.get(&number)?;
            let known = self.copies.get(&under_way.key)?.known.as_ref();
            Some(Ask {
                number,
                key: under_way.key.clone(),
                server: self.settings.servers.get(under_way.server)?,
                etag: known.and_then(|known| known.etag.clone()),
            })
        };
        numbers.into_iter().filter_map(ask).collect()
    }

    fn want(&mut self, now: Timestamp, key: DocumentKey) {
        let Some(server) = self.place(&key) else {
            return;
        };
        if let Some(copy) = self.copies.get_mut(&key) {
            copy.used_at = now;
        } else if self.make_room(1, 0) {
            self.copies.insert(key.clone(), Copy::new(server, now));
        } else {
            return self.warn_full(now);
        }
        self.queue(&key);
    }

    /// Says once a minute that documents are not read for want of room.
    fn warn_full(&mut self, now: Timestamp) {
        if now.since(self.full_at) >= Millis(60_000) {
            self.full_at = now;
            tracing::warn!(
                "documents of other XDMSs that are in use reach [remote_xdms] max_documents or max_bytes: more are not read"
            );
        }
    }

    /// This document is to be asked for.
    pub(super) fn queue(&mut self, key: &DocumentKey) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        match copy.fetching {
            Fetching::Idle => {
                copy.fetching = Fetching::Queued;
                if let Some(queue) = self.queues.get_mut(copy.server) {
                    queue.push_back(key.clone());
                }
            }
            Fetching::Queued => {}
            Fetching::UnderWay { .. } => copy.fetching = Fetching::UnderWay { again: true },
        }
    }

    /// The next document that this XDMS may be asked for. While it is down the others are told so at once.
    fn next_of(&mut self, now: Timestamp, server: usize) -> Option<DocumentKey> {
        loop {
            let health = *self.health.get(server)?;
            let queue = self.queues.get_mut(server)?;
            if health.slots(now, self.settings.fetches) > 0 {
                return queue.pop_front();
            }
            let down_until = health.until()?;
            let key = queue.pop_front()?;
            if let Some(copy) = self.copies.get_mut(&key) {
                copy.fetching = Fetching::Idle;
                copy.failures = copy.failures.max(1);
                // when it answers again all are asked for at once; until then they take turns
                let turn = u64::try_from(queue.len() % 30).unwrap_or(0);
                copy.ask_at = down_until.max(now) + LONGEST + Millis(turn * 1_000);
                self.weigh(now, &key);
                self.schedule(&key);
            }
        }
    }

    fn start(&mut self, now: Timestamp, server: usize, key: DocumentKey, number: u64) -> u64 {
        if let Some(copy) = self.copies.get_mut(&key) {
            copy.fetching = Fetching::UnderWay { again: false };
        }
        if let Some(health) = self.health.get_mut(server) {
            health.under_way += 1;
        }
        let timeout = self.settings.servers.get(server).map(|s| s.timeout);
        let until = now + timeout.unwrap_or(GRACE) + GRACE;
        let under_way = UnderWay { key, server, until };
        self.under_way.insert(number, under_way);
        number
    }

    /// The document of a question that is answered; `None`: it is none of these, or was given up on.
    pub fn answered(&mut self, number: u64) -> Option<DocumentKey> {
        let under_way = self.under_way.remove(&number)?;
        if let Some(health) = self.health.get_mut(under_way.server) {
            health.under_way = health.under_way.saturating_sub(1);
        }
        Some(under_way.key)
    }

    /// A question that has been waited for long enough.
    pub fn overdue(&self, now: Timestamp) -> Option<u64> {
        let mut all = self.under_way.iter();
        all.find(|(_, u)| u.until <= now).map(|(number, _)| *number)
    }

    /// Takes over the answer to a question. `in_use`: a live subscription rests on the document.
    pub fn settle(&mut self, turn: &mut Turn<'_>, key: &DocumentKey, answer: Answer, in_use: bool) {
        let now = turn.now;
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        let server = copy.server;
        let again = copy.fetching == Fetching::UnderWay { again: true };
        copy.fetching = Fetching::Idle;
        if in_use {
            copy.used_at = now;
        }
        let answers = !matches!(answer, Answer::Silence | Answer::Refused(500..));
        self.learn(now, key, answer);
        self.store(turn, key);
        if in_use && let Some(settings) = self.settings.servers.get(server) {
            self.follows.add(turn, (server, settings), key);
            self.schedule_follows();
        }
        self.note_health(now, server, answers);
        self.set_time(now, key);
        if again {
            self.queue(key);
        } else {
            self.schedule(key);
        }
    }

    /// What an answer makes of the copy.
    fn learn(&mut self, now: Timestamp, key: &DocumentKey, answer: Answer) {
        if let Answer::Document { bytes, .. } = &answer
            && !self.make_room(0, bytes.len())
        {
            self.warn_full(now);
            return self.learn(now, key, Answer::Unusable);
        }
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        let (was, before) = (copy.standing, copy.bytes());
        let old = copy.document().cloned();
        match answer {
            Answer::Document { etag, bytes } => copy.replaced(now, etag, Some(bytes)),
            Answer::Absent => copy.replaced(now, None, None),
            Answer::Unchanged if copy.known.is_some() => {
                if let Some(known) = &mut copy.known {
                    known.valid_at = now;
                }
                (copy.standing, copy.failures) = (Standing::Counts, 0);
            }
            Answer::Unchanged | Answer::Unusable => {
                // it has changed, so what was known is not so any more
                copy.known = None;
                copy.standing = Standing::Unreadable;
                copy.failures = copy.failures.saturating_add(1);
            }
            Answer::Refused(_) | Answer::Silence => {
                copy.failures = copy.failures.saturating_add(1);
            }
        }
        let changed = old.as_ref().map(|d| &d.bytes) != copy.document().map(|d| &d.bytes);
        self.bytes = self.bytes + copy.bytes() - before;
        if copy.standing != was || changed {
            self.changed.push(key.clone());
        }
        self.weigh(now, key);
    }

    /// Whether a copy that its XDMS does not confirm still counts.
    pub(super) fn weigh(&mut self, now: Timestamp, key: &DocumentKey) {
        let Some(copy) = self.copies.get_mut(key).filter(|copy| copy.failures > 0) else {
            return;
        };
        let max_stale = self.settings.servers.get(copy.server).map(|s| s.max_stale);
        let fresh = copy.known.as_ref().zip(max_stale);
        let standing = match fresh {
            Some((known, max_stale)) if now < known.valid_at + max_stale => Standing::Counts,
            _ => Standing::Unreadable,
        };
        if copy.standing != standing {
            copy.standing = standing;
            self.changed.push(key.clone());
        }
    }

    /// When it is asked for next.
    fn set_time(&mut self, now: Timestamp, key: &DocumentKey) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        let Some(server) = self.settings.servers.get(copy.server) else {
            return;
        };
        let poll = Millis::from(server.poll);
        let is_down = self.health.get(copy.server).is_some_and(Health::is_down);
        let wait = match copy.failures {
            failures if failures > 0 && is_down => pause(failures - 1, LONGEST),
            0 if self.follows.covers(copy.server, key) => Millis(poll.0 * FOLLOWED),
            0 => poll,
            failures => pause(failures - 1, poll),
        };
        copy.ask_at = now + wait;
    }

    fn note_health(&mut self, now: Timestamp, server: usize, answers: bool) {
        let Some(health) = self.health.get_mut(server) else {
            return;
        };
        let host = self.settings.servers.get(server).map(|s| &*s.root.host);
        if !answers {
            if health.failed(now) {
                tracing::warn!(
                    host,
                    "an XDMS does not answer: copies of its documents are used for a while"
                );
            }
        } else if health.answered() {
            tracing::info!(host, "an XDMS answers again");
            let waits = |(key, copy): (&DocumentKey, &Copy)| {
                (copy.server == server && copy.failures > 0).then(|| key.clone())
            };
            let all: Vec<DocumentKey> = self.copies.iter().filter_map(waits).collect();
            for key in all {
                self.queue(&key);
            }
        }
    }

    /// Keeps the copy for a restart: when it is another, and from time to time that it is still the same.
    fn store(&mut self, turn: &mut Turn<'_>, key: &DocumentKey) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        let Some(known) = &copy.known else {
            if copy.stored_at.take().is_some() {
                turn.batch.delete(Table::RemoteCopy, &key.encode());
            }
            return;
        };
        let max_stale = self.settings.servers.get(copy.server).map(|s| s.max_stale);
        let often = Millis(max_stale.map_or(0, |s| Millis::from(s).0 / 4));
        if often == Millis(0) {
            return; // it would count for nothing
        }
        let is_stored = |at: Timestamp| known.since <= at && known.valid_at.since(at) < often;
        if known.valid_at == turn.now && !copy.stored_at.is_some_and(is_stored) {
            copy.stored_at = Some(known.valid_at);
            turn.batch
                .put(Table::RemoteCopy, &key.encode(), &Record::of(known));
        }
    }
}

impl Copy {
    /// Its XDMS says what it is, or that there is none.
    fn replaced(&mut self, now: Timestamp, etag: Option<String>, bytes: Option<Bytes>) {
        let etag = etag.filter(|etag| etag.len() <= ETAG);
        let same = self.known.as_ref().filter(|known| {
            known.document.as_ref().map(|document| &document.bytes) == bytes.as_ref()
        });
        let since = same.map_or(now, |known| known.since);
        let bare = || etag.as_deref().map(bare).unwrap_or_default();
        let document = bytes.map(|bytes| Document::new(bare(), bytes));
        self.known = Some(Known {
            document,
            etag,
            valid_at: now,
            since,
        });
        (self.standing, self.failures) = (Standing::Counts, 0);
    }
}
