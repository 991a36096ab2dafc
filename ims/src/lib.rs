//! What an IMS presence application server decides, as a value: bytes and time in, effects out.
//!
//! Nothing here owns a clock, a socket, a file, a thread or randomness. The program (`presentia`) moves
//! inputs in and effects out; a simulation does the same under virtual time. Modules import downwards only:
//!
//! `time`, `network`, `record`, `xml` < `sip` < `transaction` < `dialog` < `isc` < `charge` < `event` < `presence`, `rls`, `xdm`, `registration` < `node`
#![forbid(unsafe_code)]

pub mod charge;
pub mod dialog;
pub mod event;
pub mod isc;
pub mod network;
pub mod node;
pub mod partition;
pub mod presence;
pub mod record;
pub mod registration;
pub mod reject;
pub mod rls;
pub mod sip;
pub mod time;
pub mod transaction;
pub mod xdm;
pub mod xml;
