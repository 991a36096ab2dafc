//! NOTIFYs that ask for credit, each for itself.

use super::*;

fn notifies() -> Online {
    Online {
        notify: true,
        parting: Parting::Probation {
            retry_after: Seconds(60),
        },
        waiting: 2,
        patience: Millis(5_000),
        ..Online::OFF
    }
}

impl Bench {
    /// The charging system answers the only question.
    fn decide(&mut self, verdict: Verdict) -> Vec<Sent> {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        self.credit(asked[0].number, verdict, Settled::Nothing)
    }

    /// Alice watches bob, and has taken the first NOTIFY; the pace lets the next one go at once.
    fn watches(&mut self) -> Sent {
        let opened = self.subscribe("").remove(0);
        let sent = self.decide(Verdict::Granted);
        self.answer(&sent[0], 200, "");
        self.wait(5_000);
        self.credit.clear();
        opened
    }
}

#[test]
fn a_notify_waits_for_credit_and_says_what_is_true_when_it_comes() {
    let mut bench = bench(notifies());
    let opened = bench.subscribe("");
    assert_eq!(opened.len(), 1, "the 200 does not wait");
    let asked = bench.asked().remove(0);
    let event = &asked.event;
    assert_eq!(
        (event.method, event.package.as_deref()),
        (Chargeable::Notify, Some("presence"))
    );
    assert_eq!((event.number, asked.lasting), (asked.number, false));
    assert_eq!(event.call_id, opened[0].get("Call-ID"));
    bench.publish("", "first");
    bench.publish("", "second");
    assert!(
        bench.asked().is_empty(),
        "one question, however many changes"
    );
    let sent = bench.credit(asked.number, Verdict::Granted, Settled::Nothing);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body().contains("first") && sent[0].body().contains("second"));
    let names = &mut Vec::new();
    assert_eq!(bench.credit_talk(names), ["0 asks NOTIFY"]);
    bench.answer(&sent[0], 200, "");
    assert_eq!(bench.credit_talk(names), ["0 ended"]);
    bench.publish("", "third");
    assert!(bench.asked().is_empty(), "it is paced first");
    assert!(bench.wait(5_000).is_empty());
    let sent = bench.decide(Verdict::Granted);
    assert!(sent[0].body().contains("third"));
    bench.answer(&sent[0], 200, "");
    assert_eq!(bench.credit_talk(names), ["1 asks NOTIFY", "1 ended"]);
}

#[test]
fn without_credit_the_state_is_not_told_and_the_subscription_ends() {
    for (verdict, package) in [
        (Verdict::NoCredit, 0),
        (Verdict::Refused, 1),
        (Verdict::Unavailable, 2),
        (Verdict::NoCredit, 3),
    ] {
        let (case, subscribe) = packages()[package];
        let mut bench = bench(notifies());
        bench.publish("", "secret");
        let opened = subscribe(&mut bench);
        assert_eq!((opened.len(), opened[0].status()), (1, 200), "{case}");
        // RFC 6665 §4.2.1.2: a NOTIFY follows in any case
        let sent = bench.decide(verdict);
        assert_eq!(sent.len(), 1, "{case}");
        let state = sent[0].get("Subscription-State");
        assert_eq!(
            state, "terminated;reason=probation;retry-after=60",
            "{case}"
        );
        assert_eq!(sent[0].body(), "", "{case}");
        let names = &mut Vec::new();
        assert_eq!(
            bench.credit_talk(names),
            ["0 asks NOTIFY"],
            "{case}: the last one is free"
        );
        bench.answer(&sent[0], 200, "");
        assert!(bench.credit_talk(names).is_empty(), "{case}");
        assert_eq!(bench.node.census().presence.subscriptions, 0, "{case}");
        assert_eq!(
            subscribe(&mut bench)[0].status(),
            200,
            "{case}: it may try again"
        );
    }
}

#[test]
fn a_notify_of_any_package_waits_and_one_that_fails_is_given_back() {
    for (status, word) in [
        (200, "0 ended"),
        (500, "0 back"),
        (481, "0 back"),
        (0, "0 back"),
    ] {
        for (case, subscribe) in packages() {
            let mut bench = bench(notifies());
            assert_eq!(subscribe(&mut bench).len(), 1, "{case}");
            let number = bench.asked()[0].number;
            let key = (Table::Credit, number.to_be_bytes().into());
            bench.store.insert(key, vec![1]);
            let sent = bench.decide(Verdict::Granted);
            assert_eq!(sent.len(), 1, "{case}");
            assert!(
                sent[0].get("Subscription-State").starts_with("active"),
                "{case}"
            );
            assert_eq!(bench.owed(number), Some(&vec![1]), "{case}: not known yet");
            match status {
                0 => _ = bench.wait(33_000),
                status => _ = bench.answer(&sent[0], status, ""),
            }
            let names = &mut Vec::new();
            let talk = bench.credit_talk(names);
            assert_eq!(talk[..2], ["0 asks NOTIFY", word], "{case} {status}");
            let left = (status != 200).then(|| vec![1]);
            assert_eq!(
                bench.owed(number),
                left.as_ref(),
                "{case} {status}: in the same batch"
            );
        }
    }
}

#[test]
fn what_failed_is_told_again_for_another_unit() {
    let mut bench = bench(notifies());
    bench.publish("", "state");
    bench.subscribe("");
    let sent = bench.decide(Verdict::Granted);
    bench.answer(&sent[0], 500, "Retry-After: 2\r\n");
    let names = &mut Vec::new();
    assert_eq!(bench.credit_talk(names), ["0 asks NOTIFY", "0 back"]);
    assert!(bench.wait(2_000).is_empty());
    let again = bench.decide(Verdict::Granted);
    assert!(again[0].body().contains("state"));
    bench.answer(&again[0], 200, "");
    assert_eq!(bench.credit_talk(names), ["1 asks NOTIFY", "1 ended"]);
}

