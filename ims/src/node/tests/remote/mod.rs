//! Rules, lists and permanent state on another XDMS: what watchers get while it answers, does not, or says nonsense.

mod faults;
mod following;
mod services;
mod silence;

use super::*;
use crate::presence::external::Fault;
use crate::xdm::remote::{Root, Server, Unreadable};
use std::collections::BTreeSet;

const RULES: &str = "/root/pres-rules/users/sip:bob@ims.test/index";
const LISTS: &str = "/root/resource-lists/users/sip:bob@ims.test/index";
const STATE: &str = "/root/pidf-manipulation/users/sip:bob@ims.test/index";
const POLL: u64 = 60_000;
const STALE: u64 = 600_000;

/// How the other XDMS behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Answers,
    /// Nobody is there.
    Down,
    /// The program never says what became of the request.
    Hangs,
    Says(u16),
}

/// A node and the XDMS that it asks.
struct World {
    bench: Bench,
    mode: Mode,
    documents: BTreeMap<String, (u32, String)>,
    version: u32,
    asked: Vec<Fetch>,
    /// Requests that hang.
    hanging: Vec<u64>,
    /// What watchers were told.
    told: Vec<String>,
    /// What the node sent since the last look.
    sent: Vec<Sent>,
}

fn remote(notifier: Option<&str>) -> xdm::remote::Settings {
    xdm::remote::Settings {
        servers: vec![Server {
            auids: ["pres-rules", "resource-lists", "pidf-manipulation"]
                .map(str::to_owned)
                .into(),
            users: vec!["ims.test".into()],
            root: Root::parse("http://xdms.ims.test:8000/root").unwrap(),
            identity: "sip:ps.ims.test".into(),
            notifier: notifier.map(str::to_owned),
            route: None,
            poll: Seconds(60),
            timeout: Millis(2_000),
            max_stale: Seconds(600),
            unreadable: Unreadable::Pending,
        }],
        ..xdm::remote::Settings::default()
    }
}

fn allow(more: &str) -> String {
    ruleset(
        "allow",
        &format!("<identity><one id=\"{ALICE}\"/></identity>{more}"),
    )
}

fn ruleset(handling: &str, conditions: &str) -> String {
    format!(
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\
         <rule id=\"r\"><conditions>{conditions}</conditions><actions><pr:sub-handling>{handling}</pr:sub-handling>\
         </actions><transformations><pr:provide-services><pr:all-services/></pr:provide-services>\
         <pr:provide-all-attributes/></transformations></rule></ruleset>"
    )
}

impl World {
    fn new() -> World {
        World::with(remote(None))
    }

    fn with(remote: xdm::remote::Settings) -> World {
        let mut settings = settings();
        settings.presence.default_handling = None;
        settings.remote = remote;
        World {
            bench: Bench::new(settings),
            mode: Mode::Answers,
            documents: BTreeMap::new(),
            version: 0,
            asked: Vec::new(),
            hanging: Vec::new(),
            told: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn put(&mut self, path: &str, body: &str) {
        self.version += 1;
        let document = (self.version, body.to_owned());
        self.documents.insert(path.to_owned(), document);
    }

    fn answer(&self, fetch: &Fetch) -> Fetched {
        let status = match self.mode {
            Mode::Answers => 200,
            Mode::Down | Mode::Hangs => return Err(Fault::Unreachable),
            Mode::Says(status) => status,
        };
        let empty = |status| {
            Ok(HttpAnswer {
                status,
                ..HttpAnswer::default()
            })
        };
        if status != 200 {
            return empty(status);
        }
        let Some((version, body)) = self.documents.get(&fetch.path) else {
            return empty(404);
        };
        let etag = format!("\"v{version}\"");
        let known = fetch.headers.iter().find(|(n, _)| *n == "if-none-match");
        if known.is_some_and(|(_, value)| *value == etag) {
            return empty(304);
        }
        if body.len() > fetch.limit {
            return Err(Fault::TooLarge);
        }
        Ok(HttpAnswer {
            status,
            media_type: None,
            etag: Some(etag),
            bytes: body.clone().into(),
        })
    }

    /// Answers what the node asks, and what it asks then.
    fn serve(&mut self) {
        let mut waiting: Vec<Fetch> = Vec::new();
        loop {
            let fetches = self
                .bench
                .out
                .free
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Fetch(fetch) => Some((**fetch).clone()),
                    _ => None,
                });
            waiting.extend(fetches);
            self.bench.out = Outbox::default();
            if waiting.is_empty() {
                return;
            }
            let fetch = waiting.remove(0);
            self.asked.push(fetch.clone());
            if self.mode == Mode::Hangs {
                self.hanging.push(fetch.number);
                continue;
            }
            let fetched = self.answer(&fetch);
            let number = fetch.number;
            let sent = self.bench.feed(Input::Fetched { number, fetched });
            self.sent.extend(sent);
        }
    }

