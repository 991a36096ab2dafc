//! What a SUBSCRIBE for a list finds, what is read, and what a change of a document means (RFC 4826 §4.5).

use super::*;
use crate::event::subscription::SubscriptionId;
use crate::rls::Catalogue;
use crate::rls::list::{Kind, List, Listed, Nesting, Others, Source};
use crate::xdm::DocumentKey;
use std::sync::Arc;

const CAROL: &str = "sip:carol@ims.test";
pub(super) const ROOT: &str = "http://xcap.ims.test/root/resource-lists";

pub(super) fn service(uri: &str, inside: &str) -> String {
    format!("<service uri=\"{uri}\">{inside}</service>")
}

pub(super) fn inline(users: &[&str]) -> String {
    let entry = |user: &&str| format!("<r:entry uri=\"sip:{user}@ims.test\"/>");
    let entries: String = users.iter().map(entry).collect();
    format!("<list>{entries}</list>")
}

pub(super) fn external(user: &str, path: &str) -> String {
    format!("<r:external anchor=\"{ROOT}/users/{user}/index/~~/resource-lists/{path}\"/>")
}

impl Bench {
    pub(super) fn lists(more: impl FnOnce(&mut Settings)) -> Bench {
        let mut settings = settings();
        more(&mut settings);
        Bench::new(settings)
    }

    /// A user writes services: `name` of the document, elements.
    pub(super) fn services(&mut self, user: &str, name: &str, services: &[String]) -> u16 {
        let body = format!(
            "<rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" xmlns:r=\"urn:ietf:params:xml:ns:resource-lists\">\
             {}</rls-services>",
            services.concat()
        );
        let path = format!("rls-services/users/{user}/{name}");
        self.write_document(user, &path, "application/rls-services+xml", &body)
    }

    /// A user writes lists.
    pub(super) fn lists_of(&mut self, user: &str, lists: &str) -> u16 {
        let body = format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xmlns:r=\"urn:ietf:params:xml:ns:resource-lists\">\
             {lists}</resource-lists>"
        );
        let path = format!("resource-lists/users/{user}/index");
        self.write_document(user, &path, "application/resource-lists+xml", &body)
    }

    fn write_document(&mut self, user: &str, path: &str, kind: &str, body: &str) -> u16 {
        let request = xdm::Request {
            method: xdm::Method::Put,
            target: path.into(),
            query: None,
            content_type: Some(kind.into()),
            content_encoding: None,
            if_match: None,
            if_none_match: None,
            body: body.to_owned().into(),
            identity: xdm::Identity::User(user.into()),
        };
        self.feed(Input::Xcap {
            number: 1,
            request: &request,
        });
        let effects = self.out.held.iter().chain(&self.out.free);
        let mut status = effects.filter_map(|effect| match effect {
            Effect::Xcap { response, .. } => Some(response.status),
            _ => None,
        });
        status.next().unwrap()
    }

    fn find(&self, uri: &str, watcher: &str, package: &str) -> Result<Option<Source>, u16> {
        let watcher: Vec<Aor> = Aor::parse(watcher).into_iter().collect();
        let directory = &self.node.directory;
        let found = directory.find(uri, &watcher, package, true);
        found.map_err(|reject| reject.status().0)
    }

    fn read(&self, number: u64, uri: &str, owner: &str) -> Listed {
        let source = Source::Service {
            uri: uri.into(),
            owner: owner.into(),
        };
        let directory = &self.node.directory;
        directory.read(SubscriptionId(number), &source)
    }
}

/// What a search found, in a word.
fn word(found: Result<Option<Source>, u16>) -> String {
    match found {
        Ok(Some(Source::Service { owner, .. })) => owner[4..].split('@').next().unwrap().into(),
        Ok(Some(Source::Contained { .. })) => "contained".into(),
        Ok(None) => "nothing".into(),
        Err(status) => status.to_string(),
    }
}

