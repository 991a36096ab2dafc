//! Virtual subscriptions that nobody has decided on: how many of them there may be, and what becomes of one whose list
//! is over (RFC 3857 §4.7.1).

use super::super::state::{Subscription, SubscriptionRecord};
use super::super::visit::Visit;
use super::super::waiting::Undecided;
use super::super::{Directory, Service};
use super::table::{List, Virtual};
use crate::dialog::Dialog;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::event::watcherinfo::Event;
use crate::isc::Charging;
use crate::presence::service::Package;
use crate::sip::Aor;
use crate::time::Timestamp;

impl Service {
    /// Whether there is room for one more subscription in this state, as for one of its own.
    pub(super) fn has_room(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        state: State,
    ) -> bool {
        let Some((list, member)) = self.onlook.get(id) else {
            return false;
        };
        let (watcher, package) = (list.onlooker.identities.clone(), list.package);
        let presentity = member.name.presentity.clone();
        let was = usize::from(member.state.is_alive());
        let held = self.watchers_held(&presentity, package).saturating_sub(was);
        if held >= self.settings.subscriptions_per_presentity {
            return false;
        }
        state != State::Pending || self.make_room(turn, directory, &watcher).is_ok()
    }

    /// Subscriptions to a presentity that count against its bound.
    pub(in crate::presence::service) fn watchers_held(
        &self,
        presentity: &Aor,
        package: Package,
    ) -> usize {
        let Some(entry) = self.presentities.get(presentity) else {
            return 0;
        };
        let gathering = entry.gathering.as_ref();
        match package {
            // those that only wait have a bound of their own
            Package::Presence => {
                let own = entry.watchers.len().saturating_sub(entry.waiting.len());
                own + gathering.map_or(0, |g| g.alive)
            }
            Package::Watchers | Package::WatchersOfWatchers => {
                entry.observers.len() + gathering.map_or(0, |g| g.observers.len())
            }
        }
    }

    /// The watcher came again: what waited for the same decision is superseded.
    pub(super) fn supersede_for(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        let (asserted, name) = (list.asserted.clone(), member.name.clone());
        let (package, anonymous) = (list.package, list.onlooker.anonymous);
        let same = Undecided {
            watcher: &asserted,
            presentity: &name.presentity,
            package,
            anonymous,
            event_id: None,
            by: None,
        };
        self.supersede_all(turn, directory, &same);
    }

    /// The number by which watcher information knows a virtual subscription, and under which it waits when its list is
    /// over. It is the same after a restart, also where the list is in another order then, and nobody can guess it.
    pub(super) fn number_of(&self, list: &List, member: &Virtual) -> SubscriptionId {
        let presentity = &member.name.presentity;
        let of = (
            list.onlooker.list.0,
            presentity.as_str(),
            &*member.name.entity,
        );
        SubscriptionId::of(Some(presentity), self.tags.of(&of))
    }

    /// Members of the watcher's lists that nobody has decided on.
    pub(in crate::presence::service) fn undecided_members(&self, watcher: &[Aor]) -> usize {
        let lists = self.onlook.of_watcher(watcher).into_iter();
        let undecided = |number| self.onlook.lists.get(&number).map(|list| list.undecided);
        lists.filter_map(undecided).sum()
    }

    /// The list is over before anybody decided: from now on it is a subscription that waits, like one whose watcher has
    /// unsubscribed, and stored like it. Nobody is told of what becomes of it but those who observe.
    pub(super) fn remember_undecided(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        let onlooker = &list.onlooker;
        let record = SubscriptionRecord {
            presentity: member.name.presentity.as_str().into(),
            entity: member.name.entity.clone(),
            watcher: list.identities.clone(),
            asserted: onlooker.asserted.clone(),
            anonymous: onlooker.anonymous,
            event_id: None,
            state: State::Waiting,
            expires_at: turn.now,
            renewed_at: Timestamp::default(),
            cseq_reserved: 0,
            dialog: Dialog::none(),
            charging: Charging::default(),
            inside: false,
        };
        let visit = Visit {
            package: list.package,
            since: member.since,
            event: Event::Timeout,
            changed_at: turn.now,
            display_name: onlooker
                .display_name
                .clone()
                .filter(|_| !onlooker.anonymous),
        };
        let (presentity, rolled) = (member.name.presentity.clone(), member.rolled);
        let number = self.number_of(list, member);
        let waiting = match self.subscriptions.contains_key(&number) {
            true => self.new_id(turn, &presentity),
            false => number, // those who observe know it by this one
        };
        let mut subscription = Subscription::new(waiting, presentity, record, visit, None);
        subscription.rolled = rolled;
        self.insert(subscription);
        self.moved(turn, directory, waiting, Some(State::Pending));
        self.supersede(turn, directory, waiting);
    }
}
