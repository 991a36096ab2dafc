//! Tables 3 and 4 of RFC 8506 row by row, and what is told the server later.
//!
//! A script is what happens: Result-Codes, `unsent`, `lost`, `tx` (the timer), `due` (whatever else is), `used`,
//! `given` and `failed` (the service), `rar`, `asr`. What is done about it is written the same way.

use super::*;

struct World {
    session: Session,
    now: Instant,
    policy: Policy,
    done: Vec<String>,
}

impl World {
    fn start(handling: FailureHandling, failover: bool) -> World {
        World::begin(handling, failover, false)
    }

    fn begin(handling: FailureHandling, failover: bool, lasting: bool) -> World {
        let policy = Policy {
            failure: handling,
            failover,
            ..Policy::default()
        };
        let now = Instant(1_000_000);
        let mut out = Vec::new();
        let session = Session::start(now, &policy, lasting, &mut out);
        let done = out.iter().map(word).collect();
        World {
            session,
            now,
            policy,
            done,
        }
    }

    fn play(&mut self, script: &str) -> &mut World {
        for step in script.split_whitespace() {
            let granted = Told {
                session_open: true,
                ..Told::plain(Verdict::Granted)
            };
            let input = match step {
                "unsent" => Input::Unsent,
                "lost" => Input::Lost,
                "used" => Input::Used { units: 1 },
                "begun" => Input::Begun,
                "given" => Input::Ended { used: 1 },
                "failed" => Input::Ended { used: 0 },
                "rar" => Input::ReAuth,
                "asr" => Input::Abort,
                "tx" | "due" => {
                    self.now = self.session.deadline().expect("a timer runs");
                    Input::Tick
                }
                "one" => Input::Answered(Told {
                    granted: Some(1),
                    ..granted
                }),
                "last" => Input::Answered(Told {
                    granted: Some(1),
                    final_unit: true,
                    ..granted
                }),
                "ten" => Input::Answered(Told {
                    granted: Some(10),
                    ..granted
                }),
                "ten-3" => Input::Answered(Told {
                    granted: Some(10),
                    threshold: Some(3),
                    ..granted
                }),
                "one-9" => Input::Answered(Told {
                    granted: Some(1),
                    threshold: Some(9),
                    ..granted
                }),
                "minute" => Input::Answered(Told {
                    validity: Some(60),
                    ..granted
                }),
                "moving" => Input::Answered(Told {
                    failover: Some(true),
                    ..granted
                }),
                "lenient" => Input::Answered(Told {
                    failure: Some(FailureHandling::Continue),
                    ..granted
                }),
                code => {
                    let (code, open) = match code.strip_prefix('s') {
                        Some(code) => (code, true), // said of the service alone
                        None => (code, code.starts_with('2')),
                    };
                    let verdict = Verdict::of(ResultCode(code.parse().expect("a Result-Code")));
                    Input::Answered(Told {
                        session_open: open,
                        unknown_session: code == "5002",
                        ..Told::plain(verdict)
                    })
                }
            };
            let mut out = Vec::new();
            self.session.handle(self.now, input, &self.policy, &mut out);
            self.done.extend(out.iter().map(word));
        }
        self
    }
}

/// A question is its first letter, its number and the units that it reports.
fn word(output: &Output) -> String {
    match output {
        Output::Ask(question) => {
            let used = question
                .used
                .map_or(String::new(), |used| format!(":{used}"));
            let t = if question.retransmitted { " T" } else { "" };
            let other = if question.elsewhere { " elsewhere" } else { "" };
            let kind = match question.kind {
                RequestType::Initial => 'I',
                RequestType::Update => 'U',
                RequestType::Termination => 'T',
                RequestType::Event => 'E',
            };
            assert_eq!(question.requested.is_some(), kind != 'T');
            format!("{kind}{}{used}{t}{other}", question.number)
        }
        Output::Decided(decision) => format!("{decision:?}"),
        Output::Allowed(Some(units)) => format!("up to {units}"),
        Output::Allowed(None) => "any".into(),
        Output::Renewed => "anew".into(),
        Output::Withdrawn(why) => format!("withdrawn {why:?}"),
        Output::Reply(result) => format!("reply {}", result.0),
        Output::Unsettled(_) => "unsettled".into(),
    }
}

const STRICT: FailureHandling = FailureHandling::Terminate;
const CONTINUE: FailureHandling = FailureHandling::Continue;
const RETRY: FailureHandling = FailureHandling::RetryAndTerminate;

/// Script, what is done after the first question, whether it is over.
type Row = (&'static str, &'static str, bool);

