//! Charging against independent Diameter implementations: freeDiameter, python-diameter and Wireshark's decoder.
//!
//! `tests/peers/README.md` says what each needs. CHG-01 and CHG-02 are shown here.

use crate::harness::{Request, SOON, Server, Ua, eventually, free_port, http, peers, pidf};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// After a link has broken, three watchdogs six seconds apart come before it is used again (RFC 3539 §3.4.1).
const REOPENED: Duration = Duration::from_secs(60);

/// What a CDF says about one accounting request: AVP name to values, with `T` and `E2E` of the header.
type Record = BTreeMap<String, Vec<String>>;

fn one<'a>(record: &'a Record, name: &str) -> &'a str {
    match record.get(name).map(Vec::as_slice) {
        Some([value]) => value,
        other => panic!("{name}: {other:?} in {record:#?}"),
    }
}

/// A CDF of another make, as a process.
struct Cdf {
    make: Make,
    host: &'static str,
    port: u16,
    folder: PathBuf,
    child: Option<Child>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Make {
    FreeDiameter,
    Python,
}

impl Make {
    /// Whether what it needs is installed; a missing peer fails the test where peers are required.
    pub fn is_there(self) -> bool {
        match self {
            Make::FreeDiameter => {
                let header = Path::new("/usr/include/freeDiameter/extension.h").exists();
                let required =
                    std::env::var("PRESENTIA_TEST_PEERS").is_ok_and(|word| word == "required");
                assert!(
                    header || !required,
                    "not installed: libfreediameter-dev (see tests/peers/README.md)"
                );
                peers(&["freeDiameterd", "openssl", "cc"]) && header
            }
            Make::Python => {
                let found = Command::new(python())
                    .args(["-c", "import diameter.node"])
                    .output();
                let found = found.is_ok_and(|output| output.status.success());
                let required =
                    std::env::var("PRESENTIA_TEST_PEERS").is_ok_and(|word| word == "required");
                assert!(
                    found || !required,
                    "not installed: python-diameter 0.9.0 (see tests/peers/README.md)"
                );
                if !found {
                    eprintln!("passed over: python-diameter not installed (tests/run installs it)");
                }
                found
            }
        }
    }
}

pub fn python() -> String {
    std::env::var("PRESENTIA_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

impl Cdf {
    /// A CDF that is not running yet.
    fn new(make: Make, host: &'static str, folder: &Path) -> Cdf {
        let folder = folder.join(host);
        fs::create_dir_all(&folder).unwrap();
        Cdf {
            make,
            host,
            port: free_port(),
            folder,
            child: None,
        }
    }

    fn start(&mut self) {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let mut command = match self.make {
            Make::FreeDiameter => {
                let mut run = Command::new(peers.join("freediameter/run"));
                run.arg(&self.folder)
                    .arg(self.port.to_string())
                    .args([self.host, "test"]);
                run
            }
            Make::Python => {
                let mut run = Command::new(python());
                run.arg("-u")
                    .arg(peers.join("cdf.py"))
                    .args(["--port", &self.port.to_string()]);
                run.args([
                    "--host",
                    self.host,
                    "--realm",
                    "test",
                    "--peer",
                    "ps.test",
                    "--peer-realm",
                    "ps.test",
                ]);
                run.arg("--records").arg(self.folder.join("records"));
                run.arg("--behave").arg(self.folder.join("behave"));
                run
            }
        };
        let out = File::create(self.folder.join("out")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        self.child = Some(command.spawn().unwrap());
        let listening = || {
            let ended = self
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().unwrap().is_some());
            assert!(
                !ended,
                "{} ended:\n{}",
                self.host,
                fs::read_to_string(self.folder.join("out")).unwrap()
            );
            let out = fs::read_to_string(self.folder.join("out")).unwrap_or_default();
            (out.contains("daemon initialized") || out.contains("listening")).then_some(())
        };
        assert!(
            eventually(REOPENED, listening).is_some(),
            "{}",
            fs::read_to_string(self.folder.join("out")).unwrap()
        );
    }

    fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Only for python-diameter: what to do with the next requests.
    fn behave(&self, how: &str) {
        fs::write(self.folder.join("behave.new"), how).unwrap();
        fs::rename(self.folder.join("behave.new"), self.folder.join("behave")).unwrap();
    }

    /// What it has received so far. A line that is still being written is left out.
    fn records(&self) -> Vec<Record> {
        let text = fs::read_to_string(self.folder.join("records")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(read_record).collect()
    }

    /// Waits for `count` records with different sessions.
    fn sessions(&self, count: usize, limit: Duration) -> Vec<Record> {
        let distinct = |records: &[Record]| {
            records
                .iter()
                .map(|r| one(r, "Session-Id").to_owned())
                .collect::<BTreeSet<_>>()
        };
        let found = eventually(limit, || {
            Some(self.records()).filter(|records| distinct(records).len() >= count)
        });
        found.unwrap_or_else(|| {
            panic!(
                "{} of {count} records:\n{:#?}",
                distinct(&self.records()).len(),
                self.records()
            )
        })
    }
}

impl Drop for Cdf {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let out = fs::read_to_string(self.folder.join("out")).unwrap_or_default();
            eprintln!("--- {} wrote ---\n{out}", self.host);
        }
        self.kill9();
    }
}

/// A line of `records`: fields separated by tabs.
fn read_record(line: &str) -> Record {
    let mut record = Record::new();
    for field in line.split('\t') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        record
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    record
}

/// A server that charges at these CDFs.
fn charging(cdfs: &[(&str, u16)], more: &str) -> Server {
    let mut settings = format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
         watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\n{more}\n"
    );
    for (host, port) in cdfs {
        settings +=
            &format!("[[charging.peers]]\nhost = \"{host}\"\naddress = \"127.0.0.1:{port}\"\n");
    }
    Server::start(&settings)
}

/// The value of a metric by its full name and labels.
fn metric(server: &Server, name: &str) -> Option<i64> {
    let page = http(server.http, "GET", "/metrics", &[], "").body;
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn until(server: &Server, limit: Duration, name: &str, value: i64) {
    let reached = eventually(limit, || {
        (metric(server, name) == Some(value)).then_some(())
    });
    assert!(
        reached.is_some(),
        "{name} is {:?}, not {value}",
        metric(server, name)
    );
}

fn until_up(server: &Server, host: &str, limit: Duration) {
    until(
        server,
        limit,
        &format!("presentia_diameter_peer_open{{peer=\"{host}\"}}"),
        1,
    );
}

const DEPTH: &str = "presentia_charging_spool_depth";

fn publish(ua: &mut Ua, user: &str, more: &[(&str, &str)]) {
    let mut request = Request::publish(user, &pidf(user, "open", "here"));
    for (name, value) in more {
        request = request.with(name, value);
    }
    assert_eq!(
        ua.ask(&request).status(),
        Some(200),
        "whatever becomes of the record"
    );
}

/// One of each: third-party REGISTER, PUBLISH, SUBSCRIBE and the NOTIFY that follows.
fn one_of_each(server: &Server) {
    let mut ua = Ua::new(server.sip);
    let register = Request::new("REGISTER", "sip:ps.test")
        .with("From", "<sip:scscf.ims.test>;tag=s")
        .with("To", format!("<{BOB}>"))
        .with("Contact", "<sip:scscf.ims.test:5070>")
        .with("Expires", 600)
        .with(
            "P-Charging-Vector",
            "icid-value=\"icid-REGISTER\";orig-ioi=ims.test",
        );
    assert_eq!(ua.ask(&register).status(), Some(200));
    publish(
        &mut ua,
        BOB,
        &[(
            "P-Charging-Vector",
            "icid-value=\"icid-PUBLISH\";orig-ioi=ims.test",
        )],
    );
    let subscribe = Request::subscribe(BOB, BOB).with(
        "P-Charging-Vector",
        "icid-value=\"icid-SUBSCRIBE\";orig-ioi=ims.test",
    );
    ua.watch(&subscribe);
}

/// CHG-01, as this CDF decodes it.
fn each_method_makes_one_record(make: Make) {
    if !make.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cdf = Cdf::new(make, "cdf1.test", folder.path());
    cdf.start();
    let server = charging(&[(cdf.host, cdf.port)], "");
    until_up(&server, cdf.host, SOON);
    one_of_each(&server);
    let mut records = cdf.sessions(4, SOON);
    records.sort_by_key(|record| one(record, "SIP-Method").to_owned());
    let methods: Vec<&str> = records
        .iter()
        .map(|record| one(record, "SIP-Method"))
        .collect();
    assert_eq!(
        methods,
        ["NOTIFY", "PUBLISH", "REGISTER", "SUBSCRIBE"],
        "each once"
    );
    for record in &records {
        let method = one(record, "SIP-Method");
        assert!(
            !record.keys().any(|name| name.starts_with('?')),
            "unknown to the CDF: {record:#?}"
        );
        let role = if method == "NOTIFY" { "0" } else { "1" };
        for (name, value) in [
            ("T", "0"),
            ("Origin-Host", "ps.test"),
            ("Origin-Realm", "ps.test"),
            ("Destination-Realm", "test"),
            ("Accounting-Record-Type", "1"),
            ("Accounting-Record-Number", "0"),
            ("Acct-Application-Id", "3"),
            ("Service-Context-Id", "32260@3gpp.org"),
            ("Node-Functionality", "6"),
            ("Role-Of-Node", role),
            ("Cause-Code", "-1"),
            ("Application-Server", "sip:ps.test"),
        ] {
            assert_eq!(one(record, name), value, "{name} of {method}");
        }
        assert!(one(record, "Session-Id").starts_with("ps.test;"));
        if method != "NOTIFY" {
            assert_eq!(
                one(record, "IMS-Charging-Identifier"),
                format!("icid-{method}")
            );
        }
        if method != "REGISTER" {
            assert_eq!(one(record, "Event"), "presence");
        }
    }
    until(&server, SOON, DEPTH, 0);
    server.stop();
}

#[test]
fn freediameter_gets_one_record_of_each_method() {
    each_method_makes_one_record(Make::FreeDiameter);
}

#[test]
fn python_diameter_gets_one_record_of_each_method() {
    each_method_makes_one_record(Make::Python);
}

/// CHG-02.
#[test]
fn while_the_cdf_is_down_records_wait_and_then_come_once_with_t() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cdf = Cdf::new(Make::FreeDiameter, "cdf1.test", folder.path());
    let mut server = charging(&[(cdf.host, cdf.port)], "");
    let mut ua = Ua::new(server.sip);
    (0..10).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    until(&server, SOON, DEPTH, 10);
    server.kill9();
    server.launch();
    (10..20).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    until(&server, SOON, DEPTH, 20);
    cdf.start();
    let records = cdf.sessions(20, REOPENED);
    until(&server, SOON, DEPTH, 0);
    assert_eq!(cdf.records().len(), 20, "each came once");
    assert!(
        records.iter().all(|record| one(record, "T") == "1"),
        "each may have been sent before"
    );
    server.stop();
}

/// CHG-02: the CDF dies with records that it has received and not acknowledged.
#[test]
fn records_that_a_dead_cdf_did_not_acknowledge_are_sent_again_with_t() {
    if !Make::Python.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cdf = Cdf::new(Make::Python, "cdf1.test", folder.path());
    cdf.behave("{\"silent\": true}");
    cdf.start();
    let server = charging(&[(cdf.host, cdf.port)], "answer_timeout_ms = 60000");
    until_up(&server, cdf.host, SOON);
    let mut ua = Ua::new(server.sip);
    (0..20).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    let first = cdf.sessions(20, SOON);
    cdf.kill9();
    cdf.behave("{}");
    cdf.start();
    until(&server, REOPENED, DEPTH, 0);
    let again = &cdf.records()[first.len()..];
    let name = |record: &Record| {
        (
            one(record, "Session-Id").to_owned(),
            one(record, "E2E").to_owned(),
        )
    };
    let names = |records: &[Record]| records.iter().map(name).collect::<BTreeSet<_>>();
    assert_eq!(
        names(&first),
        names(again),
        "the same sessions, with the same end-to-end identifiers"
    );
    assert!(
        first.iter().all(|record| one(record, "T") == "0")
            && again.iter().all(|record| one(record, "T") == "1")
    );
    assert_eq!(
        (first.len(), again.len()),
        (20, 20),
        "each twice and not three times"
    );
    server.stop();
}

/// CHG-02: the CDF is killed while records keep coming.
#[test]
fn a_cdf_that_is_killed_under_load_loses_nothing_and_doubles_only_what_t_says() {
    const PUBLISHED: usize = 400;
    if !Make::FreeDiameter.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cdf = Cdf::new(Make::FreeDiameter, "cdf1.test", folder.path());
    cdf.start();
    let server = charging(&[(cdf.host, cdf.port)], "");
    until_up(&server, cdf.host, SOON);
    let sip = server.sip;
    let load = std::thread::spawn(move || {
        let mut ua = Ua::new(sip);
        (0..PUBLISHED).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    });
    cdf.sessions(50, REOPENED);
    cdf.kill9();
    cdf.start();
    load.join().unwrap();
    until(&server, REOPENED, DEPTH, 0);
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in cdf.records() {
        sessions
            .entry(one(&record, "Session-Id").to_owned())
            .or_default()
            .push(one(&record, "T").to_owned());
    }
    assert_eq!(
        sessions.len(),
        PUBLISHED,
        "what was charged is what arrived"
    );
    for (session, flags) in sessions.iter().filter(|(_, flags)| flags.len() > 1) {
        assert!(
            flags[1..].iter().all(|t| t == "1"),
            "{session} came {flags:?}"
        );
    }
    server.stop();
}

#[test]
fn a_refusal_for_now_is_tried_again_and_one_for_good_waits_in_quarantine_to_be_released() {
    if !Make::Python.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cdf = Cdf::new(Make::Python, "cdf1.test", folder.path());
    cdf.behave("{\"result\": 4002}");
    cdf.start();
    let mut server = charging(&[(cdf.host, cdf.port)], "");
    until_up(&server, cdf.host, SOON);
    let mut ua = Ua::new(server.sip);
    publish(&mut ua, BOB, &[]);
    cdf.sessions(1, SOON);
    assert_eq!(metric(&server, DEPTH), Some(1), "refused for now, so kept");
    cdf.behave("{}");
    until(&server, SOON, DEPTH, 0);
    let records = cdf.records();
    assert!(
        records.len() > 1 && records.iter().all(|record| one(record, "T") == "0"),
        "RFC 6733 §3: no T after an error"
    );
    cdf.behave("{\"result\": 5012}");
    let icid = [("P-Charging-Vector", "icid-value=refused")];
    publish(&mut ua, "sip:p1@ims.test", &icid);
    let quarantined = "presentia_charging_records_total{outcome=\"quarantined\"}";
    until(&server, SOON, quarantined, 1);
    until(&server, SOON, DEPTH, 0);
    // The operator stops the server, sees to the CDF, and lets the record go once more.
    assert!(server.terminate().success());
    let listed = operate(&server, "list");
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!(
        fields[1..5],
        ["5012", "cdf1.test", "PUBLISH", "refused"],
        "{listed}"
    );
    assert_eq!(operate(&server, "release"), "1 released\n");
    assert_eq!(operate(&server, "list"), "");
    cdf.kill9(); // it refuses what it has answered before, also if that answer was a refusal
    cdf.behave("{}");
    cdf.start();
    server.launch();
    until_up(&server, cdf.host, REOPENED);
    until(&server, SOON, DEPTH, 0);
    let records = cdf.records();
    let last = records.last().unwrap();
    assert_eq!(
        (one(last, "IMS-Charging-Identifier"), one(last, "T")),
        ("refused", "1")
    );
    server.stop();
}

/// What `presentia charging` says about the store of a stopped server.
fn operate(server: &Server, action: &str) -> String {
    let command = ["charging", action, "--config", "presentia.toml"];
    let mut presentia = Command::new(env!("CARGO_BIN_EXE_presentia"));
    let done = presentia
        .args(command)
        .current_dir(server.folder())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_ccf_from_the_core_chooses_the_cdf() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut configured = Cdf::new(Make::FreeDiameter, "cdf1.test", folder.path());
    let mut named = Cdf::new(Make::FreeDiameter, "cdf2.test", folder.path());
    configured.start();
    named.start();
    let server = charging(&[(configured.host, configured.port)], "");
    until_up(&server, configured.host, SOON);
    let mut ua = Ua::new(server.sip);
    let ccf = format!("ccf=\"aaa://127.0.0.1:{};transport=tcp\"", named.port);
    publish(&mut ua, BOB, &[("P-Charging-Function-Addresses", &ccf)]);
    let record = &named.sessions(1, SOON)[0];
    assert_eq!(one(record, "Destination-Host"), "cdf2.test");
    publish(&mut ua, "sip:p1@ims.test", &[]);
    assert_eq!(configured.sessions(1, SOON).len(), 1);
    assert_eq!(named.records().len(), 1);
    until(&server, SOON, DEPTH, 0);
    server.stop();
}

/// Everything that was sent through [`tap`].
pub type Tape = Arc<Mutex<Vec<u8>>>;

/// A port that passes on to `to` and keeps a copy of what its first client sends.
pub fn tap(to: u16) -> (u16, Tape) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tape = Tape::default();
    let copy = tape.clone();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut cdf = TcpStream::connect(("127.0.0.1", to)).unwrap();
        let (mut answers, mut back) = (cdf.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let mut buffer = [0; 4096];
        while let Ok(size @ 1..) = client.read(&mut buffer) {
            copy.lock().unwrap().extend_from_slice(&buffer[..size]);
            if cdf.write_all(&buffer[..size]).is_err() {
                break;
            }
        }
        let _ = cdf.shutdown(std::net::Shutdown::Write);
    });
    (port, tape)
}

