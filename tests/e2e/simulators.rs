//! The simulated charging systems beside the foreign ones of `diameter_peers`: our server against `presentia sim cdf`,
//! and the client of `presentia sim client` against python-diameter, freeDiameter and `presentia sim ocs`.

use crate::diameter_table::{Lab, Make, decode, shown};
use crate::harness::{Request, SOON, Server, Ua, eventually, http, peers, pidf};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const BOB: &str = "sip:bob@ims.test";

/// A process that ends with its test, whatever becomes of the test.
pub struct Peer(pub Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulator as a process, with what it prints in a file.
/// At its end Wireshark has to find nothing wrong with all that passed.
pub struct Sim {
    peer: Peer,
    out: PathBuf,
    pcap: PathBuf,
    pub address: String,
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.peer.0.kill(); // it may have ended
        let _ = self.peer.0.wait();
        let judged = !self.pcap.as_os_str().is_empty();
        if judged && !std::thread::panicking() && peers(&["tshark"]) {
            decode(&self.pcap, self.port());
        }
    }
}

impl Sim {
    pub fn start(folder: &Path, args: &[&str]) -> Sim {
        Sim::at("127.0.0.1:0", folder, args)
    }

    pub fn at(address: &str, folder: &Path, args: &[&str]) -> Sim {
        let (out, pcap) = (folder.join("sim"), folder.join("sim.pcap"));
        let file = File::create(&out).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_presentia"))
            .arg("sim")
            .args(args)
            .args(["--listen", address, "--json", "--pcap"])
            .arg(&pcap)
            .stdin(Stdio::piped())
            .stdout(file)
            .spawn()
            .unwrap();
        let mut sim = Sim {
            peer: Peer(child),
            out,
            pcap,
            address: String::new(),
        };
        let listening = || {
            let first = sim
                .lines()
                .into_iter()
                .find(|line| line["event"] == "listening")?;
            Some(first["of"].as_str()?.to_owned())
        };
        sim.address = eventually(SOON, listening).expect("it listens");
        sim
    }

    /// What Wireshark says of a capture that has AVPs which only their operator knows: nothing else judges it.
    pub fn unjudged(mut self) -> String {
        let _ = self.peer.0.kill(); // it may have ended
        let pcap = std::mem::take(&mut self.pcap);
        match peers(&["tshark"]) {
            true => shown(&pcap, self.port()),
            false => String::new(),
        }
    }

    fn port(&self) -> u16 {
        let port = self.address.rsplit(':').next();
        port.and_then(|port| port.parse().ok()).unwrap_or(3868)
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Requests of this name so far.
    pub fn requests(&self, name: &str) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line["event"] == name).collect()
    }

    pub fn wait(&self, name: &str, count: usize) -> Vec<Value> {
        let come = || Some(self.requests(name)).filter(|requests| requests.len() >= count);
        eventually(SOON, come).unwrap_or_else(|| panic!("{count} {name} in {:#?}", self.lines()))
    }

    pub fn command(&mut self, line: &str) {
        writeln!(self.peer.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

/// A server that charges there, with these settings besides.
pub fn charging_at(sim: &Sim, more: &str) -> Server {
    Server::start(&format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
         watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\nanswer_timeout_ms = 1000\n{more}\n\
         [[charging.peers]]\nhost = \"cdf.test\"\naddress = \"{}\"\n",
        sim.address
    ))
}

fn publish(server: &Server) {
    let request = Request::publish(BOB, &pidf(BOB, "open", "here"));
    assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
}

pub fn spool_is_empty(server: &Server) {
    let empty = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.lines()
            .find(|line| *line == "presentia_charging_spool_depth 0")
            .map(|_| ())
    };
    eventually(SOON, empty).expect("the spool is empty");
}

/// The same once it is connected: what is written before that is sent with T.
fn server(sim: &Sim) -> Server {
    let server = charging_at(sim, "");
    let up = "presentia_diameter_peer_open{peer=\"cdf.test\"} 1";
    let open = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.lines().any(|line| line == up).then_some(())
    };
    eventually(SOON, open).expect("the CDF is up");
    server
}

