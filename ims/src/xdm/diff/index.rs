//! Who is told of a document: found by its key and by the collections around it, without a look at anybody else.

use super::scope::Scope;
use super::state::Subscription;
use crate::event::subscription::SubscriptionId;
use crate::xdm::DocumentKey;
use std::collections::{BTreeMap, BTreeSet};

type Ids = BTreeSet<SubscriptionId>;

#[derive(Debug, Default)]
pub(super) struct Index {
    documents: BTreeMap<DocumentKey, Ids>,
    scopes: BTreeMap<Scope, Ids>,
    /// By the first identity of whoever subscribed.
    subscribers: BTreeMap<Box<str>, usize>,
}

impl Index {
    pub fn add(&mut self, subscription: &Subscription) {
        let id = subscription.id;
        for key in subscription.keys() {
            if let Some(ids) = self.documents.get_mut(key) {
                ids.insert(id);
            } else {
                self.documents.insert(key.clone(), Ids::from([id]));
            }
        }
        for scope in &subscription.scopes {
            self.scopes.entry(scope.clone()).or_default().insert(id);
        }
        if let Some(first) = subscription.record.subscriber.first() {
            *self.subscribers.entry(first.clone()).or_default() += 1;
        }
    }

    pub fn remove(&mut self, subscription: &Subscription) {
        let id = subscription.id;
        for key in subscription.keys() {
            take(&mut self.documents, key, id);
        }
        for scope in &subscription.scopes {
            take(&mut self.scopes, scope, id);
        }
        let Some(first) = subscription.record.subscriber.first() else {
            return;
        };
        if let Some(held) = self.subscribers.get_mut(first) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.subscribers.remove(first);
            }
        }
    }

    /// Subscriptions of one subscriber.
    pub fn held(&self, subscriber: &str) -> usize {
        self.subscribers.get(subscriber).copied().unwrap_or(0)
    }

    /// Who asked to be told of the document, whether or not it may be read.
    pub fn of(&self, key: &DocumentKey) -> Ids {
        if self.documents.is_empty() && self.scopes.is_empty() {
            return Ids::new();
        }
        let mut found = self.documents.get(key).cloned().unwrap_or_default();
        for scope in Scope::around(key) {
            found.extend(self.scopes.get(&scope).into_iter().flatten());
        }
        found
    }
}

fn take<K: Ord>(map: &mut BTreeMap<K, Ids>, key: &K, id: SubscriptionId) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}
