//! Watcher information: what the presentity and others are told of watchers (RFC 3857, RFC 3858).

use super::*;
use crate::xml::schema::{Schema, Unknown};
use crate::xml::schemas::WATCHER_INFO;

const CAROL: &str = "sip:carol@ims.test";
const NOBODY: &str = "sip:anonymous@anonymous.invalid";

/// One `<watcher>`: status, event, URI, and the number that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub status: String,
    pub event: String,
    pub uri: String,
    pub id: String,
}

/// A document: version, whether it is full, the package it is about, its watchers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub version: u32,
    pub full: bool,
    pub package: String,
    pub watchers: Vec<Seen>,
}

impl Report {
    /// Status, event and URI of each watcher.
    pub(super) fn rows(&self) -> Vec<(&str, &str, &str)> {
        self.watchers
            .iter()
            .map(|w| (w.status.as_str(), w.event.as_str(), w.uri.as_str()))
            .collect()
    }
}

pub(super) fn read(body: &str) -> Report {
    let tree = roxmltree::Document::parse(body).unwrap();
    let schema = Schema::load(&WATCHER_INFO).unwrap();
    assert!(schema.validate(&tree, Unknown::Allowed).is_ok(), "{body}");
    let root = tree.root_element();
    let list = root.first_element_child().unwrap();
    let text = |node: roxmltree::Node<'_, '_>, name: &str| node.attribute(name).unwrap().to_owned();
    assert_eq!(list.attribute("resource"), Some(BOB));
    let watchers = list.children().map(|w| Seen {
        status: text(w, "status"),
        event: text(w, "event"),
        uri: w.text().unwrap().to_owned(),
        id: text(w, "id"),
    });
    Report {
        version: text(root, "version").parse().unwrap(),
        full: text(root, "state") == "full",
        package: text(list, "package"),
        watchers: watchers.collect(),
    }
}

/// The reports in messages.
pub(super) fn reports(sent: &[Sent]) -> Vec<Report> {
    let told = sent
        .iter()
        .filter(|s| s.get("Content-Type") == "application/watcherinfo+xml");
    told.map(|s| read(s.body())).collect()
}

