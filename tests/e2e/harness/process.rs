//! The server as an operator runs it: a process with a configuration file, ports and a data directory.

use super::{
    eventually,
    http::{http, try_http},
};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longest time a start or an orderly stop may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ports given to servers lie below the range from which systems hand out ports of their own accord, so that no client
/// socket takes one while its server restarts.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that is free for UDP and TCP.
pub fn free_port() -> u16 {
    loop {
        let step = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let start = u16::try_from(std::process::id() % 97).unwrap_or(0) * 100;
        let port = 20_000 + (start + step) % 10_000;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            return port;
        }
    }
}

/// A running server. Dropped, it is killed and its directory removed.
#[derive(Debug)]
pub struct Server {
    pub sip: SocketAddr,
    pub http: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with an empty store and waits until it is ready. `overrides` is TOML that goes over the tests'
    /// own defaults: lifetimes from two seconds, no pause between NOTIFYs, everything else as shipped.
    pub fn start(overrides: &str) -> Server {
        let mut server = Server::prepare(overrides);
        server.launch();
        server
    }

    /// Writes the configuration without starting anything.
    pub fn prepare(overrides: &str) -> Server {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let sip = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let base = format!(
            "[sip]\nlisten_udp = [\"{sip}\"]\nlisten_tcp = [\"{sip}\"]\n[http]\nlisten = \"{http}\"\n\
             [store]\npath = \"{}\"\n[publication]\nexpires_min = 2\n\
             [subscription]\nexpires_min = 2\nnotify_interval_ms = 0\n",
            folder.path().join("data").display()
        );
        let mut config: toml::Table = base.parse().expect("the tests' configuration");
        merge(&mut config, overrides.parse().expect("a test's overrides"));
        fs::write(folder.path().join("presentia.toml"), config.to_string())
            .expect("the configuration file");
        Server {
            sip,
            http,
            folder,
            child: None,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn spawn(&mut self) {
        let path = self.folder.path().join("server.log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("server.log");
        let child = Command::new(env!("CARGO_BIN_EXE_presentia"))
            .args(["serve", "--config", "presentia.toml"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("server.log"))
            .stderr(log)
            .spawn()
            .expect("the server binary");
        self.child = Some(child);
    }

    /// Starts, or starts again after [`Server::kill9`], and waits for `/readyz`.
    pub fn launch(&mut self) {
        self.spawn();
        let ready = eventually(PATIENCE, || {
            if let Some(status) = self.ended() {
                panic!(
                    "the server ended with {status} while starting:\n{}",
                    self.log()
                );
            }
            self.ready().then_some(())
        });
        assert!(
            ready.is_some(),
            "the server did not become ready:\n{}",
            self.log()
        );
    }

    /// Starts a server that lives (`/healthz`) although it may not call itself ready.
    pub fn launch_degraded(&mut self) {
        self.spawn();
        let alive = eventually(PATIENCE, || {
            let up = TcpStream::connect(self.http).is_ok();
            (up && http(self.http, "GET", "/healthz", &[], "").status == 200).then_some(())
        });
        assert!(alive.is_some(), "the server does not live:\n{}", self.log());
    }

    /// Like [`Server::launch`], but the server may also give up; false when it did.
    pub fn try_launch(&mut self) -> bool {
        self.spawn();
        let outcome = eventually(PATIENCE, || match self.ended() {
            Some(_) => Some(false),
            None => self.ready().then_some(true),
        });
        outcome.unwrap_or_else(|| panic!("neither ready nor ended:\n{}", self.log()))
    }

    fn ready(&self) -> bool {
        let answer = try_http(self.http, "GET", "/readyz", &[], "");
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Puts `overrides` over the present configuration, for the next start.
    pub fn change(&self, overrides: &str) {
        let text = fs::read_to_string(self.folder.path().join("presentia.toml"))
            .expect("the configuration file");
        let mut config: toml::Table = text.parse().expect("the configuration");
        merge(&mut config, overrides.parse().expect("a test's overrides"));
        self.write_config(&config.to_string());
    }

    pub fn write_config(&self, text: &str) {
        fs::write(self.folder.path().join("presentia.toml"), text).expect("the configuration file");
    }

    /// Starts a server that is expected to give up at once; its exit code and what it said.
    pub fn refuse(&mut self) -> (ExitStatus, String) {
        self.spawn();
        let status = eventually(PATIENCE, || self.ended());
        (status.expect("the server gives up"), self.log())
    }

    /// The exit status, once it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()?
            .try_wait()
            .expect("the server's status")
    }

    /// SIGKILL: no chance to write anything.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("SIGKILL");
        child.wait().expect("the end of the server");
    }

    /// SIGTERM, and the exit status that follows.
    pub fn terminate(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a running server");
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), rustix::process::Signal::TERM)
            .expect("SIGTERM");
        eventually(PATIENCE, || self.ended())
            .unwrap_or_else(|| panic!("still running after SIGTERM:\n{}", self.log()))
    }

    /// An orderly stop, which must succeed.
    pub fn stop(mut self) {
        let status = self.terminate();
        assert!(
            status.success(),
            "SIGTERM ended with {status}:\n{}",
            self.log()
        );
    }

    /// Everything it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Puts a rule set as the owner, as the authentication proxy would pass it on.
    pub fn put_rules(&self, owner: &str, rules: &str) -> u16 {
        let path = format!("/xcap-root/pres-rules/users/{owner}/index");
        let identity = format!("\"{owner}\"");
        let headers = [
            ("Content-Type", "application/auth-policy+xml"),
            ("X-3GPP-Asserted-Identity", identity.as_str()),
        ];
        http(self.http, "PUT", &path, &headers, rules).status
    }

    /// Puts `resource-lists` or `rls-services` of a user as that user.
    pub fn put_lists(&self, owner: &str, usage: &str, body: &str) {
        let path = format!("/xcap-root/{usage}/users/{owner}/index");
        let kind = format!("application/{usage}+xml");
        let asserted = format!("\"{owner}\"");
        let headers = [
            ("Content-Type", kind.as_str()),
            ("X-3GPP-Asserted-Identity", &asserted),
        ];
        let answer = http(self.http, "PUT", &path, &headers, body);
        assert!(matches!(answer.status, 200 | 201), "{path}: {answer:?}");
    }

    /// Fails unless the process lives, answers `/readyz`, and has not written of a panic.
    pub fn healthy(&mut self) {
        assert_eq!(self.ended(), None, "the server ended:\n{}", self.log());
        assert_eq!(
            http(self.http, "GET", "/readyz", &[], "").status,
            200,
            "not ready:\n{}",
            self.log()
        );
        assert!(
            !self.log().contains("panicked at"),
            "a panic:\n{}",
            self.log()
        );
    }

    /// The number of its process.
    /// The value of the line of `/metrics` that begins so.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let text = http(self.http, "GET", "/metrics", &[], "").body;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub fn pid(&self) -> i32 {
        let id = self.child.as_ref().expect("a running server").id();
        i32::try_from(id).expect("a process number")
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.as_ref().expect("a running server").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log ends ---");
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(20)..]
                .iter()
                .for_each(|line| eprintln!("{line}"));
        }
    }
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(more)) => merge(inner, more),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
