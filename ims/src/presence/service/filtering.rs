//! Filters of a subscription (RFC 4660 §5): placed and changed by SUBSCRIBE, kept while it lives, applied to what the
//! watcher may see.

use super::gallery::Shown;
use super::state::{Debt, Subscription};
use super::{Directory, Service};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::presence::filter::{Filter, FilterError, FilterText, Filters};
use crate::record::Table;
use crate::reject::Reject;
use crate::sip::Aor;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The event package, as a filter names it.
const PACKAGE: &str = "presence";

/// Filters read before their subscriptions.
#[derive(Debug, Default)]
pub struct RecoveredFilters(BTreeMap<SubscriptionId, Vec<FilterText>>);

impl RecoveredFilters {
    /// Filters from the store; they wait for their subscription.
    pub fn insert(&mut self, key: &[u8], texts: Vec<FilterText>) -> bool {
        let Ok(bytes) = <[u8; 8]>::try_from(key) else {
            return false;
        };
        let id = SubscriptionId(u64::from_be_bytes(bytes));
        self.0.insert(id, texts).is_none()
    }
}

impl Subscription {
    /// The filter that counts for the presentity.
    pub fn filter(&self) -> Option<&Arc<Filter>> {
        self.filters.as_ref().and_then(|filters| filters.active())
    }
}

impl Service {
    /// The filters of a subscription after a SUBSCRIBE with this body: without one they stay as they are
    /// (RFC 4660 §5.2.2).
    pub(super) fn filtered(
        &self,
        directory: &dyn Directory,
        presentity: &Aor,
        before: Option<&Filters>,
        body: Option<&[u8]>,
    ) -> Result<Option<Box<Filters>>, Reject> {
        let before = before.cloned().unwrap_or_default();
        let after = match body {
            Some(body) => before
                .update(body, PACKAGE, &directory.identities(presentity))
                .map_err(|error| match error {
                    FilterError::Malformed(_) => Reject::Bad("Bad Filter"),
                    // RFC 4660 §5.4
                    FilterError::NotAccepted(why) => Reject::NotAcceptableHere { why },
                })?,
            None => before,
        };
        Ok((!after.is_empty()).then(|| Box::new(after)))
    }

    /// A SUBSCRIBE in the dialog changed the filters.
    pub(super) fn replace_filters(
        &mut self,
        turn: &mut Turn<'_>,
        id: SubscriptionId,
        filters: Option<Box<Filters>>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let had = subscription.filters.is_some();
        subscription.filters = filters;
        if subscription.filters.is_some() {
            self.store_filters(turn, id);
        } else if had {
            turn.batch.delete(Table::Filters, &id.0.to_be_bytes());
        }
    }

    /// Writes the filters of a stored subscription, if it has any.
    pub(super) fn store_filters(&self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let subscription = self.subscriptions.get(&id);
        if let Some(filters) = subscription.and_then(|s| s.filters.as_deref()) {
            turn.batch
                .put(Table::Filters, &id.0.to_be_bytes(), &filters.texts());
        }
    }

    /// Everything is read: the words of watchers become filters again. One that means nothing any more, because two
    /// resources turned out to be one, is ignored (RFC 4660 §5.4).
    pub(super) fn recover_filters(
        &mut self,
        directory: &dyn Directory,
        recovered: &mut RecoveredFilters,
    ) {
        for (id, texts) in std::mem::take(&mut recovered.0) {
            let Some(subscription) = self.subscriptions.get_mut(&id) else {
                continue;
            };
            let resource = directory.identities(&subscription.presentity);
            subscription.filters = Filters::from_texts(texts, &resource).ok().map(Box::new);
        }
    }

    /// Whether what is shown is news that the watcher wants: what it was told last is something else, and where it
    /// asked for triggers one of them fires (RFC 4660 §5.3).
    pub(super) fn is_news(&self, id: SubscriptionId, shown: &Shown, debt: Debt) -> bool {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return false;
        };
        let known = subscription.last_told == subscription.mark(shown.tag);
        match debt {
            Debt::Right => return !known, // no trigger holds back what the watcher may see now
            // RFC 6446 §6.2: RFC 5839 lets it be left out
            Debt::Repeat => return subscription.condition().is_none_or(|c| !c.holds(shown.tag)),
            Debt::Whole => return true, // the answer to a SUBSCRIBE
            Debt::Nothing | Debt::State => {}
        }
        let (Some(previous), Some(whole)) = (&subscription.last_whole, &shown.whole) else {
            return !known; // nothing to compare with
        };
        let triggers = subscription.filter().filter(|f| f.has_triggers());
        let wanted = match triggers {
            // a trigger may be about something that the filter does not select
            Some(filter) => !subscription.is_quenched() && filter.fires(previous, whole),
            None => !known,
        };
        let decision = subscription.decision.as_ref();
        wanted
            && decision
                .is_none_or(|decision| decision.notification.fires(previous.bytes(), whole.bytes()))
    }

    /// Triggers begin to count: what the watcher has seen is what they compare with, if that is the present state.
    pub(super) fn remember_whole(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let unknown = |s: &&Subscription| {
            s.record.state == State::Active && s.last_told != 0 && s.last_whole.is_none()
        };
        if self.subscriptions.get(&id).filter(unknown).is_none() {
            return;
        }
        let Some(shown) = self.picture(now, directory, id) else {
            return;
        };
        let seen = |s: &Subscription| s.last_told == s.mark(shown.tag);
        if self.subscriptions.get(&id).is_some_and(seen) {
            self.keep_whole(id, Some(&shown));
        }
    }

    /// Keeps what the watcher has now seen, where triggers will ask for it.
    pub(super) fn keep_whole(&mut self, id: SubscriptionId, shown: Option<&Shown>) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let asked = subscription.filter().is_some_and(|f| f.has_triggers())
            || subscription
                .decision
                .as_ref()
                .is_some_and(|d| d.notification.has_triggers());
        subscription.last_whole = shown.filter(|_| asked).and_then(|s| s.whole.clone());
    }
}
