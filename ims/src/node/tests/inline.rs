//! Objects beside a document (RFC 2387, RFC 2392): from PUBLISH to the watchers who may see what refers to them.

use super::*;

pub(super) const PNG: &str = "\u{89}PNG and more";
const TAKES: &str = "Accept: application/pidf+xml, multipart/related\r\n";
const ALL: &str = "<pr:provide-persons><pr:all-persons/></pr:provide-persons>";

fn document(icon: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{BOB}\"><dm:person id=\"p\"><r:mood><r:happy/></r:mood>\
         <r:status-icon>{icon}</r:status-icon></dm:person></presence>"
    )
}

/// A body of parts under the boundary `b`: heads and contents.
fn parts(parts: &[(&str, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(head, content)| format!("--b\r\n{head}\r\n{content}\r\n"))
        .collect();
    format!("{parts}--b--\r\n")
}

pub(super) fn with_icon(id: &str, icon: &str) -> String {
    parts(&[
        (
            "Content-Type: application/pidf+xml\r\nContent-ID: <d@x>\r\n",
            &document(&format!("cid:{id}")),
        ),
        (
            &format!("Content-Type: image/png\r\nContent-ID: <{id}>\r\n"),
            icon,
        ),
    ])
}

pub(super) const RELATED: &str =
    "multipart/related;boundary=b;type=\"application/pidf+xml\";start=\"<d@x>\"";

impl Bench {
    pub(super) fn publish_typed(
        &mut self,
        content_type: &str,
        more: &str,
        body: &str,
    ) -> Vec<Sent> {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: {content_type}\r\n{more}"
        );
        self.ask("PUBLISH", BOB, &head, body)
    }

    fn fetch_with(&mut self, accept: &str) -> Sent {
        let sent = self.subscribe(&format!("Expires: 0\r\n{accept}"));
        self.answer(&sent[1], 200, "");
        sent[1].clone()
    }
}

/// The contents of a NOTIFY by parts, the document first.
fn divided(notify: &Sent) -> Vec<(String, String)> {
    let media = sip::header::media_type::MediaType::parse(notify.get("Content-Type")).unwrap();
    assert!(media.is("multipart", "related"), "{}", notify.text);
    assert_eq!(media.param("type").as_deref(), Some("application/pidf+xml"));
    let read = sip::multipart::parse(&media, notify.body().as_bytes(), 99).unwrap();
    assert_eq!(sip::multipart::root(&media, &read), Ok(0));
    let text = |part: &sip::multipart::Part<'_>| {
        let body = String::from_utf8(part.body.to_vec()).unwrap();
        (part.id().unwrap_or_default().to_owned(), body)
    };
    read.iter().map(text).collect()
}

#[test]
fn an_object_goes_to_those_who_may_see_what_refers_to_it_and_take_it() {
    let mut bench = Bench::strict();
    let answer = bench
        .publish_typed(RELATED, "", &with_icon("i@x", PNG))
        .remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    let granted = format!("{ALL}<pr:provide-status-icon>true</pr:provide-status-icon>");
    let everything = format!("{ALL}<pr:provide-all-attributes/>");
    let mood = format!("{ALL}<pr:provide-mood>true</pr:provide-mood>");
    for (case, rules, accept, with_object) in [
        ("granted and taken", &*granted, TAKES, true),
        ("all of it", &*everything, TAKES, true),
        ("not taken", &*everything, "", false),
        ("anything is taken", &*everything, "Accept: */*\r\n", false),
        ("the element is withheld", &*mood, TAKES, false),
        (
            "the person is withheld",
            "<pr:provide-all-attributes/>",
            TAKES,
            false,
        ),
    ] {
        bench.transformations(rules);
        let notify = bench.fetch_with(accept);
        if with_object {
            let parts = divided(&notify);
            assert_eq!(parts.len(), 2, "{case}");
            assert!(parts[0].1.contains("cid:i@x</r:status-icon>"), "{case}");
            assert_eq!(parts[1], ("i@x".to_owned(), PNG.to_owned()), "{case}");
        } else {
            assert_eq!(notify.get("Content-Type"), "application/pidf+xml", "{case}");
            assert!(!notify.body().contains("PNG"), "{case}");
        }
    }
}

