//! CHG-03: credit that lasts as long as a subscription (RFC 8506 §5), against `presentia sim ocs` and python-diameter.
//! Units are counted at the OCS and at the watcher, and must be the same.

use crate::diameter_table::{Lab, Make};
use crate::harness::{Message, Request, SOON, Server, Subscription, Ua, eventually, http, pidf};
use crate::simulators::Sim;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub const BOB: &str = "sip:bob@ims.test";

/// A server whose subscriptions have sessions of three units at these OCSs.
pub fn server(ocs: &[(&str, &str)], more: &str) -> Server {
    let mut settings = format!(
        "[subscription]\nnotify_interval_ms = 0\n\
         [charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\nwatchdog_s = 6\n\
         reconnect_min_ms = 100\nreconnect_max_ms = 200\n\
         [charging.online]\nsubscribe = \"session\"\ntx_ms = 2000\nanswer_timeout_ms = 2000\n\
         [charging.online.sessions]\n{more}\n"
    );
    for (key, usual) in [("quota", 3), ("lag_ms", 100)] {
        if !more.contains(key) && !more.contains("\"subscription\"") {
            settings += &format!("{key} = {usual}\n");
        }
    }
    for (priority, (host, address)) in ocs.iter().enumerate() {
        settings += &format!(
            "[[charging.online.peers]]\nhost = \"{host}\"\nrealm = \"test\"\naddress = \"{address}\"\n\
             priority = {priority}\n"
        );
    }
    let server = Server::start(&settings);
    until_up(&server, ocs);
    server
}

fn until_up(server: &Server, ocs: &[(&str, &str)]) {
    for (host, _) in ocs {
        let line = format!("presentia_diameter_peer_open{{peer=\"{host}\"}} 1");
        let up = || {
            let page = http(server.http, "GET", "/metrics", &[], "").body;
            page.contains(&line).then_some(())
        };
        eventually(SOON, up).unwrap_or_else(|| panic!("{host} is not up:\n{}", server.log()));
    }
}

/// An OCS, a server and a watcher who has subscribed, and has taken so many NOTIFYs.
pub struct World {
    pub sim: Sim,
    pub server: Server,
    pub watcher: Ua,
    pub dialog: Subscription,
    pub taken: usize,
    _folder: tempfile::TempDir,
}

impl World {
    pub fn start(ocs: &[&str], more: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(folder.path(), &[&["ocs"], ocs].concat());
        let server = server(&[("ocs.test", &sim.address)], more);
        let mut watcher = Ua::new(server.sip);
        let (dialog, first) = watcher.watch(&Request::subscribe(BOB, BOB));
        assert!(first.get("subscription-state").starts_with("active"));
        World {
            sim,
            server,
            watcher,
            dialog,
            taken: 1,
            _folder: folder,
        }
    }

    pub fn told(&mut self) -> Message {
        self.taken += 1;
        self.watcher.notify(&self.dialog.call_id)
    }

    /// Something that the watcher is told.
    pub fn publish(&mut self, note: &str) -> Message {
        let request = Request::publish(BOB, &pidf(BOB, "open", note));
        assert_eq!(Ua::new(self.server.sip).ask(&request).status(), Some(200));
        loop {
            let told = self.told();
            if told.body.contains(note) || told.get("subscription-state").starts_with("term") {
                return told;
            }
        }
    }

    /// The watcher leaves.
    pub fn leave(&mut self) {
        let request = self.dialog.refresh(0);
        assert_eq!(self.watcher.ask(&request).status(), Some(200));
        let last = self.told();
        assert!(last.get("subscription-state").starts_with("terminated"));
    }

    /// The same, where something may be told before.
    pub fn leave_at_last(&mut self) {
        let request = self.dialog.refresh(0);
        assert_eq!(self.watcher.ask(&request).status(), Some(200));
        while !self
            .told()
            .get("subscription-state")
            .starts_with("terminated")
        {}
    }

    /// What a NOTIFY says of a subscription that has lost its credit.
    pub fn withdrawn(&self, last: &Message) {
        let state = last.get("subscription-state");
        assert!(state.starts_with("terminated;reason=probation"), "{state}");
        assert!(state.contains("retry-after=300"), "{state}");
    }

    pub fn command(&mut self, line: &str, done: &str) {
        self.sim.command(line);
        let read = || {
            self.sim
                .lines()
                .iter()
                .any(|l| l["of"] == done || l["event"] == done)
                .then_some(())
        };
        eventually(SOON, read).unwrap_or_else(|| panic!("{line}: {:#?}", self.sim.lines()));
    }

