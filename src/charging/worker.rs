//! The thread that charges: it owns the node, the spool and the links, and is the only one to touch them.
//!
//! Here is its loop and its peers; [`records`] is the way of a record from the store to its answer, [`files`]
//! its way out of the store.

mod files;
mod records;

use super::Unseen;
use super::accounts::Accounts;
use super::acr::Sender;
use super::cdf::Directory;
use super::desk::Recent;
use super::export::Export;
use super::link::{self, Links};
use super::quarantine::Range;
use super::settings::Checked;
use super::spool::Spool;
use super::tls::Tls;
use crate::store::{Committer, Reader, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{ChargingOutcome, Queue};
use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::dictionary::{APP_ACCOUNTING, CMD_ACCOUNTING};
use diameter::fault::ResultCode;
use diameter::message::Header;
use diameter::node::{
    Condition, ConnectionId, Input, Limits, Node, Output, PeerSettings, Settings, Share,
};
use diameter::route::PeerId;
use ims::charge::Event;
use ims::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// What others tell the worker.
#[derive(Debug)]
pub(super) enum Order {
    /// These events are in the store.
    Committed(Vec<Event>),
    /// These records are in the store again, after they were in quarantine.
    Released(Range),
    /// No more events; end within this time, then say so.
    Stop {
        within: Duration,
        done: oneshot::Sender<()>,
    },
}

/// Everything the worker is started with.
#[derive(Debug)]
pub(super) struct Start {
    pub sender: Arc<Sender>,
    pub accounts: Accounts,
    pub export: Option<Export>,
    pub recent: Arc<Recent>,
    pub settings: Checked,
    pub spool: Spool,
    pub committer: Arc<Committer>,
    pub metrics: Metrics,
    pub orders: mpsc::Receiver<Order>,
    pub unseen: Arc<Unseen>,
    pub tls: Option<Tls>,
    pub seed: [u8; 32],
}

struct Worker {
    sender: Arc<Sender>,
    accounts: Accounts,
    export: Option<Export>,
    recent: Arc<Recent>,
    bounds: Bounds,
    node: Node,
    spool: Spool,
    links: Links,
    directory: Directory,
    reader: Arc<dyn Reader>,
    committer: Arc<Committer>,
    metrics: Metrics,
    started: tokio::time::Instant,
    stored: mpsc::UnboundedSender<Result<(), StoreError>>,
    /// When answered records leave at the latest.
    flush: Option<Instant>,
    /// The store is left alone until then, after an error.
    store_rest: Instant,
    alarm: Alarm,
    max_message: usize,
    /// Why each peer that is not up was not up when it was last said: each attempt fails in the same way.
    said: BTreeMap<PeerId, String>,
    stopping: Option<Stopping>,
}

/// What the spool may hold before its oldest records are exported.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Records; 0: any number.
    records: u64,
    /// Milliseconds; 0: any age.
    age: u64,
    /// The operator has been told that records are pushed out.
    told: bool,
}

