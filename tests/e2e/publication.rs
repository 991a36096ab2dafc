//! PUBLISH, where SIPp cannot look closely enough.

use crate::harness::{Message, Request, Server, Ua, pidf};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// PUB-19: over UDP a retransmission gets the same answer and changes nothing.
#[test]
fn a_retransmitted_publish_is_answered_from_memory_and_stored_once() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let text = bob.write(&Request::publish(BOB, &pidf(BOB, "open", "once")));
    let answers: Vec<Message> = (0..3)
        .map(|_| bob.ask_text(&text).expect("an answer"))
        .collect();
    assert_eq!(answers[0].status(), Some(200));
    assert_eq!(answers[0], answers[1], "the first retransmission");
    assert_eq!(answers[0], answers[2], "the second retransmission");
    let (_, seen) = bob.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(
        seen.body.matches("<note>once</note>").count(),
        1,
        "{}",
        seen.body
    );
    server.stop();
}

/// PUB-19: requests that arrive back to back are processed in the order of their arrival.
#[test]
fn publications_sent_back_to_back_take_effect_in_order() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let first = bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "0")));
    let mut etag = first.get("sip-etag").to_owned();
    let (watch, _) = bob.watch(&Request::subscribe(BOB, BOB));
    for round in 1..=20 {
        let changed = Request::publish(BOB, &pidf(BOB, "open", &round.to_string()))
            .with("SIP-If-Match", &etag);
        let answer = bob.ask(&changed);
        assert_eq!(answer.status(), Some(200), "round {round}");
        assert_ne!(answer.get("sip-etag"), etag, "a new entity-tag each time");
        etag = answer.get("sip-etag").to_owned();
    }
    let mut last = 0;
    while last < 20 {
        let notify = bob.notify(&watch.call_id);
        let shown = notify
            .body
            .split_once("<note>")
            .and_then(|(_, rest)| rest.split_once('<'));
        let shown: u32 = shown
            .and_then(|(n, _)| n.parse().ok())
            .unwrap_or_else(|| panic!("{}", notify.body));
        assert!(shown > last, "state {shown} after {last}");
        last = shown;
    }
    server.stop();
}

/// PUB-23: a body above the configured limit is refused and nothing is stored.
#[test]
fn a_body_above_the_limit_is_refused_with_413() {
    let server = Server::start("[publication]\nmax_body = 2000");
    let mut bob = Ua::new(server.sip);
    for (size, status) in [(1_500, 200), (2_500, 413)] {
        let note = "x".repeat(size - pidf(BOB, "open", "").len());
        let answer = bob.ask(&Request::publish(BOB, &pidf(BOB, "open", &note)));
        assert_eq!(answer.status(), Some(status), "{size} bytes");
    }
    server.stop();
}

/// PUB-25: an entity-tag lives through an orderly restart.
#[test]
fn an_entity_tag_survives_a_restart() {
    let mut server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let etag = bob
        .ask(&Request::publish(BOB, &pidf(BOB, "open", "kept")))
        .get("sip-etag")
        .to_owned();
    assert!(server.terminate().success());
    server.launch();
    let refreshed = bob.ask(&Request::publish(BOB, "").with("SIP-If-Match", &etag));
    assert_eq!(refreshed.status(), Some(200));
    let (_, seen) = bob.watch(&Request::subscribe(BOB, BOB));
    assert!(seen.body.contains("kept"), "{}", seen.body);
    server.stop();
}

/// PUB-16: what is not refreshed goes away, and a watcher is told.
#[test]
fn an_expired_publication_is_taken_out_of_the_document() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let brief = Request::publish(BOB, &pidf(BOB, "open", "brief"))
        .without("Expires")
        .with("Expires", 2);
    let etag = bob.ask(&brief).get("sip-etag").to_owned();
    let (watch, first) = bob.watch(&Request::subscribe(BOB, BOB));
    assert!(first.body.contains("brief"), "{}", first.body);
    let gone = bob.notify(&watch.call_id);
    assert!(!gone.body.contains("brief"), "{}", gone.body);
    assert_eq!(
        bob.ask(&Request::publish(BOB, "").with("SIP-If-Match", &etag))
            .status(),
        Some(412)
    );
    assert_eq!(bob.request(Duration::from_millis(300)), None, "told once");
    server.stop();
}
