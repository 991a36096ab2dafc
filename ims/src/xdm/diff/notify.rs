//! NOTIFY: what a subscriber is told, when, and what becomes of the answer (RFC 5875 §4.7).

use super::pending::{Mode, Pending, Span, Version, Was};
use super::state::Subscription;
use super::store::Shown;
use super::writer::{MEDIA_TYPE, Writer};
use super::{Service, Store};
use crate::charge::Chargeable;
use crate::event::notice::{Answer, CSEQ_RANGE, Content, LastBody, Notice, state_text};
use crate::event::subscription::{
    End, Input, Owed, State, SubscriptionId, ends_subscription, step,
};
use crate::event::tag::Condition;
use crate::event::turn::{Ticket, Turn};
use crate::sip::header::rate::Rates;
use crate::time::Timestamp;

impl Service {
    /// Tells a subscriber what it is owed, now or when pacing and the answer to the NOTIFY before allow.
    pub(super) fn show(&mut self, turn: &mut Turn<'_>, store: &Store<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        if subscription.last_is_owed {
            return self.tell_last(turn, store, id);
        }
        if subscription.record.state != State::Active || subscription.owed.is_empty() {
            return self.settle(id);
        }
        if subscription.sent.is_some() {
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        let (whole, not_before) = (subscription.owed.whole, subscription.not_before);
        if !whole && turn.now < not_before {
            self.paced.insert((not_before, id));
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        if whole {
            self.tell_whole(turn, store, id);
        } else if turn.quota.lets(id) {
            self.tell_changes(turn, store, id);
        } else {
            self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        self.settle(id);
    }

    /// The whole state: the answer to a SUBSCRIBE. While a NOTIFY is under way it waits: "a notifier MUST NOT send a new
    /// NOTIFY request to the same dialog unless a successful 200-response has been received for the last".
    pub(super) fn tell_whole(
        &mut self,
        turn: &mut Turn<'_>,
        store: &Store<'_>,
        id: SubscriptionId,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if subscription.sent.is_some() {
            subscription.owed.whole = true;
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        if subscription.record.state == State::Active && !turn.quota.lets(id) {
            subscription.owed.whole = true;
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        // what a collection holds by now beyond the limit was refused at SUBSCRIBE, or came since: it is not shown
        let shown = store.shown(subscription).0;
        let tag = self.tags.of(&seen(store, subscription, &shown));
        let known = subscription.record.condition;
        let owed = std::mem::take(&mut subscription.owed).gone(|key| {
            let readable = store.may_read(&subscription.identity, key);
            readable && store.version(key).is_none()
        });
        let body = known.is_none_or(|c| !c.holds(tag)).then(|| {
            let full = whole(store, subscription, &shown, &owed, true);
            match full.len() > store.settings().max_body {
                true => whole(store, subscription, &shown, &owed, false),
                false => full,
            }
        });
        if matches!(known, Some(Condition::Tag(_))) {
            subscription.record.condition = None; // it was about this NOTIFY
        }
        self.send(turn, id, tag, body, owed);
    }

    /// What has changed since the NOTIFY before.
    fn tell_changes(&mut self, turn: &mut Turn<'_>, store: &Store<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let mut owed = std::mem::take(&mut subscription.owed);
        let identity = subscription.identity.clone();
        // asked again, since it may have changed
        owed.spans.retain(|span| {
            let passed = span.from.is_none() && span.to.is_none();
            !passed && store.may_read(&identity, &span.key)
        });
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let values = store.values(subscription, &|at| owed.components.contains_key(&at));
        let told = |at: &usize| owed.components.get(at);
        let news: Vec<_> = values
            .into_iter()
            .filter(|(at, value)| told(at) != Some(&Was::Told(value.clone())))
            .collect();
        if owed.spans.is_empty() && news.is_empty() {
            return;
        }
        let write = |patches: Option<&mut super::Patches>, content: bool| {
            let mut writer = Writer::new(&store.settings().root.told);
            spans(&mut writer, subscription, &owed.spans, patches);
            for (at, value) in &news {
                let resource = subscription.resources.get(*at);
                let component = subscription.components().find(|(own, _)| own == at);
                if let (Some(resource), Some((_, component))) = (resource, component) {
                    writer.component(component.kind(), &resource.sel, value.as_deref(), content);
                }
            }
            writer.finish()
        };
        let patched = subscription.record.mode != Mode::NoPatching;
        let mut body = write(patched.then_some(&mut self.patches), true);
        if body.len() > store.settings().max_body {
            // RFC 5875 §4.7: "the diff-generation may be disabled when the NOTIFY body becomes impractically large"
            body = write(None, false);
        }
        let shown = store.shown(subscription).0;
        let tag = self.tags.of(&seen(store, subscription, &shown));
        self.send(turn, id, tag, Some(body), owed);
    }

    /// The NOTIFY that ends the subscription.
    fn tell_last(&mut self, turn: &mut Turn<'_>, store: &Store<'_>, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if subscription.sent.is_some() {
            return self.debts.note(turn.now, id, &mut self.subscriptions);
        }
        subscription.last_is_owed = false;
        let over = subscription.record.state == State::Terminated(End::Timeout);
        if over && subscription.owed.whole {
            return self.tell_whole(turn, store, id);
        }
        subscription.owed = Pending::default();
        let shown = store.shown(subscription).0;
        let tag = self.tags.of(&seen(store, subscription, &shown));
        self.send(turn, id, tag, None, Pending::default());
    }

    /// The tag of what the subscriber may see now.
    pub(super) fn tag(&self, store: &Store<'_>, subscription: &Subscription) -> u64 {
        let shown = store.shown(subscription).0;
        self.tags.of(&seen(store, subscription, &shown))
    }

    /// Builds and sends one NOTIFY.
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        id: SubscriptionId,
        tag: u64,
        body: Option<String>,
        what: Pending,
    ) {
        let pace = turn.now + self.network.notify_interval;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        self.paced.remove(&(subscription.not_before, id));
        subscription.not_before = pace;
        subscription.sent = Some(what);
        let body = body.as_deref().map(str::as_bytes);
        subscription.last_body = body.map(|body| LastBody::new(MEDIA_TYPE, body));
        let dialog = &mut subscription.record.dialog;
        dialog.local_cseq += 1;
        if dialog.local_cseq > subscription.record.cseq_reserved {
            subscription.record.cseq_reserved = dialog.local_cseq + CSEQ_RANGE;
            self.store(turn, id);
        }
        self.debts.note(turn.now, id, &mut self.subscriptions);
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let left = subscription.record.expires_at.seconds_from(turn.now);
        let state = state_text(subscription.record.state, left, &Rates::default());
        let notice = Notice {
            state: &state,
            tag: Some(tag),
            body: body.map(|bytes| Content {
                media_type: MEDIA_TYPE,
                coding: None,
                bytes,
            }),
            ..subscription.notice()
        };
        match notice.compose(turn.now, &self.sender()) {
            Some(outgoing) => {
                let shows = subscription.record.state == State::Active;
                turn.quota.leaves(outgoing.ticket, shows);
                turn.outgoing.push(outgoing);
            }
            // a next hop without a host was refused at SUBSCRIBE; kept total for a record of an older version
            None => self.drop(turn, id),
        }
    }

    /// The final response to a NOTIFY came, or none did (408).
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        store: &Store<'_>,
        ticket: Ticket,
        answer: Answer,
        requested_at: Timestamp,
    ) {
        let id = ticket.subscription;
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let Some(sent) = subscription.sent.take() else {
            return;
        };
        if turn.ledger.wants(Chargeable::Notify, answer.status) {
            let (record, body) = (&subscription.record, subscription.last_body);
            let times = (requested_at, turn.now);
            let notice = subscription.notice();
            let from = (&*record.entity, self.network.own.ioi.as_str());
            let mut event = notice.charge(&record.charging, from, body, times, answer.status);
            event.besides.payers = turn.ledger.payers.of_notify(id.0, &record.subscriber);
            turn.ledger.write(turn.batch, event);
        }
        if ends_subscription(answer.status) {
            // "If the NOTIFY request fails due to a timeout, the notifier MUST remove the subscription."
            return self.drop(turn, id);
        }
        let over = matches!(subscription.record.state, State::Terminated(_));
        if over && !subscription.last_is_owed {
            return self.drop(turn, id);
        }
        if !answer.is_success() && !over {
            let most = store.settings().max_changes;
            subscription
                .owed
                .put_back(subscription.record.mode, sent, most);
            self.paced.remove(&(subscription.not_before, id));
            subscription.not_before = turn.now + answer.pause();
            // not at once, even the whole state: the subscriber could not take it
            let at = subscription.not_before;
            self.paced.insert((at, id));
            return;
        }
        self.show(turn, store, id);
        self.settle(id);
    }

    /// The subscription is over, and its subscriber is told so.
    pub(super) fn end(
        &mut self,
        turn: &mut Turn<'_>,
        store: &Store<'_>,
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
        subscription.owed = Pending::default();
        self.store(turn, id);
        self.tell_last(turn, store, id);
    }

    /// Forgets the debt of a subscriber to whom nothing is owed and who has answered.
    pub(super) fn settle(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && subscription.sent.is_none()
            && subscription.owed.is_empty()
            && !subscription.last_is_owed
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

/// The whole state as a document. Without `content`, of components only that they are there.
fn whole(
    store: &Store<'_>,
    subscription: &Subscription,
    shown: &[Shown],
    owed: &Pending,
    content: bool,
) -> String {
    let mut writer = Writer::new(&store.settings().root.told);
    // what went since the subscriber was told last: a list of what is there would not say it
    spans(&mut writer, subscription, &owed.spans, None);
    for document in shown {
        writer.document(&document.sel, None, Some(&document.etag), None);
    }
    let values = store.values(subscription, &|_| true);
    for (at, value) in values {
        let component = subscription.components().find(|(own, _)| *own == at);
        let resource = subscription.resources.get(at);
        // one that is not there is not spoken of (RFC 5875 §4.7), unless the subscriber may believe that it is
        let spoken_of = value.is_some() || owed.components.contains_key(&at);
        if let (true, Some((_, component)), Some(resource)) = (spoken_of, component, resource) {
            writer.component(component.kind(), &resource.sel, value.as_deref(), content);
        }
    }
    writer.finish()
}

fn spans(
    writer: &mut Writer,
    subscription: &Subscription,
    spans: &[Span],
    mut patches: Option<&mut super::Patches>,
) {
    for span in spans {
        let Some(sel) = subscription.sel(&span.key) else {
            continue;
        };
        let (from, to) = (span.from.as_ref(), span.to.as_ref());
        let patch = match (from, to, &mut patches) {
            (Some(from), Some(to), Some(patches)) => patches.between(span.changes, from, to),
            _ => None,
        };
        let etag = |version: Option<&Version>| version.map(|v| v.etag.clone());
        let (previous, new) = (etag(from), etag(to));
        writer.document(&sel, previous.as_deref(), new.as_deref(), patch.as_deref());
    }
}

/// What the tag of the state rests on: the documents shown, and those whose parts are.
fn seen(store: &Store<'_>, subscription: &Subscription, shown: &[Shown]) -> Vec<(String, String)> {
    let documents = shown.iter().map(|s| (s.sel.clone(), s.etag.to_string()));
    let components = subscription.components().filter_map(|(at, component)| {
        let readable = store.may_read(&subscription.identity, &component.key);
        let version = store.version(&component.key).filter(|_| readable)?;
        let resource = subscription.resources.get(at)?;
        Some((resource.sel.to_string(), version.etag.to_string()))
    });
    let mut seen: Vec<(String, String)> = documents.chain(components).collect();
    seen.sort(); // RFC 5875 §4.7: "the notifier does not consider the order of these URIs"
    seen
}
