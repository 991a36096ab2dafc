//! What comes back: answers to SUBSCRIBEs, and NOTIFYs, also of those to whom a SUBSCRIBE was forked.

use super::content::{self, Told};
use super::entry::{Leg, MOST_FORKS};
use super::flow::Number;
use super::outcome::Verdict;
use super::sending::charged;
use super::{Bounds, Service};
use crate::charge::Chargeable;
use crate::event::onlooker::Content;
use crate::event::subscriber::{Answer, Next, Order, Subscriber, call_id};
use crate::event::subscription::{State, SubscriptionId};
use crate::event::turn::{Ticket, Turn};
use crate::reject::Reject;
use crate::sip::Request;
use crate::sip::header::subscription_state::{State as Wire, SubscriptionState};
use crate::time::Timestamp;

/// A NOTIFY, taken apart.
#[derive(Debug)]
pub struct Notify<'a> {
    /// Our dialog tag.
    pub id: SubscriptionId,
    pub request: &'a Request<'a>,
    pub state: SubscriptionState<'a>,
    pub told: Told,
}

impl Service {
    /// Whether a dialog tag is one of ours.
    pub fn owns(&self, id: SubscriptionId) -> bool {
        self.ids.contains_key(&id)
    }

    /// The package of a dialog of ours.
    pub fn package(&self, id: SubscriptionId) -> Option<&str> {
        let entry = self.entries.get(self.ids.get(&id)?)?;
        Some(&entry.key.package)
    }

    /// Bounds of what is read.
    pub fn bounds(&self) -> &Bounds {
        &self.settings.bounds
    }

    /// Reads the body of a NOTIFY with this tag, which is out of its coding.
    pub fn read(
        &self,
        id: SubscriptionId,
        media_type: Option<&str>,
        body: &[u8],
    ) -> Result<Told, Reject> {
        let package = self.package(id).ok_or(Reject::NoDialog)?;
        content::read(package, media_type, body, self.settings.bounds.nested)
    }

    /// Whether a NOTIFY with this tag belongs to a dialog of ours, or opens one, and is in order.
    pub fn order(
        &self,
        now: Timestamp,
        id: SubscriptionId,
        request: &Request<'_>,
    ) -> Result<Order, Reject> {
        let number = self.ids.get(&id).ok_or(Reject::NoDialog)?;
        let entry = self.entries.get(number).ok_or(Reject::NoDialog)?;
        let mut legs = entry.legs.iter();
        let leg = legs.find(|leg| leg.subscriber.is_with(request));
        let undecided = || entry.legs.iter().find(|leg| leg.subscriber.is_asking());
        if let Some(leg) = leg.or_else(undecided) {
            return leg.subscriber.order(request);
        }
        // RFC 6665 §4.1.2.4, §4.4.1: until Timer N each NOTIFY from somebody else is a subscription of its own
        let may_open = entry
            .opening
            .is_some_and(|opening| opening.id == id && now < opening.until);
        let fits = request.call_id == call_id(id) && request.from.tag().is_some();
        match may_open && fits && entry.legs.len() < MOST_FORKS {
            true => Ok(Order::New),
            false => Err(Reject::NoDialog),
        }
    }

    /// Takes over a NOTIFY that is new and in order.
    pub fn notified(&mut self, turn: &mut Turn<'_>, notify: Notify<'_>) -> Result<(), Reject> {
        let number = *self.ids.get(&notify.id).ok_or(Reject::NoDialog)?;
        let place = self.leg(turn, number, &notify)?;
        let entry = self.entries.get_mut(&number).ok_or(Reject::NoDialog)?;
        let key = entry.key.clone();
        let leg = entry.legs.get_mut(place).ok_or(Reject::NoDialog)?;
        let heard = leg
            .subscriber
            .heard(turn.now, notify.request, &notify.state, key.from());
        let next = match heard {
            Ok(next) => next,
            Err(reject) => {
                self.unfork(number, place);
                return Err(reject);
            }
        };
        if !matches!(next, Next::Over(_)) && !entry.closing {
            self.learn(number, place, &notify);
            if notify.told == Told::Part {
                self.ask_state(turn, number, place);
            }
        }
        self.carry_out(turn, number, place, next, Verdict::of_state(&notify.state));
        Ok(())
    }

