//! Presence authorisation: RFC 4745, RFC 5025 and the OMA conditions.

mod permissions;

pub use permissions::{Attribute, Member, Permissions, Provide, UserInput};
