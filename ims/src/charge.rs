//! Chargeable events: who did what, when, and with what outcome. Values only, no Diameter here.
//!
//! Presence is session-unrelated, so every trigger gives one event (TS 32.260 §5.2.1). The event is stored in
//! the batch of the state change it reports, and leaves the store when a CDF has acknowledged it.

mod coalesce;
pub mod credit;
mod ledger;
mod payers;
pub mod record;
mod triggers;

pub use coalesce::Coalescing;
pub use ledger::Ledger;
pub use payers::{NotifyPayer, Payers};
pub use triggers::{Outcomes, Triggers};

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The SIP method that is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Chargeable {
    Publish,
    Subscribe,
    Notify,
    Register,
}

impl Chargeable {
    pub fn as_str(self) -> &'static str {
        match self {
            Chargeable::Publish => "PUBLISH",
            Chargeable::Subscribe => "SUBSCRIBE",
            Chargeable::Notify => "NOTIFY",
            Chargeable::Register => "REGISTER",
        }
    }
}

/// Role-Of-Node, TS 32.299 §7.2.184: who started the transaction, seen from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// We sent the request (NOTIFY, SUBSCRIBE of a back-end).
    Originating,
    /// We received it.
    Terminating,
}

/// Facts about a message body, never the body (TS 32.299 §7.2.111).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyFacts {
    pub content_type: String,
    /// Bytes.
    pub length: u32,
    pub disposition: Option<String>,
}

/// One chargeable event, complete: the charging record is a function of this and of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Number of this event, unique for the life of the store and rising. It is the key in the spool and,
    /// with the node's origin, gives the Session-Id, so that a resend is recognised as a duplicate.
    pub number: u64,
    pub method: Chargeable,
    pub role: Role,
    /// `Event` header: package without parameters.
    pub package: Option<String>,
    /// Requested lifetime in seconds, as asked.
    pub expires: Option<u32>,
    pub call_id: String,
    /// Asserted identities of the requester, SIP and tel, at most two.
    pub calling: Vec<String>,
    /// Request-URI as received or sent.
    pub called: String,
    /// Presentity after canonicalisation, when it differs from `called`.
    pub requested: Option<String>,
    /// icid-value of P-Charging-Vector.
    pub icid: Option<String>,
    pub orig_ioi: Option<String>,
    pub term_ioi: Option<String>,
    /// P-Access-Network-Info as received.
    pub access_network: Option<String>,
    /// P-Asserted-Service.
    pub service: Option<String>,
    /// Other identities of the implicit registration set, from P-Associated-URI.
    pub associated: Vec<String>,
    /// Request received (or sent).
    pub requested_at: Timestamp,
    /// Final response sent (or received).
    pub answered_at: Timestamp,
    /// Status of the final response; 408 when there was none.
    pub status: u16,
    pub body: Option<BodyFacts>,
    /// `ccf` values of P-Charging-Function-Addresses: CDFs, primary first.
    pub ccf: Vec<String>,
    /// What the ledger adds; stored beside the event, see [`record`].
    #[serde(skip)]
    pub booked: Booked,
    /// What a later version knows besides; stored behind the event, see [`record`].
    #[serde(skip)]
    pub besides: Besides,
}

/// What an event may say beyond the layout that every version reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Besides {
    /// On whose account it goes, as the peer wrote it, where that is not `calling`.
    pub payers: Vec<String>,
    /// Members of the list that a SUBSCRIBE or NOTIFY was about.
    pub members: Option<u32>,
}

/// On whose account a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payer {
    /// The user for whom the S-CSCF asks (`P-Served-User`, RFC 5502): Subscription-Id is the user on whose behalf the
    /// service is asked for (TS 32.260 §5.1). Without the header, who sent the request.
    #[default]
    Served,
    /// Who sent the request, whomever the S-CSCF serves.
    Requester,
}

/// What the ledger knows of an event that it has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// Hour in which it was written, counted from 1970; 0: by a version that kept no accounts.
    pub hour: u32,
    /// Its place among the events of that hour, from 0 without a gap.
    pub sequence: u32,
    /// NOTIFYs that it stands for, where several make one record; 0: it stands for itself.
    pub notifies: u32,
}

impl Event {
    /// An event of which nothing else is known: no request, nobody who is called, and no answer yet.
    pub fn bare(number: u64, method: Chargeable, role: Role, at: Timestamp) -> Event {
        Event {
            number,
            method,
            role,
            package: None,
            expires: None,
            call_id: String::new(),
            calling: Vec::new(),
            called: String::new(),
            requested: None,
            icid: None,
            orig_ioi: None,
            term_ioi: None,
            access_network: None,
            service: None,
            associated: Vec::new(),
            requested_at: at,
            answered_at: at,
            status: 0,
            body: None,
            ccf: Vec::new(),
            booked: Booked::default(),
            besides: Besides::default(),
        }
    }

    /// On whose account it goes: identities of one user.
    pub fn payers(&self) -> &[String] {
        match self.besides.payers.is_empty() {
            true => &self.calling,
            false => &self.besides.payers,
        }
    }

    /// Key in [`Table::Charging`](crate::record::Table): big-endian, so that the store's order is the order of events.
    pub fn key(number: u64) -> [u8; 8] {
        number.to_be_bytes()
    }
}

/// First number of a run of the node that starts at `now`: above every number that an earlier run can have
/// used, also those whose records are acknowledged and gone. Milliseconds above 20 bits, so that a run may
/// charge a million events each millisecond before it meets the next.
pub const fn first_of(now: Timestamp) -> u64 {
    now.0 << 20
}

/// The hour since 1970 in which a number was given.
pub fn hour_of(number: u64) -> u32 {
    u32::try_from((number >> 20) / 3_600_000).unwrap_or(u32::MAX)
}
