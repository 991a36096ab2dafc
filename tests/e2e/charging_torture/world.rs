//! A server with its charging systems behind relays, a disk of its own and a client; and the judgement in the end.

use super::Place;
use super::disk::Disk;
use super::driver::{Chance, Driver, Outcome, icid};
use super::peers::{Kind, Peer, Received};
use super::tally::Tally;
use crate::harness::{Request, SOON, Server, Tcp, http};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Records under way at the same time, as the server is told: so many, and no more, may come twice after a fault.
/// Fewer than by default, so that one too many shows.
pub const IN_FLIGHT: usize = 32;
/// After a link has broken it must answer three watchdogs, six seconds apart, and jitter comes on top.
pub const REOPENED: Duration = Duration::from_secs(60);

pub struct World {
    pub driver: Driver,
    pub cdfs: Vec<Peer>,
    pub ocs: Option<Peer>,
    pub server: Server,
    pub disk: Disk,
    pub chance: Chance,
    pub tally: Tally,
    pub seed: u64,
    place: Place,
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
    /// Charges offline at these CDFs; the first is used while it is there.
    pub fn new(name: &str, kinds: &[(Kind, &'static str)], seed: u64) -> World {
        World::build(Place::new(name, seed), kinds, None, seed, "")
    }

    /// Charges each PUBLISH offline, and online at an OCS whose accounts have so many units each.
    pub fn online(name: &str, mode: &str, units: usize, seed: u64) -> World {
        let place = Place::new(name, seed);
        let journal = place.0.join("journal").display().to_string();
        let units = units.to_string();
        let accounts = ["--quota", &units, "--journal", &journal].map(str::to_owned);
        let mut ocs = Peer::new(Kind::SimulatedOcs, "ocs1.test", &place.0, &accounts);
        ocs.start();
        let online = format!(
            "[charging.online]\npublish = \"{mode}\"\ntx_ms = 1000\nanswer_timeout_ms = 2000\n{}",
            ocs.section("charging.online.peers", 0)
        );
        let cdf = [(Kind::SimulatedCdf, "cdf1.test")];
        World::build(place, &cdf, Some(ocs), seed, &online)
    }

    fn build(
        place: Place,
        kinds: &[(Kind, &'static str)],
        ocs: Option<Peer>,
        seed: u64,
        more: &str,
    ) -> World {
        let mut cdfs: Vec<Peer> = kinds
            .iter()
            .map(|(kind, host)| Peer::new(*kind, host, &place.0, &[]))
            .collect();
        cdfs.iter_mut().for_each(Peer::start);
        let mut settings = format!(
            "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
             watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\nmax_in_flight = {IN_FLIGHT}\n"
        );
        for (priority, cdf) in (0..).zip(&cdfs) {
            settings += &cdf.section("charging.peers", priority);
        }
        let mut server = Server::prepare(&(settings + more));
        let disk = Disk::at(server.data(), 1_024);
        server.launch();
        World {
            driver: Driver::new(server.sip, seed, ocs.is_none()),
            cdfs,
            ocs,
            server,
            disk,
            chance: Chance(!seed),
            tally: Tally::default(),
            seed,
            place,
        }
    }

    pub fn kill_server(&mut self) {
        self.server.kill9();
        self.driver.abandon();
        self.server.launch();
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
            let now = (
                sum("emitted"),
                driver.notified.values().map(|all| all.len()).sum(),
            );
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

    pub fn received(&self) -> Vec<Vec<Received>> {
        let of = |cdf: &Peer| {
            cdf.lines()
                .iter()
                .filter_map(|line| Received::read(line))
                .collect()
        };
        self.cdfs.iter().map(of).collect()
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

    pub fn judge(mut self) {
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
        let World { server, .. } = &mut self;
        assert!(server.terminate().success());
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
