//! Charges that last as long as a subscription, and the death of their process.

use super::*;

const SESSIONS: &str = "[online.sessions]\nquota = 3\nlag_ms = 20";

/// What the node keeps of a subscription with a session.
fn live(number: u64) -> Op {
    Op::Put {
        table: Table::CreditSession,
        key: number.to_be_bytes().into(),
        value: number.to_be_bytes().to_vec().into(),
    }
}

fn gone(number: u64) -> Batch {
    let mut batch = Batch::default();
    batch.ops.push(Op::Delete {
        table: Table::CreditSession,
        key: number.to_be_bytes().into(),
    });
    batch
}

impl Process {
    /// A subscription is granted, given, and said to have begun.
    async fn subscribe(&mut self, number: u64) {
        let asked = Request {
            lasting: true,
            ..request(number)
        };
        self.online.ask(asked);
        let answer = self.answer(number).await;
        assert_eq!(answer.verdict, Verdict::Granted);
        let mut batch = Batch::default();
        batch.ops.push(live(number));
        self.give_with(number, answer.settled, batch).await;
        self.online.used(number, 0);
    }

    /// kill -9.
    fn dies(self) {
        let Process {
            online, committer, ..
        } = self;
        drop((online, committer));
    }
}

/// Type, number, units used, and T of each request.
fn reports(ocs: &Ocs) -> Vec<(i64, i64, i64, bool)> {
    let of = |ccr: &Value| {
        let avps = &ccr["avps"];
        let number = |name: &str| avps[name][0].as_i64().unwrap_or(-1);
        let service = &avps["Multiple-Services-Credit-Control"][0];
        let used = service["Used-Service-Unit"][0]["CC-Service-Specific-Units"][0].as_i64();
        let (kind, place) = (number("CC-Request-Type"), number("CC-Request-Number"));
        (kind, place, used.unwrap_or(0), ccr["t"] == true)
    };
    ocs.asked().iter().map(of).collect()
}

async fn until_asked(ocs: &Ocs, count: usize) -> Vec<(i64, i64, i64, bool)> {
    let come = || Some(reports(ocs)).filter(|all| all.len() >= count);
    until(come, &format!("{count} requests")).await
}

#[test]
fn a_session_is_asked_for_more_as_units_are_used_and_told_the_rest_at_its_end() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 20).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, SESSIONS);
        process.until_up().await;
        process.subscribe(7).await;
        let open = "presentia_held{kind=\"credit_sessions\"} 1";
        assert!(process.metrics.encode().contains(open));
        for units in [1, 2, 1] {
            process.online.used(7, units);
            let asked = if units == 1 { 1 } else { 2 };
            until_asked(&ocs, asked).await;
        }
        process.online.ended(7, true);
        let asked = until_asked(&ocs, 3).await;
        let expected = [(1, 0, 0, false), (2, 1, 3, false), (3, 2, 1, false)];
        assert_eq!(asked, expected);
        until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
        assert_eq!(ocs.balance().await, 16);
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_subscription_that_is_the_unit_costs_one() {
    for (survives, left) in [(true, 4), (false, 4)] {
        run(async {
            let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
            let sessions = "[online.sessions]\nunit = 'subscription'";
            let mut dies = process(&ocs.address, &disk, sessions);
            dies.until_up().await;
            dies.subscribe(7).await;
            for _ in 0..9 {
                dies.online.used(7, 1); // NOTIFYs
            }
            match survives {
                true => dies.online.ended(7, true),
                false => {
                    dies.commit(gone(7)).await; // it ended, and its end was not heard
                    dies.dies();
                    let _next = process(&ocs.address, &disk, sessions);
                    until(|| (owed(&disk) == 0).then_some(()), "settled").await;
                }
            }
            until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
            assert_eq!(ocs.balance().await, left, "survives: {survives}");
        });
    }
}

#[test]
fn a_session_outlives_its_process_and_ends_with_its_subscription() {
    for (case, ends, expected) in [
        ("it goes on", false, (2, 1, 2, false)),
        ("it is over", true, (3, 1, 2, true)),
    ] {
        run(async {
            let (ocs, disk) = (Ocs::start(&[], 20).await, Memory::new().disk());
            let mut dies = process(&ocs.address, &disk, SESSIONS);
            dies.until_up().await;
            dies.subscribe(7).await;
            dies.online.used(7, 2);
            let stored = || {
                let reader = Memory::open(disk.clone()).reader();
                let (_, value) = reader.scan(Table::Credit, &[0], 1).unwrap().pop()?;
                let record::Left::Owed(kept) = record::read(&value)?.0 else {
                    return None;
                };
                let open = matches!(kept.owed, diameter::credit::Owed::Open { used: 2, .. });
                open.then_some(())
            };
            until(stored, "the store knows what was used").await;
            if ends {
                dies.commit(gone(7)).await;
            }
            dies.dies();
            let next = process(&ocs.address, &disk, SESSIONS);
            let asked = until_asked(&ocs, 2).await;
            assert_eq!(asked[1], expected, "{case}");
            if !ends {
                next.online.ended(7, true);
                assert_eq!(until_asked(&ocs, 3).await[2], (3, 2, 0, false), "{case}");
            }
            until(|| (owed(&disk) == 0).then_some(()), case).await;
            assert_eq!(ocs.balance().await, 18, "{case}");
        });
    }
}

