//! What saves traffic: content codings, and partial documents put together by a watcher.

use crate::harness::{Message, Request, Server, Ua, pidf};
use ims::presence::partial::Copy;
use ims::presence::pidf::Limits;
use ims::sip::coding::Coding;
use ims::xml::patch;
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// Sends a PUBLISH whose body is not text.
fn publish(bob: &mut Ua, coding: &str, body: &[u8]) -> Message {
    let request = Request::publish(BOB, "")
        .with("Content-Type", "application/pidf+xml")
        .with("Content-Encoding", coding)
        .with("Content-Length", body.len());
    let mut bytes = bob.write(&request).into_bytes();
    bytes.extend_from_slice(body);
    bob.send(&bytes);
    bob.any_response(Duration::from_secs(5)).expect("an answer")
}

/// RFC 3261 §20.12, §20.2: a body comes in one coding and leaves in another; a bomb and an unknown coding do neither.
#[test]
fn a_body_comes_in_one_coding_and_leaves_in_another() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let note = "on holiday until the end of the month ".repeat(40);
    let document = pidf(BOB, "open", note.trim());
    for (coding, body, status) in [
        ("br", document.clone().into_bytes(), 415),
        ("gzip", Coding::Gzip.encode(&[b' '; 1 << 20]), 413),
        ("gzip", document.clone().into_bytes(), 400),
        ("deflate", Coding::Deflate.encode(document.as_bytes()), 200),
    ] {
        let answer = publish(&mut bob, coding, &body);
        assert_eq!(answer.status(), Some(status), "{coding}: {answer:?}");
        let taken = answer.get("accept-encoding").contains("gzip");
        assert_eq!(taken, status == 415, "{answer:?}");
    }
    // as bytes, which the harness takes for text
    let socket = bob.socket.try_clone().unwrap();
    let watch = Request::subscribe(BOB, BOB).with("Accept-Encoding", "gzip");
    let text = bob.write(&watch);
    bob.send(text.as_bytes());
    let mut buffer = [0; 65_536];
    let notify = loop {
        let (size, peer) = socket.recv_from(&mut buffer).expect("a NOTIFY in time");
        let message = Message::parse(&buffer[..size]).unwrap();
        if message.is_request("NOTIFY") {
            bob.socket
                .send_to(message.answer("200 OK").as_bytes(), peer)
                .unwrap();
            break buffer[..size].to_vec();
        }
    };
    assert!(notify.len() < 1_300, "small enough for a datagram now");
    let text = String::from_utf8_lossy(&notify);
    assert!(text.contains("Content-Encoding: gzip\r\n"), "{text}");
    let head = notify.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let body = Coding::Gzip.decode(&notify[head + 4..], 65_536).unwrap();
    assert!(String::from_utf8(body).unwrap().contains(note.trim()));
    server.stop();
}

/// SUB-17: over twenty changes and a kill -9, a watcher of partial documents has what a watcher of whole ones is sent.
#[test]
fn a_watcher_of_partial_documents_has_what_others_are_sent_whole() {
    let mut server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let document = |note: usize| {
        let tuple = |n: usize| {
            let note = if n == note % 8 { note } else { 0 };
            let (id, basic) = (n, ["open", "closed"][note % 2]);
            format!(
                "<tuple id=\"t{id}\"><status><basic>{basic}</basic></status><note>{note}</note></tuple>"
            )
        };
        let keeps = |n: &usize| *n == note % 8 || !(n + note).is_multiple_of(5);
        let tuples: String = (0..8).filter(keeps).map(tuple).collect();
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\">{tuples}</presence>"
        )
    };
    let mut etag = String::new();
    let mut says = |bob: &mut Ua, note: usize| {
        let mut request = Request::publish(BOB, &document(note));
        if !etag.is_empty() {
            request = request.with("SIP-If-Match", &etag);
        }
        let answer = bob.ask(&request);
        assert_eq!(answer.status(), Some(200));
        etag = answer.get("sip-etag").to_owned();
    };
    says(&mut bob, 0);
    let partial = Request::subscribe(BOB, BOB).without("Accept").with(
        "Accept",
        "application/pidf-diff+xml, application/pidf+xml;q=0.5",
    );
    let (watch, first) = bob.watch(&partial);
    let mut copy = Copy::default();
    let mut patches = 0;
    let mut take = |notify: &Message| {
        patches += usize::from(notify.body.contains("<p:pidf-diff"));
        copy.take(notify.body.as_bytes(), &Limits::default())
            .unwrap_or_else(|lost| panic!("{lost}: {}", notify.body));
        copy.document.clone().unwrap()
    };
    take(&first);
    for note in 1..=20 {
        if note == 10 {
            server.kill9();
            server.launch();
        }
        says(&mut bob, note);
        let rebuilt = loop {
            let rebuilt = take(&bob.notify(&watch.call_id));
            if rebuilt.contains(&format!("<note>{note}</note>")) {
                break rebuilt;
            }
        };
        let (_, fetched) = bob.watch(
            &Request::subscribe(BOB, BOB)
                .without("Expires")
                .with("Expires", 0),
        );
        assert!(
            patch::same(&rebuilt, &fetched.body),
            "{note}: {rebuilt}\nis not\n{}",
            fetched.body
        );
    }
    assert!(patches >= 10, "{patches}");
    server.stop();
}