impl Bench {
    /// Somebody subscribes to a package of bob's.
    pub(super) fn asks(&mut self, who: &str, package: &str, more: &str) -> Vec<Sent> {
        let head = format!(
            "Event: {package}\r\nP-Asserted-Identity: <{who}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        self.ask("SUBSCRIBE", BOB, &head, "")
    }

    /// Lets time pass, answers every NOTIFY with 200, and says what was reported.
    pub(super) fn hears(&mut self, millis: u64) -> Vec<Report> {
        let mut reported = Vec::new();
        let end = self.now + millis;
        while self.now < end {
            let sent = self.wait(1_000);
            reported.extend(reports(&sent));
            self.confirm(&sent);
        }
        reported.dedup(); // sent again before the second was over
        reported
    }

    pub(super) fn confirm(&mut self, sent: &[Sent]) {
        for notify in sent.iter().filter(|s| s.method() == "NOTIFY") {
            self.answer(notify, 200, "");
        }
    }

    /// Bob observes his watchers and has confirmed the first document.
    fn bob_observes(&mut self) -> (Sent, Report) {
        let sent = self.asks(BOB, "presence.winfo", "");
        assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
        let report = reports(&sent).remove(0);
        self.confirm(&sent);
        self.wait(5_000);
        (sent[0].clone(), report)
    }

    /// Alice subscribes and confirms; whatever bob is told at once.
    fn alice_subscribes(&mut self, more: &str) -> (Sent, Vec<Report>) {
        let sent = self.subscribe(more);
        let reported = reports(&sent);
        self.confirm(&sent);
        (sent[0].clone(), reported)
    }
}

#[test]
fn the_presentity_is_told_everything_first_and_then_what_changed() {
    let mut bench = Bench::strict();
    bench.rules("allow", "");
    let (alice, _) = bench.alice_subscribes("");
    let sent = bench.asks(BOB, "presence.winfo;id=w", "");
    assert_eq!(sent[1].get("Event"), "presence.winfo;id=w");
    assert_eq!(sent[1].get("Subscription-State"), "active;expires=3600");
    assert_eq!(sent[1].all("SIP-ETag").len(), 0);
    let first = reports(&sent).remove(0);
    assert_eq!((first.version, first.full), (0, true));
    assert_eq!(first.package, "presence");
    assert_eq!(first.rows(), [("active", "subscribe", ALICE)]);
    bench.confirm(&sent);
    bench.wait(5_000);
    bench.renew(
        &alice,
        "P-Asserted-Identity: <sip:alice@ims.test>\r\nExpires: 0\r\n",
    );
    let told = bench.sent(true);
    let second = reports(&told).remove(0);
    assert_eq!((second.version, second.full), (1, false));
    assert_eq!(second.rows(), [("terminated", "timeout", ALICE)]);
    assert_eq!(second.watchers[0].id, first.watchers[0].id);
}

#[test]
fn each_transition_is_reported_with_its_event() {
    let mut bench = Bench::strict();
    bench.rules("confirm", "");
    let (_, first) = bench.bob_observes();
    assert!(first.watchers.is_empty() && first.full);
    let (_, told) = bench.alice_subscribes("");
    assert_eq!(told[0].rows(), [("pending", "subscribe", ALICE)]);
    let mut version = told[0].version;
    for (handling, row) in [
        ("allow", ("active", "approved", ALICE)),
        ("confirm", ("pending", "subscribe", ALICE)),
        ("polite-block", ("active", "approved", ALICE)),
    ] {
        bench.hears(6_000);
        let sent = bench.rules(handling, "");
        let told = reports(&sent);
        assert_eq!(told[0].rows(), [row], "{handling}");
        version += 1;
        assert_eq!(
            (told[0].version, told[0].full),
            (version, false),
            "{handling}"
        );
        bench.confirm(&sent);
    }
    // an active watcher that changes hands between allowed and politely blocked changes nothing to be told
    bench.hears(6_000);
    let sent = bench.rules("allow", "");
    assert!(reports(&sent).is_empty());
    bench.confirm(&sent);
    bench.hears(6_000);
    let sent = bench.rules("block", "");
    assert_eq!(
        reports(&sent)[0].rows(),
        [("terminated", "rejected", ALICE)]
    );
}

#[test]
fn changes_within_five_seconds_are_told_together_and_the_last_state_is_not_lost() {
    let mut bench = Bench::strict();
    bench.rules("confirm", "");
    bench.bob_observes();
    let (_, told) = bench.alice_subscribes("");
    assert_eq!(told[0].rows(), [("pending", "subscribe", ALICE)]);
    for handling in ["allow", "block"] {
        let sent = bench.rules(handling, "");
        assert!(reports(&sent).is_empty(), "{handling}: too soon");
        bench.confirm(&sent);
    }
    let told = bench.hears(6_000);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].rows(), [("terminated", "rejected", ALICE)]);
    assert_eq!(bench.hears(60_000), []);
}

#[test]
fn a_report_that_fails_is_told_again_in_full() {
    let mut bench = Bench::strict();
    bench.rules("allow", "");
    bench.bob_observes();
    let sent = bench.subscribe("");
    let report = sent
        .iter()
        .find(|s| s.get("Event") == "presence.winfo")
        .unwrap();
    assert!(!read(report.body()).full);
    bench.answer(report, 500, "");
    let told = bench.hears(40_000);
    assert_eq!((told.len(), told[0].full), (1, true));
    assert_eq!(told[0].rows(), [("active", "subscribe", ALICE)]);
}

#[test]
fn a_refresh_brings_everything_and_a_fetch_too() {
    let mut bench = Bench::strict();
    bench.rules("allow", "");
    let (bob, _) = bench.bob_observes();
    bench.alice_subscribes("");
    bench.hears(6_000);
    let head = format!(
        "To: {}\r\nCall-ID: {}\r\n",
        bob.get("To"),
        bob.get("Call-ID")
    );
    let sent = bench.asks(BOB, "presence.winfo", &head);
    let told = reports(&sent).remove(0);
    assert!(told.full && told.version == 2);
    assert_eq!(told.rows(), [("active", "subscribe", ALICE)]);
    let fetched = bench.asks(BOB, "presence.winfo", "Expires: 0\r\n");
    assert_eq!(
        fetched[1].get("Subscription-State"),
        "terminated;reason=timeout"
    );
    let told = reports(&fetched).remove(0);
    assert!(told.full && told.version == 0);
    assert_eq!(told.rows(), [("active", "subscribe", ALICE)]);
}

