//! CHG-03: not one NOTIFY leaves beyond what an OCS has granted to its subscription, and a session that the OCS has lost or
//! never had is opened again; against `presentia sim ocs`.

use crate::harness::{Message, Request, SOON, Ua, eventually, http, pidf};
use crate::online_sessions::{BOB, END, INITIAL, UPDATE, World, report};
use crate::simulators::Sim;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl World {
    /// Changes bob's state, whether the watcher is told or not.
    fn change(&self, note: &str) {
        let request = Request::publish(BOB, &pidf(BOB, "open", note));
        assert_eq!(Ua::new(self.server.sip).ask(&request).status(), Some(200));
    }

    /// Uses up the three units of the first grant.
    fn use_up(&mut self) {
        self.publish("one");
        self.publish("two");
        assert_eq!(self.taken, 3);
        assert_eq!(self.asked(2)[1], (UPDATE, 1, Some(3)));
    }

    fn is_silent(&mut self, time: Duration) {
        let told = self.watcher.request(time);
        assert!(told.is_none(), "{told:?}");
    }

    /// Units that were reported, by Session-Id; a request that came again counts once.
    fn reported_to(&self, sims: &[&Sim]) -> BTreeMap<String, i64> {
        let all = sims.iter().flat_map(|sim| sim.requests("CCR"));
        let mut once = BTreeMap::new();
        for ccr in all {
            let (_, number, used) = report(&ccr);
            once.insert((session(&ccr), number), used.unwrap_or(0));
        }
        let mut sums = BTreeMap::new();
        for ((id, _), used) in once {
            *sums.entry(id).or_insert(0) += used;
        }
        sums
    }
}

fn session(ccr: &Value) -> String {
    ccr["avps"]["Session-Id"][0].as_str().unwrap().to_owned()
}

fn is_over(message: &Message) -> bool {
    message.get("subscription-state").starts_with("terminated")
}

/// Waits for a request of this type to a simulator.
fn asked(sim: &Sim, kind: i64) -> Value {
    let come = || {
        let all = sim.requests("CCR").into_iter();
        all.rev().find(|ccr| report(ccr).0 == kind)
    };
    eventually(SOON, come).unwrap_or_else(|| panic!("type {kind} in {:#?}", sim.lines()))
}

#[test]
fn a_notify_waits_while_more_is_asked_for_and_says_what_is_true_then() {
    let mut world = World::start(&["--delay", "1000"], "");
    world.use_up();
    let asked = Instant::now();
    for note in ["three", "four"] {
        world.change(note);
    }
    let told = world.told();
    assert!(told.body.contains("three") && told.body.contains("four"));
    let waited = asked.elapsed();
    assert!(waited > Duration::from_millis(700), "{waited:?}");
    world.leave();
    world.settles(0, 0);
    let used = world.reported_to(&[&world.sim]);
    assert_eq!(used.values().sum::<i64>(), world.taken as i64);
    world.server.stop();
}

#[test]
fn who_waits_for_an_ocs_that_says_nothing_waits_no_longer_than_tx() {
    for (ccfh, ends) in [("0", true), ("1", false), ("2", false)] {
        let ocs = ["--ccfh", ccfh, "--answer", "UPDATE=silent"];
        let mut world = World::start(&ocs, "");
        let since = Instant::now();
        world.use_up();
        world.change("three");
        let told = world.told();
        let waited = since.elapsed();
        assert!(waited > Duration::from_millis(1_500), "{ccfh}: {waited:?}");
        assert!(waited < Duration::from_secs(8), "{ccfh}: {waited:?}");
        match ends {
            true => world.withdrawn(&told),
            false => assert!(told.body.contains("three") && !is_over(&told), "{ccfh}"),
        }
        world.server.stop();
    }
}

#[test]
fn the_end_does_not_wait_and_costs_nothing_where_no_unit_is_left() {
    let mut world = World::start(&["--answer", "UPDATE=silent,default"], "");
    world.use_up();
    world.leave();
    world.settles(1, 0);
    world.server.stop();
}

#[test]
fn what_waits_outlives_the_process_and_what_is_left_of_a_grant_too() {
    let mut world = World::start(&["--answer", "UPDATE=silent,default"], "");
    world.use_up();
    world.change("three");
    world.is_silent(Duration::from_millis(300));
    world.server.kill9();
    world.server.launch();
    let told = world.told();
    assert!(told.body.contains("three"));
    let ccrs = world.ccrs(3);
    assert_eq!(
        (&ccrs[2]["t"], report(&ccrs[2])),
        (&true.into(), report(&ccrs[1]))
    );
    world.leave();
    world.settles(0, 1);
    world.server.stop();
}

