//! Price enquiry and balance check (RFC 8506 §6.1, §6.2): a question of an operator or integrator, passed to the OCS of a
//! user, and its answer passed back. Nothing is debited, so nothing is owed and nothing stored.

use super::worker::Order;
use crate::charging::payers;
use diameter::credit::Decision;
use diameter::credit::client::Charge;
use diameter::fault::{Class, ResultCode};
use diameter::message::Message;
use diameter::node::Outcome;
use diameter::ro::{Cost, CreditAnswer, UnitsIn};
use ims::charge::{Chargeable, Event, Role, first_of};
use ims::sip::Aor;
use ims::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Questions under way at the same time; one more is refused.
pub const MOST: usize = 64;

/// Longest identity, and longest name of an OCS, in bytes.
const LONGEST: usize = 256;

/// OCSs that a question may name.
const NAMED: usize = 4;

/// Units that may be asked about with one question.
const UNITS_MAX: u64 = 1_000_000_000;

/// Keys of questions are above those of charges, which stay below this for some 280 years.
const KEYS: u64 = 1 << 63;

/// Whether a key is that of a question.
pub fn is_enquiry(key: u64) -> bool {
    key & KEYS != 0
}

/// Where questions of a millisecond begin to count: their End-to-End Identifiers are made of that too.
const APART: u64 = 0xf_0000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What units of this method cost.
    Price,
    /// Whether the account covers them.
    Balance,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enquiry {
    pub kind: Kind,
    pub method: Chargeable,
    /// Who would pay: SIP or tel URI.
    pub user: String,
    pub units: u64,
    /// OCSs in the forms of an `ecf` of P-Charging-Function-Addresses, primary first; none: those of the configuration.
    pub ecf: Vec<String>,
}

/// Why a question is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    #[error("method is PUBLISH, SUBSCRIBE, NOTIFY or REGISTER")]
    Method,
    #[error("user is a SIP URI or a global tel number")]
    User,
    #[error("units is a number from 1 to {UNITS_MAX}")]
    Units,
    #[error("ecf is at most {NAMED} hosts, addresses or aaa URIs, separated by commas")]
    Ecf,
}

impl Enquiry {
    /// Reads what somebody wrote; `None` where nothing was written.
    pub fn read(
        kind: Kind,
        method: Option<&str>,
        user: &str,
        (units, ecf): (Option<&str>, Option<&str>),
    ) -> Result<Enquiry, BadQuestion> {
        use Chargeable::*;
        let method = match (method, kind) {
            (Some(name), _) => [Publish, Subscribe, Notify, Register]
                .into_iter()
                .find(|method| method.as_str().eq_ignore_ascii_case(name))
                .ok_or(BadQuestion::Method)?,
            (None, Kind::Balance) => Subscribe,
            (None, Kind::Price) => return Err(BadQuestion::Method),
        };
        let pays = Aor::parse(user).is_some() && payers::identities(user).next().is_some();
        if !pays || user.len() > LONGEST {
            return Err(BadQuestion::User);
        }
        let units = units.map_or(Ok(1), |text| text.parse().map_err(|_| BadQuestion::Units))?;
        if !(1..=UNITS_MAX).contains(&units) {
            return Err(BadQuestion::Units);
        }
        let ecf = ecf.map_or(Ok(Vec::new()), named)?;
        let user = user.to_owned();
        Ok(Enquiry {
            kind,
            method,
            user,
            units,
            ecf,
        })
    }

    /// What the OCS is told of the service: no request has been made, so there is no Call-ID and nobody is called.
    fn event(&self, key: u64, now: Timestamp) -> Event {
        let role = match self.method {
            Chargeable::Notify => Role::Originating,
            _ => Role::Terminating,
        };
        Event {
            package: (self.method != Chargeable::Register).then(|| "presence".to_owned()),
            calling: vec![self.user.clone()],
            ..Event::bare(key, self.method, role, now)
        }
    }
}

