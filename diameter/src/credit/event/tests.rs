//! Table 5 of RFC 8506 row by row, then what follows a service that fails.
//!
//! A script is what happens: Result-Codes, `unsent`, `lost`, `tx` (the timer), `again` (what is stored is due),
//! `given` and `failed` (the service). What is done about it is written the same way.

use super::*;
use crate::fault::ResultCode;

struct World {
    event: OneTime,
    now: Instant,
    policy: Policy,
    done: Vec<String>,
}

impl World {
    fn start(action: RequestedAction, handling: DebitFailureHandling) -> World {
        let policy = Policy {
            debit_failure: handling,
            ..Policy::default()
        };
        let now = Instant(1_000_000);
        let mut out = Vec::new();
        let event = OneTime::start(action, now, &policy, &mut out);
        let done = out.iter().map(word).collect();
        World {
            event,
            now,
            policy,
            done,
        }
    }

    fn play(&mut self, script: &str) -> &mut World {
        for step in script.split_whitespace() {
            let input = match step {
                "unsent" => Input::Unsent,
                "lost" => Input::Lost,
                "given" => Input::Ended { used: 1 },
                "failed" => Input::Ended { used: 0 },
                "tx" | "again" => {
                    self.now = self.event.deadline().expect("a timer runs");
                    Input::Tick
                }
                "poor" => Input::Answered(Told {
                    enough_credit: Some(false),
                    ..Told::plain(Verdict::Granted)
                }),
                "continue" => Input::Answered(Told {
                    debit_failure: Some(DebitFailureHandling::Continue),
                    ..Told::plain(Verdict::Failed)
                }),
                code => {
                    let code = ResultCode(code.parse().expect("a Result-Code"));
                    Input::Answered(Told::plain(Verdict::of(code)))
                }
            };
            let mut out = Vec::new();
            self.event.handle(self.now, input, &self.policy, &mut out);
            self.done.extend(out.iter().map(word));
        }
        self
    }

    fn told(&self) -> String {
        self.done.join(", ")
    }
}

fn word(output: &Output) -> String {
    match output {
        Output::Ask(question) => {
            let refund = match question.action {
                Some(RefundAccount) => " refund",
                _ => "",
            };
            let t = if question.retransmitted { " T" } else { "" };
            let other = if question.elsewhere { " elsewhere" } else { "" };
            assert_eq!(question.number, u32::from(!refund.is_empty()));
            format!("ask{refund}{t}{other}")
        }
        Output::Decided(decision) => format!("{decision:?}"),
        Output::Withdrawn(why) => format!("withdrawn {why:?}"),
        Output::Reply(result) => format!("reply {}", result.0),
        Output::Allowed(_) | Output::Renewed => "of a session".into(),
        Output::Unsettled(owed) => format!("unsettled {owed:?}"),
    }
}

const BUFFER: DebitFailureHandling = DebitFailureHandling::TerminateOrBuffer;
const CONTINUE: DebitFailureHandling = DebitFailureHandling::Continue;

/// Script, what is done after the first question, what is owed, and whether it is over.
type Row = (&'static str, &'static str, Owed, bool);

fn check(action: RequestedAction, handling: DebitFailureHandling, rows: &[Row]) {
    for (script, told, owed, over) in rows {
        let mut world = World::start(action, handling);
        world.play(script);
        let expected = match *told {
            "" => "ask".to_owned(),
            told => format!("ask, {told}"),
        };
        let case = format!("{action:?} {handling:?}: {script}");
        assert_eq!(world.told(), expected, "{case}");
        assert_eq!(
            (world.event.owed(), world.event.is_done()),
            (*owed, *over),
            "{case}"
        );
    }
}

