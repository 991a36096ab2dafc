//! When watchers are told: rates that they ask for (RFC 6446), and the presentity's notification rules.

use super::*;
use crate::time::datetime;

/// Alice subscribes with these parameters of `Event`.
fn watch(bench: &mut Bench, rates: &str, more: &str) -> Vec<Sent> {
    let head = format!(
        "Event: presence{rates}\r\nP-Asserted-Identity: <{ALICE}>\r\nContact: <sip:10.0.0.2:5060>\r\n{more}"
    );
    bench.ask("SUBSCRIBE", BOB, &head, "")
}

fn refresh(bench: &mut Bench, open: &Sent, rates: &str, more: &str) -> Vec<Sent> {
    let dialog = format!(
        "To: {}\r\nCall-ID: {}\r\n{more}",
        open.get("To"),
        open.get("Call-ID")
    );
    watch(bench, rates, &dialog)
}

/// Lets time pass in which every NOTIFY is answered: when each came, in milliseconds after the beginning, and its note.
fn told(bench: &mut Bench, millis: u64) -> Vec<(u64, String)> {
    let (begin, end) = (bench.now, bench.now + millis);
    let mut told = Vec::new();
    while let Some(at) = bench.node.next_deadline().filter(|at| at.0 <= end) {
        bench.now = bench.now.max(at.0);
        for notify in bench.feed(Input::Deadline) {
            told.push((bench.now - begin, note(&notify)));
            bench.answer(&notify, 200, "");
        }
    }
    bench.now = end;
    told
}

fn note(notify: &Sent) -> String {
    let body = notify.body();
    let note = body
        .split_once("<note>")
        .and_then(|(_, rest)| rest.split_once("</note>"));
    note.map_or_else(String::new, |(note, _)| note.to_owned())
}

/// Bob publishes a note, and a watcher who is told at once answers: what it was told.
fn say(bench: &mut Bench, tag: &mut String, words: &str) -> Vec<String> {
    let more = if tag.is_empty() {
        String::new()
    } else {
        format!("SIP-If-Match: {tag}\r\n")
    };
    let published = bench.publish(&more, words);
    *tag = published.get("SIP-ETag").to_owned();
    let sent = bench.sent(true);
    let notifies: Vec<Sent> = sent
        .into_iter()
        .filter(|s| s.method() == "NOTIFY")
        .collect();
    for notify in &notifies {
        bench.answer(notify, 200, "");
    }
    notifies.iter().map(note).collect()
}

fn state(notify: &Sent) -> &str {
    notify.get("Subscription-State")
}

#[test]
fn the_rates_that_hold_are_told_in_each_notify() {
    let mut bench = Bench::new(settings());
    for (case, asked, state) in [
        (
            "slower than the floor",
            ";max-rate=0.1",
            "active;expires=600;max-rate=0.1",
        ),
        (
            "faster than it",
            ";max-rate=50",
            "active;expires=600;max-rate=0.2",
        ),
        (
            "slower than the subscription lasts",
            ";max-rate=0.001",
            "active;expires=600;max-rate=0.0016666667",
        ),
        (
            "a minimum above the floor",
            ";min-rate=1",
            "active;expires=600;min-rate=0.2",
        ),
        (
            "both minima",
            ";min-rate=0.01;adaptive-min-rate=0.05",
            "active;expires=600;min-rate=0.01;adaptive-min-rate=0.05",
        ),
        ("none", "", "active;expires=600"),
    ] {
        let sent = watch(&mut bench, asked, "Expires: 600\r\n");
        assert_eq!(self::state(&sent[1]), state, "{case}");
    }
    for wrong in [
        ";max-rate=0",
        ";min-rate=fast",
        ";adaptive-min-rate",
        ";max-rate=100",
    ] {
        let sent = watch(&mut bench, wrong, "");
        assert_eq!((sent[0].status(), sent.len()), (400, 1), "{wrong}");
    }
}

