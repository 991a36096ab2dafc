//! Quota-Holding-Time, and why each report is made.

use super::*;
use crate::credit::Terms;

#[test]
fn units_that_lie_unused_are_given_back_and_asked_for_when_they_are_wanted() {
    check_lasting(
        &[STRICT, CONTINUE, RETRY],
        &[
            // nothing is asked for, and not one more is used; then it is
            (
                "rar held used due 2001 wanted ten used",
                "reply 2002, U1:0, up to 10, up to 1, U2:1 back, U3, up to 11",
                false,
            ),
            // an OCS that says so in other words
            (
                "rar held used due nothing wanted ten",
                "reply 2002, U1:0, up to 10, up to 1, U2:1 back, U3, up to 11",
                false,
            ),
            // it grants all the same
            (
                "rar held used due held due 2001",
                "reply 2002, U1:0, up to 10, up to 1, U2:1 back, up to 11, up to 1, U3:0 back",
                false,
            ),
            // one is wanted while they are given back, or one was under way
            (
                "rar held used due wanted 2001 ten",
                "reply 2002, U1:0, up to 10, up to 1, U2:1 back, U3, up to 11",
                false,
            ),
            (
                "rar held used due used 2001 ten",
                "reply 2002, U1:0, up to 10, up to 1, U2:1 back, U3:1, up to 12",
                false,
            ),
            // what is wanted otherwise is asked for anyway
            ("rar ten wanted", "reply 2002, U1:0, up to 10", false),
            // the OCS asks, and the end
            (
                "rar held used due 2001 rar ten",
                "reply 2002, U1:0, up to 10, up to 1, U2:1 back, reply 2002, U3, up to 11",
                false,
            ),
            (
                "rar held due 2001 failed 2001",
                "reply 2002, U1:0, up to 10, up to 0, U2:0 back, T3:0",
                true,
            ),
            (
                "rar held due 2001 wanted 4012",
                "reply 2002, U1:0, up to 10, up to 0, U2:0 back, U3, withdrawn Denied(NoCredit)",
                true,
            ),
        ],
    );
}

#[test]
fn the_time_runs_from_the_last_use_and_a_time_of_zero_is_none() {
    let mut world = World::begin(STRICT, false, true);
    world.play("2001 begun rar held");
    let begun = world.now;
    assert_eq!(world.session.deadline(), Some(begun.after(30_000)));
    world.now = begun.after(20_000);
    world.play("used");
    assert_eq!(world.session.deadline(), Some(begun.after(50_000)));
    for (named, usual, deadline) in [
        (None, Some(0), None),
        (None, Some(5_000), Some(5_000)),
        (Some(0), Some(5_000), None),
        (Some(9), Some(5_000), Some(9_000)),
        (Some(9), None, None),
    ] {
        let mut world = World::begin(STRICT, false, true);
        world.policy.holding = usual;
        let mut out = Vec::new();
        let told = Told {
            session_open: true,
            granted: Some(10),
            holding: named,
            ..Told::plain(Verdict::Granted)
        };
        let answered = Input::Answered(told);
        world
            .session
            .handle(world.now, answered, &world.policy, &mut out);
        let expected = deadline.map(|ms| world.now.after(ms));
        assert_eq!(world.session.deadline(), expected, "{named:?} {usual:?}");
    }
}

#[test]
fn each_report_says_why() {
    use Reason::*;
    for (script, reason) in [
        ("rar", Some(ForcedReauthorisation)),
        ("minute rar one used", Some(QuotaExhausted)),
        (
            "rar ten-3 used used used used used used used used",
            Some(Threshold),
        ),
        ("rar minute due", Some(ValidityTime)),
        ("rar held due", Some(HoldingTime)),
        ("used failed", Some(Final)),
        ("rar last used", Some(Final)),
        ("asr", Some(Final)),
        // nothing is reported
        ("rar held due 2001 wanted", None),
        ("rar held due 2001 due", None),
    ] {
        let mut world = World::begin(STRICT, false, true);
        world.play("2001 begun");
        if script.ends_with("due 2001 due") {
            world.play("rar held due minute due");
        } else {
            world.play(script);
        }
        let asked = world.session.asked.expect("a question is under way");
        assert_eq!(asked.reason, reason, "{script}");
    }
    let mut pooled = World::begin(STRICT, false, true);
    pooled.play("2001 begun rar one");
    pooled.session.pooled = true;
    pooled.play("used");
    assert_eq!(pooled.session.asked.unwrap().reason, Some(PoolExhausted));
}

#[test]
fn what_is_sent_again_after_a_kill_says_the_same() {
    for script in [
        "rar",
        "rar held used due",
        "rar one used",
        "rar minute due",
        "failed",
    ] {
        let mut world = World::begin(STRICT, false, true);
        world.play("2001 begun").play(script);
        let asked = world.session.asked.unwrap();
        let (owed, terms) = (world.session.owed(), world.session.terms());
        let mut session = Session::resume(owed, terms, Instant(5), &world.policy).unwrap();
        assert_eq!(session.terms(), terms);
        let mut out = Vec::new();
        session.handle(Instant(5), Input::Tick, &world.policy, &mut out);
        let again = Question {
            retransmitted: true,
            ..asked
        };
        assert_eq!(out.first(), Some(&Output::Ask(again)), "{script}");
    }
    assert_eq!(Terms::default().reason, None);
}

#[test]
fn units_of_another_kind_end_the_session_with_bad_answer() {
    for handling in [STRICT, CONTINUE, RETRY] {
        let mut first = World::start(handling, false);
        first.play("octets");
        assert_eq!(first.done.join(", "), "I0, Denied(Unavailable), T1:0");
        let cause = first.session.asked.unwrap().cause;
        assert_eq!(cause, Some(TerminationCause::BadAnswer));
        let mut later = World::begin(handling, false, true);
        later.play("2001 begun used rar octets").play("2001");
        let told = "I0, Granted, reply 2002, U1:1, withdrawn Denied(Unavailable), T2:0";
        assert_eq!(later.done.join(", "), told);
        assert!(later.session.is_done());
    }
}
