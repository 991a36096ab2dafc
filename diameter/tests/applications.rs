//! One node that speaks accounting and credit control, to peers that speak one or both.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use diameter::Instant;
use diameter::base::{Applications, Local};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::Message;
use diameter::node::{
    Condition, ConnectionId, Input, Limits, Node, Outcome, Output, PeerSettings, Request, Settings,
    Share,
};
use diameter::route::PeerId;
use diameter::write::Writer;

const NOW: Instant = Instant(1_000);

const LIMITS: Limits = Limits {
    answer_timeout: 10_000,
    max_pending: 16,
};

const SHARE: Option<Share> = Some(Share {
    priority: 0,
    general: true,
});

struct World(Node);

impl World {
    fn new(applications: Applications) -> World {
        let settings = Settings {
            local: Local {
                host: "ps.ims.test".into(),
                realm: "ims.test".into(),
                product: "test".into(),
                state_id: 7,
                applications,
            },
            watchdog: 30_000,
            accounting: LIMITS,
            credit_control: LIMITS,
            connect_timeout: 5_000,
            backoff: (500, 30_000),
            max_message: 65_536,
            vocabulary: Default::default(),
            overload_control: false,
        };
        World(Node::new(settings, [1; 32]))
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.0.poll_output()).collect()
    }

    fn sent(&mut self) -> Vec<(ConnectionId, Vec<u8>)> {
        let sent = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Send { connection, bytes } => Some((connection, bytes)),
                _ => None,
            });
        sent.collect()
    }

    /// A peer whose CEA offers this.
    fn peer(&mut self, host: &str, applications: Applications) -> ConnectionId {
        let settings = PeerSettings {
            host: Some(host.into()),
            realm: Some("test".into()),
            accounting: SHARE,
            credit_control: SHARE,
        };
        let connection = ConnectionId {
            peer: self.0.add_peer(NOW, settings),
            generation: 1,
        };
        self.0.handle(
            NOW,
            Input::Connected {
                connection,
                local: [127, 0, 0, 1].into(),
            },
        );
        let (_, cer) = self.sent().remove(0);
        let mut cea = Writer::answer(&Message::parse(&cer).unwrap().header, ResultCode::SUCCESS);
        cea.u32(&RESULT_CODE, 2001)
            .utf8(&ORIGIN_HOST, host)
            .utf8(&ORIGIN_REALM, "test");
        if applications.accounting {
            cea.u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
        }
        if applications.credit_control {
            cea.u32(&AUTH_APPLICATION_ID, APP_CREDIT_CONTROL);
        }
        self.receive(connection, &cea.finish(1_000).unwrap());
        self.outputs();
        connection
    }

    fn receive(&mut self, connection: ConnectionId, message: &[u8]) {
        self.0.handle(
            NOW,
            Input::Received {
                connection,
                message,
            },
        );
    }

    fn ask(&mut self, command: u32, application: u32, prefer: &[PeerId], bound: Option<&str>) {
        let request = Request {
            ticket: 1,
            end_to_end: 1,
            retransmitted: false,
            through: None,
            prefer: prefer.to_vec(),
            avoid: None,
            bound: bound.map(str::to_owned),
            message: Writer::request(command, application).finish(100).unwrap(),
        };
        self.0.handle(NOW, Input::Request(request));
    }
}

#[test]
fn a_request_goes_to_a_peer_that_serves_its_application() {
    let mut world = World::new(Applications::BOTH);
    let cdf = world.peer("cdf.test", Applications::ACCOUNTING);
    let ocs = world.peer("ocs.test", Applications::CREDIT_CONTROL);
    for (command, application, to) in [
        (CMD_ACCOUNTING, APP_ACCOUNTING, cdf),
        (CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, ocs),
    ] {
        assert!(world.0.is_up_for(application));
        world.ask(command, application, &[cdf.peer, ocs.peer], None);
        assert_eq!(world.sent()[0].0, to);
    }
    world.0.handle(NOW, Input::Disconnected { connection: ocs });
    assert!(!world.0.is_up_for(APP_CREDIT_CONTROL) && world.0.is_up_for(APP_ACCOUNTING));
}

