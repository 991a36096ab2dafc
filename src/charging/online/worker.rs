//! The thread that asks for credit: it owns the node, the client and the links, and is the only one to touch them.

use super::settings::{Checked, Settings as Given};
use super::{Tell, Word, record};
use crate::charging::acr::Sender;
use crate::charging::cdf::Directory;
use crate::charging::link::{self, Links};
use crate::charging::payers;
use crate::charging::tls::Tls;
use crate::store::{Committer, Record, StoreError};
use crate::telemetry::Metrics;
use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::credit::client::{Charge, Client, Kept, Order as Step};
use diameter::credit::{Decision, Denial, Owed, Question, Withdrawal as Lost};
use diameter::dictionary::{IMS_INFORMATION, SERVICE_INFORMATION};
use diameter::node::{
    Condition, ConnectionId, Input, Limits, Node, Outcome, Output, PeerSettings,
    Request as Message, Settings, Share,
};
use diameter::ro::CreditRequest;
use ims::charge::Event;
use ims::charge::credit::{Answer, Request, Settled, Verdict, Withdrawal};
use ims::record::{Batch, Op, Table};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

/// What others tell the worker.
#[derive(Debug)]
pub(super) enum Order {
    Ask(Box<Request>),
    Used {
        number: u64,
        units: u64,
    },
    Ended {
        number: u64,
        delivered: bool,
    },
    Stop {
        within: Duration,
        done: oneshot::Sender<()>,
    },
}

/// Everything the worker is started with.
pub(super) struct Start {
    pub settings: Checked,
    pub owed: Vec<Record>,
    pub committer: Arc<Committer>,
    pub metrics: Metrics,
    pub orders: mpsc::UnboundedReceiver<Order>,
    pub tell: Tell,
    pub tls: Option<Tls>,
    pub seed: [u8; 32],
}

/// One charge, as it was asked for.
struct Charged {
    event: Event,
    ecf: Vec<String>,
    /// Units are said as they are used.
    lasting: bool,
}

/// Steps that wait for what they rest on to be durable.
struct Waiting {
    turn: u64,
    committed: bool,
    steps: Vec<Step>,
}

struct Worker {
    sender: Sender,
    given: Given,
    node: Node,
    client: Client,
    links: Links,
    directory: Directory,
    committer: Arc<Committer>,
    metrics: Metrics,
    tell: Tell,
    started: tokio::time::Instant,
    charges: BTreeMap<u64, Charged>,
    waiting: VecDeque<Waiting>,
    turn: u64,
    stored: mpsc::UnboundedSender<(u64, Result<(), StoreError>)>,
    max_message: usize,
    stopping: Option<(oneshot::Sender<()>, Instant)>,
}

/// Runs until it is told to stop. Returns whom to tell, once everything it held has been dropped.
pub(super) async fn run(start: Start) -> Option<oneshot::Sender<()>> {
    let (events, mut heard) = mpsc::channel(256);
    let (stored, mut outcomes) = mpsc::unbounded_channel(); // one outcome for each batch that was submitted
    let Start {
        settings: Checked { peers, given },
        owed,
        committer,
        metrics,
        mut orders,
        tell,
        tls,
        seed,
    } = start;
    let max_message = peers.given.max_message_bytes as usize;
    let mut worker = Worker {
        sender: Sender::of(&peers),
        node: Node::new(node_settings(&peers, &given), seed),
        // What waits is bounded by the node that asks.
        client: Client::new(given.policy(), given.units_in(), given.waiting as usize * 2),
        links: Links::new(events, max_message, tls),
        directory: Directory::new(&peers),
        given,
        committer,
        metrics,
        tell,
        started: tokio::time::Instant::now(),
        charges: BTreeMap::new(),
        waiting: VecDeque::new(),
        turn: 0,
        stored,
        max_message,
        stopping: None,
    };
    worker.configure(&peers);
    worker.resume(owed);
    loop {
        worker.work();
        if worker.has_ended() {
            return worker.stopping.map(|(done, _)| done);
        }
        let wake = worker.started + Duration::from_millis(worker.deadline().0);
        tokio::select! {
            order = orders.recv(), if worker.stopping.is_none() => worker.ordered(order),
            Some((connection, event)) = heard.recv() => worker.heard(connection, event),
            Some((turn, outcome)) = outcomes.recv() => worker.committed(turn, outcome),
            () = tokio::time::sleep_until(wake) => worker.tick(),
        }
    }
}

