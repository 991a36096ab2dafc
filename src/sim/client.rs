//! A credit-control client by itself: one charge against an OCS, shown step by step. It is the client that a server
//! would use, so that an OCS can be tried out before it is trusted with users.

use super::serve::{Framed, reads, writes};
use super::tree;
use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::credit::client::{Charge, Client, Order};
use diameter::credit::{Decision, Policy, Question};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::Message;
use diameter::node::{
    Condition, ConnectionId, Input, Limits, Node, Outcome, Output, PeerSettings, Request, Settings,
    Share,
};
use diameter::ro::{CreditRequest, UnitsIn};
use diameter::route::PeerId;
use diameter::session::session_id;
use diameter::vocabulary::Vocabulary;
use diameter::write::Writer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Longest message sent or taken, in bytes.
const MESSAGE_MAX: usize = 1 << 16;

/// Node-Functionality AS and Role-Of-Node terminating (TS 32.299 §7.2.109, §7.2.184).
const AS: i32 = 6;
const TERMINATING: i32 = 1;

/// One charge.
#[derive(Clone, Debug)]
pub struct Ask {
    /// OCSs, primary first.
    pub peers: Vec<SocketAddr>,
    pub host: String,
    pub realm: String,
    /// Destination-Realm; `None`: the realm of the OCS.
    pub destination: Option<String>,
    pub service_context_id: String,
    pub charge: Charge,
    /// Subscription-Id-Type and Subscription-Id-Data.
    pub subscriber: (i32, String),
    pub method: String,
    /// How long the service lasts once it is granted.
    pub lasts: Duration,
    /// The service fails in the end.
    pub fails: bool,
    pub policy: Policy,
    pub units_in: UnitsIn,
    /// How long a request may stay unanswered at all.
    pub answer_timeout: Duration,
    /// How long to wait for a connection.
    pub patience: Duration,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Decided(Decision),
    /// No OCS could be reached at all.
    NoServer,
}

/// The charge of this client.
const KEY: u64 = 1;

struct Run<T> {
    ask: Ask,
    node: Node,
    client: Client,
    peers: BTreeMap<PeerId, SocketAddr>,
    writers: BTreeMap<ConnectionId, mpsc::Sender<Vec<u8>>>,
    heard: mpsc::Sender<(ConnectionId, Heard)>,
    began: tokio::time::Instant,
    session_id: String,
    asked: bool,
    /// Peers whose first attempt has come to an end, good or bad.
    settled: BTreeSet<PeerId>,
    decided: Option<Decision>,
    /// The service runs until then.
    ends: Option<Instant>,
    tell: T,
}

enum Heard {
    Connected(TcpStream),
    Failed(String),
    Framed(Framed),
}

/// Asks, waits, reports and takes leave. `tell` takes each line of output.
pub async fn run(ask: Ask, seed: [u8; 32], tell: impl FnMut(&str) -> bool) -> End {
    let (heard, mut happened) = mpsc::channel(256);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let number = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut run = Run {
        node: Node::new(node_settings(&ask, since.as_secs()), seed),
        client: Client::new(ask.policy, ask.units_in, 1),
        peers: BTreeMap::new(),
        writers: BTreeMap::new(),
        heard,
        began: tokio::time::Instant::now(),
        session_id: session_id(&ask.host, number, 0),
        asked: false,
        settled: BTreeSet::new(),
        decided: None,
        ends: None,
        tell,
        ask,
    };
    for (priority, address) in run.ask.peers.clone().into_iter().enumerate() {
        let settings = PeerSettings {
            host: None,
            realm: run.ask.destination.clone(),
            accounting: None,
            credit_control: Some(Share {
                priority: u16::try_from(priority).unwrap_or(u16::MAX),
                general: true,
            }),
        };
        let id = run.node.add_peer(run.now(), settings);
        run.peers.insert(id, address);
    }
    let mut leaving = false;
    loop {
        run.work();
        let lost = !run.asked && run.now() >= Instant(run.ask.patience.as_millis() as u64);
        if !leaving && (lost || run.asked && run.client.is_empty()) {
            leaving = true;
            run.node.handle(run.now(), Input::Stop);
            continue;
        }
        if leaving && run.node.has_stopped() {
            break;
        }
        let wake = run.began + Duration::from_millis(run.deadline().0);
        tokio::select! {
            Some((connection, heard)) = happened.recv() => run.heard(connection, heard),
            () = tokio::time::sleep_until(wake) => run.tick(),
        }
    }
    match run.decided {
        Some(decision) => End::Decided(decision),
        None => End::NoServer,
    }
}

