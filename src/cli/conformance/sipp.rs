//! One run of SIPp: its command line, its ports, its files, and the reason when it fails.

use super::scenario::{Document, Need, Scenario};
use super::{Run, ladder, report::Verdict};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Wait for a message that a scenario gives no time of its own, in milliseconds.
const RECEIVE_LIMIT: &str = "8000";

/// The side that the server calls on its own account, in the folder of a case: what to do with a request that belongs to
/// no call of `uac.xml`.
const CALLED: &str = "called.xml";

/// Judges one scenario. `folder` takes the rendered documents and SIPp's traces; `serial` makes its users its own.
pub fn judge(run: &Run, scenario: &Scenario, folder: &Path, serial: usize) -> Verdict {
    let own = Own {
        users: format!("{}x{serial}", run.name),
        phone: format!("tel:+1201{:07}{serial:03}", std::process::id() % 10_000_000),
        domain: run.domain.clone(),
        root: run.root.trim_end_matches('/').to_owned(),
    };
    let outcome =
        prepare(run, scenario, folder, &own).and_then(|()| call(run, scenario, folder, &own));
    match outcome {
        Ok(()) => Verdict::Passed,
        Err(reason) => {
            let trace = fs::read(folder.join("messages.log")).unwrap_or_default();
            Verdict::Failed {
                reason,
                ladder: ladder::render(&String::from_utf8_lossy(&trace)),
            }
        }
    }
}

/// What makes the users of one scenario its own; each is a keyword of the scenario and of its documents.
struct Own {
    users: String,
    phone: String,
    domain: String,
    /// Where lists are, for rules that name them.
    root: String,
}

impl Own {
    fn keywords(&self) -> [(&'static str, &str); 4] {
        [
            ("run", &self.users),
            ("phone", &self.phone),
            ("domain", &self.domain),
            ("root", &self.root),
        ]
    }

    fn fill(&self, text: &str) -> String {
        let fill =
            |text: String, (key, value): (&str, &str)| text.replace(&format!("[{key}]"), value);
        self.keywords().into_iter().fold(text.to_owned(), fill)
    }
}

/// Renders every document of the suite for this run's users, and puts those the scenario wants in place.
fn prepare(run: &Run, scenario: &Scenario, folder: &Path, own: &Own) -> Result<(), String> {
    let documents = run.scenarios.join("documents");
    if documents.is_dir() {
        for entry in fs::read_dir(&documents)
            .map_err(|e| e.to_string())?
            .flatten()
        {
            let text = fs::read_to_string(entry.path())
                .map_err(|e| format!("{}: {e}", entry.path().display()))?;
            fs::write(folder.join(entry.file_name()), own.fill(&text))
                .map_err(|e| e.to_string())?;
        }
    }
    scenario
        .before
        .iter()
        .try_for_each(|document| put(run, document, folder, own))
}

fn put(run: &Run, document: &Document, folder: &Path, own: &Own) -> Result<(), String> {
    let done = Command::new(&run.xcap)
        .args([
            "put",
            &own.fill(&document.path),
            &document.put,
            "--as",
            &own.fill(&document.owner),
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("xcap put: {e}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!(
        "before the first message, PUT {}: {}",
        own.fill(&document.path),
        String::from_utf8_lossy(&done.stderr).trim()
    ))
}

/// How often SIPp is started anew when another process took one of its ports in between.
const TRIES: usize = 3;

fn call(run: &Run, scenario: &Scenario, folder: &Path, own: &Own) -> Result<(), String> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        for log in ["messages.log", "errors.log"] {
            let _ = fs::remove_file(folder.join(log)); // of the try before, or of an earlier run with --keep
        }
        outcome = once(run, scenario, folder, own);
        if !outcome
            .as_ref()
            .is_err_and(|reason| reason.contains("Unable to bind"))
        {
            break;
        }
    }
    outcome
}

fn once(run: &Run, scenario: &Scenario, folder: &Path, own: &Own) -> Result<(), String> {
    let mut child = command(run, scenario, own)?
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("sipp: {e}"))?;
    let limit = scenario.limit + Duration::from_secs(5);
    let status = wait(&mut child, limit).map_err(|e| format!("sipp: {e}"))?;
    match status {
        // A check outside a message does not fail SIPp's call; it must fail the case all the same.
        Some(status) if status.success() && !has_failed_check(folder) => Ok(()),
        Some(status) => Err(reason(folder, status)),
        None => Err(format!(
            "SIPp hung and was stopped after {} s",
            limit.as_secs()
        )),
    }
}