#[test]
fn a_note_that_mentions_a_withheld_object_does_not_bring_it() {
    let mut bench = Bench::strict();
    bench.transformations(&format!("{ALL}<pr:provide-note>true</pr:provide-note>"));
    for note in [
        "look at cid:i@x",
        "http://h.test/cid:i@x",
        "cid:i@x is mine",
    ] {
        let noted = format!("<dm:note>{note}</dm:note></dm:person>");
        let body = with_icon("i@x", PNG).replace("</dm:person>", &noted);
        let answer = bench.publish_typed(RELATED, "", &body).remove(0);
        assert_eq!(answer.status(), 200, "{}", answer.text);
        let notify = bench.fetch_with(TAKES);
        assert!(notify.body().contains(note), "{note}: {}", notify.text);
        assert!(!notify.body().contains("PNG"), "{note}: {}", notify.text);
    }
}

#[test]
fn an_object_survives_a_restart_and_a_refresh_and_ends_with_its_publication() {
    let mut bench = Bench::new(settings());
    let mut answer = bench
        .publish_typed(RELATED, "", &with_icon("i@x", PNG))
        .remove(0);
    let stored = |bench: &Bench| {
        bench
            .store
            .keys()
            .filter(|(table, _)| *table == Table::Objects)
            .count()
    };
    for step in ["published", "restarted", "refreshed"] {
        match step {
            "restarted" => drop(bench.restart(1_000)),
            "refreshed" => {
                let head = format!(
                    "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nSIP-If-Match: {}\r\n",
                    answer.get("SIP-ETag")
                );
                answer = bench.ask("PUBLISH", BOB, &head, "").remove(0);
            }
            _ => {}
        }
        assert_eq!(divided(&bench.fetch_with(TAKES))[1].1, PNG, "{step}");
        assert_eq!(stored(&bench), 1, "{step}");
    }
    // the same document without objects: nothing is left of them
    let tag = format!("SIP-If-Match: {}\r\n", answer.get("SIP-ETag"));
    let answer = bench
        .publish_typed("application/pidf+xml", &tag, &document("cid:i@x"))
        .remove(0);
    assert_eq!((answer.status(), stored(&bench)), (200, 0));
    assert_eq!(
        bench.fetch_with(TAKES).get("Content-Type"),
        "application/pidf+xml"
    );

    bench.publish_typed(RELATED, "", &with_icon("i@x", PNG));
    assert_eq!(stored(&bench), 1);
    bench.wait(7_200_000);
    assert_eq!(stored(&bench), 0, "expired");
}

#[test]
fn another_picture_under_the_same_name_is_told_to_those_who_see_it_and_to_nobody_else() {
    let mut bench = Bench::new(settings());
    let published = bench
        .publish_typed(RELATED, "", &with_icon("i@x", PNG))
        .remove(0);
    let taking = bench.subscribe(TAKES);
    let plain = bench.subscribe("");
    for sent in [&taking, &plain] {
        bench.answer(&sent[1], 200, "");
    }
    bench.now += 10_000;
    let tag = format!("SIP-If-Match: {}\r\n", published.get("SIP-ETag"));
    let told: Vec<Sent> = bench
        .publish_typed(RELATED, &tag, &with_icon("i@x", "another"))
        .into_iter()
        .filter(|sent| sent.method() == "NOTIFY")
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].get("Call-ID"), taking[1].get("Call-ID"));
    assert_eq!(divided(&told[0])[1].1, "another");
    assert_ne!(
        told[0].get("SIP-ETag"),
        taking[1].get("SIP-ETag"),
        "the tag covers the object"
    );
    assert_ne!(taking[1].get("SIP-ETag"), plain[1].get("SIP-ETag"));
}

