//! ROB-01: the 49 messages of RFC 4475, sent for real.
//!
//! They name hosts that do not exist, so the answer goes to the address they came from and the port their Via states
//! (RFC 3261 §18.2.2): the tests listen there. Why a message is answered as it is: `ims/tests/rfc4475.rs`.

use crate::harness::{Message, Request, SOON, Server, Tcp, Ua};
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Message and the status it is answered with over UDP; `None`: it is a response, or not answered.
const TABLE: [(&str, Option<u16>); 49] = [
    // 3.1.1 Valid messages
    ("wsinv", Some(405)),
    ("intmeth", Some(405)),
    ("esc01", Some(405)),
    ("escnull", Some(200)),
    ("esc02", Some(405)),
    ("lwsdisp", Some(200)),
    ("longreq", Some(405)),
    ("dblreq", Some(200)),
    ("semiuri", Some(200)),
    ("transports", Some(200)),
    ("mpart01", Some(405)),
    ("unreason", None),
    ("noreason", None),
    // 3.1.2 Invalid messages
    ("badinv01", Some(400)),
    ("clerr", Some(400)),
    ("ncl", Some(400)),
    ("scalar02", Some(400)),
    ("scalarlg", None),
    ("quotbal", Some(400)),
    ("ltgtruri", Some(400)),
    ("lwsruri", Some(400)),
    ("lwsstart", Some(400)),
    ("trws", Some(400)),
    ("escruri", Some(400)),
    ("baddate", Some(405)),
    ("regbadct", Some(400)),
    ("badaspec", Some(400)),
    ("baddn", Some(400)),
    ("badvers", Some(505)),
    ("mismatch01", Some(400)),
    ("mismatch02", Some(400)),
    ("bigcode", None),
    // 3.2 Transaction layer semantics
    ("badbranch", Some(200)),
    // 3.3 Application layer semantics
    ("insuf", Some(400)),
    ("unkscm", Some(416)),
    ("novelsc", Some(416)),
    ("unksm2", Some(400)),
    ("bext01", Some(420)),
    ("invut", Some(405)),
    ("regaut01", Some(200)),
    ("multi01", Some(400)),
    ("mcl01", Some(400)),
    ("bcast", None),
    ("zeromf", Some(200)),
    ("cparam01", Some(200)),
    ("cparam02", Some(200)),
    ("regescrt", Some(200)),
    ("sdp01", Some(405)),
    // 3.4 Backward compatibility
    ("inv2543", Some(405)),
];

const BOB: &str = "sip:bob@ims.test";
const DOMAINS: &str =
    "[sip]\nhome_domains = [\"ims.test\", \"example.com\", \"example.org\", \"example.net\"]";

/// The message. Many share one branch, which would make the later ones retransmissions; that of each is made its own.
fn message(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/sip/{name}.dat"));
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let shared = b"z9hG4bKkdjuw\r\n";
    match bytes
        .windows(shared.len())
        .position(|window| window == shared)
    {
        Some(at) => [
            &bytes[..at],
            b"z9hG4bK",
            name.as_bytes(),
            &bytes[at + shared.len() - 2..],
        ]
        .concat(),
        None => bytes,
    }
}

/// The next response on any of the sockets that is to a request with this Call-ID. Late ones to others are passed over:
/// a 405 to INVITE comes again until an ACK, which nobody sends here.
fn response(sockets: &[UdpSocket], call_id: &str, limit: Duration) -> Option<Message> {
    let end = Instant::now() + limit;
    let mut buffer = [0; 65_536];
    while Instant::now() < end {
        for socket in sockets {
            if let Ok((size, _)) = socket.recv_from(&mut buffer) {
                let message = Message::parse(&buffer[..size]);
                if message
                    .as_ref()
                    .is_some_and(|m| m.get("call-id") == call_id)
                {
                    return message;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// As it stands in the message, folded or not; empty when there is none.
fn call_id(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n ", " ");
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        (name.eq_ignore_ascii_case("call-id") || name.eq_ignore_ascii_case("i"))
            .then(|| value.trim().to_owned())
    });
    value.unwrap_or_default()
}

/// ROB-01 over UDP.
#[test]
fn the_messages_of_rfc_4475_are_answered_as_tabled() {
    let mut server = Server::start(DOMAINS);
    // An address of loopback for this process alone, so that well-known ports are free on it.
    let id = std::process::id();
    let own = format!("127.1.{}.{}", id / 250 % 250, 1 + id % 250);
    let sockets = [5060, 5061, 5050].map(|port| {
        let socket = UdpSocket::bind((own.as_str(), port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    });
    let mut wrong = Vec::new();
    for (name, status) in TABLE {
        sockets[0].send_to(&message(name), server.sip).unwrap();
        let limit = if status.is_some() {
            SOON / 5
        } else {
            Duration::from_millis(100)
        };
        let call_id = call_id(&message(name));
        let answer = response(&sockets, &call_id, limit);
        let got = answer.as_ref().and_then(Message::status);
        if got != status {
            wrong.push(format!("{name}: {got:?} instead of {status:?}: {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.healthy();
    server.stop();
}

/// ROB-01 over TCP: each has a connection of its own; what matters is that nobody else notices.
#[test]
fn the_messages_of_rfc_4475_over_tcp_disturb_nobody_else() {
    let mut server = Server::start(DOMAINS);
    let mut honest = Tcp::connect(server.sip);
    for (name, _) in TABLE {
        let mut tortured = Tcp::connect(server.sip);
        let _ = tortured.send(&message(name)); // the server may close before the end
        assert_eq!(
            honest.ask(&Request::new("OPTIONS", BOB)).status(),
            Some(200),
            "after {name}"
        );
    }
    server.healthy();
    let mut bob = Ua::new(server.sip);
    assert_eq!(bob.ask(&Request::new("OPTIONS", BOB)).status(), Some(200));
    server.stop();
}
