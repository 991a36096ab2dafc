//! A policy as people speak of it, whatever the documents are that hold it.

use ims::presence::rules::Handling;
use ims::sip::Aor;
use std::fmt;

/// What somebody wants changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These people get this handling, and no other.
    List(Handling, Vec<Aor>),
    /// These people are on no list.
    Remove(Vec<Aor>),
    /// For whoever is on no list.
    Default(Handling),
    /// For whoever does not say who it is.
    Anonymous(Handling),
}

/// Why a document is not edited: its meaning could change in a way that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood(String);

impl NotUnderstood {
    pub fn new(why: impl Into<String>) -> NotUnderstood {
        NotUnderstood(why.into())
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The lists of a user, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub default: Option<Handling>,
    pub anonymous: Option<Handling>,
    pub lists: Vec<List>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    pub handling: Handling,
    /// Those who are named in place.
    pub people: Vec<String>,
    /// Lists elsewhere, by their URI.
    pub lists: Vec<String>,
}

/// A handling as people say it.
pub fn told(handling: Handling) -> &'static str {
    match handling {
        Handling::Allow => "accepted",
        Handling::PoliteBlock => "politely blocked",
        Handling::Confirm => "deferred",
        Handling::Block => "rejected",
    }
}

/// A handling as an argument: the words of the commands, and those of the documents.
pub fn handling(text: &str) -> Result<Handling, String> {
    match text {
        "accept" => Ok(Handling::Allow),
        "reject" => Ok(Handling::Block),
        "defer" => Ok(Handling::Confirm),
        other => Handling::parse(other)
            .ok_or_else(|| "expected accept, polite-block, defer or reject".into()),
    }
}
