//! Elements, attributes and namespace bindings over HTTP (RFC 4825 §7.4 to §7.11).

use crate::harness::{Request, Response, Server, Ua, http, rules};

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";
const AS_BOB: (&str, &str) = ("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\"");
const AS_EVE: (&str, &str) = ("X-3GPP-Asserted-Identity", "\"sip:eve@ims.test\"");
const ELEMENT: &str = "application/xcap-el+xml";
const ATTRIBUTE: &str = "application/xcap-att+xml";
const LISTS: &str = "/xcap-root/resource-lists/users/sip:bob@ims.test/index";
const RULES: &str = "/xcap-root/pres-rules/users/sip:bob@ims.test/index";
const PREFIXES: &str =
    "?xmlns(c=urn:ietf:params:xml:ns:common-policy)xmlns(p=urn:ietf:params:xml:ns:pres-rules)";

const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n \
    <list name=\"friends\">\n  <!-- since 2007 --><entry uri=\"sip:a@x.test\"/>\n  <entry uri='sip:b@x.test'/>\n </list>\n</resource-lists>\n";
const FRIENDS: &str = "resource-lists/list%5B@name=%22friends%22%5D";

struct Lists(Server);

impl Lists {
    fn new() -> Lists {
        let lists = Lists(Server::start(""));
        let kind = ("Content-Type", "application/resource-lists+xml");
        let put = http(lists.0.http, "PUT", LISTS, &[AS_BOB, kind], DOCUMENT);
        assert_eq!(put.status, 201);
        lists
    }

    fn whole(&self) -> Response {
        http(self.0.http, "GET", LISTS, &[AS_BOB], "")
    }

    fn ask(&self, method: &str, node: &str, header: (&str, &str), body: &str) -> Response {
        let path = format!("{LISTS}/~~/{node}");
        http(self.0.http, method, &path, &[AS_BOB, header], body)
    }

    fn put(&self, node: &str, kind: &str, body: &str) -> Response {
        self.ask("PUT", node, ("Content-Type", kind), body)
    }

    fn get(&self, node: &str) -> Response {
        self.ask("GET", node, ("Accept", "*/*"), "")
    }

    fn delete(&self, node: &str) -> Response {
        self.ask("DELETE", node, ("Accept", "*/*"), "")
    }
}

/// The condition that a 409 reports, or the status.
fn told(answer: &Response) -> String {
    if answer.status != 409 {
        return answer.status.to_string();
    }
    assert_eq!(
        answer.header("content-type"),
        Some("application/xcap-error+xml")
    );
    let report = roxmltree::Document::parse(&answer.body).expect("a well-formed report");
    let condition = report.root_element().first_element_child();
    condition.expect("a condition").tag_name().name().to_owned()
}

/// XCP-02: elements and attributes are created, read, replaced and deleted, and everything else stays byte for byte.
#[test]
fn an_element_and_an_attribute_live_inside_their_document() {
    let lists = Lists::new();
    let carol = "<entry uri=\"sip:c@x.test\">\n<display-name>Cé</display-name></entry>";
    let entry = format!("{FRIENDS}/entry%5B@uri=%22sip:c@x.test%22%5D");
    let created = lists.put(&entry, ELEMENT, carol);
    assert_eq!((created.status, created.body.as_str()), (201, ""));
    let with = DOCUMENT.replace("'sip:b@x.test'/>", &format!("'sip:b@x.test'/>{carol}"));
    let whole = lists.whole();
    assert_eq!(whole.body, with);
    assert_eq!(
        whole.header("etag"),
        created.header("etag"),
        "one entity-tag"
    );
    let got = lists.get(&entry);
    assert_eq!(
        (got.status, got.body.as_str(), got.header("content-type")),
        (200, carol, Some(ELEMENT))
    );
    assert_eq!(got.header("etag"), created.header("etag"));
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    assert_eq!(lists.ask("HEAD", &entry, ("Accept", "*/*"), "").status, 200);
    let again = lists.put(&entry, ELEMENT, carol);
    assert_eq!(
        (again.status, again.header("etag")),
        (200, created.header("etag")),
        "nothing changed"
    );

    let uri = format!("{FRIENDS}/entry%5B2%5D/@uri");
    assert_eq!(lists.get(&uri).body, "'sip:b@x.test'");
    let replaced = lists.put(&uri, ATTRIBUTE, "\"sip:d@x.test\"");
    assert_eq!(replaced.status, 200);
    assert_ne!(replaced.header("etag"), created.header("etag"));
    let got = lists.get(&uri);
    assert_eq!(
        (got.body.as_str(), got.header("content-type")),
        ("\"sip:d@x.test\"", Some(ATTRIBUTE))
    );
    assert_eq!(
        lists.whole().body,
        with.replace("'sip:b@x.test'", "\"sip:d@x.test\"")
    );

    let deleted = lists.delete(&entry);
    assert_eq!(deleted.status, 200);
    assert_eq!(
        deleted.header("etag"),
        lists.whole().header("etag"),
        "the tag of what is left"
    );
    assert_eq!(lists.get(&entry).status, 404);
    assert_eq!(lists.delete(&entry).status, 404);
    let name = "resource-lists/list/@name";
    assert_eq!(lists.delete(name).status, 200);
    assert_eq!(lists.put(name, ATTRIBUTE, "\"friends\"").status, 201);
    assert_eq!(
        lists.whole().body,
        DOCUMENT.replace("'sip:b@x.test'", "\"sip:d@x.test\"")
    );
    lists.0.stop();
}

