//! What becomes of each charge, for the accounts: it is followed here from its first question to its end.

use super::accounts::{Accounts, Count, Lane};
use super::exchange::{Ended, Exchange};
use super::record::Over;
use crate::charging::desk::Recent;
use crate::charging::line::wall_clock;
use crate::store::{Reader, StoreError};
use crate::telemetry::Metrics;
use diameter::credit::client::Kept;
use diameter::credit::verdict::{Told, Verdict};
use diameter::credit::{Decision, Denial, Owed, Question};
use diameter::fault::Class;
use diameter::message::Message;
use diameter::node::Outcome;
use diameter::ro::{CreditAnswer, RequestType, RequestedAction, UnitsIn};
use ims::charge::{first_of, hour_of};
use ims::record::Batch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a charge would end if nothing else happened. On disk by its number: new ones go last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Nothing is decided.
    #[default]
    Asked,
    Granted,
    /// Its service is given, or goes on.
    Given,
    Free,
    NoCredit,
    Refused,
    Unavailable,
    /// Its service failed, or nobody waited for it any more.
    Returned,
}

/// What is known of one charge.
#[derive(Debug, Default)]
pub struct Track {
    fate: Fate,
    /// The OCS that answered last.
    ocs: Option<Arc<str>>,
    /// The question under way.
    asked: Option<Box<Exchange>>,
    /// Units that an OCS has taken with the question of this number, and that the store does not know to be taken.
    taken: Option<(u32, u64)>,
}

impl Track {
    /// Of a charge that an earlier process has left.
    pub fn of(kept: &Kept) -> Track {
        let fate = match kept.owed {
            Owed::Undo | Owed::Refund => Fate::Returned,
            Owed::Close {
                used: 0,
                report: None,
                ..
            } => Fate::Returned,
            Owed::Nothing
            | Owed::Debit
            | Owed::Close { .. }
            | Owed::Open { .. }
            | Owed::Uncontrolled
            | Owed::Given { .. } => Fate::Given,
        };
        Track {
            fate,
            ..Track::default()
        }
    }

    /// A question is on its way.
    pub fn asks(&mut self, exchange: Exchange) {
        self.asked = Some(Box::new(exchange));
    }

    pub fn decided(&mut self, decision: Decision) {
        self.fate = match decision {
            Decision::Granted => Fate::Granted,
            Decision::Free => Fate::Free,
            Decision::Denied(Denial::NoCredit) => Fate::NoCredit,
            Decision::Denied(Denial::Refused) => Fate::Refused,
            Decision::Denied(Denial::Unavailable) => Fate::Unavailable,
        };
    }

    /// The service is given, goes on, or is over; or it was not given.
    pub fn served(&mut self, delivered: bool) {
        self.fate = match (self.fate, delivered) {
            (Fate::Granted | Fate::Given, true) => Fate::Given,
            (Fate::Asked | Fate::Granted, false) => Fate::Returned,
            (known, _) => known,
        };
    }

    /// Where nobody waits for an answer any more, it may still say that there is nothing to give back.
    fn learnt(&mut self, question: &Question, verdict: Verdict) {
        let debits = question.action == Some(RequestedAction::DirectDebiting);
        if self.fate != Fate::Returned || !debits {
            return;
        }
        match verdict {
            Verdict::Denied(denial) => self.decided(Decision::Denied(denial)),
            Verdict::Free => self.fate = Fate::Free,
            Verdict::Granted | Verdict::Temporary { .. } | Verdict::Failed => {}
        }
    }

    /// What a record says of it that nobody owes any more, if its service is given.
    pub fn over(&self) -> Over {
        Over {
            fate: match self.fate {
                Fate::Asked | Fate::Granted => Fate::Given,
                known => known,
            },
            ocs: self.ocs.as_deref().unwrap_or_default().to_owned(),
            units: self.taken.map_or(0, |(_, units)| units),
        }
    }
}

/// Counts what becomes of charges.
#[derive(Debug)]
pub struct Trail {
    awaited: Accounts,
    patient: Accounts,
    /// What OCSs are called, once each: those of the configuration.
    names: BTreeSet<Arc<str>>,
    recent: Arc<Recent>,
    metrics: Metrics,
}

impl Trail {
    pub fn load(
        reader: &dyn Reader,
        recent: Arc<Recent>,
        metrics: Metrics,
    ) -> Result<Trail, StoreError> {
        Ok(Trail {
            awaited: Accounts::load(reader, Lane::Awaited)?,
            patient: Accounts::load(reader, Lane::Patient)?,
            names: BTreeSet::new(),
            recent,
            metrics,
        })
    }

    /// See [`begin`](super::accounts::begin).
    pub fn begin(&mut self, reader: &dyn Reader) -> Result<Batch, StoreError> {
        super::accounts::begin(reader, &mut self.awaited)
    }

    fn of(&mut self, lane: Lane) -> &mut Accounts {
        match lane {
            Lane::Patient => &mut self.patient,
            Lane::Awaited | Lane::Desk => &mut self.awaited,
        }
    }

    /// Counts something of an OCS, in the accounts and for those who watch.
    fn note(&mut self, lane: Lane, hour: u32, (count, more): (Count, u64), ocs: &str) {
        self.of(lane).note(hour, count, ocs, more);
        if !ocs.is_empty() {
            self.metrics.ocs(ocs, count.name(), more);
        }
    }

    fn name(&mut self, host: &str) -> Arc<str> {
        if let Some(name) = self.names.get(host) {
            return name.clone();
        }
        let name: Arc<str> = host.into();
        self.names.insert(name.clone());
        name
    }

    /// A charge is going to be stored with the next batch that is awaited.
    pub fn began(&mut self, number: u64) {
        self.awaited.note(hour_of(number), Count::Asked, "", 1);
    }