fn node_settings(peers: &crate::charging::settings::Checked, given: &Given) -> Settings {
    let common = &peers.given;
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let limits = Limits {
        answer_timeout: given.answer_timeout_ms.0,
        max_pending: given.waiting as usize * 2,
    };
    Settings {
        local: Local {
            host: peers.origin_host.clone(),
            realm: peers.origin_realm.clone(),
            product: "Presentia".into(),
            state_id: u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
            applications: Applications::CREDIT_CONTROL,
        },
        watchdog: u64::from(common.watchdog_s.0) * 1000,
        accounting: limits,
        credit_control: limits,
        connect_timeout: common.connect_timeout_ms.0,
        backoff: (common.reconnect_min_ms.0, common.reconnect_max_ms.0),
        max_message: common.max_message_bytes as usize,
        vocabulary: peers.vocabulary.clone(),
        overload_control: common.overload_control,
    }
}

impl Worker {
    fn configure(&mut self, peers: &crate::charging::settings::Checked) {
        for peer in &peers.peers {
            self.metrics.set_peer(&peer.host, false);
            let known = PeerSettings {
                host: Some(peer.host.clone()),
                realm: Some(peer.realm.clone()),
                accounting: None,
                credit_control: Some(Share {
                    priority: peer.priority,
                    general: true,
                }),
            };
            let id = self.node.add_peer(self.now(), known);
            self.directory.configured(id, peer.clone());
        }
    }

    /// Takes up what an earlier process owed. A record that cannot be read is left where it is.
    fn resume(&mut self, owed: Vec<Record>) {
        for (key, value) in owed {
            let number = <[u8; 8]>::try_from(key.as_slice()).map(u64::from_be_bytes);
            let (Ok(number), Some((kept, event, ecf))) = (number, record::read(&value)) else {
                error!("a record of what is owed to an account cannot be read; it is left alone");
                continue;
            };
            let session = self.session_id(&event);
            let charged = Charged {
                event,
                ecf,
                lasting: false,
            };
            self.charges.insert(number, charged);
            self.client.resume(self.now(), number, session, kept, false);
        }
    }

