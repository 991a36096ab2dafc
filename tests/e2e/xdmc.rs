//! `presentia xcap` and `presentia policy` as a user or a script runs them: output, JSON, exit status.

mod passwords;
mod policies;

use crate::harness::{SOON, Server, free_port, rules, said};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";
const EVE: &str = "sip:eve@ims.test";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";
const LISTS: &str = "resource-lists/users/sip:bob@ims.test/index";
const FRIENDS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n  \
    <list name=\"friends\"><entry uri=\"sip:alice@ims.test\"/></list>\n</resource-lists>\n";

fn root(server: &Server) -> String {
    format!("http://{}/xcap-root", server.http)
}

/// XCP-01 and XCP-02: every operation on a document and on its parts, from the command line.
#[test]
fn documents_elements_attributes_and_bindings_are_put_read_and_removed() {
    let server = Server::start("");
    let root = root(&server);
    let xcap = |options: &[&str], input: &str| {
        said(&[&["xcap", "--root", &root][..], options].concat(), input)
    };
    xcap(&["put", LISTS], FRIENDS).done();
    assert_eq!(xcap(&["get", LISTS], "").done().out, FRIENDS);
    let head = xcap(&["head", LISTS], "").done();
    let length = FRIENDS.len();
    assert_eq!(
        head.out,
        format!("application/resource-lists+xml, {length} bytes\n")
    );
    assert!(head.err.contains("entity-tag \""));

    let list = format!("{LISTS}/~~/resource-lists/list[@name=\"friends\"]");
    let entry = format!("{list}/entry[@uri=\"sip:b?b@ims.test\"]");
    let element = "<entry uri=\"sip:b?b@ims.test\"/>";
    xcap(&["put", &entry], element).done();
    assert_eq!(xcap(&["get", &entry], "").done().out, element);
    let name = format!("{list}/@name");
    assert_eq!(xcap(&["get", &name], "").done().out, "\"friends\"");
    let bound = format!("{LISTS}/~~/l:resource-lists/l:list[1]/@name");
    let binding = "l=urn:ietf:params:xml:ns:resource-lists";
    xcap(&["put", &bound, "--ns", binding, "--value", "family"], "").done();
    assert_eq!(
        xcap(&["get", &bound, "--ns", binding], "").done().out,
        "\"family\""
    );
    let bindings = format!("{LISTS}/~~/resource-lists/namespace::*");
    let shown = xcap(&["get", &bindings, "--json"], "").done().json();
    assert_eq!(shown["content_type"], "application/xcap-ns+xml");
    assert!(
        shown["body"]
            .as_str()
            .unwrap()
            .contains("urn:ietf:params:xml:ns:resource-lists")
    );
    let refused = xcap(&["put", &bindings, "--value", "<x/>"], "");
    assert!(
        refused.code == Some(1) && refused.err.contains("read, not written"),
        "{}",
        refused.err
    );
    let gone = format!("{LISTS}/~~/resource-lists/list/entry[@uri=\"sip:b?b@ims.test\"]");
    xcap(&["delete", &gone], "").done();
    let missing = xcap(&["get", &gone], "");
    assert!(
        missing.code == Some(1) && missing.err.contains("no such element"),
        "{}",
        missing.err
    );
    xcap(&["delete", LISTS], "").done();
    assert_eq!(xcap(&["get", LISTS], "").code, Some(1));
    server.stop();
}

/// XCP-04: conditions, and updates that lose nothing.
#[test]
fn conditions_have_their_own_status_and_edits_start_again_on_a_newer_document() {
    let server = Server::start("");
    let root = root(&server);
    let xcap = |options: &[&str], input: &str| {
        said(&[&["xcap", "--root", &root][..], options].concat(), input)
    };
    let first = xcap(&["put", LISTS, "--if-none-match", "*", "--json"], FRIENDS)
        .done()
        .json();
    assert_eq!(first["status"], 201);
    let tag = first["etag"].as_str().unwrap().to_owned();
    assert_eq!(
        xcap(&["put", LISTS, "--if-none-match", "*"], FRIENDS).code,
        Some(3)
    );
    assert_eq!(
        xcap(&["delete", LISTS, "--if-match", "stale"], "").code,
        Some(3)
    );
    let same = xcap(&["get", LISTS, "--if-none-match", &tag, "--json"], "")
        .done()
        .json();
    assert_eq!(
        (&same["status"], &same["body"]),
        (&Value::from(304), &Value::Null)
    );

    // the filter itself puts another version the first time it runs, as somebody else would
    let other = FRIENDS.replace("alice", "carol");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("other"), &other).unwrap();
    let filter = format!(
        "cat > {mine}; [ -e {ran} ] || {{ touch {ran}; {me} xcap --root {root} put {LISTS} {other} 2>/dev/null; }}; \
         sed s/friends/family/ {mine}",
        mine = at("mine"),
        ran = at("ran"),
        other = at("other"),
        me = env!("CARGO_BIN_EXE_presentia"),
    );
    let edited = xcap(&["edit", LISTS, "--with", &filter], "").done();
    assert!(edited.err.contains("once more"), "{}", edited.err);
    let now = xcap(&["get", LISTS], "").done().out;
    assert_eq!(
        now,
        other.replace("friends", "family"),
        "both changes are there"
    );
    let still = xcap(&["edit", LISTS, "--with", "cat"], "").done();
    assert!(still.err.contains("nothing changed"), "{}", still.err);
    let failing = xcap(&["edit", LISTS, "--with", "false"], "");
    assert!(
        failing.code == Some(1) && failing.err.contains("not changed"),
        "{}",
        failing.err
    );
    server.stop();
}

