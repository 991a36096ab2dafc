//! What a peer may send, as bytes that come in pieces: framed, read, shown, and given to a node or to the side that is
//! connected to. It must not panic; what is said to it is well formed; each request of ours has one outcome.
//!
//! Shared by the fuzz targets and by `tests/fuzzed.rs` of the crate.

use diameter::Instant;
use diameter::acceptor::{self, Acceptor};
use diameter::base::{Applications, Local};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::frame::Framer;
use diameter::message::{Flags, Header, Message};
use diameter::node::{
    ConnectionId, Input, Limits, Node, Output, PeerSettings, Request, Settings, Share,
};
use diameter::rf::{AccountingAnswer, EventRecord};
use diameter::ro::{CreditAnswer, UnitsIn};
use diameter::route::PeerId;
use diameter::tree;
use diameter::vocabulary::Vocabulary;
use diameter::write::Writer;
use std::collections::BTreeSet;

/// Longest message taken.
const MAX: usize = 65_536;

/// The connection is open before the stream begins; else its CER or CEA is still due.
pub const OPEN: u8 = 1;
/// The peer has connected; else we have.
pub const ACCEPTED: u8 = 2;
/// Both have.
pub const BOTH: u8 = 4;
/// Requests of ours wait for an answer: none, or one of each application.
pub const PENDING: u8 = 8;
/// Time passes after each message: 20 seconds, so that there are watchdogs.
pub const SLOW: u8 = 16;

/// Input: what stands above as bits; the size of the pieces in bytes (0: all at once); the stream. In it an answer with a
/// hop-by-hop identifier below 8 answers the request of ours with this number.
pub fn node(input: &[u8]) {
    let [mode, step, stream @ ..] = input else {
        return;
    };
    let mut world = World::new(*mode);
    let mut framer = Framer::new(MAX);
    let step = if *step == 0 {
        stream.len().max(1)
    } else {
        usize::from(*step)
    };
    'stream: for piece in stream.chunks(step) {
        framer.push(piece);
        loop {
            match framer.next_message() {
                Ok(Some(mut message)) => {
                    world.address(&mut message);
                    read(&message);
                    let connection = world.connection;
                    let message = &message;
                    world.handle(Input::Received {
                        connection,
                        message,
                    });
                    if mode & SLOW != 0 {
                        world.pass(20_000);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let start = framer.rest().to_vec();
                    let connection = world.connection;
                    world.handle(Input::Garbled {
                        connection,
                        start: &start,
                        error,
                    });
                    break 'stream;
                }
            }
        }
        assert!(
            framer.rest().len() < MAX + step,
            "no more than a message and a piece"
        );
    }
    world.pass(200_000);
    assert_eq!(world.asked, world.answered, "each request has an outcome");
}

/// What may be done with any message.
fn read(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    let length: usize = message.avps().map(|avp| avp.whole.len()).sum();
    assert_eq!(length + 20, bytes.len(), "every byte belongs to an AVP");
    let vocabulary = Vocabulary::default();
    message.unknown_mandatory(&vocabulary);
    AccountingAnswer::read(&message);
    let services = UnitsIn::Services {
        service_identifier: None,
        rating_group: None,
    };
    for units in [UnitsIn::Command, services] {
        CreditAnswer::read(&message, units);
    }
    tree::lines(&tree::read(&message, &vocabulary), &vocabulary);
}

struct World {
    node: Node,
    now: Instant,
    connection: ConnectionId,
    /// Hop-by-hop identifiers of what was sent.
    sent: Vec<u32>,
    asked: BTreeSet<u64>,
    answered: BTreeSet<u64>,
}

