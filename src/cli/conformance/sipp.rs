//! One run of SIPp: its command line, its ports, its files, and the reason when it fails.

use super::scenario::{Document, Scenario};
use super::{Run, ladder, report::Verdict};
use std::fs;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Wait for a message that a scenario gives no time of its own, in milliseconds.
const RECEIVE_LIMIT: &str = "8000";

/// Judges one scenario. `folder` takes the rendered documents and SIPp's traces; `serial` makes its users its own.
pub fn judge(run: &Run, scenario: &Scenario, folder: &Path, serial: usize) -> Verdict {
    let users = format!("{}x{serial}", run.name);
    let fill = |text: &str| {
        text.replace("[run]", &users)
            .replace("[domain]", &run.domain)
    };
    let outcome =
        prepare(run, scenario, folder, &fill).and_then(|()| call(run, scenario, folder, &users));
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

/// Renders every document of the suite for this run's users, and puts those the scenario wants in place.
fn prepare(
    run: &Run,
    scenario: &Scenario,
    folder: &Path,
    fill: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let documents = run.scenarios.join("documents");
    if documents.is_dir() {
        for entry in fs::read_dir(&documents)
            .map_err(|e| e.to_string())?
            .flatten()
        {
            let text = fs::read_to_string(entry.path())
                .map_err(|e| format!("{}: {e}", entry.path().display()))?;
            fs::write(folder.join(entry.file_name()), fill(&text)).map_err(|e| e.to_string())?;
        }
    }
    scenario
        .before
        .iter()
        .try_for_each(|document| put(run, document, folder, fill))
}

fn put(
    run: &Run,
    document: &Document,
    folder: &Path,
    fill: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let line = format!("{} put \"$0\" --user \"$1\" --file \"$2\"", run.xcap);
    let done = Command::new("sh")
        .args([
            "-c",
            &line,
            &fill(&document.path),
            &fill(&document.owner),
            &document.put,
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
        fill(&document.path),
        String::from_utf8_lossy(&done.stderr).trim()
    ))
}

fn call(run: &Run, scenario: &Scenario, folder: &Path, users: &str) -> Result<(), String> {
    let from = if scenario
        .needs
        .contains(&super::scenario::Need::UntrustedAddress)
    {
        run.untrusted
    } else {
        None
    };
    let local = from.unwrap_or(run.local);
    let port = free_port(local).map_err(|e| format!("no free port on {local}: {e}"))?;
    let media = free_port(local).map_err(|e| format!("no free port on {local}: {e}"))?;
    let uac = fs::canonicalize(scenario.folder.join("uac.xml")).map_err(|e| e.to_string())?;
    let mut child = Command::new("sipp")
        .arg(&run.target)
        .arg("-sf")
        .arg(uac)
        .args([
            "-i",
            &local.to_string(),
            "-p",
            &port.to_string(),
            "-mp",
            &media.to_string(),
        ])
        .args([
            "-t",
            run.transport.option(),
            "-m",
            "1",
            "-nostdin",
            "-default_behaviors",
            "all,-bye",
            "-recv_timeout",
            RECEIVE_LIMIT,
        ])
        .args([
            "-timeout",
            &format!("{}s", scenario.limit.as_secs()),
            "-timeout_error",
        ])
        .args(["-key", "run", users, "-key", "domain", &run.domain])
        .args([
            "-trace_msg",
            "-message_file",
            "messages.log",
            "-trace_err",
            "-error_file",
            "errors.log",
        ])
        .envs([("XCAP", run.xcap.as_str()), ("TARGET", run.target.as_str())])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("sipp: {e}"))?;
    let status = wait(&mut child, scenario.limit + Duration::from_secs(5))
        .map_err(|e| format!("sipp: {e}"))?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(reason(folder, status)),
        None => Err(format!(
            "SIPp hung and was stopped after {} s",
            scenario.limit.as_secs() + 5
        )),
    }
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

/// SIPp's own words from its error file: the first error without its time stamp, with the first line of the message.
fn reason(folder: &Path, status: ExitStatus) -> String {
    let text = fs::read(folder.join("errors.log")).unwrap_or_default();
    first_error(&String::from_utf8_lossy(&text))
        .unwrap_or_else(|| format!("SIPp ended with {status}"))
}

/// A line of the file is `DATE TIME SECONDS: WORDS`; SIPp sometimes forgets the end of line after its last word.
fn first_error(text: &str) -> Option<String> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| line.contains(": ") && !line.starts_with("sipp: The following"))?;
    let words = line.split_once(": ").map_or(line, |(_, words)| words);
    let words = words
        .split_once("aborting call2")
        .map_or(words, |(before, _)| before);
    Some(
        words
            .trim_end_matches([' ', ':'])
            .chars()
            .take(500)
            .collect(),
    )
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
        for (text, words) in [
            (
                "sipp: The following events occurred:\n2026-01-01 10:00:00.1 17.1: Failed regexp match: x",
                "Failed regexp match: x",
            ),
            (
                "2026-01-01\t10:00:00.1\t17.1: receive timeout on message a:8: aborting call2026-01-01\t1",
                "receive timeout on message a:8",
            ),
        ] {
            assert_eq!(first_error(text).as_deref(), Some(words));
        }
        assert_eq!(first_error(""), None);
    }
}
