//! The Resource List Server (RFC 4662): one subscription to a list stands for one to each member.
//!
//! A watcher's *list subscription* is a dialog. Behind it is a *virtual subscription* for each member: to a presentity
//! that is served here by a call ([`Presentities`]), to any other by a *back-end subscription* of ours through the core
//! ([`backend`]). What a list consists of is read by [`Catalogue`].

pub mod backend;
pub mod body;
pub mod list;
pub mod picture;
pub mod reading;
pub mod rlmi;
pub mod service;

use crate::event::onlooker::{Extent, Instance, Member, Onlooker};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::reject::Reject;
use crate::sip::Aor;
use list::{Listed, Source};
use std::sync::Arc;

/// The presentities that are served here, as members of lists. A virtual subscription costs no dialog and obeys exactly
/// the policy that a SUBSCRIBE of the same watcher would.
pub trait Presentities: std::fmt::Debug {
    /// A list subscription begins, was refreshed, or changed what it asks for: before its members join.
    /// Refused is what no member could serve: a filter that does not read. Nothing is changed then. Without a filter
    /// document the filters stay as they are (RFC 4660 §3.3.3).
    fn look_on(&mut self, turn: &mut Turn<'_>, onlooker: Onlooker) -> Result<(), Reject>;
    /// Its filters as one document: those of all its SUBSCRIBEs, each of which may place, change and remove some.
    fn filters(&mut self, list: SubscriptionId) -> Option<Arc<[u8]>>;
    /// Begins a virtual subscription; `None`: `uri` is nobody who is served here, and a back-end subscription asks for
    /// him. A user of a home domain whom nothing has made known, where only known ones are served, is `noresource` until
    /// he is known. A place that is taken is given up first.
    fn join(&mut self, turn: &mut Turn<'_>, member: Member, uri: &str) -> Option<SubscriptionId>;
    /// What RLMI says of it now. It counts as told. [`Extent::Full`] answers a SUBSCRIBE, or tells again what may not have
    /// arrived; with [`Extent::Change`] the presentity's intervals, quiet hours and triggers count, and `active` with a
    /// tag and no content is no news.
    fn instance(&mut self, turn: &mut Turn<'_>, id: SubscriptionId, extent: Extent) -> Instance;
    /// The member left the list, or the list subscription is over.
    fn part(&mut self, turn: &mut Turn<'_>, id: SubscriptionId);
    /// The list subscription is over: all that is left of its virtual subscriptions, too.
    fn look_away(&mut self, turn: &mut Turn<'_>, list: SubscriptionId);
    /// Members whose instance says something else than when it was last taken. Each is named once until
    /// [`Presentities::instance`] is called for it.
    fn take_stirred(&mut self) -> Vec<Member>;
}

/// What lists consist of.
pub trait Catalogue: std::fmt::Debug {
    /// What a SUBSCRIBE with this Request-URI from this watcher is for: `Ok(None)`, when it names no list. `takes_lists`:
    /// the watcher says `Supported: eventlist`; whoever does not is not kept waiting for documents of another server.
    fn find(
        &self,
        uri: &str,
        watcher: &[Aor],
        package: &str,
        takes_lists: bool,
    ) -> Result<Option<Source>, Reject>;
    /// Reads the list as it is now. `list` depends on what was read from then on, until [`Catalogue::forget`].
    fn read(&self, list: SubscriptionId, source: &Source) -> Listed;
    fn forget(&self, list: SubscriptionId);
}

/// Members that are served elsewhere: back-end subscriptions of ours, on behalf of the watcher (RFC 4662 §4.5).
pub trait BackEnds: std::fmt::Debug {
    /// The member is wanted from now on, or the list subscription was refreshed or asks for something else: then it
    /// comes again. `false`: nobody can be asked for it, and it is listed without an instance.
    fn want(&mut self, turn: &mut Turn<'_>, member: Member, onlooker: &Onlooker, uri: &str)
    -> bool;
    /// What RLMI says of it now: one instance for each notifier that answered, under a number that stays the same as
    /// long as the notifier is the same; none while nothing is known. It counts as told.
    fn instances(&mut self, member: Member, extent: Extent) -> Vec<(u32, Instance)>;
    /// Whether nothing was heard yet of the member that may still come soon: a fetch waits for it for a while.
    fn is_awaited(&self, member: Member) -> bool;
    /// The member left the list, or the list subscription is over.
    fn drop(&mut self, turn: &mut Turn<'_>, member: Member);
    /// Members whose instances say something else than when they were last taken.
    fn take_stirred(&mut self) -> Vec<Member>;
}
