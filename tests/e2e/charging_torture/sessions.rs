//! CHG-03: credit that lasts as long as a subscription (RFC 8506 §5). What the OCS has been told as used, session by
//! session, is what the watcher took: never more, and less only by what a kill may give away. In the end no session is
//! open of which the server knows nothing, and none when everybody has left.

use super::dialogs::Told;
use super::driver::Crowd;
use super::ledger::Ledger;
use super::peers::Kind;
use super::ro::Fault::{self, KillBoth, KillOcs, KillServer, Noticed, Partition};
use super::world::{Ocs, Plan, REOPENED, World};
use super::{events, seed};
use crate::harness::{SOON, eventually, http};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Requests of a run, unless the environment says otherwise.
const USUAL: usize = 3_000;

/// `[charging.online.sessions] lag_ms` of these tests.
const LAG: Duration = Duration::from_millis(200);

/// `answer_timeout_ms` of these tests: so late a loss shows.
const UNANSWERED: Duration = Duration::from_secs(2);

/// Longest commit on a machine that does other work too.
const COMMIT: Duration = Duration::from_secs(1);

/// Units in each account of a simulator: some run out of them.
fn units() -> usize {
    60 * events(USUAL).div_ceil(USUAL)
}

/// What all sessions come to, in units.
#[derive(Debug, Default)]
struct Sum {
    taken: usize,
    used: usize,
    may: usize,
    /// Of sessions that the OCS knows, in the log.
    logged: usize,
    unknown: usize,
}

impl World {
    /// Waits until the OCS has these sessions open, by the Call-IDs of their subscriptions, and no others.
    fn until_held(&mut self, alone: Option<&BTreeSet<String>>) -> Result<(), String> {
        let ocs = self.ocs.as_mut().unwrap();
        let mut differ = String::new();
        let same = self.driver.wait(REOPENED, |driver| {
            let ledger = Ledger::of(ocs.received());
            let (open, known) = (ledger.open(), ledger.known());
            let held = match alone {
                Some(those) => those.clone(),
                None => driver
                    .dialogs
                    .held()
                    .intersection(&known)
                    .cloned()
                    .collect(),
            };
            let (more, less): (Vec<_>, Vec<_>) = (
                open.difference(&held).collect(),
                held.difference(&open).collect(),
            );
            differ = format!("open at the OCS alone: {more:?}; at the watchers alone: {less:?}");
            (open == held).then_some(())
        });
        same.ok_or(differ)
    }

    /// NOTIFYs of a dialog that may have gone uncounted: those of the last moments before each kill, and those between the
    /// decision that there is no more credit and the end of the subscription, which waits for a commit. The end itself is
    /// free where no unit is left for it.
    fn given_away(&self, told: &Told) -> usize {
        let crossed = |end: &&Instant| {
            let mut losses = self.losses.iter();
            losses.any(|(lost, back)| lost <= end && **end <= *back + UNANSWERED + COMMIT)
        };
        let withdrawn = told.withdrawn();
        let end = withdrawn.or(told.ended().filter(crossed));
        let last = told.ended().filter(|_| withdrawn.is_none());
        let near = |at: &Instant| {
            let mut kills = self.kills.iter();
            kills.any(|(dead, back)| *at + LAG + COMMIT >= *dead && at <= back)
                || end.is_some_and(|end| Some(at) != withdrawn && *at + COMMIT >= *end)
                || Some(at) == last
        };
        told.notifies.values().filter(|at| near(at)).count()
    }

    /// Every session was told what its subscription used.
    fn compare(&mut self) {
        let ledger = Ledger::of(self.ocs.as_mut().unwrap().received());
        self.tally.wrong.extend(ledger.wrong.iter().cloned());
        let (known, unpaid) = (ledger.known(), ledger.unpaid(&self.server.log()));
        let mut sum = Sum::default();
        for (call_id, told) in &self.driver.dialogs.told {
            let unpaid = unpaid.get(call_id).copied().unwrap_or(0);
            let used = ledger.used(call_id);
            // the one that says that there is no more credit is free
            let taken = told.notifies.len() - usize::from(told.withdrawn().is_some());
            if !known.contains(call_id) && unpaid <= taken {
                sum.unknown += taken - unpaid; // it began without the OCS, and went on so
                continue;
            }
            let may = self.given_away(told);
            if used > taken || used + unpaid + may < taken {
                let all = ledger.show(call_id);
                self.tally.wrong.push(format!(
                    "{call_id}: {used} used, {unpaid} in the log, {taken} taken, {may} may be given away: {told:?} {all}"
                ));
            }
            sum.taken += taken;
            sum.used += used;
            sum.logged += unpaid;
            sum.may += may;
        }
        let unpaid_in_all = unpaid.values().sum::<usize>();
        println!(
            "{} sessions, {} CCRs, {} of them with T; {} NOTIFYs taken by the watchers, {} reported as used, {} given away \
             ({} may be); {} units that no session took are in the log; {} NOTIFYs of subscriptions without a session",
            ledger.len(),
            ledger.requests,
            ledger.flagged,
            sum.taken,
            sum.used,
            sum.taken.saturating_sub(sum.used + sum.logged),
            sum.may,
            unpaid_in_all,
            sum.unknown,
        );
    }

