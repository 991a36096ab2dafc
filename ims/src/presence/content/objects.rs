//! Which objects go with a document: those that its elements refer to, each from the publication of that element.

use super::grant::{Selection, Shown};
use crate::presence::compose::{Composed, Element};
use crate::presence::object::{Object, named_in, references};

/// Most objects in one NOTIFY.
const MOST: usize = 16;

/// The objects that what is shown refers to. An element brings none of another publication, whatever it names. Of two
/// with one content id, that of the younger publication is shown: one NOTIFY can hold one of them.
pub(super) fn of(composed: &Composed, selection: &Selection<'_>) -> Vec<Object> {
    let components = selection.elements.iter();
    let in_components = components
        .filter(|(_, shown)| *shown == Shown::AsPublished)
        .filter_map(|(element, _)| {
            let (parsed, piece) = composed.piece(*element)?;
            Some((*element, parsed.element(piece)))
        });
    let in_presence = selection.presence.iter().filter_map(|element| {
        let parsed = composed.source(*element)?;
        let piece = parsed.presence.get(usize::from(element.piece))?;
        Some((*element, parsed.element(piece)))
    });
    let mut found: Vec<(u16, &Object)> = Vec::new();
    for (Element { source, .. }, text) in in_components.chain(in_presence) {
        let objects = composed.objects(source);
        if objects.is_empty() {
            continue;
        }
        for id in references(text) {
            let Some(object) = objects.iter().find(|object| *object.id == *id) else {
                continue;
            };
            let same = found.iter().position(|(_, other)| other.id == object.id);
            match same {
                Some(position) if found[position].0 < source => found[position] = (source, object),
                Some(_) => {}
                None if found.len() < MOST => found.push((source, object)),
                None => {}
            }
        }
    }
    found
        .into_iter()
        .map(|(_, object)| object.clone())
        .collect()
}

/// Those that a document still refers to when something has been taken from it.
pub(super) fn still_named(objects: &[Object], document: &[u8]) -> Vec<Object> {
    named_in(document, Vec::new(), objects)
}
