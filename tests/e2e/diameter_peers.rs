//! Charging against independent Diameter implementations: freeDiameter, python-diameter and Wireshark's decoder.
//!
//! `tests/peers/README.md` says what each needs. CHG-01 and CHG-02 are shown here.

use crate::diameter_table::{
    DEPTH, Lab, Make, REOPENED, Record, metric, offline, one, until, until_up,
};
use crate::harness::{Request, SOON, Server, Ua, peers, pidf};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const BOB: &str = "sip:bob@ims.test";

fn publish(ua: &mut Ua, user: &str, more: &[(&str, &str)]) {
    let mut request = Request::publish(user, &pidf(user, "open", "here"));
    for (name, value) in more {
        request = request.with(name, value);
    }
    assert_eq!(
        ua.ask(&request).status(),
        Some(200),
        "whatever becomes of the record"
    );
}

/// One of each: third-party REGISTER, PUBLISH, SUBSCRIBE and the NOTIFY that follows.
fn one_of_each(server: &Server) {
    let mut ua = Ua::new(server.sip);
    let register = Request::new("REGISTER", "sip:ps.test")
        .with("From", "<sip:scscf.ims.test>;tag=s")
        .with("To", format!("<{BOB}>"))
        .with("Contact", "<sip:scscf.ims.test:5070>")
        .with("Expires", 600)
        .with(
            "P-Charging-Vector",
            "icid-value=\"icid-REGISTER\";orig-ioi=ims.test",
        );
    assert_eq!(ua.ask(&register).status(), Some(200));
    publish(
        &mut ua,
        BOB,
        &[(
            "P-Charging-Vector",
            "icid-value=\"icid-PUBLISH\";orig-ioi=ims.test",
        )],
    );
    let subscribe = Request::subscribe(BOB, BOB).with(
        "P-Charging-Vector",
        "icid-value=\"icid-SUBSCRIBE\";orig-ioi=ims.test",
    );
    ua.watch(&subscribe);
}

/// CHG-01, as this CDF decodes it.
fn each_method_makes_one_record(make: Make) {
    if !make.is_there() {
        return;
    }
    let lab = Lab::new("each_method_makes_one_record", make);
    let mut cdf = lab.peer(make, "cdf1.test");
    cdf.start();
    let server = offline(&[&cdf], "");
    until_up(&server, cdf.host, SOON);
    one_of_each(&server);
    let mut records = cdf.sessions(4, SOON);
    records.sort_by_key(|record| one(record, "SIP-Method").to_owned());
    let methods: Vec<&str> = records
        .iter()
        .map(|record| one(record, "SIP-Method"))
        .collect();
    assert_eq!(
        methods,
        ["NOTIFY", "PUBLISH", "REGISTER", "SUBSCRIBE"],
        "each once"
    );
    for record in &records {
        let method = one(record, "SIP-Method");
        assert!(
            !record.keys().any(|name| name.starts_with('?')),
            "unknown to the CDF: {record:#?}"
        );
        let role = if method == "NOTIFY" { "0" } else { "1" };
        for (name, value) in [
            ("T", "0"),
            ("Origin-Host", "ps.test"),
            ("Origin-Realm", "ps.test"),
            ("Destination-Realm", "test"),
            ("Accounting-Record-Type", "1"),
            ("Accounting-Record-Number", "0"),
            ("Acct-Application-Id", "3"),
            ("Service-Context-Id", "32260@3gpp.org"),
            ("Node-Functionality", "6"),
            ("Role-Of-Node", role),
            ("Cause-Code", "-1"),
            ("Application-Server", "sip:ps.test"),
        ] {
            assert_eq!(one(record, name), value, "{name} of {method}");
        }
        assert!(one(record, "Session-Id").starts_with("ps.test;"));
        if method != "NOTIFY" {
            assert_eq!(
                one(record, "IMS-Charging-Identifier"),
                format!("icid-{method}")
            );
        }
        if method != "REGISTER" {
            assert_eq!(one(record, "Event"), "presence");
        }
    }
    until(&server, SOON, DEPTH, 0);
    server.stop();
}

#[test]
fn freediameter_gets_one_record_of_each_method() {
    each_method_makes_one_record(Make::FreeDiameter);
}

#[test]
fn python_diameter_gets_one_record_of_each_method() {
    each_method_makes_one_record(Make::Python);
}

