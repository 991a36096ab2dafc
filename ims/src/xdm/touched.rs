//! An edit judged by what it touches, where the document is known to [obey](Standing::Obeys) its usage.
//!
//! The change is made on the [sketch](super::sketch) of the document, which holds the elements on the way to the node
//! and whatever else the selector may mean, and that alone is read. What the limits and the siblings of the node need
//! to know of the rest is looked for in its text. Nothing is refused here: whatever cannot be told so is judged on the
//! whole result.

use super::document::{Document, Standing};
use super::edit::{Kind, Splice};
use super::markup::{self, Ahead, Tag, Tags, qualified};
use super::node;
use super::parts::Part;
use super::selector::Terminal;
use crate::xml::guard::{self, Limits};
use crate::xml::schema::{Named, Schema, Unknown, XSI};
use memchr::memmem;
use roxmltree::Node;
use std::ops::Range;

/// A change of one node of a stored document.
pub(super) struct Edit<'a> {
    pub part: &'a Part<'a>,
    pub old: &'a Document,
    /// The stored document.
    pub text: &'a str,
    /// What its [sketch](super::sketch::Sketch) reads.
    pub read: &'a roxmltree::Document<'a>,
    /// The change of the sketch, and of the document.
    pub sketched: Splice,
    pub splice: Splice,
    /// Where in the stored document the element stands that contains the one that is touched; nowhere for the root.
    pub parent: Option<Range<usize>>,
}

impl Edit<'_> {
    /// Whether the result is known to obey the usage, and the URI to name what it should in it. `limits` are those of
    /// the result.
    pub fn obeys(&self, result: &str, limits: &Limits) -> bool {
        if self.old.standing != Standing::Obeys || !self.is_within(result, limits) {
            return false;
        }
        let sketch = self.sketched.applied(self.read.input_text());
        let Ok(document) = guard::parse(sketch.as_bytes(), limits) else {
            return false;
        };
        self.sketched.holds(&document, self.part.selector)
            && self
                .touched(&document)
                .is_some_and(|touched| self.part.usage.rules.still_obeyed(&touched))
    }

    /// Whether the result is within the limits that are not seen on a part of it. Each `<` begins at most one node,
    /// and one more stands before it; each declaration is written as `xmlns`.
    fn is_within(&self, result: &str, limits: &Limits) -> bool {
        let nodes = 2 * memchr::memchr_iter(b'<', result.as_bytes()).count() + 2;
        let namespaces = || memmem::find_iter(result.as_bytes(), "xmlns").count();
        result.len() <= limits.bytes
            && u32::try_from(nodes).is_ok_and(|nodes| nodes < limits.nodes)
            && namespaces() <= limits.namespaces
    }

    /// What the change touches, by the sketch of the result.
    fn touched<'b, 'd>(&'b self, document: &'b roxmltree::Document<'d>) -> Option<Touched<'b, 'd>> {
        let steps = &self.part.selector.steps;
        let (_, before) = steps.split_last()?;
        let element = || node::walk(document, steps).ok();
        let touch = match &self.part.selector.terminal {
            Some(Terminal::Attribute(name)) if &*name.namespace == XSI => return None,
            Some(Terminal::Attribute(_)) => Touch::Attributes(element()?),
            Some(Terminal::Namespaces) => return None,
            None if self.splice.kind == Kind::Removed => Touch::Removal,
            None => Touch::Element(element()?),
        };
        let parent = match touch {
            Touch::Element(element) | Touch::Attributes(element) => element.parent_element()?,
            Touch::Removal => node::walk(document, before).ok().filter(Node::is_element)?,
        };
        // The same names stand below the parent where an element is exchanged for another of its name.
        let alike = match touch {
            Touch::Attributes(_) => true,
            Touch::Removal => false,
            Touch::Element(element) => {
                let old = || node::walk(self.read, steps).ok();
                let same = |old: Node<'_, '_>| old.tag_name() == element.tag_name();
                self.splice.kind == Kind::Replaced && old().is_some_and(same)
            }
        };
        Some(Touched {
            touch,
            parent,
            alike,
            text: self.text,
            within: self.parent.clone()?,
            replaced: self.splice.replaced.clone(),
            kind: self.splice.kind,
        })
    }
}

/// What a change touches: the nodes stand in a document that holds of the result what is on the way to them.
#[derive(Debug)]
pub struct Touched<'a, 'd> {
    pub touch: Touch<'a, 'd>,
    parent: Node<'a, 'd>,
    /// Whether the children of the parent have the names that they had.
    alike: bool,
    /// The stored document, and where the parent stands in it.
    text: &'a str,
    within: Range<usize>,
    /// What of it is replaced, and how.
    replaced: Range<usize>,
    kind: Kind,
}

/// What becomes of the element.
#[derive(Clone, Copy, Debug)]
pub enum Touch<'a, 'd> {
    /// It is new, as a whole.
    Element(Node<'a, 'd>),
    /// It has other attributes. Of its content not all is here.
    Attributes(Node<'a, 'd>),
    /// It is gone.
    Removal,
}

