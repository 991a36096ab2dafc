//! Two nodes of ours that connect to each other, at random times, over a network that fails: in the end there is one
//! connection, and never for long none or two (RFC 6733 §5.6.4).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::node::{
    ConnectionId, Input, Limits, Node, Output, PeerSettings, Request, Settings, Share,
};
use diameter::route::PeerId;
use diameter::vocabulary::Vocabulary;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

const WATCHDOG: u64 = 6_000;
const CONNECT_TIMEOUT: u64 = 5_000;
const BACKOFF_MAX: u64 = 4_000;
/// Longest way of a message, in milliseconds.
const LATENCY: u64 = 200;

const LIMITS: Limits = Limits {
    answer_timeout: 10_000,
    max_pending: 64,
};

const SHARE: Share = Share {
    priority: 0,
    general: true,
};

/// How long two connections may stand: until the loser of the election has its CEA, or gives up.
const TWO_AT_MOST: u64 = 2 * CONNECT_TIMEOUT + 4 * LATENCY;

/// How long there may be none once the network works: both find out that an old one is dead, give an attempt up, wait, and
/// connect.
const NONE_AT_MOST: u64 = 4 * (WATCHDOG + 2_000) + 2 * CONNECT_TIMEOUT + 2 * BACKOFF_MAX;

/// What happens at a node, once its time has come.
#[derive(Debug)]
enum Event {
    Connected(usize),
    Failed(usize),
    Accepted(usize),
    Message(usize, Vec<u8>),
    Gone(usize),
    Start,
    Ask,
}

/// A connection, by its place in the list.
#[derive(Debug)]
struct Wire {
    /// What each node calls it.
    names: [ConnectionId; 2],
    /// Which node has ended it.
    closed: [bool; 2],
    /// It carries bytes.
    alive: bool,
    /// When the last thing sent in each direction arrives.
    last: [u64; 2],
}

struct Lab {
    nodes: [Node; 2],
    random: ChaCha8Rng,
    now: u64,
    /// By time, then by order.
    events: BTreeMap<(u64, u64), (usize, Event)>,
    order: u64,
    wires: Vec<Wire>,
    accepted: u32,
    /// Attempts and messages fail with this chance in a hundred, connections die silently or with a reset.
    faults: u32,
    asked: BTreeSet<(usize, u64)>,
    answered: BTreeSet<(usize, u64)>,
    two_since: Option<u64>,
}

fn settings(host: &str) -> Settings {
    Settings {
        local: Local {
            host: host.into(),
            realm: "test".into(),
            product: "test".into(),
            state_id: 7,
            applications: Applications::BOTH,
        },
        watchdog: WATCHDOG,
        accounting: LIMITS,
        credit_control: LIMITS,
        connect_timeout: CONNECT_TIMEOUT,
        backoff: (500, BACKOFF_MAX),
        max_message: 65_536,
        vocabulary: Vocabulary::default(),
        overload_control: false,
    }
}

impl Lab {
    fn new(seed: u64) -> Lab {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut node = |host| {
            let mut bytes = [0; 32];
            random.fill_bytes(&mut bytes);
            let mut node = Node::new(settings(host), bytes);
            node.listen(4);
            node
        };
        let nodes = [node("a.test"), node("B.test")];
        Lab {
            nodes,
            random,
            now: 0,
            events: BTreeMap::new(),
            order: 0,
            wires: Vec::new(),
            accepted: 0,
            faults: 0,
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
            two_since: None,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        u64::from(self.random.next_u32()) % limit
    }

    fn fails(&mut self) -> bool {
        self.random.next_u32() % 100 < self.faults
    }

    fn at(&mut self, time: u64, node: usize, event: Event) {
        self.order += 1;
        self.events.insert((time, self.order), (node, event));
    }

    /// Something that goes over a wire to `node`, behind what went before it.
    fn carry(&mut self, wire: usize, node: usize, event: impl FnOnce(usize) -> Event) {
        let arrives = self.now + 1 + self.below(LATENCY);
        let arrives = arrives.max(self.wires[wire].last[node]);
        self.wires[wire].last[node] = arrives;
        self.at(arrives, node, event(wire));
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let wake = |node: &Node| node.deadline().map_or(u64::MAX, |at| at.0);
            let timer = wake(&self.nodes[0]).min(wake(&self.nodes[1])).max(self.now);
            let event = self
                .events
                .first_key_value()
                .map_or(u64::MAX, |(at, _)| at.0);
            let next = timer.min(event);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            match self.events.first_entry().filter(|e| e.key().0 == next) {
                Some(entry) => {
                    let (node, event) = entry.remove();
                    self.happens(node, event);
                }
                None => {
                    for node in 0..2 {
                        self.nodes[node].handle(Instant(next), Input::Tick);
                        self.outputs(node);
                    }
                }
            }
            self.check();
        }
    }

