//! The server in the world: a real [`Node`] behind a model of the driver, the committer and the disk.
//!
//! As in the program, inputs gather in a turn, the turn's batch goes to the disk, and what it holds back leaves when
//! that is done, in the order of the turns. A crash loses what is not committed, also in the middle of a commit.

use crate::disk::Disk;
use crate::promises::Meaning;
use crate::text::Message;
use crate::truth::Rule;
use crate::world::{Happening, World};
use ims::charge::{self, Event};
use ims::event::turn::Ticket;
use ims::node::{Effect, Input, Node, Outbox, Recovery, Report, Settings};
use ims::record::{Batch, Table};
use ims::sip::{Destination, Flow, Transport};
use ims::time::Timestamp;
use ims::xdm;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

#[derive(Debug)]
struct Waiting {
    turn: u64,
    committed: bool,
    effects: Vec<Effect>,
}

#[derive(Debug)]
pub struct Server {
    pub at: SocketAddr,
    settings: Settings,
    pub node: Option<Node>,
    /// Grows with each start: what was meant for an earlier process does not reach a later one.
    pub incarnation: u64,
    pub disk: Disk,
    turn: u64,
    out: Outbox,
    held: Vec<Effect>,
    waiting: VecDeque<Waiting>,
    queue: Vec<(u64, Batch)>,
    committing: Option<Vec<(u64, Batch)>>,
    release_planned: bool,
    deadline_planned: Option<u64>,
    /// Slowest commit, in milliseconds.
    slow_disk: u64,
    /// Requests without an answer yet, by their branch.
    unanswered: BTreeMap<String, (Box<Message>, Meaning)>,
    /// Charging events that no CDF has acknowledged, as the spool knows them.
    pub spool: BTreeMap<u64, Event>,
}

/// Where an input comes from, for those who judge what it causes.
#[derive(Debug)]
pub enum Cause {
    Request(Box<Message>, Meaning),
    Response(Box<Message>),
    Rules(String, Vec<Rule>),
    Other,
}

impl Server {
    pub fn new(at: SocketAddr, settings: Settings, slow_disk: u64) -> Server {
        Server {
            at,
            settings,
            node: None,
            incarnation: 0,
            disk: Disk::default(),
            turn: 1,
            out: Outbox::default(),
            held: Vec::new(),
            waiting: VecDeque::new(),
            queue: Vec::new(),
            committing: None,
            release_planned: false,
            deadline_planned: None,
            slow_disk,
            unanswered: BTreeMap::new(),
            spool: BTreeMap::new(),
        }
    }
}

impl World {
    /// Starts the process: everything it knows comes from the disk.
    pub fn start_server(&mut self) {
        let server = &mut self.server;
        let mut node = Node::new(server.settings.clone(), self.dice.seed());
        let mut recovery = Recovery::default();
        server.spool.clear();
        for (table, key, value) in server.disk.records() {
            node.recover(&mut recovery, table, key, value);
            if table == Table::Charging {
                let event: Event = charge::record::read(value).expect("a charging event");
                server.spool.insert(event.number, event);
            }
        }
        node.recovered(Timestamp(self.now), &mut recovery, &mut server.out);
        server.node = Some(node);
        self.promises.restarted(self.now, recovery.unreadable);
        self.log(&format!("start: {recovery:?}"));
        let held = std::mem::take(&mut self.server.out.held);
        self.server.held.extend(held);
        self.credit_resumed();
        self.plan_release();
        self.plan_deadline();
    }

    pub fn crash(&mut self) {
        let server = &mut self.server;
        if server.node.take().is_none() {
            return;
        }
        server.incarnation += 1;
        server.out = Outbox::default();
        server.held.clear();
        server.waiting.clear();
        server.queue.clear();
        server.turn += 1;
        server.unanswered.clear();
        server.release_planned = false;
        server.deadline_planned = None;
        // a group that was being written is there as a whole or not at all
        if let Some(group) = server.committing.take().filter(|_| self.dice.percent(50)) {
            for (turn, batch) in group {
                self.server.disk.commit(&batch);
                self.promises.turn_committed(turn);
            }
        }
        self.promises.crashed(self.now);
        self.log("crash");
    }

    /// A message reaches the server.
    pub fn server_receives(&mut self, flow: Flow, mut bytes: Vec<u8>) {
        let message = Message::parse(&bytes);
        let cause = if message.status().is_some() {
            Cause::Response(Box::new(message))
        } else {
            let meaning = self.meaning(message.branch());
            Cause::Request(Box::new(message), meaning)
        };
        let input = Input::Message {
            flow,
            bytes: &mut bytes,
        };
        self.feed(input, cause);
    }

