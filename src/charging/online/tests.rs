//! CHG-03: online charging against a simulated OCS over sockets, with a store in memory that outlives its processes.

mod line;
mod named;

use super::enquiry::{Enquiry, Kind};
use super::*;
use crate::charging::acr::tests::full;
use crate::charging::settings::Settings as Charging;
use crate::charging::{self, Charging as Thread};
use crate::sim::ocs::Terms;
use crate::sim::script::Script;
use crate::sim::{self, serve};
use crate::store::Engine;
use crate::store::committer;
use crate::store::memory::{Disk, Memory};
use crate::telemetry::Metrics;
use diameter::base::{Applications, Local};
use ims::charge::credit::{Settled, Verdict};
use ims::charge::{Chargeable, Event};
use ims::record::{Batch, Op};
use serde_json::Value;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;

mod accounts;
mod resend;
mod sessions;
mod trail;
mod unpaid;
use tokio::sync::oneshot;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who pays, in `full`.
const ALICE: &str = "sip:alice@ims.test";

struct Ocs {
    address: String,
    printed: Rc<RefCell<Vec<Value>>>,
    commands: mpsc::Sender<String>,
}

impl Ocs {
    /// Must run inside a `LocalSet`.
    async fn start(rules: &[&str], units: i64) -> Ocs {
        Ocs::serving(Applications::CREDIT_CONTROL, rules, units).await
    }

    async fn serving(applications: Applications, rules: &[&str], units: i64) -> Ocs {
        Ocs::slow(applications, rules, units, Duration::ZERO).await
    }

    /// One that takes its time.
    async fn slow(applications: Applications, rules: &[&str], units: i64, delay: Duration) -> Ocs {
        let settings = sim::Settings {
            local: Local {
                host: "ocs.test".into(),
                realm: "test".into(),
                product: "test".into(),
                state_id: 1,
                applications,
            },
            script: Script::new(rules.iter().map(|rule| rule.parse().unwrap()).collect(), 1),
            terms: Terms {
                balances: [(ALICE.to_owned(), units)].into(),
                price: Some(15),
                ..Terms::default()
            },
            delay,
            rar_after: None,
            json: true,
            pcap: None,
            journal: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let printed = Rc::new(RefCell::new(Vec::new()));
        let (commands, orders) = mpsc::channel(4);
        let lines = printed.clone();
        let tell = move |line: &str| {
            lines.borrow_mut().push(serde_json::from_str(line).unwrap());
            true
        };
        tokio::task::spawn_local(serve(settings, listener, orders, tell));
        Ocs {
            address,
            printed,
            commands,
        }
    }

    /// CCRs so far.
    fn asked(&self) -> Vec<Value> {
        self.seen("CCR")
    }

    /// What has happened of this name.
    fn seen(&self, name: &str) -> Vec<Value> {
        let printed = self.printed.borrow();
        let seen = printed.iter().filter(|line| line["event"] == name);
        seen.cloned().collect()
    }

    async fn balance(&self) -> i64 {
        self.commands
            .send(format!("balance {ALICE}"))
            .await
            .unwrap();
        let told = || {
            let printed = self.printed.borrow();
            let last = printed.iter().rfind(|line| line["event"] == "balance")?;
            last["of"].as_str()?.rsplit_once('=')?.1.parse().ok()
        };
        self.printed
            .borrow_mut()
            .retain(|line| line["event"] != "balance");
        until(told, "the balance").await
    }
}

/// Waits until `look` gives something, within [`PATIENCE`].
async fn until<T>(mut look: impl FnMut() -> Option<T>, what: &str) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect(what)
}

/// A process: what it answered, and the thread that asks.
struct Process {
    online: Online,
    charging: Thread,
    committer: Arc<Committer>,
    metrics: Metrics,
    words: mpsc::UnboundedReceiver<(u64, Word)>,
}

/// What is common to all of them.
const COMMON: &str = "origin_host = 'ps.test'\norigin_realm = 'ps.test'\nreconnect_min_ms = 50\n\
                      reconnect_max_ms = 100\n";
