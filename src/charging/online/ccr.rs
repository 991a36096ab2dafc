//! One question as a credit-control request: RFC 8506 §3.1 with the Service-Information of TS 32.299 §6.4, which is that of
//! the records.

use crate::charging::acr::Sender;
use crate::charging::payers;
use diameter::credit::Question;
use diameter::dictionary::{IMS_INFORMATION, SERVICE_INFORMATION};
use diameter::ro::{CreditRequest, UnitsIn};
use diameter::write::TooLong;
use ims::charge::Event;
use ims::time::Timestamp;

/// Unlike those of records, which may have the same number and time.
pub(in crate::charging) fn session_id(sender: &Sender, event: &Event) -> String {
    format!("{};ro", sender.session_id(event))
}

/// The CCR without its destination, which depends on the peer that takes it. `at` is when it is asked; `max` is in bytes.
pub(in crate::charging) fn write(
    sender: &Sender,
    units_in: UnitsIn,
    (event, session_id): (&Event, &str),
    (question, at): (&Question, Timestamp),
    max: usize,
) -> Result<Vec<u8>, TooLong> {
    let payers = payers::of(event).into_iter();
    let payers: Vec<(i32, String)> = payers.map(|(kind, id)| (kind, id.into_owned())).collect();
    let request = CreditRequest {
        session_id,
        origin_host: &sender.origin_host,
        origin_realm: &sender.origin_realm,
        service_context_id: &sender.service_context_id,
        kind: question.kind,
        number: question.number,
        action: question.action,
        cause: question.cause,
        event_timestamp: at.0 / 1000,
        subscriptions: &payers,
        units_in,
        measure: question.measure,
        requested: question.requested,
        used: question.used,
        reason: question.reason,
    };
    let mut w = request.ccr();
    w.group(&SERVICE_INFORMATION, |w| {
        w.group(&IMS_INFORMATION, |w| sender.ims_information(w, event));
    });
    sender.finish(w, max)
}
