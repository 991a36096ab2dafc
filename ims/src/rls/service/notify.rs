//! NOTIFY: when a watcher is told, what, and what its answer means (RFC 4662 §4.5, RFC 6665 §4.2.2).

use super::compose::{self, News};
use super::state::Subscription;
use super::{Service, World};
use crate::charge::Chargeable;
use crate::event::notice::{Answer, Content, LastBody, Notice, state_text};
use crate::event::subscription::{
    End, Input, Owed, State, SubscriptionId, ends_subscription, step,
};
use crate::event::tag::Condition;
use crate::event::turn::{Ticket, Turn};
use crate::rls::body::{Body, MEDIA_TYPE};
use crate::time::Timestamp;

impl Service {
    /// Tells a watcher what it is owed, now or when pacing and the answer to the NOTIFY before allow.
    pub(super) fn show(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if !subscription.owes() {
            return self.settle(id);
        }
        if subscription.unanswered || self.gathers(turn, world, id) {
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if subscription.last_is_owed {
            return self.tell_last(turn, world, id);
        }
        // RFC 6446 §5.2: what follows in a second NOTIFY keeps to the rate that the watcher asked for
        let hurries = subscription.hurry && subscription.wishes.rates.max.is_none();
        let at_once = subscription.whole || hurries;
        let paced = subscription.not_before.max(subscription.pause_until);
        let not_before = if at_once {
            subscription.pause_until
        } else {
            paced
        };
        if turn.now < not_before {
            self.wait_until(id, not_before);
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        if !turn.quota.lets(id) {
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        if subscription.whole || subscription.reshaped {
            self.tell_whole(turn, world, id);
        } else {
            self.tell_changes(turn, world, id);
        }
        self.settle(id);
    }

    /// The whole state: "The first NOTIFY sent in a subscription MUST contain full state, as must the first NOTIFY sent
    /// after receipt of a SUBSCRIBE request for the subscription" (RFC 4662 §5.2).
    fn tell_whole(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        let (tags, most) = (self.tags, self.settings.max_notify);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let news = compose::everything(turn, world, subscription, &tags, most);
        (subscription.whole, subscription.reshaped) = (false, false);
        subscription.hurry = news.cut;
        let tag = compose::aggregate(subscription, &tags);
        if std::mem::take(&mut subscription.compares) && tag == subscription.told.tag && !news.cut {
            return; // it has that from before the restart
        }
        let known = subscription.wishes.condition;
        let holds = !news.cut && known.is_some_and(|c| c.holds(tag));
        if matches!(known, Some(Condition::Tag(_))) {
            subscription.wishes.condition = None; // it was about this NOTIFY
        }
        let body = (!holds).then(|| compose::write(subscription, &tags, news, true));
        self.send(turn, world, id, tag, body);
    }

    /// What has changed since the NOTIFY before.
    fn tell_changes(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        let (tags, most) = (self.tags, self.settings.max_notify);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let news: News = compose::changes(turn, world, subscription, &tags, most);
        subscription.hurry = news.cut;
        if news.is_empty() {
            return;
        }
        let tag = compose::aggregate(subscription, &tags);
        let body = compose::write(subscription, &tags, news, false);
        self.send(turn, world, id, tag, Some(body));
    }

    /// The NOTIFY that ends the subscription. With the whole state where the watcher asked for an end, or for nothing
    /// else (RFC 6665 §4.4.3).
    fn tell_last(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        let tags = self.tags;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.last_is_owed = false;
        let asked = subscription.record.state == State::Terminated(End::Timeout);
        let body = if asked && subscription.whole {
            // whatever its size: nothing can follow
            let news = compose::everything(turn, world, subscription, &tags, usize::MAX);
            Some((news, compose::aggregate(subscription, &tags)))
        } else {
            None
        };
        subscription.whole = false;
        let (body, tag) = match body {
            Some((news, tag)) => (Some(compose::write(subscription, &tags, news, true)), tag),
            None => (None, subscription.told.tag),
        };
        self.send(turn, world, id, tag, body);
    }

    /// Builds and sends one NOTIFY, and writes down how far it tells.
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
        tag: u64,
        body: Option<Body>,
    ) {
        let above = self.settings.compress_above;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let coding = subscription.wishes.coding;
        let body = body.map(|body| match coding {
            Some(coding) if body.bytes.len() > above => body.coded(coding),
            _ => body,
        });
        subscription.unanswered = true;
        subscription.last_body = body
            .as_ref()
            .map(|body| LastBody::new(MEDIA_TYPE, &body.bytes));
        let dialog = &mut subscription.record.dialog;
        dialog.local_cseq += 1;
        let told = &mut subscription.told;
        told.next = told.next.wrapping_add(1);
        (told.cseq, told.at, told.tag) = (dialog.local_cseq, turn.now, tag);
        self.store_told(turn, id);
        self.paced_from(turn.now, id);
        self.debts.note(turn.now, id, &mut self.subscriptions);
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let left = subscription.record.expires_at.seconds_from(turn.now);
        let rates = self.told_rates(turn.now, subscription);
        let state = state_text(subscription.record.state, left, &rates);
        let notice = Notice {
            state: &state,
            tag: Some(tag),
            body: body.as_ref().map(|body| Content {
                media_type: &body.content_type,
                coding: body.coding,
                bytes: &body.bytes,
            }),
            ..subscription.notice()
        };
        match notice.compose(turn.now, &self.sender()) {
            Some(outgoing) => {
                turn.quota.leaves(outgoing.ticket, !subscription.is_over());
                turn.outgoing.push(outgoing);
            }
            // a next hop without a host was refused at SUBSCRIBE; kept total for a record of an older version
            None => return self.drop(turn, world, id),
        }
        if subscription.is_over() {
            self.part_all(turn, world, id);
        }
    }

    /// The final response to a NOTIFY came, or none did (408).
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        ticket: Ticket,
        answer: Answer,
        requested_at: Timestamp,
    ) {
        let id = ticket.subscription;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if !std::mem::take(&mut subscription.unanswered) {
            return;
        }
        if turn.ledger.wants(Chargeable::Notify, answer.status) {
            let (record, body) = (&subscription.record, subscription.last_body);
            let times = (requested_at, turn.now);
            let notice = subscription.notice();
            let from = (&*record.entity, self.network.own.ioi.as_str());
            let mut event = notice.charge(&record.charging, from, body, times, answer.status);
            // a list has no account: who watches it pays
            let payers = &turn.ledger.payers;
            event.besides.payers = payers.of_subscription(id.0, &record.asserted);
            event.besides.members = u32::try_from(subscription.seats.len()).ok();
            turn.ledger.write(turn.batch, event);
        }
        if let Some(rates) = answer.rates.filter(|_| answer.is_success()) {
            self.rates_answered(turn, id, rates);
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if ends_subscription(answer.status) {
            // RFC 6665 §4.2.2: nobody is there any more
            return self.drop(turn, world, id);
        }
        if subscription.is_over() && !subscription.last_is_owed {
            return self.drop(turn, world, id);
        }
        if !answer.is_success() && !subscription.is_over() {
            // what it said is lost: the next tells everything, since the watcher may have none of it
            subscription.whole = true;
            subscription.pause_until = turn.now + answer.pause();
        }
        self.show(turn, world, id);
    }

    /// The subscription is over, and its watcher is told so.
    pub(super) fn end(
        &mut self,
        turn: &mut Turn<'_>,
        world: &mut World<'_>,
        id: SubscriptionId,
        input: Input,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let (state, owed) = step(subscription.record.state, input);
        subscription.record.state = state;
        if owed != Owed::Immediate {
            return;
        }
        subscription.last_is_owed = true;
        (subscription.whole, subscription.hurry) = (false, false);
        subscription.restored = false;
        if let Some(until) = subscription.gather_until.take() {
            self.gathering.remove(&(until, id));
        }
        self.part_all(turn, world, id);
        self.store(turn, id);
        self.show(turn, world, id);
    }

    /// Forgets a subscription that is over and whose watcher knows it, or is gone.
    pub(super) fn drop(&mut self, turn: &mut Turn<'_>, world: &mut World<'_>, id: SubscriptionId) {
        self.part_all(turn, world, id);
        self.forget_record(turn, id);
        let Some(subscription) = self.subscriptions.swap_remove(&id) else {
            return;
        };
        if let Some(at) = subscription.paced_at {
            self.paced.remove(&(at, id));
        }
        if let Some(at) = subscription.rhythm.and_then(|rhythm| rhythm.repeat_at) {
            self.repeats.remove(&(at, id));
        }
        if let Some(until) = subscription.gather_until {
            self.gathering.remove(&(until, id));
        }
        turn.quota.over(id);
        let members = subscription.seats.len();
        self.members -= members;
        if let Some(first) = subscription.record.watcher.first()
            && let Some(held) = self.held.get_mut(first)
        {
            held.subscriptions -= 1;
            held.members -= members;
            if held.subscriptions == 0 {
                self.held.remove(first);
            }
        }
    }

    /// What is owed waits for this instant.
    fn wait_until(&mut self, id: SubscriptionId, at: Timestamp) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            let before = subscription.paced_at.replace(at);
            before.map(|before| self.paced.remove(&(before, id)));
            self.paced.insert((at, id));
        }
    }

    /// Forgets the debt of a watcher to whom nothing is owed and who has answered.
    pub(super) fn settle(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && !subscription.unanswered
            && !subscription.owes()
        {
            subscription.owed_since = None;
        }
    }

    /// Whether any NOTIFY was sent or owed since [`Service::settled_until`] found nothing open.
    pub fn has_told(&self) -> bool {
        !self.debts.is_empty()
    }

    /// Everything owed before this instant has been delivered or given up.
    pub fn settled_until(&mut self, now: Timestamp) -> Timestamp {
        let oldest = self.debts.oldest(&mut self.subscriptions);
        oldest.unwrap_or(now)
    }
}

impl Subscription {
    /// Whether the watcher is to be told anything.
    pub(super) fn owes(&self) -> bool {
        let changes = self.reshaped || self.hurry || self.seats.has_stirred();
        self.last_is_owed || !self.is_over() && (self.whole || changes && !self.is_quenched())
    }
}
