//! A charging system that grants, denies, says nothing and takes credit back, with the part of the program that stands
//! between it and the node: what is owed is in the store before anybody is asked, and settled after a crash.

use crate::peers::Season;
use crate::world::{Happening, World};
use ims::charge::Chargeable;
use ims::charge::credit::{
    Answer, Online, Parting, Request, Settled, Verdict, Withdrawal, read_session,
};
use ims::node::Input;
use ims::record::{Batch, Table};
use ims::time::{Millis, Seconds};
use std::collections::{BTreeMap, BTreeSet};

/// What asks for credit in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    Nothing,
    /// Subscriptions as long as they last, and their NOTIFYs by them.
    Subscriptions,
    /// NOTIFYs, each for itself.
    Notifies,
    Both,
}

/// A charge that is to be undone if the process dies now.
const UNDO: &[u8] = &[0];
/// A session that lasts.
const OPEN: &[u8] = &[1];
/// Until a subscription without credit is over: its last NOTIFY may take 64·T1, and one before it as long.
const END: u64 = 70_000;

/// How a world is charged.
pub fn online(charged: Charged) -> Online {
    let lasting = matches!(charged, Charged::Subscriptions | Charged::Both);
    Online {
        subscribe: lasting,
        lasting,
        notify: matches!(charged, Charged::Notifies | Charged::Both),
        parting: Parting::Probation {
            retry_after: Seconds(5),
        },
        waiting: 3,
        patience: Millis(3_000),
        ..Online::OFF
    }
}

#[derive(Debug)]
struct Charge {
    method: Chargeable,
    lasting: bool,
    /// The account has paid.
    granted: bool,
    used: u64,
    /// When the node was last told that the credit is gone.
    withdrawn_at: Option<u64>,
    /// It is over: paid for good, or given back.
    kept: Option<bool>,
}

/// Every charge that was ever asked for.
#[derive(Debug, Default)]
pub struct Ocs {
    charges: BTreeMap<u64, Charge>,
}

impl Ocs {
    fn over(&mut self, number: u64, kept: bool) -> bool {
        let Some(charge) = self.charges.get_mut(&number) else {
            return false;
        };
        let before = charge.kept.replace(kept);
        before.is_none_or(|before| before == kept)
    }
}

impl World {
    /// The node asks: what is owed is stored, then the charging system is asked.
    pub fn credit_asked(&mut self, request: &Request) {
        let charge = Charge {
            method: request.event.method,
            lasting: request.lasting,
            granted: false,
            used: 0,
            withdrawn_at: None,
            kept: None,
        };
        let number = request.number;
        let known = self.ocs.charges.insert(number, charge);
        self.promises.check(
            "the number of a charge is never given twice",
            known.is_none(),
            || format!("{number}"),
        );
        self.promises
            .count(&format!("{} asks", request.event.method.as_str()));
        let mut batch = Batch::default();
        batch.put_bytes(Table::Credit, &number.to_be_bytes(), UNDO);
        self.server_commits(batch);
        self.credit_soon(number, 200);
    }

    fn credit_soon(&mut self, number: u64, within: u64) {
        let when = self.now + self.dice.between(1, within);
        let incarnation = self.server.incarnation;
        self.at(when, Happening::Credit(incarnation, number));
    }

    /// The charging system decides.
    pub fn credit_decided(&mut self, number: u64) {
        if self.owed(number).is_none() {
            return self.credit_soon(number, 20); // not stored yet
        }
        let Some(charge) = self.ocs.charges.get_mut(&number) else {
            return;
        };
        let storm = self.season == Season::Storm;
        let (verdict, heard) = match self.dice.between(0, 20) {
            _ if !storm => (Verdict::Granted, true),
            0 => (Verdict::NoCredit, true),
            // to a SUBSCRIBE it would be 403, as for one that the rules refuse
            1 if charge.method == Chargeable::Notify => (Verdict::Refused, true),
            1 | 2 => (Verdict::Unavailable, true),
            3 => (Verdict::Granted, false), // its answer is lost
            4 => return self.promises.count("questions without an answer"),
            _ => (Verdict::Granted, true),
        };
        charge.granted = verdict == Verdict::Granted;
        let lasting = charge.lasting;
        self.promises.count(&format!("{verdict:?} heard: {heard}"));
        if !heard {
            return;
        }
        let settled = match (verdict, lasting) {
            (Verdict::Granted, true) => Settled::Owed(OPEN.into()),
            (Verdict::Granted, false) => Settled::Nothing,
            _ => {
                self.settle_charge(number, false);
                Settled::Unchanged
            }
        };
        if lasting && verdict == Verdict::Granted && storm && self.dice.percent(50) {
            let when = self.now + self.dice.between(0, 120_000);
            self.at(when, Happening::Withdraw(number));
        }
        let answer = Answer { verdict, settled };
        self.feed_credit(Input::Credit { number, answer });
    }

    /// The account is empty: the service has to end.
    pub fn credit_withdrawn(&mut self, number: u64) {
        let up = self.server.node.is_some();
        let now = self.now;
        let Some(charge) = self.ocs.charges.get_mut(&number) else {
            return;
        };
        if charge.kept.is_some() {
            return;
        }
        charge.withdrawn_at = Some(now);
        if up {
            self.promises.count("sessions withdrawn");
            let why = Withdrawal::Spent;
            self.feed_credit(Input::CreditWithdrawn { number, why });
        }
    }