    /// Its record is written by a batch of this lane.
    pub fn kept(&mut self, lane: Lane, track: &mut Track, owed: &Owed) {
        let Some((request, _)) = track.taken else {
            return;
        };
        let doubt = match owed {
            Owed::Open { report, .. } | Owed::Close { report, .. } => {
                report.map(|(number, _)| number)
            }
            // one unit, which counts at the end if it was not given back
            Owed::Debit | Owed::Undo | Owed::Refund => return,
            Owed::Nothing | Owed::Uncontrolled | Owed::Given { .. } => None,
        };
        if doubt != Some(request) {
            self.units(lane, track);
        }
    }

    fn units(&mut self, lane: Lane, track: &mut Track) {
        if let Some((_, units)) = track.taken.take() {
            let ocs = track.ocs.clone().unwrap_or_default();
            let hour = this_hour();
            self.note(lane, hour, (Count::Units, units), &ocs);
        }
    }

    /// A batch of this lane puts an entry on the list of what nobody pays.
    pub fn listed(&mut self, lane: Lane, number: u64, track: &Track) {
        let ocs = track.ocs.clone().unwrap_or_default();
        self.note(lane, hour_of(number), (Count::Listed, 1), &ocs);
    }

    /// A batch of this lane takes a charge out of the store for good. `given_up`: and puts it on the list.
    pub fn ended(&mut self, lane: Lane, number: u64, track: &mut Track, given_up: bool) {
        let over = track.over();
        let count = match over.fate {
            _ if given_up => Count::GivenUp,
            Fate::Asked | Fate::Granted | Fate::Given => Count::Settled,
            Fate::Free => Count::Free,
            Fate::NoCredit => Count::NoCredit,
            Fate::Refused => Count::Refused,
            Fate::Unavailable => Count::Unavailable,
            Fate::Returned => Count::Returned,
        };
        if matches!(count, Count::Settled | Count::GivenUp) {
            self.units(lane, track);
        }
        self.note(lane, hour_of(number), (count, 1), &over.ocs);
    }

    /// The same for a charge of which a record says how it ended.
    pub fn was_over(&mut self, lane: Lane, number: u64, over: &Over) {
        let ocs = (!over.ocs.is_empty()).then(|| self.name(&over.ocs));
        let mut track = Track {
            fate: over.fate,
            ocs,
            asked: None,
            taken: Some((0, over.units)),
        };
        self.ended(lane, number, &mut track, false);
    }

    /// What was noted goes with this batch, which is one of this lane.
    pub fn add_to(&mut self, lane: Lane, batch: &mut Batch) {
        self.of(lane).add_to(batch);
    }

    /// Whether something waits for a batch of nobody's.
    pub fn is_noted(&self) -> bool {
        self.patient.is_noted()
    }

    /// How it ended, at the OCS of this name.
    pub fn answered(
        &mut self,
        track: &mut Track,
        ocs: Option<&str>,
        outcome: &Outcome,
        units_in: UnitsIn,
    ) {
        let Some(mut exchange) = track.asked.take() else {
            return;
        };
        let (question, now) = (exchange.question, wall_clock());
        let hour = hour_of(first_of(now));
        let message = match outcome {
            Outcome::Answer(bytes) => Message::parse(bytes).ok(),
            _ => None,
        };
        let answer = message
            .as_ref()
            .and_then(|message| CreditAnswer::read(message, units_in));
        exchange.ended = Some(Ended::new(now, ocs, outcome, answer.as_ref()));
        self.recent.asked(*exchange);
        let Some(ocs) = ocs else {
            return self.patient.note(hour, Count::Unsent, "", 1);
        };
        let ocs = self.name(ocs);
        let mut note = |count| self.note(Lane::Patient, hour, (count, 1), &ocs);
        note(Count::Requests);
        if question.retransmitted {
            note(Count::Resent);
        }
        if question.action == Some(RequestedAction::RefundAccount) {
            note(Count::Refunds);
        }
        note(match (outcome, &answer) {
            (Outcome::Answer(_), Some(answer)) => class_of(answer),
            (Outcome::Answer(_) | Outcome::Unreadable, _) => Count::Odd,
            _ => Count::Unanswered,
        });
        if let Some(answer) = answer {
            let verdict = Told::read(&answer, diameter::ro::Measure::Events).verdict;
            track.learnt(&question, verdict);
            let units = taken(&question, verdict);
            let before = track.taken.map_or(0, |(_, units)| units);
            let units = Some(before.saturating_add(units)).filter(|units| *units > 0);
            track.taken = units.map(|units| (question.number, units));
            track.ocs = Some(ocs);
        }
    }
}

fn this_hour() -> u32 {
    hour_of(first_of(wall_clock()))
}

fn class_of(answer: &CreditAnswer<'_>) -> Count {
    let result = answer.service_result.unwrap_or(answer.result);
    match (result.0 / 1_000, result.class()) {
        (2, _) => Count::Success,
        (3, _) => Count::Protocol,
        (4, _) => Count::Transient,
        (5, Class::Permanent) => Count::Permanent,
        _ => Count::Odd,
    }
}

/// Units that the OCS has debited with this answer. A refusal of an update is about what comes next: what was used is
/// counted (RFC 8506 §5.2 to §5.4, Table 4).
fn taken(question: &Question, verdict: Verdict) -> u64 {
    let counts = match verdict {
        Verdict::Granted => true,
        Verdict::Denied(_) => question.kind == RequestType::Update,
        Verdict::Free | Verdict::Temporary { .. } | Verdict::Failed => false,
    };
    let units = match question.action {
        Some(RequestedAction::DirectDebiting) => question.requested,
        Some(_) => None,
        None => question.used,
    };
    units.filter(|_| counts).unwrap_or(0)
}
