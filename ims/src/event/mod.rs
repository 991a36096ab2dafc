//! SIP events: notifier and subscriber of RFC 6665 and the event state compositor of RFC 3903, for any package.

pub mod deadlines;
pub mod lifetime;
pub mod publication;
pub mod subscriber;
pub mod subscription;
pub mod turn;
pub mod watcherinfo;