#[test]
fn what_shows_nothing_asks_for_nothing() {
    let mut bench = bench(notifies());
    bench.rules("confirm", "");
    let sent = bench.subscribe("");
    assert!(sent[1].get("Subscription-State").starts_with("pending"));
    bench.answer(&sent[1], 200, "");
    let last = bench.renew(&sent[0], "Expires: 0\r\n");
    assert!(last[1].get("Subscription-State").starts_with("terminated"));
    bench.answer(&last[1], 200, "");
    bench.rules("allow", "");
    let fetched = bench.subscribe("Expires: 0\r\n");
    assert_eq!(fetched.len(), 2, "the one NOTIFY of a fetch ends it");
    assert!(bench.credit.is_empty(), "{:?}", bench.credit);
}

#[test]
fn a_polite_block_asks_like_everybody_else() {
    let mut bench = bench(notifies());
    bench.rules("polite-block", "");
    assert_eq!(bench.subscribe("").len(), 1);
    assert_eq!(bench.decide(Verdict::Granted).len(), 1);
}

#[test]
fn an_end_does_not_wait_and_the_unit_that_comes_for_it_is_given_back() {
    let mut bench = bench(notifies());
    let opened = bench.watches();
    bench.publish("", "news");
    let number = bench.asked()[0].number;
    let last = bench.renew(&opened, "Expires: 0\r\n");
    assert!(
        last[1].body().contains("news"),
        "the last NOTIFY has the state"
    );
    assert!(
        bench
            .credit(number, Verdict::Granted, Settled::Nothing)
            .is_empty()
    );
    assert_eq!(bench.ended(), [(number, false)]);
    bench.answer(&last[1], 200, "");
    assert_eq!(bench.node.census().presence.subscriptions, 0);

    let names = &mut Vec::new();
    bench.credit.clear();
    bench.watches();
    bench.publish("", "more");
    let number = bench.asked()[0].number;
    let last = bench.rules("block", "").remove(0);
    assert!(
        last.get("Subscription-State")
            .starts_with("terminated;reason=rejected")
    );
    bench.answer(&last, 200, "");
    bench.credit(number, Verdict::NoCredit, Settled::Nothing);
    assert_eq!(
        bench.credit_talk(names),
        ["0 asks NOTIFY"],
        "nobody is there to be ended"
    );
}

#[test]
fn a_question_without_an_answer_ends_in_time() {
    let mut bench = bench(notifies());
    bench.watches();
    bench.publish("", "news");
    let number = bench.asked()[0].number;
    let sent = bench.wait(5_000);
    assert!(sent[0].get("Subscription-State").starts_with("terminated"));
    assert_eq!(bench.ended(), [(number, false)]);
    bench.answer(&sent[0], 200, "");
    assert!(
        bench
            .credit(number, Verdict::Granted, Settled::Nothing)
            .is_empty()
    );
    assert_eq!(
        bench.ended(),
        [(number, false)],
        "what comes late is given back"
    );
}

#[test]
fn a_fan_out_asks_for_a_few_at_once_and_forgets_nobody() {
    let mut bench = bench(notifies());
    for _ in 0..6 {
        bench.watches();
    }
    let mut told = bench.publish_all("news");
    assert!(told.is_empty());
    let (mut questions, mut numbers) = (bench.asked(), Vec::new());
    while !questions.is_empty() {
        assert!(questions.len() <= 2);
        for question in std::mem::take(&mut questions) {
            numbers.push(question.number);
            let sent = bench.credit(question.number, Verdict::Granted, Settled::Nothing);
            assert!(bench.asked().is_empty(), "its NOTIFY is not answered yet");
            assert_eq!(sent.len(), 1);
            told.extend(sent);
        }
        for notify in &told[told.len().saturating_sub(2)..] {
            bench.answer(notify, 200, "");
            questions.extend(bench.asked());
        }
    }
    let dialogs: std::collections::BTreeSet<&str> = told.iter().map(|n| n.get("Call-ID")).collect();
    assert_eq!((dialogs.len(), told.len(), numbers.len()), (6, 6, 6));
    assert!(told.iter().all(|notify| notify.body().contains("news")));
    let names = &mut numbers;
    let ended = bench.credit_talk(names);
    assert_eq!(
        ended.iter().filter(|said| said.ends_with("ended")).count(),
        6
    );
    // requests have room of their own
    assert!(bench.asked().is_empty());
}

impl Bench {
    /// Bob publishes: what is told at once.
    fn publish_all(&mut self, note: &str) -> Vec<Sent> {
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        let mut sent = self.ask("PUBLISH", BOB, &head, &pidf(note));
        sent.remove(0);
        sent
    }
}

#[test]
fn what_waits_for_credit_is_told_after_a_restart() {
    let mut bench = bench(notifies());
    bench.watches();
    bench.publish("", "news");
    let lost = bench.asked()[0].number;
    bench.restart(1_000);
    let names = &mut vec![lost];
    bench.credit_talk(names);
    assert!(bench.wait(1_000).is_empty());
    assert_eq!(bench.credit_talk(names), ["1 asks NOTIFY"]);
    assert!(names[1] > lost, "another question");
    let sent = bench.credit(names[1], Verdict::Granted, Settled::Nothing);
    assert!(sent[0].body().contains("news"));
    assert!(
        bench
            .credit(lost, Verdict::Granted, Settled::Nothing)
            .is_empty()
    );
    assert_eq!(bench.ended(), [(lost, false)]);
}
