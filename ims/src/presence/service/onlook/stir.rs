//! Changes: which virtual subscriptions have something new to say, and when it may be said.

use super::super::gallery::{Document, Shown};
use super::super::state::Debt;
use super::super::{Directory, Service};
use super::table::{More, Virtual};
use crate::event::onlooker::Member;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::presence::filter::Filter;
use crate::presence::rules::{Decision, Handling};
use crate::presence::service::Package;
use crate::sip::Aor;
use crate::time::{Millis, Timestamp};
use std::sync::Arc;

impl Service {
    /// State of a presentity changed: those virtual subscriptions that show something else are stirred.
    pub(in crate::presence::service) fn stir_all(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let entry = self.presentities.get(presentity);
        let gathering = entry.and_then(|entry| entry.gathering.as_ref());
        let all = gathering.map(|g| g.presence.iter().copied().collect::<Vec<_>>());
        for id in all.unwrap_or_default() {
            self.stir(turn, directory, id, Debt::State);
        }
    }

    /// Names the member as stirred if what it shows is new, now or when pacing and quiet hours allow.
    pub(super) fn stir(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        debt: Debt,
    ) {
        if self.verdict_is_over(turn.now, id) && self.reconsider_member(turn, directory, id) {
            return;
        }
        let Some((_, member)) = self.onlook.get(id) else {
            return;
        };
        if member.state != State::Active || member.queued && member.debt >= debt {
            return; // told nothing, or told when it is taken
        }
        if let Some(until) = self.virtual_waits(turn.now, id, debt) {
            return self.pace_until(id, debt, until);
        }
        if self.is_news_virtual(turn.now, directory, id, debt) {
            self.queue(id, debt);
        }
    }

