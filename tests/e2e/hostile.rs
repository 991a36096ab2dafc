//! Malformed, oversized, truncated and hostile input: the right error or silence, and a server that lives on.

use crate::harness::{Message, Request, SOON, Server, Tcp, Ua, eventually, http, pidf};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// What a hostile datagram earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Earns {
    Silence,
    Status(u16),
    /// One of the 4xx, or silence where the header that says where to answer is itself unreadable.
    RefusalOrSilence,
}

/// The text of a good request, to be spoilt.
fn good(ua: &mut Ua) -> String {
    let request = Request::publish(BOB, &pidf(BOB, "open", "hostile"));
    ua.write(&request)
}

fn spoilt(ua: &mut Ua) -> Vec<(&'static str, Vec<u8>, Earns)> {
    use Earns::*;
    let mut change = |from: &str, to: &str| {
        let text = good(ua);
        assert!(text.contains(from), "{from} is in the request");
        text.replacen(from, to, 1).into_bytes()
    };
    let header = |more: &str| format!("Event: presence\r\n{more}");
    vec![
        ("an empty datagram", Vec::new(), Silence),
        ("a keep-alive", b"\r\n\r\n".to_vec(), Silence),
        (
            "binary noise",
            (0..=255).cycle().take(2_000).collect(),
            Silence,
        ),
        (
            "the largest datagram of one letter",
            vec![b'A'; 65_507],
            Silence,
        ),
        (
            "a response to nothing",
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\n\r\n".to_vec(),
            Silence,
        ),
        ("no Via", change("Via:", "X-Via:"), RefusalOrSilence),
        ("no CSeq", change("CSeq:", "X-CSeq:"), Status(400)),
        ("no Call-ID", change("Call-ID:", "X-Call-ID:"), Status(400)),
        ("no From", change("From:", "X-From:"), Status(400)),
        (
            "CSeq of another method",
            change("1 PUBLISH\r\n", "1 SUBSCRIBE\r\n"),
            Status(400),
        ),
        (
            "CSeq beyond 2^31",
            change("CSeq: 1 ", "CSeq: 99999999999 "),
            Status(400),
        ),
        (
            "a negative length",
            change("Content-Length: ", "Content-Length: -"),
            Status(400),
        ),
        (
            "a length beyond the datagram",
            change("Content-Length: ", "Content-Length: 9"),
            Status(400),
        ),
        (
            "two lengths",
            change("Event: presence\r\n", &header("Content-Length: 0\r\n")),
            Status(400),
        ),
        (
            "a NUL in a header",
            change("Event: presence\r\n", &header("Subject: a\0b\r\n")),
            Status(400),
        ),
        (
            "SIP/3.0",
            change(" SIP/2.0\r\n", " SIP/3.0\r\n"),
            Status(505),
        ),
        (
            "an unknown scheme",
            change("PUBLISH sip:bob@ims.test", "PUBLISH gopher:bob"),
            Status(416),
        ),
        (
            "an extension nobody has",
            change("Event: presence\r\n", &header("Require: magic\r\n")),
            Status(420),
        ),
        (
            "a coding nobody has",
            change(
                "Event: presence\r\n",
                &header("Content-Encoding: rot13\r\n"),
            ),
            Status(415),
        ),
        (
            "an Expires that is no number",
            change("Expires: 600", "Expires: soon"),
            Status(400),
        ),
        (
            "five thousand headers",
            change("Event: presence\r\n", &header(&"X: y\r\n".repeat(5_000))),
            RefusalOrSilence,
        ),
        (
            "a header of 50,000 letters",
            change(
                "Event: presence\r\n",
                &header(&format!("X: {}\r\n", "z".repeat(50_000))),
            ),
            RefusalOrSilence,
        ),
        (
            "an identity with a line break in it",
            change(
                "P-Asserted-Identity: <sip:bob@ims.test>",
                "P-Asserted-Identity: <sip:bob\r@ims.test>",
            ),
            Status(400),
        ),
        (
            "a document with an entity bomb",
            change("<presence", "<!DOCTYPE p [<!ENTITY a \"aaaa\">]><presence"),
            RefusalOrSilence,
        ),
        (
            "a document cut off",
            change("</presence>", "          >"),
            Status(400),
        ),
    ]
}

