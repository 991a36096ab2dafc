//! What brought a widespread Diameter stack down, or led it astray, each as a test of this one: from the bytes that a
//! peer sends to what the node does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod world;

use diameter::avp::{Address, time};
use diameter::dictionary::*;
use diameter::fault::{FrameError, ResultCode};
use diameter::frame::Framer;
use diameter::message::Message;
use diameter::node::{Condition, Input, Outcome, Output};
use diameter::write::{TooLong, Writer};
use world::*;

/// `depth` Service-Information AVPs, each inside the other.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(depth * 12);
    for level in (1..=depth).rev() {
        let [_, a, b, c] = ((level * 12) as u32).to_be_bytes();
        bytes.extend([0, 0, 3, 105, 192, a, b, c, 0, 0, 40, 175]);
    }
    bytes
}

/// A message with these bytes behind its AVPs and the length put right.
fn extended(mut message: Vec<u8>, more: &[u8]) -> Vec<u8> {
    message.extend_from_slice(more);
    let length = (message.len() as u32).to_be_bytes();
    message[1..4].copy_from_slice(&length[1..]);
    message
}

fn dwr() -> Vec<u8> {
    request(CMD_DEVICE_WATCHDOG, 0, |_| {})
}

#[test]
fn five_thousand_nested_groups_before_the_capabilities_exchange_end_the_connection_only() {
    let mut world = World::new();
    let id = world.peer("cdf1.test", 0, true);
    let connection = world.connect();
    let local = [127, 0, 0, 1].into();
    world.handle(Input::Connected { connection, local });
    let bomb = extended(dwr(), &nested(5_000));
    assert!(bomb.len() > 60_000);
    world.receive(connection, &bomb);
    assert_eq!(world.closed(), connection);
    assert_eq!(world.node.condition(id), Some(Condition::Closed));
}

#[test]
fn five_thousand_nested_groups_on_an_open_connection_are_refused_and_it_goes_on() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.receive(cdf, &extended(dwr(), &nested(5_000)));
    assert_eq!(result(&world.sent().1), 5012);
    world.receive(cdf, &dwr());
    assert_eq!(result(&world.sent().1), 2001);
}

#[test]
fn a_header_length_of_zero_to_three_is_a_bad_frame() {
    for length in 0..4 {
        let mut framer = Framer::new(65_536);
        framer.push(&[1, 0, 0, length]);
        let error = framer.next_message().unwrap_err();
        assert_eq!(error, FrameError::Length(usize::from(length)));
    }
}

#[test]
fn an_avp_length_below_its_header_is_refused_with_that_avp() {
    for (case, avp) in [
        ("zero", vec![0, 0, 1, 8, 0x40, 0, 0, 0]),
        ("seven", vec![0, 0, 1, 8, 0x40, 0, 0, 7]),
        (
            "eleven, with a vendor",
            vec![0, 0, 3, 57, 0xc0, 0, 0, 11, 0, 0, 40, 175],
        ),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.receive(cdf, &extended(dwr(), &avp));
        let (_, answer) = world.sent();
        assert_eq!(result(&answer), 5014, "{case}");
        let answer = Message::parse(&answer).unwrap();
        let failed = answer.find(&FAILED_AVP).unwrap().data;
        assert_eq!(failed[..4], avp[..4], "{case}: Failed-AVP");
        assert_eq!(
            world.node.condition(cdf.peer),
            Some(Condition::Up),
            "{case}"
        );
    }
}

#[test]
fn an_avp_that_no_dictionary_has_is_passed_over_without_m_and_refused_with_it() {
    for (flags, expected) in [(0, 2001), (0x40, 5001)] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        let avp = [0, 1, 0x55, 0x55, flags, 0, 0, 12, 1, 2, 3, 4];
        world.receive(cdf, &extended(dwr(), &avp));
        assert_eq!(result(&world.sent().1), expected);
        assert_eq!(world.node.condition(cdf.peer), Some(Condition::Up));
    }
}

#[test]
fn an_answer_with_an_avp_that_no_dictionary_has_still_counts() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, acr) = world.sent();
    let aca = answer(&acr, "cdf1.test", 2001);
    let aca = extended(aca, &[0, 1, 0x55, 0x55, 0x40, 0, 0, 12, 1, 2, 3, 4]);
    world.receive(cdf, &aca);
    assert_eq!(world.answered(), (1, Outcome::Answer(aca)));
}

