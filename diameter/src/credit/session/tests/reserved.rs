//! Tables 3 and 4 of RFC 8506 row by row, and what is told the server later.

use super::*;

#[test]
fn units_are_reserved_before_and_reported_after() {
    check(
        &[STRICT, CONTINUE, RETRY],
        false,
        &[
            ("", "", false),
            // PendingI, successful answer: Open. Open, service terminated: termination request
            ("2001", "Granted", false),
            ("2001 given", "Granted, T1:1", false),
            ("2001 given 2001", "Granted, T1:1", true),
            ("one given 2002", "Granted, T1:1", true),
            ("2001 failed 2001", "Granted, T1:0", true),
            ("2001 given given", "Granted, T1:1", false),
            // END_USER_SERVICE_DENIED or USER_UNKNOWN: terminate
            ("4010", "Denied(NoCredit)", true),
            ("4012", "Denied(NoCredit)", true),
            ("5030", "Denied(Refused)", true),
            // said of the service alone: the session is open and has to be ended
            ("s4012", "Denied(NoCredit), T1:0", false),
            ("s4012 2001", "Denied(NoCredit), T1:0", true),
            // CREDIT_CONTROL_NOT_APPLICABLE: grant, Idle
            ("4011", "Free", true),
            ("s4011 2001", "Free, T1:0", true),
            // User service terminated: queue
            ("failed 2001", "T1:0", false),
            ("failed 4012", "", true),
            // PendingT: a failed answer ends it
            ("2001 failed 5002", "Granted, T1:0", true),
            ("2001 given 5002", "Granted, T1:1, unsettled", true),
        ],
    );
}

#[test]
fn the_first_interrogation_fails_as_the_failure_handling_has_it() {
    let down = "Denied(Unavailable)";
    check(
        &[STRICT, RETRY],
        false,
        &[
            ("5031", down, true),
            ("unsent", down, true),
            ("4002", down, true),
            // a new session may be moved, whatever CC-Session-Failover will say
            ("3004 2001", "I0 elsewhere, Granted", false),
            ("3004 3004", "I0 elsewhere, Denied(Unavailable)", true),
            ("lost 2001", "I0 T elsewhere, Granted", false),
            // it may be open all the same: it is ended until the server has heard it
            (
                "lost lost due",
                "I0 T elsewhere, Denied(Unavailable), T1:0",
                false,
            ),
            (
                "lost lost due 5002",
                "I0 T elsewhere, Denied(Unavailable), T1:0",
                true,
            ),
        ],
    );
    check(
        &[CONTINUE],
        false,
        &[
            ("5031", "Granted", false),
            ("5031 given", "Granted, unsettled", true),
            ("unsent given", "Granted, unsettled", true),
            ("3004 3004 given", "I0 elsewhere, Granted, unsettled", true),
            (
                "lost lost given due",
                "I0 T elsewhere, Granted, T1:1",
                false,
            ),
            (
                "lost lost given due 2001",
                "I0 T elsewhere, Granted, T1:1",
                true,
            ),
        ],
    );
}

#[test]
fn the_user_waits_for_tx_and_no_longer() {
    // Tx expired, TERMINATE: terminate. A grant that comes late is given back.
    check(
        &[STRICT],
        false,
        &[
            ("tx", "Denied(Unavailable)", false),
            ("tx 2001", "Denied(Unavailable), T1:0", false),
            ("tx 2001 2001", "Denied(Unavailable), T1:0", true),
            ("tx 4012", "Denied(Unavailable)", true),
            ("tx unsent", "Denied(Unavailable)", true),
            ("tx lost due", "Denied(Unavailable), T1:0", false),
            ("tx 3004", "Denied(Unavailable)", true),
        ],
    );
    // Tx expired, CONTINUE or RETRY_AND_TERMINATE: grant, stay
    check(
        &[CONTINUE, RETRY],
        false,
        &[
            ("tx", "Granted", false),
            ("tx given 2001", "Granted, T1:1", false),
            ("tx 2001 given", "Granted, T1:1", false),
            ("tx 4012", "Granted, withdrawn Denied(NoCredit)", true),
            ("tx given 4012", "Granted, unsettled", true),
            ("tx given 4011", "Granted", true),
        ],
    );
    check(
        &[RETRY],
        false,
        &[
            ("tx 5031", "Granted, withdrawn Denied(Unavailable)", true),
            (
                "tx lost lost due",
                "Granted, I0 T elsewhere, withdrawn Denied(Unavailable), T1:0",
                false,
            ),
        ],
    );
    check(
        &[CONTINUE],
        false,
        &[("tx 5031 given", "Granted, unsettled", true)],
    );
}

