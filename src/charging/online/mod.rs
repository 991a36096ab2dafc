//! Online charging: requests ask an OCS for credit over Ro before they are served (TS 32.260 §5.3).
//!
//! The driver hands over what waits with [`Online::ask`] and is told the answer through the function given to
//! [`start`]; what became of the service comes with [`Online::ended`]. The thread here owns its Diameter node and the
//! credit-control client, and commits what is owed before it asks: whenever the process is killed, the store says what
//! still has to be debited or given back.

mod record;
pub mod settings;
#[cfg(test)]
mod tests;
mod worker;

use super::StartError;
use super::tls::Tls;
use crate::store::{Committer, Reader};
use crate::telemetry::Metrics;
use ims::charge::credit::{Answer, Request, Withdrawal};
use ims::record::Table;
use settings::Checked;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::info;
use worker::{Order, Start};

/// Records read with one call at the start.
const PAGE: usize = 4_096;

/// What the node is told of a charge.
#[derive(Debug)]
pub enum Word {
    /// The answer to a request.
    Answer(Answer),
    /// A lasting service has to end.
    Withdrawn(Withdrawal),
}

/// Tells the node about the charge of this number.
pub type Tell = Box<dyn Fn(u64, Word) + Send>;

/// The credit thread.
#[derive(Debug)]
pub struct Online {
    /// As many as requests wait in the node, which bounds them.
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// Starts online charging with what the store says is owed.
pub fn start(
    settings: Checked,
    reader: &dyn Reader,
    committer: Arc<Committer>,
    metrics: Metrics,
    tell: Tell,
) -> Result<Online, StartError> {
    let mut owed = Vec::new();
    let mut from = vec![0; 8];
    loop {
        let page = reader.scan(Table::Credit, &from, PAGE)?;
        let full = page.len() == PAGE;
        if let Some((last, _)) = page.last() {
            from.clone_from(last);
            from.push(0); // the least key above it
        }
        owed.extend(page);
        if !full {
            break;
        }
    }
    if !owed.is_empty() {
        info!(
            count = owed.len(),
            "charges of an earlier run are still to be settled with the OCS"
        );
    }
    let tls = Tls::load(&settings.peers.given.tls)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Random)?;
    let (orders, waiting) = mpsc::unbounded_channel();
    let start = Start {
        settings,
        owed,
        committer,
        metrics,
        orders: waiting,
        tell,
        tls,
        seed,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let thread = std::thread::Builder::new()
        .name("credit".into())
        .spawn(move || {
            let told = runtime.block_on(worker::run(start));
            runtime.shutdown_background(); // a name that is being resolved is not waited for
            // Whoever asked for the end may have stopped waiting for it.
            let _ = told.map(|told| told.send(()));
        })
        .map_err(StartError::Thread)?;
    Ok(Online {
        orders,
        thread: Some(thread),
    })
}

impl Online {
    /// A request waits for credit. Never blocks.
    pub fn ask(&self, request: Request) {
        // a thread that has ended leaves it to the node's own patience
        let _ = self.orders.send(Order::Ask(Box::new(request)));
    }

    /// A lasting service has used so many units. Never blocks.
    pub fn used(&self, number: u64, units: u64) {
        let _ = self.orders.send(Order::Used { number, units });
    }

    /// A service that was granted was given, or was not. Never blocks.
    pub fn ended(&self, number: u64, delivered: bool) {
        let _ = self.orders.send(Order::Ended { number, delivered });
    }

    /// Takes leave of the OCSs and ends the thread, within `within`. What is still owed stays in the store.
    pub async fn shutdown(mut self, within: Duration) {
        let (done, ended) = oneshot::channel();
        if self.orders.send(Order::Stop { within, done }).is_ok() {
            // The worker keeps to the time itself; the margin is for a machine that is busy.
            let _ = tokio::time::timeout(within + Duration::from_secs(1), ended).await;
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join(); // a panic was already reported by its hook
        }
    }
}
