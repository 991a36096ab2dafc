//! What other XDMSs tell of their documents, taken over: a document whose entity-tag is another is asked for.

use super::Remote;
use super::changes::bare;
use super::copy::Standing;
use super::follow::Notify;
use crate::event::subscriber::{Answer, Order};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::{Ticket, Turn};
use crate::reject::Reject;
use crate::sip::Request;
use crate::time::{Millis, Timestamp};
use crate::xdm::key::DocumentKey;

impl Remote {
    /// Whether a dialog tag is one of these subscriptions.
    pub fn follows(&self, id: SubscriptionId) -> bool {
        self.follows.owns(id)
    }

    /// Whether a NOTIFY with this tag belongs to a subscription of these and is in order.
    pub fn order(&self, id: SubscriptionId, request: &Request<'_>) -> Result<Order, Reject> {
        self.follows.order(id, request)
    }

    /// Takes over a NOTIFY that is new and in order.
    pub fn notified(&mut self, turn: &mut Turn<'_>, notify: Notify<'_>) -> Result<(), Reject> {
        let told = self
            .follows
            .notified(turn, &self.settings.servers, notify)?;
        for change in told.changes {
            let copy = self.copies.get_mut(&change.key);
            let known = copy.as_ref().and_then(|copy| copy.known.as_ref());
            let ours = known.and_then(|known| known.etag.as_deref()).map(bare);
            let counts = copy
                .as_ref()
                .is_some_and(|c| c.standing == Standing::Counts);
            if counts && change.etag.is_some() && ours == change.etag {
                if let Some(known) = copy.and_then(|copy| copy.known.as_mut()) {
                    known.valid_at = turn.now;
                }
            } else {
                self.queue(&change.key);
            }
        }
        for key in told.unnamed {
            // RFC 5875 §4.7: what is not there is not named, and neither is what we may not read
            if self.counting(&key).is_some() {
                self.queue(&key);
            }
        }
        self.polled(turn.now, told.left);
        self.schedule_follows();
        Ok(())
    }

    /// The final response to a SUBSCRIBE of ours came, or none did.
    pub fn subscribe_answered(&mut self, turn: &mut Turn<'_>, ticket: Ticket, answer: &Answer) {
        let servers = &self.settings.servers;
        let left = self.follows.answered(turn, servers, ticket, answer);
        self.polled(turn.now, left);
        self.schedule_follows();
    }

    /// Nobody tells of these any more: they are asked for as often as others.
    pub(super) fn polled(&mut self, now: Timestamp, keys: Vec<DocumentKey>) {
        for key in keys {
            let Some(copy) = self.copies.get_mut(&key) else {
                continue;
            };
            let poll = self.settings.servers.get(copy.server).map(|s| s.poll);
            let poll = poll.map_or(Millis(0), Millis::from);
            copy.ask_at = copy.ask_at.min(now + poll);
            self.schedule(&key);
        }
    }
}
