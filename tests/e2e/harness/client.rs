//! The program as a client: a process with options that ends by itself, or is told to.

use super::{SOON, eventually};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// A client that runs until it is told to stop. Dropped, it is killed.
pub struct Client {
    child: Child,
    folder: TempDir,
}

impl Client {
    pub fn start(options: &[&str]) -> Client {
        Client::start_with(options, "")
    }

    /// With this on its standard input.
    fn start_with(options: &[&str], input: &str) -> Client {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| File::create(folder.path().join(name)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_presentia"))
            .args(options)
            .env("PASSWORD_OF_BOB", "bob-secret")
            .env("PASSWORD_OF_ALICE", "alice-secret")
            .env("WRONG", "wrong")
            .env_remove("PRESENTIA_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        // a client that has no use for input may have ended already
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Client { child, folder }
    }

    /// What it has written so far to `out` or `err`.
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

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ends, and everything it said.
    pub fn ends(&mut self) -> (ExitStatus, String) {
        let status = eventually(SOON * 2, || self.child.try_wait().unwrap());
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

/// Tells a process something.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process id"), signal).expect("a signal");
}

/// What a command says and how it ends.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }

    #[track_caller]
    pub fn done(self) -> Said {
        assert_eq!(self.code, Some(0), "{} {}", self.out, self.err);
        self
    }
}

/// Runs a command with this input to its end.
pub fn said(options: &[&str], input: &str) -> Said {
    let mut client = Client::start_with(options, input);
    let (status, _) = client.ends();
    Said {
        code: status.code(),
        out: client.out(),
        err: client.text("err"),
    }
}

/// Runs a command to its end: everything it said, and its exit status.
pub fn run(options: &[&str]) -> (String, Option<i32>) {
    let said = said(options, "");
    (said.out + &said.err, said.code)
}
