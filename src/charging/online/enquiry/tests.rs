use super::Kind;
use super::*;
use diameter::credit::Denial;
use diameter::dictionary::*;
use diameter::write::Writer;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const BOB: &str = "sip:bob@ims.test";

fn question(kind: Kind) -> Enquiry {
    Enquiry::read(kind, Some("PUBLISH"), BOB, (Some("3"), None)).unwrap()
}

/// A CCA that says this.
fn answer(result: u32, fill: impl Fn(&mut Writer)) -> Outcome {
    let request = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    let request = request.finish(100).unwrap();
    let header = Message::parse(&request).unwrap().header;
    let mut w = Writer::answer(&header, ResultCode(result));
    w.utf8(&ORIGIN_HOST, "ocs.test").u32(&RESULT_CODE, result);
    fill(&mut w);
    Outcome::Answer(w.finish(1_000).unwrap())
}

fn cost(w: &mut Writer) {
    w.group(&COST_INFORMATION, |w| {
        w.group(&UNIT_VALUE, |w| {
            w.i64(&VALUE_DIGITS, 45).i32(&EXPONENT, -2);
        })
        .u32(&CURRENCY_CODE, 978)
        .utf8(&COST_UNIT, "message");
    });
}

/// What is said of a question with these outcomes in turn.
fn said(kind: Kind, outcomes: &[Outcome], decision: Decision) -> Said {
    let mut enquiries = Enquiries::default();
    let (reply, mut said) = oneshot::channel();
    let asked = Asked {
        enquiry: question(kind),
        reply,
    };
    let (key, ..) = enquiries
        .begin(NOW, asked, |event| event.number.to_string())
        .unwrap();
    assert_eq!(enquiries.units(key), Some(3));
    let units_in = UnitsIn::Services {
        service_identifier: None,
        rating_group: None,
    };
    for outcome in outcomes {
        enquiries.heard(key, outcome, units_in);
    }
    assert!(enquiries.decided(key, decision));
    assert!(!enquiries.decided(key, decision), "once");
    said.try_recv().unwrap()
}

const FAILED: Decision = Decision::Denied(Denial::Unavailable);

#[test]
fn a_price_is_told_as_the_ocs_has_it_and_an_error_by_its_result_code() {
    let price = Some(Price {
        value: "0.45".into(),
        currency: 978,
        unit: Some("message".into()),
    });
    let plain = |_: &mut Writer| {};
    for (case, kind, outcomes, decision, expected) in [
        (
            "a price",
            Kind::Price,
            vec![answer(2001, cost)],
            Decision::Granted,
            (Some(2001), price, None, None),
        ),
        (
            "no price",
            Kind::Price,
            vec![answer(2001, plain)],
            Decision::Granted,
            (Some(2001), None, None, Some("the OCS names no price")),
        ),
        (
            "enough",
            Kind::Balance,
            vec![answer(2001, |w| _ = w.i32(&CHECK_BALANCE_RESULT, 0))],
            Decision::Granted,
            (Some(2001), None, Some(true), None),
        ),
        (
            "not enough",
            Kind::Balance,
            vec![answer(2001, |w| _ = w.i32(&CHECK_BALANCE_RESULT, 1))],
            Decision::Denied(Denial::NoCredit),
            (Some(2001), None, Some(false), None),
        ),
        (
            "unknown, also where a price is told",
            Kind::Price,
            vec![answer(5030, cost)],
            Decision::Denied(Denial::Refused),
            (
                Some(5030),
                None,
                None,
                Some("the OCS does not know this user"),
            ),
        ),
        (
            "the words of the OCS",
            Kind::Price,
            vec![answer(5031, |w| _ = w.utf8(&ERROR_MESSAGE, "no tariff"))],
            FAILED,
            (Some(5031), None, None, Some("no tariff")),
        ),
        (
            "too busy, and no other OCS",
            Kind::Price,
            vec![answer(3004, plain), Outcome::NoPeer],
            FAILED,
            (Some(3004), None, None, Some("the OCS refuses the question")),
        ),
        (
            "none up",
            Kind::Balance,
            vec![Outcome::NoPeer],
            FAILED,
            (None, None, None, Some("no OCS is up")),
        ),
        (
            "silence",
            Kind::Balance,
            vec![],
            FAILED,
            (None, None, None, Some("no OCS answered in time")),
        ),
    ] {
        let said = said(kind, &outcomes, decision);
        let found = (said.result, said.price, said.enough, said.error.as_deref());
        assert_eq!(found, expected, "{case}");
        assert_eq!(said.ocs.is_some(), said.result.is_some(), "{case}");
    }
}

