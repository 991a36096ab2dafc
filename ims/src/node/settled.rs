//! The mark of settled NOTIFYs: what changed before it is told to everybody.

use super::{Node, Outbox};
use crate::record::{Op, Table, encode};
use crate::time::{Millis, Timestamp};

/// The mark of settled NOTIFYs is written this often while NOTIFYs flow. A crash tells watchers again what
/// changed in the last second or is still unanswered, and nothing older.
pub(super) const SETTLE_EVERY: Millis = Millis(1000);
/// Key of that mark in [`Table::Node`].
pub(super) const SETTLED: &[u8] = b"settled";

impl Node {
    pub(super) fn settled_is_behind(&self) -> bool {
        let told = self.presence.has_told() || self.diff.has_told() || self.lists.has_told();
        told && self.settled < self.settle_at
    }

    /// Writes up to where every NOTIFY owed has been answered.
    pub(super) fn settle(&mut self, now: Timestamp, out: &mut Outbox) {
        if !self.settled_is_behind() || now < self.settle_at {
            return;
        }
        let settled = self.presence.settled_until(now);
        let settled = settled.min(self.diff.settled_until(now));
        let settled = settled.min(self.lists.settled_until(now));
        if settled > self.settled {
            self.settled = settled;
            self.diff.settled(settled, &mut out.batch);
            out.batch.ops.push(Op::Put {
                table: Table::Node,
                key: SETTLED.into(),
                value: encode(&settled).into(),
            });
        }
        self.settle_at = now + SETTLE_EVERY;
    }
}
