//! CHG-03: price enquiry and balance check (RFC 8506 §6.1, §6.2) through a running server, to a simulated OCS.

use crate::harness::{SOON, Server, eventually, http, run};
use crate::simulators::Sim;
use serde_json::Value;

const BOB: &str = "sip:bob@ims.test";

/// A server without a CDF, whose OCS this is.
fn server(sim: &Sim) -> Server {
    let server = Server::start(&format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\nwatchdog_s = 6\n\
         reconnect_min_ms = 100\nreconnect_max_ms = 500\n\
         [charging.online]\ntx_ms = 500\nanswer_timeout_ms = 1000\nrating_group = 7\n\
         [[charging.online.peers]]\nhost = \"ocs.test\"\nrealm = \"test\"\naddress = \"{}\"\n",
        sim.address
    ));
    let up = "presentia_diameter_peer_open{peer=\"ocs.test\"} 1";
    let open = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.lines().any(|line| line == up).then_some(())
    };
    eventually(SOON, open).expect("the OCS is up");
    server
}

/// A question over HTTP: the status, and what is said.
fn ask(server: &Server, question: &str) -> (u16, Value) {
    let answer = http(
        server.http,
        "GET",
        &format!("/charging/{question}"),
        &[],
        "",
    );
    let said = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, said)
}

#[test]
fn prices_and_balances_pass_through_to_the_ocs_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["ocs", "--price", "15", "--balance", "sip:bob@ims.test=5"];
    let mut sim = Sim::start(folder.path(), &args);
    let server = server(&sim);
    let url = format!("http://{}", server.http);
    let cli = |args: &[&str]| run(&[&["charging"], args, &["--server", &url]].concat());

    let (status, said) = ask(
        &server,
        "price?method=PUBLISH&user=sip:bob%40ims.test&units=3",
    );
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["price"]["value"], "0.45", "{said}");
    assert_eq!(
        (&said["price"]["currency"], &said["result"]),
        (&978.into(), &2001.into())
    );
    assert_eq!(said["ocs"], "ocs.test");
    let asked = &sim.wait("CCR", 1)[0]["avps"];
    assert_eq!(
        asked["CC-Request-Type"][0].to_string().replace('"', ""),
        "4"
    );
    assert_eq!(
        asked["Requested-Action"][0].to_string().replace('"', ""),
        "3"
    );
    let service = &asked["Service-Information"][0]["IMS-Information"][0];
    assert_eq!(service["Event-Type"][0]["SIP-Method"][0], "PUBLISH");
    assert!(
        service["User-Session-Id"].is_null(),
        "there is no request yet: {service}"
    );
    let (text, code) = cli(&["price", "SUBSCRIBE", BOB]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.trim(), "0.15 of currency 978");

    let (text, code) = cli(&["balance", BOB, "--units", "5"]);
    assert_eq!((text.trim(), code), ("enough credit", Some(0)));
    let (text, code) = cli(&["balance", BOB, "--units", "6"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not enough credit"), "{text}");
    let (_, said) = ask(&server, "balance?user=sip:bob%40ims.test&units=6");
    assert_eq!(said["enough"], false, "{said}");

    for (question, status) in [
        ("price?user=sip:bob%40ims.test", 400),
        ("price?method=INVITE&user=sip:bob%40ims.test", 400),
        ("price?method=PUBLISH", 400),
        ("balance?user=bob", 400),
        ("balance?user=sip:bob%40ims.test&units=0", 400),
    ] {
        let (found, said) = ask(&server, question);
        assert_eq!(found, status, "{question}: {said}");
        assert!(said["error"].is_string(), "{question}: {said}");
    }
    let refused = http(server.http, "POST", "/charging/price", &[], "");
    assert_eq!(refused.status, 405);

    sim.command("answer PRICE=5031");
    let refuses = || ask(&server, "price?method=PUBLISH&user=sip:bob%40ims.test").1;
    let refused = eventually(SOON, || {
        Some(refuses()).filter(|said| said["result"] == 5031)
    });
    let refused = refused.expect("the OCS refuses");
    assert!(
        refused["price"].is_null() && refused["error"].is_string(),
        "{refused}"
    );
    let (text, code) = cli(&["price", "PUBLISH", BOB]);
    assert!(code == Some(1) && text.contains("5031"), "{code:?} {text}");
    sim.command("answer PRICE=silent");
    let silent = || ask(&server, "price?method=PUBLISH&user=sip:bob%40ims.test").1;
    let silent = eventually(SOON, || {
        Some(silent()).filter(|said| said["result"].is_null())
    });
    assert_eq!(
        silent.expect("Tx is over")["error"],
        "no OCS answered in time"
    );
    let (text, code) = cli(&["price", "PUBLISH", BOB]);
    assert_eq!(code, Some(69), "{text}");
    // nothing was debited
    let debits = sim.requests("CCR").into_iter();
    let debits = debits.filter(|r| r["avps"]["Requested-Action"][0].to_string().contains('0'));
    assert_eq!(debits.count(), 0);
    server.stop();
}

#[test]
fn the_ocs_that_the_caller_names_is_asked() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = Sim::start(ours.path(), &["ocs", "--price", "15"]);
    let named = Sim::start(
        theirs.path(),
        &["ocs", "--price", "70", "--host", "other.test"],
    );
    let server = server(&own);
    let url = format!("http://{}", server.http);
    let ecf = format!("aaa://{};transport=tcp", named.address);
    let ask = |ecf: &str| {
        run(&[
            "charging", "price", "PUBLISH", BOB, "--ecf", ecf, "--server", &url,
        ])
    };
    let (text, code) = ask(&ecf);
    assert_eq!((text.trim(), code), ("0.70 of currency 978", Some(0)));
    assert_eq!(named.requests("CCR").len(), 1);
    assert!(own.requests("CCR").is_empty());
    // one that is configured too, by its name
    let (text, _) = ask("ocs.test");
    assert_eq!(text.trim(), "0.15 of currency 978");
    let (text, code) = ask("a,b,c,d,e");
    assert!(code == Some(1) && text.contains("ecf"), "{code:?} {text}");
    server.stop();
}
