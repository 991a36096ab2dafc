//! A node among scripted peers, in simulated time.
#![allow(dead_code, reason = "each test program uses some of it")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::Message;
use diameter::node::{
    Condition, ConnectionId, Input, Limits, Node, Outcome, Output, PeerSettings, Request, Settings,
    Share,
};
use diameter::rf::EventRecord;
use diameter::route::PeerId;
use diameter::vocabulary::Vocabulary;
use diameter::write::Writer;
use std::collections::VecDeque;

pub const WATCHDOG: u64 = 30_000;
/// Tw with the longest jitter.
pub const TW: u64 = WATCHDOG + 2_000;

/// Of each application.
const LIMITS: Limits = Limits {
    answer_timeout: 10_000,
    max_pending: 4,
};

pub struct World {
    pub node: Node,
    pub now: Instant,
    pub seen: VecDeque<Output>,
}

impl World {
    pub fn new() -> World {
        World::seeded(1)
    }

    pub fn seeded(seed: u8) -> World {
        let local = Local {
            host: "ps.ims.test".into(),
            realm: "ims.test".into(),
            product: "test".into(),
            state_id: 7,
            applications: Applications::BOTH,
        };
        let settings = Settings {
            local,
            watchdog: WATCHDOG,
            accounting: LIMITS,
            credit_control: LIMITS,
            connect_timeout: 5_000,
            backoff: (500, 30_000),
            max_message: 65_536,
            vocabulary: Vocabulary::default(),
            overload_control: true,
        };
        World {
            node: Node::new(settings, [seed; 32]),
            now: Instant(1_000_000),
            seen: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            self.seen.push_back(output);
        }
    }

    /// Lets time pass, waking the node when it asked for it.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now.after(millis);
        while let Some(at) = self.node.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    pub fn peer(&mut self, host: &str, priority: u16, general: bool) -> PeerId {
        self.add(host, None, Share { priority, general })
    }

    /// A peer whose requests go to this realm.
    pub fn peer_in(&mut self, host: &str, realm: &str) -> PeerId {
        let share = Share {
            priority: 0,
            general: true,
        };
        self.add(host, Some(realm.to_owned()), share)
    }

    fn add(&mut self, host: &str, realm: Option<String>, share: Share) -> PeerId {
        let settings = PeerSettings {
            host: Some(host.to_owned()),
            realm,
            accounting: Some(share),
            credit_control: Some(share),
        };
        let id = self.node.add_peer(self.now, settings);
        while let Some(output) = self.node.poll_output() {
            self.seen.push_back(output);
        }
        id
    }

    /// The next output for which `pick` gives something; what comes before it is passed over.
    pub fn next<T>(&mut self, what: &str, pick: impl Fn(&Output) -> Option<T>) -> T {
        while let Some(output) = self.seen.pop_front() {
            if let Some(found) = pick(&output) {
                return found;
            }
        }
        panic!("{what} did not come");
    }

    /// A node that listens, and a peer to which no connection is made.
    pub fn expecting(host: &str) -> (World, PeerId) {
        let mut world = World::new();
        world.node.listen(2);
        let share = Some(Share {
            priority: 0,
            general: true,
        });
        let peer = world.node.expect_peer(PeerSettings {
            host: Some(host.to_owned()),
            realm: None,
            accounting: share,
            credit_control: share,
        });
        (world, peer)
    }

    /// Somebody connects who may be one of `peers`.
    pub fn accept(&mut self, count: u32, peers: &[PeerId]) -> ConnectionId {
        let connection = ConnectionId::accepted(count);
        self.handle(Input::Accepted {
            connection,
            local: [127, 0, 0, 1].into(),
            peers: peers.to_vec(),
        });
        connection
    }

    pub fn connect(&mut self) -> ConnectionId {
        self.next("Connect", |o| match o {
            Output::Connect { connection } => Some(*connection),
            _ => None,
        })
    }

    pub fn sent(&mut self) -> (ConnectionId, Vec<u8>) {
        self.next("Send", |o| match o {
            Output::Send { connection, bytes } => Some((*connection, bytes.clone())),
            _ => None,
        })
    }