/// Diameter messages as `text2pcap` takes them: one packet each.
pub fn hex_dump(mut bytes: &[u8]) -> (usize, String) {
    let (mut count, mut text) = (0, String::new());
    while let [_, a, b, c, ..] = *bytes {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let (message, rest) = bytes.split_at(length);
        for (i, line) in message.chunks(16).enumerate() {
            let octets: Vec<String> = line.iter().map(|octet| format!("{octet:02x}")).collect();
            text += &format!("{:06x} {}\n", i * 16, octets.join(" "));
        }
        text.push('\n');
        (count, bytes) = (count + 1, rest);
    }
    (count, text)
}

#[test]
fn wireshark_finds_nothing_wrong_with_what_we_send() {
    if !Make::FreeDiameter.is_there() || !peers(&["tshark", "text2pcap"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cdf = Cdf::new(Make::FreeDiameter, "cdf1.test", folder.path());
    cdf.start();
    let (port, tape) = tap(cdf.port);
    let server = charging(&[(cdf.host, port)], "");
    until_up(&server, cdf.host, SOON);
    one_of_each(&server);
    cdf.sessions(4, SOON);
    until(&server, SOON, DEPTH, 0);
    server.stop();
    let (count, dump) = hex_dump(&tape.lock().unwrap());
    assert!(count >= 6, "CER, four ACRs, DPR: {count}");
    let text = dissect(folder.path(), &dump);
    for (what, times) in [
        ("Command Code: Capabilities-Exchange (257)", 1),
        ("Command Code: Accounting (271)", 4),
        ("Command Code: Disconnect-Peer (282)", 1),
        ("AVP: Service-Information(873)", 4),
        ("SIP-Method: PUBLISH", 1),
        ("IMS-Charging-Identifier: icid-PUBLISH", 1),
        ("Cause-Code: Successful transaction (-1)", 4),
    ] {
        assert_eq!(text.matches(what).count(), times, "{what} in\n{text}");
    }
}

/// What Wireshark says of these messages, after it has found nothing wrong with them.
pub fn dissect(folder: &Path, dump: &str) -> String {
    let (hex, pcap) = (folder.join("hex"), folder.join("pcap"));
    fs::write(&hex, dump).unwrap();
    let made = Command::new("text2pcap")
        .args(["-q", "-T", "40000,3868"])
        .args([&hex, &pcap])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let shown = Command::new("tshark")
        .args(["-V", "-O", "diameter", "-r"])
        .arg(&pcap)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.status.success(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    for wrong in [
        "Malformed",
        "malformed",
        "Unknown",
        "Expert Info",
        "Error",
        "undecoded",
        "Reserved bits set",
    ] {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(wrong) && !line.contains("Error: Not set"))
            .collect();
        assert_eq!(lines, Vec::<&str>::new(), "{wrong}");
    }
    text
}