/// XCP-03: every condition of RFC 4825 §11 that a part can meet, and the document as it was after each.
#[test]
fn every_conflict_of_a_part_is_told_by_its_name() {
    let lists = Lists::new();
    let entry = |n: &str| format!("{FRIENDS}/entry{n}");
    for (case, method, node, kind, body, expected) in [
        (
            "no element",
            "PUT",
            entry("%5B3%5D"),
            ELEMENT,
            "no element",
            "not-xml-frag",
        ),
        (
            "two elements",
            "PUT",
            entry("%5B3%5D"),
            ELEMENT,
            "<entry uri='sip:c@x.test'/><entry/>",
            "not-xml-frag",
        ),
        (
            "no attribute value",
            "PUT",
            entry("%5B1%5D/@uri"),
            ATTRIBUTE,
            "sip:c@x.test",
            "not-xml-att-value",
        ),
        (
            "another charset",
            "PUT",
            entry("%5B3%5D"),
            "application/xcap-el+xml; charset=latin1",
            "<entry uri='sip:c@x.test'/>",
            "not-utf-8",
        ),
        (
            "no parent",
            "PUT",
            "resource-lists/list%5B2%5D/entry".into(),
            ELEMENT,
            "<entry uri='sip:c@x.test'/>",
            "no-parent",
        ),
        (
            "not what the URI says",
            "PUT",
            entry("%5B@uri='sip:c@x.test'%5D"),
            ELEMENT,
            "<entry uri='sip:d@x.test'/>",
            "cannot-insert",
        ),
        (
            "not the only one",
            "PUT",
            entry(""),
            ELEMENT,
            "<entry uri='sip:d@x.test'/>",
            "cannot-insert",
        ),
        (
            "another takes the place",
            "DELETE",
            entry("%5B1%5D"),
            ELEMENT,
            "",
            "cannot-delete",
        ),
        (
            "against the schema",
            "PUT",
            format!("{FRIENDS}/thing"),
            ELEMENT,
            "<thing/>",
            "schema-validation-error",
        ),
        (
            "a needed attribute",
            "DELETE",
            entry("%5B1%5D/@uri"),
            ELEMENT,
            "",
            "schema-validation-error",
        ),
        (
            "twice the same",
            "PUT",
            entry("%5B3%5D"),
            ELEMENT,
            "<entry uri='sip:a@x.test'/>",
            "uniqueness-failure",
        ),
        (
            "against a constraint",
            "PUT",
            format!("{FRIENDS}/entry-ref"),
            ELEMENT,
            "<entry-ref ref='http://x.test/'/>",
            "constraint-failure",
        ),
        (
            "an element as a document",
            "PUT",
            entry("%5B3%5D"),
            "application/resource-lists+xml",
            "<entry uri='sip:c@x.test'/>",
            "415",
        ),
        (
            "an attribute as an element",
            "PUT",
            entry("%5B1%5D/@uri"),
            ELEMENT,
            "'sip:c@x.test'",
            "415",
        ),
        (
            "nothing there to delete",
            "DELETE",
            entry("%5B3%5D"),
            ELEMENT,
            "",
            "404",
        ),
        (
            "a selector that is none",
            "PUT",
            format!("{FRIENDS}/last()"),
            ELEMENT,
            "<entry/>",
            "404",
        ),
        (
            "a prefix of nowhere",
            "PUT",
            format!("{FRIENDS}/p:entry"),
            ELEMENT,
            "<entry/>",
            "400",
        ),
        (
            "a method XCAP does not have",
            "POST",
            entry("%5B3%5D"),
            ELEMENT,
            "<entry/>",
            "405",
        ),
    ] {
        let answer = lists.ask(method, &node, ("Content-Type", kind), body);
        assert_eq!(told(&answer), expected, "{case}");
        if expected == "no-parent" {
            assert!(
                answer.body.contains("<ancestor>resource-lists</ancestor>"),
                "{}",
                answer.body
            );
        }
        assert_eq!(lists.whole().body, DOCUMENT, "unharmed after: {case}");
    }
    let (missing, eve) = (
        LISTS.replace("/index", "/other/~~/resource-lists/list"),
        format!("{LISTS}/~~/{FRIENDS}"),
    );
    let kind = ("Content-Type", ELEMENT);
    let answer = http(lists.0.http, "PUT", &missing, &[AS_BOB, kind], "<list/>");
    assert_eq!(told(&answer), "no-parent", "no document");
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(
            http(lists.0.http, method, &eve, &[AS_EVE, kind], "<list/>").status,
            403
        );
    }
    lists.0.stop();
}

