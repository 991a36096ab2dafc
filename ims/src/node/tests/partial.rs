//! Partial publication (RFC 5264).

use super::*;
use crate::xml::patch::same;

const ROOT: &str = "xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" \
                    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" \
                    entity=\"sip:bob@ims.test\"";
const BEFORE: &str = "\n <tuple id=\"t1\"><status><basic>open</basic></status><contact priority=\"0.5\">sip:bob@ims.test</contact></tuple>\n \
                      <note>first</note>\n <dm:person id=\"p1\"><r:activities><r:busy/> </r:activities></dm:person>\n";
const PATCH: &str = "<p:replace sel=\"*/tuple[@id='t1']/status/basic/text()\">closed</p:replace>\
                     <p:add sel=\"presence/note\" pos=\"before\"><tuple id=\"t2\"><status/><r:class>new</r:class></tuple></p:add>\
                     <p:remove sel=\"*/dm:person/r:activities/r:busy\" ws=\"after\"/>\
                     <p:add sel=\"*/dm:person/r:activities\"><r:away/></p:add>\
                     <p:replace sel=\"id('t1')/contact/@priority\">0.7</p:replace>";
const AFTER: &str = "<tuple id=\"t1\"><status><basic>closed</basic></status><contact priority=\"0.7\">sip:bob@ims.test</contact></tuple>\
                     <tuple id=\"t2\"><status/><r:class>new</r:class></tuple><note>first</note>\
                     <dm:person id=\"p1\"><r:activities><r:away/></r:activities></dm:person>";

fn whole(inside: &str) -> String {
    format!("<p:pidf-full {ROOT} version=\"1\">{inside}</p:pidf-full>")
}

fn patch(operations: &str) -> String {
    format!("<p:pidf-diff {ROOT}>{operations}</p:pidf-diff>")
}

fn plain(inside: &str) -> String {
    format!("<presence {ROOT}>{inside}</presence>")
}

fn bench() -> Bench {
    let mut settings = settings();
    settings.presence.default_handling = Some(Handling::Allow);
    Bench::new(settings)
}

impl Bench {
    /// Bob publishes `body`, over `etag` if there is one.
    fn publish_partly(&mut self, subtype: &str, etag: &str, body: &str) -> Sent {
        let condition = match etag {
            "" => String::new(),
            etag => format!("SIP-If-Match: {etag}\r\n"),
        };
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/{subtype}\r\n{condition}"
        );
        self.ask("PUBLISH", BOB, &head, body).remove(0)
    }

    fn seen(&mut self) -> String {
        let sent = self.subscribe("Expires: 0\r\n");
        self.answer(&sent[1], 200, "");
        sent[1].body().to_owned()
    }
}

/// What a watcher sees of a publication of `inside` as a plain document.
fn seen_of(inside: &str) -> String {
    let mut bench = bench();
    let answer = bench.publish_partly("pidf+xml", "", &plain(inside));
    assert_eq!(answer.status(), 200);
    bench.seen()
}

#[test]
fn the_result_of_a_patch_is_what_a_whole_publication_of_it_would_be() {
    for (case, subtype, first) in [
        ("after pidf-full", "pidf-diff+xml", whole(BEFORE)),
        ("after pidf+xml", "pidf+xml", plain(BEFORE)),
    ] {
        let mut bench = bench();
        let answer = bench.publish_partly(subtype, "", &first);
        assert_eq!(answer.status(), 200, "{case}");
        assert!(same(&bench.seen(), &seen_of(BEFORE)), "{case}");
        let etag = answer.get("SIP-ETag").to_owned();
        let answer = bench.publish_partly("pidf-diff+xml", &etag, &patch(PATCH));
        assert_eq!(answer.status(), 200, "{case}: {}", answer.text);
        assert_ne!(answer.get("SIP-ETag"), etag, "{case}");
        let seen = bench.seen();
        assert!(same(&seen, &seen_of(AFTER)), "{case}: {seen}");
        // The stored document is a whole one: it is read back, and patched again.
        bench.restart(1_000);
        assert!(same(&bench.seen(), &seen), "{case}");
        let etag = answer.get("SIP-ETag").to_owned();
        let more = "<p:remove sel=\"*/tuple[@id='t2']\"/>";
        let answer = bench.publish_partly("pidf-diff+xml", &etag, &patch(more));
        assert_eq!(answer.status(), 200, "{case}");
        assert!(!bench.seen().contains("t2"), "{case}");
        // A full document replaces what there is.
        let etag = answer.get("SIP-ETag").to_owned();
        let answer = bench.publish_partly("pidf-diff+xml", &etag, &whole(BEFORE));
        assert_eq!(answer.status(), 200, "{case}");
        assert!(same(&bench.seen(), &seen_of(BEFORE)), "{case}");
    }
}

