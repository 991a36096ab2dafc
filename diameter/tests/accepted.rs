//! Connections that peers make: who is let in, what an open one does, and who wins an election (RFC 6733 §5.3, §5.6).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::dictionary::*;
use diameter::fault::FrameError;
use diameter::node::{Condition, ConnectionId, Input, Outcome, Output};
use diameter::route::PeerId;
use diameter::write::Writer;
use world::*;

/// A peer that wins an election against ps.ims.test, and one that loses it.
const HIGHER: &str = "zz.test";
const LOWER: &str = "cdf1.test";

fn cer(host: &str, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::hop_request(CMD_CAPABILITIES_EXCHANGE, 77, 78);
    w.utf8(&ORIGIN_HOST, host)
        .utf8(&ORIGIN_REALM, "cdf.test")
        .address(
            &HOST_IP_ADDRESS,
            &diameter::avp::Address::Ip([127, 0, 0, 1].into()),
        )
        .u32(&VENDOR_ID, 0);
    fill(&mut w);
    w.finish(100_000).unwrap()
}

fn good(host: &str) -> Vec<u8> {
    cer(host, |w| {
        w.utf8(&PRODUCT_NAME, "test")
            .u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
    })
}

/// A node that listens and has one peer, to which it is connecting.
fn listening(host: &str) -> (World, ConnectionId) {
    let mut world = World::new();
    world.node.listen(2);
    world.peer(host, 0, true);
    let ours = world.connect();
    (world, ours)
}

/// A peer that has connected and is up.
fn let_in(host: &str) -> (World, PeerId, ConnectionId) {
    let (mut world, peer) = World::expecting(host);
    let connection = world.accept(1, &[peer]);
    world.receive(connection, &good(host));
    let (to, cea) = world.sent();
    assert_eq!((to, result(&cea)), (connection, 2001));
    assert_eq!(world.node.condition(peer), Some(Condition::Up));
    (world, peer, connection)
}

/// What is sent and closed on a connection, as Result-Code and end.
fn fate(world: &mut World, connection: ConnectionId) -> (Option<u32>, bool) {
    let mut fate = (None, false);
    for output in world.seen.drain(..) {
        match output {
            Output::Send {
                connection: to,
                bytes,
            } if to == connection => fate.0 = Some(result(&bytes)),
            Output::Close { connection: of } if of == connection => fate.1 = true,
            _ => {}
        }
    }
    fate
}

#[test]
fn who_connects_is_let_in_or_told_why_not() {
    let product = |w: &mut Writer| _ = w.utf8(&PRODUCT_NAME, "test");
    let inband = |values: &'static [u32]| {
        cer(LOWER, move |w| {
            product(w);
            w.u32(&ACCT_APPLICATION_ID, 3);
            for value in values {
                w.u32(&INBAND_SECURITY_ID, *value);
            }
        })
    };
    let unknown = cer(LOWER, |w| {
        product(w);
        w.u32(&ACCT_APPLICATION_ID, 3)
            .raw(&[0, 1, 0x55, 0x55, 0x40, 0, 0, 12, 1, 2, 3, 4]);
    });
    for (case, cer, told) in [
        ("a peer", good(LOWER), (Some(2001), false)),
        ("in capitals", good("CDF1.Test"), (Some(2001), false)),
        ("nobody we know", good("other.test"), (Some(3010), true)),
        ("with our own name", good("ps.ims.test"), (Some(3010), true)),
        (
            "of another application",
            cer(LOWER, |w| {
                product(w);
                w.u32(&AUTH_APPLICATION_ID, 16_777_238);
            }),
            (Some(5010), true),
        ),
        (
            "a relay",
            cer(LOWER, |w| {
                product(w);
                w.u32(&AUTH_APPLICATION_ID, APP_RELAY);
            }),
            (Some(2001), false),
        ),
        (
            "which wants TLS inside or nothing",
            inband(&[1]),
            (Some(5017), true),
        ),
        (
            "which would do without it",
            inband(&[1, 0]),
            (Some(2001), false),
        ),
        (
            "without a Product-Name",
            cer(LOWER, |w| _ = w.u32(&ACCT_APPLICATION_ID, 3)),
            (Some(5005), true),
        ),
        (
            "with what we do not know and must",
            unknown,
            (Some(5001), true),
        ),
        ("without a host", good(""), (Some(5004), true)),
        (
            "that says anything else first",
            request(CMD_DEVICE_WATCHDOG, 0, |_| {}),
            (None, true),
        ),
        (
            "that begins with an answer",
            answer(&good(LOWER), LOWER, 2001),
            (None, true),
        ),
    ] {
        let (mut world, peer) = World::expecting(LOWER);
        let connection = world.accept(1, &[peer]);
        world.receive(connection, &cer);
        assert_eq!(fate(&mut world, connection), told, "{case}");
        assert_eq!(world.node.half_open(), 0, "{case}");
        let up = world.node.condition(peer) == Some(Condition::Up);
        assert_eq!(up, told.0 == Some(2001), "{case}");
    }
}

