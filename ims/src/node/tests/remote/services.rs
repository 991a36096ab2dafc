//! Services and lists on another XDMS (GM-15, GM-16): a SUBSCRIBE waits for the document that may name its list, and
//! never for long.

use super::*;
use crate::event::subscription::SubscriptionId;
use crate::rls::Catalogue;
use crate::rls::list::{Listed, Source};

const SERVICES: &str = "/root/rls-services/users/sip:alice@ims.test/index";
const ALICES: &str = "/root/resource-lists/users/sip:alice@ims.test/index";
const FRIENDS: &str = "sip:friends@ims.test";
/// How long a SUBSCRIBE waits.
const WAIT: u64 = 3_000;

fn both(notifier: Option<&str>) -> xdm::remote::Settings {
    let mut settings = remote(notifier);
    settings.servers[0].auids = vec!["rls-services".into(), "resource-lists".into()];
    settings
}

/// Alice's service of this URI: her list on the same XDMS.
fn services(uri: &str) -> String {
    format!(
        "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\"><service uri=\"{uri}\"><resource-list>\
         http://xcap.ims.test/root/resource-lists/users/sip:alice@ims.test/index/~~/resource-lists/list</resource-list>\
         <packages><package>presence</package></packages></service></rls-services>"
    )
}

fn lists(users: &[&str]) -> String {
    let entry = |user: &&str| format!("<entry uri=\"sip:{user}@ims.test\"/>");
    let entries: String = users.iter().map(entry).collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    )
}

/// What the watcher of a list knows.
#[derive(Debug, Default)]
struct Told {
    members: Vec<String>,
    /// Reasons of ends.
    ends: Vec<String>,
}

impl World {
    /// Alice asks for a list: what has been answered before the XDMS was heard.
    fn list(&mut self, uri: &str, more: &str) -> Vec<Sent> {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        let sent = self.bench.ask("SUBSCRIBE", uri, &head, "");
        let answers: Vec<Sent> = sent.iter().filter(|s| s.status() > 0).cloned().collect();
        self.sent = sent;
        answers
    }

    /// Lets time pass; what the watcher of the list was told.
    fn run(&mut self, millis: u64, told: &mut Told) {
        let end = self.bench.now + millis;
        self.hear(told);
        while let Some(at) = self.bench.node.next_deadline().filter(|at| at.0 <= end) {
            self.bench.now = self.bench.now.max(at.0);
            let sent = self.bench.feed(Input::Deadline);
            self.sent.extend(sent);
            self.serve();
            self.hear(told);
        }
        self.bench.now = end;
    }

    /// NOTIFYs are answered and kept in mind.
    fn hear(&mut self, told: &mut Told) {
        while let Some(sent) = (!self.sent.is_empty()).then(|| self.sent.remove(0)) {
            if sent.method() != "NOTIFY" {
                continue;
            }
            let state = sent.get("Subscription-State");
            let reason = state.split("reason=").nth(1);
            told.ends.extend(reason.map(str::to_owned));
            if sent.body().contains("fullState=\"true\"") {
                let resources = sent.body().split("<resource uri=\"sip:").skip(1);
                let users = resources.map(|r| r.split('@').next().unwrap().to_owned());
                told.members = users.collect();
            }
            let more = self.bench.answer(&sent, 200, "");
            self.sent.extend(more);
            self.serve();
        }
    }

    fn answers(&self) -> Vec<u16> {
        let all = self.sent.iter().map(Sent::status);
        all.filter(|status| *status > 0).collect()
    }

    fn read(&self, number: u64) -> Listed {
        let source = Source::Service {
            uri: FRIENDS.into(),
            owner: ALICE.into(),
        };
        let directory = &self.bench.node.directory;
        directory.read(SubscriptionId(number), &source)
    }

