//! Through Kamailio: runs `tests/lab/run`, which starts S-CSCF, HSS, CDF, UEs and the server, and judges.

use crate::harness::peers;
use std::path::Path;
use std::process::{Command, Stdio};

fn through_kamailio(isc: &str) {
    if !peers(&["kamailio", "kamcmd", "sipp", "python3"]) {
        return;
    }
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/run");
    let done = Command::new("python3")
        .arg(run)
        .args(["--isc", isc, "--server", env!("CARGO_BIN_EXE_presentia")])
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(
        done.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn register_publish_subscribe_notify_through_an_s_cscf_over_udp() {
    through_kamailio("udp");
}

#[test]
fn register_publish_subscribe_notify_through_an_s_cscf_over_tcp() {
    through_kamailio("tcp");
}