    /// Waits for so many requests of sessions: type, number and units used.
    pub fn asked(&self, count: usize) -> Vec<(i64, i64, Option<i64>)> {
        self.ccrs(count).iter().map(report).collect()
    }

    pub fn ccrs(&self, count: usize) -> Vec<Value> {
        let come = || Some(self.sim.requests("CCR")).filter(|all| all.len() >= count);
        eventually(SOON, come).unwrap_or_else(|| {
            panic!(
                "{count} CCRs in {:#?}\n{}",
                self.sim.lines(),
                self.server.log()
            )
        })
    }

    /// Units that the OCS has been told of; a request that came again counts once.
    fn used(&self) -> usize {
        let all = self.sim.requests("CCR");
        let used: BTreeMap<i64, i64> = all
            .iter()
            .map(|ccr| (report(ccr).1, report(ccr).2.unwrap_or(0)))
            .collect();
        used.values().sum::<i64>() as usize
    }

    /// Has the OCS ask until it knows of each NOTIFY that was taken: the watcher's answers are on their way.
    pub fn reported(&mut self) {
        for _ in 0..50 {
            let (asked, told) = (
                self.sim.requests("CCR").len(),
                self.sim.requests("RAA").len(),
            );
            if self.used() == self.taken {
                return;
            }
            self.sim.command("rar");
            let come = || (self.sim.requests("RAA").len() > told).then_some(());
            eventually(SOON, come).expect("an RAA");
            self.ccrs(asked + 1);
        }
        panic!(
            "{} of {} units in {:#?}",
            self.used(),
            self.taken,
            self.sim.lines()
        );
    }

    /// The session is over, and each NOTIFY that was taken has been paid for, but those that say the end and those
    /// that a kill may have given away.
    pub fn settles(&mut self, free: usize, lost: usize) {
        let ended = || {
            let all = self.sim.requests("CCR");
            all.iter().any(|ccr| report(ccr).0 == END).then_some(all)
        };
        let all = eventually(SOON, ended)
            .unwrap_or_else(|| panic!("no end in {:#?}\n{}", self.sim.lines(), self.server.log()));
        let (used, due) = (self.used(), self.taken - free);
        let all: Vec<_> = all.iter().map(report).collect();
        assert!(
            used <= due && used + lost >= due,
            "{used} of {due}: {all:#?}"
        );
    }
}

/// CC-Request-Type, CC-Request-Number and CC-Service-Specific-Units used.
pub fn report(ccr: &Value) -> (i64, i64, Option<i64>) {
    let avps = &ccr["avps"];
    let number = |name: &str| avps[name][0].as_i64().unwrap_or(-1);
    let service = &avps["Multiple-Services-Credit-Control"][0];
    let used = &service["Used-Service-Unit"][0]["CC-Service-Specific-Units"][0];
    (
        number("CC-Request-Type"),
        number("CC-Request-Number"),
        used.as_i64(),
    )
}

pub const INITIAL: i64 = 1;
pub const UPDATE: i64 = 2;
pub const END: i64 = 3;

#[test]
fn a_subscription_pays_for_its_notifies_until_it_ends() {
    let mut world = World::start(&["--balance", "sip:bob@ims.test=100"], "");
    for note in ["one", "two", "three"] {
        world.publish(note);
    }
    assert_eq!(
        world.asked(2)[..2],
        [(INITIAL, 0, None), (UPDATE, 1, Some(3))]
    );
    let wanted = |ccr: &Value| {
        ccr["avps"]["Multiple-Services-Credit-Control"][0]["Requested-Service-Unit"][0]
            ["CC-Service-Specific-Units"][0]
            .clone()
    };
    let ccrs = world.ccrs(2);
    assert_eq!((wanted(&ccrs[0]), wanted(&ccrs[1])), (3.into(), 3.into()));
    // a refresh belongs to the subscription
    let refresh = world.dialog.refresh(600);
    assert_eq!(world.watcher.ask(&refresh).status(), Some(200));
    world.told();
    world.leave();
    world.settles(0, 0);
    let (taken, balance) = (world.taken, format!("{BOB}={}", 100 - world.taken));
    world.command(&format!("balance {BOB}"), &balance);
    assert!(taken >= 6);
    world.server.stop();
}