    fn happens(&mut self, node: usize, event: Event) {
        let now = Instant(self.now);
        let local = [127, 0, 0, 1].into();
        let open = |wire: &Wire| !wire.closed[node];
        let name = |wires: &[Wire], wire: usize| wires[wire].names[node];
        match event {
            Event::Start => {
                let host = Some(["B.test", "a.test"][node].to_owned());
                let peer = PeerSettings {
                    host,
                    realm: None,
                    accounting: Some(SHARE),
                    credit_control: None,
                };
                let peer = self.nodes[node].add_peer(now, peer);
                assert_eq!(peer, PeerId(0));
            }
            Event::Ask => {
                let ticket = self.asked.len() as u64;
                self.asked.insert((node, ticket));
                let request = Request {
                    ticket,
                    end_to_end: ticket as u32,
                    retransmitted: false,
                    through: None,
                    prefer: Vec::new(),
                    avoid: None,
                    bound: None,
                    message: world::acr(),
                };
                self.nodes[node].handle(now, Input::Request(request));
            }
            Event::Connected(wire) if open(&self.wires[wire]) => {
                let connection = name(&self.wires, wire);
                self.nodes[node].handle(now, Input::Connected { connection, local });
            }
            Event::Failed(wire) => {
                let connection = name(&self.wires, wire);
                let why = "refused".to_owned();
                self.nodes[node].handle(now, Input::ConnectFailed { connection, why });
            }
            Event::Accepted(wire) if open(&self.wires[wire]) => {
                let connection = name(&self.wires, wire);
                let peers = vec![PeerId(0)];
                let input = Input::Accepted {
                    connection,
                    local,
                    peers,
                };
                self.nodes[node].handle(now, input);
            }
            Event::Message(wire, message) if open(&self.wires[wire]) => {
                let connection = name(&self.wires, wire);
                let message = &message[..];
                self.nodes[node].handle(
                    now,
                    Input::Received {
                        connection,
                        message,
                    },
                );
            }
            Event::Gone(wire) => {
                let connection = name(&self.wires, wire);
                self.wires[wire].closed[node] = true;
                self.nodes[node].handle(now, Input::Disconnected { connection });
            }
            _ => {}
        }
        self.outputs(node);
    }

