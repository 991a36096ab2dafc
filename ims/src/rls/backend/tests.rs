//! Back-end subscriptions against notifiers that a test plays.

mod bench;
mod flow;
mod notifiers;
mod sharing;
mod store;
