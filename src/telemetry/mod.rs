//! What an operator sees: log lines and numbers.
//!
//! Personal identities (addresses of presentities and watchers) appear at `debug` only, under the target
//! [`log::IDENTITY_TARGET`], and only when `[log] identities` asks for them; everything else is safe to ship
//! to a collector.

pub mod log;
pub mod metrics;

pub use metrics::Metrics;
