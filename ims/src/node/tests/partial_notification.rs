//! Partial notification (RFC 5263): versions, forms, and that what a watcher puts together is what there is.

use super::*;
use crate::presence::partial::{Copy, MEDIA_TYPE};
use crate::xml::patch;

const PARTIAL: &str = "Accept: application/pidf+xml;q=0.3, application/pidf-diff+xml;q=1\r\n";

/// The NOTIFY among what was sent last.
fn told(bench: &Bench) -> Sent {
    let mut sent = bench.sent(true).into_iter();
    sent.find(|s| s.method() == "NOTIFY").unwrap()
}

fn form(notify: &Sent) -> &'static str {
    assert_eq!(notify.get("Content-Type"), MEDIA_TYPE, "{}", notify.text);
    match notify.body() {
        body if body.contains("<p:pidf-full") => "full",
        body if body.contains("<p:pidf-diff") => "diff",
        body => panic!("{body}"),
    }
}

/// A document with a dozen services, of which one says `note`: what changes in it is small beside it.
fn many(note: &str) -> String {
    let tuple = |n: usize| {
        let note = if n == 7 { note } else { "the same" };
        format!(
            "<tuple id=\"t{n}\"><status><basic>open</basic></status><note>{note}</note></tuple>"
        )
    };
    let tuples: String = (0..12).map(tuple).collect();
    let presence = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"";
    format!("{presence} entity=\"{BOB}\">{tuples}</presence>")
}

/// Bob's publication, modified as time goes by.
struct Source {
    etag: String,
}

impl Source {
    fn new(bench: &mut Bench, note: &str) -> Source {
        let mut source = Source {
            etag: String::new(),
        };
        source.says(bench, note);
        source
    }

    fn says(&mut self, bench: &mut Bench, note: &str) {
        let matches = match self.etag.as_str() {
            "" => String::new(),
            etag => format!("SIP-If-Match: {etag}\r\n"),
        };
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n{matches}"
        );
        let answer = bench.ask("PUBLISH", BOB, &head, &many(note)).remove(0);
        assert_eq!(answer.status(), 200);
        self.etag = answer.get("SIP-ETag").to_owned();
    }
}

/// A watcher's copy after one more NOTIFY, which it accepts.
fn takes(bench: &mut Bench, copy: &mut Copy, notify: &Sent) {
    let limits = pidf::Limits::default();
    copy.take(notify.body().as_bytes(), &limits)
        .unwrap_or_else(|lost| panic!("{lost}: {}", notify.body()));
    bench.answer(notify, 200, "");
}

/// The copy says what a fetch of the whole document says.
fn agrees(bench: &mut Bench, copy: &Copy) {
    let fetched = bench.subscribe("Expires: 0\r\n").remove(1);
    bench.answer(&fetched, 200, "");
    let document = copy.document.as_deref().unwrap();
    assert!(
        patch::same(document, fetched.body()),
        "{document}\nis not\n{}",
        fetched.body()
    );
}

#[test]
fn a_watcher_puts_together_from_patches_what_others_are_sent_whole() {
    let mut bench = Bench::new(settings());
    let mut source = Source::new(&mut bench, "one");
    let sent = bench.subscribe(PARTIAL);
    let mut copy = Copy::default();
    assert_eq!(form(&sent[1]), "full");
    takes(&mut bench, &mut copy, &sent[1]);
    assert_eq!(copy.version, Some(1));
    for (version, note) in [(2, "two"), (3, "three"), (4, "&lt;four")] {
        bench.wait(6_000);
        source.says(&mut bench, note);
        let notify = told(&bench);
        assert_eq!(form(&notify), "diff");
        assert!(!notify.body().contains("the same"), "{}", notify.body());
        takes(&mut bench, &mut copy, &notify);
        assert_eq!(copy.version, Some(version));
        agrees(&mut bench, &copy);
    }
    // RFC 5263 §4.4: a SUBSCRIBE brings the whole, in the same count
    let refreshed = bench.renew(&sent[0], PARTIAL);
    assert_eq!(form(&refreshed[1]), "full");
    takes(&mut bench, &mut copy, &refreshed[1]);
    let over = bench.renew(&sent[0], &format!("{PARTIAL}Expires: 0\r\n"));
    assert_eq!(form(&over[1]), "full");
    takes(&mut bench, &mut copy, &over[1]);
    assert_eq!(copy.version, Some(6));
    agrees(&mut bench, &copy);
}

#[test]
fn the_form_is_the_one_that_the_watcher_weighs_most() {
    for (accept, kind) in [
        ("application/pidf-diff+xml", MEDIA_TYPE),
        (
            "application/pidf+xml, application/pidf-diff+xml",
            MEDIA_TYPE,
        ),
        (
            "application/pidf+xml, application/pidf-diff+xml;q=0.9",
            pidf::MEDIA_TYPE,
        ),
        (
            "application/pidf+xml;q=0.5, application/pidf-diff+xml;q=0",
            pidf::MEDIA_TYPE,
        ),
        ("application/*", pidf::MEDIA_TYPE),
        ("*/*", pidf::MEDIA_TYPE),
    ] {
        let mut bench = Bench::new(settings());
        let sent = bench.subscribe(&format!("Accept: {accept}\r\n"));
        assert_eq!(sent[1].get("Content-Type"), kind, "{accept}");
    }
}

