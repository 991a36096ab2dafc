//! What no OCS takes is listed in the batch that forgets it, once, whenever the process is killed.

use super::*;
use crate::charging::desk::Wanted;
use ims::record::Table;

/// The list: what, units, Result-Code, OCS.
fn listed(process: &Process) -> Vec<(String, u64, u32, String)> {
    let listed = process.charging.desk().unpaid(&Wanted::default()).unwrap();
    let told = listed.into_iter().map(|cdr| {
        let credit = cdr.credit.unwrap();
        assert_eq!((cdr.number.as_str(), cdr.state.as_str()), ("7", "unpaid"));
        assert!(cdr.session_id.starts_with("ps.test;0;7;") && cdr.session_id.ends_with(";ro"));
        assert_eq!(cdr.icid.as_deref(), Some("icid-1"));
        (
            credit.what,
            credit.units.unwrap(),
            cdr.result.unwrap(),
            cdr.cdf,
        )
    });
    told.collect()
}

struct Case {
    name: &'static str,
    settings: &'static str,
    rules: &'static [&'static str],
    /// Whether there is an OCS.
    up: bool,
    /// The OCS takes longer than Tx.
    late: bool,
    fails: bool,
    listed: (&'static str, u32),
}

const BUFFERED: Case = Case {
    name: "a debit that was stored, and is refused when the OCS speaks",
    settings: "",
    rules: &["DEBIT=silent,silent,5012"],
    up: true,
    late: false,
    fails: false,
    listed: ("debit", 5012),
};

const CASES: [Case; 8] = [
    BUFFERED,
    Case {
        name: "an account that turns out to be empty",
        rules: &["DEBIT=silent,silent,4012"],
        listed: ("debit", 4012),
        ..BUFFERED
    },
    Case {
        name: "a refusal after Tx",
        rules: &["DEBIT=5030"],
        late: true,
        listed: ("debit", 5030),
        ..BUFFERED
    },
    Case {
        name: "an error, and the service goes on",
        settings: "ddfh = 'continue'",
        rules: &["5031"],
        listed: ("debit", 5031),
        ..BUFFERED
    },
    Case {
        name: "nobody there, and the service goes on",
        settings: "ddfh = 'continue'",
        up: false,
        listed: ("debit", 0),
        ..BUFFERED
    },
    Case {
        name: "a refund that is refused",
        rules: &["REFUND=5012"],
        fails: true,
        listed: ("refund", 5012),
        ..BUFFERED
    },
    Case {
        name: "a report that is refused",
        settings: "publish = 'ecur'",
        rules: &["TERMINATION=5012"],
        listed: ("report", 5012),
        ..BUFFERED
    },
    Case {
        name: "no reservation, and the service goes on",
        settings: "publish = 'ecur'\nccfh = 'continue'",
        rules: &["INITIAL=5031"],
        listed: ("report", 5031),
        ..BUFFERED
    },
];

async fn plays(case: &Case, killed: bool) {
    let name = format!("{}, killed: {killed}", case.name);
    let delay = Duration::from_millis(if case.late { 700 } else { 0 });
    let ocs = Ocs::slow(Applications::CREDIT_CONTROL, case.rules, 5, delay).await;
    let disk = Memory::new().disk();
    let address = if case.up { &ocs.address } else { "127.0.0.1:1" };
    let mut now = process(address, &disk, case.settings);
    if case.up {
        now.until_up().await;
    }
    let mut asked = request(7);
    if case.settings.contains("publish") {
        asked.event.method = Chargeable::Publish;
    }
    now.online.ask(asked);
    let answer = now.answer(7).await;
    assert_eq!(answer.verdict, Verdict::Granted, "{name}");
    if !case.fails {
        now.give(7, answer.settled).await;
    }
    if killed {
        let Process {
            charging,
            committer,
            ..
        } = now;
        drop((charging, committer)); // without a word about the service
        now = process(address, &disk, case.settings);
    } else {
        now.online.ended(7, !case.fails);
    }
    let (what, result) = case.listed;
    let ocs_named = if result == 0 { "" } else { "ocs.test" };
    let expected = [(what.to_owned(), 1, result, ocs_named.to_owned())];
    until(|| (!listed(&now).is_empty()).then_some(()), &name).await;
    assert_eq!(listed(&now), expected, "{name}");
    assert_eq!(owed(&disk), 0, "{name}: in one batch");
    now.charging.shutdown(Duration::from_secs(1)).await;
    // the next start has it, and no more
    let next = process(address, &disk, case.settings);
    assert_eq!(listed(&next), expected, "{name}");
    let counts = |count: &str| next.metrics.encode().contains(count).then_some(());
    until(|| counts("presentia_charging_unpaid 1\n"), &name).await;
    let desk = next.charging.desk();
    assert_eq!(desk.forget(&[7, 8]).await, Ok(1), "{name}");
    assert_eq!(listed(&next), [], "{name}");
    until(|| counts("presentia_charging_unpaid 0\n"), &name).await;
}

#[test]
fn what_no_ocs_takes_is_listed_once_whenever_the_process_dies() {
    for case in &CASES {
        for killed in [false, true] {
            run(plays(case, killed));
        }
    }
}

/// The batch that takes a charge off [`Table::Credit`] puts it on the list: no group of batches has one without the other.
#[test]
fn the_list_and_what_is_owed_change_in_one_batch() {
    run(async {
        let (ocs, disk) = (Ocs::start(&["REFUND=5012"], 5).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "");
        process.until_up().await;
        process.online.ask(request(7));
        process.answer(7).await;
        process.online.ended(7, false);
        let reader = Memory::open(disk.clone()).reader();
        let places = || {
            let has = |table| reader.scan(table, &[0], 1).unwrap().len();
            // read in the order in which a charge goes from one to the other: it may be seen twice, and never not at all
            (has(Table::Credit), has(Table::Unpaid))
        };
        until(
            || {
                let (owed, unpaid) = places();
                assert!(owed + unpaid > 0, "it is nowhere");
                (unpaid == 1).then_some(())
            },
            "the list",
        )
        .await;
        assert_eq!(places(), (0, 1));
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn with_a_full_list_nothing_that_costs_is_served_until_it_is_shorter() {
    run(async {
        let rules = ["REFUND=5012"];
        let (ocs, disk) = (Ocs::start(&rules, 5).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "unpaid_max = 1");
        process.until_up().await;
        process.online.ask(request(7));
        process.answer(7).await;
        process.online.ended(7, false);
        until(|| (listed(&process).len() == 1).then_some(()), "the list").await;
        let asked = ocs.asked().len();
        process.online.ask(request(8));
        let refused = process.answer(8).await;
        assert_eq!(refused.verdict, Verdict::Unavailable);
        assert_eq!(refused.settled, Settled::Unchanged);
        assert_eq!(ocs.asked().len(), asked, "the OCS hears nothing of it");
        assert_eq!(process.charging.desk().forget(&[7]).await, Ok(1));
        process.online.ask(request(9));
        assert_eq!(process.answer(9).await.verdict, Verdict::Granted);
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}
