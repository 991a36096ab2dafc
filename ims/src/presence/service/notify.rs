//! NOTIFY: what a watcher is shown, when, and what becomes of the answer (RFC 6665 §4.2.2, RFC 3856 §6.7, §6.10).

use super::gallery::Shown;
use super::message::Told;
use super::partial::Form;
use super::state::{Debt, Subscription};
use super::{Directory, Service};
use crate::charge::Chargeable;
use crate::event::notice::{Answer, CSEQ_RANGE, LastBody};
use crate::event::subscription::{End, Input, State, SubscriptionId, ends_subscription};
use crate::event::turn::{Ticket, Turn};
use crate::presence::rules::Handling;
use crate::sip::Aor;
use crate::time::Timestamp;

impl Service {
    /// Shows the present state to every active watcher of the presentity whose view of it changed.
    pub(super) fn fan_out(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        self.galleries.swap_remove(presentity);
        let Some(entry) = self.presentities.get(presentity) else {
            return;
        };
        let watchers: Vec<SubscriptionId> = entry.watchers.iter().copied().collect();
        for id in watchers {
            self.show(turn, directory, id);
        }
        self.stir_all(turn, directory, presentity);
    }

    /// Shows a watcher the present state if it is new to it, now or when pacing allows.
    pub(super) fn show(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        // the policy speaks first: what it says now may end the subscription or make it wait
        if self.verdict_is_due(turn.now, id) && self.reconsider_one(turn, directory, id) {
            return;
        }
        self.show_decided(turn, directory, id);
    }

    /// The same, under the verdict that stands.
    pub(super) fn show_decided(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        self.present(turn, directory, id, Debt::State);
    }