#[test]
fn there_is_no_second_notify_before_the_first_is_answered() {
    let mut bench = Bench::new(settings());
    let mut source = Source::new(&mut bench, "one");
    let sent = bench.subscribe(PARTIAL);
    let mut copy = Copy::default();
    let notifies = |sent: &[Sent]| {
        let cseqs = sent.iter().filter(|s| s.method() == "NOTIFY");
        cseqs.filter(|s| s.get("CSeq") != "1 NOTIFY").count()
    };
    // time, news, a refresh: only the first is sent again
    assert_eq!(notifies(&bench.wait(6_000)), 0);
    source.says(&mut bench, "two");
    assert_eq!(notifies(&bench.sent(true)), 0);
    let refreshed = bench.renew(&sent[0], PARTIAL);
    assert_eq!((refreshed[0].status(), refreshed.len()), (200, 1));
    assert_eq!(notifies(&bench.wait(6_000)), 0);
    // its answer brings one, whole, for all of it
    copy.take(sent[1].body().as_bytes(), &pidf::Limits::default())
        .unwrap();
    let next = bench.answer(&sent[1], 200, "").remove(0);
    assert_eq!(form(&next), "full");
    takes(&mut bench, &mut copy, &next);
    assert_eq!(copy.version, Some(2));
    agrees(&mut bench, &copy);

    // and the end is told when the one before it is answered
    bench.wait(6_000);
    source.says(&mut bench, "three");
    let change = told(&bench);
    let over = bench.renew(&sent[0], &format!("{PARTIAL}Expires: 0\r\n"));
    assert_eq!((over[0].status(), over.len()), (200, 1));
    let last = bench.answer(&change, 200, "").remove(0);
    assert_eq!(last.get("Subscription-State"), "terminated;reason=timeout");
    assert_eq!(form(&last), "full");
    bench.answer(&last, 200, "");
    assert_eq!(bench.node.census().presence.subscriptions, 0);
}

#[test]
fn after_a_failed_notify_and_after_a_restart_the_next_is_whole_and_its_version_higher() {
    let mut bench = Bench::new(settings());
    let mut source = Source::new(&mut bench, "one");
    let sent = bench.subscribe(PARTIAL);
    let mut copy = Copy::default();
    takes(&mut bench, &mut copy, &sent[1]);
    bench.wait(6_000);
    source.says(&mut bench, "two");
    let lost = told(&bench);
    assert_eq!(form(&lost), "diff");
    bench.answer(&lost, 500, "");
    let again = bench.wait(30_000).remove(0);
    assert_eq!(form(&again), "full");
    takes(&mut bench, &mut copy, &again);
    agrees(&mut bench, &copy);

    bench.wait(6_000);
    bench.restart(1_000);
    source.says(&mut bench, "three");
    let first = told(&bench);
    assert_eq!(form(&first), "full");
    takes(&mut bench, &mut copy, &first);
    bench.wait(6_000);
    source.says(&mut bench, "four");
    let change = told(&bench);
    assert_eq!(form(&change), "diff");
    takes(&mut bench, &mut copy, &change);
    agrees(&mut bench, &copy);
}

#[test]
fn versions_go_on_when_a_watcher_turns_to_whole_documents_and_back() {
    let mut bench = Bench::new(settings());
    let _source = Source::new(&mut bench, "one");
    let sent = bench.subscribe(PARTIAL);
    let mut copy = Copy::default();
    takes(&mut bench, &mut copy, &sent[1]);
    let plain = bench.renew(&sent[0], "").remove(1);
    assert_eq!(plain.get("Content-Type"), pidf::MEDIA_TYPE);
    bench.answer(&plain, 200, "");
    bench.wait(6_000);
    bench.restart(1_000);
    let back = bench.renew(&sent[0], PARTIAL).remove(1);
    assert_eq!(form(&back), "full");
    takes(&mut bench, &mut copy, &back);
    assert!(copy.version > Some(1));
}

#[test]
fn a_change_that_is_most_of_the_document_is_sent_whole() {
    let mut bench = Bench::new(settings());
    bench.publish("", "small");
    let sent = bench.subscribe(PARTIAL);
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    bench.rules("polite-block", "");
    let notify = told(&bench);
    assert_eq!(form(&notify), "full");
    assert!(notify.body().contains("closed"));
}

#[test]
fn a_watcher_with_the_state_of_an_earlier_subscription_is_sent_it_whole_before_patches() {
    let mut bench = Bench::new(settings());
    let mut source = Source::new(&mut bench, "one");
    let before = bench.subscribe("Expires: 0\r\n").remove(1);
    bench.answer(&before, 200, "");
    let has = format!("Suppress-If-Match: {}\r\n", before.get("SIP-ETag"));
    let sent = bench.subscribe(&format!("{PARTIAL}{has}"));
    assert_eq!(sent[1].body(), "");
    bench.answer(&sent[1], 200, "");
    bench.wait(6_000);
    source.says(&mut bench, "two");
    let mut copy = Copy::default();
    let first = told(&bench);
    assert_eq!(form(&first), "full");
    takes(&mut bench, &mut copy, &first);
    assert_eq!(copy.version, Some(1), "RFC 5263 §4.4: the first is 1");
    assert_ne!(first.get("SIP-ETag"), before.get("SIP-ETag"));
    // a refresh by one who has it leaves versions alone
    let has = format!("Suppress-If-Match: {}\r\n", first.get("SIP-ETag"));
    let refreshed = bench.renew(&sent[0], &format!("{PARTIAL}{has}"));
    assert_eq!((refreshed[0].status(), refreshed.len()), (204, 1));
    bench.wait(6_000);
    source.says(&mut bench, "three");
    let change = told(&bench);
    assert_eq!(form(&change), "diff");
    takes(&mut bench, &mut copy, &change);
    assert_eq!(copy.version, Some(2));
    agrees(&mut bench, &copy);
}
