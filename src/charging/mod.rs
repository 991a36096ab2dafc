//! Charging: `ims` events become Rf accounting requests, kept in the store until a CDF has acknowledged them, and
//! requests ask an OCS for credit over Ro before they are served.
//!
//! One thread does both, over one Diameter node. The driver commits each event in the batch of the state change that
//! it reports and then hands it over here with [`Charging::committed`], which never blocks: SIP does not wait for a CDF
//! (TS 32.260 §5.2.1). What is not handed over, or does not fit in memory, is read back from the store. What waits for
//! credit comes through [`Charging::online`].

use crate::http::FileError;
use crate::store::{Committer, Reader, StoreError};
use crate::telemetry::Metrics;
use accounts::{Accounts, Report};
use acr::Sender;
use desk::{Desk, Recent};
use export::Export;
use ims::charge::{Event, record};
use ims::record::{Batch, Op, Table};
use names::Names;
use online::Online;
use records::Order;
use settings::Checked;
use spool::Spool;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tls::Tls;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{error, info};
use worker::{Rf, Start, Stop};

pub mod accounts;
pub mod acr;
mod advice;
mod alarm;
pub mod cdr;
pub mod desk;
mod dictionary;
mod directory;
pub mod explain;
mod export;
mod identifier;
mod line;
mod link;
mod listen;
pub mod names;
pub mod online;
mod payers;
mod place;
mod profile;
pub mod quarantine;
mod records;
mod sequences;
pub mod settings;
mod socket;
mod spool;
mod tally;
mod tls;
pub mod unpaid;
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
    #[error("charging peers cannot connect to {0} ({1}); see [charging] listen")]
    Listen(SocketAddr, io::Error),
    #[error("the charging thread cannot be started ({0})")]
    Thread(io::Error),
    #[error("the system gives no random numbers ({0})")]
    Random(getrandom::Error),
}

/// The charging thread. Dropping it ends the thread within a second; [`Charging::shutdown`] does so in good order.
#[derive(Debug)]
pub struct Charging {
    offline: Option<Offline>,
    online: Option<Online>,
    desk: Desk,
    stop: oneshot::Sender<Stop>,
    thread: JoinHandle<()>,
}

/// Where events are handed over.
#[derive(Debug)]
struct Offline {
    orders: mpsc::Sender<Order>,
    unseen: Arc<Unseen>,
}

/// Starts charging: offline if `settings` has a CDF, with the records that `reader` finds in the store; online if that
/// is wanted. `first` is above every number of an earlier run. Blocks while it reads.
pub fn start(
    settings: Checked,
    online: Option<online::Wanted>,
    reader: Arc<dyn Reader>,
    committer: Arc<Committer>,
    metrics: Metrics,
    first: u64,
) -> Result<Charging, StartError> {
    let tls = Tls::load(&settings.given.tls)?;
    let doors = listen::doors(&settings.given)?;
    if !settings.peers.is_empty() || online.is_some() {
        check_accounts(&*reader, &committer, &metrics)?;
    }
    let recent = Arc::new(Recent::default());
    let names = names(&settings, &*reader, &committer, first)?;
    let (kept, changing) = (reader.clone(), committer.clone());
    let (offline, rf) = match settings.peers.is_empty() {
        true => (None, None),
        false => {
            let (reader, committer) = (reader.clone(), committer.clone());
            let (offline, rf) = Offline::prepare(
                (&settings, &names),
                (reader, committer),
                metrics.clone(),
                recent.clone(),
            )?;
            (Some(offline), Some(rf))
        }
    };
    let (online, ro) = match online {
        None => (None, None),
        Some(wanted) => {
            let profile = &wanted.settings.profile;
            let sender = Sender::with_profile(&settings, profile).named(&names);
            let (seen, kept) = (metrics.clone(), recent.clone());
            let (online, ro) = online::prepare(wanted, sender, &*reader, committer, seen, kept)?;
            (Some(online), Some(ro))
        }
    };
    let desk = Desk {
        reader: kept,
        committer: changing,
        orders: offline.as_ref().map(|offline| offline.orders.clone()),
        online: online.clone(),
        sender: Arc::new(Sender::of(&settings).named(&names)),
        recent,
        releasing: Arc::default(),
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Random)?;
    let (stop, stopped) = oneshot::channel();
    let start = Start {
        settings,
        metrics,
        tls,
        doors,
        seed,
        rf,
        ro,
        stop: stopped,
    };
    Ok(Charging {
        offline,
        online,
        desk,
        stop,
        thread: spawn(start)?,
    })
}

fn spawn(start: Start) -> Result<JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    std::thread::Builder::new()
        .name("charging".into())
        .spawn(move || {
            let told = runtime.block_on(worker::run(start));
            runtime.shutdown_background(); // a name that is being resolved is not waited for
            // Whoever asked for the end may have stopped waiting for it.
            let _ = told.map(|told| told.send(()));
        })
        .map_err(StartError::Thread)
}

impl Offline {
    /// Hands events over, or notes that they are to be read back. They are told in their order: behind those that were
    /// noted none is handed over until the thread has heard of these, or one would be taken for news that was read,
    /// sent and answered before.
    fn committed(&self, events: Vec<Event>) {
        let mut unseen = self.unseen.lock();
        let refused = match *unseen {
            Some(_) => events,
            None => match self
                .orders
                .try_send(Order::Committed(events))
                .map_err(TrySendError::into_inner)
            {
                Err(Order::Committed(events)) => events,
                Err(Order::Released(_)) | Ok(()) => return,
            },
        };
        for Event { number, .. } in &refused {
            let (lowest, highest, count) = unseen.unwrap_or((*number, *number, 0));
            *unseen = Some((lowest.min(*number), highest.max(*number), count + 1));
        }
        drop(unseen);
        self.unseen.notify.notify_one();
    }

