//! What nobody pays is asked for again when the operator says so, and leaves the list when it is paid.

use super::*;
use crate::charging::desk::{Resent, Wanted};
use crate::charging::online::accounts;
use crate::charging::unpaid;

/// Number of the one charge: of this hour.
fn recent() -> u64 {
    ims::charge::first_of(crate::charging::line::wall_clock()) | 7
}

/// Listed, collected, on the list, units.
fn list(disk: &Disk) -> (u64, u64, u64, u64) {
    let hours = accounts::read(&*Memory::open(disk.clone()).reader()).unwrap();
    assert!(hours.iter().all(accounts::Hour::adds_up), "{hours:?}");
    let sum = |of: fn(&accounts::Hour) -> u64| hours.iter().map(of).sum();
    (
        sum(|hour| hour.all.listed),
        sum(|hour| hour.all.collected),
        sum(|hour| hour.unpaid),
        sum(|hour| hour.all.units),
    )
}

/// A process with one entry on its list: a service that was given for nothing, or a refund that was refused.
async fn with_entry(ocs: &Ocs, disk: &Disk, number: u64, fails: bool) -> Process {
    let mut process = process(&ocs.address, disk, "ddfh = 'continue'");
    process.until_up().await;
    process.online.ask(request(number));
    let answer = process.answer(number).await;
    if !fails {
        process.give(number, answer.settled).await;
    }
    process.online.ended(number, !fails);
    until(|| (list(disk).2 == 1).then_some(()), "the list").await;
    process
}

