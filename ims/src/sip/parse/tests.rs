//! What is taken, what is refused and with which status, and what is dropped.

use super::*;

const REQUEST: &str = "PUBLISH sip:bob@ims.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:bob@ims.test>;tag=1\r\n\
    To: <sip:bob@ims.test>\r\n\
    Call-ID: a@b\r\n\
    CSeq: 1 PUBLISH\r\n\
    Event: presence\r\n\
    Content-Length: 4\r\n\
    \r\n\
    body";

/// Status of the refusal, 0 for an accepted request, 1 for an accepted response, 2 for silence.
fn verdict_of(bytes: &[u8], framing: Framing, limits: &Limits) -> u16 {
    match parse(&mut bytes.to_vec(), framing, limits) {
        Incoming::Request(_) => 0,
        Incoming::Response(_) => 1,
        Incoming::Malformed(bad) => bad.status,
        Incoming::KeepAlive | Incoming::Ignored(_) => 2,
    }
}

fn verdict(text: &str) -> u16 {
    verdict_of(text.as_bytes(), Framing::Datagram, &Limits::default())
}

#[test]
fn a_request_is_taken_apart() {
    let mut bytes = REQUEST.as_bytes().to_vec();
    let Incoming::Request(req) = parse(&mut bytes, Framing::Datagram, &Limits::default()) else {
        panic!("a request")
    };
    assert_eq!(
        (req.method, req.uri, req.body),
        (Method::PUBLISH, "sip:bob@ims.test", &b"body"[..])
    );
    assert_eq!(
        (req.call_id, req.cseq.number, req.max_forwards),
        ("a@b", 1, Some(70))
    );
    assert_eq!(
        (req.from.tag(), req.to.tag(), req.via.branch),
        (Some("1"), None, Some("z9hG4bKa"))
    );
    assert_eq!(req.headers.get(Name::Event), Some("presence"));
}