#[test]
fn a_maximum_rate_spaces_notifies_and_the_last_state_is_told() {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    let open = watch(&mut bench, ";max-rate=0.1", "Expires: 600\r\n");
    bench.answer(&open[1], 200, "");
    for words in ["a", "b", "c"] {
        assert!(
            say(&mut bench, &mut tag, words).is_empty(),
            "the first one just left"
        );
    }
    assert_eq!(told(&mut bench, 60_000), [(10_000, "c".to_owned())]);
    assert_eq!(
        say(&mut bench, &mut tag, "d"),
        ["d"],
        "after a pause at once"
    );
    say(&mut bench, &mut tag, "e");
    // a refresh without the parameter ends it: its NOTIFY waits for nothing, and then the server's floor holds
    let refreshed = refresh(&mut bench, &open[0], "", "Expires: 600\r\n");
    assert_eq!(
        (state(&refreshed[1]), note(&refreshed[1]).as_str()),
        ("active;expires=600", "e")
    );
    bench.answer(&refreshed[1], 200, "");
    say(&mut bench, &mut tag, "f");
    assert_eq!(told(&mut bench, 60_000), [(5_000, "f".to_owned())]);
}

#[test]
fn rates_live_through_a_restart_and_may_be_changed_by_the_answer_to_a_notify() {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let open = watch(
        &mut bench,
        ";min-rate=0.05;max-rate=0.1",
        "Expires: 600\r\n",
    );
    bench.answer(&open[1], 200, "");
    bench.wait(2_000);
    bench.restart(1_000);
    let times: Vec<u64> = told(&mut bench, 50_000)
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(times, [20_000, 40_000]);
    bench.wait(10_000);
    let repeated = bench.sent(true).remove(0);
    assert_eq!(
        state(&repeated),
        "active;expires=537;max-rate=0.1;min-rate=0.05"
    );
    bench.answer(&repeated, 200, "Event: presence;min-rate=0.1\r\n");
    let times: Vec<u64> = told(&mut bench, 25_000)
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(times, [10_000, 20_000]);
    let plain = watch(&mut bench, "", "Expires: 600\r\n");
    bench.answer(&plain[1], 200, "Event: presence;min-rate=0.5\r\n");
    let late = told(&mut bench, 9_000).len();
    assert_eq!(
        late, 1,
        "who asked for no rate in SUBSCRIBE cannot in an answer"
    );
}

#[test]
fn a_minimum_rate_repeats_the_state_after_the_last_notify() {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let open = watch(&mut bench, ";min-rate=0.05", "Expires: 600\r\n");
    bench.answer(&open[1], 200, "");
    assert_eq!(told(&mut bench, 30_000), [(20_000, "a".to_owned())]);
    assert_eq!(say(&mut bench, &mut tag, "b"), ["b"]);
    assert_eq!(
        told(&mut bench, 50_000),
        [(20_000, "b".to_owned()), (40_000, "b".to_owned())],
        "counted from the last one"
    );
    // one whose NOTIFY is not answered is sent no other
    let sent = bench.wait(31_000);
    assert!(sent.len() > 1, "retransmissions");
    assert!(sent.iter().all(|s| s.get("CSeq") == sent[0].get("CSeq")));
}

#[test]
fn who_has_the_state_is_not_told_it_again_by_a_minimum_rate() {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let open = watch(&mut bench, ";min-rate=0.05", "Expires: 600\r\n");
    bench.answer(&open[1], 200, "");
    let having = format!(
        "Suppress-If-Match: {}\r\nExpires: 600\r\n",
        open[1].get("SIP-ETag")
    );
    let answer = refresh(&mut bench, &open[0], ";min-rate=0.05", &having);
    assert_eq!(answer[0].status(), 204);
    assert!(told(&mut bench, 100_000).is_empty());
    assert_eq!(say(&mut bench, &mut tag, "b"), ["b"]);
    assert_eq!(told(&mut bench, 25_000), [(20_000, "b".to_owned())]);
}

#[test]
fn the_adaptive_rate_makes_up_for_silence_and_rests_after_many() {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let open = watch(&mut bench, ";adaptive-min-rate=0.05", "Expires: 7200\r\n");
    bench.answer(&open[1], 200, "");
    let steady: Vec<u64> = told(&mut bench, 65_000)
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(steady, [20_000, 40_000, 60_000]);
    for words in ["b", "c", "d", "e", "f"] {
        assert_eq!(say(&mut bench, &mut tag, words), [words]);
        bench.wait(5_000);
    }
    let rested = told(&mut bench, 40_000)[0].0;
    assert!(rested > 20_000, "{rested}");
}

const OMA_RULES: &str = "urn:presentia:xml:notification-rules";

