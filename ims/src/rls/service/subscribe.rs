//! SUBSCRIBE: new list subscriptions, refreshes, ends and fetches (RFC 4662 §4.1, RFC 6665 §4.2.1).

use super::seats::walk;
use super::state::{ListRecord, Package, Subscription, Wishes};
use super::{Service, World};
use crate::event::subscribe::{Accepted, Opened, Opening, Renewal};
use crate::event::subscription::{Input, State, SubscriptionId, begin, step};
use crate::event::tag::Condition;
use crate::event::turn::Turn;
use crate::isc::Caller;
use crate::reject::Reject;
use crate::rls::list::{List, Source};
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use std::sync::Arc;

/// Reason phrases of 403.
const NOT_IDENTIFIED: &str = "Not Identified";
const TOO_MANY: &str = "Too Many List Subscriptions";
const TOO_MANY_MEMBERS: &str = "Too Many List Members";
/// How long a watcher is asked to stay away while the node has room for no more members.
pub(super) const FULL: Seconds = Seconds(60);

/// An initial SUBSCRIBE to a list that is in order.
#[derive(Debug)]
pub struct Subscribe<'a> {
    pub source: Source,
    pub package: Package,
    pub caller: &'a Caller,
    pub display_name: Option<String>,
    /// Beside the list, which `source` has.
    pub wishes: Wishes,
    pub opening: Opening<'a>,
}

/// A SUBSCRIBE in a dialog of ours.
#[derive(Debug)]
pub struct Renew<'a> {
    pub package: Package,
    /// Beside the list; without a filter the old one stays.
    pub wishes: Wishes,
    /// A new list of the watcher's own (RFC 5367 §6); without one the old one stays.
    pub contained: Option<Box<[u8]>>,
    pub renewal: Renewal<'a>,
}

