//! Rules and lists on other XDMSs: a second server of ours, Kamailio's `xcap_server`, and one of the test that misbehaves.

use crate::harness::{
    Message, Request, SOON, Server, Ua, certificates, eventually, free_port, http, peers, pidf,
    rules,
};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";

/// The configuration of a server whose rules and lists are at `xdms`, asked every second.
fn elsewhere(xdms: SocketAddr, more: &str) -> String {
    format!(
        "[[remote_xdms.servers]]\nauids = [\"pres-rules\", \"resource-lists\"]\nusers = [\"ims.test\"]\n\
         root = \"http://{xdms}/xcap-root\"\nidentity = \"sip:ps.ims.test\"\npoll_s = 1\ntimeout_ms = 500\n{more}\n[shutdown]\ndrain_s = 0\n"
    )
}

/// Bob publishes a note, and alice subscribes.
struct Watch {
    alice: Ua,
    call_id: String,
    first: Message,
}

impl Watch {
    fn start(server: &Server) -> Watch {
        let mut bob = Ua::new(server.sip);
        let published = bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "secret")));
        assert_eq!(published.status(), Some(200));
        Watch::again(server)
    }

    fn again(server: &Server) -> Watch {
        let mut alice = Ua::new(server.sip);
        let (dialog, first) = alice.watch(&Request::subscribe(ALICE, BOB));
        Watch {
            alice,
            call_id: dialog.call_id,
            first,
        }
    }

    /// Takes NOTIFYs until one has this state and shows the note, or does not.
    fn until(&mut self, state: &str, shows: bool) {
        let fits = |told: &Message| {
            told.get("subscription-state").starts_with(state)
                && told.body.contains("secret") == shows
        };
        let mut last = self.first.clone();
        let end = Instant::now() + SOON;
        while !fits(&last) {
            assert!(Instant::now() < end, "never {state}: {last:?}");
            last = self.alice.notify(&self.call_id);
        }
        self.first = last;
    }
}

#[test]
fn rules_on_a_second_server_of_ours_are_polled_and_followed_over_its_restart() {
    let mut xdms = Server::start("[xcap]\nservers = [\"sip:ps.ims.test\"]");
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let server = Server::start(&elsewhere(xdms.http, "max_stale_s = 60"));
    let mut watch = Watch::start(&server);
    watch.until("active", true);
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "polite-block")), 200);
    watch.until("active", false);
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "allow")), 200);
    watch.until("active", true);
    // it dies: the copy counts, also for a new watcher
    xdms.kill9();
    let silent = || {
        server
            .metric("presentia_held{kind=\"remote_xdms_silent\"}")
            .filter(|n| *n == 1)
    };
    assert!(eventually(SOON, silent).is_some(), "its silence is seen");
    Watch::again(&server).until("active", true);
    // and comes back with other rules
    xdms.launch();
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "block")), 200);
    watch.until("terminated", false);
    assert!(
        server.log().contains("an XDMS answers again"),
        "{}",
        server.log()
    );
    server.stop();
    xdms.stop();
}

/// Nothing is polled within the test: a change can come by NOTIFY only (RFC 5875).
#[test]
fn a_second_server_of_ours_tells_of_changes_and_they_act_at_once() {
    let mut xdms = Server::start("[xcap]\nservers = [\"sip:ps.ims.test\"]");
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "polite-block")), 201);
    let told = elsewhere(xdms.http, &format!("sip = \"sip:{}\"", xdms.sip));
    let server = Server::start(&told.replace("poll_s = 1\n", "poll_s = 3600\n"));
    let mut watch = Watch::start(&server);
    watch.until("active", false);
    let follows = || {
        server
            .metric("presentia_held{kind=\"remote_followed\"}")
            .filter(|n| *n == 1)
    };
    assert!(eventually(SOON, follows).is_some());
    for (handling, shows) in [("allow", true), ("polite-block", false), ("allow", true)] {
        assert_eq!(xdms.put_rules(BOB, &rules(ALICE, handling)), 200);
        watch.until("active", shows);
    }
    // over a crash of the XDMS, whose subscriptions survive it
    xdms.kill9();
    xdms.launch();
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "polite-block")), 200);
    watch.until("active", false);
    let path = format!("/xcap-root/pres-rules/users/{BOB}/index");
    let identity = [("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\"")];
    assert_eq!(http(xdms.http, "DELETE", &path, &identity, "").status, 200);
    watch.until("terminated", false);
    server.stop();
}