    pub fn answered(&mut self) -> (u64, Outcome) {
        self.next("Answered", |o| match o {
            Output::Answered {
                ticket, outcome, ..
            } => Some((*ticket, outcome.clone())),
            _ => None,
        })
    }

    pub fn closed(&mut self) -> ConnectionId {
        self.next("Close", |o| match o {
            Output::Close { connection } => Some(*connection),
            _ => None,
        })
    }

    pub fn receive(&mut self, connection: ConnectionId, message: &[u8]) {
        self.handle(Input::Received {
            connection,
            message,
        });
    }

    /// Connects a peer up to its CEA.
    pub fn open(&mut self, connection: ConnectionId, host: &str) {
        self.handle(Input::Connected {
            connection,
            local: [127, 0, 0, 1].into(),
        });
        let (to, cer) = self.sent();
        assert_eq!((to, command(&cer)), (connection, CMD_CAPABILITIES_EXCHANGE));
        self.receive(connection, &answer(&cer, host, 2001));
    }

    /// A peer that is up.
    pub fn up(&mut self, host: &str, priority: u16) -> ConnectionId {
        self.peer(host, priority, true);
        let connection = self.connect();
        self.open(connection, host);
        assert_eq!(self.node.condition(connection.peer), Some(Condition::Up));
        connection
    }

    pub fn ask(&mut self, ticket: u64) {
        self.ask_with(ticket, |_| {});
    }

    pub fn ask_with(&mut self, ticket: u64, change: impl FnOnce(&mut Request)) {
        let mut request = Request {
            ticket,
            end_to_end: ticket as u32,
            retransmitted: false,
            through: None,
            prefer: Vec::new(),
            avoid: None,
            bound: None,
            message: acr(),
        };
        change(&mut request);
        self.handle(Input::Request(request));
    }
}

pub fn acr() -> Vec<u8> {
    let record = EventRecord {
        session_id: "ps.ims.test;0;1;2",
        origin_host: "ps.ims.test",
        origin_realm: "ims.test",
        record_number: 0,
        service_context_id: "32260@3gpp.org",
        event_timestamp: 1_700_000_000,
    };
    record.acr().finish(1_000).unwrap()
}

pub fn command(bytes: &[u8]) -> u32 {
    Message::parse(bytes).unwrap().header.command
}

/// What a peer answers to a request of ours; to a CER with its capabilities.
pub fn answer(request: &[u8], host: &str, result: u32) -> Vec<u8> {
    let header = Message::parse(request).unwrap().header;
    let mut w = Writer::answer(&header, ResultCode(result));
    w.u32(&RESULT_CODE, result)
        .utf8(&ORIGIN_HOST, host)
        .utf8(&ORIGIN_REALM, "cdf.test");
    w.u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
    w.finish(1_000).unwrap()
}

/// A request of a peer.
pub fn request(command: u32, application: u32, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = match application {
        APP_COMMON => Writer::hop_request(command, 1, 2),
        _ => Writer::request(command, application),
    };
    w.utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "cdf.test");
    fill(&mut w);
    w.finish(100_000).unwrap()
}

/// RAR, ASR or STR with everything that it must have.
pub fn session_request(command: u32, application: u32) -> Vec<u8> {
    let mut w = Writer::request(command, application);
    w.utf8(&SESSION_ID, "ps.ims.test;0;1;2")
        .utf8(&ORIGIN_HOST, "cdf1.test")
        .utf8(&ORIGIN_REALM, "cdf.test")
        .utf8(&DESTINATION_REALM, "ims.test")
        .utf8(&DESTINATION_HOST, "ps.ims.test")
        .u32(&AUTH_APPLICATION_ID, application);
    match command {
        CMD_RE_AUTH => _ = w.i32(&RE_AUTH_REQUEST_TYPE, 0),
        CMD_SESSION_TERMINATION => _ = w.i32(&TERMINATION_CAUSE, 1),
        _ => {}
    }
    w.finish(1_000).unwrap()
}

pub fn result(answer: &[u8]) -> u32 {
    Message::parse(answer)
        .unwrap()
        .find(&RESULT_CODE)
        .unwrap()
        .u32()
        .unwrap()
}