/// CHG-02.
#[test]
fn while_the_cdf_is_down_records_wait_and_then_come_once_with_t() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    let lab = Lab::new(
        "while_the_cdf_is_down_records_wait_and_then_come_once_with_t",
        Make::FreeDiameter,
    );
    let mut cdf = lab.peer(Make::FreeDiameter, "cdf1.test");
    let mut server = offline(&[&cdf], "");
    let mut ua = Ua::new(server.sip);
    (0..10).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    until(&server, SOON, DEPTH, 10);
    server.kill9();
    server.launch();
    (10..20).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    until(&server, SOON, DEPTH, 20);
    cdf.start();
    let records = cdf.sessions(20, REOPENED);
    until(&server, SOON, DEPTH, 0);
    assert_eq!(cdf.records().len(), 20, "each came once");
    assert!(
        records.iter().all(|record| one(record, "T") == "1"),
        "each may have been sent before"
    );
    server.stop();
}

/// CHG-02: the CDF dies with records that it has received and not acknowledged.
#[test]
fn records_that_a_dead_cdf_did_not_acknowledge_are_sent_again_with_t() {
    if !Make::Python.is_there() {
        return;
    }
    let lab = Lab::new(
        "records_that_a_dead_cdf_did_not_acknowledge_are_sent_again_with_t",
        Make::Python,
    );
    let mut cdf = lab.peer(Make::Python, "cdf1.test");
    cdf.behave("{\"silent\": true}");
    cdf.start();
    let server = offline(&[&cdf], "answer_timeout_ms = 60000");
    until_up(&server, cdf.host, SOON);
    let mut ua = Ua::new(server.sip);
    (0..20).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    let first = cdf.sessions(20, SOON);
    cdf.kill9();
    cdf.behave("{}");
    cdf.start();
    until(&server, REOPENED, DEPTH, 0);
    let again = &cdf.records()[first.len()..];
    let name = |record: &Record| {
        (
            one(record, "Session-Id").to_owned(),
            one(record, "E2E").to_owned(),
        )
    };
    let names = |records: &[Record]| records.iter().map(name).collect::<BTreeSet<_>>();
    assert_eq!(
        names(&first),
        names(again),
        "the same sessions, with the same end-to-end identifiers"
    );
    assert!(
        first.iter().all(|record| one(record, "T") == "0")
            && again.iter().all(|record| one(record, "T") == "1")
    );
    assert_eq!(
        (first.len(), again.len()),
        (20, 20),
        "each twice and not three times"
    );
    server.stop();
}

/// CHG-02: the CDF is killed while records keep coming.
#[test]
fn a_cdf_that_is_killed_under_load_loses_nothing_and_doubles_only_what_t_says() {
    const PUBLISHED: usize = 400;
    if !Make::FreeDiameter.is_there() {
        return;
    }
    let lab = Lab::new(
        "a_cdf_that_is_killed_under_load_loses_nothing_and_doubles_only_what_t_says",
        Make::FreeDiameter,
    );
    let mut cdf = lab.peer(Make::FreeDiameter, "cdf1.test");
    cdf.start();
    let server = offline(&[&cdf], "");
    until_up(&server, cdf.host, SOON);
    let sip = server.sip;
    let load = std::thread::spawn(move || {
        let mut ua = Ua::new(sip);
        (0..PUBLISHED).for_each(|i| publish(&mut ua, &format!("sip:p{i}@ims.test"), &[]));
    });
    cdf.sessions(50, REOPENED);
    cdf.kill9();
    cdf.start();
    load.join().unwrap();
    until(&server, REOPENED, DEPTH, 0);
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in cdf.records() {
        sessions
            .entry(one(&record, "Session-Id").to_owned())
            .or_default()
            .push(one(&record, "T").to_owned());
    }
    assert_eq!(
        sessions.len(),
        PUBLISHED,
        "what was charged is what arrived"
    );
    for (session, flags) in sessions.iter().filter(|(_, flags)| flags.len() > 1) {
        assert!(
            flags[1..].iter().all(|t| t == "1"),
            "{session} came {flags:?}"
        );
    }
    server.stop();
}

