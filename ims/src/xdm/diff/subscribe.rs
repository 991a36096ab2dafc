//! SUBSCRIBE: new subscriptions, refreshes, ends and fetches (RFC 5875 §4.4, RFC 6665 §4.2.1).

use super::pending::{Mode, Pending};
use super::state::{Subscription, SubscriptionRecord};
use super::wanted::{Package, Wanted};
use super::{Service, Store};
use crate::event::notice::CSEQ_RANGE;
use crate::event::subscribe::{Accepted, Opened, Opening, Renewal};
use crate::event::subscription::{Input, State, SubscriptionId, begin};
use crate::event::tag::Condition;
use crate::event::turn::Turn;
use crate::record::Table;
use crate::reject::Reject;
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use crate::xdm::Identity;

/// Reason phrases of 403.
const TOO_MANY: &str = "Too Many Subscriptions";
const NOT_IDENTIFIED: &str = "Not Identified";
const TOO_LARGE: &str = "Collection Too Large";

/// What every SUBSCRIBE says anew.
#[derive(Clone, Debug)]
pub struct Terms {
    pub mode: Mode,
    pub condition: Option<Condition>,
}

/// An initial SUBSCRIBE to changes of documents that is in order.
#[derive(Debug)]
pub struct Subscribe<'a> {
    /// Whose Request-URI it is, for the partition.
    pub resource: Option<Aor>,
    pub entity: &'a str,
    pub package: Package,
    pub terms: Terms,
    pub wanted: Wanted,
    pub opening: Opening<'a>,
}

/// A SUBSCRIBE in a dialog of ours.
#[derive(Debug)]
pub struct Renew<'a> {
    pub package: Package,
    pub terms: Terms,
    /// A new list; without one the old one stays.
    pub wanted: Option<Wanted>,
    pub renewal: Renewal<'a>,
}

impl Service {
    /// Opens a subscription, or serves a fetch. Every accepted one is answered by a NOTIFY at once.
    pub fn subscribe(
        &mut self,
        turn: &mut Turn<'_>,
        store: &Store<'_>,
        request: Subscribe<'_>,
    ) -> Result<Accepted, Reject> {
        let opening = request.opening;
        let lifetime = self.network.lifetimes.grant(opening.expires)?;
        let fetch = lifetime == Seconds(0);
        let state = begin(Input::Allowed, fetch).ok_or(Reject::Forbidden(NOT_IDENTIFIED))?;
        let resource = request.resource.as_ref().or(opening.subscriber.first());
        let is_taken = |id| self.subscriptions.contains_key(&id);
        let id = turn.random.subscription(resource, is_taken);
        let record = SubscriptionRecord {
            package: request.package,
            entity: request.entity.into(),
            subscriber: opening
                .subscriber
                .iter()
                .map(|a| a.as_str().into())
                .collect(),
            event_id: opening.event_id.map(Into::into),
            state,
            expires_at: turn.now + lifetime,
            renewed_at: turn.now,
            cseq_reserved: CSEQ_RANGE,
            dialog: opening.dialog,
            charging: opening.charging.clone(),
            inside: opening.inside,
            mode: request.terms.mode,
            wanted: request.wanted,
            condition: request.terms.condition,
        };
        let subscription = Subscription::new(id, record, store);
        self.admits(store, &subscription)?;
        self.insert(subscription);
        if !fetch {
            self.store(turn, id);
            self.schedule(id);
        }
        self.tell_whole(turn, store, id);
        Ok(Accepted {
            id,
            lifetime,
            pending: false,
            quiet: false, // RFC 5839 §6.3: never outside a dialog
        })
    }

    /// Whether this subscriber may have one more subscription, and one of this size.
    fn admits(&self, store: &Store<'_>, subscription: &Subscription) -> Result<(), Reject> {
        let most = store.settings().max_subscriptions_per_user;
        let first = subscription.record.subscriber.first();
        let held = first.map_or(0, |user| self.index.held(user));
        if subscription.identity == Identity::Unknown {
            return Err(Reject::Forbidden(NOT_IDENTIFIED));
        }
        if held >= most && !subscription.reads_all {
            // 403 and not 503: the server is not full, and a 503 would turn the S-CSCF away from it
            return Err(Reject::Forbidden(TOO_MANY));
        }
        match store.shown(subscription) {
            (_, true) => Ok(()),
            (_, false) => Err(Reject::Forbidden(TOO_LARGE)),
        }
    }

    pub(super) fn insert(&mut self, subscription: Subscription) {
        self.index.add(&subscription);
        self.subscriptions.insert(subscription.id, subscription);
    }