    /// Names the member, once until its instance is taken.
    pub(super) fn queue(&mut self, id: SubscriptionId, debt: Debt) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        let named = Member {
            list: list.onlooker.list,
            place: member.place,
        };
        let queued = member.queued;
        if let Some(member) = self.onlook.get_mut(id) {
            member.queued = true;
            member.debt = member.debt.max(debt);
        }
        if !queued {
            self.onlook.stirred.push(named);
        }
    }

    /// Until when what is owed has to wait: for the pace, or for the end of quiet hours.
    pub(super) fn virtual_waits(
        &self,
        now: Timestamp,
        id: SubscriptionId,
        debt: Debt,
    ) -> Option<Timestamp> {
        let (_, member) = self.onlook.get(id)?;
        if debt == Debt::Right {
            return None; // what the watcher may see has changed
        }
        let decision = member.decision.as_ref()?;
        let at = member.taken_at + self.pace_of(decision);
        let pace = Some(at).filter(|at| now < *at);
        pace.max(decision.notification.quiet_until(now))
    }

    /// Owes it, and looks again at that instant. Another look may be asked for already: one that is not needed any more
    /// finds nothing to do.
    pub(super) fn pace_until(&mut self, id: SubscriptionId, debt: Debt, until: Timestamp) {
        if let Some(member) = self.onlook.get_mut(id) {
            member.debt = member.debt.max(debt);
            self.onlook.paced.insert((until, id));
        }
    }

    /// Stirs what has waited long enough.
    pub(in crate::presence::service) fn stir_paced(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
    ) {
        while let Some(&(at, id)) = self.onlook.paced.first().filter(|&&(at, _)| at <= turn.now) {
            self.onlook.paced.remove(&(at, id));
            let owed = self.onlook.get_mut(id).filter(|member| !member.queued);
            let debt = owed.map(|member| std::mem::take(&mut member.debt));
            if let Some(debt) = debt.filter(|debt| *debt != Debt::Nothing) {
                self.stir(turn, directory, id, debt);
            }
        }
    }

    /// Shortest time between two notifications of state under this verdict.
    pub(super) fn pace_of(&self, decision: &Decision) -> Millis {
        let interval = self.settings.notify_interval;
        interval.max(decision.notification.interval.into())
    }

    /// What the watcher is shown now, if it is shown anything.
    pub(super) fn shown_virtual(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Shown> {
        let verdict = self.verdict_virtual(now, directory, id)?;
        if !matches!(verdict.handling, Handling::Allow | Handling::PoliteBlock) {
            return None;
        }
        let (list, member) = self.onlook.get(id)?;
        if list.package != Package::Presence {
            return None;
        }
        let filter = list.filters.get(member.filter.into()).cloned();
        let (name, objects) = (member.name.clone(), list.onlooker.takes.objects);
        let whom = (&name.presentity, &*name.entity);
        self.render_for(whom, &verdict, objects, filter.as_ref())
    }

    /// Whether what the member shows is news that its watcher wants, and that the presentity wants told.
    fn is_news_virtual(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
        debt: Debt,
    ) -> bool {
        let Some((list, _)) = self.onlook.get(id) else {
            return false;
        };
        if list.package != Package::Presence {
            return true; // it was found to be when the watcher changed
        }
        let Some(shown) = self.shown_virtual(now, directory, id) else {
            return false;
        };
        self.is_news_to(id, &shown, debt)
    }

    /// The same for what is shown already.
    pub(super) fn is_news_to(&self, id: SubscriptionId, shown: &Shown, debt: Debt) -> bool {
        let Some((list, member)) = self.onlook.get(id) else {
            return false;
        };
        let known = member.told == shown.tag;
        if debt == Debt::Right {
            return !known; // no trigger holds back what the watcher may see now
        }
        let previous = member.more.as_ref().and_then(|more| more.whole.as_ref());
        let (Some(previous), Some(whole)) = (previous, &shown.whole) else {
            return !known; // nothing to compare with
        };
        let wanted = match triggers(list.filters.get(member.filter.into())) {
            // a trigger may be about something that the filter does not select
            Some(filter) => filter.fires(previous, whole),
            None => !known,
        };
        let decision = member.decision.as_ref();
        wanted && decision.is_none_or(|d| d.notification.fires(previous.bytes(), whole.bytes()))
    }

    /// Keeps what the watcher has now seen, where triggers will ask for it.
    pub(super) fn keep_whole_virtual(&mut self, id: SubscriptionId, shown: &Shown) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        let asked = triggers(list.filters.get(member.filter.into())).is_some()
            || member
                .decision
                .as_ref()
                .is_some_and(|d| d.notification.has_triggers());
        if let Some(member) = self.onlook.get_mut(id) {
            let whole = shown.whole.clone().filter(|_| asked);
            if whole.is_some() || member.more.is_some() {
                member.more().whole = whole;
            }
        }
    }

    /// Triggers begin to count: they compare with what was taken last, if that is the present state.
    pub(super) fn remember_whole_virtual(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let Some((_, member)) = self.onlook.get(id) else {
            return;
        };
        let told = member.told;
        let known = member
            .more
            .as_ref()
            .is_some_and(|more| more.whole.is_some());
        if told == 0 || known {
            return;
        }
        match self.shown_virtual(now, directory, id) {
            Some(shown) if shown.tag == told => self.keep_whole_virtual(id, &shown),
            _ => {}
        }
    }

    /// Works out what members showed before the first change since a restart, see `remember_views`.
    pub(in crate::presence::service) fn remember_views_virtual(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        for id in self.gathered_at(presentity) {
            let knows_nothing =
                |m: &Virtual| m.state == State::Active && m.told == 0 && m.debt == Debt::Nothing;
            let asks = self
                .onlook
                .get(id)
                .is_some_and(|(_, member)| knows_nothing(member));
            let shown = asks
                .then(|| self.shown_virtual(now, directory, id))
                .flatten();
            if let Some(shown) = shown {
                self.keep_whole_virtual(id, &shown);
                if let Some(member) = self.onlook.get_mut(id) {
                    member.told = shown.tag;
                }
            }
        }
    }
}

impl Virtual {
    /// What only some need, from now on kept for this one.
    pub fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }
}

fn triggers(filter: Option<&Arc<Filter>>) -> Option<&Arc<Filter>> {
    filter.filter(|filter| filter.has_triggers())
}

impl Shown {
    /// The state of a presentity in it.
    pub(super) fn state(&self) -> Option<&crate::presence::content::Authorized> {
        match &self.document {
            Document::State(state) => Some(state),
            Document::Watchers(_) => None,
        }
    }
}
