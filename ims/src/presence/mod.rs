//! Presence: what a publication says, what several say together, who may see it and how much of it.
//!
//! The way of a document: [`pidf::parse`] checks a body once, at PUBLISH; [`compose::compose`] joins the
//! publications of one presentity; [`rules::decide`] says what a watcher is granted; [`content::view`] makes the
//! document for that grant. Only [`content::Authorized`] can be put in a NOTIFY.

pub mod compose;
pub mod content;
pub mod external;
pub mod filter;
pub mod notification;
pub mod object;
pub mod partial;
pub mod pidf;
pub mod rules;
pub mod service;
mod uri;
