//! What asks for credit, and what an OCS that is not there changes.

use super::*;
use crate::diameter_table::until_down;

pub const SHOWN: &[Shown] = &[
    ("Prepaid publishing", prepaid),
    ("An OCS with reservations (ECUR)", reservations),
    ("Lasting sessions", sessions),
    ("CDF and OCS in one", both_in_one),
];

const OCS1: &str = "ocs1.home1.example";
const OCS2: &str = "ocs2.home1.example";
const PLACE1: &str = "192.0.2.20:3868";
const PLACE2: &str = "198.51.100.20:3868";

/// CHG-03.
#[test]
fn recipes_for_credit_do_what_they_say() {
    show(SHOWN);
}

fn prepaid() {
    let folder = tempfile::tempdir().unwrap();
    let ocs = sim(
        folder.path(),
        "ocs",
        OCS1,
        &["--balance", "sip:bob@ims.test=1"],
    );
    let server = recipe("Prepaid publishing")
        .with(PLACE1, &ocs.address)
        .start_with(&[OCS1]);
    let mut ua = Ua::new(server.sip);
    let statuses = [true, true].map(|good| publish(&server, BOB, good));
    assert_eq!(statuses, [Some(200), Some(402)]);
    ua.watch(&Request::subscribe(BOB, BOB));
    let asked = ocs.wait("CCR", 2);
    assert_eq!(
        each(&asked, "Requested-Action"),
        ["0", "0"],
        "two debits, and watching is free"
    );
    let address = ocs.address.clone();
    drop(ocs);
    until_down(&server, OCS1, SOON);
    assert_eq!(
        publish(&server, BOB, true),
        Some(200),
        "served, and debited later"
    );
    let again = folder.path().join("again");
    std::fs::create_dir_all(&again).unwrap();
    let ocs = Sim::at(
        &address,
        &again,
        &["ocs", "--host", OCS1, "--realm", "home1.example"],
    );
    // after three watchdogs (RFC 3539 §3.4.1)
    let later = eventually(4 * SOON, || ocs.requests("CCR").into_iter().next());
    assert_eq!(later.expect("the debit")["t"], true);
    server.stop();
}

fn reservations() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [OCS1, OCS2].map(|host| sim(folder.path(), "ocs", host, &[]));
    let recipe = recipe("An OCS with reservations (ECUR)").with(PLACE1, &first.address);
    let server = recipe
        .with(PLACE2, &second.address)
        .start_with(&[OCS1, OCS2]);
    assert_eq!(publish(&server, BOB, true), Some(200));
    assert_eq!(publish(&server, BOB, false), Some(412));
    let asked = first.wait("CCR", 4);
    assert_eq!(second.requests("CCR").len(), 0, "the first is up");
    let words = |name: &str| each(&asked, name);
    assert_eq!(words("CC-Request-Type"), ["1", "3", "1", "3"]);
    assert_eq!(
        words("CC-Service-Specific-Units"),
        ["1", "1", "1", "0"],
        "asked for and used"
    );
    assert_eq!(words("Rating-Group"), ["100"; 4]);
    assert_eq!(words("Service-Identifier"), ["17"; 4]);
    drop(first);
    until_down(&server, OCS1, SOON);
    assert_eq!(publish(&server, BOB, true), Some(200));
    assert_eq!(second.wait("CCR", 2).len(), 2);
    drop(second);
    until_down(&server, OCS2, SOON);
    assert_eq!(
        publish(&server, BOB, true),
        Some(503),
        "nobody can be asked"
    );
    server.stop();
}

/// Bob, whom someone else watches; what he publishes is told.
fn is_told(server: &Server, ua: &mut Ua, dialog: &str, note: &str) {
    let request = Request::publish(BOB, &pidf(BOB, "open", note));
    assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
    while !ua.notify(dialog).body.contains(note) {}
}

fn sessions() {
    let folder = tempfile::tempdir().unwrap();
    let ocs = sim(folder.path(), "ocs", OCS1, &[]);
    let server = recipe("Lasting sessions")
        .with(PLACE1, &ocs.address)
        .start_with(&[OCS1]);
    let mut ua = Ua::new(server.sip);
    let (dialog, _) = ua.watch(&Request::subscribe(BOB, BOB));
    is_told(&server, &mut ua, &dialog.call_id, "here");
    let (mut other, _) = ua.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(ua.ask(&other.refresh(0)).status(), Some(200));
    ua.notify(&other.call_id);
    let asked = ocs.wait("CCR", 3);
    assert_eq!(each(&asked, "CC-Request-Type"), ["1", "1", "3"]);
    let units = each(&asked, "CC-Service-Specific-Units");
    assert_eq!(units[..2], ["10", "10"], "asked for at once");
    assert!(
        ["1", "2"].contains(&units[2].as_str()),
        "NOTIFYs taken: {units:?}"
    );
    drop(ocs);
    until_down(&server, OCS1, SOON);
    is_told(&server, &mut ua, &dialog.call_id, "while the OCS is away");
    let (new, _) = ua.watch(&Request::subscribe(BOB, BOB));
    is_told(&server, &mut ua, &new.call_id, "without a session");
    server.stop();
}

fn both_in_one() {
    const CCS: &str = "ccs.home1.example";
    let folder = tempfile::tempdir().unwrap();
    let system = sim(folder.path(), "ocs", CCS, &["--both"]);
    let server = recipe("CDF and OCS in one")
        .with("192.0.2.30:3868", &system.address)
        .start_with(&[CCS]);
    let mut ua = Ua::new(server.sip);
    ua.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(publish(&server, BOB, true), Some(200));
    let refused = Request::subscribe(BOB, BOB)
        .without("Event")
        .with("Event", "nonsense")
        .without("Accept");
    assert_eq!(ua.ask(&refused).status(), Some(489));
    system.wait("CCR", 1);
    system.wait("ACR", 2);
    server.stop();
    let booked = system.requests("ACR");
    let mut causes = each(&booked, "Cause-Code");
    causes.sort_unstable();
    assert_eq!(causes, ["-1", "489"], "the PUBLISH, and what was refused");
    let paid = each(&system.requests("CCR"), "SIP-Method");
    assert!(paid.iter().all(|method| method == "SUBSCRIBE"), "{paid:?}");
    assert_eq!(system.requests("connected").len(), 1);
}