impl Touched<'_, '_> {
    /// Whether the document stays valid.
    pub fn keeps_valid(&self, schema: &Schema) -> bool {
        let inside = schema.inside(Unknown::RefusedInKnownNamespaces);
        let ids = match self.touch {
            Touch::Element(element) => inside.element(element),
            Touch::Attributes(element) => inside.attributes(element),
            Touch::Removal => Some(Default::default()),
        };
        let placed = || {
            self.alike
                || self
                    .names()
                    .is_some_and(|names| inside.order(self.parent, names))
        };
        ids.is_some_and(|ids| ids.iter().all(|id| !self.may_occur(id))) && placed()
    }

    /// Whether an attribute of another child of the parent may have this value.
    pub fn beside(&self, value: &str) -> bool {
        // A reference may stand for anything, and other white space for a blank; else a value is written as it is.
        let quoted = [format!("\"{value}\""), format!("'{value}'")];
        let blanks = value.contains(' ');
        let suspect = |text: &str| {
            let bytes = text.as_bytes();
            memchr::memchr(b'&', bytes).is_some()
                || quoted
                    .iter()
                    .any(|quoted| memmem::find(bytes, quoted.as_bytes()).is_some())
                || (blanks && memchr::memchr3(b'\t', b'\r', b'\n', bytes).is_some())
        };
        let Some((before, after)) = self.around() else {
            return true;
        };
        if !suspect(before) && !suspect(after) {
            return false;
        }
        let mut others = self.children().filter(|tag| !self.is_touched(tag));
        others.any(|tag| self.text.get(tag.range).is_none_or(suspect))
    }

    /// Whether a value of an attribute or element that stays may be this one, which has no white space.
    fn may_occur(&self, id: &str) -> bool {
        // A reference may stand for anything, and a comment, section or instruction part a text.
        let declaration = self
            .text
            .find("?>")
            .filter(|_| self.text.starts_with("<?xml"));
        let suspect = |text: &str| {
            let any = ["&", "<!", "<?", id];
            any.iter()
                .any(|any| memmem::find(text.as_bytes(), any.as_bytes()).is_some())
        };
        let rest = |range: Range<usize>| self.text.get(range).is_none_or(suspect);
        let start = declaration.unwrap_or_default();
        rest(start..self.replaced.start) || rest(self.replaced.end..self.text.len())
    }

    /// The parent before and behind what is replaced.
    fn around(&self) -> Option<(&str, &str)> {
        let Range { start, end } = self.replaced;
        let before = self.text.get(self.within.start..start)?;
        Some((before, self.text.get(end..self.within.end)?))
    }

    /// Start tags of the children of the parent, as stored.
    fn children(&self) -> impl Iterator<Item = Tag> {
        let mut depth = 0_usize;
        let tags = Tags::from(self.text, self.within.start);
        let inside = tags.take_while(|tag| tag.range.end <= self.within.end);
        inside.filter(move |tag| {
            let child = depth == 1 && tag.kind != markup::Kind::End;
            match tag.kind {
                markup::Kind::Start => depth += 1,
                markup::Kind::Empty => {}
                markup::Kind::End => depth = depth.saturating_sub(1),
            }
            child
        })
    }

    /// Whether a child is the one that is replaced or removed, or whose attribute is.
    fn is_touched(&self, child: &Tag) -> bool {
        match self.touch {
            Touch::Attributes(_) => child.range.contains(&self.replaced.start),
            Touch::Element(_) | Touch::Removal => {
                self.kind != Kind::Created && child.range.start == self.replaced.start
            }
        }
    }

    /// The names of all children of the parent in the result; `None` where one binds what its own name may mean.
    fn names(&self) -> Option<Vec<Named<'_>>> {
        let new = match &self.touch {
            Touch::Element(element) | Touch::Attributes(element) => {
                let name = element.tag_name();
                Some((name.namespace().filter(|n| !n.is_empty()), name.name()))
            }
            Touch::Removal => None,
        };
        let mut pending = new;
        let mut names = Vec::new();
        let mut before: Option<(&str, Named<'_>)> = None;
        let mut bindings = Ahead::of("xmlns");
        for tag in self.children() {
            if tag.range.start >= self.replaced.start {
                names.extend(pending.take());
            }
            if self.is_touched(&tag) {
                continue;
            }
            if bindings.is_in(self.text, &tag.range) {
                return None;
            }
            let written = qualified(self.text.get(tag.range)?);
            let name = match before {
                Some((same, name)) if same == written => name,
                _ => self.expanded(written),
            };
            before = Some((written, name));
            names.push(name);
        }
        names.extend(pending);
        Some(names)
    }

    /// A name as it is meant by a child of the parent that binds nothing.
    fn expanded<'t>(&'t self, written: &'t str) -> Named<'t> {
        let (prefix, local) = match written.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, written),
        };
        let space = self.parent.lookup_namespace_uri(prefix);
        (space.filter(|space| !space.is_empty()), local)
    }
}
