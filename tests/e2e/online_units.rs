//! CHG-03: what becomes of units: given back when they lie unused (Quota-Holding-Time), of a kind that presence has not,
//! given away while an OCS is silent or by a kill; against `presentia sim ocs`.

use crate::harness::{Request, SOON, Ua, eventually};
use crate::online_sessions::{BOB, END, INITIAL, UPDATE, World, report};
use crate::simulators::Sim;
use serde_json::Value;

/// Reporting-Reason, beside the service or its units.
fn reason(ccr: &Value) -> Option<i64> {
    let service = &ccr["avps"]["Multiple-Services-Credit-Control"][0];
    let of_units = &service["Used-Service-Unit"][0]["Reporting-Reason"][0];
    let reason = service["Reporting-Reason"][0].as_i64();
    reason.or(of_units.as_i64())
}

fn asks_for_units(ccr: &Value) -> bool {
    let service = &ccr["avps"]["Multiple-Services-Credit-Control"][0];
    service["Requested-Service-Unit"].is_array()
}

fn is_over(state: &str) -> bool {
    state.starts_with("terminated")
}

impl World {
    fn balance(&mut self, units: i64) {
        let balance = format!("{BOB}={units}");
        self.command(&format!("balance {BOB}"), &balance);
    }
}

#[test]
fn units_that_lie_unused_are_given_back_and_asked_for_when_there_is_something_to_tell() {
    for (ocs, more) in [
        (&["--holding", "1"][..], ""),
        (&[], "holding_s = 1"), // of the configuration, where the OCS names none
    ] {
        let ocs = [ocs, &["--balance", "sip:bob@ims.test=9"]].concat();
        let mut world = World::start(&ocs, more);
        let ccrs = world.ccrs(2);
        assert_eq!(report(&ccrs[1]), (UPDATE, 1, Some(1)));
        const QHT: Option<i64> = Some(1);
        assert_eq!((reason(&ccrs[1]), asks_for_units(&ccrs[1])), (QHT, false));
        world.balance(8); // nothing is reserved
        // told with the units that are asked for then
        let told = world.publish("one");
        assert!(!is_over(told.get("subscription-state")));
        let ccrs = world.ccrs(3);
        assert_eq!(report(&ccrs[2]), (UPDATE, 2, None), "nothing to report");
        assert_eq!((reason(&ccrs[2]), asks_for_units(&ccrs[2])), (None, true));
        world.leave();
        world.settles(0, 0);
        world.balance(9 - world.taken as i64);
        world.server.stop();
    }
}

#[test]
fn each_report_says_why() {
    let world = World::start(&["--validity", "1"], "early_percent = 0");
    assert_eq!(reason(&world.ccrs(1)[0]), None);
    assert_eq!(reason(&world.ccrs(2)[1]), Some(4), "VALIDITY_TIME");
    world.server.stop();

    let mut world = World::start(&[], "early_percent = 0");
    world.publish("one");
    world.publish("two");
    assert_eq!(reason(&world.ccrs(2)[1]), Some(3), "QUOTA_EXHAUSTED");
    world.sim.command("rar");
    assert_eq!(reason(&world.ccrs(3)[2]), Some(7), "FORCED_REAUTHORISATION");
    world.leave();
    assert_eq!(reason(&world.ccrs(4)[3]), Some(2), "FINAL");
    world.server.stop();

    let mut world = World::start(&["--threshold", "2"], "");
    world.publish("one");
    assert_eq!(reason(&world.ccrs(2)[1]), Some(0), "THRESHOLD");
    world.server.stop();
}

#[test]
fn units_of_a_kind_that_presence_has_not_refuse_the_service_and_close_the_session() {
    for kind in ["money", "octets", "time"] {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), &["ocs", "--unit", kind]);
        let server = crate::online_sessions::server(&[("ocs.test", &sim.address)], "");
        let answer = Ua::new(server.sip).ask(&Request::subscribe(BOB, BOB));
        assert_eq!(answer.status(), Some(503), "{kind}");
        assert!(!answer.get("retry-after").is_empty());
        let both = || Some(sim.requests("CCR")).filter(|all| all.len() == 2);
        let ccrs = eventually(SOON, both).expect("the end of the session");
        assert_eq!(report(&ccrs[0]).0, INITIAL);
        assert_eq!(report(&ccrs[1]), (END, 1, Some(0)));
        const DIAMETER_BAD_ANSWER: i64 = 3;
        let cause = &ccrs[1]["avps"]["Termination-Cause"][0];
        assert_eq!(cause, DIAMETER_BAD_ANSWER, "{kind}");
        server.stop();
    }
}

#[test]
fn what_a_subscription_is_given_without_an_answer_of_its_ocs_is_bounded() {
    let mut world = World::start(&["--ccfh", "1"], "given_max = 3\nagain_s = 0");
    world.command("answer UPDATE=silent", "UPDATE=silent");
    world.publish("one");
    world.publish("two"); // the third unit
    let mut given = 0;
    loop {
        let told = world.publish(&format!("free {given}"));
        if is_over(told.get("subscription-state")) {
            world.withdrawn(&told);
            break;
        }
        given += 1;
        assert!(given <= 3, "it goes on");
    }
    assert!(given >= 2, "{given}"); // the end may come with the third
    world.server.stop();
}

#[test]
fn a_kill_gives_away_no_more_units_than_configured_however_late_the_store_is() {
    let lag = 4;
    let mut world = World::start(
        &["--balance", "sip:bob@ims.test=900"],
        &format!("lag_units = {lag}\nlag_ms = 60000\nquota = 500"),
    );
    for round in 0..2 {
        for note in 0..7 {
            world.publish(&format!("{round} {note}"));
        }
        world.server.kill9();
        world.server.launch();
    }
    world.leave_at_last();
    world.settles(0, 2 * lag);
    world.server.stop();
}
