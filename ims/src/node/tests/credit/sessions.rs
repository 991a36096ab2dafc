//! Subscriptions that have credit for as long as they last.

use super::*;
use crate::charge::credit::Withdrawal;
use crate::event::farewell::Farewell;
use crate::event::subscription::End as Why;

const LATER: Parting = Parting::Probation {
    retry_after: Seconds(300),
};

pub(super) fn lasting() -> Online {
    Online {
        publish: false,
        register: false,
        lasting: true,
        parting: LATER,
        ..online()
    }
}

/// What the store is to know of a session.
pub(super) fn session() -> Settled {
    Settled::Owed(vec![1])
}

/// Alice watches bob, with credit: the 200, the first NOTIFY, the number of the charge.
pub(super) fn watched(bench: &mut Bench) -> (Sent, Sent, u64) {
    assert!(bench.subscribe("Expires: 600\r\n").is_empty());
    let asked = bench.asked().remove(0);
    assert!(asked.lasting);
    let sent = bench.credit(asked.number, Verdict::Granted, session());
    assert!(matches!(sent[0].status(), 200 | 202), "{}", sent[0].text);
    assert_eq!(sent[1].method(), "NOTIFY");
    (sent[0].clone(), sent[1].clone(), asked.number)
}

impl Bench {
    pub(super) fn allow(&mut self, number: u64, units: Option<u64>) -> Vec<Sent> {
        self.feed(Input::CreditAllowed { number, units })
    }

    pub(super) fn withdraw(&mut self, number: u64) -> Vec<Sent> {
        let why = Withdrawal::Spent;
        self.feed(Input::CreditWithdrawn { number, why })
    }

    /// Sessions that the store knows.
    pub(super) fn sessions(&self) -> usize {
        let mut tables = self.store.keys().map(|(table, _)| *table);
        tables
            .by_ref()
            .filter(|t| *t == Table::CreditSession)
            .count()
    }
}

#[test]
fn a_subscription_is_asked_for_once_and_says_what_it_uses_until_it_ends() {
    type End = fn(&mut Bench, &Sent) -> Vec<Sent>;
    let ends: [(&str, End); 6] = [
        ("the watcher ends it", |bench, opened| {
            let sent = bench.renew(opened, "Expires: 0\r\n");
            bench.answer(&sent[1], 200, "")
        }),
        ("it expires", |bench, _| {
            let sent = bench.wait(601_000);
            bench.answer(&sent[0], 200, "")
        }),
        ("the watcher has gone", |bench, _| {
            let sent = bench.publish_later("gone");
            bench.answer(&sent, 481, "")
        }),
        ("the watcher does not answer", |bench, _| {
            bench.publish_later("silent");
            bench.wait(33_000)
        }),
        ("the presentity wants it no more", |bench, _| {
            let sent = bench.rules("block", "");
            bench.answer(&sent[0], 200, "")
        }),
        ("the node leaves", |bench, _| {
            bench.node.drain(Timestamp(bench.now));
            let sent = bench.wait(20);
            bench.answer(&sent[0], 200, "")
        }),
    ];
    for (case, end) in ends {
        let farewell = Some(Farewell {
            end: Why::Deactivated,
            over: Millis(10),
        });
        let mut bench = Bench::new(Settings {
            online: lasting(),
            farewell,
            ..settings()
        });
        let names = &mut Vec::new();
        let (opened, first, _) = watched(&mut bench);
        bench.answer(&first, 200, "");
        assert_eq!(
            bench.credit_talk(names),
            ["0 asks lasting SUBSCRIBE", "0 used 0", "0 used 1"],
            "{case}"
        );
        let refreshed = bench.renew(&opened, "Expires: 600\r\n");
        assert_eq!(
            refreshed[0].status(),
            200,
            "{case}: a refresh does not wait"
        );
        bench.answer(&refreshed[1], 200, "");
        assert_eq!(bench.credit_talk(names), ["0 used 1"], "{case}");
        assert_eq!(bench.sessions(), 1);
        end(&mut bench, &opened);
        let talk = bench.credit_talk(names);
        let (last, used) = talk.split_last().unwrap();
        assert_eq!(last, "0 ended", "{case}");
        assert!(
            used.iter().all(|said| said == "0 used 1"),
            "{case}: {used:?}"
        );
        assert_eq!(bench.sessions(), 0, "{case}");
        bench.wait(700_000);
        assert!(
            bench.credit_talk(names).is_empty(),
            "{case}: it is over once"
        );
    }
}

impl Bench {
    /// A change that is told at once.
    pub(super) fn publish_later(&mut self, note: &str) -> Sent {
        self.wait(6_000);
        let head = format!(
            "Event: presence\r\nP-Asserted-Identity: <{BOB}>\r\nContent-Type: application/pidf+xml\r\n"
        );
        self.ask("PUBLISH", BOB, &head, &pidf(note)).remove(1)
    }
}

