//! kill -9: nothing that was acknowledged is lost.

use crate::harness::{
    Came, Flight, Message, Request, SOON, Server, Ua, eventually, http, peers, pidf,
};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Presentities; each publishes once and watches itself once.
const PEOPLE: usize = 5_000;
/// Acknowledgements after which the server is killed.
const KILLS: [usize; 3] = [1_500, 5_000, 8_500];
/// Requests on their way at the same time.
const WINDOW: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Publish,
    Subscribe,
    /// Refresh of an acknowledged publication, without a body.
    Refresh,
    /// Modification of it, which its watcher must see.
    Modify,
}

#[derive(Clone, Debug, Default)]
struct Person {
    etag: Option<String>,
    /// Call-ID of the acknowledged subscription.
    dialog: Option<String>,
}

/// What has come in one dialog: the highest CSeq of a NOTIFY, and its body.
#[derive(Clone, Debug, Default)]
struct Heard {
    cseq: u64,
    body: String,
}

/// A client that publishes and subscribes for everybody.
struct Load {
    /// What each request is: whose, which step, and its Call-ID.
    flight: Flight<(usize, Step, String)>,
    people: Vec<Person>,
    /// By Call-ID.
    dialogs: BTreeMap<String, Heard>,
    serial: usize,
    acknowledged: usize,
    lost: Vec<String>,
}

fn uri(person: usize) -> String {
    format!("sip:p{person}@ims.test")
}

impl Load {
    fn new(server: &Server) -> Load {
        Load {
            flight: Flight::new(server.sip),
            people: vec![Person::default(); PEOPLE],
            dialogs: BTreeMap::new(),
            serial: 0,
            acknowledged: 0,
            lost: Vec::new(),
        }
    }

    fn send(&mut self, person: usize, step: Step) {
        let me = uri(person);
        let etag = self.people[person].etag.clone().unwrap_or_default();
        self.serial += 1;
        let call_id = format!("durability-{}", self.serial);
        let request = match step {
            Step::Publish => Request::publish(&me, &pidf(&me, "open", "before")),
            Step::Subscribe => Request::subscribe(&me, &me),
            Step::Refresh => Request::publish(&me, "").with("SIP-If-Match", etag),
            Step::Modify => {
                Request::publish(&me, &pidf(&me, "closed", "after")).with("SIP-If-Match", etag)
            }
        };
        let request = request.with("Call-ID", &call_id);
        let about = (person, step, call_id);
        self.flight.send(self.serial, &request, about);
    }

    /// Takes in what comes within a moment.
    fn pump(&mut self) {
        match self.flight.take(Duration::from_millis(20)) {
            Some(Came::Answer {
                status,
                about,
                message,
                ..
            }) => self.answered(status, about, &message),
            Some(Came::Request(notify)) => self.notified(&notify),
            Some(Came::Other) | None => {}
        }
    }

    fn answered(&mut self, status: u16, about: (usize, Step, String), message: &Message) {
        let (person, step, call_id) = about;
        if status != 200 {
            self.lost.push(format!(
                "{step:?} of {} was answered {}",
                uri(person),
                message.first
            ));
            return;
        }
        self.acknowledged += 1;
        match step {
            Step::Subscribe => self.people[person].dialog = Some(call_id),
            _ => self.people[person].etag = Some(message.get("sip-etag").to_owned()),
        }
    }

    fn notified(&mut self, message: &Message) {
        let heard = self
            .dialogs
            .entry(message.get("call-id").to_owned())
            .or_default();
        if message.cseq() > heard.cseq {
            *heard = Heard {
                cseq: message.cseq(),
                body: message.body.clone(),
            };
        }
    }

    /// What has come in the acknowledged dialog of a person. One whose 200 was lost in a crash does not count.
    fn heard(&self, person: usize) -> Heard {
        let dialog = self.people[person].dialog.as_ref();
        dialog
            .and_then(|dialog| self.dialogs.get(dialog))
            .cloned()
            .unwrap_or_default()
    }

    /// Runs every step to its answer, with the server killed and started again at the given counts.
    fn drive(&mut self, server: &mut Server, mut steps: VecDeque<(usize, Step)>, kills: &[usize]) {
        let mut kills = kills.iter();
        let mut next = kills.next();
        while !steps.is_empty() || !self.flight.is_empty() {
            while self.flight.len() < WINDOW
                && let Some((person, step)) = steps.pop_front()
            {
                self.send(person, step);
            }
            self.pump();
            if next.is_some_and(|count| self.acknowledged >= *count) {
                next = kills.next();
                server.kill9();
                server.launch();
                // What had no answer is asked for anew, as another transaction.
                let left = self.flight.abandon();
                steps.extend(left.map(|(_, (person, step, _))| (person, step)));
            }
        }
    }

    /// Answers what still comes in, until nothing has come for a while or `done` holds.
    fn settle(&mut self, done: impl Fn(&Load) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done(self) && Instant::now() < end {
            self.pump();
        }
    }
}