#[test]
fn a_crash_forgets_neither_the_subscription_nor_the_rules_it_rests_on() {
    let mut xdms = Server::start("[xcap]\nservers = [\"sip:ps.ims.test\"]");
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let mut server = Server::start(&elsewhere(xdms.http, ""));
    let mut watch = Watch::start(&server);
    watch.until("active", true);
    xdms.kill9();
    server.kill9();
    server.launch();
    // nobody can be asked: the copy in the store decides
    let mut bob = Ua::new(server.sip);
    let news = pidf(BOB, "open", "another secret");
    assert_eq!(bob.ask(&Request::publish(BOB, &news)).status(), Some(200));
    watch.first = watch.alice.notify(&watch.call_id);
    watch.until("active", true);
    server.stop();
}

#[test]
fn an_xdms_over_tls_is_believed_when_the_right_authority_vouches_for_it() {
    if !peers(&["openssl"]) {
        return;
    }
    let tls = free_port();
    let mut xdms = Server::prepare(&format!(
        "[xcap]\nservers = [\"sip:ps.ims.test\"]\n[http]\ntls_listen = \"127.0.0.1:{tls}\"\n\
         certificate = \"tls.pem\"\nkey = \"tls.key\"\n"
    ));
    certificates(xdms.folder());
    xdms.launch();
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let over_tls = |host: &str, ca: &str| {
        let ca = xdms.folder().join(ca).display().to_string();
        elsewhere(xdms.http, &format!("ca = \"{ca}\"")).replace(
            &format!("http://{}", xdms.http),
            &format!("https://{host}:{tls}"),
        )
    };
    for host in ["127.0.0.1", "localhost"] {
        let server = Server::start(&over_tls(host, "ca.pem"));
        assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "allow")), 200);
        let mut watch = Watch::start(&server);
        watch.until("active", true);
        assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "polite-block")), 200);
        watch.until("active", false);
        server.stop();
    }
    // somebody else's certificate: nothing is asked, and nobody is let in
    assert_eq!(xdms.put_rules(BOB, &rules(ALICE, "allow")), 200);
    let server = Server::start(&over_tls("localhost", "other.pem"));
    let mut watch = Watch::start(&server);
    let told = || {
        server
            .log()
            .contains("no TLS with a document server")
            .then_some(())
    };
    assert!(eventually(SOON, told).is_some(), "{}", server.log());
    watch.until("pending", false);
    server.stop();
    xdms.stop();
}

#[test]
fn a_server_whose_remote_xdms_nobody_can_vouch_for_does_not_start() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let https = |ca: &str| elsewhere(address, ca).replace("http://", "https://");
    for (case, config, said) in [
        ("no authority", https(""), "remote_xdms.servers[0].ca"),
        ("no such file", https("ca = \"absent.pem\""), "absent.pem"),
        (
            "two for one server",
            https("ca = \"a.pem\"")
                + &https("ca = \"b.pem\"").replace("[shutdown]\ndrain_s = 0", ""),
            "remote_xdms.servers[1].ca",
        ),
    ] {
        let mut server = Server::prepare(&config);
        let (status, log) = server.refuse();
        assert_eq!(status.code(), Some(78), "{case}: {log}");
        assert!(log.contains(said), "{case}: {log}");
    }
}

/// How the XDMS of the test behaves.
#[derive(Clone, Debug, PartialEq)]
enum Mode {
    Says(String),
    Hangs,
    Endless,
    Closes,
}

