//! SIP events: notifier and subscriber of RFC 6665 and the event state compositor of RFC 3903, for any package.

pub mod deadlines;
pub mod debts;
pub mod farewell;
pub mod lifetime;
pub mod notice;
pub mod onlooker;
pub mod pace;
pub mod publication;
pub mod quota;
pub mod reach;
pub mod subscribe;
pub mod subscriber;
pub mod subscription;
pub mod tag;
pub mod turn;
pub mod watcherinfo;
