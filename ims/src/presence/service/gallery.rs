//! What watchers are shown: one document for each distinct outcome of the policy, rendered once for all who share it.

use super::state::{Debt, Presentity};
use super::{Directory, Service};
use crate::event::subscription::SubscriptionId;
use crate::event::tag::TagKey;
use crate::event::watcherinfo::{self, Extent};
use crate::presence::compose::{self, Composed};
use crate::presence::content::{self, Authorized, Body};
use crate::presence::filter::Filter;
use crate::presence::partial::{self, Difference};
use crate::presence::rules::{Decision, Handling, Permissions};
use crate::sip::Aor;
use crate::sip::coding::Coding;
use crate::time::Timestamp;
use std::sync::Arc;

/// Presentities whose documents are kept rendered while their watchers are told.
const GALLERY: usize = 256;
/// Distinct views kept of one presentity; beyond it they are rendered each time.
const VIEWS: usize = 64;

/// Documents of one presentity as last rendered: one for each distinct outcome of the policy.
#[derive(Debug)]
pub(super) struct Gallery {
    composed: Composed,
    views: Vec<(Handling, Permissions, Box<str>, Shown)>,
    /// What filters leave of a view, under its tag.
    filtered: Vec<(u64, Arc<Filter>, Shown)>,
    /// Bodies in a coding, under the tag of what is in them.
    coded: Vec<(u64, Coding, Body)>,
    /// Whole partial documents, under the tag of what is in them.
    wholes: Vec<(u64, partial::Body)>,
    /// From a document that was shown before to one shown now, under their tags.
    differences: Vec<(u64, u64, Difference)>,
}

/// A document that a watcher may see and wants, and its entity-tag.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub document: Document,
    pub tag: u64,
    /// All that the watcher may see of the state: the same, before its filter.
    pub whole: Option<Authorized>,
}

/// What the body of a NOTIFY tells.
#[derive(Clone, Debug)]
pub(super) enum Document {
    /// The presentity's state.
    State(Authorized),
    /// Who watches it, as far as the observer may know.
    Watchers(watcherinfo::Document),
}

impl Shown {
    /// The same for a watcher that takes no objects: what they are makes no difference to it, nor to its tag.
    fn without_objects(self, tags: &TagKey) -> Shown {
        match self.document {
            Document::State(state) if !state.objects().is_empty() => {
                let state = state.without_objects();
                Shown {
                    tag: tags.of_document(&state),
                    document: Document::State(state),
                    whole: self.whole.map(|whole| whole.without_objects()),
                }
            }
            _ => self,
        }
    }
}