fn members(listed: &Listed) -> String {
    fn all(list: &List) -> String {
        let one = |r: &crate::rls::list::Resource| {
            let user = r.uri[4..].split('@').next().unwrap().to_owned();
            match &r.kind {
                Kind::Presentity => user,
                Kind::Excess => format!("{user}+"),
                Kind::Refused(_) => format!("{user}!"),
                Kind::List(list) => format!("{user}({})", all(list)),
            }
        };
        let all: Vec<String> = list.resources.iter().map(one).collect();
        all.join(" ")
    }
    listed.list.as_ref().map_or("none".into(), |list| all(list))
}

fn key(auid: &str, user: &str, name: &str) -> DocumentKey {
    DocumentKey::user(Aor::parse(user).unwrap(), auid, name)
}

fn ids(numbers: &[u64]) -> std::collections::BTreeSet<SubscriptionId> {
    numbers.iter().copied().map(SubscriptionId).collect()
}

#[test]
fn a_list_is_found_by_every_spelling_of_its_uri_and_checked_in_order() {
    let winfo = "<packages><package>presence.winfo</package></packages>";
    let services = [
        service("sip:friends@ims.test", &inline(&["a"])),
        service("sip:Bob@ims.test;pres-list=Rcs;x", &inline(&["a"])),
        service("sip:winfo@ims.test", &(inline(&["a"]) + winfo)),
    ];
    let of_list = "sip:bob@ims.test;pres-list=none";
    for (case, uri, watcher, package, forbid, hide, allow) in [
        (
            "as it is written",
            "sip:friends@ims.test",
            BOB,
            "presence",
            "bob",
            "bob",
            "bob",
        ),
        (
            "in another spelling",
            "SIP:%66riends@IMS.test?a=b",
            BOB,
            "presence",
            "bob",
            "bob",
            "bob",
        ),
        (
            "parameters in another order and case",
            "sip:Bob@IMS.test;X;Pres-List=rcs",
            BOB,
            "presence",
            "bob",
            "bob",
            "bob",
        ),
        (
            "the case of a user counts",
            "sip:Friends@ims.test",
            BOB,
            "presence",
            "nothing",
            "nothing",
            "nothing",
        ),
        (
            "a user", BOB, BOB, "presence", "nothing", "nothing", "nothing",
        ),
        (
            "no URI", "friends", BOB, "presence", "nothing", "nothing", "nothing",
        ),
        (
            "the URI of a list that is not there",
            of_list,
            BOB,
            "presence",
            "404",
            "404",
            "404",
        ),
        (
            "the same of somebody else",
            of_list,
            ALICE,
            "presence",
            "404",
            "404",
            "404",
        ),
        (
            "another package",
            "sip:winfo@ims.test",
            BOB,
            "presence",
            "489",
            "489",
            "489",
        ),
        (
            "its package",
            "sip:winfo@ims.test",
            BOB,
            "presence.winfo",
            "bob",
            "bob",
            "bob",
        ),
        (
            "all packages",
            "sip:friends@ims.test",
            BOB,
            "presence.winfo",
            "bob",
            "bob",
            "bob",
        ),
        (
            "somebody else",
            "sip:friends@ims.test",
            ALICE,
            "presence",
            "403",
            "404",
            "bob",
        ),
        (
            "nobody",
            "sip:friends@ims.test",
            "",
            "presence",
            "403",
            "404",
            "bob",
        ),
        (
            "somebody else, another package",
            "sip:winfo@ims.test",
            ALICE,
            "presence",
            "489",
            "404",
            "489",
        ),
    ] {
        for (others, expected) in [
            (Others::Forbidden, forbid),
            (Others::Hidden, hide),
            (Others::Allowed, allow),
        ] {
            let mut bench = Bench::lists(|settings| settings.lists.others = others);
            assert_eq!(bench.services(BOB, "index", &services), 201);
            let found = bench.find(uri, watcher, package);
            assert_eq!(word(found), expected, "{case}, {others:?}");
        }
    }
}

