//! Simulated OCSs and the client that a server would use, over sockets.

use super::*;
use crate::sim::client::{self, Ask, End};
use diameter::base::Applications;
use diameter::credit::client::Charge;
use diameter::credit::{Decision, Denial, Policy};
use diameter::ro::UnitsIn;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

const BOB: &str = "sip:bob@ims.test";
const GRANTED: End = End::Decided(Decision::Granted);
const UNAVAILABLE: End = End::Decided(Decision::Denied(Denial::Unavailable));

/// Bound on each scenario; all of them are done long before.
const LIMIT: Duration = Duration::from_secs(20);

fn settings(host: &str, rules: &[&str], terms: Terms) -> Settings {
    Settings {
        local: Local {
            host: host.into(),
            realm: "test".into(),
            product: "test".into(),
            state_id: 1,
            applications: Applications::CREDIT_CONTROL,
        },
        script: Script::new(rules.iter().map(|rule| rule.parse().unwrap()).collect(), 1),
        terms,
        delay: Duration::ZERO,
        rar_after: None,
        json: true,
        pcap: None,
        journal: None,
    }
}

/// An OCS that runs as long as the test, with what it printed and where it takes commands.
struct Running {
    address: SocketAddr,
    printed: Rc<RefCell<Vec<Value>>>,
    commands: mpsc::Sender<String>,
}

impl Running {
    /// Must run inside a `LocalSet`.
    async fn start(settings: Settings) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let printed = Rc::new(RefCell::new(Vec::new()));
        let (commands, orders) = mpsc::channel(4);
        let lines = printed.clone();
        let tell = move |line: &str| {
            lines.borrow_mut().push(serde_json::from_str(line).unwrap());
            true
        };
        tokio::task::spawn_local(serve(settings, listener, orders, tell));
        Running {
            address,
            printed,
            commands,
        }
    }

    /// The CCRs that came: what was asked, whether with T, and what was answered.
    fn asked(&self) -> Vec<(String, bool, Value)> {
        let printed = self.printed.borrow();
        let requests = printed.iter().filter(|line| line["event"] == "CCR");
        let one = |line: &Value| {
            let number = |name: &str| line["avps"][name][0].as_i64();
            let kind = match (number("CC-Request-Type"), number("Requested-Action")) {
                (Some(1), _) => "initial",
                (Some(2), _) => "update",
                (Some(3), _) => "termination",
                (_, Some(1)) => "refund",
                (_, Some(2)) => "balance",
                (_, Some(3)) => "price",
                _ => "debit",
            };
            let t = line["t"].as_bool().unwrap();
            (kind.to_owned(), t, line["answer"].clone())
        };
        requests.map(one).collect()
    }
}

fn ask(peers: &[&Running], charge: Charge) -> Ask {
    Ask {
        peers: peers.iter().map(|ocs| ocs.address).collect(),
        host: "ps.test".into(),
        realm: "ps.test".into(),
        destination: None,
        service_context_id: "32260@3gpp.org".into(),
        charge,
        subscriber: (2, BOB.into()),
        method: "SUBSCRIBE".into(),
        lasts: Duration::ZERO,
        fails: false,
        policy: Policy {
            tx: 300,
            retry: (100, 100),
            ..Policy::default()
        },
        units_in: UnitsIn::Services {
            service_identifier: None,
            rating_group: Some(7),
        },
        answer_timeout: Duration::from_millis(600),
        patience: Duration::from_secs(10),
    }
}

/// Runs a charge to its end; what the client said, with its times cut off.
async fn charge(ask: Ask) -> (End, Vec<String>) {
    let mut said = Vec::new();
    let tell = |line: &str| {
        said.push(line.split_once(' ').unwrap().1.to_owned());
        true
    };
    let end = tokio::time::timeout(LIMIT, client::run(ask, [1; 32], tell)).await;
    (end.expect("it ends in time"), said)
}

fn run<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(tokio::task::LocalSet::new().run_until(work))
}