#[test]
fn a_publication_cannot_refer_to_an_object_of_another() {
    let mut bench = Bench::new(settings());
    // the other publication has the object and does not show it in what is granted
    let hidden = with_icon("i@x", PNG).replace("dm:person id=\"p\"", "dm:person id=\"q\"");
    bench.publish_typed(
        RELATED,
        "",
        &hidden.replace("<r:mood>", "<r:class>private</r:class><r:mood>"),
    );
    bench.publish_typed("application/pidf+xml", "", &document("cid:i@x"));
    bench.transformations("<pr:provide-persons><pr:occurrence-id>p</pr:occurrence-id></pr:provide-persons><pr:provide-all-attributes/>");
    let notify = bench.fetch_with(TAKES);
    assert!(notify.body().contains("cid:i@x"), "{}", notify.text);
    assert_eq!(notify.get("Content-Type"), "application/pidf+xml");
}

#[test]
fn of_two_objects_with_one_name_the_younger_is_shown() {
    let mut bench = Bench::new(settings());
    bench.publish_typed(RELATED, "", &with_icon("i@x", "older"));
    bench.now += 1;
    bench.publish_typed(
        RELATED,
        "",
        &with_icon("i@x", "newer").replace("happy", "sad"),
    );
    let parts = divided(&bench.fetch_with(TAKES));
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1].1, "newer");
}

#[test]
fn bodies_that_are_not_what_they_say_are_refused_and_change_nothing() {
    let pidf = (
        "Content-Type: application/pidf+xml\r\nContent-ID: <d@x>\r\n",
        &*document("cid:i@x"),
    );
    let icon = ("Content-Type: image/png\r\nContent-ID: <i@x>\r\n", PNG);
    let other = ("Content-Type: image/png\r\nContent-ID: <o@x>\r\n", PNG);
    let third = ("Content-Type: image/png\r\nContent-ID: <t@x>\r\n", PNG);
    let fourth = ("Content-Type: image/png\r\nContent-ID: <f@x>\r\n", PNG);
    let large = "x".repeat(1_001);
    let text = ("Content-Type: text/plain\r\nContent-ID: <d@x>\r\n", "x");
    let foreign = document("cid:i@x").replace(BOB, ALICE);
    for (case, content_type, body, status) in [
        ("as it should be", RELATED, parts(&[pidf, icon]), 200),
        (
            "three objects",
            RELATED,
            parts(&[pidf, icon, other, third]),
            200,
        ),
        (
            "four objects",
            RELATED,
            parts(&[pidf, icon, other, third, fourth]),
            413,
        ),
        (
            "an object above the limit",
            RELATED,
            parts(&[pidf, (icon.0, &large)]),
            413,
        ),
        (
            "no boundary",
            "multipart/related",
            parts(&[pidf, icon]),
            400,
        ),
        (
            "another boundary",
            "multipart/related;boundary=c",
            parts(&[pidf, icon]),
            400,
        ),
        (
            "cut off",
            RELATED,
            parts(&[pidf, icon]).replace("--b--", ""),
            400,
        ),
        ("one id twice", RELATED, parts(&[pidf, icon, icon]), 400),
        (
            "no such root",
            "multipart/related;boundary=b;start=\"<z@x>\"",
            parts(&[pidf, icon]),
            400,
        ),
        (
            "a root of another type than said",
            "multipart/related;boundary=b;type=\"text/plain\"",
            parts(&[pidf, icon]),
            400,
        ),
        (
            "a root that is no document",
            "multipart/related;boundary=b",
            parts(&[text, icon]),
            415,
        ),
        (
            "a broken document",
            RELATED,
            parts(&[(pidf.0, "<presence"), icon]),
            400,
        ),
        (
            "a document about somebody else",
            RELATED,
            parts(&[(pidf.0, &foreign), icon]),
            400,
        ),
        (
            "parts of another kind",
            "multipart/mixed;boundary=b",
            parts(&[pidf, icon]),
            415,
        ),
    ] {
        let mut bench = Bench::new(settings());
        let answer = bench.publish_typed(content_type, "", &body).remove(0);
        assert_eq!(answer.status(), status, "{case}: {}", answer.text);
        let held = usize::from(status == 200);
        assert_eq!(bench.node.census().presence.publications, held, "{case}");
    }
    let mut none = settings();
    none.presence.objects.bytes = 0;
    let mut bench = Bench::new(none);
    let answer = bench
        .publish_typed(RELATED, "", &with_icon("i@x", PNG))
        .remove(0);
    assert_eq!(answer.status(), 415, "not configured");
    assert_eq!(
        answer.get("Accept"),
        "application/pidf+xml, application/pidf-diff+xml"
    );
}

