//! Virtual subscriptions (RFC 4662 §2): presentities that are served here as members of lists. Each costs a row in a
//! table and no dialog, and shows exactly what a SUBSCRIBE of the same watcher would.
//!
//! Nothing of it is stored: the list server brings its list subscriptions back after a restart, and their members join
//! again.

mod decide;
mod filters;
mod gathering;
mod join;
mod look;
mod stir;
mod table;
mod take;
mod waiting;
mod watchers;

pub(super) use gathering::Gathering;
pub(super) use table::Onlook;
