//! Ro: the part of the charging thread that asks for credit.

use super::accounts::Lane;
use super::enquiry::{Asked, Enquiries, is_enquiry};
use super::exchange::Exchange;
use super::record::Left;
use super::resend::{Resend, Resends};
use super::sessions::Unit;
use super::settings::{Checked, Settings as Given};
use super::trail::{Track, Trail};
use super::{Tell, Word, ccr, record};
use crate::charging::acr::Sender;
use crate::charging::identifier;
use crate::charging::line::{Line, wall_clock};
use crate::charging::unpaid::{Length, Loss};
use crate::store::committer::Done;
use crate::store::{Committer, Record, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::CreditOutcome;
use diameter::Instant;
use diameter::credit::client::{Charge, Client, Kept, Order as Step};
use diameter::credit::{Decision, Denial, Owed, Question, Withdrawal as Lost};
use diameter::node::{ConnectionId, Outcome, Request as Message};
use diameter::ro::{RequestType, RequestedAction};
use diameter::route::PeerId;
use ims::charge;
use ims::charge::credit::{Answer, Request, Settled, Verdict, Withdrawal};
use ims::record::{Batch, Op, Table};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

/// What others tell this part.
#[derive(Debug)]
pub(in crate::charging) enum Order {
    Ask(Box<Request>),
    Used {
        number: u64,
        units: u64,
    },
    Ended {
        number: u64,
        delivered: bool,
    },
    /// A lasting service has to wait for a unit.
    Wanted(u64),
    Enquire(Box<Asked>),
    Resend(Box<Resend>),
    /// So many entries are off the list of what is unpaid.
    Forgotten(u64),
}

/// Everything this part is started with.
pub(in crate::charging) struct Start {
    pub sender: Sender,
    pub settings: Checked,
    /// What the store says is owed.
    pub owed: Vec<Record>,
    /// Charges whose subscriptions go on, as the store says.
    pub lives: BTreeSet<u64>,
    /// Entries in the list of what no OCS takes.
    pub unpaid: u64,
    pub trail: Trail,
    /// What is to be in the store before all else.
    pub begun: Batch,
    pub committer: Arc<Committer>,
    pub metrics: Metrics,
    pub tell: Tell,
    /// Is told how each batch of changes ended; it is for [`Credit::committed`].
    pub stored: mpsc::UnboundedSender<(u64, Result<(), StoreError>)>,
}

/// One charge, as it was asked for.
struct Charged {
    /// The event in the form of charging records, which is a third of its size.
    event: Arc<[u8]>,
    ecf: Vec<String>,
    /// The service goes on.
    lasting: bool,
    /// For the accounts.
    track: Track,
}

/// Steps that wait for what they rest on to be durable.
struct Waiting {
    turn: u64,
    committed: bool,
    steps: Vec<Step>,
}

/// The charges under way.
pub(in crate::charging) struct Credit {
    sender: Sender,
    given: Given,
    /// Whether the configuration names an OCS.
    has_ocs: bool,
    client: Client,
    committer: Arc<Committer>,
    metrics: Metrics,
    tell: Tell,
    charges: BTreeMap<u64, Charged>,
    enquiries: Enquiries,
    resends: Resends,
    unpaid: Length,
    trail: Trail,
    /// When what was counted goes into the store by itself.
    count_due: Option<Instant>,
    waiting: VecDeque<Waiting>,
    /// Charges that are over, while that is being stored.
    leaving: BTreeMap<u64, Vec<Step>>,
    turn: u64,
    stored: mpsc::UnboundedSender<(u64, Result<(), StoreError>)>,
}

impl Credit {
    /// With what an earlier process owed.
    pub fn new(line: &Line, start: Start) -> Credit {
        let Start {
            sender,
            settings: Checked { peers, given, .. },
            owed,
            lives,
            unpaid,
            trail,
            begun,
            committer,
            metrics,
            tell,
            stored,
        } = start;
        let (max_unpaid, seen) = (given.unpaid_max, metrics.clone());
        let client = Client::new(given.policy(), given.units_in(), given.charges());
        let mut credit = Credit {
            sender,
            // What waits is bounded by the node that asks.
            client: client.with_sessions(given.sessions.max as usize),
            given,
            has_ocs: !peers.is_empty(),
            committer,
            metrics,
            tell,
            charges: BTreeMap::new(),
            enquiries: Enquiries::default(),
            resends: Resends::default(),
            unpaid: Length::new(unpaid, max_unpaid, seen),
            trail,
            count_due: None,
            waiting: VecDeque::new(),
            leaving: BTreeMap::new(),
            turn: 0,
            stored,
        };
        credit.resume(line.now(), begun, owed, lives);
        credit
    }

    /// Takes up what an earlier process owed. A record that cannot be read is left where it is.
    fn resume(
        &mut self,
        now: Instant,
        mut batch: Batch,
        owed: Vec<Record>,
        mut lives: BTreeSet<u64>,
    ) {
        for (key, value) in owed {
            let number = <[u8; 8]>::try_from(key.as_slice()).map(u64::from_be_bytes);
            if let (Ok(number), Some(over)) = (&number, record::is_over(&value)) {
                batch.delete(Table::Credit, &key);
                self.trail.was_over(Lane::Awaited, *number, &over);
                continue;
            }
            let (Ok(number), Some((left, event, ecf))) = (number, record::read(&value)) else {
                error!("a record of what is owed to an account cannot be read; it is left alone");
                continue;
            };
            let lives = lives.remove(&number);
            let session = ccr::session_id(&self.sender, &event);
            let charged = Charged {
                event: charge::record::write(&event).into(),
                ecf,
                lasting: lives,
                track: match &left {
                    Left::Owed(kept) => Track::of(kept),
                    Left::Unpaid(_) => Track::default(),
                },
            };
            self.charges.insert(number, charged);
            let mut kept = match left {
                Left::Owed(kept) => kept,
                // its service was given, and the process ended before the list had it
                Left::Unpaid(loss) => {
                    self.take_over(&mut batch, number, loss);
                    continue;
                }
            };
            if let Owed::Open { used, .. } | Owed::Given { used } = &mut kept.owed
                && !lives
            {
                *used += self.at_end(); // its end was not heard
            }
            self.client.resume(now, number, session, kept, lives);
        }
        self.commit_taken_over(batch);
        for number in lives {
            error!(
                number,
                "the session of a subscription is lost, and the subscription ends"
            );
            (self.tell)(number, Word::Withdrawn(Withdrawal::Unavailable));
        }
    }

    /// Units that a lasting service uses at its end.
    fn at_end(&self) -> u64 {
        u64::from(self.given.sessions.unit == Unit::Subscription)
    }

    /// When [`Credit::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.client
            .deadline()
            .into_iter()
            .chain(self.count_due)
            .min()
    }

    pub fn tick(&mut self, line: &Line) {
        self.client.tick(line.now());
        self.store_counts(line.now());
    }

    pub fn ordered(&mut self, line: &mut Line, order: Order) {
        let now = line.now();
        match order {
            Order::Ask(request) => self.ask(now, *request),
            Order::Used { number, units } => {
                self.served(number, true);
                let counts = self.given.sessions.unit == Unit::Notify;
                self.client
                    .used(now, number, if counts { units } else { 0 });
            }
            Order::Wanted(number) => self.client.wanted(now, number),
            Order::Enquire(asked) => self.enquire(now, *asked),
            Order::Resend(resend) => {
                let units_in = self.given.units_in();
                self.resends.ask(line, &self.sender, units_in, *resend);
            }
            Order::Ended { number, delivered } => {
                let lasting = self.charges.get(&number).is_some_and(|c| c.lasting);
                let units = if lasting { self.at_end() } else { 1 };
                self.served(number, delivered);
                self.client
                    .ended(now, number, if delivered { units } else { 0 });
            }
            Order::Forgotten(count) => self.unpaid.take(count),
        }
    }

    fn ask(&mut self, now: Instant, request: Request) {
        let Request {
            number,
            event,
            ecf,
            lasting,
        } = request;
        let session = ccr::session_id(&self.sender, &event);
        let ecf = match self.given.use_ecf {
            true => ecf,
            false => Vec::new(),
        };
        let kind = match lasting {
            // The core names an OCS for those who are charged online (RFC 7315 §4.5).
            _ if ecf.is_empty() && !self.has_ocs => None,
            true => Some(Charge::Lasting),
            false => self.given.charge(event.method),
        };
        let Some(charge) = kind else {
            return self.answer(number, Verdict::Granted, Settled::Unchanged);
        };
        if self.unpaid.is_full() {
            return self.answer(number, Verdict::Unavailable, Settled::Unchanged);
        }
        let charged = Charged {
            event: charge::record::write(&event).into(),
            ecf,
            lasting,
            track: Track::default(),
        };
        self.charges.insert(number, charged);
        if let Err(full) = self.client.begin(now, number, session, charge) {
            warn!(%full, "a request is refused");
            self.charges.remove(&number);
            return self.answer(number, Verdict::Unavailable, Settled::Unchanged);
        }
        self.trail.began(number);
    }

    /// A question about a price or a balance, of which nothing is stored.
    fn enquire(&mut self, now: Instant, asked: Asked) {
        let sender = &self.sender;
        let session_id = |event: &charge::Event| ccr::session_id(sender, event);
        let ecf = match self.given.use_ecf {
            true => asked.enquiry.ecf.clone(),
            false => Vec::new(),
        };
        let begun = self.enquiries.begin(wall_clock(), asked, session_id);
        let Some((key, session, event, charge)) = begun else {
            return;
        };
        let charged = Charged {
            event: charge::record::write(&event).into(),
            ecf,
            lasting: false,
            track: Track::default(),
        };
        self.charges.insert(key, charged);
        if let Err(full) = self.client.begin(now, key, session, charge) {
            warn!(%full, "a question is refused");
            self.charges.remove(&key);
            let refused = Decision::Denied(Denial::Unavailable);
            self.enquiries.decided(key, refused);
        }
    }

    fn answer(&self, number: u64, verdict: Verdict, settled: Settled) {
        (self.tell)(number, Word::Answer(Answer { verdict, settled }));
    }

    /// How a question has ended.
    pub fn answered(&mut self, line: &Line, key: u64, peer: Option<PeerId>, outcome: &Outcome) {
        let now = line.now();
        self.follow(line, key, peer, outcome);
        self.enquiries.heard(key, outcome, self.given.units_in());
        self.client.outcome(now, key, peer, outcome);
        // one that was answered for want of time is over without another word
        if is_enquiry(key) && !self.client.knows(key) {
            self.charges.remove(&key);
        }
    }

    /// A RAR or ASR.
    pub fn asked(&mut self, now: Instant, connection: ConnectionId, request: &[u8]) {
        self.client.asked(now, connection, request);
    }

    /// Takes what the client wants done: what has to be stored is submitted, the rest waits for it. Returns whether
    /// there was anything.
    pub fn advance(&mut self, line: &mut Line) -> bool {
        let (mut batch, mut steps) = (Batch::default(), Vec::new());
        let (mut over, mut leaving) = (Batch::default(), Vec::new());
        while let Some(step) = self.client.poll_order() {
            match step {
                Step::Keep { key, kept } => self.keep(&mut batch, key, &kept),
                Step::Forget { key } if self.client.knows(key) => {
                    // It is not over and may be written again: by a batch that this one must not follow.
                    if let Some(charged) = self.charges.get(&key) {
                        let over = record::over(charged.track.over());
                        batch.put_owned(Table::Credit, &key.to_be_bytes(), over);
                    }
                }
                Step::Forget { key } => {
                    over.ops.push(Op::Delete {
                        table: Table::Credit,
                        key: key.to_be_bytes().into(),
                    });
                    leaving.push(step);
                }
                Step::Unsettled {
                    key,
                    ref owed,
                    ref said,
                } => {
                    let goes_on = self.client.knows(key);
                    // with what says so in the store, or forgets it
                    let (with, lane) = match goes_on {
                        true => (&mut batch, Lane::Awaited),
                        false => (&mut over, Lane::Patient),
                    };
                    if let Some(loss) = Loss::of(owed, said.as_ref()) {
                        self.list(with, lane, key, loss);
                    }
                    leaving.extend((!goes_on).then_some(step));
                }
                other => steps.push(self.noted(other)),
            }
        }
        self.count_ends(line.now(), (&mut batch, &mut over), &leaving);
        if batch.is_empty() && steps.is_empty() && leaving.is_empty() {
            return false;
        }
        line.show_sessions(self.client.sessions());
        self.wait_for(line, batch, steps);
        self.forget(over, leaving);
        true
    }

    /// Carries out steps when what they rest on is stored.
    fn wait_for(&mut self, line: &mut Line, batch: Batch, steps: Vec<Step>) {
        if batch.is_empty() && self.waiting.is_empty() {
            return self.carry_out(line, steps);
        }
        // A request waits for one commit before the question, for one behind the answer, and then for its own.
        let is_awaited = |step: &Step| matches!(step, Step::Ask { .. } | Step::Decided { .. });
        let at_once = steps.iter().any(is_awaited);
        self.turn += 1;
        self.waiting.push_back(Waiting {
            turn: self.turn,
            committed: batch.is_empty(),
            steps,
        });
        if batch.is_empty() {
            return;
        }
        let done = self.when_stored();
        match at_once {
            true => self.committer.submit_at_once(batch, done),
            false => self.committer.submit(batch, done),
        }
    }

    /// Charges that are over are in no hurry: a process that finds them again asks once more, and says so.
    fn forget(&mut self, over: Batch, leaving: Vec<Step>) {
        if leaving.is_empty() {
            return;
        }
        self.turn += 1;
        self.leaving.insert(self.turn, leaving);
        self.committer.submit_patiently(over, self.when_stored());
    }

    /// Tells this part how the batch of this turn has ended.
    fn when_stored(&self) -> Done {
        let (told, turn) = (self.stored.clone(), self.turn);
        // The thread is gone only when nobody needs to know.
        Box::new(move |outcome| _ = told.send((turn, outcome)))
    }

    fn keep(&mut self, batch: &mut Batch, key: u64, kept: &Kept) {
        let Some(charged) = self.charges.get_mut(&key) else {
            return;
        };
        self.trail
            .kept(Lane::Awaited, &mut charged.track, &kept.owed);
        let value = record::write(kept, &charged.event, &charged.ecf);
        if let Some(value) = value {
            batch.ops.push(Op::Put {
                table: Table::Credit,
                key: key.to_be_bytes().into(),
                value: value.into(),
            });
        }
    }

    /// What steps rest on is in the store, or is not.
    pub fn committed(&mut self, line: &mut Line, turn: u64, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            // The driver ends the process for the same reason; nothing that rests on this leaves.
            error!(%error, "what is owed to an account could not be stored");
            return;
        }
        if let Some(over) = self.leaving.remove(&turn) {
            return self.carry_out(line, over);
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|w| w.turn == turn) {
            waiting.committed = true;
        }
        while let Some(ready) = self.waiting.pop_front_if(|w| w.committed) {
            self.carry_out(line, ready.steps);
        }
    }

    fn carry_out(&mut self, line: &mut Line, steps: Vec<Step>) {
        let now = line.now();
        let mut touched = Vec::new();
        for step in steps {
            touched.extend(match &step {
                Step::Decided { key, .. } | Step::Unsettled { key, .. } | Step::Forget { key } => {
                    Some(*key)
                }
                // its end has another step, which may yet have to be listed
                Step::Withdrawn { .. } => None,
                Step::Ask { .. }
                | Step::Keep { .. }
                | Step::Allowed { .. }
                | Step::Reply { .. } => None,
            });
            match step {
                Step::Ask {
                    key,
                    session_id,
                    renewals,
                    mut question,
                    through,
                    avoid,
                    bound,
                } => {
                    let Some(charged) = self.charges.get(&key) else {
                        continue;
                    };
                    if let Some(units) = self.enquiries.units(key) {
                        question.requested = Some(units);
                    }
                    let Some(bytes) = self.ccr(line, charged, (&session_id, renewals), &question)
                    else {
                        self.client.outcome(now, key, None, &Outcome::TooLong);
                        continue;
                    };
                    let message = Message {
                        ticket: key,
                        end_to_end: identifier::of_question(key, renewals, question.number),
                        retransmitted: question.retransmitted,
                        through,
                        prefer: Vec::new(),
                        avoid,
                        bound,
                        message: bytes,
                    };
                    line.request_of(&charged.ecf, message);
                    self.count(key, session_id, question);
                }
                Step::Decided { key, decision } => self.decided(now, key, decision),
                Step::Allowed { key, units } => {
                    // a subscription that is the unit has used none before its end
                    let units = units.filter(|_| self.given.sessions.unit == Unit::Notify);
                    (self.tell)(key, Word::Allowed(units));
                }
                Step::Withdrawn { key, why } => self.withdrawn(key, why),
                Step::Reply {
                    connection,
                    request,
                    result,
                } => line.reply(connection, &request, result),
                Step::Forget { .. } => self.metrics.credit(CreditOutcome::Settled),
                Step::Keep { .. } | Step::Unsettled { .. } => {} // went into the batch
            }
        }
        touched.retain(|key| !self.client.knows(*key));
        for over in touched {
            self.charges.remove(&over);
        }
    }

    fn count(&mut self, key: u64, session_id: String, asked: Question) {
        if let Some(charged) = self.charges.get_mut(&key) {
            charged.track.asks(Exchange {
                event: charged.event.clone(),
                session_id,
                question: asked,
                asked_at: wall_clock(),
                ended: None,
            });
        }
        self.metrics.credit(CreditOutcome::Asked);
        if asked.retransmitted {
            self.metrics.credit(CreditOutcome::Resent);
        }
        if asked.action == Some(RequestedAction::RefundAccount) {
            self.metrics.credit(CreditOutcome::Refunding);
        }
    }

    fn withdrawn(&self, key: u64, why: Lost) {
        self.metrics.credit(CreditOutcome::Withdrawn);
        debug!(number = key, ?why, "credit withdrawn");
        if !self.charges.get(&key).is_some_and(|c| c.lasting) {
            return; // it is over anyway
        }
        let why = match why {
            Lost::Spent | Lost::Denied(Denial::NoCredit) => Withdrawal::Spent,
            Lost::Denied(Denial::Refused) | Lost::Aborted => Withdrawal::Refused,
            Lost::Denied(Denial::Unavailable) => Withdrawal::Unavailable,
        };
        (self.tell)(key, Word::Withdrawn(why));
    }

    fn decided(&mut self, now: Instant, key: u64, decision: Decision) {
        if self.enquiries.decided(key, decision) {
            return self.metrics.credit(CreditOutcome::Enquired);
        }
        self.metrics.credit(match decision {
            Decision::Granted => CreditOutcome::Granted,
            Decision::Free => CreditOutcome::Free,
            Decision::Denied(Denial::NoCredit) => CreditOutcome::NoCredit,
            Decision::Denied(Denial::Refused) => CreditOutcome::Refused,
            Decision::Denied(Denial::Unavailable) => CreditOutcome::Unavailable,
        });
        let verdict = match decision {
            Decision::Granted | Decision::Free => Verdict::Granted,
            Decision::Denied(Denial::NoCredit) => Verdict::NoCredit,
            Decision::Denied(Denial::Refused) => Verdict::Refused,
            Decision::Denied(Denial::Unavailable) => Verdict::Unavailable,
        };
        let settled = match (self.client.if_given(key, now), self.charges.get(&key)) {
            (Some(given), Some(charged)) => {
                let value = record::given(&given, &charged.event, &charged.ecf);
                let over = || record::over(charged.track.over());
                value.map_or_else(|| Settled::Over(over()), Settled::Owed)
            }
            (Some(_), None) => Settled::Nothing,
            (None, _) => Settled::Unchanged,
        };
        debug!(number = key, ?decision, "credit decided");
        self.answer(key, verdict, settled);
    }

    /// `None`: longer than a message may be.
    fn ccr(
        &self,
        line: &Line,
        charged: &Charged,
        (session_id, renewals): (&str, u32),
        question: &Question,
    ) -> Option<Vec<u8>> {
        let event = charge::record::read(&charged.event).ok()?;
        let at = match question.kind {
            RequestType::Initial | RequestType::Event if renewals == 0 => event.requested_at,
            // "the time of the event that triggered the sending" (RFC 8506 §5.3)
            _ => wall_clock(),
        };
        let (units_in, max) = (self.given.units_in(), line.max_message());
        ccr::write(
            &self.sender,
            units_in,
            (&event, session_id),
            (question, at),
            max,
        )
        .ok()
    }

    /// Whether nothing waits for the store.
    pub fn is_clear(&self) -> bool {
        self.waiting.is_empty() && self.leaving.is_empty()
    }
}

mod follow;
mod unpaid;
