//! What began is what ended and what is there, at each moment, whenever the process is killed.

use super::*;
use crate::charging::online::accounts::{self, Counts, Hour};

fn hours(disk: &Disk) -> Vec<Hour> {
    accounts::read(&*Memory::open(disk.clone()).reader()).unwrap()
}

/// All hours together, which add up.
fn all(disk: &Disk) -> (u64, u64, Counts) {
    let (mut asked, mut open, mut all) = (0, 0, Counts::default());
    for hour in hours(disk) {
        assert!(hour.adds_up(), "{hour:?}");
        (asked, open) = (asked + hour.asked, open + hour.open);
        all.merge(&hour.all);
        let mut ocss = Counts::default();
        hour.ocss.values().for_each(|ocs| ocss.merge(ocs));
        assert_eq!(ocss, hour.all, "the OCSs are all there is");
    }
    (asked, open, all)
}

/// The number of a charge of this hour: accounts of 1970 would not be kept.
fn recent() -> u64 {
    ims::charge::first_of(crate::charging::line::wall_clock()) | 7
}

struct Case {
    name: &'static str,
    settings: &'static str,
    rules: &'static [&'static str],
    up: bool,
    fails: bool,
    /// What it comes to, and what it was to begin with.
    end: fn(&Counts) -> u64,
    /// Units debited in the end.
    units: u64,
}

const DEBIT: Case = Case {
    name: "a debit",
    settings: "",
    rules: &[],
    up: true,
    fails: false,
    end: |all| all.settled,
    units: 1,
};

const CASES: [Case; 12] = [
    DEBIT,
    Case {
        name: "a reservation",
        settings: "publish = 'ecur'",
        ..DEBIT
    },
    Case {
        name: "free of charge",
        rules: &["4011"],
        end: |all| all.free,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "no credit",
        rules: &["4012"],
        end: |all| all.no_credit,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "a user who is not served",
        rules: &["5030"],
        end: |all| all.refused,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "an error",
        rules: &["5031"],
        end: |all| all.unavailable,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "a service that fails",
        fails: true,
        end: |all| all.returned,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "a reserved service that fails",
        settings: "publish = 'ecur'",
        fails: true,
        end: |all| all.returned,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "silence, then a debit with T",
        rules: &["DEBIT=silent,silent,2001"],
        ..DEBIT
    },
    Case {
        name: "silence, then a refusal",
        rules: &["DEBIT=silent,silent,4012"],
        end: |all| all.given_up,
        units: 0,
        ..DEBIT
    },
    Case {
        name: "a refund that is refused",
        rules: &["REFUND=5012"],
        fails: true,
        end: |all| all.given_up,
        units: 1,
        ..DEBIT
    },
    Case {
        name: "nobody there, and the service goes on",
        settings: "ddfh = 'continue'",
        up: false,
        end: |all| all.given_up,
        units: 0,
        ..DEBIT
    },
];

/// Waits until nothing is open, and says what it came to.
async fn until_over(disk: &Disk, name: &str) -> Counts {
    let over = || {
        let (asked, open, all) = all(disk);
        assert_eq!((asked, all.ended() + open), (1, 1), "{name}");
        (open == 0).then_some(all)
    };
    until(over, name).await
}

async fn plays(case: &Case, killed: bool) {
    let name = format!("{}, killed: {killed}", case.name);
    let ocs = Ocs::start(case.rules, 5).await;
    let disk = Memory::new().disk();
    let address = if case.up { &ocs.address } else { "127.0.0.1:1" };
    let mut now = process(address, &disk, case.settings);
    if case.up {
        now.until_up().await;
    }
    let number = recent();
    let mut asked = request(number);
    if case.settings.contains("publish") {
        asked.event.method = Chargeable::Publish;
    }
    now.online.ask(asked);
    let answer = now.answer(number).await;
    let granted = answer.verdict == Verdict::Granted;
    if granted && !case.fails {
        now.give(number, answer.settled).await;
    }
    if killed {
        let Process {
            charging,
            committer,
            ..
        } = now;
        drop((charging, committer)); // without a word about the service
        assert_eq!(all(&disk).0, 1, "{name}: counted before it was asked");
        now = process(address, &disk, case.settings);
    } else if granted {
        now.online.ended(number, !case.fails);
    }
    let over = until_over(&disk, &name).await;
    // an error says nothing of a debit that may have been made before the kill
    let doubt = killed && over.unavailable + over.returned == 1 && case.rules == ["5031"];
    assert!(doubt || (case.end)(&over) == 1, "{name}: {over:?}");
    if !killed {
        assert_eq!(over.units, case.units, "{name}");
        answers_are_counted(&disk, case, &name).await;
    }
    let listed = over.given_up;
    assert_eq!(over.listed, listed, "{name}");
    if listed > 0 {
        assert_eq!(now.charging.desk().forget(&[number]).await, Ok(1), "{name}");
        assert_eq!(all(&disk).2.forgotten, 1, "{name}");
    }
    now.charging.shutdown(Duration::from_secs(1)).await;
    let next = process(address, &disk, case.settings);
    assert_eq!(all(&disk).0, 1, "{name}: nothing is counted twice");
    next.charging.shutdown(Duration::from_secs(1)).await;
}

/// Requests and their answers follow within a second.
async fn answers_are_counted(disk: &Disk, case: &Case, name: &str) {
    let counted = || {
        let (_, _, all) = all(disk);
        let answers = all.success + all.protocol + all.transient + all.permanent;
        let asked = all.requests + all.unsent;
        let silent = case.rules.iter().any(|rule| rule.contains("silent"));
        let told = asked > 0 && answers + all.unanswered + all.odd == all.requests;
        (told && (all.unanswered > 0) == silent).then_some(all)
    };
    let all = until(counted, name).await;
    assert_eq!(all.resent > 0, all.unanswered > 0, "{name}: {all:?}");
    let refunded = case.fails && !case.settings.contains("ecur");
    assert_eq!(all.refunds, u64::from(refunded), "{name}");
}

#[test]
fn each_charge_is_in_the_accounts_once_whenever_the_process_dies() {
    for case in &CASES {
        for killed in [false, true] {
            run(plays(case, killed));
        }
    }
}