    fn find(&self, package: &str) -> Result<bool, u16> {
        let watcher = [Aor::parse(ALICE).unwrap()];
        let directory = &self.bench.node.directory;
        let found = directory.find(FRIENDS, &watcher, package, true);
        let found = found.map_err(|reject| reject.status().0)?;
        Ok(found.is_some())
    }
}

fn users(listed: &Listed) -> Vec<&str> {
    let list = listed.list.as_ref().unwrap();
    list.resources.iter().map(|r| &r.uri[4..5]).collect()
}

const EVENTLIST: &str = "Supported: eventlist\r\nAccept: application/pidf+xml, application/rlmi+xml, multipart/related\r\n";

#[test]
fn a_subscribe_waits_until_the_document_that_names_its_list_is_here_and_its_list_is_followed() {
    let mut world = World::with(both(None));
    world.put(SERVICES, &services(FRIENDS));
    world.put(ALICES, &lists(&["a", "b"]));
    assert!(world.list(FRIENDS, EVENTLIST).is_empty(), "it waits");
    world.serve();
    assert_eq!(world.answers(), [200]);
    let answer = world.sent.iter().find(|s| s.status() == 200).unwrap();
    assert_eq!(answer.get("Require"), "eventlist");
    let paths: Vec<&str> = world.asked.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, [SERVICES, ALICES], "GM-15, then GM-16");
    assert_eq!(world.find("presence"), Ok(true));
    assert_eq!(world.find("presence.winfo"), Err(489));
    let mut told = Told::default();
    world.run(2_000, &mut told);
    assert_eq!(told.members, ["a", "b"]);

    world.put(ALICES, &lists(&["b", "c"]));
    world.run(2 * POLL, &mut told);
    assert_eq!(told.members, ["b", "c"]);
    world.put(SERVICES, &services("sip:others@ims.test"));
    world.run(2 * POLL, &mut told);
    assert_eq!(told.ends, ["noresource"], "there is no such list any more");
}

#[test]
fn a_list_goes_on_as_it_was_while_its_xdms_is_away_and_after_a_restart() {
    let mut world = World::with(both(None));
    world.put(SERVICES, &services(FRIENDS));
    world.put(ALICES, &lists(&["a", "b"]));
    world.list(FRIENDS, &format!("{EVENTLIST}Expires: 7200\r\n"));
    world.serve();
    let mut told = Told::default();
    world.run(2_000, &mut told);
    assert_eq!(told.members, ["a", "b"]);
    world.mode = Mode::Down;
    world.run(STALE + 2 * POLL, &mut told);
    world.bench.restart(1_000);
    world.serve();
    world.run(2 * POLL, &mut told);
    assert_eq!(told.ends, [""; 0], "it is not known that it is gone");
    world.mode = Mode::Answers;
    world.put(ALICES, &lists(&["a", "c"]));
    world.run(6 * POLL, &mut told);
    assert_eq!(told.members, ["a", "c"]);
}

#[test]
fn a_list_on_its_way_is_told_of_when_it_is_here_and_followed_while_it_is_used() {
    let mut world = World::with(both(None));
    world.put(SERVICES, &services(FRIENDS));
    world.put(ALICES, &lists(&["a"]));
    let first = world.read(7);
    assert!(first.stalled && first.list.is_none(), "{first:?}");
    world.bench.feed(Input::Deadline);
    world.serve();
    let second = world.read(7);
    if second.stalled {
        world.bench.feed(Input::Deadline);
        world.serve();
    }
    assert_eq!(users(&world.read(7)), ["a"]);
    world.asked.clear();
    world.put(ALICES, &lists(&["a", "b"]));
    world.pass(2 * POLL);
    let asked: Vec<&str> = world.asked.iter().map(|f| f.path.as_str()).collect();
    assert!(
        asked.contains(&SERVICES) && asked.contains(&ALICES),
        "{asked:?}"
    );
    assert_eq!(users(&world.read(7)), ["a", "b"]);
    world.bench.node.directory.forget(SubscriptionId(7));
    world.pass(3 * POLL);
    world.asked.clear();
    world.pass(5 * POLL);
    assert!(world.asked.is_empty(), "nobody needs it: {:?}", world.asked);
}

