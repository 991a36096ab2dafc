//! Who pays for what happens in a subscription: whoever paid for the SUBSCRIBE that opened it.

use super::super::request::{Ask, Reply};
use super::super::{Node, Outbox};
use crate::charge::Chargeable;
use crate::event::subscription::SubscriptionId;
use crate::isc;

impl Node {
    /// On whose account a request goes, where that is not its caller's.
    pub(in crate::node) fn payers(&self, ask: &Ask<'_>, method: Chargeable) -> Vec<String> {
        let tag = ask.request.to.tag();
        // whoever knows the tag alone is not in the dialog
        let inside =
            tag.filter(|_| method == Chargeable::Subscribe && self.opened(ask.request).is_some());
        let id = inside.and_then(SubscriptionId::parse);
        if let Some(known) = id.and_then(|id| self.ledger.payers.of_dialog(id.0)) {
            return known.to_vec();
        }
        // within a dialog a P-CSCF may assert nobody (TS 24.229 §5.2.6.3)
        let silent = id.filter(|_| ask.caller.asserted.is_empty());
        if let Some(said) = silent.and_then(|id| self.said_payers(id)) {
            return said.iter().map(|uri| uri.to_string()).collect();
        }
        isc::payer(&ask.request.headers, &ask.caller, self.settings.payer)
            .into_iter()
            .collect()
    }

    /// A SUBSCRIBE was answered: where it opened a subscription whose record does not say who pays, that is remembered.
    pub(in crate::node) fn note_payers(
        &mut self,
        ask: &Ask<'_>,
        method: Chargeable,
        reply: &Reply,
        out: &mut Outbox,
    ) {
        let opens = method == Chargeable::Subscribe
            && (200..300).contains(&reply.status)
            && ask.request.to.tag().is_none();
        if !opens || (self.settings.online.is_off() && !self.ledger.wants_subscriptions()) {
            return;
        }
        let id = reply.to_tag.as_deref().and_then(SubscriptionId::parse);
        let Some((id, said)) = id.and_then(|id| Some((id, self.said_payers(id)?))) else {
            return;
        };
        let mut payers = self.payers(ask, method);
        if payers.is_empty() {
            payers.clone_from(&ask.caller.asserted);
        }
        let is_said = payers
            .iter()
            .map(String::as_str)
            .eq(said.iter().map(|uri| &**uri));
        if !is_said && !payers.is_empty() {
            self.quota.follow();
            self.ledger.payers.opened(&mut out.batch, id.0, payers);
        }
    }

    /// As the record of a subscription says; `None`: there is no such subscription.
    fn said_payers(&self, id: SubscriptionId) -> Option<&[Box<str>]> {
        let presence = self.presence.payers(id);
        let others = || self.diff.payers(id).or_else(|| self.lists.payers(id));
        presence.or_else(others)
    }

    /// Everything is read: what is remembered of subscriptions that are not there any more is not needed.
    pub(in crate::node) fn recovered_payers(&mut self, out: &mut Outbox) {
        let all: Vec<u64> = self.ledger.payers.subscriptions().collect();
        if !all.is_empty() {
            self.quota.follow();
        }
        for id in all {
            if self.said_payers(SubscriptionId(id)).is_none() {
                self.ledger.payers.over(&mut out.batch, id);
            }
        }
    }
}
