//! The promise of the credit-control client: whatever the order of answers, time-outs, disconnects and deaths of its
//! process, an account is never debited for a service that was not given, and what was given and not debited has
//! either been forgiven by a rule that says so or is stored to be sent again. A service that lasts survives the death
//! of its process, and then no more is forgiven than what it used since the store was last written.
//!
//! The service is given by someone else: who is told that it may, commits that it was given together with what is
//! owed from then on, and says so afterwards. Anything may happen in between.
//!
//! The servers here keep an account and recognise duplicates by Session-Id and CC-Request-Number, as RFC 8506 §6.5
//! asks of them. They share it, like two fronts of one charging system.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use diameter::Instant;
use diameter::credit::client::{Charge, Client, Kept, Order};
use diameter::credit::{Decision, Owed, Policy, Question};
use diameter::dictionary::*;
use diameter::fault::ResultCode;
use diameter::message::Message;
use diameter::node::{ConnectionId, Outcome};
use diameter::ro::{DebitFailureHandling, FailureHandling, RequestType, RequestedAction, UnitsIn};
use diameter::route::PeerId;
use diameter::write::Writer;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What the servers know of one Session-Id.
#[derive(Debug, Default)]
struct Session {
    open: bool,
    /// Result-Codes given, by CC-Request-Number: a duplicate gets the same.
    heard: BTreeMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Account {
    /// Units taken, less units given back.
    debited: i64,
    sessions: BTreeMap<String, Session>,
    /// A request was refused, or found to be free of charge: the client cannot argue with that.
    refused: bool,
    /// Nothing is charged from some time on.
    free: bool,
}

impl Account {
    /// Carries out a request, once.
    fn serve(&mut self, (id, question): (&str, &Question), fault: Option<u32>) -> u32 {
        let session = self.sessions.entry(id.to_owned()).or_default();
        if let Some(result) = session.heard.get(&question.number) {
            return *result;
        }
        let used = question.used.unwrap_or(0) as i64;
        let result = match (fault, question.kind) {
            // not processed, and not remembered either
            (Some(code @ 3000..4000), _) => return code,
            // whatever the error of an update or end is, the units reported are counted (Table 6)
            (fault, RequestType::Update | RequestType::Termination) => {
                if !session.open {
                    return 5002;
                }
                self.debited += used;
                self.free |= fault == Some(4011);
                session.open = question.kind == RequestType::Update && fault.is_none();
                fault.unwrap_or(2001)
            }
            (Some(code), _) => {
                self.refused = true;
                code
            }
            (None, RequestType::Initial) => {
                session.open = true;
                2001
            }
            (None, RequestType::Event) => {
                self.debited += match question.action {
                    Some(RequestedAction::DirectDebiting) => 1,
                    Some(RequestedAction::RefundAccount) => -1,
                    _ => 0,
                };
                2001
            }
        };
        session.heard.insert(question.number, result);
        result
    }

    fn has_heard(&self, id: &str, number: u32) -> bool {
        let session = self.sessions.get(id);
        session.is_some_and(|session| session.heard.contains_key(&number))
    }

