//! The presentity's policy applied to its watchers, at a SUBSCRIBE and whenever what it rests on changes.

use super::package::Package;
use super::state::{Presentity, Subscription};
use super::{Directory, Service};
use crate::event::subscription::{Input, Owed, SubscriptionId};
use crate::event::turn::Turn;
use crate::presence::rules::{self, Context, Decision, Handling, Ruleset, Watcher};
use crate::sip::Aor;
use crate::time::Timestamp;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most lists, and entries of lists, that one decision follows: some milliseconds.
pub const MOST_LISTS: usize = 4_096;

/// How far a decision of the operator reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// All watchers of one presentity.
    Presentity(&'a Aor),
    /// One watcher of all presentities.
    Watcher(&'a Aor),
    Everybody,
}

impl Service {
    /// The verdict of the presentity's policy on a watcher, now.
    pub(super) fn decide(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        presentity: &Aor,
        watcher: &Watcher<'_>,
    ) -> Decision {
        let watcher = Watcher {
            identities: &known_as(directory, watcher.identities),
            ..*watcher
        };
        self.decide_known(now, directory, presentity, &watcher)
    }

    /// The same for a watcher all of whose names are known.
    pub(super) fn decide_known(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        presentity: &Aor,
        watcher: &Watcher<'_>,
    ) -> Decision {
        let rulesets = self.rulesets(directory, presentity);
        let identities = directory.identities(presentity);
        let sphere = self.sphere(presentity, &rulesets);
        let left = Cell::new(MOST_LISTS);
        directory.take_stalled();
        let context = Context {
            now,
            presentity: &identities,
            sphere: sphere.as_deref(),
            default: self.settings.default_handling,
            anonymous: None,
            // privacy hides the watcher from the presentity, and not from the operator
            imposed: directory.imposed(&identities, watcher.identities),
            external_list: &|anchor, watcher| directory.in_list(presentity, anchor, watcher, &left),
        };
        let all: Vec<&Ruleset> = rulesets.iter().map(|rules| &**rules).collect();
        let decision = rules::decide(&all, watcher, &context);
        // a list that would let the watcher in is on its way: a rejection could not be taken back
        let waits = decision.handling == Handling::Block && decision.unresolved;
        if waits && directory.take_stalled() {
            return Decision {
                handling: Handling::Confirm,
                ..decision
            };
        }
        decision
    }

    /// Whether somebody of these identities is allowed to see presence of the presentity now.
    pub fn shows(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        presentity: &Aor,
        identities: &[Aor],
    ) -> bool {
        let watcher = Watcher {
            identities,
            anonymous: false,
        };
        let decision = self.decide(now, directory, presentity, &watcher);
        decision.handling == Handling::Allow
    }

    /// The published sphere, composed only when a rule asks for it.
    fn sphere(&self, presentity: &Aor, rulesets: &[Arc<Ruleset>]) -> Option<String> {
        let entry = self
            .presentities
            .get(presentity)
            .filter(|_| rulesets.iter().any(|rules| rules.depends_on_sphere()))?;
        let composed = entry.compose(&self.settings.composition, &self.tags);
        composed.sphere().map(str::to_owned)
    }

    pub(super) fn rulesets(
        &mut self,
        directory: &dyn Directory,
        presentity: &Aor,
    ) -> Arc<[Arc<Ruleset>]> {
        if let Some(known) = self
            .presentities
            .get(presentity)
            .and_then(|p| p.rulesets.clone())
        {
            return known;
        }
        let rulesets = directory.rulesets(presentity);
        if let Some(entry) = self.presentities.get_mut(presentity) {
            entry.rulesets = Some(rulesets.clone());
        }
        rulesets
    }

    /// The verdict on a live subscription, from memory when nothing it rests on has changed.
    pub(super) fn verdict(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Arc<Decision>> {
        let subscription = self.subscriptions.get(&id)?;
        if let Some(decision) = subscription
            .decision
            .as_ref()
            .filter(|d| d.until.is_none_or(|until| now < until))
        {
            return Some(decision.clone());
        }
        let (identities, presentity) = (
            watcher_identities(subscription),
            subscription.presentity.clone(),
        );
        let watcher = Watcher {
            identities: &identities,
            anonymous: subscription.record.anonymous,
        };
        let package = subscription.visit.package;
        let decision = if package == Package::Presence {
            Arc::new(self.decide(now, directory, &presentity, &watcher))
        } else {
            let (decision, sees_all) =
                self.decide_observer(now, directory, (&presentity, package), &watcher);
            self.let_observe(id, sees_all);
            Arc::new(decision)
        };
        self.subscriptions.get_mut(&id)?.decision = Some(decision.clone());
        self.schedule_subscription(id);
        Some(decision)
    }

    /// Applies the policy again to every watcher of the presentity.
    pub(super) fn reconsider(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let all: Vec<SubscriptionId> = self
            .presentities
            .get(presentity)
            .map(|p| p.watchers.iter().chain(&p.observers).copied().collect())
            .unwrap_or_default();
        for id in all {
            self.reconsider_one(turn, directory, id);
        }
        self.reconsider_virtual(turn, directory, presentity);
    }

    /// Whether the verdict on a subscription must be made anew: a restart forgot it, or its time is over.
    pub(super) fn verdict_is_due(&self, now: Timestamp, id: SubscriptionId) -> bool {
        self.subscriptions.get(&id).is_some_and(|s| {
            let decision = s.decision.as_ref();
            decision.is_none_or(|d| d.until.is_some_and(|until| until <= now))
        })
    }

    /// Applies the policy again to one watcher, who is told at once when it changes anything. `true`: it moved the
    /// subscription to another state, and the watcher knows.
    pub(super) fn reconsider_one(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> bool {
        let Some(before) = self.subscriptions.get_mut(&id).map(|s| s.decision.take()) else {
            return false;
        };
        let Some(decision) = self.verdict(turn.now, directory, id) else {
            return false;
        };
        let state = |s: &Service| s.subscriptions.get(&id).map(|s| s.record.state);
        let was = state(self);
        let owed = self.advance(turn, directory, id, input(decision.handling));
        let moved = state(self) != was;
        if moved {
            self.store_subscription(turn, id);
        }
        match owed {
            Owed::Immediate => self.notify(turn, directory, id),
            // the same state under another verdict: a neutral document, or other elements
            _ => match before {
                None => self.show_decided(turn, directory, id),
                Some(before) => self.follow(turn, directory, id, &before, &decision),
            },
        }
        moved
    }

    /// A list on which the presentity's rules may rest changed, came or went: live subscriptions follow at once.
    pub fn lists_changed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        let watched = self.presentities.get(presentity);
        if !watched.is_some_and(Presentity::is_watched) {
            return;
        }
        // after a restart the rules are not parsed yet, and may name lists all the same
        let rulesets = self.rulesets(directory, presentity);
        if rulesets.iter().any(|rules| rules.depends_on_lists()) {
            self.touch(turn, presentity);
            self.reconsider(turn, directory, presentity);
        }
    }

    /// A watcher gained or lost an identity, by which rules or lists may know it: what it watches is decided anew.
    pub fn watcher_renamed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        watcher: &Aor,
    ) {
        for id in self.watching.of(&directory.names(watcher)) {
            self.reconsider_one(turn, directory, id);
        }
        self.onlooker_renamed(turn, directory, watcher);
    }

    /// What another verdict on a live subscription brings at once.
    fn follow(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        before: &Decision,
        decision: &Decision,
    ) {
        let notified_alike = before.notification == decision.notification;
        if !notified_alike {
            self.remember_whole(turn.now, directory, id);
            self.change_pace(turn.now, id);
        }
        if before.handling != decision.handling || before.permissions != decision.permissions {
            self.show_at_once(turn, directory, id);
        } else if !notified_alike {
            self.show_decided(turn, directory, id); // what the old rules held back
        }
    }

    /// The operator imposes something, or no longer does: live subscriptions within reach of it follow at once.
    pub fn imposed_changed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        reach: Reach<'_>,
    ) {
        let within: BTreeSet<SubscriptionId> = match reach {
            Reach::Presentity(presentity) => {
                let entry = self.presentities.get(presentity);
                entry.map(|p| p.watchers.clone()).unwrap_or_default()
            }
            Reach::Watcher(watcher) => self.watching.of(&directory.names(watcher)),
            Reach::Everybody => self.subscriptions.keys().copied().collect(),
        };
        let presentity = |id| {
            let subscription = self.subscriptions.get(id)?;
            Some(subscription.presentity.clone())
        };
        let presentities: BTreeSet<Aor> = within.iter().filter_map(presentity).collect();
        for presentity in &presentities {
            self.touch(turn, presentity);
        }
        for id in within {
            self.reconsider_one(turn, directory, id);
        }
        self.imposed_on_virtual(turn, directory, reach);
    }

    /// New publications may bring a new sphere, on which rules may rest.
    pub(super) fn state_changed_with_sphere(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        // rendered before this change: a watcher whom the new sphere lets in may not see what the old one hid
        self.galleries.swap_remove(presentity);
        // after a restart the rules are not parsed yet, and may rest on the sphere all the same
        let entry = self.presentities.get(presentity);
        if entry.is_some_and(Presentity::is_watched)
            && self
                .rulesets(directory, presentity)
                .iter()
                .any(|rules| rules.depends_on_sphere())
        {
            self.reconsider(turn, directory, presentity);
        }
        self.state_changed(turn, directory, presentity);
    }
}

/// What a verdict means to the notifier. A politely blocked watcher is subscribed for all it can tell.
pub(super) fn input(handling: Handling) -> Input {
    match handling {
        Handling::Allow | Handling::PoliteBlock => Input::Allowed,
        Handling::Confirm => Input::Undecided,
        Handling::Block => Input::Denied,
    }
}

/// What the core asserted of the watcher; its other names are looked up at each decision, since they may change.
pub(super) fn watcher_identities(subscription: &Subscription) -> Vec<Aor> {
    let asserted = subscription.record.asserted.iter();
    asserted.filter_map(|text| Aor::parse(text)).collect()
}

/// All names of whoever has these identities: rules and lists may use any of them.
pub(super) fn known_as(directory: &dyn Directory, identities: &[Aor]) -> Vec<Aor> {
    let mut all: Vec<Aor> = Vec::with_capacity(2 * identities.len());
    for identity in identities {
        for name in [identity.clone()]
            .into_iter()
            .chain(directory.names(identity))
        {
            if !all.contains(&name) {
                all.push(name);
            }
        }
    }
    all
}