#[test]
fn each_rule_has_its_refusal() {
    for (case, from, to, want) in [
        ("as it is", "", "", 0),
        (
            "leading line ends mean nothing",
            "PUBLISH sip:",
            "\r\n\r\nPUBLISH sip:",
            0,
        ),
        ("compact names", "Call-ID:", "i:", 0),
        ("space before the colon", "Call-ID:", "CALL-id \t:", 0),
        ("a folded line", "Call-ID: a@b", "Call-ID:\r\n\t a@b", 0),
        (
            "folded over an empty line",
            "CSeq: 1 PUBLISH",
            "CSeq: 1\r\n \r\n PUBLISH",
            0,
        ),
        ("unknown method", "PUBLISH", "NOSUCH", 0),
        (
            "tel in the Request-URI",
            "sip:bob@ims.test SIP/2.0",
            "tel:+361 SIP/2.0",
            0,
        ),
        ("IPv6 in Via", "10.0.0.1:5060", "[2001:db8::1]:5060", 0),
        ("no Max-Forwards", "Max-Forwards: 70\r\n", "", 0),
        (
            "no Content-Length in a datagram",
            "Content-Length: 4\r\n",
            "",
            0,
        ),
        (
            "Content-Length shorter than the datagram",
            "Content-Length: 4",
            "Content-Length: 3",
            0,
        ),
        (
            "method in lower case is another method than the one in CSeq",
            "PUBLISH sip:",
            "publish sip:",
            400,
        ),
        (
            "Content-Length longer than the datagram",
            "Content-Length: 4",
            "Content-Length: 5",
            400,
        ),
        ("Content-Length twice", "Event: presence", "l: 4", 400),
        (
            "Content-Length no number",
            "Content-Length: 4",
            "Content-Length: four",
            400,
        ),
        (
            "Max-Forwards at its limit",
            "Max-Forwards: 70",
            "Max-Forwards: 255",
            0,
        ),
        (
            "Max-Forwards beyond it",
            "Max-Forwards: 70",
            "Max-Forwards: 256",
            400,
        ),
        ("CSeq at its limit", "CSeq: 1", "CSeq: 2147483647", 0),
        ("CSeq beyond it", "CSeq: 1", "CSeq: 2147483648", 400),
        (
            "CSeq of another method",
            "CSeq: 1 PUBLISH",
            "CSeq: 1 NOTIFY",
            400,
        ),
        ("no Call-ID", "Call-ID: a@b\r\n", "", 400),
        ("empty Call-ID", "Call-ID: a@b", "Call-ID:", 400),
        ("space in Call-ID", "Call-ID: a@b", "Call-ID: a b", 400),
        ("Call-ID twice", "Event: presence", "i: a@b", 400),
        ("no From", "From: <sip:bob@ims.test>;tag=1\r\n", "", 400),
        (
            "broken From",
            "From: <sip:bob@ims.test>",
            "From: <sip:bob@ims.test",
            400,
        ),
        ("tag without value", ";tag=1", ";tag", 400),
        ("empty tag", ";tag=1", ";tag=", 400),
        ("To twice", "Event: presence", "t: <sip:bob@ims.test>", 400),
        ("Event twice", "Max-Forwards: 70", "o: presence", 400),
        (
            "a line without colon",
            "Event: presence",
            "Event presence",
            400,
        ),
        (
            "a name that is no token",
            "Event: presence",
            "Ev ent: presence",
            400,
        ),
        (
            "a line feed alone",
            "Event: presence\r\n",
            "Event: presence\n",
            400,
        ),
        (
            "a carriage return alone",
            "presence\r\n",
            "pres\rence\r\n",
            400,
        ),
        ("a NUL", "Event: presence", "Event: pres\0ence", 400),
        (
            "an escaped NUL in a quoted string",
            "From: <",
            "From: \"\\\0\" <",
            0,
        ),
        ("an escaped line feed", "From: <", "From: \"\\\n\" <", 400),
        (
            "version 3",
            "SIP/2.0\r\nVia: SIP/2.0/",
            "SIP/3.0\r\nVia: SIP/3.0/",
            505,
        ),
        ("no such version", "test SIP/2.0", "test SIP/two", 400),
        (
            "unknown scheme",
            "sip:bob@ims.test SIP/2.0",
            "mailto:bob@ims.test SIP/2.0",
            416,
        ),
        ("no URI", "sip:bob@ims.test SIP/2.0", "bob SIP/2.0", 400),
        ("URI missing", "sip:bob@ims.test SIP/2.0", "SIP/2.0", 400),
        (
            "no Via",
            "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa\r\n",
            "",
            400,
        ),
        ("broken Via", "UDP 10.0.0.1", "UDP 10.0.0.1.1", 400),
        ("not SIP", "SIP/2.0\r\nVia", "HTTP/1.1\r\nVia", 2),
        ("no header part", REQUEST, "hello", 2),
        ("cut in the header part", "\r\n\r\nbody", "\r\n", 400),
        (
            "cut in a line",
            "\r\nContent-Length: 4\r\n\r\nbody",
            "",
            400,
        ),
    ] {
        assert!(REQUEST.contains(from), "{case}: the change applies");
        let text = if from.is_empty() {
            REQUEST.to_owned()
        } else {
            REQUEST.replacen(from, to, 1)
        };
        let text = if case == "unknown method" {
            text.replace("1 PUBLISH", "1 NOSUCH")
        } else {
            text
        };
        assert_eq!(verdict(&text), want, "{case}");
    }
}

#[test]
fn octets_that_are_not_utf8_are_refused_only_where_they_decide_something() {
    for (case, at, want) in [
        ("Subject", "Subject: ", 0),
        ("unknown", "X-Name: ", 0),
        ("From", "From: ", 400),
        ("Event", "o: ", 400),
    ] {
        let (head, tail) = REQUEST
            .split_once("Max-Forwards: 70\r\n")
            .unwrap_or_default();
        let bytes = [
            head.as_bytes(),
            at.as_bytes(),
            b"J\xf6rg\r\n",
            tail.as_bytes(),
        ]
        .concat();
        assert_eq!(
            verdict_of(&bytes, Framing::Datagram, &Limits::default()),
            want,
            "{case}"
        );
    }
}

