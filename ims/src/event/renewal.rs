//! A SUBSCRIBE in a dialog of ours: whether it may change the subscription.

use crate::dialog::Dialog;
use crate::reject::{Reject, phrase};
use crate::sip::{Aor, Request};

/// What a subscription remembers of who opened it.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    pub dialog: &'a Dialog,
    pub event_id: Option<&'a str>,
    /// Asserted identities, canonical. Empty: nobody was asserted, so nobody can be somebody else.
    pub identities: &'a [Box<str>],
}

impl Opened<'_> {
    /// Whether the request is of this subscription, in order, and not somebody else's.
    pub fn takes(
        &self,
        request: &Request<'_>,
        event_id: Option<&str>,
        asserted: &[Aor],
    ) -> Result<(), Reject> {
        if !self.dialog.owns(request) || self.event_id != event_id {
            return Err(Reject::NoDialog);
        }
        // RFC 3261 §12.2.2: lower is out of order. The same again is a retransmission over a restart, which forgets
        // transactions and not dialogs: to serve it twice changes nothing, and a 500 would alarm the subscriber
        if request.cseq.number < self.dialog.remote_cseq {
            return Err(Reject::OutOfOrder);
        }
        let known = |aor: &Aor| self.identities.iter().any(|own| **own == *aor.as_str());
        if !asserted.is_empty() && !self.identities.is_empty() && !asserted.iter().any(known) {
            return Err(Reject::Forbidden(phrase::NOT_THE_SUBSCRIBER));
        }
        Ok(())
    }
}