#[test]
fn without_credit_there_is_no_subscription() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--balance", "sip:bob@ims.test=0"]);
    let server = server(&[("ocs.test", &sim.address)], "");
    let mut watcher = Ua::new(server.sip);
    let refused = watcher.ask(&Request::subscribe(BOB, BOB));
    assert_eq!(refused.status(), Some(402));
    assert_eq!(sim.requests("CCR").len(), 1);
    server.stop();
}

#[test]
fn what_opens_no_subscription_leaves_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut sim = Sim::start(folder.path(), &["ocs", "--quota", "9"]);
    let server = server(&[("ocs.test", &sim.address)], "");
    let mut watcher = Ua::new(server.sip);
    let stranger = "sip:carol@ims.test";
    for (case, request, status, account, used) in [
        (
            "refused after the grant",
            Request::subscribe(stranger, BOB),
            403,
            stranger,
            0,
        ),
        (
            "a fetch",
            Request::subscribe(BOB, BOB)
                .without("Expires")
                .with("Expires", 0),
            200,
            BOB,
            1,
        ),
    ] {
        let before = sim.requests("CCR").len();
        assert_eq!(watcher.ask(&request).status(), Some(status), "{case}");
        let ended = || Some(sim.requests("CCR")).filter(|all| all.len() == before + 2);
        let all = eventually(SOON, ended).unwrap_or_else(|| panic!("{case}: {:#?}", sim.lines()));
        let all: Vec<_> = all[before..].iter().map(report).collect();
        assert_eq!(all, [(INITIAL, 0, None), (END, 1, Some(used))], "{case}");
        sim.command(&format!("balance {account}"));
        let left = format!("{account}={}", 9 - used);
        let told = || {
            sim.lines()
                .iter()
                .any(|line| line["of"] == *left)
                .then_some(())
        };
        eventually(SOON, told).unwrap_or_else(|| panic!("{left}: {:#?}", sim.lines()));
    }
    server.stop();
}

#[test]
fn an_ocs_asks_again_while_the_watcher_is_subscribed() {
    let mut world = World::start(&[], "");
    world.publish("one");
    world.reported();
    for raa in world.sim.requests("RAA") {
        assert_eq!(raa["avps"]["Result-Code"][0], 2002);
    }
    assert_eq!(world.asked(2)[1].0, UPDATE);
    world.publish("two");
    world.leave();
    world.settles(0, 0);
    world.server.stop();
}

#[test]
fn the_last_units_end_a_subscription_when_they_are_used() {
    for action in ["0", "1", "2"] {
        let ocs = [
            "--balance",
            "sip:bob@ims.test=2",
            "--final-unit",
            "--final-action",
            action,
        ];
        let mut world = World::start(&ocs, "");
        let second = world.publish("one");
        assert!(second.get("subscription-state").starts_with("active"));
        let last = world.told();
        world.withdrawn(&last);
        assert_eq!(world.asked(2), [(INITIAL, 0, None), (END, 1, Some(2))]);
        world.settles(1, 0);
        world.server.stop();
    }
}

#[test]
fn what_an_ocs_answers_while_the_subscription_lasts_decides() {
    for code in ["4010", "4012", "5030", "5031"] {
        let mut world = World::start(&[], "");
        world.command(&format!("answer UPDATE={code}"), &format!("UPDATE={code}"));
        world.command("rar", "RAA");
        let last = world.told();
        world.withdrawn(&last);
        world.server.stop();
    }
    // free from here on
    let mut world = World::start(&[], "");
    world.command("answer UPDATE=4011", "UPDATE=4011");
    world.command("rar", "RAA");
    world.asked(2);
    for note in ["one", "two", "three", "four"] {
        let told = world.publish(note);
        assert!(told.get("subscription-state").starts_with("active"));
    }
    world.leave();
    assert_eq!(world.asked(2).len(), 2, "nothing more is asked");
    world.server.stop();
}

#[test]
fn an_ocs_ends_a_session_and_the_watcher_is_told() {
    let mut world = World::start(&[], "");
    world.publish("one");
    world.reported();
    world.command("asr", "ASA");
    let asa = &world.sim.requests("ASA")[0];
    assert_eq!(asa["avps"]["Result-Code"][0], 2001);
    let last = world.told();
    world.withdrawn(&last);
    world.settles(1, 0);
    world.server.stop();
}

#[test]
fn a_grant_is_renewed_when_its_time_is_over() {
    let mut world = World::start(&["--validity", "1"], "");
    let asked = world.asked(3);
    assert_eq!(
        asked[..3],
        [
            (INITIAL, 0, None),
            (UPDATE, 1, Some(1)),
            (UPDATE, 2, Some(0))
        ]
    );
    world.leave();
    world.settles(0, 0);
    world.server.stop();
}

