//! SUBSCRIBE: new subscriptions, refreshes, ends and fetches (RFC 6665 §4.2.1, RFC 3856 §6.6).

use super::package::Package;
use super::state::{Debt, Subscription, SubscriptionRecord};
use super::visit::Visit;
use super::wishes::Wishes;
use super::{Directory, Service, policy};
use crate::event::notice::CSEQ_RANGE;
use crate::event::subscribe::{Accepted, Opened, Opening, Renewal};
use crate::event::subscription::{Input, State, SubscriptionId, begin};
use crate::event::turn::Turn;
use crate::isc::Caller;
use crate::presence::rules::{Decision, Watcher};
use crate::record::Table;
use crate::reject::{Reject, phrase};
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use std::sync::Arc;

/// An initial SUBSCRIBE to a presentity, or to its watchers, that is in order.
#[derive(Debug)]
pub struct Subscribe<'a> {
    pub presentity: Aor,
    /// Request-URI: the `entity` that the watcher will see.
    pub entity: &'a str,
    pub package: Package,
    pub caller: &'a Caller,
    /// Name of the caller as the network asserts it.
    pub display_name: Option<String>,
    pub wishes: Wishes,
    /// A filter document (RFC 4660).
    pub filter: Option<&'a [u8]>,
    /// Its subscriber is the watcher to the policy.
    pub opening: Opening<'a>,
}

/// A SUBSCRIBE in a dialog of ours.
#[derive(Debug)]
pub struct Renew<'a> {
    pub package: Package,
    pub wishes: Wishes,
    /// A filter document (RFC 4660); without one the filters stay.
    pub filter: Option<&'a [u8]>,
    pub renewal: Renewal<'a>,
}

impl Service {
    /// Opens a subscription, or serves a fetch. Every accepted one is answered by a NOTIFY at once.
    pub fn subscribe(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        request: Subscribe<'_>,
    ) -> Result<Accepted, Reject> {
        let lifetime = self.settings.subscription.grant(request.opening.expires)?;
        let (decision, sees_all) = self.decide_new(turn.now, directory, &request);
        let fetch = lifetime == Seconds(0);
        let verdict = policy::input(decision.handling);
        let state = begin(verdict, fetch).ok_or(Reject::Forbidden(match request.package {
            Package::Presence => phrase::NOT_AUTHORIZED,
            Package::Watchers | Package::WatchersOfWatchers => phrase::NOT_AN_OBSERVER,
        }))?;
        self.admits_watcher(&request)?;
        let filters = self.filtered(directory, &request.presentity, None, request.filter)?;
        if matches!(state, State::Pending | State::Waiting) {
            self.make_room(turn, directory, &request.opening.subscriber)?;
        }
        let id = self.new_id(turn, &request.presentity);
        let mut subscription = self.new_subscription(turn.now, id, request, state, lifetime);
        subscription.decision = Some(Arc::new(decision));
        subscription.filters = filters;
        if let Some(observer) = &mut subscription.observer {
            observer.sees_all = sees_all;
        }
        self.insert(subscription);
        let over = matches!(state, State::Terminated(_));
        if !over {
            self.store_subscription(turn, id);
            self.store_wishes(turn, id);
            self.store_filters(turn, id);
            self.schedule_subscription(id);
        }
        self.notify(turn, directory, id);
        if !over {
            self.moved(turn, directory, id, None); // a fetch by somebody allowed is over before anybody is told of it
            self.supersede(turn, directory, id);
        }
        Ok(Accepted {
            id,
            lifetime,
            pending: matches!(state, State::Pending | State::Waiting),
            quiet: false, // RFC 5839 §6.3: never outside a dialog
        })
    }

    fn decide_new(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        request: &Subscribe<'_>,
    ) -> (Decision, bool) {
        let watcher = Watcher {
            identities: &request.opening.subscriber,
            anonymous: request.caller.anonymous,
        };
        let presentity = &request.presentity;
        match request.package {
            Package::Presence => (self.decide(now, directory, presentity, &watcher), false),
            package => self.decide_observer(now, directory, (presentity, package), &watcher),
        }
    }

    /// Whether there is room for one more subscription of this kind to the presentity.
    fn admits_watcher(&self, request: &Subscribe<'_>) -> Result<(), Reject> {
        let held = self.watchers_held(&request.presentity, request.package);
        if held < self.settings.subscriptions_per_presentity {
            Ok(())
        } else {
            // 403 and not 503: the server is not full, and a 503 would turn the S-CSCF away from it
            Err(Reject::Forbidden(phrase::TOO_MANY_WATCHERS))
        }
    }

