//! Offline charging: `ims` events become Rf accounting requests, kept in the store until a CDF has acknowledged them.
//!
//! The driver commits each event in the batch of the state change that it reports and then hands it over here with
//! [`Charging::committed`], which never blocks: SIP does not wait for a CDF (TS 32.260 §5.2.1). What is not handed
//! over, or does not fit in memory, is read back from the store.

use crate::http::FileError;
use crate::store::{Committer, Reader, StoreError};
use crate::telemetry::Metrics;
use accounts::{Accounts, Report};
use acr::Sender;
use desk::{Desk, Recent};
use export::Export;
use ims::charge::Event;
use ims::record::{Batch, Table};
use settings::Checked;
use spool::Spool;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tls::Tls;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{error, info};
use worker::{Order, Start};

pub mod accounts;
pub mod acr;
mod cdf;
pub mod cdr;
pub mod desk;
mod dictionary;
pub mod explain;
mod export;
mod link;
pub mod online;
mod payers;
mod profile;
pub mod quarantine;
pub mod settings;
mod spool;
mod tls;
mod worker;

pub use spool::Quarantined;

/// Batches of events that wait for the charging thread; those above are read back from the store.
const QUEUE: usize = 1_024;

/// Records counted with one call at the start.
const PAGE: usize = 4_096;

/// Why charging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the charging records in the store cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] FileError),
    #[error("charging records cannot be exported ({0}); see [charging.export]")]
    Export(io::Error),
    #[error("the charging thread cannot be started ({0})")]
    Thread(io::Error),
    #[error("the system gives no random numbers ({0})")]
    Random(getrandom::Error),
}

/// The charging thread. Dropping it ends the thread within a second; [`Charging::shutdown`] does so in good order.
#[derive(Debug)]
pub struct Charging {
    orders: mpsc::Sender<Order>,
    unseen: Arc<Unseen>,
    desk: Desk,
    thread: Option<JoinHandle<()>>,
}

/// Starts charging with the records that `reader` finds in the store. Blocks while it counts them.
pub fn start(
    settings: Checked,
    reader: Arc<dyn Reader>,
    committer: Arc<Committer>,
    metrics: Metrics,
) -> Result<Charging, StartError> {
    let (count, highest) = waiting(&*reader)?;
    if count > 0 {
        info!(count, "charging records of an earlier run wait for a CDF");
    }
    check_accounts(&*reader, &committer, &metrics)?;
    let accounts = Accounts::load(&*reader)?;
    let export = Export::start(&settings.given.export).map_err(StartError::Export)?;
    let tls = Tls::load(&settings.given.tls)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Random)?;
    let (orders, waiting) = mpsc::channel(QUEUE);
    let unseen = Arc::new(Unseen::default());
    let memory = settings.given.spool_memory_records as usize;
    let window = settings.given.max_in_flight as usize;
    let spool = Spool::new(memory, window, count, highest);
    let sender = Arc::new(Sender::of(&settings));
    let desk = Desk {
        reader: reader.clone(),
        committer: committer.clone(),
        orders: orders.clone(),
        sender: sender.clone(),
        recent: Arc::new(Recent::default()),
        releasing: Arc::default(),
    };
    let start = Start {
        sender,
        accounts,
        export,
        recent: desk.recent.clone(),
        settings,
        spool,
        committer,
        metrics,
        orders: waiting,
        unseen: unseen.clone(),
        tls,
        seed,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let thread = std::thread::Builder::new()
        .name("charging".into())
        .spawn(move || {
            let told = runtime.block_on(worker::run(start, reader));
            runtime.shutdown_background(); // a name that is being resolved is not waited for
            // Whoever asked for the end may have stopped waiting for it.
            let _ = told.map(|told| told.send(()));
        })
        .map_err(StartError::Thread)?;
    Ok(Charging {
        orders,
        unseen,
        desk,
        thread: Some(thread),
    })
}

/// Compares what was emitted with what became of it, says what is missing, and forgets old accounts.
fn check_accounts(
    reader: &dyn Reader,
    committer: &Arc<Committer>,
    metrics: &Metrics,
) -> Result<(), StartError> {
    let report = Report::read(reader)?;
    let mut missing = 0;
    for hour in report.hours.iter().filter(|hour| hour.missing != 0) {
        missing += hour.missing.unsigned_abs();
        error!(
            hour = hour.hour,
            emitted = hour.emitted,
            missing = hour.missing,
            "the accounts of an hour do not add up: charging records are missing from the store"
        );
    }
    metrics.set_missing_records(missing);
    let mut batch = Batch::default();
    report.prune(&mut batch, reader)?;
    if !batch.is_empty() {
        committer.submit(
            batch,
            Box::new(|outcome| {
                if let Err(error) = outcome {
                    error!(%error, "old accounts of charging could not be deleted");
                }
            }),
        );
    }
    Ok(())
}

/// How many records the store holds, and the number of the last one. They stay there while charging is off.
pub fn waiting(reader: &dyn Reader) -> Result<(u64, Option<u64>), StoreError> {
    let (mut count, mut highest, mut from) = (0, None, Event::key(0).to_vec());
    loop {
        let page = reader.scan(Table::Charging, &from, PAGE)?;
        count += page.len() as u64;
        let Some((last, _)) = page.last() else {
            return Ok((count, highest));
        };
        highest = <[u8; 8]>::try_from(last.as_slice())
            .ok()
            .map(u64::from_be_bytes);
        if page.len() < PAGE {
            return Ok((count, highest));
        }
        from.clone_from(last);
        from.push(0); // the least key above it
    }
}

impl Charging {
    /// Where the operator asks.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// These events have been committed. Never blocks; may be called from any thread.
    pub fn committed(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        if let Err(refused) = self.orders.try_send(Order::Committed(events))
            && let Order::Committed(events) = refused.into_inner()
        {
            self.unseen.add(&events);
        }
    }

    /// Waits for the answers that are under way, takes leave of the CDFs and ends the thread, all within `within`.
    /// Records that are not acknowledged by then stay in the store.
    pub async fn shutdown(mut self, within: Duration) {
        let (done, ended) = oneshot::channel();
        if self.orders.send(Order::Stop { within, done }).await.is_ok() {
            // The worker keeps to the time itself; the margin is for a machine that is busy.
            let _ = tokio::time::timeout(within + Duration::from_secs(1), ended).await;
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join(); // a panic was already reported by its hook
        }
    }
}

/// Numbers of events that were committed and not handed over, since the charging thread was behind.
#[derive(Debug, Default)]
struct Unseen {
    /// Lowest, highest, and how many.
    range: Mutex<Option<(u64, u64, u64)>>,
    notify: Notify,
}

impl Unseen {
    fn add(&self, events: &[Event]) {
        let mut range = self.range.lock().unwrap_or_else(PoisonError::into_inner);
        for Event { number, .. } in events {
            let (lowest, highest, count) = range.unwrap_or((*number, *number, 0));
            *range = Some((lowest.min(*number), highest.max(*number), count + 1));
        }
        self.notify.notify_one();
    }

    fn take(&self) -> Option<(u64, u64, u64)> {
        self.range
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn told(&self) {
        self.notify.notified().await;
    }
}

#[cfg(test)]
mod tests;