#[test]
fn hostile_datagrams_get_the_right_error_or_silence() {
    let mut server = Server::start("");
    let mut ua = Ua::new(server.sip);
    for (case, bytes, earns) in spoilt(&mut ua) {
        while ua.any_response(Duration::from_millis(1)).is_some() {} // late answers to the case before
        ua.send(&bytes);
        let wait = if matches!(earns, Earns::Status(_)) {
            SOON
        } else {
            Duration::from_millis(200)
        };
        let status = ua.any_response(wait).and_then(|message| message.status());
        match earns {
            Earns::Silence => assert_eq!(status, None, "{case}"),
            Earns::Status(code) => assert_eq!(status, Some(code), "{case}"),
            Earns::RefusalOrSilence => assert!(
                matches!(status, None | Some(400..=699)),
                "{case}: {status:?}"
            ),
        }
    }
    server.healthy();
    let (_, seen) = ua.watch(&Request::subscribe(BOB, BOB));
    assert!(
        !seen.body.contains("hostile"),
        "no refused body was stored: {}",
        seen.body
    );
    server.stop();
}

/// A request outside any dialog for each method the server does not serve.
#[test]
fn methods_and_dialogs_that_do_not_exist_are_refused() {
    let mut server = Server::start("");
    for (method, status) in [
        ("INVITE", Some(405)),
        ("MESSAGE", Some(405)),
        ("INFO", Some(405)),
        ("BREW", Some(405)),
        ("BYE", Some(405)),
        ("NOTIFY", Some(481)),
        ("CANCEL", Some(481)),
        ("OPTIONS", Some(200)),
        ("ACK", None),
    ] {
        let mut ua = Ua::new(server.sip);
        let text = ua.write(
            &Request::new(method, BOB)
                .with("P-Asserted-Identity", format!("<{BOB}>"))
                .with("Event", "presence"),
        );
        ua.send(text.as_bytes());
        let wait = if status.is_some() {
            SOON
        } else {
            Duration::from_millis(200)
        };
        let answer = ua.any_response(wait);
        assert_eq!(
            answer.as_ref().and_then(Message::status),
            status,
            "{method}"
        );
        if let (Some(405), Some(answer)) = (status, &answer) {
            assert!(
                answer.get("allow").contains("PUBLISH")
                    && answer.get("allow").contains("SUBSCRIBE"),
                "{answer:?}"
            );
        }
    }
    let options = Ua::new(server.sip).ask(&Request::new("OPTIONS", "sip:ims.test"));
    assert!(options.get("allow").contains("PUBLISH"), "{options:?}");
    assert!(
        options.get("allow-events").contains("presence"),
        "{options:?}"
    );
    assert!(
        options.get("accept").contains("application/pidf+xml"),
        "{options:?}"
    );
    server.healthy();
    server.stop();
}

#[test]
fn hostile_streams_harm_nobody_else() {
    let mut server = Server::start("");
    let mut honest = Tcp::connect(server.sip);
    let publish = |note: &str| Request::publish(BOB, &pidf(BOB, "open", note));
    assert_eq!(honest.ask(&publish("first")).status(), Some(200));

    let huge = "PUBLISH sip:bob@ims.test SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKh\r\nContent-Length: 99999999999\r\n\r\n";
    for (case, bytes) in [
        ("binary noise", vec![0xff_u8; 100_000]),
        ("a head without an end", format!("PUBLISH {BOB} SIP/2.0\r\n{}", "X: y\r\n".repeat(20_000)).into_bytes()),
        ("a body of 100 GB announced", huge.as_bytes().to_vec()),
        ("no length at all", b"PUBLISH sip:bob@ims.test SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKh\r\n\r\nxx\0yy\r\n\r\n".to_vec()),
    ] {
        let mut hostile = Tcp::connect(server.sip);
        let _ = hostile.send(&bytes); // the server may close before all of it has left
        assert!(hostile.closed(SOON), "the connection is closed after {case}");
    }
    let half = honest.write(&publish("never"));
    let mut cut = Tcp::connect(server.sip);
    cut.send(&half.as_bytes()[..half.len() / 2]).unwrap();
    drop(cut);

    assert_eq!(honest.ask(&publish("second")).status(), Some(200));
    server.healthy();
    server.stop();
}

