//! Wireshark has our name for every AVP that we know, and reads all that the reference says we send. CHG-01 and CHG-03 are
//! shown here.

use crate::diameter_table::{
    DEPTH, Lab, Make, Packet, keep, offline, place, shown, until, until_up,
};
use crate::harness::{Message, Request, SOON, Server, Ua, eventually, peers, pidf};
use diameter::avp::Address;
use diameter::dictionary::{self, Def, Kind};
use diameter::write::Writer;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

/// A value that each format can have.
fn sample(writer: &mut Writer, def: &Def) {
    match def.kind {
        Kind::Octets => writer.octets(def, b"octets"),
        Kind::Utf8 => writer.utf8(def, "text"),
        Kind::Identity => writer.utf8(def, "host.test"),
        Kind::Uri => writer.utf8(def, "aaa://host.test"),
        Kind::U32 if def.name.ends_with("Result-Code") => writer.u32(def, 2001),
        Kind::U32 => writer.u32(def, 1),
        Kind::U64 => writer.u64(def, 1),
        Kind::I32 | Kind::Enumerated => writer.i32(def, 1),
        Kind::I64 => writer.i64(def, 1),
        Kind::Time => writer.time(def, 1_767_225_600),
        Kind::Address => writer.address(def, &Address::Ip(Ipv4Addr::LOCALHOST.into())),
        Kind::Grouped => writer.group(def, |inner| {
            inner.utf8(&dictionary::SESSION_ID, "ps.test;1;2;3");
        }),
    };
}

/// Every AVP of the dictionary, and one that nobody knows, each in a message of its own.
fn everything() -> Vec<Packet> {
    let [from, to] = [40_000, 3868].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let nobodys = Def {
        name: "Unknown",
        code: 639,
        ..dictionary::CLASS
    };
    let packet = |def: &Def| {
        let mut message = Writer::request(dictionary::CMD_ACCOUNTING, dictionary::APP_ACCOUNTING);
        message.utf8(&dictionary::SESSION_ID, "ps.test;1;2;3");
        sample(&mut message, def);
        Packet {
            at: SystemTime::now(),
            from,
            to,
            bytes: message.finish(1_000).unwrap(),
        }
    };
    dictionary::all()
        .iter()
        .chain([&nobodys])
        .map(packet)
        .collect()
}

/// What Wireshark calls the AVP behind the Session-Id, and how it shows its value.
fn called(message: &str) -> (&str, &str) {
    let line = message.split("\n    AVP: ").nth(2).expect("a second AVP");
    let name = line.split('(').next().unwrap();
    let value = line.lines().next().unwrap().split_once(" val=");
    (
        name.strip_prefix("3GPP-").unwrap_or(name),
        value.map_or("", |(_, value)| value),
    )
}

/// CHG-01 and CHG-03: also of those that no test makes us send.
#[test]
fn wireshark_has_our_name_for_every_avp_of_the_dictionary() {
    if !peers(&["tshark"]) {
        return;
    }
    let text = shown(&keep("dictionary", &everything()), 3868);
    let messages: Vec<&str> = text.split("\nDiameter Protocol").skip(1).collect();
    assert_eq!(messages.len(), dictionary::all().len() + 1);
    let mut others = Vec::new();
    for (def, message) in dictionary::all().iter().zip(&messages) {
        let (name, value) = called(message);
        if !name.eq_ignore_ascii_case(def.name) {
            others.push((def.name, name));
        }
        let wrong = message.contains("alformed") || message.contains("Expert Info");
        assert!(
            !wrong && !value.contains("Unknown"),
            "{}: {message}",
            def.name
        );
    }
    let said = ("Acct-Multi-Session-Id", "Accounting-Multi-Session-Id");
    assert_eq!(others, [said], "RFC 6733 §9.8.5 has the first");
    assert_eq!(called(messages.last().unwrap()).0, "Unknown");
}

/// Names and codes of the AVPs that docs/charging/trees.md says stand in an ACR, and those in a CCR.
fn listed() -> [Vec<(String, u32)>; 2] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/charging/trees.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, code) = (*cells.get(1)?, cells.get(2)?.parse().ok()?);
        let [acr, ccr] = [3, 2].map(|back| !cells[cells.len() - back].is_empty());
        Some((name.to_owned(), code, acr, ccr))
    });
    let rows: Vec<(String, u32, bool, bool)> = rows.collect();
    let of = |wanted: fn(&(String, u32, bool, bool)) -> bool| {
        let rows = rows.iter().filter(|row| wanted(row));
        rows.map(|row| (row.0.clone(), row.1)).collect()
    };
    [of(|row| row.2), of(|row| row.3)]
}

