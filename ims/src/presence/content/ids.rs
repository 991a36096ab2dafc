//! Ids as a watcher is shown them: an id gives way only to one that the watcher sees too. Otherwise a suffix would say
//! that somebody who is hidden uses the same id.

use super::grant::{Selection, Shown};
use crate::presence::compose::{Component, Composed, Id};
use crate::presence::pidf::fragment::Span;
use std::collections::{BTreeMap, BTreeSet};

/// What differs from the published ids.
#[derive(Debug, Default)]
pub(super) struct Ids<'a> {
    /// Of components, by the place of the component in the selection.
    components: BTreeMap<usize, &'a str>,
    /// Inside pieces, by source and offset.
    inside: BTreeMap<(u16, u32), (Span, &'a str)>,
}

impl<'a> Ids<'a> {
    pub fn of(composed: &'a Composed, selection: &Selection<'a>) -> Ids<'a> {
        let mut ids = Ids::default();
        if composed.has_renamed() {
            ids.settle(composed, selection);
        }
        ids
    }

    /// Goes through what is shown in the order in which the composition gave ids away: older sources first, and of
    /// each the components before what is inside them.
    fn settle(&mut self, composed: &'a Composed, selection: &Selection<'a>) {
        let components = selection.components.iter().enumerate();
        let mut shown: BTreeMap<u16, Vec<(usize, &'a Component)>> = BTreeMap::new();
        for (place, chosen) in components {
            let of_source = shown.entry(origin(chosen.component).0).or_default();
            of_source.push((place, chosen.component));
        }
        let elements = selection.elements.iter();
        let whole = elements.filter(|(_, shown)| *shown == Shown::AsPublished);
        let pieces = whole.filter_map(|(element, _)| {
            let (_, piece) = composed.piece(*element)?;
            Some((element.source, piece.span))
        });
        let of_presence = selection.presence.iter().filter_map(|element| {
            let parsed = composed.source(*element)?;
            let piece = parsed.presence.get(usize::from(element.piece))?;
            Some((element.source, piece.span))
        });
        let stretches: BTreeSet<(u16, u32, u32)> = pieces
            .chain(of_presence)
            .map(|(source, span)| (source, span.start, span.end))
            .collect();
        let mut taken: BTreeSet<&'a str> = BTreeSet::new();
        for (source, parsed) in (0u16..).zip(composed.sources()) {
            for (place, component) in shown.remove(&source).unwrap_or_default() {
                let (_, span, other) = origin(component);
                let gave_way = !taken.insert(parsed.slice(span));
                if let Some(other) = other.filter(|_| gave_way) {
                    taken.insert(other);
                    self.components.insert(place, other);
                }
            }
            let within = stretches.range((source, 0, 0)..=(source, u32::MAX, u32::MAX));
            for (_, start, end) in within {
                let stretch = Span {
                    start: *start,
                    end: *end,
                };
                for (span, other) in composed.ids_within(source, stretch) {
                    let gave_way = !taken.insert(parsed.slice(span));
                    if let Some(other) = other.filter(|_| gave_way) {
                        taken.insert(other);
                        self.inside.insert((source, span.start), (span, other));
                    }
                }
            }
        }
    }

    /// The id of the component at this place of the selection.
    pub fn component(
        &self,
        composed: &'a Composed,
        place: usize,
        component: &'a Component,
    ) -> &'a str {
        let (source, span, _) = origin(component);
        let published = || {
            let parsed = composed.sources().get(usize::from(source));
            parsed.map_or("", |parsed| parsed.slice(span))
        };
        self.components
            .get(&place)
            .copied()
            .unwrap_or_else(published)
    }

    /// Where ids inside a stretch of a source are other than published, in their order.
    pub fn inside(&self, source: u16, within: Span) -> impl Iterator<Item = (Span, &'a str)> {
        let places = self
            .inside
            .range((source, within.start)..(source, within.end));
        places.map(|(_, place)| *place)
    }
}

/// Where the published id stands, and what it became where it gave way.
fn origin(component: &Component) -> (u16, Span, Option<&str>) {
    match &component.id {
        Id::Published { source, span } => (*source, *span, None),
        Id::Renamed { source, span, id } => (*source, *span, Some(id)),
    }
}
