//! CHG-03: NOTIFYs that ask for credit, against `presentia sim ocs`.

use crate::harness::{Request, SOON, Server, Ua, eventually, http, pidf};
use crate::simulators::Sim;
use serde_json::Value;

const BOB: &str = "sip:bob@ims.test";

fn server(sim: &Sim, mode: &str) -> Server {
    let server = Server::start(&format!(
        "[subscription]\nnotify_interval_ms = 0\n\
         [charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\n\
         [charging.online]\nnotify = \"{mode}\"\ntx_ms = 2000\n\
         withdrawn_reason = \"probation\"\nwithdrawn_retry_after_s = 77\n\
         [[charging.online.peers]]\nhost = \"ocs.test\"\nrealm = \"test\"\naddress = \"{}\"\n",
        sim.address
    ));
    let up = || {
        let page = http(server.http, "GET", "/metrics", &[], "").body;
        page.contains("presentia_diameter_peer_open{peer=\"ocs.test\"} 1")
            .then_some(())
    };
    eventually(SOON, up).expect("the OCS is up");
    server
}

fn publish(server: &Server, note: &str) {
    let request = Request::publish(BOB, &pidf(BOB, "open", note));
    assert_eq!(Ua::new(server.sip).ask(&request).status(), Some(200));
}

/// CC-Request-Type, Requested-Action, Used-Service-Unit.
fn kind(ccr: &Value) -> (i64, i64, i64) {
    let avps = &ccr["avps"];
    let number = |name: &str| avps[name][0].as_i64().unwrap_or(9);
    let service = &avps["Multiple-Services-Credit-Control"][0];
    let used = service["Used-Service-Unit"][0]["CC-Service-Specific-Units"][0].as_i64();
    (
        number("CC-Request-Type"),
        number("Requested-Action"),
        used.unwrap_or(9),
    )
}

/// Two NOTIFYs are paid for, the third has no credit: the watcher is told the end and nothing else, for nothing.
#[test]
fn notifies_are_paid_for_until_the_account_is_empty() {
    for (mode, paid) in [("iec", &[(4, 0, 9)][..]), ("ecur", &[(1, 9, 9), (3, 9, 1)])] {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), &["ocs", "--balance", "sip:bob@ims.test=2"]);
        let server = server(&sim, mode);
        let mut watcher = Ua::new(server.sip);
        let (dialog, first) = watcher.watch(&Request::subscribe(BOB, BOB));
        assert!(first.get("subscription-state").starts_with("active"));
        sim.wait("CCR", paid.len());
        publish(&server, "second");
        let second = watcher.notify(&dialog.call_id);
        assert!(second.body.contains("second"), "{mode}");
        sim.wait("CCR", 2 * paid.len());
        publish(&server, "third");
        let last = watcher.notify(&dialog.call_id);
        let state = last.get("subscription-state");
        assert_eq!(
            state, "terminated;reason=probation;retry-after=77",
            "{mode}"
        );
        assert_eq!(last.body, "", "{mode}");
        server.stop();
        let kinds: Vec<_> = sim.requests("CCR").iter().map(kind).collect();
        let mut expected = [paid, paid].concat();
        expected.push(paid[0]); // refused
        assert_eq!(kinds, expected, "{mode}");
        let ims = &sim.requests("CCR")[0]["avps"]["Service-Information"][0]["IMS-Information"][0];
        assert_eq!(ims["Event-Type"][0]["SIP-Method"][0], "NOTIFY");
    }
}

/// A NOTIFY that the watcher refuses is given back.
#[test]
fn a_notify_that_fails_is_given_back() {
    for (mode, expected) in [
        ("iec", [(4, 0, 9), (4, 1, 9)]),
        ("ecur", [(1, 9, 9), (3, 9, 0)]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), &["ocs", "--balance", "sip:bob@ims.test=1"]);
        let server = server(&sim, mode);
        let mut watcher = Ua::new(server.sip);
        watcher.answer = Some("481 Gone");
        watcher.watch(&Request::subscribe(BOB, BOB));
        let kinds: Vec<_> = sim.wait("CCR", 2).iter().map(kind).collect();
        assert_eq!(kinds, expected, "{mode}");
        server.stop();
        assert_eq!(
            sim.requests("CCR").len(),
            2,
            "{mode}: nobody is there any more"
        );
    }
}