/// Bob lets everybody see everything, and notifies Alice like this.
fn notify_like(bench: &mut Bench, attributes: &str, inside: &str) -> Vec<Sent> {
    bench.put_rules(
        BOB,
        &format!(
            "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\
             <rule id=\"r\"><actions><pr:sub-handling>allow</pr:sub-handling></actions><transformations>\
             <pr:provide-services><pr:all-services/></pr:provide-services><pr:provide-all-attributes/>\
             </transformations></rule><rule id=\"n\"><conditions><identity><one id=\"{ALICE}\"/></identity></conditions>\
             <actions><notification xmlns=\"{OMA_RULES}\" {attributes}>{inside}</notification></actions></rule></ruleset>"
        ),
    )
}

/// A watcher who was told the note "a" a while ago.
fn watching(rates: &str) -> (Bench, String, Vec<Sent>) {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let open = watch(&mut bench, rates, "Expires: 7200\r\n");
    bench.answer(&open[1], 200, "");
    bench.wait(6_000);
    (bench, tag, open)
}

#[test]
fn the_stricter_of_watcher_and_presentity_is_kept() {
    for (rates, interval, spaced, told_rate) in [
        ("", 60, 60_000, ""),
        (";max-rate=0.05", 60, 60_000, ";max-rate=0.0166666667"),
        (";max-rate=0.01", 60, 100_000, ";max-rate=0.01"),
        ("", 2, 5_000, ""),
    ] {
        let (mut bench, mut tag, open) = watching(rates);
        let answer = notify_like(&mut bench, &format!("interval=\"{interval}\""), "");
        assert!(
            answer.is_empty(),
            "nothing that the watcher sees changed: {answer:?}"
        );
        let refreshed = refresh(&mut bench, &open[0], rates, "Expires: 7200\r\n");
        assert_eq!(
            state(&refreshed[1]),
            format!("active;expires=7200{told_rate}")
        );
        bench.answer(&refreshed[1], 200, "");
        say(&mut bench, &mut tag, "b");
        say(&mut bench, &mut tag, "c");
        let case = format!("{rates} and {interval} s");
        assert_eq!(
            told(&mut bench, 300_000),
            [(spaced, "c".to_owned())],
            "{case}"
        );
        assert_eq!(say(&mut bench, &mut tag, "d"), ["d"], "{case}");
    }
}

