//! Accounts and answers, asked by the requests of our own credit control.

use super::*;
use diameter::base::Applications;
use diameter::ro::{CreditAnswer, CreditRequest, Measure, UnitsIn};

fn local() -> Local {
    Local {
        host: "ocs.test".into(),
        realm: "test".into(),
        product: "test".into(),
        state_id: 1,
        applications: Applications::BOTH,
    }
}

const SERVICES: UnitsIn = UnitsIn::Services {
    service_identifier: None,
    rating_group: Some(7),
};

fn ccr(session: &str, kind: RequestType, number: u32, units_in: UnitsIn) -> CreditRequest<'_> {
    CreditRequest {
        session_id: session,
        origin_host: "ps.test",
        origin_realm: "ps.test",
        service_context_id: "32260@3gpp.org",
        kind,
        number,
        action: (kind == RequestType::Event).then_some(RequestedAction::DirectDebiting),
        cause: None,
        event_timestamp: 5,
        subscriptions: &[],
        units_in,
        measure: Measure::Events,
        requested: (kind != RequestType::Termination).then_some(1),
        used: (kind == RequestType::Termination).then_some(1),
        reason: None,
    }
}

/// Asks in the name of bob and reads the answer.
fn ask<R>(
    ocs: &mut Ocs,
    request: CreditRequest<'_>,
    told: Option<u32>,
    read: impl FnOnce(CreditAnswer<'_>) -> R,
) -> R {
    let subscriptions = [(2, "sip:bob@ims.test".to_owned())];
    let request = CreditRequest {
        subscriptions: &subscriptions,
        ..request
    };
    let bytes = request.ccr().finish(1_000).unwrap();
    let (_, answer) = ocs.answer(&local(), &Message::parse(&bytes).unwrap(), told);
    let answer = Message::parse(&answer).unwrap();
    let answer = CreditAnswer::read(&answer, request.units_in).unwrap();
    assert!(answer.answers(request.session_id, request.kind, request.number));
    read(answer)
}

fn ocs(units: i64) -> Ocs {
    Ocs::new(Terms {
        quota: Some(units),
        final_unit: true,
        ..Terms::default()
    })
}

const BOB: &str = "sip:bob@ims.test";

#[test]
fn a_debit_is_taken_once_and_given_back_once() {
    for units_in in [UnitsIn::Command, SERVICES] {
        let mut ocs = ocs(2);
        let debit = |session| ccr(session, RequestType::Event, 0, units_in);
        let refund = CreditRequest {
            action: Some(RequestedAction::RefundAccount),
            number: 1,
            ..debit("a")
        };
        for (case, request, result, left) in [
            ("a debit", debit("a"), 2001, 1),
            ("the same again", debit("a"), 2001, 1),
            ("another", debit("b"), 2001, 0),
            ("one too many", debit("c"), 4012, 0),
            ("and again", debit("c"), 4012, 0),
            ("a refund", refund, 2001, 1),
            ("the same refund", refund, 2001, 1),
        ] {
            let told = ask(&mut ocs, request, None, |answer| answer.result.0);
            assert_eq!((told, ocs.balance(BOB)), (result, Some(left)), "{case}");
        }
        assert_eq!(ocs.duplicates, 3);
    }
}

#[test]
fn a_reservation_comes_back_when_it_was_not_used() {
    for (used, left) in [(0, 1), (1, 0)] {
        let mut ocs = ocs(1);
        let start = ccr("a", RequestType::Initial, 0, SERVICES);
        ask(&mut ocs, start, None, |answer| {
            assert_eq!(
                (answer.granted, answer.service_result),
                (Some(1), Some(ResultCode(2001)))
            );
            assert!(answer.final_unit.is_some(), "the last one");
        });
        assert_eq!((ocs.sessions().count(), ocs.balance(BOB)), (1, Some(0)));
        let end = CreditRequest {
            used: Some(used),
            ..ccr("a", RequestType::Termination, 1, SERVICES)
        };
        let result = ask(&mut ocs, end, None, |answer| answer.result.0);
        assert_eq!(
            (result, ocs.balance(BOB)),
            (2001, Some(left)),
            "{used} used"
        );
        let late = ccr("a", RequestType::Update, 2, SERVICES);
        assert_eq!(ask(&mut ocs, late, None, |answer| answer.result.0), 5002);
    }
}

#[test]
fn seconds_are_granted_to_who_asks_for_them_and_other_units_if_they_are_to_be() {
    for (measure, unit, granted, time, other) in [
        (Measure::Events, None, Some(3), None, false),
        (Measure::Seconds, None, None, Some(3), false),
        (Measure::Events, Some(Unit::Time), None, Some(3), false),
        (Measure::Seconds, Some(Unit::Events), Some(3), None, false),
        (Measure::Events, Some(Unit::Money), None, None, true),
        (Measure::Events, Some(Unit::Octets), None, None, true),
    ] {
        let mut ocs = Ocs::new(Terms {
            unit,
            quota: Some(5),
            holding: Some(60),
            threshold: Some(2),
            ..Terms::default()
        });
        let start = CreditRequest {
            measure,
            requested: Some(3),
            ..ccr("a", RequestType::Initial, 0, SERVICES)
        };
        ask(&mut ocs, start, None, |answer| {
            let told = (answer.granted, answer.granted_time, answer.granted_other);
            assert_eq!(told, (granted, time, other), "{measure:?} {unit:?}");
            assert_eq!(answer.holding, Some(60));
            assert_eq!(answer.time_threshold.is_some(), time.is_some());
        });
        // given back: what was used is taken, and nothing is reserved
        let back = CreditRequest {
            measure,
            requested: None,
            used: Some(1),
            ..ccr("a", RequestType::Update, 1, SERVICES)
        };
        let result = ask(&mut ocs, back, None, |answer| {
            (answer.result.0, answer.granted)
        });
        assert_eq!((result, ocs.balance(BOB)), ((2001, None), Some(4)));
        assert_eq!(ocs.sessions().count(), 1);
    }
}

#[test]
fn the_script_goes_before_the_account() {
    let debit = |number| ccr("a", RequestType::Event, number, SERVICES);
    let mut ocs = ocs(5);
    for (number, told, result, left) in [
        (0, Some(3004), 3004, None),
        (0, Some(4012), 4012, None),
        (0, None, 4012, None),
        (1, Some(2002), 2002, Some(4)),
        (2, None, 2001, Some(3)),
    ] {
        let said = ask(&mut ocs, debit(number), told, |answer| answer.result.0);
        assert_eq!(
            (said, ocs.balance(BOB)),
            (result, left),
            "{number} {told:?}"
        );
    }
}

#[test]
fn terms_are_told() {
    let mut ocs = Ocs::new(Terms {
        balances: [(BOB.to_owned(), 0)].into(),
        validity: Some(60),
        failover: Some(true),
        ccfh: Some(2),
        ddfh: Some(1),
        price: Some(25),
        inside: true,
        ..Terms::default()
    });
    let check = CreditRequest {
        action: Some(RequestedAction::CheckBalance),
        ..ccr("a", RequestType::Event, 0, SERVICES)
    };
    ask(&mut ocs, check, None, |answer| {
        assert_eq!(
            (answer.enough_credit, answer.failover),
            (Some(false), Some(true))
        );
        assert!(answer.failure.is_some() && answer.debit_failure.is_some());
        let cost = answer.cost.unwrap();
        assert_eq!((cost.digits, cost.exponent, cost.currency), (25, -2, 978));
    });
    let debit = ccr("b", RequestType::Event, 0, SERVICES);
    ask(&mut ocs, debit, None, |answer| {
        assert_eq!(
            (answer.result.0, answer.service_result),
            (2001, Some(ResultCode(4012)))
        );
    });
    ocs.set_balance(BOB, 1);
    let start = ccr("c", RequestType::Initial, 0, SERVICES);
    ask(&mut ocs, start, None, |answer| {
        assert_eq!(answer.validity, Some(60))
    });
}

#[test]
fn a_request_is_known_by_its_method_and_what_it_asks() {
    let mut w = ccr("a", RequestType::Event, 0, SERVICES).ccr();
    w.group(&SERVICE_INFORMATION, |w| {
        w.group(&IMS_INFORMATION, |w| {
            w.group(&EVENT_TYPE, |w| _ = w.utf8(&SIP_METHOD, "PUBLISH"));
        });
    });
    let bytes = w.finish(1_000).unwrap();
    assert_eq!(
        Ocs::keys(&Message::parse(&bytes).unwrap()),
        ["PUBLISH", "DEBIT"]
    );
    for (kind, key) in [
        (RequestType::Initial, "INITIAL"),
        (RequestType::Update, "UPDATE"),
        (RequestType::Termination, "TERMINATION"),
    ] {
        let bytes = ccr("a", kind, 0, SERVICES).ccr().finish(1_000).unwrap();
        assert_eq!(Ocs::keys(&Message::parse(&bytes).unwrap()), [key]);
    }
    let acr = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
    let acr = acr.finish(100).unwrap();
    assert!(Ocs::keys(&Message::parse(&acr).unwrap()).is_empty());
}

#[test]
fn an_accounting_answer_follows_its_request() {
    let mut ocs = Ocs::default();
    let mut w = Writer::request(CMD_ACCOUNTING, APP_ACCOUNTING);
    w.utf8(&SESSION_ID, "a")
        .i32(&ACCOUNTING_RECORD_TYPE, 1)
        .u32(&ACCOUNTING_RECORD_NUMBER, 0);
    let bytes = w.finish(1_000).unwrap();
    let request = Message::parse(&bytes).unwrap();
    for (told, result, duplicates) in [(None, 2001, 0), (Some(5012), 5012, 1)] {
        let (said, answer) = ocs.answer(&local(), &request, told);
        let answer = Message::parse(&answer).unwrap();
        let read = diameter::rf::AccountingAnswer::read(&answer).unwrap();
        assert_eq!(
            (said, read.result.0, ocs.duplicates),
            (result, result, duplicates)
        );
        assert!(read.answers("a", 0) && read.session_id.is_some());
    }
}