fn command(run: &Run, scenario: &Scenario, own: &Own) -> Result<Command, String> {
    let from = scenario
        .needs
        .contains(&Need::UntrustedAddress)
        .then_some(run.untrusted)
        .flatten();
    let local = from.unwrap_or(run.local);
    let port = || free_port(local).map_err(|e| format!("no free port on {local}: {e}"));
    let (port, media) = (port()?.to_string(), port()?.to_string());
    let uac = fs::canonicalize(scenario.folder.join("uac.xml")).map_err(|e| e.to_string())?;
    let limit = format!("{}s", scenario.limit.as_secs());
    let mut command = Command::new("sipp");
    command.arg(&run.target).arg("-sf").arg(uac);
    command.args(["-i", &local.to_string(), "-p", &port, "-mp", &media]);
    command.args([
        "-t",
        run.transport.option(),
        "-m",
        "1",
        "-nostdin",
        "-default_behaviors",
        "all,-bye",
    ]);
    let called = scenario.folder.join(CALLED);
    if called.is_file() {
        let called = fs::canonicalize(called).map_err(|e| e.to_string())?;
        command.arg("-oocsf").arg(called);
    }
    command.args([
        "-recv_timeout",
        RECEIVE_LIMIT,
        "-timeout",
        &limit,
        "-timeout_error",
    ]);
    command.args(
        own.keywords()
            .iter()
            .flat_map(|(key, value)| ["-key", key, value]),
    );
    command.args([
        "-trace_msg",
        "-message_file",
        "messages.log",
        "-trace_err",
        "-error_file",
        "errors.log",
    ]);
    command.envs([
        ("XCAP", run.xcap.as_os_str()),
        ("TARGET", OsStr::new(&run.target)),
    ]);
    Ok(command)
}

/// Waits, and ends the child when the limit has passed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn has_failed_check(folder: &Path) -> bool {
    let text = fs::read(folder.join("errors.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    [UNWANTED, MISSING, UNEXPECTED]
        .iter()
        .any(|words| text.contains(words))
}

/// SIPp's own words from its error file: the first error without its time stamp, with the first line of the message.
fn reason(folder: &Path, status: ExitStatus) -> String {
    let text = fs::read(folder.join("errors.log")).unwrap_or_default();
    first_error(&String::from_utf8_lossy(&text))
        .unwrap_or_else(|| format!("SIPp ended with {status}"))
}

/// How SIPp says that a check which must not match did, and that one which must did not.
const UNWANTED: &str = "Regexp matched but should not";
const MISSING: &str = "Failed regexp match";
/// How it says that a message came which the scenario does not expect.
const UNEXPECTED: &str = "Aborting call on unexpected message";

/// The first entry that is an error. An entry is `DATE TIME SECONDS: WORDS` and may go over several lines; SIPp sometimes
/// forgets the end of line before the next one.
fn first_error(text: &str) -> Option<String> {
    let starts: Vec<usize> = (0..text.len())
        .filter(|at| stamp(&text.as_bytes()[*at..]))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let entries = starts
        .iter()
        .zip(ends)
        .filter_map(|(start, end)| text.get(*start..end));
    let mut words =
        entries.filter_map(|entry| entry.split_once(": ").map(|(_, words)| words.trim()));
    // a wait that was meant to end without a message is logged as well
    let first = words.find(|words| {
        !words.contains("jumping to label") && !words.contains("using the out-of-call scenario")
    })?;
    let short = match first.rsplit_once("with regexp ") {
        Some((_, pattern)) if first.starts_with(UNWANTED) => {
            format!("there is what should not be: {pattern}")
        }
        Some((_, pattern)) => format!("nothing matches {pattern}"),
        None => first.lines().next().unwrap_or_default().to_owned(),
    };
    Some(short.chars().take(500).collect())
}

/// Whether `YYYY-MM-DD` and a tab stand here.
fn stamp(bytes: &[u8]) -> bool {
    let shape = b"dddd-dd-dd\t";
    bytes.len() > shape.len()
        && bytes.iter().zip(shape).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// A port free for UDP and TCP alike at this moment.
fn free_port(local: IpAddr) -> io::Result<u16> {
    for _ in 0..64 {
        let port = UdpSocket::bind((local, 0))?.local_addr()?.port();
        if TcpListener::bind((local, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::first_error;

    #[test]
    fn the_reason_is_the_first_error_in_words() {
        let quiet = "2026-01-01\t10:00:00.1\t17.1: Call-Id: 1, receive timeout on message a:8, jumping to label 9";
        let regexp = "2026-01-01\t10:00:00.1\t17.1: Failed regexp match: looking in 'NOTIFY sip:a\nTo: b\n', with regexp 'x: y'";
        let other = "2026-01-01\t10:00:00.1\t17.1: receive timeout on message a:8: aborting call";
        for (case, text, words) in [
            (
                "a check of a header",
                format!("The following events occurred:\n{regexp}"),
                "nothing matches 'x: y'",
            ),
            (
                "an entry glued to the one before",
                format!("{quiet}{other}"),
                "receive timeout on message a:8: aborting call",
            ),
        ] {
            assert_eq!(first_error(&text).as_deref(), Some(words), "{case}");
        }
        assert_eq!(first_error(quiet), None);
        assert_eq!(first_error(""), None);
    }
}