#[test]
fn an_interval_counts_from_the_notify_sent_last_and_ends_with_its_rule() {
    let (mut bench, mut tag, _) = watching("");
    notify_like(&mut bench, "interval=\"60\"", "");
    assert!(
        say(&mut bench, &mut tag, "b").is_empty(),
        "6 s after the first"
    );
    assert_eq!(told(&mut bench, 60_000), [(54_000, "b".to_owned())]);
    say(&mut bench, &mut tag, "c");
    bench.wait(10_000);
    let freed = notify_like(&mut bench, "", "");
    assert_eq!(freed.iter().map(note).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn only_what_the_presentity_wants_told_is_told_and_then_all_of_it() {
    let (mut bench, mut tag, _) = watching("");
    let trigger = "<trigger><element name=\"basic\"/></trigger>";
    assert!(notify_like(&mut bench, "", trigger).is_empty());
    assert!(say(&mut bench, &mut tag, "b").is_empty());
    assert!(told(&mut bench, 10_000).is_empty());
    let closed = pidf("b").replace("open", "closed");
    let head = format!(
        "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\nSIP-If-Match: {tag}\r\n"
    );
    let sent = bench.ask("PUBLISH", BOB, &head, &closed);
    assert!(
        sent[1].body().contains("closed") && note(&sent[1]) == "b",
        "{sent:?}"
    );
}

#[test]
fn one_watcher_is_told_of_some_changes_and_another_of_every_change() {
    let (mut bench, mut tag, _) = watching("");
    let trigger = "<trigger><element name=\"basic\"/></trigger>";
    notify_like(&mut bench, "", trigger); // for Alice
    let head = "Event: presence\r\nP-Asserted-Identity: <sip:carol@ims.test>\r\nContact: <sip:10.0.0.3:5060>\r\n\
                From: <sip:carol@ims.test>;tag=c\r\n";
    let carol = bench.ask("SUBSCRIBE", BOB, head, "");
    bench.answer(&carol[1], 200, "");
    bench.wait(6_000);
    assert_eq!(say(&mut bench, &mut tag, "b"), ["b"], "one NOTIFY");
    let told = bench.sent(true);
    assert!(
        told.iter()
            .all(|s| s.method() != "NOTIFY" || s.text.contains("10.0.0.3"))
    );
}

#[test]
fn a_change_of_right_waits_for_no_trigger_no_interval_and_no_quiet_hours() {
    let (mut bench, _, _) = watching("");
    let quiet =
        "<trigger><element name=\"basic\"/></trigger><quiet from=\"00:00\" until=\"00:00\"/>";
    notify_like(&mut bench, "interval=\"86400\"", quiet);
    let less = bench.put_rules(
        BOB,
        &format!(
            "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\">\
             <rule id=\"r\"><actions><pr:sub-handling>allow</pr:sub-handling><notification xmlns=\"{OMA_RULES}\" \
             interval=\"86400\">{quiet}</notification></actions><transformations><pr:provide-services>\
             <pr:all-services/></pr:provide-services></transformations></rule></ruleset>"
        ),
    );
    assert_eq!(
        (less.len(), note(&less[0]).as_str()),
        (1, ""),
        "fewer elements: {less:?}"
    );
    bench.answer(&less[0], 200, "");
    let polite = bench.rules("polite-block", "");
    assert!(polite[0].body().contains("closed"), "a neutral document");
    bench.answer(&polite[0], 200, "");
    let pending = bench.rules("confirm", "");
    assert!(state(&pending[0]).starts_with("pending"));
    bench.answer(&pending[0], 200, "");
    let ended = bench.rules("block", "");
    assert_eq!(state(&ended[0]), "terminated;reason=rejected");
}

#[test]
fn quiet_hours_hold_state_back_until_they_end_also_over_a_restart() {
    let at = |text: &str| u64::try_from(datetime::parse(text).unwrap()).unwrap();
    let mut bench = Bench::new(settings());
    bench.now = at("2026-11-23T21:59:00Z");
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let night = "<quiet from=\"22:00\" until=\"22:30\"/>";
    notify_like(&mut bench, "", night);
    let open = watch(&mut bench, ";min-rate=0.01", "Expires: 7200\r\n");
    bench.answer(&open[1], 200, "");
    bench.wait(30_000);
    assert_eq!(say(&mut bench, &mut tag, "b"), ["b"], "before");
    bench.now = at("2026-11-23T22:05:00Z");
    assert!(say(&mut bench, &mut tag, "c").is_empty());
    assert!(told(&mut bench, 600_000).is_empty(), "not even repeated");
    bench.restart(1_000);
    assert!(told(&mut bench, 60_000).is_empty(), "nor after a restart");
    let refreshed = refresh(&mut bench, &open[0], "", "Expires: 7200\r\n");
    assert_eq!(note(&refreshed[1]), "c", "the answer to a SUBSCRIBE");
    bench.answer(&refreshed[1], 200, "");
    assert!(say(&mut bench, &mut tag, "d").is_empty());
    let begin = bench.now;
    let late = told(&mut bench, 1_800_000);
    assert_eq!(late, [(at("2026-11-23T22:30:00Z") - begin, "d".to_owned())]);
    assert!(bench.store.keys().all(|(table, _)| *table != Table::Held));
}

#[test]
fn what_waits_long_does_not_make_a_restart_tell_others_again() {
    let mut bench = Bench::new(settings());
    let mut tag = String::new();
    say(&mut bench, &mut tag, "a");
    let slow = watch(&mut bench, ";max-rate=0.001", "Expires: 7200\r\n");
    bench.answer(&slow[1], 200, "");
    say(&mut bench, &mut tag, "b");
    assert!(bench.store.keys().any(|(table, _)| *table == Table::Held));
    bench.wait(10_000);
    let prompt = watch(&mut bench, "", "Expires: 7200\r\n");
    bench.wait(1);
    bench.answer(&prompt[1], 200, "");
    bench.wait(10_000);
    let recovery = bench.restart(1_000);
    assert_eq!(
        recovery.owed, 1,
        "the one who waits, and not the one who knows"
    );
    let notes: Vec<String> = told(&mut bench, 10_000)
        .into_iter()
        .map(|(_, note)| note)
        .collect();
    assert_eq!(notes, ["b"]);
    assert!(bench.store.keys().all(|(table, _)| *table != Table::Held));
}
