//! Scripts for one session, and what it does about them.
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
                "wanted" => Input::Wanted,
                "held" => Input::Answered(Told {
                    granted: Some(10),
                    holding: Some(30),
                    ..granted
                }),
                "nothing" => Input::Answered(Told {
                    granted: Some(0),
                    empty: true,
                    verdict: Verdict::Denied(Denial::NoCredit),
                    ..granted
                }),
                "octets" => Input::Answered(Told {
                    incorrect: true,
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
            let gives_back = question.reason == Some(Reason::HoldingTime);
            assert_eq!(question.requested.is_some(), kind != 'T' && !gives_back);
            let back = if gives_back { " back" } else { "" };
            format!("{kind}{}{used}{back}{t}{other}", question.number)
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

mod bounds;
mod holding;
mod lasting;
mod reserved;
mod stored;
