//! What nobody pays, asked for once more, as the operator orders it: one question to an OCS for an entry of the list.
//!
//! The entry leaves the list when an OCS has taken it and that is stored. Before it is asked the store says under which
//! Session-Id: a process that is killed meanwhile, or that hears no answer, asks under the same one and with T the next
//! time, so that an OCS which has it says so and does not count it again (RFC 8506 §6.5, RFC 6733 §3).

use super::ccr;
use super::enquiry::Said;
use super::exchange::Exchange;
use super::trail::{Track, Trail};
use crate::charging::acr::Sender;
use crate::charging::identifier;
use crate::charging::line::{Line, wall_clock};
use crate::charging::unpaid::{Unpaid, What};
use diameter::credit::Question;
use diameter::credit::verdict::{Told, Verdict};
use diameter::message::Message;
use diameter::node::{Outcome, Request};
use diameter::ro::{CreditAnswer, RequestType, RequestedAction, UnitsIn};
use ims::charge::record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Keys of these questions are above those of charges and enquiries, which stay below this for some 80 years.
const KEYS: u64 = 0b11 << 62;

/// The End-to-End Identifiers of these questions are made of a place that no session of a charge has.
const PLACE: u32 = 1 << 30;

/// CC-Request-Numbers of a debit and of its refund.
const DEBIT: u32 = 0;
const REFUND: u32 = 1;

/// A record of [`Table::UnpaidAsked`](ims::record::Table::UnpaidAsked), under the key of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 0: the question that was refused, or not answered, when the charge was given up.
    pub number: u32,
    /// Nobody knows whether an OCS has it.
    pub open: bool,
}

impl Attempt {
    /// The next one. What was answered is not asked under the same Session-Id again: to the OCS it would be a duplicate.
    pub fn next(entry: &Unpaid, before: Option<Attempt>) -> Attempt {
        let is_event = entry.loss.what != What::Report;
        let number = match before {
            Some(before) if before.open => before.number,
            Some(before) => before.number.saturating_add(1),
            // of a session that is gone its units are debited by an event of their own
            None if entry.loss.result == 0 && is_event => 0,
            None => 1,
        };
        Attempt { number, open: true }
    }

    /// Session-Id and question. A charge may have several entries, which differ in the time of their keys.
    fn question(self, entry: &Unpaid, time: u64, again: bool) -> (String, Question) {
        let (action, request, session_id) = match entry.loss.what {
            // a refund names the session of the debit that it undoes, and has a number of its own in it (§6.4, §8.2)
            What::Refund => {
                let request = REFUND.saturating_add(self.number);
                (
                    RequestedAction::RefundAccount,
                    request,
                    entry.session_id.clone(),
                )
            }
            What::Debit if self.number == 0 => (
                RequestedAction::DirectDebiting,
                DEBIT,
                entry.session_id.clone(),
            ),
            What::Debit | What::Report => {
                let session_id = format!("{};again;{time};{}", entry.session_id, self.number);
                (RequestedAction::DirectDebiting, DEBIT, session_id)
            }
        };
        let question = Question {
            action: Some(action),
            requested: Some(entry.loss.units),
            retransmitted: again,
            ..Question::new(RequestType::Event, request)
        };
        (session_id, question)
    }
}

/// An entry that is to be asked for.
#[derive(Debug)]
pub struct Resend {
    pub number: u64,
    /// In the key of the entry.
    pub time: u64,
    pub entry: Unpaid,
    pub attempt: Attempt,
    /// It was asked so before.
    pub again: bool,
    pub reply: oneshot::Sender<Came>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    pub said: Said,
    /// What the accounts call the OCS.
    pub ocs: String,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Debited or given back.
    Taken,
    /// The OCS does not charge for it (4011).
    Free,
    Refused,
    /// An OCS may have it.
    Unknown,
    /// No OCS has it.
    Unsent,
}

impl Came {
    /// The thread has ended meanwhile.
    pub fn unknown() -> Came {
        Came {
            end: End::Unknown,
            ..Came::unsent("the server is ending")
        }
    }

    /// Nobody heard of it.
    pub fn unsent(why: &str) -> Came {
        Came {
            said: Said::nothing(why),
            ocs: String::new(),
            end: End::Unsent,
        }
    }
}

#[derive(Debug)]
struct UnderWay {
    what: What,
    session_id: String,
    question: Question,
    track: Track,
    reply: oneshot::Sender<Came>,
}

/// The questions that the thread has asked.
#[derive(Debug, Default)]
pub struct Resends {
    last: u64,
    under_way: BTreeMap<u64, UnderWay>,
}

