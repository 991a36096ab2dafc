//! What a watcher asks for besides plain state, from the headers and the body of its SUBSCRIBE.

use super::state::Debt;
use super::{Directory, Service};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::tag::{Condition, QUENCHED};
use crate::event::turn::Turn;
use crate::record::Table;
use crate::sip::coding::Coding;
use crate::sip::header::rate::Rates;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The wishes of one subscription. Each SUBSCRIBE says all of them anew: what it leaves out ends. A subscription
/// without any keeps no such value. Stored beside the subscription, under its number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// State that the watcher has already (RFC 5839).
    pub condition: Option<Condition>,
    /// Coding of bodies that the watcher takes (RFC 3261 §20.2).
    pub coding: Option<Coding>,
    /// How often it wants to be told (RFC 6446).
    pub rates: Rates,
    /// Partial documents rather than whole ones (RFC 5263).
    pub partial: bool,
    /// Versions were given to partial documents: they never begin again (RFC 5263 §4.4, §4.5).
    pub counted: bool,
    /// It takes `multipart/related`: a document with the objects that it refers to.
    pub objects: bool,
}

impl Wishes {
    /// The wishes as a subscription keeps them: nothing where nothing is wished.
    pub fn kept(self) -> Option<Box<Wishes>> {
        (self != Wishes::default()).then(|| Box::new(self))
    }
}

impl Service {
    /// Writes the wishes of a stored subscription, if it has any.
    pub(super) fn store_wishes(&self, turn: &mut Turn<'_>, id: SubscriptionId) {
        if let Some(wishes) = self
            .subscriptions
            .get(&id)
            .and_then(|s| s.wishes.as_deref())
        {
            turn.batch.put(Table::Wishes, &id.0.to_be_bytes(), wishes);
        }
    }

    /// A SUBSCRIBE in the dialog has other wishes than the one before it.
    pub(super) fn replace_wishes(
        &mut self,
        turn: &mut Turn<'_>,
        id: SubscriptionId,
        mut wishes: Wishes,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        wishes.counted = wishes.partial || subscription.wishes.as_ref().is_some_and(|w| w.counted);
        let wishes = wishes.kept();
        if subscription.wishes == wishes {
            return;
        }
        let key = id.0.to_be_bytes();
        match &wishes {
            Some(wishes) => turn.batch.put(Table::Wishes, &key, wishes),
            None => turn.batch.delete(Table::Wishes, &key),
        }
        subscription.wishes = wishes;
    }

    /// Whether the condition of the last SUBSCRIBE holds for what its NOTIFY would show.
    pub(super) fn has_the_state(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> bool {
        let Some(condition) = self.subscriptions.get(&id).and_then(|s| s.condition()) else {
            return false;
        };
        let shown = self.due(now, directory, id);
        let holds = condition.holds(self.tag_of(shown.as_ref()));
        if holds {
            self.keep_whole(id, shown.as_ref());
        }
        holds
    }

    /// Takes note that the watcher has the present state: no NOTIFY answers its SUBSCRIBE (RFC 5839 §6.3).
    pub(super) fn pass_over(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if matches!(subscription.record.state, State::Terminated(_)) {
            if subscription.unanswered > 0 {
                self.forget_record(turn, id); // it waits for answers that are charged
            } else {
                self.drop_subscription(turn, id);
            }
            return;
        }
        if let Some(condition) = subscription.condition() {
            subscription.last_told = match condition {
                Condition::Always => QUENCHED,
                Condition::Tag(tag) => tag,
            };
        }
        self.paced.remove(&(subscription.not_before, id));
        subscription.debt = Debt::Nothing;
        self.waits_no_more(turn, id);
        self.change_pace(turn.now, id);
        self.store_subscription(turn, id);
        self.settle(id);
    }

    /// State with another tag is on its way to the watcher: its condition is over, also after a restart.
    pub(super) fn end_condition(&mut self, turn: &mut Turn<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if let Some(wishes) = &subscription.wishes {
            let mut without = Wishes::clone(wishes);
            without.condition = None;
            if subscription.stored {
                self.replace_wishes(turn, id, without);
            }
        }
    }
}
