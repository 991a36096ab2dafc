//! A server with its charging systems behind relays, a disk of its own and a client; and the judgement in the end.

use super::Place;
use super::chance::Chance;
use super::disk::Disk;
use super::driver::{Crowd, Driver, Outcome, icid};
use super::peers::{Kind, Peer, Received};
use super::tally::Tally;
use crate::diameter_table::{self, Capture};
use crate::harness::{Request, SOON, Server, Tcp, http};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// Records under way at the same time, as the server is told: so many, and no more, may come twice after a fault.
/// Fewer than by default, so that one too many shows.
pub const IN_FLIGHT: usize = 32;
/// The host of the OCS.
pub const OCS: &str = "ocs1.test";
/// After a link has broken it must answer three watchdogs, six seconds apart, and jitter comes on top.
pub const REOPENED: Duration = Duration::from_secs(60);

/// Of what a world is made.
pub struct Plan<'a> {
    /// Of the test.
    pub name: &'a str,
    pub seed: u64,
    /// The first is used while it is there.
    pub cdfs: &'a [(Kind, &'static str)],
    pub ocs: Option<Ocs>,
    /// Whether the store is on a disk of its own, where this user may mount one.
    pub own_disk: bool,
    pub crowd: Crowd,
}

/// An OCS whose journal outlives it, and how the server asks it.
pub struct Ocs {
    pub kind: Kind,
    /// Units in each account of a simulator.
    pub units: usize,
    /// `[charging.online]` and what follows.
    pub settings: String,
}

pub struct World {
    pub driver: Driver,
    pub cdfs: Vec<Peer>,
    pub ocs: Option<Peer>,
    pub server: Server,
    pub disk: Disk,
    pub chance: Chance,
    pub tally: Tally,
    pub seed: u64,
    name: String,
    place: Place,
    capture: Capture,
    began: Instant,
    /// When the server was killed, and when it was back.
    pub kills: Vec<(Instant, Instant)>,
    /// When the OCS was lost, and when it could be reached again.
    pub losses: Vec<(Instant, Instant)>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.disk.unmount(); // before the directory goes that it is in
        if std::thread::panicking() {
            let (seed, place) = (self.seed, &self.place.0);
            let _ = fs::write(place.join("server.log"), self.server.log());
            eprintln!(
                "seed {seed}; the logs are in {}\n{}",
                place.display(),
                self.tally
            );
        }
    }
}

