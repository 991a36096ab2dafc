//! The clients as a user runs them: processes with options, exit codes and something to read.

mod elsewhere;

use crate::harness::{
    Client, Message, SOON, Server, eventually, free_port, peers, rules, run, said, signal,
};
use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";

pub fn root(server: &Server) -> String {
    format!("http://{}/xcap-root", server.http)
}

fn allow_alice(xcap: &str) {
    let (text, code) = run(&["policy", "accept", ALICE, "--as", BOB, "--root", xcap]);
    assert_eq!(code, Some(0), "{text}");
}

/// The state that was printed last does not hold the note of the tests.
fn without_note(out: &str) -> bool {
    let last = out.rsplit("sip:bob@ims.test active").next();
    last.is_some_and(|last| !last.contains("in the lab"))
}

/// The source publishes, the watcher sees it; Ctrl-C takes it away, and the watcher sees that.
#[test]
fn what_is_published_is_seen_and_what_is_removed_is_no_longer() {
    let server = Server::start("");
    let sip = server.sip.to_string();
    allow_alice(&root(&server));
    for transport in ["udp", "tcp"] {
        let way = ["--server", &sip, "--transport", transport];
        let watcher = Client::start(&[&["watch", BOB, "--as", ALICE][..], &way].concat());
        watcher.says("active");
        let state = ["--note", "in the lab", "--activity", "meeting"];
        let source = Client::start(&[&["publish", BOB][..], &state, &way].concat());
        source.says("published sip:bob@ims.test: entity-tag");
        watcher.says("note: in the lab");
        watcher.says(": meeting");
        let (status, text) = source.interrupt();
        assert!(
            status.success() && text.contains("removed sip:bob@ims.test"),
            "{transport}: {status} {text}"
        );
        watcher.says_so("a state without the note", without_note);
        let (status, text) = watcher.interrupt();
        assert!(
            status.success() && text.contains("subscription over"),
            "{transport}: {status} {text}"
        );
    }
    server.stop();
}

/// A document above 1300 bytes goes over TCP of its own accord (RFC 3261 §18.1.1), and comes back the same way.
#[test]
fn a_long_document_arrives() {
    let server = Server::start("");
    let sip = server.sip.to_string();
    let note = "long ".repeat(1000);
    let (text, code) = run(&["publish", BOB, "--once", "--note", &note, "--server", &sip]);
    assert_eq!(code, Some(0), "{text}");
    let (text, code) = run(&["watch", BOB, "--once", "--server", &sip]);
    assert!(
        text.contains(note.trim()) && code == Some(0),
        "{code:?} {text}"
    );
    server.stop();
}

#[test]
fn a_fetch_gives_a_script_one_object_that_steers_no_terminal() {
    let server = Server::start("");
    let sip = server.sip.to_string();
    let document = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &document,
        crate::harness::pidf(BOB, "closed", "away &#x9b;2J"),
    )
    .unwrap();
    let file = document.path().to_str().unwrap();
    let (text, code) = run(&["publish", BOB, "--once", "--pidf", file, "--server", &sip]);
    assert_eq!(code, Some(0), "{text}");
    let (line, code) = run(&["watch", BOB, "--once", "--json", "--server", &sip]);
    assert_eq!((line.lines().count(), code), (1, Some(0)), "{line}");
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["presentity"], BOB);
    assert_eq!(object["presence"]["services"][0]["basic"], "closed");
    assert_eq!(
        object["presence"]["services"][0]["notes"][0],
        "away \u{fffd}2J"
    );
    server.stop();
}