/// Three times in the middle of 5,000 PUBLISH and 5,000 SUBSCRIBE the server is killed. Afterwards each acknowledged
/// entity-tag is refreshed with 200, and each acknowledged subscription gets the next change without subscribing again,
/// under a CSeq above every one seen before.
#[test]
fn kill_9_in_the_middle_of_5000_publish_and_subscribe_loses_nothing_acknowledged() {
    let mut server = Server::start("");
    let mut load = Load::new(&server);
    let all = |step: &[Step]| {
        (0..PEOPLE)
            .flat_map(|person| step.iter().map(move |s| (person, *s)))
            .collect()
    };

    load.drive(&mut server, all(&[Step::Publish, Step::Subscribe]), &KILLS);
    assert_eq!(load.lost, Vec::<String>::new(), "refused while building up");
    assert_eq!(
        load.people
            .iter()
            .filter(|p| p.etag.is_some() && p.dialog.is_some())
            .count(),
        PEOPLE
    );
    server.kill9();
    server.launch();
    load.settle(|load| (0..PEOPLE).all(|person| load.heard(person).cseq > 0));
    let before: Vec<u64> = (0..PEOPLE).map(|person| load.heard(person).cseq).collect();

    load.drive(&mut server, all(&[Step::Refresh]), &[]);
    let tags = load.lost.len();
    load.drive(&mut server, all(&[Step::Modify]), &[]);
    let told = |load: &Load, person: usize| {
        let heard = load.heard(person);
        heard.body.contains("after") && heard.cseq > before[person]
    };
    load.settle(|load| (0..PEOPLE).all(|person| told(load, person)));
    let told = (0..PEOPLE).filter(|person| told(&load, *person)).count();
    println!(
        "{PEOPLE} publications acknowledged, {tags} lost; {PEOPLE} subscriptions acknowledged, {} lost",
        PEOPLE - told
    );
    assert_eq!(
        load.lost,
        Vec::<String>::new(),
        "acknowledged publications that are gone"
    );
    assert_eq!(
        told, PEOPLE,
        "acknowledged subscriptions that got the change under a higher CSeq"
    );
    server.stop();
}

/// CHG-02: records that no CDF has taken yet live through kill -9 and come once a CDF is there, each event once.
#[test]
fn unsent_charging_records_survive_kill_9() {
    if !peers(&["python3"]) {
        return;
    }
    let cdf = Cdf::prepare();
    let mut server = Server::start(&format!(
        "[charging]\ndestination_realm = \"ims.test\"\nreconnect_max_ms = 500\n\
         [[charging.peers]]\nhost = \"cdf.ims.test\"\naddress = \"127.0.0.1:{}\"",
        cdf.port
    ));
    let mut bob = Ua::new(server.sip);
    for n in 0..20 {
        let user = format!("sip:u{n}@ims.test");
        let publish = Request::publish(&user, &pidf(&user, "open", "x"))
            .with("P-Charging-Vector", format!("icid-value=\"icid-{n}\""));
        assert_eq!(bob.ask(&publish).status(), Some(200));
    }
    server.kill9();
    let cdf = cdf.start();
    server.launch();
    let expected: Vec<String> = (0..20).map(|n| format!("icid-{n}")).collect();
    let complete = eventually(SOON * 2, || {
        let icids = cdf.icids();
        expected
            .iter()
            .all(|icid| icids.contains(icid))
            .then_some(icids)
    });
    let mut icids =
        complete.unwrap_or_else(|| panic!("only {:?} came\n{}", cdf.icids(), server.log()));
    icids.sort();
    let all = icids.len();
    icids.dedup();
    assert_eq!(icids.len(), all, "no record came twice: {icids:?}");
    // and the accounts of both lives of the server add up
    let settled = eventually(SOON, || {
        let answer = http(server.http, "GET", "/charging/report", &[], "");
        let report: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
        let hours = report["hours"].as_array()?.clone();
        let sum = |key: &str| -> i64 { hours.iter().filter_map(|hour| hour[key].as_i64()).sum() };
        let all = (
            sum("emitted"),
            sum("acknowledged"),
            sum("missing"),
            sum("waiting"),
        );
        (all == (20, 20, 0, 0) && report["adds_up"] == true).then_some(())
    });
    assert!(settled.is_some(), "{}", server.log());
    server.stop();
}

/// The CDF of the lab.
struct Cdf {
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Cdf {
    fn prepare() -> Cdf {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Cdf {
            port,
            folder: tempfile::tempdir().unwrap(),
            child: None,
        }
    }

    fn start(mut self) -> Cdf {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/cdf.py");
        let child = Command::new("python3")
            .arg(script)
            .args(["--listen", &format!("127.0.0.1:{}", self.port), "--log"])
            .arg(self.folder.path().join("cdf.jsonl"))
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        self
    }

    /// The IMS charging identifier of each PUBLISH record that came.
    fn icids(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("cdf.jsonl")).unwrap_or_default();
        let records = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        records
            .filter(|record| record["method"] == "PUBLISH")
            .map(|record| record["icid"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Cdf {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
    }
}

/// An unsubscription and a removal that were acknowledged stay done.
#[test]
fn what_was_ended_before_a_crash_does_not_come_back() {
    let mut server = Server::start("");
    let mut bob = Ua::new(server.sip);
    let me = "sip:bob@ims.test";
    let etag = bob
        .ask(&Request::publish(me, &pidf(me, "open", "gone")))
        .get("sip-etag")
        .to_owned();
    let (mut dialog, _) = bob.watch(&Request::subscribe(me, me));
    assert_eq!(bob.ask(&dialog.refresh(0)).status(), Some(200));
    let removal = Request::publish(me, "")
        .without("Expires")
        .with("Expires", 0)
        .with("SIP-If-Match", &etag);
    assert_eq!(bob.ask(&removal).status(), Some(200));
    server.kill9();
    server.launch();
    assert_eq!(
        bob.ask(&dialog.refresh(600)).status(),
        Some(481),
        "the dialog stays ended"
    );
    assert_eq!(
        bob.ask(&Request::publish(me, "").with("SIP-If-Match", &etag))
            .status(),
        Some(412)
    );
    let (_, seen) = bob.watch(&Request::subscribe(me, me));
    assert!(!seen.body.contains("gone"), "{}", seen.body);
    server.stop();
}