    /// Shows what is owed, or notes that it is owed until it may be shown.
    pub(super) fn present(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
        debt: Debt,
    ) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if subscription.record.state != State::Active {
            return; // not authorised, or over: told nothing
        }
        let unanswered = subscription.unanswered > 0;
        let until = self.waits(turn.now, id, debt);
        if unanswered || until.is_some() {
            self.owe(turn, id, debt, until);
            return;
        }
        if let Some(shown) = self.news_for(turn.now, directory, id, debt) {
            if !turn.quota.lets(id) {
                return self.await_credit(turn.now, id, debt);
            }
            let form = self.form_of(id, &shown, debt);
            self.send(turn, id, Some(shown), form);
        } else if debt == Debt::Repeat {
            // the watcher has this state and wants no other word of it (RFC 5839)
            self.schedule_repeat(turn.now, id, turn.now);
        }
    }

    /// The same without pacing, which is for the presentity's state: what the watcher may see has changed.
    pub(super) fn show_at_once(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        // one that waits for the presentity is shown nothing, and keeps what it is owed
        let active = |s: &&mut Subscription| s.record.state == State::Active;
        let Some(subscription) = self.subscriptions.get_mut(&id).filter(active) else {
            return;
        };
        let pace = std::mem::replace(&mut subscription.not_before, turn.now);
        self.paced.remove(&(pace, id));
        subscription.debt = Debt::Nothing;
        self.waits_no_more(turn, id);
        self.present(turn, directory, id, Debt::Right);
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && subscription.unanswered == 0
        {
            subscription.not_before = pace; // it looks the same: nothing was sent
        }
        self.settle(id);
    }

    /// Notes that the watcher is owed something, and when it may be paid.
    fn owe(
        &mut self,
        turn: &mut Turn<'_>,
        id: SubscriptionId,
        debt: Debt,
        until: Option<Timestamp>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.debt = subscription.debt.max(debt);
        self.paced.remove(&(subscription.not_before, id));
        subscription.not_before = until.map_or(subscription.not_before, |until| {
            until.max(subscription.not_before)
        });
        if subscription.unanswered == 0 {
            self.paced.insert((subscription.not_before, id));
        }
        if self.waits_long(turn, id) {
            self.settle(id);
        } else {
            self.debts.note(turn.now, id, &mut self.subscriptions);
        }
    }

    /// Pays what is owed: the pacing instant has come, or the last NOTIFY was answered.
    pub(super) fn pay(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        if self.verdict_is_due(turn.now, id) {
            self.reconsider_one(turn, directory, id);
        }
        let Some(subscription) = self
            .subscriptions
            .get_mut(&id)
            .filter(|s| s.debt != Debt::Nothing)
        else {
            return;
        };
        let debt = std::mem::take(&mut subscription.debt);
        match subscription.record.state {
            State::Active if debt != Debt::Whole => self.present(turn, directory, id, debt),
            State::Active | State::Pending | State::Waiting | State::Terminated(_) => {
                self.notify(turn, directory, id);
            }
        }
        if self
            .subscriptions
            .get(&id)
            .is_some_and(|s| s.debt == Debt::Nothing)
        {
            self.waits_no_more(turn, id);
        }
        self.settle(id);
    }

    /// Sends a NOTIFY now: the answer to a SUBSCRIBE, or a change of the subscription itself.
    pub(super) fn notify(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) {
        let shown = self.due(turn.now, directory, id);
        let must_wait = |s: &Subscription| shown.is_some() && s.must_wait();
        if self.subscriptions.get(&id).is_some_and(must_wait) {
            return self.owe(turn, id, Debt::Whole, None);
        }
        let shows = |s: &Subscription| s.record.state == State::Active;
        if self.subscriptions.get(&id).is_some_and(shows) && !turn.quota.lets(id) {
            return self.await_credit(turn.now, id, Debt::Whole);
        }
        self.send(turn, id, shown, Form::Whole);
    }

    /// What a NOTIFY that is sent whatever the state, such as the answer to a SUBSCRIBE, shows now.
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        directory: &dyn Directory,
        id: SubscriptionId,
    ) -> Option<Shown> {
        let verdict = self.verdict(now, directory, id)?;
        let subscription = self.subscriptions.get(&id)?;
        let allowed = matches!(verdict.handling, Handling::Allow | Handling::PoliteBlock);
        let tells_state = match subscription.record.state {
            State::Active => true,
            State::Pending | State::Waiting => false, // RFC 3856 §6.6.2: no state while pending
            State::Terminated(end) => end == End::Timeout,
        };
        if tells_state && allowed {
            self.picture(now, directory, id)
        } else {
            None
        }
    }

    /// Tag of what a NOTIFY shows, or of showing nothing.
    pub(super) fn tag_of(&self, shown: Option<&Shown>) -> u64 {
        shown.map_or_else(|| self.tags.of_nothing(), |s| s.tag)
    }

    /// Builds and sends one NOTIFY.
    fn send(&mut self, turn: &mut Turn<'_>, id: SubscriptionId, shown: Option<Shown>, form: Form) {
        let tag = self.tag_of(shown.as_ref());
        self.keep_whole(id, shown.as_ref());
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        self.paced.remove(&(subscription.not_before, id));
        subscription.debt = Debt::Nothing;
        subscription.last_told = shown.as_ref().map_or(0, |_| subscription.mark(tag));
        // RFC 5839 §6.2: what the watcher has already is left out, and its tag is sent all the same
        let condition = subscription.condition();
        let shown = shown.filter(|_| condition.is_none_or(|c| !c.holds(tag)));
        let failed = condition.is_some() && shown.is_some();
        let body = match shown.map(|shown| self.body(id, &shown, form)) {
            Some(None) => return, // what it holds says the same
            body => body.flatten(),
        };
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.last_body = body
            .as_ref()
            .map(|body| LastBody::new(body.media_type(), body.bytes()));
        subscription.unanswered = subscription.unanswered.saturating_add(1);
        subscription.record.dialog.local_cseq += 1;
        if subscription.record.dialog.local_cseq > subscription.record.cseq_reserved {
            subscription.record.cseq_reserved = subscription.record.dialog.local_cseq + CSEQ_RANGE;
            self.store_subscription(turn, id);
        }
        if failed {
            self.end_condition(turn, id);
        }
        self.paced_from(turn, id);
        self.debts.note(turn.now, id, &mut self.subscriptions);
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let told = Told {
            tag: subscription.observer.is_none().then_some(tag),
            body: body.as_ref(),
        };
        match self.compose_notify(turn.now, subscription, told) {
            Some(outgoing) => {
                let shows = subscription.record.state == State::Active;
                turn.quota.leaves(outgoing.ticket, shows);
                turn.outgoing.push(outgoing);
                if body.is_some() {
                    self.note_observed(id);
                }
            }
            // a next hop without a host was refused at SUBSCRIBE; kept total for a record of an older version
            None => self.drop_subscription(turn, id),
        }
    }

    /// The final response to a NOTIFY came, or none did (408).
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        ticket: Ticket,
        answer: Answer,
        requested_at: Timestamp,
    ) {
        let id = ticket.subscription;
        let status = answer.status;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.unanswered = subscription.unanswered.saturating_sub(1);
        if turn.ledger.wants(Chargeable::Notify, status) {
            let (record, body) = (&subscription.record, subscription.last_body);
            let times = (requested_at, turn.now);
            let notice = subscription.notice();
            let from = (&*record.entity, self.settings.own_ioi.as_str());
            let mut event = notice.charge(&record.charging, from, body, times, status);
            event.besides.payers = turn.ledger.payers.of_notify(id.0, &record.asserted);
            turn.ledger.write(turn.batch, event);
        }
        if ends_subscription(status) {
            self.advance(turn, directory, id, Input::WatcherGone);
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if subscription.record.state == State::Waiting {
            if subscription.unanswered == 0 {
                turn.quota.over(id);
            }
            return self.settle(id); // the watcher need not know that it is remembered
        }
        if matches!(subscription.record.state, State::Terminated(_)) {
            let answers_owed = subscription.unanswered;
            let mut owed = subscription.debt;
            if ends_subscription(status) {
                self.forget_record(turn, id); // nobody is left to tell, not even after a restart
                owed = Debt::Nothing;
            }
            match (answers_owed, owed) {
                (0, Debt::Nothing) => self.drop_subscription(turn, id),
                (0, Debt::State | Debt::Whole) => self.pay(turn, directory, id),
                _ => {}
            }
            return; // else it waits for the answers to its other NOTIFYs, each of which is charged
        }
        if !answer.is_success() {
            // this NOTIFY failed and the subscription lives: the state is shown again later
            let pause = answer.pause();
            subscription.last_told = 0;
            subscription.last_whole = None;
            subscription.lost_track();
            if let Some(observer) = &mut subscription.observer {
                observer.told = None;
            }
            self.paced.remove(&(subscription.not_before, id));
            subscription.not_before = turn.now + pause;
            subscription.debt = subscription.debt.max(Debt::State);
        } else if let Some(rates) = answer.rates {
            self.rates_answered(turn, id, rates);
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if subscription.debt != Debt::Nothing && subscription.unanswered == 0 {
            let at_once = subscription.debt == Debt::Whole && answer.is_success();
            if turn.now < subscription.not_before && !at_once {
                self.paced.insert((subscription.not_before, id));
                self.waits_long(turn, id);
            } else {
                self.pay(turn, directory, id);
            }
        }
        self.settle(id);
    }

    /// Forgets the debt of a watcher to whom nothing is owed, or whose debt is written down, and who has answered.
    pub(super) fn settle(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && subscription.unanswered == 0
            && (subscription.debt == Debt::Nothing || subscription.waits)
        {
            subscription.owed_since = None;
        }
    }

    /// Whether any NOTIFY was sent or owed since [`Service::settled_until`] found nothing open.
    pub fn has_told(&self) -> bool {
        !self.debts.is_empty()
    }

    /// Everything owed before this instant has been delivered or given up. What changed later is owed again
    /// after a restart, so that no change is lost and few are told twice.
    pub fn settled_until(&mut self, now: Timestamp) -> Timestamp {
        let oldest = self.debts.oldest(&mut self.subscriptions);
        oldest.unwrap_or(now)
    }
}
