//! CDFs as processes that can be killed, and what they have written down by then.

use super::relay::Relay;
use crate::diameter_peers::Make;
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
}

impl Peer {
    /// One that is not running yet.
    pub fn new(kind: Kind, host: &'static str, folder: &Path, more: &[String]) -> Peer {
        let folder = folder.join(host);
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        Peer {
            kind,
            host,
            port,
            relay: Relay::to(port),
            folder,
            more: more.to_vec(),
            child: None,
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
            let mut said = String::new();
            let mut file = File::open(&path).unwrap();
            file.seek(SeekFrom::Start(before)).unwrap();
            let _ = file.read_to_string(&mut said); // until it is whole
            said.contains(ready).then_some(())
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
        let before = self.lines().len();
        let mut input = self.child.as_ref().unwrap().stdin.as_ref().unwrap();
        input
            .write_all((commands.join("\n") + "\n").as_bytes())
            .unwrap();
        let said = eventually(SOON, || {
            let lines = self.lines().split_off(before);
            let whole = lines.iter().any(|line| line.contains(last));
            whole.then_some(lines)
        });
        said.unwrap_or_else(|| panic!("{} does not answer", self.host))
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

    /// What it has written down, line by line. A line that a kill has cut is left out: it was not answered.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read(self.folder.join("records")).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect()
    }
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
}

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
        })
    }
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
