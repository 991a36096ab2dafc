//! Simulated charging systems on our own Diameter crate, for those who integrate: a CDF and an OCS that answer as
//! they are told, hold accounts, ask again, fall silent and hang up, and print everything that they receive.
//!
//! - [`script`] is what the operator of a test wants answered;
//! - [`ocs`] keeps the accounts and writes the answers of both applications;
//! - [`journal`] keeps what an OCS was asked, so that its accounts outlive it;
//! - [`tree`] shows messages, as text and as JSON;
//! - [`serve`] is the sockets and the clock;
//! - [`pcap`] writes what passes for Wireshark;
//! - [`client`] is the other side: one charge against any OCS, shown step by step.

pub mod client;
pub mod journal;
pub mod ocs;
pub mod pcap;
pub mod script;
pub mod serve;
pub mod tree;

pub use serve::{Settings, serve};
