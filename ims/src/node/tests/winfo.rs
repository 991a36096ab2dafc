//! Watcher information: what the presentity and others are told of watchers (RFC 3857, RFC 3858).

mod privacy;
mod waiting;

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