fn node_settings(ask: &Ask, seconds: u64) -> Settings {
    let limits = Limits {
        answer_timeout: ask.answer_timeout.as_millis() as u64,
        max_pending: 16,
    };
    Settings {
        local: Local {
            host: ask.host.clone(),
            realm: ask.realm.clone(),
            product: "Presentia".into(),
            state_id: u32::try_from(seconds).unwrap_or(u32::MAX),
            applications: Applications::CREDIT_CONTROL,
        },
        watchdog: 30_000,
        accounting: limits,
        credit_control: limits,
        connect_timeout: 5_000,
        backoff: (200, 5_000),
        max_message: MESSAGE_MAX,
        vocabulary: Vocabulary::default(),
        overload_control: false,
    }
}

impl<T: FnMut(&str) -> bool> Run<T> {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Instant {
        let patience = (!self.asked).then_some(Instant(self.ask.patience.as_millis() as u64));
        let all = [
            self.node.deadline(),
            self.client.deadline(),
            self.ends,
            patience,
        ];
        let next = all.into_iter().flatten().min();
        next.unwrap_or(self.now().after(1_000))
    }

    fn tick(&mut self) {
        let now = self.now();
        self.node.handle(now, Input::Tick);
        self.client.tick(now);
        if self.ends.is_some_and(|at| at <= now) {
            self.ends = None;
            let used = u64::from(!self.ask.fails);
            self.say(if self.ask.fails {
                "the service failed"
            } else {
                "the service was given"
            });
            self.client.ended(now, KEY, used);
        }
    }

    fn say(&mut self, text: &str) {
        let millis = self.now().0;
        // whoever does not read any more still gets the charge settled
        let _ = (self.tell)(&format!("{}.{:03} {text}", millis / 1_000, millis % 1_000));
    }

    fn work(&mut self) {
        loop {
            let now = self.now();
            if let Some(output) = self.node.poll_output() {
                self.output(now, output);
            } else if let Some(order) = self.client.poll_order() {
                self.order(now, order);
            } else if !self.asked && self.may_ask() {
                self.asked = true;
                let session = self.session_id.clone();
                // The only charge always has room.
                let _ = self.client.begin(now, KEY, session, self.charge());
            } else {
                return;
            }
        }
    }

    /// A reservation for what lasts is kept, so that the OCS can come back to it.
    fn charge(&self) -> Charge {
        match self.ask.charge {
            Charge::Reserve if !self.ask.lasts.is_zero() => Charge::Lasting,
            charge => charge,
        }
    }

    /// Whether there is an OCS, and no other that might still come up beside it.
    fn may_ask(&self) -> bool {
        self.node.is_up_for(APP_CREDIT_CONTROL) && self.settled.len() == self.peers.len()
    }

    fn output(&mut self, now: Instant, output: Output) {
        match output {
            Output::Connect { connection } => self.connect(connection),
            Output::Close { connection } => _ = self.writers.remove(&connection),
            Output::Send { connection, bytes } => {
                let sent = self.writers.get(&connection).map(|w| w.try_send(bytes));
                if !matches!(sent, Some(Ok(()))) {
                    self.node.handle(now, Input::Disconnected { connection });
                }
            }
            Output::Answered {
                ticket,
                peer,
                outcome,
                ..
            } => {
                self.show(&outcome);
                self.client.outcome(now, ticket, peer, &outcome);
            }
            Output::Asked {
                connection,
                request,
            } => {
                if let Ok(message) = Message::parse(&request) {
                    self.say(&format!("{} received", tree::command(&message)));
                }
                self.client.asked(now, connection, &request);
            }
            Output::PeerState {
                peer,
                condition,
                why,
            } => self.peer_state(peer, condition, &why),
            Output::Restarted { .. } => self.say("the OCS has restarted"),
            Output::Refused { .. } => {} // it does not listen
        }
    }

    fn peer_state(&mut self, peer: PeerId, condition: Condition, why: &str) {
        let Some(address) = self.peers.get(&peer).copied() else {
            return;
        };
        if matches!(condition, Condition::Up | Condition::Closed) {
            self.settled.insert(peer);
        }
        match condition {
            Condition::Up => self.say(&format!("{address} is up")),
            Condition::Closed => self.say(&format!("{address} is down: {why}")),
            _ => {}
        }
    }

