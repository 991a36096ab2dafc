//! CHG-03: OCSs that the core names with an `ecf`, and users for whom it names none.

use super::*;

/// Without an OCS in the configuration.
fn without_ocs(disk: &Disk, more: &str) -> Process {
    process_of(
        &format!("connect_timeout_ms = 500\n{COMMON}dynamic_peers = 1\n{ONLINE}{more}"),
        disk,
    )
}

fn named(number: u64, address: &str) -> Request {
    Request {
        ecf: vec![format!("aaa://{address};transport=tcp")],
        ..request(number)
    }
}

#[test]
fn an_ocs_that_only_an_ecf_names_is_connected_and_asked() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
        let mut process = without_ocs(&disk, "");
        process.online.ask(named(7, &ocs.address));
        let answer = process.answer(7).await;
        assert_eq!(answer.verdict, Verdict::Granted);
        process.give(7, answer.settled).await;
        process.online.ended(7, true);
        until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
        assert_eq!(ocs.balance().await, 4);
        assert_eq!(ocs.seen("connected").len(), 1);
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn without_an_ecf_and_without_an_ocs_nobody_is_charged() {
    run(async {
        let disk = Memory::new().disk();
        let mut process = without_ocs(&disk, "");
        process.online.ask(request(7));
        let expected = Answer {
            verdict: Verdict::Granted,
            settled: Settled::Unchanged,
        };
        assert_eq!(process.answer(7).await, expected);
        process.online.ended(7, true);
        assert_eq!(owed(&disk), 0);
        let off = "use_ecf = false";
        let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
        let mut process = super::process(&ocs.address, &disk, off);
        process.until_up().await;
        process.online.ask(named(8, "127.0.0.1:1"));
        process.answer(8).await;
        assert_eq!(ocs.asked().len(), 1, "the configuration decides");
    });
}

#[test]
fn an_ocs_that_is_named_and_cannot_be_reached_is_one_that_fails() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
        let mut process = without_ocs(&disk, "publish = 'ecur'");
        for (number, ecf) in [
            (7, "127.0.0.1:1"), // nobody listens
            (8, &*ocs.address), // no room for another one
            (9, "ocs.test:0"),  // no address at all
        ] {
            let mut asked = named(number, ecf);
            asked.event.method = Chargeable::Publish;
            process.online.ask(asked);
            let verdict = process.answer(number).await.verdict;
            assert_eq!(verdict, Verdict::Unavailable, "{ecf}");
        }
        assert_eq!(ocs.seen("connected").len(), 0);
    });
}

#[test]
fn a_named_ocs_that_is_down_leaves_the_charge_to_those_of_the_configuration() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "");
        process.until_up().await;
        process.online.ask(named(7, "127.0.0.1:1"));
        assert_eq!(process.answer(7).await.verdict, Verdict::Granted);
        assert_eq!(ocs.asked().len(), 1);
    });
}

#[test]
fn what_is_owed_to_a_named_ocs_is_settled_there_after_a_kill() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
        let mut dies = without_ocs(&disk, "");
        dies.online.ask(named(7, &ocs.address));
        dies.answer(7).await;
        assert_eq!(ocs.balance().await, 4);
        drop((dies.charging, dies.committer));
        let next = without_ocs(&disk, "");
        until(|| (owed(&disk) == 0).then_some(()), "given back").await;
        assert_eq!(ocs.balance().await, 5);
        next.charging.shutdown(Duration::from_secs(1)).await;
    });
}
