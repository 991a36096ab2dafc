//! Ids unique in the composed document: the oldest publication keeps an id, a younger one gets a suffix that depends
//! on nothing but the id and the publication, so it stays the same from one NOTIFY to the next. What a watcher is shown
//! is decided once more among what the watcher may see: `content::ids`.

use super::{Composed, Id, RenamedId, Source};
use std::collections::BTreeSet;

pub(super) fn make_unique(composed: &mut Composed, inputs: &[Source<'_>]) {
    let mut taken: BTreeSet<Box<str>> = BTreeSet::new();
    for (source, input) in (0u16..).zip(inputs) {
        let parsed = input.contribution.parsed();
        for component in &mut composed.components {
            match component.id {
                Id::Published { source: from, span } if from == source => {
                    if let Some(id) = take(&mut taken, parsed.slice(span), input.mark) {
                        component.id = Id::Renamed { source, span, id };
                    }
                }
                _ => {}
            }
        }
        for span in &parsed.ids {
            if let Some(id) = take(&mut taken, parsed.slice(*span), input.mark) {
                composed.renamed.push(RenamedId {
                    source,
                    span: *span,
                    id,
                });
            }
        }
    }
}

/// Takes `id`; when it is taken already, takes and gives another.
fn take(taken: &mut BTreeSet<Box<str>>, id: &str, mark: u64) -> Option<Box<str>> {
    if taken.insert(id.into()) {
        return None;
    }
    let mut candidate = format!("{id}-{mark:x}");
    while !taken.insert(candidate.as_str().into()) {
        candidate.push('_');
    }
    Some(candidate.into())
}
