//! Partial notification (RFC 5263): what a watcher of partial documents holds, and what brings it further.

use super::Service;
use super::gallery::{Document, Gallery, Shown};
use super::state::{Debt, Subscription};
use crate::event::subscription::SubscriptionId;
use crate::event::tag::TagKey;
use crate::presence::content::{Authorized, Body};
use crate::presence::partial::{self, Difference};

/// A watcher's copy, as far as this side knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Version last sent. It counts every partial document, also one whose NOTIFY failed: a watcher that took it all
    /// the same would throw away another document of the same version (RFC 5263 §4.5).
    version: u32,
    /// The document of that version; none before the first, after a failed NOTIFY and after a restart, so that the
    /// next one is whole.
    document: Option<Authorized>,
}

impl Held {
    /// Nothing sent yet, and versions up to this one may have been given.
    pub fn after(version: u32) -> Held {
        Held {
            version,
            document: None,
        }
    }

    /// What the watcher holds is not known any more.
    pub(super) fn forget(&mut self) {
        self.document = None;
    }

    /// The next document; `None` where it would say nothing.
    pub(super) fn next(
        &mut self,
        mut gallery: Option<&mut Gallery>,
        tags: &TagKey,
        (tag, state): (u64, &Authorized),
        form: Form,
    ) -> Option<Body> {
        // other objects come with the whole document; while they stay the same, changes come alone
        let same_objects = |old: &&Authorized| old.objects() == state.objects();
        let old = self.document.as_ref().filter(|_| form == Form::Change);
        let old = old.filter(same_objects);
        let with_objects = old.is_none();
        let difference = match (old, &mut gallery) {
            (None, _) => Difference::Whole,
            (Some(old), Some(gallery)) => gallery.difference(old, (tag, state), tags),
            (Some(old), None) => partial::difference(old, state),
        };
        let document = match (difference, gallery) {
            (Difference::Nothing, _) => return None,
            (Difference::Patch(patch), _) => patch,
            (Difference::Whole, Some(gallery)) => gallery.whole(tag, state),
            (Difference::Whole, None) => partial::full(state),
        };
        self.version += 1;
        self.document = Some(state.clone());
        let body = Body::partial(&document, self.version);
        let objects = state.objects().iter().filter(|_| with_objects);
        Some(body.with(&objects.cloned().collect::<Vec<_>>()))
    }
}

/// Which form a partial notification has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The whole document: the answer to a SUBSCRIBE, or a change of the subscription (RFC 5263 §4.4).
    Whole,
    /// What has changed.
    Change,
}

impl Subscription {
    /// The last SUBSCRIBE asks for partial documents.
    pub(super) fn takes_partial(&self) -> bool {
        self.wishes.as_ref().is_some_and(|w| w.partial)
    }

    /// RFC 5263 §4.4: no partial notification before the final response to the one before it.
    pub(super) fn must_wait(&self) -> bool {
        self.unanswered > 0 && self.takes_partial()
    }

    /// The watcher did not take the last NOTIFY: what it holds is not known.
    pub(super) fn lost_track(&mut self) {
        if let Some(held) = &mut self.held {
            held.forget();
        }
    }
}

impl Service {
    /// In which form news is told: a change, but the whole where the watcher is told although nothing changed.
    pub(super) fn form_of(&self, id: SubscriptionId, shown: &Shown, debt: Debt) -> Form {
        let is_same = |s: &Subscription| s.last_told == s.mark(shown.tag);
        match debt {
            Debt::Repeat | Debt::Whole => Form::Whole,
            _ if self.subscriptions.get(&id).is_some_and(is_same) => Form::Whole,
            Debt::Nothing | Debt::State | Debt::Right => Form::Change,
        }
    }

    /// What is shown as the body of a NOTIFY, in the form that this watcher takes. `None` where a watcher of partial
    /// documents holds a document that says the same.
    pub(super) fn body(&mut self, id: SubscriptionId, shown: &Shown, form: Form) -> Option<Body> {
        let subscription = self.subscriptions.get(&id)?;
        let body = match &shown.document {
            Document::Watchers(watchers) => Body::watchers(watchers),
            Document::State(state) if subscription.takes_partial() => {
                self.partial_body(id, (shown.tag, state), form)?
            }
            Document::State(state) => Body::full(state),
        };
        Some(self.in_coding(id, body))
    }

    /// The next partial document of a watcher; `None` where it would say nothing.
    fn partial_body(
        &mut self,
        id: SubscriptionId,
        state: (u64, &Authorized),
        form: Form,
    ) -> Option<Body> {
        let subscription = self.subscriptions.get_mut(&id)?;
        let held = subscription.held.get_or_insert(Held::after(0).into());
        let gallery = self.galleries.get_mut(&subscription.presentity);
        held.next(gallery, &self.tags, state, form)
    }
}