impl Service {
    /// What a watcher that is told now is told: all that it may see.
    pub(super) fn picture(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Shown> {
        let subscription = self.subscriptions.get(&id)?;
        if subscription.observer.is_some() {
            self.watchers_shown(now, id, Extent::Full)
        } else {
            self.render(now, directory, id)
        }
    }

    /// What a watcher is told of a change; `None` when it can see none.
    pub(super) fn news_for(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
        debt: Debt,
    ) -> Option<Shown> {
        if self.subscriptions.get(&id)?.observer.is_some() {
            let extent = match debt {
                Debt::Repeat => Extent::Full,
                Debt::Nothing | Debt::State | Debt::Right | Debt::Whole => Extent::Partial,
            };
            return self.watchers_shown(now, id, extent);
        }
        let shown = self.render(now, directory, id)?;
        self.is_news(id, &shown, debt).then_some(shown)
    }

    /// The document that this watcher may see, from the gallery when it hangs there.
    fn render(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Shown> {
        let verdict = self.verdict(now, directory, id)?;
        let subscription = self.subscriptions.get(&id)?;
        let takes_objects = subscription.wishes.as_ref().is_some_and(|w| w.objects);
        let filter = subscription.filter().cloned();
        let (presentity, entity) = (
            subscription.presentity.clone(),
            subscription.record.entity.clone(),
        );
        let whom = (&presentity, &*entity);
        self.render_for(whom, &verdict, takes_objects, filter.as_ref())
    }

    /// The document of a presentity for a watcher under this verdict, who wrote its URI so.
    pub(super) fn render_for(
        &mut self,
        (presentity, entity): (&Aor, &str),
        verdict: &Decision,
        takes_objects: bool,
        filter: Option<&Arc<Filter>>,
    ) -> Option<Shown> {
        if self.galleries.len() >= GALLERY && !self.galleries.contains_key(presentity) {
            self.galleries.clear();
        }
        let entry = self.presentities.get(presentity)?;
        let gallery = self
            .galleries
            .entry(presentity.clone())
            .or_insert_with(|| Gallery::of(entry, &self.settings.composition, &self.tags));
        let (shown, rendered) = gallery.view(verdict, entity, &self.tags);
        self.rendered += u64::from(rendered);
        let shown = if takes_objects {
            shown
        } else {
            shown.without_objects(&self.tags)
        };
        match filter.filter(|filter| filter.selects()) {
            Some(filter) => Some(gallery.filtered(shown, filter, &self.tags)),
            None => Some(shown),
        }
    }

    /// A body in the coding that the watcher takes, if it is large enough for one.
    pub(super) fn in_coding(&mut self, id: SubscriptionId, body: Body) -> Body {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return body;
        };
        let coding = subscription.wishes.as_ref().and_then(|w| w.coding);
        let Some(coding) = coding.filter(|_| body.bytes().len() > self.settings.compress_above)
        else {
            return body;
        };
        let hangs = subscription.observer.is_none(); // each observer has documents of its own
        match self.galleries.get_mut(&subscription.presentity) {
            Some(gallery) if hangs => gallery.coded(self.tags.of(body.bytes()), coding, &body),
            _ => body.coded(coding),
        }
    }
}

impl Gallery {
    fn of(entry: &Presentity, policy: &compose::Policy, tags: &TagKey) -> Gallery {
        Gallery {
            composed: entry.compose(policy, tags),
            views: Vec::new(),
            filtered: Vec::new(),
            coded: Vec::new(),
            wholes: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// A body in a coding, made once for all who take it.
    fn coded(&mut self, tag: u64, coding: Coding, body: &Body) -> Body {
        let same = |(t, c, _): &&(u64, Coding, Body)| *t == tag && *c == coding;
        if let Some((.., coded)) = self.coded.iter().find(same) {
            return coded.clone();
        }
        let coded = body.coded(coding);
        if self.coded.len() < VIEWS {
            self.coded.push((tag, coding, coded.clone()));
        }
        coded
    }

    /// What a filter leaves of a view, worked out once for all whose filter selects the same.
    fn filtered(&mut self, shown: Shown, filter: &Arc<Filter>, tags: &TagKey) -> Shown {
        let same = |(tag, other, _): &&(u64, Arc<Filter>, Shown)| {
            *tag == shown.tag && (Arc::ptr_eq(other, filter) || other.selects_like(filter))
        };
        if let Some((.., found)) = self.filtered.iter().find(same) {
            return found.clone();
        }
        let Document::State(state) = &shown.document else {
            return shown; // a filter selects from the presentity's state
        };
        let document = filter.apply(state);
        let filtered = Shown {
            tag: tags.of_document(&document),
            document: Document::State(document),
            whole: shown.whole,
        };
        if self.filtered.len() < VIEWS {
            let of = (shown.tag, filter.clone(), filtered.clone());
            self.filtered.push(of);
        }
        filtered
    }

    /// The whole document for those who take partial ones.
    pub(super) fn whole(&mut self, tag: u64, document: &Authorized) -> partial::Body {
        if let Some((_, whole)) = self.wholes.iter().find(|(known, _)| *known == tag) {
            return whole.clone();
        }
        let whole = partial::full(document);
        if self.wholes.len() < VIEWS {
            self.wholes.push((tag, whole.clone()));
        }
        whole
    }

    /// What brings a watcher from one document to another, made once for all who make this step.
    pub(super) fn difference(
        &mut self,
        old: &Authorized,
        (to, document): (u64, &Authorized),
        tags: &TagKey,
    ) -> Difference {
        let from = tags.of(old.bytes());
        let same = |(f, t, _): &&(u64, u64, Difference)| (*f, *t) == (from, to);
        if let Some((.., difference)) = self.differences.iter().find(same) {
            return difference.clone();
        }
        let difference = partial::difference(old, document);
        if self.differences.len() < VIEWS {
            self.differences.push((from, to, difference.clone()));
        }
        difference
    }

    /// The document of that outcome, and whether it had to be rendered.
    fn view(&mut self, verdict: &Decision, entity: &str, tags: &TagKey) -> (Shown, bool) {
        let found = self.views.iter().find(|(h, p, e, _)| {
            *h == verdict.handling && *p == verdict.permissions && **e == *entity
        });
        if let Some((.., shown)) = found {
            return (shown.clone(), false);
        }
        let document = match verdict.handling {
            Handling::Allow => content::view(&self.composed, &verdict.permissions, entity),
            _ => content::neutral(entity),
        };
        let shown = Shown {
            tag: tags.of_document(&document),
            whole: Some(document.clone()),
            document: Document::State(document),
        };
        if self.views.len() < VIEWS {
            self.views.push((
                verdict.handling,
                verdict.permissions.clone(),
                entity.into(),
                shown.clone(),
            ));
        }
        (shown, true)
    }
}