#[test]
fn a_refusal_for_now_is_tried_again_and_one_for_good_waits_in_quarantine_to_be_released() {
    if !Make::Python.is_there() {
        return;
    }
    let lab = Lab::new(
        "a_refusal_for_now_is_tried_again_and_one_for_good_waits_in_quarantine_to_be_released",
        Make::Python,
    );
    let mut cdf = lab.peer(Make::Python, "cdf1.test");
    cdf.behave("{\"result\": 4002}");
    cdf.start();
    let mut server = offline(&[&cdf], "");
    until_up(&server, cdf.host, SOON);
    let mut ua = Ua::new(server.sip);
    publish(&mut ua, BOB, &[]);
    cdf.sessions(1, SOON);
    assert_eq!(metric(&server, DEPTH), Some(1), "refused for now, so kept");
    cdf.behave("{}");
    until(&server, SOON, DEPTH, 0);
    let records = cdf.records();
    assert!(
        records.len() > 1 && records.iter().all(|record| one(record, "T") == "0"),
        "RFC 6733 §3: no T after an error"
    );
    cdf.behave("{\"result\": 5012}");
    let icid = [("P-Charging-Vector", "icid-value=refused")];
    publish(&mut ua, "sip:p1@ims.test", &icid);
    let quarantined = "presentia_charging_records_total{outcome=\"quarantined\"}";
    until(&server, SOON, quarantined, 1);
    until(&server, SOON, DEPTH, 0);
    // The operator stops the server, sees to the CDF, and lets the record go once more.
    assert!(server.terminate().success());
    let listed = operate(&server, "list");
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!(
        fields[1..5],
        ["5012", "cdf1.test", "PUBLISH", "refused"],
        "{listed}"
    );
    assert_eq!(operate(&server, "release"), "1 released\n");
    assert_eq!(operate(&server, "list"), "");
    cdf.kill9(); // it refuses what it has answered before, also if that answer was a refusal
    cdf.behave("{}");
    cdf.start();
    server.launch();
    until_up(&server, cdf.host, REOPENED);
    until(&server, SOON, DEPTH, 0);
    let records = cdf.records();
    let last = records.last().unwrap();
    assert_eq!(
        (one(last, "IMS-Charging-Identifier"), one(last, "T")),
        ("refused", "1")
    );
    server.stop();
}

/// What `presentia charging` says about the store of a stopped server.
fn operate(server: &Server, action: &str) -> String {
    let command = ["charging", action, "--config", "presentia.toml"];
    let mut presentia = Command::new(env!("CARGO_BIN_EXE_presentia"));
    let done = presentia
        .args(command)
        .current_dir(server.folder())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_ccf_from_the_core_chooses_the_cdf() {
    if !Make::FreeDiameter.is_there() {
        return;
    }
    let lab = Lab::new("a_ccf_from_the_core_chooses_the_cdf", Make::FreeDiameter);
    let mut configured = lab.peer(Make::FreeDiameter, "cdf1.test");
    let mut named = lab.peer(Make::FreeDiameter, "cdf2.test");
    configured.start();
    named.start();
    let server = offline(&[&configured], "");
    until_up(&server, configured.host, SOON);
    let mut ua = Ua::new(server.sip);
    let ccf = format!("ccf=\"aaa://127.0.0.1:{};transport=tcp\"", named.tap.port);
    publish(&mut ua, BOB, &[("P-Charging-Function-Addresses", &ccf)]);
    let record = &named.sessions(1, SOON)[0];
    assert_eq!(one(record, "Destination-Host"), "cdf2.test");
    publish(&mut ua, "sip:p1@ims.test", &[]);
    assert_eq!(configured.sessions(1, SOON).len(), 1);
    assert_eq!(named.records().len(), 1);
    until(&server, SOON, DEPTH, 0);
    server.stop();
}

#[test]
fn wireshark_finds_nothing_wrong_with_what_we_send() {
    if !Make::FreeDiameter.is_there() || !peers(&["tshark"]) {
        return;
    }
    let lab = Lab::new(
        "wireshark_finds_nothing_wrong_with_what_we_send",
        Make::FreeDiameter,
    );
    let mut cdf = lab.peer(Make::FreeDiameter, "cdf1.test");
    cdf.start();
    let server = offline(&[&cdf], "");
    until_up(&server, cdf.host, SOON);
    one_of_each(&server);
    cdf.sessions(4, SOON);
    until(&server, SOON, DEPTH, 0);
    server.stop();
    let text = lab.judged();
    for (what, times) in [
        ("Command Code: Capabilities-Exchange (257)", 2),
        ("Command Code: Accounting (271)", 8),
        ("Command Code: Disconnect-Peer (282)", 2),
        ("AVP: Service-Information(873)", 4),
        ("SIP-Method: PUBLISH", 1),
        ("IMS-Charging-Identifier: icid-PUBLISH", 1),
        ("Cause-Code: Successful transaction (-1)", 4),
    ] {
        assert_eq!(text.matches(what).count(), times, "{what} in\n{text}");
    }
}
