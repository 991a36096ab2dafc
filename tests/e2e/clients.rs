//! The clients as a user runs them: processes with options, exit codes and something to read.

use crate::harness::{Message, SOON, Server, eventually, free_port, peers, rules};
use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use tempfile::TempDir;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";
const RULES: &str = "pres-rules/users/sip:bob@ims.test/index";

/// A client that runs until it is told to stop. Dropped, it is killed.
pub struct Client {
    child: Child,
    folder: TempDir,
}

impl Client {
    pub fn start(options: &[&str]) -> Client {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| File::create(folder.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_presentia"))
            .args(options)
            .env("PASSWORD_OF_BOB", "bob-secret")
            .env("PASSWORD_OF_ALICE", "alice-secret")
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        Client { child, folder }
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub fn out(&self) -> String {
        self.text("out")
    }

    /// Waits until it has printed `words`.
    pub fn says(&self, words: &str) {
        self.says_so(words, |out| out.contains(words));
    }

    pub fn says_so(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let said = eventually(SOON * 2, || holds(&self.out()).then_some(()));
        let (out, err) = (self.out(), self.text("err"));
        assert!(said.is_some(), "never said {what}:\n{out}\n{err}");
    }

    /// SIGINT, and how it ends.
    pub fn interrupt(mut self) -> (ExitStatus, String) {
        signal(&self.child, rustix::process::Signal::INT);
        self.ends()
    }

    fn ends(&mut self) -> (ExitStatus, String) {
        let status = eventually(SOON, || self.child.try_wait().unwrap());
        let text = self.out() + &self.text("err");
        (
            status.unwrap_or_else(|| panic!("still running:\n{text}")),
            text,
        )
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process id"), signal).expect("a signal");
}

/// Runs a client to its end: everything it said, and its exit status.
pub fn run(options: &[&str]) -> (String, Option<i32>) {
    let (status, text) = Client::start(options).ends();
    (text, status.code())
}

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
    assert!(
        own.child.try_wait().unwrap().is_none(),
        "bob still watches himself"
    );
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
        let mut child = Command::new(env!("CARGO_BIN_EXE_presentia"))
            .args([&["xcap", "--root", &xcap][..], options].concat())
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
        (status.code(), text(&stdout), text(&stderr))
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

/// A registrar and presence server that asks for SHA-256 and sends by a Service-Route; gives the requests that came.
fn registrar(socket: &UdpSocket, requests: usize) -> Vec<Message> {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let me = socket.local_addr().unwrap();
    let mut seen: Vec<Message> = Vec::new();
    let mut buffer = [0; 65_535];
    while seen.len() < requests {
        let (length, peer) = socket.recv_from(&mut buffer).expect("a request");
        let Some(request) = Message::parse(&buffer[..length]).filter(|m| !m.first.is_empty())
        else {
            continue; // the probe for a listener
        };
        let proved = request.get("authorization").contains("nc=");
        let challenge =
            "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",algorithm=SHA-256,qop=\"auth\"\r\n";
        let (status, more) = match (request.is_request("REGISTER"), proved) {
            (_, false) => ("401 Unauthorized", challenge.to_owned()),
            (true, true) => (
                "200 OK",
                format!("Service-Route: <sip:orig@{me};lr>\r\nExpires: 600\r\n"),
            ),
            (false, true) => ("200 OK", "SIP-ETag: e1\r\nExpires: 600\r\n".to_owned()),
        };
        let answer = request
            .answer(status)
            .replace("Content-Length", &format!("{more}Content-Length"));
        socket.send_to(answer.as_bytes(), peer).unwrap();
        if !seen.iter().any(|known| known.branch() == request.branch()) {
            seen.push(request);
        }
    }
    seen
}

#[test]
fn a_registrar_gets_its_proof_and_its_service_route_is_followed() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let me: SocketAddr = socket.local_addr().unwrap();
    let proxy = me.to_string();
    let who = ["--user", "bob-private", "--password-env", "PASSWORD_OF_BOB"];
    let publish = ["publish", BOB, "--once", "--proxy", &proxy, "--register"];
    let mut client = Client::start(&[&publish[..], &who].concat());
    let seen = registrar(&socket, 4);
    let (status, text) = client.ends();
    assert!(status.success(), "{text}");
    let methods: Vec<&str> = seen
        .iter()
        .filter_map(|m| m.first.split(' ').next())
        .collect();
    assert_eq!(
        methods,
        ["REGISTER", "REGISTER", "PUBLISH", "REGISTER"],
        "registered, published, deregistered"
    );
    let unproved = "username=\"bob-private\",realm=\"ims.test\",nonce=\"\"";
    assert!(
        seen[0].get("authorization").contains(unproved),
        "{:?}",
        seen[0]
    );
    for (index, count) in [(1, "nc=00000001"), (2, "nc=00000002"), (3, "nc=00000003")] {
        assert!(
            seen[index].get("authorization").contains(count),
            "{:?}",
            seen[index]
        );
    }
    for (index, header, want) in [
        (0, "cseq", "1 REGISTER".to_owned()),
        (1, "cseq", "2 REGISTER".to_owned()),
        (0, "route", format!("<sip:{me};lr>")), // the registrar lies behind the proxy
        (2, "route", format!("<sip:orig@{me};lr>")), // the proxy is the first of the Service-Route
        (2, "p-preferred-identity", format!("<{BOB}>")),
        (2, "p-asserted-identity", String::new()), // asserting is the proxy's
        (3, "expires", "0".to_owned()),
    ] {
        assert_eq!(seen[index].get(header), want, "{header} of request {index}");
    }
}

#[test]
fn a_wrong_password_is_not_tried_for_ever() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let me = socket.local_addr().unwrap().to_string();
    let refusing = std::thread::spawn(move || {
        socket.set_read_timeout(Some(SOON * 3)).unwrap();
        let mut buffer = [0; 65_535];
        let mut branches = std::collections::BTreeSet::new();
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if &buffer[..length] == b"end" {
                break;
            }
            let Some(request) = Message::parse(&buffer[..length]).filter(|m| !m.first.is_empty())
            else {
                continue; // the probe for a listener
            };
            let challenge = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\nContent-Length";
            let answer = request
                .answer("401 Unauthorized")
                .replace("Content-Length", challenge);
            socket.send_to(answer.as_bytes(), peer).unwrap();
            branches.insert(request.branch().to_owned());
        }
        branches.len()
    });
    for password in [&[][..], &["--password", "wrong"]] {
        let (text, code) = run(&[&["publish", BOB, "--server", &me][..], password].concat());
        assert!(
            code == Some(1) && text.contains("password"),
            "{code:?} {text}"
        );
    }
    let done = UdpSocket::bind("127.0.0.1:0").unwrap();
    done.send_to(b"end", &me).unwrap();
    assert_eq!(
        refusing.join().unwrap(),
        3,
        "one request without a password, two with"
    );
}

