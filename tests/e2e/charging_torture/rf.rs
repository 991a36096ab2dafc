//! CHG-02: offline charging. Emitted equals distinct received.

use super::disk::Disk;
use super::driver::{Asked, Chance, Driver, Outcome, icid};
use super::peers::{Kind, Peer, Received};
use super::tally::Tally;
use super::{Place, events, seed};
use crate::harness::{Request, SOON, Server, Tcp, http};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

/// Records sent and not yet answered, as the server is told.
const IN_FLIGHT: usize = 64;
/// After a link has broken it must answer three watchdogs, six seconds apart, and jitter comes on top.
const REOPENED: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillServer,
    KillCdf,
    /// The CDF first, and the server while it is away.
    KillBoth,
    Partition,
    /// Less free space than the server wants for new state.
    LowDisk,
    FullDisk,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::KillServer => "kill -9 of the server",
            Fault::KillCdf => "kill -9 of a CDF",
            Fault::KillBoth => "kill -9 of both",
            Fault::Partition => "partition",
            Fault::LowDisk => "disk below its reserve",
            Fault::FullDisk => "full disk",
        }
    }

    /// How often what is in flight may be sent again for it.
    fn windows(self) -> usize {
        match self {
            Fault::LowDisk => 0,
            Fault::KillServer | Fault::KillCdf | Fault::Partition | Fault::FullDisk => 1,
            Fault::KillBoth => 2,
        }
    }
}

struct World {
    driver: Driver,
    cdfs: Vec<Peer>,
    server: Server,
    disk: Disk,
    chance: Chance,
    tally: Tally,
    seed: u64,
    place: Place,
}

