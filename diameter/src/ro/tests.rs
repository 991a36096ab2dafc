//! Requests as trees of AVPs, answers as what is read of them.

use super::*;
use crate::message::Avps;

fn request() -> CreditRequest<'static> {
    CreditRequest {
        session_id: "ps.ims.test;0;1;2",
        origin_host: "ps.ims.test",
        origin_realm: "ims.test",
        service_context_id: "32260@3gpp.org",
        kind: RequestType::Event,
        number: 0,
        action: Some(RequestedAction::DirectDebiting),
        cause: None,
        event_timestamp: 1_700_000_000,
        subscriptions: &[],
        units_in: UnitsIn::Services {
            service_identifier: None,
            rating_group: Some(7),
        },
        measure: Measure::Events,
        requested: Some(1),
        used: None,
        reason: None,
    }
}

/// The tree as one line.
fn tree(request: &CreditRequest<'_>) -> String {
    fn walk(avps: Avps<'_>) -> String {
        let one = |avp: Avp<'_>| {
            let def = avp.def().unwrap();
            match def.kind {
                Kind::Grouped => format!("{}{{{}}}", def.name, walk(avp.group())),
                Kind::U32 => format!("{}={}", def.name, avp.u32().unwrap()),
                Kind::U64 => format!("{}={}", def.name, avp.u64().unwrap()),
                Kind::Enumerated => format!("{}={}", def.name, avp.i32().unwrap()),
                Kind::Time => format!("{}=@{}", def.name, avp.time().unwrap()),
                _ => format!("{}={}", def.name, avp.text().unwrap()),
            }
        };
        avps.map(one).collect::<Vec<_>>().join(" ")
    }
    let bytes = request.ccr().finish(1_000).unwrap();
    let message = Message::parse(&bytes).unwrap();
    let header = message.header;
    assert_eq!(
        (header.command, header.application, header.flags.0),
        (CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL, 0xc0)
    );
    walk(message.avps())
}

#[test]
fn a_request_says_each_thing_in_the_order_of_its_grammar() {
    const HEAD: &str = "Session-Id=ps.ims.test;0;1;2 Origin-Host=ps.ims.test Origin-Realm=ims.test \
                        Auth-Application-Id=4 Service-Context-Id=32260@3gpp.org";
    let payers = [(2, "sip:alice@ims.test".to_owned()), (0, "1555".to_owned())];
    let event = request();
    let plain = CreditRequest {
        units_in: UnitsIn::Command,
        ..event
    };
    let reserve = CreditRequest {
        kind: RequestType::Initial,
        action: None,
        ..event
    };
    let report = CreditRequest {
        kind: RequestType::Termination,
        number: 2,
        action: None,
        requested: None,
        used: Some(1),
        cause: Some(TerminationCause::Logout),
        ..event
    };
    for (case, request, rest) in [
        (
            "debit",
            event,
            "CC-Request-Type=4 CC-Request-Number=0 Event-Timestamp=@1700000000 Requested-Action=0 \
             Multiple-Services-Credit-Control{Requested-Service-Unit{CC-Service-Specific-Units=1} Rating-Group=7}",
        ),
        (
            "refund with units at the level of the command",
            CreditRequest {
                action: Some(RequestedAction::RefundAccount),
                number: 1,
                subscriptions: &payers,
                ..plain
            },
            "CC-Request-Type=4 CC-Request-Number=1 Event-Timestamp=@1700000000 \
             Subscription-Id{Subscription-Id-Type=2 Subscription-Id-Data=sip:alice@ims.test} \
             Subscription-Id{Subscription-Id-Type=0 Subscription-Id-Data=1555} \
             Requested-Service-Unit{CC-Service-Specific-Units=1} Requested-Action=1",
        ),
        (
            "reservation",
            reserve,
            "CC-Request-Type=1 CC-Request-Number=0 Event-Timestamp=@1700000000 Multiple-Services-Indicator=1 \
             Multiple-Services-Credit-Control{Requested-Service-Unit{CC-Service-Specific-Units=1} Rating-Group=7}",
        ),
        (
            "report",
            report,
            "CC-Request-Type=3 CC-Request-Number=2 Event-Timestamp=@1700000000 Termination-Cause=1 \
             Multiple-Services-Credit-Control{Used-Service-Unit{CC-Service-Specific-Units=1} Rating-Group=7}",
        ),
        (
            "report with units at the level of the command",
            CreditRequest {
                units_in: UnitsIn::Command,
                ..report
            },
            "CC-Request-Type=3 CC-Request-Number=2 Event-Timestamp=@1700000000 Termination-Cause=1 \
             Used-Service-Unit{CC-Service-Specific-Units=1}",
        ),
    ] {
        assert_eq!(tree(&request), format!("{HEAD} {rest}"), "{case}");
    }
}