/// The lab with S-CSCF, HSS and our server, started and held. Dropped, it is stopped.
struct Lab {
    child: Child,
    scscf: String,
    http: String,
    _folder: TempDir,
}

impl Lab {
    fn start() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/run");
        let child = Command::new("python3")
            .args(["-u".as_ref(), run.as_os_str()])
            .args([
                "--hold",
                "--isc",
                "udp",
                "--server",
                env!("CARGO_BIN_EXE_presentia"),
                "--keep",
            ])
            .arg(folder.path().join("lab"))
            .stdin(Stdio::null())
            .stdout(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut lab = Lab {
            child,
            scscf: String::new(),
            http: String::new(),
            _folder: folder,
        };
        let line = eventually(SOON * 3, || {
            let text = fs::read_to_string(&said).unwrap();
            text.lines()
                .find(|line| line.starts_with("S-CSCF"))
                .map(str::to_owned)
        });
        let line = line.expect("the lab starts");
        let word = |prefix: &str| line.split_whitespace().find_map(|w| w.strip_prefix(prefix));
        lab.scscf = word("sip:").unwrap().to_owned();
        lab.http = word("http://").unwrap().to_owned();
        lab
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait(); // its status says nothing
    }
}

/// As subscribers of Kamailio's S-CSCF: REGISTER with Digest, Service-Route, PUBLISH, SUBSCRIBE, NOTIFY.
#[test]
fn two_subscribers_meet_through_an_s_cscf() {
    if !peers(&["kamailio", "kamcmd", "sipp", "python3"]) {
        return;
    }
    let lab = Lab::start();
    allow_alice(&format!("http://{}/xcap-root", lab.http));
    for transport in ["udp", "tcp"] {
        let way = [
            "--proxy",
            &lab.scscf,
            "--register",
            "--transport",
            transport,
        ];
        let alice = ["--as", ALICE, "--password-env", "PASSWORD_OF_ALICE"];
        let watcher = Client::start(&[&["watch", BOB][..], &alice, &way].concat());
        watcher.says("active");
        let bob = ["--note", "in the lab", "--password-env", "PASSWORD_OF_BOB"];
        let source = Client::start(&[&["publish", BOB][..], &bob, &way].concat());
        watcher.says("note: in the lab");
        watcher.says("registration: active");
        let (status, text) = source.interrupt();
        assert!(
            status.success() && text.contains("removed"),
            "{transport}: {status} {text}"
        );
        watcher.says_so("a state without the note", without_note);
        let (status, text) = watcher.interrupt();
        assert!(
            status.success() && !text.contains("could not"),
            "{transport}: {status} {text}"
        );
    }
    let wrong = ["--register", "--password", "wrong"];
    let (text, code) = run(&[
        &["publish", BOB, "--once", "--proxy", &lab.scscf][..],
        &wrong,
    ]
    .concat());
    assert!(
        code == Some(1) && text.contains("cannot register"),
        "{code:?} {text}"
    );
}