#[test]
fn a_service_that_lasts_asks_again_and_ends_when_it_may_not_go_on() {
    check(
        &[STRICT, CONTINUE, RETRY],
        false,
        &[
            // Granted unit elapses: update
            ("one used", "Granted, U1:1", false),
            ("one used one used", "Granted, U1:1, U2:1", false),
            ("one used one given", "Granted, U1:1, T2:1", false),
            ("one used given one", "Granted, U1:1, T2:1", false),
            ("2001 used used given", "Granted, T1:3", false),
            // Granted unit elapses, final unit action TERMINATE
            ("last used", "Granted, withdrawn Spent, T1:1", false),
            ("last used 2001", "Granted, withdrawn Spent, T1:1", true),
            (
                "one used last used",
                "Granted, U1:1, withdrawn Spent, T2:1",
                false,
            ),
            // Validity-Time elapses: update
            ("minute due", "Granted, U1:0", false),
            ("minute used due minute due", "Granted, U1:1, U2:0", false),
            // RAR: RAA, update; in PendingU the RAA alone
            ("2001 rar", "Granted, reply 2002, U1:0", false),
            ("2001 used rar one", "Granted, reply 2002, U1:1", false),
            (
                "2001 rar rar 2001",
                "Granted, reply 2002, U1:0, reply 2001",
                false,
            ),
            ("2001 given rar", "Granted, T1:1, reply 5002", false),
            // ASR: user service terminated
            (
                "2001 asr",
                "Granted, reply 2001, withdrawn Aborted, T1:0",
                false,
            ),
            (
                "2001 used asr 2001",
                "Granted, reply 2001, withdrawn Aborted, T1:1",
                true,
            ),
            (
                "2001 rar asr 2001",
                "Granted, reply 2002, U1:0, reply 2001, withdrawn Aborted, T2:0",
                false,
            ),
            ("asr 2001", "reply 2001, Denied(NoCredit), T1:0", false),
            // PendingU: denied, or free from here on
            (
                "2001 rar 4012",
                "Granted, reply 2002, U1:0, withdrawn Denied(NoCredit)",
                true,
            ),
            (
                "2001 rar s4010",
                "Granted, reply 2002, U1:0, withdrawn Denied(NoCredit), T2:0",
                false,
            ),
            ("2001 rar 4011", "Granted, reply 2002, U1:0", true),
        ],
    );
}

#[test]
fn a_session_is_moved_only_if_its_server_said_so() {
    let ended = "Granted, reply 2002, U1:0, withdrawn Denied(Unavailable), T2:0";
    check(
        &[STRICT, RETRY],
        false,
        &[
            ("2001 rar 3004", ended, false),
            ("2001 rar unsent", ended, false),
            (
                "moving rar 3004 2001",
                "Granted, reply 2002, U1:0, U1:0 elsewhere",
                false,
            ),
            (
                "moving rar lost lost",
                "Granted, reply 2002, U1:0, U1:0 T elsewhere, withdrawn Denied(Unavailable)",
                false,
            ),
            // its own server may have counted the update: that is found out before the end is told
            (
                "2001 used rar lost due",
                "Granted, reply 2002, U1:1, withdrawn Denied(Unavailable), U1:1 T",
                false,
            ),
            (
                "2001 used rar lost due 2001 2001",
                "Granted, reply 2002, U1:1, withdrawn Denied(Unavailable), U1:1 T, T2:0",
                true,
            ),
            (
                "lenient rar 3004 given due 2001",
                "Granted, reply 2002, U1:0, T2:1",
                true,
            ),
        ],
    );
    check(
        &[CONTINUE],
        false,
        &[
            (
                "2001 rar 3004 given due",
                "Granted, reply 2002, U1:0, T2:1",
                false,
            ),
            (
                "2001 used rar 3004 given due",
                "Granted, reply 2002, U1:1, T2:2",
                false,
            ),
            (
                "2001 used rar lost given due",
                "Granted, reply 2002, U1:1, U1:1 T",
                false,
            ),
        ],
    );
    check(
        &[STRICT],
        true,
        &[(
            "2001 rar 3004 3004",
            "Granted, reply 2002, U1:0, U1:0 elsewhere, withdrawn Denied(Unavailable), T2:0",
            false,
        )],
    );
    // the Tx of an update
    check(&[STRICT], false, &[("2001 rar tx 2001", ended, false)]);
    check(
        &[CONTINUE, RETRY],
        false,
        &[("2001 rar tx 2001", "Granted, reply 2002, U1:0", false)],
    );
}

#[test]
fn what_was_used_is_told_until_the_server_has_heard_it() {
    check(
        &[STRICT, CONTINUE, RETRY],
        false,
        &[
            ("2001 given lost due", "Granted, T1:1, T1:1 T", false),
            ("2001 given unsent due 2001", "Granted, T1:1, T1:1 T", true),
            (
                "2001 given 3004 due lost due 2001",
                "Granted, T1:1, T1:1, T1:1 T",
                true,
            ),
            (
                "moving given 3004 2001",
                "Granted, T1:1, T1:1 elsewhere",
                true,
            ),
        ],
    );
}
