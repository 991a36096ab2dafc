//! The node against scripted peers, in simulated time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::dictionary::*;
use diameter::fault::FrameError;
use diameter::message::{Flags, Message};
use diameter::node::{Condition, Input, Outcome, Output};
use diameter::route::Through;
use diameter::write::Writer;
use world::*;

#[test]
fn a_request_goes_out_addressed_and_its_answer_comes_back() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(5);
    let (to, sent) = world.sent();
    let message = Message::parse(&sent).unwrap();
    assert_eq!(
        (to, message.header.command, message.header.end_to_end),
        (cdf, CMD_ACCOUNTING, 5)
    );
    assert!(message.header.flags.request() && !message.header.flags.retransmitted());
    assert_eq!(
        message.find(&DESTINATION_REALM).unwrap().text(),
        Some("cdf.test"),
        "as the CEA says"
    );
    assert_eq!(
        message.find(&DESTINATION_HOST),
        None,
        "the request named no host"
    );
    let aca = answer(&sent, "cdf1.test", 2001);
    world.receive(cdf, &aca);
    assert_eq!(world.answered(), (5, Outcome::Answer(aca)));
}

#[test]
fn an_answer_nobody_waits_for_harms_nobody() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, sent) = world.sent();
    let aca = answer(&sent, "cdf1.test", 2001);
    world.pass(10_000);
    assert_eq!(
        world.answered(),
        (1, Outcome::Unanswered),
        "it took too long"
    );
    world.receive(cdf, &aca);
    world.receive(cdf, &aca);
    assert_eq!(world.node.stray_answers(), 2, "late, then doubled");
    assert_eq!(world.node.condition(cdf.peer), Some(Condition::Up));
    world.ask(2);
    let (_, sent) = world.sent();
    world.receive(cdf, &answer(&sent, "cdf1.test", 2001));
    assert_eq!(world.answered().0, 2, "the next answer is read");
}

#[test]
fn an_unreadable_answer_ends_its_request() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, sent) = world.sent();
    let mut aca = answer(&sent, "cdf1.test", 2001);
    aca[20 + 7] = 3; // the first AVP is shorter than its header
    world.receive(cdf, &aca);
    assert_eq!(world.answered(), (1, Outcome::Unreadable));
}

#[test]
fn requests_of_the_peer_are_answered() {
    const UNKNOWN: Def = Def {
        name: "?",
        code: 77_777,
        vendor: 0,
        kind: Kind::U32,
        mandatory: true,
    };
    for (case, bytes, expected) in [
        ("DWR", request(CMD_DEVICE_WATCHDOG, 0, |_| {}), 2001),
        (
            "DWR with an unknown AVP",
            request(CMD_DEVICE_WATCHDOG, 0, |w| _ = w.u32(&UNKNOWN, 1)),
            5001,
        ),
        (
            "a CER on an open connection",
            request(CMD_CAPABILITIES_EXCHANGE, 0, |_| {}),
            5012,
        ),
        ("an unknown command", request(999, 3, |_| {}), 3001),
        ("an unknown application", request(272, 77, |_| {}), 3007),
        (
            "RAR for an application that is not offered",
            session_request(CMD_RE_AUTH, 77),
            3007,
        ),
        (
            "RAR without what it must have",
            request(CMD_RE_AUTH, 3, |_| {}),
            5005,
        ),
        (
            "ASR for a record that is over",
            session_request(CMD_ABORT_SESSION, 3),
            5002,
        ),
        (
            "STR for a record that is over",
            session_request(CMD_SESSION_TERMINATION, 3),
            5002,
        ),
        ("an ACR to us", request(CMD_ACCOUNTING, 3, |_| {}), 3001),
        (
            "a DWR with a P flag",
            {
                let mut dwr = request(CMD_DEVICE_WATCHDOG, 0, |_| {});
                dwr[4] |= Flags::PROXIABLE;
                dwr
            },
            3008,
        ),
        (
            "DWR with an empty Failed-AVP",
            request(CMD_DEVICE_WATCHDOG, 0, |w| _ = w.around(&FAILED_AVP, &[])),
            2001,
        ),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.receive(cdf, &bytes);
        let (_, answer) = world.sent();
        assert_eq!(result(&answer), expected, "{case}");
        let header = Message::parse(&answer).unwrap().header;
        assert_eq!(
            header.flags.error(),
            (3000..4000).contains(&expected),
            "{case}"
        );
        assert_eq!(
            world.node.condition(cdf.peer),
            Some(Condition::Up),
            "{case}"
        );
    }
}