#[test]
fn a_subscription_can_be_the_unit() {
    let mut world = World::start(
        &["--balance", "sip:bob@ims.test=1", "--validity", "1"],
        "unit = \"subscription\"",
    );
    for note in ["one", "two"] {
        world.publish(note);
    }
    world.asked(2);
    world.leave();
    let ended = || {
        let all = world.sim.requests("CCR");
        all.iter().any(|ccr| report(ccr).0 == END).then_some(all)
    };
    let all = eventually(SOON, ended).expect("the end");
    assert!(!all.is_empty());
    assert_eq!(world.used(), 1);
    world.server.stop();
}

#[test]
fn kill_9_loses_neither_session_nor_units() {
    let mut world = World::start(&["--balance", "sip:bob@ims.test=100"], "");
    world.publish("one");
    world.reported();
    let before = world.ccrs(1);
    world.publish("two");
    world.server.kill9();
    world.server.launch();
    let ccrs = world.ccrs(before.len() + 1);
    let (first, last, update) = (&ccrs[0], &ccrs[before.len() - 1], &ccrs[before.len()]);
    if update["t"] == true {
        assert_eq!(
            report(update),
            report(last),
            "its answer was not in the store"
        );
    } else {
        let (kind, number, used) = report(update);
        assert_eq!((kind, number), (UPDATE, report(last).1 + 1));
        assert!(matches!(used, Some(0 | 1)), "{used:?}");
    }
    assert_eq!(first["avps"]["Session-Id"], update["avps"]["Session-Id"]);
    world.publish("three");
    world.leave();
    world.settles(0, 1); // the answer to the NOTIFY was on its way
    let balance = format!("{BOB}={}", 100 - world.used());
    world.command(&format!("balance {BOB}"), &balance);
    world.server.stop();
}

#[test]
fn hundreds_of_sessions_are_taken_up_after_kill_9_and_no_unit_is_charged_twice() {
    let many = 200;
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["ocs", "--ccfh", "0"]);
    let mut server = server(&[("ocs.test", &sim.address)], "");
    let mut watcher = Ua::new(server.sip);
    for person in 0..many {
        let me = format!("sip:p{person}@ims.test");
        let answer = watcher.ask(&Request::subscribe(&me, &me));
        assert_eq!(answer.status(), Some(200));
    }
    let sessions = |kind: i64| -> BTreeMap<String, Vec<(i64, bool)>> {
        let mut all: BTreeMap<String, Vec<(i64, bool)>> = BTreeMap::new();
        for ccr in sim.requests("CCR") {
            let (is, _, used) = report(&ccr);
            if is == kind {
                let id = ccr["avps"]["Session-Id"][0].as_str().unwrap().to_owned();
                let told = (used.unwrap_or(0), ccr["t"] == true);
                all.entry(id).or_default().push(told);
            }
        }
        all
    };
    // some of what was used in the last moment may be given away, and only that
    server.kill9();
    server.launch();
    let taken_up = || Some(sessions(UPDATE)).filter(|all| all.len() == many);
    let updates = eventually(3 * SOON, taken_up)
        .unwrap_or_else(|| panic!("{} updates\n{}", sessions(UPDATE).len(), server.log()));
    let opened = sessions(INITIAL);
    assert!(
        opened.keys().eq(updates.keys()),
        "each session is the one that was opened"
    );
    // an OCS that is slow on a busy machine is asked again, with T
    let once = |told: &[(i64, bool)]| {
        let first = told[0];
        let again = told[1..].iter().all(|(used, t)| *used == first.0 && *t);
        matches!(first, (0 | 1, false)) && again
    };
    assert!(updates.values().all(|told| once(told)), "{updates:#?}");
    let used: i64 = updates.values().map(|told| told[0].0).sum();
    assert!(used > 0 && used <= many as i64);
    // none was withdrawn, and none was ended
    assert!(sessions(END).is_empty());
    let ended = |m: &Message| m.get("subscription-state").starts_with("terminated");
    while let Some(told) = watcher.request(Duration::from_millis(200)) {
        assert!(!ended(&told), "{}", told.first);
    }
    server.stop();
}