    pub fn server_put(
        &mut self,
        number: u64,
        presentity: &str,
        rules: Vec<Rule>,
        request: &xdm::Request,
    ) {
        let cause = Cause::Rules(presentity.to_owned(), rules);
        self.feed(Input::Xcap { number, request }, cause);
    }

    pub fn server_edit(&mut self, number: u64, request: &xdm::Request) {
        self.feed(Input::Xcap { number, request }, Cause::Other);
    }

    pub fn server_undeliverable(&mut self, ticket: Ticket) {
        self.feed(Input::Undeliverable(ticket), Cause::Other);
    }

    pub fn feed_credit(&mut self, input: Input<'_>) {
        self.feed(input, Cause::Other);
    }

    pub fn server_deadline(&mut self) {
        self.server.deadline_planned = None;
        let now = Timestamp(self.now);
        let due = |node: &Node| node.next_deadline().is_some_and(|at| at <= now);
        if self.server.node.as_ref().is_some_and(due) {
            self.feed(Input::Deadline, Cause::Other);
        } else {
            self.plan_deadline();
        }
    }

    fn feed(&mut self, input: Input<'_>, cause: Cause) {
        let server = &mut self.server;
        let Some(node) = &mut server.node else { return };
        let (ops, free, reports) = (
            server.out.batch.ops.len(),
            server.out.free.len(),
            server.out.reports.len(),
        );
        node.handle(Timestamp(self.now), input, &mut server.out);
        let changes = server.out.batch.ops.len() > ops;
        let held = std::mem::take(&mut server.out.held);
        let made: Vec<Effect> = server.out.free[free..]
            .iter()
            .chain(&held)
            .cloned()
            .collect();
        let reports = server.out.reports.split_off(reports);
        server.held.extend(held);
        self.judge(&cause, &made, &reports, changes);
        self.plan_release();
        self.plan_deadline();
    }

    /// Tells the keeper of promises what the input caused.
    fn judge(&mut self, cause: &Cause, made: &[Effect], reports: &[Report], changes: bool) {
        let (now, turn) = (self.now, self.server.turn);
        if let Cause::Response(response) = cause {
            self.promises.notify_answered(now, response);
        }
        let response = match cause {
            Cause::Response(response) => Some(&**response),
            _ => None,
        };
        for report in reports {
            match report {
                Report::Notified { status } => {
                    self.promises.notify_ended(turn, *status, response);
                }
                Report::Retransmission => self.promises.count("retransmissions"),
                Report::Dropped => self.promises.count("dropped"),
                Report::Stray => self.promises.count("strays"),
                Report::Answered { .. }
                | Report::Subscribed { .. }
                | Report::Asked(_)
                | Report::Untrusted
                | Report::Overloaded => {}
            }
        }
        if let Cause::Request(request, meaning) = cause
            && made
                .iter()
                .any(|effect| matches!(effect, Effect::Credit(_)))
        {
            let waits = (request.clone(), meaning.clone());
            self.server
                .unanswered
                .insert(request.branch().to_owned(), waits);
        }
        for effect in made {
            match effect {
                Effect::Send { bytes, .. } => {
                    let message = Message::parse(bytes);
                    let waited = match message.status() {
                        Some(_) => self.server.unanswered.remove(message.branch()),
                        None => None,
                    };
                    match (message.status(), cause) {
                        (Some(_), Cause::Request(request, meaning)) => self
                            .promises
                            .answered(now, turn, request, &message, meaning, changes),
                        (Some(_), _) => {
                            if let Some((request, meaning)) = waited {
                                self.promises
                                    .answered(now, turn, &request, &message, &meaning, changes);
                            }
                        }
                        (None, _) if message.method() == "SUBSCRIBE" => {
                            self.promises.count("SUBSCRIBEs of ours");
                        }
                        (None, _) if !self.promises.is_repeated(&message) => {
                            self.promises.notify_made(now, turn, &message)
                        }
                        _ => {}
                    }
                }
                Effect::Xcap { response, .. } => {
                    if let (200 | 201, Cause::Rules(presentity, rules)) = (response.status, cause) {
                        self.promises.rules_written(turn, presentity, rules);
                    }
                    self.promises.count(&format!("XCAP {}", response.status));
                }
                Effect::Administered { .. }
                | Effect::Fetch(_)
                | Effect::Charge(_)
                | Effect::Credit(_)
                | Effect::CreditUsed { .. }
                | Effect::CreditWanted { .. }
                | Effect::CreditEnded { .. } => {}
            }
        }
    }

    fn plan_release(&mut self) {
        if !self.server.release_planned {
            self.server.release_planned = true;
            let soon = self.now + self.dice.between(0, 3);
            self.at(soon, Happening::Release(self.server.incarnation));
        }
    }