#[test]
fn a_bomb_of_nested_groups_is_refused() {
    let mut nested = vec![0, 0, 3, 105, 192, 0, 0, 12, 0, 0, 40, 175];
    for _ in 1..2_000 {
        let length = (nested.len() + 12) as u32;
        let mut outer = vec![0, 0, 3, 105, 192];
        outer.extend(&length.to_be_bytes()[1..]);
        outer.extend([0, 0, 40, 175]);
        outer.append(&mut nested);
        nested = outer;
    }
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    let mut bomb = request(CMD_DEVICE_WATCHDOG, 0, |_| {});
    bomb.extend(nested);
    let length = (bomb.len() as u32).to_be_bytes();
    bomb[1..4].copy_from_slice(&length[1..]);
    world.receive(cdf, &bomb);
    assert_eq!(result(&world.sent().1), 5012);
}

#[test]
fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    for (error, expected) in [
        (FrameError::Length(3), 5015),
        (
            FrameError::TooLong {
                length: 1 << 20,
                limit: 65_536,
            },
            5015,
        ),
        (FrameError::Version(2), 5011),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        let start = request(CMD_DEVICE_WATCHDOG, 0, |_| {});
        world.handle(Input::Garbled {
            connection: cdf,
            start: &start,
            error,
        });
        assert_eq!(result(&world.sent().1), expected);
        assert_eq!(world.closed(), cdf);
        assert_eq!(world.node.condition(cdf.peer), Some(Condition::Closed));
    }
}

#[test]
fn a_peer_that_is_not_what_it_should_be_is_left() {
    let good = |cer: &[u8]| answer(cer, "cdf1.test", 2001);
    let other_host = |cer: &[u8]| answer(cer, "cdf2.test", 2001);
    let refusal = |cer: &[u8]| answer(cer, "cdf1.test", 5010);
    let request_first = |_: &[u8]| request(CMD_DEVICE_WATCHDOG, 0, |_| {});
    let unasked = |cer: &[u8]| {
        let mut cea = answer(cer, "cdf1.test", 2001);
        cea[15] ^= 1;
        cea
    };
    type Reply<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Reply<'_>, Condition); 5] = [
        ("as configured", &good, Condition::Up),
        ("another host", &other_host, Condition::Closed),
        ("it refuses us", &refusal, Condition::Closed),
        (
            "a request instead of a CEA",
            &request_first,
            Condition::Closed,
        ),
        ("a CEA to another CER", &unasked, Condition::Closed),
    ];
    for (case, reply, condition) in cases {
        let mut world = World::new();
        world.peer("cdf1.test", 0, true);
        let connection = world.connect();
        world.handle(Input::Connected {
            connection,
            local: [127, 0, 0, 1].into(),
        });
        let (_, cer) = world.sent();
        world.receive(connection, &reply(&cer));
        assert_eq!(
            world.node.condition(connection.peer),
            Some(condition),
            "{case}"
        );
    }
}

#[test]
fn a_peer_that_does_not_answer_its_cer_is_left_after_a_while() {
    let mut world = World::new();
    world.peer("cdf1.test", 0, true);
    let connection = world.connect();
    world.handle(Input::Connected {
        connection,
        local: [127, 0, 0, 1].into(),
    });
    world.pass(4_999);
    assert_eq!(
        world.node.condition(connection.peer),
        Some(Condition::Connecting)
    );
    world.pass(1);
    assert_eq!(world.closed(), connection);
}