#[test]
fn a_fetch_by_an_allowed_watcher_is_never_reported_and_one_by_a_refused_neither() {
    let mut bench = Bench::strict();
    bench.rules("allow", "");
    bench.bob_observes();
    let sent = bench.subscribe("Expires: 0\r\n");
    assert_eq!(sent[0].status(), 200);
    bench.confirm(&sent);
    let refused = bench.asks(CAROL, "presence", "");
    assert_eq!(refused[0].status(), 403);
    assert_eq!(bench.hears(20_000), []);
}

#[test]
fn an_undecided_subscription_that_runs_out_waits_until_it_is_given_up() {
    let mut bench = Bench::strict();
    bench.settings.presence.watcher_info.give_up = Seconds(7200);
    bench.restart(0);
    bench.rules("confirm", "");
    let (alice, _) = bench.alice_subscribes("Expires: 600\r\n");
    bench.bob_observes();
    let told = bench.hears(620_000);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].rows(), [("waiting", "timeout", ALICE)]);
    assert_eq!(bench.renew(&alice, "")[0].status(), 481);
    for restarts in [false, true] {
        if restarts {
            bench.restart(10);
            bench.hears(10_000);
        }
        let sent = bench.asks(BOB, "presence.winfo", "Expires: 0\r\n");
        let all = reports(&sent).remove(0);
        bench.confirm(&sent);
        assert_eq!(all.rows(), [("waiting", "timeout", ALICE)], "{restarts}");
        assert_eq!(all.watchers[0].id, told[0].watchers[0].id, "{restarts}");
    }
    let sent = bench.asks(BOB, "presence.winfo", "Expires: 7200\r\n");
    bench.confirm(&sent);
    let told = bench.hears(7_200_000);
    let gone: Vec<_> = told.iter().filter(|r| !r.watchers.is_empty()).collect();
    let last = gone.last().unwrap();
    assert_eq!(last.rows(), [("terminated", "giveup", ALICE)]);
    let bob_alone = bench.node.presence.census().subscriptions;
    let stored = |table| bench.store.keys().filter(|(t, _)| *t == table).count();
    assert_eq!(stored(Table::Subscription), bob_alone);
    assert_eq!(stored(Table::Visit), bob_alone);
}

#[test]
fn a_decision_on_one_who_waits_ends_the_waiting() {
    for (handling, event) in [("allow", "approved"), ("block", "rejected")] {
        let mut bench = Bench::strict();
        bench.rules("confirm", "");
        // a fetch before any decision waits at once
        let sent = bench.subscribe("Expires: 0\r\n");
        assert_eq!(sent[0].status(), 202);
        assert_eq!(
            sent[1].get("Subscription-State"),
            "terminated;reason=timeout"
        );
        assert_eq!(sent[1].body(), "");
        bench.confirm(&sent);
        let (_, first) = bench.bob_observes();
        assert_eq!(first.rows(), [("waiting", "timeout", ALICE)]);
        let sent = bench.rules(handling, "");
        assert_eq!(sent.len(), 1, "{handling}: the watcher is not told");
        assert_eq!(reports(&sent)[0].rows(), [("terminated", event, ALICE)]);
        bench.confirm(&sent);
        let (_, now) = bench.bob_observes();
        assert!(now.watchers.is_empty(), "{handling}");
    }
}

#[test]
fn who_comes_again_does_not_wait_twice() {
    let mut bench = Bench::strict();
    bench.rules("confirm", "");
    for _ in 0..3 {
        let sent = bench.subscribe("Expires: 0\r\n");
        bench.confirm(&sent);
    }
    let (_, first) = bench.bob_observes();
    assert_eq!(first.rows(), [("waiting", "timeout", ALICE)]);
    let (_, told) = bench.alice_subscribes("");
    assert_eq!(told[0].rows(), [("pending", "subscribe", ALICE)]);
    let told = bench.hears(6_000);
    assert_eq!(told[0].rows(), [("terminated", "giveup", ALICE)]);
}