/// XCP-04: one entity-tag guards every part; to create only what is not there cannot be asked of a part.
#[test]
fn conditions_are_kept_for_parts() {
    let lists = Lists::new();
    let seen = lists
        .whole()
        .header("etag")
        .expect("an entity-tag")
        .to_owned();
    let entry = format!("{FRIENDS}/entry%5B@uri=%22sip:c@x.test%22%5D");
    let path = format!("{LISTS}/~~/{entry}");
    let ask = |method, condition: (&str, &str)| {
        let headers = [AS_BOB, ("Content-Type", ELEMENT), condition];
        let body = if method == "PUT" {
            "<entry uri='sip:c@x.test'/>"
        } else {
            ""
        };
        http(lists.0.http, method, &path, &headers, body)
    };
    assert_eq!(
        ask("PUT", ("If-None-Match", "*")).status,
        412,
        "the document is there"
    );
    assert_eq!(ask("PUT", ("If-Match", "\"other\"")).status, 412);
    let put = ask("PUT", ("If-Match", &seen));
    assert_eq!(put.status, 201);
    let now = put.header("etag").expect("an entity-tag").to_owned();
    assert_eq!(
        ask("PUT", ("If-Match", &seen)).status,
        412,
        "the state seen is gone by"
    );
    assert_eq!(ask("GET", ("If-None-Match", &now)).status, 304);
    assert_eq!(ask("GET", ("If-None-Match", &seen)).status, 200);
    assert_eq!(ask("DELETE", ("If-Match", &seen)).status, 412);
    assert_eq!(ask("DELETE", ("If-Match", &now)).status, 200);
    assert_eq!(lists.whole().body, DOCUMENT);
    lists.0.stop();
}

/// XCP-05: prefixes are bound by the query; bindings can be read, not written.
#[test]
fn prefixes_come_with_the_query_and_bindings_are_read_only() {
    let server = Server::start("");
    let document = rules(ALICE, "allow");
    assert_eq!(server.put_rules(BOB, &document), 201);
    let ask = |method, node: &str, body: &str| {
        let kind = ("Content-Type", ELEMENT);
        http(
            server.http,
            method,
            &format!("{RULES}/~~/{node}{PREFIXES}"),
            &[AS_BOB, kind],
            body,
        )
    };
    let handling = ask("GET", "c:ruleset/c:rule/c:actions/p:sub-handling", "");
    assert_eq!(
        (handling.status, handling.body.as_str()),
        (200, "<pr:sub-handling>allow</pr:sub-handling>")
    );
    assert_eq!(
        ask("GET", "c:ruleset/c:rule/c:actions/c:sub-handling", "").status,
        404,
        "another namespace"
    );
    let unbound = http(
        server.http,
        "GET",
        &format!("{RULES}/~~/c:ruleset"),
        &[AS_BOB],
        "",
    );
    assert_eq!(unbound.status, 400);
    let bindings = ask("GET", "c:ruleset/c:rule/namespace::*", "");
    assert_eq!(
        bindings.header("content-type"),
        Some("application/xcap-ns+xml")
    );
    assert_eq!(
        bindings.body,
        "<rule xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\"/>"
    );
    for method in ["PUT", "DELETE"] {
        let refused = ask(method, "c:ruleset/c:rule/namespace::*", "<rule/>");
        assert_eq!(refused.status, 405);
        assert!(
            refused
                .header("allow")
                .is_some_and(|allow| allow.contains("GET"))
        );
    }
    server.stop();
}