/// CHG-01 and CHG-02: what becomes of a record whatever its CDF does with it at first.
#[test]
fn a_record_comes_to_a_simulated_cdf_until_it_is_taken() {
    for (case, rule, answers, t) in [
        ("taken at once", "PUBLISH=2001", &["2001"][..], false),
        (
            "too busy at first",
            "PUBLISH=3004,2001",
            &["3004", "2001"],
            false,
        ),
        (
            "silent at first",
            "PUBLISH=silent,2001",
            &["\"silent\"", "2001"],
            true,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), &["cdf", "--answer", rule]);
        let server = server(&sim);
        publish(&server);
        let records = sim.wait("ACR", answers.len());
        spool_is_empty(&server);
        let said: Vec<String> = records
            .iter()
            .map(|record| record["answer"].to_string())
            .collect();
        assert_eq!(said, answers, "{case}");
        let sessions: Vec<&Value> = records.iter().map(|r| &r["avps"]["Session-Id"]).collect();
        assert!(
            sessions.windows(2).all(|pair| pair[0] == pair[1]),
            "{case}: one record"
        );
        assert_eq!(records.last().unwrap()["t"], t, "{case}");
        let service = &records[0]["avps"]["Service-Information"][0]["IMS-Information"][0];
        assert_eq!(
            service["Event-Type"][0]["SIP-Method"][0], "PUBLISH",
            "{case}"
        );
        server.stop();
    }
}

/// A CDF that says goodbye gets the next record after the connection is there again.
#[test]
fn a_simulated_cdf_leaves_and_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut sim = Sim::start(folder.path(), &["cdf"]);
    let server = server(&sim);
    publish(&server);
    sim.wait("ACR", 1);
    sim.command("disconnect");
    sim.wait("disconnected", 1);
    publish(&server);
    sim.wait("ACR", 2);
    spool_is_empty(&server);
    assert!(sim.requests("connected").len() >= 2);
    server.stop();
}

/// Runs one charge against an OCS.
fn client(address: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_presentia"))
        .args(["sim", "client", BOB, "--peer", address, "--tx", "1000"])
        .args(["--answer-timeout", "2000"])
        .args(args)
        .output()
        .unwrap()
}

/// CHG-03 at the level of the client: exit status, and what it decided, for what an OCS says.
fn checks(address: &str, mut behave: impl FnMut(&str), rows: &[(&str, &str, &[&str], i32, &str)]) {
    for (case, behaviour, args, status, word) in rows {
        behave(behaviour);
        let output = client(address, args);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(*status), "{case}: {text}");
        assert!(text.contains(word), "{case}: {word} in {text}");
        assert!(
            text.contains("nothing is owed") || args.contains(&"price"),
            "{case}: {text}"
        );
    }
}

#[test]
fn python_diameter_as_ocs_grants_denies_and_asks_again() {
    if !Make::Python.is_there() {
        return;
    }
    let lab = Lab::new("simulated client", Make::Python);
    let mut ocs = lab.peer(Make::Python, "ocs.test");
    ocs.start();
    let behave = |how: &str| ocs.behave(how);
    let reserve = ["--charge", "reserve"];
    let lasting = ["--charge", "reserve", "--lasts", "1500"];
    checks(
        &format!("127.0.0.1:{}", ocs.tap.port),
        behave,
        &[
            ("granted", "{}", &[], 0, "decided: Granted"),
            ("refunded", "{}", &["--fails"], 0, "the service failed"),
            (
                "units at the command",
                "{}",
                &["--plain-units"],
                0,
                "decided: Granted",
            ),
            ("denied", "{\"result\": 4012}", &[], 1, "Denied(NoCredit)"),
            (
                "denied inside",
                "{\"result\": 4012, \"inside\": true}",
                &[],
                1,
                "Denied(NoCredit)",
            ),
            (
                "unknown user",
                "{\"result\": 5030}",
                &reserve,
                1,
                "Denied(Refused)",
            ),
            ("free", "{\"result\": 4011}", &[], 0, "decided: Free"),
            ("reserved", "{}", &reserve, 0, "Termination request 1"),
            (
                "denied a reservation",
                "{\"result\": 4010}",
                &reserve,
                1,
                "Denied(NoCredit)",
            ),
            (
                "asked again",
                "{\"rar\": 0.2}",
                &lasting,
                0,
                "answered with 2002",
            ),
            (
                "the price",
                "{}",
                &["--charge", "price"],
                0,
                "decided: Granted",
            ),
        ],
    );
    let records = ocs.journal();
    for (what, times) in [
        ("Requested-Action=1", 1),
        ("CC-Request-Type=2", 1),
        ("CC-Request-Type=3", 2),
        ("RAA\tResult-Code=2002", 1),
        ("?", 0),
    ] {
        assert_eq!(records.matches(what).count(), times, "{what} in {records}");
    }
}

