//! What RFC 3261 §8.2 asks of every server, whatever it serves.

use crate::harness::{Request, Server, Ua, pidf};

const BOB: &str = "sip:bob@ims.test";

/// RFC 3261 §8.2.2.2: the same request by another path is not served twice.
#[test]
fn a_request_that_comes_by_two_paths_is_served_once_and_refused_with_482() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let publish = Request::publish(BOB, &pidf(BOB, "open", "once"))
        .with("Call-ID", "forked")
        .with("From", format!("<{BOB}>;tag=one"));
    let answers: Vec<_> = (0..2).map(|_| bob.ask(&publish).status()).collect();
    assert_eq!(answers, [Some(200), Some(482)], "two branches, one request");
    let next = publish.clone().with("CSeq", "2 PUBLISH");
    assert_eq!(bob.ask(&next).status(), Some(200), "the next of its sender");
    let (_, seen) = bob.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(seen.body.matches(">once<").count(), 2, "{}", seen.body);
    server.stop();
}

/// RFC 3261 §8.2.3, RFC 4660 §5.2: a watcher is told which bodies are taken, and of a filter that is none.
#[test]
fn a_subscribe_with_a_body_is_refused_with_415_unless_the_body_is_optional() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let empty = Request::subscribe(BOB, BOB).body("application/simple-filter+xml", "<f/>");
    assert_eq!(bob.ask(&empty).status(), Some(488), "not a filter set");
    let strange = Request::subscribe(BOB, BOB).body("application/sdp", "v=0");
    let refused = bob.ask(&strange);
    assert_eq!(refused.status(), Some(415));
    assert_eq!(refused.get("accept"), "application/simple-filter+xml");
    let optional = strange.with("Content-Disposition", "filter; handling = Optional");
    assert_eq!(bob.ask(&optional).status(), Some(200));
    server.stop();
}

/// A presentity at its limit is no reason for an S-CSCF to turn away from the server, as 503 would make it.
#[test]
fn one_publication_too_many_is_refused_with_403() {
    let server = Server::start("[publication]\nmax_per_presentity = 1");
    let mut bob = Ua::new(server.sip);
    let publish = Request::publish(BOB, &pidf(BOB, "open", "one of many"));
    let answers: Vec<_> = (0..2).map(|_| bob.ask(&publish).status()).collect();
    assert_eq!(answers, [Some(200), Some(403)]);
    server.stop();
}