/// A web server that answers every request for rules alike, and has nothing else.
fn web(mode: Arc<Mutex<Mode>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), mode) = (stream, mode.clone()) else {
                return;
            };
            std::thread::spawn(move || answer(&mut stream, &mode));
        }
    });
    address
}

fn answer(stream: &mut TcpStream, mode: &Mutex<Mode>) {
    let mut head = [0; 4096];
    let length = stream.read(&mut head).unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    if !head.starts_with("GET /xcap-root/pres-rules/users/sip:bob@ims.test/index ") {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let mode = mode.lock().expect("the mode").clone();
    match mode {
        Mode::Says(body) => {
            let length = body.len();
            let text = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/auth-policy+xml\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let _ = stream.write_all(text.as_bytes());
        }
        Mode::Hangs => std::thread::sleep(Duration::from_secs(5)),
        Mode::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b' '; 4096]).is_ok() {}
        }
        Mode::Closes => {}
    }
}

#[test]
fn an_xdms_that_hangs_or_says_nonsense_lets_nobody_in_and_harms_nobody() {
    let good = rules(ALICE, "allow");
    let anchor = "http://127.0.0.1/xcap-root/resource-lists/users/sip:carol@ims.test/index/~~/resource-lists/list";
    let foreign = good.replace(
        &format!("<identity><one id=\"{ALICE}\"/></identity>"),
        &format!("<o:external-list xmlns:o=\"urn:oma:xml:xdm:common-policy\"><o:entry anc=\"{anchor}\"/></o:external-list>"),
    );
    let bomb = format!(
        "<!DOCTYPE a [<!ENTITY b \"c\">]>{}",
        &good[good.find("<ruleset").unwrap()..]
    );
    let mode = Arc::new(Mutex::new(Mode::Closes));
    let xdms = web(mode.clone());
    // no copy outlives its XDMS, so that each case speaks for itself
    let mut server = Server::start(&elsewhere(xdms, "max_stale_s = 0"));
    let mut watch = Watch::start(&server);
    watch.until("pending", false);
    for (case, bad) in [
        ("a document type", Mode::Says(bomb)),
        ("lists of another user", Mode::Says(foreign)),
        (
            "too large",
            Mode::Says(format!("{good}{}", " ".repeat(300_000))),
        ),
        ("without end", Mode::Endless),
        ("silence", Mode::Hangs),
    ] {
        *mode.lock().expect("the mode") = Mode::Says(good.clone());
        watch.until("active", true);
        *mode.lock().expect("the mode") = bad;
        watch.until("pending", false);
        let started = Instant::now();
        let mut bob = Ua::new(server.sip);
        let published = bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "secret")));
        assert_eq!(published.status(), Some(200), "{case}");
        assert!(started.elapsed() < SOON, "{case}: nothing waits for it");
        server.healthy();
    }
    assert!(
        server
            .metric("presentia_remote_documents_asked_total{answer=\"unusable\"}")
            .is_some_and(|n| n >= 4)
    );
    *mode.lock().expect("the mode") = Mode::Says(good);
    watch.until("active", true);
    assert!(server.resident_kib() < 400_000);
    server.stop();
}