fn check(handlings: &[FailureHandling], failover: bool, rows: &[Row]) {
    for handling in handlings {
        for (script, told, over) in rows {
            let mut world = World::start(*handling, failover);
            world.play(script);
            let expected = match *told {
                "" => "I0".to_owned(),
                told => format!("I0, {told}"),
            };
            let case = format!("{handling:?}: {script}");
            assert_eq!(world.done.join(", "), expected, "{case}");
            assert_eq!(world.session.is_done(), *over, "{case}");
            let owes = world.session.owed() != Owed::Nothing;
            assert!(!(owes && *over), "{case}");
        }
    }
}

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

#[test]
fn an_earlier_process_leaves_what_has_to_be_told() {
    let policy = Policy::default();
    let mut world = World::start(STRICT, false);
    for (script, number, used, report) in [
        ("", 1, 0, None),
        ("2001", 1, 0, None),
        ("used", 1, 1, None),
        ("rar", 2, 0, Some((1, 1))),
        ("2001 given", 2, 1, None),
    ] {
        world.play(script);
        let owed = Owed::Close {
            number,
            used,
            report,
        };
        assert_eq!(world.session.owed(), owed, "{script}");
        let now = Instant(5);
        let session = Session::resume(owed, now, &policy).expect("owed by a session");
        assert_eq!(session.owed(), owed);
        let done = Vec::new();
        let mut later = World {
            session,
            now,
            policy,
            done,
        };
        later.play(if report.is_some() {
            "due 2001 2001"
        } else {
            "due 2001"
        });
        let told = match report {
            Some((first, units)) => format!("U{first}:{units} T, T{number}:{used}"),
            None => format!("T{number}:{used} T"),
        };
        assert_eq!(
            (later.done.join(", "), later.session.is_done()),
            (told, true)
        );
    }
    assert!(Session::resume(Owed::Refund, Instant(5), &policy).is_none());
}

/// The same for a service that has begun and lasts.
fn check_lasting(handlings: &[FailureHandling], rows: &[Row]) {
    for handling in handlings {
        for (script, told, over) in rows {
            let mut world = World::begin(*handling, false, true);
            world.play("2001 begun").done.clear();
            world.play(script);
            let case = format!("{handling:?}: {script}");
            assert_eq!(world.done.join(", "), *told, "{case}");
            assert_eq!(world.session.is_done(), *over, "{case}");
        }
    }
}

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
fn a_session_is_taken_up_where_its_process_left_it() {
    let policy = Policy::default();
    let open = |number, used, report| Owed::Open {
        number,
        used,
        report,
        failure: STRICT,
        failover: false,
        quota: None,
    };
    for (owed, script, told, over) in [
        // what was used is told, and more is asked for: no T, since nothing was sent with this number
        (
            open(3, 2, None),
            "due one used",
            "U3:2, up to 1, U4:1",
            false,
        ),
        (open(3, 2, None), "used failed due 2001", "T3:3", true),
        // an update whose fate is not known goes before
        (
            open(4, 2, Some((3, 5))),
            "due 2001 failed",
            "U3:5 T, T4:2",
            false,
        ),
        (open(4, 0, Some((3, 5))), "rar", "reply 2002, U3:5 T", false),
        (
            open(4, 1, Some((3, 5))),
            "asr due 2001",
            "reply 2001, withdrawn Aborted, U3:5 T, T4:1",
            false,
        ),
        // its server is waited for, and not for ever
        (
            open(3, 2, None),
            "due unsent due unsent due one",
            "U3:2, U3:2, U3:2, up to 1",
            false,
        ),
        (
            open(3, 2, None),
            "due lost due lost due lost due lost due lost due lost due lost",
            "U3:2, U3:2 T, U3:2 T, U3:2 T, U3:2 T, U3:2 T, U3:2 T, withdrawn Denied(Unavailable)",
            false,
        ),
        (
            open(3, 2, None),
            "due 4012",
            "U3:2, withdrawn Denied(NoCredit)",
            true,
        ),
        (Owed::Uncontrolled, "used rar failed", "reply 5002", true),
    ] {
        let now = Instant(5);
        let session = Session::resume(owed, now, &policy).expect("owed by a session");
        assert_eq!(session.owed(), owed);
        let mut later = World {
            session,
            now,
            policy,
            done: Vec::new(),
        };
        later.play(script);
        assert_eq!(later.done.join(", "), told, "{owed:?}: {script}");
        assert_eq!(later.session.is_done(), over, "{owed:?}: {script}");
    }
}

mod lasting;