#[test]
fn a_debit_follows_the_table_where_what_fails_is_buffered() {
    use Owed::*;
    let unavailable = "Denied(Unavailable)";
    check(
        DirectDebiting,
        BUFFER,
        &[
            // Idle: send, start Tx. A process that dies here must find out.
            ("", "", Undo, false),
            // Successful answer: grant
            ("2001", "Granted", Refund, false),
            ("2002 given", "Granted", Nothing, true),
            // END_USER_SERVICE_DENIED or USER_UNKNOWN, Tx running: terminate
            ("4010", "Denied(NoCredit)", Nothing, true),
            ("4012", "Denied(NoCredit)", Nothing, true),
            ("5003", "Denied(Refused)", Nothing, true),
            ("5030", "Denied(Refused)", Nothing, true),
            // CREDIT_CONTROL_NOT_APPLICABLE: grant
            ("4011", "Free", Nothing, true),
            // Failed answer or temporary error, Tx running: terminate
            ("5031", unavailable, Nothing, true),
            ("5012", unavailable, Nothing, true),
            ("3001", unavailable, Nothing, true),
            ("4002", unavailable, Nothing, true),
            (
                "3004 3004",
                "ask elsewhere, Denied(Unavailable)",
                Nothing,
                true,
            ),
            ("3002 2001 given", "ask elsewhere, Granted", Nothing, true),
            // Tx expired: grant, stay
            ("tx", "Granted", Undo, false),
            ("tx 2001 given", "Granted", Nothing, true),
            ("tx given", "Granted", Debit, false),
            ("tx given 2001", "Granted", Nothing, true),
            // Failure to send: store with T, and grant (§6.5)
            ("unsent", "Granted", Nothing, false),
            ("unsent given", "Granted", Debit, false),
            ("unsent given again", "Granted, ask T", Debit, false),
            ("lost lost given", "ask T elsewhere, Granted", Debit, false),
            ("lost lost", "ask T elsewhere, Granted", Undo, false),
            // An error of the second server says nothing of the first
            (
                "lost 3004 given again",
                "ask T elsewhere, Granted, ask T",
                Debit,
                false,
            ),
            (
                "lost 4012",
                "ask T elsewhere, Denied(NoCredit)",
                Nothing,
                true,
            ),
            // Temporary error, Tx expired: store with T
            ("tx 4002 given again", "Granted, ask T", Debit, false),
            (
                "tx 3004 3004 given again",
                "Granted, ask elsewhere, ask T",
                Debit,
                false,
            ),
            // Failed answer, END_USER_SERVICE_DENIED or USER_UNKNOWN, Tx expired: Idle
            ("tx 5031 given", "Granted, unsettled Debit", Nothing, true),
            ("tx 4012 given", "Granted, unsettled Debit", Nothing, true),
            ("tx given 4012", "Granted, unsettled Debit", Nothing, true),
            ("tx given 5031", "Granted, unsettled Debit", Nothing, true),
            ("tx given 4011", "Granted", Nothing, true),
            ("tx 5030", "Granted", Nothing, false),
            // The server's word on DDFH overrides ours
            ("continue given", "Granted, unsettled Debit", Nothing, true),
        ],
    );
}

#[test]
fn a_debit_follows_the_table_where_service_goes_on() {
    use Owed::*;
    check(
        DirectDebiting,
        CONTINUE,
        &[
            ("2001 given", "Granted", Nothing, true),
            ("4012", "Denied(NoCredit)", Nothing, true),
            ("4011", "Free", Nothing, true),
            // Failure to send, temporary error or failed answer: grant, delete
            ("unsent given", "Granted, unsettled Debit", Nothing, true),
            (
                "lost lost given",
                "ask T elsewhere, Granted, unsettled Debit",
                Nothing,
                true,
            ),
            (
                "3004 3004 given",
                "ask elsewhere, Granted, unsettled Debit",
                Nothing,
                true,
            ),
            ("5031 given", "Granted, unsettled Debit", Nothing, true),
            ("5031 failed", "Granted", Nothing, true),
            ("4002 failed", "Granted", Nothing, true),
            (
                "tx given lost lost",
                "Granted, ask T elsewhere, unsettled Debit",
                Nothing,
                true,
            ),
        ],
    );
}

