//! Filters of a watcher (RFC 4660): what of the state it is sent, and on which changes.

use super::*;

const TYPE: &str = "Content-Type: application/simple-filter+xml\r\n";

/// A filter document.
pub(super) fn set(filters: &str) -> String {
    format!(
        "<filter-set xmlns='urn:ietf:params:xml:ns:simple-filter'><ns-bindings>\
         <ns-binding prefix='p' urn='urn:ietf:params:xml:ns:pidf'/></ns-bindings>{filters}</filter-set>"
    )
}

fn only(service: &str) -> String {
    set(&format!(
        "<filter id='f'><what><include>/p:presence/p:tuple[p:contact='im:{service}']</include></what></filter>"
    ))
}

fn on_basic() -> String {
    set(
        "<filter id='f'><trigger><changed>/p:presence/p:tuple/p:status/p:basic</changed></trigger></filter>",
    )
}

/// Two services of Bob: their availability, and a note of the first.
pub(super) fn state(im: &str, voice: &str, note: &str) -> String {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='{BOB}'>\
         <tuple id='im'><status><basic>{im}</basic></status><contact>im:im</contact><note>{note}</note></tuple>\
         <tuple id='voice'><status><basic>{voice}</basic></status><contact>im:voice</contact></tuple></presence>"
    )
}

impl Bench {
    /// Bob publishes this, under the tag where there is one; the tag, and what watchers were told.
    pub(super) fn say(&mut self, tag: &str, body: &str) -> (String, Vec<Sent>) {
        let mut head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        if !tag.is_empty() {
            head.push_str(&format!("SIP-If-Match: {tag}\r\n"));
        }
        let mut sent = self.ask("PUBLISH", BOB, &head, body);
        let published = sent.remove(0);
        assert_eq!(published.status(), 200, "{}", published.text);
        (published.get("SIP-ETag").to_owned(), sent)
    }

    /// Alice subscribes with a body.
    fn subscribe_for(&mut self, more: &str, body: &str) -> Vec<Sent> {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
        );
        self.ask("SUBSCRIBE", BOB, &head, body)
    }

    fn renew_for(&mut self, opened: &Sent, more: &str, body: &str) -> Vec<Sent> {
        let dialog = format!(
            "To: {}\r\nCall-ID: {}\r\n{more}",
            opened.get("To"),
            opened.get("Call-ID")
        );
        self.subscribe_for(&dialog, body)
    }

    /// The watcher answers what it was told, and the pace is over.
    fn settle(&mut self, told: &[Sent]) {
        for notify in told.iter().filter(|s| s.method() == "NOTIFY") {
            self.answer(notify, 200, "");
        }
        let late = self.wait(6_000);
        assert!(late.is_empty(), "{late:?}");
    }
}

#[test]
fn a_watcher_is_sent_what_its_filter_selects_and_told_of_nothing_else() {
    let mut bench = Bench::new(settings());
    let (tag, _) = bench.say("", &state("open", "open", "a"));
    let sent = bench.subscribe_for(TYPE, &only("voice"));
    assert_eq!(sent[0].status(), 200);
    let shown = sent[1].body().to_owned();
    assert!(
        shown.contains("im:voice") && !shown.contains("im:im"),
        "{shown}"
    );
    bench.settle(&sent);
    let (tag, told) = bench.say(&tag, &state("closed", "open", "b"));
    assert!(
        told.is_empty(),
        "a change of what it did not ask for: {told:?}"
    );
    let (_, told) = bench.say(&tag, &state("closed", "closed", "c"));
    assert!(told[0].body().contains("closed") && !told[0].body().contains("im:im"));
}

#[test]
fn no_filter_brings_back_what_the_rules_withhold() {
    let mut bench = Bench::strict();
    bench.put_rules(
        BOB,
        &format!(
            "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\
             <rule id=\"r\"><conditions><identity><one id=\"{ALICE}\"/></identity></conditions><actions>\
             <pr:sub-handling>allow</pr:sub-handling></actions><transformations><pr:provide-services>\
             <pr:service-uri>im:im</pr:service-uri></pr:provide-services></transformations></rule></ruleset>"
        ),
    );
    bench.say("", &state("open", "open", "secret"));
    for filter in [
        only("voice"),
        set(
            "<filter id='f'><what><include>//p:note</include><include>//*</include></what></filter>",
        ),
        set(
            "<filter id='f'><what><include type='namespace'>urn:ietf:params:xml:ns:pidf</include></what></filter>",
        ),
        set("<filter id='f'><what><exclude>//p:basic</exclude></what></filter>"),
    ] {
        let sent = bench.subscribe_for(&format!("{TYPE}Expires: 0\r\n"), &filter);
        let shown = sent[1].body();
        assert!(shown.contains("<presence"), "{shown}");
        assert!(
            !shown.contains("secret") && !shown.contains("voice"),
            "{shown}"
        );
    }
}

#[test]
fn a_trigger_that_does_not_fire_leaves_the_watcher_alone_and_the_next_notify_is_current() {
    let mut bench = Bench::new(settings());
    let (tag, _) = bench.say("", &state("open", "open", "a"));
    let sent = bench.subscribe_for(TYPE, &on_basic());
    assert!(
        sent[1].body().contains("im:im"),
        "the first one waits for no trigger"
    );
    bench.settle(&sent);
    let (tag, told) = bench.say(&tag, &state("open", "open", "b"));
    assert!(told.is_empty(), "{told:?}");
    bench.settle(&told);
    let (tag, told) = bench.say(&tag, &state("open", "closed", "b"));
    assert!(
        told[0].body().contains(">b<"),
        "what changed silently is there"
    );
    // within the pace: nothing yet, and then it is as it was
    assert!(bench.answer(&told[0], 200, "").is_empty());
    let (tag, told) = bench.say(&tag, &state("closed", "closed", "b"));
    assert!(told.is_empty());
    bench.say(&tag, &state("open", "closed", "c"));
    assert!(
        bench.wait(6_000).is_empty(),
        "compared with what was sent last, nothing fires"
    );
}