#[test]
fn more_is_asked_for_before_the_grant_is_used_and_the_rest_of_it_used_meanwhile() {
    for (ocs, more) in [
        (&["--threshold", "2"][..], "early_percent = 0"),
        (&[], "early_percent = 50"),
    ] {
        let ocs = [ocs, &["--answer", "UPDATE=silent,default", "--ccfh", "1"]].concat();
        let mut world = World::start(&ocs, more);
        world.publish("one");
        assert_eq!(world.asked(2)[1], (UPDATE, 1, Some(2)), "{more}");
        let told = world.publish("two");
        assert!(!is_over(&told), "{more}: the third unit was granted");
        world.change("three");
        world.is_silent(Duration::from_millis(200));
        world.server.stop();
    }
}

#[test]
fn a_session_that_the_ocs_has_forgotten_is_opened_again_once() {
    let mut world = World::start(&["--balance", "sip:bob@ims.test=100"], "");
    world.publish("one");
    world.command("answer UPDATE=5002,default", "UPDATE=5002,default");
    world.publish("two"); // and now more is asked for
    let ccrs = world.ccrs(3);
    assert_eq!(report(&ccrs[1]), (UPDATE, 1, Some(3)));
    let (kind, number, _) = report(&ccrs[2]);
    assert_eq!((kind, number), (INITIAL, 0));
    let (lost, next) = (session(&ccrs[0]), session(&ccrs[2]));
    assert_eq!(next, format!("{lost};1"));
    assert_ne!(ccrs[0]["end_to_end"], ccrs[2]["end_to_end"]);
    // what the lost session was told of is paid in the next one
    let told = world.publish("three");
    assert!(!is_over(&told));
    world.leave();
    let ended = asked(&world.sim, END);
    assert_eq!(session(&ended), next);
    let mut used = world.reported_to(&[&world.sim]);
    assert_eq!(used.remove(&next), Some(world.taken as i64), "{used:?}");
    world.server.stop();

    // a session that is refused, or forgotten again, is not opened a third time
    for answers in [&["UPDATE=5002", "INITIAL=4012"][..], &["UPDATE=5002"]] {
        let mut world = World::start(&[], "");
        for answer in answers {
            world.command(&format!("answer {answer}"), answer);
        }
        world.command("rar", "RAA");
        if answers.len() == 1 {
            let opened = || (world.sim.requests("CCR").len() == 3).then_some(());
            eventually(SOON, opened).expect("another session");
            world.sim.command("rar");
        }
        let last = loop {
            let told = world.told();
            if is_over(&told) {
                break told;
            }
        };
        world.withdrawn(&last);
        let opened = world.sim.requests("CCR");
        let opened = opened.iter().filter(|ccr| report(ccr).0 == INITIAL);
        assert_eq!(opened.count(), 2, "{answers:?}");
        world.server.stop();
    }
}

#[test]
fn a_service_that_goes_on_without_a_session_is_charged_again_when_the_ocs_is_back() {
    for (answers, of_first, lost) in [
        // refused: what it was told of is for the operator
        ("UPDATE=5031,default", 3, 3),
        // silent, and then it has forgotten the session that it may have counted for
        ("UPDATE=silent,5002,default", 3, 3),
    ] {
        let mut world = World::start(&["--ccfh", "1"], "again_s = 1");
        world.command(&format!("answer {answers}"), answers);
        world.use_up();
        for note in ["three", "four"] {
            assert!(!is_over(&world.publish(note)), "{answers}: {note}");
        }
        let opened = || {
            let all = world.sim.requests("CCR").into_iter();
            all.filter(|ccr| report(ccr).0 == INITIAL).nth(1)
        };
        let opened = eventually(SOON, opened).expect("another session");
        assert!(session(&opened).ends_with(";ro;1"), "{opened:#?}");
        world.leave();
        let ended = asked(&world.sim, END);
        assert_eq!(session(&ended), session(&opened), "{answers}");
        let used = world.reported_to(&[&world.sim]);
        let first = session(&world.ccrs(1)[0]);
        let taken = world.taken as i64;
        assert_eq!(used[&first], of_first, "{answers}");
        assert_eq!(used[&session(&opened)], taken - lost, "{answers}");
        let page = http(world.server.http, "GET", "/metrics", &[], "").body;
        let told = "presentia_charging_credit_total{outcome=\"given_up\"} 1";
        assert!(page.contains(told), "{answers}: {page}");
        world.server.stop();
    }
}
