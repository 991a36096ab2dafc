//! Hostile bodies of PUBLISH: each is refused with a reason or taken for what it is, in time, and what was published before
//! stays as it was.

use crate::harness::{Message, Request, Server, Tcp, Ua, pidf, rules};
use std::time::{Duration, Instant};

const BOB: &str = "sip:bob@ims.test";
const ALICE: &str = "sip:alice@ims.test";
const PIDF: &str = "application/pidf+xml";
const PARTIAL: &str = "application/pidf-diff+xml";
const ROOT: &str = "xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" \
                    xmlns:x=\"urn:example:x\" entity=\"sip:bob@ims.test\"";

/// Longest a hostile request may keep the server, on a machine busy with other tests.
const SOON_ENOUGH: Duration = Duration::from_secs(6);

fn whole(inside: &str) -> String {
    format!("<presence {ROOT}>{inside}</presence>")
}

fn patch(operations: &str) -> String {
    format!("<p:pidf-diff {ROOT}>{operations}</p:pidf-diff>")
}

fn tuple(id: usize, more: &str) -> String {
    format!(
        "<tuple id=\"t{id}\"><status><basic>open</basic></status>{more}<note>n{id}</note></tuple>"
    )
}

fn tuples(count: usize) -> String {
    (0..count).map(|id| tuple(id, "")).collect()
}

/// `<x:a>` in itself, so that the innermost is at this depth of the document.
fn nested(depth: usize) -> String {
    let levels = depth - 2;
    let inside = "<x:a>".repeat(levels) + &"</x:a>".repeat(levels);
    whole(&format!("<tuple id=\"t\"><status/>{inside}</tuple>"))
}

/// Ten entities, each ten of the one before.
fn bomb() -> String {
    let entities: String = (1..10)
        .map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10)))
        .collect();
    format!("<!DOCTYPE presence [<!ENTITY e0 \"ha\">{entities}]>")
}

/// What is refused: the case, the type, the body, and what the reason says.
fn refused() -> Vec<(&'static str, &'static str, String, &'static str)> {
    let bomb = bomb();
    let body = whole(&tuple(1, "<x:a>&e9;</x:a>"));
    let text =
        |id: &str| format!("<p:replace sel=\"*/tuple[@id='{id}']/note/text()\">x</p:replace>");
    let growing = "<p:add sel=\"*\" type=\"@x\">1</p:add><p:remove sel=\"*/@x\"/>";
    vec![
        (
            "an entity bomb",
            PIDF,
            format!("{bomb}{body}"),
            "Document type",
        ),
        (
            "an entity bomb in a patch",
            PARTIAL,
            format!("{bomb}{}", patch("<p:add sel=\"*\">&e9;</p:add>")),
            "Patch Not Accepted",
        ),
        (
            "an external entity",
            PIDF,
            format!("<!DOCTYPE p [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{body}")
                .replace("e9", "e"),
            "Document type",
        ),
        ("an entity without declaration", PIDF, body, ""),
        ("33 levels", PIDF, nested(33), "nested too deeply"),
        (
            "thousands of levels",
            PIDF,
            whole(&("<tuple id=\"t\"><status/>".to_owned() + &"<x:a>".repeat(5_000))),
            "nested too deeply",
        ),
        ("65 tuples", PIDF, whole(&tuples(65)), "Too many tuples"),
        (
            "more elements than are taken",
            PIDF,
            whole(&tuple(1, &"<x:a/>".repeat(1_100))),
            "Too many presence elements",
        ),
        (
            "a prefix bound to nothing",
            PIDF,
            whole(&tuple(1, "<x:a xmlns:x=\"\"/>")),
            "",
        ),
        (
            "the prefix xml bound anew",
            PIDF,
            whole(&tuple(1, "<x:a xmlns:xml=\"urn:x\"/>")),
            "",
        ),
        (
            "a prefix whose declaration is over",
            PIDF,
            whole(&tuple(1, "<x:a xmlns:y=\"urn:y\"/><y:b/>")),
            "",
        ),
        (
            "PIDF's namespace taken away",
            PIDF,
            whole("<tuple xmlns=\"\" id=\"t\"><status/></tuple>"),
            "",
        ),
        (
            "one id twice",
            PIDF,
            whole(&(tuple(1, "") + &tuple(1, ""))),
            "id given twice",
        ),
        (
            "one attribute twice under two prefixes",
            PIDF,
            whole(&tuple(
                1,
                "<x:a xmlns:y=\"urn:example:x\" x:k=\"1\" y:k=\"2\"/>",
            )),
            "",
        ),
        (
            "a patch that selects nothing",
            PARTIAL,
            patch(&text("t9")),
            "Node Not Located",
        ),
        (
            "a patch that selects two",
            PARTIAL,
            patch("<p:remove sel=\"*/tuple/note\"/>"),
            "More Than One Node Located",
        ),
        (
            "a patch whose second half does not apply",
            PARTIAL,
            patch(&(text("t1") + &text("t9"))),
            "Node Not Located",
        ),
        (
            "a patch that uses a namespace of its own only",
            PARTIAL,
            patch("<p:add xmlns:y=\"urn:y\" sel=\"*\"><y:b/></p:add>"),
            "Namespace Not Declared In The Document",
        ),
        (
            "a patch that leaves no presence document",
            PARTIAL,
            patch("<p:replace sel=\"*/tuple[1]/status/basic/text()\">ajar</p:replace>"),
            "",
        ),
        (
            "a patch that takes the entity",
            PARTIAL,
            patch("<p:replace sel=\"*/@entity\">sip:eve@ims.test</p:replace>"),
            "Entity Is Not The Presentity",
        ),
        (
            "a patch of more operations than are taken",
            PARTIAL,
            patch(&"<p:remove sel=\"*\"/>".repeat(1_025)),
            "Too Many Operations",
        ),
        (
            "a patch with a long selector",
            PARTIAL,
            patch(&format!("<p:remove sel=\"*{}\"/>", "[1]".repeat(400))),
            "Selector Too Long",
        ),
        (
            "a patch that nests too deeply",
            PARTIAL,
            patch(&format!(
                "<p:add sel=\"*/tuple[1]/note\" pos=\"before\">{}{}</p:add>",
                "<x:a>".repeat(31),
                "</x:a>".repeat(31)
            )),
            "Patch Nests Too Deeply",
        ),
        (
            "a patch that writes and erases until its end fails",
            PARTIAL,
            patch(&(growing.repeat(400) + "<p:remove sel=\"*/@x\"/>")),
            "Node Not Located",
        ),
        (
            "a patch in a document type of its own",
            PARTIAL,
            format!("<!DOCTYPE d>{}", patch("")),
            "Patch Not Accepted",
        ),
        ("a patch as a whole document", PIDF, patch(&text("t1")), ""),
        (
            "a whole document as a patch",
            PARTIAL,
            whole(&tuple(1, "")),
            "Neither Full Nor Partial Presence",
        ),
    ]
}

