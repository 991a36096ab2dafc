//! The driver: one thread that gives inputs to the node, has its batches committed, and releases its effects.
//!
//! Group commit falls out of it: everything that waits is handled in one turn, the turn's batch goes to the
//! committer, and while that is written the next turn gathers. Effects leave in the order of the turns.

mod door;
mod effects;
mod figures;

pub use door::{Handle, Inbox, Notice, Request, channel};

use crate::charging::online::{Online, Word};
use crate::http::Vouched;
use crate::store::committer::Committer;
use crate::store::{Health, StoreError};
use crate::telemetry::Metrics;
use crate::transport::Arrival;
use crate::transport::resolve::Resolver;
use crate::transport::tcp::Tcp;
use crate::transport::udp::{DATAGRAM, Udp};
use ims::node::{Administered, Effect, Input, Node, Outbox};
use ims::time::Timestamp;
use ims::xdm;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Messages handled in one turn: bounds the wait of the first one for the commit.
const BURST: usize = 128;
/// How often gauges are brought up to date and the free space is looked at.
const CENSUS: Duration = Duration::from_secs(1);

/// Wall clock that never steps: the time of the start plus what has passed since.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: u64,
}

impl Clock {
    pub fn start() -> Clock {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            started: Instant::now(),
            epoch: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.epoch.saturating_add(passed))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.started + Duration::from_millis(at.0.saturating_sub(self.epoch))
    }
}

/// Effects of a turn that wait for its commit.
#[derive(Debug)]
struct Waiting {
    turn: u64,
    committed: bool,
    effects: Vec<Effect>,
}

/// What the driver works with.
pub struct Driver {
    node: Node,
    clock: Clock,
    udp: Udp,
    tcp: Tcp,
    resolver: Arc<Resolver>,
    vouched: Vouched,
    committer: Arc<Committer>,
    charging: Option<Charging>,
    online: Option<Online>,
    metrics: Metrics,
    inbox: Inbox,
    handle: Handle,
    state: State,
}

/// What changes while it runs.
#[derive(Default)]
struct State {
    out: Outbox,
    /// Effects of this turn that wait for its commit.
    held: Vec<Effect>,
    waiting: VecDeque<Waiting>,
    turn: u64,
    replies: BTreeMap<u64, oneshot::Sender<xdm::Response>>,
    /// Operators who wait.
    orders: BTreeMap<u64, oneshot::Sender<Administered>>,
    reply: u64,
    drain_until: Option<Instant>,
    census_at: Option<Instant>,
    low_space: bool,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("waiting", &self.state.waiting.len())
            .finish_non_exhaustive()
    }
}

/// Takes charging events whose batch is committed.
pub type Charging = Box<dyn Fn(Vec<ims::charge::Event>) + Send>;

impl Driver {
    pub fn new(
        node: Node,
        clock: Clock,
        (udp, tcp): (Udp, Tcp),
        committer: Arc<Committer>,
        charging: Option<Charging>,
        metrics: Metrics,
        (inbox, handle): (Inbox, Handle),
    ) -> Driver {
        let resolver = Arc::new(Resolver::default());
        let state = State::default();
        Driver {
            node,
            clock,
            udp,
            tcp,
            resolver,
            vouched: Vouched::default(),
            committer,
            charging,
            online: None,
            metrics,
            inbox,
            handle,
            state,
        }
    }

    /// Fetches over TLS from those for whom somebody vouches.
    pub fn trusting(self, vouched: Vouched) -> Driver {
        Driver { vouched, ..self }
    }

    /// Asks for credit through this.
    pub fn asking(self, online: Option<Online>) -> Driver {
        Driver { online, ..self }
    }

