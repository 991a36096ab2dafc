//! What the owner of charges asks of the client, and what it is told to do.

use crate::credit::{Decision, Owed, Question, Terms, Withdrawal};
use crate::fault::ResultCode;
use crate::node::ConnectionId;
use crate::route::{PeerId, Through};

/// What is asked before a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Immediate event charging: debited now, refunded if the service fails.
    Debit,
    /// Charging with unit reservation: reserved now, debited at the end.
    Reserve,
    /// The same for a service that goes on: units are reserved and debited while it lasts.
    Lasting,
    /// Whether there is credit, without debit or reservation.
    CheckBalance,
    /// What it would cost.
    PriceEnquiry,
}

/// What of a charge outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub owed: Owed,
    /// Origin-Host of the server that holds the session.
    pub server: Option<String>,
    /// Sessions that the charge had before this one: it is part of the Session-Id.
    pub renewals: u32,
    pub terms: Terms,
}

/// What the owner has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To be in the store before the orders that follow are carried out.
    Keep {
        key: u64,
        kept: Kept,
    },
    /// To be taken out of the store.
    Forget {
        key: u64,
    },
    /// A request for the node; its outcome comes back through [`Client::outcome`].
    Ask {
        key: u64,
        session_id: String,
        /// Sessions that the charge had before this one, each with numbers of its own.
        renewals: u32,
        question: Question,
        /// The peer that was asked before, and the session's server behind it.
        through: Option<Through>,
        /// The peer that has just failed.
        avoid: Option<PeerId>,
        /// See [`Request::bound`](crate::node::Request::bound).
        bound: Option<String>,
    },
    Decided {
        key: u64,
        decision: Decision,
    },
    /// See [`Output::Allowed`].
    Allowed {
        key: u64,
        units: Option<u64>,
    },
    Withdrawn {
        key: u64,
        why: Withdrawal,
    },
    /// For [`Input::Reply`](crate::node::Input::Reply).
    Reply {
        connection: ConnectionId,
        request: Vec<u8>,
        result: ResultCode,
    },
    /// The server refuses what was owed, or was not there to take it: for the operator.
    Unsettled {
        key: u64,
        owed: Owed,
        said: Option<Said>,
    },
}

/// How the last question of a charge was refused; there is none where it was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// That of the service, where there is one; else that of the command.
    pub result: ResultCode,
    /// Origin-Host and Error-Message.
    pub host: Option<String>,
    pub message: Option<String>,
}

/// What would be true of a charge if its service were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub kept: Kept,
    /// What nobody would take, as in [`Order::Unsettled`]. Nothing is kept then.
    pub unsettled: Option<(Owed, Option<Said>)>,
}

/// More charges, or sessions of services that last, are under way than this client was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} charges are under way")]
pub struct Full(pub usize);
