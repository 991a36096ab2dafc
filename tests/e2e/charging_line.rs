//! CHG-01 and CHG-03 from outside: who is connected and asked, where the configuration or the core names one system for
//! records and questions, or for questions alone.

use crate::harness::{Request, SOON, Server, Ua, eventually, http, pidf};
use crate::simulators::Sim;

const BOB: &str = "sip:bob@ims.test";

fn publish(ecf: Option<&str>) -> Request {
    let request = Request::publish(BOB, &pidf(BOB, "open", "here"));
    match ecf {
        Some(ecf) => {
            let addresses = format!("ecf=\"{ecf}\"");
            request.with("P-Charging-Function-Addresses", &addresses)
        }
        None => request,
    }
}

fn connections(sim: &Sim) -> usize {
    sim.requests("connected").len()
}

/// One system that is CDF and OCS is one peer with one connection, in both directions of the configuration.
#[test]
fn a_system_that_is_cdf_and_ocs_gets_records_and_questions_over_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(
        folder.path(),
        &["ocs", "--both", "--balance", "sip:bob@ims.test=1"],
    );
    let peer = format!(
        "host = \"ocs.test\"\nrealm = \"test\"\naddress = \"{}\"\n",
        sim.address
    );
    let server = Server::start(&format!(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\n[[charging.peers]]\n{peer}\
         [charging.online]\npublish = \"iec\"\n[[charging.online.peers]]\n{peer}"
    ));
    let up = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.contains("presentia_diameter_peer_open{peer=\"ocs.test\"} 1")
            .then_some(())
    };
    eventually(SOON, up).expect("the system is up");
    let mut ua = Ua::new(server.sip);
    assert_eq!(ua.ask(&publish(None)).status(), Some(200));
    assert_eq!(ua.ask(&publish(None)).status(), Some(402));
    sim.wait("ACR", 2);
    assert_eq!(sim.wait("CCR", 2).len(), 2);
    assert_eq!(connections(&sim), 1);
    server.stop();
    assert_eq!(sim.wait("disconnected", 1).len(), 1);
}

/// Without an OCS in the configuration those are charged for whom the core names one, and nobody else.
#[test]
fn an_ocs_that_the_core_names_is_asked_and_nobody_pays_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--balance", "sip:bob@ims.test=1"]);
    let server = Server::start(
        "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
         [charging.online]\npublish = \"iec\"\nsubscribe = \"ecur\"\n",
    );
    let mut ua = Ua::new(server.sip);
    assert_eq!(ua.ask(&publish(None)).status(), Some(200));
    assert_eq!(connections(&sim), 0);
    let ecf = format!("aaa://{};transport=tcp", sim.address);
    assert_eq!(ua.ask(&publish(Some(&ecf))).status(), Some(200));
    assert_eq!(ua.ask(&publish(Some(&ecf))).status(), Some(402));
    assert_eq!(ua.ask(&publish(None)).status(), Some(200));
    assert_eq!(sim.wait("CCR", 2).len(), 2);
    assert_eq!(connections(&sim), 1);
    let nowhere =
        Request::subscribe(BOB, BOB).with("P-Charging-Function-Addresses", "ecf=\"127.0.0.1:1\"");
    assert_eq!(ua.ask(&nowhere).status(), Some(503), "nobody can say");
    server.stop();
}
