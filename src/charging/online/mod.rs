//! Online charging: requests ask an OCS for credit over Ro before they are served (TS 32.260 §5.3).
//!
//! The driver hands over what waits with [`Online::ask`] and is told the answer through [`Wanted::tell`]; what became
//! of the service comes with [`Online::used`] and [`Online::ended`]. Here is the part of the charging thread that holds
//! the credit-control client. It commits what is owed before it asks: whenever the process is killed, the store says
//! what still has to be debited or given back.

pub mod accounts;
pub(super) mod ccr;
pub mod enquiry;
pub mod exchange;
pub mod open;
mod record;
pub mod resend;
pub mod sessions;
pub mod settings;
#[cfg(test)]
mod tests;
mod trail;
mod unused;
pub(super) mod worker;

use super::acr::Sender;
use super::desk::Recent;
use super::worker::Ro;
use crate::store::{Committer, Reader, Record, StoreError};
use crate::telemetry::Metrics;
use enquiry::Enquirer;
use ims::charge::credit::{Answer, Request, Withdrawal, read_session};
use ims::record::Table;
use resend::Resend;
use settings::Checked;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::info;
use trail::Trail;
use worker::{Order, Start};

/// Records read with one call at the start.
const PAGE: usize = 4_096;

/// What the node is told of a charge.
#[derive(Debug)]
pub enum Word {
    /// The answer to a request.
    Answer(Answer),
    /// A lasting service may use so many units, counted since it began or the process did; `None`: without a limit.
    Allowed(Option<u64>),
    /// A lasting service has to end.
    Withdrawn(Withdrawal),
}

/// Tells the node about the charge of this number.
pub type Tell = Box<dyn Fn(u64, Word) + Send>;

/// Where charges are asked for. Cheap to share.
#[derive(Clone, Debug)]
pub struct Online {
    /// As many as requests wait in the node, which bounds them.
    orders: mpsc::UnboundedSender<Order>,
    enquirer: Enquirer,
}

/// What is needed to ask for credit.
pub struct Wanted {
    pub settings: Checked,
    pub tell: Tell,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wanted = f.debug_struct("Wanted");
        wanted.field("settings", &self.settings);
        wanted.finish_non_exhaustive()
    }
}

/// Prepares online charging with what the store says is owed.
pub(super) fn prepare(
    wanted: Wanted,
    sender: Sender,
    reader: &dyn Reader,
    committer: Arc<Committer>,
    metrics: Metrics,
    recent: Arc<Recent>,
) -> Result<(Online, Ro), StoreError> {
    let owed = all(reader, Table::Credit)?;
    let lives = all(reader, Table::CreditSession)?;
    let lives: BTreeSet<u64> = lives
        .iter()
        .filter_map(|(_, value)| read_session(value))
        .collect();
    if !owed.is_empty() {
        let sessions = lives.len();
        info!(
            charges = owed.len().saturating_sub(sessions),
            sessions,
            "charges of an earlier run are settled with the OCS, sessions of subscriptions go on"
        );
    }
    let mut trail = Trail::load(reader, recent, metrics.clone())?;
    let begun = trail.begin(reader)?;
    let (orders, waiting) = mpsc::unbounded_channel();
    let (told, stored) = mpsc::unbounded_channel(); // one outcome for each batch that was submitted
    let start = Start {
        sender,
        settings: wanted.settings,
        owed,
        lives,
        unpaid: super::unpaid::count(reader)?,
        trail,
        begun,
        committer,
        metrics,
        tell: wanted.tell,
        stored: told,
    };
    let ro = Ro {
        start,
        orders: waiting,
        stored,
    };
    let enquirer = Enquirer::new(orders.clone());
    Ok((Online { orders, enquirer }, ro))
}

/// The records of a table whose keys are numbers.
fn all(reader: &dyn Reader, table: Table) -> Result<Vec<Record>, StoreError> {
    let mut all = Vec::new();
    let mut from = vec![0; 8];
    loop {
        let page = reader.scan(table, &from, PAGE)?;
        let full = page.len() == PAGE;
        if let Some((last, _)) = page.last() {
            from.clone_from(last);
            from.push(0); // the least key above it
        }
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}

impl Online {
    /// Where an OCS is asked about prices and balances.
    pub fn enquirer(&self) -> Enquirer {
        self.enquirer.clone()
    }

    /// A request waits for credit. Never blocks.
    pub fn ask(&self, request: Request) {
        // a thread that has ended leaves it to the node's own patience
        let _ = self.orders.send(Order::Ask(Box::new(request)));
    }

    /// A lasting service has used so many units. Never blocks.
    pub fn used(&self, number: u64, units: u64) {
        let _ = self.orders.send(Order::Used { number, units });
    }

    /// An entry of the list of what nobody pays is to be asked for again. Never blocks.
    pub(super) fn resend(&self, resend: Resend) {
        let _ = self.orders.send(Order::Resend(Box::new(resend)));
    }

    /// A lasting service has to wait for a unit. Never blocks.
    pub fn wanted(&self, number: u64) {
        let _ = self.orders.send(Order::Wanted(number));
    }

    /// So many entries of the list of what is unpaid were settled by hand. Never blocks.
    pub(super) fn forgotten(&self, count: u64) {
        let _ = self.orders.send(Order::Forgotten(count));
    }

    /// A service that was granted was given, or was not. Never blocks.
    pub fn ended(&self, number: u64, delivered: bool) {
        let _ = self.orders.send(Order::Ended { number, delivered });
    }
}