const ONLINE: &str = "[online]\nanswer_timeout_ms = 1000\ntx_ms = 500\nsubscribe = 'iec'\n";

fn process(ocs: &str, disk: &Disk, more: &str) -> Process {
    let peer = format!("[[online.peers]]\nhost = 'ocs.test'\naddress = '{ocs}'\n");
    let online = match more.contains("[online.sessions]") {
        true => ONLINE.replace("'iec'", "'session'"),
        false => ONLINE.to_owned(),
    };
    process_of(&format!("{COMMON}{online}{more}\n{peer}"), disk)
}

fn process_of(text: &str, disk: &Disk) -> Process {
    let charging: Charging = toml::from_str(text).unwrap();
    let common = charging.complete("ims.test").unwrap();
    let settings = charging.online.check(&common).unwrap().unwrap();
    let engine = Memory::open(disk.clone());
    let reader = engine.reader();
    let store = committer::Settings {
        queue: 64,
        reserve: 0,
        gather: Duration::ZERO,
    };
    let metrics = Metrics::new();
    let committer = Committer::start(Box::new(engine), store, metrics.commit_observer());
    let committer = Arc::new(committer.unwrap());
    let (told, words) = mpsc::unbounded_channel();
    let tell = Box::new(move |number, word| _ = told.send((number, word)));
    let wanted = Some(Wanted { settings, tell });
    let (written, seen) = (committer.clone(), metrics.clone());
    let charging = charging::start(common, wanted, reader, written, seen, 0).unwrap();
    let online = charging.online().unwrap();
    Process {
        online,
        charging,
        committer,
        metrics,
        words,
    }
}

fn request(number: u64) -> Request {
    let event = Event {
        status: 0,
        ..full(number)
    };
    Request {
        number,
        event,
        ecf: Vec::new(),
        lasting: false,
    }
}

impl Process {
    async fn until_up(&self) {
        let line = "diameter_peer_open{peer=\"ocs.test\"} 1";
        until(
            || self.metrics.encode().contains(line).then_some(()),
            "the OCS is up",
        )
        .await;
    }

    /// The next word that is not about how much may be used.
    async fn word(&mut self, number: u64) -> Word {
        loop {
            let word = self.any_word(number).await;
            if !matches!(word, Word::Allowed(_)) {
                return word;
            }
        }
    }

    async fn any_word(&mut self, number: u64) -> Word {
        let word = tokio::time::timeout(PATIENCE, self.words.recv()).await;
        let (of, word) = word.expect("a word in time").unwrap();
        assert_eq!(of, number);
        word
    }

