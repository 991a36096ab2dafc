//! Which subscriptions a watcher has, whatever presentity they are to.

use super::policy::watcher_identities;
use super::state::Subscription;
use crate::event::subscription::SubscriptionId;
use crate::sip::Aor;
use std::collections::BTreeSet;

/// Subscriptions under the asserted identities of their watchers.
#[derive(Debug, Default)]
pub(super) struct Watching(BTreeSet<(Aor, SubscriptionId)>);

impl Watching {
    pub fn add(&mut self, subscription: &Subscription) {
        let identities = watcher_identities(subscription).into_iter();
        self.0
            .extend(identities.map(|identity| (identity, subscription.id)));
    }

    pub fn remove(&mut self, subscription: &Subscription) {
        for identity in watcher_identities(subscription) {
            self.0.remove(&(identity, subscription.id));
        }
    }

    /// The subscriptions of whoever has these names, each once, in their order.
    pub fn of(&self, names: &[Aor]) -> BTreeSet<SubscriptionId> {
        let of_one = |name: &Aor| {
            let first = (name.clone(), SubscriptionId(0));
            let last = (name.clone(), SubscriptionId(u64::MAX));
            self.0.range(first..=last).map(|(_, id)| *id)
        };
        names.iter().flat_map(of_one).collect()
    }
}