    fn judge_sessions(mut self) {
        self.until_ocs();
        self.say("every session is that of a subscription");
        let held = self.until_held(None);
        let count = self.driver.dialogs.held().len();
        self.tally.wrong.extend(held.err());
        self.driver.leave();
        self.driver.settle();
        self.say(&format!("{count} subscriptions have ended"));
        let none = self.until_held(Some(&BTreeSet::new()));
        self.tally.wrong.extend(none.err());
        self.finish();
        self.compare();
        if self.ocs.as_ref().unwrap().is_simulated() {
            self.accounts();
        }
        self.judge();
    }

    /// The accounts of the server say the same of the units that were debited.
    fn compare_units(&mut self, used: usize) {
        let (http_at, mut last) = (self.server.http, Value::Null);
        let same = eventually(SOON, || {
            let page = http(http_at, "GET", "/charging/report", &[], "").body;
            last = serde_json::from_str(&page).ok()?;
            let hours = last["credit"].as_array()?;
            let sum = |key: &str| {
                hours
                    .iter()
                    .filter_map(|hour| hour[key].as_u64())
                    .sum::<u64>()
            };
            let over = sum("open") == 0 && last["adds_up"] == true;
            (over && sum("units") == used as u64).then_some(())
        });
        if same.is_none() {
            let what = format!(
                "{used} units taken, and the accounts say {}",
                last["credit"]
            );
            self.tally.wrong.push(what);
        }
    }

    /// What the simulator has taken from its accounts is what it was told; then they are filled up.
    fn accounts(&mut self) {
        let (taken, open) = self.taken(units());
        let used = Ledger::of(self.ocs.as_mut().unwrap().received()).total();
        if (taken.values().sum::<i64>(), open) != (i64::try_from(used).unwrap(), 0) {
            self.tally.wrong.push(format!(
                "{used} used, and gone from the accounts {taken:?}; {open} sessions open"
            ));
        }
        self.compare_units(used);
        let mut fill: Vec<String> = taken.keys().map(|id| format!("balance {id}=99")).collect();
        fill.push("balance full=1".into());
        self.ocs.as_mut().unwrap().tell(&fill, "full=1");
    }
}

fn each_notify_is_paid_for(name: &str, kind: Kind, ccfh: &str, faults: &[Fault], usual: u64) {
    if !kind.is_there() {
        return;
    }
    let mut world = World::new(&Plan {
        name,
        seed: seed(usual),
        cdfs: &[(Kind::SimulatedCdf, "cdf1.test")],
        ocs: Some(Ocs {
            kind,
            units: units(),
            settings: format!(
                "[charging.online]\nsubscribe = \"session\"\nccfh = \"{ccfh}\"\ntx_ms = 1000\nanswer_timeout_ms = {}\n\
                 [charging.online.sessions]\nquota = 5\nlag_ms = {}\n",
                UNANSWERED.as_millis(),
                LAG.as_millis()
            ),
        }),
        own_disk: false,
        crowd: Crowd {
            people: 80,
            watches: 80,
        },
    });
    world.run_online(events(USUAL), faults.to_vec());
    world.judge_sessions();
}

#[test]
fn each_notify_is_paid_for_through_kills_of_server_and_ocs() {
    let faults = [KillServer, KillServer, KillOcs, KillBoth, Partition];
    each_notify_is_paid_for("sessions", Kind::SimulatedOcs, "terminate", &faults, 12);
}

#[test]
fn each_notify_is_paid_for_where_subscriptions_go_on_without_an_ocs() {
    let faults = [KillServer, KillServer, KillOcs, KillBoth, Partition];
    each_notify_is_paid_for(
        "sessions-continue",
        Kind::SimulatedOcs,
        "continue",
        &faults,
        13,
    );
}

#[test]
fn freediameter_is_told_of_each_notify_through_kills_of_both_sides_and_partitions() {
    let faults = [KillServer, KillServer, KillBoth, Partition, Noticed];
    each_notify_is_paid_for(
        "sessions-freediameter",
        Kind::FreeDiameter,
        "terminate",
        &faults,
        14,
    );
}
