//! NOTIFY of a subscription to presence: what it says, for the message that any package sends.

use super::Service;
use super::state::Subscription;
use crate::event::notice::{self, Content, Notice, Sender, state_text};
use crate::event::subscription::SubscriptionId;
use crate::event::turn::Outgoing;
use crate::presence::content::Body;
use crate::time::Timestamp;

/// What one NOTIFY says of the presentity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// Tag of the state, whether it is in the body or not (RFC 5839 §6.2). Watcher information has none: its documents
    /// are numbered, and most say only what changed.
    pub tag: Option<u64>,
    /// The state; none while it may not be told, or need not.
    pub body: Option<&'a Body>,
}

impl Service {
    pub(super) fn compose_notify(
        &self,
        now: Timestamp,
        subscription: &Subscription,
        told: Told<'_>,
    ) -> Option<Outgoing> {
        let left = subscription.record.expires_at.seconds_from(now);
        let rates = self.told_rates(now, subscription);
        let state = state_text(subscription.record.state, left, &rates);
        let content = told.body.map(|body| Content {
            media_type: body.content_type(),
            coding: body.coding(),
            bytes: body.bytes(),
        });
        let notice = Notice {
            state: &state,
            tag: told.tag,
            body: content,
            ..subscription.notice()
        };
        notice.compose(now, &self.sender())
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            address: &self.settings.own_address,
            contact: &self.settings.own_contact,
            ioi: &self.settings.own_ioi,
            udp_max: self.settings.udp_max,
            only_udp: &self.only_udp,
        }
    }

    /// Contact of our side of a dialog. Its user part names the partition.
    pub fn contact(&self, id: SubscriptionId) -> String {
        notice::contact(&self.settings.own_contact, id)
    }
}

impl Subscription {
    /// A NOTIFY in its dialog that says nothing yet.
    pub(super) fn notice(&self) -> Notice<'_> {
        let record = &self.record;
        Notice {
            subscription: self.id,
            dialog: &record.dialog,
            charging: record.inside.then_some(&record.charging),
            package: self.visit.package.name(),
            event_id: record.event_id.as_deref(),
            state: "",
            require: None,
            tag: None,
            body: None,
        }
    }
}
