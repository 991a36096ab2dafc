//! CDFs, OCSs and relays of other makes, as processes behind a [`Tap`].

use super::tap::{Capture, Packet, Tap};
use super::wireshark;
use crate::harness::{eventually, free_port, peers};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for a process that starts, and for a link that broke: three watchdogs six seconds apart come before it
/// is used again (RFC 3539 §3.4.1).
pub const REOPENED: Duration = Duration::from_secs(60);

/// What a peer says about one request: AVP name to values, with `T` and `E2E` of the header.
pub type Record = BTreeMap<String, Vec<String>>;

/// The only value of this name.
pub fn one<'a>(record: &'a Record, name: &str) -> &'a str {
    match record.get(name).map(Vec::as_slice) {
        Some([value]) => value,
        other => panic!("{name}: {other:?} in {record:#?}"),
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

/// The name before the script: in the icid, and where there is none, in the user.
fn row_of(record: &Record) -> Option<&str> {
    let text = match record.get("IMS-Charging-Identifier") {
        Some(icids) => icids[0].as_str(),
        None => record.get("Subscription-Id-Data")?[0].strip_prefix("sip:")?,
    };
    text.split(['!', '@']).next()
}

/// Whose implementation a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    FreeDiameter,
    Python,
    Erlang,
}

pub const MAKES: [Make; 3] = [Make::FreeDiameter, Make::Python, Make::Erlang];

impl Make {
    /// Whether what it needs is installed; a missing peer fails the test where peers are required.
    pub fn is_there(self) -> bool {
        let (programs, missing): (&[&str], _) = match self {
            Make::FreeDiameter => {
                let header = Path::new("/usr/include/freeDiameter/extension.h").exists();
                let missing = (!header).then_some("libfreediameter-dev");
                (&["freeDiameterd", "openssl", "cc"], missing)
            }
            Make::Python => {
                let line = ["-c", "import diameter.node"];
                let found = Command::new(python()).args(line).output();
                let found = found.is_ok_and(|output| output.status.success());
                (&[], (!found).then_some("python-diameter 0.9.0"))
            }
            Make::Erlang => {
                let line = "halt(case code:lib_dir(diameter, include) of {error, _} -> 1; D -> \
                            case filelib:is_dir(D) of true -> 0; _ -> 1 end end).";
                let found = Command::new("erl")
                    .args(["-noshell", "-eval", line])
                    .output();
                let found = found.is_ok_and(|output| output.status.success());
                (&[], (!found).then_some("erlang-diameter and erlang-dev"))
            }
        };
        let required = std::env::var("PRESENTIA_TEST_PEERS").is_ok_and(|word| word == "required");
        if let Some(missing) = missing {
            assert!(
                !required,
                "not installed: {missing} (tests/install installs it)"
            );
            eprintln!("passed over: {missing} not installed (tests/install installs it)");
            return false;
        }
        peers(programs)
    }
}