    /// The dialog of a NOTIFY; a new one, where it comes from another branch of the SUBSCRIBE.
    fn leg(
        &mut self,
        turn: &mut Turn<'_>,
        number: Number,
        notify: &Notify<'_>,
    ) -> Result<usize, Reject> {
        let entry = self.entries.get(&number).ok_or(Reject::NoDialog)?;
        let mut legs = entry.legs.iter();
        let known = legs.position(|leg| leg.subscriber.is_with(notify.request));
        let undecided = || {
            let mut legs = entry.legs.iter();
            legs.position(|leg| leg.subscriber.is_asking())
        };
        if let Some(place) = known.or_else(undecided) {
            return Ok(place);
        }
        let lifetime = entry.lifetime(turn.now, self.settings.bounds.lifetime);
        let ticket = self.new_id(turn.random, number);
        let (id, timer_n) = (notify.id, self.settings.timer_n);
        let subscriber = Subscriber::forked(turn.now, id, ticket, lifetime, timer_n);
        self.tickets.insert(ticket, number);
        let entry = self.entries.get_mut(&number).ok_or(Reject::NoDialog)?;
        entry.legs.push(Leg {
            subscriber,
            slot: None,
        });
        Ok(entry.legs.len() - 1)
    }

    /// A NOTIFY that was to open another dialog is refused: there is none.
    fn unfork(&mut self, number: Number, place: usize) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let opened = entry.legs.get(place);
        let is_fork = |leg: &&Leg| {
            leg.subscriber.dialog().is_none() && leg.subscriber.ticket != leg.subscriber.id
        };
        if let Some(ticket) = opened.filter(is_fork).map(|leg| leg.subscriber.ticket) {
            entry.legs.remove(place);
            self.tickets.swap_remove(&ticket);
        }
    }

    /// What the NOTIFY says of its instance.
    fn learn(&mut self, number: Number, place: usize, notify: &Notify<'_>) {
        let tags = self.tags;
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.refused_at = None;
        let known = entry.legs.get(place).and_then(|leg| leg.slot);
        let slot = known.unwrap_or_else(|| entry.free_slot());
        if let Some(leg) = entry.legs.get_mut(place) {
            leg.slot = Some(slot);
        }
        let Some(slot) = entry.slots.get_mut(slot) else {
            return;
        };
        let before = slot.clone();
        match (&notify.state.state, &notify.told) {
            (Wire::Pending, _) => {
                // whatever it brings is not for the watcher yet
                (slot.state, slot.content, slot.tag) = (State::Pending, None, 0);
            }
            (_, Told::State(content)) => {
                slot.state = State::Active;
                slot.tag = tag(content, tags);
                slot.content = Some(content.clone());
            }
            (_, told) => {
                // RFC 6665 §4.2.1.2: without a body there is no meaningful state; a part is not taken, and what there
                // is stands until the whole comes
                if *told == Told::Nothing || slot.state != State::Active {
                    (slot.content, slot.tag) = (None, 0);
                }
                slot.state = State::Active;
            }
        }
        if *slot != before || known.is_none() {
            self.stir(number);
        }
    }

    /// The final response to a SUBSCRIBE of ours came, or none did (408).
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        answer: &Answer,
        requested_at: Timestamp,
    ) {
        let Some(number) = self.tickets.get(&ticket.subscription).copied() else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        let is_of = |leg: &Leg| leg.subscriber.ticket == ticket.subscription;
        let Some(place) = entry.legs.iter().position(is_of) else {
            return;
        };
        if turn.ledger.wants(Chargeable::Subscribe, answer.status) {
            let subscriber = entry.legs.get(place).map(|leg| &leg.subscriber);
            let (own, times) = (&self.settings.own, (requested_at, turn.now));
            let event = subscriber.and_then(|s| charged(entry, s, own, times, answer.status));
            if let Some(event) = event {
                turn.ledger.write(turn.batch, event);
            }
        }
        let Some(leg) = entry.legs.get_mut(place) else {
            return;
        };
        let next = leg.subscriber.answered(turn.now, ticket.cseq, answer);
        self.carry_out(turn, number, place, next, Verdict::of_answer(answer));
    }
}

/// The tag of state: of its bytes and their type, under the secret of the store.
pub(super) fn tag(content: &Content, tags: crate::event::tag::TagKey) -> u64 {
    tags.of(&(&*content.media_type, &*content.bytes))
}
