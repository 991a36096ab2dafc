//! What an OCS has been told of lasting sessions, in its own order.

use super::peers::{Credit, Received, TERMINATION, UPDATE};
use std::collections::{BTreeMap, BTreeSet};

/// One session.
#[derive(Clone, Debug, Default)]
struct Session {
    call_id: String,
    /// Requests of it by their number; what came again is once in it.
    requests: BTreeMap<u32, Credit>,
    open: bool,
}

/// The sessions by Session-Id.
#[derive(Debug, Default)]
pub struct Ledger {
    sessions: BTreeMap<String, Session>,
    pub requests: usize,
    pub flagged: usize,
    /// What should not be.
    pub wrong: Vec<String>,
}

impl Ledger {
    pub fn of(received: &[Received]) -> Ledger {
        let mut ledger = Ledger::default();
        for request in received {
            if let Some(credit) = &request.credit {
                ledger.take(request, credit);
            }
        }
        ledger
    }

    fn take(&mut self, request: &Received, credit: &Credit) {
        self.requests += 1;
        self.flagged += usize::from(request.t);
        let session = self.sessions.entry(request.session.clone()).or_default();
        session.call_id.clone_from(&request.call_id);
        if let Some(before) = session.requests.get(&credit.number) {
            let same = (before.kind, before.used) == (credit.kind, credit.used);
            if !(same && request.t) {
                self.wrong
                    .push(format!("{before:?} came again as {request:?}"));
            }
            return;
        }
        session.open = credit.result == 2001 && credit.kind != TERMINATION;
        session.requests.insert(credit.number, credit.clone());
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Call-IDs of the subscriptions whose sessions are open.
    pub fn open(&self) -> BTreeSet<String> {
        let open = self.sessions.values().filter(|session| session.open);
        open.map(|session| session.call_id.clone()).collect()
    }

    /// Call-IDs of the subscriptions for which the OCS has opened a session.
    pub fn known(&self) -> BTreeSet<String> {
        let opened = |session: &&Session| {
            let mut all = session.requests.values();
            all.any(|request| request.result == 2001 && request.kind != TERMINATION)
        };
        let all = self.sessions.values().filter(opened);
        all.map(|session| session.call_id.clone()).collect()
    }

    /// Units that were reported for a subscription.
    pub fn used(&self, call_id: &str) -> usize {
        let of = self.sessions.values().filter(|s| s.call_id == call_id);
        of.map(Session::used).sum()
    }

    pub fn total(&self) -> usize {
        self.sessions.values().map(Session::used).sum()
    }

    /// Units that the log of a server names since no session has taken them, by Call-ID.
    pub fn unpaid(&self, log: &str) -> BTreeMap<String, usize> {
        let mut units = BTreeMap::new();
        for line in log.lines().filter(|line| line.contains("owed=Report")) {
            let value = |name: &str, end: char| line.split_once(name)?.1.split(end).next();
            let used = value("units=", ' ').and_then(|used| used.parse::<usize>().ok());
            if let (Some(call_id), Some(used)) = (value("call_id=\"", '"'), used) {
                *units.entry(call_id.to_owned()).or_default() += used;
            }
        }
        units
    }

    pub fn show(&self, call_id: &str) -> String {
        let of = self.sessions.values().filter(|s| s.call_id == call_id);
        format!("{:?}", of.collect::<Vec<_>>())
    }
}

impl Session {
    /// An update that finds the account empty counts all the same; one that finds no session does not.
    fn used(&self) -> usize {
        let counted = |credit: &&Credit| matches!(credit.result, 2001 | 4012);
        let reports = self.requests.values().filter(counted);
        let reports = reports.filter(|credit| matches!(credit.kind, UPDATE | TERMINATION));
        reports.map(|credit| credit.used).sum()
    }
}
