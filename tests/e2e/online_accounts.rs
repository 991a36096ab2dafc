//! CHG-03: the accounts of online charging add up, OCS by OCS, through failover and kill -9.

use crate::harness::{Request, SOON, Server, Ua, eventually, http, pidf, run};
use crate::simulators::Sim;
use serde_json::Value;

/// A server with two OCSs: the second one is asked where the first one is not up.
fn server(first: &Sim, second: &Sim) -> Server {
    Server::start(&format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\nwatchdog_s = 6\n\
         reconnect_min_ms = 100\nreconnect_max_ms = 200\n\
         [charging.online]\npublish = \"iec\"\ntx_ms = 2000\nanswer_timeout_ms = 3000\n\
         [[charging.online.peers]]\nhost = \"ocs1.test\"\nrealm = \"test\"\naddress = \"{}\"\npriority = 1\n\
         [[charging.online.peers]]\nhost = \"ocs2.test\"\nrealm = \"test\"\naddress = \"{}\"\npriority = 2\n",
        first.address, second.address
    ))
}

fn until_open(server: &Server, host: &str, open: u8) {
    let line = format!("presentia_diameter_peer_open{{peer=\"{host}\"}} {open}");
    let open = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.lines().any(|l| l == line).then_some(())
    };
    eventually(SOON, open).unwrap_or_else(|| panic!("{line}:\n{}", server.log()));
}

fn ask(server: &Server, user: &str, icid: &str) -> Option<u16> {
    let request = Request::publish(user, &pidf(user, "open", icid));
    let request = request.with("P-Charging-Vector", format!("icid-value={icid}"));
    Ua::new(server.sip).ask(&request).status()
}

/// All hours of the report together, which adds up; `None`: charges are open, or answers are not yet counted.
fn sums(server: &Server) -> Option<impl Fn(&str) -> u64 + use<>> {
    let page = http(server.http, "GET", "/charging/report", &[], "").body;
    let report: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(report["adds_up"], true, "{report}");
    let hours = report["credit"].as_array().unwrap().clone();
    let sum = move |path: &str| -> u64 {
        let at = |hour: &Value| hour.pointer(path).and_then(Value::as_u64);
        hours.iter().filter_map(at).sum()
    };
    let answers = [
        "/success",
        "/transient",
        "/permanent",
        "/protocol",
        "/odd",
        "/unanswered",
    ];
    let answered: u64 = answers.iter().map(|name| sum(name)).sum();
    (sum("/open") == 0 && answered == sum("/requests")).then_some(sum)
}

/// CCRs that a simulator had, of one kind.
fn debits(sim: &Sim, action: i64) -> usize {
    let all = sim.requests("CCR");
    let of = |ccr: &&Value| ccr["avps"]["Requested-Action"][0] == action;
    all.iter().filter(of).count()
}

#[test]
fn what_was_asked_is_what_became_of_it_at_each_ocs_through_failover_and_kill_9() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let ocs = |folder: &tempfile::TempDir, host: &str, poor: &str| {
        let args = ["ocs", "--host", host, "--balance", poor];
        Sim::start(folder.path(), &args)
    };
    let mut first = ocs(&folders[0], "ocs1.test", "sip:poor@ims.test=1");
    let second = ocs(&folders[1], "ocs2.test", "sip:poor@ims.test=0");
    let mut server = server(&first, &second);
    until_open(&server, "ocs1.test", 1);
    until_open(&server, "ocs2.test", 1);
    for n in 0..5 {
        assert_eq!(
            ask(&server, "sip:bob@ims.test", &format!("a-{n}")),
            Some(200)
        );
    }
    assert_eq!(ask(&server, "sip:poor@ims.test", "b-0"), Some(200));
    assert_eq!(ask(&server, "sip:poor@ims.test", "b-1"), Some(402));
    server.kill9();
    server.launch();
    until_open(&server, "ocs1.test", 1);
    until_open(&server, "ocs2.test", 1);
    // its service fails after the debit
    let stale = Request::publish("sip:bob@ims.test", "").with("SIP-If-Match", "none");
    assert_eq!(Ua::new(server.sip).ask(&stale).status(), Some(412));
    first.command("quit");
    until_open(&server, "ocs1.test", 0);
    for n in 0..4 {
        assert_eq!(
            ask(&server, "sip:bob@ims.test", &format!("c-{n}")),
            Some(200)
        );
    }
    server.kill9();
    server.launch();
    until_open(&server, "ocs2.test", 1);
    assert_eq!(ask(&server, "sip:bob@ims.test", "d-0"), Some(200));
    let sum = eventually(SOON, || sums(&server)).expect("everything settles");
    let kinds = [
        "/settled",
        "/no_credit",
        "/returned",
        "/refused",
        "/free",
        "/given_up",
    ];
    let kinds = kinds.map(&sum);
    assert_eq!((sum("/asked"), kinds), (13, [11, 1, 1, 0, 0, 0]));
    let at = |name: &str| {
        let of = |host: &str| sum(&format!("/ocss/{host}/{name}"));
        (of("ocs1.test"), of("ocs2.test"))
    };
    assert_eq!(at("settled"), (6, 5), "by the OCS that debited it");
    assert_eq!(at("units"), (6, 5));
    let refusals = at("no_credit"); // asked about again after the kill, of whichever is up first
    assert_eq!(refusals.0 + refusals.1, 1);
    let heard = (debits(&first, 0), debits(&second, 0));
    assert!(heard.0 >= 8 && heard.1 >= 5, "{heard:?}");
    let url = format!("http://{}", server.http);
    let (text, code) = run(&["charging", "report", "--server", &url]);
    assert_eq!(code, Some(0), "{text}");
    let row = |name: &str| {
        let found = text.lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    };
    assert!(row("charges\tasked\tsettled").ends_with("open\tmissing"));
    assert!(row("  ocs2.test\t\t").starts_with("  ocs2.test\t\t5\t0\t"));
    let (trace, _) = run(&["charging", "trace", "--icid", "d-0", "--server", &url]);
    let found: Vec<Value> = trace
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let debit = found.iter().find(|cdr| cdr["credit"]["what"] == "debit");
    let debit = debit.unwrap_or_else(|| panic!("{trace}"));
    assert_eq!(
        (&debit["state"], &debit["cdf"]),
        (&"answered".into(), &"ocs2.test".into())
    );
    let (tail, _) = run(&["charging", "tail", "--once", "--server", &url]);
    assert!(
        tail.contains(debit["session_id"].as_str().unwrap()),
        "{tail}"
    );
    // the same of a server that is stopped
    server.kill9();
    let config = server.folder().join("presentia.toml");
    let (stopped, code) = run(&["charging", "report", "--config", config.to_str().unwrap()]);
    assert_eq!(
        (code, stopped.contains("\t13\t11\t")),
        (Some(0), true),
        "{stopped}"
    );
}
