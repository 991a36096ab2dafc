//! The promise of the credit-control client: whatever the order of answers, time-outs, disconnects and deaths of its
//! process, an account is never debited for a service that was not given, and what was given and not debited has
//! either been forgiven by a rule that says so or is stored to be sent again.
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
use diameter::node::Outcome;
use diameter::ro::{DebitFailureHandling, FailureHandling, RequestType, RequestedAction, UnitsIn};
use diameter::route::PeerId;
use diameter::write::Writer;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What the servers know of one Session-Id.
#[derive(Debug, Default)]
struct Account {
    /// Units taken, less units given back.
    debited: i64,
    open: bool,
    /// Result-Codes given, by CC-Request-Number: a duplicate gets the same.
    heard: BTreeMap<u32, u32>,
    /// A request was refused, or found to be free of charge: the client cannot argue with that.
    refused: bool,
}

impl Account {
    /// Carries out a request, once.
    fn serve(&mut self, question: &Question, fault: Option<u32>) -> u32 {
        if let Some(result) = self.heard.get(&question.number) {
            return *result;
        }
        let used = question.used.unwrap_or(0) as i64;
        let result = match (fault, question.kind) {
            // not processed, and not remembered either
            (Some(code @ 3000..4000), _) => return code,
            // whatever the error of an update or end is, the units reported are counted (Table 6)
            (fault, RequestType::Update | RequestType::Termination) => {
                if !self.open {
                    return 5002;
                }
                self.debited += used;
                self.open = question.kind == RequestType::Update && fault.is_none();
                fault.unwrap_or(2001)
            }
            (Some(code), _) => {
                self.refused = true;
                code
            }
            (None, RequestType::Initial) => {
                self.open = true;
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
        self.heard.insert(question.number, result);
        result
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered(Option<u32>),
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
    Given,
    Failed,
    Killed,
}

struct World {
    client: Client,
    policy: Policy,
    now: Instant,
    store: Option<Kept>,
    under_way: Option<Question>,
    account: Account,
    granted: bool,
    free: bool,
    /// The service has been given; it ended, one way or the other.
    given: bool,
    over: bool,
    unsettled: bool,
    seen: BTreeSet<(u32, bool)>,
}

const KEY: u64 = 1;
const SESSION: &str = "ps.ims.test;0;1;2";

impl World {
    fn new(policy: Policy, charge: Charge) -> World {
        let mut world = World {
            client: Client::new(policy, UnitsIn::Command, 10),
            policy,
            now: Instant(1_000_000),
            store: None,
            under_way: None,
            account: Account::default(),
            granted: false,
            free: false,
            given: false,
            over: false,
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

    fn carry_out(&mut self) {
        while let Some(order) = self.client.poll_order() {
            match order {
                Order::Keep { kept, .. } => self.store = Some(kept),
                Order::Forget { .. } => self.store = None,
                Order::Ask { question, .. } => {
                    assert!(self.under_way.is_none(), "one question at a time");
                    let lasting = self.store.is_some();
                    let enquiry = question.action == Some(RequestedAction::CheckBalance);
                    assert!(lasting || enquiry, "stored before it is sent: {question:?}");
                    self.under_way = Some(question);
                }
                Order::Decided { decision, .. } => {
                    self.granted = matches!(decision, Decision::Granted | Decision::Free);
                    self.free = decision == Decision::Free;
                }
                Order::Withdrawn { .. } => self.over = true,
                Order::Unsettled { owed, .. } => {
                    assert_ne!(owed, Owed::Nothing);
                    self.unsettled = true;
                }
                Order::Reply { .. } => {}
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fate(fate) => {
                if let Some(question) = self.under_way.take() {
                    self.meets(question, fate);
                }
            }
            Step::Time => {
                if let Some(at) = self.client.deadline() {
                    self.now = self.now.max(at);
                    self.client.tick(self.now);
                }
            }
            Step::Given | Step::Failed if self.granted && !self.over => {
                self.over = true;
                self.given = matches!(step, Step::Given);
                self.client.ended(self.now, KEY, u64::from(self.given));
            }
            Step::Given | Step::Failed => {}
            Step::Killed => {
                self.client = Client::new(self.policy, UnitsIn::Command, 10);
                self.granted = false; // a service that had not been given dies with its process
                if let Some(kept) = self.store.clone() {
                    self.client.resume(self.now, KEY, SESSION.into(), kept);
                }
                self.under_way = None;
            }
        }
        self.carry_out();
    }

    fn meets(&mut self, question: Question, fate: Fate) {
        // A request that may have been heard before says so.
        let key = (question.number, false);
        if self.seen.contains(&key) && self.account.heard.contains_key(&question.number) {
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
                self.account.serve(&question, None);
                Outcome::Unanswered
            }
            Fate::Answered(fault) => {
                self.seen.insert(key);
                let result = self.account.serve(&question, fault);
                Outcome::Answer(answer(&question, result))
            }
        };
        self.client
            .outcome(self.now, KEY, Some(PeerId(1)), &outcome);
    }

    /// Lets the servers work again until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..100 {
            if self.client.is_empty() {
                return;
            }
            if self.under_way.is_some() {
                self.step(Step::Fate(Fate::Answered(None)));
            } else if self.granted && !self.over {
                self.step(Step::Failed);
            } else {
                self.step(Step::Time);
            }
        }
        panic!("never done: {:?}", self.client);
    }
}

fn answer(question: &Question, result: u32) -> Vec<u8> {
    let request = Writer::request(CMD_CREDIT_CONTROL, APP_CREDIT_CONTROL);
    let header = Message::parse(&request.finish(100).unwrap())
        .unwrap()
        .header;
    let mut w = Writer::answer(&header, ResultCode(result));
    w.utf8(&SESSION_ID, SESSION)
        .u32(&RESULT_CODE, result)
        .utf8(&ORIGIN_HOST, "ocs.test")
        .i32(&CC_REQUEST_TYPE, question.kind.code())
        .u32(&CC_REQUEST_NUMBER, question.number);
    w.finish(1_000).unwrap()
}

fn fates() -> impl Strategy<Value = Fate> {
    let code = prop::sample::select(vec![3002, 3004, 4010, 4011, 4012, 5012, 5030, 5031]);
    prop_oneof![
        3 => Just(Fate::Answered(None)),
        3 => code.prop_map(|code| Fate::Answered(Some(code))),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Vanished),
        1 => Just(Fate::Unsent),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => fates().prop_map(Step::Fate),
        3 => Just(Step::Time),
        1 => Just(Step::Given),
        1 => Just(Step::Failed),
        1 => Just(Step::Killed),
    ];
    prop::collection::vec(step, 0..14)
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
    (failure, debit, any::<bool>()).prop_map(|(failure, debit_failure, failover)| Policy {
        failure,
        debit_failure,
        failover,
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_debited_and_not_refunded_is_what_was_given(
        policy in policies(),
        reserve in any::<bool>(),
        steps in steps(),
    ) {
        let charge = if reserve { Charge::Reserve } else { Charge::Debit };
        let mut world = World::new(policy, charge);
        for step in &steps {
            world.step(*step);
        }
        world.settle();
        let given = i64::from(world.given);
        let debited = world.account.debited;
        prop_assert!(world.store.is_none(), "nothing stays stored: {:?}", world.store);
        // A server may refuse a refund for good: then the operator has been told.
        prop_assert!(debited <= given || world.unsettled, "charged for nothing: {debited} for {given}");
        prop_assert!(debited >= 0, "given back what was never taken: {debited}");
        let forgiven = world.free
            || world.account.refused
            || world.unsettled
            || policy.debit_failure == DebitFailureHandling::Continue && !reserve;
        prop_assert!(debited == given || forgiven, "{given} given, {debited} debited");
        prop_assert!(!world.account.open, "a reservation is left behind");
    }

    #[test]
    fn an_enquiry_takes_nothing(policy in policies(), steps in steps()) {
        let mut world = World::new(policy, Charge::CheckBalance);
        for step in &steps {
            world.step(*step);
            prop_assert!(world.store.is_none());
        }
        prop_assert_eq!(world.account.debited, 0);
    }
}
