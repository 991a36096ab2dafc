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

/// Where somebody waits for several commits one after the other, the next one starts so long after the last one started,
/// if [`Settings::gather`] is not shorter: under load they share commits all the same.
const BREATH: Duration = Duration::from_micros(250);

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
    /// next one. A batch that comes after a pause is committed at once, and one that was [submitted so] does not
    /// count.
    ///
    /// [submitted so]: Committer::submit_at_once
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

/// How long a batch may wait for others to share its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Haste {
    /// Somebody waits for this commit and will wait for the next one.
    AtOnce,
    Usual,
    /// Nobody waits for it.
    None,
}

struct Entry {
    batch: Batch,
    done: Done,
    haste: Haste,
}

#[derive(Debug)]
struct Shared {
    depth: AtomicUsize,
    /// Those of them that are to be committed at once, and are not yet in a group.
    at_once: AtomicUsize,
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
            at_once: AtomicUsize::new(0),
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
            gathered: None,
            last: None,
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
        self.enter(batch, done, Haste::Usual);
    }

    /// The same for a batch that is in no hurry: while others come that are, it goes with one of them and does not make
    /// the next wait for a commit of its own. Between the two kinds the order of submission is not kept.
    pub fn submit_patiently(&self, batch: Batch, done: Done) {
        self.enter(batch, done, Haste::None);
    }

    /// The same for a batch that is one of several for which somebody waits one after the other: it does not wait for
    /// others, and what waits is committed with it.
    pub fn submit_at_once(&self, batch: Batch, done: Done) {
        self.shared.at_once.fetch_add(1, Ordering::SeqCst);
        self.enter(batch, done, Haste::AtOnce);
        if let Some(thread) = &self.thread {
            thread.thread().unpark(); // it may be waiting for company
        }
    }

    fn enter(&self, batch: Batch, done: Done, haste: Haste) {
        self.shared.depth.fetch_add(1, Ordering::Relaxed);
        let Some(entries) = &self.entries else {
            return done(Err(StoreError::Closed));
        };
        if let Err(refused) = entries.send(Entry { batch, done, haste }) {
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
            self.shared.at_once.fetch_add(1, Ordering::SeqCst); // nobody else comes
            thread.thread().unpark();
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
    /// Start of the last commit that was not only for those who wait for several.
    gathered: Option<Instant>,
    /// Start of the last commit.
    last: Option<Instant>,
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
            self.wait_for_company(&first);
            let mut group = Group::gather(first, waiting);
            self.shared
                .at_once
                .fetch_sub(group.at_once, Ordering::SeqCst);
            let size = group.dones.len();
            let result = match &failed {
                None => self.commit(&mut group),
                Some(error) => Err(StoreError::clone(error)),
            };
            if let (Err(error), None) = (&result, &failed) {
                // After a failed write the engine's state is unknown: nothing may succeed from now on.
                failed = Some(error.clone());
                self.shared.set_health(Health::Failed(error.clone()));
            }
            for done in group.dones {
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
                    let is_patient = entry.haste == Haste::None;
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

    fn commit(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let batches = &mut group.batches;
        if batches.iter().all(Batch::is_empty) {
            return Ok(());
        }
        let started = Instant::now();
        self.last = Some(started);
        if group.is_usual || group.at_once == 0 {
            self.gathered = self.last;
        }
        batches.iter_mut().for_each(&mut self.pack);
        self.engine.commit(batches)?;
        self.observer.committed(batches.len(), started.elapsed());
        Ok(())
    }

    /// Synchronising costs the same whatever is in the group, so it is not done more often than set. Sleeping
    /// is cheaper than being woken by each batch; one that is to be committed at once does wake.
    fn wait_for_company(&self, first: &[Entry]) {
        let is_urgent = first.iter().any(|entry| entry.haste == Haste::AtOnce);
        let gather = self.settings.gather;
        loop {
            let (pause, since) = match is_urgent || self.shared.at_once.load(Ordering::SeqCst) > 0 {
                true => (BREATH.min(gather), self.last),
                false => (gather, self.gathered),
            };
            let elapsed = since.map_or(Duration::MAX, |started| started.elapsed());
            match pause.checked_sub(elapsed) {
                Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                _ => return,
            }
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

/// What is committed together.
#[derive(Default)]
struct Group {
    batches: Vec<Batch>,
    dones: Vec<Done>,
    bytes: usize,
    /// Those that were to be committed at once.
    at_once: usize,
    /// Whether there is one that waits for company.
    is_usual: bool,
}

impl Group {
    /// Takes everything that waits behind the first ones, up to the limits of a group.
    fn gather(first: Vec<Entry>, waiting: &Receiver<Entry>) -> Group {
        let mut group = Group::default();
        for entry in first {
            group.take(entry);
        }
        while group.batches.len() < GROUP_BATCHES && group.bytes < GROUP_BYTES {
            let Ok(entry) = waiting.try_recv() else { break };
            group.take(entry);
        }
        group
    }

    fn take(&mut self, entry: Entry) {
        self.bytes += size(&entry.batch);
        match entry.haste {
            Haste::AtOnce => self.at_once += 1,
            Haste::Usual => self.is_usual = true,
            Haste::None => {}
        }
        self.batches.push(entry.batch);
        self.dones.push(entry.done);
    }
}

fn size(batch: &Batch) -> usize {
    use ims::record::Op;
    let of = |op: &Op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } => key.len(),
    };
    batch.ops.iter().map(of).sum()
}
