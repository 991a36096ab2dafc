//! Rf: records go to the CDFs and leave the store when they have been taken.
//!
//! Here is what it keeps and its share of the charging thread's turns; [`sending`] is the way of a record from the
//! store to its answer, [`leaving`] its way out of the store.

mod leaving;
mod sending;

use super::accounts::Accounts;
use super::acr::Sender;
use super::alarm::{Alarms, News, Reason, Seen};
use super::desk::Recent;
use super::export::Export;
use super::line::{Line, wall_clock};
use super::quarantine::Range;
use super::settings;
use super::spool::Spool;
use crate::store::{Committer, Reader, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{ChargingOutcome, Queue};
use diameter::Instant;
use diameter::dictionary::APP_ACCOUNTING;
use diameter::route::PeerId;
use ims::charge::Event;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// Records sent in one turn of the thread at most, so that those who wait for credit are not kept waiting.
const SHARE: usize = 32;

/// What others tell this part.
#[derive(Debug)]
pub(super) enum Order {
    /// These events are in the store.
    Committed(Vec<Event>),
    /// These records are in the store again, after they were in quarantine.
    Released(Range),
}

/// Everything this part is started with.
pub(super) struct Start {
    pub sender: Arc<Sender>,
    pub accounts: Accounts,
    pub export: Option<Export>,
    pub recent: Arc<Recent>,
    pub settings: settings::Settings,
    pub spool: Spool,
    pub reader: Arc<dyn Reader>,
    pub committer: Arc<Committer>,
    pub metrics: Metrics,
    /// Is told how each batch of changes ended; it is for [`Records::stored`].
    pub stored: mpsc::UnboundedSender<Result<(), StoreError>>,
}

/// The records, and what is known of each.
pub(super) struct Records {
    sender: Arc<Sender>,
    accounts: Accounts,
    export: Option<Export>,
    recent: Arc<Recent>,
    bounds: Bounds,
    use_ccf: bool,
    spool: Spool,
    reader: Arc<dyn Reader>,
    committer: Arc<Committer>,
    metrics: Metrics,
    stored: mpsc::UnboundedSender<Result<(), StoreError>>,
    /// When answered records leave at the latest.
    flush: Option<Instant>,
    /// The store is left alone until then, after an error.
    store_rest: Instant,
    alarms: Alarms,
    /// Nothing new is sent.
    stopping: bool,
}

/// What the spool may hold before its oldest records are exported.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Records; 0: any number.
    records: u64,
    /// Bytes of all together in the store; 0: any number.
    bytes: u64,
    /// Milliseconds; 0: any age.
    age: u64,
    /// The operator has been told that records are pushed out.
    told: bool,
}

impl Records {
    pub fn new(start: Start) -> Records {
        let Start {
            sender,
            accounts,
            export,
            recent,
            settings,
            spool,
            reader,
            committer,
            metrics,
            stored,
        } = start;
        for reason in Reason::ALL {
            metrics.set_spool_alarm(reason.name(), false);
        }
        Records {
            sender,
            accounts,
            export,
            recent,
            bounds: Bounds {
                records: settings.spool_max_records,
                bytes: settings.spool_max_bytes,
                age: u64::from(settings.spool_max_age_s.0) * 1_000,
                told: false,
            },
            use_ccf: settings.use_ccf,
            spool,
            reader,
            committer,
            metrics,
            stored,
            flush: None,
            store_rest: Instant(0),
            alarms: Alarms::new(&settings),
            stopping: false,
        }
    }

    pub fn ordered(&mut self, line: &mut Line, order: Order) {
        match order {
            Order::Committed(events) => {
                for event in events {
                    self.prepare(line, &event);
                    self.spool.committed(event);
                }
            }
            Order::Released(Range { lowest, count, .. }) => self.spool.released(lowest, count),
        }
    }

    /// So many records between these numbers are in the store that nobody handed over.
    pub fn unseen(&mut self, lowest: u64, highest: u64, count: u64) {
        self.spool.committed_unseen(lowest, highest, count);
    }