/// The OCSs of a list.
fn named(list: &str) -> Result<Vec<String>, BadQuestion> {
    let all = || list.split(',').map(str::trim);
    let fits = |name: &str| {
        !name.is_empty() && name.len() <= LONGEST && name.bytes().all(|b| b.is_ascii_graphic())
    };
    match all().all(fits) && all().count() <= NAMED {
        true => Ok(all().map(str::to_owned).collect()),
        false => Err(BadQuestion::Ecf),
    }
}

/// Cost-Information (RFC 8506 §8.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Unit-Value as a decimal number: `0.15`.
    pub value: String,
    /// Currency-Code: ISO 4217, numeric.
    pub currency: u32,
    /// Cost-Unit: what the price is for, in the words of the OCS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
}

/// What came of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The OCS that answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ocs: Option<String>,
    /// Its Result-Code; that of the service where there is one. `None`: no OCS answered.
    pub result: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Price>,
    /// Check-Balance-Result: whether there is enough credit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enough: Option<bool>,
    /// Why there is no price, or no word about the balance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Said {
    pub(super) fn nothing(why: &str) -> Said {
        Said {
            error: Some(why.to_owned()),
            ..Said::default()
        }
    }

    fn read(kind: Kind, answer: &CreditAnswer<'_>) -> Said {
        // what is said of the service goes before what is said of the command
        let result = answer.service_result.unwrap_or(answer.result);
        let price = answer.cost.as_ref().map(price);
        let done = match kind {
            Kind::Price => price.is_some(),
            Kind::Balance => answer.enough_credit.is_some(),
        };
        let why = || {
            let named = answer
                .error_message
                .unwrap_or_else(|| meaning(result, kind));
            named.to_owned()
        };
        let is_success = result.class() == Class::Success;
        Said {
            ocs: answer.origin_host.map(str::to_owned),
            result: Some(result.0),
            price: price.filter(|_| is_success),
            enough: answer.enough_credit.filter(|_| is_success),
            error: (!(is_success && done)).then(why),
        }
    }
}

/// What a Result-Code without what was asked for says (RFC 8506 §9).
fn meaning(result: ResultCode, kind: Kind) -> &'static str {
    match (result, result.class(), kind) {
        (_, Class::Success, Kind::Price) => "the OCS names no price",
        (_, Class::Success, Kind::Balance) => "the OCS says nothing of the balance",
        (ResultCode::END_USER_SERVICE_DENIED, ..) => "this user may not have the service",
        (ResultCode::CREDIT_CONTROL_NOT_APPLICABLE, ..) => "free of charge",
        (ResultCode::CREDIT_LIMIT_REACHED, ..) => "the account does not cover it",
        (ResultCode::USER_UNKNOWN, ..) => "the OCS does not know this user",
        (ResultCode::RATING_FAILED, ..) => "the OCS cannot rate the service",
        _ => "the OCS refuses the question",
    }
}

fn price(cost: &Cost<'_>) -> Price {
    Price {
        value: decimal(cost.digits, cost.exponent),
        currency: cost.currency,
        unit: cost.unit.map(str::to_owned),
    }
}

/// `digits * 10^exponent`, without rounding; far exponents stay exponents.
fn decimal(digits: i64, exponent: i32) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let all = digits.unsigned_abs().to_string();
    match exponent {
        0 => format!("{sign}{all}"),
        1..=18 => format!(
            "{sign}{all}{}",
            "0".repeat(exponent.unsigned_abs() as usize)
        ),
        -18..=-1 => {
            let places = exponent.unsigned_abs() as usize;
            let padded = format!("{all:0>width$}", width = places + 1);
            let (whole, part) = padded.split_at(padded.len() - places);
            format!("{sign}{whole}.{part}")
        }
        _ => format!("{sign}{all}e{exponent}"),
    }
}

/// A question on its way, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    pub enquiry: Enquiry,
    pub reply: oneshot::Sender<Said>,
}

/// As many are under way as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} questions are under way")]
pub struct Busy;

/// Where questions are asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Enquirer {
    orders: mpsc::UnboundedSender<Order>,
    /// For those who wait.
    places: Arc<Semaphore>,
}