/// XCP-10: selectors and bodies made to do harm are refused at once, and the server goes on.
#[test]
fn hostile_selectors_and_fragments_are_refused() {
    let mut lists = Lists::new();
    let deep = format!("{}{}", "<list>".repeat(20_000), "</list>".repeat(20_000));
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\">]><list>&a;</list>";
    let list = "resource-lists/list%5B2%5D".to_owned();
    for (case, method, node, body, expected) in [
        ("a selector of 5 KB", "GET", "x".repeat(5_000), "", "414"),
        (
            "a thousand steps",
            "DELETE",
            "x/".repeat(1_000) + "x",
            "",
            "414",
        ),
        (
            "brackets all the way",
            "GET",
            "%5B".repeat(1_000),
            "",
            "404",
        ),
        (
            "out of the tree",
            "GET",
            "../../../../etc/passwd".into(),
            "",
            "404",
        ),
        (
            "out of the tree, encoded",
            "GET",
            "%2e%2e/%2E%2E/etc/passwd".into(),
            "",
            "404",
        ),
        ("a byte that is no text", "GET", "list%FF".into(), "", "400"),
        ("NUL", "GET", "list%00".into(), "", "404"),
        (
            "a position past any number",
            "PUT",
            format!("resource-lists/list%5B{}%5D", "9".repeat(500)),
            "<list/>",
            "cannot-insert",
        ),
        (
            "an entity bomb",
            "PUT",
            list.clone(),
            bomb,
            "constraint-failure",
        ),
        (
            "nested beyond reason",
            "PUT",
            list.clone(),
            &deep,
            "constraint-failure",
        ),
        (
            "a way out of the place",
            "PUT",
            list.clone(),
            "</list></resource-lists><resource-lists><list>",
            "not-xml-frag",
        ),
        (
            "more attributes than one",
            "PUT",
            format!("{FRIENDS}/@name"),
            "\"a\" other=\"b\"",
            "not-xml-att-value",
        ),
    ] {
        let kind = if node.contains("/@") {
            ATTRIBUTE
        } else {
            ELEMENT
        };
        let answer = lists.ask(method, &node, ("Content-Type", kind), body);
        assert_eq!(told(&answer), expected, "{case}");
        assert_eq!(lists.whole().body, DOCUMENT, "unharmed after: {case}");
    }
    lists.0.healthy();
    lists.0.stop();
}

/// XCP-02: an edit of one element is policy at once, is kept over kill -9, and so is one of permanent presence.
#[test]
fn an_edit_acts_on_live_subscriptions_and_survives_kill_9() {
    let mut server = Server::start("");
    assert_eq!(server.put_rules(BOB, &rules(ALICE, "allow")), 201);
    let state = "/xcap-root/pidf-manipulation/users/sip:bob@ims.test/index";
    let pidf = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@ims.test\"><tuple id=\"t\"><status>\
        <basic>open</basic></status></tuple></presence>";
    let put = http(
        server.http,
        "PUT",
        state,
        &[AS_BOB, ("Content-Type", "application/pidf+xml")],
        pidf,
    );
    assert_eq!(put.status, 201);
    let mut alice = Ua::new(server.sip);
    let (dialog, first) = alice.watch(&Request::subscribe(ALICE, BOB));
    assert!(first.body.contains("open"), "{}", first.body);

    let kind = ("Content-Type", ELEMENT);
    let basic = format!("{state}/~~/presence/tuple%5B@id=%22t%22%5D/status/basic");
    let put = http(
        server.http,
        "PUT",
        &basic,
        &[AS_BOB, kind],
        "<basic>closed</basic>",
    );
    assert_eq!(put.status, 200, "{}", put.body);
    let told = alice.notify(&dialog.call_id);
    assert!(told.body.contains("closed"), "{}", told.body);

    let handling =
        format!("{RULES}/~~/c:ruleset/c:rule%5B@id=%22r1%22%5D/c:actions/p:sub-handling{PREFIXES}");
    let put = http(
        server.http,
        "PUT",
        &handling,
        &[AS_BOB, kind],
        "<pr:sub-handling>block</pr:sub-handling>",
    );
    assert_eq!(put.status, 200, "{}", put.body);
    let ended = alice.notify(&dialog.call_id);
    assert!(
        ended.get("subscription-state").contains("reason=rejected"),
        "{}",
        ended.body
    );

    server.kill9();
    server.launch();
    let kept = http(server.http, "GET", &handling, &[AS_BOB], "");
    assert_eq!(kept.body, "<pr:sub-handling>block</pr:sub-handling>");
    assert_eq!(kept.header("etag"), put.header("etag"));
    server.stop();
}
