//! The way of a record out of the store: to a file where that is wanted, into the accounts, and then deleted.

use super::Records;
use super::sending::STORE_WAIT;
use crate::charging::accounts::Outcome;
use crate::charging::cdr::{Cdr, Ended};
use crate::charging::line::{Line, wall_clock};
use crate::charging::spool::Done;
use crate::store::StoreError;
use crate::telemetry::metrics::ChargingOutcome;
use diameter::Instant;
use diameter::dictionary::APP_ACCOUNTING;
use diameter::route::PeerId;
use ims::charge::Event;
use ims::time::Timestamp;
use std::io;
use tracing::{error, info};

/// Answered records are taken out of the store together, so many at once or after so many milliseconds, and not more
/// than half a window, since no others are sent in their place before. What is lost with them in a crash is sent
/// again, with the T flag.
const LEAVING: usize = 128;
const LEAVING_WAIT: u64 = 20;

/// Records pushed out at once.
const PUSHED: usize = 512;

impl Records {
    /// Keeps the spool within its bounds: its oldest records are exported.
    pub(super) fn overflow(&mut self, line: &Line) {
        if self.export.is_none() || self.spool.is_leaving() || line.now() < self.store_rest {
            return;
        }
        let mut pushed = 0;
        let held = self
            .spool
            .depth()
            .saturating_sub(self.spool.waiting_to_leave() as u64);
        if self.bounds.records > 0 && held > self.bounds.records {
            let excess = (held - self.bounds.records).min(PUSHED as u64);
            pushed += self.spool.evict(excess, Timestamp(u64::MAX));
        }
        pushed += self.push_out_bytes();
        let oldest = Timestamp(wall_clock().0.saturating_sub(self.bounds.age));
        if self.bounds.age > 0 && self.spool.oldest().is_some_and(|at| at < oldest) {
            pushed += self.spool.evict(PUSHED as u64, oldest);
        }
        let is_up = line.is_up_for(APP_ACCOUNTING);
        if pushed > 0 && !self.bounds.told {
            error!(
                "the spool is at its limit: charging records are exported to files instead of a CDF"
            );
        } else if pushed == 0 && self.bounds.told && is_up {
            info!("the spool is within its limit again");
        }
        self.bounds.told = pushed > 0 || self.bounds.told && !is_up;
    }

    /// Where the records take more than they may, the oldest that take the excess are to be exported. What has ended,
    /// but lies there still, is in the way of none.
    fn push_out_bytes(&mut self) -> u64 {
        let most = self.bounds.bytes;
        let stored = self.reader.spool_bytes();
        if most == 0 || stored <= most {
            return 0;
        }
        let reader = self.reader.clone();
        // A length that cannot be read counts as all that is needed: no record is pushed out for want of a number.
        let length = |number| match reader.spooled(&Event::key(number)) {
            Ok(length) => length.unwrap_or(0),
            Err(_) => u64::MAX,
        };
        let ended = self.spool.ended_numbers().map(length);
        let ended = ended.fold(0, u64::saturating_add);
        let excess = stored.saturating_sub(ended).saturating_sub(most);
        self.spool.evict_bytes(excess, PUSHED, length)
    }

    /// Writes what the files are to have of the batch under way.
    fn write_files(&mut self, line: &Line) -> io::Result<()> {
        let Some(export) = &mut self.export else {
            return Ok(());
        };
        let all = export.wants_all();
        let now = wall_clock();
        let wanted = self.spool.batch();
        let wanted = wanted.filter(|done| all || done.outcome == Outcome::Exported);
        let cdrs: Vec<Cdr> = wanted
            .filter_map(|done| ended(done, line, now))
            .map(|ended| ended.cdr(&self.sender))
            .collect();
        export.write(&cdrs, now.0)
    }

    /// Notes what became of the records of the batch under way.
    fn settle(&mut self, line: &Line) {
        let now = wall_clock();
        let mut recent = Vec::new();
        for done in self.spool.batch() {
            let booked = done.event.as_ref().map(|event| event.booked);
            let peer = label_of(done, line);
            self.accounts
                .note_end(booked.unwrap_or_default(), done.outcome, peer);
            if done.outcome == Outcome::Exported {
                self.metrics.charging(ChargingOutcome::Exported);
            }
            recent.extend(ended(done, line, now));
        }
        self.recent.add(recent);
    }

