//! How charging systems are connected: through agents, over TLS, over IPv6, and by themselves.

use super::*;
use crate::diameter_table::{DEPTH, Lab, Make, one as value, until, until_down};
use crate::harness::{free_port, http};
use std::net::{Ipv6Addr, TcpListener};
use std::process::Command;

pub const SHOWN: &[Shown] = &[
    ("Over IPv6", ipv6),
    ("Through a relay or DRA", agents),
    ("TLS with a certificate of ours", tls),
    ("Peers that connect to us", callers),
];

const US: &str = "ps1.home1.example";
const CDF1: &str = "cdf1.home1.example";
const CDF2: &str = "cdf2.home1.example";

/// CHG-01 and CHG-02.
#[test]
fn recipes_for_connections_do_what_they_say() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    show(SHOWN);
}

/// At a simulator and at freeDiameter.
fn ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("passed over: this machine has no IPv6");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    std::fs::create_dir_all(&simulated).unwrap();
    let simulated = Sim::at(
        "[::1]:0",
        &simulated,
        &["cdf", "--host", CDF1, "--realm", "home1.example"],
    );
    let lab = Lab::new("recipe ipv6", Make::FreeDiameter);
    let mut foreign = lab.peer(Make::FreeDiameter, CDF1).in_its_realm(US);
    let port = foreign.over_ipv6();
    foreign.start();
    let start = |address: &str| {
        let recipe = recipe("Over IPv6").with("[2001:db8::10]:3868", address);
        let server = recipe.start_with(&[CDF1]);
        assert_eq!(publish(&server, BOB, true), Some(200));
        server
    };
    let server = start(&simulated.address);
    simulated.wait("ACR", 1);
    server.stop();
    let server = start(&format!("[::1]:{port}"));
    let records = foreign.sessions(1, SOON);
    assert_eq!(value(&records[0], "Origin-Host"), US);
    server.stop();
}

/// One CDF behind two agents: what was sent by the first goes on by the second when the first is killed.
fn agents() {
    const CDF: &str = "cdf1.charging.example";
    let folder = tempfile::tempdir().unwrap();
    let cdf = sim(folder.path(), "cdf", CDF, &[]);
    let port = cdf.address.rsplit(':').next().unwrap().parse().unwrap();
    let lab = Lab::new("recipe agents", Make::FreeDiameter);
    let agent = |host| lab.relay_to(host, "home1.example", vec![(CDF, port)], "charging.example");
    let [mut first, mut second] = ["dra1.home1.example", "dra2.home1.example"].map(agent);
    first.launch();
    second.start();
    first.until_listening();
    first.until_connected(1);
    second.until_connected(1);
    let mut recipe = recipe("Through a relay or DRA");
    for (written, agent) in [("192.0.2.30:3868", &first), ("192.0.2.31:3868", &second)] {
        recipe = recipe.with(written, &format!("127.0.0.1:{}", agent.tap.port));
    }
    let server = recipe.start_with(&[first.host, second.host]);
    assert_eq!(publish(&server, BOB, true), Some(200));
    let records = cdf.wait("ACR", 1);
    assert_eq!(each(&records, "Destination-Realm"), ["charging.example"]);
    assert_eq!(each(&records, "Route-Record")[0], US);
    all_sent(&server);
    first.kill9();
    until_down(&server, first.host, SOON);
    assert_eq!(publish(&server, BOB, true), Some(200));
    assert_eq!(cdf.wait("ACR", 2).len(), 2);
    all_sent(&server);
    let counted = || {
        let report = http(server.http, "GET", "/charging/report", &[], "").body;
        assert!(!report.contains(CDF), "counted by agent: {report}");
        report.contains(second.host).then_some(())
    };
    eventually(SOON, counted).expect("the second agent in the report");
    server.stop();
}

/// An authority, and certificates that it has given to these names: `ca.pem`, `NAME.pem` and `NAME.key`.
fn certificates(folder: &Path, names: &[&str]) {
    let openssl = |line: &str| {
        let mut openssl = Command::new("openssl");
        let done = openssl
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
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -days 2 -keyout ca.key -out ca.pem -subj /CN=authority"
    ));
    for name in names {
        let extensions = format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(folder.join("names"), extensions).unwrap();
        openssl(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        ));
    }
}

