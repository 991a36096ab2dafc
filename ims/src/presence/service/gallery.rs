//! What watchers are shown: one document for each distinct outcome of the policy, rendered once for all who share it.

use super::state::Presentity;
use super::tag::TagKey;
use super::{Directory, Service};
use crate::event::subscription::SubscriptionId;
use crate::presence::compose::{self, Composed};
use crate::presence::content::{self, Authorized};
use crate::presence::rules::{Decision, Handling, Permissions};
use crate::time::Timestamp;

/// Presentities whose documents are kept rendered while their watchers are told.
const GALLERY: usize = 256;
/// Distinct views kept of one presentity; beyond it they are rendered each time.
const VIEWS: usize = 64;

/// Documents of one presentity as last rendered: one for each distinct outcome of the policy.
#[derive(Debug)]
pub(super) struct Gallery {
    composed: Composed,
    views: Vec<(Handling, Permissions, Box<str>, Shown)>,
}

/// A document that a watcher may see, and its entity-tag.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub document: Authorized,
    pub tag: u64,
}

impl Service {
    /// The document that this watcher may see, from the gallery when it hangs there.
    pub(super) fn render(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Shown> {
        let verdict = self.verdict(now, directory, id)?;
        let subscription = self.subscriptions.get(&id)?;
        let (presentity, entity) = (&subscription.presentity, &subscription.record.entity);
        if self.galleries.len() >= GALLERY && !self.galleries.contains_key(presentity) {
            self.galleries.clear();
        }
        let entry = self.presentities.get(presentity)?;
        let gallery = self
            .galleries
            .entry(presentity.clone())
            .or_insert_with(|| Gallery::of(entry, &self.settings.composition));
        Some(gallery.view(&verdict, entity, &self.tags))
    }
}

impl Gallery {
    fn of(entry: &Presentity, policy: &compose::Policy) -> Gallery {
        Gallery {
            composed: entry.compose(policy),
            views: Vec::new(),
        }
    }

    fn view(&mut self, verdict: &Decision, entity: &str, tags: &TagKey) -> Shown {
        let found = self.views.iter().find(|(h, p, e, _)| {
            *h == verdict.handling && *p == verdict.permissions && **e == *entity
        });
        if let Some((.., shown)) = found {
            return shown.clone();
        }
        let document = match verdict.handling {
            Handling::Allow => content::view(&self.composed, &verdict.permissions, entity),
            _ => content::neutral(entity),
        };
        let shown = Shown {
            tag: tags.of(document.bytes()),
            document,
        };
        if self.views.len() < VIEWS {
            self.views.push((
                verdict.handling,
                verdict.permissions.clone(),
                entity.into(),
                shown.clone(),
            ));
        }
        shown
    }
}