/// What the refusal tells to do is what helps.
#[test]
fn a_presentity_sees_in_plain_words_who_watches_and_who_waits() {
    let server = Server::start("[subscription]\nnotify_interval_ms = 0");
    let sip = server.sip.to_string();
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "confirm")), 201);
    let winfo = ["watch", BOB, "--event", "presence.winfo", "--server", &sip];
    let observer = Client::start(&winfo);
    observer.says("nobody watches");
    let watcher = Client::start(&["watch", BOB, "--as", ALICE, "--server", &sip]);
    observer.says(&format!("{ALICE} asks to watch: not yet decided"));
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 200);
    observer.says(&format!("{ALICE} watches: was allowed"));
    let json = run(&[&winfo[..], &["--once", "--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&json.0).unwrap();
    let watchers = &told["watchers"];
    assert_eq!((&watchers["full"], json.1), (&true.into(), Some(0)));
    assert_eq!(watchers["watchers"][0]["status"], "active");
    assert!(watcher.interrupt().0.success());
    observer.says(&format!("{ALICE} watches no more"));
    assert!(observer.interrupt().0.success());
    server.stop();
}

#[test]
fn a_refused_watcher_is_told_the_command_that_lets_him_in() {
    let server = Server::start("");
    let (sip, xcap) = (server.sip.to_string(), root(&server));
    for once in [&["--once"][..], &[]] {
        let (text, code) =
            run(&[&["watch", BOB, "--as", ALICE, "--server", &sip][..], once].concat());
        assert!(text.contains("403") && code == Some(1), "{code:?} {text}");
        assert!(
            text.contains(&format!("presentia policy accept {ALICE} --as {BOB}")),
            "{text}"
        );
    }
    let mut own = Client::start(&["watch", BOB, "--server", &sip]);
    own.says("active");
    allow_alice(&xcap);
    let (text, code) = run(&["watch", BOB, "--as", ALICE, "--once", "--server", &sip]);
    assert!(
        text.contains("closed") && code == Some(0),
        "{code:?} {text}"
    );
    assert!(own.is_running(), "bob still watches himself");
    server.stop();
}

#[test]
fn a_watcher_who_is_shut_out_ends_with_the_reason() {
    let server = Server::start("");
    let (sip, xcap) = (server.sip.to_string(), root(&server));
    allow_alice(&xcap);
    let mut watcher = Client::start(&["watch", BOB, "--as", ALICE, "--server", &sip]);
    watcher.says("active");
    assert_eq!(run(&["xcap", "delete", RULES, "--root", &xcap]).1, Some(0));
    let (status, text) = watcher.ends();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(
        text.contains("terminated (rejected)") && text.contains("presentia policy accept"),
        "{text}"
    );
    server.stop();
}

#[test]
fn lifetimes_are_kept_up_and_a_forgetful_server_is_told_again() {
    let mut server = Server::start("");
    let sip = server.sip.to_string();
    // one second is less than the server grants: 423 makes it two
    let brief = ["--expires", "1", "--server", &sip];
    let source = Client::start(&[&["publish", BOB, "--note", "in the lab"][..], &brief].concat());
    source.says("for 2 s");
    let watcher = Client::start(&[&["watch", BOB][..], &brief].concat());
    watcher.says("in the lab");
    source.says_so("refreshed three times", |out| {
        out.matches("refreshed").count() >= 3
    });
    watcher.says_so("a NOTIFY for each refresh", |out| {
        out.matches(" active").count() >= 3
    });
    server.kill9();
    fs::remove_dir_all(server.data()).unwrap();
    let known = watcher.out().len();
    server.launch();
    source.says("published anew");
    let seen_again = |out: &str| {
        out.get(known..)
            .is_some_and(|new| new.contains("in the lab"))
    };
    watcher.says_so("the state, in a new subscription", seen_again);
    assert!(watcher.interrupt().0.success());
    assert!(source.interrupt().0.success());
    server.stop();
}

#[test]
fn documents_are_put_read_and_removed() {
    let server = Server::start("");
    let xcap = root(&server);
    let rules = crate::harness::rules(ALICE, "allow");
    let act = |options: &[&str], input: &str| {
        let said = said(&[&["xcap", "--root", &xcap][..], options].concat(), input);
        (said.code, said.out, said.err)
    };
    let (code, _, err) = act(&["get", RULES], "");
    assert!(code == Some(1) && err.contains("404"), "{err}");
    let (code, _, err) = act(&["put", RULES], &rules);
    assert_eq!(code, Some(0), "{err}");
    let tag = err.split("entity-tag ").nth(1).unwrap().trim().to_owned();
    let (code, out, _) = act(&["get", RULES], "");
    assert_eq!(
        (code, out),
        (Some(0), rules.clone()),
        "the document comes back octet for octet"
    );
    let unknown = "own/users/sip:bob@ims.test/x";
    for (case, options, input, status, word) in [
        (
            "a stale tag",
            vec!["put", RULES, "--if-match", "\"stale\""],
            rules.as_str(),
            3,
            "412",
        ),
        (
            "a document that is there",
            vec!["put", RULES, "--if-none-match", "*"],
            &rules,
            3,
            "412",
        ),
        (
            "a wrong document",
            vec!["put", RULES],
            "<x/>",
            1,
            "schema-validation-error: ",
        ),
        ("no XML", vec!["put", RULES], "<x", 1, "not-well-formed: "),
        (
            "another's tree",
            vec!["get", RULES, "--as", ALICE],
            "",
            1,
            "403",
        ),
        (
            "an unknown document type",
            vec!["put", unknown],
            "<x/>",
            1,
            "--type",
        ),
        (
            "the tag it has",
            vec!["put", RULES, "--if-match", &tag],
            &rules,
            0,
            "entity-tag",
        ),
        ("removal", vec!["delete", RULES], "", 0, ""),
        ("what is gone", vec!["get", RULES], "", 1, "404"),
    ] {
        let (code, _, err) = act(&options, input);
        assert!(
            code == Some(status) && err.contains(word),
            "{case}: {code:?} {err}"
        );
    }
    server.stop();
}

#[test]
fn where_nobody_listens_it_is_said_at_once() {
    let free = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let xcap = format!("http://{free}/xcap-root");
    for options in [
        vec!["publish", BOB, "--server", &free],
        vec!["watch", BOB, "--server", &free],
        vec![
            "watch",
            BOB,
            "--once",
            "--transport",
            "tcp",
            "--server",
            &free,
        ],
        vec!["publish", BOB, "--register", "--proxy", &free],
        vec!["xcap", "get", RULES, "--root", &xcap],
    ] {
        let (text, code) = run(&options);
        assert!(
            code == Some(69) && text.contains(&free),
            "{options:?}: {code:?} {text}"
        );
    }
    for (options, status, word) in [
        (vec!["publish", "bob"], 2, "sip:bob@ims.test"),
        (
            vec!["watch", BOB, "--password-env", "NOT_SET"],
            78,
            "NOT_SET",
        ),
        (
            vec!["xcap", "get", RULES, "--ca", "/nowhere.pem"],
            78,
            "/nowhere.pem",
        ),
    ] {
        let (text, code) = run(&options);
        assert!(
            code == Some(status) && text.contains(word),
            "{options:?}: {code:?} {text}"
        );
    }
}
