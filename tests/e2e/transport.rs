//! SIP over a stream: framing, reuse, keep-alive.

use crate::harness::{Request, SOON, Server, Tcp, Ua, pidf};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

#[test]
fn a_request_that_arrives_byte_by_byte_is_understood() {
    let server = Server::start("");
    let mut tcp = Tcp::connect(server.sip);
    let text = tcp.write(&Request::publish(BOB, &pidf(BOB, "open", "slowly")));
    for byte in text.as_bytes() {
        tcp.send(&[*byte]).unwrap();
    }
    assert_eq!(tcp.receive(SOON).and_then(|m| m.status()), Some(200));
    server.stop();
}

#[test]
fn requests_in_one_segment_are_answered_each_in_order() {
    let server = Server::start("");
    let mut tcp = Tcp::connect(server.sip);
    let all: String = (0..10)
        .map(|n| {
            tcp.write(&Request::publish(
                &format!("sip:u{n}@ims.test"),
                &pidf(&format!("sip:u{n}@ims.test"), "open", "x"),
            ))
        })
        .collect();
    tcp.send(format!("\r\n\r\n{all}").as_bytes()).unwrap();
    for n in 0..10 {
        let answer = tcp.receive(SOON).unwrap_or_else(|| panic!("answer {n}"));
        assert_eq!(
            (
                answer.status(),
                answer.get("to").contains(&format!("u{n}@"))
            ),
            (Some(200), true),
            "{answer:?}"
        );
    }
    server.stop();
}

/// RFC 5626 §4.4.1: a double CRLF is answered by a single one.
#[test]
fn a_keep_alive_ping_gets_its_pong() {
    use std::io::{Read, Write};
    let server = Server::start("");
    let mut stream = std::net::TcpStream::connect(server.sip).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
    server.stop();
}

/// RFC 3261 §18.2.2: the answer goes back over the connection of the request, and a NOTIFY uses it where it can.
#[test]
fn a_watcher_over_tcp_is_notified_over_tcp() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "by tcp")))
            .status(),
        Some(200)
    );
    let mut watcher = Tcp::connect(server.sip);
    let text = watcher.write(&Request::subscribe(BOB, BOB));
    watcher.send(text.as_bytes()).unwrap();
    let (mut answered, mut told) = (false, false);
    while !(answered && told) {
        let message = watcher
            .receive(SOON)
            .expect("the 200 and the NOTIFY on this connection");
        match message.status() {
            Some(status) => answered = status == 200,
            None => {
                told = message.body.contains("by tcp");
                watcher.send(message.answer("200 OK").as_bytes()).unwrap();
            }
        }
    }
    assert!(
        !watcher.closed(Duration::from_millis(200)),
        "the connection stays open"
    );
    server.stop();
}