const BOB: &str = "sip:bob@ims.test";
const BOBBY: &str = "sip:bobby@ims.test";
const LIST: &str = "sip:bob@ims.test;pres-list=rcs";

/// What a core can say with a request.
fn with_everything(request: Request) -> Request {
    let said = [
        (
            "P-Access-Network-Info",
            "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=2340151d0fce11",
        ),
        ("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.pres"),
        (
            "P-Charging-Vector",
            "icid-value=full;orig-ioi=ims.test;term-ioi=ims.test",
        ),
        (
            "P-Charging-Function-Addresses",
            "ccf=cdf1.test;ecf=ocs1.test",
        ),
        ("Content-Disposition", "render"),
    ];
    said.iter()
        .fold(request, |request, (name, value)| request.with(name, value))
}

/// A user of two identities registers, publishes by the other one, watches herself and a list, and leaves.
fn live(server: &Server) {
    let mut ua = Ua::new(server.sip);
    let ok = |answer: Message| assert_eq!(answer.status(), Some(200), "{answer:?}");
    let register = Request::new("REGISTER", "sip:ps.test")
        .with("From", "<sip:scscf.ims.test>;tag=s")
        .with("To", format!("<{BOB}>"))
        .with("Contact", "<sip:scscf.ims.test:5070>")
        .with("P-Associated-URI", format!("<{BOB}>, <{BOBBY}>"))
        .with("Expires", 600);
    ok(ua.ask(&with_everything(register)));
    let state = pidf(BOBBY, "open", "here");
    ok(ua.ask(&with_everything(Request::publish(BOBBY, &state))));
    let services = format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" \
         xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"><service uri=\"{LIST}\"><list><rl:entry uri=\"{BOB}\"/></list>\
         <packages><package>presence</package></packages></service></rls-services>"
    );
    server.put_lists(BOB, "rls-services", &services);
    let list = Request::subscribe(BOB, LIST)
        .without("Accept")
        .with("Supported", "eventlist")
        .with(
            "Accept",
            "application/pidf+xml, application/rlmi+xml, multipart/related",
        );
    for request in [Request::subscribe(BOB, BOB), list] {
        let (mut dialog, _) = ua.watch(&with_everything(request));
        ok(ua.ask(&dialog.refresh(0)));
        ua.notify(&dialog.call_id);
    }
}

/// CHG-01 and CHG-03: the reference is true, and Wireshark reads all of it.
#[test]
fn wireshark_reads_every_avp_that_the_reference_says_we_send() {
    if !Make::FreeDiameter.is_there() || !peers(&["tshark"]) {
        return;
    }
    let lab = Lab::new("every avp", Make::FreeDiameter);
    let [mut cdf, mut ocs] =
        ["cdf1.test", "ocs1.test"].map(|host| lab.peer(Make::FreeDiameter, host));
    cdf.launch();
    ocs.start();
    cdf.until_listening();
    let more = "overload_control = true\n[charging.triggers]\nnotify_records = \"interval\"\nnotify_interval_s = 1\n\
                [charging.online]\nregister = \"iec\"\npublish = \"iec\"\nsubscribe = \"session\"\n\
                notify = \"iec\"\n\
                rating_group = 100\nservice_identifier = 17\n[charging.online.sessions]\nunit = \"subscription\"\n";
    let server = offline(
        &[&cdf],
        &(more.to_owned() + &place("charging.online.peers", &ocs, 0)),
    );
    until_up(&server, cdf.host, SOON);
    until_up(&server, ocs.host, SOON);
    live(&server);
    let ended = || {
        let last = |r: &_| crate::diameter_table::one(r, "CC-Request-Type") == "3";
        (ocs.records().iter().filter(|r| last(*r)).count() == 2).then_some(())
    };
    eventually(SOON, ended).expect("two sessions that ended");
    cdf.sessions(8, SOON);
    until(&server, SOON, DEPTH, 0);
    server.stop();
    let text = lab.judged();
    let [acr, mut ccr] = listed();
    assert!(acr.len() > 40 && ccr.len() > 40, "{acr:?} {ccr:?}");
    // RFC 7683 §7: asked for by configuration
    ccr.extend(
        [("OC-Supported-Features", 621), ("OC-Feature-Vector", 622)].map(|(n, c)| (n.into(), c)),
    );
    for (command, mut avps) in [("Accounting (271)", acr), ("Credit-Control (272)", ccr)] {
        let command = format!("Command Code: {command}");
        let messages = text
            .split("\nDiameter Protocol")
            .filter(|m| m.contains(&command) && m.contains("Request: Set"));
        let messages: String = messages.collect();
        avps.retain(|(_, code)| !messages.contains(&format!("({code}) l=")));
        assert_eq!(avps, [], "not in any {command}");
    }
}