#[test]
fn without_credit_a_subscription_of_any_package_ends_and_may_begin_again() {
    for (parting, state) in [
        (LATER, "terminated;reason=probation;retry-after=300"),
        (Parting::Deactivated, "terminated;reason=deactivated"),
    ] {
        for (case, subscribe) in packages() {
            let mut bench = bench(Online {
                parting,
                ..lasting()
            });
            let names = &mut Vec::new();
            assert!(subscribe(&mut bench).is_empty(), "{case}");
            let number = bench.asked()[0].number;
            let sent = bench.credit(number, Verdict::Granted, session());
            bench.answer(&sent[1], 200, "");
            let last = bench.withdraw(number);
            assert_eq!(last.len(), 1, "{case}");
            assert_eq!(last[0].get("Subscription-State"), state, "{case}");
            assert_eq!(last[0].body(), "", "{case}: no state");
            assert_eq!(bench.sessions(), 1, "{case}: until it is answered");
            assert!(bench.withdraw(number).is_empty(), "{case}: said again");
            bench.answer(&last[0], 200, "");
            let talk = bench.credit_talk(names);
            let expected = [
                "0 asks lasting SUBSCRIBE",
                "0 used 0",
                "0 used 1",
                "0 used 1",
                "0 ended",
            ];
            assert_eq!(talk, expected, "{case}");
            assert_eq!(bench.sessions(), 0, "{case}");
            assert!(subscribe(&mut bench).is_empty(), "{case}: it asks anew");
            assert_eq!(
                bench.credit_talk(names),
                ["1 asks lasting SUBSCRIBE"],
                "{case}"
            );
        }
    }
}

#[test]
fn a_withdrawal_that_crosses_something_else_leaves_nothing_behind() {
    // the SUBSCRIBE still waits
    let mut waits = bench(lasting());
    waits.subscribe("");
    let number = waits.asked()[0].number;
    assert_eq!(waits.withdraw(number)[0].status(), 402);
    assert_eq!(waits.ended(), [(number, false)]);
    assert!(
        waits
            .credit(number, Verdict::Granted, Settled::Nothing)
            .is_empty()
    );
    assert_eq!(
        waits.ended(),
        [(number, false)],
        "what comes late is given back"
    );

    // a NOTIFY is under way
    let mut flies = bench(lasting());
    let (_, first, number) = watched(&mut flies);
    let last = flies.withdraw(number);
    assert!(last[0].get("Subscription-State").starts_with("terminated"));
    flies.answer(&last[0], 200, "");
    assert!(
        flies.ended().is_empty(),
        "its first NOTIFY may still be taken"
    );
    flies.answer(&first, 200, "");
    let names = &mut vec![number];
    assert_eq!(
        flies.credit_talk(names),
        [
            "0 asks lasting SUBSCRIBE",
            "0 used 0",
            "0 used 1",
            "0 used 1",
            "0 ended"
        ]
    );

    // the watcher is gone, and nobody answers
    let mut alone = bench(lasting());
    let (_, _, number) = watched(&mut alone);
    alone.withdraw(number);
    alone.wait(33_000);
    assert_eq!(alone.node.census().presence.subscriptions, 0);
    assert_eq!(
        (alone.sessions(), alone.credit_talk(names).pop().unwrap()),
        (0, "0 ended".to_owned())
    );

    // it is over, or never was
    assert!(alone.withdraw(number).is_empty());
    assert_eq!(alone.ended(), [(number, true)], "whoever asks is told");
}

#[test]
fn a_pending_watcher_without_credit_is_told_and_remembered_by_nobody() {
    let mut bench = bench(lasting());
    bench.rules("confirm", "");
    let (_, first, number) = watched(&mut bench);
    assert!(first.get("Subscription-State").starts_with("pending"));
    bench.answer(&first, 200, "");
    let last = bench.withdraw(number);
    assert!(
        last[0]
            .get("Subscription-State")
            .starts_with("terminated;reason=probation")
    );
    bench.answer(&last[0], 200, "");
    assert_eq!(
        (bench.sessions(), bench.node.census().presence.subscriptions),
        (0, 0)
    );
}

#[test]
fn a_watcher_who_waits_for_a_decision_after_its_end_costs_nothing_more() {
    let mut bench = bench(lasting());
    bench.rules("confirm", "");
    let (opened, first, number) = watched(&mut bench);
    bench.answer(&first, 200, "");
    let sent = bench.renew(&opened, "Expires: 0\r\n");
    bench.answer(&sent[1], 200, "");
    assert_eq!(bench.ended(), [(number, true)]);
    assert_eq!(
        bench.node.census().presence.subscriptions,
        1,
        "remembered (RFC 3857)"
    );
    assert_eq!(bench.sessions(), 0);
}

