//! Subscriptions that ended before anybody decided on them (RFC 3857 §4.7.1): kept for the presentity, in bounds.

use super::package::Package;
use super::policy::watcher_identities;
use super::state::Subscription;
use super::{Directory, Service};
use crate::event::subscription::{Input, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::reject::{Reject, phrase};
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use std::collections::BTreeSet;

/// What a watcher asks the presentity to decide on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undecided<'a> {
    /// As the core asserted it.
    pub watcher: &'a [Aor],
    pub presentity: &'a Aor,
    pub package: Package,
    pub anonymous: bool,
    pub event_id: Option<&'a str>,
    /// The subscription by which it asks; none for a member of a list.
    pub by: Option<SubscriptionId>,
}

impl Service {
    /// Keeps the queue of those who wait for a presentity true to the state of a subscription.
    pub(super) fn note_waiting(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if let Some(entry) = self.presentities.get_mut(&subscription.presentity) {
            let place = (subscription.record.expires_at, id);
            if subscription.record.state == State::Waiting {
                entry.waiting.insert(place);
            } else {
                entry.waiting.remove(&place);
            }
        }
    }

    /// A subscription begins to wait: until when, and which other makes room for it.
    pub(super) fn keep_waiting(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let settings = &self.settings.watcher_info;
        let (give_up, most) = (settings.give_up, settings.waiting_per_presentity);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let before = (subscription.record.expires_at, id);
        subscription.record.expires_at = turn.now + give_up;
        subscription.record.renewed_at = turn.now; // a restart owes the watcher the end of it
        let presentity = subscription.presentity.clone();
        if let Some(entry) = self.presentities.get_mut(&presentity) {
            entry.waiting.remove(&before);
        }
        self.note_waiting(id);
        self.store_subscription(turn, id);
        self.schedule_subscription(id);
        while let Some(oldest) = self.presentities.get(&presentity).and_then(|entry| {
            let full = entry.waiting.len() > most;
            let others = || entry.waiting.iter().map(|&(_, id)| id).find(|o| *o != id);
            full.then(others).flatten()
        }) {
            self.advance(turn, directory, oldest, Input::GaveUp);
        }
    }

    /// A watcher came again: what waited for the same decision is superseded (RFC 3857 §4.7.1).
    pub(super) fn supersede(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        by: SubscriptionId,
    ) {
        let Some(new) = self.subscriptions.get(&by) else {
            return;
        };
        let (watcher, presentity) = (watcher_identities(new), new.presentity.clone());
        let (package, anonymous) = (new.visit.package, new.record.anonymous);
        let event_id = new.record.event_id.clone();
        let same = Undecided {
            watcher: &watcher,
            presentity: &presentity,
            package,
            anonymous,
            event_id: event_id.as_deref(),
            by: Some(by),
        };
        self.supersede_all(turn, directory, &same);
    }

    /// All that wait for this decision give up.
    pub(super) fn supersede_all(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        new: &Undecided<'_>,
    ) {
        let same = |old: &Subscription| {
            old.record.state == State::Waiting
                && Some(old.id) != new.by
                && old.visit.package == new.package
                && old.presentity == *new.presentity
                && old.record.anonymous == new.anonymous
                && old.record.event_id.as_deref() == new.event_id
        };
        let all = self.undecided_of(new.watcher);
        let over: Vec<SubscriptionId> = all
            .into_iter()
            .filter(|id| self.subscriptions.get(id).is_some_and(same))
            .collect();
        for id in over {
            self.advance(turn, directory, id, Input::GaveUp);
        }
    }

    /// Makes room for one more undecided subscription of a watcher: its oldest that waits gives up. RFC 3857 §4.7.1
    /// wants the number bounded, since all of it is state that nobody has allowed.
    pub(super) fn make_room(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        watcher: &[Aor],
    ) -> Result<(), Reject> {
        let all = self.undecided_of(watcher);
        let undecided = all.len() + self.undecided_members(watcher);
        if undecided < self.settings.watcher_info.waiting_per_watcher {
            return Ok(());
        }
        let waiting = all.iter().filter_map(|id| {
            let subscription = self.subscriptions.get(id)?;
            (subscription.record.state == State::Waiting).then_some((subscription.visit.since, *id))
        });
        let (_, oldest) = waiting
            .min()
            .ok_or(Reject::Forbidden(phrase::TOO_MANY_PENDING))?;
        self.advance(turn, directory, oldest, Input::GaveUp);
        Ok(())
    }

    /// The subscriptions of a watcher that nobody has decided on.
    fn undecided_of(&self, watcher: &[Aor]) -> BTreeSet<SubscriptionId> {
        let mut all = self.watching.of(watcher);
        all.retain(|id| {
            self.subscriptions
                .get(id)
                .is_some_and(|s| matches!(s.record.state, State::Pending | State::Waiting))
        });
        all
    }
}

impl Subscription {
    /// When nobody will have decided for too long (RFC 3857 §4.7.1: the timer starts anew in `waiting`).
    pub(super) fn gives_up_at(&self, give_up: Seconds) -> Option<Timestamp> {
        match self.record.state {
            State::Waiting => Some(self.record.expires_at),
            State::Pending => Some(self.visit.changed_at + give_up),
            State::Active | State::Terminated(_) => None,
        }
    }
}
