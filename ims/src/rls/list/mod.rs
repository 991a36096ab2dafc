//! A list with its members, as it is served: what it is read from ([`sheet`]), how its references are followed
//! ([`expand`], RFC 4826 §4.5), and lists that come with a request ([`contained`], RFC 5367).

pub mod contained;
mod expand;
pub mod sheet;
#[cfg(test)]
mod tests;

use crate::event::subscription::End;
use crate::time::Millis;
use expand::Expansion;
use sheet::Sheet;
use std::sync::Arc;

/// Namespace of services of resource lists, RFC 4826 §4.4.4.
const SERVICES: &str = "urn:ietf:params:xml:ns:rls-services";

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

/// Lists as the operator wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub limits: Limits,
    pub others: Others,
    /// Names of URI parameters that only URIs of lists have, lower case (`pres-list`).
    pub parameters: Vec<String>,
    /// SUBSCRIBEs that may wait for a document of another server, and how long.
    pub waiting: usize,
    pub wait: Millis,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            limits: Limits::default(),
            others: Others::Forbidden,
            parameters: vec!["pres-list".to_owned()],
            waiting: 1000,
            wait: Millis(3_000),
        }
    }
}

/// What others than its owner get who subscribe to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// 403.
    Forbidden,
    /// 404, as if there were no such list.
    Hidden,
    /// They are served; each member decides on the watcher as ever.
    Allowed,
}

/// What reading a list may cost and how it is told, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most members that are subscribed to; the rest is [`Kind::Excess`].
    pub members: usize,
    /// Most members that are listed at all.
    pub listed: usize,
    /// Most lists inside a list: nested, external, or members that are lists.
    pub lists: usize,
    /// Longest chain of lists one inside the other.
    pub depth: usize,
    /// Most references to other places that are followed.
    pub references: usize,
    /// Most bytes of documents that are read.
    pub bytes: usize,
    /// Most entries of a list in a request.
    pub contained: usize,
    pub nesting: Nesting,
    /// A list of which something cannot be read is refused with 502.
    pub refuses: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            members: 1000,
            listed: 20_000,
            lists: 64,
            depth: 8,
            references: 256,
            bytes: 4 << 20,
            contained: 200,
            nesting: Nesting::Flattened,
            refuses: false,
        }
    }
}

/// How a member that is a list itself is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// Its members are members of the list.
    Flattened,
    /// As a list in the list, with RLMI of its own (RFC 4662 §5.4).
    Kept,
}

/// A list or an entry that a reference leads to.
#[derive(Clone, Debug)]
pub struct Found {
    pub sheet: Arc<Sheet>,
    /// Of a list or of an entry of the sheet.
    pub at: u32,
    /// The number that [`References`] gives to the document: the same for the same, during one reading.
    pub document: u32,
}

/// Why a reference leads to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Its document is being got from another server.
    Waiting,
    /// There is no such document, or no such part of it.
    Missing,
    /// It is of somebody whose lists may not be read.
    Foreign,
    /// It is on no server that is asked, or that server does not answer.
    Unreadable,
    /// References are not followed here.
    Discarded,
}

/// What is behind the references in lists. `from` is [`Found::document`] of the list that refers.
pub trait References {
    /// The `<list>` that the `anchor` of an `<external>` names.
    fn list(&self, from: u32, anchor: &str) -> Result<Found, Absent>;
    /// The `<entry>` that the `ref` of an `<entry-ref>` names.
    fn entry(&self, from: u32, reference: &str) -> Result<Found, Absent>;
    /// The list of a service of this URI in its canonical spelling; `Ok(None)`: it is the URI of none.
    fn service(&self, from: u32, uri: &str) -> Result<Option<Found>, Absent>;
}

/// Reads the list behind a service. `uri` is how the watcher names it, `found` what the service offers.
pub fn read(
    uri: &str,
    found: Result<Option<Found>, Absent>,
    references: &dyn References,
    limits: &Limits,
    hash: ahash::RandomState,
) -> Listed {
    Expansion::new(references, limits, hash).read(uri, found)
}