#[test]
fn a_report_says_why_beside_its_units_or_beside_the_service() {
    let report = |measure, reason| CreditRequest {
        kind: RequestType::Update,
        action: None,
        requested: None,
        used: Some(4),
        measure,
        reason: Some(reason),
        ..request()
    };
    for reason in [
        Reason::Threshold,
        Reason::HoldingTime,
        Reason::Final,
        Reason::QuotaExhausted,
        Reason::ValidityTime,
        Reason::ForcedReauthorisation,
        Reason::PoolExhausted,
    ] {
        let code = reason.code();
        assert_eq!(Reason::read(code), Some(reason));
        for (measure, units) in [
            (Measure::Events, "CC-Service-Specific-Units=4"),
            (Measure::Seconds, "CC-Time=4"),
        ] {
            // TS 32.299 §7.2: threshold and exhaustion are of a kind of units, the others of all
            let why = format!("Reporting-Reason={code}");
            let expected = match code {
                0 | 3 | 8 => format!("{{Used-Service-Unit{{{units} {why}}} Rating-Group=7}}"),
                _ => format!("{{Used-Service-Unit{{{units}}} Rating-Group=7 {why}}}"),
            };
            let tree = tree(&report(measure, reason));
            assert!(tree.ends_with(&expected), "{tree}");
        }
        let plain = CreditRequest {
            units_in: UnitsIn::Command,
            ..report(Measure::Events, reason)
        };
        assert!(!tree(&plain).contains("Reporting-Reason"));
    }
    assert_eq!(Reason::read(5), None);
}

#[test]
fn types_and_actions_are_read_as_they_are_written() {
    use RequestType::*;
    for (code, kind) in [(1, Initial), (2, Update), (3, Termination), (4, Event)] {
        assert_eq!((kind.code(), RequestType::read(code)), (code, Some(kind)));
    }
    use RequestedAction::*;
    for (code, action) in [
        (0, DirectDebiting),
        (1, RefundAccount),
        (2, CheckBalance),
        (3, PriceEnquiry),
    ] {
        assert_eq!(
            (action.code(), RequestedAction::read(code)),
            (code, Some(action))
        );
    }
    assert_eq!(
        (RequestType::read(0), RequestedAction::read(4)),
        (None, None)
    );
}

