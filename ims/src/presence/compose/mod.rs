//! Composition: one raw document out of all publications of a presentity and what the network knows (OMA policy).

use super::pidf::Contribution;
use crate::time::Timestamp;

/// One publication as an input of composition.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub contribution: &'a Contribution,
    /// When its content last changed (a refresh without body changes nothing).
    pub at: Timestamp,
    /// Unique among the sources of one presentity and constant over the life of the publication: the older, the
    /// smaller. Decides which of two equal ids is kept.
    pub order: u64,
}

/// What third-party REGISTER told about the presentity.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationFacts<'a> {
    /// The registered public identity; contact of the network-made tuple.
    pub identity: &'a str,
    /// Registered now, or registered before and not any more.
    pub active: bool,
    /// When that became so.
    pub since: Timestamp,
}

/// The composed state. Raw: nothing of it may be sent but through [`super::content::view`].
#[derive(Clone, Debug)]
pub struct Composed {}

impl Composed {
    /// Nobody published anything and the network knows nothing: watchers get [`super::content::unavailable`].
    pub fn is_empty(&self) -> bool {
        true
    }

    /// The sphere all published persons agree on (RFC 5025 §3.1.2), else `None`.
    pub fn sphere(&self) -> Option<&str> {
        None
    }
}

/// Composes `sources` (in any order) with the registration state.
pub fn compose(sources: &[Source<'_>], registration: Option<&RegistrationFacts<'_>>) -> Composed {
    let _ = (sources, registration);
    Composed {}
}