    /// A record was sent with the T flag.
    pub fn resent(&mut self, line: &Line, peer: PeerId, session_id: &str) {
        self.metrics.charging(ChargingOutcome::Resent);
        self.note_resent(line, peer, session_id);
    }

    /// A share of everything that can be done without waiting. Returns whether there is more.
    pub fn work(&mut self, line: &mut Line) -> bool {
        let up = line.is_up_for(APP_ACCOUNTING);
        if !up {
            self.spool.outage();
        }
        let mut more = false;
        if !self.stopping {
            more |= self.read_store(line);
            more |= up && self.send_some(line);
        }
        self.show(); // the alarm comes before what it warns of
        self.overflow(line);
        self.clear_store(line);
        more
    }

    fn send_some(&mut self, line: &mut Line) -> bool {
        for _ in 0..SHARE {
            if line.is_crowded() {
                return false; // its answer, or the end of its time, goes on with them
            }
            let Some(sending) = self.spool.next_sending(line.now()) else {
                return false;
            };
            self.send(line, sending);
        }
        true
    }

    /// When there is something to do that is not to be done now. Never in the past while nothing can be done: the thread
    /// would not sleep.
    pub fn deadline(&mut self, line: &Line) -> Option<Instant> {
        let now = line.now();
        let sends = line.is_up_for(APP_ACCOUNTING) && !self.stopping && !line.is_crowded();
        let spool = self.spool.deadline().filter(|_| sends);
        let rest = Some(self.store_rest).filter(|at| *at > now);
        let rested = |at: Instant| at.max(self.store_rest);
        let flush = self.flush.map(rested);
        let file = self.file_due(now).map(|at| at.max(self.store_rest));
        let wakes = [spool, flush, rest, file];
        wakes.into_iter().flatten().min()
    }

    /// Nothing more is sent; answers are still taken.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether nothing waits to be taken out of the store.
    pub fn is_clear(&self) -> bool {
        self.spool.waiting_to_leave() == 0 && !self.spool.is_leaving()
    }

    fn show(&mut self) {
        let depth = self.spool.depth();
        let bytes = self.reader.spool_bytes();
        self.metrics.set_spool(depth, bytes);
        self.metrics
            .set_queue(Queue::Charging, self.spool.in_flight());
        let seen = Seen {
            depth,
            bytes,
            oldest: self.spool.oldest(),
            now: wall_clock(),
            space: self.committer.space(),
        };
        for news in self.alarms.look(&seen) {
            self.tell(news, depth);
        }
    }

    fn tell(&self, news: News, depth: u64) {
        let (News::Raised(reason) | News::Over(reason)) = news;
        let is_raised = self.alarms.is_raised(reason);
        self.metrics.set_spool_alarm(reason.name(), is_raised);
        match news {
            News::Raised(Reason::Depth) => warn!(
                depth,
                "charging records pile up: no CDF takes them as fast as they come"
            ),
            News::Raised(Reason::Limit) => error!(
                depth,
                "the spool is nearly at spool_max_records: beyond it the oldest charging records are exported to files"
            ),
            News::Raised(Reason::Bytes) => error!(
                depth,
                bytes = self.reader.spool_bytes(),
                "the spool is nearly at spool_max_bytes: beyond it the oldest charging records are exported to files"
            ),
            News::Raised(Reason::Age) => error!(
                depth,
                "the oldest charging record waits for too long: above spool_max_age_s, if it is set, they are exported to files"
            ),
            News::Raised(Reason::Disk) => error!(
                depth,
                "the disk is nearly full: under [store] min_free_bytes new state is refused, and with it new charges"
            ),
            News::Over(Reason::Depth) => info!(depth, "the pile of charging records is gone"),
            News::Over(reason) => {
                info!(
                    depth,
                    reason = reason.name(),
                    "an alarm of the spool is over"
                );
            }
        }
    }
}
