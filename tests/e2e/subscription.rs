//! SUBSCRIBE and NOTIFY, where SIPp cannot look closely enough.

use crate::harness::{Request, SOON, Server, Tcp, Ua, eventually, pidf};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const BOB: &str = "sip:bob@ims.test";

/// SUB-25: a NOTIFY above 1,300 bytes leaves over TCP (RFC 3261 §18.1.1), to the host and port of the watcher's Contact.
#[test]
fn a_large_state_is_notified_over_tcp() {
    let server = Server::start("");
    // a port that the system gave for UDP may be in use for TCP
    let (mut bob, listener) = std::iter::repeat_with(|| Ua::new(server.sip))
        .find_map(|ua| {
            let listener = TcpListener::bind(ua.socket.local_addr().unwrap());
            Some((ua, listener.ok()?))
        })
        .expect("a port for both");
    listener.set_nonblocking(true).unwrap();
    let note = "large ".repeat(400);
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", &note)))
            .status(),
        Some(200)
    );
    assert_eq!(bob.ask(&Request::subscribe(BOB, BOB)).status(), Some(200));

    let (stream, _) =
        eventually(SOON, || listener.accept().ok()).expect("the server connects over TCP");
    stream.set_nonblocking(false).unwrap();
    let mut tcp = Tcp::over(stream);
    let notify = tcp.receive(SOON).expect("a NOTIFY over TCP");
    assert!(
        notify.is_request("NOTIFY") && notify.get("via").starts_with("SIP/2.0/TCP"),
        "{notify:?}"
    );
    assert!(notify.body.contains(note.trim()), "the whole document");
    tcp.send(notify.answer("200 OK").as_bytes()).unwrap();
    assert_eq!(
        bob.request(Duration::from_millis(300)),
        None,
        "nothing over UDP"
    );
    server.stop();
}

/// RFC 3261 §18.1.1: where nobody listens on TCP, UDP is tried after all.
#[test]
fn a_large_state_falls_back_to_udp_where_tcp_is_refused() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let note = "large ".repeat(400);
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", &note)))
            .status(),
        Some(200)
    );
    let (_, notify) = bob.watch(&Request::subscribe(BOB, BOB));
    assert!(notify.body.contains(note.trim()), "the whole document");
    server.stop();
}

/// SUB-12: a watcher that never answers is given up after 64·T1 (Timer F); here T1 is 20 ms.
#[test]
fn a_silent_watcher_is_given_up_after_timer_f() {
    let server = Server::start("[sip]\nt1_ms = 20\nt2_ms = 100");
    let mut bob = Ua::new(server.sip);
    let mut silent = Ua::new(server.sip);
    silent.answer = None;
    let (mut dialog, _) = silent.watch(&Request::subscribe(BOB, BOB));
    let given_up = eventually(SOON, || {
        let answer = bob.ask(&dialog.refresh(600));
        (answer.status() == Some(481)).then_some(())
    });
    assert!(given_up.is_some(), "the dialog is gone");
    server.stop();
}

/// SUB-13: changes within the configured interval are sent together, and the last one always arrives.
#[test]
fn a_burst_of_changes_is_paced_and_its_last_state_arrives() {
    let server = Server::start("[subscription]\nnotify_interval_ms = 1000");
    let mut bob = Ua::new(server.sip);
    let mut etag = bob
        .ask(&Request::publish(BOB, &pidf(BOB, "open", "n0")))
        .get("sip-etag")
        .to_owned();
    let (watch, _) = bob.watch(&Request::subscribe(BOB, BOB));
    let started = Instant::now();
    for round in 1..=10 {
        let changed = Request::publish(BOB, &pidf(BOB, "open", &format!("n{round}")))
            .with("SIP-If-Match", &etag);
        etag = bob.ask(&changed).get("sip-etag").to_owned();
    }
    let mut notifies = 0;
    while !{
        notifies += 1;
        bob.notify(&watch.call_id).body.contains("<note>n10</note>")
    } {}
    let seconds = started.elapsed().as_secs();
    assert!(notifies <= 2 + seconds, "{notifies} NOTIFYs in {seconds} s");
    server.stop();
}

/// RFC 6665 §4.2.2 and §4.4.1: each NOTIFY of a dialog has a higher CSeq, and none overtakes an unanswered one.
#[test]
fn one_notify_at_a_time_in_rising_order() {
    let server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let mut etag = bob
        .ask(&Request::publish(BOB, &pidf(BOB, "open", "n0")))
        .get("sip-etag")
        .to_owned();
    let (watch, first) = bob.watch(&Request::subscribe(BOB, BOB));
    let mut last = first.cseq();
    for round in 1..=5 {
        let changed = Request::publish(BOB, &pidf(BOB, "open", &format!("n{round}")))
            .with("SIP-If-Match", &etag);
        etag = bob.ask(&changed).get("sip-etag").to_owned();
        let next = bob.notify(&watch.call_id);
        assert!(next.cseq() > last, "{} after {last}", next.cseq());
        last = next.cseq();
    }
    server.stop();
}

/// SUB-26: at SIGTERM each watcher is told terminated;reason=deactivated (RFC 6665 §4.1.3), and another node takes it.
#[test]
fn a_server_that_leaves_sends_its_watchers_to_another() {
    let settings = "[shutdown]\nsubscriptions = \"move\"\ndrain_s = 4";
    let (mut leaving, other) = (Server::start(settings), Server::start(""));
    let mut bob = Ua::new(leaving.sip);
    let (watch, _) = bob.watch(&Request::subscribe(BOB, BOB));
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| leaving.terminate());
        let last = bob.notify(&watch.call_id);
        assert_eq!(
            last.get("subscription-state"),
            "terminated;reason=deactivated"
        );
        assert!(ended.join().unwrap().success());
    });
    let mut bob = Ua::new(other.sip);
    let (_, notify) = bob.watch(&Request::subscribe(BOB, BOB));
    assert!(notify.get("subscription-state").starts_with("active"));
    other.stop();
}
