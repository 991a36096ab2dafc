//! A stored document reduced to what a node selector looks at, to be read instead of the whole.
//!
//! Reading a document costs as much as everything else that an edit does. A selector looks at the start tags beside
//! its way, an edit at the tags of one element and of the last siblings of each name; the rest is left out here by one
//! pass over the markup, and each position can be told in the document itself.
//!
//! What is left out was read when it was stored, and the result of an edit is read whole before it is kept.

use super::selector::{Name, Step};
use crate::xml::guard::{self, Limits, Refusal};
use memchr::memmem::Finder;
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
        let reduced = std::str::from_utf8(document)
            .ok()
            .and_then(|text| Some(reduced(text, Pass::new(text, steps).run()?)));
        Sketch {
            reduced,
            whole: document,
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
    at: usize,
    steps: &'a [Step],
    /// The values that the steps test, and what binds a prefix or the default namespace.
    values: Vec<Option<Finder<'a>>>,
    bindings: Finder<'static>,
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
            at: 0,
            steps,
            values: steps.iter().map(value).collect(),
            bindings: Finder::new("xmlns"),
            open: Vec::new(),
            skipped: 0,
            kept: Vec::new(),
            last: Vec::new(),
        }
    }

    /// The pieces to keep, in no order; `None` where something is met that this pass does not know.
    fn run(mut self) -> Option<Vec<Range<usize>>> {
        loop {
            self.at += memchr::memchr(b'<', self.rest())?;
            let rest = self.rest();
            if rest.starts_with(b"</") {
                let start = self.at;
                self.skip_past(2, b">")?;
                if self.end_tag(start..self.at)? {
                    return Some(self.kept);
                }
            } else if rest.starts_with(b"<!--") {
                self.skip_past(4, b"-->")?;
            } else if rest.starts_with(b"<![CDATA[") {
                self.skip_past(9, b"]]>")?;
            } else if rest.starts_with(b"<?") {
                self.skip_past(2, b"?>")?;
            } else if rest.starts_with(b"<!") {
                return None;
            } else if self.start_tag()? {
                return Some(self.kept);
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Moves behind the next `end` that begins `from` bytes on or later.
    fn skip_past(&mut self, from: usize, end: &[u8]) -> Option<()> {
        let found = match end {
            [byte] => memchr::memchr(*byte, self.rest().get(from..)?)?,
            _ => memchr::memmem::find(self.rest().get(from..)?, end)?,
        };
        self.at += from + found + end.len();
        Some(())
    }

    /// Moves over a start tag or an empty-element tag; whether it was all of the document element.
    fn start_tag(&mut self) -> Option<bool> {
        let start = self.at;
        loop {
            self.at += memchr::memchr3(b'>', b'"', b'\'', self.rest())?;
            let byte = *self.rest().first()?;
            self.at += 1;
            if byte == b'>' {
                break;
            }
            self.at += memchr::memchr(byte, self.rest())? + 1;
        }
        let tag = start..self.at;
        let source = self.text.get(tag.clone())?;
        let empty = source.ends_with("/>");
        if self.skipped > 0 {
            self.skipped += usize::from(!empty);
            return Some(false);
        }
        let part = self.part(source)?;
        if empty {
            return self.element(part, tag, self.at..self.at);
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
            match self.last.iter().position(|(other, ..)| *other == name) {
                Some(at) => drop(self.last.remove(at)),
                None if self.last.len() == NAMES => return None,
                None => {}
            }
            self.last.push((name, tag, end));
        }
        Some(is_root)
    }

    /// What the element with this start tag, below those that are open, is to the selector.
    fn part(&self, tag: &str) -> Option<Part> {
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
    fn may_fit(&self, depth: usize, tag: &str) -> Option<bool> {
        let step = self.steps.get(depth)?;
        // Its name may mean something else than the same name on its siblings.
        if self.bindings.find(tag.as_bytes()).is_some() {
            return Some(true);
        }
        let is_local = |name: &Name| {
            let qualified = qualified(tag);
            let local = qualified.split_once(':').map_or(qualified, |(_, l)| l);
            local == &*name.local
        };
        if !step.name.as_ref().is_none_or(is_local) {
            return Some(false);
        }
        // A position counts all of the name.
        if step.position.is_some() {
            return Some(true);
        }
        let Some(value) = self.values.get(depth)? else {
            return Some(true);
        };
        // A reference, or white space that is read as a blank: the value is not written as it is.
        let rewritten = |b: &u8| matches!(b, b'&' | b'\t' | b'\r' | b'\n');
        Some(tag.as_bytes().iter().any(rewritten) || value.find(tag.as_bytes()).is_some())
    }
}

/// The value of the attribute that a step tests.
fn value(step: &Step) -> Option<Finder<'_>> {
    let (_, value) = step.attribute.as_ref()?;
    Some(Finder::new(value.as_bytes()))
}

/// The name in a tag.
fn qualified(tag: &str) -> &str {
    let name = tag.get(1..).unwrap_or_default();
    let end = name
        .bytes()
        .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'));
    end.and_then(|end| name.get(..end)).unwrap_or_default()
}