impl World {
    fn new(mode: u8) -> World {
        let mut node = Node::new(settings(), [0; 32]);
        let now = Instant(1);
        node.listen(2);
        let share = Some(Share {
            priority: 0,
            general: true,
        });
        let peer = PeerSettings {
            host: Some("cdf.test".into()),
            realm: None,
            accounting: share,
            credit_control: share,
        };
        let accepted = ConnectionId::accepted(1);
        let peer = match mode & (ACCEPTED | BOTH) {
            ACCEPTED => node.expect_peer(peer),
            _ => node.add_peer(now, peer),
        };
        let ours = ConnectionId {
            peer,
            generation: 1,
        };
        let connection = if mode & ACCEPTED != 0 { accepted } else { ours };
        let mut world = World {
            node,
            now,
            connection,
            sent: Vec::new(),
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
        };
        world.open(mode, ours, accepted, peer);
        if mode & PENDING != 0 {
            world.ask(1, acr());
            world.ask(2, ccr());
        }
        world
    }

    fn open(&mut self, mode: u8, ours: ConnectionId, accepted: ConnectionId, peer: PeerId) {
        let local = [127, 0, 0, 1].into();
        if mode & BOTH != 0 || mode & ACCEPTED == 0 {
            self.handle(Input::Connected {
                connection: ours,
                local,
            });
        }
        if mode & (BOTH | ACCEPTED) != 0 {
            self.handle(Input::Accepted {
                connection: accepted,
                local,
                peers: vec![peer],
            });
        }
        if mode & OPEN != 0 {
            let mut introduction = match mode & ACCEPTED {
                0 => cea(),
                _ => cer("cdf.test"),
            };
            self.address(&mut introduction);
            let message = &introduction;
            let connection = self.connection;
            self.handle(Input::Received {
                connection,
                message,
            });
        }
    }

    fn ask(&mut self, ticket: u64, message: Vec<u8>) {
        self.asked.insert(ticket);
        self.handle(Input::Request(Request {
            ticket,
            end_to_end: 7,
            retransmitted: false,
            through: None,
            prefer: Vec::new(),
            avoid: None,
            bound: None,
            message,
        }));
    }

