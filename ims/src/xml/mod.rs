//! XML from outside: a guarded reader and a validator, shared by the services that take documents.

pub mod guard;
pub mod patch;
mod scan;
pub mod schema;
pub mod schemas;
pub mod text;

/// What [`guard::parse`] gives, for readers outside this crate.
pub use roxmltree::{Document, Node};
