//! The charging thread: it owns the line to the charging systems and its two users, and is the only one to touch them.
//!
//! Each turn takes a share of what has come, lets those who wait for credit go first, and then a share of the records:
//! a flood of records delays a question by a share, not by the flood.

use super::Unseen;
use super::line::{self, Line, News};
use super::link;
use super::listen::Door;
use super::online;
use super::online::worker::Credit;
use super::records::{self, Records};
use super::settings::Checked;
use super::tls::Tls;
use crate::store::StoreError;
use crate::telemetry::Metrics;
use diameter::Instant;
use diameter::dictionary::{APP_ACCOUNTING, APP_CREDIT_CONTROL};
use diameter::fault::ResultCode;
use diameter::node::ConnectionId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Taken from one source in one turn at most.
const SHARE: usize = 64;

/// The end: within this time, and whom to tell then.
#[derive(Debug)]
pub(super) struct Stop {
    pub within: Duration,
    pub done: oneshot::Sender<()>,
}

/// Everything the thread is started with.
pub(super) struct Start {
    pub settings: Checked,
    pub metrics: Metrics,
    pub tls: Option<Tls>,
    pub doors: Vec<Door>,
    pub seed: [u8; 32],
    pub rf: Option<Rf>,
    pub ro: Option<Ro>,
    /// Dropped without a word: the end, within a second.
    pub stop: oneshot::Receiver<Stop>,
}

/// What is charged offline.
pub(super) struct Rf {
    pub start: records::Start,
    pub orders: mpsc::Receiver<records::Order>,
    pub stored: mpsc::UnboundedReceiver<Result<(), StoreError>>,
    pub unseen: Arc<Unseen>,
}

/// What is charged online.
pub(super) struct Ro {
    pub start: online::worker::Start,
    pub orders: mpsc::UnboundedReceiver<online::worker::Order>,
    pub stored: mpsc::UnboundedReceiver<(u64, Result<(), StoreError>)>,
}

/// Where everything arrives that the thread acts upon. What is not used stays silent.
struct Inbox {
    heard: mpsc::Receiver<(ConnectionId, link::Event)>,
    records: mpsc::Receiver<records::Order>,
    records_stored: mpsc::UnboundedReceiver<Result<(), StoreError>>,
    unseen: Arc<Unseen>,
    credit: mpsc::UnboundedReceiver<online::worker::Order>,
    credit_stored: mpsc::UnboundedReceiver<(u64, Result<(), StoreError>)>,
}

struct Worker {
    line: Line,
    rf: Option<Records>,
    ro: Option<Credit>,
    stopping: Option<Stopping>,
}

struct Stopping {
    done: oneshot::Sender<()>,
    /// Answers are awaited until then, and goodbyes until `end`.
    answers: Instant,
    end: Instant,
    /// DPRs have been sent.
    leaving: bool,
}

/// Runs until it is told to stop, and then until everything has ended or the time for it is over. Returns whom to
/// tell, once everything it held has been dropped.
pub(super) async fn run(start: Start) -> Option<oneshot::Sender<()>> {
    let mut stop = start.stop;
    let (events, heard) = mpsc::channel(256);
    let line = Line::new(line::Start {
        settings: &start.settings,
        online: start.ro.as_ref().map(|ro| &ro.start.settings),
        metrics: start.metrics,
        tls: start.tls,
        seed: start.seed,
        doors: start.doors,
        events,
    });
    let mut worker = Worker {
        line,
        rf: None,
        ro: None,
        stopping: None,
    };
    let mut inbox = worker.open(heard, start.rf, start.ro);
    loop {
        worker.gather(&mut inbox);
        let more = worker.work();
        if worker.has_ended() {
            return worker.end();
        }
        if more {
            // The connections are served by the same runtime.
            tokio::task::yield_now().await;
            continue;
        }
        let due = worker.deadline();
        let wake = worker.line.moment(due);
        let open = worker.stopping.is_none();
        tokio::select! {
            Some(order) = inbox.credit.recv(), if open => worker.credit_ordered(order),
            Some((connection, event)) = inbox.heard.recv() => worker.line.heard(connection, event),
            Some((turn, outcome)) = inbox.credit_stored.recv() => worker.credit_stored(turn, outcome),
            Some(outcome) = inbox.records_stored.recv() => worker.records_stored(outcome),
            Some(order) = inbox.records.recv(), if open => worker.records_ordered(order),
            () = inbox.unseen.told() => {}
            asked = &mut stop, if open => {
                worker.gather(&mut inbox); // what was said before
                worker.stop(asked.ok());
            }
            () = tokio::time::sleep_until(wake) => worker.tick(),
        }
    }
}

impl Worker {
    /// Starts the users, and says where what they are told comes from.
    fn open(
        &mut self,
        heard: mpsc::Receiver<(ConnectionId, link::Event)>,
        rf: Option<Rf>,
        ro: Option<Ro>,
    ) -> Inbox {
        let mut inbox = Inbox {
            heard,
            records: mpsc::channel(1).1,
            records_stored: mpsc::unbounded_channel().1,
            unseen: Arc::default(),
            credit: mpsc::unbounded_channel().1,
            credit_stored: mpsc::unbounded_channel().1,
        };
        if let Some(rf) = rf {
            self.rf = Some(Records::new(rf.start));
            inbox.records = rf.orders;
            inbox.records_stored = rf.stored;
            inbox.unseen = rf.unseen;
        }
        if let Some(ro) = ro {
            self.ro = Some(Credit::new(&self.line, ro.start));
            inbox.credit = ro.orders;
            inbox.credit_stored = ro.stored;
        }
        inbox
    }

