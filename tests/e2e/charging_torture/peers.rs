//! CDFs as processes that can be killed, and what they have written down by then.

use super::relay::Relay;
use crate::diameter_table::{Capture, Make};
use crate::harness::{SOON, eventually, free_port};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest start of a peer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `presentia sim cdf`
    SimulatedCdf,
    /// `presentia sim ocs`
    SimulatedOcs,
    FreeDiameter,
}

impl Kind {
    pub fn is_there(self) -> bool {
        self != Kind::FreeDiameter || Make::FreeDiameter.is_there()
    }

    fn is_simulated(self) -> bool {
        self != Kind::FreeDiameter
    }
}

/// A charging system behind a relay. What it writes outlives it.
pub struct Peer {
    kind: Kind,
    pub host: &'static str,
    port: u16,
    pub relay: Relay,
    folder: PathBuf,
    more: Vec<String>,
    child: Option<Child>,
    /// Requests that it has written down.
    received: Vec<Received>,
    /// Bytes of its records that are in `received`.
    read: u64,
}

impl Peer {
    /// One that is not running yet.
    pub fn new(
        kind: Kind,
        host: &'static str,
        folder: &Path,
        more: &[String],
        capture: &Capture,
    ) -> Peer {
        let folder = folder.join(host);
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        Peer {
            kind,
            host,
            port,
            relay: Relay::to(port, capture),
            folder,
            more: more.to_vec(),
            child: None,
            received: Vec::new(),
            read: 0,
        }
    }

    pub fn start(&mut self) {
        let (out, ready) = match self.kind {
            Kind::FreeDiameter => ("out", "daemon initialized"),
            Kind::SimulatedCdf | Kind::SimulatedOcs => ("records", "\"listening\""),
        };
        let path = self.folder.join(out);
        let mut out = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .unwrap();
        end_line(&mut out);
        let before = out.metadata().unwrap().len();
        let child = self
            .command()
            .stdin(Stdio::piped()) // a simulator takes commands from it, none here
            .stdout(out.try_clone().unwrap())
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(self.folder.join("err"))
                    .unwrap(),
            )
            .spawn();
        self.child = Some(child.unwrap());
        let started = eventually(PATIENCE, || {
            text_after(&path, before).contains(ready).then_some(())
        });
        assert!(
            started.is_some(),
            "{} did not start: see {}",
            self.host,
            self.folder.display()
        );
    }

    fn command(&self) -> Command {
        if self.kind == Kind::FreeDiameter {
            let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
            let mut run = Command::new(peers.join("freediameter/run"));
            run.arg(&self.folder).arg(self.port.to_string());
            run.args([self.host, "test"]);
            return run;
        }
        let mut sim = Command::new(env!("CARGO_BIN_EXE_presentia"));
        let role = if self.kind == Kind::SimulatedOcs {
            "ocs"
        } else {
            "cdf"
        };
        sim.args(["sim", role, "--json", "--host", self.host]);
        sim.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        sim.args(&self.more);
        sim
    }

    /// Tells a simulator something on its standard input, and gives what it says until it has said `last`.
    pub fn tell(&mut self, commands: &[String], last: &str) -> Vec<String> {
        let before = fs::metadata(self.records()).unwrap().len();
        let mut input = self.child.as_ref().unwrap().stdin.as_ref().unwrap();
        input
            .write_all((commands.join("\n") + "\n").as_bytes())
            .unwrap();
        let said = eventually(SOON, || {
            let lines = text_after(&self.records(), before);
            lines.contains(last).then_some(lines)
        });
        let said = said.unwrap_or_else(|| panic!("{} does not answer", self.host));
        said.lines().map(str::to_owned).collect()
    }

    pub fn is_simulated(&self) -> bool {
        self.kind.is_simulated()
    }

    pub fn is_up(&self) -> bool {
        self.child.is_some()
    }

    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// As the configuration of the server names it.
    pub fn section(&self, table: &str, priority: u16) -> String {
        format!(
            "[[{table}]]\nhost = \"{}\"\nrealm = \"test\"\naddress = \"127.0.0.1:{}\"\npriority = {priority}\n",
            self.host, self.relay.port
        )
    }

    fn records(&self) -> PathBuf {
        self.folder.join("records")
    }

    /// The requests that it has written down. A line that a kill has cut is left out: it was not answered.
    pub fn received(&mut self) -> &[Received] {
        let mut bytes = after(&self.records(), self.read);
        let whole = bytes.iter().rposition(|octet| *octet == b'\n');
        bytes.truncate(whole.map_or(0, |end| end + 1));
        self.read += bytes.len() as u64;
        let text = String::from_utf8_lossy(&bytes);
        self.received
            .extend(text.lines().filter_map(Received::read));
        &self.received
    }
}