    /// Alice subscribes; the answer, and the NOTIFYs in `sent`.
    fn subscribe(&mut self, more: &str) -> Sent {
        let mut sent = self.bench.subscribe(more);
        let answer = sent.remove(0);
        self.sent = sent;
        self.serve();
        answer
    }

    /// Lets time pass, with every deadline and question in it.
    fn pass(&mut self, millis: u64) {
        let end = self.bench.now + millis;
        while let Some(at) = self.bench.node.next_deadline().filter(|at| at.0 <= end) {
            self.bench.now = self.bench.now.max(at.0);
            let sent = self.bench.feed(Input::Deadline);
            self.sent.extend(sent);
            self.serve();
            self.confirm();
        }
        self.bench.now = end;
    }

    /// Watchers answer their NOTIFYs; what each said, in order.
    fn confirm(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        let mut at = 0;
        while let Some(sent) = self.sent.get(at).cloned() {
            at += 1;
            if sent.method() == "NOTIFY" {
                let state = sent.get("Subscription-State");
                let state = state.split(";expires").next().unwrap();
                said.push(format!("{state} {}", shown(&sent)));
                let more = self.bench.answer(&sent, 200, "");
                self.sent.extend(more);
                self.serve();
            }
        }
        self.sent.clear();
        self.told.extend(said.clone());
        said
    }
}

/// The note in a body.
fn shown(notify: &Sent) -> &str {
    let body = notify.body();
    let after = body.split("<note>").nth(1).unwrap_or("");
    after.split("</note>").next().unwrap()
}

#[test]
fn a_watcher_waits_for_rules_on_their_way_and_is_let_in_the_moment_they_come() {
    let mut world = World::new();
    world.bench.publish("", "hello");
    world.put(RULES, &allow(""));
    let answer = world.subscribe("");
    assert_eq!(answer.status(), 202, "pending");
    assert_eq!(world.confirm(), ["pending ", "active hello"]);
    let fetch = world.asked.iter().find(|f| f.path == RULES).unwrap();
    assert_eq!(
        (fetch.host.as_str(), fetch.port, fetch.timeout),
        ("xdms.ims.test", 8000, Millis(2_000))
    );
    let header = |name| {
        let mut all = fetch.headers.iter();
        all.find(|(n, _)| *n == name).map(|(_, value)| &**value)
    };
    assert_eq!(
        header("x-3gpp-asserted-identity"),
        Some("\"sip:ps.ims.test\"")
    );
    assert_eq!(header("accept"), Some("application/auth-policy+xml"));
    let paths: BTreeSet<&str> = world.asked.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, BTreeSet::from([RULES, STATE]), "no list is named");
    // the second one finds the rules here
    assert_eq!(world.subscribe("").status(), 200);
    assert_eq!(world.confirm(), ["active hello"]);
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn a_change_there_reaches_live_subscriptions_with_the_next_poll() {
    let mut world = World::new();
    world.bench.publish("", "hello");
    world.put(RULES, &allow(""));
    world.subscribe("");
    world.confirm();
    world.pass(POLL * 3);
    let asked: Vec<&Fetch> = world.asked.iter().filter(|f| f.path == RULES).collect();
    assert_eq!(asked.len(), 4, "one GET each poll");
    let condition = ("if-none-match", "\"v1\"".to_owned());
    assert!(asked[1..].iter().all(|f| f.headers.contains(&condition)));
    world.told.clear();
    world.put(
        RULES,
        &ruleset("polite-block", "<identity><many/></identity>"),
    );
    world.pass(POLL);
    assert_eq!(world.told.len(), 1, "{:?}", world.told);
    assert!(!world.told[0].contains("hello"));
    world.documents.clear(); // deleted: nobody is allowed by default
    world.pass(POLL);
    assert_eq!(world.told[1..], ["terminated;reason=rejected "]);
    world.asked.clear();
    world.pass(POLL * 4);
    assert!(world.asked.len() <= 4, "nobody needs it: {:?}", world.asked);
    assert_eq!(world.bench.node.census().remote.copies, 0);
}

#[test]
fn a_document_that_lies_here_under_the_name_of_one_there_decides_nothing() {
    let mut world = World::new();
    world.bench.publish("", "hello");
    let sent = world.bench.put_rules(BOB, &allow(""));
    world.sent = sent;
    world.serve();
    world.put(RULES, &ruleset("block", "<identity><many/></identity>"));
    world.subscribe("");
    let said = world.confirm();
    assert_eq!(
        said.last().map(String::as_str),
        Some("terminated;reason=rejected ")
    );
    assert!(said.iter().all(|s| !s.contains("hello")), "{said:?}");
    // the other way round, and written while the rules from there count
    world.put(RULES, &allow(""));
    world.pass(POLL * 2);
    world.subscribe("");
    assert_eq!(
        world.confirm().last().map(String::as_str),
        Some("active hello")
    );
    world.sent = world
        .bench
        .put_rules(BOB, &ruleset("block", "<identity><many/></identity>"));
    world.serve();
    assert_eq!(world.confirm(), [""; 0], "nobody is thrown out");
    world.subscribe("");
    assert_eq!(
        world.confirm().last().map(String::as_str),
        Some("active hello")
    );
}