#[test]
fn on_a_stream_the_length_must_be_told() {
    let without = REQUEST.replace("Content-Length: 4\r\n", "");
    assert_eq!(
        verdict_of(without.as_bytes(), Framing::Stream, &Limits::default()),
        400
    );
    assert_eq!(
        verdict_of(REQUEST.as_bytes(), Framing::Stream, &Limits::default()),
        0
    );
}

#[test]
fn each_limit_holds_at_its_edge() {
    let all = Limits::default();
    let lines = REQUEST
        .split("\r\n\r\n")
        .next()
        .unwrap_or("")
        .lines()
        .count()
        - 1;
    let longest = REQUEST.lines().map(str::len).max().unwrap_or(0);
    let two = REQUEST.replace("Event: presence", "v: SIP/2.0/UDP a, SIP/2.0/UDP b");
    for (case, text, limits, want) in [
        (
            "size",
            REQUEST,
            Limits {
                max_message: REQUEST.len(),
                ..all
            },
            0,
        ),
        (
            "size and one",
            REQUEST,
            Limits {
                max_message: REQUEST.len() - 1,
                ..all
            },
            513,
        ),
        (
            "lines",
            REQUEST,
            Limits {
                max_headers: lines,
                ..all
            },
            0,
        ),
        (
            "lines and one",
            REQUEST,
            Limits {
                max_headers: lines - 1,
                ..all
            },
            513,
        ),
        (
            "line",
            REQUEST,
            Limits {
                max_line: longest,
                ..all
            },
            0,
        ),
        (
            "line and one",
            REQUEST,
            Limits {
                max_line: longest - 1,
                ..all
            },
            513,
        ),
        (
            "start-line",
            REQUEST,
            Limits {
                max_line: 20,
                ..all
            },
            414,
        ),
        ("hops", &two, Limits { max_vias: 3, ..all }, 0),
        ("hops and one", &two, Limits { max_vias: 2, ..all }, 513),
        ("values", &two, Limits { max_list: 1, ..all }, 0),
        ("values and one", &two, Limits { max_list: 0, ..all }, 513),
    ] {
        assert_eq!(
            verdict_of(text.as_bytes(), Framing::Datagram, &limits),
            want,
            "{case}"
        );
    }
}

#[test]
fn responses_are_accepted_or_dropped_but_never_answered() {
    let response = REQUEST.replace("PUBLISH sip:bob@ims.test SIP/2.0", "SIP/2.0 200 OK");
    for (case, from, to, want) in [
        ("as it is", "200 OK", "200 OK", 1),
        ("no reason", "200 OK", "200", 1),
        ("status out of range", "200 OK", "700 Odd", 2),
        ("four digits", "200 OK", "2000 Odd", 2),
        ("two Vias", "z9hG4bKa", "z9hG4bKa, SIP/2.0/UDP 10.0.0.2", 2),
        ("no CSeq", "CSeq: 1 PUBLISH\r\n", "", 2),
        ("another version", "SIP/2.0 200", "SIP/3.0 200", 2),
    ] {
        assert_eq!(verdict(&response.replacen(from, to, 1)), want, "{case}");
    }
}

#[test]
fn keep_alives_and_noise() {
    for (case, bytes, keep_alive) in [
        ("double", &b"\r\n\r\n"[..], true),
        ("single", b"\r\n", true),
        ("nothing", b"", false),
        ("NULs", b"\0\0\0\0", false),
        ("STUN", b"\0\x01\0\0\x21\x12\xa4\x42", false),
        ("a line", b"hello\r\n", false),
    ] {
        let mut bytes = bytes.to_vec();
        let got = parse(&mut bytes, Framing::Datagram, &Limits::default());
        assert_eq!(
            matches!(got, Incoming::KeepAlive),
            keep_alive,
            "{case}: {got:?}"
        );
        assert_eq!(matches!(got, Incoming::Ignored(_)), !keep_alive, "{case}");
    }
}