/// Kamailio's XDMS. Dropped, it is stopped.
struct Kamailio {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Kamailio {
    fn start() -> Kamailio {
        let folder = tempfile::tempdir().expect("a folder");
        for (table, text) in [
            ("version", "table_name(string) table_version(int)\nxcap:4\n"),
            (
                "xcap",
                "id(int,auto) username(string) domain(string) doc(string) doc_type(int) etag(string) source(int) \
                 doc_uri(string) port(int)\n",
            ),
        ] {
            fs::write(folder.path().join(table), text).expect("a table");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/kamailio/xcap.cfg");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = Command::new("kamailio")
            .env("PATH", path)
            .arg("-f")
            .arg(config)
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(folder.path())
            .args([
                "-l",
                &format!("tcp:{address}"),
                "-l",
                &format!("udp:{address}"),
            ])
            .args(["-A", &format!("DB=\"text://{}\"", folder.path().display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Kamailio");
        let kamailio = Kamailio {
            child,
            address,
            folder,
        };
        let listens = eventually(SOON, || TcpStream::connect(address).ok());
        let log = || fs::read_to_string(kamailio.folder.path().join("log")).unwrap_or_default();
        assert!(listens.is_some(), "Kamailio does not listen:\n{}", log());
        kamailio
    }

    fn ask(&self, method: &str, document: &str, kind: &str, body: &str) -> u16 {
        let path = format!("/xcap-root/{document}");
        let headers = [
            ("Content-Type", kind),
            ("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\""),
        ];
        let mut stream = TcpStream::connect(self.address).expect("Kamailio");
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: kamailio\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).expect("a request");
        // it keeps the connection open, so the first line is all that is waited for
        let mut first = [0; 12];
        stream.read_exact(&mut first).expect("an answer");
        let status = String::from_utf8_lossy(&first[9..]).into_owned();
        status.parse().expect("a status")
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // it may have ended by itself
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// What keeps the documents and judges our requests here is nothing of ours.
#[test]
fn rules_and_lists_on_kamailios_xcap_server_act_on_live_subscriptions() {
    if !peers(&["kamailio"]) {
        return;
    }
    let xdms = Kamailio::start();
    let (index, kind) = (
        "pres-rules/users/sip:bob@ims.test/index",
        "application/auth-policy+xml",
    );
    assert_eq!(xdms.ask("PUT", index, kind, &rules(ALICE, "allow")), 200);
    let server = Server::start(&elsewhere(xdms.address, ""));
    let mut watch = Watch::start(&server);
    watch.until("active", true);
    let unchanged = || {
        server
            .metric("presentia_remote_documents_asked_total{answer=\"unchanged\"}")
            .filter(|n| *n > 0)
    };
    assert!(
        eventually(SOON, unchanged).is_some(),
        "its entity-tags are understood"
    );
    // who is in a list there
    let (lists, kind_of_lists) = (
        "resource-lists/users/sip:bob@ims.test/index",
        "application/resource-lists+xml",
    );
    let members = |who: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\
             <list name=\"friends\"><entry uri=\"{who}\"/></list></resource-lists>"
        )
    };
    assert_eq!(
        xdms.ask("PUT", lists, kind_of_lists, &members("sip:carol@ims.test")),
        200
    );
    let anchor = format!(
        "http://{}/xcap-root/{lists}/~~/resource-lists/list%5B@name=%22friends%22%5D",
        xdms.address
    );
    let named = rules(ALICE, "polite-block").replace("sip:alice@ims.test", "sip:nobody@ims.test").replace(
        "</ruleset>",
        &format!(
            "<rule id=\"list\"><conditions><o:external-list xmlns:o=\"urn:oma:xml:xdm:common-policy\"><o:entry anc=\"{anchor}\"/>\
             </o:external-list></conditions><actions><pr:sub-handling>allow</pr:sub-handling></actions><transformations>\
             <pr:provide-services><pr:all-services/></pr:provide-services><pr:provide-persons><pr:all-persons/>\
             </pr:provide-persons><pr:provide-all-attributes/></transformations></rule></ruleset>"
        ),
    );
    assert_eq!(xdms.ask("PUT", index, kind, &named), 200);
    watch.until("terminated", false);
    assert_eq!(xdms.ask("PUT", lists, kind_of_lists, &members(ALICE)), 200);
    let mut asking = Ua::new(server.sip);
    let mut is_let_in = || asking.ask(&Request::subscribe(ALICE, BOB)).status() == Some(200);
    assert!(eventually(SOON, || is_let_in().then_some(())).is_some());
    let mut watch = Watch::again(&server);
    watch.until("active", true);
    assert_eq!(xdms.ask("DELETE", index, "", ""), 200);
    watch.until("terminated", false);
    server.stop();
}