/// What is in a file from there on.
fn after(path: &Path, begin: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        file.seek(SeekFrom::Start(begin)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
    }
    bytes
}

fn text_after(path: &Path, begin: u64) -> String {
    String::from_utf8_lossy(&after(path, begin)).into_owned()
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
    }
}

/// Ends a line in whose middle the writer was killed.
fn end_line(file: &mut File) {
    let length = file.metadata().unwrap().len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1)).unwrap();
        file.read_exact(&mut last).unwrap();
        if last != *b"\n" {
            file.write_all(b"\n").unwrap();
        }
    }
}

/// A request that a charging system received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub session: String,
    pub t: bool,
    pub end_to_end: String,
    pub method: String,
    pub icid: String,
    pub call_id: String,
    pub cause: String,
    /// What it asks of an OCS.
    pub credit: Option<Credit>,
}

/// What a CCR says (RFC 8506 §3.1), and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    pub kind: u32,
    pub number: u32,
    /// CC-Service-Specific-Units of Used-Service-Unit.
    pub used: usize,
    /// The Result-Code that a simulator has answered. freeDiameter answers 2001.
    pub result: u32,
}

/// CC-Request-Type.
pub const INITIAL: u32 = 1;
pub const UPDATE: u32 = 2;
pub const TERMINATION: u32 = 3;

impl Received {
    /// A line of freeDiameter (`cdf.c`) or of a simulator; `None` for other lines.
    pub fn read(line: &str) -> Option<Received> {
        let field = |name: &str| field(line, name);
        let t = match field("T") {
            Some(bit) => bit == "1",
            None => line.contains("\"t\":true"),
        };
        Some(Received {
            session: field("Session-Id")?,
            t,
            end_to_end: field("E2E").or_else(|| field("end_to_end"))?,
            method: field("SIP-Method")?,
            icid: field("IMS-Charging-Identifier").unwrap_or_default(),
            call_id: field("User-Session-Id").unwrap_or_default(),
            cause: field("Cause-Code").unwrap_or_default(),
            credit: Credit::read(line),
        })
    }
}

impl Credit {
    fn read(line: &str) -> Option<Credit> {
        let number = |name: &str| field(line, name)?.parse().ok();
        let kind = number("CC-Request-Type")?;
        Some(Credit {
            kind,
            number: number("CC-Request-Number")?,
            used: used(line, kind),
            result: number("answer").unwrap_or(2001),
        })
    }
}

/// Units used, which stand behind those that are asked for.
fn used(line: &str, kind: u32) -> usize {
    let units = "CC-Service-Specific-Units";
    let inner = match line.find("\"Used-Service-Unit\":") {
        Some(at) => field(&format!("{{{}", &line[at..]), units),
        None if kind == INITIAL || line.starts_with('{') => None,
        None => {
            let all = line.split('\t').rev();
            let mut named = all.filter_map(|field| field.strip_prefix(units));
            named.next().map(|value| value[1..].to_owned())
        }
    };
    inner.and_then(|units| units.parse().ok()).unwrap_or(0)
}

/// The first value of a name in a line of either form.
pub fn field(line: &str, name: &str) -> Option<String> {
    if line.starts_with('{') {
        let at = line.find(&format!("\"{name}\":"))? + name.len() + 3;
        let value = line[at..].trim_start_matches(['[', '"']);
        let end = value.find(['"', ',', ']', '}'])?;
        return Some(value[..end].to_owned());
    }
    line.split('\t')
        .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
}
