//! SIP events: the notifier of RFC 6665 and the event state compositor of RFC 3903, for any package.

pub mod deadlines;
pub mod lifetime;
pub mod publication;
pub mod subscription;
pub mod turn;
