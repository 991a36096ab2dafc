//! SIP on the wire: a checked zero-copy view of what arrives, and a writer that cannot be made to inject.
//!
//! Bytes become a [`Request`] or [`Response`] in [`parse()`], once, with everything RFC 3261 demands of every
//! message already checked. What breaks a rule but can be answered is [`Malformed`] and knows its status.
//! Each typed header has one file under [`header`], parse and print side by side. Messages leave through
//! [`write::Writer`]. The crate `rsip` lends the names of the registered methods and nothing else: none of
//! its parsers or printers meets data from the network.

pub mod aor;
pub mod canonical;
pub mod coding;
mod compare;
pub mod flow;
pub mod frame;
pub mod header;
pub mod limits;
pub mod message;
pub mod method;
pub mod multipart;
pub mod name;
pub mod parse;
pub mod reply;
mod scan;
mod start_line;
pub mod status;
pub mod text;
pub mod uri;
pub mod write;

pub use aor::Aor;
pub use flow::{Destination, Flow, Transport};
pub use frame::StreamFramer;
pub use header::address::NameAddr;
pub use header::cseq::CSeq;
pub use header::via::Via;
pub use limits::Limits;
pub use message::{Headers, Incoming, Malformed, Request, Response};
pub use method::{KnownMethod, Method};
pub use name::Name;
pub use parse::{Framing, parse};
pub use uri::{Scheme, Uri};
pub use write::Writer;