#[test]
fn a_patch_that_does_not_apply_is_refused_with_its_condition_and_changes_nothing() {
    let mut bench = bench();
    let answer = bench.publish_partly("pidf-diff+xml", "", &whole(BEFORE));
    let etag = answer.get("SIP-ETag").to_owned();
    let before = bench.seen();
    let sent = bench.subscribe("");
    bench.answer(&sent[1], 200, "");
    bench.wait(10_000);
    let stored = bench.store.clone();
    let many: String = (2..80)
        .map(|i| format!("<tuple id=\"t{i}\"><status/></tuple>"))
        .collect();
    for (case, body, phrase, condition) in [
        (
            "nothing selected",
            patch("<p:remove sel=\"*/tuple[@id='t9']\"/>"),
            "Node Not Located",
            "<unlocated-node ",
        ),
        (
            "the second operation only",
            patch("<p:replace sel=\"*/note/text()\">x</p:replace><p:remove sel=\"*/tuple/@x\"/>"),
            "Node Not Located",
            "<unlocated-node ",
        ),
        (
            "a prefix that is none",
            patch("<p:remove sel=\"*/q:person\"/>"),
            "Prefix Not Declared",
            "<invalid-namespace-prefix ",
        ),
        (
            "the root element",
            patch("<p:remove sel=\"*\"/>"),
            "The Root Element Stays",
            "<invalid-root-element-operation ",
        ),
        (
            "not well-formed",
            patch("<p:remove sel=\"*\">"),
            "Patch Not Well-Formed",
            "<invalid-diff-format ",
        ),
        (
            "an entity",
            patch("<p:add sel=\"*/note\">&lol;</p:add>"),
            "Entity Not Declared",
            "",
        ),
        (
            "another root",
            plain(BEFORE),
            "Neither Full Nor Partial Presence",
            "<invalid-diff-format ",
        ),
        (
            "a result that is no presence document",
            patch("<p:remove sel=\"*/tuple/status\"/>"),
            "tuple without status",
            "",
        ),
        (
            "a result about another",
            patch("<p:replace sel=\"*/@entity\">sip:alice@ims.test</p:replace>"),
            "Entity Is Not The Presentity",
            "",
        ),
        (
            "a patch for another",
            patch("").replace("sip:bob", "sip:alice"),
            "Entity Is Not The Presentity",
            "",
        ),
        (
            "an id given twice",
            patch(
                "<p:add sel=\"*/tuple\" pos=\"after\"><tuple id=\"t1\"><status/></tuple></p:add>",
            ),
            "id given twice",
            "",
        ),
        (
            "more tuples than the limit",
            patch(&format!("<p:add sel=\"*\" pos=\"prepend\">{many}</p:add>")),
            "Too many tuples, persons or devices",
            "",
        ),
    ] {
        let answer = bench.publish_partly("pidf-diff+xml", &etag, &body);
        assert_eq!(answer.status(), 400, "{case}");
        let line = answer.text.lines().next().unwrap();
        assert!(line.ends_with(phrase), "{case}: {line}");
        assert!(answer.body().contains(condition), "{case}: {}", answer.text);
        let is_report = !condition.is_empty();
        assert_eq!(!answer.body().is_empty(), is_report, "{case}");
        if is_report {
            let kind = answer.get("Content-Type");
            assert_eq!(kind, "application/patch-ops-error+xml", "{case}");
        }
        assert!(bench.wait(10_000).is_empty(), "{case}: nobody is told");
        assert_eq!(bench.store, stored, "{case}");
    }
    assert_eq!(bench.seen(), before);
    // The entity-tag is still good.
    let answer = bench.publish_partly("pidf-diff+xml", &etag, &patch(PATCH));
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_patch_needs_a_publication_to_change() {
    let mut bench = bench();
    let answer = bench.publish_partly("pidf-diff+xml", "", &patch(PATCH));
    assert_eq!(answer.status(), 400);
    assert!(
        answer
            .text
            .starts_with("SIP/2.0 400 Invalid Partial Publication\r\n")
    );
    let stale = bench.publish_partly("pidf-diff+xml", "0123456789abcdef", &patch(PATCH));
    assert_eq!(stale.status(), 412);
    assert!(bench.store.keys().all(|(table, _)| *table != Table::Body));
}

#[test]
fn partial_publication_is_offered() {
    let mut bench = bench();
    let answer = bench.publish_partly("plain", "", "here");
    let both = "application/pidf+xml, application/pidf-diff+xml";
    assert_eq!(answer.status(), 415);
    assert!(answer.get("Accept").starts_with(both));
    let head = format!("P-Asserted-Identity: <{BOB}>\r\n");
    let options = bench.ask("OPTIONS", "sip:ims.test", &head, "");
    assert!(options[0].get("Accept").starts_with(both));
}
