//! `presentia xcap` and `presentia policy` as a user or a script runs them: output, JSON, exit status.

use crate::harness::{SOON, Server, free_port, rules};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";
const EVE: &str = "sip:eve@ims.test";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";
const LISTS: &str = "resource-lists/users/sip:bob@ims.test/index";
const FRIENDS: &str = "<?xml version=\"1.0\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n  \
    <list name=\"friends\"><entry uri=\"sip:alice@ims.test\"/></list>\n</resource-lists>\n";

/// What a command says and how it ends.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }

    #[track_caller]
    fn done(self) -> Said {
        assert_eq!(self.code, Some(0), "{} {}", self.out, self.err);
        self
    }
}

fn run(options: &[&str], input: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_presentia"))
        .args(options)
        .env("PASSWORD_OF_BOB", "bob-secret")
        .env_remove("PRESENTIA_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // a client that has no use for input may have ended already
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: status.code(),
        out: text(&stdout),
        err: text(&stderr),
    }
}

fn root(server: &Server) -> String {
    format!("http://{}/xcap-root", server.http)
}

/// XCP-01 and XCP-02: every operation on a document and on its parts, from the command line.
#[test]
fn documents_elements_attributes_and_bindings_are_put_read_and_removed() {
    let server = Server::start("");
    let root = root(&server);
    let xcap = |options: &[&str], input: &str| {
        run(&[&["xcap", "--root", &root][..], options].concat(), input)
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
        run(&[&["xcap", "--root", &root][..], options].concat(), input)
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
        run(&[&["xcap", "--root", &root][..], options].concat(), input)
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
    let text = run(&caps, "").done().out;
    assert!(text.contains("application usage\tpres-rules\n"), "{text}");
    let json = run(&[&caps[..], &["--json"]].concat(), "").done().json();
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
        run(&[&["xcap", "--root", &root][..], options].concat(), input)
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

/// What is said after an edit is what the server then does.
#[test]
fn a_policy_is_edited_and_decides_as_it_is_told() {
    let server = Server::start("");
    let (root, sip) = (root(&server), server.sip.to_string());
    let policy = |options: &[&str]| {
        let common = ["--as", BOB, "--root", &root];
        run(&[&["policy"][..], options, &common].concat(), "")
    };
    let watch = |watcher: &str| {
        let options = [
            "watch", BOB, "--as", watcher, "--once", "--json", "--server", &sip,
        ];
        run(&options, "")
    };
    assert!(policy(&["show"]).done().out.contains("there is no policy"));
    let told = policy(&["accept", ALICE]).done().out;
    assert!(
        told.contains(&format!("{ALICE} is accepted: list 1 of the order decides")),
        "{told}"
    );
    policy(&["reject", EVE]).done();
    policy(&["default", "defer"]).done();
    policy(&["anonymous", "reject"]).done();
    let shown = policy(&["show", "--json"]).done().json();
    assert_eq!(shown["policy"]["default"], "confirm");
    assert_eq!(shown["policy"]["anonymous"], "block");
    assert_eq!(shown["policy"]["lists"][0]["people"][0], EVE);
    assert_eq!(
        watch(ALICE).done().json()["subscription"]["state"],
        "terminated"
    );
    assert_eq!(watch(EVE).code, Some(1), "rejected");
    let deferred = policy(&["check", "sip:dave@ims.test", "--json"])
        .done()
        .json();
    assert_eq!(deferred["decisions"][0]["handling"], "confirm");
    let dry = policy(&["accept", EVE, "--dry-run"]).done().out;
    assert!(
        dry.contains("<list handling=\"block\">") && dry.contains("is accepted"),
        "{dry}"
    );
    assert_eq!(watch(EVE).code, Some(1), "nothing was put");
    policy(&["accept", EVE]).done();
    assert_eq!(watch(EVE).code, Some(0));
    policy(&["remove", ALICE]).done();
    policy(&["reset"]).done();
    assert_eq!(watch(EVE).code, Some(1));
    server.stop();
}

/// XCP-04: several devices of one user edit at once, and none undoes what another has said.
#[test]
fn edits_at_the_same_time_lose_nothing() {
    let server = Server::start("");
    let root = root(&server);
    let people = ["sip:a@x", "sip:b@x", "sip:c@x", "sip:d@x"];
    let devices = people.map(|person| {
        let root = root.clone();
        std::thread::spawn(move || {
            run(
                &["policy", "accept", person, "--as", BOB, "--root", &root],
                "",
            )
            .done();
        })
    });
    for device in devices {
        device.join().unwrap();
    }
    let shown = run(
        &["policy", "show", "--as", BOB, "--root", &root, "--json"],
        "",
    )
    .done()
    .json();
    let list = shown["policy"]["lists"][0]["people"].as_array().unwrap();
    let mut listed: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, people);
    server.stop();
}

#[test]
fn a_policy_in_the_words_of_oma_decides_the_same() {
    let server = Server::start("");
    let (root, sip) = (root(&server), server.sip.to_string());
    let policy = |options: &[&str]| {
        let common = ["--as", BOB, "--root", &root, "--oma", "--json"];
        run(&[&["policy"][..], options, &common].concat(), "")
            .done()
            .json()
    };
    let watch = |watcher: &str| {
        let options = ["watch", BOB, "--as", watcher, "--once", "--server", &sip];
        run(&options, "").code
    };
    let accepted = policy(&["accept", ALICE]);
    assert_eq!(
        accepted["decisions"][0]["reason"], "external-list",
        "{accepted}"
    );
    assert_eq!(
        accepted["decisions"][0]["rules"][0],
        "wp_prs_grantedcontacts"
    );
    assert_eq!(
        policy(&["polite-block", EVE])["decisions"][0]["handling"],
        "polite-block"
    );
    assert_eq!(
        (watch(ALICE), watch("sip:dave@ims.test")),
        (Some(0), Some(1))
    );
    assert_eq!(policy(&["default", "accept"])["policy"]["default"], "allow");
    assert_eq!(watch("sip:dave@ims.test"), Some(0));
    assert_eq!(
        policy(&["reject", ALICE])["decisions"][0]["handling"],
        "block"
    );
    assert_eq!(watch(ALICE), Some(1));
    server.stop();
}

#[test]
fn a_policy_of_another_kind_is_left_alone() {
    let server = Server::start("");
    let root = root(&server);
    let theirs = rules(ALICE, "allow");
    assert_eq!(server.put_rules(BOB, &theirs), 201);
    let policy = |options: &[&str]| {
        let common = ["--as", BOB, "--root", &root];
        run(&[&["policy"][..], options, &common].concat(), "")
    };
    let refused = policy(&["accept", EVE]);
    assert!(
        refused.code == Some(1) && refused.err.contains("left alone: its rules decide"),
        "{}",
        refused.err
    );
    let why = policy(&["check", ALICE]).done().out;
    assert!(
        why.contains("is accepted: a rule names this watcher"),
        "{why}"
    );
    let kept = run(&["xcap", "get", RULES, "--root", &root], "").done().out;
    assert_eq!(kept, theirs);
    let nobody = run(&["policy", "show", "--root", &root], "");
    assert!(
        nobody.code == Some(1) && nobody.err.contains("whose policy"),
        "{}",
        nobody.err
    );
    server.stop();
}

/// A server that asks for a proof and takes it with any nonce of its own but the first; gives the requests it got.
fn proving(
    listener: TcpListener,
    algorithm: &'static str,
    requests: usize,
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        for stream in listener.incoming().take(requests) {
            let mut stream = stream.unwrap();
            let head = head_of(&mut stream);
            let nonce = |text: &str| text.contains("nonce=\"n2\"");
            let challenge = |more: &str, nonce: &str| {
                format!(
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", qop=\"auth\", \
                     algorithm={algorithm}, nonce=\"{nonce}\"{more}\r\nContent-Length: 0\r\n\r\n"
                )
            };
            let answer = match head.to_ascii_lowercase().contains("authorization: digest") {
                false => challenge("", "n1"),
                true if !nonce(&head) => challenge(", stale=true", "n2"),
                true => "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            };
            stream.write_all(answer.as_bytes()).unwrap();
            seen.push(head);
        }
        seen
    })
}

