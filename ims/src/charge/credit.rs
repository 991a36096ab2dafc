//! Online charging as the node sees it: which requests ask for credit first, and what the answer means for them.
//! How an OCS is asked is the program's business; here are values only.

use super::{Chargeable, Event};
use crate::time::Millis;

/// Which requests ask for credit, and what becomes of those that get none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Online {
    pub publish: bool,
    pub subscribe: bool,
    pub register: bool,
    /// 402 for what the account does not cover; else 403. TS 32.260 leaves it to the operator.
    pub payment_required: bool,
    /// Requests that may wait for an answer at once; one more is refused with 503.
    pub waiting: usize,
    /// After so long without a word from the program a request is refused with 503. The program decides earlier.
    pub patience: Millis,
}

impl Online {
    /// Nothing asks for credit.
    pub const OFF: Online = Online {
        publish: false,
        subscribe: false,
        register: false,
        payment_required: true,
        waiting: 0,
        patience: Millis(0),
    };

    /// Whether requests of this method ask. NOTIFYs are ours, and belong to a subscription that was asked for.
    pub fn asks(&self, method: Chargeable) -> bool {
        match method {
            Chargeable::Publish => self.publish,
            Chargeable::Subscribe => self.subscribe,
            Chargeable::Register => self.register,
            Chargeable::Notify => false,
        }
    }

    pub fn is_off(&self) -> bool {
        !(self.publish || self.subscribe || self.register)
    }
}

/// A request that waits for credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Unique for the life of the store and rising; the key of what is owed.
    pub number: u64,
    /// What is to be charged, as far as it is known before it is served.
    pub event: Event,
    /// `ecf` values of P-Charging-Function-Addresses: OCSs, primary first.
    pub ecf: Vec<String>,
}

/// What the charging system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Also free of charge.
    Granted,
    /// The account does not cover it.
    NoCredit,
    /// The charging system does not serve this user.
    Refused,
    /// Nobody can say.
    Unavailable,
}

/// What the store says of the charge once its service has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// As it is.
    Unchanged,
    /// Nothing is owed any more.
    Nothing,
    /// This is still owed.
    Owed(Vec<u8>),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// Goes into the batch that makes the service true.
    pub settled: Settled,
}