    fn is_open(&self) -> bool {
        self.sessions.values().any(|session| session.open)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered(Option<u32>),
    /// Granted: so many units, whether they are the last, and for how many seconds.
    Quota(u64, bool, Option<u32>),
    /// Served, and the answer is lost.
    Lost,
    /// Lost on the way there.
    Vanished,
    Unsent,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The request under way has this fate.
    Fate(Fate),
    /// The next timer comes first.
    Time,
    /// The service is given: the store says so.
    Given,
    /// And whoever gave it.
    Told,
    Failed,
    /// A service that lasts uses a unit.
    Used,
    Ends,
    Asked(u32),
    /// The servers lose all they knew of sessions, but not what was debited.
    Forgotten,
    Killed,
}

struct World {
    client: Client,
    policy: Policy,
    now: Instant,
    charge: Charge,
    store: Option<Kept>,
    /// What the store will say of a service that was granted, once it is given; `Some(None)`: nothing is owed.
    settled: Option<(Option<Kept>, bool)>,
    under_way: Option<(String, Question)>,
    /// Units that the service may use, and has used, as this process counts them.
    allowed: Option<u64>,
    counted: u64,
    account: Account,
    granted: bool,
    free: bool,
    /// The service has been given; it ended, one way or the other.
    given: bool,
    told: bool,
    over: bool,
    /// Units of service that were delivered; when each of those that the store does not know was.
    delivered: i64,
    fresh: Vec<Instant>,
    /// Units that deaths have forgiven.
    lost: i64,
    unsettled: bool,
    seen: BTreeSet<(String, u32)>,
}

const KEY: u64 = 1;
const SESSION: &str = "ps.ims.test;0;1;2";
const CONNECTION: ConnectionId = ConnectionId {
    peer: PeerId(1),
    generation: 1,
};

impl World {
    fn new(policy: Policy, charge: Charge) -> World {
        let mut world = World {
            client: Client::new(policy, UnitsIn::Command, 10),
            policy,
            now: Instant(1_000_000),
            charge,
            store: None,
            settled: None,
            under_way: None,
            allowed: None,
            counted: 0,
            account: Account::default(),
            granted: false,
            free: false,
            given: false,
            told: false,
            over: false,
            delivered: 0,
            fresh: Vec::new(),
            lost: 0,
            unsettled: false,
            seen: BTreeSet::new(),
        };
        world
            .client
            .begin(world.now, KEY, SESSION.into(), charge)
            .unwrap();
        world.carry_out();
        world
    }

    fn lasting(&self) -> bool {
        self.charge == Charge::Lasting
    }