impl Resends {
    /// Asks, once: whichever OCS of the configuration is up.
    pub(super) fn ask(
        &mut self,
        line: &mut Line,
        sender: &Sender,
        units_in: UnitsIn,
        resend: Resend,
    ) {
        let Resend {
            number,
            time,
            entry,
            attempt,
            again,
            reply,
        } = resend;
        let (session_id, question) = attempt.question(&entry, time, again);
        let now = wall_clock();
        let bytes = record::read(&entry.record).ok().and_then(|event| {
            let at = if attempt.number == 0 {
                event.requested_at
            } else {
                now
            };
            let about = (&event, session_id.as_str());
            ccr::write(sender, units_in, about, (&question, at), line.max_message()).ok()
        });
        let Some(message) = bytes else {
            let _ = reply.send(Came::unsent(
                "the entry makes no request that could be sent",
            ));
            return; // whoever asked may have gone
        };
        self.last += 1;
        let ticket = KEYS | self.last;
        let (number, place) = match attempt.number {
            0 => (number, 0), // as it was asked before
            again => (number ^ time, PLACE.saturating_add(again)),
        };
        let mut track = Track::default();
        track.asks(Exchange {
            event: entry.record.into(),
            session_id: session_id.clone(),
            question,
            asked_at: now,
            ended: None,
        });
        let under_way = UnderWay {
            what: entry.loss.what,
            session_id,
            question,
            track,
            reply,
        };
        self.under_way.insert(ticket, under_way);
        line.request(Request {
            ticket,
            end_to_end: identifier::of_question(number, place, question.number),
            retransmitted: question.retransmitted,
            through: None,
            prefer: Vec::new(),
            avoid: None,
            bound: None,
            message,
        });
    }

    /// A question has ended at this peer. `false`: it is none of these.
    pub fn answered(
        &mut self,
        trail: &mut Trail,
        ticket: u64,
        ocs: Option<&str>,
        outcome: &Outcome,
        units_in: UnitsIn,
    ) -> bool {
        let Some(mut asked) = self.under_way.remove(&ticket) else {
            return false;
        };
        trail.answered(&mut asked.track, ocs, outcome, units_in);
        let (said, end) = asked.read(outcome, units_in);
        let ocs = ocs.unwrap_or_default().to_owned();
        let _ = asked.reply.send(Came { said, ocs, end }); // whoever asked may have gone
        true
    }
}

impl UnderWay {
    fn read(&self, outcome: &Outcome, units_in: UnitsIn) -> (Said, End) {
        let unknown = "the OCS may have it: no answer; ask again";
        let nothing = |why: &str, end| (Said::nothing(why), end);
        let bytes = match outcome {
            Outcome::Answer(bytes) => bytes,
            Outcome::Unreadable | Outcome::Unanswered => return nothing(unknown, End::Unknown),
            Outcome::NoPeer => return nothing("no OCS is up", End::Unsent),
            Outcome::Full => return nothing("too much is under way", End::Unsent),
            Outcome::Spared => return nothing("every OCS is overloaded", End::Unsent),
            Outcome::TooLong => return nothing("the request is too long", End::Unsent),
        };
        let message = Message::parse(bytes).ok();
        let answer = message
            .as_ref()
            .and_then(|message| CreditAnswer::read(message, units_in))
            .filter(|a| a.answers(&self.session_id, self.question.kind, self.question.number));
        let Some(answer) = answer else {
            return nothing(unknown, End::Unknown);
        };
        let end = match Told::read(&answer, diameter::ro::Measure::Events).verdict {
            Verdict::Granted => End::Taken,
            // what is free of charge is not owed
            Verdict::Free if self.what != What::Refund => End::Free,
            // it was not processed; of an earlier sending that says nothing
            Verdict::Temporary { .. } if self.question.retransmitted => End::Unknown,
            Verdict::Free | Verdict::Denied(_) | Verdict::Temporary { .. } | Verdict::Failed => {
                End::Refused
            }
        };
        let said = Said {
            ocs: answer.origin_host.map(str::to_owned),
            result: Some(answer.service_result.unwrap_or(answer.result).0),
            ..match (end, answer.error_message) {
                (End::Taken | End::Free, _) => Said::default(),
                (_, Some(why)) => Said::nothing(why),
                (_, None) => Said::nothing("the OCS refuses it"),
            }
        };
        (said, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charging::unpaid::Loss;
    use ims::time::Timestamp;

    fn entry(what: What, result: u32) -> Unpaid {
        let loss = Loss {
            what,
            units: 3,
            result,
            ocs: String::new(),
            reason: String::new(),
        };
        Unpaid {
            record: Vec::new(),
            loss,
            session_id: "ps.test;0;7;1;ro".into(),
            at: Timestamp(9),
        }
    }

    /// What was answered is asked under another Session-Id, or number in it, and what was not, under the same one.
    #[test]
    fn no_question_is_a_duplicate_but_one_whose_fate_is_not_known() {
        use What::{Debit, Refund, Report};
        let attempt = |number, open| Some(Attempt { number, open });
        for (what, result, before, session, number) in [
            (Debit, 5012, None, ";again;55;1", 0),
            (Debit, 0, None, "", 0),
            (Debit, 0, attempt(0, true), "", 0),
            (Debit, 0, attempt(0, false), ";again;55;1", 0),
            (Debit, 5012, attempt(1, true), ";again;55;1", 0),
            (Debit, 5012, attempt(1, false), ";again;55;2", 0),
            (Refund, 5012, None, "", 2),
            (Refund, 0, None, "", 1),
            (Refund, 5012, attempt(1, true), "", 2),
            (Refund, 5012, attempt(1, false), "", 3),
            (Report, 5012, None, ";again;55;1", 0),
            (Report, 0, None, ";again;55;1", 0),
        ] {
            let entry = entry(what, result);
            let next = Attempt::next(&entry, before);
            let (session_id, question) = next.question(&entry, 55, false);
            let expected = format!("ps.test;0;7;1;ro{session}");
            let case = format!("{what:?} {result} {before:?}");
            assert_eq!((session_id, question.number), (expected, number), "{case}");
            assert_eq!((next.open, question.requested), (true, Some(3)), "{case}");
        }
    }
}
