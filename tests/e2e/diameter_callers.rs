//! Diameter peers of another make that connect to us: alone, and while we connect to them (RFC 6733 §5.6.4).

use crate::diameter_table::{
    DEPTH, Lab, Make, Peer, Tap, offline, one, place, until, until_down, until_up,
};
use crate::harness::{Request, SOON, Server, Ua, eventually, free_port, pidf};
use std::time::Duration;

const BOB: &str = "sip:bob@ims.test";

/// Both have started, found each other and, if they collided, tried again.
const FOUND: Duration = Duration::from_secs(40);

/// A server that listens at `door` for these peers, and connects to them by itself or not.
fn server(peers: &[&Peer], door: u16, connect: bool) -> Server {
    let mut settings = format!(
        "listen = \"127.0.0.1:{door}\"\nanswer_timeout_ms = 2000\n[charging.online]\npublish = \"iec\"\n"
    );
    for peer in peers {
        let table = match peer.host.starts_with("ocs") {
            true => "charging.online.peers",
            false => "charging.peers",
        };
        settings += &place(table, peer, 0);
        settings += &format!("connect = {connect}\n");
    }
    offline(&[], &settings)
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

/// A PUBLISH is charged, and exactly one connection stands for each peer. Returns the ports where they were accepted.
fn is_served(server: &Server, peers: &[&Peer], door: u16) -> Vec<u16> {
    let cdf = peers[0];
    until_up(server, cdf.host, FOUND);
    let publish = Request::publish(BOB, &pidf(BOB, "open", "here"));
    assert_eq!(Ua::new(server.sip).ask(&publish).status(), Some(200));
    let records = cdf.sessions(1, FOUND);
    assert_eq!(one(&records[0], "SIP-Method"), "PUBLISH");
    let mut ports = vec![door];
    ports.extend(peers.iter().map(|peer| peer.tap.port));
    let single = eventually(FOUND, || {
        Some(connections(&ports)).filter(|found| found.len() == peers.len())
    });
    single.unwrap_or_else(|| panic!("at {:?}", connections(&ports)))
}

/// A CDF and an OCS that connect to us serve us as if we had connected to them, also after they were away. What passes
/// at our door is judged like everything else.
fn connects_to_us(make: Make) {
    if !make.is_there() {
        return;
    }
    let lab = Lab::new("caller", make);
    let door = free_port();
    let outside = Tap::new(door, &lab.capture);
    let [mut cdf, mut ocs] = ["cdf1.test", "ocs1.test"].map(|host| lab.peer(make, host));
    for peer in [&mut cdf, &mut ocs] {
        peer.connect = Some(outside.port);
    }
    let server = server(&[&cdf, &ocs], door, false);
    cdf.launch();
    ocs.launch();
    until_up(&server, ocs.host, FOUND);
    assert_eq!(
        is_served(&server, &[&cdf, &ocs], door),
        [door; 2],
        "we never connect"
    );
    assert_eq!(ocs.sessions(1, SOON).len(), 1, "the debit");

    cdf.terminate();
    until_down(&server, cdf.host, SOON);
    let publish = Request::publish(BOB, &pidf(BOB, "open", "meanwhile"));
    assert_eq!(Ua::new(server.sip).ask(&publish).status(), Some(200));
    until(&server, SOON, DEPTH, 1);
    cdf.start();
    let records = cdf.sessions(2, FOUND);
    assert_eq!(one(&records[1], "T"), "1", "it waited while no CDF was up");
    until(&server, SOON, DEPTH, 0);
    server.stop();
    let text = lab.judged();
    for command in [
        "Capabilities-Exchange (257)",
        "Accounting (271)",
        "Credit-Control (272)",
    ] {
        let passed = text.contains(&format!("Command Code: {command}"));
        assert!(passed || text.is_empty(), "{command} at our door");
    }
}

#[test]
fn freediameter_connects_to_us_and_gets_the_records() {
    connects_to_us(Make::FreeDiameter);
}

#[test]
fn python_diameter_connects_to_us_and_gets_the_records() {
    connects_to_us(Make::Python);
}

#[test]
fn erlang_diameter_connects_to_us_and_gets_the_records() {
    connects_to_us(Make::Erlang);
}

/// Both connect, several times, whoever is there first; ours is the higher name, or theirs.
fn both_connect(make: Make) {
    if !make.is_there() {
        return;
    }
    let once = |host, server_first| {
        let lab = Lab::new(&format!("election {host} {server_first}"), make);
        let door = free_port();
        let mut cdf = lab.peer(make, host);
        cdf.connect = Some(Tap::new(door, &lab.capture).port);
        let server = match server_first {
            true => {
                let server = server(&[&cdf], door, true);
                cdf.start();
                server
            }
            false => {
                cdf.start();
                server(&[&cdf], door, true)
            }
        };
        is_served(&server, &[&cdf], door);
        server.stop();
    };
    std::thread::scope(|scope| {
        for (host, server_first) in [
            ("cdf1.test", true),
            ("cdf1.test", false),
            ("zz.test", true),
            ("zz.test", false),
        ] {
            scope.spawn(move || once(host, server_first));
        }
    });
}

#[test]
fn freediameter_and_we_connect_at_once_and_one_connection_is_left() {
    both_connect(Make::FreeDiameter);
}

#[test]
fn python_diameter_and_we_connect_at_once_and_one_connection_is_left() {
    both_connect(Make::Python);
}

#[test]
fn erlang_diameter_and_we_connect_at_once_and_one_connection_is_left() {
    both_connect(Make::Erlang);
}
