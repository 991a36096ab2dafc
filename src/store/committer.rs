//! Group commit: one thread takes whatever waits, commits it as one group, then tells everyone in order.
//!
//! A disk synchronises a few hundred times a second, whatever is in the group, so the cost of durability is
//! shared by all who wait. While one group is being written the next one gathers.

use super::{Engine, StoreError};
use ims::record::Batch;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Called once, on the committing thread, after the batch is durable or has failed. It must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Largest group, in batches: bounds the wait of the first one in it.
const GROUP_BATCHES: usize = 1024;

/// Largest group, in bytes of keys and values.
const GROUP_BYTES: usize = 8 << 20;

/// A batch that is in no hurry waits for one that is: so long at most, and only where there was one within [`RECENT`].
const PATIENCE: Duration = Duration::from_millis(10);
const RECENT: Duration = Duration::from_millis(100);

/// How often the free space is looked at.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// What the committer needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Batches that may wait. [`Committer::submit`] blocks above it.
    pub queue: usize,
    /// Free space, in bytes, under which the store is [`Health::LowSpace`].
    pub reserve: u64,
    /// Shortest time from the start of one commit to the start of the next: what comes meanwhile shares the
    /// next one. A batch that comes after a pause is committed at once.
    pub gather: Duration,
}

/// Whether more state may be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    /// Less free space than the reserve: refuse new state, while ends, expiries and acknowledgements go on.
    LowSpace,
    /// Nothing can be stored any more. The process should end; a restart recovers what was acknowledged.
    Failed(StoreError),
}

/// Room on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes, as they were when they were last looked at; `None`: not known, or without limit.
    pub free: Option<u64>,
    /// Bytes of it that are kept: under them new state is refused.
    pub reserve: u64,
}

/// What is measured of each group; `()` measures nothing.
pub trait Observer: Send {
    /// A group of `batches` batches was made durable in `took`.
    fn committed(&mut self, batches: usize, took: Duration);
}

impl Observer for () {
    fn committed(&mut self, _: usize, _: Duration) {}
}

struct Entry {
    batch: Batch,
    done: Done,
    /// Nobody waits for it.
    patient: bool,
}

#[derive(Debug)]
struct Shared {
    depth: AtomicUsize,
    /// `u64::MAX`: not known.
    free: AtomicU64,
    reserve: u64,
    health: Mutex<Health>,
}

impl Shared {
    fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

/// The door to the committing thread. Dropping it commits what waits and ends the thread.
#[derive(Debug)]
pub struct Committer {
    entries: Option<SyncSender<Entry>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread, which owns `engine` from now on.
    pub fn start(
        engine: Box<dyn Engine>,
        settings: Settings,
        observer: impl Observer + 'static,
    ) -> Result<Committer, StoreError> {
        Committer::packing(engine, settings, observer, |_| {})
    }

    /// The same; `pack` may write the values of each batch otherwise before it is committed, on this thread.
    pub fn packing(
        engine: Box<dyn Engine>,
        settings: Settings,
        observer: impl Observer + 'static,
        pack: impl FnMut(&mut Batch) + Send + 'static,
    ) -> Result<Committer, StoreError> {
        let (entries, waiting) = sync_channel(settings.queue.max(1));
        let shared = Arc::new(Shared {
            depth: AtomicUsize::new(0),
            free: AtomicU64::new(u64::MAX),
            reserve: settings.reserve,
            health: Mutex::new(Health::Good),
        });
        let work = Work {
            engine,
            settings,
            observer,
            pack: Box::new(pack),
            shared: shared.clone(),
            space_seen: None,
            started: None,
            hurried: None,
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || work.run(&waiting));
        let thread =
            thread.map_err(|e| StoreError::from_io("store".as_ref(), "start its thread", &e))?;
        Ok(Committer {
            entries: Some(entries),
            shared,
            thread: Some(thread),
        })
    }

    /// Queues a batch; `done` is called when it is durable, in the order of submission. An empty batch is
    /// written nowhere and keeps its place in that order. Blocks while the queue is full, so look at
    /// [`depth`](Committer::depth) before taking on new work.
    pub fn submit(&self, batch: Batch, done: Done) {
        self.enter(batch, done, false);
    }

    /// The same for a batch that is in no hurry: while others come that are, it goes with one of them and does not make
    /// the next wait for a commit of its own. Between the two kinds the order of submission is not kept.
    pub fn submit_patiently(&self, batch: Batch, done: Done) {
        self.enter(batch, done, true);
    }

    fn enter(&self, batch: Batch, done: Done, patient: bool) {
        self.shared.depth.fetch_add(1, Ordering::Relaxed);
        let Some(entries) = &self.entries else {
            return done(Err(StoreError::Closed));
        };
        if let Err(refused) = entries.send(Entry {
            batch,
            done,
            patient,
        }) {
            self.shared.depth.fetch_sub(1, Ordering::Relaxed);
            (refused.0.done)(Err(StoreError::Closed));
        }
    }

    /// Batches that wait or are being written.
    pub fn depth(&self) -> usize {
        self.shared.depth.load(Ordering::Relaxed)
    }

    pub fn health(&self) -> Health {
        self.watch().health()
    }

    pub fn space(&self) -> Space {
        let free = self.shared.free.load(Ordering::Relaxed);
        Space {
            free: (free != u64::MAX).then_some(free),
            reserve: self.shared.reserve,
        }
    }

