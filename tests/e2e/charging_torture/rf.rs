//! CHG-02: offline charging. Emitted equals distinct received.

use super::driver::{Asked, Outcome};
use super::peers::Kind;
use super::world::{IN_FLIGHT, World};
use super::{events, seed};
use crate::harness::SOON;
use std::time::Instant;

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
            _ => 1,
        }
    }
}

impl World {
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
        self.until_open(self.cdfs[0].host, "1");
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
                self.until_open(self.cdfs[at].host, "1");
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
                self.until_open(self.cdfs[at].host, "1");
                self.driver.send(count / 3, || false);
                self.cdfs[at].relay.part();
                self.driver.send(count / 3, || false);
                self.until_open(self.cdfs[at].host, "0");
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
        if !own && !self.disk.forbid(self.server.pid()) {
            eprintln!("passed over: the disk can neither be filled nor its files bounded");
            return;
        }
        self.driver.newcomers = true;
        self.driver.padding = 20_000;
        self.driver.may_refuse = true;
        let (server, disk) = (&mut self.server, &self.disk);
        self.driver.send(20_000, || {
            if own {
                disk.fill(0); // also what its journal gives back
            }
            server.ended().is_some()
        });
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
    let mut world = World::new("torture", &[(Kind::SimulatedCdf, "cdf1.test")], seed);
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
    let mut world = World::new("two-cdfs", &both, seed);
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
    let mut world = World::new("freediameter", &[(Kind::FreeDiameter, "cdf1.test")], seed);
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
    let mut world = World::new("replay", &[(kind, "cdf1.test")], seed(9));
    world.cdfs[0].kill9();
    world.run_without_cdf(events(5_000));
    world.judge();
}