#[test]
fn an_unknown_command_or_application_is_answered_and_the_connection_lives() {
    for (command, application, expected) in [(9_999, 3, 3001), (9_999, 0, 3001), (271, 77, 3007)] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.receive(cdf, &request(command, application, |_| {}));
        let (_, answer) = world.sent();
        assert_eq!(result(&answer), expected, "{command} {application}");
        assert!(Message::parse(&answer).unwrap().header.flags.error());
        assert_eq!(world.node.condition(cdf.peer), Some(Condition::Up));
    }
}

#[test]
fn an_unsigned32_of_length_10_or_16_and_version_2_are_refused() {
    let short = [0, 0, 1, 22, 0x40, 0, 0, 10, 1, 2, 0, 0];
    let long = [0, 0, 1, 22, 0x40, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1];
    for avp in [&short[..], &long] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.receive(cdf, &extended(dwr(), avp));
        assert_eq!(result(&world.sent().1), 5014, "{} bytes", avp.len());
    }
    let mut framer = Framer::new(65_536);
    framer.push(&[2, 0, 0, 20]);
    assert_eq!(framer.next_message(), Err(FrameError::Version(2)));
    assert_eq!(
        FrameError::Version(2).result(),
        ResultCode::UNSUPPORTED_VERSION
    );
}

#[test]
fn a_dwr_of_the_peer_between_request_and_answer_disturbs_neither() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, acr) = world.sent();
    world.receive(cdf, &dwr());
    assert_eq!(result(&world.sent().1), 2001);
    world.receive(cdf, &answer(&acr, "cdf1.test", 2001));
    assert!(matches!(world.answered(), (1, Outcome::Answer(_))));
}

#[test]
fn an_answer_after_the_time_out_is_counted_and_the_next_one_arrives() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, late) = world.sent();
    world.pass(10_000);
    assert_eq!(world.answered(), (1, Outcome::Unanswered));
    world.receive(cdf, &answer(&late, "cdf1.test", 2001));
    assert_eq!(world.node.stray_answers(), 1);
    world.ask(2);
    let (_, acr) = world.sent();
    world.receive(cdf, &answer(&acr, "cdf1.test", 2001));
    assert!(matches!(world.answered(), (2, Outcome::Answer(_))));
}

#[test]
fn a_peer_that_closes_resolves_every_request_it_has_not_answered() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    world.ask(2);
    world.handle(Input::Disconnected { connection: cdf });
    assert_eq!(world.answered(), (1, Outcome::Unanswered));
    assert_eq!(world.answered(), (2, Outcome::Unanswered));
}

#[test]
fn an_address_of_type_e164_is_as_long_as_its_header_says() {
    for number in ["", "1", "15551230001", &"9".repeat(33)] {
        let mut w = Writer::hop_request(CMD_DEVICE_WATCHDOG, 0, 0);
        w.address(&HOST_IP_ADDRESS, &Address::E164(number))
            .utf8(&ORIGIN_HOST, "behind.test");
        let bytes = w.finish(1_000).unwrap();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            message.find(&HOST_IP_ADDRESS).unwrap().address(),
            Some(Address::E164(number))
        );
        assert_eq!(
            message.find(&ORIGIN_HOST).unwrap().text(),
            Some("behind.test")
        );
    }
}

#[test]
fn a_time_after_7_february_2036_is_written_and_read() {
    const WRAP: u64 = 2_085_978_496;
    for unix in [WRAP - 1, WRAP, WRAP + 1, 2_500_000_000] {
        let mut w = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
        w.time(&EVENT_TIMESTAMP, unix);
        let bytes = w.finish(1_000).unwrap();
        let avp = Message::parse(&bytes)
            .unwrap()
            .find(&EVENT_TIMESTAMP)
            .unwrap();
        assert_eq!((avp.data.len(), avp.time()), (4, Some(unix)));
        assert_eq!(time::from_wire(time::to_wire(unix)), unix);
    }
}

#[test]
fn a_message_or_avp_above_24_bits_of_length_is_refused_before_it_is_sent() {
    let mut w = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
    w.group(&SERVICE_INFORMATION, |w| {
        w.octets(&CLASS, &vec![0; 1 << 24]);
    });
    let limit = (1 << 24) - 1;
    let refused = w.finish(usize::MAX).unwrap_err();
    assert!(matches!(refused, TooLong { limit: l, .. } if l == limit));
}

#[test]
fn a_half_closed_peer_is_left_when_its_watchdog_is_not_answered() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    world.pass(3 * TW);
    assert_eq!(world.answered(), (1, Outcome::Unanswered));
    assert_eq!(world.closed(), cdf);
}