#[test]
fn every_identity_of_the_owner_may_subscribe() {
    let mut bench = Bench::new(settings());
    let services = [service("sip:friends@ims.test", &inline(&["a"]))];
    bench.services(BOB, "index", &services);
    let tel = "tel:+36105550001";
    assert_eq!(
        word(bench.find("sip:friends@ims.test", tel, "presence")),
        "403"
    );
    let head = format!(
        "To: <{BOB}>\r\nContact: <sip:10.0.0.2:6060>\r\nExpires: 600\r\nP-Associated-URI: <{BOB}>, <{tel}>\r\n"
    );
    bench.ask("REGISTER", "sip:as.ims.test", &head, "");
    assert_eq!(
        word(bench.find("sip:friends@ims.test", tel, "presence")),
        "bob"
    );
}

#[test]
fn of_several_services_of_one_uri_the_watchers_own_counts_and_then_the_first_owner() {
    let mut bench = Bench::new(settings());
    bench.services(BOB, "index", &[service("sip:l@ims.test", &inline(&["b"]))]);
    // an older server compared URIs in another way, and kept both
    let (table, document) = (Table::Document, bench.store.clone());
    let bobs = key("rls-services", BOB, "index").encode();
    let value = document.get(&(table, bobs)).unwrap().clone();
    for user in [ALICE, CAROL] {
        let key = key("rls-services", user, "index").encode();
        bench.store.insert((table, key), value.clone());
    }
    bench.restart(0);
    for (watcher, expected) in [
        (BOB, "bob"),
        (ALICE, "alice"),
        (CAROL, "carol"),
        ("sip:dave@ims.test", "403"),
    ] {
        assert_eq!(
            word(bench.find("sip:l@ims.test", watcher, "presence")),
            expected
        );
    }
    assert_eq!(members(&bench.read(1, "sip:l@ims.test", CAROL)), "b");
    assert_eq!(
        bench.services(
            "sip:dave@ims.test",
            "index",
            &[service("sip:%6c@IMS.test", &inline(&["b"]))]
        ),
        409,
        "the same URI in another spelling"
    );
}

