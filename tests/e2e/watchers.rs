//! Watcher information over the sockets, and over kill -9.

use crate::harness::{Message, Request, Server, Ua, rules};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";

fn observe(expires: u32) -> Request {
    Request::subscribe(BOB, BOB)
        .without("Event")
        .without("Accept")
        .without("Expires")
        .with("Event", "presence.winfo")
        .with("Expires", expires)
}

/// Version, and status, event and id of the only watcher.
fn only(notify: &Message) -> (u64, String, String, String) {
    let (_, document) = notify.body.split_once("<watcherinfo").expect("a document");
    let value = |name: &str| {
        let rest = document.split_once(&format!(" {name}=\"")).map(|(_, r)| r);
        let value = rest.and_then(|r| r.split_once('"')).map(|(v, _)| v);
        value
            .unwrap_or_else(|| panic!("no {name}: {}", notify.body))
            .to_owned()
    };
    assert_eq!(
        notify.body.matches("<watcher ").count(),
        1,
        "{}",
        notify.body
    );
    (
        value("version").parse().unwrap(),
        value("status"),
        value("event"),
        value("id"),
    )
}

/// WIN-01, WIN-03: who asked to watch is not forgotten in a crash, and versions go on.
#[test]
fn who_waits_for_a_decision_is_remembered_over_kill_9() {
    let mut server = Server::start("[subscription]\nnotify_interval_ms = 0");
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "confirm")), 201);
    let (mut alice, mut bob) = (Ua::new(server.sip), Ua::new(server.sip));
    let fetch = Request::subscribe(ALICE, BOB)
        .without("Expires")
        .with("Expires", 0);
    let (_, last) = alice.watch(&fetch);
    assert!(last.get("subscription-state").contains("reason=timeout"));
    let (mut dialog, first) = bob.watch(&observe(600));
    let (version, status, event, id) = only(&first);
    assert_eq!((version, &*status, &*event), (0, "waiting", "timeout"));
    server.kill9();
    server.launch();
    let refresh = dialog
        .refresh(600)
        .without("Event")
        .without("Accept")
        .with("Event", "presence.winfo");
    assert_eq!(bob.ask(&refresh).status(), Some(200));
    let again = loop {
        // what was owed at the crash may come first
        let told = bob.notify(&dialog.call_id);
        if told.body.contains("<watcher ") {
            break told;
        }
    };
    let (later, status, event, same) = only(&again);
    assert_eq!(
        (&*status, &*event, same),
        ("waiting", "timeout", id.clone())
    );
    assert!(later > version);
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 200);
    let decided = loop {
        let told = bob.notify(&dialog.call_id);
        if told.body.contains("\"terminated\"") {
            break told;
        }
    };
    let (last, status, event, same) = only(&decided);
    assert_eq!((&*status, &*event, same), ("terminated", "approved", id));
    assert!(last > later);
    alice.pump(Duration::from_millis(200)); // she is told the end again, and the server waits for her answer
    server.stop();
}
