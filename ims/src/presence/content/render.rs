//! Writing the document: slices of publications under declarations that cover exactly them.

use super::grant::{Selection, Shown};
use super::ids::Ids;
use crate::presence::compose::{Composed, Element};
use crate::presence::pidf::fragment::{Parsed, Piece, Place, Sort};
use crate::presence::pidf::lexis::escape_into;
use crate::presence::pidf::names::{DATA_MODEL, PIDF, RPID};
use crate::presence::rules::UserInput;
use std::sync::Arc;

/// Begins every document.
pub(super) const PROLOG: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// Declarations of the root element.
struct Scope<'a> {
    declared: Vec<(&'a str, &'a str)>,
    /// Prefix of the data model, for the tags of persons and devices.
    data_model: &'a str,
    /// For each source the bindings whose prefix means something else at the root; repeated at each piece.
    local: Vec<u32>,
}

pub(super) fn render<'a>(
    composed: &'a Composed,
    selection: &Selection<'a>,
    entity: &str,
) -> Vec<u8> {
    let scope = Scope::of(composed, selection);
    let mut writer = Writer {
        composed,
        scope: &scope,
        ids: Ids::of(composed, selection),
        out: Vec::with_capacity(size(composed, selection)),
    };
    writer.out.extend_from_slice(PROLOG);
    writer.text("<presence");
    for (prefix, uri) in &scope.declared {
        writer.declaration(prefix, uri);
    }
    writer.text(" entity=\"");
    escape_into(&mut writer.out, entity);
    writer.text("\">");
    for (place, chosen) in selection.components.iter().enumerate() {
        if chosen.component.sort == Sort::Tuple {
            let id = writer.ids.component(composed, place, chosen.component);
            writer.tuple(id, &selection.elements[chosen.first..chosen.end]);
        }
    }
    let (notes, extensions): (Vec<Element>, Vec<Element>) =
        selection.presence.iter().partition(|element| {
            presence_piece(composed, **element).is_some_and(|(_, p)| p.place == Place::Note)
        });
    writer.presence_pieces(&notes);
    for (place, chosen) in selection.components.iter().enumerate() {
        if chosen.component.sort != Sort::Tuple {
            let id = writer.ids.component(composed, place, chosen.component);
            let elements = &selection.elements[chosen.first..chosen.end];
            writer.data(chosen.component.sort, id, elements);
        }
    }
    writer.presence_pieces(&extensions);
    writer.text("</presence>");
    writer.out
}

fn size(composed: &Composed, selection: &Selection<'_>) -> usize {
    let pieces = selection
        .elements
        .iter()
        .filter_map(|(element, _)| composed.piece(*element));
    let text: usize = pieces
        .map(|(_, piece)| (piece.span.end - piece.span.start) as usize)
        .sum();
    512 + text + 64 * selection.components.len() + 256 * selection.presence.len()
}

fn presence_piece(composed: &Composed, element: Element) -> Option<(&Parsed, &Piece)> {
    let parsed = composed.source(element)?;
    Some((parsed, parsed.presence.get(usize::from(element.piece))?))
}

impl<'a> Scope<'a> {
    fn of(composed: &'a Composed, selection: &Selection<'_>) -> Scope<'a> {
        let mut uses = vec![0u32; composed.sources().len()];
        for (element, shown) in &selection.elements {
            // A reduced element is written anew and needs nothing from outside.
            if let (Some((_, piece)), Shown::AsPublished) = (composed.piece(*element), shown) {
                uses[usize::from(element.source)] |= piece.uses;
            }
        }
        for element in &selection.presence {
            if let Some((_, piece)) = presence_piece(composed, *element) {
                uses[usize::from(element.source)] |= piece.uses;
            }
        }
        let mut scope = Scope {
            declared: vec![("", PIDF)],
            data_model: "dm",
            local: vec![0; uses.len()],
        };
        if selection
            .components
            .iter()
            .any(|chosen| chosen.component.sort != Sort::Tuple)
        {
            scope.data_model = data_model_prefix(composed, &uses).unwrap_or("dm");
            scope.declared.push((scope.data_model, DATA_MODEL));
        }
        // sorted: the order of the publication would tell where withheld elements stand
        let mut bindings = bindings(composed, &uses);
        bindings.sort_unstable();
        for (prefix, uri, source, bit) in bindings {
            scope.add(source, bit, prefix, uri);
        }
        scope
    }

    fn add(&mut self, source: usize, bit: usize, prefix: &'a str, uri: &'a str) {
        match self
            .declared
            .iter()
            .find(|(declared, _)| *declared == prefix)
        {
            Some((_, declared)) if *declared == uri => {}
            Some(_) => self.local[source] |= 1 << bit,
            None => self.declared.push((prefix, uri)),
        }
    }
}