#[test]
fn lists_are_read_where_they_are_and_only_where_they_may_be() {
    let own = format!(
        "<list name=\"f\"><entry uri=\"sip:a@ims.test\"/>{}</list>",
        external(ALICE, "list")
    );
    let at = |path: &str| {
        format!("<resource-list>{ROOT}/users/{BOB}/index/~~/resource-lists/{path}</resource-list>")
    };
    let services = [
        service("sip:friends@ims.test", &at("list%5B@name=%22f%22%5D")),
        service("sip:gone@ims.test", &at("list%5B@name=%22g%22%5D")),
        service(
            "sip:mixed@ims.test",
            &format!(
                "<list><r:entry uri=\"sip:x@ims.test\"/>{}<r:entry-ref ref=\"resource-lists/users/{BOB}/index/~~/resource-lists/list/entry%5B1%5D\"/>\
                 <r:external anchor=\"{ROOT}/global/all/~~/resource-lists/list\"/><r:external anchor=\"http://elsewhere.test/root/resource-lists/users/{BOB}/index/~~/resource-lists/list\"/>\
                 <r:entry uri=\"sip:friends@ims.test\"/><r:entry uri=\"sip:alices@ims.test\"/><r:entry uri=\"sip:bob@ims.test;pres-list=none\"/></list>",
                external(ALICE, "list")
            ),
        ),
    ];
    for (case, foreign, nesting, others, expected) in [
        (
            "own lists only",
            false,
            Nesting::Flattened,
            Others::Forbidden,
            "x a g alices! bob!",
        ),
        (
            "lists of others",
            true,
            Nesting::Flattened,
            Others::Forbidden,
            "x c a g alices! bob!",
        ),
        (
            "lists in lists",
            true,
            Nesting::Kept,
            Others::Forbidden,
            "x c a g friends() alices! bob!",
        ),
        (
            "services of others",
            false,
            Nesting::Flattened,
            Others::Allowed,
            "x a g d bob!",
        ),
    ] {
        let mut bench = Bench::lists(|settings| {
            settings.xdm = xdm::Xdm::new(xdm::Settings {
                foreign_lists: foreign,
                roots: vec!["http://xcap.ims.test/root".into()],
                ..xdm::Settings::default()
            })
            .unwrap();
            settings.lists.limits.nesting = nesting;
            settings.lists.others = others;
        });
        assert_eq!(
            bench.lists_of(ALICE, "<list><entry uri=\"sip:c@ims.test\"/></list>"),
            201
        );
        assert_eq!(bench.lists_of(BOB, &own), 201);
        bench.services(
            ALICE,
            "index",
            &[service("sip:alices@ims.test", &inline(&["d"]))],
        );
        let global = DocumentKey {
            tree: xdm::Tree::Global,
            auid: "resource-lists".into(),
            name: "all".into(),
        };
        let all = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list><entry uri=\"sip:g@ims.test\"/></list></resource-lists>";
        let document = xdm::Document::new("e", all.to_owned());
        bench
            .store
            .insert((Table::Document, global.encode()), document.encode());
        bench.restart(0);
        assert_eq!(bench.services(BOB, "index", &services), 201, "{case}");
        let friends = bench.read(1, "sip:friends@ims.test", BOB);
        assert_eq!(
            members(&friends),
            if foreign { "a c" } else { "a" },
            "{case}"
        );
        assert_eq!(friends.faults.len(), usize::from(!foreign), "{case}");
        let mixed = bench.read(2, "sip:mixed@ims.test", BOB);
        assert_eq!(members(&mixed), expected, "{case}: {:?}", mixed.faults);
        let gone = bench.read(3, "sip:gone@ims.test", BOB);
        assert_eq!(
            (members(&gone).as_str(), gone.stalled),
            ("", false),
            "{case}"
        );
        assert_eq!(gone.faults.len(), 1, "{case}");
        assert_eq!(members(&bench.read(4, "sip:none@ims.test", BOB)), "none");
    }
}

#[test]
fn a_list_is_read_once_for_all_and_again_when_a_document_of_it_changes() {
    let mut bench = Bench::new(settings());
    let at = |user: &str| {
        format!("<resource-list>{ROOT}/users/{user}/index/~~/resource-lists/list</resource-list>")
    };
    bench.services(
        BOB,
        "index",
        &[
            service("sip:l@ims.test", &at(BOB)),
            service("sip:m@ims.test", &inline(&["x"])),
        ],
    );
    let (lists, services) = (
        key("resource-lists", BOB, "index"),
        key("rls-services", BOB, "other"),
    );
    let missing = bench.read(1, "sip:l@ims.test", BOB);
    assert_eq!((members(&missing).as_str(), missing.faults.len()), ("", 1));
    bench.read(3, "sip:m@ims.test", BOB);
    bench.lists_of(BOB, "<list><entry uri=\"sip:a@ims.test\"/></list>");
    let one = bench.read(1, "sip:l@ims.test", BOB);
    let other = bench.read(2, "sip:l@ims.test", BOB);
    assert_eq!(members(&one), "a");
    let same = |one: &Listed, other: &Listed| {
        Arc::ptr_eq(one.list.as_ref().unwrap(), other.list.as_ref().unwrap())
    };
    assert!(same(&one, &other), "one list for both");
    bench.lists_of(ALICE, "<list><entry uri=\"sip:z@ims.test\"/></list>");
    assert!(
        same(&one, &bench.read(1, "sip:l@ims.test", BOB)),
        "it rests on no document of alice's"
    );

    let catalogue = &mut bench.node.directory.catalogue;
    assert_eq!(catalogue.changed(&lists), ids(&[1, 2]));
    assert_eq!(
        catalogue.changed(&services),
        ids(&[1, 2, 3]),
        "a service may come to be in any document"
    );
    assert_eq!(
        catalogue.changed(&key("resource-lists", BOB, "other")),
        ids(&[])
    );
    assert_eq!(
        catalogue.changed(&key("rls-services", ALICE, "index")),
        ids(&[])
    );
    assert!(catalogue.is_used(&lists));

    bench.lists_of(
        BOB,
        "<list><entry uri=\"sip:a@ims.test\"/><entry uri=\"sip:b@ims.test\"/></list>",
    );
    assert_eq!(members(&bench.read(1, "sip:l@ims.test", BOB)), "a b");
    bench.services(
        BOB,
        "index",
        &[service("sip:m@ims.test", &inline(&["x", "y"]))],
    );
    assert_eq!(
        members(&bench.read(1, "sip:l@ims.test", BOB)),
        "none",
        "the service is gone"
    );
    assert_eq!(members(&bench.read(3, "sip:m@ims.test", BOB)), "x y");

    for number in [1, 2, 3, 4] {
        bench.node.directory.forget(SubscriptionId(number));
    }
    let catalogue = &bench.node.directory.catalogue;
    assert!(!catalogue.is_used(&lists) && !catalogue.is_used(&services));
}