    pub(super) fn note_resent(&mut self, line: &Line, peer: PeerId, session_id: &str) {
        let hour = number_of(session_id)
            .and_then(|number| self.spool.event(number))
            .map_or(0, |event| event.booked.hour);
        let peer = line.label(peer).unwrap_or(NAMED);
        self.accounts.note(hour, Outcome::Resent, peer);
    }

    /// When the file of the export is to be completed; by then it is.
    pub(super) fn file_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.export.as_ref()?.due()?;
        let left = due.saturating_sub(wall_clock().0);
        if left == 0 && now >= self.store_rest {
            self.complete_file(now);
            return None;
        }
        Some(now.after(left))
    }

    pub fn complete_file(&mut self, now: Instant) {
        let rotated = self.export.as_mut().map(|export| export.rotate());
        if let Some(Err(error)) = rotated {
            error!(%error, "a file of charging records could not be completed");
            self.store_rest = now.after(STORE_WAIT);
        }
    }

    /// Takes answered records out of the store: many at once when many come, at once when nothing else is under way.
    pub(super) fn clear_store(&mut self, line: &Line) {
        let now = line.now();
        let waiting = self.spool.waiting_to_leave();
        if waiting == 0 {
            self.flush = None;
            return;
        }
        let at = *self
            .flush
            .get_or_insert(now.after(LEAVING_WAIT).max(self.store_rest));
        let many = LEAVING.min(self.spool.window().div_ceil(2));
        let enough = waiting >= many || self.spool.in_flight() == 0 || self.stopping || at <= now;
        if now < self.store_rest || !enough {
            return;
        }
        self.flush = None;
        if let Some(mut batch) = self.spool.take_batch() {
            if let Err(error) = self.write_files(line) {
                error!(%error, "charging records could not be exported; they stay in the spool");
                self.spool.stayed();
                self.store_rest = now.after(STORE_WAIT);
                return;
            }
            self.settle(line);
            self.accounts.add_to(&mut batch);
            let told = self.stored.clone();
            // The thread is gone only when nobody needs to know.
            self.committer
                .submit_patiently(batch, Box::new(move |outcome| _ = told.send(outcome)));
        }
    }

    /// The changes of a batch are in the store, or are not.
    pub fn stored(&mut self, now: Instant, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                self.spool.left();
                self.accounts.left();
            }
            Err(error) => {
                error!(%error, "acknowledged charging records could not be taken out of the store");
                self.spool.stayed();
                self.accounts.stayed();
                self.store_rest = now.after(STORE_WAIT);
            }
        }
    }
}

/// What a CDF that is named only by a `ccf` is called in the accounts: over time there may be many.
const NAMED: &str = "named by ccf";

fn label_of<'a>(done: &Done, line: &'a Line) -> &'a str {
    match done.peer {
        Some(peer) => line.label(peer).unwrap_or(NAMED),
        None => "",
    }
}

fn ended(done: &Done, line: &Line, at: Timestamp) -> Option<Ended> {
    let refused = done.quarantined.as_ref();
    Some(Ended {
        event: done.event.clone()?,
        state: match done.outcome {
            Outcome::Quarantined => "quarantined",
            Outcome::Exported => "exported",
            Outcome::Acknowledged | Outcome::Released | Outcome::Resent => "acknowledged",
        },
        cdf: label_of(done, line).to_owned(),
        result: refused.map(|q| q.result),
        reason: refused.map(|q| q.reason.clone()).unwrap_or_default(),
        at,
    })
}

/// The number of an event in its Session-Id, whose second and third parts are its halves.
fn number_of(session_id: &str) -> Option<u64> {
    let mut parts = session_id.split(';').skip(1);
    let high: u64 = parts.next()?.parse().ok()?;
    let low: u64 = parts.next()?.parse().ok()?;
    Some(high << 32 | low)
}
