//! Watcher information: who is told of the watchers of a presentity, and what (RFC 3857 §4.6, §4.7.2). An observer is
//! a subscription like any other; only what it shows is made here.

use super::gallery::{Document, Shown};
use super::package::Package;
use super::roll::{Change, Departed};
use super::state::{Presentity, Subscription};
use super::visit::Row;
use super::{Directory, Service};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::Turn;
use crate::event::watcherinfo::{self, Extent};
use crate::presence::notification::Notification;
use crate::presence::rules::{Decision, Handling, Permissions, Reason, Watcher};
use crate::record::Table;
use crate::sip::Aor;
use crate::time::{Seconds, Timestamp};

/// How watcher information is served, from the configuration.
#[derive(Clone, Debug)]
pub struct WatcherInfo {
    /// A watcher whom the presentity does not block may observe its own subscriptions; else only the presentity is
    /// served (RFC 3857 §4.6).
    pub own_entry: bool,
    /// The presentity may observe who observes its watchers.
    pub of_watcher_info: bool,
    /// Identities of administrators, who may observe the watchers of everybody.
    pub administrators: Vec<Aor>,
    /// How long an undecided subscription is remembered.
    pub give_up: Seconds,
    /// Pending and waiting subscriptions of one watcher.
    pub waiting_per_watcher: usize,
    /// Waiting subscriptions to one presentity.
    pub waiting_per_presentity: usize,
}

impl Default for WatcherInfo {
    /// As the standard recommends: the presentity everything, others their own entry; a week to decide.
    fn default() -> WatcherInfo {
        WatcherInfo {
            own_entry: true,
            of_watcher_info: true,
            administrators: Vec::new(),
            give_up: Seconds(604_800),
            waiting_per_watcher: 100,
            waiting_per_presentity: 1_000,
        }
    }
}

/// What an observer may see and has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Observer {
    /// Every watcher, not only itself.
    pub sees_all: bool,
    /// The last change it was told. `None`: its next document is a full one.
    pub told: Option<u64>,
}

impl Observer {
    /// Whether the watcher with these identities is shown to this observer, who is known by those.
    fn sees(&self, own: &[Box<str>], watcher: &[Box<str>]) -> bool {
        self.sees_all || shares_identity(own, watcher)
    }
}

/// Identities of an observer, and whether it sees every watcher.
pub(super) type SeenBy<'a> = (&'a [Box<str>], bool);

/// Whether two are the same watcher.
pub(super) fn shares_identity(own: &[Box<str>], watcher: &[Box<str>]) -> bool {
    own.iter().any(|identity| watcher.contains(identity))
}

/// A watcher that came to another state, as those who observe are told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced<'a> {
    pub presentity: &'a Aor,
    pub package: Package,
    /// Its identities, canonical.
    pub watcher: &'a [Box<str>],
    /// It waited before.
    pub waited: bool,
    /// The number of its last change.
    pub rolled: u64,
}

impl Service {
    /// Who may observe (RFC 3857 §4.6): the presentity itself and administrators everything; a watcher its own entry,
    /// where the operator allows it and the presentity does not refuse the watcher.
    pub(super) fn decide_observer(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        (presentity, package): (&Aor, Package),
        watcher: &Watcher<'_>,
    ) -> (Decision, bool) {
        let names = directory.identities(presentity);
        let settings = &self.settings.watcher_info;
        let is = |all: &[Aor]| watcher.identities.iter().any(|own| all.contains(own));
        let (own, administrator) = (is(&names), is(&settings.administrators));
        if own || administrator {
            let reason = if own {
                Reason::Own
            } else {
                Reason::Administrator
            };
            return (verdict(Handling::Allow, reason, None), true);
        }
        // §4.6: nobody but the presentity for the watchers of watchers
        if !settings.own_entry
            || watcher.identities.is_empty()
            || package == Package::WatchersOfWatchers
        {
            return (
                verdict(Handling::Block, Reason::NothingMatches, None),
                false,
            );
        }
        let presence = self.decide(now, directory, presentity, watcher);
        let handling = match presence.handling {
            Handling::Block => Handling::Block,
            // §4.7.2: no more than its Subscription-State tells it, which is the same for all of these
            Handling::Confirm | Handling::PoliteBlock | Handling::Allow => Handling::Allow,
        };
        (verdict(handling, Reason::Identity, presence.until), false)
    }

