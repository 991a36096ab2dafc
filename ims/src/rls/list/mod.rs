//! A list with its members, as it is served.

use crate::event::subscription::End;
use std::sync::Arc;

/// Where a list is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `<service>` of an `rls-services` document (RFC 4826 §4), by its URI as the watcher wrote it, and its owner.
    Service { uri: Box<str>, owner: Box<str> },
    /// The body of the SUBSCRIBE (RFC 5367).
    Contained { uri: Box<str>, document: Arc<[u8]> },
}

/// What came of reading a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What could be read; `None`: there is no such list (any more).
    pub list: Option<Arc<List>>,
    /// Something could not be read, and the operator would rather have a SUBSCRIBE refused with 502 (RFC 4826 §4.5)
    /// than a part of the list served. A list subscription that lives goes on with the part.
    pub refused: bool,
    /// A part of it is on its way from another server: the owner is told when it is here.
    pub stalled: bool,
    /// Parts that could not be read, each in a few words for the log.
    pub faults: Vec<Box<str>>,
}

/// One level of a list: nested `<list>` elements, references and external lists are part of it already (RFC 4826 §4.5).
/// A member that is a list itself stays one, where lists are told nested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub uri: Box<str>,
    pub names: Vec<Name>,
    /// In their order, none twice in the whole list.
    pub resources: Vec<Resource>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// As it is written in the list.
    pub uri: Box<str>,
    pub names: Vec<Name>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who may be subscribed to.
    Presentity,
    /// Beyond the limit of the operator: listed, and not subscribed to.
    Excess,
    /// Nobody who can be subscribed to: no URI, another scheme, a list that contains itself (`noresource`), a list of
    /// somebody else (`rejected`). Listed with an instance that is terminated for this reason.
    Refused(End),
    /// A list.
    List(Box<List>),
}

/// A display name, and its language where it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub lang: Option<Box<str>>,
    pub text: Box<str>,
}