fn head_of(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
        if line.trim().is_empty() {
            break;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).unwrap();
    head
}

/// Digest over HTTP: the proof, the nonce that was too old, and what is told to whom.
#[test]
fn a_password_is_proved_and_a_stale_nonce_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "bob-secret\nsecond line\n").unwrap();
    for (algorithm, password) in [
        ("SHA-256", ["--password-file", secret.to_str().unwrap()]),
        ("MD5", ["--password-env", "PASSWORD_OF_BOB"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/root", listener.local_addr().unwrap());
        let server = proving(listener, algorithm, 3);
        let get = [
            "xcap",
            "get",
            RULES,
            "--root",
            &root,
            "--user",
            "bob-private",
        ];
        let said = run(&[&get[..], &password].concat(), "").done();
        assert_eq!(said.out, "ok");
        let seen = server.join().unwrap();
        for head in &seen {
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains(&format!("x-3gpp-intended-identity: \"{BOB}\"")),
                "{head}"
            );
            assert!(!head.contains("asserted-identity"), "{head}");
            assert!(!head.contains("bob-secret"), "{head}");
        }
        let proofs = [&seen[1], &seen[2]];
        assert!(
            proofs
                .iter()
                .all(|head| head.contains("nc=00000001")
                    && head.contains("username=\"bob-private\""))
        );
        assert!(
            proofs[1].contains("uri=\"/root/pres-rules/users/sip:bob@ims.test/index\""),
            "{}",
            proofs[1]
        );
    }
}

#[test]
fn a_missing_or_wrong_password_is_told() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\
                     Content-Length: 0\r\n\r\n";
    for (password, requests, word) in [
        (&[][..], 1, "asks for a password"),
        (
            &["--password-env", "PASSWORD_OF_BOB"],
            2,
            "does not accept this user",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/root", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut stream = stream.unwrap();
                head_of(&mut stream);
                stream.write_all(challenge.as_bytes()).unwrap();
            }
        });
        let get = ["xcap", "get", RULES, "--root", &root];
        let said = run(&[&get[..], password].concat(), "");
        assert!(
            said.code == Some(1) && said.err.contains(word),
            "{}",
            said.err
        );
        server.join().unwrap();
    }
    let nowhere: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let root = format!("http://{nowhere}/root");
    for (options, code) in [
        (vec!["xcap", "get", RULES, "--root", &root], 69),
        (vec!["policy", "show", "--as", BOB, "--root", &root], 69),
        (
            vec![
                "xcap",
                "get",
                RULES,
                "--root",
                &root,
                "--password-file",
                "/nowhere",
            ],
            78,
        ),
        (vec!["xcap", "get"], 2),
        (vec!["policy", "default", "maybe", "--as", BOB], 2),
    ] {
        assert_eq!(run(&options, "").code, Some(code), "{options:?}");
    }
}
