//! What passes the door of the node: how it is to behave, what happens, what it wants done, and what it counts.

use super::fetch::{Fetch, Fetched};
use super::overrides::{Administered, Administration};
use super::remote::Asked;
use crate::charge::{self, Triggers};
use crate::event::farewell::Farewell;
use crate::event::turn::Ticket;
use crate::isc::Trust;
use crate::presence::service as presence;
use crate::record::Batch;
use crate::rls as list_server;
use crate::sip::{self, Aor, Destination, Flow, KnownMethod};
use crate::{registration, transaction, xdm};
use bytes::Bytes;
use std::collections::BTreeMap;

/// How the node behaves, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Domains whose users are served here, lower case.
    pub home_domains: Vec<String>,
    /// `Server` of our responses.
    pub product: String,
    pub trust: Trust,
    pub limits: sip::Limits,
    pub transactions: transaction::Settings,
    pub presence: presence::Settings,
    pub registration: registration::Settings,
    pub xdm: xdm::Xdm,
    /// Documents that are kept on other XDMSs.
    pub remote: xdm::remote::Settings,
    /// What lists may consist of that are subscribed to.
    pub lists: crate::rls::list::Settings,
    /// Members of lists that are not served here.
    pub back_ends: list_server::backend::Bounds,
    /// Subscriptions to lists.
    pub list_server: list_server::service::Settings,
    pub triggers: Triggers,
    /// On whose account requests go.
    pub payer: charge::Payer,
    /// On whose account NOTIFYs go.
    pub notify_payer: charge::NotifyPayer,
    /// Requests that ask for credit before they are served.
    pub online: charge::credit::Online,
    /// What subscriptions are told when the node leaves; without it they wait in the store for its return.
    pub farewell: Option<Farewell>,
    /// Reason phrases of the operator, each under the one of [`reject::phrase`](crate::reject::phrase) that it
    /// replaces: handsets act on them.
    pub phrases: BTreeMap<String, String>,
    /// A user publishes only while the network says that he is registered.
    pub publish_needs_registration: bool,
    /// 200 or 202 to a SUBSCRIBE that waits for the presentity's decision.
    pub pending_status: u16,
    /// Identities of application servers that may publish for others.
    pub publishers: Vec<Aor>,
    /// Only presentities that the network, a document or a publication has made known are served; otherwise
    /// every user of a home domain is.
    pub known_presentities_only: bool,
    /// Publications and subscriptions of the whole node; one more is refused with 503.
    pub publications: usize,
    pub subscriptions: usize,
    /// Documents of the whole node.
    pub documents: usize,
    /// Overrides of the whole node.
    pub overrides: usize,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A whole message from a flow.
    Message { flow: Flow, bytes: &'a mut [u8] },
    /// A request of ours could not be handed to its transport.
    Undeliverable(Ticket),
    /// An XCAP request; the answer carries the same number.
    Xcap {
        number: u64,
        request: &'a xdm::Request,
    },
    /// An operator's request about overrides; the answer carries the same number.
    Administer {
        number: u64,
        request: &'a Administration,
    },
    /// The instant of [`Node::next_deadline`] has come.
    Deadline,
    /// An HTTP server answered, or did not ([`Effect::Fetch`]).
    Fetched { number: u64, fetched: Fetched },
    /// The answer to [`Effect::Credit`].
    Credit {
        number: u64,
        answer: charge::credit::Answer,
    },
    /// A lasting service may use so many units, counted since it began or was recovered; `None`: as many as it likes. It
    /// waits with more until it hears another number, or that it has to end.
    CreditAllowed { number: u64, units: Option<u64> },
    /// A lasting service that was granted has to end.
    CreditWithdrawn {
        number: u64,
        why: charge::credit::Withdrawal,
    },
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a message. With a ticket, tell the node when it cannot be delivered.
    Send {
        to: Destination,
        bytes: Bytes,
        ticket: Option<Ticket>,
    },
    /// Answer an XCAP request.
    Xcap {
        number: u64,
        response: Box<xdm::Response>,
    },
    /// Answer an operator.
    Administered {
        number: u64,
        answer: Box<Administered>,
    },
    /// Get something over HTTP.
    Fetch(Box<Fetch>),
    /// A charging record is committed and may go to a CDF.
    Charge(Box<charge::Event>),
    /// Ask for credit. It is answered by [`Input::Credit`] with its number.
    Credit(Box<charge::credit::Request>),
    /// A lasting service goes on and has used so many units more. It is said with none when the service has begun, after
    /// the batch that says so, and before anything else of it.
    CreditUsed { number: u64, units: u64 },
    /// A lasting service has something to give and may use no unit.
    CreditWanted { number: u64 },
    /// A service that was granted has been given, or not: then what it cost is given back. A lasting one is over.
    CreditEnded { number: u64, delivered: bool },
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A request was answered for the first time.
    Answered {
        method: Option<KnownMethod>,
        status: u16,
    },
    /// A NOTIFY got its final response, 408 for none.
    Notified { status: u16 },
    /// A SUBSCRIBE of ours got its final response, 408 for none.
    Subscribed { status: u16 },
    /// Another XDMS was asked for a document.
    Asked(Asked),
    /// A request came again and was answered from memory.
    Retransmission,
    /// A message was not understood and got no answer.
    Dropped,
    /// A response answers nothing that waits: it came too late, or answers what was never ours.
    Stray,
    /// A request from a peer that is not trusted was refused; [`Report::Answered`] counts it too.
    Untrusted,
    /// A new request was refused because there are as many transactions as may be; [`Report::Answered`] counts it too.
    Overloaded,
}

/// What an input caused.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Commit this before anything of `held` leaves.
    pub batch: Batch,
    pub held: Vec<Effect>,
    pub free: Vec<Effect>,
    pub reports: Vec<Report>,
}

/// Figures for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub presence: presence::Census,
    /// Subscriptions to changes of documents.
    pub document_subscriptions: usize,
    /// Subscriptions to lists, and their members.
    pub lists: list_server::service::Census,
    pub registrations: usize,
    /// Subscriptions of ours by which registrations are followed.
    pub followed: usize,
    pub documents: usize,
    /// Documents of other XDMSs.
    pub remote: xdm::remote::Census,
    /// Members of lists that are watched elsewhere.
    pub back_ends: list_server::backend::Census,
    pub server_transactions: usize,
    pub client_transactions: usize,
}
