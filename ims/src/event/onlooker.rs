//! Subscriptions that a list brings: on whose behalf, and what one instance of a resource says (RFC 4662 §4.5, §5).
//!
//! The resource list server and the services that know resources agree on these; neither knows the other.

use super::subscription::{State, SubscriptionId};
use crate::sip::Aor;
use crate::sip::coding::Coding;
use crate::time::Timestamp;
use bytes::Bytes;
use std::sync::Arc;

/// On whose behalf the members of a list are watched: one for all virtual subscriptions of a list subscription.
#[derive(Clone, Debug)]
pub struct Onlooker {
    /// The list subscription, which is the notifier's dialog with this watcher.
    pub list: SubscriptionId,
    /// URI of the list, as it was subscribed to: a filter that names it is for every member (RFC 4660 §4).
    pub uri: Box<str>,
    /// Event package, without parameters.
    pub package: &'static str,
    /// Asserted identities, canonical, and as the network wrote them.
    pub identities: Vec<Aor>,
    pub asserted: Vec<Box<str>>,
    /// The watcher asked for privacy, or nobody is asserted.
    pub anonymous: bool,
    pub display_name: Option<Box<str>>,
    /// Media types of state that it takes, beside the package's own.
    pub takes: Takes,
    /// The filter document of its SUBSCRIBE (RFC 4660), whole; a member takes what is for the list and what is for it.
    pub filter: Option<Arc<[u8]>>,
    /// `Max-Forwards` with which its SUBSCRIBE came, 70 without: what is left for lists within lists (RFC 4662 §7.4).
    pub hops: u32,
    /// When its SUBSCRIBE came, and until when the list subscription lives.
    pub since: Timestamp,
    pub expires_at: Timestamp,
}

/// What a watcher takes beside plain documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// `application/pidf-diff+xml` (RFC 5263).
    pub partial: bool,
    /// Objects beside the document, in a `multipart/related` of their own.
    pub objects: bool,
    pub coding: Option<Coding>,
}

/// A member of a list subscription: its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    pub list: SubscriptionId,
    pub place: u32,
}

/// How much of the state an instance is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything: the NOTIFY has full state.
    Full,
    /// What is new since it was last taken.
    Change,
}

/// What RLMI says of one instance of a resource (RFC 4662 §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `active`, `pending`, or `terminated` with its reason.
    pub state: State,
    /// Tag of the state; the same tag is the same state. 0: there is none to tell.
    pub tag: u64,
    /// The state; none while it may not be told, is not known, or is no news.
    pub content: Option<Content>,
}

/// State of a resource as it is carried beside RLMI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// `Content-Type`, with its parameters.
    pub media_type: Box<str>,
    pub bytes: Bytes,
}