    /// A refresh, or the end of a subscription with `Expires: 0`.
    pub fn renew(
        &mut self,
        turn: &mut Turn<'_>,
        store: &Store<'_>,
        request: Renew<'_>,
    ) -> Result<Accepted, Reject> {
        let id = request.renewal.id;
        let subscription = self.subscriptions.get_mut(&id).ok_or(Reject::NoDialog)?;
        check_renewal(&subscription.record, &request)?;
        let renewal = request.renewal;
        let lifetime = self.network.lifetimes.grant(renewal.expires)?;
        if lifetime > Seconds(0) {
            renewal.acceptable?; // RFC 6665 §4.1.2.1: Accept is of each SUBSCRIBE
        }
        if let Some(wanted) = request.wanted {
            // RFC 5875 §4.4: "the subscribed URI list MAY change, in which case the notifier MUST use the new list"
            let record = SubscriptionRecord {
                wanted,
                ..subscription.record.clone()
            };
            let listed = Subscription::new(id, record, store);
            if !store.shown(&listed).1 {
                return Err(Reject::Forbidden(TOO_LARGE));
            }
            self.index.remove(subscription);
            subscription.record.wanted = listed.record.wanted;
            subscription.identity = listed.identity;
            subscription.resources = listed.resources;
            subscription.scopes = listed.scopes;
            subscription.owed = Pending::default(); // it was about the old list, and the whole state follows
            if let Some(sent) = &mut subscription.sent {
                sent.components.clear();
            }
            self.index.add(subscription);
        }
        let record = &mut subscription.record;
        let refreshed = record.dialog.refresh(renewal.request);
        refreshed.map_err(|e| Reject::Bad(e.phrase()))?;
        record.expires_at = turn.now + lifetime;
        record.cseq_reserved = record.dialog.local_cseq + CSEQ_RANGE;
        record.mode = request.terms.mode;
        record.condition = request.terms.condition;
        if lifetime == Seconds(0) {
            self.unsubscribed(turn, store, id);
        } else if self.has_the_state(store, id) {
            self.pass_over(turn, id);
            self.schedule(id);
            return Ok(Accepted {
                id,
                lifetime,
                pending: false,
                quiet: true,
            });
        } else {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.record.renewed_at = turn.now;
            }
            self.store(turn, id);
            self.tell_whole(turn, store, id); // RFC 6665 §4.2.1.2: every SUBSCRIBE that is accepted
            self.schedule(id);
        }
        Ok(Accepted {
            id,
            lifetime,
            pending: false,
            quiet: false,
        })
    }

    /// The subscriber asked for an end: the last NOTIFY has the state, as for a fetch.
    fn unsubscribed(&mut self, turn: &mut Turn<'_>, store: &Store<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let (state, _) =
            crate::event::subscription::step(subscription.record.state, Input::Unsubscribed);
        subscription.record.state = state;
        subscription.record.renewed_at = turn.now;
        subscription.last_is_owed = true;
        subscription.owed = Pending::whole();
        self.store(turn, id);
        self.show(turn, store, id);
    }

    /// Whether the condition of the SUBSCRIBE holds, so that no NOTIFY answers it (RFC 5839 §6.3).
    fn has_the_state(&self, store: &Store<'_>, id: SubscriptionId) -> bool {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return false;
        };
        let condition = subscription.record.condition;
        condition.is_some_and(|c| c.holds(self.tag(store, subscription)))
    }

    /// The subscriber has what it was still owed.
    fn pass_over(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.owed = Pending::default();
            if matches!(subscription.record.condition, Some(Condition::Tag(_))) {
                subscription.record.condition = None;
            }
            self.paced.remove(&(subscription.not_before, id));
        }
        self.store(turn, id);
        self.settle(id);
    }

    /// The subscription may be over: looks, and asks for the next look.
    pub(super) fn look_at(&mut self, turn: &mut Turn<'_>, store: &Store<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.look_at = None;
        if subscription.record.expires_at <= turn.now {
            return self.end(turn, store, id, Input::Expired);
        }
        self.schedule(id);
    }

    /// Asks for a look at a subscription at its end.
    pub(super) fn schedule(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let at: Timestamp = subscription.record.expires_at;
        if subscription.look_at.is_none_or(|scheduled| at < scheduled) {
            subscription.look_at = Some(at);
            self.looks.at(at, id);
        }
    }

    pub(super) fn store(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.stored = true;
            let key = id.0.to_be_bytes();
            turn.batch
                .put(Table::DiffSubscription, &key, &subscription.record);
        }
    }

    /// Forgets a subscription that is over and whose subscriber knows it, or is gone.
    pub(super) fn drop(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.swap_remove(&id) else {
            return;
        };
        if subscription.stored {
            turn.batch
                .delete(Table::DiffSubscription, &id.0.to_be_bytes());
        }
        self.paced.remove(&(subscription.not_before, id));
        self.index.remove(&subscription);
        turn.quota.over(id);
    }
}

/// RFC 3261 §12.2.2 and RFC 6665 §4.2.1: the request is in this dialog, of this subscription, in order, and not
/// from somebody else.
fn check_renewal(record: &SubscriptionRecord, request: &Renew<'_>) -> Result<(), Reject> {
    if record.state != State::Active || record.package != request.package {
        return Err(Reject::NoDialog);
    }
    let opened = Opened {
        dialog: &record.dialog,
        event_id: record.event_id.as_deref(),
        identities: &record.subscriber,
    };
    opened.takes(&request.renewal)
}
