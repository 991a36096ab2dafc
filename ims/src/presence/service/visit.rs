//! A subscription as watcher information tells of it, and the one place where a subscription changes its state.

use super::package::Package;
use super::state::{Subscription, SubscriptionRecord};
use super::{Directory, Service};
use crate::event::subscription::{Input, Owed, State, SubscriptionId, step};
use crate::event::turn::Turn;
use crate::event::watcherinfo::{self, Event, Status};
use crate::record::Table;
use crate::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// Whom a watcher that asked for privacy is shown as (RFC 3323 §4.1.1.3); the same for one that nobody asserted.
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// What a subscription is and how it came to its state. Stored beside it, under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub package: Package,
    /// When the SUBSCRIBE that opened it came.
    pub since: Timestamp,
    /// What brought it to its state, and when.
    pub event: Event,
    pub changed_at: Timestamp,
    /// As the network asserted it; none for a watcher that asked for privacy.
    pub display_name: Option<Box<str>>,
}

impl Visit {
    /// A subscription of which nothing more is known: one stored by an older version.
    pub fn of(record: &SubscriptionRecord) -> Visit {
        Visit {
            package: Package::Presence,
            since: record.renewed_at,
            event: Event::Subscribe,
            changed_at: record.renewed_at,
            display_name: None,
        }
    }
}

/// A watcher as a document shows it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub id: u64,
    pub uri: Box<str>,
    pub display_name: Option<Box<str>>,
    pub status: Status,
    pub event: Event,
    pub expires_at: Option<Timestamp>,
    pub since: Timestamp,
}

impl Row {
    /// The row of a subscription under the number that stands for it in documents.
    pub fn of(subscription: &Subscription, id: u64) -> Row {
        let Subscription { record, visit, .. } = subscription;
        Row {
            id,
            uri: shown_as(&record.watcher, record.anonymous).into(),
            display_name: visit.display_name.clone(),
            status: record.state.into(),
            event: visit.event,
            expires_at: record.state.is_alive().then_some(record.expires_at),
            since: visit.since,
        }
    }

    /// The same as over for the watcher itself, who was told so when the waiting began.
    pub fn over(self) -> Row {
        Row {
            status: Status::Terminated,
            event: Event::Timeout,
            expires_at: None,
            ..self
        }
    }

    pub fn write(&self, now: Timestamp) -> watcherinfo::Watcher<'_> {
        watcherinfo::Watcher {
            id: self.id,
            uri: &self.uri,
            display_name: self.display_name.as_deref(),
            status: self.status,
            event: self.event,
            expiration: self.expires_at.map(|at| at.seconds_from(now)),
            duration: Some(Seconds(
                u32::try_from(now.since(self.since).0 / 1000).unwrap_or(u32::MAX),
            )),
        }
    }
}

/// The one identity under which a watcher is shown, whichever it used: a SIP URI before a number.
pub(super) fn shown_as(identities: &[Box<str>], anonymous: bool) -> &str {
    if anonymous {
        return ANONYMOUS;
    }
    let identities = identities.iter().map(|identity| &**identity);
    let sip = identities.clone().find(|uri| !uri.starts_with("tel:"));
    sip.or(identities.clone().next()).unwrap_or(ANONYMOUS)
}

impl Service {
    /// Takes one step of a subscription. Who watches the watchers learns of a new state; what the watcher itself is
    /// owed is for the caller to pay.
    pub(super) fn advance(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        input: Input,
    ) -> Owed {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return Owed::Nothing;
        };
        let before = subscription.record.state;
        let (after, owed) = step(before, input);
        if after == before {
            return owed;
        }
        subscription.record.state = after;
        self.moved(turn, directory, id, Some(before));
        if before == State::Waiting {
            // its watcher was told of the end long ago
            self.forget_record(turn, id);
            if self
                .subscriptions
                .get(&id)
                .is_some_and(|s| s.unanswered == 0)
            {
                self.drop_subscription(turn, id);
            }
        }
        owed
    }

    /// The subscription came to its present state.
    pub(super) fn moved(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        before: Option<State>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let after = subscription.record.state;
        subscription.visit.event = Event::of(before, after);
        subscription.visit.changed_at = turn.now;
        self.note_waiting(id);
        if after == State::Waiting {
            self.keep_waiting(turn, directory, id);
        }
        if !matches!(after, State::Terminated(_)) {
            self.store_visit(turn, id);
        }
        self.report(turn, directory, id, before);
    }

    pub(super) fn store_visit(&self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get(&id) {
            turn.batch
                .put(Table::Visit, &id.0.to_be_bytes(), &subscription.visit);
        }
    }
}
