//! A stored document reduced to what a node selector looks at, to be read instead of the whole.
//!
//! Reading a document costs as much as everything else that an edit does. A selector looks at the start tags beside
//! its way, an edit at the tags of one element and of the last siblings of each name; the rest is left out here by one
//! pass over the markup, and each position can be told in the document itself.
//!
//! What is left out was read when it was stored. The result of an edit is read whole before it is kept, or
//! [judged by what the edit touches](super::touched).

use super::markup::{Ahead, Kind, Tag, Tags, qualified};
use super::selector::{Name, Step};
use crate::xml::guard::{self, Limits, Refusal};
use std::ops::Range;

/// Most names among siblings that are told apart; a document with more is read whole.
const NAMES: usize = 16;

/// A document without what the steps of a selector do not depend on.
#[derive(Debug)]
pub(super) struct Sketch<'d> {
    /// What is read, where it is not the whole document.
    reduced: Option<Reduced>,
    whole: &'d [u8],
}

#[derive(Debug)]
struct Reduced {
    text: String,
    /// Where each piece of the document begins in `text`, and where in the document. Between two pieces stands a
    /// blank, so that the end of one and the start of the next are two positions.
    pieces: Vec<(usize, usize)>,
}

impl<'d> Sketch<'d> {
    pub fn of(document: &'d [u8], steps: &[Step]) -> Sketch<'d> {
        match std::str::from_utf8(document) {
            Ok(text) => Sketch::of_text(text, steps),
            Err(_) => Sketch {
                reduced: None,
                whole: document,
            },
        }
    }

    pub fn of_text(text: &'d str, steps: &[Step]) -> Sketch<'d> {
        let kept = Pass::new(text, steps).run();
        Sketch {
            reduced: kept.map(|kept| reduced(text, kept)),
            whole: text.as_bytes(),
        }
    }

    pub fn read(&self, limits: &Limits) -> Result<roxmltree::Document<'_>, Refusal> {
        match &self.reduced {
            Some(reduced) => guard::parse(reduced.text.as_bytes(), limits),
            None => guard::parse(self.whole, limits),
        }
    }

    /// A position of what is read, in the document.
    pub fn original(&self, position: usize) -> usize {
        let Some(Reduced { pieces, .. }) = &self.reduced else {
            return position;
        };
        let behind = pieces.partition_point(|(start, _)| *start <= position);
        match pieces.get(behind.wrapping_sub(1)) {
            Some((start, original)) => original + (position - start),
            None => position,
        }
    }

    pub fn original_range(&self, range: &Range<usize>) -> Range<usize> {
        self.original(range.start)..self.original(range.end)
    }
}

/// The pieces of a document, one after the other.
fn reduced(document: &str, mut kept: Vec<Range<usize>>) -> Reduced {
    kept.sort_unstable_by_key(|range| range.start);
    let mut text = String::new();
    let mut pieces = Vec::with_capacity(kept.len());
    let mut upto = 0;
    for range in kept {
        if range.start > upto {
            text.push(' ');
        }
        if range.start > upto || pieces.is_empty() {
            pieces.push((text.len(), range.start));
        }
        text.push_str(document.get(range.clone()).unwrap_or_default());
        upto = range.end;
    }
    Reduced { text, pieces }
}

/// What an element is to the selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It may be on the way: its children are looked at.
    Way,
    /// Its tags are looked at.
    Tags,
    /// Nothing of it is looked at, unless it is the last of its name.
    Spare,
}

/// An element whose end has not been seen.
struct Open {
    tag: Range<usize>,
    part: Part,
}

/// One pass over the markup of a well-formed document.
struct Pass<'a> {
    text: &'a str,
    steps: &'a [Step],
    /// The values that the steps test, and what binds a prefix or the default namespace.
    values: Vec<Option<Value<'a>>>,
    bindings: Ahead<'static>,
    references: Ahead<'static>,
    /// The elements on the way, and below them one that is not, at most.
    open: Vec<Open>,
    /// Elements open in the one that is not on the way, itself included.
    skipped: usize,
    kept: Vec<Range<usize>>,
    /// For the innermost parent, where each name among those left out begins and ends last: name, tags, end tag.
    last: Vec<(&'a str, Range<usize>, Range<usize>)>,
}