#[test]
fn a_peer_that_is_known_but_connects_from_elsewhere_is_unknown() {
    let (mut world, peer) = World::expecting(LOWER);
    let connection = world.accept(1, &[PeerId(peer.0 + 1)]);
    world.receive(connection, &good(LOWER));
    assert_eq!(fate(&mut world, connection), (Some(3010), true));
}

#[test]
fn who_does_not_introduce_himself_in_time_or_finds_no_room_is_turned_away() {
    let (mut world, peer) = World::expecting(LOWER);
    let first = world.accept(1, &[peer]);
    world.pass(2_500);
    let second = world.accept(2, &[peer]);
    let third = world.accept(3, &[peer]);
    assert_eq!(fate(&mut world, third), (None, true), "two may wait");
    world.pass(2_499);
    assert_eq!(fate(&mut world, first), (None, false));
    world.pass(1);
    assert_eq!(fate(&mut world, first), (None, true));
    world.handle(Input::Garbled {
        connection: second,
        start: b"GET / HTTP/1.1\r\n\r\n",
        error: FrameError::Version(b'G'),
    });
    assert_eq!(fate(&mut world, second), (None, true));
    assert_eq!(world.node.half_open(), 0);

    let mut deaf = World::new();
    let unwanted = deaf.accept(1, &[]);
    assert_eq!(
        fate(&mut deaf, unwanted),
        (None, true),
        "it does not listen"
    );
}

#[test]
fn a_connection_that_was_accepted_serves_like_one_that_was_made() {
    let (mut world, peer, connection) = let_in(LOWER);
    world.ask(1);
    let (to, acr) = world.sent();
    assert_eq!(to, connection);
    world.receive(connection, &answer(&acr, LOWER, 2001));
    assert!(matches!(world.answered(), (1, Outcome::Answer(_))));
    world.receive(connection, &request(CMD_DEVICE_WATCHDOG, 0, |_| {}));
    assert_eq!(result(&world.sent().1), 2001);
    world.receive(connection, &session_request(CMD_RE_AUTH, 4));
    let asked = world.next("Asked", |o| match o {
        Output::Asked { connection, .. } => Some(*connection),
        _ => None,
    });
    assert_eq!(asked, connection);
    world.ask(2);
    world.sent();
    world.handle(Input::Disconnected { connection });
    assert_eq!(world.answered(), (2, Outcome::Unanswered));
    world.pass(600_000);
    assert_eq!(world.node.condition(peer), Some(Condition::Closed));
    let connects = |o: &Output| matches!(o, Output::Connect { .. });
    assert!(!world.seen.iter().any(connects), "it is waited for");
}

#[test]
fn a_silent_peer_is_watched_and_left_whoever_connected() {
    let (mut world, peer, connection) = let_in(LOWER);
    world.pass(TW);
    let (to, dwr) = world.sent();
    assert_eq!((to, command(&dwr)), (connection, CMD_DEVICE_WATCHDOG));
    world.pass(2 * TW);
    assert_eq!(fate(&mut world, connection), (None, true));
    // it comes back, and answers three DWRs before it is used
    let again = world.accept(2, &[peer]);
    world.receive(again, &good(LOWER));
    assert_eq!(result(&world.sent().1), 2001);
    assert_eq!(world.node.condition(peer), Some(Condition::Reopening));
    for _ in 0..3 {
        let (_, dwr) = world.sent();
        world.receive(again, &answer(&dwr, LOWER, 2001));
        world.pass(TW);
    }
    assert_eq!(world.node.condition(peer), Some(Condition::Up));
}

#[test]
fn goodbye_is_said_and_heard_on_an_accepted_connection() {
    let (mut world, peer, connection) = let_in(LOWER);
    let dpr = request(CMD_DISCONNECT_PEER, 0, |w| _ = w.i32(&DISCONNECT_CAUSE, 0));
    world.receive(connection, &dpr);
    assert_eq!(fate(&mut world, connection), (Some(2001), false));
    assert_eq!(world.node.condition(peer), Some(Condition::Closing));
    world.pass(5_000);
    assert_eq!(fate(&mut world, connection), (None, true));

    let (mut world, _, connection) = let_in(LOWER);
    world.handle(Input::Stop);
    let (to, dpr) = world.sent();
    assert_eq!((to, command(&dpr)), (connection, CMD_DISCONNECT_PEER));
    let late = world.accept(2, &[]);
    assert_eq!(world.closed(), late, "nobody is let in any more");
    world.receive(connection, &answer(&dpr, LOWER, 2001));
    assert_eq!(world.closed(), connection);
    assert!(world.node.has_stopped());
}

