//! Sockets of the SIP side: datagrams, connections, names. Nothing is decided here.

pub mod resolve;
pub mod tcp;
pub mod udp;

use ims::event::turn::Ticket;
use ims::sip::Flow;

/// What a transport tells the driver.
#[derive(Debug)]
pub enum Arrival {
    /// A whole message from a connection.
    Message { flow: Flow, bytes: Vec<u8> },
    /// A request could not be handed over.
    Undeliverable(Ticket),
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {protocol} {address} ({why}); is another server running there? name another address with {key}"
)]
pub struct ListenError {
    pub protocol: &'static str,
    pub address: std::net::SocketAddr,
    pub why: std::io::Error,
    pub key: &'static str,
}