#[test]
fn an_update_of_unknown_fate_goes_again_with_t_after_kill_9() {
    let mut world = World::start(&["--balance", "sip:bob@ims.test=100"], "");
    world.command("answer UPDATE=silent,default", "UPDATE=silent,default");
    world.command("rar", "RAA");
    world.asked(2);
    world.server.kill9();
    world.server.launch();
    let ccrs = world.ccrs(3);
    assert_eq!(report(&ccrs[1]), report(&ccrs[2]));
    assert_eq!(ccrs[1]["end_to_end"], ccrs[2]["end_to_end"]);
    assert_eq!(
        (&ccrs[1]["t"], &ccrs[2]["t"]),
        (&false.into(), &true.into())
    );
    world.publish("two");
    world.leave();
    world.settles(0, 1);
    world.server.stop();
}

#[test]
fn the_failure_handling_decides_when_no_ocs_can_be_asked() {
    // TERMINATE
    let mut world = World::start(&[], "");
    world.sim.command("quit");
    for note in ["one", "two"] {
        let told = world.publish(note); // the third unit asks for more
        if told.get("subscription-state").starts_with("term") {
            break;
        }
    }
    let last = world.told();
    world.withdrawn(&last);
    // CONTINUE
    let mut world = World::start(&["--ccfh", "1"], "");
    world.sim.command("quit");
    for note in ["one", "two", "three", "four"] {
        let told = world.publish(note);
        assert!(told.get("subscription-state").starts_with("active"));
    }
}

#[test]
fn a_session_moves_to_another_ocs_where_its_own_allowed_that() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut one = Sim::start(first.path(), &["ocs", "--host", "ocs1.test", "--failover"]);
    let two = Sim::start(
        second.path(),
        &["ocs", "--host", "ocs2.test", "--answer", "UPDATE=2001"],
    );
    let server = server(
        &[("ocs1.test", &one.address), ("ocs2.test", &two.address)],
        "",
    );
    let mut watcher = Ua::new(server.sip);
    let (_dialog, _) = watcher.watch(&Request::subscribe(BOB, BOB));
    assert_eq!(
        (one.requests("CCR").len(), two.requests("CCR").len()),
        (1, 0)
    );
    one.command("answer UPDATE=silent");
    let read = || {
        one.lines()
            .iter()
            .any(|l| l["of"] == "UPDATE=silent")
            .then_some(())
    };
    eventually(SOON, read).expect("the command is read");
    one.command("rar");
    let moved = || two.requests("CCR").first().cloned();
    let update = eventually(SOON, moved).expect("it moves");
    assert_eq!((report(&update).0, &update["t"]), (UPDATE, &true.into()));
    let own = one.requests("CCR");
    assert_eq!(own[1]["end_to_end"], update["end_to_end"]);
    server.stop();
}

#[test]
fn python_diameter_asks_again_and_ends_a_session() {
    if !Make::Python.is_there() {
        return;
    }
    for (behaviour, answer, goes_on) in [
        ("{\"rar\": 0.2}", "RAA\tResult-Code=2002", true),
        ("{\"asr\": 0.2}", "ASA\tResult-Code=2001", false),
        ("{\"final\": true}", "CC-Request-Type=3", false),
    ] {
        let lab = Lab::new(&format!("online session {answer}"), Make::Python);
        let mut ocs = lab.peer(Make::Python, "ocs.test");
        ocs.behave(behaviour);
        ocs.start();
        let server = server(&[(ocs.host, &format!("127.0.0.1:{}", ocs.tap.port))], "");
        let mut watcher = Ua::new(server.sip);
        let (mut dialog, first) = watcher.watch(&Request::subscribe(BOB, BOB));
        assert!(first.get("subscription-state").starts_with("active"));
        let text = || ocs.journal();
        let told = || text().contains(answer).then_some(());
        eventually(SOON, told).unwrap_or_else(|| panic!("{behaviour}: {}", text()));
        if goes_on {
            assert_eq!(watcher.ask(&dialog.refresh(0)).status(), Some(200));
        }
        let last = loop {
            let told = watcher.notify(&dialog.call_id);
            if told.get("subscription-state").starts_with("term") {
                break told;
            }
        };
        let reason = if goes_on { "timeout" } else { "probation" };
        let state = last.get("subscription-state");
        assert!(state.contains(reason), "{behaviour}: {state}");
        let ended = || text().contains("CC-Request-Type=3").then_some(());
        eventually(SOON, ended).unwrap_or_else(|| panic!("{behaviour}: {}", text()));
        assert_eq!(
            text().matches("\t?").count(),
            0,
            "an AVP that it does not know: {}",
            text()
        );
        server.stop();
    }
}