#[test]
fn an_answer_to_nobody_and_one_from_another_peer_take_nothing() {
    let mut world = World::new();
    let first = world.up("cdf1.test", 0);
    let second = world.up("cdf2.test", 1);
    world.ask(1);
    let (to, acr) = world.sent();
    assert_eq!(to, first);
    let aca = answer(&acr, "cdf2.test", 2001);
    world.receive(second, &aca);
    assert_eq!(world.node.stray_answers(), 1);
    assert_eq!(world.node.in_flight(), 1);
    world.receive(first, &answer(&acr, "cdf1.test", 2001));
    assert!(matches!(world.answered(), (1, Outcome::Answer(_))));
}

#[test]
fn a_peer_makes_the_reader_hold_no_more_than_one_message_and_one_reading() {
    const MAX: usize = 4_096;
    let mut framer = Framer::new(MAX);
    let mut claimed = vec![1, 0, 16, 0]; // 4,096 bytes, which come one at a time
    claimed.resize(MAX - 1, 0);
    for byte in claimed {
        framer.push(&[byte]);
        assert_eq!(framer.next_message(), Ok(None));
        assert!(framer.rest().len() <= MAX);
    }
    let mut framer = Framer::new(MAX);
    framer.push(&[1, 0, 16, 4]);
    assert!(
        framer.next_message().is_err(),
        "a longer one is not awaited"
    );
}

#[test]
fn a_late_success_of_what_was_sent_again_disturbs_nothing_and_the_second_one_counts() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, first) = world.sent();
    world.pass(10_000);
    assert_eq!(world.answered(), (1, Outcome::Unanswered));
    world.ask_with(2, |request| {
        request.end_to_end = 1;
        request.retransmitted = true;
    });
    let (_, second) = world.sent();
    let header = |bytes: &[u8]| Message::parse(bytes).unwrap().header;
    assert_eq!(header(&first).end_to_end, header(&second).end_to_end);
    assert_ne!(header(&first).hop_by_hop, header(&second).hop_by_hop);
    world.receive(cdf, &answer(&first, "cdf1.test", 2001));
    assert_eq!((world.node.stray_answers(), world.node.in_flight()), (1, 1));
    world.receive(cdf, &answer(&second, "cdf1.test", 2001));
    assert!(matches!(world.answered(), (2, Outcome::Answer(_))));
    world.receive(cdf, &answer(&second, "cdf1.test", 5012));
    assert_eq!(world.node.stray_answers(), 2, "and nothing after it");
}

/// An answer from this realm, with what lets a CEA pass.
fn from_realm(request: &[u8], host: &str, realm: &str) -> Vec<u8> {
    let header = Message::parse(request).unwrap().header;
    let mut w = Writer::answer(&header, ResultCode::SUCCESS);
    w.u32(&RESULT_CODE, 2001)
        .utf8(&ORIGIN_HOST, host)
        .utf8(&ORIGIN_REALM, realm)
        .u32(&ACCT_APPLICATION_ID, APP_ACCOUNTING);
    w.finish(100_000).unwrap()
}

#[test]
fn another_realm_or_host_than_expected_does_harm_to_nobody() {
    // A peer may be an agent in a realm of its own: requests go to the realm that is configured all the same.
    let mut world = World::new();
    world.peer_in("cdf1.test", "cdf.test");
    let cdf = world.connect();
    let local = [127, 0, 0, 1].into();
    world.handle(Input::Connected {
        connection: cdf,
        local,
    });
    let (_, cer) = world.sent();
    world.receive(cdf, &from_realm(&cer, "cdf1.test", "elsewhere.test"));
    assert_eq!(world.node.condition(cdf.peer), Some(Condition::Up));
    world.ask(1);
    let (_, acr) = world.sent();
    let realm = Message::parse(&acr).unwrap().find(&DESTINATION_REALM);
    assert_eq!(realm.unwrap().text(), Some("cdf.test"));
    // The server behind an agent answers with its own names.
    world.receive(cdf, &from_realm(&acr, "behind.test", "far.test"));
    assert!(matches!(world.answered(), (1, Outcome::Answer(_))));

    // A CEA with a realm or host that is no name at all, or of another host, opens nothing.
    let long = "x".repeat(60_000);
    for (host, realm) in [
        ("cdf1.test", ""),
        ("cdf1.test", "a b"),
        ("cdf1.test", &long),
        ("", "cdf.test"),
        ("cdf2.test", "cdf.test"),
        (&long, "cdf.test"),
    ] {
        let mut world = World::new();
        world.peer_in("cdf1.test", "cdf.test");
        let cdf = world.connect();
        world.handle(Input::Connected {
            connection: cdf,
            local,
        });
        let (_, cer) = world.sent();
        world.receive(cdf, &from_realm(&cer, host, realm));
        assert_eq!(world.closed(), cdf, "{:.20} {:.20}", host, realm);
    }
}

