//! What the accounts hear of the charges under way.

use super::{Credit, Step};
use crate::charging::line::Line;
use crate::charging::online::accounts::Lane;
use crate::charging::unpaid::Loss;
use diameter::Instant;
use diameter::node::Outcome;
use diameter::route::PeerId;
use ims::record::Batch;
use std::collections::BTreeMap;
use tracing::error;

/// What is counted and goes with no other batch is stored after so many milliseconds.
const COUNT_WAIT: u64 = 1_000;

/// What an OCS is called in the accounts that is named only by an `ecf`: over time there may be many.
const NAMED: &str = "named by ecf";

impl Credit {
    /// The service of a charge goes on, or is over.
    pub(super) fn served(&mut self, number: u64, delivered: bool) {
        if let Some(charged) = self.charges.get_mut(&number) {
            charged.track.served(delivered);
        }
    }

    /// A step that is carried out later: what it decides counts from now on.
    pub(super) fn noted(&mut self, step: Step) -> Step {
        if let Step::Decided { key, decision } = &step
            && let Some(charged) = self.charges.get_mut(key)
        {
            charged.track.decided(*decision);
        }
        step
    }

    /// How a question has ended.
    pub(super) fn follow(
        &mut self,
        line: &Line,
        key: u64,
        peer: Option<PeerId>,
        outcome: &Outcome,
    ) {
        let units_in = self.given.units_in();
        let ocs = peer.map(|peer| line.label(peer).unwrap_or(NAMED));
        let trail = &mut self.trail;
        if let Some(charged) = self.charges.get_mut(&key) {
            trail.answered(&mut charged.track, ocs, outcome, units_in);
        } else if self.resends.answered(trail, key, ocs, outcome, units_in) {
            self.count_due.get_or_insert(line.now().after(COUNT_WAIT));
        }
    }

    /// Counts the charges that are over with the batch that forgets them, and has what else was counted go with either.
    pub(super) fn count_ends(
        &mut self,
        now: Instant,
        (batch, over): (&mut Batch, &mut Batch),
        leaving: &[Step],
    ) {
        let mut ends: BTreeMap<u64, bool> = BTreeMap::new();
        for step in leaving {
            match step {
                Step::Forget { key } => _ = ends.entry(*key).or_default(),
                Step::Unsettled { key, owed, said } => {
                    *ends.entry(*key).or_default() |= Loss::of(owed, said.as_ref()).is_some();
                }
                _ => {}
            }
        }
        for (key, given_up) in ends {
            if let Some(charged) = self.charges.get_mut(&key) {
                let track = &mut charged.track;
                self.trail.ended(Lane::Patient, key, track, given_up);
            }
        }
        if !batch.is_empty() {
            self.trail.add_to(Lane::Awaited, batch);
        }
        if !leaving.is_empty() {
            self.trail.add_to(Lane::Patient, over);
            self.count_due = None;
        } else if self.trail.is_noted() {
            self.count_due.get_or_insert(now.after(COUNT_WAIT));
        }
    }

    /// Stores what was counted and went with no other batch.
    pub(super) fn store_counts(&mut self, now: Instant) {
        if self.count_due.is_none_or(|due| due > now) {
            return;
        }
        self.count_due = None;
        let mut counts = Batch::default();
        self.trail.add_to(Lane::Patient, &mut counts);
        let done = |outcome| {
            if let Err(error) = outcome {
                error!(%error, "what OCSs were asked could not be counted");
            }
        };
        self.committer.submit_patiently(counts, Box::new(done));
    }
}
