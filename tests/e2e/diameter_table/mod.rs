//! The failure table of Rf and Ro against implementations that are not ours, and everything that passes decoded by
//! Wireshark. CHG-01 to CHG-03 are shown here.
//!
//! - [`peer`]: CDFs, OCSs and relays as processes. What each does with a request is told by its icid
//!   (`tests/peers/README.md`), so that many rows run at the same time;
//! - [`tap`] stands in front of each: it keeps what passes, loses it, or cuts the line;
//! - [`wireshark`] judges every capture;
//! - [`rf`], [`ro`], [`sessions`], [`enquiries`], [`named`], [`links`], [`relay`] and [`questions`] are the table, of [`row`]s.

mod enquiries;
mod links;
mod named;
mod peer;
mod questions;
mod relay;
mod rf;
mod ro;
mod row;
mod sessions;
mod tap;
mod wireshark;

pub use peer::{Lab, Make, Peer, REOPENED, Record, one};
pub use tap::{Capture, Loss, Packet, Tap, number};
pub use wireshark::{decode, judge, keep, shown};

use crate::harness::{Message, Request, SOON, Server, Ua, eventually, http, pidf};
use std::time::Duration;

pub const DEPTH: &str = "presentia_charging_spool_depth";

/// A server that charges at these CDFs, the first one before the others.
pub fn offline(cdfs: &[&Peer], more: &str) -> Server {
    let mut settings = format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
         watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\n{more}\n"
    );
    for (priority, cdf) in cdfs.iter().enumerate() {
        settings += &place("charging.peers", cdf, priority);
    }
    Server::start(&settings)
}

/// A server that asks these OCSs, the first one before the others.
pub fn online(name: &str, ocss: &[&Peer], more: &str) -> Server {
    Server::start(&asking(name, ocss, more))
}

/// The settings of a server that asks these OCSs.
fn asking(name: &str, ocss: &[&Peer], more: &str) -> String {
    let mut settings = format!(
        "[charging]\norigin_host = \"{name}\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
         watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\nanswer_timeout_ms = 30000\n\
         [charging.online]\n{more}\n"
    );
    for (priority, ocs) in ocss.iter().enumerate() {
        settings += &place("charging.online.peers", ocs, priority);
    }
    settings
}

/// A peer in a configuration. A relay serves other realms than its own.
pub fn place(table: &str, peer: &Peer, priority: usize) -> String {
    let (host, port) = (peer.host, peer.tap.port);
    format!(
        "[[{table}]]\nhost = \"{host}\"\nrealm = \"test\"\naddress = \"127.0.0.1:{port}\"\npriority = {priority}\n"
    )
}

/// The value of a metric by its full name and labels.
pub fn metric(server: &Server, name: &str) -> Option<i64> {
    let page = http(server.http, "GET", "/metrics", &[], "").body;
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

pub fn until(server: &Server, limit: Duration, name: &str, value: i64) {
    let reached = eventually(limit, || {
        (metric(server, name) == Some(value)).then_some(())
    });
    assert!(
        reached.is_some(),
        "{name} is {:?}, not {value}",
        metric(server, name)
    );
}

pub fn until_up(server: &Server, host: &str, limit: Duration) {
    until(server, limit, &open(host), 1);
}

pub fn until_down(server: &Server, host: &str, limit: Duration) {
    until(server, limit, &open(host), 0);
}

fn open(host: &str) -> String {
    format!("presentia_diameter_peer_open{{peer=\"{host}\"}}")
}

/// A PUBLISH for a user who is called like the row, with a script in its icid.
fn publication(row: &str, script: &str) -> Request {
    let user = format!("sip:{row}@ims.test");
    let icid = format!("icid-value=\"{row}{script}\"");
    Request::publish(&user, &pidf(&user, "open", "here")).with("P-Charging-Vector", &icid)
}

fn ask(server: &Server, request: &Request) -> Message {
    Ua::new(server.sip).ask(request)
}

/// Publishes where charging never stands in the way.
fn publish(server: &Server, row: &str, script: &str) {
    assert_eq!(
        ask(server, &publication(row, script)).status(),
        Some(200),
        "whatever becomes of the record"
    );
}

/// Publishes until something of it reaches `peer`: after a line broke the other side takes nothing before its own
/// watchdogs have gone round three times (RFC 3539 §3.4.1), which nobody else sees. The row that came.
fn until_taken(server: &Server, peer: &Peer, stem: &str) -> String {
    for i in 0..20 {
        let row = format!("{stem}{i}");
        ask(server, &publication(&row, ""));
        let taken = || (!peer.of(&row).is_empty()).then_some(());
        if eventually(Duration::from_secs(2), taken).is_some() {
            return row;
        }
    }
    panic!("{stem} never reaches {}", peer.host);
}

/// Waits until `look` gives what is wanted, and says what it gave at last.
fn settles<T: PartialEq + std::fmt::Debug>(
    what: &str,
    limit: Duration,
    wanted: &T,
    mut look: impl FnMut() -> T,
) {
    eventually(limit, || (look() == *wanted).then_some(()));
    assert_eq!(look(), *wanted, "{what}");
}

const PATIENCE: Duration = Duration::from_secs(3 * SOON.as_secs());
