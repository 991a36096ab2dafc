//! CHG-03: online charging. What is gone from each account is what its owner was served, but for what was served in an
//! outage to those whose account was empty afterwards, and that is named one by one.

use super::driver::{Asked, Crowd, Outcome, icid};
use super::peers::{Kind, field};
use super::world::{OCS, Ocs, Plan, World};
use super::{events, seed};
use crate::harness::{SOON, eventually, http};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Requests of a run, unless the environment says otherwise.
const USUAL: usize = 4_000;

/// Units in each account: some run out of them.
fn units() -> usize {
    6 * events(USUAL).div_ceil(USUAL)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillServer,
    KillOcs,
    /// The OCS first, and the server while it is away.
    KillBoth,
    /// Too short for a watchdog to notice it.
    Partition,
    /// One that the watchdog notices.
    Noticed,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::KillServer => "kill -9 of the server",
            Fault::KillOcs => "kill -9 of the OCS",
            Fault::KillBoth => "kill -9 of both",
            Fault::Partition => "partition",
            Fault::Noticed => "partition that the watchdog notices",
        }
    }
}

/// Units by the identity of the payer.
pub type Units = BTreeMap<String, i64>;

/// Whom the account says something else of than the records.
type Off = Vec<(String, i64, i64)>;

impl World {
    pub fn run_online(&mut self, count: usize, mut faults: Vec<Fault>) {
        self.chance.shuffle(&mut faults);
        self.say(&format!("seed {}: {faults:?}", self.seed));
        self.driver.may_refuse = true; // without an OCS, or without credit
        let part = count / (2 * faults.len() + 1);
        self.until_ocs();
        for fault in faults {
            let before = part / 2 + self.chance.below(part.max(1));
            self.driver.send(before, || false);
            self.say(fault.name());
            let lost = Instant::now();
            self.suffer_online(fault, part);
            if fault != Fault::KillServer {
                self.losses.push((lost, Instant::now()));
            }
            *self.tally.faults.entry(fault.name()).or_default() += 1;
            self.tally.allowed += super::world::IN_FLIGHT;
            self.until_ocs();
        }
        let left = count.saturating_sub(self.driver.asked.len());
        self.driver.send(left, || false);
        self.driver.settle();
        self.finish();
    }

    fn suffer_online(&mut self, fault: Fault, count: usize) {
        match fault {
            Fault::KillServer => self.kill_server(),
            Fault::KillOcs => {
                self.ocs.as_mut().unwrap().kill9();
                self.driver.send(count / 4, || false);
                self.ocs.as_mut().unwrap().start();
            }
            Fault::KillBoth => {
                self.ocs.as_mut().unwrap().kill9();
                self.driver.send(count / 4, || false);
                self.kill_server();
                self.driver.send(count / 4, || false);
                self.ocs.as_mut().unwrap().start();
            }
            Fault::Noticed => {
                self.ocs.as_ref().unwrap().relay.part();
                self.driver.send(count / 4, || false);
                self.until_open(OCS, "0");
                self.driver.send(count / 4, || false);
                self.ocs.as_ref().unwrap().relay.reset();
            }
            Fault::Partition => {
                let relay = &self.ocs.as_ref().unwrap().relay;
                relay.part();
                // each waits for its Tx, and the server is killed while the last of them do
                self.driver.send(100, || false);
                match self.chance.below(2) {
                    0 => self.ocs.as_ref().unwrap().relay.heal(),
                    _ => {
                        self.kill_server();
                        self.ocs.as_ref().unwrap().relay.heal();
                    }
                }
            }
        }
    }

    pub fn until_ocs(&mut self) {
        self.until_open(OCS, "1");
    }

    /// What is gone from each account that had so many units, by what the OCS itself says; and the sessions that are open.
    pub fn taken(&mut self, full: usize) -> (Units, usize) {
        let payers: BTreeSet<&String> = self.driver.asked.iter().map(|a| &a.presentity).collect();
        let mut commands: Vec<String> = payers.iter().map(|id| format!("balance {id}")).collect();
        commands.push("sessions".into());
        commands.push("balance the-end".into());
        let said = self.ocs.as_mut().unwrap().tell(&commands, "the-end");
        let balance = |line: &String| {
            let said = field(line, "of")?;
            let (payer, left) = said.rsplit_once('=')?;
            Some((payer.to_owned(), full as i64 - left.parse::<i64>().ok()?))
        };
        let is = |line: &&String, event: &str| line.contains(&format!("\"event\":\"{event}\""));
        let taken = said.iter().filter(|line| is(line, "balance"));
        let open = said.iter().filter(|line| is(line, "session")).count();
        (taken.filter_map(balance).collect(), open)
    }

    /// What was served to each, by the records of offline charging.
    fn served(&mut self) -> Units {
        let mut sessions = BTreeSet::new();
        let mut served = Units::new();
        let payer: BTreeMap<String, &Asked> = (0..).map(icid).zip(&self.driver.asked).collect();
        for record in self.cdfs.iter_mut().flat_map(|cdf| cdf.received()) {
            let good = record.cause.starts_with('-') && sessions.insert(&record.session);
            if let Some(asked) = payer.get(&record.icid).filter(|_| good) {
                *served.entry(asked.presentity.clone()).or_default() += 1;
            }
        }
        served
    }