    pub fn credit_used(&mut self, number: u64, units: u64) {
        let charge = self.ocs.charges.get_mut(&number);
        let lives = charge.is_some_and(|charge| {
            charge.used += units;
            charge.lasting && charge.granted && charge.kept.is_none()
        });
        self.promises
            .check("only a session that lasts is used", lives, || {
                format!("{number}")
            });
    }

    /// A service is over, or was not given.
    pub fn credit_ended(&mut self, number: u64, delivered: bool) {
        let owed = self.owed(number).is_some();
        let lasting = self.ocs.charges.get(&number).is_some_and(|c| c.lasting);
        self.promises.check(
            "what was given is settled in the batch of its service",
            lasting || owed != delivered || !delivered,
            || format!("{number}"),
        );
        self.settle_charge(number, delivered);
    }

    fn settle_charge(&mut self, number: u64, kept: bool) {
        let same = self.ocs.over(number, kept);
        self.promises
            .check("a charge ends once", same, || format!("{number}"));
        let mut batch = Batch::default();
        batch.delete(Table::Credit, &number.to_be_bytes());
        self.server_commits(batch);
    }

    fn owed(&self, number: u64) -> Option<Vec<u8>> {
        let key = number.to_be_bytes();
        let mut owed = self.server.disk.table(Table::Credit);
        owed.find(|(_, k, _)| *k == key).map(|(.., v)| v.to_vec())
    }

    /// A new process settles what the old one has left.
    pub fn credit_resumed(&mut self) {
        let disk = &self.server.disk;
        let sessions = disk.table(Table::CreditSession);
        let lives: BTreeSet<u64> = sessions.filter_map(|(.., v)| read_session(v)).collect();
        let number = |key: &[u8]| key.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let owed: BTreeMap<u64, Vec<u8>> = disk
            .table(Table::Credit)
            .map(|(_, key, value)| (number(key), value.to_vec()))
            .collect();
        let open: Vec<(u64, bool, bool)> = self
            .ocs
            .charges
            .iter()
            .filter(|(_, charge)| charge.kept.is_none())
            .map(|(number, c)| (*number, c.granted, c.withdrawn_at.is_some()))
            .collect();
        for (number, granted, withdrawn) in open {
            match owed.get(&number) {
                Some(value) if value == OPEN && lives.contains(&number) => {
                    if withdrawn {
                        let when = self.now + self.dice.between(1, 5_000);
                        self.at(when, Happening::Withdraw(number));
                    }
                }
                Some(value) => self.settle_charge(number, value == OPEN),
                // the node has settled it in the batch of the service
                None => _ = self.ocs.over(number, granted),
            }
        }
        for number in owed.keys() {
            let over = self
                .ocs
                .charges
                .get(number)
                .is_none_or(|c| c.kept.is_some());
            if over {
                let mut batch = Batch::default();
                batch.delete(Table::Credit, &number.to_be_bytes());
                self.server_commits(batch);
            }
        }
    }

    /// Nobody is subscribed for long without credit.
    pub fn check_withdrawn(&mut self) {
        let (now, end) = (self.now, END);
        let late = |(_, c): &(&u64, &Charge)| {
            c.kept.is_none() && c.withdrawn_at.is_some_and(|at| now > at + end)
        };
        let late: Vec<u64> = self
            .ocs
            .charges
            .iter()
            .filter(late)
            .map(|(n, _)| *n)
            .collect();
        self.promises.check(
            "a subscription without credit ends",
            late.is_empty(),
            || format!("{late:?}"),
        );
    }

    /// At the end: every charge is over, and the account has paid for what was delivered.
    pub fn check_credit(&mut self) {
        let charges = self.ocs.charges.values();
        let open = charges.clone().filter(|c| c.kept.is_none()).count();
        let all: Vec<String> = self
            .ocs
            .charges
            .iter()
            .map(|(n, c)| format!("{n} {c:?}"))
            .collect();
        self.promises
            .check("every charge comes to its end", open == 0, || {
                all.join("\n")
            });
        let paid =
            |c: &&Charge| c.method == Chargeable::Notify && c.granted && c.kept == Some(true);
        let paid = charges.clone().filter(paid).count() as u64;
        // each has one NOTIFY, if it is taken, and no session
        let fetches = charges
            .clone()
            .filter(|c| c.method == Chargeable::Subscribe && !c.lasting && c.kept == Some(true));
        let fetches = fetches.count() as u64;
        let used: u64 = charges.map(|c| c.used).sum();
        let delivered = self.promises.delivered;
        match self.plan().charged {
            Charged::Nothing => {}
            Charged::Notifies | Charged::Both => self.promises.check(
                "units granted are NOTIFYs delivered and units given back",
                paid == delivered.active,
                || format!("{paid} paid, {delivered:?}"),
            ),
            Charged::Subscriptions => {
                let crashes = self.plan().crash_every > 0;
                self.promises.check(
                    "a session uses the NOTIFYs that are delivered",
                    used <= delivered.all && (crashes || used + fetches >= delivered.all),
                    || format!("{used} used, {fetches} fetches, {delivered:?}"),
                );
            }
        }
    }
}