/// Kamailio's own presence server behind Digest. Dropped, it is stopped.
struct Foreign {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Foreign {
    fn start(algorithm: &str, proxy: bool) -> Foreign {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/kamailio/presence.cfg");
        let mut command = Command::new("kamailio");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        command.env("PATH", path).arg("-f").arg(config);
        command
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(folder.path());
        for transport in ["udp", "tcp"] {
            command.args(["-l", &format!("{transport}:{address}")]);
        }
        command.args(["-A", &format!("ALGORITHM=\"{algorithm}\"")]);
        command.args(["-A", &format!("SERVER=\"sip:{address}\"")]);
        if proxy {
            command.args(["-A", "WITH_PROXY=1"]);
        }
        let log = File::create(folder.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let foreign = Foreign {
            child,
            address,
            _folder: folder,
        };
        let ready = eventually(SOON, || std::net::TcpStream::connect(address).ok());
        let log = || fs::read_to_string(foreign._folder.path().join("log")).unwrap_or_default();
        assert!(ready.is_some(), "Kamailio does not listen:\n{}", log());
        foreign
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait(); // its status says nothing
    }
}

/// What judges our Digest, PUBLISH, SUBSCRIBE and answers to NOTIFY here is nothing of ours.
#[test]
fn a_presence_server_that_is_not_ours_understands_the_clients() {
    if !peers(&["kamailio"]) {
        return;
    }
    for (algorithm, proxy, transport) in [("SHA-256", false, "udp"), ("MD5", true, "tcp")] {
        let foreign = Foreign::start(algorithm, proxy);
        let server = foreign.address.to_string();
        let way = [
            "--server",
            &server,
            "--transport",
            transport,
            "--password",
            "geheim",
        ];
        let watcher = Client::start(&[&["watch", BOB, "--as", ALICE][..], &way].concat());
        watcher.says("active");
        let source = Client::start(
            &[
                &["publish", BOB, "--note", "abroad", "--expires", "2"][..],
                &way,
            ]
            .concat(),
        );
        watcher.says("note: abroad");
        source.says("refreshed");
        let (status, text) = source.interrupt();
        assert!(
            status.success() && text.contains("removed"),
            "{algorithm}: {status} {text}"
        );
        let (status, text) = watcher.interrupt();
        assert!(
            status.success() && text.contains("subscription over"),
            "{algorithm}: {status} {text}"
        );
        let wrong = [
            "publish",
            BOB,
            "--once",
            "--server",
            &server,
            "--password",
            "falsch",
        ];
        let (text, code) = run(&wrong);
        assert!(
            code == Some(1) && text.contains("does not accept"),
            "{algorithm}: {code:?} {text}"
        );
    }
}
