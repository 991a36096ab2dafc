//! What makes records, and what becomes of them.

use super::*;
use crate::diameter_table::{DEPTH, until};
use crate::harness::http;
use std::fs;

pub const SHOWN: &[Shown] = &[
    ("One CDF", one),
    ("Primary and secondary CDF", two),
    ("A second site in another realm", another_realm),
    ("The core names the CDF and the OCS", named),
    ("Only failures", failures),
    (
        "Only what changes presence, and only when it succeeds",
        successes,
    ),
    ("NOTIFYs by the hour", by_the_hour),
    ("The watcher pays", watcher_pays),
    ("A local CDF of last resort", last_resort),
    ("A CDF with AVPs of its own", own_avps),
];

const CDF1: &str = "cdf1.home1.example";
const CDF2: &str = "cdf2.home1.example";
const PLACE1: &str = "192.0.2.10:3868";
const PLACE2: &str = "198.51.100.10:3868";

/// CHG-01.
#[test]
fn recipes_for_records_do_what_they_say() {
    show(SHOWN);
}

/// The recipe with its one CDF, started and connected.
fn at_one(heading: &str) -> (tempfile::TempDir, Sim, Server) {
    let folder = tempfile::tempdir().unwrap();
    let cdf = sim(folder.path(), "cdf", CDF1, &[]);
    let server = recipe(heading)
        .with(PLACE1, &cdf.address)
        .start_with(&[CDF1]);
    (folder, cdf, server)
}

fn one() {
    let (_folder, cdf, server) = at_one("One CDF");
    assert_eq!(publish(&server, BOB, true), Some(200));
    let records = cdf.wait("ACR", 1);
    assert_eq!(each(&records, "Origin-Host"), ["ps1.home1.example"]);
    assert_eq!(each(&records, "Origin-Realm"), ["home1.example"]);
    assert_eq!(each(&records, "Destination-Realm"), ["home1.example"]);
    all_sent(&server);
    server.stop();
}

/// A primary, and a secondary that gets what comes when the primary has gone. Destination-Realms of what they got.
fn primary_and(heading: &str, other: &str) -> [Vec<String>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let primary = sim(folder.path(), "cdf", CDF1, &[]);
    let secondary = sim(folder.path(), "cdf", other, &[]);
    let recipe = recipe(heading).with(PLACE1, &primary.address);
    let server = recipe
        .with(PLACE2, &secondary.address)
        .start_with(&[CDF1, other]);
    for _ in 0..3 {
        assert_eq!(publish(&server, BOB, true), Some(200));
    }
    let first = primary.wait("ACR", 3);
    assert_eq!(secondary.requests("ACR").len(), 0, "the primary is up");
    drop(primary);
    assert_eq!(publish(&server, BOB, true), Some(200));
    let second = secondary.wait("ACR", 1);
    all_sent(&server);
    server.stop();
    [first, second].map(|records| each(&records, "Destination-Realm"))
}

fn two() {
    let [first, second] = primary_and("Primary and secondary CDF", CDF2);
    assert_eq!(
        (first, second),
        (
            vec!["home1.example".into(); 3],
            vec!["home1.example".into()]
        )
    );
}

fn another_realm() {
    let [first, second] = primary_and("A second site in another realm", "cdf1.home2.example");
    assert_eq!(
        (first, second),
        (
            vec!["home1.example".into(); 3],
            vec!["home2.example".into()]
        )
    );
}

/// The first ccf is the primary, the second the secondary; an ecf names an OCS; without them the configured CDF.
fn named() {
    let folder = tempfile::tempdir().unwrap();
    let own = sim(folder.path(), "cdf", CDF1, &[]);
    let [primary, secondary] = ["cdf7.home1.example", "cdf8.home1.example"]
        .map(|host| sim(folder.path(), "cdf", host, &[]));
    let ocs = sim(
        folder.path(),
        "ocs",
        "ocs7.home1.example",
        &["--balance", "sip:bob@ims.test=1"],
    );
    let server = recipe("The core names the CDF and the OCS")
        .with(PLACE1, &own.address)
        .start_with(&[CDF1]);
    let ask = |addresses: &str| {
        let request = Request::publish(BOB, &pidf(BOB, "open", "here"))
            .with("P-Charging-Function-Addresses", addresses);
        Ua::new(server.sip).ask(&request).status()
    };
    let at = |sim: &Sim| format!("\"aaa://{};transport=tcp\"", sim.address);
    let both = format!("ccf={};ccf={}", at(&primary), at(&secondary));
    assert_eq!(ask(&both), Some(200));
    let record = primary.wait("ACR", 1);
    assert_eq!(each(&record, "Destination-Host"), ["cdf7.home1.example"]);
    drop(primary);
    assert_eq!(ask(&both), Some(200));
    let record = secondary.wait("ACR", 1);
    assert_eq!(each(&record, "Destination-Host"), ["cdf8.home1.example"]);
    let charged = format!("ecf={}", at(&ocs));
    assert_eq!(
        [ask(&charged), ask(&charged)],
        [Some(200), Some(402)],
        "bob has one unit"
    );
    assert_eq!(ocs.wait("CCR", 2).len(), 2);
    assert_eq!(publish(&server, BOB, true), Some(200));
    assert_eq!(
        own.wait("ACR", 3).len(),
        3,
        "two with an ecf alone, one with nothing"
    );
    server.stop();
}