/// Prefix, namespace, source and bit of every binding that is used.
fn bindings<'a>(composed: &'a Composed, uses: &[u32]) -> Vec<(&'a str, &'a str, usize, usize)> {
    let sources = composed.sources().iter().zip(uses).enumerate();
    let of_source = |(source, (parsed, uses)): (usize, (&'a Arc<Parsed>, &u32))| {
        let (uses, bits) = (*uses, parsed.bindings.iter().enumerate());
        bits.filter(move |(bit, _)| uses & (1 << bit) != 0)
            .map(move |(bit, bound)| {
                let (prefix, uri) = (parsed.slice(bound.prefix), parsed.uri(bound.ns));
                (prefix, uri, source, bit)
            })
    };
    sources.flat_map(of_source).collect()
}

/// The prefix a publisher gave to the data model, so that it is not declared twice under two names.
fn data_model_prefix<'a>(composed: &'a Composed, uses: &[u32]) -> Option<&'a str> {
    let of_data_model = bindings(composed, uses)
        .into_iter()
        .filter(|(prefix, uri, ..)| *uri == DATA_MODEL && !prefix.is_empty());
    of_data_model.map(|(prefix, ..)| prefix).min()
}

struct Writer<'a> {
    composed: &'a Composed,
    scope: &'a Scope<'a>,
    ids: Ids<'a>,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn declaration(&mut self, prefix: &str, uri: &str) {
        self.text(if prefix.is_empty() {
            " xmlns"
        } else {
            " xmlns:"
        });
        self.text(prefix);
        self.text("=\"");
        self.text(&uri.replace('"', "&quot;"));
        self.text("\"");
    }

    fn tuple(&mut self, id: &str, elements: &[(Element, Shown)]) {
        self.text("<tuple id=\"");
        self.text(id);
        self.text("\">");
        let place = |element: &Element| self.composed.piece(*element).map(|(_, piece)| piece.place);
        let in_status = elements
            .iter()
            .take_while(|(element, _)| place(element) <= Some(Place::Status))
            .count();
        let (status, rest) = elements.split_at(in_status);
        if status.is_empty() {
            self.text("<status/>");
        } else {
            self.text("<status>");
            self.pieces(status);
            self.text("</status>");
        }
        self.pieces(rest);
        self.text("</tuple>");
    }

    /// A person or a device.
    fn data(&mut self, sort: Sort, id: &str, elements: &[(Element, Shown)]) {
        let name = if sort == Sort::Person {
            ":person"
        } else {
            ":device"
        };
        self.text("<");
        self.text(self.scope.data_model);
        self.text(name);
        self.text(" id=\"");
        self.text(id);
        self.text("\">");
        self.pieces(elements);
        self.text("</");
        self.text(self.scope.data_model);
        self.text(name);
        self.text(">");
    }

    fn pieces(&mut self, elements: &[(Element, Shown)]) {
        for (element, shown) in elements {
            let Some((parsed, piece)) = self.composed.piece(*element) else {
                continue;
            };
            match shown {
                Shown::AsPublished => self.piece(element.source, parsed, piece),
                Shown::Reduced(level) => self.user_input(parsed, piece, *level),
            }
        }
    }

    fn presence_pieces(&mut self, elements: &[Element]) {
        for element in elements {
            if let Some((parsed, piece)) = presence_piece(self.composed, *element) {
                self.piece(element.source, parsed, piece);
            }
        }
    }

    /// A slice as published, with the declarations that the root cannot give it.
    fn piece(&mut self, source: u16, parsed: &Parsed, piece: &Piece) {
        let text = parsed.element(piece);
        let mut written = 0;
        let local = self
            .scope
            .local
            .get(usize::from(source))
            .copied()
            .unwrap_or(0)
            & piece.uses;
        if local != 0 {
            written = 1 + usize::from(piece.name_len);
            self.text(&text[..written]);
            for (_, bound) in parsed
                .bindings
                .iter()
                .enumerate()
                .filter(|(bit, _)| local & (1 << bit) != 0)
            {
                self.declaration(parsed.slice(bound.prefix), parsed.uri(bound.ns));
            }
        }
        for (span, id) in self.ids.inside(source, piece.span) {
            let (start, end) = (span.start - piece.span.start, span.end - piece.span.start);
            let before = text.get(written..start as usize).unwrap_or("");
            self.out.extend_from_slice(before.as_bytes());
            self.out.extend_from_slice(id.as_bytes());
            written = end as usize;
        }
        self.text(text.get(written..).unwrap_or(""));
    }

    /// `<user-input>` with at most its threshold, RFC 5025 §3.3.2.12. The attribute that RFC 5025 calls "since" became
    /// `last-input` (RFC 4480 §3.13); any other goes too.
    fn user_input(&mut self, parsed: &Parsed, piece: &Piece, level: UserInput) {
        self.text("<user-input");
        self.declaration("", RPID);
        if level == UserInput::Thresholds
            && let Some(threshold) = parsed.attribute(piece, "idle-threshold")
        {
            self.text(" idle-threshold=\"");
            escape_into(&mut self.out, &threshold);
            self.text("\"");
        }
        self.text(">");
        let value = parsed.value(piece);
        escape_into(&mut self.out, &value);
        self.text("</user-input>");
    }
}
