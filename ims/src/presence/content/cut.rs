//! Taking away from an authorised document.

use super::{Authorized, objects};
use std::ops::Range;

impl Authorized {
    /// The document without these byte ranges, which are sorted and may lie in each other. What is left is made of
    /// pieces of what the watcher may see, so no filter can bring back what the rules withhold.
    pub(in crate::presence) fn without(&self, cuts: &[Range<usize>]) -> Authorized {
        if cuts.is_empty() {
            return self.clone();
        }
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        for cut in cuts {
            out.extend_from_slice(self.bytes.get(at..cut.start).unwrap_or_default());
            at = at.max(cut.end);
        }
        out.extend_from_slice(self.bytes.get(at..).unwrap_or_default());
        let objects = objects::still_named(&self.objects, &out);
        Authorized {
            bytes: out.into(),
            objects,
        }
    }
}