#[test]
fn what_cannot_be_framed_ends_an_open_connection_with_an_answer_if_its_header_is_there() {
    let dwr = dwr();
    let with_start = |start: [u8; 4]| [&start[..], &dwr[4..]].concat();
    for (case, stream, told) in [
        ("length 0", with_start([1, 0, 0, 0]), Some(5015)),
        ("length 3", with_start([1, 0, 0, 3]), Some(5015)),
        ("length 19", with_start([1, 0, 0, 19]), Some(5015)),
        ("length 21", with_start([1, 0, 0, 21]), Some(5015)),
        ("above the limit", with_start([1, 1, 0, 4]), Some(5015)),
        ("version 2", with_start([2, 0, 0, 20]), Some(5011)),
        ("four bytes only", vec![1, 0, 0, 3], None),
    ] {
        let mut world = World::new();
        let cdf = world.up("cdf1.test", 0);
        world.ask(1);
        world.sent();
        let mut framer = Framer::new(65_536);
        framer.push(&stream);
        let error = framer.next_message().unwrap_err();
        let start = framer.rest();
        world.handle(Input::Garbled {
            connection: cdf,
            start,
            error,
        });
        if let Some(code) = told {
            assert_eq!(result(&world.sent().1), code, "{case}");
        }
        assert_eq!(world.closed(), cdf, "{case}");
        assert_eq!(world.answered(), (1, Outcome::Unanswered), "{case}");
    }
}

#[test]
fn an_answer_that_cannot_be_read_resolves_its_request_and_a_cea_ends_the_attempt() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, acr) = world.sent();
    let aca = answer(&acr, "cdf1.test", 2001);
    world.receive(cdf, &extended(aca, &[0, 0, 1, 8, 0x40, 0, 1, 0]));
    assert_eq!(world.answered(), (1, Outcome::Unreadable));

    let mut world = World::new();
    world.peer("cdf1.test", 0, true);
    let cdf = world.connect();
    let local = [127, 0, 0, 1].into();
    world.handle(Input::Connected {
        connection: cdf,
        local,
    });
    let (_, cer) = world.sent();
    let cea = answer(&cer, "cdf1.test", 2001);
    world.receive(cdf, &extended(cea, &nested(9)));
    assert_eq!(world.closed(), cdf);
}

/// A DWR that says this Origin-State-Id.
fn restarted(state: u32) -> Vec<u8> {
    request(CMD_DEVICE_WATCHDOG, 0, |w| {
        _ = w.u32(&ORIGIN_STATE_ID, state)
    })
}

#[test]
fn a_peer_that_has_restarted_is_noticed_once_for_each_time() {
    let mut world = World::new();
    let cdf = world.up("cdf1.test", 0);
    for (state, noticed) in [
        (5, false),
        (5, false),
        (6, true),
        (6, false),
        (4, false),
        (0, false),
    ] {
        world.seen.clear();
        world.receive(cdf, &restarted(state));
        let seen = world.seen.contains(&Output::Restarted { peer: cdf.peer });
        assert_eq!(seen, noticed, "Origin-State-Id {state}");
    }
}

#[test]
fn a_peer_that_reports_overload_is_spared_and_another_one_takes_over() {
    let mut world = World::new();
    let first = world.up("cdf1.test", 0);
    world.ask(1);
    let (_, acr) = world.sent();
    let header = Message::parse(&acr).unwrap().header;
    let mut w = Writer::answer(&header, ResultCode::SUCCESS);
    w.u32(&RESULT_CODE, 2001).group(&OC_OLR, |w| {
        w.u64(&OC_SEQUENCE_NUMBER, 1)
            .i32(&OC_REPORT_TYPE, 0)
            .u32(&OC_REDUCTION_PERCENTAGE, 100)
            .u32(&OC_VALIDITY_DURATION, 20);
    });
    world.receive(first, &w.finish(1_000).unwrap());
    world.answered();
    world.ask(2);
    assert_eq!(world.answered(), (2, Outcome::Spared));
    let second = world.up("cdf2.test", 1);
    world.ask(3);
    assert_eq!(world.sent().0, second);
    world.pass(20_000);
    world.seen.clear();
    world.ask(4);
    assert_eq!(world.sent().0, first, "the report has expired");
}