/// The depth at which the operator is told: the first, and each doubling of it.
struct Alarm {
    first: u64,
    next: u64,
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
pub(super) async fn run(start: Start, reader: Arc<dyn Reader>) -> Option<oneshot::Sender<()>> {
    let (events, mut heard) = mpsc::channel(256);
    let (stored, mut outcomes) = mpsc::unbounded_channel(); // one batch is under way at a time
    let Start {
        sender,
        accounts,
        export,
        recent,
        settings,
        spool,
        committer,
        metrics,
        mut orders,
        unseen,
        tls,
        seed,
    } = start;
    let max_message = settings.given.max_message_bytes as usize;
    let mut worker = Worker {
        sender,
        accounts,
        export,
        recent,
        bounds: Bounds {
            records: settings.given.spool_max_records,
            age: u64::from(settings.given.spool_max_age_s.0) * 1_000,
            told: false,
        },
        node: Node::new(node_settings(&settings), seed),
        spool,
        links: Links::new(events, max_message, tls),
        directory: Directory::new(&settings),
        reader,
        committer,
        metrics,
        started: tokio::time::Instant::now(),
        stored,
        flush: None,
        store_rest: Instant(0),
        alarm: Alarm {
            first: settings.given.spool_alarm_records,
            next: settings.given.spool_alarm_records,
        },
        max_message,
        said: BTreeMap::new(),
        stopping: None,
    };
    worker.configure(&settings);
    loop {
        worker.work();
        if worker.has_ended() {
            worker.complete_file();
            return worker.stopping.map(|stopping| stopping.done);
        }
        let wake = worker.started + Duration::from_millis(worker.deadline().0);
        tokio::select! {
            order = orders.recv(), if worker.stopping.is_none() => worker.ordered(order),
            () = unseen.told() => {}
            Some((connection, event)) = heard.recv() => worker.heard(connection, event),
            Some(outcome) = outcomes.recv() => worker.stored(outcome),
            () = tokio::time::sleep_until(wake) => worker.node.handle(worker.now(), Input::Tick),
        }
        if let Some((lowest, highest, count)) = unseen.take() {
            worker.spool.committed_unseen(lowest, highest, count);
        }
    }
}

fn node_settings(settings: &Checked) -> Settings {
    let given = &settings.given;
    let limits = Limits {
        answer_timeout: given.answer_timeout_ms.0,
        max_pending: given.max_in_flight as usize,
    };
    Settings {
        local: Local {
            host: settings.origin_host.clone(),
            realm: settings.origin_realm.clone(),
            product: "Presentia".into(),
            state_id: u32::try_from(wall_clock().0 / 1000).unwrap_or(u32::MAX),
            applications: Applications::ACCOUNTING,
        },
        watchdog: u64::from(given.watchdog_s.0) * 1000,
        accounting: limits,
        credit_control: limits,
        connect_timeout: given.connect_timeout_ms.0,
        backoff: (given.reconnect_min_ms.0, given.reconnect_max_ms.0),
        max_message: given.max_message_bytes as usize,
        vocabulary: settings.vocabulary.clone(),
        overload_control: given.overload_control,
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Worker {
    fn configure(&mut self, settings: &Checked) {
        for peer in &settings.peers {
            self.metrics.set_peer(&peer.host, false);
            let known = PeerSettings {
                host: Some(peer.host.clone()),
                realm: Some(peer.realm.clone()),
                accounting: Some(Share {
                    priority: peer.priority,
                    general: true,
                }),
                credit_control: None,
            };
            let id = self.node.add_peer(self.now(), known);
            self.directory.configured(id, peer.clone());
        }
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&mut self) -> Instant {
        let spool = self
            .spool
            .deadline()
            .filter(|_| self.node.is_up_for(APP_ACCOUNTING) && self.stopping.is_none());
        let stopping = self
            .stopping
            .as_ref()
            .map(|s| if s.leaving { s.end } else { s.answers });
        let rest = Some(self.store_rest).filter(|at| *at > self.now());
        let file = self.file_due();
        let wakes = [
            self.node.deadline(),
            spool,
            self.flush,
            stopping,
            rest,
            file,
        ];
        wakes
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.now().after(60_000))
    }

    fn ordered(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Committed(events)) => {
                for event in events {
                    self.prepare(&event);
                    self.spool.committed(event);
                }
            }
            Some(Order::Stop { within, done }) => self.stop(within, done),
            Some(Order::Released(Range {
                lowest,
                highest,
                count,
            })) => self.spool.committed_unseen(lowest, highest, count),
            // The handle was dropped: the same, with no one to wait for it.
            None => self.stop(Duration::from_secs(1), oneshot::channel().0),
        }
    }

    fn stop(&mut self, within: Duration, done: oneshot::Sender<()>) {
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let (answers, end) = (now.after(millis / 2), now.after(millis));
        self.stopping = Some(Stopping {
            done,
            answers,
            end,
            leaving: false,
        });
    }