#[test]
fn a_subscription_that_goes_on_without_its_session_has_to_end() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 20).await, Memory::new().disk());
        let first = process(&ocs.address, &disk, SESSIONS);
        let mut batch = Batch::default();
        batch.ops.push(live(7));
        first.commit(batch).await;
        first.dies();
        let mut next = process(&ocs.address, &disk, SESSIONS);
        let word = next.word(7).await;
        assert!(
            matches!(word, Word::Withdrawn(Withdrawal::Unavailable)),
            "{word:?}"
        );
    });
}

#[test]
fn an_ocs_that_refuses_or_ends_a_session_withdraws_it() {
    for (rule, command, expected) in [
        ("UPDATE=4012", "rar", Withdrawal::Spent),
        ("UPDATE=5030", "rar", Withdrawal::Refused),
        ("UPDATE=5031", "rar", Withdrawal::Unavailable),
        ("UPDATE=default", "asr", Withdrawal::Refused),
    ] {
        run(async {
            let (ocs, disk) = (Ocs::start(&[rule], 20).await, Memory::new().disk());
            let mut process = process(&ocs.address, &disk, SESSIONS);
            process.until_up().await;
            process.subscribe(7).await;
            ocs.commands.send(command.to_owned()).await.unwrap();
            let word = process.word(7).await;
            let Word::Withdrawn(why) = word else {
                panic!("{rule}: {word:?}");
            };
            assert_eq!(why, expected, "{rule}");
            until(|| (owed(&disk) == 0).then_some(()), rule).await;
        });
    }
}

#[test]
fn sessions_are_bounded() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 20).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "[online.sessions]\nmax = 1");
        process.until_up().await;
        process.subscribe(7).await;
        let second = Request {
            lasting: true,
            ..request(8)
        };
        process.online.ask(second);
        assert_eq!(process.answer(8).await.verdict, Verdict::Unavailable);
        process.online.ended(8, false);
        process.online.ended(7, true);
        until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
        process.subscribe(9).await;
    });
}

/// The OCS has forgotten the session, and the process dies before the next one is granted: the one after it opens it.
#[test]
fn a_session_that_is_opened_again_outlives_its_process() {
    run(async {
        let rules = ["UPDATE=5002,default", "INITIAL=2001,silent,default"];
        let (ocs, disk) = (Ocs::start(&rules, 20).await, Memory::new().disk());
        let mut dies = process(&ocs.address, &disk, SESSIONS);
        dies.until_up().await;
        dies.subscribe(7).await;
        dies.online.used(7, 3);
        let asked = until_asked(&ocs, 3).await;
        let opened = [(1, 0, 0, false), (2, 1, 3, false), (1, 0, 0, false)];
        assert_eq!(asked, opened);
        let of = |place: usize| {
            let ccr = &ocs.asked()[place];
            ccr["avps"]["Session-Id"][0].as_str().unwrap().to_owned()
        };
        assert_eq!(of(2), format!("{};1", of(0)));
        dies.dies();
        let next = process(&ocs.address, &disk, SESSIONS);
        let asked = until_asked(&ocs, 4).await;
        // whether the silent one was opened is found out by a report to it
        assert_eq!((asked[3], of(3)), ((2, 1, 3, false), of(2)));
        next.online.ended(7, true);
        until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
        next.charging.shutdown(Duration::from_secs(1)).await;
    });
}

/// What a subscription may use is said before it begins, when it changes, and first of all after a start.
#[test]
fn a_subscription_is_told_how_much_it_may_use() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 20).await, Memory::new().disk());
        let mut dies = process(&ocs.address, &disk, SESSIONS);
        dies.until_up().await;
        let asked = Request {
            lasting: true,
            ..request(7)
        };
        dies.online.ask(asked);
        let said = dies.any_word(7).await;
        assert!(matches!(said, Word::Allowed(Some(3))), "{said:?}");
        let answer = dies.answer(7).await;
        let mut batch = Batch::default();
        batch.ops.push(live(7));
        dies.give_with(7, answer.settled, batch).await;
        dies.online.used(7, 0);
        dies.online.used(7, 3);
        let said = dies.any_word(7).await;
        assert!(matches!(said, Word::Allowed(Some(6))), "{said:?}");
        dies.online.used(7, 1);
        let stored = || {
            let reader = Memory::open(disk.clone()).reader();
            let (_, value) = reader.scan(Table::Credit, &[0], 1).unwrap().pop()?;
            let record::Left::Owed(kept) = record::read(&value)?.0 else {
                return None;
            };
            let open = matches!(kept.owed, diameter::credit::Owed::Open { used: 1, .. });
            open.then_some(())
        };
        until(stored, "the store knows what was used").await;
        dies.dies();
        let mut next = process(&ocs.address, &disk, SESSIONS);
        let said = next.any_word(7).await;
        assert!(
            matches!(said, Word::Allowed(Some(2))),
            "the rest of the grant: {said:?}"
        );
        next.online.ended(7, true);
        until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
        next.charging.shutdown(Duration::from_secs(1)).await;
    });
}