    /// Lets an answer with a small number be one to that request of ours.
    fn address(&self, message: &mut [u8]) {
        let header = Header::read(message).filter(|header| !header.flags.request());
        let sent = header.and_then(|header| self.sent.get(header.hop_by_hop as usize));
        if let (Some(sent), Some(field)) = (sent, message.get_mut(12..16)) {
            field.copy_from_slice(&sent.to_be_bytes());
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { bytes, .. } => {
                    let message = Message::parse(&bytes).expect("what is sent is well formed");
                    if message.header.flags.request() {
                        self.sent.push(message.header.hop_by_hop);
                    }
                }
                Output::Answered { ticket, .. } => {
                    assert!(self.asked.contains(&ticket), "nobody asked for {ticket}");
                    assert!(self.answered.insert(ticket), "two outcomes of {ticket}");
                }
                Output::Asked {
                    connection,
                    request,
                } => {
                    let result = ResultCode::LIMITED_SUCCESS;
                    let request = &request;
                    self.node.handle(
                        self.now,
                        Input::Reply {
                            connection,
                            request,
                            result,
                        },
                    );
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now.after(millis);
        let mut steps = 0;
        while let Some(at) = self.node.deadline().filter(|at| *at <= end) {
            steps += 1;
            assert!(steps < 10_000, "time does not stand still");
            self.now = self.now.max(at);
            self.handle(Input::Tick);
        }
        self.now = end;
    }
}

fn local(host: &str) -> Local {
    Local {
        host: host.into(),
        realm: "test".into(),
        product: "fuzz".into(),
        state_id: 1,
        applications: Applications::BOTH,
    }
}

fn settings() -> Settings {
    let limits = Limits {
        answer_timeout: 10_000,
        max_pending: 4,
    };
    Settings {
        local: local("ps.test"),
        watchdog: 30_000,
        accounting: limits,
        credit_control: limits,
        connect_timeout: 5_000,
        backoff: (500, 30_000),
        max_message: MAX,
        vocabulary: Vocabulary::default(),
        overload_control: true,
    }
}

/// Input: the size of the pieces (0: all at once); the stream.
pub fn acceptor(input: &[u8]) {
    let [step, stream @ ..] = input else {
        return;
    };
    let mut acceptor = Acceptor::new(local("ocs.test"), [127, 0, 0, 1].into());
    let mut framer = Framer::new(MAX);
    let step = if *step == 0 {
        stream.len().max(1)
    } else {
        usize::from(*step)
    };
    for piece in stream.chunks(step) {
        framer.push(piece);
        while let Ok(Some(message)) = framer.next_message() {
            read(&message);
            let mut outputs = acceptor.received(&message);
            outputs.extend(acceptor.watch());
            for output in outputs {
                match output {
                    acceptor::Output::Send(bytes) => {
                        Message::parse(&bytes).expect("what is sent is well formed");
                    }
                    acceptor::Output::Request(bytes) => {
                        let request = Message::parse(&bytes).expect("it was read before");
                        let local = local("ocs.test");
                        let answer = local.application_answer(&request, ResultCode::SUCCESS);
                        let answer = answer.finish(2 * MAX).expect("no longer than the request");
                        Message::parse(&answer).expect("what is sent is well formed");
                    }
                    _ => {}
                }
            }
        }
    }
    acceptor.disconnect();
}

fn finish(w: Writer) -> Vec<u8> {
    w.finish(MAX).expect("a short message")
}

fn cer(host: &str) -> Vec<u8> {
    let mut w = Writer::hop_request(CMD_CAPABILITIES_EXCHANGE, 1, 2);
    capabilities(&mut w, host);
    finish(w)
}

/// An answer to our first request.
fn answer(command: u32, application: u32, number: u32, result: u32) -> Writer {
    let header = Header {
        flags: Flags(Flags::REQUEST | Flags::PROXIABLE),
        command,
        application,
        hop_by_hop: number,
        end_to_end: 7,
    };
    let mut w = Writer::answer(&header, ResultCode(result));
    w.u32(&RESULT_CODE, result);
    w
}

fn cea() -> Vec<u8> {
    let mut w = answer(CMD_CAPABILITIES_EXCHANGE, 0, 0, 2001);
    capabilities(&mut w, "cdf.test");
    finish(w)
}

fn capabilities(w: &mut Writer, host: &str) {
    let address = diameter::avp::Address::Ip([127, 0, 0, 1].into());
    w.utf8(&ORIGIN_HOST, host)
        .utf8(&ORIGIN_REALM, "test")
        .address(&HOST_IP_ADDRESS, &address)
        .u32(&VENDOR_ID, 0)
        .utf8(&PRODUCT_NAME, "x")
        .u32(&ORIGIN_STATE_ID, 3)
        .u32(&AUTH_APPLICATION_ID, 4)
        .u32(&ACCT_APPLICATION_ID, 3)
        .group(&VENDOR_SPECIFIC_APPLICATION_ID, |w| {
            w.u32(&VENDOR_ID, VENDOR_3GPP).u32(&ACCT_APPLICATION_ID, 3);
        })
        .u32(&INBAND_SECURITY_ID, 0);
}

fn acr() -> Vec<u8> {
    let record = EventRecord {
        session_id: "ps.test;1;2",
        origin_host: "ps.test",
        origin_realm: "test",
        record_number: 0,
        service_context_id: "32260@3gpp.org",
        event_timestamp: 1_800_000_000,
    };
    finish(record.acr())
}

fn ccr() -> Vec<u8> {
    let mut w = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    w.utf8(&SESSION_ID, "ps.test;3;4")
        .i32(&CC_REQUEST_TYPE, 4)
        .u32(&CC_REQUEST_NUMBER, 0);
    finish(w)
}

/// A request of a peer about itself or a session.
fn request(command: u32, application: u32, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = match application {
        APP_COMMON => Writer::hop_request(command, 1, 2),
        _ => Writer::request(command, application),
    };
    w.utf8(&ORIGIN_HOST, "cdf.test").utf8(&ORIGIN_REALM, "test");
    fill(&mut w);
    finish(w)
}

fn session(w: &mut Writer) {
    w.utf8(&SESSION_ID, "ps.test;3;4")
        .utf8(&DESTINATION_REALM, "test")
        .utf8(&DESTINATION_HOST, "ps.test")
        .u32(&AUTH_APPLICATION_ID, 4)
        .i32(&RE_AUTH_REQUEST_TYPE, 0);
}

fn cca() -> Vec<u8> {
    let mut w = answer(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, 2, 2001);
    w.utf8(&ORIGIN_HOST, "cdf.test")
        .utf8(&SESSION_ID, "ps.test;3;4")
        .i32(&CC_REQUEST_TYPE, 4)
        .u32(&CC_REQUEST_NUMBER, 0)
        .i32(&CC_SESSION_FAILOVER, 1)
        .i32(&CREDIT_CONTROL_FAILURE_HANDLING, 1)
        .group(&MULTIPLE_SERVICES_CREDIT_CONTROL, |w| {
            w.u32(&RESULT_CODE, 2001)
                .u32(&VALIDITY_TIME, 60)
                .group(&GRANTED_SERVICE_UNIT, |w| {
                    w.u64(&CC_SERVICE_SPECIFIC_UNITS, 10);
                });
        })
        .group(&OC_OLR, |w| {
            w.u64(&OC_SEQUENCE_NUMBER, 1)
                .i32(&OC_REPORT_TYPE, 0)
                .u32(&OC_REDUCTION_PERCENTAGE, 50);
        });
    finish(w)
}

/// Single messages that a peer says in good order, and some that are old friends of those who attack.
fn messages() -> Vec<Vec<u8>> {
    let mut aca = answer(CMD_ACCOUNTING, APP_ACCOUNTING, 1, 2001);
    aca.utf8(&SESSION_ID, "ps.test;1;2")
        .u32(&ACCOUNTING_RECORD_NUMBER, 0);
    let mut refused = answer(CMD_ACCOUNTING, APP_ACCOUNTING, 1, 3004);
    refused.utf8(&ERROR_MESSAGE, "busy");
    let mut dwa = answer(CMD_DEVICE_WATCHDOG, 0, 1, 2001);
    dwa.utf8(&ORIGIN_HOST, "cdf.test").u32(&ORIGIN_STATE_ID, 4);
    let mut nested = request(CMD_DEVICE_WATCHDOG, 0, |_| {});
    for level in (1..=12u8).rev() {
        nested.extend([0, 0, 3, 105, 192, 0, 0, level * 12, 0, 0, 40, 175]);
    }
    let length = nested.len() as u8;
    nested[3] = length;
    vec![
        cea(),
        cer("cdf.test"),
        finish(aca),
        finish(refused),
        finish(dwa),
        cca(),
        request(CMD_DEVICE_WATCHDOG, 0, |_| {}),
        request(CMD_DISCONNECT_PEER, 0, |w| _ = w.i32(&DISCONNECT_CAUSE, 1)),
        request(CMD_RE_AUTH, 4, session),
        request(CMD_ABORT_SESSION, 4, session),
        request(CMD_CREDIT_CONTROL, 4, session),
        request(9_999, 77, |w| {
            session(w);
            w.group(&PROXY_INFO, |w| {
                w.utf8(&PROXY_HOST, "p").octets(&PROXY_STATE, b"s");
            });
        }),
        nested,
        vec![1, 0, 0, 3],
        vec![1, 0xff, 0xff, 0xfc],
        vec![2, 0, 0, 20],
    ]
}

/// Inputs to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let messages = messages();
    let all = messages[2..12].concat();
    let mut seeds = Vec::new();
    for mode in [
        0,
        ACCEPTED,
        BOTH,
        BOTH | ACCEPTED,
        OPEN | PENDING,
        OPEN | PENDING | ACCEPTED,
        OPEN | PENDING | SLOW,
    ] {
        for step in [0, 1, 100] {
            seeds.push([&[mode, step][..], &messages[0], &messages[1], &all].concat());
        }
        for message in &messages {
            seeds.push([&[mode, 0][..], message].concat());
        }
    }
    seeds
}