#[test]
fn a_subscribe_that_is_refused_afterwards_has_no_session() {
    let mut bench = bench(lasting());
    bench.rules("block", "");
    assert!(bench.subscribe("").is_empty());
    let number = bench.asked()[0].number;
    let sent = bench.credit(number, Verdict::Granted, Settled::Nothing);
    assert_eq!(
        (sent[0].status(), bench.ended()),
        (403, vec![(number, false)])
    );
    assert_eq!(bench.sessions(), 0);
    // one that names no dialog of ours asks, and is given back
    let head = format!("To: <{BOB}>;tag=0123456789abcdef\r\n");
    assert!(bench.subscribe(&head).is_empty());
    let number = bench.asked()[0].number;
    let sent = bench.credit(number, Verdict::Granted, Settled::Nothing);
    assert_eq!(
        (sent[0].status(), bench.ended()),
        (481, vec![(number, false)])
    );
}

#[test]
fn a_fetch_is_charged_and_has_no_session() {
    let mut bench = bench(lasting());
    assert!(bench.subscribe("Expires: 0\r\n").is_empty());
    let asked = bench.asked().remove(0);
    assert!(!asked.lasting);
    let sent = bench.credit(asked.number, Verdict::Granted, Settled::Nothing);
    assert_eq!(
        (sent[0].status(), bench.ended()),
        (200, vec![(asked.number, true)])
    );
    bench.answer(&sent[1], 200, "");
    assert!(bench.ended().is_empty());
    assert_eq!(bench.sessions(), 0);
}

#[test]
fn a_session_lives_over_a_restart_as_long_as_its_subscription() {
    let mut bench = bench(lasting());
    let (opened, first, number) = watched(&mut bench);
    bench.answer(&first, 200, "");
    let names = &mut vec![number];
    bench.credit_talk(names);
    bench.restart(1_000);
    assert!(bench.credit_talk(names).is_empty(), "it goes on");
    let refreshed = bench.renew(&opened, "");
    assert_eq!(refreshed[0].status(), 200, "and is not asked for again");
    let told = bench.allow(number, Some(1));
    bench.answer(&told[0], 200, "");
    assert_eq!(bench.credit_talk(names), ["0 used 1"]);
    let last = bench.withdraw(number);
    assert_eq!(last.len(), 1, "its number is known");
    bench.restart(1_000); // before the answer: it is told again, and costs nothing
    assert_eq!(bench.credit_talk(names), ["0 ended"]);
    assert_eq!(bench.sessions(), 0);
    let again = bench.wait(1_000);
    assert!(again[0].get("Subscription-State").starts_with("terminated"));

    let key = (Table::CreditSession, 77u64.to_be_bytes().to_vec());
    bench.store.insert(key, (number + 9).to_be_bytes().to_vec());
    bench.restart(1_000);
    assert_eq!(
        bench.credit_talk(names),
        ["1 ended"],
        "of a subscription that is not there"
    );
    assert_eq!((names[1], bench.sessions()), (number + 9, 0));
    bench.subscribe("");
    assert!(bench.asked()[0].number > number + 9, "numbers rise");
}

#[test]
fn who_is_not_charged_has_no_session() {
    for settled in [Settled::Unchanged, Settled::Nothing] {
        let mut bench = bench(lasting());
        bench.subscribe("");
        let number = bench.asked()[0].number;
        let sent = bench.credit(number, Verdict::Granted, settled);
        assert_eq!(sent[0].status(), 200);
        assert_eq!((bench.sessions(), bench.ended()), (0, vec![(number, true)]));
        assert!(bench.renew(&sent[0], "").is_empty(), "a refresh asks");
        let number = bench.asked()[0].number;
        bench.credit(number, Verdict::Granted, session());
        assert_eq!(bench.sessions(), 1, "from now on he is");
    }
}

#[test]
fn where_notifies_have_charges_of_their_own_the_session_is_of_the_subscription_alone() {
    let mut bench = bench(Online {
        notify: true,
        ..lasting()
    });
    let names = &mut Vec::new();
    bench.subscribe("");
    let number = bench.asked()[0].number;
    bench.credit(number, Verdict::Granted, session());
    let asked = [
        "0 asks lasting SUBSCRIBE",
        "1 asks NOTIFY",
        "0 used 0",
        "0 used 1",
    ];
    assert_eq!(bench.credit_talk(names), asked);
    let sent = bench.credit(names[1], Verdict::Granted, Settled::Nothing);
    bench.answer(&sent[0], 200, "");
    assert_eq!(bench.credit_talk(names), ["1 ended"]);
}