fn asked(rows: &[(&str, bool, u32)]) -> Vec<(String, bool, Value)> {
    let row = |(kind, t, result): &(&str, bool, u32)| {
        let result = if *result == 0 {
            "silent".into()
        } else {
            Value::from(*result)
        };
        ((*kind).to_owned(), *t, result)
    };
    rows.iter().map(row).collect()
}

#[test]
fn each_charge_is_asked_and_settled() {
    let no_credit = End::Decided(Decision::Denied(Denial::NoCredit));
    type Row<'a> = (
        &'a str,
        Charge,
        bool,
        i64,
        &'a [&'a str],
        End,
        &'a [(&'a str, bool, u32)],
        i64,
    );
    let rows: &[Row<'_>] = &[
        (
            "debit",
            Charge::Debit,
            false,
            2,
            &[],
            GRANTED,
            &[("debit", false, 2001)],
            1,
        ),
        (
            "a debit whose service fails",
            Charge::Debit,
            true,
            2,
            &[],
            GRANTED,
            &[("debit", false, 2001), ("refund", false, 2001)],
            2,
        ),
        (
            "no credit",
            Charge::Debit,
            false,
            0,
            &[],
            no_credit,
            &[("debit", false, 4012)],
            0,
        ),
        (
            "free of charge",
            Charge::Debit,
            false,
            2,
            &["SUBSCRIBE=4011"],
            End::Decided(Decision::Free),
            &[("debit", false, 4011)],
            2,
        ),
        (
            "reserve",
            Charge::Reserve,
            false,
            2,
            &[],
            GRANTED,
            &[("initial", false, 2001), ("termination", false, 2001)],
            1,
        ),
        (
            "a reservation whose service fails",
            Charge::Reserve,
            true,
            2,
            &[],
            GRANTED,
            &[("initial", false, 2001), ("termination", false, 2001)],
            2,
        ),
        (
            "balance",
            Charge::CheckBalance,
            false,
            1,
            &[],
            GRANTED,
            &[("balance", false, 2001)],
            1,
        ),
        (
            "no balance",
            Charge::CheckBalance,
            false,
            0,
            &[],
            no_credit,
            &[("balance", false, 2001)],
            0,
        ),
        (
            "price",
            Charge::PriceEnquiry,
            false,
            0,
            &[],
            GRANTED,
            &[("price", false, 2001)],
            0,
        ),
        (
            "a refund that is silent at first",
            Charge::Debit,
            true,
            2,
            &["REFUND=silent,default"],
            GRANTED,
            &[
                ("debit", false, 2001),
                ("refund", false, 0),
                ("refund", true, 2001),
            ],
            2,
        ),
        (
            "a system that fails",
            Charge::Reserve,
            false,
            2,
            &["5012"],
            UNAVAILABLE,
            &[("initial", false, 5012)],
            2,
        ),
    ];
    for (case, what, fails, units, rules, end, requests, left) in rows {
        run(async {
            let terms = Terms {
                balances: [(BOB.to_owned(), *units)].into(),
                ..Terms::default()
            };
            let ocs = Running::start(settings("ocs.test", rules, terms)).await;
            let asking = Ask {
                fails: *fails,
                ..ask(&[&ocs], *what)
            };
            let (ended, said) = charge(asking).await;
            assert_eq!(ended, *end, "{case}: {said:#?}");
            assert_eq!(ocs.asked(), asked(requests), "{case}");
            ocs.commands.send(format!("balance {BOB}")).await.unwrap();
            let balance = format!("{BOB}={left}");
            until(
                || {
                    ocs.printed
                        .borrow()
                        .iter()
                        .any(|line| line["of"] == *balance)
                },
                case,
            )
            .await;
        });
    }
}

/// Waits for a condition, within [`LIMIT`].
async fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, all).await.expect(what);
}

