//! What an OCS was asked for a SIP request is found by its icid and Call-ID, and shown as it is answered.

use super::*;
use crate::charging::cdr::Cdr;
use crate::charging::desk::Wanted;

fn by_icid() -> Wanted {
    Wanted {
        icid: Some("icid-1".into()),
        ..Wanted::default()
    }
}

/// State, what, CC-Request-Number, T, Result-Code, OCS.
fn told(cdr: &Cdr) -> (String, String, Option<u32>, bool, Option<u32>, String) {
    let credit = cdr.credit.clone().unwrap();
    let (state, what) = (cdr.state.clone(), credit.what);
    (
        state,
        what,
        credit.request,
        credit.retransmitted,
        cdr.result,
        cdr.cdf.clone(),
    )
}

#[test]
fn each_request_for_credit_is_found_by_its_sip_request_and_followed() {
    run(async {
        let rules = ["DEBIT=silent,2001", "REFUND=2001"];
        let (ocs, disk) = (Ocs::start(&rules, 5).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "");
        process.until_up().await;
        process.online.ask(request(7));
        let desk = process.charging.desk();
        assert_eq!(process.answer(7).await.verdict, Verdict::Granted); // Tx is over
        let open = desk.trace(&by_icid()).unwrap();
        assert!(open.iter().any(|cdr| cdr.state == "open"), "{open:?}");
        process.online.ended(7, false);
        let asked = |found: Vec<Cdr>| -> Vec<Cdr> {
            found
                .into_iter()
                .filter(|cdr| cdr.state != "open")
                .collect()
        };
        let traced = || {
            let found = desk.trace(&by_icid()).unwrap();
            let open = found.iter().any(|cdr| cdr.state == "open");
            Some(asked(found)).filter(|found| found.len() == 3 && !open)
        };
        let traced = until(traced, "debit, debit with T, refund").await;
        let line = |state: &str, what: &str, number, again, result| {
            let ocs = "ocs.test".to_owned();
            (
                state.to_owned(),
                what.to_owned(),
                Some(number),
                again,
                result,
                ocs,
            )
        };
        let expected = [
            line("unanswered", "debit", 0, false, None),
            line("answered", "debit", 0, true, Some(2001)),
            line("answered", "refund", 1, false, Some(2001)),
        ];
        assert_eq!(traced.iter().map(told).collect::<Vec<_>>(), expected);
        let sent = ocs.asked();
        for (cdr, ccr) in traced.iter().zip(&sent) {
            assert_eq!(ccr["avps"]["Session-Id"][0], cdr.session_id.as_str());
            let credit = cdr.credit.as_ref().unwrap();
            assert_eq!((credit.requested, credit.units), (Some(1), Some(1)));
            assert!(credit.asked_at.unwrap() <= cdr.at.unwrap());
        }
        let (last, tail) = desk.tail(0);
        assert_eq!(
            (last, tail),
            (3, traced.clone()),
            "in the order of their answers"
        );
        assert_eq!(desk.tail(2).1, traced[2..]);
        assert_eq!(desk.tail(3).1, []);
        let other = Wanted {
            call_id: Some("another".into()),
            ..Wanted::default()
        };
        assert_eq!(desk.trace(&other).unwrap(), []);
        let metrics = process.metrics.encode();
        for line in [
            "presentia_charging_ocs_total{peer=\"ocs.test\",outcome=\"requests\"} 3",
            "presentia_charging_ocs_total{peer=\"ocs.test\",outcome=\"unanswered\"} 1",
            "presentia_charging_ocs_total{peer=\"ocs.test\",outcome=\"success\"} 2",
            "presentia_charging_ocs_total{peer=\"ocs.test\",outcome=\"refunds\"} 1",
        ] {
            assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
        }
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn what_is_kept_of_answered_requests_is_bounded() {
    run(async {
        let (ocs, disk) = (Ocs::start(&["PRICE=2001"], 5).await, Memory::new().disk());
        let process = process(&ocs.address, &disk, "");
        process.until_up().await;
        let enquirer = process.online.enquirer();
        for _ in 0..4_010 {
            let enquiry = Enquiry::read(Kind::Price, Some("PUBLISH"), ALICE, (None, None)).unwrap();
            enquirer.ask(enquiry).await.unwrap();
        }
        let desk = process.charging.desk();
        let (last, shown) = desk.tail(0);
        assert_eq!((last, shown.len()), (4_010, 4_000));
        assert_eq!(shown[0].credit.as_ref().unwrap().what, "price");
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}