    /// Takes a subscription in, under its presentity.
    pub(super) fn insert(&mut self, subscription: Subscription) {
        let id = subscription.id;
        self.watching.add(&subscription);
        let entry = self
            .presentities
            .entry(subscription.presentity.clone())
            .or_default();
        match subscription.visit.package {
            Package::Presence => entry.watchers.insert(id),
            Package::Watchers | Package::WatchersOfWatchers => entry.observers.insert(id),
        };
        if subscription.record.state == State::Waiting {
            entry.waiting.insert((subscription.record.expires_at, id));
        }
        self.subscriptions.insert(id, subscription);
    }

    fn new_subscription(
        &self,
        now: Timestamp,
        id: SubscriptionId,
        request: Subscribe<'_>,
        state: State,
        lifetime: Seconds,
    ) -> Subscription {
        let wishes = request.wishes.kept();
        let opening = request.opening;
        let record = SubscriptionRecord {
            presentity: request.presentity.as_str().into(),
            entity: request.entity.into(),
            watcher: opening
                .subscriber
                .iter()
                .map(|aor| aor.as_str().into())
                .collect(),
            asserted: request
                .caller
                .asserted
                .iter()
                .map(|text| text.as_str().into())
                .collect(),
            anonymous: request.caller.anonymous,
            event_id: opening.event_id.map(Into::into),
            state,
            expires_at: now + lifetime,
            renewed_at: now,
            cseq_reserved: CSEQ_RANGE,
            dialog: opening.dialog,
            charging: opening.charging.clone(),
            inside: opening.inside,
        };
        let display_name = request.display_name.filter(|_| !record.anonymous);
        let visit = Visit {
            package: request.package,
            display_name: display_name.map(Into::into),
            ..Visit::of(&record)
        };
        Subscription::new(id, request.presentity, record, visit, wishes)
    }

    /// A number that no subscription has: the presentity's partition above random bits.
    pub(super) fn new_id(&self, turn: &mut Turn<'_>, presentity: &Aor) -> SubscriptionId {
        let is_taken = |id| self.subscriptions.contains_key(&id);
        turn.random.subscription(Some(presentity), is_taken)
    }

