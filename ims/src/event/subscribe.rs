//! SUBSCRIBE as every package takes it (RFC 6665 §4.2.1): what opens a subscription, what renews it and whether that is
//! its subscriber's to do, and what the 2xx says.

use super::subscription::SubscriptionId;
use crate::dialog::Dialog;
use crate::isc::Charging;
use crate::reject::{Reject, phrase};
use crate::sip::{Aor, Request};
use crate::time::Seconds;

/// What an initial SUBSCRIBE that is in order says, whatever it is for.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Asserted identities of the subscriber with their canonical forms. Empty: nobody is asserted.
    pub subscriber: Vec<Aor>,
    pub dialog: Dialog,
    pub event_id: Option<&'a str>,
    /// The lifetime asked for; `None`: the default.
    pub expires: Option<Seconds>,
    pub charging: &'a Charging,
    /// The request came through the core, which stays in the path.
    pub inside: bool,
}

/// What a SUBSCRIBE in a dialog of ours says, whatever it is for.
#[derive(Debug)]
pub struct Renewal<'a> {
    pub id: SubscriptionId,
    pub request: &'a Request<'a>,
    /// As in [`Opening`]: they may not be somebody else's.
    pub subscriber: Vec<Aor>,
    pub event_id: Option<&'a str>,
    /// As in [`Opening`]; 0 ends the subscription.
    pub expires: Option<Seconds>,
    /// Whether `Accept` lets in what the package tells; an end is not refused for it.
    pub acceptable: Result<(), Reject>,
}

/// What the 2xx says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub id: SubscriptionId,
    pub lifetime: Seconds,
    /// The policy has no answer yet (202 where the operator wants it).
    pub pending: bool,
    /// No NOTIFY follows: the subscriber has the state that it would bring (204, RFC 5839 §6.3).
    pub quiet: bool,
}

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
    pub fn takes(&self, renewal: &Renewal<'_>) -> Result<(), Reject> {
        let (request, asserted) = (renewal.request, &renewal.subscriber);
        if !self.dialog.owns(request) || self.event_id != renewal.event_id {
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
