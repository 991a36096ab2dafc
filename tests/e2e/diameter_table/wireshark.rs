//! Wireshark as the judge of everything that passed.

use super::tap::Packet;
use crate::harness::peers;
use presentia::sim::pcap::Pcap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where captures are left for those who want to look at them.
pub fn captures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("captures")
}

/// Leaves the capture of a test in a file.
pub fn keep(name: &str, packets: &[Packet]) -> PathBuf {
    std::fs::create_dir_all(captures()).unwrap();
    let path = captures().join(name.replace(' ', "_") + ".pcap");
    let mut pcap = Pcap::new(File::create(&path).unwrap()).unwrap();
    for Packet {
        at,
        from,
        to,
        bytes,
    } in packets
    {
        pcap.message(*at, *from, *to, bytes).unwrap();
    }
    path
}

/// The same, and Wireshark finds nothing wrong with it. What it says; nothing where it is missing.
pub fn judge(name: &str, packets: &[Packet]) -> String {
    let path = keep(name, packets);
    if packets.is_empty() || !peers(&["tshark"]) {
        return String::new();
    }
    decode(&path, 3868)
}

/// What Wireshark says of a capture of this port.
pub fn shown(pcap: &Path, port: u16) -> String {
    let shown = Command::new("tshark")
        .args(["-d", &format!("tcp.port=={port},diameter")])
        .args(["-V", "-O", "diameter", "-r"])
        .arg(pcap)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.status.success(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    text
}

/// The same, after it has found nothing wrong with it.
pub fn decode(pcap: &Path, port: u16) -> String {
    let text = shown(pcap, port);
    let wrong = [
        "alformed",
        "Unknown",
        "Expert Info",
        "undecoded",
        "Reserved bits set",
    ];
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| wrong.iter().any(|word| line.contains(word)))
        // Its dictionary has 3xx without the minus of TS 32.299 §7.2.35, and no 2xx.
        .filter(|line| !(line.contains("Cause-Code") && line.contains("Unknown (-")))
        .collect();
    assert_eq!(lines, Vec::<&str>::new(), "in {}", pcap.display());
    text
}