    fn show(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Answer(bytes) => {
                let Ok(message) = Message::parse(bytes) else {
                    return;
                };
                let tree = tree::text(message.avps(), 1);
                self.say(&format!(
                    "{} received\n{}",
                    tree::command(&message),
                    tree.trim_end()
                ));
            }
            other => self.say(&format!("no answer: {other:?}")),
        }
    }

    fn order(&mut self, now: Instant, order: Order) {
        match order {
            Order::Keep { kept, .. } => self.say(&format!("to be stored: {:?}", kept.owed)),
            Order::Forget { .. } => self.say("nothing is owed"),
            Order::Ask {
                session_id,
                renewals,
                question,
                through,
                avoid,
                bound,
                ..
            } => {
                let message = self.ccr(&session_id, &question);
                self.say(&format!(
                    "{:?} request {}{}",
                    question.kind,
                    question.number,
                    if question.retransmitted {
                        " with T"
                    } else {
                        ""
                    }
                ));
                let request = Request {
                    ticket: KEY,
                    end_to_end: (renewals << 16 | question.number) + 1,
                    retransmitted: question.retransmitted,
                    through,
                    prefer: Vec::new(),
                    avoid,
                    bound,
                    message,
                };
                self.node.handle(now, Input::Request(request));
            }
            Order::Decided { decision, .. } => {
                self.decided = Some(decision);
                self.say(&format!("decided: {decision:?}"));
                if matches!(decision, Decision::Granted | Decision::Free) {
                    self.ends = Some(now.after(self.ask.lasts.as_millis() as u64));
                    if self.charge() == Charge::Lasting {
                        self.client.used(now, KEY, 0); // it has begun
                    }
                }
            }
            Order::Allowed { units, .. } => {
                let most = units.map_or("any number of".into(), |units| units.to_string());
                self.say(&format!("may use {most} units"));
            }
            Order::Withdrawn { why, .. } => {
                self.ends = None;
                self.say(&format!("withdrawn: {why:?}"));
            }
            Order::Reply {
                connection,
                request,
                result,
            } => self.reply(now, connection, &request, result),
            Order::Unsettled { owed, .. } => self.say(&format!("given up: {owed:?}")),
        }
    }

    fn reply(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        request: &[u8],
        result: ResultCode,
    ) {
        self.say(&format!("answered with {}", result.0));
        let reply = Input::Reply {
            connection,
            request,
            result,
        };
        self.node.handle(now, reply);
    }

    /// A CCR with the least that tells a presence service from others (TS 32.260 §6.4).
    fn ccr(&self, session_id: &str, question: &Question) -> Vec<u8> {
        let ask = &self.ask;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let request = CreditRequest {
            session_id,
            origin_host: &ask.host,
            origin_realm: &ask.realm,
            service_context_id: &ask.service_context_id,
            kind: question.kind,
            number: question.number,
            action: question.action,
            cause: question.cause,
            event_timestamp: since.as_secs(),
            subscriptions: std::slice::from_ref(&ask.subscriber),
            units_in: ask.units_in,
            measure: question.measure,
            requested: question.requested,
            used: question.used,
            reason: question.reason,
        };
        let service = |w: &mut Writer| {
            w.group(&IMS_INFORMATION, |w| {
                w.group(&EVENT_TYPE, |w| {
                    _ = w.utf8(&SIP_METHOD, &ask.method).utf8(&EVENT, "presence")
                })
                .i32(&ROLE_OF_NODE, TERMINATING)
                .i32(&NODE_FUNCTIONALITY, AS);
            });
        };
        let mut w = request.ccr();
        w.group(&SERVICE_INFORMATION, service);
        w.finish(MESSAGE_MAX).unwrap_or_default()
    }

    fn connect(&mut self, connection: ConnectionId) {
        let Some(address) = self.peers.get(&connection.peer).copied() else {
            return;
        };
        let heard = self.heard.clone();
        tokio::spawn(async move {
            let outcome = match TcpStream::connect(address).await {
                Ok(stream) => Heard::Connected(stream),
                Err(error) => Heard::Failed(error.to_string()),
            };
            // a client that has ended does not need to know
            let _ = heard.send((connection, outcome)).await;
        });
    }

    fn heard(&mut self, connection: ConnectionId, heard: Heard) {
        let now = self.now();
        match heard {
            Heard::Connected(stream) => self.connected(now, connection, stream),
            Heard::Failed(why) => {
                self.node
                    .handle(now, Input::ConnectFailed { connection, why });
            }
            Heard::Framed(Framed::Message(message)) => {
                let message = &message;
                self.node.handle(
                    now,
                    Input::Received {
                        connection,
                        message,
                    },
                );
            }
            Heard::Framed(Framed::End) => {
                self.node.handle(now, Input::Disconnected { connection });
            }
        }
    }

    fn connected(&mut self, now: Instant, connection: ConnectionId, stream: TcpStream) {
        let Ok(local) = stream.local_addr() else {
            return self.node.handle(now, Input::Disconnected { connection });
        };
        let (read, write) = stream.into_split();
        let (writer, waiting) = mpsc::channel(256);
        self.writers.insert(connection, writer);
        let heard = self.heard.clone();
        tokio::spawn(reads(read, heard, move |framed| {
            (connection, Heard::Framed(framed))
        }));
        tokio::spawn(writes(write, waiting));
        let local = local.ip();
        self.node
            .handle(now, Input::Connected { connection, local });
    }
}