    async fn answer(&mut self, number: u64) -> Answer {
        match self.word(number).await {
            Word::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The service was given: its batch, as the node writes it, and then the word about it.
    async fn give(&self, number: u64, settled: Settled) {
        self.give_with(number, settled, Batch::default()).await;
    }

    async fn give_with(&self, number: u64, settled: Settled, mut batch: Batch) {
        let key: Box<[u8]> = number.to_be_bytes().into();
        let table = Table::Credit;
        match settled {
            Settled::Unchanged => {}
            Settled::Nothing => batch.ops.push(Op::Delete { table, key }),
            Settled::Owed(value) | Settled::Over(value) => {
                let value = value.into();
                batch.ops.push(Op::Put { table, key, value });
            }
        }
        self.commit(batch).await;
    }

    async fn commit(&self, batch: Batch) {
        let (done, committed) = oneshot::channel();
        let done = move |outcome: Result<(), crate::store::StoreError>| _ = done.send(outcome);
        self.committer.submit(batch, Box::new(done));
        committed.await.unwrap().unwrap();
    }
}

/// How many charges the store says are owed.
fn owed(disk: &Disk) -> usize {
    let reader = Memory::open(disk.clone()).reader();
    reader.scan(Table::Credit, &[0], 100).unwrap().len()
}

fn run<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(tokio::task::LocalSet::new().run_until(work))
}

#[test]
fn a_unit_is_taken_for_a_service_and_given_back_for_one_that_failed() {
    for (method, fails, left) in [
        (Chargeable::Subscribe, false, 4),
        (Chargeable::Subscribe, true, 5),
        (Chargeable::Publish, false, 4),
        (Chargeable::Publish, true, 5),
    ] {
        run(async {
            let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
            let mut process = process(&ocs.address, &disk, "publish = 'ecur'");
            process.until_up().await;
            let mut asked = request(7);
            asked.event.method = method;
            process.online.ask(asked);
            let answer = process.answer(7).await;
            assert_eq!(answer.verdict, Verdict::Granted, "{method:?}");
            assert_eq!(owed(&disk), 1, "stored before it was asked");
            if !fails {
                process.give(7, answer.settled).await;
            }
            process.online.ended(7, !fails);
            until(|| (owed(&disk) == 0).then_some(()), "nothing is owed").await;
            assert_eq!(ocs.balance().await, left, "{method:?}, fails: {fails}");
            process.charging.shutdown(Duration::from_secs(1)).await;
        });
    }
}

#[test]
fn prices_and_balances_are_asked_and_nothing_is_owed() {
    run(async {
        let rules = ["PRICE=5031,silent,2001"];
        let (ocs, disk) = (Ocs::start(&rules, 5).await, Memory::new().disk());
        let process = process(&ocs.address, &disk, "");
        process.until_up().await;
        let enquirer = process.online.enquirer();
        let ask = |kind, units| {
            let enquiry = Enquiry::read(kind, Some("PUBLISH"), ALICE, (Some(units), None)).unwrap();
            enquirer.ask(enquiry)
        };
        for (units, enough) in [("5", true), ("6", false)] {
            let said = ask(Kind::Balance, units).await.unwrap();
            assert_eq!((said.enough, said.error), (Some(enough), None), "{units}");
        }
        let refused = ask(Kind::Price, "1").await.unwrap();
        assert_eq!(refused.result, Some(5031));
        let silent = ask(Kind::Price, "1").await.unwrap();
        assert_eq!((silent.result, silent.price), (None, None));
        let priced = ask(Kind::Price, "3").await.unwrap();
        let price = priced.price.expect("a price");
        assert_eq!((price.value.as_str(), price.currency), ("0.45", 978));
        assert_eq!(owed(&disk), 0);
        assert_eq!(ocs.balance().await, 5, "nothing was debited");
        process.charging.shutdown(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_request_says_who_pays_for_what() {
    run(async {
        let (ocs, disk) = (Ocs::start(&[], 5).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "rating_group = 9");
        process.until_up().await;
        process.online.ask(request(7));
        process.answer(7).await;
        let avps = &ocs.asked()[0]["avps"];
        let session = avps["Session-Id"][0].as_str().unwrap();
        assert!(
            session.starts_with("ps.test;0;7;") && session.ends_with(";ro"),
            "{session}"
        );
        assert_eq!(avps["Subscription-Id"][0]["Subscription-Id-Data"][0], ALICE);
        assert_eq!(
            avps["Subscription-Id"][1]["Subscription-Id-Data"][0],
            "15551230001"
        );
        let service = &avps["Multiple-Services-Credit-Control"][0];
        assert_eq!(service["Rating-Group"][0], 9);
        let ims = &avps["Service-Information"][0]["IMS-Information"][0];
        assert_eq!(ims["Event-Type"][0]["SIP-Method"][0], "SUBSCRIBE");
        assert_eq!(ims["IMS-Charging-Identifier"][0], "icid-1");
        assert!(
            ims["Cause-Code"].is_null(),
            "the request has no outcome yet"
        );
        assert!(ims["Time-Stamps"][0]["SIP-Response-Timestamp"].is_null());
    });
}

#[test]
fn what_the_ocs_says_decides() {
    for (rule, verdict, left) in [
        ("4010", Verdict::NoCredit, 5),
        ("4012", Verdict::NoCredit, 5),
        ("5030", Verdict::Refused, 5),
        ("5031", Verdict::Unavailable, 5),
        ("4011", Verdict::Granted, 5),
    ] {
        run(async {
            let (ocs, disk) = (Ocs::start(&[rule], 5).await, Memory::new().disk());
            let mut process = process(&ocs.address, &disk, "");
            process.until_up().await;
            process.online.ask(request(7));
            assert_eq!(process.answer(7).await.verdict, verdict, "{rule}");
            until(|| (owed(&disk) == 0).then_some(()), rule).await;
            assert_eq!(ocs.balance().await, left, "{rule}");
        });
    }
}

#[test]
fn a_silent_ocs_is_paid_when_it_speaks_again() {
    run(async {
        let rule = "DEBIT=silent,silent,default";
        let (ocs, disk) = (Ocs::start(&[rule], 5).await, Memory::new().disk());
        let mut process = process(&ocs.address, &disk, "");
        process.until_up().await;
        process.online.ask(request(7));
        let answer = process.answer(7).await;
        assert_eq!(
            answer.verdict,
            Verdict::Granted,
            "Tx is over: the service goes on"
        );
        assert!(matches!(answer.settled, Settled::Owed(_)));
        process.give(7, answer.settled).await;
        process.online.ended(7, true);
        until(|| (owed(&disk) == 0).then_some(()), "paid").await;
        assert_eq!(ocs.balance().await, 4);
        let asked = ocs.asked();
        assert_eq!(asked[0]["t"], false);
        assert!(
            asked[1..].iter().all(|again| again["t"] == true),
            "{asked:#?}"
        );
        let same = |line: &Value| line["end_to_end"] == asked[0]["end_to_end"];
        assert!(asked.iter().all(same));
    });
}

#[test]
fn a_process_that_dies_leaves_what_the_next_one_settles() {
    for (case, rules, gives, left) in [
        (
            "before the service: it was debited and is given back",
            &[][..],
            false,
            5,
        ),
        (
            "after the service: it was debited, and that was right",
            &[],
            true,
            4,
        ),
        (
            "nobody knows: the debit did not come, and does not count",
            &["DEBIT=silent,default"],
            false,
            5,
        ),
        (
            "nobody knows, and the service was given",
            &["DEBIT=silent,silent,default"],
            true,
            4,
        ),
    ] {
        run(async {
            let (ocs, disk) = (Ocs::start(rules, 5).await, Memory::new().disk());
            let mut dies = process(&ocs.address, &disk, "");
            dies.until_up().await;
            dies.online.ask(request(7));
            let answer = dies.answer(7).await;
            if gives {
                dies.give(7, answer.settled).await;
            }
            let Process {
                charging,
                committer,
                ..
            } = dies;
            drop((charging, committer)); // without a word about the service
            let next = process(&ocs.address, &disk, "");
            until(|| (owed(&disk) == 0).then_some(()), case).await;
            assert_eq!(ocs.balance().await, left, "{case}: {:#?}", ocs.asked());
            next.charging.shutdown(Duration::from_secs(1)).await;
        });
    }
}

#[test]
fn without_an_ocs_a_debit_is_owed_and_a_reservation_refused() {
    run(async {
        let disk = Memory::new().disk();
        let mut process = process("127.0.0.1:1", &disk, "publish = 'ecur'");
        process.online.ask(request(7));
        let answer = process.answer(7).await;
        assert_eq!(answer.verdict, Verdict::Granted);
        process.give(7, answer.settled).await;
        process.online.ended(7, true);
        let mut reserved = request(8);
        reserved.event.method = Chargeable::Publish;
        process.online.ask(reserved);
        assert_eq!(process.answer(8).await.verdict, Verdict::Unavailable);
        until(
            || (owed(&disk) == 1).then_some(()),
            "the debit alone is owed",
        )
        .await;
    });
}