    /// Unlike those of records, which may have the same number and time.
    fn session_id(&self, event: &Event) -> String {
        format!("{};ro", self.sender.session_id(event))
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Instant {
        let end = self.stopping.as_ref().map(|(_, end)| *end);
        let wakes = [self.node.deadline(), self.client.deadline(), end];
        let next = wakes.into_iter().flatten().min();
        next.unwrap_or(self.now().after(60_000))
    }

    fn tick(&mut self) {
        let now = self.now();
        self.node.handle(now, Input::Tick);
        self.client.tick(now);
    }

    fn ordered(&mut self, order: Option<Order>) {
        let now = self.now();
        match order {
            Some(Order::Ask(request)) => self.ask(now, *request),
            Some(Order::Used { number, units }) => {
                self.client.used(now, number, units);
            }
            Some(Order::Ended { number, delivered }) => {
                let lasting = self.charges.get(&number).is_some_and(|c| c.lasting);
                self.client
                    .ended(now, number, u64::from(delivered && !lasting));
            }
            Some(Order::Stop { within, done }) => {
                let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                self.stop(now.after(millis), done);
            }
            // The handle was dropped: the same, with no one to wait for it.
            None => self.stop(now.after(1_000), oneshot::channel().0),
        }
    }

    fn stop(&mut self, end: Instant, done: oneshot::Sender<()>) {
        self.stopping = Some((done, end));
        self.node.handle(self.now(), Input::Stop);
    }

    fn ask(&mut self, now: Instant, request: Request) {
        let Request {
            number,
            event,
            ecf,
            lasting,
        } = request;
        let session = self.session_id(&event);
        let kind = match lasting {
            true => Some(Charge::Lasting),
            false => self.given.charge(event.method),
        };
        let Some(charge) = kind else {
            return self.answer(number, Verdict::Granted, Settled::Unchanged);
        };
        let charged = Charged {
            event,
            ecf,
            lasting,
        };
        self.charges.insert(number, charged);
        if let Err(full) = self.client.begin(now, number, session, charge) {
            warn!(%full, "a request is refused");
            self.charges.remove(&number);
            self.answer(number, Verdict::Unavailable, Settled::Unchanged);
        }
    }

    fn answer(&self, number: u64, verdict: Verdict, settled: Settled) {
        (self.tell)(number, Word::Answer(Answer { verdict, settled }));
    }

    fn heard(&mut self, connection: ConnectionId, event: link::Event) {
        let input = self.links.heard(connection, &event);
        self.node.handle(self.now(), input);
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.output(output);
            }
            if !self.advance() {
                return;
            }
        }
    }

    fn output(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Connect { connection } => match self.directory.place(connection.peer) {
                Some(place) => self.links.connect(connection, place),
                None => {
                    let why = "nobody knows where it listens".to_owned();
                    self.node
                        .handle(now, Input::ConnectFailed { connection, why });
                }
            },
            Output::Close { connection } => self.links.close(connection),
            Output::Send { connection, bytes } => {
                if !self.links.send(connection, bytes) {
                    self.links.close(connection);
                    self.node.handle(now, Input::Disconnected { connection });
                }
            }
            Output::Answered {
                ticket,
                peer,
                outcome,
                ..
            } => self.client.outcome(now, ticket, peer, &outcome),
            Output::Asked {
                connection,
                request,
            } => self.client.asked(now, connection, &request),
            Output::Restarted { peer } => {
                let peer = self.directory.label(peer).unwrap_or_default();
                info!(peer, "OCS has restarted: its Origin-State-Id has risen");
            }
            Output::PeerState {
                peer,
                condition,
                why,
            } => {
                let host = self.directory.label(peer).unwrap_or_default();
                self.metrics.set_peer(host, condition == Condition::Up);
                match condition {
                    Condition::Up => info!(peer = host, "OCS is up"),
                    Condition::Closed | Condition::Suspect if self.stopping.is_none() => {
                        warn!(peer = host, state = ?condition, why, "OCS is not up");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes what the client wants done: what has to be stored is submitted, the rest waits for it. Returns whether
    /// there was anything.
    fn advance(&mut self) -> bool {
        let (mut batch, mut steps) = (Batch::default(), Vec::new());
        while let Some(step) = self.client.poll_order() {
            match step {
                Step::Keep { key, kept } => self.keep(&mut batch, key, &kept),
                Step::Forget { key } => batch.ops.push(Op::Delete {
                    table: Table::Credit,
                    key: key.to_be_bytes().into(),
                }),
                other => steps.push(other),
            }
        }
        if batch.is_empty() && steps.is_empty() {
            return false;
        }
        if batch.is_empty() && self.waiting.is_empty() {
            self.carry_out(steps);
            return true;
        }
        self.turn += 1;
        let turn = self.turn;
        self.waiting.push_back(Waiting {
            turn,
            committed: batch.is_empty(),
            steps,
        });
        if !batch.is_empty() {
            let told = self.stored.clone();
            // The worker is gone only when nobody needs to know.
            let done = move |outcome| _ = told.send((turn, outcome));
            self.committer.submit(batch, Box::new(done));
        }
        true
    }

    fn keep(&self, batch: &mut Batch, key: u64, kept: &Kept) {
        let charged = self.charges.get(&key);
        let value = charged.and_then(|c| record::write(kept, &c.event, &c.ecf));
        if let Some(value) = value {
            batch.ops.push(Op::Put {
                table: Table::Credit,
                key: key.to_be_bytes().into(),
                value: value.into(),
            });
        }
    }

    fn committed(&mut self, turn: u64, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            // The driver ends the process for the same reason; nothing that rests on this leaves.
            error!(%error, "what is owed to an account could not be stored");
            return;
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|w| w.turn == turn) {
            waiting.committed = true;
        }
        while let Some(ready) = self.waiting.pop_front_if(|w| w.committed) {
            self.carry_out(ready.steps);
        }
    }

    fn carry_out(&mut self, steps: Vec<Step>) {
        let now = self.now();
        for step in steps {
            match step {
                Step::Ask {
                    key,
                    session_id,
                    question,
                    prefer,
                    avoid,
                    bound,
                } => {
                    let Some(charged) = self.charges.get(&key) else {
                        continue;
                    };
                    let (named, _) = self.directory.preferred(&charged.ecf);
                    let Some(bytes) = self.ccr(charged, &session_id, &question) else {
                        self.client.outcome(now, key, None, &Outcome::TooLong);
                        continue;
                    };
                    let message = Message {
                        ticket: key,
                        // Rises with the number; the questions of one charge follow each other.
                        end_to_end: ((key << 2) & 0x7fff_ffff) as u32 | (question.number & 3),
                        retransmitted: question.retransmitted,
                        prefer: prefer.into_iter().chain(named).collect(),
                        avoid,
                        bound,
                        message: bytes,
                    };
                    self.node.handle(now, Input::Request(message));
                }
                Step::Decided { key, decision } => self.decided(key, decision),
                Step::Withdrawn { key, why } => self.withdrawn(key, why),
                Step::Reply {
                    connection,
                    request,
                    result,
                } => self.node.handle(
                    now,
                    Input::Reply {
                        connection,
                        request: &request,
                        result,
                    },
                ),
                Step::Unsettled { key, owed } => {
                    error!(number = key, ?owed, "the OCS refuses for good what is owed");
                }
                Step::Keep { .. } | Step::Forget { .. } => {} // went into the batch
            }
        }
        let client = &self.client;
        self.charges.retain(|number, _| client.knows(*number));
    }

    fn withdrawn(&self, key: u64, why: Lost) {
        debug!(number = key, ?why, "credit withdrawn");
        let why = match why {
            Lost::Spent | Lost::Denied(Denial::NoCredit) => Withdrawal::Spent,
            Lost::Denied(Denial::Refused) | Lost::Aborted => Withdrawal::Refused,
            Lost::Denied(Denial::Unavailable) => Withdrawal::Unavailable,
        };
        (self.tell)(key, Word::Withdrawn(why));
    }

    fn decided(&mut self, key: u64, decision: Decision) {
        let verdict = match decision {
            Decision::Granted | Decision::Free => Verdict::Granted,
            Decision::Denied(Denial::NoCredit) => Verdict::NoCredit,
            Decision::Denied(Denial::Refused) => Verdict::Refused,
            Decision::Denied(Denial::Unavailable) => Verdict::Unavailable,
        };
        let settled = match (
            self.client.if_given(key, self.now()),
            self.charges.get(&key),
        ) {
            (Some(kept), Some(charged)) if kept.owed != Owed::Nothing => {
                let value = record::write(&kept, &charged.event, &charged.ecf);
                value.map_or(Settled::Nothing, Settled::Owed)
            }
            (Some(_), _) => Settled::Nothing,
            (None, _) => Settled::Unchanged,
        };
        debug!(number = key, ?decision, "credit decided");
        self.answer(key, verdict, settled);
    }

    /// `None`: longer than a message may be.
    fn ccr(&self, charged: &Charged, session_id: &str, question: &Question) -> Option<Vec<u8>> {
        let event = &charged.event;
        let payers = payers::of(event).into_iter();
        let payers: Vec<(i32, String)> = payers.map(|(kind, id)| (kind, id.into_owned())).collect();
        let request = CreditRequest {
            session_id,
            origin_host: &self.sender.origin_host,
            origin_realm: &self.sender.origin_realm,
            service_context_id: &self.sender.service_context_id,
            kind: question.kind,
            number: question.number,
            action: question.action,
            cause: question.cause,
            event_timestamp: event.requested_at.0 / 1000,
            subscriptions: &payers,
            units_in: self.given.units_in(),
            requested: question.requested,
            used: question.used,
        };
        let mut w = request.ccr();
        w.group(&SERVICE_INFORMATION, |w| {
            w.group(&IMS_INFORMATION, |w| self.sender.ims_information(w, event));
        });
        w.finish(self.max_message).ok()
    }

    fn has_ended(&self) -> bool {
        let Some((_, end)) = &self.stopping else {
            return false;
        };
        *end <= self.now() || self.node.has_stopped() && self.waiting.is_empty()
    }
}
