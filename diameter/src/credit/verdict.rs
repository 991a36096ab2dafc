//! What an answer means: the Result-Codes of RFC 6733 §7.1 and RFC 8506 §9, for one service.

use super::Denial;
use crate::fault::{Class, ResultCode};
use crate::ro::{CreditAnswer, DebitFailureHandling, FailureHandling};

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
    /// Units granted; `None` when the server does not count them.
    pub granted: Option<u64>,
    /// More is to be asked for when fewer units than this are left.
    pub threshold: Option<u64>,
    /// Seconds.
    pub validity: Option<u32>,
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
            granted: None,
            threshold: None,
            validity: None,
            final_unit: false,
            failover: None,
            failure: None,
            debit_failure: None,
            enough_credit: None,
        }
    }

    pub fn read(answer: &CreditAnswer<'_>) -> Told {
        let command = Verdict::of(answer.result);
        let open = command == Verdict::Granted;
        // The nearest word counts, but a service cannot be granted by a command that failed (§5.1.2: result codes of
        // a service "are valid only if the command as such succeeded").
        let verdict = match answer.service_result.map(Verdict::of) {
            Some(inner) if open || inner != Verdict::Granted => inner,
            _ => command,
        };
        // §8.34: a Final-Unit-Indication with nothing granted is to be acted on at once.
        let nothing = match answer.granted {
            Some(units) => units == 0,
            None => answer.final_unit.is_some(),
        };
        let verdict = match verdict {
            Verdict::Granted if nothing => Verdict::Denied(Denial::NoCredit),
            verdict => verdict,
        };
        Told {
            session_open: open,
            unknown_session: answer.result == ResultCode::UNKNOWN_SESSION_ID,
            granted: answer.granted,
            threshold: answer.threshold,
            validity: answer.validity,
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
        Told::read(&CreditAnswer::read(&Message::parse(&bytes).unwrap(), units_in).unwrap())
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
            ("told why inside", 5012, Some(&denied), DENIED, false),
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
}
