//! Watcher information and lists (RFC 3857): members of lists as watchers like any others, and lists of watcher
//! information.

use super::super::roll::{Change, Departed};
use super::super::state::Debt;
use super::super::visit::Row;
use super::super::winfo::{Announced, SeenBy, shares_identity};
use super::super::{Directory, Service};
use super::decide::sees_all;
use super::take::content;
use crate::event::onlooker::Instance;
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::event::watcherinfo::{self, Extent};
use crate::presence::content::Body;
use crate::presence::service::Package;
use crate::sip::Aor;

impl Service {
    /// Tells those who observe it of a virtual subscription that came to its present state.
    pub(super) fn report_virtual(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        before: Option<State>,
    ) {
        let Some((list, member)) = self.onlook.get(id) else {
            return;
        };
        if list.is_fetch() && before.is_none() {
            return; // over before anybody is told of it
        }
        if !self.is_observed(&member.name.presentity, list.package) {
            return; // as most are
        }
        let Some(row) = self.virtual_row(id, None) else {
            return;
        };
        let change = match member.state {
            State::Terminated(_) => Change::Gone(Box::new(Departed {
                package: list.package,
                watcher: list.identities.clone(),
                row,
                waited: false,
            })),
            State::Pending | State::Active | State::Waiting => Change::Member(id),
        };
        let name = member.name.clone();
        let (watcher, package, rolled) = (list.identities.clone(), list.package, member.rolled);
        let announced = Announced {
            presentity: &name.presentity,
            package,
            watcher: &watcher,
            waited: false,
            rolled,
        };
        let number = self.announce(turn, directory, &announced, change);
        if let Some((number, member)) = number.zip(self.onlook.get_mut(id)) {
            member.rolled = number;
        }
    }

    /// Stirs the lists of watcher information that a change of a watcher concerns.
    pub(in crate::presence::service) fn stir_observers(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        announced: &Announced<'_>,
    ) {
        let entry = self.presentities.get(announced.presentity);
        let gathering = entry.and_then(|entry| entry.gathering.as_ref());
        let all = gathering.map(|g| g.observers.iter().copied().collect::<Vec<_>>());
        for id in all.unwrap_or_default() {
            let Some((list, member)) = self.onlook.get(id) else {
                continue;
            };
            let all = member.decision.as_ref().is_some_and(|d| sees_all(d));
            let concerned = list.package.subject() == Some(announced.package)
                && (all || shares_identity(&list.identities, announced.watcher))
                && (all || !announced.waited);
            if concerned {
                self.stir(turn, directory, id, Debt::State);
            }
        }
    }

    /// Whether a list observes the watchers of this presentity for this package.
    pub(in crate::presence::service) fn is_observed_by_lists(
        &self,
        presentity: &Aor,
        package: Package,
    ) -> bool {
        let entry = self.presentities.get(presentity);
        let gathering = entry.and_then(|entry| entry.gathering.as_ref());
        let observers = gathering.into_iter().flat_map(|g| &g.observers);
        let mut lists = observers.filter_map(|id| self.onlook.get(*id));
        lists.any(|(list, member)| {
            list.package.subject() == Some(package) && member.state == State::Active
        })
    }

    /// The rows of members of lists that an observer with these identities sees.
    pub(in crate::presence::service) fn rows_of_members(
        &self,
        presentity: &Aor,
        subject: Package,
        (own, sees_all): SeenBy<'_>,
    ) -> Vec<Row> {
        let entry = self.presentities.get(presentity);
        let Some(gathering) = entry.and_then(|entry| entry.gathering.as_ref()) else {
            return Vec::new();
        };
        let of_subject = match subject {
            Package::Presence => &gathering.presence,
            Package::Watchers | Package::WatchersOfWatchers => &gathering.observers,
        };
        let seen = |id: &&SubscriptionId| {
            self.onlook.get(**id).is_some_and(|(list, member)| {
                member.state.is_alive()
                    && !list.is_fetch()
                    && list.package == subject
                    && (sees_all || shares_identity(own, &list.identities))
            })
        };
        let rows = of_subject.iter().filter(seen);
        rows.filter_map(|id| self.virtual_row(*id, None)).collect()
    }

    /// The row of one that changed, if it is for this observer.
    pub(in crate::presence::service) fn row_of_member(
        &self,
        id: SubscriptionId,
        subject: Package,
        seen_by: SeenBy<'_>,
    ) -> Option<Row> {
        self.virtual_row(id, Some((subject, seen_by)))
    }

    fn virtual_row(&self, id: SubscriptionId, only: Option<(Package, SeenBy<'_>)>) -> Option<Row> {
        let (list, member) = self.onlook.get(id)?;
        if let Some((subject, (own, sees_all))) = only {
            let seen = sees_all || shares_identity(own, &list.identities);
            if list.package != subject || !seen {
                return None;
            }
        }
        let onlooker = &list.onlooker;
        let number = self.number_of(list, member);
        let name = onlooker
            .display_name
            .clone()
            .filter(|_| !onlooker.anonymous);
        Some(Row {
            id: self.tags.of(&number.0.to_be_bytes()),
            uri: super::super::visit::shown_as(&list.identities, onlooker.anonymous).into(),
            display_name: name,
            status: member.state.into(),
            event: member.event,
            expires_at: member.state.is_alive().then_some(onlooker.expires_at),
            since: member.since,
        })
    }

    /// The watchers of a member, for a list of watcher information. Each document is whole, and numbered above the one
    /// before it (RFC 3858 §4).
    pub(super) fn watchers_of(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) -> Instance {
        let first = self.first_version(id);
        let version = self.onlook.get_mut(id).map_or(first, |member| {
            let version = &mut member.more().version;
            let next = version.map_or(first, |version| version.saturating_add(1));
            *version = Some(next);
            next
        });
        let Some((list, member)) = self.onlook.get(id) else {
            return self.told(id);
        };
        let subject = list.package.subject().unwrap_or_default();
        let all = member.decision.as_ref().is_some_and(|d| sees_all(d));
        let seen_by = (list.identities.as_slice(), all);
        let rows = self.everybody(&member.name.presentity, seen_by, subject);
        let document = watcherinfo::document(
            version,
            Extent::Full,
            &member.name.entity,
            subject.name(),
            rows.iter().map(|row| row.write(turn.now)),
        );
        let tag = self.tags.of(&document.bytes()[..]);
        self.taken(turn, id, tag);
        Instance {
            state: State::Active,
            tag,
            content: Some(content(&Body::watchers(&document))),
        }
    }
}
