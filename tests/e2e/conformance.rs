//! The conformance runner itself: what it says when a server is wrong, and that it cannot be fooled.

use crate::harness::{Message, peers};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const CASE: &str = "presence/rfc3903-6-publish-initial-200";

/// Answers each request with 200 and these header lines until the test ends.
fn stub(headers: &'static str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((size, peer)) = socket.recv_from(&mut buffer) {
            if let Some(request) = Message::parse(&buffer[..size]) {
                let answer = request
                    .answer("200 OK")
                    .replace("Content-Length", &format!("{headers}Content-Length"));
                let answer = answer.replacen("to: <", "to: x <", 1).replacen(
                    ">\r\ncall-id",
                    ">;tag=t\r\ncall-id",
                    1,
                );
                let _ = socket.send_to(answer.as_bytes(), peer); // the other side may have ended
            }
        }
    });
    address
}

/// A suite of one case, with these known failures.
fn suite(folder: &Path, skip: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp-scenarios");
    fs::create_dir_all(folder.join(CASE)).unwrap();
    for file in ["scenario.toml", "uac.xml"] {
        fs::copy(root.join(CASE).join(file), folder.join(CASE).join(file)).unwrap();
    }
    fs::write(folder.join("SKIP.toml"), skip).unwrap();
}

fn run(folder: &Path, target: &str, path: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_presentia"))
        .args([
            "conformance",
            "--target",
            target,
            "--junit",
            "report.xml",
            "--json",
            "report.json",
            "--scenarios",
            ".",
        ])
        .env("PATH", path)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn a_wrong_server_fails_with_reason_ladder_and_reports() {
    if !peers(&["sipp"]) {
        return;
    }
    const GOOD: &str = "SIP-ETag: a\r\nExpires: 3600\r\n";
    let known = format!("\"{CASE}\" = \"a reason\"");
    let path = std::env::var("PATH").unwrap();
    for (what, headers, skip, code, line, count) in [
        (
            "a right answer passes",
            GOOD,
            "",
            0,
            "ok   presence/",
            "1 passed, 0 failed, 0 skipped",
        ),
        (
            "a missing header fails",
            "Expires: 3600\r\n",
            "",
            1,
            "header SIP-ETag: not found",
            "0 passed, 1 failed, 0 skipped",
        ),
        (
            "a forbidden header fails",
            "SIP-ETag: a\r\nExpires: 60\r\nContact: <sip:x>\r\n",
            "",
            1,
            "there is what should not be",
            "0 passed, 1 failed, 0 skipped",
        ),
        (
            "a known failure is skipped with its reason",
            "",
            known.as_str(),
            0,
            "a reason",
            "0 passed, 0 failed, 1 skipped",
        ),
        (
            "a known failure that passes fails",
            GOOD,
            known.as_str(),
            1,
            "take it off the list",
            "0 passed, 1 failed, 0 skipped",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        suite(folder.path(), skip);
        let done = run(folder.path(), &stub(headers), &path);
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(
            done.status.code(),
            Some(code),
            "{what}: {said}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(
            said.contains(line) && said.contains(count),
            "{what}: {said}"
        );
        if line.contains("SIP-ETag") {
            assert!(
                said.contains("|-- PUBLISH sip:bob-") && said.contains("|<- 200 OK"),
                "the ladder: {said}"
            );
        }
        let junit = fs::read_to_string(folder.path().join("report.xml")).unwrap();
        let junit = roxmltree::Document::parse(&junit).expect("JUnit is well-formed");
        assert_eq!(junit.root_element().attribute("tests"), Some("1"), "{what}");
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("report.json")).unwrap())
                .unwrap();
        assert_eq!(json["cases"][0]["name"], CASE, "{what}");
    }
}

#[test]
fn without_sipp_one_sentence_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    suite(folder.path(), "");
    let done = run(folder.path(), "127.0.0.1:9", "/nonexistent");
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        said.contains("sipp is not installed") && said.lines().count() == 1,
        "{said}"
    );
}