fn seen(alice: &mut Ua) -> Message {
    let fetch = Request::subscribe(ALICE, BOB).with("Expires", 0);
    alice.watch(&fetch.without("Expires").with("Expires", 0)).1
}

/// PUB-12, PUB-21: whatever comes, the published state and its entity-tag stay, and the reason is told.
#[test]
fn a_hostile_document_is_refused_with_its_reason_and_changes_nothing() {
    let mut server = Server::start("");
    assert!((200..300).contains(&server.put_rules(BOB, &rules(ALICE, "allow"))));
    let mut bob = Tcp::connect(server.sip);
    let mut alice = Ua::new(server.sip);
    let state = whole(&(tuple(1, "<x:a>kept</x:a>") + &tuple(2, "")));
    let answer = bob.ask(&Request::publish(BOB, &state));
    let etag = answer.get("sip-etag").to_owned();
    let before = seen(&mut alice).body;
    assert!(before.contains("kept"), "{before}");
    for (case, kind, body, reason) in refused() {
        for over in [false, true] {
            let mut request = Request::publish(BOB, "").body(kind, &body);
            if over {
                request = request.with("SIP-If-Match", &etag);
            }
            let start = Instant::now();
            let answer = bob.ask(&request);
            assert!(
                start.elapsed() < SOON_ENOUGH,
                "{case}: {:?}",
                start.elapsed()
            );
            assert_eq!(answer.status(), Some(400), "{case}: {}", answer.first);
            let told = if kind == PARTIAL && !over && answer.first.contains("Invalid Partial") {
                "Invalid Partial Publication"
            } else {
                reason
            };
            assert!(answer.first.contains(told), "{case}: {}", answer.first);
        }
    }
    assert_eq!(seen(&mut alice).body, before);
    let refresh = Request::publish(BOB, "").with("SIP-If-Match", &etag);
    assert_eq!(bob.ask(&refresh).status(), Some(200));
    server.healthy();
    server.stop();
}

