//! A Diameter node for charging (RFC 6733, RFC 3539), as values: no socket, clock, file, thread or randomness.
//!
//! The door is [`node::Node`]: it is told the time and what happened (`handle`), and says what to do
//! (`poll_output`). Below it, from the bytes upwards:
//!
//! - [`frame`] and [`message`] check every length before anything is read, [`write`] cannot misframe;
//! - [`avp`] turns AVP data into values and back, [`dictionary`] names the AVPs that this node knows, [`vocabulary`]
//!   adds those of the operator, `grammar` says what a request of a peer must look like;
//! - [`base`], [`peer`] and [`watchdog`] are the life of one peer, [`route`] is the choice among several, `overload`
//!   what a peer wants to be spared; [`acceptor`] is the side that is connected to, for simulators;
//! - [`rf`], [`ro`] and [`session`] say what accounting and credit-control requests and their answers are;
//! - [`credit`] is the credit-control client: when an OCS is asked what, and what its answer or silence means.
#![forbid(unsafe_code)]

pub mod acceptor;
pub(crate) mod association;
pub mod avp;
pub mod base;
pub mod credit;
pub mod dictionary;
pub mod fault;
pub mod frame;
pub(crate) mod grammar;
pub mod message;
pub mod node;
pub(crate) mod overload;
pub mod peer;
pub mod rf;
pub mod ro;
pub mod route;
pub mod session;
pub mod tree;
pub mod vocabulary;
pub mod watchdog;
pub mod write;

/// Milliseconds on a clock that never steps back; where it starts does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `millis` milliseconds later.
    pub fn after(self, millis: u64) -> Instant {
        Instant(self.0.saturating_add(millis))
    }
}