#[test]
fn the_other_system_is_asked_when_one_is_busy_silent_or_gone() {
    for (case, rule, t) in [
        ("busy", "3004", false),
        ("silent", "silent", true),
        ("gone", "disconnect", true),
    ] {
        run(async {
            let first = Running::start(settings("ocs1.test", &[rule], Terms::default())).await;
            let second = Running::start(settings("ocs2.test", &[], Terms::default())).await;
            let asking = ask(&[&first, &second], Charge::Debit);
            // both are up before the question, or there is no other to ask
            let asking = Ask {
                policy: Policy {
                    tx: 5_000,
                    ..asking.policy
                },
                ..asking
            };
            let (end, said) = charge(asking).await;
            assert_eq!(end, GRANTED, "{case}: {said:#?}");
            assert_eq!(first.asked().len() + second.asked().len(), 2, "{case}");
            assert_eq!(
                second.asked(),
                asked(&[("debit", t, 2001)]),
                "{case}: {said:#?}"
            );
        });
    }
}

#[test]
fn a_session_is_asked_for_again_and_ended_by_its_system() {
    let session = |said: &[String], word: &str| said.iter().any(|line| line.starts_with(word));
    run(async {
        let mut with_rar = settings("ocs.test", &[], Terms::default());
        with_rar.rar_after = Some(Duration::from_millis(50));
        let ocs = Running::start(with_rar).await;
        let asking = Ask {
            lasts: Duration::from_millis(400),
            ..ask(&[&ocs], Charge::Reserve)
        };
        let (end, said) = charge(asking).await;
        assert_eq!(end, GRANTED);
        assert!(
            session(&said, "RAR received") && session(&said, "answered with 2002"),
            "{said:#?}"
        );
        let rows = [
            ("initial", false, 2001),
            ("update", false, 2001),
            ("termination", false, 2001),
        ];
        assert_eq!(ocs.asked(), asked(&rows));
        let raa = |line: &Value| line["event"] == "RAA" && line["avps"]["Result-Code"][0] == 2002;
        assert!(ocs.printed.borrow().iter().any(raa));
    });
    run(async {
        let ocs = Running::start(settings("ocs.test", &[], Terms::default())).await;
        let commands = ocs.commands.clone();
        let printed = ocs.printed.clone();
        tokio::task::spawn_local(async move {
            until(
                || printed.borrow().iter().any(|line| line["event"] == "CCR"),
                "a session",
            )
            .await;
            commands.send("asr".into()).await.unwrap();
        });
        let asking = Ask {
            lasts: LIMIT,
            ..ask(&[&ocs], Charge::Reserve)
        };
        let (end, said) = charge(asking).await;
        assert_eq!(end, GRANTED);
        assert!(
            session(&said, "ASR received") && session(&said, "withdrawn: Aborted"),
            "{said:#?}"
        );
        let rows = [("initial", false, 2001), ("termination", false, 2001)];
        assert_eq!(ocs.asked(), asked(&rows));
    });
}

#[test]
fn a_grant_that_comes_after_tx_is_given_back() {
    run(async {
        let mut late = settings("ocs.test", &[], Terms::default());
        late.delay = Duration::from_millis(450);
        let ocs = Running::start(late).await;
        let (end, said) = charge(ask(&[&ocs], Charge::Reserve)).await;
        assert_eq!(end, UNAVAILABLE, "{said:#?}");
        assert_eq!(
            ocs.asked(),
            asked(&[("initial", false, 2001), ("termination", false, 2001)])
        );
    });
}

#[test]
fn commands_are_understood_or_said_not_to_be() {
    run(async {
        let ocs = Running::start(settings("ocs.test", &[], Terms::default())).await;
        for (command, event, of) in [
            ("answer PUBLISH=4012", "answers from now on", "PUBLISH=4012"),
            ("answer x", "not understood", ""),
            ("balance sip:a=3", "balance", "sip:a=3"),
            ("balance sip:b", "no such account", "sip:b"),
            ("duplicates", "duplicates", "0"),
            ("rar nobody", "no such session", "nobody"),
            ("dance", "not understood", "dance"),
        ] {
            ocs.commands.send(command.into()).await.unwrap();
            let said = |line: &Value| {
                line["event"] == event && line["of"].as_str().is_some_and(|said| said.ends_with(of))
            };
            until(|| ocs.printed.borrow().iter().any(said), command).await;
        }
    });
}