#[test]
fn a_list_is_followed_by_a_subscription_to_its_documents() {
    let mut world = World::with(both(Some("sip:xdms.ims.test:7060")));
    world.put(SERVICES, &services(FRIENDS));
    world.put(ALICES, &lists(&["a"]));
    for _ in 0..2 {
        world.read(7);
        world.bench.feed(Input::Deadline);
        world.serve();
    }
    assert_eq!(users(&world.read(7)), ["a"]);
    let sent = world.sent.iter();
    let subscribe = sent.filter(|s| s.method() == "SUBSCRIBE").last();
    let body = subscribe.expect("GM-17").body();
    assert!(body.contains(&SERVICES[6..]), "{body}");
}

#[test]
fn only_what_may_be_a_list_waits() {
    let of_list = "sip:alice@ims.test;pres-list=x";
    for (case, uri, more, waits) in [
        ("no user of that name", FRIENDS, EVENTLIST, true),
        ("a watcher who takes no lists", FRIENDS, "", false),
        ("a user who is known", BOB, EVENTLIST, false),
        ("the URI of a list", of_list, EVENTLIST, true),
    ] {
        let mut world = World::with(both(None));
        world.bench.rules("allow", ""); // bob is known
        world.bench.out = Outbox::default();
        world.mode = Mode::Hangs;
        assert_eq!(world.list(uri, more).is_empty(), waits, "{case}");
    }
    let mut world = World::with(remote(None));
    assert!(
        !world.list(FRIENDS, EVENTLIST).is_empty(),
        "services are kept here"
    );
}

#[test]
fn a_document_that_does_not_come_is_an_answer_of_503_in_bounded_time() {
    for mode in [Mode::Hangs, Mode::Down, Mode::Says(500), Mode::Says(403)] {
        let mut world = World::with(both(None));
        world.mode = mode;
        assert!(world.list(FRIENDS, EVENTLIST).is_empty(), "{mode:?}");
        let since = world.bench.now;
        while world.answers().is_empty() && world.bench.now - since < 2 * WAIT {
            world.serve();
            if world.answers().is_empty() {
                let at = world.bench.node.next_deadline().unwrap();
                world.bench.now = at.0;
                let sent = world.bench.feed(Input::Deadline);
                world.sent.extend(sent);
            }
        }
        assert_eq!(world.answers(), [503], "{mode:?}");
        assert!(world.bench.now - since <= WAIT, "{mode:?}");
        let answer = world.sent.iter().find(|s| s.status() == 503).unwrap();
        assert!(!answer.get("Retry-After").is_empty());
        if mode == Mode::Down {
            let again = world.list(FRIENDS, EVENTLIST);
            assert_eq!(again[0].status(), 503, "known to be away: not even a wait");
        }
    }
}

#[test]
fn no_more_wait_than_may_and_a_copy_of_a_request_is_no_other() {
    let mut settings = settings();
    settings.remote = both(None);
    settings.lists.waiting = 2;
    let mut world = World::with(both(None));
    world.bench = Bench::new(settings);
    world.mode = Mode::Hangs;
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{EVENTLIST}"
    );
    let text = world.bench.write("SUBSCRIBE", FRIENDS, &head, "");
    assert!(world.bench.text(&text).is_empty());
    assert!(world.bench.text(&text).is_empty(), "a retransmission");
    assert!(world.list(FRIENDS, EVENTLIST).is_empty());
    let third = world.list(FRIENDS, EVENTLIST);
    assert_eq!(third[0].status(), 503);
    let sent = world.bench.wait(WAIT);
    let statuses: Vec<u16> = sent.iter().map(Sent::status).filter(|s| *s > 0).collect();
    assert_eq!(statuses, [503, 503]);
}
