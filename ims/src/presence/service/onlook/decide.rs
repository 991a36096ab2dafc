//! The presentity's policy applied to virtual subscriptions, as it is to those with a dialog.

use super::super::policy::input;
use super::super::state::Debt;
use super::super::{Directory, Look, Reach, Service};
use crate::event::subscription::{Input, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::presence::rules::{Decision, Reason, Watcher};
use crate::presence::service::Package;
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Service {
    /// The verdict on a virtual subscription, from memory while what it rests on stays.
    pub(super) fn verdict_virtual(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Arc<Decision>> {
        let (list, member) = self.onlook.get(id)?;
        if let Some(decision) = member.decision.as_ref().filter(|d| holds(d, now)) {
            return Some(decision.clone());
        }
        let (package, name) = (list.package, member.name.clone());
        let anonymous = list.onlooker.anonymous;
        let decision = match package {
            Package::Presence => {
                let watcher = Watcher {
                    identities: &list.known_as.clone(),
                    anonymous,
                };
                self.decide_known(now, directory, &name.presentity, &watcher)
            }
            Package::Watchers | Package::WatchersOfWatchers => {
                let watcher = Watcher {
                    identities: &list.asserted.clone(),
                    anonymous,
                };
                let subject = (&name.presentity, package);
                self.decide_observer(now, directory, subject, &watcher).0
            }
        };
        let decision = self.onlook.shared(decision);
        self.onlook.get_mut(id)?.decision = Some(decision.clone());
        Some(decision)
    }

    /// Applies the policy again to every virtual subscription of the presentity.
    pub(in crate::presence::service) fn reconsider_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        for id in self.gathered_at(presentity) {
            self.reconsider_member(turn, directory, id);
        }
    }

    /// The virtual subscriptions to a presentity, of all packages.
    pub(super) fn gathered_at(&self, presentity: &Aor) -> Vec<SubscriptionId> {
        let entry = self.presentities.get(presentity);
        let gathering = entry.and_then(|entry| entry.gathering.as_ref());
        gathering.map(|g| g.all()).unwrap_or_default()
    }

    /// Applies the policy again to one. `true`: it is in another state, and the list knows.
    pub(super) fn reconsider_member(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> bool {
        let Some(member) = self.onlook.get_mut(id) else {
            return false;
        };
        if member.state == State::Terminated(crate::event::subscription::End::NoResource) {
            return false; // there is nobody yet whose policy it would be
        }
        let (was, before) = (member.state, member.decision.take());
        let Some(decision) = self.verdict_virtual(turn.now, directory, id) else {
            return false;
        };
        self.schedule_gathering(turn.now, id);
        self.advance_virtual(turn, directory, id, input(decision.handling));
        let state = self.onlook.get(id).map(|(_, member)| member.state);
        if state != Some(was) {
            return true;
        }
        match before {
            None => self.stir(turn, directory, id, Debt::State),
            Some(before) if Arc::ptr_eq(&before, &decision) => {}
            Some(before) => self.follow_virtual(turn, directory, id, (&before, &decision)),
        }
        false
    }

    /// What another verdict on a virtual subscription brings at once.
    fn follow_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        (before, decision): (&Decision, &Decision),
    ) {
        let notified_alike = before.notification == decision.notification;
        if !notified_alike {
            self.remember_whole_virtual(turn.now, directory, id);
        }
        let observes = self
            .onlook
            .get(id)
            .is_some_and(|(list, _)| list.package != Package::Presence);
        if before.handling != decision.handling
            || before.permissions != decision.permissions
            || observes && sees_all(before) != sees_all(decision)
        {
            self.stir(turn, directory, id, Debt::Right);
        } else if !notified_alike {
            self.stir(turn, directory, id, Debt::State); // what the old rules held back
        }
    }

    /// A watcher gained or lost an identity, by which rules or lists may know it.
    pub(in crate::presence::service) fn onlooker_renamed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        watcher: &Aor,
    ) {
        let lists = self.onlook.of_watcher(&directory.names(watcher));
        for number in &lists {
            if let Some(list) = self.onlook.lists.get_mut(number) {
                list.known_as = super::super::policy::known_as(directory, &list.asserted).into();
            }
        }
        for id in self.onlook.members_of(lists) {
            self.reconsider_member(turn, directory, id);
        }
    }

    /// Virtual subscriptions within reach of a decision of the operator.
    pub(in crate::presence::service) fn imposed_on_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        reach: Reach<'_>,
    ) {
        let within = match reach {
            Reach::Presentity(presentity) => self.gathered_at(presentity),
            Reach::Watcher(watcher) => {
                let lists = self.onlook.of_watcher(&directory.names(watcher));
                self.onlook.members_of(lists)
            }
            Reach::Everybody => {
                let lists: Vec<u32> = self.onlook.lists.keys().copied().collect();
                self.onlook.members_of(lists)
            }
        };
        let name = |id: &SubscriptionId| {
            let (_, member) = self.onlook.get(*id)?;
            Some(member.name.presentity.clone())
        };
        let presentities: BTreeSet<Aor> = within.iter().filter_map(name).collect();
        for presentity in &presentities {
            self.touch(turn, presentity);
        }
        for id in within {
            self.reconsider_member(turn, directory, id);
        }
    }

    /// Asks for a look at the virtual subscriptions of a presentity when the policy on this one may say something else,
    /// or nobody will have decided on it for too long.
    pub(super) fn schedule_gathering(&mut self, now: Timestamp, id: SubscriptionId) {
        let give_up = self.settings.watcher_info.give_up;
        let Some((_, member)) = self.onlook.get(id) else {
            return;
        };
        let policy = member.decision.as_ref().and_then(|d| d.until);
        let gives_up = (member.state == State::Pending).then(|| member.changed_at + give_up);
        let Some(at) = [policy, gives_up].into_iter().flatten().min() else {
            return;
        };
        let name = member.name.clone();
        let entry = self.presentities.get_mut(&name.presentity);
        let gathering = entry.and_then(|entry| entry.gathering.as_mut());
        if let Some(gathering) = gathering
            && gathering.look_at.is_none_or(|scheduled| at < scheduled)
        {
            gathering.look_at = Some(at);
            self.looks
                .at(at.max(now), Look::Gathering(name.presentity.clone()));
        }
    }

    /// The instant has come: who waited too long gives up, and whose policy has reached an edge is decided on.
    pub(in crate::presence::service) fn look_at_gathering(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let entry = self.presentities.get_mut(presentity);
        let Some(gathering) = entry.and_then(|entry| entry.gathering.as_mut()) else {
            return;
        };
        if gathering.look_at.is_some_and(|at| at > turn.now) {
            return; // an entry of a gathering that has come anew since
        }
        gathering.look_at = None;
        let give_up = self.settings.watcher_info.give_up;
        for id in self.gathered_at(presentity) {
            let Some((_, member)) = self.onlook.get(id) else {
                continue;
            };
            let gives_up =
                member.state == State::Pending && waited(member.changed_at, turn.now) >= give_up;
            let due = member.decision.as_ref().is_none_or(|d| !holds(d, turn.now));
            if gives_up {
                self.advance_virtual(turn, directory, id, Input::GaveUp);
            } else if due {
                self.reconsider_member(turn, directory, id);
            }
            self.schedule_gathering(turn.now, id);
        }
    }

    /// Whether the verdict must be made anew, because its time is over.
    pub(super) fn verdict_is_over(&self, now: Timestamp, id: SubscriptionId) -> bool {
        self.onlook.get(id).is_some_and(|(_, member)| {
            let decision = member.decision.as_ref();
            decision.is_none_or(|decision| !holds(decision, now))
        })
    }
}

fn holds(decision: &Decision, now: Timestamp) -> bool {
    decision.until.is_none_or(|until| now < until)
}

fn waited(since: Timestamp, now: Timestamp) -> Seconds {
    Seconds(u32::try_from(now.since(since).0 / 1000).unwrap_or(u32::MAX))
}

/// Whether an observer sees every watcher, and not only itself.
pub(super) fn sees_all(decision: &Decision) -> bool {
    matches!(decision.reason, Reason::Own | Reason::Administrator)
}