    /// Services that were given while no OCS could say anything, and that the account did not cover when it could: the
    /// log names each of them.
    fn written_off(&self) -> Units {
        let log = self.server.log();
        let refused = log.lines().filter(|line| line.contains("owed=Debit"));
        let named = |line| {
            let (_, rest) = str::split_once(line, "icid=\"")?;
            rest.split('"').next()
        };
        let named: BTreeSet<&str> = refused.filter_map(named).collect();
        let mut units = Units::new();
        for (icid, asked) in (0..).map(icid).zip(&self.driver.asked) {
            if named.contains(icid.as_str()) {
                *units.entry(asked.presentity.clone()).or_default() += 1;
            }
        }
        units
    }

    /// Whose account is not what it should be, and the sessions that are open.
    fn off(&mut self) -> (Off, usize) {
        let (mut taken, open) = self.taken(units());
        for (payer, units) in self.written_off() {
            *taken.entry(payer).or_default() += units;
        }
        let served = self.served();
        let payers: BTreeSet<&String> = taken.keys().chain(served.keys()).collect();
        let units = |all: &Units, payer: &String| all.get(payer).copied().unwrap_or(0);
        let both = payers
            .into_iter()
            .map(|payer| (payer.clone(), units(&taken, payer), units(&served, payer)));
        (
            both.filter(|(_, taken, served)| taken != served).collect(),
            open,
        )
    }

    /// The accounts of the server agree with those of the OCS: units debited and not given back, and what was written off.
    fn compare_accounts(&mut self, taken: i64) {
        let written_off = self.written_off().values().sum::<i64>();
        let mut last = Value::Null;
        let http_at = self.server.http;
        let agree = eventually(SOON, || {
            let page = http(http_at, "GET", "/charging/report", &[], "").body;
            last = serde_json::from_str(&page).ok()?;
            let hours = last["credit"].as_array()?;
            let sum = |key: &str| {
                hours
                    .iter()
                    .filter_map(|hour| hour[key].as_i64())
                    .sum::<i64>()
            };
            let open = sum("open") == 0 && sum("missing") == 0 && sum("asked") > 0;
            let agrees = sum("units") == taken && sum("given_up") == written_off;
            (open && agrees && last["adds_up"] == true).then_some(())
        });
        println!("accounts of credit: {}", last["credit"]);
        if agree.is_none() {
            let what = format!(
                "{taken} units taken, {written_off} written off: {}",
                last["credit"]
            );
            self.tally.wrong.push(what);
        }
    }

    /// Every account agrees with the services, and goes on to when the server has started once more.
    fn judge_online(mut self) {
        self.until_ocs();
        let nothing = (Off::new(), 0);
        let mut last = nothing.clone();
        // what is owed is settled meanwhile
        eventually(SOON, || {
            last = self.off();
            (last == nothing).then_some(())
        });
        self.kill_server();
        self.until_ocs();
        self.finish();
        let after = self.off();
        let (taken, _) = self.taken(units());
        let served = self.served().values().sum::<i64>();
        let asked = self.ocs.as_mut().unwrap().received();
        let (asked, again) = (asked.len(), asked.iter().filter(|ccr| ccr.t).count());
        let denied = |asked: &&Asked| asked.outcome == Outcome::Answered(402);
        let denied = self.driver.asked.iter().filter(denied).count();
        println!(
            "{asked} CCRs, {again} of them with T; {} units taken from {} accounts, {} written off in the log, {served} \
             services delivered; {denied} denied with 402",
            taken.values().sum::<i64>(),
            taken.len(),
            self.written_off().values().sum::<i64>(),
        );
        let twice = |off: &(Off, usize)| {
            let (payers, open) = off;
            let some: Vec<_> = payers.iter().take(10).collect();
            format!(
                "{} accounts off (payer, taken or written off, served): {some:?}; {open} sessions open",
                payers.len()
            )
        };
        self.compare_accounts(taken.values().sum());
        if last != nothing || after != nothing {
            self.tally.wrong.push(format!(
                "{}; after another start {}",
                twice(&last),
                twice(&after)
            ));
        }
        self.judge();
    }
}

fn each_unit_is_a_service(mode: &str, usual: u64) {
    use Fault::{KillBoth, KillOcs, KillServer, Partition};
    let mut world = World::new(&Plan {
        name: &format!("torture-{mode}"),
        seed: seed(usual),
        cdfs: &[(Kind::SimulatedCdf, "cdf1.test")],
        ocs: Some(Ocs {
            kind: Kind::SimulatedOcs,
            units: units(),
            settings: format!(
                "[charging.online]\npublish = \"{mode}\"\ntx_ms = 1000\nanswer_timeout_ms = 2000\n"
            ),
        }),
        own_disk: true,
        crowd: Crowd::PUBLISHING,
    });
    let faults = vec![
        KillServer, KillServer, KillServer, KillServer, KillOcs, KillBoth, Partition,
    ];
    world.run_online(events(USUAL), faults);
    world.judge_online();
}

#[test]
fn through_kills_of_server_and_ocs_each_unit_debited_is_a_service() {
    each_unit_is_a_service("iec", 10);
}

#[test]
fn through_kills_of_server_and_ocs_each_unit_reserved_is_a_service_or_given_back() {
    each_unit_is_a_service("ecur", 11);
}