    /// Takes note of what an observer may see. More or less than before: its next document is a full one.
    pub(super) fn let_observe(&mut self, id: SubscriptionId, sees_all: bool) {
        let observer = self
            .subscriptions
            .get_mut(&id)
            .and_then(|s| s.observer.as_mut());
        if let Some(observer) = observer.filter(|o| o.sees_all != sees_all) {
            **observer = Observer {
                sees_all,
                told: None,
            };
        }
    }

    /// Tells those who observe it of a subscription that came to its present state.
    pub(super) fn report(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        before: Option<State>,
    ) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let presentity = subscription.presentity.clone();
        let watcher = subscription.record.watcher.clone();
        let waited = before == Some(State::Waiting);
        let package = subscription.visit.package;
        let change = match subscription.record.state {
            State::Terminated(_) => Change::Gone(Box::new(Departed {
                package,
                watcher: watcher.clone(),
                row: self.row(subscription),
                waited,
            })),
            State::Pending | State::Active | State::Waiting => Change::Kept(id),
        };
        let announced = Announced {
            presentity: &presentity,
            package,
            watcher: &watcher,
            waited,
            rolled: subscription.rolled,
        };
        let number = self.announce(turn, directory, &announced, change);
        if let Some((number, subscription)) = number.zip(self.subscriptions.get_mut(&id)) {
            subscription.rolled = number;
        }
    }

    /// Notes a change of a watcher for those who observe, if anybody does, and tells them.
    pub(super) fn announce(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        announced: &Announced<'_>,
        change: Change,
    ) -> Option<u64> {
        let presentity = announced.presentity;
        let observers = self.observers_of(presentity, announced.package);
        if !self.is_observed(presentity, announced.package) {
            return None;
        }
        let entry = self.presentities.get_mut(presentity)?;
        let number = entry.roll.note(announced.rolled, change);
        entry.watched_at = turn.now;
        turn.batch
            .put(Table::Watched, presentity.as_str().as_bytes(), &turn.now);
        let who = (announced.watcher, announced.waited);
        for observer in observers {
            self.tell_observer(turn, directory, observer, who, number);
        }
        self.stir_observers(turn, directory, announced);
        self.forget_known(presentity);
        Some(number)
    }

    fn tell_observer(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        (watcher, waited): (&[Box<str>], bool),
        number: u64,
    ) {
        // a restart forgot what it may see
        if self.verdict_is_due(turn.now, id) && self.reconsider_one(turn, directory, id) {
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let own = &subscription.record.watcher;
        let Some(observer) = &mut subscription.observer else {
            return;
        };
        // §4.7.2: what becomes of its waiting is not for the watcher itself
        if observer.sees(own, watcher) && (observer.sees_all || !waited) {
            self.show(turn, directory, id);
        } else if observer.told == Some(number - 1) {
            observer.told = Some(number); // it lags behind nothing that it could see
        }
    }

    /// Whether anybody observes the watchers of this presentity for this package.
    pub(super) fn is_observed(&self, presentity: &Aor, package: Package) -> bool {
        !self.observers_of(presentity, package).is_empty()
            || self.is_observed_by_lists(presentity, package)
    }

    /// Those who observe the watchers of this presentity for this package.
    fn observers_of(&self, presentity: &Aor, package: Package) -> Vec<SubscriptionId> {
        let package = Some(package);
        let Some(entry) = self.presentities.get(presentity) else {
            return Vec::new();
        };
        let observes = |id: &&SubscriptionId| {
            self.subscriptions.get(*id).is_some_and(|s| {
                s.visit.package.subject() == package && s.record.state == State::Active
            })
        };
        entry.observers.iter().filter(observes).copied().collect()
    }

    /// Drops the changes that every observer knows, where there are many.
    fn forget_known(&mut self, presentity: &Aor) {
        let Some(entry) = self.presentities.get_mut(presentity) else {
            return;
        };
        if !entry.roll.is_long() {
            return;
        }
        let told = entry.observers.iter().filter_map(|id| {
            let observer = self.subscriptions.get(id)?.observer.as_ref()?;
            observer.told
        });
        let known = told.min().unwrap_or(entry.roll.last());
        entry.roll.forget(known);
    }

    /// What an observer has not been told, or everything; `None` when there is nothing new to it.
    pub(super) fn watchers_shown(
        &self,
        now: Timestamp,
        id: SubscriptionId,
        extent: Extent,
    ) -> Option<Shown> {
        let subscription = self.subscriptions.get(&id)?;
        let observer = subscription.observer.as_ref()?;
        let entry = self.presentities.get(&subscription.presentity)?;
        let subject = subscription.visit.package.subject()?;
        let told = observer.told.filter(|_| extent == Extent::Partial);
        let news = told.and_then(|told| self.news(entry, (subscription, observer), subject, told));
        let (extent, rows) = match news {
            Some(news) if news.is_empty() => return None,
            Some(news) => (Extent::Partial, news),
            None => {
                let seen_by = (subscription.record.watcher.as_slice(), observer.sees_all);
                let all = self.everybody(&subscription.presentity, seen_by, subject);
                (Extent::Full, all)
            }
        };
        let document = watcherinfo::document(
            // 0 in the first NOTIFY and one more in each (RFC 3858 §4). Like CSeq, it jumps ahead over a restart and
            // never goes back, and the document is a full one then
            subscription.record.dialog.local_cseq,
            extent,
            &subscription.record.entity,
            subject.name(),
            rows.iter().map(|row| row.write(now)),
        );
        Some(Shown {
            tag: self.tags.of(document.bytes()),
            document: Document::Watchers(document),
            whole: None,
        })
    }

    /// The last state of each watcher that changed since; `None` when that is not known for all of them.
    fn news(
        &self,
        entry: &Presentity,
        (subscription, observer): (&Subscription, &Observer),
        subject: Package,
        told: u64,
    ) -> Option<Vec<Row>> {
        let own = &subscription.record.watcher;
        let rows = entry.roll.since(told)?.filter_map(|change| match change {
            Change::Gone(gone) => {
                let shown = gone.package == subject && observer.sees(own, &gone.watcher);
                let row = gone.row.clone();
                let hides = gone.waited && !observer.sees_all;
                shown.then(|| if hides { row.over() } else { row })
            }
            Change::Kept(id) => {
                let watcher = self.subscriptions.get(id)?;
                let shown =
                    watcher.visit.package == subject && observer.sees(own, &watcher.record.watcher);
                let hides = watcher.record.state == State::Waiting && !observer.sees_all;
                let row = self.row(watcher);
                shown.then(|| if hides { row.over() } else { row })
            }
            Change::Member(id) => self.row_of_member(*id, subject, (own, observer.sees_all)),
        });
        Some(rows.collect())
    }

    /// Every watcher that there is for an observer with these identities.
    pub(super) fn everybody(
        &self,
        presentity: &Aor,
        (own, sees_all): SeenBy<'_>,
        subject: Package,
    ) -> Vec<Row> {
        let Some(entry) = self.presentities.get(presentity) else {
            return Vec::new();
        };
        let of_subject = if subject == Package::Presence {
            &entry.watchers
        } else {
            &entry.observers
        };
        let rows = of_subject.iter().filter_map(|id| {
            let watcher = self.subscriptions.get(id)?;
            let there = match watcher.record.state {
                State::Pending | State::Active => true,
                State::Waiting => sees_all,
                State::Terminated(_) => false,
            };
            let shown = there
                && watcher.visit.package == subject
                && (sees_all || shares_identity(own, &watcher.record.watcher));
            shown.then(|| self.row(watcher))
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.extend(self.rows_of_members(presentity, subject, (own, sees_all)));
        rows
    }

    /// A watcher's row. Its number is made from that of the subscription under a key that stays, since the number
    /// itself is a secret between us and the watcher.
    fn row(&self, subscription: &Subscription) -> Row {
        Row::of(subscription, self.tags.of(&subscription.id.0.to_be_bytes()))
    }

    /// The observer is sent what was made for it now.
    pub(super) fn note_observed(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if let Some(observer) = &mut subscription.observer
            && let Some(entry) = self.presentities.get(&subscription.presentity)
        {
            observer.told = Some(entry.roll.last());
        }
    }
}

/// A verdict on an observer: nothing of the presentity's state is ever granted by it.
fn verdict(handling: Handling, reason: Reason, until: Option<Timestamp>) -> Decision {
    Decision {
        handling,
        permissions: Permissions::none(),
        notification: Notification::default(),
        until,
        reason,
        unresolved: false,
    }
}