    fn plan_deadline(&mut self) {
        let next = self.server.node.as_ref().and_then(Node::next_deadline);
        let Some(at) = next.map(|at| at.0.max(self.now)) else {
            return;
        };
        if self
            .server
            .deadline_planned
            .is_none_or(|planned| at < planned)
        {
            self.server.deadline_planned = Some(at);
            self.at(at, Happening::Deadline(self.server.incarnation));
        }
    }

    /// The turn is over: its batch goes to the disk, and what need not wait leaves.
    pub fn release(&mut self) {
        let server = &mut self.server;
        server.release_planned = false;
        let out = std::mem::take(&mut server.out);
        let held = std::mem::take(&mut server.held);
        let turn = server.turn;
        server.turn += 1;
        for effect in out.free {
            self.perform(effect);
        }
        let server = &mut self.server;
        let committed = out.batch.is_empty();
        if committed {
            self.promises.turn_committed(turn); // nothing of its own to wait for, but those before it
        } else {
            server.queue.push((turn, out.batch));
        }
        server.waiting.push_back(Waiting {
            turn,
            committed,
            effects: held,
        });
        self.commit();
        self.let_go();
    }

    fn commit(&mut self) {
        if self.server.committing.is_some() || self.server.queue.is_empty() {
            return;
        }
        self.server.committing = Some(std::mem::take(&mut self.server.queue));
        let stalls = self.dice.percent(2);
        let took = if stalls {
            self.dice.between(1, self.server.slow_disk.max(2))
        } else {
            self.dice.between(1, 12)
        };
        let done = Happening::Committed(self.server.incarnation);
        self.at(self.now + took, done);
    }

    pub fn committed(&mut self) {
        let Some(group) = self.server.committing.take() else {
            return;
        };
        for (turn, batch) in group {
            self.server.disk.commit(&batch);
            self.promises.turn_committed(turn);
            if let Some(waiting) = self.server.waiting.iter_mut().find(|w| w.turn == turn) {
                waiting.committed = true;
            }
        }
        self.let_go();
        self.commit();
    }

    fn let_go(&mut self) {
        while let Some(ready) = self.server.waiting.pop_front_if(|w| w.committed) {
            for effect in ready.effects {
                self.perform(effect);
            }
        }
    }

    /// The spool forgets events that a CDF has acknowledged.
    pub fn acknowledged(&mut self, numbers: Vec<u64>) {
        let mut batch = Batch::default();
        for number in numbers {
            self.server.spool.remove(&number);
            batch.delete(Table::Charging, &Event::key(number));
        }
        self.server_commits(batch);
    }

    /// A batch of another thread than the node's.
    pub fn server_commits(&mut self, batch: Batch) {
        let turn = self.server.turn;
        self.server.turn += 1; // a batch of its own, as the spool of the program commits it
        self.server.queue.push((turn, batch));
        self.commit();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, bytes, ticket } => self.server_sends(&to, &bytes, ticket),
            Effect::Xcap { number, response } => self.xcap_answered(number, response.status),
            // no operator and no content server here
            Effect::Administered { .. } | Effect::Fetch(_) => {}
            Effect::Credit(request) => self.credit_asked(&request),
            Effect::CreditUsed { number, units } => self.credit_used(number, units),
            Effect::CreditWanted { .. } => {} // more is granted as it is used, here
            Effect::CreditEnded { number, delivered } => self.credit_ended(number, delivered),
            Effect::Charge(event) => {
                self.server.spool.insert(event.number, *event);
            }
        }
    }

    fn server_sends(&mut self, to: &Destination, bytes: &[u8], ticket: Option<Ticket>) {
        let message = Message::parse(bytes);
        if message.status().is_some() {
            self.promises.response_left(&message);
        } else {
            self.promises.notify_left(self.now, &message);
        }
        let (to, transport) = match to {
            Destination::Flow(flow) => {
                if flow.transport == Transport::Tcp && flow.connection != self.server.incarnation {
                    return; // a connection of the process before
                }
                (flow.remote, flow.transport)
            }
            Destination::Host {
                host,
                port,
                transport,
            } => {
                let ip = host.parse().expect("peers are named by address");
                let at = SocketAddr::new(ip, port.unwrap_or(5060));
                (at, transport.unwrap_or(Transport::Udp))
            }
        };
        match ticket {
            Some(ticket) if transport == Transport::Tcp && !self.takes_streams(to) => {
                let refused = Happening::Undeliverable(self.server.incarnation, ticket);
                self.at(self.now + 3, refused);
            }
            _ => self.send(transport, self.server.at, to, bytes.to_vec()),
        }
    }
}
