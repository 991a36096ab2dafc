//! The credit-control client (RFC 8506 §5 to §7) as values: what is asked of an OCS, and what its answer, its silence
//! or the end of the service means.
//!
//! - [`verdict`] reads what an answer means for one service;
//! - [`event`] is the one-time event of Table 5: debit, refund, balance check, price enquiry;
//! - [`session`] is Tables 3 and 4: units reserved before the service and reported after it, or while it lasts;
//! - [`client`] keeps many of both, with their timers, beside a [`node::Node`](crate::node::Node).
//!
//! Both machines are told what happened ([`Input`]) and say what to do ([`Output`]). What a process that died at this
//! moment would leave behind is [`Owed`]: whoever commits it before the outputs are carried out can be killed at any
//! time, and neither charges for what was not delivered nor forgets what was.

pub mod client;
pub mod event;
pub mod session;
pub mod verdict;

use crate::Instant;
use crate::fault::ResultCode;
use crate::ro::{
    DebitFailureHandling, FailureHandling, Measure, Reason, RequestType, RequestedAction,
    TerminationCause,
};
use verdict::Told;

/// How this client behaves where no server has said otherwise. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Tx (RFC 8506 §13): how long the user waits for a decision. Its 10 s are longer than a SIP transaction likes.
    pub tx: u64,
    /// CCFH, for sessions.
    pub failure: FailureHandling,
    /// DDFH, for debits.
    pub debit_failure: DebitFailureHandling,
    /// CC-Session-Failover: whether a session may be moved to another server.
    pub failover: bool,
    /// First and longest wait before what is stored is sent again; doubled in between.
    pub retry: (u64, u64),
    /// Units asked for at once, for a service that lasts.
    pub units: u64,
    /// How long the store may be behind what a service that goes on has used: what a process that dies forgives.
    pub lag: u64,
    /// How many units the store may be behind: the service uses no more before they are stored. 0: any number.
    pub lag_units: u64,
    /// Units that a service which lasts may use while it goes on without its server, by CCFH; then it ends. 0: any number.
    pub given: u64,
    /// Quota-Holding-Time where the server names none; 0: for ever. `None`: units of a service that lasts are in use for
    /// as long as it does, and are never given back before its end.
    pub holding: Option<u64>,
    /// More is asked for when less of a grant is left than this share of it, in percent; 0: when all of it is used. A
    /// server that names a threshold is followed.
    pub early: u8,
    /// How long a service that lasts goes on without its server before it is asked for a session again; 0: for ever.
    pub again: u64,
    /// How long a service that was taken up goes on while its server cannot be reached, before CCFH decides.
    pub grace: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            tx: 3_000,
            failure: FailureHandling::Terminate,
            debit_failure: DebitFailureHandling::TerminateOrBuffer,
            failover: false,
            retry: (1_000, 300_000),
            units: 1,
            lag: 1_000,
            lag_units: 0,
            given: 0,
            holding: Some(0),
            early: 0,
            again: 60_000,
            grace: 60_000,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The question was answered.
    Answered(Told),
    /// The question did not leave: no server can be reached. "Failure to send" (§7).
    Unsent,
    /// The question left and no answer will come: it timed out, or its connection broke. Also "failure to send".
    Lost,
    /// A [`deadline`](event::OneTime::deadline) has come.
    Tick,
    /// A service that lasts is given from now on.
    Begun,
    /// The service has used so many units and goes on.
    Used { units: u64 },
    /// The service is over and has used so many units more: 1 when it was delivered, 0 when it failed.
    Ended { used: u64 },
    /// The service would use a unit and has none.
    Wanted,
    /// RAR: the server wants to decide again (§5.5).
    ReAuth,
    /// ASR: the server wants the session ended (RFC 6733 §8.5).
    Abort,
}

