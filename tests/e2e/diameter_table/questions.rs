//! What a CDF or an OCS asks that it should not: our answers, and that Wireshark reads them, Failed-AVP included.

use super::peer::{MAKES, each_make};
use super::tap::number;
use super::*;

fn avp(code: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut avp = code.to_be_bytes().to_vec();
    let length = u32::try_from(8 + data.len()).unwrap();
    avp.push(flags);
    avp.extend(&length.to_be_bytes()[1..]);
    avp.extend(data);
    avp.resize(avp.len().next_multiple_of(4), 0);
    avp
}

fn request(command: u32, application: u32, id: u32, avps: &[Vec<u8>]) -> Vec<u8> {
    let body = avps.concat();
    let mut message = vec![1];
    message.extend(&u32::try_from(20 + body.len()).unwrap().to_be_bytes()[1..]);
    message.push(0x80);
    message.extend(&command.to_be_bytes()[1..]);
    for word in [application, id, id] {
        message.extend(word.to_be_bytes());
    }
    message.extend(body);
    message
}

/// The values of an AVP at the top of a message.
fn values(message: &[u8], code: u32) -> Vec<&[u8]> {
    let (mut rest, mut found) = (&message[20..], Vec::new());
    while rest.len() >= 8 {
        let length = number(&rest[5..8]) as usize;
        let head = if rest[4] & 0x80 == 0 { 8 } else { 12 };
        if number(&rest[..4]) == code {
            found.push(&rest[head..length]);
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    found
}

const M: u8 = 0x40;

/// A question, the Result-Code of its answer, and the code of what Failed-AVP has.
struct Question {
    name: &'static str,
    command: u32,
    application: u32,
    avps: Vec<Vec<u8>>,
    result: u32,
    failed: Option<u32>,
}

const fn question(
    name: &'static str,
    (command, application): (u32, u32),
    avps: Vec<Vec<u8>>,
    result: u32,
    failed: Option<u32>,
) -> Question {
    Question {
        name,
        command,
        application,
        avps,
        result,
        failed,
    }
}

const WATCHDOG: (u32, u32) = (280, 0);

/// What neighbours ask each other.
fn of_a_neighbour(host: &str) -> Vec<Question> {
    let origin = [avp(264, M, host.as_bytes()), avp(296, M, b"test")];
    let with = |more: &[u8]| [&origin[..], &[more.to_vec()]].concat();
    let states = [avp(278, M, &[1; 4]), avp(278, M, &[1; 4])].concat();
    let long = avp(278, M, &[1; 6]);
    vec![
        question("a watchdog", WATCHDOG, with(&[]), 2001, None),
        question(
            "a watchdog of nobody",
            WATCHDOG,
            origin[1..].to_vec(),
            5005,
            Some(264),
        ),
        question(
            "with what we do not know",
            WATCHDOG,
            with(&avp(18, M, b"hello")),
            5001,
            Some(18),
        ),
        question(
            "with what we may ignore",
            WATCHDOG,
            with(&avp(18, 0, b"hello")),
            2001,
            None,
        ),
        question("with two states", WATCHDOG, with(&states), 5009, Some(278)),
        question(
            "with a state of six octets",
            WATCHDOG,
            with(&long),
            5014,
            Some(278),
        ),
        question(
            "a second capabilities exchange",
            (257, 0),
            with(&[]),
            5012,
            None,
        ),
    ]
}

/// What is asked about sessions, of which there is none.
fn of_sessions(host: &str, application: u32) -> Vec<Question> {
    let session = avp(263, M, b"ps.test;1;2;3");
    let origin = [avp(264, M, host.as_bytes()), avp(296, M, b"test")];
    let to = |host: &str, realm: &str| {
        let realm = avp(283, M, realm.as_bytes());
        match host {
            "" => realm,
            host => [avp(293, M, host.as_bytes()), realm].concat(),
        }
    };
    let all = |session: &[u8], to: Vec<u8>, more: &[u8]| {
        let kind = avp(258, M, &application.to_be_bytes());
        let session = session.to_vec();
        vec![session, origin.concat(), to, kind, more.to_vec()]
    };
    let asks = |more: &[u8]| all(&session, to("ps.test", "ps.test"), more);
    let (again, cause) = (avp(285, M, &[0; 4]), avp(295, M, &[0, 0, 0, 4]));
    let (rar, asr, str) = ((258, application), (274, application), (275, application));
    vec![
        question("another application", (258, 9), asks(&again), 3007, None),
        question("a RAR", rar, asks(&again), 5002, None),
        question("an ASR", asr, asks(&[]), 5002, None),
        question("an STR", str, asks(&cause), 5002, None),
        question("a record", (271, application), asks(&[]), 3001, None),
        question("a charge", (272, application), asks(&[]), 3001, None),
        question("a RAR without a type", rar, asks(&[]), 5005, Some(285)),
        question(
            "a RAR from a realm that is no name",
            rar,
            vec![
                session.clone(),
                avp(264, M, host.as_bytes()),
                avp(296, M, b"no name"),
                to("ps.test", "ps.test"),
                avp(258, M, &application.to_be_bytes()),
                again.clone(),
            ],
            5004,
            Some(296),
        ),
        question(
            "a RAR about nothing",
            rar,
            all(&[], to("ps.test", "ps.test"), &again),
            5005,
            Some(263),
        ),
        question("an ASR about two", asr, asks(&session), 5009, Some(263)),
        question(
            "an ASR for another node",
            asr,
            all(&session, to("elsewhere.test", "ps.test"), &[]),
            3002,
            None,
        ),
        question(
            "an STR for another realm",
            str,
            all(&session, to("", "elsewhere.test"), &cause),
            3003,
            None,
        ),
    ]
}

/// CHG-02 and CHG-03: the table of docs/charging/peers.md, as Wireshark reads it.
#[test]
fn what_a_peer_asks_amiss_is_answered_by_what_is_wrong_with_it() {
    each_make(&MAKES, |make| {
        let lab = Lab::new("questions", make);
        let (mut cdf, mut ocs) = (lab.peer(make, "cdf1.test"), lab.peer(make, "ocs1.test"));
        cdf.launch();
        ocs.start();
        cdf.until_listening();
        let mut settings = asking("ps.test", &[&ocs], "subscribe = \"session\"");
        settings += &place("charging.peers", &cdf, 0);
        let server = Server::start(&settings);
        let mut failed = 0;
        for (peer, application) in [(&cdf, 3), (&ocs, 4)] {
            until_up(&server, peer.host, SOON);
            let mut all = of_a_neighbour(peer.host);
            all.extend(of_sessions(peer.host, application));
            failed += all.iter().filter(|row| row.failed.is_some()).count();
            for (id, row) in (0x7fff_0000..).zip(&all) {
                is_answered(
                    peer,
                    id,
                    row,
                    &format!("{} of {} at {make:?}", row.name, peer.host),
                );
            }
        }
        // they take all that as it comes
        publish(&server, "afterwards", "");
        settles("afterwards", SOON, &1, || cdf.of("afterwards").len());
        server.stop();
        let text = lab.judged();
        if !text.is_empty() {
            let found = text.matches("AVP: Failed-AVP(279)").count();
            assert_eq!(found, failed, "{text}");
        }
    });
}

fn is_answered(peer: &Peer, id: u32, row: &Question, at: &str) {
    let answer = peer
        .tap
        .ask(&request(row.command, row.application, id, &row.avps));
    let code = values(&answer, 268).first().map(|value| number(value));
    assert_eq!(code, Some(row.result), "{at}");
    let inside = values(&answer, 279);
    let inside = inside.first().map(|group| number(&group[..4]));
    assert_eq!(inside, row.failed, "{at}");
    // RFC 6733 §7.1.3
    let error = (3000..4000).contains(&row.result);
    assert_eq!(answer[4] & 0x20 != 0, error, "{at}");
}