    /// A refresh, or the end of a subscription with `Expires: 0`.
    pub fn renew(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        request: Renew<'_>,
    ) -> Result<Accepted, Reject> {
        let id = request.renewal.id;
        let subscription = self.subscriptions.get(&id).ok_or(Reject::NoDialog)?;
        check_renewal(subscription, &request)?;
        let renewal = request.renewal;
        let lifetime = self.settings.subscription.grant(renewal.expires)?;
        if lifetime > Seconds(0) {
            renewal.acceptable?; // RFC 6665 §4.1.2.1: Accept is of each SUBSCRIBE
        }
        let before = subscription.filters.as_deref();
        let filters = self.filtered(directory, &subscription.presentity, before, request.filter)?;
        let subscription = self.subscriptions.get_mut(&id).ok_or(Reject::NoDialog)?;
        subscription
            .record
            .dialog
            .refresh(renewal.request)
            .map_err(|e| Reject::Bad(e.phrase()))?;
        subscription.record.expires_at = turn.now + lifetime;
        subscription.record.cseq_reserved = subscription.record.dialog.local_cseq + CSEQ_RANGE;
        let input = if lifetime == Seconds(0) {
            Input::Unsubscribed
        } else {
            Input::Refreshed
        };
        // after a restart, or when a rule's time is over, the policy speaks first
        let state = |s: &Service| s.subscriptions.get(&id).map(|s| s.record.state);
        let before = state(self);
        if let Some(verdict) = self.verdict(turn.now, directory, id) {
            self.advance(turn, directory, id, policy::input(verdict.handling));
        }
        let decided = state(self);
        self.advance(turn, directory, id, input);
        self.replace_wishes(turn, id, request.wishes);
        if request.filter.is_some() {
            self.replace_filters(turn, id, filters);
        }
        // a change of the subscription that the watcher does not know of is told whatever it has
        let quiet = decided == before && self.has_the_state(turn.now, directory, id);
        if quiet {
            self.pass_over(turn, id);
        } else {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.record.renewed_at = turn.now;
            }
            self.store_subscription(turn, id);
            self.notify(turn, directory, id); // RFC 6665 §4.2.1.2: every SUBSCRIBE that is accepted
        }
        self.schedule_subscription(id);
        Ok(Accepted {
            id,
            lifetime,
            pending: state(self) == Some(State::Pending),
            quiet,
        })
    }

    /// The subscription is over or its policy reaches an instant: looks which, and asks for the next look.
    pub(super) fn look_at_subscription(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.look_at = None;
        let gives_up = subscription.gives_up_at(self.settings.watcher_info.give_up);
        if gives_up.is_some_and(|at| at <= turn.now) {
            return self.end_subscription(turn, directory, id, Input::GaveUp);
        }
        if subscription.record.expires_at <= turn.now {
            return self.end_subscription(turn, directory, id, Input::Expired);
        }
        let policy_moved = subscription
            .decision
            .as_ref()
            .is_some_and(|d| d.until.is_some_and(|until| until <= turn.now));
        if policy_moved {
            self.reconsider_one(turn, directory, id);
        }
        self.schedule_subscription(id);
    }

    pub(super) fn store_subscription(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.stored = true;
        turn.batch.put(
            Table::Subscription,
            &id.0.to_be_bytes(),
            &subscription.record,
        );
    }

    /// The store forgets a subscription that is over.
    pub(super) fn forget_record(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut subscription.stored) {
            let key = id.0.to_be_bytes();
            turn.batch.delete(Table::Subscription, &key);
            turn.batch.delete(Table::Visit, &key);
            if subscription.wishes.is_some() {
                turn.batch.delete(Table::Wishes, &key);
            }
            if subscription.filters.is_some() {
                turn.batch.delete(Table::Filters, &key);
            }
        }
        subscription.debt = Debt::Nothing;
        self.paced.remove(&(subscription.not_before, id));
        self.waits_no_more(turn, id);
        self.cancel_repeat(id);
    }

    /// Forgets a subscription that is over and whose watcher knows it, or is gone.
    pub(super) fn drop_subscription(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        self.forget_record(turn, id);
        let Some(subscription) = self.subscriptions.swap_remove(&id) else {
            return;
        };
        self.watching.remove(&subscription);
        turn.quota.over(id);
        if let Some(entry) = self.presentities.get_mut(&subscription.presentity) {
            entry.watchers.remove(&id);
            entry.waiting.remove(&(subscription.record.expires_at, id));
            if entry.observers.remove(&id) && entry.observers.is_empty() {
                entry.roll.forget(entry.roll.last()); // nobody is left to tell
            }
        }
        self.forget_idle(turn, &subscription.presentity);
    }
}

impl Subscription {
    pub(super) fn new(
        id: SubscriptionId,
        presentity: Aor,
        record: SubscriptionRecord,
        visit: Visit,
        wishes: Option<Box<Wishes>>,
    ) -> Subscription {
        let observes = visit.package != Package::Presence;
        Subscription {
            id,
            presentity,
            record,
            visit,
            observer: observes.then(Box::default),
            rolled: 0,
            wishes,
            filters: None,
            held: None,
            decision: None,
            unanswered: 0,
            debt: Debt::Nothing,
            owed_since: None,
            not_before: Timestamp::default(),
            sent_at: Timestamp::default(),
            waits: false,
            rhythm: None,
            last_told: 0,
            last_whole: None,
            last_body: None,
            look_at: None,
            stored: false,
        }
    }
}

/// RFC 3261 §12.2.2 and RFC 6665 §4.2.1: the request is in this dialog, of this subscription, in order, and not
/// from somebody else.
fn check_renewal(subscription: &Subscription, request: &Renew<'_>) -> Result<(), Reject> {
    let record = &subscription.record;
    if !record.state.is_alive() || subscription.visit.package != request.package {
        return Err(Reject::NoDialog);
    }
    let opened = Opened {
        dialog: &record.dialog,
        event_id: record.event_id.as_deref(),
        identities: &record.watcher,
    };
    opened.takes(&request.renewal)
}

#[cfg(test)]
mod tests {
    use super::super::policy::input;
    use super::*;
    use crate::event::subscription::{End, step};
    use crate::presence::rules::Handling;

    #[test]
    fn a_verdict_that_refuses_never_leaves_a_subscription_active() {
        assert_eq!(
            step(State::Active, input(Handling::Block)).0,
            State::Terminated(End::Rejected)
        );
        assert_eq!(
            step(State::Active, input(Handling::Confirm)).0,
            State::Pending
        );
        assert_eq!(
            step(State::Pending, input(Handling::PoliteBlock)).0,
            State::Active
        );
    }
}