/// PUB-22: the deepest document that is taken, and one that declares its namespaces anew wherever it can, reach the
/// watcher with every name as it was published.
#[test]
fn deep_nesting_and_namespaces_declared_anew_are_carried() {
    let server = Server::start("");
    assert!((200..300).contains(&server.put_rules(BOB, &rules(ALICE, "allow"))));
    let mut bob = Tcp::connect(server.sip);
    let mut alice = Ua::new(server.sip);
    let answer = bob.ask(&Request::publish(BOB, &nested(32)));
    assert_eq!(answer.status(), Some(200), "{}", answer.first);
    let body = seen(&mut alice).body;
    assert_eq!(body.matches("<x:a>").count(), 30, "{body}");
    let etag = answer.get("sip-etag").to_owned();
    let turned = "<q:presence xmlns:q=\"urn:ietf:params:xml:ns:pidf\" xmlns=\"urn:example:outer\" entity=\"sip:bob@ims.test\">\
                  <tuple xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:q=\"urn:example:q\" id=\"t\"><status/>\
                  <q:a xmlns:q=\"urn:example:inner\"><q:b xmlns:q=\"urn:example:innermost\"/><c xmlns=\"\"/><q:d/></q:a>\
                  <q:e/></tuple><presence/></q:presence>";
    let answer = bob.ask(&Request::publish(BOB, turned).with("SIP-If-Match", &etag));
    assert_eq!(answer.status(), Some(200), "{}", answer.first);
    let body = seen(&mut alice).body;
    let document = roxmltree::Document::parse(&body).expect("well-formed");
    let names: Vec<(&str, &str)> = document
        .descendants()
        .filter(|node| node.is_element())
        .map(|node| {
            (
                node.tag_name().namespace().unwrap_or(""),
                node.tag_name().name(),
            )
        })
        .collect();
    let pidf = "urn:ietf:params:xml:ns:pidf";
    assert_eq!(
        names,
        [
            (pidf, "presence"),
            (pidf, "tuple"),
            (pidf, "status"),
            ("urn:example:inner", "a"),
            ("urn:example:innermost", "b"),
            ("", "c"),
            ("urn:example:inner", "d"),
            ("urn:example:q", "e"),
            ("urn:example:outer", "presence"),
        ],
        "{body}"
    );
    server.stop();
}

/// PUB-23: a thousand tuples, patched and shown in time where the operator allows them.
#[test]
fn a_thousand_tuples_are_served_in_time_where_the_operator_allows_them() {
    let server = Server::start(
        "[sip]\nmax_message = 2000000\n[publication]\nmax_body = 1000000\nmax_components = 1000\nmax_elements = 10000\n",
    );
    assert!((200..300).contains(&server.put_rules(BOB, &rules(ALICE, "allow"))));
    let mut bob = Tcp::connect(server.sip);
    let mut alice = Tcp::connect(server.sip);
    let in_time = |case: &str, start: Instant| {
        assert!(
            start.elapsed() < SOON_ENOUGH,
            "{case}: {:?}",
            start.elapsed()
        );
    };
    let start = Instant::now();
    let answer = bob.ask(&Request::publish(BOB, &whole(&tuples(1_000))));
    in_time("published", start);
    assert_eq!(answer.status(), Some(200), "{}", answer.first);
    let etag = answer.get("sip-etag").to_owned();
    let answer = bob.ask(&Request::publish(BOB, &whole(&tuples(1_001))));
    assert_eq!(answer.status(), Some(400));
    assert!(answer.first.contains("Too many tuples"), "{}", answer.first);

    // Every tuple is changed by an operation of its own.
    let operations: String = (0..1_000)
        .map(|id| {
            format!(
                "<p:replace sel=\"*/tuple[@id='t{id}']/status/basic/text()\">closed</p:replace>"
            )
        })
        .collect();
    let request = Request::publish(BOB, "")
        .body(PARTIAL, &patch(&operations))
        .with("SIP-If-Match", &etag);
    let start = Instant::now();
    let answer = bob.ask(&request);
    in_time("patched", start);
    assert_eq!(answer.status(), Some(200), "{}", answer.first);

    let start = Instant::now();
    let subscribe = Request::subscribe(ALICE, BOB);
    let text = alice.write(&subscribe);
    alice.send(text.as_bytes()).expect("a request leaves");
    let notify = loop {
        let message = alice.receive(SOON_ENOUGH).expect("a NOTIFY");
        if message.is_request("NOTIFY") {
            break message;
        }
    };
    in_time("shown", start);
    assert_eq!(notify.body.matches("<basic>closed</basic>").count(), 1_000);

    // Selectors that look at everything again and again come to an end.
    let costly = "<p:replace sel=\"*/*/*[note='x']/*[note='x']/note\"><note/></p:replace>";
    let dear = format!("<p:remove sel=\"*/tuple[note='n999'][{}]\"/>", 1);
    for operations in [costly.repeat(1_000), dear.repeat(1_000)] {
        let request = Request::publish(BOB, "")
            .body(PARTIAL, &patch(&operations))
            .with("SIP-If-Match", answer.get("sip-etag"));
        let start = Instant::now();
        let refused = bob.ask(&request);
        in_time("costly selectors", start);
        assert_eq!(refused.status(), Some(400), "{}", refused.first);
    }
    assert_eq!(
        bob.ask(&Request::publish(BOB, &pidf(BOB, "open", "after")))
            .status(),
        Some(200)
    );
    server.stop();
}