async fn resend(process: &Process, number: u64) -> Resent {
    let mut all = process.charging.desk().resend(number).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Session-Id and CC-Request-Number of each CCR.
fn asked(ocs: &Ocs) -> Vec<(String, i64, bool)> {
    let avp = |ccr: &Value, name: &str| ccr["avps"][name][0].clone();
    let of = |ccr: &Value| {
        let session = avp(ccr, "Session-Id").as_str().unwrap().to_owned();
        let number = avp(ccr, "CC-Request-Number").as_i64().unwrap();
        (session, number, ccr["t"] == true)
    };
    ocs.asked().iter().map(of).collect()
}

#[test]
fn an_ocs_that_still_refuses_is_shown_and_one_that_pays_ends_the_entry() {
    run(async {
        let (ocs, disk) = (
            Ocs::start(&["5012,5030,2001"], 5).await,
            Memory::new().disk(),
        );
        let number = recent();
        let process = with_entry(&ocs, &disk, number, false).await;
        let refused = resend(&process, number).await;
        assert_eq!((refused.paid, refused.said.result), (false, Some(5030)));
        assert_eq!(refused.said.ocs.as_deref(), Some("ocs.test"));
        let desk = process.charging.desk();
        let entry = desk.unpaid(&Wanted::default()).unwrap().remove(0);
        assert_eq!(entry.result, Some(5030), "the last word of the OCS");
        assert_eq!(list(&disk), (1, 0, 1, 0));
        let paid = resend(&process, number).await;
        assert_eq!(
            (paid.paid, paid.said.result, paid.units),
            (true, Some(2001), 1)
        );
        assert_eq!(list(&disk), (1, 1, 0, 1), "listed, collected, left, units");
        assert_eq!(ocs.balance().await, 4);
        assert_eq!(desk.resend(number).await, Ok(Vec::new()), "once");
        let sessions: Vec<String> = asked(&ocs)
            .into_iter()
            .map(|(session, ..)| session)
            .collect();
        let again = |session: &String| {
            let rest = session.strip_prefix(sessions[0].as_str()).unwrap();
            let parts: Vec<&str> = rest.split(';').collect();
            (parts.get(1).copied() == Some("again")).then(|| parts[3].to_owned())
        };
        let numbers: Vec<_> = sessions.iter().map(again).collect();
        let expected = [None, Some("1".to_owned()), Some("2".to_owned())];
        assert_eq!(numbers, expected, "none is a duplicate of another");
        let counts = || {
            process
                .metrics
                .encode()
                .contains("presentia_charging_unpaid 0\n")
                .then_some(())
        };
        until(counts, "nothing is on the list").await;
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_refund_that_was_refused_is_given_back_later_in_the_session_of_its_debit() {
    run(async {
        let rules = ["REFUND=5012,2001"];
        let (ocs, disk) = (Ocs::start(&rules, 5).await, Memory::new().disk());
        let number = recent();
        let process = with_entry(&ocs, &disk, number, true).await;
        assert_eq!(ocs.balance().await, 4);
        let back = resend(&process, number).await;
        assert!(back.paid && back.what == "refund", "{back:?}");
        assert_eq!(ocs.balance().await, 5);
        let asked = asked(&ocs);
        let numbers: Vec<i64> = asked.iter().map(|(_, number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 2], "each its own in one session");
        assert!(asked.iter().all(|(session, ..)| *session == asked[0].0));
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

/// Entries of one charge are debited each, though they have its number and Session-Id in common.
#[test]
fn several_entries_of_a_charge_are_taken_one_by_one() {
    run(async {
        let (ocs, disk) = (Ocs::start(&["5012,2001"], 5).await, Memory::new().disk());
        let number = recent();
        let process = with_entry(&ocs, &disk, number, false).await;
        let found = unpaid::entries(&*Memory::open(disk.clone()).reader(), number).unwrap();
        let (mut key, value) = found[0].clone();
        *key.last_mut().unwrap() ^= 1;
        let mut batch = Batch::default();
        batch.put_bytes(Table::Unpaid, &key, &value);
        process.commit(batch).await;
        let all = process.charging.desk().resend(number).await.unwrap();
        assert!(
            all.len() == 2 && all.iter().all(|entry| entry.paid),
            "{all:?}"
        );
        assert_eq!(ocs.balance().await, 3, "both are debited");
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

/// The OCS takes it, and the process dies before that is stored: the next one asks under the same Session-Id with T, and
/// the account is debited once.
#[test]
fn what_was_paid_when_the_process_died_is_paid_once() {
    run(async {
        let disk = Memory::new().disk();
        let delay = Duration::from_millis(300);
        let applications = Applications::CREDIT_CONTROL;
        let ocs = Ocs::slow(applications, &["5012,2001"], 5, delay).await;
        let number = recent();
        let now = with_entry(&ocs, &disk, number, false).await;
        let desk = now.charging.desk();
        let resending = tokio::task::spawn_local(async move { desk.resend(number).await });
        until(|| (ocs.asked().len() == 2).then_some(()), "asked again").await;
        resending.abort();
        let Process {
            charging,
            committer,
            ..
        } = now;
        drop((charging, committer));
        assert_eq!(list(&disk), (1, 0, 1, 0), "it is still listed");
        let next = process(&ocs.address, &disk, "");
        next.until_up().await;
        let paid = resend(&next, number).await;
        assert!(paid.paid, "{paid:?}");
        let asked = asked(&ocs);
        assert_eq!(asked[1].0, asked[2].0, "the same Session-Id");
        assert_eq!((asked[1].2, asked[2].2), (false, true), "with T");
        assert_eq!(ocs.balance().await, 4, "debited once");
        assert_eq!(list(&disk), (1, 1, 0, 1));
        next.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn without_an_answer_it_stays_on_the_list() {
    run(async {
        for (rules, up, result) in [(&["5012,silent"][..], true, None), (&["5012"], false, None)] {
            let (ocs, disk) = (Ocs::start(rules, 5).await, Memory::new().disk());
            let number = recent();
            let mut process = with_entry(&ocs, &disk, number, false).await;
            if !up {
                process.charging.shutdown(Duration::from_secs(1)).await;
                process = self::process("127.0.0.1:1", &disk, "");
            }
            let silent = resend(&process, number).await;
            assert_eq!((silent.paid, silent.said.result), (false, result));
            assert!(silent.said.error.is_some());
            assert_eq!(list(&disk), (1, 0, 1, 0));
            process.charging.shutdown(Duration::from_secs(1)).await;
        }
    });
}