/// The recipe with our certificate from this folder.
fn with_certificate(heading: &str, folder: &Path) -> Recipe {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    recipe(heading)
        .with("/etc/presentia/cdf-ca.pem", &file("ca.pem"))
        .with("/etc/presentia/ps1.pem", &file(&format!("{US}.pem")))
        .with("/etc/presentia/ps1.key", &file(&format!("{US}.key")))
}

/// Whom freeDiameter knows by a certificate of its authority it serves, and nobody else; nor do we talk to one whose
/// certificate names another host.
fn tls() {
    const HEADING: &str = "TLS with a certificate of ours";
    let folder = tempfile::tempdir().unwrap();
    let [own, strange] = ["own", "strange"].map(|name| folder.path().join(name));
    for folder in [&own, &strange] {
        std::fs::create_dir_all(folder).unwrap();
        certificates(folder, &[US, CDF1, CDF2]);
    }
    let lab = Lab::new("recipe tls", Make::FreeDiameter);
    let mut cdf = lab.peer(Make::FreeDiameter, CDF1).in_its_realm(US);
    let address = format!("127.0.0.1:{}", cdf.over_tls(&own));
    let written = "cdf1.home1.example:5868";
    cdf.start();
    let server = with_certificate(HEADING, &own)
        .with(written, &address)
        .start_with(&[CDF1]);
    assert_eq!(publish(&server, BOB, true), Some(200));
    let records = cdf.sessions(1, SOON);
    assert_eq!(value(&records[0], "Origin-Host"), US);
    all_sent(&server);
    server.stop();

    let ours = |name: &str| own.join(name).to_str().unwrap().to_owned();
    let theirs = |name: &str| strange.join(name).to_str().unwrap().to_owned();
    let (pem, key) = (format!("{US}.pem"), format!("{US}.key"));
    let stranger = with_certificate(HEADING, &own)
        .with(&ours(&pem), &theirs(&pem))
        .with(&ours(&key), &theirs(&key));
    let misnamed = with_certificate(HEADING, &own)
        .with(&format!("host = \"{CDF1}\""), &format!("host = \"{CDF2}\""));
    for (recipe, why) in [(stranger, ""), (misnamed, "certificate")] {
        let server = recipe.with(written, &address).start();
        assert_eq!(publish(&server, BOB, true), Some(200));
        let told = || {
            let log = server.log();
            let line = log
                .lines()
                .find(|line| line.contains("charging peer is not up"))?;
            Some(line.to_owned())
        };
        let told = eventually(SOON, told).expect("a line in the log");
        assert!(told.contains(why), "{told}");
        until(&server, SOON, DEPTH, 1);
        server.stop();
    }
    assert_eq!(cdf.records().len(), 1, "from nobody else");
}

/// One in the clear, one over TLS; the second gets what comes when the first is gone.
fn callers() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), &[US, CDF1, CDF2]);
    let (clear, secure) = (free_port(), free_port());
    let lab = Lab::new("recipe callers", Make::FreeDiameter);
    let [mut first, mut second] =
        [CDF1, CDF2].map(|host| lab.peer(Make::FreeDiameter, host).in_its_realm(US));
    second.over_tls(folder.path());
    (first.connect, second.connect) = (Some(clear), Some(secure));
    let server = with_certificate("Peers that connect to us", folder.path())
        .with("192.0.2.1:3868", &format!("127.0.0.1:{clear}"))
        .with("192.0.2.1:5868", &format!("127.0.0.1:{secure}"))
        .with("192.0.2.10:3868", "127.0.0.1:3868")
        .with("cdf2.home1.example:5868", "127.0.0.1:5868")
        .start();
    first.launch();
    second.launch();
    [CDF1, CDF2]
        .iter()
        .for_each(|host| until_up(&server, host, 4 * SOON));
    assert_eq!(publish(&server, BOB, true), Some(200));
    assert_eq!(first.sessions(1, SOON).len(), 1);
    first.kill9();
    until_down(&server, CDF1, SOON);
    assert_eq!(publish(&server, BOB, true), Some(200));
    assert_eq!(second.sessions(1, SOON).len(), 1);
    all_sent(&server);
    server.stop();
}