#[test]
fn a_member_becomes_a_list_when_its_owner_makes_it_one() {
    let mut bench = Bench::new(settings());
    let outer = service("sip:l@ims.test", &inline(&["inner", "a"]));
    bench.services(BOB, "index", std::slice::from_ref(&outer));
    assert_eq!(members(&bench.read(1, "sip:l@ims.test", BOB)), "inner a");
    let inner = service("sip:inner@ims.test", &inline(&["x", "l"]));
    bench.services(BOB, "second", &[inner]);
    let listed = bench.read(1, "sip:l@ims.test", BOB);
    assert_eq!(members(&listed), "x l! a", "{:?}", listed.faults);
}

#[test]
fn an_owner_who_gains_an_identity_gains_its_lists() {
    let mut bench = Bench::new(settings());
    let tel = "tel:+36105550001";
    bench.services(
        BOB,
        "index",
        &[service(
            "sip:l@ims.test",
            &format!(
                "<resource-list>{ROOT}/users/{BOB}/index/~~/resource-lists/list</resource-list>"
            ),
        )],
    );
    bench.lists_of(
        BOB,
        &format!(
            "<list><entry uri=\"sip:a@ims.test\"/>{}</list>",
            external(tel, "list")
        ),
    );
    bench.lists_of(tel, "<list><entry uri=\"sip:t@ims.test\"/></list>");
    assert_eq!(
        members(&bench.read(1, "sip:l@ims.test", BOB)),
        "a",
        "somebody else's"
    );
    let head = format!(
        "To: <{BOB}>\r\nContact: <sip:10.0.0.2:6060>\r\nExpires: 600\r\nP-Associated-URI: <{BOB}>, <{tel}>\r\n"
    );
    bench.ask("REGISTER", "sip:as.ims.test", &head, "");
    assert_eq!(members(&bench.read(1, "sip:l@ims.test", BOB)), "a t");
}

#[test]
fn a_list_in_a_request_is_read_for_itself() {
    let mut bench = Bench::new(settings());
    bench.services(
        ALICE,
        "index",
        &[service("sip:alices@ims.test", &inline(&["d"]))],
    );
    let text = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list><entry uri=\"sip:a@ims.test\"/>\
         <external anchor=\"{ROOT}/users/{ALICE}/index/~~/resource-lists/list\"/><entry uri=\"sip:alices@ims.test\"/></list></resource-lists>"
    );
    let source = Source::Contained {
        uri: "sip:rls@ims.test".into(),
        document: text.as_bytes().into(),
    };
    let directory = &bench.node.directory;
    let listed = directory.read(SubscriptionId(1), &source);
    assert_eq!(members(&listed), "a alices!");
    let broken = Source::Contained {
        uri: "sip:rls@ims.test".into(),
        document: b"<resource-lists".as_slice().into(),
    };
    assert_eq!(members(&directory.read(SubscriptionId(1), &broken)), "none");
}