#[test]
fn questions_are_bounded_and_their_keys_are_those_of_no_charge() {
    let mut enquiries = Enquiries::default();
    let mut waiting = Vec::new();
    let mut begin = |enquiries: &mut Enquiries| {
        let (reply, said) = oneshot::channel();
        waiting.push(said);
        let enquiry = question(Kind::Price);
        let begun = enquiries.begin(NOW, Asked { enquiry, reply }, |_| String::new());
        begun.map(|(key, ..)| key)
    };
    let keys: Vec<u64> = (0..MOST).filter_map(|_| begin(&mut enquiries)).collect();
    assert_eq!(keys.len(), MOST);
    assert!(keys.is_sorted_by(|a, b| a < b) && keys[0] > first_of(Timestamp(1 << 42)));
    assert_eq!(begin(&mut enquiries), None);
    let refused = waiting.last_mut().unwrap().try_recv().unwrap();
    assert_eq!(refused.error, Some(Busy.to_string()));
}

#[test]
fn a_question_names_who_would_pay_for_how_much() {
    let read = |kind, method, user, units| Enquiry::read(kind, method, user, (units, None)).err();
    let price = |method, user, units| read(Kind::Price, method, user, units);
    for (refused, why) in [
        (price(Some("publish"), "tel:+1-555", None), None),
        (read(Kind::Balance, None, BOB, Some("1000000000")), None),
        (price(None, BOB, None), Some(BadQuestion::Method)),
        (price(Some("INVITE"), BOB, None), Some(BadQuestion::Method)),
        (price(Some("PUBLISH"), "bob", None), Some(BadQuestion::User)),
        (
            price(Some("PUBLISH"), "tel:7042;phone-context=a.test", None),
            Some(BadQuestion::User),
        ),
        (
            price(Some("PUBLISH"), BOB, Some("0")),
            Some(BadQuestion::Units),
        ),
        (
            price(Some("PUBLISH"), BOB, Some("x")),
            Some(BadQuestion::Units),
        ),
    ] {
        assert_eq!(refused, why);
    }
}

#[test]
fn a_question_may_name_the_ocs_of_its_user() {
    let long = "a".repeat(257);
    for (ecf, expected) in [
        ("ocs1.test", Some(&["ocs1.test"][..])),
        (
            "aaa://ocs1.test:3869;transport=tcp, 192.0.2.7",
            Some(&["aaa://ocs1.test:3869;transport=tcp", "192.0.2.7"]),
        ),
        ("", None),
        ("a,,b", None),
        ("a b", None),
        ("a\u{7}", None),
        ("a,b,c,d,e", None),
        (&long, None),
    ] {
        let read = Enquiry::read(Kind::Balance, None, BOB, (None, Some(ecf)));
        match (read, expected) {
            (Ok(enquiry), Some(expected)) => assert_eq!(enquiry.ecf, expected),
            (read, expected) => {
                assert_eq!(read.err(), Some(BadQuestion::Ecf), "{ecf}");
                assert!(expected.is_none(), "{ecf}");
            }
        }
    }
}

#[test]
fn a_value_is_written_as_a_decimal_number() {
    for (digits, exponent, expected) in [
        (15, -2, "0.15"),
        (1500, -2, "15.00"),
        (-5, -1, "-0.5"),
        (7, 0, "7"),
        (7, 3, "7000"),
        (0, -2, "0.00"),
        (i64::MIN, -18, "-9.223372036854775808"),
        (1, 19, "1e19"),
        (1, i32::MIN, "1e-2147483648"),
    ] {
        assert_eq!(decimal(digits, exponent), expected);
    }
}
