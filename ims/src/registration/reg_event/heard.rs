//! NOTIFY of the package: which identities it says what of.

use super::{Entry, News, RegEvents};
use crate::event::subscriber::{Next, Order, Subscriber};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Turn;
use crate::registration::reginfo::{Document, State, Taken};
use crate::reject::Reject;
use crate::sip::header::subscription_state::{State as Wire, SubscriptionState};
use crate::sip::{Aor, Request};
use crate::time::{Millis, Timestamp};
use std::collections::BTreeSet;

/// How long a third-party REGISTER outweighs the first document that contradicts it, 2 s.
const FRESH: Millis = Millis(2_000);
/// When the S-CSCF is asked again that did not know of a registration of its own: after 1 s.
const SECOND_LOOK: Millis = Millis(1_000);
/// Documents in a row with an old version after which the notifier is taken to have lost count.
const MOST_OLDER: u8 = 3;

/// A NOTIFY, taken apart.
#[derive(Debug)]
pub struct Notify<'a> {
    /// Our dialog tag.
    pub id: SubscriptionId,
    pub request: &'a Request<'a>,
    pub state: SubscriptionState<'a>,
    /// `None` without a body.
    pub document: Option<Document>,
}

impl RegEvents {
    /// Whether a NOTIFY with this tag belongs to a subscription of ours and is in order.
    pub fn order(&self, id: SubscriptionId, request: &Request<'_>) -> Result<Order, Reject> {
        self.subscriber(id).ok_or(Reject::NoDialog)?.order(request)
    }

    fn subscriber(&self, id: SubscriptionId) -> Option<&Subscriber> {
        let entry = self.ids.get(&id).and_then(|key| self.entries.get(key));
        let current = entry.and_then(|entry| entry.subscriber.as_ref());
        current.or(self.last.get(&id).map(|last| &last.subscriber))
    }

    /// Takes over a NOTIFY that is new and in order.
    pub fn notified(
        &mut self,
        turn: &mut Turn<'_>,
        notify: &Notify<'_>,
    ) -> Result<Vec<News>, Reject> {
        let (id, now) = (notify.id, turn.now);
        if let Some(last) = self.last.get_mut(&id) {
            let (subscriber, as_uri) = (&mut last.subscriber, &last.as_uri);
            if subscriber.heard(now, notify.request, &notify.state, as_uri)? != Next::Nothing {
                self.last.swap_remove(&id);
            }
            return Ok(Vec::new());
        }
        let key = self.ids.get(&id).cloned().ok_or(Reject::NoDialog)?;
        self.uncover(&key);
        let news = self.notified_of(turn, &key, notify);
        self.cover(&key);
        news
    }

    fn notified_of(
        &mut self,
        turn: &mut Turn<'_>,
        key: &Aor,
        notify: &Notify<'_>,
    ) -> Result<Vec<News>, Reject> {
        let entry = self.entries.get_mut(key).ok_or(Reject::NoDialog)?;
        let subscriber = entry.subscriber.as_mut().ok_or(Reject::NoDialog)?;
        let next = subscriber.heard(turn.now, notify.request, &notify.state, &entry.as_uri)?;
        if !matches!(next, Next::Over(_)) {
            self.refusals.granted(&entry.scscf);
            if entry.is_contradicted(turn.now, notify) {
                self.schedule(key);
                return Ok(Vec::new());
            }
        }
        let (mut news, taken) = match &notify.document {
            Some(document) => entry.learn(turn, document),
            None => (Vec::new(), Taken::InOrder),
        };
        if !self.wants_more(key) {
            self.leave_after(turn, key, notify);
        } else if let Next::Over(_) = next {
            news.extend(self.carry_out(turn, key, next));
        } else {
            news.extend(self.after(turn, key, taken));
            if next == Next::Send {
                self.send(turn, key);
            }
            self.store(turn, key);
            self.schedule(key);
        }
        Ok(news)
    }

    /// Something of the set is registered, or nothing was said of it yet.
    fn wants_more(&self, key: &Aor) -> bool {
        let tables = self.entries.get(key).map(|entry| &entry.tables);
        tables.is_some_and(|tables| tables.rows().is_empty() || tables.any_active())
    }

