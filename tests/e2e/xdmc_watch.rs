//! `presentia xcap watch`: changes of documents as they happen, against the server's own xcap-diff notifier.

use crate::harness::{Client, SOON, Server, eventually, http};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

const BOB: &str = "sip:bob@ims.test";
const LISTS: &str = "resource-lists/users/sip:bob@ims.test/index";
const KIND: &str = "application/resource-lists+xml";

/// A client that watches.
struct Watcher {
    client: Client,
    copies: TempDir,
}

impl Watcher {
    fn start(server: &Server, paths: &[&str], options: &[&str]) -> Watcher {
        let copies = tempfile::tempdir().unwrap();
        let root = format!("http://{}/xcap-root", server.http);
        let sip = server.sip.to_string();
        let kept = copies.path().display().to_string();
        let common = [
            "xcap", "watch", "--root", &root, "--server", &sip, "--json", "--save", &kept,
        ];
        let client = Client::start(&[&common, options, paths].concat());
        Watcher { client, copies }
    }

    fn events(&self) -> Vec<Value> {
        let out = self.client.out();
        let whole = out.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits for an event, and gives it.
    #[track_caller]
    fn sees(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        // a notifier may gather changes for five seconds (RFC 5875 §4.10)
        let seen = eventually(SOON * 3, || self.events().into_iter().find(&holds));
        seen.unwrap_or_else(|| {
            let err = self.client.text("err");
            panic!("never saw {what}: {:#?}\n{err}", self.events())
        })
    }

    /// The copies that it has kept, joined.
    fn copies(&self) -> Vec<String> {
        let files = fs::read_dir(self.copies.path()).unwrap();
        files
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    }
}

fn lists(name: &str, people: &[&str]) -> String {
    let entries: String = people
        .iter()
        .map(|person| format!("\n    <entry uri=\"{person}\"/>"))
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n  \
         <list name=\"{name}\">{entries}\n  </list>\n</resource-lists>\n"
    )
}

#[track_caller]
fn act(server: &Server, method: &str, path: &str, kind: &str, body: &str) {
    let headers = [
        ("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\""),
        ("Content-Type", kind),
    ];
    let path = format!("/xcap-root/{path}");
    let answer = http(server.http, method, &path, &headers, body);
    assert!(
        answer.status / 100 == 2,
        "{} {}",
        answer.status,
        answer.body
    );
}

fn is(event: &Value, name: &str) -> bool {
    event["event"] == name && event["path"] == LISTS
}

/// XDF-01, XDF-03: what is there, what changes with a patch, what goes and comes back, with a copy that is the server's.
#[test]
fn a_copy_is_kept_up_by_patches_and_verified() {
    let server = Server::start("");
    let people = ["sip:a@x", "sip:b@x", "sip:c@x", "sip:d@x", "sip:e@x"];
    act(&server, "PUT", LISTS, KIND, &lists("friends", &people));
    let watcher = Watcher::start(&server, &[LISTS], &["--verify"]);
    let first = watcher.sees("the document", |event| is(event, "present"));
    assert_eq!(first["how"], "get");
    assert_eq!(first["content"], lists("friends", &people));

    let entry = format!("{LISTS}/~~/resource-lists/list/entry%5B@uri=%22sip:f@x%22%5D");
    act(
        &server,
        "PUT",
        &entry,
        "application/xcap-el+xml",
        "<entry uri=\"sip:f@x\"/>",
    );
    let changed = watcher.sees("the change", |event| is(event, "changed"));
    assert_eq!(changed["how"], "patch");
    assert_eq!(changed["previous_etag"], first["etag"]);
    let verified = changed["verified"].as_str().unwrap_or("not");
    assert!(["bytes", "content"].contains(&verified), "{changed}");
    assert!(changed["content"].as_str().unwrap().contains("sip:f@x"));
    let kept = eventually(SOON, || {
        watcher
            .copies()
            .pop()
            .filter(|copy| copy.contains("sip:f@x"))
    });
    assert!(kept.is_some(), "{:?}", watcher.copies());

    act(&server, "DELETE", LISTS, KIND, "");
    let gone = watcher.sees("the removal", |event| is(event, "removed"));
    assert_eq!(gone["previous_etag"], changed["etag"]);
    assert!(watcher.copies().is_empty());
    act(&server, "PUT", LISTS, KIND, &lists("again", &[]));
    let back = |event: &Value| {
        is(event, "present")
            && event["content"]
                .as_str()
                .is_some_and(|c| c.contains("again"))
    };
    watcher.sees("the new document", back);
    drop(watcher);
    server.stop();
}

/// XDF-02: the server tells no more than was asked for, and the copy is right in each mode.
#[test]
fn a_copy_is_right_in_each_mode() {
    let server = Server::start("");
    for (mode, hows) in [
        ("no-patching", &["get"][..]),
        ("xcap-patching", &["patch", "get"]),
        ("aggregate", &["patch", "get"]),
    ] {
        act(
            &server,
            "PUT",
            LISTS,
            KIND,
            &lists("one", &["sip:a@x", "sip:b@x"]),
        );
        let watcher = Watcher::start(&server, &[LISTS], &["--mode", mode]);
        watcher.sees("the document", |event| is(event, "present"));
        let last = format!("last-{mode}");
        for name in ["two", "three", &last] {
            act(
                &server,
                "PUT",
                LISTS,
                KIND,
                &lists(name, &["sip:a@x", "sip:b@x"]),
            );
        }
        let seen = watcher.sees("the last version", |event| {
            is(event, "changed") && event["content"].as_str().is_some_and(|c| c.contains(&last))
        });
        let how = seen["how"].as_str().unwrap();
        assert!(hows.contains(&how), "{mode}: {seen}");
    }
    server.stop();
}

/// A collection and an attribute, watched together with what is not there yet.
#[test]
fn parts_and_collections_are_watched() {
    let server = Server::start("");
    act(&server, "PUT", LISTS, KIND, &lists("friends", &[]));
    let name = format!("{LISTS}/~~/resource-lists/list[1]/@name");
    let watcher = Watcher::start(&server, &[&name, "pres-rules/users/sip:bob@ims.test/"], &[]);
    let part = |value: &'static str| {
        move |event: &Value| event["event"] == "part" && event["content"] == value
    };
    watcher.sees("the attribute", part("friends"));
    let rules = crate::harness::rules("sip:alice@ims.test", "allow");
    assert_eq!(server.put_rules(BOB, &rules), 201);
    let created = watcher.sees("the new document of the collection", |event| {
        event["event"] == "present"
    });
    assert_eq!(
        (&created["path"], &created["content"]),
        (
            &"pres-rules/users/sip:bob@ims.test/index".into(),
            &rules.into()
        )
    );
    act(&server, "PUT", LISTS, KIND, &lists("family", &[]));
    watcher.sees("the new value", part("family"));
    act(&server, "DELETE", LISTS, KIND, "");
    watcher.sees("the end of the attribute", |event| {
        event["event"] == "part-removed"
    });
    drop(watcher);
    server.stop();
}
