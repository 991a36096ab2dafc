//! List subscriptions as the presentities see them: on whose behalf members are watched, from when to when.

use super::super::package::Package;
use super::super::{Directory, Service};
use super::table::{List, id_of};
use crate::event::onlooker::{Member, Onlooker};
use crate::event::subscription::{End, Input, State, SubscriptionId};
use crate::event::turn::Turn;
use crate::presence::filter::ListFilters;
use crate::reject::Reject;
use std::sync::Arc;

impl Service {
    /// A list subscription begins, was refreshed or asks for something else. Refused is a filter that does not read
    /// (RFC 4660 §5.4), and a package that is not served; nothing is changed then. Without a filter document those
    /// that it has stay (RFC 4660 §3.3.3).
    pub fn look_on(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        onlooker: Onlooker,
    ) -> Result<(), Reject> {
        let package = self.package_of_lists(onlooker.package)?;
        let known = self.onlook.number(onlooker.list);
        let before = known.and_then(|number| self.onlook.lists.get(&number));
        let before = before.map(|list| list.filters.clone()).unwrap_or_default();
        let filters = self.list_filters(before, &onlooker, package)?;
        let Some(number) = known else {
            self.begin_to_look(directory, onlooker, package, filters);
            return Ok(());
        };
        self.look_longer(turn, directory, number, (onlooker, filters));
        Ok(())
    }

    /// The filters of a list subscription, as one document.
    pub fn filters_of(&self, list: SubscriptionId) -> Option<Arc<[u8]>> {
        let list = self.onlook.lists.get(&self.onlook.number(list)?)?;
        Some(list.filters.document()?.into_bytes().into())
    }

    /// The package of this name, if lists of it are served.
    fn package_of_lists(&self, name: &str) -> Result<Package, Reject> {
        let of_winfo = self.settings.watcher_info.of_watcher_info;
        let served = |p: &Package| *p != Package::WatchersOfWatchers || of_winfo;
        Package::named(name).filter(served).ok_or(Reject::BadEvent)
    }

    fn begin_to_look(
        &mut self,
        directory: &dyn Directory,
        onlooker: Onlooker,
        package: Package,
        filters: ListFilters,
    ) {
        let mut list = List::new(onlooker, package, filters);
        list.known_as = super::super::policy::known_as(directory, &list.asserted).into();
        self.onlook.add(list);
    }

    /// The watcher asked again: what ended for a while, or for want of room, gets another chance, as a SUBSCRIBE of its
    /// own would.
    fn look_longer(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        number: u32,
        (onlooker, filters): (Onlooker, ListFilters),
    ) {
        let Some(list) = self.onlook.lists.get_mut(&number) else {
            return;
        };
        let refiltered = onlooker.filter.is_some();
        list.onlooker = Onlooker {
            list: list.onlooker.list,
            since: list.onlooker.since,
            ..onlooker
        };
        list.filters = filters;
        list.known_as = super::super::policy::known_as(directory, &list.asserted).into();
        if refiltered {
            self.filter_members(directory, number);
        }
        for id in self.onlook.members_of([number]) {
            let over = |state| matches!(state, State::Terminated(_));
            if self.onlook.get(id).is_some_and(|(_, v)| over(v.state)) {
                self.try_again(turn, directory, id);
            }
        }
    }

    /// The list subscription is over: all of its members part.
    pub fn look_away(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        list: SubscriptionId,
    ) {
        let Some(number) = self.onlook.number(list) else {
            return;
        };
        let mut members = self.onlook.members_of([number]);
        while let Some(id) = members.pop() {
            // from behind, where nothing has to move up
            self.part(turn, directory, id);
        }
        self.onlook.remove(number);
    }

    /// The member left the list, or the list subscription is over. Who had not been decided on is remembered, as a
    /// watcher who unsubscribes is (RFC 3857 §4.7.1).
    pub fn part(&mut self, turn: &mut Turn<'_>, directory: &dyn Directory, id: SubscriptionId) {
        self.end_virtual(turn, directory, id, Input::Unsubscribed);
        self.drop_virtual(turn, id);
    }

    /// Members whose instance says something else than when it was last taken, each once until it is.
    pub fn take_stirred(&mut self) -> Vec<Member> {
        let mut stirred = std::mem::take(&mut self.onlook.stirred);
        stirred.retain(|member| {
            let number = self.onlook.number(member.list);
            let id = number.map(|number| id_of(number, member.place));
            let there = id.and_then(|id| self.onlook.get(id));
            there.is_some_and(|(_, member)| member.queued)
        });
        stirred
    }

    /// Whether a member was named as stirred, and not taken since.
    #[cfg(test)]
    pub fn is_stirred(&self, id: SubscriptionId) -> bool {
        self.onlook.get(id).is_some_and(|(_, member)| member.queued)
    }

    /// Virtual subscriptions of the node.
    pub fn virtual_subscriptions(&self) -> usize {
        self.onlook.len()
    }

    /// A step that ends a virtual subscription.
    pub(super) fn end_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        input: Input,
    ) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        if list.is_fetch() && member.state == State::Active {
            // a fetch by somebody allowed is over before anybody is told of it
            return self.come_to(id, State::Terminated(End::Timeout));
        }
        self.advance_virtual(turn, directory, id, input);
    }
}
