//! Presence authorisation: RFC 4745, RFC 5025, the OMA conditions, and the ordered lists of the OMA architecture.

mod basis;
mod decide;
mod identity;
mod ordered;
mod parse;
mod permissions;
mod ruleset;

#[cfg(test)]
mod tests;

pub use basis::{Basis, basis};
pub use decide::{Context, Decision, Reason, Watcher, decide};
pub use ordered::NAMESPACE as ORDERED_POLICY;
pub use permissions::{Attribute, Member, Permissions, Provide, UserInput};
pub use ruleset::{Handling, RulesError, Ruleset};