impl Enquirer {
    pub(super) fn new(orders: mpsc::UnboundedSender<Order>) -> Enquirer {
        Enquirer {
            orders,
            places: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Asks, and waits as long as Tx allows.
    pub async fn ask(&self, enquiry: Enquiry) -> Result<Said, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let (reply, said) = oneshot::channel();
        let asked = Box::new(Asked { enquiry, reply });
        // a thread that has ended drops the question, and with it the way back
        let _ = self.orders.send(Order::Enquire(asked));
        Ok(said.await.unwrap_or_else(|_| Said::nothing(ENDING)))
    }
}

const ENDING: &str = "the server is ending";

#[derive(Debug)]
struct UnderWay {
    kind: Kind,
    units: u64,
    session_id: String,
    said: Option<Said>,
    reply: oneshot::Sender<Said>,
}

/// The questions that the thread has asked.
#[derive(Debug, Default)]
pub struct Enquiries {
    last: u64,
    under_way: BTreeMap<u64, UnderWay>,
}

impl Enquiries {
    /// What to ask under which key; `None`: answered already. The Session-Id is made of the event.
    pub fn begin(
        &mut self,
        now: Timestamp,
        asked: Asked,
        session_id: impl Fn(&Event) -> String,
    ) -> Option<(u64, String, Event, Charge)> {
        let Asked { enquiry, reply } = asked;
        if self.under_way.len() >= MOST {
            // whoever asked may have gone
            let _ = reply.send(Said::nothing(&Busy.to_string()));
            return None;
        }
        self.last = (self.last + 1).max(KEYS | first_of(now) | APART);
        let event = enquiry.event(self.last, now);
        let session_id = session_id(&event);
        let entry = UnderWay {
            kind: enquiry.kind,
            units: enquiry.units,
            session_id: session_id.clone(),
            said: None,
            reply,
        };
        self.under_way.insert(self.last, entry);
        let charge = match enquiry.kind {
            Kind::Price => Charge::PriceEnquiry,
            Kind::Balance => Charge::CheckBalance,
        };
        Some((self.last, session_id, event, charge))
    }

    /// Units to ask about, if this is the key of a question.
    pub fn units(&self, key: u64) -> Option<u64> {
        self.under_way.get(&key).map(|entry| entry.units)
    }

    /// A question came back; what it says is told once it is decided.
    pub fn heard(&mut self, key: u64, outcome: &Outcome, units_in: UnitsIn) {
        let Some(entry) = self.under_way.get_mut(&key) else {
            return;
        };
        let said = match outcome {
            Outcome::Answer(bytes) => entry.read(bytes, units_in),
            Outcome::Unreadable => None,
            Outcome::Unanswered => return,
            Outcome::NoPeer => Some(Said::nothing("no OCS is up")),
            Outcome::Full => Some(Said::nothing("too much is under way")),
            Outcome::Spared => Some(Said::nothing("every OCS is overloaded")),
            Outcome::TooLong => Some(Said::nothing("the request is too long")),
        };
        // an answer counts for more than that a second OCS could not be asked
        let keeps = |said: &Said| said.result.is_none() && entry.said.is_some();
        if !said.as_ref().is_some_and(keeps) {
            entry.said = Some(said.unwrap_or_else(|| Said::nothing("the answer cannot be read")));
        }
    }

    /// The client has decided: whoever asked is told. `false`: this is no question.
    pub fn decided(&mut self, key: u64, decision: Decision) -> bool {
        let Some(entry) = self.under_way.remove(&key) else {
            return false;
        };
        let said = entry.said.unwrap_or_else(|| match decision {
            Decision::Granted | Decision::Free => Said::nothing("nothing was said"),
            Decision::Denied(_) => Said::nothing("no OCS answered in time"),
        });
        let _ = entry.reply.send(said); // whoever asked may have gone
        true
    }
}

impl UnderWay {
    fn read(&self, bytes: &[u8], units_in: UnitsIn) -> Option<Said> {
        let message = Message::parse(bytes).ok()?;
        let answer = CreditAnswer::read(&message, units_in)?;
        let is_ours = answer.session_id.is_none_or(|id| id == self.session_id);
        is_ours.then(|| Said::read(self.kind, &answer))
    }
}

#[cfg(test)]
mod tests;