/// One request to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub kind: RequestType,
    /// CC-Request-Number. The same when it is sent again, as is its End-to-End Identifier.
    pub number: u32,
    pub action: Option<RequestedAction>,
    pub cause: Option<TerminationCause>,
    /// What units count.
    pub measure: Measure,
    /// Units wanted.
    pub requested: Option<u64>,
    /// Units used and not reported before.
    pub used: Option<u64>,
    /// Why they are reported; `None`: for none of the reasons that have a name.
    pub reason: Option<Reason>,
    /// The T flag: an earlier sending was not answered.
    pub retransmitted: bool,
    /// Another server than the one that has just failed, if there is one.
    pub elsewhere: bool,
    /// Only the server that holds the session.
    pub bound: bool,
}

impl Question {
    /// A first sending of this kind and number that says nothing else.
    pub fn new(kind: RequestType, number: u32) -> Question {
        Question {
            kind,
            number,
            action: None,
            cause: None,
            measure: Measure::default(),
            requested: None,
            used: None,
            reason: None,
            retransmitted: false,
            elsewhere: false,
            bound: false,
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this. Its outcome comes back as `Answered`, `Unsent` or `Lost`, once.
    Ask(Question),
    /// The user may have the service, or may not. Comes once.
    Decided(Decision),
    /// A service that lasts may use so many units, counted since its machine was made; `None`: as many as it likes. It
    /// waits with more until it is told another number or to end. Nothing said: as many as it likes.
    Allowed(Option<u64>),
    /// What is asked next belongs to a new session, with a Session-Id of its own.
    Renewed,
    /// A service that was granted has to end.
    Withdrawn(Withdrawal),
    /// The Result-Code for the RAR or ASR.
    Reply(ResultCode),
    /// The server refuses for good what was owed, or was never there to take it: for the operator. Nothing more is done
    /// about it here.
    Unsettled(Owed),
}

/// Whether the service is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// The server granted it, or it is given without an answer as the failure handling has it.
    Granted,
    /// The server does not charge for it (4011).
    Free,
    Denied(Denial),
}

/// Why a service is not given: one variant for each answer on which a user acts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// 4010, 4012, no units: the account does not cover it.
    NoCredit,
    /// 5003, 5030: this user is not served.
    Refused,
    /// Nobody can say: no answer in time, or an error of the charging system.
    Unavailable,
}

/// Why a service that was granted ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withdrawal {
    /// The last units are used (Final-Unit-Indication).
    Spent,
    /// The server refused to go on, or refused late.
    Denied(Denial),
    /// The server ended the session (ASR).
    Aborted,
}

/// What would be left to do if the process ended now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owed {
    #[default]
    Nothing,
    /// The service was given and nobody knows whether it was debited: the debit is sent again, with T.
    Debit,
    /// The service was not given and nobody knows whether it was debited: the debit is sent again, with T, to learn
    /// it, and what was debited is refunded.
    Undo,
    /// The service was debited and not given.
    Refund,
    /// A session may be open: it is ended with these units. `report` is an update, number and units, whose fate is
    /// not known and which goes before.
    Close {
        number: u32,
        used: u64,
        report: Option<(u32, u64)>,
    },
    /// A session is open and its service goes on: both are taken up. `number`, `used` and `report` as before.
    Open {
        number: u32,
        used: u64,
        report: Option<(u32, u64)>,
        /// CCFH and CC-Session-Failover, as the server has them.
        failure: FailureHandling,
        failover: bool,
        /// The last grant, of which `used` and the units of `report` are spent; `None`: not counted, or not known.
        quota: Option<u64>,
    },
    /// A service goes on that lasts and is free of charge: nothing is owed for it.
    Uncontrolled,
    /// A service goes on that lasts and has no session, by its failure handling. What it used is told to the next
    /// session that opens.
    Given { used: u64 },
}

/// What of a session is kept beside [`Owed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What its units count.
    pub measure: Measure,
    /// Why the update whose fate is not known was sent: what is sent again says the same.
    pub reason: Option<Reason>,
}

/// Waits between attempts to settle what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Backoff {
    attempts: u32,
}

impl Backoff {
    fn next(&mut self, now: Instant, policy: &Policy) -> Instant {
        let (first, longest) = policy.retry;
        let wait = first.saturating_mul(1 << self.attempts.min(20));
        self.attempts += 1;
        now.after(wait.min(longest))
    }
}