    /// Runs until it is drained, or until the store fails: then nothing of the failed turn has left.
    pub async fn run(mut self, first: Outbox) -> Result<(), StoreError> {
        self.state.out = first;
        self.state.held.append(&mut self.state.out.held);
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let mut worked = self.datagrams(&mut buffer);
            worked |= self.notices()?;
            worked |= self.requests();
            worked |= self.deadlines();
            self.release();
            self.each_second();
            if self.is_drained() {
                return Ok(());
            }
            if !worked {
                self.wait().await;
            }
        }
    }

    fn handle_input(&mut self, input: Input<'_>) {
        self.node
            .handle(self.clock.now(), input, &mut self.state.out);
        // input by input, so that the answer to each stands before the NOTIFYs that it causes
        self.state.held.append(&mut self.state.out.held);
    }

    fn datagrams(&mut self, buffer: &mut [u8]) -> bool {
        self.udp.flush();
        for count in 0..BURST {
            let Some((flow, length)) = self.udp.receive(count, buffer) else {
                return count > 0;
            };
            if let Some(bytes) = buffer.get_mut(..length) {
                self.handle_input(Input::Message { flow, bytes });
            }
        }
        true
    }

    fn notices(&mut self) -> Result<bool, StoreError> {
        let mut worked = false;
        while let Some(notice) = self.inbox.notice() {
            worked = true;
            match notice {
                Notice::Committed { turn, result } => {
                    result?;
                    self.committed(turn);
                }
                Notice::Resolved {
                    to: Some(to),
                    transport,
                    bytes,
                    ticket,
                } => self.send_to(to, transport, bytes, ticket),
                Notice::Resolved {
                    to: None, ticket, ..
                } => {
                    if let Some(ticket) = ticket {
                        self.handle_input(Input::Undeliverable(ticket));
                    }
                }
                Notice::Undeliverable(ticket) => self.handle_input(Input::Undeliverable(ticket)),
                Notice::Fetched { number, fetched } => {
                    self.handle_input(Input::Fetched { number, fetched })
                }
                Notice::Credit { number, word } => self.handle_input(match word {
                    Word::Answer(answer) => Input::Credit { number, answer },
                    Word::Allowed(units) => Input::CreditAllowed { number, units },
                    Word::Withdrawn(why) => Input::CreditWithdrawn { number, why },
                }),
                Notice::Drain { until } => {
                    self.node.drain(self.clock.now());
                    self.state.drain_until = Some(until);
                }
            }
        }
        Ok(worked)
    }

    fn requests(&mut self) -> bool {
        for count in 0..BURST {
            match self.inbox.request() {
                Some(Request::Arrived(Arrival::Message { flow, mut bytes })) => {
                    self.handle_input(Input::Message {
                        flow,
                        bytes: &mut bytes,
                    });
                }
                Some(Request::Arrived(Arrival::Undeliverable(ticket))) => {
                    self.handle_input(Input::Undeliverable(ticket))
                }
                Some(Request::Xcap(request, reply)) => {
                    self.state.reply += 1;
                    let number = self.state.reply;
                    self.state.replies.insert(number, reply);
                    self.handle_input(Input::Xcap {
                        number,
                        request: &request,
                    });
                }
                Some(Request::Administer(request, reply)) => {
                    self.state.reply += 1;
                    let number = self.state.reply;
                    self.state.orders.insert(number, reply);
                    self.handle_input(Input::Administer {
                        number,
                        request: &request,
                    });
                }
                None => return count > 0,
            }
        }
        true
    }

    fn deadlines(&mut self) -> bool {
        let due = self
            .node
            .next_deadline()
            .is_some_and(|at| at <= self.clock.now());
        if due {
            self.handle_input(Input::Deadline);
        }
        due
    }

    /// Hands the turn's batch to the committer and lets go what need not wait for it.
    fn release(&mut self) {
        let out = std::mem::take(&mut self.state.out);
        let held = std::mem::take(&mut self.state.held);
        for report in out.reports {
            self.count(report);
        }
        for effect in out.free {
            self.perform(effect);
        }
        if out.batch.is_empty() && held.is_empty() {
            return;
        }
        if out.batch.is_empty() && self.state.waiting.is_empty() {
            return self.perform_all(held);
        }
        self.state.turn += 1;
        let turn = self.state.turn;
        let committed = out.batch.is_empty(); // nothing of its own to wait for, but those before it
        self.state.waiting.push_back(Waiting {
            turn,
            committed,
            effects: held,
        });
        if !committed {
            let notices = self.handle.notices();
            let done = move |result| drop(notices.send(Notice::Committed { turn, result }));
            self.committer.submit(out.batch, Box::new(done));
        }
    }

    fn committed(&mut self, turn: u64) {
        if let Some(waiting) = self.state.waiting.iter_mut().find(|w| w.turn == turn) {
            waiting.committed = true;
        }
        while let Some(ready) = self.state.waiting.pop_front_if(|w| w.committed) {
            self.perform_all(ready.effects);
        }
    }

    /// Figures, and whether new state is taken.
    fn each_second(&mut self) {
        let now = Instant::now();
        if self.state.census_at.is_some_and(|at| now < at) {
            return;
        }
        self.state.census_at = Some(now + CENSUS);
        self.take_census();
        self.heed_space();
    }

    /// Refuses new state while little disk space is left.
    fn heed_space(&mut self) {
        let low = self.committer.health() == Health::LowSpace;
        if low == self.state.low_space {
            return;
        }
        self.state.low_space = low;
        self.node.refuse_new_state(low);
        match low {
            true => tracing::error!(
                "little disk space left: new publications and subscriptions are refused; free some space"
            ),
            false => tracing::info!("disk space is enough again: new state is taken"),
        }
    }

    /// Drained: nothing waits for the disk or for an answer, or time is over.
    fn is_drained(&self) -> bool {
        let Some(until) = self.state.drain_until else {
            return false;
        };
        let quiet = self.node.is_quiet() && self.state.replies.is_empty();
        self.state.waiting.is_empty() && (quiet || Instant::now() >= until)
    }

    async fn wait(&mut self) {
        let next = self.node.next_deadline().map(|at| self.clock.instant(at));
        let drain = self
            .state
            .drain_until
            .filter(|_| self.state.waiting.is_empty());
        let wake = [next, drain, self.state.census_at]
            .into_iter()
            .flatten()
            .min();
        let sleep =
            tokio::time::sleep_until(wake.unwrap_or_else(|| Instant::now() + CENSUS).into());
        let (udp, inbox) = (&self.udp, &mut self.inbox);
        tokio::select! {
            () = std::future::poll_fn(|cx| udp.poll(cx)) => {}
            () = sleep => {}
            () = inbox.filled() => {}
        }
    }
}