impl World {
    pub fn new(plan: &Plan<'_>) -> World {
        let place = Place::new(plan.name, plan.seed);
        let capture = Capture::default();
        let peer = |kind, host, more: &[String]| {
            let mut peer = Peer::new(kind, host, &place.0, more, &capture);
            peer.start();
            peer
        };
        let all = plan.cdfs.iter();
        let cdfs: Vec<Peer> = all.map(|(kind, host)| peer(*kind, host, &[])).collect();
        let ocs = plan.ocs.as_ref().map(|ocs| {
            let (units, journal) = (ocs.units.to_string(), place.0.join("journal"));
            let journal = journal.display().to_string();
            let accounts = ["--quota", &units, "--journal", &journal].map(str::to_owned);
            peer(ocs.kind, OCS, &accounts)
        });
        let mut settings = format!(
            "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
             watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\nmax_in_flight = {IN_FLIGHT}\n"
        );
        for (priority, cdf) in (0..).zip(&cdfs) {
            settings += &cdf.section("charging.peers", priority);
        }
        if let (Some(asked), Some(peer)) = (&plan.ocs, &ocs) {
            settings += &asked.settings;
            settings += &peer.section("charging.online.peers", 0);
        }
        let mut server = Server::prepare(&settings);
        let disk = match plan.own_disk {
            true => Disk::own(server.data(), 1_024),
            false => Disk::shared(server.data()),
        };
        server.launch();
        World {
            driver: Driver::new(server.sip, plan.seed, plan.crowd),
            cdfs,
            ocs,
            server,
            disk,
            chance: Chance(!plan.seed),
            tally: Tally::default(),
            seed: plan.seed,
            name: plan.name.to_owned(),
            place,
            capture,
            began: Instant::now(),
            kills: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Tells those who watch (`--nocapture`) how far it is.
    pub fn say(&self, what: &str) {
        let (seconds, asked) = (self.began.elapsed().as_secs_f64(), self.driver.asked.len());
        println!("{}: {seconds:6.1} s, {asked:6} requests: {what}", self.name);
    }

    pub fn kill_server(&mut self) {
        let dead = Instant::now();
        self.server.kill9();
        self.driver.abandon();
        self.server.launch();
        self.kills.push((dead, Instant::now()));
    }

    /// Goes on until that peer can be used (`1`) or not (`0`).
    pub fn until_open(&mut self, host: &str, value: &str) {
        self.until(&format!(
            "presentia_diameter_peer_open{{peer=\"{host}\"}} {value}"
        ));
    }

    /// Goes on until the metrics have this line.
    pub fn until(&mut self, line: &str) {
        let http_at = self.server.http;
        let reached = self.driver.wait(REOPENED, |_| {
            let page = http(http_at, "GET", "/metrics", &[], "").body;
            page.lines().any(|other| other == line).then_some(())
        });
        assert!(reached.is_some(), "{line}: {}", self.server.log());
    }

    /// Waits until the accounts say that everything has been acknowledged, and nothing more comes.
    pub fn finish(&mut self) {
        let stopped = self.cdfs.iter_mut().chain(&mut self.ocs);
        stopped.filter(|peer| !peer.is_up()).for_each(Peer::start);
        let http_at = self.server.http;
        let (mut before, mut last) = ((0, 0), Value::Null);
        let settled = self.driver.wait(REOPENED * 2, |driver| {
            let page = http(http_at, "GET", "/charging/report", &[], "").body;
            last = serde_json::from_str(&page).ok()?;
            let hours = last["hours"].as_array()?;
            let sum =
                |key: &str| -> u64 { hours.iter().filter_map(|hour| hour[key].as_u64()).sum() };
            let now = (sum("emitted"), driver.dialogs.notifies());
            let quiet = before == now && sum("acknowledged") == now.0 && sum("waiting") == 0;
            before = now;
            (quiet && last["adds_up"] == true).then_some(())
        });
        assert!(
            settled.is_some(),
            "the spool does not empty, or the accounts do not add up: {last}\n{}",
            self.server.log()
        );
        self.tally.emitted = before.0;
    }

    /// What each CDF has received, in its order.
    pub fn received(&mut self) -> Vec<Vec<Received>> {
        let all = self.cdfs.iter_mut();
        all.map(|cdf| cdf.received().to_vec()).collect()
    }

    /// A state change without its record, or a record without its state change: what was published by requests whose
    /// fate the client does not know is there exactly if its record is.
    fn states_have_records(&mut self, received: &[Vec<Received>]) {
        let recorded: BTreeSet<&str> = received
            .iter()
            .flatten()
            .filter(|record| record.cause == "-1" && record.method == "PUBLISH")
            .map(|record| record.icid.as_str())
            .collect();
        let mut client = Tcp::connect(self.server.sip);
        let (mut shown, mut absent) = (0, 0);
        // what was acknowledged last is there; a few of them show that the client would see it
        for (presentity, serial) in self.driver.published().into_iter().take(50) {
            let body = fetch(&mut client, presentity);
            if !body.contains(&format!("<note>{} ", icid(serial))) {
                self.tally
                    .wrong
                    .push(format!("{} was acknowledged and is gone", icid(serial)));
            }
        }
        for (serial, asked) in self.driver.asked.iter().enumerate() {
            let unsure = !matches!(asked.outcome, Outcome::Answered(200));
            if !(asked.shows && unsure) {
                continue;
            }
            let body = fetch(&mut client, &asked.presentity);
            let there = body.contains(&format!("<note>{} ", icid(serial)));
            let charged = recorded.contains(icid(serial).as_str());
            if there != charged {
                let what = format!(
                    "{} {asked:?}: there {there}, charged {charged}",
                    icid(serial)
                );
                self.tally.wrong.push(what);
            }
            *if there { &mut shown } else { &mut absent } += 1;
        }
        println!(
            "of the publications that were refused or whose fate the client did not know, {shown} took place and \
             {absent} did not: each that did has its record, no other has one"
        );
    }

    /// Everything is as it should be, and what passed is Diameter as Wireshark knows it.
    pub fn judge(mut self) {
        self.say("judged");
        let received = self.received();
        self.tally.count(&self.driver, &received);
        println!("{}", self.tally);
        self.states_have_records(&received);
        let wrong = &self.tally.wrong;
        let shown = &wrong[..wrong.len().min(20)];
        assert!(
            wrong.is_empty(),
            "{} things are wrong:\n{}",
            wrong.len(),
            shown.join("\n")
        );
        assert!(self.server.terminate().success());
        let packets = self.capture.lock().unwrap();
        let said = diameter_table::judge(&self.name, &packets);
        println!(
            "{} messages of the capture: Wireshark finds nothing wrong in {} lines",
            packets.len(),
            said.lines().count()
        );
    }
}

/// The present document of somebody.
fn fetch(client: &mut Tcp, presentity: &str) -> String {
    let request = Request::subscribe(presentity, presentity)
        .without("Expires")
        .with("Expires", 0);
    let answer = client.ask(&request);
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    let notify = client.receive(SOON).expect("a NOTIFY");
    client.send(notify.answer("200 OK").as_bytes()).unwrap();
    notify.body
}
