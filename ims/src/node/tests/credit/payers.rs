//! Who pays for what happens in a subscription (RFC 5502, TS 32.260 §5.1): whoever paid for its SUBSCRIBE.

use super::*;
use crate::charge::{NotifyPayer, Outcomes};

const TERMINATING: &str = "P-Served-User: <sip:bob@ims.test>;sescase=term;regstate=reg\r\n";

fn charged(notify_payer: NotifyPayer) -> Bench {
    let triggers = Triggers {
        subscribe: Outcomes::All,
        notify: Outcomes::All,
        ..Triggers::OFF
    };
    Bench::new(Settings {
        triggers,
        notify_payer,
        ..settings()
    })
}

impl Bench {
    /// Who pays for what the last input caused, with the method.
    fn bills(&self) -> Vec<(Chargeable, Vec<String>)> {
        let bill = |effect: &Effect| match effect {
            Effect::Charge(event) => Some((event.method, event.payers().to_vec())),
            _ => None,
        };
        self.out.held.iter().filter_map(bill).collect()
    }

    fn payers_stored(&self) -> usize {
        let is_payer = |key: &&(Table, Vec<u8>)| key.0 == Table::SubscriptionPayer;
        self.store.keys().filter(is_payer).count()
    }
}

/// One request or NOTIFY on one account.
fn on(method: Chargeable, payer: &str) -> Vec<(Chargeable, Vec<String>)> {
    vec![(method, vec![payer.to_owned()])]
}

#[test]
fn all_of_a_dialog_goes_on_the_account_of_its_subscribe_also_after_a_restart() {
    use Chargeable::{Notify, Subscribe};
    for (case, served, policy, of_subscribe, of_notify, stored) in [
        (
            "the watcher",
            "",
            NotifyPayer::Subscription,
            ALICE,
            ALICE,
            0,
        ),
        (
            "the presentity is served",
            TERMINATING,
            NotifyPayer::Subscription,
            BOB,
            BOB,
            1,
        ),
        (
            "the presentity is to pay for what it is told of",
            "",
            NotifyPayer::Presentity,
            ALICE,
            BOB,
            0,
        ),
    ] {
        let mut bench = charged(policy);
        let sent = bench.subscribe(served);
        assert_eq!(bench.bills(), on(Subscribe, of_subscribe), "{case}");
        assert_eq!(bench.payers_stored(), stored, "{case}");
        bench.answer(&sent[1], 200, "");
        assert_eq!(bench.bills(), on(Notify, of_notify), "{case}");
        bench.restart(10_000);
        // P-Served-User stands in initial requests only
        let told = bench.renew(&sent[0], "");
        assert_eq!(bench.bills(), on(Subscribe, of_subscribe), "{case}");
        bench.answer(&told[1], 200, "");
        assert_eq!(bench.bills(), on(Notify, of_notify), "{case}");
        bench.wait(5_000);
        let told = bench.renew(&sent[0], "Expires: 0\r\n");
        assert_eq!(bench.bills(), on(Subscribe, of_subscribe), "{case}");
        assert_eq!(
            bench.payers_stored(),
            stored,
            "{case}: a NOTIFY is under way"
        );
        bench.answer(&told[1], 200, "");
        assert_eq!(bench.bills(), on(Notify, of_notify), "{case}");
        assert_eq!(bench.payers_stored(), 0, "{case}: it is over");
    }
}

#[test]
fn in_each_package_a_notify_is_paid_by_whom_its_subscribe_was() {
    for (case, subscribe) in packages() {
        let mut bench = charged(NotifyPayer::Subscription);
        let sent = subscribe(&mut bench);
        let opened = bench.bills();
        assert_eq!(opened.len(), 1, "{case}: {opened:?}");
        bench.answer(&sent[1], 200, "");
        let told = bench.bills();
        assert_eq!(told, [(Chargeable::Notify, opened[0].1.clone())], "{case}");
    }
}

#[test]
fn credit_for_a_notify_is_asked_of_the_account_of_its_subscribe() {
    for (served, payer) in [("", ALICE), (TERMINATING, BOB)] {
        let mut bench = bench(Online {
            notify: true,
            waiting: 2,
            patience: Millis(5_000),
            ..Online::OFF
        });
        bench.subscribe(served);
        assert_eq!(bench.asked()[0].event.payers(), [payer]);
    }
}

#[test]
fn what_is_remembered_of_a_subscription_that_is_gone_leaves_the_store() {
    let mut bench = charged(NotifyPayer::Subscription);
    let value = crate::record::encode(&vec![BOB.to_owned()]);
    let key = (Table::SubscriptionPayer, 77u64.to_be_bytes().to_vec());
    bench.store.insert(key, value);
    bench.restart(0);
    assert_eq!(bench.payers_stored(), 0);
}

#[test]
fn where_nothing_is_charged_nothing_is_remembered() {
    let mut bench = Bench::new(settings());
    bench.subscribe(TERMINATING);
    assert_eq!(bench.payers_stored(), 0);
}

/// TS 24.229 §5.2.6.3: a P-CSCF asserts who asks in initial requests, and need not within a dialog.
#[test]
fn a_refresh_that_asserts_nobody_goes_on_the_account_of_its_dialog_and_a_stranger_on_none() {
    for (served, payer) in [("", ALICE), (TERMINATING, BOB)] {
        let mut bench = charged(NotifyPayer::Subscription);
        let sent = bench.subscribe(served);
        bench.answer(&sent[1], 200, "");
        for (call_id, status, payers) in [
            (sent[0].get("Call-ID"), 200, vec![payer.to_owned()]),
            ("another", 481, vec![]),
        ] {
            let head = format!(
                "Event: presence\r\nContact: <sip:10.0.0.2:5060>\r\nTo: {}\r\nCall-ID: {call_id}\r\n",
                sent[0].get("To"),
            );
            let answers = bench.ask("SUBSCRIBE", BOB, &head, "");
            assert_eq!(answers[0].status(), status, "{payer}");
            assert_eq!(bench.bills(), [(Chargeable::Subscribe, payers)], "{status}");
        }
    }
}

/// The record of a NOTIFY names the network that the NOTIFY names as its origin (RFC 7315 §4.6.2.2).
#[test]
fn the_record_of_a_notify_says_that_it_originates_in_our_network() {
    const VECTOR: &str = "P-Charging-Vector: icid-value=x;orig-ioi=away.test;term-ioi=odd.test\r\n";
    let mut bench = charged(NotifyPayer::Subscription);
    let sent = bench.subscribe(&format!("{VECTOR}Record-Route: <sip:10.0.0.2;lr>\r\n"));
    assert!(
        sent[1]
            .get("P-Charging-Vector")
            .ends_with(";orig-ioi=ims.test")
    );
    bench.answer(&sent[1], 200, "");
    let ioi = |effect: &Effect| match effect {
        Effect::Charge(event) => Some((event.orig_ioi.clone(), event.term_ioi.clone())),
        _ => None,
    };
    let said: Vec<_> = bench.out.held.iter().filter_map(ioi).collect();
    assert_eq!(said, [(Some("ims.test".to_owned()), None)]);
}
