//! Permanent presence state (RFC 4827): documents of the presentity that are composed with what is published, and
//! never run out.

use super::{Directory, Service};
use crate::event::turn::Turn;
use crate::presence::pidf::{self, Contribution};
use crate::sip::Aor;
use crate::time::Timestamp;

/// A document of permanent state.
#[derive(Debug)]
pub struct Permanent {
    pub contribution: Contribution,
    /// When it was put.
    pub at: Timestamp,
}

impl Service {
    /// A document of permanent state changed, came or went: composed anew, and watchers are told.
    pub fn permanent_changed(
        &mut self,
        turn: &mut Turn<'_>,
        directory: &dyn Directory,
        presentity: &Aor,
    ) {
        self.take_permanent(directory, presentity);
        self.admit_strangers(turn, directory, presentity);
        if self.presentities.contains_key(presentity) {
            self.state_changed_with_sphere(turn, directory, presentity);
            self.forget_idle(turn, presentity);
        }
    }

    /// Reads what there is of permanent state: after a restart, or when the presentity has another name.
    pub fn take_permanent(&mut self, directory: &dyn Directory, presentity: &Aor) {
        let documents = directory.permanent(presentity);
        if documents.is_empty() && !self.presentities.contains_key(presentity) {
            return;
        }
        let read = |(document, at): (bytes::Bytes, Timestamp)| {
            // it was valid when it was put, perhaps against a limit that the operator has lowered since
            let contribution = pidf::parse(&document, &self.settings.pidf).ok()?;
            Some(Permanent { contribution, at })
        };
        let permanent = documents.into_iter().filter_map(read).collect();
        let entry = self.presentities.entry(presentity.clone()).or_default();
        entry.permanent = permanent;
    }
}
