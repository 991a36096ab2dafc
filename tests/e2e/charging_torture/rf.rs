//! CHG-02: offline charging. Emitted equals distinct received.

use super::driver::{Asked, Crowd, Outcome};
use super::peers::Kind;
use super::world::{IN_FLIGHT, Plan, World};
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
    /// What it is called where the disk is the machine's own or the server's.
    fn name(self, own_disk: bool) -> &'static str {
        match self {
            Fault::KillServer => "kill -9 of the server",
            Fault::KillCdf => "kill -9 of a CDF",
            Fault::KillBoth => "kill -9 of both",
            Fault::Partition => "partition",
            Fault::LowDisk if own_disk => "disk below its reserve",
            Fault::LowDisk => "reserve above the disk",
            Fault::FullDisk if own_disk => "full disk",
            Fault::FullDisk => "files that may not grow",
        }
    }

    /// How often what is in flight may be sent again for it.
    fn windows(self, own_disk: bool) -> usize {
        match self {
            Fault::LowDisk if own_disk => 0,
            Fault::LowDisk => 2, // it takes two restarts
            _ => 1,
        }
    }
}

impl World {
    /// Sends `count` requests, with the faults in an order of chance spread among them.
    fn run(&mut self, count: usize, mut faults: Vec<Fault>) {
        self.chance.shuffle(&mut faults);
        self.say(&format!("seed {}: {faults:?}", self.seed));
        let part = count / (2 * faults.len() + 1);
        for fault in faults {
            let before = part / 2 + self.chance.below(part.max(1));
            self.driver.send(before, || false);
            let own = self.disk.is_own();
            self.say(fault.name(own));
            self.suffer(fault, part);
            *self.tally.faults.entry(fault.name(own)).or_default() += 1;
            self.tally.allowed += fault.windows(own) * IN_FLIGHT;
        }
        let left = count.saturating_sub(self.driver.asked.len());
        self.driver.send(left, || false);
        self.say("no more faults");
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
        self.driver.may_refuse = true;
        self.driver.newcomers = true;
        match self.disk.is_own() {
            true => self.disk.fill(48 << 20),
            false => self.start_with_reserve(1 << 60),
        }
        assert!(
            self.comes(|outcome| outcome == Outcome::Answered(503)),
            "503 on a disk that is nearly full"
        );
        self.driver.send(count, || false);
        match self.disk.is_own() {
            true => self.disk.empty(),
            false => self.start_with_reserve(0),
        }
        self.driver.settle();
        assert!(
            self.comes(|outcome| outcome == Outcome::Answered(200)),
            "200 when there is room"
        );
        self.driver.may_refuse = false;
        self.driver.newcomers = false;
    }

    /// Kills the server and starts it where so many bytes must be free.
    fn start_with_reserve(&mut self, bytes: u64) {
        self.server.kill9();
        self.driver.abandon();
        let settings = format!("[store]\nmin_free_bytes = {bytes}\n");
        self.server.change(&settings);
        self.server.launch_degraded();
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
        let (server, disk) = (&mut self.server, &self.disk);
        if !own {
            disk.bound(server.pid());
        }
        self.driver.send(20_000, || {
            if own {
                disk.fill(0); // also what its journal gives back
            }
            server.ended().is_some()
        });
        let ended = self.driver.wait(SOON, |_| server.ended());
        let log = self.server.log();
        let status = ended.unwrap_or_else(|| panic!("the server stops: {log}"));
        assert_eq!(status.code(), Some(74), "{log}");
        assert!(log.contains("is full"), "{log}");
        self.driver.abandon();
        if own {
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

/// A world that charges offline at these CDFs.
fn offline(name: &str, cdfs: &[(Kind, &'static str)], own_disk: bool, seed: u64) -> World {
    World::new(&Plan {
        name,
        seed,
        cdfs,
        ocs: None,
        own_disk,
        crowd: Crowd::USUAL,
    })
}

/// CHG-02, with a CDF of our own making, which can be had everywhere.
#[test]
fn through_kills_partition_and_a_full_disk_each_event_has_one_record() {
    let cdf = [(Kind::SimulatedCdf, "cdf1.test")];
    let mut world = offline("torture", &cdf, true, seed(6));
    world.run(events(10_000), EVERYTHING.to_vec());
    world.judge();
}

/// CHG-02: the second CDF takes over while the first is away, and hands back. The disk is the machine's, which no test
/// may fill: limits stand in for it, here and wherever a disk of one's own cannot be had.
#[test]
fn two_cdfs_have_each_event_once_between_them_through_kills_partitions_and_limits() {
    use Fault::{FullDisk, KillBoth, KillCdf, KillServer, LowDisk, Partition};
    let both = [
        (Kind::SimulatedCdf, "cdf1.test"),
        (Kind::SimulatedCdf, "cdf2.test"),
    ];
    let mut world = offline("two-cdfs", &both, false, seed(7));
    let faults = vec![
        KillCdf, KillServer, Partition, KillCdf, KillBoth, LowDisk, FullDisk,
    ];
    world.run(events(6_000), faults);
    let both_took = world.received().iter().all(|received| !received.is_empty());
    assert!(both_took, "the second CDF was used");
    world.judge();
}

/// CHG-02 at an implementation of another make.
#[test]
fn freediameter_has_each_event_through_kills_of_both_sides_partition_and_a_full_disk() {
    use Fault::{FullDisk, KillBoth, KillCdf, KillServer, LowDisk, Partition};
    if !Kind::FreeDiameter.is_there() {
        return;
    }
    let cdf = [(Kind::FreeDiameter, "cdf1.test")];
    let mut world = offline("freediameter", &cdf, true, seed(8));
    let faults = vec![KillServer, KillCdf, KillBoth, Partition, LowDisk, FullDisk];
    world.run(events(5_000), faults);
    world.judge();
}

/// CHG-02: records pile up while no CDF is there. How fast they leave afterwards is printed, not judged.
#[test]
fn what_piled_up_without_a_cdf_comes_once() {
    let kind = match Kind::FreeDiameter.is_there() {
        true => Kind::FreeDiameter,
        false => Kind::SimulatedCdf,
    };
    let mut world = offline("replay", &[(kind, "cdf1.test")], true, seed(9));
    world.cdfs[0].kill9();
    world.run_without_cdf(events(5_000));
    world.judge();
}
