//! What a service that lasts may use, and its session when it is lost, forgotten or never was.

use super::*;

#[test]
fn a_subscription_has_its_session_as_long_as_it_lasts() {
    check_lasting(
        &[STRICT, CONTINUE, RETRY],
        &[
            ("used used failed", "T1:2", false),
            (
                "rar one used one failed 2001",
                "reply 2002, U1:0, up to 1, U2:1, up to 2, T3:0",
                true,
            ),
            // free from here on, and there all the same
            ("used rar 4011 used failed", "reply 2002, U1:1", true),
            (
                "rar s4011 used failed due 2001",
                "reply 2002, U1:0, T2:0",
                true,
            ),
            (
                "rar s4011 rar one used",
                "reply 2002, U1:0, reply 2002, U2:0, up to 1, U3:1",
                false,
            ),
        ],
    );
    check_lasting(
        &[CONTINUE],
        &[
            // what no session has counted is for the operator
            (
                "used rar 5031 used failed",
                "reply 2002, U1:1, unsettled, unsettled",
                true,
            ),
            // the server comes back to a session that was given up
            (
                "rar unsent used rar one",
                "reply 2002, U1:0, reply 2002, U2:1, up to 2",
                false,
            ),
            (
                "used rar lost rar",
                "reply 2002, U1:1, reply 2002, U1:1 T",
                false,
            ),
        ],
    );
    check_lasting(
        &[STRICT, RETRY],
        &[(
            "used rar 5031",
            "reply 2002, U1:1, withdrawn Denied(Unavailable), unsettled",
            true,
        )],
    );
}

#[test]
fn a_service_is_told_how_much_it_may_use_until_an_answer_or_the_failure_handling_says_more() {
    check_lasting(
        &[STRICT, CONTINUE, RETRY],
        &[
            // what is used while more is asked for is of the next grant
            (
                "rar ten used used rar ten used",
                "reply 2002, U1:0, up to 10, reply 2002, U2:2, up to 12",
                false,
            ),
            (
                "rar one used ten used",
                "reply 2002, U1:0, up to 1, U2:1, up to 11",
                false,
            ),
            // the end is told in other words
            (
                "rar one used 4012",
                "reply 2002, U1:0, up to 1, U2:1, withdrawn Denied(NoCredit)",
                true,
            ),
            (
                "rar one used 4011",
                "reply 2002, U1:0, up to 1, U2:1, any",
                false,
            ),
            // it ends while more is asked for
            (
                "rar one used failed ten 2001",
                "reply 2002, U1:0, up to 1, U2:1, T3:0",
                true,
            ),
        ],
    );
    let asked = "reply 2002, U1:0, up to 1, U2:1";
    for (handling, script, told) in [
        // Tx: the wait is over, one way or the other
        (STRICT, "tx", "withdrawn Denied(Unavailable)"),
        (CONTINUE, "tx ten", "any, up to 11"),
        (RETRY, "tx ten", "any, up to 11"),
        // no server
        (STRICT, "unsent", "withdrawn Denied(Unavailable), T3:1"),
        (RETRY, "lost", "withdrawn Denied(Unavailable)"),
        (CONTINUE, "lost", "any"),
        (CONTINUE, "5031", "any"),
    ] {
        let expected = match (handling, script) {
            (STRICT, "unsent") => format!("{asked}, withdrawn Denied(Unavailable)"),
            _ => format!("{asked}, {told}"),
        };
        let mut world = World::begin(handling, false, true);
        world.play("2001 begun").done.clear();
        world.play("rar one used").play(script);
        let all = world.done.join(", ");
        assert!(all.starts_with(&expected), "{handling:?} {script}: {all}");
    }
}

#[test]
fn more_is_asked_for_before_the_grant_is_used_up() {
    check_lasting(
        &[STRICT, CONTINUE, RETRY],
        &[
            // fewer than three left: the rest is used meanwhile
            (
                "rar ten-3 used used used used used used used used used",
                "reply 2002, U1:0, up to 10, U2:8",
                false,
            ),
            // a threshold above the grant
            (
                "rar one-9 used one-9 used one-9",
                "reply 2002, U1:0, up to 1, U2:1, up to 2, U3:1, up to 3",
                false,
            ),
        ],
    );
    for (early, asked_at) in [(0, 10), (20, 9), (50, 6), (100, 1)] {
        let mut world = World::begin(STRICT, false, true);
        world.policy.early = early;
        world.play("ten begun").done.clear();
        let at = (1..=10).find(|_| !world.play("used").done.is_empty());
        assert_eq!(at, Some(asked_at), "{early} %");
    }
}