/// Many connections that send nothing keep no one out for ever, and are closed when the table is full.
#[test]
fn idle_connections_are_bounded() {
    let mut server = Server::start("[sip]\nmax_connections = 20");
    let idle: Vec<TcpStream> = (0..60)
        .filter_map(|_| TcpStream::connect(server.sip).ok())
        .collect();
    let mut bob = Ua::new(server.sip);
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "udp goes on")))
            .status(),
        Some(200)
    );
    drop(idle);
    let again = crate::harness::eventually(SOON, || {
        let mut tcp = Tcp::connect(server.sip);
        let text = tcp.write(&Request::new("OPTIONS", "sip:ims.test"));
        tcp.send(text.as_bytes()).ok()?;
        tcp.receive(Duration::from_millis(500))
    });
    assert_eq!(
        again.and_then(|message| message.status()),
        Some(200),
        "there is room again"
    );
    server.healthy();
    server.stop();
}

#[test]
fn hostile_http_is_refused() {
    let limits = "[http]\nmax_connections = 8\nhead_timeout_s = 1\nbody_timeout_s = 1\ntrusted_proxies = [\"127.0.0.1\"]";
    let mut server = Server::start(limits);
    let long = format!("/xcap-root/pres-rules/users/{}/index", "x".repeat(10_000));
    for (case, method, path) in [
        ("a path of 10,000 letters", "GET", long.as_str()),
        (
            "an escape that is none",
            "GET",
            "/xcap-root/pres-rules/users/%zz/index",
        ),
        (
            "a NUL in the path",
            "GET",
            "/xcap-root/pres-rules/users/%00/index",
        ),
        ("dots", "GET", "/xcap-root/../../etc/passwd"),
        (
            "a method of nobody",
            "BREW",
            "/xcap-root/pres-rules/users/sip:bob@ims.test/index",
        ),
        ("nothing of ours", "GET", "/admin"),
    ] {
        let status = http(
            server.http,
            method,
            path,
            &[("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\"")],
            "",
        )
        .status;
        assert!((400..500).contains(&status), "{case}: {status}");
    }
    // A stranger fills all places for strangers and says no more: others get through, and his connections are closed.
    let stranger = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let own: SocketAddr = "127.0.0.2:0".parse().unwrap();
        socket.bind(&own.into()).unwrap();
        socket.connect(&server.http.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        let _ = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: "); // the ninth is closed at once
        Tcp::over(stream)
    };
    let slow: Vec<Tcp> = (0..12).map(|_| stranger()).collect();
    server.healthy();
    for mut connection in slow {
        assert!(
            connection.closed(SOON),
            "a head that never ends is not waited for"
        );
    }
    server.stop();
}

/// A flood of requests from everywhere leaves memory bounded.
#[test]
fn a_flood_of_spoilt_requests_leaves_memory_bounded() {
    let mut server = Server::start("");
    let before = server.resident_kib();
    let mut ua = Ua::new(server.sip);
    for round in 0..200 {
        for (_, bytes, _) in spoilt(&mut ua) {
            ua.send(&bytes);
        }
        if round % 10 == 0 {
            ua.pump(Duration::from_millis(5));
        }
    }
    server.healthy();
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 200 * 1024, "{grown} KiB more than at the start");
    server.stop();
}

/// What is refused or ignored is counted under its own reason, so that an operator sees which it is.
#[test]
fn what_is_refused_is_counted_under_its_reason() {
    let server = Server::start("[trust]\npeers = ['127.0.0.1']");
    let counted = |name: &str| {
        let value = server.metric(name);
        value.unwrap_or_else(|| panic!("no {name}"))
    };
    let reason = |reason| format!("presentia_rejected_inputs_total{{reason=\"{reason}\"}}");
    let request = Request::publish(BOB, &pidf(BOB, "open", "whose?"));

    let mut stranger = Ua::at("127.0.0.2", server.sip);
    assert_eq!(stranger.ask(&request).status(), Some(403));
    assert!(counted(&reason("untrusted")) >= 1); // a copy is answered from memory

    let mut bob = Ua::new(server.sip);
    bob.send(b"\r\n\r\n");
    bob.send(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nFrom: <sip:a@x>;tag=1\r\n\
          To: <sip:b@x>;tag=2\r\nCall-ID: x\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n",
    );
    let stray = eventually(SOON, || (counted(&reason("stray")) == 1).then_some(()));
    assert!(stray.is_some(), "a response to nothing");
    assert_eq!(counted(&reason("malformed")), 0, "a keep-alive is none");

    bob.answer = Some("481 Call/Transaction Does Not Exist");
    bob.watch(&Request::subscribe(BOB, BOB));
    let gone = "presentia_notifies_total{outcome=\"gone\"}";
    let gone = eventually(SOON, || (counted(gone) == 1).then_some(()));
    assert!(gone.is_some(), "the watcher is gone");
    server.stop();
}