/// Reads an answer that `fill` wrote.
fn read<R>(fill: impl FnOnce(&mut Writer), check: impl FnOnce(Option<CreditAnswer<'_>>) -> R) -> R {
    let bytes = request().ccr().finish(1_000).unwrap();
    let header = Message::parse(&bytes).unwrap().header;
    let mut w = Writer::answer(&header, ResultCode::SUCCESS);
    fill(&mut w);
    let bytes = w.finish(1_000).unwrap();
    let units_in = request().units_in;
    check(CreditAnswer::read(
        &Message::parse(&bytes).unwrap(),
        units_in,
    ))
}

#[test]
fn everything_an_answer_says_is_read() {
    read(
        |w| {
            w.utf8(&SESSION_ID, "ps.ims.test;0;1;2")
                .u32(&RESULT_CODE, 2001)
                .utf8(&ORIGIN_HOST, "ocs.test")
                .i32(&CC_REQUEST_TYPE, 4)
                .u32(&CC_REQUEST_NUMBER, 0)
                .i32(&CC_SESSION_FAILOVER, 1)
                .group(&MULTIPLE_SERVICES_CREDIT_CONTROL, |w| {
                    w.u32(&RATING_GROUP, 8).u32(&VALIDITY_TIME, 1);
                })
                .group(&MULTIPLE_SERVICES_CREDIT_CONTROL, |w| {
                    w.group(&GRANTED_SERVICE_UNIT, |w| {
                        w.u32(&CC_TIME, 30).u64(&CC_SERVICE_SPECIFIC_UNITS, 5);
                    })
                    .u32(&RATING_GROUP, 7)
                    .u32(&UNIT_QUOTA_THRESHOLD, 2)
                    .u32(&TIME_QUOTA_THRESHOLD, 3)
                    .u32(&QUOTA_HOLDING_TIME, 90)
                    .group(&G_S_U_POOL_REFERENCE, |_| ())
                    .u32(&RESULT_CODE, 4011);
                })
                .group(&COST_INFORMATION, |w| {
                    w.group(&UNIT_VALUE, |w| {
                        _ = w.i64(&VALUE_DIGITS, 25).i32(&EXPONENT, -2)
                    })
                    .u32(&CURRENCY_CODE, 978)
                    .utf8(&COST_UNIT, "event");
                })
                .group(&FINAL_UNIT_INDICATION, |w| _ = w.i32(&FINAL_UNIT_ACTION, 9))
                .i32(&CHECK_BALANCE_RESULT, 1)
                .i32(&CREDIT_CONTROL_FAILURE_HANDLING, 2)
                .i32(&DIRECT_DEBITING_FAILURE_HANDLING, 1)
                .u32(&VALIDITY_TIME, 60);
        },
        |answer| {
            let answer = answer.unwrap();
            let expected = CreditAnswer {
                result: ResultCode(2001),
                service_result: Some(ResultCode(4011)),
                session_id: Some("ps.ims.test;0;1;2"),
                kind: Some(RequestType::Event),
                number: Some(0),
                origin_host: Some("ocs.test"),
                error_message: None,
                granted: Some(5),
                granted_time: Some(30),
                granted_other: false,
                threshold: Some(2),
                time_threshold: Some(3),
                holding: Some(90),
                pooled: true,
                validity: Some(60),
                final_unit: Some(FinalUnitAction::Terminate),
                failover: Some(true),
                failure: Some(FailureHandling::RetryAndTerminate),
                debit_failure: Some(DebitFailureHandling::Continue),
                enough_credit: Some(false),
                cost: Some(Cost {
                    digits: 25,
                    exponent: -2,
                    currency: 978,
                    unit: Some("event"),
                }),
            };
            assert_eq!(answer, expected);
            for (session, kind, number, ours) in [
                ("ps.ims.test;0;1;2", RequestType::Event, 0, true),
                ("ps.ims.test;0;1;3", RequestType::Event, 0, false),
                ("ps.ims.test;0;1;2", RequestType::Initial, 0, false),
                ("ps.ims.test;0;1;2", RequestType::Event, 1, false),
            ] {
                assert_eq!(answer.answers(session, kind, number), ours);
            }
        },
    );
}

#[test]
fn an_answer_may_say_next_to_nothing() {
    read(
        |_| {},
        |answer| assert_eq!(answer, None, "but it must have a result"),
    );
    read(
        |w| {
            w.group(&EXPERIMENTAL_RESULT, |w| {
                w.u32(&VENDOR_ID, VENDOR_3GPP)
                    .u32(&EXPERIMENTAL_RESULT_CODE, 4010);
            });
        },
        |answer| {
            let answer = answer.unwrap();
            assert_eq!((answer.result, answer.cost), (ResultCode(4010), None));
            assert!(answer.answers("any", RequestType::Initial, 9));
        },
    );
}
