//! Diameter peers of another make that connect to us: alone, and while we connect to them (RFC 6733 §5.6.4).

use crate::diameter_table::{Lab, Make, Peer, offline, one, until_up};
use crate::harness::{Request, Server, Ua, eventually, free_port, pidf};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// Both have started, found each other and, if they collided, tried again.
const FOUND: Duration = Duration::from_secs(40);

/// A server that listens for this CDF at `door`, and connects to it by itself or not.
fn server(cdf: &Peer, door: u16, connect: bool) -> Server {
    let listen = format!("listen = \"127.0.0.1:{door}\"\n");
    if connect {
        return offline(&[cdf], &listen);
    }
    let (host, port) = (cdf.host, cdf.tap.port);
    let peer = format!(
        "[[charging.peers]]\nhost = \"{host}\"\naddress = \"127.0.0.1:{port}\"\nconnect = false\n"
    );
    offline(&[], &(listen + &peer))
}

/// Established connections to one of these ports, by the end that accepted.
fn connections(ports: &[u16]) -> Vec<u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
        (state == "01" && ports.contains(&port)).then_some(port)
    };
    table.lines().filter_map(local).collect()
}

/// A PUBLISH is charged, and exactly one connection stands for it. Returns the port where it was accepted.
fn is_served(server: &Server, cdf: &Peer, door: u16) -> u16 {
    until_up(server, cdf.host, FOUND);
    let publish = Request::publish(BOB, &pidf(BOB, "open", "here"));
    assert_eq!(Ua::new(server.sip).ask(&publish).status(), Some(200));
    let records = cdf.sessions(1, FOUND);
    assert_eq!(one(&records[0], "SIP-Method"), "PUBLISH");
    let single = eventually(FOUND, || match connections(&[door, cdf.tap.port])[..] {
        [port] => Some(port),
        _ => None,
    });
    single.unwrap_or_else(|| panic!("at {:?}", connections(&[door, cdf.tap.port])))
}

fn connects_to_us(make: Make) {
    if !make.is_there() {
        return;
    }
    let lab = Lab::new("caller", make);
    let door = free_port();
    let mut cdf = lab.peer(make, "cdf1.test");
    cdf.connect = Some(door);
    let server = server(&cdf, door, false);
    cdf.start();
    assert_eq!(is_served(&server, &cdf, door), door, "we never connect");
}

#[test]
fn freediameter_connects_to_us_and_gets_the_records() {
    connects_to_us(Make::FreeDiameter);
}

#[test]
fn python_diameter_connects_to_us_and_gets_the_records() {
    connects_to_us(Make::Python);
}

/// Both connect, several times, whoever is there first; ours is the higher name, or theirs.
fn both_connect(make: Make) {
    if !make.is_there() {
        return;
    }
    for host in ["cdf1.test", "zz.test"] {
        for server_first in [true, false] {
            let lab = Lab::new("election", make);
            let door = free_port();
            let mut cdf = lab.peer(make, host);
            cdf.connect = Some(door);
            let server = match server_first {
                true => {
                    let server = server(&cdf, door, true);
                    cdf.start();
                    server
                }
                false => {
                    cdf.start();
                    server(&cdf, door, true)
                }
            };
            is_served(&server, &cdf, door);
        }
    }
}

#[test]
fn freediameter_and_we_connect_at_once_and_one_connection_is_left() {
    both_connect(Make::FreeDiameter);
}

#[test]
fn python_diameter_and_we_connect_at_once_and_one_connection_is_left() {
    both_connect(Make::Python);
}