#[test]
fn one_watcher_cannot_leave_behind_more_than_the_limit() {
    let mut bench = Bench::new(settings());
    bench.settings.presence.default_handling = Some(Handling::Confirm);
    bench.settings.presence.watcher_info.waiting_per_watcher = 2;
    bench.settings.presence.watcher_info.waiting_per_presentity = 3;
    bench.restart(0);
    let ask = |bench: &mut Bench, who: &str, whom: &str, more: &str| {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{who}>\r\nContact: <sip:10.0.0.2>\r\n{more}"
        );
        let sent = bench.ask("SUBSCRIBE", whom, &head, "");
        bench.confirm(&sent);
        sent[0].status()
    };
    // alice: one waits for carol, then one is pending at dave; the next lets the waiting one go, then no more
    assert_eq!(ask(&mut bench, ALICE, CAROL, "Expires: 0\r\n"), 202);
    assert_eq!(ask(&mut bench, ALICE, "sip:dave@ims.test", ""), 202);
    assert_eq!(bench.node.presence.census().subscriptions, 2);
    assert_eq!(ask(&mut bench, ALICE, "sip:eve@ims.test", ""), 202);
    assert_eq!(bench.node.presence.census().subscriptions, 2);
    assert_eq!(ask(&mut bench, ALICE, BOB, ""), 403);
    // bob is not filled with those who wait
    for n in 0..5 {
        bench.now += 1; // who came first is certain
        let who = format!("sip:w{n}@ims.test");
        assert_eq!(ask(&mut bench, &who, BOB, "Expires: 0\r\n"), 202);
    }
    let (_, all) = bench.bob_observes();
    let left: Vec<&str> = all.watchers.iter().map(|w| w.uri.as_str()).collect();
    assert_eq!(left.len(), 3);
    for n in 2..5 {
        let who = format!("sip:w{n}@ims.test");
        assert!(left.contains(&who.as_str()), "{who}");
    }
}

#[test]
fn a_watcher_that_is_not_the_presentity_sees_itself_alone_or_nothing() {
    for (case, rules, own_entry, status) in [
        ("allowed", "allow", true, 200),
        ("waits for a decision", "confirm", true, 200),
        ("politely blocked", "polite-block", true, 200),
        ("blocked", "block", true, 403),
        (
            "the operator serves the presentity alone",
            "allow",
            false,
            403,
        ),
    ] {
        let mut bench = Bench::strict();
        bench.settings.presence.watcher_info.own_entry = own_entry;
        bench.restart(0);
        bench.rules(rules, "");
        let own = bench.asks(BOB, "presence", "");
        bench.confirm(&own);
        let sent = bench.asks(ALICE, "presence.winfo", "");
        assert_eq!(sent[0].status(), status, "{case}");
        if status == 200 {
            assert_eq!(reports(&sent)[0].rows(), [], "{case}");
            bench.confirm(&sent);
            bench.wait(6_000);
            let (_, told) = bench.alice_subscribes("");
            let state = if rules == "confirm" {
                "pending"
            } else {
                "active"
            };
            assert_eq!(told[0].rows(), [(state, "subscribe", ALICE)], "{case}");
            bench.hears(6_000);
            let sent = bench.asks(BOB, "presence", "");
            assert!(
                reports(&sent).is_empty(),
                "{case}: somebody else's subscription"
            );
        }
        assert_eq!(
            bench.asks(CAROL, "presence.winfo", "")[0].status(),
            403,
            "{case}"
        );
    }
}

#[test]
fn what_a_politely_blocked_watcher_is_told_of_itself_is_what_an_allowed_one_is_told() {
    let run = |handling: &str| {
        let mut bench = Bench::strict();
        bench.rules(handling, "");
        let mut seen = Vec::new();
        let sent = bench.asks(ALICE, "presence.winfo", "");
        seen.extend(sent.iter().map(|s| s.text.clone()));
        bench.confirm(&sent);
        bench.wait(6_000);
        let sent = bench.subscribe("");
        seen.extend(sent.iter().map(|s| s.text.clone()));
        bench.confirm(&sent);
        bench.hears(30_000);
        seen
    };
    assert_eq!(run("allow"), run("polite-block"));
}