impl Service {
    /// Opens a list subscription, or serves a fetch. The NOTIFY with the whole state follows at once; that of a fetch
    /// when its members have spoken.
    pub fn subscribe(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        request: Subscribe<'_>,
    ) -> Result<Accepted, Reject> {
        let lifetime = self.network.lifetimes.grant(request.opening.expires)?;
        let fetch = lifetime == Seconds(0);
        let state = begin(Input::Allowed, fetch).ok_or(Reject::Forbidden(NOT_IDENTIFIED))?;
        let first = request.opening.subscriber.first();
        let first = first.ok_or(Reject::Forbidden(NOT_IDENTIFIED))?.clone();
        let held = self.held.get(first.as_str()).copied().unwrap_or_default();
        if held.subscriptions >= self.settings.max_subscriptions_per_watcher {
            // 403 and not 503: the server is not full, and a 503 would turn the S-CSCF away from it
            return Err(Reject::Forbidden(TOO_MANY));
        }
        let id = turn
            .random
            .subscription(Some(&first), |id| self.subscriptions.contains_key(&id));
        let list = match self.readable(world, id, &request.source, held.members) {
            Ok(list) => list,
            Err(reject) => {
                world.catalogue.forget(id);
                return Err(reject);
            }
        };
        let subscription = opened(turn.now, id, request, state, lifetime);
        if let Err(reject) = world.presentities.look_on(turn, subscription.onlooker()) {
            world.catalogue.forget(id);
            return Err(reject);
        }
        self.insert(subscription);
        self.take_list(turn, world, id, list);
        self.join(turn, world, id);
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.whole = true;
            if fetch {
                subscription.last_is_owed = true;
                let until = turn.now + self.settings.fetch_wait;
                subscription.gather_until = Some(until);
                self.gathering.insert((until, id));
            } else {
                self.store(turn, id);
                self.store_wishes(turn, id);
                self.schedule(id);
            }
        }
        self.show(turn, world, id);
        Ok(Accepted {
            id,
            lifetime,
            pending: false,
            quiet: false, // RFC 5839 §6.3: never outside a dialog
        })
    }

    /// The list as it can be served: without its members, where it is still on its way from elsewhere.
    fn readable(
        &self,
        world: &World<'_>,
        id: SubscriptionId,
        source: &Source,
        held: usize,
    ) -> Result<Arc<List>, Reject> {
        let listed = world.catalogue.read(id, source);
        super::joining::report(&listed.faults);
        if listed.refused {
            return Err(Reject::BadGateway("List Not Readable")); // RFC 4826 §4.5
        }
        let list = match (listed.list, source) {
            (Some(list), _) => list,
            (None, Source::Service { uri, .. }) if listed.stalled => Arc::new(List {
                uri: uri.clone(),
                ..List::default()
            }),
            (None, Source::Service { .. }) => return Err(Reject::NotFound),
            (None, Source::Contained { .. }) => return Err(Reject::Bad("Bad Resource List")),
        };
        let mut members = 0;
        walk(&list, &mut |_| members += 1);
        if held + members > self.settings.max_members_per_watcher {
            return Err(Reject::Forbidden(TOO_MANY_MEMBERS));
        }
        if self.members + members > self.settings.max_members {
            return Err(Reject::Busy { retry_after: FULL });
        }
        Ok(list)
    }

    pub(super) fn insert(&mut self, subscription: Subscription) {
        if let Some(first) = subscription.record.watcher.first() {
            let held = self.held.entry(first.clone()).or_default();
            held.subscriptions += 1;
        }
        self.subscriptions.insert(subscription.id, subscription);
    }

    /// A refresh, or the end of a list subscription with `Expires: 0`.
    pub fn renew(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        request: Renew<'_>,
    ) -> Result<Accepted, Reject> {
        let renewal = &request.renewal;
        let id = renewal.id;
        let subscription = self.subscriptions.get(&id).ok_or(Reject::NoDialog)?;
        check_renewal(&subscription.record, &request)?;
        let lifetime = self.network.lifetimes.grant(renewal.expires)?;
        let ends = lifetime == Seconds(0);
        if !ends {
            renewal.acceptable.clone()?; // RFC 6665 §4.1.2.1: Accept is of each SUBSCRIBE
        }
        let mut record = subscription.record.clone();
        let refreshed = record.dialog.refresh(renewal.request);
        refreshed.map_err(|e| Reject::Bad(e.phrase()))?;
        record.expires_at = turn.now + lifetime;
        let mut wishes = request.wishes;
        wishes.filter = wishes.filter.or_else(|| subscription.wishes.filter.clone());
        let listed = match request.contained {
            Some(document) if record.owner.is_none() && !ends => {
                wishes.contained = Some(document);
                let source = super::state::source(&record, &wishes);
                let rest = self.held_beside(subscription);
                match self.readable(world, id, &source, rest) {
                    Ok(list) => Some((source, list)),
                    Err(reject) => {
                        world.catalogue.read(id, &subscription.source); // it depends on the old one again
                        return Err(reject);
                    }
                }
            }
            _ => {
                wishes.contained = subscription.wishes.contained.clone();
                None
            }
        };
        self.take_terms(turn, world, id, (record, wishes), ends)?;
        if let Some((source, list)) = listed {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.source = source;
            }
            self.take_list(turn, world, id, list);
            self.join(turn, world, id);
        }
        let quiet = self.answer_renewal(turn, world, id, ends);
        Ok(Accepted {
            id,
            lifetime,
            pending: false,
            quiet,
        })
    }

    /// Members that the watcher of this subscription holds in others.
    pub(super) fn held_beside(&self, subscription: &Subscription) -> usize {
        let first = subscription.record.watcher.first();
        let held = first.and_then(|first| self.held.get(first));
        held.map_or(0, |held| {
            held.members.saturating_sub(subscription.seats.len())
        })
    }

    /// What a SUBSCRIBE in the dialog says counts from now on, for the members too.
    fn take_terms(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
        (record, wishes): (ListRecord, Wishes),
        ends: bool,
    ) -> Result<(), Reject> {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return Err(Reject::NoDialog);
        };
        let old = std::mem::replace(&mut subscription.record, record);
        let old_wishes = std::mem::replace(&mut *subscription.wishes, wishes);
        if !ends {
            let refused = world.presentities.look_on(turn, subscription.onlooker());
            if let Err(reject) = refused {
                (subscription.record, *subscription.wishes) = (old, old_wishes);
                return Err(reject);
            }
            if subscription.wishes.filter != old_wishes.filter {
                // RFC 4660 §3.3.3: filters that this one says nothing of stay, also after a restart and elsewhere
                let filters = world.presentities.filters(id);
                subscription.wishes.filter = filters.map(|filters| filters[..].into());
            }
        }
        let differs = *subscription.wishes != old_wishes;
        if differs {
            self.store_wishes(turn, id);
            self.change_pace(turn.now, id);
        }
        if !ends {
            self.look_on_again(turn, world, id);
        }
        Ok(())
    }

    /// What follows a SUBSCRIBE in the dialog: the whole state, or nothing where the watcher has it.
    fn answer_renewal(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
        ends: bool,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return false;
        };
        let has_the_state = subscription.has_the_state();
        if ends {
            subscription.record.state = step(subscription.record.state, Input::Unsubscribed).0;
            subscription.last_is_owed = true;
        }
        let quiet = has_the_state && !ends;
        if !quiet {
            subscription.record.renewed_at = turn.now;
            subscription.whole = true;
            subscription.pause_until = Timestamp::default();
            subscription.compares = false;
        } else if let Some(Condition::Tag(_)) = subscription.wishes.condition {
            subscription.wishes.condition = None; // it was about this NOTIFY
        }
        self.store(turn, id);
        self.schedule(id);
        if !quiet {
            self.show(turn, world, id); // RFC 6665 §4.2.1.2: every SUBSCRIBE that is accepted
        }
        quiet
    }

    /// The subscription may be over: looks, and asks for the next look.
    pub(super) fn look_at(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.look_at = None;
        if subscription.record.expires_at <= turn.now {
            return self.end(turn, world, id, Input::Expired);
        }
        self.schedule(id);
    }

    /// Asks for a look at a subscription at its end.
    pub(super) fn schedule(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let at = subscription.record.expires_at;
        if subscription.look_at.is_none_or(|scheduled| at < scheduled) {
            subscription.look_at = Some(at);
            self.looks.at(at, id);
        }
    }
}

