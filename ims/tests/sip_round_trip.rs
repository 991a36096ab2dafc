//! Whatever is put into the writer, what comes out is one message that says the same, no line more; and
//! whatever arrives, reading it ends, and what is answered can be read.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use ims::sip::write::{request, response};
use ims::sip::{Flow, Framing, Incoming, Limits, Method, Name, Transport, parse};
use proptest::prelude::*;
use std::net::SocketAddr;

fn flow() -> Flow {
    let end = SocketAddr::from(([192, 0, 2, 1], 5070));
    Flow {
        transport: Transport::Udp,
        local: end,
        remote: end,
        connection: 0,
    }
}

/// Names whose values the message itself does not depend on.
const FREE: [Name; 7] = [
    Name::Subject,
    Name::Contact,
    Name::Route,
    Name::RecordRoute,
    Name::PAssertedIdentity,
    Name::PChargingVector,
    Name::Event,
];

/// Text as hostile as it gets: line ends, other controls, quotes, header-like pieces, letters of any kind.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\r\nEvil: 1".to_owned()),
        Just("\r\n\r\nINVITE".to_owned()),
        Just("\\\n".to_owned()),
        Just("\\\"".to_owned()),
        Just("\0".to_owned()),
        "[ -~]{0,12}",
        "\\PC{0,6}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// What a value becomes on the wire and in the reader: controls to spaces, trimmed.
fn on_the_wire(value: &str) -> String {
    let mut escaped = false;
    let kept = value.chars().map(|c| {
        let bad = (c < ' ' && c != '\t') || c == '\u{7f}';
        let keep = !bad || (escaped && c != '\r' && c != '\n');
        escaped = c == '\\' && !escaped;
        if keep { c } else { ' ' }
    });
    kept.collect::<String>()
        .trim_matches([' ', '\t'])
        .to_owned()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_no_line_more(
        values in proptest::collection::vec((0..FREE.len(), hostile()), 0..8),
        reason in hostile(),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        status in 100u16..700,
    ) {
        let mut writer = request(Method::SUBSCRIBE, "sip:bob@ims.test");
        writer.via(Transport::Udp, "192.0.2.9", "z9hG4bK1").number(Name::MaxForwards, 70);
        writer.header(Name::From, "<sip:a@x>;tag=1").header(Name::To, "<sip:b@x>");
        writer.header(Name::CallId, "c").cseq(1, Method::SUBSCRIBE);
        let mut singles = 0;
        for (index, value) in &values {
            match FREE[*index] {
                Name::Event if singles > 0 => &mut writer,
                name => {
                    singles += usize::from(name == Name::Event);
                    writer.header(name, value)
                }
            };
        }
        writer.body("text/plain", &body);
        let mut bytes = writer.finish().to_vec();
        let Incoming::Request(read) = parse(&mut bytes, Framing::Stream, &Limits::default()) else {
            panic!("the writer's own message is refused");
        };
        prop_assert_eq!(read.body, &body[..]);
        let mut skipped = 0;
        let mut expected: Vec<(Name, String)> = Vec::new();
        for (index, value) in &values {
            if FREE[*index] == Name::Event {
                skipped += 1;
                if skipped > 1 {
                    continue;
                }
            }
            expected.push((FREE[*index], on_the_wire(value)));
        }
        let fixed = [Name::Via, Name::MaxForwards, Name::From, Name::To, Name::CallId, Name::CSeq, Name::ContentType, Name::ContentLength];
        let got: Vec<(Name, String)> =
            read.headers.iter().filter(|l| !fixed.contains(&l.name)).map(|l| (l.name, l.value.to_owned())).collect();
        prop_assert_eq!(got, expected);

        let mut answer = response(&read, status, Some(&reason), Some("t"), flow().remote).record_routes(&read).finish().to_vec();
        let Incoming::Response(answer) = parse(&mut answer, Framing::Stream, &Limits::default()) else {
            panic!("the answer is refused");
        };
        prop_assert_eq!((answer.status, answer.headers.get(Name::CallId), answer.cseq), (status, Some(read.call_id), read.cseq));
        prop_assert!(answer.headers.lines(Name::RecordRoute).eq(read.headers.lines(Name::RecordRoute)));
        prop_assert_eq!(answer.headers.get(Name::From), Some(read.from.as_str()));
    }
}

/// Messages to mutate.
const SEEDS: [&[u8]; 4] = [
    include_bytes!("../../tests/data/sip/wsinv.dat"),
    include_bytes!("../../tests/data/sip/intmeth.dat"),
    include_bytes!("../../tests/data/sip/mpart01.dat"),
    include_bytes!("../../tests/data/sip/esc01.dat"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_arrives_reading_ends_and_what_is_answered_can_be_read(
        seed in 0..SEEDS.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5u8), 0..12),
        stream in any::<bool>(),
    ) {
        let mut bytes = SEEDS[seed].to_vec();
        for (at, octet, kind) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let notable = [b'\r', b'\n', b':', b';', b',', b'"', b'<', b'>', b'%', b' ', 0, 0xff];
            match kind {
                0 if at < bytes.len() => bytes[at] = octet,
                1 => bytes.insert(at, notable[usize::from(octet) % notable.len()]),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(bytes.len().saturating_sub(usize::from(octet))),
                _ => {
                    let tail = bytes.get(at..(at + usize::from(octet)).min(bytes.len())).unwrap_or_default().to_vec();
                    bytes.splice(at..at, tail);
                }
            }
        }
        let framing = if stream { Framing::Stream } else { Framing::Datagram };
        match parse(&mut bytes, framing, &Limits::default()) {
            Incoming::Request(read) => {
                let mut answer = response(&read, 200, None, Some("t"), flow().remote).finish().to_vec();
                let again = parse(&mut answer, Framing::Stream, &Limits::default());
                // The answer carries the Vias of everybody on the way, so it is ours only with a single one.
                let hops = read.headers.values(Name::Via).count();
                prop_assert!(matches!(again, Incoming::Response(_)) == (hops == 1), "{hops} {again:?}");
            }
            Incoming::Malformed(bad) => {
                prop_assert!(matches!(bad.status, 400 | 414 | 416 | 505 | 513));
                if let Some((_, answer)) = bad.answer(&flow()) {
                    let text = String::from_utf8_lossy(&answer).into_owned();
                    prop_assert!(text.starts_with("SIP/2.0 "), "{text}");
                    prop_assert!(text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
                    prop_assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])), "{text}");
                }
            }
            Incoming::Response(_) | Incoming::KeepAlive | Incoming::Ignored(_) => {}
        }
    }
}
