//! What an answer means: the Result-Codes of RFC 6733 §7.1 and RFC 8506 §9, for one service.

use super::Denial;
use crate::fault::{Class, ResultCode};
use crate::ro::{CreditAnswer, DebitFailureHandling, FailureHandling, Measure};

impl ResultCode {
    pub const LOOP_DETECTED: ResultCode = ResultCode(3005);
    pub const END_USER_SERVICE_DENIED: ResultCode = ResultCode(4010);
    pub const CREDIT_CONTROL_NOT_APPLICABLE: ResultCode = ResultCode(4011);
    pub const CREDIT_LIMIT_REACHED: ResultCode = ResultCode(4012);
    pub const AUTHORIZATION_REJECTED: ResultCode = ResultCode(5003);
    pub const USER_UNKNOWN: ResultCode = ResultCode(5030);
    pub const RATING_FAILED: ResultCode = ResultCode(5031);
}

/// What the server says about the service, in the words of RFC 8506 §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    /// Credit control does not apply: free of charge.
    Free,
    Denied(Denial),
    /// "Temporary error": 3002, 3004, 3005, where another server may do better; or another transient failure.
    Temporary {
        elsewhere: bool,
    },
    /// "Failed answer".
    Failed,
}

impl Verdict {
    pub fn of(result: ResultCode) -> Verdict {
        match (result, result.class()) {
            (_, Class::Success) => Verdict::Granted,
            (ResultCode::CREDIT_CONTROL_NOT_APPLICABLE, _) => Verdict::Free,
            (ResultCode::END_USER_SERVICE_DENIED | ResultCode::CREDIT_LIMIT_REACHED, _) => {
                Verdict::Denied(Denial::NoCredit)
            }
            (ResultCode::AUTHORIZATION_REJECTED | ResultCode::USER_UNKNOWN, _) => {
                Verdict::Denied(Denial::Refused)
            }
            (
                ResultCode::UNABLE_TO_DELIVER | ResultCode::TOO_BUSY | ResultCode::LOOP_DETECTED,
                _,
            ) => Verdict::Temporary { elsewhere: true },
            (_, Class::Transient) => Verdict::Temporary { elsewhere: false },
            (_, Class::ProtocolError | Class::Permanent) => Verdict::Failed,
        }
    }
}

/// What an answer says, as the machines need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub verdict: Verdict,
    /// The verdict is about the service alone: the session itself is open.
    pub session_open: bool,
    /// The server does not know the session (5002).
    pub unknown_session: bool,
    /// The grant is of units that were not asked for, or of another tariff from some time on: an "incorrect CCA" (§8.17,
    /// §8.20).
    pub incorrect: bool,
    /// The server has granted, and nothing.
    pub empty: bool,
    /// Units granted; `None` when the server does not count them.
    pub granted: Option<u64>,
    /// More is to be asked for when fewer units than this are left.
    pub threshold: Option<u64>,
    /// Seconds.
    pub validity: Option<u32>,
    /// Seconds for which units may lie unused; 0: for ever.
    pub holding: Option<u32>,
    /// The units are of a pool.
    pub pooled: bool,
    /// The units are the last ones. Redirection and restriction mean nothing to presence, so that each
    /// Final-Unit-Action is TERMINATE (§5.6.1: "the default handling").
    pub final_unit: bool,
    pub failover: Option<bool>,
    pub failure: Option<FailureHandling>,
    pub debit_failure: Option<DebitFailureHandling>,
    /// Of a balance check.
    pub enough_credit: Option<bool>,
}

impl Told {
    /// An answer that says this and nothing else.
    pub fn plain(verdict: Verdict) -> Told {
        Told {
            verdict,
            session_open: false,
            unknown_session: false,
            incorrect: false,
            empty: false,
            granted: None,
            threshold: None,
            validity: None,
            holding: None,
            pooled: false,
            final_unit: false,
            failover: None,
            failure: None,
            debit_failure: None,
            enough_credit: None,
        }
    }

