//! CHG-03: what no OCS takes is listed, through kills, and goes off the list when somebody has settled it by hand.

use crate::harness::{Request, SOON, Server, Ua, eventually, http, pidf, run};
use crate::simulators::Sim;
use serde_json::Value;
use std::collections::BTreeSet;

fn server(sim: &Sim, more: &str) -> Server {
    let server = Server::start(&format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\nwatchdog_s = 6\n\
         reconnect_min_ms = 100\nreconnect_max_ms = 200\n\
         [charging.online]\npublish = \"iec\"\ntx_ms = 300\nanswer_timeout_ms = 400\n{more}\n\
         [[charging.online.peers]]\nhost = \"ocs.test\"\nrealm = \"test\"\naddress = \"{}\"\n",
        sim.address
    ));
    until_up(&server);
    server
}

fn until_up(server: &Server) {
    let up = || metric(server, "presentia_diameter_peer_open{peer=\"ocs.test\"} 1");
    eventually(SOON, up).unwrap_or_else(|| panic!("no OCS:\n{}", server.log()));
}

fn metric(server: &Server, line: &str) -> Option<()> {
    let page = http(server.http, "GET", "/metrics", &[], "").body;
    page.lines().any(|l| l == line).then_some(())
}

fn publish(user: &str, icid: &str) -> Request {
    Request::publish(user, &pidf(user, "open", icid))
        .with("P-Charging-Vector", format!("icid-value={icid}"))
}

/// `presentia charging unpaid` of the running server.
fn cli(server: &Server, args: &[&str]) -> (String, Option<i32>) {
    let url = format!("http://{}", server.http);
    run(&[&["charging", "unpaid"], args, &["--server", &url]].concat())
}

/// The list as JSON lines, once it has so many entries.
fn listed(server: &Server, count: usize) -> Vec<Value> {
    let whole = || {
        let (text, code) = cli(server, &["export"]);
        assert_eq!(code, Some(0), "{text}");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines.len() >= count).then_some(lines)
    };
    eventually(SOON, whole)
        .unwrap_or_else(|| panic!("{:?}\n{}", cli(server, &["list"]), server.log()))
}

/// A PUBLISH that is served while the OCS says nothing, and whose debit it refuses when it speaks: the entry says what is
/// owed, in every form, outlives kills, and ends by hand.
#[test]
fn a_service_that_an_account_cannot_pay_afterwards_is_listed_until_it_is_settled_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(
        folder.path(),
        &["ocs", "--answer", "DEBIT=silent,silent,5012"],
    );
    let mut server = server(&sim, "");
    let request = publish("sip:bob@ims.test", "icid-owed");
    assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
    server.kill9(); // the OCS has not answered yet
    server.launch();
    let [entry] = <[Value; 1]>::try_from(listed(&server, 1)).unwrap();
    assert_eq!(
        (&entry["state"], &entry["result"]),
        (&"unpaid".into(), &5012.into()),
        "{entry}"
    );
    assert_eq!(entry["credit"]["what"], "debit", "{entry}");
    assert_eq!(
        (&entry["credit"]["units"], &entry["cdf"]),
        (&1.into(), &"ocs.test".into())
    );
    assert_eq!(
        (&entry["icid"], &entry["method"]),
        (&"icid-owed".into(), &"PUBLISH".into())
    );
    let session = sim.requests("CCR")[0]["avps"]["Session-Id"][0].clone();
    assert_eq!(entry["session_id"], session, "it leads to the account");
    assert!(metric(&server, "presentia_charging_unpaid 1").is_some());

    server.kill9();
    server.launch();
    assert_eq!(
        listed(&server, 1),
        std::slice::from_ref(&entry),
        "neither lost nor doubled"
    );
    let number = entry["number"].as_str().unwrap().to_owned();
    let (text, _) = cli(&server, &["list"]);
    assert_eq!(
        text.trim_end(),
        format!("{number}\tdebit\t1\t5012\tocs.test\tPUBLISH\ticid-owed")
    );
    let (text, code) = cli(&server, &["show", &number]);
    assert_eq!(
        (serde_json::from_str::<Value>(&text).unwrap(), code),
        (entry, Some(0))
    );
    let (text, _) = cli(&server, &["export", "--format", "csv"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].ends_with(",credit,units") && lines[1].ends_with(",debit,1"),
        "{text}"
    );
    let url = format!("http://{}", server.http);
    let (text, _) = run(&["charging", "trace", "--icid", "icid-owed", "--server", &url]);
    assert!(text.contains("\"state\":\"unpaid\""), "{text}");
    assert_eq!(cli(&server, &["show", "77"]).1, Some(1));

    let (text, code) = cli(
        &server,
        &["forget", &number, "--why", "ticket 4712", "--by", "eve"],
    );
    assert_eq!((text.trim(), code), ("1 forgotten", Some(0)));
    assert_eq!(cli(&server, &["forget", &number]).1, Some(1), "once");
    let audited = |line: &str| line.contains("settled by hand") && line.contains("ticket 4712");
    assert!(server.log().lines().any(audited), "{}", server.log());
    let empty = || metric(&server, "presentia_charging_unpaid 0");
    eventually(SOON, empty).expect("nothing is owed");
    server.kill9();
    server.launch();
    assert_eq!(cli(&server, &["list"]), (String::new(), Some(0)));
    server.stop();
}