    /// A handle that sees the health of the store from anywhere.
    pub fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }
}

/// Sees the health of a store; outlives its [`Committer`].
#[derive(Clone, Debug)]
pub struct Watch(Arc<Shared>);

impl Watch {
    pub fn health(&self) -> Health {
        self.0
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.entries = None; // the thread ends after the last entry
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported by its hook; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// The committing thread.
struct Work<O> {
    engine: Box<dyn Engine>,
    settings: Settings,
    observer: O,
    pack: Box<dyn FnMut(&mut Batch) + Send>,
    shared: Arc<Shared>,
    space_seen: Option<Instant>,
    /// Start of the last commit.
    started: Option<Instant>,
    /// When the last batch came that was in a hurry.
    hurried: Option<Instant>,
}

/// What the thread has to commit.
enum Next {
    /// At least these, in this order, and whatever else waits.
    Group(Vec<Entry>),
    Nothing,
    End,
}

impl<O: Observer> Work<O> {
    fn run(mut self, waiting: &Receiver<Entry>) {
        let mut failed = None;
        self.look_at_space();
        loop {
            let first = match self.next(waiting) {
                Next::Group(entries) => entries,
                Next::End => return,
                Next::Nothing => {
                    // Space comes and goes while nothing is written, too.
                    if failed.is_none() {
                        self.look_at_space();
                    }
                    continue;
                }
            };
            self.wait_for_company();
            let (mut batches, dones) = gather(first, waiting);
            let size = dones.len();
            let result = match &failed {
                None => self.commit(&mut batches),
                Some(error) => Err(StoreError::clone(error)),
            };
            if let (Err(error), None) = (&result, &failed) {
                // After a failed write the engine's state is unknown: nothing may succeed from now on.
                failed = Some(error.clone());
                self.shared.set_health(Health::Failed(error.clone()));
            }
            for done in dones {
                done(result.clone());
            }
            self.shared.depth.fetch_sub(size, Ordering::Relaxed);
            if failed.is_none() {
                self.look_at_space();
            }
        }
    }

    /// Waits for something to commit. Those that are in no hurry are held back while others may come.
    fn next(&mut self, waiting: &Receiver<Entry>) -> Next {
        let mut held: Vec<Entry> = Vec::new();
        let mut until = Instant::now() + SPACE_INTERVAL;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match waiting.recv_timeout(left) {
                Ok(entry) => {
                    let is_patient = entry.patient;
                    held.push(entry);
                    let busy = self.hurried.is_some_and(|at| at.elapsed() < RECENT);
                    if !is_patient {
                        self.hurried = Some(Instant::now());
                    }
                    if !is_patient || !busy || held.len() >= GROUP_BATCHES {
                        return Next::Group(held);
                    }
                    if held.len() == 1 {
                        until = Instant::now() + PATIENCE;
                    }
                }
                Err(_) if !held.is_empty() => return Next::Group(held),
                Err(RecvTimeoutError::Disconnected) => return Next::End,
                Err(RecvTimeoutError::Timeout) => return Next::Nothing,
            }
        }
    }

    fn commit(&mut self, batches: &mut [Batch]) -> Result<(), StoreError> {
        if batches.iter().all(Batch::is_empty) {
            return Ok(());
        }
        let started = Instant::now();
        self.started = Some(started);
        batches.iter_mut().for_each(&mut self.pack);
        self.engine.commit(batches)?;
        self.observer.committed(batches.len(), started.elapsed());
        Ok(())
    }

    /// Synchronising costs the same whatever is in the group, so it is not done more often than set. Sleeping
    /// is cheaper than being woken by each batch.
    fn wait_for_company(&self) {
        let elapsed = self
            .started
            .map_or(Duration::MAX, |started| started.elapsed());
        if let Some(left) = self.settings.gather.checked_sub(elapsed) {
            std::thread::sleep(left);
        }
    }

    fn look_at_space(&mut self) {
        if self
            .space_seen
            .is_some_and(|seen| seen.elapsed() < SPACE_INTERVAL)
        {
            return;
        }
        self.space_seen = Some(Instant::now());
        // A file system that does not tell its free space is taken as having some: the write will show.
        let free = self.engine.free_bytes().unwrap_or(None);
        let known = free.unwrap_or(u64::MAX);
        self.shared.free.store(known, Ordering::Relaxed);
        let low = free.is_some_and(|free| free < self.settings.reserve);
        self.shared
            .set_health(if low { Health::LowSpace } else { Health::Good });
    }
}

/// Takes everything that waits behind the first ones, up to the limits of a group.
fn gather(first: Vec<Entry>, waiting: &Receiver<Entry>) -> (Vec<Batch>, Vec<Done>) {
    let mut bytes: usize = first.iter().map(|entry| size(&entry.batch)).sum();
    let split = |entry: Entry| (entry.batch, entry.done);
    let (mut batches, mut dones): (Vec<_>, Vec<_>) = first.into_iter().map(split).unzip();
    while batches.len() < GROUP_BATCHES && bytes < GROUP_BYTES {
        let Ok(entry) = waiting.try_recv() else { break };
        bytes += size(&entry.batch);
        batches.push(entry.batch);
        dones.push(entry.done);
    }
    (batches, dones)
}

fn size(batch: &Batch) -> usize {
    use ims::record::Op;
    let of = |op: &Op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } => key.len(),
    };
    batch.ops.iter().map(of).sum()
}