impl Subscription {
    /// Whether the condition of the SUBSCRIBE holds, so that no NOTIFY answers it (RFC 5839 §6.3, §6.5).
    fn has_the_state(&self) -> bool {
        let settled = !self.whole && !self.reshaped && !self.seats.has_stirred();
        match self.wishes.condition {
            Some(Condition::Always) => true,
            Some(Condition::Tag(tag)) => settled && tag == self.told.tag,
            None => false,
        }
    }
}

fn opened(
    now: Timestamp,
    id: SubscriptionId,
    request: Subscribe<'_>,
    state: State,
    lifetime: Seconds,
) -> Subscription {
    let (entity, owner, contained) = match request.source {
        Source::Service { uri, owner } => (uri, Some(owner), None),
        Source::Contained { uri, document } => (uri, None, Some(document.as_ref().into())),
    };
    let (caller, opening) = (request.caller, request.opening);
    let text = |aor: &Aor| aor.as_str().into();
    let record = ListRecord {
        package: request.package,
        entity,
        owner,
        watcher: opening.subscriber.iter().map(text).collect(),
        asserted: caller.asserted.iter().map(|a| a.as_str().into()).collect(),
        anonymous: caller.anonymous,
        display_name: request
            .display_name
            .filter(|_| !caller.anonymous)
            .map(Into::into),
        event_id: opening.event_id.map(Into::into),
        state,
        since: now,
        expires_at: now + lifetime,
        renewed_at: now,
        dialog: opening.dialog,
        charging: opening.charging.clone(),
        inside: opening.inside,
    };
    let wishes = Wishes {
        contained,
        ..request.wishes
    };
    Subscription::new(id, record, wishes)
}

/// RFC 3261 §12.2.2 and RFC 6665 §4.2.1: the request is in this dialog, of this subscription, in order, and not
/// from somebody else.
fn check_renewal(record: &ListRecord, request: &Renew<'_>) -> Result<(), Reject> {
    if record.state != State::Active || record.package != request.package {
        return Err(Reject::NoDialog);
    }
    let opened = Opened {
        dialog: &record.dialog,
        event_id: record.event_id.as_deref(),
        identities: &record.watcher,
    };
    opened.takes(&request.renewal)
}