    fn outputs(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll_output() {
            match output {
                Output::Connect { connection } => self.connect(node, connection),
                Output::Send { connection, bytes } => self.send(node, connection, bytes),
                Output::Close { connection } => self.close(node, connection),
                Output::Answered { ticket, .. } => {
                    assert!(self.asked.contains(&(node, ticket)));
                    assert!(self.answered.insert((node, ticket)), "answered twice");
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, node: usize, connection: ConnectionId) {
        let other = 1 - node;
        self.accepted += 1;
        let mut names = [connection; 2];
        names[other] = ConnectionId::accepted(self.accepted);
        let wire = self.wires.len();
        let fate = if self.fails() { self.below(3) } else { 3 };
        self.wires.push(Wire {
            names,
            closed: [false; 2],
            alive: fate == 3,
            last: [self.now; 2],
        });
        match fate {
            0 => {} // nothing is ever heard of it
            1 | 2 => self.carry(wire, node, Event::Failed),
            _ => {
                self.carry(wire, other, Event::Accepted);
                self.carry(wire, node, Event::Connected);
            }
        }
    }

    fn find(&self, node: usize, connection: ConnectionId) -> Option<usize> {
        let is = |wire: &Wire| wire.names[node] == connection && !wire.closed[node];
        self.wires.iter().position(is)
    }

    fn send(&mut self, node: usize, connection: ConnectionId, bytes: Vec<u8>) {
        let Some(wire) = self.find(node, connection) else {
            return;
        };
        if self.wires[wire].alive && self.fails() {
            // The connection dies: silently, or so that one or both of them hear of it.
            self.wires[wire].alive = false;
            let fate = self.below(4);
            for hearer in 0..2 {
                if fate & (1 << hearer) != 0 {
                    self.carry(wire, hearer, Event::Gone);
                }
            }
        }
        if self.wires[wire].alive {
            self.carry(wire, 1 - node, |wire| Event::Message(wire, bytes));
        }
    }

    fn close(&mut self, node: usize, connection: ConnectionId) {
        let Some(wire) = self.find(node, connection) else {
            return;
        };
        self.wires[wire].closed[node] = true;
        let other = 1 - node;
        if self.wires[wire].alive && !self.wires[wire].closed[other] {
            self.carry(wire, other, Event::Gone);
        }
    }

    /// Connections over which both still talk.
    fn standing(&self) -> usize {
        let stands = |wire: &&Wire| wire.alive && wire.closed == [false; 2];
        self.wires.iter().filter(stands).count()
    }

    fn check(&mut self) {
        match (self.standing() > 1, self.two_since) {
            (true, None) => self.two_since = Some(self.now),
            (true, Some(since)) => {
                let long = self.now - since;
                assert!(long <= TWO_AT_MOST, "two connections for {long} ms");
            }
            (false, _) => self.two_since = None,
        }
    }

    /// Where both nodes have their open connection, if it is the same one.
    fn common(&self) -> Option<usize> {
        let [a, b] = [0, 1].map(|node| {
            let connection = self.nodes[node].connection(PeerId(0))?;
            self.find(node, connection)
        });
        a.filter(|_| a == b)
    }
}

/// Runs two nodes that start at these times through `rough` milliseconds of faults, and then until they must be one.
fn settles(seed: u64, starts: [u64; 2], faults: u32, rough: u64) {
    let mut lab = Lab::new(seed);
    lab.faults = faults;
    for (node, start) in starts.into_iter().enumerate() {
        lab.at(start, node, Event::Start);
    }
    for _ in 0..20 {
        let (time, node) = (lab.below(rough + 60_000), lab.below(2) as usize);
        lab.at(time + 3_000, node, Event::Ask);
    }
    let mut none_since = 0;
    let healed = starts[0].max(starts[1]).max(rough);
    while lab.now < healed + NONE_AT_MOST + 60_000 {
        lab.run_until(lab.now + 100);
        if lab.now < healed {
            none_since = lab.now;
            continue;
        }
        lab.faults = 0;
        match lab.common() {
            Some(_) if lab.standing() == 1 => none_since = lab.now,
            _ => {
                let long = lab.now - none_since;
                assert!(long <= NONE_AT_MOST, "not one connection for {long} ms");
            }
        }
    }
    let wire = lab.common().unwrap();
    assert_eq!(lab.standing(), 1, "exactly one");
    let open = lab
        .wires
        .iter()
        .filter(|wire| !wire.closed[0] || !wire.closed[1]);
    assert!(
        open.filter(|wire| wire.alive).count() == 1,
        "nothing is left over"
    );
    lab.run_until(lab.now + 60_000);
    assert_eq!(lab.common(), Some(wire), "and it stays");
    assert_eq!(lab.asked, lab.answered, "each request has one outcome");
}

#[test]
fn two_nodes_that_connect_to_each_other_at_once_keep_the_connection_to_the_higher_name() {
    for apart in 0..400 {
        let mut lab = Lab::new(apart);
        lab.at(0, 0, Event::Start);
        lab.at(apart / 2, 1, Event::Start);
        lab.run_until(3_000);
        let wire = lab.common().unwrap();
        assert_eq!(lab.standing(), 1, "{apart}");
        if lab.wires.len() == 2 && apart < 20 {
            // B.test is the higher one, so the connection that a.test made survives where both were made.
            assert_eq!(lab.wires[wire].names[0].peer, PeerId(0), "{apart}");
        }
    }
}

#[test]
fn a_node_that_can_be_reached_one_way_only_is_served() {
    for reachable in 0..2 {
        let mut lab = Lab::new(5);
        lab.at(0, 1 - reachable, Event::Start);
        lab.at(100, reachable, Event::Start);
        for _ in 0..40 {
            // Whatever the reachable node begins is swallowed by the network.
            lab.run_until(lab.now + 500);
            for wire in &mut lab.wires {
                if wire.names[reachable].peer == PeerId(0) {
                    wire.alive = false;
                }
            }
            let mine = lab.wires.iter().enumerate();
            let dead: BTreeSet<usize> = mine.filter(|(_, w)| !w.alive).map(|(i, _)| i).collect();
            let of = |event: &Event| match event {
                Event::Connected(wire) | Event::Accepted(wire) | Event::Gone(wire) => *wire,
                Event::Message(wire, _) | Event::Failed(wire) => *wire,
                Event::Start | Event::Ask => usize::MAX,
            };
            lab.events
                .retain(|_, (_, event)| !dead.contains(&of(event)));
        }
        let wire = lab.common().unwrap();
        assert_eq!(lab.wires[wire].names[1 - reachable].peer, PeerId(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn through_losses_there_is_one_connection_in_the_end(
        seed in any::<u64>(),
        starts in [0..8_000u64, 0..8_000u64],
        faults in 0..40u32,
        rough in 0..120_000u64,
    ) {
        settles(seed, starts, faults, rough);
    }
}