#[test]
fn attempts_back_off_to_the_longest_wait_and_differ_between_nodes() {
    let waits = |seed| {
        let mut world = World::seeded(seed);
        world.peer("cdf1.test", 0, true);
        let mut waits = Vec::new();
        for _ in 0..10 {
            let connection = world.connect();
            world.handle(Input::ConnectFailed {
                connection,
                why: "refused".into(),
            });
            let before = world.now;
            let next = world.node.deadline().unwrap();
            waits.push(next.0 - before.0);
            world.pass(next.0 - before.0);
        }
        waits
    };
    for (i, wait) in waits(1).into_iter().enumerate() {
        let full = (500 << i).min(30_000);
        assert!(
            (full / 2..=full).contains(&wait),
            "attempt {i} waited {wait} of {full} ms"
        );
    }
    assert_ne!(waits(1), waits(2));
    assert_eq!(waits(1), waits(1), "and yet it is a function of the seed");
}

#[test]
fn what_was_sent_to_a_peer_that_broke_goes_to_the_next_with_t() {
    let mut world = World::new();
    let first = world.up("cdf1.test", 0);
    let second = world.up("cdf2.test", 1);
    world.ask(9);
    let (to, before) = world.sent();
    assert_eq!(to, first, "the lowest number is used");
    world.handle(Input::Disconnected { connection: first });
    let (to, after) = world.sent();
    assert_eq!(to, second);
    let (before, after) = (
        Message::parse(&before).unwrap().header,
        Message::parse(&after).unwrap().header,
    );
    assert!(after.flags.retransmitted());
    assert_eq!(after.end_to_end, before.end_to_end);
    assert_ne!(after.hop_by_hop, before.hop_by_hop);
}

#[test]
fn without_another_peer_a_break_leaves_requests_unanswered() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    world.handle(Input::Disconnected { connection: cdf });
    assert_eq!(world.answered(), (1, Outcome::Unanswered));
    world.ask(2);
    assert_eq!(world.answered(), (2, Outcome::NoPeer));
}

#[test]
fn the_window_is_bounded() {
    let mut world = World::new();
    world.up("cdf1.test", 0);
    for ticket in 0..5 {
        world.ask(ticket);
    }
    assert_eq!(world.answered(), (4, Outcome::Full));
    assert_eq!(world.node.in_flight(), 4);
}

#[test]
fn a_request_that_is_too_long_is_not_sent() {
    let mut world = World::new();
    world.up("cdf1.test", 0);
    world.ask_with(1, |request| {
        let mut w = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
        w.utf8(&USER_NAME, &"x".repeat(65_530));
        request.message = w.finish(1 << 20).unwrap();
    });
    assert_eq!(world.answered(), (1, Outcome::TooLong));
}

#[test]
fn a_named_peer_gets_the_request_and_its_host() {
    let mut world = World::new();
    let first = world.up("cdf1.test", 0);
    world.peer("named.test", 0, false);
    let named = world.connect();
    world.ask_with(1, |request| request.prefer = vec![named.peer]);
    assert_eq!(world.sent().0, first, "the named one is not up yet");
    world.open(named, "named.test");
    world.ask_with(2, |request| request.prefer = vec![named.peer]);
    let (to, sent) = world.sent();
    assert_eq!(to, named);
    assert_eq!(
        Message::parse(&sent)
            .unwrap()
            .find(&DESTINATION_HOST)
            .unwrap()
            .text(),
        Some("named.test")
    );
    world.ask(3);
    assert_eq!(
        world.sent().0,
        first,
        "the named one takes only what names it"
    );
}