    fn prepare(
        (settings, names): (&Checked, &Names),
        (reader, committer): (Arc<dyn Reader>, Arc<Committer>),
        metrics: Metrics,
        recent: Arc<Recent>,
    ) -> Result<(Offline, Rf), StartError> {
        let given = settings.given.clone();
        let (count, highest) = waiting(&*reader)?;
        if count > 0 {
            info!(count, "charging records of an earlier run wait for a CDF");
        }
        let (orders, ordered) = mpsc::channel(QUEUE);
        let (told, stored) = mpsc::unbounded_channel(); // one batch is under way at a time
        let unseen = Arc::new(Unseen::default());
        let (memory, window) = (given.spool_memory_records, given.max_in_flight);
        let spool = Spool::new(memory as usize, window as usize, count, highest);
        let start = records::Start {
            sender: Arc::new(Sender::of(settings).named(names)),
            accounts: Accounts::load(&*reader)?,
            export: Export::start(&given.export).map_err(StartError::Export)?,
            recent,
            settings: given,
            spool,
            reader,
            committer,
            metrics,
            stored: told,
        };
        let rf = Rf {
            start,
            orders: ordered,
            stored,
            unseen: unseen.clone(),
        };
        let offline = Offline { orders, unseen };
        Ok((offline, rf))
    }
}

/// The names of this node, which has that of `settings` from now on: committed before anything that bears it.
fn names(
    settings: &Checked,
    reader: &dyn Reader,
    committer: &Arc<Committer>,
    first: u64,
) -> Result<Names, StartError> {
    let mut names = Names::load(reader)?;
    let batch = names.go_on(first, &settings.origin_host);
    if !batch.is_empty() {
        committer.submit(
            batch,
            Box::new(|outcome| {
                if let Err(error) = outcome {
                    error!(%error, "our origin_host could not be stored");
                }
            }),
        );
    }
    Ok(names)
}

/// Compares what was emitted with what became of it, says what is missing, and forgets old accounts.
fn check_accounts(
    reader: &dyn Reader,
    committer: &Arc<Committer>,
    metrics: &Metrics,
) -> Result<(), StartError> {
    let report = Report::read(reader)?;
    let mut missing = 0;
    for hour in report.hours.iter().filter(|hour| !hour.adds_up()) {
        missing += hour.missing.unsigned_abs();
        error!(
            hour = hour.hour,
            emitted = hour.emitted,
            missing = hour.missing,
            sequences = hour.missing_names(),
            "the accounts of an hour do not add up: charging records are missing from the store"
        );
    }
    metrics.set_missing_records(missing);
    let mut missing = 0;
    for hour in report.credit.iter().filter(|hour| !hour.adds_up()) {
        missing += hour.missing.unsigned_abs() + hour.unpaid_missing.unsigned_abs();
        error!(
            hour = hour.hour,
            asked = hour.asked,
            missing = hour.missing,
            unpaid_missing = hour.unpaid_missing,
            "the accounts of an hour do not add up: charges, or entries of what no OCS takes, are missing from the store"
        );
    }
    metrics.set_missing_charges(missing);
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

/// Compresses the charging records of a batch: on the thread of the store, so that no request waits for it.
pub fn compress(batch: &mut Batch) {
    for op in &mut batch.ops {
        if let Op::Put {
            table: Table::Charging,
            value,
            ..
        } = op
            && let Some(compressed) = record::compress(value)
        {
            *value = compressed.into();
        }
    }
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

    /// Where credit is asked for. `None`: nothing is charged online.
    pub fn online(&self) -> Option<Online> {
        self.online.clone()
    }

    /// These events have been committed. Never blocks; may be called from any thread.
    pub fn committed(&self, events: Vec<Event>) {
        if let Some(offline) = self.offline.as_ref().filter(|_| !events.is_empty()) {
            offline.committed(events);
        }
    }

    /// Waits for the answers that are under way, takes leave of the peers and ends the thread, all within `within`.
    /// Records that are not acknowledged by then stay in the store, and so does what is owed to accounts.
    pub async fn shutdown(self, within: Duration) {
        let (done, ended) = oneshot::channel();
        if self.stop.send(Stop { within, done }).is_ok() {
            // The worker keeps to the time itself; the margin is for a machine that is busy.
            let _ = tokio::time::timeout(within + Duration::from_secs(1), ended).await;
        }
        if self.thread.is_finished() {
            let _ = self.thread.join(); // a panic was already reported by its hook
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
    fn lock(&self) -> MutexGuard<'_, Option<(u64, u64, u64)>> {
        self.range.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was not handed over, once everything before it was taken from `orders`.
    fn take(&self, orders: &mpsc::Receiver<Order>) -> Option<(u64, u64, u64)> {
        let mut range = self.lock();
        match orders.is_empty() {
            true => range.take(),
            false => None, // it is looked at again after these
        }
    }

    async fn told(&self) {
        self.notify.notified().await;
    }
}

#[cfg(test)]
mod tests;