#[test]
fn what_becomes_of_its_waiting_is_not_told_to_the_watcher() {
    for handling in ["allow", "block"] {
        let mut bench = Bench::strict();
        bench.rules("confirm", "");
        let sent = bench.asks(ALICE, "presence.winfo", "");
        bench.confirm(&sent);
        bench.wait(6_000);
        let sent = bench.subscribe("Expires: 60\r\n");
        assert_eq!(reports(&sent)[0].rows(), [("pending", "subscribe", ALICE)]);
        bench.confirm(&sent);
        let told = bench.hears(70_000);
        assert_eq!(told[0].rows(), [("terminated", "timeout", ALICE)]);
        assert_eq!(told.len(), 1);
        let sent = bench.rules(handling, "");
        assert!(reports(&sent).is_empty(), "{handling}");
    }
}

#[test]
fn an_anonymous_watcher_is_shown_without_its_identity() {
    let anonymous = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" \
                     xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\" xmlns:ocp=\"urn:oma:xml:xdm:common-policy\">\
                     <rule id=\"r\"><conditions><ocp:anonymous-request/></conditions><actions>\
                     <pr:sub-handling>HANDLING</pr:sub-handling></actions></rule></ruleset>";
    for (handling, row) in [
        ("allow", ("active", "subscribe", NOBODY)),
        ("polite-block", ("active", "subscribe", NOBODY)),
        ("confirm", ("pending", "subscribe", NOBODY)),
    ] {
        let mut bench = Bench::strict();
        bench.put_rules(BOB, &anonymous.replace("HANDLING", handling));
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: \"Alice\" <{ALICE}>\r\nPrivacy: id\r\n\
             Contact: <sip:10.0.0.2:5060>\r\n"
        );
        let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
        assert!([200, 202].contains(&sent[0].status()), "{handling}");
        bench.confirm(&sent);
        let sent = bench.asks(BOB, "presence.winfo", "");
        assert_eq!(reports(&sent)[0].rows(), [row], "{handling}");
        assert!(
            !sent[1].body().to_lowercase().contains("alice"),
            "{handling}"
        );
    }
}