#[test]
fn a_service_that_fails_is_refunded_once_it_is_known_to_be_debited() {
    use Owed::*;
    check(
        DirectDebiting,
        BUFFER,
        &[
            ("2001 failed", "Granted, ask refund", Refund, false),
            ("2001 failed 2001", "Granted, ask refund", Nothing, true),
            ("2001 given failed", "Granted", Nothing, true),
            // It failed before the answer came
            ("tx failed", "Granted", Undo, false),
            ("tx failed 2001", "Granted, ask refund", Refund, false),
            ("tx failed 4012", "Granted", Nothing, true),
            ("tx failed 3004", "Granted", Nothing, true),
            ("tx failed unsent", "Granted", Nothing, true),
            ("failed 2001 2001", "ask refund", Nothing, true),
            // Nobody knows: ask until somebody does
            (
                "lost lost failed again 2001 2001",
                "ask T elsewhere, Granted, ask T, ask refund",
                Nothing,
                true,
            ),
            (
                "lost lost failed again 4012",
                "ask T elsewhere, Granted, ask T",
                Nothing,
                true,
            ),
            (
                "lost lost failed again lost",
                "ask T elsewhere, Granted, ask T",
                Undo,
                false,
            ),
            // Nothing left: nothing to undo
            ("unsent failed", "Granted", Nothing, true),
            (
                "unsent again failed unsent",
                "Granted, ask T",
                Nothing,
                true,
            ),
            // Failed answer to a refund: indicate service error, delete
            (
                "2001 failed 5012",
                "Granted, ask refund, unsettled Refund",
                Nothing,
                true,
            ),
            // Failure to send: store with T
            (
                "2001 failed lost again",
                "Granted, ask refund, ask refund T",
                Refund,
                false,
            ),
            (
                "2001 failed unsent again 2001",
                "Granted, ask refund, ask refund T",
                Nothing,
                true,
            ),
            // Temporary error: store, and no T (RFC 6733 §3: not when an answer has been received)
            (
                "2001 failed 3004 again",
                "Granted, ask refund, ask refund",
                Refund,
                false,
            ),
            // PendingB, failed answer: delete. The operator is told of what was given and is not paid.
            (
                "unsent given again 5030",
                "Granted, ask T, unsettled Debit",
                Nothing,
                true,
            ),
            ("unsent given again 2001", "Granted, ask T", Nothing, true),
            ("unsent given again 4011", "Granted, ask T", Nothing, true),
            (
                "unsent given again lost again 3004 again",
                "Granted, ask T, ask T, ask T",
                Debit,
                false,
            ),
        ],
    );
    check(
        DirectDebiting,
        CONTINUE,
        &[
            (
                "lost lost failed again 2001 2001",
                "ask T elsewhere, Granted, ask T, ask refund",
                Nothing,
                true,
            ),
            (
                "tx failed lost lost again 4012",
                "Granted, ask T elsewhere, ask T",
                Nothing,
                true,
            ),
        ],
    );
}

#[test]
fn an_enquiry_changes_nothing_and_says_when_it_cannot_be_answered() {
    use Owed::*;
    for action in [CheckBalance, PriceEnquiry] {
        check(
            action,
            BUFFER,
            &[
                ("", "", Nothing, false),
                ("2001", "Granted", Nothing, true),
                ("poor", "Denied(NoCredit)", Nothing, true),
                ("4012", "Denied(NoCredit)", Nothing, true),
                ("5030", "Denied(Refused)", Nothing, true),
                // Failure to send, temporary error, failed answer or Tx expired: indicate service error
                ("unsent", "Denied(Unavailable)", Nothing, true),
                (
                    "lost lost",
                    "ask T elsewhere, Denied(Unavailable)",
                    Nothing,
                    true,
                ),
                (
                    "3004 4002",
                    "ask elsewhere, Denied(Unavailable)",
                    Nothing,
                    true,
                ),
                ("5031", "Denied(Unavailable)", Nothing, true),
                ("tx", "Denied(Unavailable)", Nothing, false),
                ("tx 2001", "Denied(Unavailable)", Nothing, true),
            ],
        );
    }
}

#[test]
fn what_an_earlier_process_owed_is_taken_up_with_t() {
    let policy = Policy::default();
    for (owed, script, told) in [
        (Owed::Debit, "again 2001", "ask T"),
        (Owed::Debit, "again 4012", "ask T, unsettled Debit"),
        (Owed::Undo, "again 2001 2001", "ask T, ask refund"),
        (Owed::Undo, "again 4012", "ask T"),
        (Owed::Refund, "again 2001", "ask refund T"),
    ] {
        let now = Instant(5);
        let event = OneTime::resume(owed, now).expect("it is owed by an event");
        assert_eq!(event.owed(), owed);
        let done = Vec::new();
        let mut world = World {
            event,
            now,
            policy,
            done,
        };
        world.play(script);
        assert_eq!(
            (world.told().as_str(), world.event.is_done()),
            (told, true),
            "{owed:?}"
        );
    }
    assert!(OneTime::resume(Owed::Nothing, Instant(5)).is_none());
}

#[test]
fn what_is_stored_is_tried_ever_more_seldom() {
    let mut world = World::start(DirectDebiting, BUFFER);
    world.play("unsent given");
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(world.event.deadline().expect("it is stored").0 - world.now.0);
        world.play("again lost");
    }
    let seconds: Vec<u64> = waits.iter().map(|wait| wait / 1_000).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
}

#[test]
fn a_server_that_asks_about_an_event_is_told_that_it_has_no_session() {
    for input in [Input::ReAuth, Input::Abort] {
        let mut world = World::start(DirectDebiting, BUFFER);
        let mut out = Vec::new();
        world
            .event
            .handle(world.now, input, &world.policy, &mut out);
        assert_eq!(out, [Output::Reply(ResultCode::UNKNOWN_SESSION_ID)]);
    }
}