impl<'a> Pass<'a> {
    fn new(text: &'a str, steps: &'a [Step]) -> Pass<'a> {
        Pass {
            text,
            steps,
            values: steps.iter().map(value).collect(),
            bindings: Ahead::of("xmlns"),
            references: Ahead::of("&"),
            open: Vec::new(),
            skipped: 0,
            kept: Vec::new(),
            last: Vec::new(),
        }
    }

    /// The pieces to keep, in no order; `None` where something is met that this pass does not know.
    fn run(mut self) -> Option<Vec<Range<usize>>> {
        for Tag { kind, range } in Tags::from(self.text, 0) {
            let ended = match kind {
                Kind::End => self.end_tag(range)?,
                Kind::Start | Kind::Empty => self.start_tag(range, kind == Kind::Empty)?,
            };
            if ended {
                return Some(self.kept);
            }
        }
        None
    }

    /// Takes a start tag or an empty-element tag; whether it was all of the document element.
    fn start_tag(&mut self, tag: Range<usize>, empty: bool) -> Option<bool> {
        if self.skipped > 0 {
            self.skipped += usize::from(!empty);
            return Some(false);
        }
        let part = self.part(&tag)?;
        if empty {
            let end = tag.end;
            return self.element(part, tag, end..end);
        }
        self.skipped = usize::from(part != Part::Way);
        self.open.push(Open { tag, part });
        Some(false)
    }

    /// Takes an end tag; whether it was that of the document element.
    fn end_tag(&mut self, end: Range<usize>) -> Option<bool> {
        self.skipped = self.skipped.saturating_sub(1);
        if self.skipped > 0 {
            return Some(false);
        }
        let Open { tag, part } = self.open.pop()?;
        if part == Part::Way {
            for (_, tag, end) in self.last.drain(..) {
                self.kept.extend([tag, end]);
            }
        }
        self.element(part, tag, end)
    }

    /// Keeps what is looked at of an element that has ended; whether it was the document element.
    fn element(&mut self, part: Part, tag: Range<usize>, end: Range<usize>) -> Option<bool> {
        let is_root = self.open.is_empty();
        if is_root {
            self.kept.extend([0..tag.start, end.end..self.text.len()]);
        }
        if part != Part::Spare {
            self.kept.extend([tag, end]);
        } else if self.open.len() + 1 == self.steps.len() {
            let name = qualified(self.text.get(tag.clone())?);
            let same = self.last.iter_mut().find(|(other, ..)| *other == name);
            if let Some(last) = same {
                *last = (name, tag, end);
            } else if self.last.len() == NAMES {
                return None;
            } else {
                self.last.push((name, tag, end));
            }
        }
        Some(is_root)
    }

    /// What the element with this start tag, below those that are open, is to the selector.
    fn part(&mut self, tag: &Range<usize>) -> Option<Part> {
        let depth = self.open.len();
        let fits = self.may_fit(depth, tag)?;
        Some(if depth + 1 == self.steps.len() {
            match fits || depth == 0 {
                true => Part::Tags,
                false => Part::Spare,
            }
        } else {
            match fits {
                true => Part::Way,
                false if depth == 0 => Part::Tags,
                false => Part::Spare,
            }
        })
    }

    /// Whether an element may be one that the step at this depth names or counts, by its start tag as written.
    fn may_fit(&mut self, depth: usize, tag: &Range<usize>) -> Option<bool> {
        let step = self.steps.get(depth)?;
        // Its name may mean something else than the same name on its siblings.
        if self.bindings.is_in(self.text, tag) {
            return Some(true);
        }
        // A position counts all of the name.
        if step.position.is_none()
            && let Some(value) = self.values.get_mut(depth)?
            && !value.text.is_in(self.text, tag)
            && !self.references.is_in(self.text, tag)
            && !(value.has_blank && has_other_blank(self.text.get(tag.clone())?))
        {
            return Some(false);
        }
        let source = self.text.get(tag.clone())?;
        let is_local = |name: &Name| {
            let qualified = qualified(source);
            let local = qualified.split_once(':').map_or(qualified, |(_, l)| l);
            local == &*name.local
        };
        Some(step.name.as_ref().is_none_or(is_local))
    }
}

/// The value of the attribute that a step tests. It is written as it is, but for references, and for other white space
/// that is read as a blank.
struct Value<'a> {
    text: Ahead<'a>,
    has_blank: bool,
}

fn value(step: &Step) -> Option<Value<'_>> {
    let (_, value) = step.attribute.as_ref()?;
    Some(Value {
        text: Ahead::of(value),
        has_blank: value.contains(' '),
    })
}

fn has_other_blank(tag: &str) -> bool {
    memchr::memchr3(b'\t', b'\r', b'\n', tag.as_bytes()).is_some()
}
