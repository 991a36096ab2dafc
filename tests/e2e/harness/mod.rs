//! What every end-to-end test needs: the server as a process, and small clients of our own.
//!
//! The clients are independent of the crate `ims`, so that a mistake there cannot hide itself.

mod client;
mod flight;
mod http;
mod process;
mod sip;
mod ua;

pub use client::{Client, run, said, signal};
pub use flight::{Came, Flight};
pub use http::{Response, http};
pub use process::{Server, free_port};
pub use sip::{Message, Request, pidf};
pub use ua::{Subscription, Tcp, Ua};

use std::time::{Duration, Instant};

/// Longest wait for something that should come at once. Long, because two cores may be shared with a compiler.
pub const SOON: Duration = Duration::from_secs(10);

/// Polls until `look` gives something, at most for `limit`.
pub fn eventually<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A rule set that gives one watcher one handling, and everything to see when he is allowed.
pub fn rules(watcher: &str, handling: &str) -> String {
    let shown = match handling {
        "allow" => {
            "<transformations><pr:provide-devices><pr:all-devices/></pr:provide-devices>\
             <pr:provide-persons><pr:all-persons/></pr:provide-persons>\
             <pr:provide-services><pr:all-services/></pr:provide-services>\
             <pr:provide-all-attributes/></transformations>"
        }
        _ => "",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\
         <rule id=\"r1\"><conditions><identity><one id=\"{watcher}\"/></identity></conditions>\
         <actions><pr:sub-handling>{handling}</pr:sub-handling></actions>{shown}</rule></ruleset>"
    )
}

/// Whether foreign programs are installed. Where `PRESENTIA_TEST_PEERS=required`, a missing one fails the test.
pub fn peers(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = |program: &str| {
        path.split(':')
            .any(|folder| std::path::Path::new(folder).join(program).is_file())
    };
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var("PRESENTIA_TEST_PEERS").is_ok_and(|word| word == "required");
    assert!(
        !required,
        "not installed: {missing:?} (tests/install installs them)"
    );
    eprintln!("passed over: {missing:?} not installed (tests/install installs them)");
    false
}

/// An authority (`ca.pem`), a certificate of 127.0.0.1 and localhost that it vouches for (`tls.pem`, `tls.key`), and
/// another authority (`other.pem`).
pub fn certificates(folder: &std::path::Path) {
    let openssl = |line: &str| {
        let done = std::process::Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    std::fs::write(
        folder.join("san"),
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority"
    ));
    openssl(&format!(
        "req -x509 {key} -keyout other.key -out other.pem -subj /CN=other"
    ));
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.csr -subj /CN=xdms",
    );
    openssl(
        "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out tls.pem",
    );
}