#[test]
fn the_list_of_a_server_that_is_stopped_is_shown_and_shortened_too() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--answer", "5031"]);
    let mut server = server(&sim, "ddfh = \"continue\"");
    for n in 0..3 {
        let request = publish("sip:bob@ims.test", &format!("icid-{n}"));
        assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
    }
    listed(&server, 3);
    server.kill9();
    let config = server.folder().join("presentia.toml");
    let stopped = |args: &[&str]| {
        run(&[
            &["charging", "unpaid"],
            args,
            &["--config", config.to_str().unwrap()],
        ]
        .concat())
    };
    let (text, code) = stopped(&["list"]);
    assert_eq!((text.lines().count(), code), (3, Some(0)), "{text}");
    let first = text.split('\t').next().unwrap().to_owned();
    assert_eq!(
        stopped(&["forget", &first]),
        ("1 forgotten\n".to_owned(), Some(0))
    );
    assert_eq!(stopped(&["list"]).0.lines().count(), 2);
    server.launch();
    assert_eq!(listed(&server, 2).len(), 2);
    server.stop();
}

/// Services that an OCS refuses to charge and that are given all the same (DDFH CONTINUE), with kills among them: each
/// that was answered 200 is listed once, and no other twice.
#[test]
fn through_kills_each_service_that_was_given_for_nothing_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--answer", "5031"]);
    let mut server = server(&sim, "ddfh = \"continue\"");
    let (mut served, mut asked) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..6 {
        let mut ua = Ua::new(server.sip);
        for n in 0..20 {
            let icid = format!("icid-{round}-{n}");
            let user = format!("sip:user{n}@ims.test");
            asked.insert(icid.clone());
            if n < 12 {
                assert_eq!(ua.ask(&publish(&user, &icid)).status(), Some(200));
                served.insert(icid);
            } else {
                ua.write(&publish(&user, &icid)); // its answer is not awaited
            }
        }
        // between the answers of the OCS, the batches of the services, and what becomes of the charges
        let heard = sim.requests("CCR").len();
        let more = || (sim.requests("CCR").len() > heard + round).then_some(());
        let _ = eventually(std::time::Duration::from_millis(50), more);
        server.kill9();
        server.launch();
        until_up(&server);
    }
    let listed: Vec<Value> = listed(&server, served.len());
    let icids: Vec<&str> = listed
        .iter()
        .map(|entry| entry["icid"].as_str().unwrap())
        .collect();
    let once: BTreeSet<String> = icids.iter().map(|icid| icid.to_string()).collect();
    assert_eq!(once.len(), icids.len(), "listed twice: {icids:?}");
    let lost: Vec<_> = served.difference(&once).collect();
    assert!(lost.is_empty(), "given and not listed: {lost:?}");
    assert!(once.is_subset(&asked));
    assert!(listed.iter().all(|entry| entry["result"] == 5031));
    server.stop();
}