    /// `measure` is what was asked for.
    pub fn read(answer: &CreditAnswer<'_>, measure: Measure) -> Told {
        let command = Verdict::of(answer.result);
        let open = command == Verdict::Granted;
        // §5.1.2: a result of the command that is no success "takes precedence over any other AVPs included in" the
        // service's.
        let verdict = match answer.service_result.map(Verdict::of) {
            Some(inner) if open => inner,
            _ => command,
        };
        let time = answer.granted_time.map(u64::from);
        let (granted, other, threshold) = match measure {
            Measure::Events => (answer.granted, time, answer.threshold),
            Measure::Seconds => {
                let threshold = answer.time_threshold.map(u64::from);
                (time, answer.granted, threshold)
            }
        };
        let incorrect = other.is_some() || answer.granted_other;
        // §8.34: a Final-Unit-Indication with nothing granted is to be acted on at once.
        let nothing = match granted {
            Some(units) => units == 0,
            None => answer.final_unit.is_some(),
        };
        let empty = verdict == Verdict::Granted && nothing && !incorrect;
        let verdict = match verdict {
            Verdict::Granted if empty => Verdict::Denied(Denial::NoCredit),
            verdict => verdict,
        };
        Told {
            session_open: open,
            unknown_session: answer.result == ResultCode::UNKNOWN_SESSION_ID,
            incorrect,
            empty,
            granted,
            threshold,
            validity: answer.validity,
            holding: answer.holding,
            pooled: answer.pooled,
            final_unit: answer.final_unit.is_some(),
            failover: answer.failover,
            failure: answer.failure,
            debit_failure: answer.debit_failure,
            enough_credit: answer.enough_credit,
            ..Told::plain(verdict)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::*;
    use crate::message::Message;
    use crate::ro::UnitsIn;
    use crate::write::Writer;

    const DENIED: Verdict = Verdict::Denied(Denial::NoCredit);
    const REFUSED: Verdict = Verdict::Denied(Denial::Refused);

    #[test]
    fn each_result_code_has_its_meaning() {
        for (codes, verdict) in [
            (&[2001, 2002][..], Verdict::Granted),
            (&[4010, 4012], DENIED),
            (&[4011], Verdict::Free),
            (&[5003, 5030], REFUSED),
            (&[3002, 3004, 3005], Verdict::Temporary { elsewhere: true }),
            (&[4001, 4002, 4999], Verdict::Temporary { elsewhere: false }),
            (
                &[3001, 3003, 3007, 5002, 5012, 5031, 1001, 0, 9999],
                Verdict::Failed,
            ),
        ] {
            for code in codes {
                assert_eq!(Verdict::of(ResultCode(*code)), verdict, "{code}");
            }
        }
    }

    /// A CCA with this Result-Code, and inside its service what `fill` writes.
    fn told(result: u32, fill: Option<&dyn Fn(&mut Writer)>) -> Told {
        told_of(Measure::Events, result, fill)
    }

    fn told_of(measure: Measure, result: u32, fill: Option<&dyn Fn(&mut Writer)>) -> Told {
        let request = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
        let header = Message::parse(&request.finish(100).unwrap())
            .unwrap()
            .header;
        let mut w = Writer::answer(&header, ResultCode(result));
        w.u32(&RESULT_CODE, result);
        if let Some(fill) = fill {
            w.group(&MULTIPLE_SERVICES_CREDIT_CONTROL, |w| fill(w));
        }
        let bytes = w.finish(1_000).unwrap();
        let units_in = UnitsIn::Services {
            service_identifier: None,
            rating_group: Some(7),
        };
        let message = Message::parse(&bytes).unwrap();
        Told::read(&CreditAnswer::read(&message, units_in).unwrap(), measure)
    }

    fn units(w: &mut Writer, count: u64) {
        w.group(&GRANTED_SERVICE_UNIT, |w| {
            _ = w.u64(&CC_SERVICE_SPECIFIC_UNITS, count)
        });
    }

    fn last(w: &mut Writer, action: i32) {
        w.group(&FINAL_UNIT_INDICATION, |w| {
            _ = w.i32(&FINAL_UNIT_ACTION, action)
        });
    }

    #[test]
    fn what_is_said_of_the_service_goes_before_what_is_said_of_the_command() {
        type Fill<'a> = &'a dyn Fn(&mut Writer);
        let result = |code: u32| move |w: &mut Writer| _ = w.u32(&RESULT_CODE, code);
        let (denied, free, fine) = (result(4012), result(4011), result(2001));
        let other = |w: &mut Writer| _ = w.u32(&RATING_GROUP, 8).u32(&RESULT_CODE, 4012);
        let none = |w: &mut Writer| units(w, 0);
        let one = |w: &mut Writer| units(w, 1);
        let last_one = |w: &mut Writer| {
            units(w, 1);
            last(w, 0);
        };
        let redirected = |w: &mut Writer| last(w, 1);
        for (case, command, inner, verdict, open) in [
            ("nothing said", 2001, None, Verdict::Granted, true),
            ("denied inside", 2001, Some(&denied as Fill), DENIED, true),
            ("free inside", 2001, Some(&free), Verdict::Free, true),
            ("denied outside", 4012, Some(&fine), DENIED, false),
            (
                "failed outside",
                5012,
                Some(&denied),
                Verdict::Failed,
                false,
            ),
            (
                "failed outside, free inside",
                5012,
                Some(&free),
                Verdict::Failed,
                false,
            ),
            (
                "denied to another service",
                2001,
                Some(&other),
                Verdict::Granted,
                true,
            ),
            ("no units", 2001, Some(&none), DENIED, true),
            ("a unit", 2001, Some(&one), Verdict::Granted, true),
            (
                "the last unit",
                2001,
                Some(&last_one),
                Verdict::Granted,
                true,
            ),
            ("the end at once", 2001, Some(&redirected), DENIED, true),
        ] {
            let told = told(command, inner);
            assert_eq!((told.verdict, told.session_open), (verdict, open), "{case}");
        }
        assert!(told(2001, Some(&last_one)).final_unit);
    }

    #[test]
    fn units_that_were_not_asked_for_make_an_answer_incorrect() {
        type Fill<'a> = &'a dyn Fn(&mut Writer);
        let grant = |w: &mut Writer, fill: Fill| _ = w.group(&GRANTED_SERVICE_UNIT, |w| fill(w));
        let events = |w: &mut Writer| units(w, 3);
        let time = |w: &mut Writer| grant(w, &|w| _ = w.u32(&CC_TIME, 60));
        let none = |w: &mut Writer| grant(w, &|w| _ = w.u32(&CC_TIME, 0));
        let octets = |w: &mut Writer| grant(w, &|w| _ = w.u64(&CC_TOTAL_OCTETS, 60));
        let input = |w: &mut Writer| grant(w, &|w| _ = w.u64(&CC_INPUT_OCTETS, 60));
        let output = |w: &mut Writer| grant(w, &|w| _ = w.u64(&CC_OUTPUT_OCTETS, 60));
        let money = |w: &mut Writer| grant(w, &|w| _ = w.group(&CC_MONEY, |_| ()));
        let tariff = |w: &mut Writer| {
            grant(w, &|w| {
                w.u64(&CC_SERVICE_SPECIFIC_UNITS, 3)
                    .time(&TARIFF_TIME_CHANGE, 1_800_000_000);
            });
        };
        let (count, seconds) = (Measure::Events, Measure::Seconds);
        for (case, measure, fill, incorrect, granted) in [
            ("units", count, &events as Fill, false, Some(3)),
            ("units for seconds", seconds, &events, true, None),
            ("seconds for units", count, &time, true, None),
            ("seconds", seconds, &time, false, Some(60)),
            ("no seconds", seconds, &none, false, Some(0)),
            ("octets", count, &octets, true, None),
            ("octets received", count, &input, true, None),
            ("octets sent", count, &output, true, None),
            ("money", seconds, &money, true, None),
            ("another tariff", count, &tariff, true, Some(3)),
        ] {
            let told = told_of(measure, 2001, Some(fill));
            assert_eq!(
                (told.incorrect, told.granted),
                (incorrect, granted),
                "{case}"
            );
            assert_eq!(told.empty, granted == Some(0), "{case}");
        }
    }
}
