//! Notification rules of a presentity (OMA Presence SIMPLE architecture §6.1.5.3): which changes its watchers are told
//! of, how often, and when they are left in peace.
//!
//! No standard has words for them. They stand inside `<actions>` of a rule, whose conditions say for whom; they decide
//! nothing about who may see what:
//!
//! ```xml
//! <cp:rule id="colleagues"><cp:conditions>...</cp:conditions><cp:actions>
//!   <notification xmlns="urn:presentia:xml:notification-rules" interval="60">
//!     <trigger><element ns="urn:oma:xml:prs:pidf:oma-pres" name="willingness"/></trigger>
//!     <quiet from="22:00" until="07:00" days="mon tue wed thu fri" time-offset="120"/>
//!   </notification>
//! </cp:actions></cp:rule>
//! ```
//!
//! Of several rules that match a watcher the strictest counts: a change must be a trigger to each of them, the longest
//! interval is kept, and it is quiet when one of them says so.

mod quiet;
mod read;

#[cfg(test)]
mod tests;

pub use quiet::Quiet;
pub(in crate::presence) use read::read;

use super::filter::{Instances, tree};
use crate::time::{Seconds, Timestamp};
use std::collections::BTreeSet;

/// Namespace of the extension, advertised in xcap-caps.
pub const NAMESPACE: &str = "urn:presentia:xml:notification-rules";

/// Longest interval that is obeyed, in seconds: a day.
pub const LONGEST_INTERVAL: Seconds = Seconds(86_400);
/// Most elements of one trigger, and most quiet periods of one rule; the schema refuses more at the door.
const MOST: usize = 64;

/// Elements whose change is told, by namespace and local name.
type Elements = BTreeSet<(Box<str>, Box<str>)>;

/// What a presentity asks for one watcher. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The triggers of each rule: a change is told when it is one to all. None: every change.
    triggers: Vec<Elements>,
    /// Shortest time between two NOTIFYs of state; zero for the server's own.
    pub interval: Seconds,
    quiet: Vec<Quiet>,
}

impl Notification {
    /// Adds what another rule asks that matches too.
    pub fn combine(&mut self, other: &Notification) {
        for trigger in &other.triggers {
            if !self.triggers.contains(trigger) {
                self.triggers.push(trigger.clone());
            }
        }
        self.interval = self.interval.max(other.interval);
        for quiet in &other.quiet {
            if !self.quiet.contains(quiet) {
                self.quiet.push(quiet.clone());
            }
        }
    }

    /// Whether anything is asked for.
    pub fn is_none(&self) -> bool {
        *self == Notification::default()
    }

    /// Whether some changes are not told.
    pub fn has_triggers(&self) -> bool {
        !self.triggers.is_empty()
    }

    /// Until when it is quiet at `now`; `None` when it is not. Periods that meet are one, for a week at most.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        quiet::end(&self.quiet, now)
    }

    /// Whether the step from the document last sent to the present one, both as the watcher may see them, is one that
    /// the presentity wants told.
    pub fn fires(&self, previous: &[u8], current: &[u8]) -> bool {
        if previous == current {
            return false;
        }
        if self.triggers.is_empty() {
            return true;
        }
        let (Some(previous), Some(current)) = (tree(previous), tree(current)) else {
            return true; // never so with documents of ours; and the watcher may see both
        };
        let changed = |(space, name): &(Box<str>, Box<str>)| {
            let wanted = (&**space, &**name);
            Instances::named(&previous, wanted).differ(&Instances::named(&current, wanted))
        };
        self.triggers
            .iter()
            .all(|elements| elements.iter().any(changed))
    }
}