/// XCP-03: what a conflict means is said, with its detail.
#[test]
fn conflicts_are_told_in_plain_words() {
    let server = Server::start("");
    let root = root(&server);
    let xcap = |options: &[&str], input: &str| {
        said(&[&["xcap", "--root", &root][..], options].concat(), input)
    };
    let list = format!("{LISTS}/~~/resource-lists/list[1]");
    let missing = xcap(&["put", &list], "<list/>");
    assert!(
        missing
            .err
            .contains("no-parent: the document or element in which this is to stand"),
        "{}",
        missing.err
    );
    xcap(&["put", LISTS], FRIENDS).done();
    let (name, entry) = (
        format!("{list}/@name"),
        format!("{list}/entry[@uri=\"sip:c@x\"]"),
    );
    for (path, body, condition, words) in [
        (LISTS, "<x", "not-well-formed", "what was sent is no XML"),
        (
            LISTS,
            "<x/>",
            "schema-validation-error",
            "would not be valid. The server says: ",
        ),
        (&list, "no element", "not-xml-frag", "not one XML element"),
        (
            &name,
            "a<b",
            "not-xml-att-value",
            "cannot stand in an attribute",
        ),
        (
            &entry,
            "<entry uri=\"sip:other@x\"/>",
            "cannot-insert",
            "would not be found again",
        ),
        (
            &list,
            "<list name=\"friends\"><entry uri=\"sip:a@x\"/><entry uri=\"sip:a@x\"/></list>",
            "uniqueness-failure",
            "is there already",
        ),
    ] {
        let said = xcap(&["put", path, "--json"], body);
        assert_eq!(said.code, Some(1), "{condition}");
        assert_eq!(said.json()["error"]["condition"], condition, "{}", said.out);
        assert!(
            said.err.contains(condition) && said.err.contains(words),
            "{}",
            said.err
        );
    }
    assert_eq!(xcap(&["get", LISTS], "").done().out, FRIENDS, "unharmed");
    server.stop();
}

/// XCP-09: what a server can do, for people and for scripts.
#[test]
fn capabilities_are_listed() {
    let server = Server::start("");
    let root = root(&server);
    let caps = ["xcap", "caps", "--as", BOB, "--root", &root];
    let text = said(&caps, "").done().out;
    assert!(text.contains("application usage\tpres-rules\n"), "{text}");
    let json = said(&[&caps[..], &["--json"]].concat(), "").done().json();
    assert!(
        json["auids"]
            .as_array()
            .unwrap()
            .contains(&"pres-rules".into())
    );
    assert!(!json["namespaces"].as_array().unwrap().is_empty());
    server.stop();
}

/// XCP-09, XCP-07: which documents a user has, with services of resource lists among them.
#[test]
fn documents_of_a_user_are_listed_with_services_among_them() {
    let server = Server::start("");
    let root = root(&server);
    let xcap = |options: &[&str], input: &str| {
        said(&[&["xcap", "--root", &root][..], options].concat(), input)
    };
    let service = |user: &str| format!("rls-services/users/{user}/index");
    let services = "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\"><service uri=\"sip:friends@ims.test\">\
                    <resource-list>http://xcap.ims.test/xcap-root/resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list%5B1%5D\
                    </resource-list><packages><package>presence</package></packages></service></rls-services>";
    xcap(&["put", LISTS], FRIENDS).done();
    xcap(&["put", &service(BOB)], services).done();
    let said = xcap(&["put", &service(ALICE), "--json"], services);
    assert_eq!(
        said.json()["error"]["condition"],
        "uniqueness-failure",
        "{}",
        said.out
    );
    assert!(said.err.contains("Taken: "), "{}", said.err);

    let listed = xcap(&["directory", BOB], "").done().out;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    let size = FRIENDS.len().to_string();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("resource-lists\t") && line.contains(&size)),
        "{listed}"
    );
    let json = xcap(&["directory", BOB, "--json"], "").done().json();
    let folders = json["folders"].as_array().unwrap();
    let lists = folders
        .iter()
        .find(|folder| folder["auid"] == "resource-lists")
        .unwrap();
    let entry = &lists["documents"][0];
    assert_eq!(entry["size"], FRIENDS.len());
    let read = xcap(
        &["get", entry["uri"].as_str().unwrap(), "--as", BOB, "--json"],
        "",
    );
    let tag = read.done().json()["etag"].as_str().unwrap().to_owned();
    assert_eq!(
        entry["etag"].as_str().unwrap().trim_matches('"'),
        tag.trim_matches('"')
    );
    let others = xcap(&["directory", BOB, "--as", EVE], "");
    assert!(
        others.code == Some(1) && others.err.contains("does not let this identity"),
        "{}",
        others.err
    );
    server.stop();
}