    /// Takes a share of everything that has come.
    fn gather(&mut self, inbox: &mut Inbox) {
        for _ in 0..SHARE {
            let Ok((turn, outcome)) = inbox.credit_stored.try_recv() else {
                break;
            };
            self.credit_stored(turn, outcome);
        }
        for _ in 0..SHARE {
            let Ok((connection, event)) = inbox.heard.try_recv() else {
                break;
            };
            self.line.heard(connection, event);
        }
        while let Ok(outcome) = inbox.records_stored.try_recv() {
            self.records_stored(outcome); // one batch is under way at a time
        }
        if self.stopping.is_some() {
            return;
        }
        for _ in 0..SHARE {
            let Ok(order) = inbox.credit.try_recv() else {
                break;
            };
            self.credit_ordered(order);
        }
        for _ in 0..SHARE {
            let Ok(order) = inbox.records.try_recv() else {
                break;
            };
            self.records_ordered(order);
        }
        let unseen = inbox.unseen.take(&inbox.records);
        if let (Some(rf), Some((lowest, highest, count))) = (&mut self.rf, unseen) {
            rf.unseen(lowest, highest, count);
        }
    }

    fn records_ordered(&mut self, order: records::Order) {
        if let Some(rf) = &mut self.rf {
            rf.ordered(&mut self.line, order);
        }
    }

    fn records_stored(&mut self, outcome: Result<(), StoreError>) {
        if let Some(rf) = &mut self.rf {
            rf.stored(self.line.now(), outcome);
        }
    }

    fn credit_ordered(&mut self, order: online::worker::Order) {
        if let Some(ro) = &mut self.ro {
            ro.ordered(&mut self.line, order);
        }
    }

    fn credit_stored(&mut self, turn: u64, outcome: Result<(), StoreError>) {
        if let Some(ro) = &mut self.ro {
            ro.committed(&mut self.line, turn, outcome);
        }
    }

    fn tick(&mut self) {
        self.line.tick();
        if let Some(ro) = &mut self.ro {
            ro.tick(&self.line);
        }
    }

    /// What can be done without waiting: all that is about credit, and a share of the records. Returns whether there
    /// is more.
    fn work(&mut self) -> bool {
        self.settle();
        let more = self.rf.as_mut().is_some_and(|rf| rf.work(&mut self.line));
        self.settle();
        self.say_goodbye();
        more
    }

    /// Brings the news to those whom they concern, and does what the credit part wants done.
    fn settle(&mut self) {
        loop {
            while let Some(news) = self.line.poll() {
                self.bring(news);
            }
            let acted = self.ro.as_mut().map(|ro| ro.advance(&mut self.line));
            if !acted.unwrap_or(false) {
                return;
            }
        }
    }

    fn bring(&mut self, news: News) {
        let now = self.line.now();
        match news {
            News::Answered {
                application,
                ticket,
                peer,
                outcome,
            } => match application {
                APP_ACCOUNTING => {
                    if let Some(rf) = &mut self.rf {
                        rf.answered(now, ticket, peer, outcome);
                    }
                }
                APP_CREDIT_CONTROL => {
                    if let Some(ro) = &mut self.ro {
                        ro.answered(&self.line, ticket, peer, &outcome);
                    }
                }
                _ => {} // nobody asks anything else
            },
            News::Asked {
                connection,
                request,
            } => match &mut self.ro {
                Some(ro) => ro.asked(now, connection, &request),
                None => {
                    let result = ResultCode::UNKNOWN_SESSION_ID;
                    self.line.reply(connection, &request, result);
                }
            },
            News::Resent { peer, session_id } => {
                if let Some(rf) = &mut self.rf {
                    rf.resent(&self.line, peer, &session_id);
                }
            }
        }
    }

    fn deadline(&mut self) -> Instant {
        let rf = self.rf.as_mut().and_then(|rf| rf.deadline(&self.line));
        let ro = self.ro.as_ref().and_then(Credit::deadline);
        let stopping = self
            .stopping
            .as_ref()
            .map(|s| if s.leaving { s.end } else { s.answers });
        let wakes = [self.line.deadline(), rf, ro, stopping];
        let next = wakes.into_iter().flatten().min();
        next.unwrap_or(self.line.now().after(60_000))
    }

    /// Ends in good order; `None`: with no one to wait for it.
    fn stop(&mut self, asked: Option<Stop>) {
        let Stop { within, done } = asked.unwrap_or_else(|| Stop {
            within: Duration::from_secs(1),
            done: oneshot::channel().0,
        });
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let now = self.line.now();
        self.stopping = Some(Stopping {
            done,
            answers: now.after(millis / 2),
            end: now.after(millis),
            leaving: false,
        });
        if let Some(rf) = &mut self.rf {
            rf.stop();
        }
    }

    /// Once the answers are in, or their time is over, the peers are told that we leave.
    fn say_goodbye(&mut self) {
        let now = self.line.now();
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if !stopping.leaving && (self.line.in_flight() == 0 || stopping.answers <= now) {
            stopping.leaving = true;
            self.line.leave();
            self.settle();
            if let Some(rf) = &mut self.rf {
                rf.work(&mut self.line);
            }
        }
    }

    fn has_ended(&self) -> bool {
        let Some(stopping) = &self.stopping else {
            return false;
        };
        let clear = self.rf.as_ref().is_none_or(Records::is_clear)
            && self.ro.as_ref().is_none_or(Credit::is_clear);
        stopping.end <= self.line.now() || stopping.leaving && self.line.has_left() && clear
    }

    fn end(self) -> Option<oneshot::Sender<()>> {
        if let Some(mut rf) = self.rf {
            rf.complete_file(self.line.now());
        }
        self.stopping.map(|stopping| stopping.done)
    }
}