    /// Nobody of the set is registered any more: the next third-party REGISTER starts anew.
    fn leave_after(&mut self, turn: &mut Turn<'_>, key: &Aor, notify: &Notify<'_>) {
        if notify.state.state == Wire::Terminated
            && let Some(old) = self.entries.get_mut(key).and_then(|e| e.subscriber.take())
        {
            self.ids.swap_remove(&old.id);
        }
        self.leave(turn, key);
    }

    /// What the version of a document asks for.
    fn after(&mut self, turn: &mut Turn<'_>, key: &Aor, taken: Taken) -> Vec<News> {
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        match taken {
            Taken::InOrder => entry.older = 0,
            // RFC 3680 §5.2: a refresh brings full state
            Taken::Gap => self.ask_state(turn, key),
            Taken::Older => {
                entry.older += 1;
                if entry.older >= MOST_OLDER {
                    return self.anew(turn, key); // versions start anew with the subscription
                }
                self.ask_state(turn, key);
            }
        }
        Vec::new()
    }

    /// The identities of the set that this one belongs to, as its S-CSCF tells them.
    pub fn set_of(&self, id: SubscriptionId) -> Vec<Aor> {
        let entry = self.ids.get(&id).and_then(|key| self.entries.get(key));
        let rows = entry.map(|entry| entry.tables.rows()).unwrap_or_default();
        rows.iter().map(|row| row.aor.clone()).collect()
    }

    /// The identity that is subscribed to in the dialog with this tag.
    pub fn resource(&self, id: SubscriptionId) -> Option<&Aor> {
        self.ids.get(&id)
    }
}

impl Entry {
    /// Whether the first thing that a subscription tells is that nobody is registered, although a REGISTER of the same
    /// S-CSCF has just said otherwise: Kamailio tells the servers of a registration before it has entered the contact.
    /// The REGISTER counts until a new subscription has been asked, once.
    fn is_contradicted(&mut self, now: Timestamp, notify: &Notify<'_>) -> bool {
        let first = self.tables.version().is_none();
        let gone = notify.document.as_ref().is_some_and(|document| {
            let mut registrations = document.registrations.iter();
            document.full && !registrations.any(|r| r.state == State::Active)
        });
        let fresh = |at| now.since(at) < FRESH;
        if !first || !gone || !self.registered_at.is_some_and(fresh) {
            return false;
        }
        self.registered_at = None;
        self.ask_again_at = Some(now + SECOND_LOOK);
        true
    }

    /// Takes over a document: what it says of each identity.
    fn learn(&mut self, turn: &Turn<'_>, document: &Document) -> (Vec<News>, Taken) {
        self.ask_again_at = None;
        let before: BTreeSet<Aor> = self.active().cloned().collect();
        let taken = self.tables.take(turn.now, document);
        if taken == Taken::Older {
            return (Vec::new(), taken);
        }
        let told = document.registrations.iter().map(|r| r.aor.clone());
        // full state says of everybody else that he is gone, unless it says nothing at all
        let silent = document.registrations.is_empty();
        let mentioned: BTreeSet<Aor> = if document.full && !silent {
            before.into_iter().chain(told).collect()
        } else {
            told.collect()
        };
        self.doubts
            .retain(|(identity, _)| !mentioned.contains(identity));
        let ends = self.subscriber.as_ref().map(Subscriber::expires_at);
        let ends = ends.unwrap_or(turn.now);
        let news = mentioned.into_iter().map(|identity| {
            let mut rows = self.tables.rows().iter();
            match rows.find(|row| row.aor == identity && row.state == State::Active) {
                Some(row) => News::Active {
                    identity,
                    until: row.expires_at().unwrap_or(ends),
                },
                None => News::Ended { identity },
            }
        });
        (news.collect(), taken)
    }

    fn active(&self) -> impl Iterator<Item = &Aor> {
        let rows = self.tables.rows().iter();
        rows.filter(|row| row.state == State::Active)
            .map(|row| &row.aor)
    }
}