fn failures() {
    let (_folder, cdf, server) = at_one("Only failures");
    let mut ua = Ua::new(server.sip);
    assert_eq!(publish(&server, BOB, true), Some(200));
    ua.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(publish(&server, BOB, false), Some(412));
    let records = cdf.wait("ACR", 1);
    all_sent(&server);
    server.stop();
    assert_eq!(
        cdf.requests("ACR").len(),
        1,
        "of three requests and their NOTIFYs"
    );
    assert_eq!(each(&records, "Cause-Code"), ["412"]);
}

fn successes() {
    let (_folder, cdf, server) = at_one("Only what changes presence, and only when it succeeds");
    let mut ua = Ua::new(server.sip);
    ua.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(publish(&server, BOB, false), Some(412));
    assert_eq!(publish(&server, BOB, true), Some(200));
    let records = cdf.wait("ACR", 1);
    all_sent(&server);
    server.stop();
    assert_eq!(cdf.requests("ACR").len(), 1);
    assert_eq!(each(&records, "SIP-Method"), ["PUBLISH"]);
    assert_eq!(
        each(&records, "Service-Context-Id"),
        ["ext.001.01.15.32260@3gpp.org"]
    );
}

/// An hour is too long for a test: NOTIFYs gather, and only the one that failed has a record.
fn by_the_hour() {
    let (_folder, cdf, server) = at_one("NOTIFYs by the hour");
    let mut ua = Ua::new(server.sip);
    let (dialog, _) = ua.watch(&Request::subscribe(BOB, BOB));
    for note in ["one", "two"] {
        let request = Request::publish(BOB, &pidf(BOB, "open", note));
        assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
        while !ua.notify(&dialog.call_id).body.contains(note) {}
    }
    ua.answer = Some("500 Server Internal Error");
    assert_eq!(publish(&server, BOB, true), Some(200));
    ua.notify(&dialog.call_id);
    let failed = || {
        let records = cdf.requests("ACR");
        let notifies = records
            .into_iter()
            .filter(|r| values(r, "SIP-Method") == ["NOTIFY"]);
        Some(notifies.collect::<Vec<_>>()).filter(|found| !found.is_empty())
    };
    let failed = eventually(SOON, failed).expect("the NOTIFY that failed");
    assert_eq!(each(&failed, "Cause-Code"), ["500"]);
    let report = http(server.http, "GET", "/charging/report", &[], "").body;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["open"], 1, "{report}");
    server.stop();
}

/// Alice watches bob, through the S-CSCF of bob.
fn watcher_pays() {
    let (_folder, cdf, server) = at_one("The watcher pays");
    let rules = crate::harness::rules(ALICE, "allow");
    assert!(matches!(server.put_rules(BOB, &rules), 200 | 201));
    let request =
        Request::subscribe(ALICE, BOB).with("P-Served-User", format!("<{BOB}>;sescase=term"));
    Ua::new(server.sip).watch(&request);
    let records = cdf.wait("ACR", 2);
    assert_eq!(
        each(&records, "Subscription-Id-Data"),
        [ALICE; 2],
        "of SUBSCRIBE and NOTIFY"
    );
    server.stop();
}

/// With two instead of a million, no CDF, and files that are complete at once.
fn last_resort() {
    let folder = tempfile::tempdir().unwrap();
    let cdrs = folder.path().join("cdrs");
    let recipe = recipe("A local CDF of last resort").with(PLACE1, "127.0.0.1:1");
    let recipe = recipe.with("spool_max_records = 1000000", "spool_max_records = 2");
    let recipe = recipe.with("/var/lib/presentia/cdrs", cdrs.to_str().unwrap());
    let server = recipe.start();
    for _ in 0..5 {
        assert_eq!(publish(&server, BOB, true), Some(200));
    }
    let written = || {
        let files = fs::read_dir(&cdrs).ok()?.filter_map(Result::ok);
        let csv = files.filter(|file| file.file_name().to_string_lossy().contains(".csv"));
        let text: String = csv
            .map(|file| fs::read_to_string(file.path()).unwrap_or_default())
            .collect();
        (text
            .lines()
            .filter(|line| line.contains("exported"))
            .count()
            == 3)
            .then_some(text)
    };
    let text = eventually(SOON, written).expect("three records in a file");
    assert!(text.starts_with("number,session_id,state"), "{text}");
    until(&server, SOON, DEPTH, 2);
    assert!(
        server.log().contains("the spool is at its limit"),
        "{}",
        server.log()
    );
    server.stop();
}

fn own_avps() {
    let folder = tempfile::tempdir().unwrap();
    let cdf = sim(folder.path(), "cdf", CDF1, &[]);
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples");
    let recipe = recipe("A CDF with AVPs of its own").with("/etc/presentia", examples);
    let server = recipe.with(PLACE1, &cdf.address).start_with(&[CDF1]);
    let request = Request::publish(BOB, &pidf(BOB, "open", "here"))
        .with("P-Charging-Vector", "icid-value=4711");
    assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
    let record = &cdf.wait("ACR", 1)[0];
    all_sent(&server);
    server.stop();
    assert_eq!(
        values(record, "Content-Length"),
        Vec::<String>::new(),
        "dropped"
    );
    // Wireshark and the simulator have no names for them
    let text = cdf.unjudged();
    let lines = text
        .lines()
        .filter_map(|line| line.split_once("AVP: Unknown("));
    let unknown: Vec<&str> = lines.map(|(_, line)| line).collect();
    let ours = [
        "8) l=16 f=V-- vnd=9999 val=34373131",
        "7) l=16 f=V-- vnd=9999 val=0000002a",
    ];
    if !text.is_empty() {
        assert_eq!(unknown, ours, "the icid, and 42");
    }
}