#[test]
fn a_second_connection_is_rejected_and_the_first_asked_for_a_sign_of_life() {
    let (mut world, peer, first) = let_in(LOWER);
    for count in 2..6 {
        let second = world.accept(count, &[peer]);
        world.receive(second, &good(LOWER));
        if count == 2 {
            let (to, refusal) = world.sent();
            assert_eq!((to, result(&refusal)), (second, 5012));
            let (to, dwr) = world.sent();
            assert_eq!((to, command(&dwr)), (first, CMD_DEVICE_WATCHDOG));
        } else {
            assert_eq!(fate(&mut world, second), (Some(5012), true));
        }
        assert_eq!(
            world.node.condition(peer),
            Some(Condition::Up),
            "however often it tries"
        );
    }
}

/// Our CER has been said, then the peer's comes.
fn both(host: &str) -> (World, ConnectionId, Vec<u8>, ConnectionId) {
    let (mut world, ours) = listening(host);
    world.handle(Input::Connected {
        connection: ours,
        local: [127, 0, 0, 1].into(),
    });
    let (_, our_cer) = world.sent();
    let theirs = world.accept(1, &[ours.peer]);
    world.receive(theirs, &good(host));
    (world, ours, our_cer, theirs)
}

#[test]
fn the_winner_closes_the_connection_it_made_and_answers_on_the_other() {
    let (mut world, ours, our_cer, theirs) = both(LOWER);
    assert_eq!(world.closed(), ours);
    let (to, cea) = world.sent();
    assert_eq!((to, result(&cea)), (theirs, 2001));
    assert_eq!(world.node.connection(ours.peer), Some(theirs));
    // what is still heard on the connection that was closed changes nothing
    world.receive(ours, &answer(&our_cer, LOWER, 2001));
    world.handle(Input::Disconnected { connection: ours });
    assert_eq!(world.node.connection(ours.peer), Some(theirs));
}

#[test]
fn the_loser_waits_for_what_becomes_of_the_connection_it_made() {
    for (case, refused, survivor) in [
        ("it is answered", 2001, 0),
        ("it is refused", 4003, 1),
        ("it is closed", 0, 1),
    ] {
        let (mut world, ours, our_cer, theirs) = both(HIGHER);
        assert_eq!(fate(&mut world, theirs), (None, false), "{case}");
        match refused {
            0 => world.handle(Input::Disconnected { connection: ours }),
            code => world.receive(ours, &answer(&our_cer, HIGHER, code)),
        }
        let survivor = [ours, theirs][survivor];
        assert_eq!(world.node.connection(ours.peer), Some(survivor), "{case}");
        let (told, closed) = fate(&mut world, theirs);
        assert_eq!(closed, survivor == ours, "{case}");
        assert_eq!(told, (survivor == theirs).then_some(2001), "{case}");
    }
}

#[test]
fn a_peer_that_comes_while_we_connect_is_let_in_at_once_or_when_that_has_failed() {
    for (case, host, waits) in [
        ("won", LOWER, None),
        ("lost, and the attempt fails", HIGHER, Some(true)),
        ("lost, and nothing is heard of the attempt", HIGHER, None),
    ] {
        let (mut world, ours) = listening(host);
        let theirs = world.accept(1, &[ours.peer]);
        world.receive(theirs, &good(host));
        if waits.is_some() {
            let why = "refused".to_owned();
            world.handle(Input::ConnectFailed {
                connection: ours,
                why,
            });
        } else if host == HIGHER {
            assert_eq!(fate(&mut world, theirs), (None, false), "{case}");
            world.pass(2_500);
        }
        assert_eq!(fate(&mut world, theirs), (Some(2001), false), "{case}");
        assert_eq!(world.node.connection(ours.peer), Some(theirs), "{case}");
    }
}

#[test]
fn a_peer_that_leaves_in_the_middle_of_an_election_takes_only_its_own_connection() {
    let (mut world, ours, our_cer, theirs) = both(HIGHER);
    world.handle(Input::Disconnected { connection: theirs });
    world.receive(ours, &answer(&our_cer, HIGHER, 2001));
    assert_eq!(world.node.connection(ours.peer), Some(ours));
    // one that speaks before it has its CEA is as good as gone
    let (mut world, ours, _, theirs) = both(HIGHER);
    world.receive(theirs, &request(CMD_DEVICE_WATCHDOG, 0, |_| {}));
    assert_eq!(fate(&mut world, theirs), (None, true));
    assert_eq!(world.node.condition(ours.peer), Some(Condition::Connecting));
    // and however often it comes and goes, our attempt ends when it must
    for count in 2..20 {
        world.pass(250);
        let theirs = world.accept(count, &[ours.peer]);
        world.receive(theirs, &good(HIGHER));
        world.handle(Input::Disconnected { connection: theirs });
    }
    world.pass(501);
    assert_eq!(fate(&mut world, ours), (None, true));
}