    fn heard(&mut self, connection: ConnectionId, event: link::Event) {
        let input = self.links.heard(connection, &event);
        self.node.handle(self.now(), input);
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) {
        self.outputs();
        if !self.node.is_up_for(APP_ACCOUNTING) {
            self.spool.outage();
        }
        while self.stopping.is_none() && self.read_store() {}
        while self.stopping.is_none() && self.node.is_up_for(APP_ACCOUNTING) {
            let Some(sending) = self.spool.next_sending(self.now()) else {
                break;
            };
            self.send(sending);
            self.outputs();
        }
        self.overflow();
        self.clear_store();
        self.say_goodbye();
        self.show();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Connect { connection } => match self.directory.place(connection.peer) {
                    Some(place) => self.links.connect(connection, place),
                    // Removed since; nothing waits for it.
                    None => {
                        let why = "nobody knows where it listens".to_owned();
                        self.node
                            .handle(self.now(), Input::ConnectFailed { connection, why });
                    }
                },
                Output::Close { connection } => self.links.close(connection),
                Output::Send { connection, bytes } => {
                    let header = Header::read(&bytes);
                    if header
                        .is_some_and(|h| h.command == CMD_ACCOUNTING && h.flags.retransmitted())
                    {
                        self.metrics.charging(ChargingOutcome::Resent);
                        self.note_resent(connection.peer, &bytes);
                    }
                    if !self.links.send(connection, bytes) {
                        self.links.close(connection);
                        self.node
                            .handle(self.now(), Input::Disconnected { connection });
                    }
                }
                Output::Answered {
                    ticket,
                    peer,
                    outcome,
                    ..
                } => self.answered(ticket, peer, outcome),
                // Accounting by events opens no session that a peer could ask about.
                Output::Asked {
                    connection,
                    request,
                } => {
                    let result = ResultCode::UNKNOWN_SESSION_ID;
                    let reply = Input::Reply {
                        connection,
                        request: &request,
                        result,
                    };
                    self.node.handle(self.now(), reply);
                }
                Output::Restarted { peer } => {
                    let peer = self.directory.label(peer).unwrap_or("named by ccf");
                    info!(peer, "CDF has restarted: its Origin-State-Id has risen");
                }
                Output::PeerState {
                    peer,
                    condition,
                    why,
                } => self.peer_state(peer, condition, &why),
            }
        }
    }

    fn peer_state(&mut self, peer: PeerId, condition: Condition, why: &str) {
        if matches!(condition, Condition::Up | Condition::Closed) {
            self.directory.settled(peer);
        }
        let label = self.directory.label(peer);
        if let Some(host) = label {
            self.metrics.set_peer(host, condition == Condition::Up);
        }
        let host = label.unwrap_or("named by ccf");
        match condition {
            Condition::Up => {
                self.said.remove(&peer);
                info!(peer = host, "CDF is up");
            }
            Condition::Reopening => {
                info!(peer = host, "CDF is back and must answer three watchdogs")
            }
            Condition::Closed | Condition::Suspect => {
                let news = self.said.get(&peer).is_none_or(|said| said != why);
                if news && self.stopping.is_none() {
                    warn!(peer = host, state = ?condition, why, "CDF is not up");
                    self.said.insert(peer, why.to_owned());
                }
            }
            Condition::Connecting | Condition::Closing => {}
        }
    }

    /// Once the answers are in, or their time is over, the peers are told that we leave.
    fn say_goodbye(&mut self) {
        let now = self.now();
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if !stopping.leaving && (self.spool.in_flight() == 0 || stopping.answers <= now) {
            stopping.leaving = true;
            self.node.handle(now, Input::Stop);
            self.outputs();
            self.clear_store();
        }
    }

    fn has_ended(&self) -> bool {
        let Some(stopping) = &self.stopping else {
            return false;
        };
        let clear = self.spool.waiting_to_leave() == 0 && !self.spool.is_leaving();
        stopping.end <= self.now() || stopping.leaving && self.node.has_stopped() && clear
    }

    fn show(&mut self) {
        let depth = self.spool.depth();
        self.metrics.set_spool_depth(depth);
        self.metrics
            .set_queue(Queue::Charging, self.spool.in_flight());
        if depth >= self.alarm.next {
            warn!(
                depth,
                "charging records pile up: no CDF takes them as fast as they come"
            );
            self.alarm.next = self.alarm.next.saturating_mul(2);
        } else if self.alarm.next > self.alarm.first && depth < self.alarm.first / 2 {
            info!(depth, "the pile of charging records is gone");
            self.alarm.next = self.alarm.first;
        }
    }
}