#[test]
fn a_peer_that_serves_only_what_we_do_not_is_left() {
    let mut world = World::new(Applications::ACCOUNTING);
    let ocs = world.peer("ocs.test", Applications::CREDIT_CONTROL);
    assert_eq!(world.0.condition(ocs.peer), Some(Condition::Closed));
    let both = world.peer("both.test", Applications::BOTH);
    assert_eq!(world.0.condition(both.peer), Some(Condition::Up));
    world.ask(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, &[], None);
    let answered = world.outputs().into_iter().find_map(|output| match output {
        Output::Answered { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert_eq!(
        answered,
        Some(Outcome::NoPeer),
        "what was not offered is not used"
    );
}

#[test]
fn a_bound_request_names_its_server_and_is_not_moved() {
    for (bound, moved) in [(None, true), (Some("ocs9.test"), false)] {
        let mut world = World::new(Applications::BOTH);
        let first = world.peer("ocs1.test", Applications::CREDIT_CONTROL);
        let second = world.peer("ocs2.test", Applications::CREDIT_CONTROL);
        world.ask(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, &[first.peer], bound);
        let (to, sent) = world.sent().remove(0);
        let named = Message::parse(&sent).unwrap().find(&DESTINATION_HOST);
        let expected = bound.unwrap_or("ocs1.test");
        assert_eq!(
            (to, named.unwrap().text()),
            (first, Some(expected)),
            "{bound:?}"
        );
        world
            .0
            .handle(NOW, Input::Disconnected { connection: first });
        let outputs = world.outputs();
        let again = outputs.iter().find_map(|output| match output {
            Output::Send { connection, bytes } => Some((*connection, bytes)),
            _ => None,
        });
        assert_eq!(again.is_some(), moved, "{bound:?}");
        if let Some((to, bytes)) = again {
            let header = Message::parse(bytes).unwrap().header;
            assert_eq!((to, header.end_to_end), (second, 1));
            assert!(header.flags.retransmitted());
        } else {
            let lost = |output: &Output| {
                matches!(
                    output,
                    Output::Answered {
                        outcome: Outcome::Unanswered,
                        ..
                    }
                )
            };
            assert!(outputs.iter().any(lost));
            world.ask(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, &[first.peer], bound);
            assert_eq!(world.sent(), [], "nor sent to another afterwards");
            world.ask(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, &[], bound);
            assert_eq!(
                world.sent()[0].0,
                second,
                "unless nobody knows the way to its server"
            );
            let named = Some("OCS1.test");
            world.ask(
                CMD_CREDIT_CONTROL,
                APP_CREDIT_CONTROL,
                &[second.peer],
                named,
            );
            assert_eq!(
                world.sent(),
                [],
                "a server that is a peer is the way to itself"
            );
        }
    }
}

/// A request of a server about a session.
fn about(command: u32, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::request(command, APP_CREDIT_CONTROL);
    w.utf8(&SESSION_ID, "ps.ims.test;0;1;2")
        .utf8(&ORIGIN_HOST, "ocs.test")
        .utf8(&ORIGIN_REALM, "test")
        .utf8(&DESTINATION_REALM, "ims.test")
        .utf8(&DESTINATION_HOST, "ps.ims.test");
    if command == CMD_RE_AUTH {
        w.i32(&RE_AUTH_REQUEST_TYPE, 0); // AUTHORIZE_ONLY
    }
    fill(&mut w);
    w.finish(1_000).unwrap()
}

#[test]
fn a_server_that_asks_about_a_session_gets_the_owners_answer() {
    for command in [CMD_RE_AUTH, CMD_ABORT_SESSION] {
        let mut world = World::new(Applications::BOTH);
        let ocs = world.peer("ocs.test", Applications::BOTH);
        let request = about(command, |w| _ = w.u32(&AUTH_APPLICATION_ID, 4));
        world.receive(ocs, &request);
        let asked = Output::Asked {
            connection: ocs,
            request: request.clone(),
        };
        assert_eq!(world.outputs(), [asked]);
        let (connection, result) = (ocs, ResultCode::LIMITED_SUCCESS);
        let reply = Input::Reply {
            connection,
            request: &request,
            result,
        };
        world.0.handle(NOW, reply);
        let (_, answer) = world.sent().remove(0);
        let answer = Message::parse(&answer).unwrap();
        let result = answer.find(&RESULT_CODE).unwrap().u32();
        assert_eq!((answer.header.command, result), (command, Some(2002)));
        let session = answer.find(&SESSION_ID).unwrap().text();
        assert_eq!(session, Some("ps.ims.test;0;1;2"));
    }
}

#[test]
fn a_server_that_leaves_the_m_flag_out_is_understood() {
    let mut world = World::new(Applications::BOTH);
    let ocs = world.peer("ocs.test", Applications::BOTH);
    let mut request = about(CMD_RE_AUTH, |w| _ = w.u32(&AUTH_APPLICATION_ID, 4));
    let origin_host = 20 + 28; // behind the header and the Session-Id
    assert_eq!(request[origin_host..origin_host + 5], [0, 0, 1, 8, 0x40]);
    request[origin_host + 4] = 0;
    world.receive(ocs, &request);
    assert!(matches!(world.outputs()[..], [Output::Asked { .. }]));
}

#[test]
fn a_request_about_a_session_that_is_not_right_is_refused_here() {
    const UNKNOWN: Def = Def {
        name: "?",
        code: 99_999,
        vendor: 0,
        kind: Kind::U32,
        mandatory: true,
    };
    let good = |w: &mut Writer| _ = w.u32(&AUTH_APPLICATION_ID, 4);
    let unknown = |w: &mut Writer| _ = w.u32(&AUTH_APPLICATION_ID, 4).u32(&UNKNOWN, 1);
    for (case, ours, request, result) in [
        (
            "without its application",
            Applications::BOTH,
            about(CMD_RE_AUTH, |_| {}),
            5005,
        ),
        (
            "with an AVP that must be understood",
            Applications::BOTH,
            about(CMD_RE_AUTH, unknown),
            5001,
        ),
        (
            "of another command",
            Applications::BOTH,
            about(CMD_CREDIT_CONTROL, good),
            3001,
        ),
        (
            "where credit is not controlled",
            Applications::ACCOUNTING,
            about(CMD_RE_AUTH, good),
            3007,
        ),
    ] {
        let mut world = World::new(ours);
        let ocs = world.peer("ocs.test", Applications::BOTH);
        world.receive(ocs, &request);
        let (_, answer) = world.sent().remove(0);
        let answer = Message::parse(&answer).unwrap();
        let said = answer.find(&RESULT_CODE).unwrap().u32();
        assert_eq!(said, Some(result), "{case}");
    }
}