#[test]
fn silence_makes_a_peer_suspect_and_then_closes_it() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.pass(TW);
    let (_, dwr) = world.sent();
    assert_eq!(command(&dwr), CMD_DEVICE_WATCHDOG);
    world.receive(cdf, &answer(&dwr, "cdf1.test", 2001));
    world.pass(2 * TW);
    assert_eq!(
        world.node.condition(cdf.peer),
        Some(Condition::Suspect),
        "one DWR unanswered"
    );
    world.pass(TW);
    assert_eq!(world.closed(), cdf);
}

#[test]
fn a_suspect_peer_that_speaks_is_used_again() {
    let mut world = World::new();
    let first = world.up("cdf1.test", 0);
    let second = world.up("cdf2.test", 1);
    let mut first_dwr = Vec::new();
    while world.node.condition(first.peer) != Some(Condition::Suspect) {
        world.pass(1_000);
        while let Some(output) = world.seen.pop_front() {
            let Output::Send { connection, bytes } = output else {
                continue;
            };
            if connection == second {
                world.receive(second, &answer(&bytes, "cdf2.test", 2001));
            } else {
                first_dwr = bytes;
            }
        }
    }
    world.ask(1);
    assert_eq!(world.sent().0, second, "requests go elsewhere");
    world.receive(first, &answer(&first_dwr, "cdf1.test", 2001));
    world.ask(2);
    assert_eq!(world.sent().0, first, "and come back");
}

#[test]
fn after_a_break_a_peer_answers_three_watchdogs_before_it_is_used() {
    let mut world = World::new();
    let broken = world.up("cdf1.test", 0);
    world.handle(Input::Disconnected { connection: broken });
    world.pass(500);
    let again = world.connect();
    world.open(again, "cdf1.test");
    let mut dwas = 0;
    while world.node.condition(again.peer) == Some(Condition::Reopening) {
        let (_, dwr) = world.sent();
        world.ask(dwas);
        assert_eq!(world.answered(), (dwas, Outcome::NoPeer));
        world.receive(again, &answer(&dwr, "cdf1.test", 2001));
        dwas += 1;
        world.pass(if dwas < 3 { TW } else { 0 });
    }
    assert_eq!(
        (dwas, world.node.condition(again.peer)),
        (3, Some(Condition::Up))
    );
}

#[test]
fn after_a_dpr_the_peer_is_left_in_peace_and_used_at_once_when_it_is_back() {
    for (case, cause, at_least, at_most) in [
        ("rebooting", 0, 250, 500),
        ("it is busy", 1, 30_000, 45_000),
        ("it wants nothing", 2, 30_000, 45_000),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.ask(1);
        let (_, sent) = world.sent();
        world.receive(
            cdf,
            &request(CMD_DISCONNECT_PEER, 0, |w| {
                _ = w.i32(&DISCONNECT_CAUSE, cause)
            }),
        );
        assert_eq!(result(&world.sent().1), 2001, "{case}");
        world.ask(2);
        assert_eq!(
            world.answered(),
            (2, Outcome::NoPeer),
            "{case}: nothing new is sent"
        );
        world.receive(cdf, &answer(&sent, "cdf1.test", 2001));
        assert_eq!(
            world.answered().0,
            1,
            "{case}: what was under way still arrives"
        );
        world.handle(Input::Disconnected { connection: cdf });
        let wait = world.node.deadline().unwrap().0 - world.now.0;
        assert!((at_least..=at_most).contains(&wait), "{case}: {wait} ms");
        world.pass(wait);
        let again = world.connect();
        world.open(again, "cdf1.test");
        assert_eq!(
            world.node.condition(cdf.peer),
            Some(Condition::Up),
            "{case}"
        );
    }
}

#[test]
fn stopping_says_goodbye_and_waits_for_its_answer_a_bounded_time() {
    for answers in [true, false] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.handle(Input::Stop);
        let (_, dpr) = world.sent();
        assert_eq!(command(&dpr), CMD_DISCONNECT_PEER);
        assert!(!world.node.has_stopped());
        if answers {
            world.receive(cdf, &answer(&dpr, "cdf1.test", 2001));
        } else {
            world.pass(5_000);
        }
        assert_eq!(world.closed(), cdf);
        assert!(world.node.has_stopped());
        world.pass(600_000);
        assert!(
            !world
                .seen
                .iter()
                .any(|o| matches!(o, Output::Connect { .. })),
            "and does not come back"
        );
    }
}