    fn carry_out(&mut self) {
        while let Some(order) = self.client.poll_order() {
            match order {
                Order::Keep { kept, .. } => {
                    self.store = Some(kept);
                    self.fresh.clear();
                }
                Order::Forget { .. } => {
                    self.store = None;
                    self.fresh.clear();
                }
                Order::Ask {
                    session_id,
                    question,
                    ..
                } => {
                    assert!(self.under_way.is_none(), "one question at a time");
                    let kept = self.store.is_some();
                    let enquiry = question.action == Some(RequestedAction::CheckBalance);
                    assert!(kept || enquiry, "stored before it is sent: {question:?}");
                    self.under_way = Some((session_id, question));
                }
                Order::Decided { decision, .. } => {
                    self.granted = matches!(decision, Decision::Granted | Decision::Free);
                    self.free = decision == Decision::Free;
                    let left = self.client.if_given(KEY, self.now);
                    self.settled = left.map(|given| {
                        let owes = given.kept.owed != Owed::Nothing;
                        (owes.then_some(given.kept), given.unsettled.is_some())
                    });
                }
                Order::Withdrawn { .. } => self.over = true,
                Order::Unsettled { owed, .. } => {
                    assert_ne!(owed, Owed::Nothing);
                    self.unsettled = true;
                }
                Order::Allowed { units, .. } => self.allowed = units,
                Order::Reply { .. } => {}
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fate(fate) => {
                if let Some((id, question)) = self.under_way.take() {
                    self.meets(&id, question, fate);
                }
            }
            Step::Time => {
                if let Some(at) = self.client.deadline() {
                    self.now = self.now.max(at);
                    self.client.tick(self.now);
                }
            }
            Step::Given => {
                if self.granted && !self.given && !self.over {
                    self.given = true;
                    self.over = !self.lasting();
                    self.delivered += i64::from(!self.lasting());
                    if let Some((settled, unsettled)) = self.settled.take() {
                        self.store = settled;
                        self.unsettled |= unsettled; // it is in that batch
                    }
                }
            }
            Step::Told => {
                if self.given && !std::mem::replace(&mut self.told, true) {
                    match self.lasting() {
                        true => self.client.used(self.now, KEY, 0),
                        false => self.client.ended(self.now, KEY, 1),
                    }
                }
            }
            Step::Failed => {
                if self.granted && !self.given && !self.over {
                    self.over = true;
                    self.client.ended(self.now, KEY, 0);
                }
            }
            Step::Used => {
                let may = self.allowed.is_none_or(|units| self.counted < units);
                if self.told && !self.over && may {
                    self.delivered += 1;
                    self.counted += 1;
                    self.fresh.push(self.now);
                    self.client.used(self.now, KEY, 1);
                }
            }
            Step::Ends => {
                if self.lasting() && self.told && !self.over {
                    self.over = true;
                    self.client.ended(self.now, KEY, 0);
                }
            }
            Step::Asked(command) => {
                let mut w = Writer::request(command, APP_CREDIT_CONTROL);
                w.utf8(&SESSION_ID, SESSION);
                let request = w.finish(1_000).unwrap();
                self.client.asked(self.now, CONNECTION, &request);
            }
            Step::Forgotten => self.account.sessions.clear(),
            Step::Killed => self.killed(),
        }
        self.carry_out();
    }

    fn killed(&mut self) {
        self.client = Client::new(self.policy, UnitsIn::Command, 10);
        (self.allowed, self.counted) = (None, 0);
        let lives = self.lasting() && self.given && !self.over;
        self.granted = lives; // a service that had not been given dies with its process
        self.told |= lives;
        let controlled = |kept: &Kept| kept.owed != Owed::Uncontrolled;
        if lives && self.store.as_ref().is_some_and(controlled) {
            for used in &self.fresh {
                assert!(
                    self.now.0 - used.0 <= self.policy.lag,
                    "forgiven for longer than was said"
                );
            }
        }
        self.lost += self.fresh.len() as i64;
        self.fresh.clear();
        if self.store.as_ref().is_some_and(|kept| !controlled(kept)) {
            self.account.free = true; // what went on without the server is not told it
        }
        match self.store.clone() {
            Some(kept) => self
                .client
                .resume(self.now, KEY, SESSION.into(), kept, lives),
            None => self.over |= lives, // its owner withdraws what nothing is known of
        }
        self.under_way = None;
    }

    fn meets(&mut self, id: &str, question: Question, fate: Fate) {
        // A request that may have been heard before says so.
        let key = (id.to_owned(), question.number);
        if self.seen.contains(&key) && self.account.has_heard(id, question.number) {
            assert!(
                question.retransmitted,
                "a duplicate without T: {question:?}"
            );
        }
        let outcome = match fate {
            Fate::Unsent => Outcome::NoPeer,
            Fate::Vanished => Outcome::Unanswered,
            Fate::Lost => {
                self.seen.insert(key);
                self.account.serve((id, &question), None);
                Outcome::Unanswered
            }
            Fate::Answered(fault) => {
                self.seen.insert(key);
                let result = self.account.serve((id, &question), fault);
                Outcome::Answer(answer((id, &question), result, None))
            }
            Fate::Quota(units, last, validity) => {
                self.seen.insert(key);
                let result = self.account.serve((id, &question), None);
                let terms = (units, last, validity);
                Outcome::Answer(answer((id, &question), result, Some(terms)))
            }
        };
        self.client
            .outcome(self.now, KEY, Some(PeerId(1)), &outcome);
    }

    /// Lets the servers work again until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..100 {
            if self.given && !self.told {
                self.step(Step::Told);
            } else if self.client.is_empty() {
                return;
            } else if self.under_way.is_some() {
                self.step(Step::Fate(Fate::Answered(None)));
            } else if self.told && !self.over {
                self.step(Step::Ends);
            } else if self.granted && !self.over {
                self.step(Step::Failed);
            } else {
                self.step(Step::Time);
            }
        }
        panic!("never done: {:?}", self.client);
    }
}

/// Units granted, whether they are the last, and Validity-Time.
type Terms = (u64, bool, Option<u32>);

fn answer((id, question): (&str, &Question), result: u32, terms: Option<Terms>) -> Vec<u8> {
    let request = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    let header = Message::parse(&request.finish(100).unwrap())
        .unwrap()
        .header;
    let mut w = Writer::answer(&header, ResultCode(result));
    w.utf8(&SESSION_ID, id)
        .u32(&RESULT_CODE, result)
        .utf8(&ORIGIN_HOST, "ocs.test")
        .i32(&CC_REQUEST_TYPE, question.kind.code())
        .u32(&CC_REQUEST_NUMBER, question.number);
    if let Some((units, last, validity)) = terms.filter(|_| question.kind != RequestType::Event) {
        w.group(&GRANTED_SERVICE_UNIT, |w| {
            _ = w.u64(&CC_SERVICE_SPECIFIC_UNITS, units)
        });
        if last {
            w.group(&FINAL_UNIT_INDICATION, |w| _ = w.i32(&FINAL_UNIT_ACTION, 0));
        }
        if let Some(seconds) = validity {
            w.u32(&VALIDITY_TIME, seconds);
        }
    }
    w.finish(1_000).unwrap()
}

fn fates() -> impl Strategy<Value = Fate> {
    let code = prop::sample::select(vec![3002, 3004, 4010, 4011, 4012, 5012, 5030, 5031]);
    let validity = prop::option::of(prop::sample::select(vec![1, 60]));
    let quota = (1..4_u64, prop::bool::weighted(0.2), validity);
    prop_oneof![
        3 => Just(Fate::Answered(None)),
        3 => code.prop_map(|code| Fate::Answered(Some(code))),
        3 => quota.prop_map(|(units, last, validity)| Fate::Quota(units, last, validity)),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Vanished),
        1 => Just(Fate::Unsent),
    ]
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => fates().prop_map(Step::Fate),
        3 => Just(Step::Time),
        2 => Just(Step::Given),
        2 => Just(Step::Told),
        1 => Just(Step::Failed),
        1 => Just(Step::Killed),
    ];
    prop::collection::vec(step, 0..most)
}