#[test]
fn a_session_that_its_server_has_forgotten_is_opened_again_once() {
    check_lasting(
        &[STRICT, CONTINUE, RETRY],
        &[
            // what the server did not count is reported to the next session
            (
                "used rar 5002 ten rar ten",
                "reply 2002, U1:1, anew, I0, up to 10, reply 2002, U1:1, up to 11",
                false,
            ),
            // nothing of the lost grant is used while it is asked for
            (
                "rar ten used rar 5002 one",
                "reply 2002, U1:0, up to 10, reply 2002, U2:1, up to 0, anew, I0, up to 1, U1:1",
                false,
            ),
            // refused: it ends, and nobody takes what was used
            (
                "used rar 5002 4012",
                "reply 2002, U1:1, anew, I0, withdrawn Denied(NoCredit), unsettled",
                true,
            ),
            // the subscription ends meanwhile
            (
                "used rar 5002 failed ten 2001",
                "reply 2002, U1:1, anew, I0, T1:1",
                true,
            ),
            // a report was taken: it may be forgotten again
            (
                "rar 5002 ten rar ten rar 5002 ten",
                "reply 2002, U1:0, anew, I0, up to 10, reply 2002, U1:0, reply 2002, U2:0, \
                 up to 0, anew, I0, up to 10",
                false,
            ),
        ],
    );
    // one that is forgotten at once
    check_lasting(
        &[STRICT, RETRY],
        &[
            (
                "rar 5002 ten rar 5002",
                "reply 2002, U1:0, anew, I0, up to 10, reply 2002, U1:0, \
                 withdrawn Denied(Unavailable)",
                true,
            ),
            (
                "rar 5002 unsent",
                "reply 2002, U1:0, anew, I0, withdrawn Denied(Unavailable)",
                true,
            ),
        ],
    );
    check_lasting(
        &[CONTINUE],
        &[(
            "rar 5002 ten rar 5002",
            "reply 2002, U1:0, anew, I0, up to 10, reply 2002, U1:0, any",
            false,
        )],
    );
    // one that does not last
    check(
        &[STRICT],
        false,
        &[(
            "2001 rar 5002",
            "Granted, reply 2002, U1:0, withdrawn Denied(Unavailable)",
            true,
        )],
    );
}

#[test]
fn a_service_that_goes_on_without_a_session_asks_for_one_again_and_reports_what_it_used() {
    check_lasting(
        &[CONTINUE],
        &[
            // no session
            (
                "rar 5031 used due ten used rar ten",
                "reply 2002, U1:0, anew, I0, up to 10, reply 2002, U1:2, up to 12",
                false,
            ),
            (
                "rar 5031 due unsent due 5031 due",
                "reply 2002, U1:0, anew, I0, anew, I0, anew, I0",
                false,
            ),
            (
                "rar 5031 used due 4012",
                "reply 2002, U1:0, anew, I0, withdrawn Denied(NoCredit), unsettled",
                true,
            ),
            (
                "rar 5031 due failed ten 2001",
                "reply 2002, U1:0, anew, I0, T1:0",
                true,
            ),
            // one may be open: it is asked for first; what it may have counted is not reported to another
            (
                "used rar lost used due ten",
                "reply 2002, U1:1, U1:1 T, up to 11",
                false,
            ),
            (
                "used rar lost used due 5002 ten",
                "reply 2002, U1:1, U1:1 T, unsettled, anew, I0, up to 11",
                false,
            ),
            (
                "rar unsent due unsent due",
                "reply 2002, U1:0, U2:0, U3:0",
                false,
            ),
        ],
    );
    // what is free is not asked for, and neither is where it is switched off
    let mut free = World::begin(CONTINUE, false, true);
    free.play("2001 begun rar 4011");
    assert_eq!(free.session.deadline(), None);
    let mut off = World::begin(CONTINUE, false, true);
    off.policy.again = 0;
    off.play("2001 begun rar unsent");
    assert_eq!(off.session.deadline(), None);
}