#[test]
fn what_is_heard_of_an_old_connection_changes_nothing() {
    let mut world = World::new();
    let old = world.up("cdf1.test", 0);
    world.handle(Input::Disconnected { connection: old });
    world.pass(500);
    let new = world.connect();
    world.open(new, "cdf1.test");
    let before = world.node.condition(new.peer);
    world.receive(old, &request(CMD_DISCONNECT_PEER, 0, |_| {}));
    world.handle(Input::Disconnected { connection: old });
    assert_eq!(world.node.condition(new.peer), before);
}

#[test]
fn a_removed_peer_is_forgotten_once_it_is_closed() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.node.remove_peer(world.now, cdf.peer);
    world.handle(Input::Tick);
    let (_, dpr) = world.sent();
    world.receive(cdf, &answer(&dpr, "cdf1.test", 2001));
    assert_eq!(world.node.condition(cdf.peer), None);
}

#[test]
fn the_t_flag_is_set_when_asked_for_and_on_nothing_else() {
    let mut world = World::new();
    world.up("cdf1.test", 0);
    for retransmitted in [true, false] {
        world.ask_with(1, |request| request.retransmitted = retransmitted);
        let flags = Message::parse(&world.sent().1).unwrap().header.flags.0;
        assert_eq!(flags & Flags::RETRANSMITTED != 0, retransmitted);
    }
}

/// Messages that a peer may send, good ones, to be spoilt below.
fn honest(world: &mut World) -> Vec<Vec<u8>> {
    world.ask(1);
    let (_, acr) = world.sent();
    vec![
        answer(&acr, "cdf1.test", 2001),
        request(CMD_DEVICE_WATCHDOG, 0, |_| {}),
        request(CMD_DISCONNECT_PEER, 0, |w| _ = w.i32(&DISCONNECT_CAUSE, 0)),
        request(CMD_ACCOUNTING, 3, |w| {
            w.group(&SERVICE_INFORMATION, |w| {
                w.group(&IMS_INFORMATION, |w| {
                    _ = w.u32(&EXPIRES, 1).utf8(&USER_SESSION_ID, "abc")
                });
            });
        }),
    ]
}

proptest::proptest! {
    #[test]
    fn a_spoilt_message_is_survived_and_whatever_is_said_to_it_is_well_formed(
        which in 0..4usize,
        spoils in proptest::collection::vec((0..200usize, proptest::prelude::any::<u8>()), 1..6),
    ) {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        let mut message = honest(&mut world).swap_remove(which);
        for (at, value) in spoils {
            let at = at % message.len();
            message[at] = value;
        }
        world.receive(cdf, &message);
        world.pass(60_000);
        for output in &world.seen {
            if let Output::Send { bytes, .. } = output {
                proptest::prop_assert!(Message::parse(bytes).is_ok());
            }
        }
    }
}

/// RFC 6733 §6.1.5: an agent that finds itself in Destination-Host takes the request for its own.
#[test]
fn what_follows_through_an_agent_names_the_server_behind_it_and_never_the_agent() {
    for server in [None, Some("ocs9.test".to_owned())] {
        let mut world = World::new();
        world.up("dra1.test", 0);
        let agent = world.up("dra2.test", 1);
        world.ask_with(1, |request| {
            request.through = Some(Through {
                peer: agent.peer,
                server: server.clone(),
            });
        });
        let (to, sent) = world.sent();
        let named = Message::parse(&sent).unwrap().find(&DESTINATION_HOST);
        let named = named.and_then(|avp| avp.text().map(str::to_owned));
        assert_eq!((to, named), (agent, server), "asked before");
    }
}