#[test]
fn a_partial_publication_keeps_the_objects_that_it_does_not_replace() {
    let mut bench = Bench::new(settings());
    let published = bench
        .publish_typed(RELATED, "", &with_icon("i@x", PNG))
        .remove(0);
    let diff = format!(
        "<pidf-diff xmlns=\"urn:ietf:params:xml:ns:pidf-diff\" xmlns:p=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{BOB}\">\
         <replace sel=\"*/dm:person/r:mood/r:happy\"><r:sad/></replace></pidf-diff>"
    );
    let tag = format!("SIP-If-Match: {}\r\n", published.get("SIP-ETag"));
    let published = bench
        .publish_typed("application/pidf-diff+xml", &tag, &diff)
        .remove(0);
    assert_eq!(published.status(), 200, "{}", published.text);
    let parts = divided(&bench.fetch_with(TAKES));
    assert!(parts[0].1.contains("<r:sad/>"));
    assert_eq!(parts[1].1, PNG);

    let both = self::parts(&[
        (
            "Content-Type: application/pidf-diff+xml\r\nContent-ID: <d@x>\r\n",
            &diff
                .replace("happy", "sad")
                .replace("<r:sad/>", "<r:calm/>"),
        ),
        (
            "Content-Type: image/png\r\nContent-ID: <i@x>\r\n",
            "another",
        ),
    ]);
    let tag = format!("SIP-If-Match: {}\r\n", published.get("SIP-ETag"));
    let related = "multipart/related;boundary=b;type=\"application/pidf-diff+xml\"";
    let answer = bench.publish_typed(related, &tag, &both).remove(0);
    assert_eq!(answer.status(), 200, "{}", answer.text);
    let parts = divided(&bench.fetch_with(TAKES));
    assert!(parts[0].1.contains("<r:calm/>"));
    assert_eq!(parts[1].1, "another");
}

#[test]
fn a_watcher_of_partial_documents_is_sent_objects_with_the_whole_one_and_when_they_change() {
    let mut bench = Bench::new(settings());
    let mut published = bench
        .publish_typed(RELATED, "", &with_icon("i@x", PNG))
        .remove(0);
    let accept =
        "Accept: application/pidf-diff+xml;q=1, application/pidf+xml;q=0.5, multipart/related\r\n";
    let mut notify = bench.subscribe(accept).remove(1);
    for (case, body, kind, with_object) in [
        ("the first", None, "pidf-full", true),
        (
            "another mood",
            Some(with_icon("i@x", PNG).replace("happy", "sad")),
            "pidf-diff",
            false,
        ),
        (
            "another picture",
            Some(with_icon("i@x", "another").replace("happy", "sad")),
            "pidf-full",
            true,
        ),
    ] {
        if let Some(body) = body {
            bench.answer(&notify, 200, "");
            bench.now += 10_000;
            let tag = format!("SIP-If-Match: {}\r\n", published.get("SIP-ETag"));
            let mut sent = bench.publish_typed(RELATED, &tag, &body);
            published = sent.remove(0);
            notify = sent.remove(0);
        }
        assert!(notify.body().contains(kind), "{case}: {}", notify.text);
        let related = notify.get("Content-Type").starts_with("multipart/related");
        assert_eq!(related, with_object, "{case}: {}", notify.text);
    }
}