#[test]
fn a_trigger_may_be_about_what_the_filter_does_not_select() {
    let mut bench = Bench::new(settings());
    let (tag, _) = bench.say("", &state("open", "open", "a"));
    let filter = set(
        "<filter id='f'><what><include>//p:tuple[p:contact='im:voice']</include></what>\
         <trigger><changed>//p:note</changed></trigger></filter>",
    );
    let sent = bench.subscribe_for(TYPE, &filter);
    bench.settle(&sent);
    let (tag, told) = bench.say(&tag, &state("open", "closed", "a"));
    assert!(told.is_empty(), "selected, and no trigger: {told:?}");
    let (_, told) = bench.say(&tag, &state("open", "closed", "b"));
    assert!(told[0].body().contains("closed") && !told[0].body().contains("note"));
}

#[test]
fn a_filter_that_is_not_taken_is_refused_and_changes_nothing() {
    let mut bench = Bench::new(settings());
    bench.say("", &state("open", "open", "a"));
    let two = set("<filter id='a'/><filter id='b'/>");
    let wrong = set("<filter id='a'><what><include>/q:presence</include></what></filter>");
    let open = bench.subscribe_for(TYPE, &only("voice"));
    bench.settle(&open);
    for (case, media, body, status) in [
        ("no XML", TYPE, "hello", 400),
        ("another document", TYPE, "<presence xmlns='urn:x'/>", 488),
        ("two for one resource", TYPE, two.as_str(), 488),
        ("a prefix that is not bound", TYPE, &wrong, 488),
        ("another type", "Content-Type: text/plain\r\n", "hello", 415),
        ("no type", "", "hello", 415),
    ] {
        let fresh = bench.subscribe_for(media, body);
        let again = bench.renew_for(&open[0], media, body);
        for answer in [&fresh, &again] {
            assert_eq!(answer[0].status(), status, "{case}");
            assert_eq!(answer.len(), 1, "{case}: no NOTIFY");
            assert_eq!(
                answer[0].get("Warning").starts_with("399 "),
                status == 488,
                "{case}"
            );
            assert_eq!(
                answer[0].get("Accept").contains("simple-filter"),
                status == 415,
                "{case}"
            );
        }
    }
    let optional = "Content-Type: text/plain\r\nContent-Disposition: x;handling=optional\r\n";
    let sent = bench.renew_for(&open[0], optional, "hello");
    assert!(
        !sent[1].body().contains("im:im"),
        "and the filter is still there"
    );
}

#[test]
fn a_filter_lives_with_its_dialog_through_refreshes_and_restarts() {
    let mut bench = Bench::new(settings());
    let (tag, _) = bench.say("", &state("open", "open", "a"));
    let open = bench.subscribe_for(TYPE, &only("voice"));
    bench.settle(&open);
    let refreshed = bench.renew(&open[0], "");
    assert!(
        !refreshed[1].body().contains("im:im"),
        "a refresh without body"
    );
    bench.settle(&refreshed);
    bench.restart(1_000);
    let told = bench.wait(6_000); // what the store did not yet know to be delivered
    assert!(told.iter().all(|notify| !notify.body().contains("im:im")));
    bench.settle(&told);
    let (tag, told) = bench.say(&tag, &state("closed", "open", "b"));
    assert!(told.is_empty(), "after a restart: {told:?}");
    let other = bench.renew_for(&open[0], TYPE, &only("im"));
    assert!(
        !other[1].body().contains("im:voice"),
        "another under the same id"
    );
    bench.settle(&other);
    let off = bench.renew_for(&open[0], TYPE, &set("<filter id='f' enabled='false'/>"));
    assert!(
        off[1].body().contains("im:im") && off[1].body().contains("im:voice"),
        "switched off"
    );
    bench.settle(&off);
    let on = bench.renew_for(&open[0], TYPE, &set("<filter id='f' enabled='true'/>"));
    assert!(!on[1].body().contains("im:voice"), "switched on");
    bench.settle(&on);
    let gone = bench.renew_for(&open[0], TYPE, &set("<filter id='f' remove='true'/>"));
    assert!(gone[1].body().contains("im:voice"), "removed");
    bench.settle(&gone);
    assert!(
        bench
            .store
            .keys()
            .all(|(table, _)| *table != Table::Filters)
    );
    let again = bench.renew_for(&open[0], TYPE, &only("voice"));
    bench.settle(&again);
    let ended = bench.renew(&open[0], "Expires: 0\r\n");
    assert!(!ended[1].body().contains("im:im"), "the last NOTIFY too");
    bench.answer(&ended[1], 200, "");
    assert!(
        bench
            .store
            .keys()
            .all(|(table, _)| *table != Table::Filters),
        "gone with its subscription"
    );
    let (_, told) = bench.say(&tag, &state("open", "open", "c"));
    assert!(told.is_empty());
}

#[test]
fn a_trigger_counts_after_a_restart_too() {
    let mut bench = Bench::new(settings());
    let (tag, _) = bench.say("", &state("open", "open", "a"));
    let open = bench.subscribe_for(TYPE, &on_basic());
    bench.settle(&open);
    bench.wait(2_000);
    bench.restart(10_000);
    bench.wait(6_000);
    let (tag, told) = bench.say(&tag, &state("open", "open", "b"));
    assert!(told.is_empty(), "{told:?}");
    let (_, told) = bench.say(&tag, &state("closed", "open", "b"));
    assert_eq!(told.len(), 1);
}