#[test]
fn a_simulated_ocs_grants_denies_and_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut sim = Sim::start(
        folder.path(),
        &["ocs", "--balance", "sip:bob@ims.test=2", "--final-unit"],
    );
    let address = sim.address.clone();
    let behave = |line: &str| {
        if !line.is_empty() {
            sim.command(line);
            // what is told comes before what is asked afterwards, once it has been read
            let read = || Some(sim.lines()).filter(|all| all.iter().any(|l| l["of"] == line[7..]));
            eventually(SOON, read).expect("the command is read");
        }
    };
    let reserve = ["--charge", "reserve"];
    checks(
        &address,
        behave,
        &[
            ("granted", "", &[], 0, "decided: Granted"),
            ("refunded", "", &["--fails"], 0, "the service failed"),
            ("reserved", "", &reserve, 0, "Termination request 1"),
            ("spent", "", &[], 1, "Denied(NoCredit)"),
            (
                "silent",
                "answer DEBIT=silent",
                &["--ddfh", "continue"],
                0,
                "decided: Granted",
            ),
            (
                "busy",
                "answer INITIAL=3004",
                &reserve,
                1,
                "Denied(Unavailable)",
            ),
        ],
    );
    let debits = sim.requests("CCR").len();
    assert!(debits >= 8, "{debits}");
}

#[test]
fn wireshark_finds_nothing_wrong_with_a_charge() {
    if !peers(&["tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs"]);
    for args in [
        &["--fails"][..],
        &["--charge", "reserve"],
        &["--charge", "price"],
    ] {
        let output = client(&sim.address, args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    sim.wait("disconnected", 3);
    let text = decode(&sim.pcap, sim.port());
    for (what, times) in [
        ("Command Code: Capabilities-Exchange (257)", 6),
        ("Command Code: Credit-Control (272)", 10),
        ("CC-Request-Type: EVENT_REQUEST (4)", 6),
        ("Requested-Action: REFUND_ACCOUNT (1)", 1),
        ("AVP: Multiple-Services-Credit-Control(456)", 7),
        ("AVP: Service-Information(873)", 5),
    ] {
        assert_eq!(text.matches(what).count(), times, "{what} in\n{text}");
    }
}

/// CHG-03: what an OCS says of a PUBLISH and a SUBSCRIBE is what their senders hear, each is debited once, and what is
/// refused afterwards is given back.
#[test]
fn requests_are_granted_denied_and_refunded_as_the_ocs_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut sim = Sim::start(folder.path(), &["ocs", "--balance", "sip:bob@ims.test=3"]);
    let server = Server::start(&format!(
        "[charging.online]\npublish = \"iec\"\nsubscribe = \"ecur\"\ntx_ms = 2000\n\
         [[charging.online.peers]]\nhost = \"ocs.test\"\nrealm = \"test\"\naddress = \"{}\"\n",
        sim.address
    ));
    let up = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.contains("presentia_diameter_peer_open{peer=\"ocs.test\"} 1")
            .then_some(())
    };
    eventually(SOON, up).expect("the OCS is up");
    let mut ua = Ua::new(server.sip);
    publish(&server); // 2 left
    let stale = Request::publish(BOB, &pidf(BOB, "open", "here")).with("SIP-If-Match", "gone");
    assert_eq!(ua.ask(&stale).status(), Some(412)); // given back
    ua.watch(&Request::subscribe(BOB, BOB)); // 1 left
    publish(&server); // 0 left
    let denied = Request::publish(BOB, &pidf(BOB, "open", "there"));
    assert_eq!(ua.ask(&denied).status(), Some(402));
    sim.command("answer 5030");
    let known = || Some(()).filter(|()| sim.lines().iter().any(|line| line["of"] == "5030"));
    eventually(SOON, known).expect("the command is read");
    let unknown = Request::publish(BOB, &pidf(BOB, "open", "there"));
    assert_eq!(ua.ask(&unknown).status(), Some(403));
    server.stop();
    let asked = sim.requests("CCR");
    let kind = |line: &Value| {
        let number = |name: &str| line["avps"][name][0].as_i64().unwrap_or(9);
        (number("CC-Request-Type"), number("Requested-Action"))
    };
    let mut kinds: Vec<(i64, i64)> = asked.iter().map(kind).collect();
    kinds.sort_unstable();
    let (debit, refund, initial, last) = ((4, 0), (4, 1), (1, 9), (3, 9));
    let expected = [initial, last, debit, debit, debit, debit, debit, refund];
    assert_eq!(kinds, expected, "{asked:#?}");
}
