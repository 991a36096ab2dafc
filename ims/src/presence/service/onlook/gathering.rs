//! Virtual subscriptions as one presentity has them.

use crate::event::subscription::SubscriptionId;
use crate::sip::Aor;
use crate::time::Timestamp;
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whom a virtual subscription is to: one value for all who write the URI alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub presentity: Aor,
    /// The URI as the list has it: the `entity` that the watcher sees.
    pub entity: Box<str>,
}

/// Names in the order of their URIs.
#[derive(Debug)]
struct Spelled(Arc<Name>);

impl Borrow<str> for Spelled {
    fn borrow(&self) -> &str {
        &self.0.entity
    }
}

impl PartialEq for Spelled {
    fn eq(&self, other: &Spelled) -> bool {
        self.0.entity == other.0.entity
    }
}

impl Eq for Spelled {}

impl PartialOrd for Spelled {
    fn partial_cmp(&self, other: &Spelled) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Spelled {
    fn cmp(&self, other: &Spelled) -> std::cmp::Ordering {
        self.0.entity.cmp(&other.0.entity)
    }
}

/// The virtual subscriptions to one presentity.
#[derive(Debug, Default)]
pub struct Gathering {
    /// To its presence, those that are over as well: they come to life when its rules let them.
    pub presence: BTreeSet<SubscriptionId>,
    /// To its watcher information.
    pub observers: BTreeSet<SubscriptionId>,
    /// Those to its presence that are active or pending.
    pub alive: usize,
    /// When somebody is asked to look at them; one entry at a time.
    pub look_at: Option<Timestamp>,
    names: BTreeSet<Spelled>,
}

impl Gathering {
    pub fn is_empty(&self) -> bool {
        self.presence.is_empty() && self.observers.is_empty()
    }

    pub fn all(&self) -> Vec<SubscriptionId> {
        self.presence
            .iter()
            .chain(&self.observers)
            .copied()
            .collect()
    }

    /// The name for this URI, shared by all who use it.
    pub fn name(&mut self, presentity: &Aor, entity: &str) -> Arc<Name> {
        if let Some(known) = self.names.get(entity) {
            return known.0.clone();
        }
        let name = Arc::new(Name {
            presentity: presentity.clone(),
            entity: entity.into(),
        });
        self.names.insert(Spelled(name.clone()));
        name
    }

    /// A virtual subscription with this name is gone.
    pub fn release(&mut self, name: Arc<Name>) {
        let last = Arc::strong_count(&name) <= 2; // this one and the one that is kept here
        if last {
            self.names.remove(&*name.entity);
        }
    }
}
