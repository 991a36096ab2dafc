//! Entity-tags of what watchers are shown (RFC 5839 §6.1). They rest on nothing but what is shown: a polite block has the
//! tag of real absence.

use crate::event::tag::TagKey;
use crate::presence::content::Authorized;

impl TagKey {
    /// The tag of a document as one watcher may see it, with the objects that go with it.
    pub(super) fn of_document(&self, document: &Authorized) -> u64 {
        if document.objects().is_empty() {
            self.of(&document.bytes()[..])
        } else {
            self.of(&(&document.bytes()[..], document.objects()))
        }
    }

    /// The tag where no state is told: the subscription waits for the presentity, or was refused.
    pub(super) fn of_nothing(&self) -> u64 {
        self.of(&[][..] as &[u8])
    }
}