#[test]
fn one_watcher_under_two_identities_is_shown_under_one_name() {
    let mut bench = Bench::new(settings());
    let both = format!("P-Asserted-Identity: <tel:+3611>, \"Alice A.\" <{ALICE}>\r\n");
    let head = format!("Event: presence\r\n{both}Contact: <sip:10.0.0.2:5060>\r\n");
    let sent = bench.ask("SUBSCRIBE", BOB, &head, "");
    bench.confirm(&sent);
    let sent = bench.asks(BOB, "presence.winfo", "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
    assert!(sent[1].body().contains("display-name=\"Alice A.\""));
    // under its number alone it is still itself in its own entry
    let head = "Event: presence.winfo\r\nP-Asserted-Identity: <tel:+3611>\r\nContact: <sip:10.0.0.2:5060>\r\n";
    let sent = bench.ask("SUBSCRIBE", BOB, head, "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
}

#[test]
fn administrators_are_told_of_everybody_and_nobody_but_the_presentity_of_observers() {
    let mut bench = Bench::strict();
    let desk = "sip:desk@ims.test";
    bench.settings.presence.watcher_info.administrators = vec![Aor::parse(desk).unwrap()];
    bench.restart(0);
    bench.rules("allow", "");
    bench.alice_subscribes("");
    let sent = bench.asks(desk, "presence.winfo", "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
    bench.confirm(&sent);
    let sent = bench.asks(BOB, "presence.winfo.winfo", "");
    let told = reports(&sent).remove(0);
    assert_eq!(told.package, "presence.winfo");
    assert_eq!(told.rows(), [("active", "subscribe", desk)]);
    assert_eq!(sent[1].get("Event"), "presence.winfo.winfo");
    bench.confirm(&sent);
    bench.wait(6_000);
    let sent = bench.asks(ALICE, "presence.winfo", "");
    let told = reports(&sent);
    assert!(
        told.iter()
            .any(|r| r.rows() == [("active", "subscribe", ALICE)] && !r.full)
    );
    assert_eq!(
        bench.asks(ALICE, "presence.winfo.winfo", "")[0].status(),
        403
    );
    let deeper = bench.asks(BOB, "presence.winfo.winfo.winfo", "");
    assert_eq!(deeper[0].status(), 489);
    bench.settings.presence.watcher_info.of_watcher_info = false;
    bench.restart(0);
    let refused = bench.asks(BOB, "presence.winfo.winfo", "");
    assert_eq!(refused[0].status(), 489);
    assert_eq!(
        refused[0].get("Allow-Events"),
        "presence, presence.winfo, xcap-diff, ua-profile"
    );
}

#[test]
fn the_package_decides_what_is_taken() {
    let mut bench = Bench::new(settings());
    for (case, accept, status) in [
        ("absent", "", 200),
        ("its type", "Accept: application/watcherinfo+xml\r\n", 200),
        ("anything", "Accept: */*\r\n", 200),
        ("presence only", "Accept: application/pidf+xml\r\n", 406),
        ("nothing", "Accept:\r\n", 406),
    ] {
        let sent = bench.asks(BOB, "presence.winfo", accept);
        assert_eq!(sent[0].status(), status, "{case}");
        if status == 406 {
            assert_eq!(
                sent[0].get("Accept"),
                "application/watcherinfo+xml",
                "{case}"
            );
        }
        bench.confirm(&sent);
    }
    let head = format!("Event: presence.winfo\r\nP-Asserted-Identity: <{BOB}>\r\n");
    let published = bench.ask("PUBLISH", BOB, &head, "").remove(0);
    assert_eq!(published.status(), 489);
    let (alice, _) = bench.alice_subscribes("");
    let head = format!(
        "To: {}\r\nCall-ID: {}\r\n",
        alice.get("To"),
        alice.get("Call-ID")
    );
    let crossed = bench.asks(ALICE, "presence.winfo", &head);
    assert_eq!(crossed[0].status(), 481, "a dialog is of one package");
}

#[test]
fn after_a_restart_numbers_stay_and_versions_go_on() {
    let mut bench = Bench::strict();
    bench.rules("confirm", "");
    bench.alice_subscribes("");
    let (bob, first) = bench.bob_observes();
    bench.restart(3_000);
    assert_eq!(bench.hears(10_000), [], "nothing changed");
    let sent = bench.rules("allow", "");
    let told = reports(&sent).remove(0);
    bench.confirm(&sent);
    assert!(told.full && told.version > first.version);
    assert_eq!(told.rows(), [("active", "approved", ALICE)]);
    assert_eq!(told.watchers[0].id, first.watchers[0].id);
    bench.hears(6_000);
    // a crash before the report was confirmed: it is owed again, whoever was gone by then
    let sent = bench.rules("block", "");
    assert_eq!(
        reports(&sent)[0].rows(),
        [("terminated", "rejected", ALICE)]
    );
    bench.restart(100);
    let owed = bench.hears(10_000);
    assert_eq!(owed.len(), 1, "{owed:#?}");
    assert!(owed[0].full && owed[0].watchers.is_empty());
    assert!(owed[0].version > told.version);
    assert_eq!(bench.renew_as(&bob, BOB, "presence.winfo")[0].status(), 200);
}

#[test]
fn a_presentity_under_another_spelling_of_its_name_is_itself() {
    let mut bench = Bench::strict();
    bench.rules("allow", "");
    bench.alice_subscribes("");
    let sent = bench.asks("sip:bob@IMS.test:5060", "presence.winfo", "");
    assert_eq!(reports(&sent)[0].rows(), [("active", "subscribe", ALICE)]);
}

#[test]
fn of_many_watchers_only_the_one_that_changed_is_told() {
    let mut settings = settings();
    settings.subscriptions = 4_000;
    settings.presence.subscriptions_per_presentity = 4_000;
    let mut bench = Bench::new(settings);
    for n in 0..2_000 {
        let sent = bench.asks(&format!("sip:w{n}@ims.test"), "presence", "");
        bench.confirm(&sent);
    }
    let sent = bench.asks(BOB, "presence.winfo", "");
    assert_eq!(reports(&sent)[0].watchers.len(), 2_000);
    assert!(matches!(
        &sent[1].to,
        Destination::Host {
            transport: Some(Transport::Tcp),
            ..
        }
    ));
    bench.confirm(&sent);
    bench.wait(6_000);
    let (_, told) = bench.alice_subscribes("");
    assert_eq!(told[0].rows(), [("active", "subscribe", ALICE)]);
}