#[test]
fn lists_that_rules_name_are_got_too_and_nobody_is_rejected_while_one_is_on_its_way() {
    let mut world = World::new();
    world.bench.publish("", "hello");
    let anchor =
        format!("http://xdms.ims.test:8000{LISTS}/~~/resource-lists/list%5B@name=%22friends%22%5D");
    let list = format!(
        "<ocp:external-list xmlns:ocp=\"urn:oma:xml:xdm:common-policy\"><ocp:entry anc=\"{anchor}\"/></ocp:external-list>"
    );
    world.put(RULES, &ruleset("allow", &list));
    let lists = |who: &str| {
        format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"friends\">\
             <entry uri=\"{who}\"/></list></resource-lists>"
        )
    };
    world.put(LISTS, &lists(ALICE));
    assert_eq!(world.subscribe("").status(), 202);
    let said = world.confirm();
    assert_eq!(said.first().map(String::as_str), Some("pending "));
    assert_eq!(
        said.last().map(String::as_str),
        Some("active hello"),
        "{said:?}"
    );
    world.put(LISTS, &lists("sip:carol@ims.test"));
    world.told.clear();
    world.pass(POLL);
    assert_eq!(world.told, ["terminated;reason=rejected "]);
}

#[test]
fn permanent_state_from_there_is_composed_with_the_rest() {
    let mut world = World::new();
    world.put(RULES, &allow(""));
    world.put(STATE, &pidf("for good"));
    world.subscribe("");
    world.confirm();
    world.pass(6_000);
    assert_eq!(
        world.told.last().map(String::as_str),
        Some("active for good")
    );
    let other = pidf("of another").replace(BOB, "sip:eve@ims.test");
    world.put(STATE, &other);
    world.pass(POLL * 2);
    assert!(world.told.iter().all(|said| !said.contains("another")));
}

#[test]
fn what_nobody_needs_leaves_the_store_and_what_is_kept_is_bounded() {
    let mut settings = remote(None);
    settings.documents = 4;
    let mut world = World::with(settings);
    world.put(RULES, &allow(""));
    let answer = world.subscribe("");
    let opened = Sent {
        text: answer.text.clone(),
        ..answer
    };
    world.confirm();
    let kept = |world: &World| {
        let copies = world
            .bench
            .store
            .keys()
            .filter(|(t, _)| *t == Table::RemoteCopy);
        copies.count()
    };
    assert_eq!(
        kept(&world),
        2,
        "the rules, and that there is no permanent state"
    );
    for n in 0..20 {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\nExpires: 0\r\n"
        );
        world.sent = world
            .bench
            .ask("SUBSCRIBE", &format!("sip:u{n}@ims.test"), &head, "");
        world.serve();
        world.confirm();
        assert!(world.bench.node.census().remote.copies <= 4, "{n}");
    }
    world.sent = world.bench.renew(&opened, "Expires: 0\r\n");
    world.confirm();
    world.pass(3 * POLL);
    assert_eq!(kept(&world), 0);
    assert_eq!(
        world.bench.node.census().remote.bytes,
        allow("").len(),
        "for the next one who needs it"
    );
    assert_eq!(
        world.subscribe("").status(),
        202,
        "it is asked whether it is current"
    );
    assert_eq!(world.confirm().last().map(String::as_str), Some("active "));
}

/// GM-13 to the Presence XDMS, GM-5 to the Shared XDMS.
#[test]
fn rules_on_one_xdms_name_lists_on_another() {
    let mut settings = remote(None);
    let mut shared = settings.servers[0].clone();
    shared.auids = vec!["resource-lists".into()];
    shared.root = Root::parse("http://shared.ims.test/services").unwrap();
    settings.servers[0].auids = vec!["pres-rules".into()];
    settings.servers.push(shared);
    let mut world = World::with(settings);
    world.bench.publish("", "hello");
    let lists = LISTS.replace("/root", "/services");
    let anchor = format!("http://shared.ims.test{lists}/~~/resource-lists/list%5B1%5D");
    let list = format!(
        "<ocp:external-list xmlns:ocp=\"urn:oma:xml:xdm:common-policy\"><ocp:entry anc=\"{anchor}\"/></ocp:external-list>"
    );
    world.put(RULES, &ruleset("allow", &list));
    world.put(
        &lists,
        &format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list><entry uri=\"{ALICE}\"/></list>\
             </resource-lists>"
        ),
    );
    world.subscribe("");
    let said = world.confirm();
    assert_eq!(
        said.last().map(String::as_str),
        Some("active hello"),
        "{said:?}"
    );
    let asked: BTreeSet<(&str, &str)> = world
        .asked
        .iter()
        .map(|f| (f.host.as_str(), f.path.as_str()))
        .collect();
    assert_eq!(
        asked,
        BTreeSet::from([
            ("xdms.ims.test", RULES),
            ("shared.ims.test", lists.as_str())
        ])
    );
}
