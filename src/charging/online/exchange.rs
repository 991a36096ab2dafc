//! One CCR and what came of it, as it is kept for a while for those who look: `tail` and `trace`.

use crate::charging::acr::Sender;
use crate::charging::cdr::{Cdr, Credit};
use diameter::credit::Question;
use diameter::node::Outcome;
use diameter::ro::{CreditAnswer, RequestType, RequestedAction};
use ims::charge::record;
use ims::time::Timestamp;
use std::sync::Arc;

/// Characters of an Error-Message that are kept.
const REASON: usize = 200;

/// One question, and from its answer on all that there is to know.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The event in the form of charging records.
    pub event: Arc<[u8]>,
    pub session_id: String,
    pub question: Question,
    pub asked_at: Timestamp,
    pub ended: Option<Ended>,
}

/// How a question ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub at: Timestamp,
    /// `answered`, `unreadable`, `unanswered` or `not sent`.
    state: &'static str,
    /// Origin-Host of the answer; without one, of the peer.
    ocs: String,
    result: Option<u32>,
    granted: Option<u64>,
    reason: String,
}

impl Ended {
    pub fn new(
        at: Timestamp,
        peer: Option<&str>,
        outcome: &Outcome,
        answer: Option<&CreditAnswer<'_>>,
    ) -> Ended {
        let state = match (outcome, answer) {
            (Outcome::Answer(_), Some(_)) => "answered",
            (Outcome::Answer(_) | Outcome::Unreadable, _) => "unreadable",
            (Outcome::Unanswered, _) => "unanswered",
            (Outcome::NoPeer | Outcome::Full | Outcome::Spared | Outcome::TooLong, _) => "not sent",
        };
        let host = answer.and_then(|answer| answer.origin_host).or(peer);
        let reason = answer.and_then(|answer| answer.error_message);
        Ended {
            at,
            state,
            ocs: host.unwrap_or_default().to_owned(),
            // what is said of the service goes before what is said of the command
            result: answer.map(|a| a.service_result.unwrap_or(a.result).0),
            granted: answer.and_then(|answer| answer.granted),
            reason: reason.unwrap_or_default().chars().take(REASON).collect(),
        }
    }
}

impl Exchange {
    /// The record of the SIP request, with what was asked and answered.
    pub fn cdr(&self, sender: &Sender) -> Option<Cdr> {
        let event = record::read(&self.event).ok()?;
        let ended = self.ended.as_ref()?;
        let question = &self.question;
        let credit = Credit {
            what: what(question).to_owned(),
            units: question.used.or(question.requested),
            request: Some(question.number),
            requested: question.requested,
            used: question.used,
            granted: ended.granted,
            retransmitted: question.retransmitted,
            asked_at: Some(self.asked_at.0),
        };
        Some(Cdr {
            session_id: self.session_id.clone(),
            cdf: ended.ocs.clone(),
            result: ended.result,
            reason: ended.reason.clone(),
            credit: Some(credit),
            ..Cdr::new(sender, &event, ended.state).at(ended.at)
        })
    }
}

/// CC-Request-Type; of an EVENT_REQUEST its Requested-Action.
fn what(question: &Question) -> &'static str {
    match (question.kind, question.action) {
        (RequestType::Initial, _) => "initial",
        (RequestType::Update, _) => "update",
        (RequestType::Termination, _) => "termination",
        (RequestType::Event, Some(RequestedAction::RefundAccount)) => "refund",
        (RequestType::Event, Some(RequestedAction::CheckBalance)) => "balance",
        (RequestType::Event, Some(RequestedAction::PriceEnquiry)) => "price",
        (RequestType::Event, Some(RequestedAction::DirectDebiting) | None) => "debit",
    }
}