impl Drop for World {
    fn drop(&mut self) {
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
    fn new(name: &str, kinds: &[(Kind, &'static str)], seed: u64, more: &str) -> World {
        let place = Place::new(name, seed);
        let mut cdfs: Vec<Peer> = kinds
            .iter()
            .map(|(kind, host)| Peer::new(*kind, host, &place.0, &[]))
            .collect();
        cdfs.iter_mut().for_each(Peer::start);
        let mut settings = format!(
            "[charging]\norigin_host = \"ps.test\"\norigin_realm = \"ps.test\"\ndestination_realm = \"test\"\n\
             watchdog_s = 6\nreconnect_min_ms = 100\nreconnect_max_ms = 500\nmax_in_flight = {IN_FLIGHT}\n{more}\n"
        );
        for (priority, cdf) in (0..).zip(&cdfs) {
            settings += &cdf.section("charging.peers", priority);
        }
        let mut server = Server::prepare(&settings);
        let disk = Disk::at(server.data(), 1_024);
        server.launch();
        World {
            driver: Driver::new(server.sip, seed, true),
            cdfs,
            server,
            disk,
            chance: Chance(!seed),
            tally: Tally::default(),
            seed,
            place,
        }
    }

    /// Sends `count` requests, with the faults in an order of chance spread among them.
    fn run(&mut self, count: usize, mut faults: Vec<Fault>) {
        self.chance.shuffle(&mut faults);
        println!("seed {}: {faults:?}", self.seed);
        let part = count / (2 * faults.len() + 1);
        for fault in faults {
            let before = part / 2 + self.chance.below(part.max(1));
            self.driver.send(before, || false);
            self.suffer(fault, part);
            *self.tally.faults.entry(fault.name()).or_default() += 1;
            self.tally.allowed += fault.windows() * IN_FLIGHT;
        }
        let left = count.saturating_sub(self.driver.asked.len());
        self.driver.send(left, || false);
        self.driver.settle();
        self.finish();
    }

    /// Sends `count` requests while no CDF is there, then lets it come.
    fn run_without_cdf(&mut self, count: usize) {
        self.driver.send(count, || false);
        self.driver.settle();
        self.kill_server();
        let piled = self.driver.asked.len();
        self.cdfs[0].start();
        self.until_open(0, "1");
        let began = Instant::now();
        self.until("presentia_charging_spool_depth 0");
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{piled} requests' records left in {seconds:.2} s: {:.0} a second",
            piled as f64 / seconds
        );
        self.finish();
    }

    fn suffer(&mut self, fault: Fault, count: usize) {
        let at = self.chance.below(self.cdfs.len());
        match fault {
            Fault::KillServer => {
                self.kill_server();
                self.driver.send(count, || false);
            }
            Fault::KillCdf => {
                self.until_open(at, "1");
                self.driver.send(count / 2, || false);
                self.cdfs[at].kill9();
                self.driver.send(count / 2, || false);
                self.cdfs[at].start();
            }
            Fault::KillBoth => {
                self.cdfs[at].kill9();
                self.driver.send(count / 2, || false);
                self.kill_server();
                self.driver.send(count / 2, || false);
                self.cdfs[at].start();
            }
            Fault::Partition => {
                self.until_open(at, "1");
                self.driver.send(count / 3, || false);
                self.cdfs[at].relay.part();
                self.driver.send(count / 3, || false);
                self.until_open(at, "0");
                self.driver.send(count / 3, || false);
                match self.chance.below(2) {
                    0 => self.cdfs[at].relay.heal(),
                    _ => self.cdfs[at].relay.reset(),
                }
            }
            Fault::LowDisk => self.low_disk(count),
            Fault::FullDisk => self.full_disk(count),
        }
    }

    fn kill_server(&mut self) {
        self.server.kill9();
        self.driver.abandon();
        self.server.launch();
    }

    /// New state is refused, all else goes on, and new state is taken again as soon as there is room.
    fn low_disk(&mut self, count: usize) {
        if !self.disk.is_own() {
            return;
        }
        self.driver.may_refuse = true;
        self.driver.newcomers = true;
        self.disk.fill(48 << 20);
        assert!(
            self.comes(|outcome| outcome == Outcome::Answered(503)),
            "503 on a disk that is nearly full"
        );
        self.driver.send(count, || false);
        self.disk.empty();
        self.driver.settle();
        assert!(
            self.comes(|outcome| outcome == Outcome::Answered(200)),
            "200 when there is room"
        );
        self.driver.may_refuse = false;
        self.driver.newcomers = false;
    }

    /// Whether, within some time, all of ten new publications come to this.
    fn comes(&mut self, like: impl Fn(Outcome) -> bool) -> bool {
        let end = Instant::now() + SOON;
        let mut last = String::new();
        while Instant::now() < end {
            let from = self.driver.asked.len();
            self.driver.send(10, || false);
            self.driver.settle();
            let new = |asked: &&Asked| asked.newcomer;
            let mut asked = self.driver.asked[from..].iter().filter(new).peekable();
            if asked.peek().is_some() && asked.all(|asked| like(asked.outcome)) {
                return true;
            }
            last = format!("{:?}", &self.driver.asked[from..]);
        }
        eprintln!("{last}");
        false
    }

    /// The server goes on with what the journal has reserved, then stops, since nothing can be promised any more.
    fn full_disk(&mut self, count: usize) {
        let own = self.disk.is_own();
        self.driver.newcomers = true;
        self.driver.padding = 20_000;
        self.driver.may_refuse = true;
        if own {
            self.disk.fill(0);
        } else if !self.disk.forbid(self.server.pid()) {
            eprintln!("passed over: the disk can neither be filled nor its files bounded");
        }
        let server = &mut self.server;
        self.driver.send(5_000, || server.ended().is_some());
        let ended = self.driver.wait(SOON, |_| server.ended());
        assert!(ended.is_some(), "the server stops: {}", self.server.log());
        self.driver.abandon();
        if own {
            assert!(self.server.log().contains("full"), "{}", self.server.log());
            self.disk.empty();
        }
        self.driver.newcomers = false;
        self.driver.padding = 0;
        self.driver.may_refuse = false;
        self.server.launch();
        self.driver.send(count, || false);
    }

    fn until_open(&mut self, at: usize, value: &str) {
        let peer = self.cdfs[at].host;
        self.until(&format!(
            "presentia_diameter_peer_open{{peer=\"{peer}\"}} {value}"
        ));
    }

    /// Goes on until the metrics have this line.
    fn until(&mut self, line: &str) {
        let http_at = self.server.http;
        let reached = self.driver.wait(REOPENED, |_| {
            let page = http(http_at, "GET", "/metrics", &[], "").body;
            page.lines().any(|other| other == line).then_some(())
        });
        assert!(reached.is_some(), "{line}: {}", self.server.log());
    }

    /// Waits until the accounts say that everything has been acknowledged, and nothing more comes.
    fn finish(&mut self) {
        for cdf in &mut self.cdfs {
            if !cdf.is_up() {
                cdf.start();
            }
        }
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

    fn received(&self) -> Vec<Vec<Received>> {
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
        let recorded: std::collections::BTreeSet<&str> = received
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

    fn judge(mut self) {
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

const EVERYTHING: [Fault; 8] = [
    Fault::KillServer,
    Fault::KillServer,
    Fault::KillServer,
    Fault::KillCdf,
    Fault::KillBoth,
    Fault::Partition,
    Fault::LowDisk,
    Fault::FullDisk,
];

/// CHG-02, with a CDF of our own making, which can be had everywhere.
#[test]
fn through_kills_partition_and_a_full_disk_each_event_has_one_record() {
    let seed = seed(6);
    let mut world = World::new("torture", &[(Kind::SimulatedCdf, "cdf1.test")], seed, "");
    world.run(events(10_000), EVERYTHING.to_vec());
    world.judge();
}

/// CHG-02: the second CDF takes over while the first is away, and hands back.
#[test]
fn two_cdfs_have_each_event_once_between_them_through_kills_and_partitions() {
    use Fault::{KillBoth, KillCdf, KillServer, Partition};
    let seed = seed(7);
    let both = [
        (Kind::SimulatedCdf, "cdf1.test"),
        (Kind::SimulatedCdf, "cdf2.test"),
    ];
    let mut world = World::new("two-cdfs", &both, seed, "");
    let faults = vec![KillCdf, KillServer, Partition, KillCdf, KillBoth];
    world.run(events(6_000), faults);
    let both_took = world.received().iter().all(|received| !received.is_empty());
    assert!(both_took, "the second CDF was used");
    world.judge();
}

/// CHG-02 at an implementation of another make.
#[test]
fn freediameter_has_each_event_through_kills_of_both_sides() {
    use Fault::{KillBoth, KillCdf, KillServer};
    if !Kind::FreeDiameter.is_there() {
        return;
    }
    let seed = seed(8);
    let mut world = World::new(
        "freediameter",
        &[(Kind::FreeDiameter, "cdf1.test")],
        seed,
        "",
    );
    world.run(events(5_000), vec![KillServer, KillCdf, KillBoth]);
    world.judge();
}

/// CHG-02: records pile up while no CDF is there. How fast they leave afterwards is printed, not judged.
#[test]
fn what_piled_up_without_a_cdf_comes_once() {
    let kind = match Kind::FreeDiameter.is_there() {
        true => Kind::FreeDiameter,
        false => Kind::SimulatedCdf,
    };
    let mut world = World::new("replay", &[(kind, "cdf1.test")], seed(9), "");
    world.cdfs[0].kill9();
    world.run_without_cdf(events(5_000));
    world.judge();
}
