//! Services and lists on another XDMS (GM-15, GM-16): a SUBSCRIBE waits for the document that may name its list, and
//! never for long.

use super::*;
use crate::event::subscription::SubscriptionId;
use crate::rls::Catalogue;
use crate::rls::list::{Listed, Source};

const SERVICES: &str = "/root/rls-services/users/sip:alice@ims.test/index";
const ALICES: &str = "/root/resource-lists/users/sip:alice@ims.test/index";
const FRIENDS: &str = "sip:friends@ims.test";

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
fn a_subscribe_waits_until_the_document_that_names_its_list_is_here() {
    let mut world = World::with(both(None));
    world.put(SERVICES, &services(FRIENDS));
    world.put(ALICES, &lists(&["a", "b"]));
    assert!(world.list(FRIENDS, EVENTLIST).is_empty(), "it waits");
    world.serve();
    assert_eq!(world.answers().len(), 1, "answered once");
    assert_ne!(world.answers(), [503]);
    assert_eq!(world.asked[0].path, SERVICES);
    assert_eq!(world.find("presence"), Ok(true));
    assert_eq!(world.find("presence.winfo"), Err(489));
    let stalled = world.read(1);
    if stalled.stalled {
        world.bench.feed(Input::Deadline);
        world.serve();
    }
    assert_eq!(users(&world.read(1)), ["a", "b"]);
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