fn python() -> String {
    std::env::var("PRESENTIA_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// The same test against each make that is installed, at the same time.
pub fn each_make(makes: &[Make], test: impl Fn(Make) + Sync) {
    let installed: Vec<Make> = makes
        .iter()
        .copied()
        .filter(|make| make.is_there())
        .collect();
    let failed: Vec<Make> = std::thread::scope(|scope| {
        let test = &test;
        let run = |make: Make| (make, scope.spawn(move || test(make)));
        let running: Vec<_> = installed.into_iter().map(run).collect();
        let ended = running
            .into_iter()
            .map(|(make, thread)| (make, thread.join().is_err()));
        ended
            .filter(|(_, failed)| *failed)
            .map(|(make, _)| make)
            .collect()
    });
    assert_eq!(failed, [], "failed; what they said is above");
}

/// A folder for the peers of a test, and what passed between them and the server. At its end Wireshark judges that.
#[derive(Debug)]
pub struct Lab {
    name: String,
    pub folder: TempDir,
    pub capture: Capture,
}

impl Lab {
    pub fn new(test: &str, make: Make) -> Lab {
        Lab {
            name: format!("{test} {make:?}"),
            folder: tempfile::tempdir().unwrap(),
            capture: Capture::default(),
        }
    }

    /// A peer that is not running yet. It is a CDF or an OCS by its name.
    pub fn peer(&self, make: Make, host: &'static str) -> Peer {
        let folder = self.folder.path().join(host);
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        let tap = Tap::new(port, &self.capture);
        Peer {
            make,
            host,
            port,
            tap,
            folder,
            realm: "test",
            behind: (Vec::new(), "test"),
            connect: None,
            caller: "ps.test",
            more: Vec::new(),
            child: None,
        }
    }

    /// freeDiameter as a relay to these, which is not running yet.
    pub fn relay(&self, host: &'static str, behind: &[&Peer]) -> Peer {
        let behind = behind.iter().map(|peer| (peer.host, peer.tap.port));
        self.relay_to(host, "dra", behind.collect(), "test")
    }

    /// The same in this realm, to hosts of that realm at these ports.
    pub fn relay_to(
        &self,
        host: &'static str,
        realm: &'static str,
        behind: Vec<(&str, u16)>,
        theirs: &'static str,
    ) -> Peer {
        let mut relay = self.peer(Make::FreeDiameter, host);
        let place = |(host, port)| format!("{host}:{port}");
        relay.realm = realm;
        relay.behind = (behind.into_iter().map(place).collect(), theirs);
        relay
    }

    /// Also after a test has failed over it.
    fn kept(&self) -> MutexGuard<'_, Vec<Packet>> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Wireshark says of everything so far, after it has found nothing wrong with it.
    pub fn judged(&self) -> String {
        wireshark::judge(&self.name, &self.kept())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            wireshark::keep(&self.name, &self.kept());
        } else {
            self.judged();
        }
    }
}

/// Two peers of a make, and a relay in front of each where there are relays.
#[derive(Debug)]
pub struct Pair {
    pub first: Peer,
    pub second: Peer,
    /// The relays.
    pub doors: Vec<Peer>,
}

impl Pair {
    pub fn start(lab: &Lab, make: Make, hosts: [&'static str; 2], relayed: bool) -> Pair {
        let [mut first, mut second] = hosts.map(|host| lab.peer(make, host));
        first.launch();
        second.start();
        first.until_listening();
        let behind: &[_] = if relayed {
            &[("dra1.test", &first), ("dra2.test", &second)]
        } else {
            &[]
        };
        let relay = |(host, peer): &(&'static str, &Peer)| lab.relay(host, &[peer]);
        let mut doors: Vec<Peer> = behind.iter().map(relay).collect();
        doors.iter_mut().for_each(Peer::launch);
        for door in &mut doors {
            door.until_listening();
            door.until_connected(1);
        }
        Pair {
            first,
            second,
            doors,
        }
    }
}

/// A peer of another make, as a process.
#[derive(Debug)]
pub struct Peer {
    make: Make,
    pub host: &'static str,
    /// Its own; the server connects to that of the tap.
    port: u16,
    pub tap: Tap,
    folder: PathBuf,
    realm: &'static str,
    /// `host:port` of those to whom it passes on, and their realm.
    behind: (Vec<String>, &'static str),
    /// Where it connects to the server by itself.
    pub connect: Option<u16>,
    /// What freeDiameter calls the server to which it connects.
    pub caller: &'static str,
    /// Environment of freeDiameter.
    more: Vec<(&'static str, PathBuf)>,
    child: Option<Child>,
}

impl Peer {
    /// freeDiameter in the realm of its name, as others see it who are not of these tests' realm.
    pub fn in_its_realm(mut self, caller: &'static str) -> Peer {
        self.realm = self.host.split_once('.').expect("a realm").1;
        self.caller = caller;
        self
    }

    /// freeDiameter over TLS, with what lies in this folder. The tap cannot read it: the server connects to the port
    /// that is returned.
    pub fn over_tls(&mut self, certificates: &Path) -> u16 {
        self.more
            .push(("FREEDIAMETER_TLS", certificates.to_owned()));
        self.port
    }

    /// freeDiameter at an address of IPv6, which has no tap: the server connects to the port that is returned.
    pub fn over_ipv6(&mut self) -> u16 {
        self.more.push(("FREEDIAMETER_LISTEN", "::1".into()));
        self.port
    }

    pub fn start(&mut self) {
        self.launch();
        self.until_listening();
    }

    /// Starts without waiting.
    pub fn launch(&mut self) {
        let mut command = self.command();
        let out = File::create(self.folder.join("out")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        self.child = Some(command.spawn().unwrap());
    }

    fn command(&self) -> Command {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let port = self.port.to_string();
        match self.make {
            Make::FreeDiameter => {
                let mut run = Command::new(peers.join("freediameter/run"));
                run.arg(&self.folder)
                    .args([&port, self.host, self.realm])
                    .args(&self.behind.0)
                    .env("FREEDIAMETER_BEHIND", self.behind.1)
                    .envs(self.more.iter().cloned());
                if let Some(port) = self.connect {
                    run.env("FREEDIAMETER_CONNECT", format!("{}:{port}", self.caller));
                }
                run
            }
            Make::Python => {
                let script = if self.host.starts_with("ocs") {
                    "ocs.py"
                } else {
                    "cdf.py"
                };
                // everybody who connects in any test
                let known = "ps.test,ps1.test,ps2.test,ps3.test,ps4.test,ps5.test,ro.ps.test,dra1.test,dra2.test";
                let mut run = Command::new(python());
                run.arg("-u")
                    .arg(peers.join(script))
                    .args(["--port", &port, "--host", self.host]);
                run.args([
                    "--realm",
                    "test",
                    "--peer",
                    known,
                    "--peer-realm",
                    "ps.test",
                ]);
                run.arg("--records").arg(self.folder.join("records"));
                run.arg("--behave").arg(self.folder.join("behave"));
                if let Some(port) = self.connect {
                    run.args(["--connect", &port.to_string()]);
                }
                run
            }
            Make::Erlang => {
                let mut run = Command::new(peers.join("erlang/peer"));
                run.arg(self.folder.join("records"))
                    .args([&port, self.host, "test"]);
                run.args(self.connect.map(|port| port.to_string()));
                run
            }
        }
    }

    fn out(&self) -> String {
        fs::read_to_string(self.folder.join("out")).unwrap_or_default()
    }

    pub fn until_listening(&mut self) {
        let listening = || {
            let ended = self
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().unwrap().is_some());
            assert!(!ended, "{} ended:\n{}", self.host, self.out());
            let out = self.out();
            (out.contains("daemon initialized") || out.contains("listening")).then_some(())
        };
        assert!(eventually(REOPENED, listening).is_some(), "{}", self.out());
    }

    /// Waits until freeDiameter has written this so often.
    pub fn until_said(&self, what: &str, times: usize) {
        let said = || (self.out().matches(what).count() >= times).then_some(());
        assert!(
            eventually(REOPENED, said).is_some(),
            "{what} in {}",
            self.out()
        );
    }

    /// Waits until a relay is connected to so many of those behind it.
    pub fn until_connected(&self, count: usize) {
        self.until_said("-> 'STATE_OPEN'", count);
    }

    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM: it says goodbye to its peers (DPR) before it ends.
    pub fn terminate(&mut self) {
        let mut child = self.child.take().expect("a running peer");
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), rustix::process::Signal::TERM)
            .unwrap();
        let ended = || child.try_wait().unwrap();
        if eventually(Duration::from_secs(20), ended).is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Only for python-diameter: what to do with the next requests.
    pub fn behave(&self, how: &str) {
        fs::write(self.folder.join("behave.new"), how).unwrap();
        fs::rename(self.folder.join("behave.new"), self.folder.join("behave")).unwrap();
    }

    /// What it has written down so far.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.folder.join("records")).unwrap_or_default()
    }

    /// What it has received so far. A line that is still being written is left out.
    pub fn records(&self) -> Vec<Record> {
        let text = self.journal();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(read_record).collect()
    }

    /// Requests of this row, as this peer got them.
    pub fn of(&self, row: &str) -> Vec<Record> {
        let belongs = |record: &Record| row_of(record) == Some(row);
        self.records().into_iter().filter(belongs).collect()
    }

    /// Waits for `count` records with different sessions.
    pub fn sessions(&self, count: usize, limit: Duration) -> Vec<Record> {
        let distinct = |records: &[Record]| {
            let sessions = records.iter().map(|r| one(r, "Session-Id").to_owned());
            sessions.collect::<BTreeSet<_>>().len()
        };
        let found = eventually(limit, || {
            Some(self.records()).filter(|records| distinct(records) >= count)
        });
        found.unwrap_or_else(|| {
            let records = self.records();
            panic!("{} of {count} records:\n{records:#?}", distinct(&records))
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} wrote ---\n{}", self.host, self.out());
        }
        self.kill9();
    }
}
