//! Who may watch, where it takes more than one SIP peer at a time to see it.

use crate::harness::{Request, Server, Ua, pidf, rules, run};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";

/// AUT-06: a document survives kill -9, and so does what it says.
#[test]
fn a_block_written_before_a_crash_still_blocks_after_it() {
    let mut server = Server::start("");
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let mut alice = Ua::new(server.sip);
    let (dialog, _) = alice.watch(&Request::subscribe(ALICE, BOB));
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "block")), 200);
    let ended = alice.notify(&dialog.call_id);
    assert!(
        ended.get("subscription-state").contains("reason=rejected"),
        "{ended:?}"
    );
    server.kill9();
    server.launch();
    assert_eq!(
        alice.ask(&Request::subscribe(ALICE, BOB)).status(),
        Some(403)
    );
    server.stop();
}

/// A new rule takes effect at once: the pause between NOTIFYs is for the presentity's state.
#[test]
fn a_rule_change_reaches_a_live_watcher_without_a_pause() {
    let server = Server::start("[subscription]\nnotify_interval_ms = 60000");
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let (mut alice, mut bob) = (Ua::new(server.sip), Ua::new(server.sip));
    let published = bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "secret")));
    assert_eq!(published.status(), Some(200));
    let (dialog, first) = alice.watch(&Request::subscribe(ALICE, BOB));
    assert!(first.body.contains("open"), "{}", first.body);
    for (handling, shown) in [("polite-block", "closed"), ("allow", "open")] {
        assert_eq!(server.put_rules(BOB, &rules(ALICE, handling)), 200);
        let told = alice.notify(&dialog.call_id);
        assert!(told.body.contains(shown), "{handling}: {}", told.body);
    }
    server.stop();
}

/// AUT-02: what a politely blocked watcher sees does not move when the presentity publishes.
#[test]
fn a_politely_blocked_watcher_learns_nothing_from_publications() {
    let server = Server::start("");
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "polite-block")), 201);
    let (mut alice, mut bob) = (Ua::new(server.sip), Ua::new(server.sip));
    let (mut dialog, before) = alice.watch(&Request::subscribe(ALICE, BOB));
    let etag = bob
        .ask(&Request::publish(BOB, &pidf(BOB, "open", "secret")))
        .get("sip-etag")
        .to_owned();
    assert_eq!(
        bob.ask(&Request::publish(BOB, "").with("SIP-If-Match", etag))
            .status(),
        Some(200)
    );
    assert_eq!(alice.request(Duration::from_millis(500)), None, "no NOTIFY");
    assert_eq!(alice.ask(&dialog.refresh(600)).status(), Some(200));
    let after = alice.notify(&dialog.call_id);
    assert_eq!(before.body, after.body, "the same document at a refresh");
    assert!(
        !after.body.contains("secret") && after.body.contains("closed"),
        "{}",
        after.body
    );
    server.stop();
}

/// Runs `presentia override` against the server: what it printed, and its exit status.
fn order(server: &Server, words: &[&str]) -> (String, Option<i32>) {
    let url = format!("http://{}", server.http);
    run(&[&["override"], words, &["--server", &url]].concat())
}

/// AUT-24: the operator's word stands above the presentity's, over a crash as well, and is found in the log.
#[test]
fn an_operators_override_beats_the_presentitys_allow_and_is_audited() {
    let mut server = Server::start("[log]\nlevel = \"error\"");
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let mut alice = Ua::new(server.sip);
    let (dialog, _) = alice.watch(&Request::subscribe(ALICE, BOB));
    let set = [
        "set",
        BOB,
        ALICE,
        "block",
        "--why",
        "ticket 4711",
        "--by",
        "anna",
    ];
    let (said, status) = order(&server, &set);
    assert_eq!(status, Some(0), "{said}");
    let ended = alice.notify(&dialog.call_id);
    assert!(
        ended.get("subscription-state").contains("reason=rejected"),
        "{ended:?}"
    );
    server.kill9();
    server.launch();
    let refused = alice.ask(&Request::subscribe(ALICE, BOB));
    assert_eq!(refused.status(), Some(403), "after a crash");
    let (listed, _) = order(&server, &["list"]);
    let expected = format!("{BOB}\t{ALICE}\tblock\tanna\t");
    assert!(
        listed.starts_with(&expected) && listed.ends_with("\tticket 4711\n"),
        "{listed}"
    );
    let remove = [
        "remove",
        BOB,
        ALICE,
        "--why",
        "ticket closed",
        "--by",
        "ben",
    ];
    assert_eq!(order(&server, &remove).1, Some(0));
    let (said, status) = order(&server, &remove);
    assert_eq!(status, Some(1), "{said}");
    alice.watch(&Request::subscribe(ALICE, BOB));
    let log = server.log();
    for (line, parts) in [
        ("override set", ["anna", "ticket 4711", ALICE, "block"]),
        ("override removed", ["ben", "ticket closed", ALICE, "block"]),
    ] {
        let found = log
            .lines()
            .filter(|l| l.contains("audit") && l.contains(line));
        let found: Vec<&str> = found.collect();
        assert_eq!(found.len(), 1, "{line} in\n{log}");
        assert!(
            parts.iter().all(|part| found[0].contains(part)),
            "{found:?}"
        );
    }
    server.stop();
}
