//! Online charging as the node sees it: which requests and NOTIFYs ask for credit first, what the answer means for them,
//! and what is said of a subscription that has credit for as long as it lasts.
//! How an OCS is asked is the program's business; here are values only.

use super::{Chargeable, Event};
use crate::time::{Millis, Seconds};

/// Which requests ask for credit, and what becomes of those that get none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Online {
    pub publish: bool,
    pub subscribe: bool,
    /// The credit of a subscription lasts as long as its dialog: refreshes do not ask again, and units are those of
    /// [`Request::lasting`].
    pub lasting: bool,
    pub register: bool,
    /// NOTIFYs that show state ask, each for itself.
    pub notify: bool,
    /// What a watcher is told whose credit ends.
    pub parting: Parting,
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
        lasting: false,
        register: false,
        notify: false,
        parting: Parting::Deactivated,
        payment_required: true,
        waiting: 0,
        patience: Millis(0),
    };

    /// Whether requests of this method ask.
    pub fn asks(&self, method: Chargeable) -> bool {
        match method {
            Chargeable::Publish => self.publish,
            Chargeable::Subscribe => self.subscribe,
            Chargeable::Register => self.register,
            Chargeable::Notify => self.notify,
        }
    }

    pub fn is_off(&self) -> bool {
        !(self.publish || self.subscribe || self.register || self.notify)
    }
}

/// What the last NOTIFY of a subscription without credit says (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// `deactivated`: the watcher may subscribe again at once.
    Deactivated,
    /// `probation`: it should come back after that time.
    Probation { retry_after: Seconds },
}

/// A request or a NOTIFY that waits for credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Unique for the life of the store and rising; the key of what is owed.
    pub number: u64,
    /// What is to be charged, as far as it is known before it is served.
    pub event: Event,
    /// `ecf` values of P-Charging-Function-Addresses: OCSs, primary first.
    pub ecf: Vec<String>,
    /// The service goes on until the node says that it has ended. What it uses is said as it is used, and its end adds
    /// nothing to that; one that is not lasting uses a unit when it is given.
    pub lasting: bool,
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

/// Why a lasting service loses its credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// The account does not cover more of it: the last units are used.
    Spent,
    /// The charging system refuses to go on with it, or ended it.
    Refused,
    /// Nobody can say, and without a word it may not go on.
    Unavailable,
}

/// What the store says of the charge once its service has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// As it is.
    Unchanged,
    /// Nothing is owed any more.
    Nothing,
    /// The same, and this says so until the program has taken note of it.
    Over(Vec<u8>),
    /// This is still owed; of a lasting service, this is its session, and without one it is not charged.
    Owed(Vec<u8>),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// Goes into the batch that makes the service true.
    pub settled: Settled,
}

/// Number of the charge of a subscription, as [`Table::CreditSession`](crate::record::Table::CreditSession) has it under
/// the number of the subscription.
pub fn read_session(value: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(value).map(u64::from_be_bytes).ok()
}