/// The list is bounded: an alarm comes first, and then nothing that costs is served until it is shorter.
#[test]
fn a_full_list_refuses_what_costs_until_it_is_shorter() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--answer", "5031"]);
    let server = server(&sim, "ddfh = \"continue\"\nunpaid_max = 5");
    let ask = |icid: &str| Ua::new(server.sip).ask(&publish("sip:bob@ims.test", icid));
    let alarm = |raised: u8| {
        let line = format!("presentia_charging_spool_alarm{{reason=\"unpaid\"}} {raised}");
        eventually(SOON, || metric(&server, &line)).is_some()
    };
    for n in 0..3 {
        assert_eq!(ask(&format!("icid-{n}")).status(), Some(200));
    }
    let entries = listed(&server, 3);
    assert!(alarm(0));
    assert_eq!(ask("icid-3").status(), Some(200));
    assert!(alarm(1), "before it is full");
    assert_eq!(ask("icid-4").status(), Some(200));
    listed(&server, 5);
    let refused = ask("icid-5");
    assert_eq!(refused.status(), Some(503));
    assert!(!refused.get("retry-after").is_empty());
    let first = entries[0]["number"].as_str().unwrap();
    let second = entries[1]["number"].as_str().unwrap();
    let third = entries[2]["number"].as_str().unwrap();
    assert_eq!(cli(&server, &["forget", first, second, third]).1, Some(0));
    assert!(alarm(0));
    assert_eq!(ask("icid-6").status(), Some(200));
    let refused = http(
        server.http,
        "POST",
        "/charging/forget",
        &[],
        "{\"numbers\":[],\"by\":\"e\",\"why\":\"w\"}",
    );
    assert_eq!(refused.status, 400, "not all at once");
    server.stop();
}

/// An OCS is asked again by hand, through kill -9 of the server: what it still refuses stays on the list, and what it takes
/// is gone, in the accounts too.
#[test]
fn an_ocs_is_asked_again_for_what_it_refused_until_it_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--answer", "5031,5012,2001"]);
    let mut server = server(&sim, "ddfh = \"continue\"");
    let request = publish("sip:bob@ims.test", "icid-again");
    assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
    let [entry] = <[Value; 1]>::try_from(listed(&server, 1)).unwrap();
    let number = entry["number"].as_str().unwrap().to_owned();
    let (text, code) = cli(&server, &["resend", &number, "--why", "ticket 4713"]);
    let refused = format!("{number}\tdebit\t1\t5012\tocs.test\t");
    assert!(text.contains(&refused) && code == Some(1), "{text}");
    assert_eq!(listed(&server, 1)[0]["result"], 5012, "its last word");
    let audited = |line: &str| line.contains("asked for again") && line.contains("ticket 4713");
    assert!(server.log().lines().any(audited), "{}", server.log());
    server.kill9();
    let config = server.folder().join("presentia.toml");
    let config = config.to_str().unwrap();
    let (_, code) = run(&["charging", "unpaid", "resend", &number, "--config", config]);
    assert_eq!(code, Some(1), "a server that is stopped asks nobody");
    server.launch();
    until_up(&server);
    assert_eq!(listed(&server, 1).len(), 1);
    let json = [("Content-Type", "application/json")];
    for (body, status) in [
        (
            "{\"numbers\":[],\"by\":\"eve\",\"why\":\"x\"}".to_owned(),
            400,
        ),
        (
            format!("{{\"numbers\":[\"{number}\"],\"by\":\"\",\"why\":\"x\"}}"),
            400,
        ),
        (
            format!("{{\"numbers\":[\"{number}\"],\"by\":\"eve\",\"why\":\"x\"}}"),
            200,
        ),
    ] {
        let answer = http(server.http, "POST", "/charging/resend", &json, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        if status == 200 {
            let said: Value = serde_json::from_str(&answer.body).unwrap();
            let asked = &said["asked"][0];
            assert_eq!(
                (&asked["paid"], &asked["result"]),
                (&true.into(), &2001.into())
            );
        }
    }
    assert_eq!(cli(&server, &["list"]), (String::new(), Some(0)));
    let (text, code) = cli(&server, &["resend", &number]);
    assert!(text.contains("no such entry") && code == Some(1), "{text}");
    let report = http(server.http, "GET", "/charging/report", &[], "").body;
    let report: Value = serde_json::from_str(&report).unwrap();
    let hours = report["credit"].as_array().unwrap();
    let sum = |key: &str| {
        hours
            .iter()
            .filter_map(|hour| hour[key].as_u64())
            .sum::<u64>()
    };
    let sums = ["listed", "collected", "unpaid", "units"].map(sum);
    assert_eq!(
        (sums, &report["adds_up"]),
        ([1, 1, 0, 1], &true.into()),
        "{report}"
    );
    let sessions: Vec<Value> = sim
        .requests("CCR")
        .iter()
        .map(|ccr| ccr["avps"]["Session-Id"][0].clone())
        .collect();
    let distinct: BTreeSet<String> = sessions.iter().map(Value::to_string).collect();
    assert_eq!(
        distinct.len(),
        3,
        "no duplicate of what was refused: {sessions:?}"
    );
    server.stop();
}