/// What may happen to a service that lasts. It is given early, so that most of it happens afterwards.
fn life() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => fates().prop_map(Step::Fate),
        3 => Just(Step::Time),
        4 => Just(Step::Used),
        1 => Just(Step::Ends),
        1 => Just(Step::Asked(CMD_RE_AUTH)),
        1 => Just(Step::Asked(CMD_ABORT_SESSION)),
        1 => Just(Step::Forgotten),
        1 => Just(Step::Killed),
    ];
    (steps(6), prop::collection::vec(step, 0..24)).prop_map(|(before, after)| {
        let begins = [Step::Fate(Fate::Answered(None)), Step::Given, Step::Told];
        before.into_iter().chain(begins).chain(after).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let failure = prop::sample::select(vec![
        FailureHandling::Terminate,
        FailureHandling::Continue,
        FailureHandling::RetryAndTerminate,
    ]);
    let debit = prop::sample::select(vec![
        DebitFailureHandling::TerminateOrBuffer,
        DebitFailureHandling::Continue,
    ]);
    let lag = prop::sample::select(vec![0, 1_000]);
    (failure, debit, any::<bool>(), lag).prop_map(|(failure, debit_failure, failover, lag)| {
        Policy {
            failure,
            debit_failure,
            failover,
            lag,
            ..Policy::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_debited_and_not_refunded_is_what_was_given(
        policy in policies(),
        reserve in any::<bool>(),
        steps in steps(16),
    ) {
        let charge = if reserve { Charge::Reserve } else { Charge::Debit };
        let mut world = World::new(policy, charge);
        for step in &steps {
            world.step(*step);
        }
        world.settle();
        let given = world.delivered;
        let debited = world.account.debited;
        prop_assert!(world.store.is_none(), "nothing stays stored: {:?}", world.store);
        // A server may refuse a refund for good: then the operator has been told.
        prop_assert!(debited <= given || world.unsettled, "charged for nothing: {debited} for {given}");
        prop_assert!(debited >= 0, "given back what was never taken: {debited}");
        let forgiven = world.free
            || world.account.refused
            || world.unsettled;
        prop_assert!(debited == given || forgiven, "{given} given, {debited} debited");
        prop_assert!(!world.account.is_open(), "a reservation is left behind");
    }

    #[test]
    fn a_service_that_lasts_is_charged_for_what_was_delivered(
        policy in policies(),
        steps in life(),
    ) {
        let mut world = World::new(policy, Charge::Lasting);
        for step in &steps {
            world.step(*step);
        }
        world.settle();
        let (delivered, debited) = (world.delivered, world.account.debited);
        prop_assert!(world.store.is_none(), "nothing stays stored: {:?}", world.store);
        prop_assert!(debited <= delivered, "charged for nothing: {debited} for {delivered}");
        let forgiven = world.free
            || world.account.refused
            || world.account.free
            || world.unsettled
            || debited + world.lost >= delivered;
        prop_assert!(forgiven, "{delivered} delivered, {debited} debited");
        prop_assert!(!world.account.is_open(), "a reservation is left behind");
    }

    #[test]
    fn an_enquiry_takes_nothing(policy in policies(), steps in steps(14)) {
        let mut world = World::new(policy, Charge::CheckBalance);
        for step in &steps {
            world.step(*step);
            prop_assert!(world.store.is_none());
        }
        prop_assert_eq!(world.account.debited, 0);
    }
}
