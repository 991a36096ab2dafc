//! A pull scanner for XML 1.0 with namespaces: well-formed or refused, positions kept, nothing copied.
//!
//! Written for bodies that are stored, cut and sent on to others, so what it accepts must be well-formed to any other
//! reader. Document type declarations are refused: the only entities are the five predefined ones and characters by
//! number. Comments and processing instructions are stepped over.

use super::lexis::{self, Malformed};
use super::names::{Ns, XML, XMLNS};

/// Deepest nesting of elements. PIDF with every extension on file needs fewer than ten.
pub(crate) const MAX_DEPTH: usize = 32;
/// Most namespace declarations in scope at once, so that their positions fit a 64-bit mask.
pub(crate) const MAX_BINDINGS: usize = 64;
/// Most attributes on one element, declarations included; the check for duplicates is quadratic.
pub(crate) const MAX_ATTRIBUTES: usize = 64;

/// An attribute that is not a namespace declaration; `value` is as written, references unresolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub ns: Ns,
    pub uri: &'a str,
    /// As written, prefix included.
    pub name: &'a str,
    pub local: &'a str,
    pub value: &'a str,
    /// Offset of `value` in the text.
    pub value_at: usize,
}

/// A prefix bound to a namespace name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    pub prefix: &'a str,
    pub uri: &'a str,
    pub ns: Ns,
}

/// A start tag or an empty-element tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag<'a> {
    /// Offset of `<`.
    pub start: usize,
    /// The name as written, prefix included.
    pub name: &'a str,
    pub local: &'a str,
    pub ns: Ns,
    /// The namespace name.
    pub uri: &'a str,
    /// Bindings in scope used by this tag's name and attributes, one bit for each position.
    pub used: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    /// A start tag. `<a/>` gives this and then an `End`.
    Start(Tag<'a>),
    /// End of the innermost open element, and the offset just after it.
    End(usize),
    /// Character data; a run may come in several pieces.
    Text {
        text: &'a str,
        /// Offset of its first byte.
        at: usize,
        /// Written as a CDATA section: taken literally, and never mere white space between elements.
        cdata: bool,
    },
    /// The document is complete.
    Eof,
}

#[derive(Clone, Copy, Debug)]
struct Open<'a> {
    name: &'a str,
    /// How many bindings are in scope outside this element.
    outer: usize,
}

/// The scanner: call [`Scanner::next`] until `Eof`.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open<'a>>,
    bindings: Vec<Binding<'a>>,
    attributes: Vec<Attribute<'a>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Prolog,
    Content,
    /// The last tag was `<a/>`: its end is still owed.
    OwedEnd,
    Epilog,
}

type Scan<T> = Result<T, Malformed>;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut bindings = Vec::with_capacity(12);
        bindings.push(Binding {
            prefix: "",
            uri: "",
            ns: Ns::Unqualified,
        });
        bindings.push(Binding {
            prefix: "xml",
            uri: XML,
            ns: Ns::Xml,
        });
        Scanner {
            text,
            bytes: text.as_bytes(),
            at: 0,
            open: Vec::with_capacity(8),
            bindings,
            attributes: Vec::with_capacity(8),
            stage: Stage::Start,
        }
    }

    /// A scanner of one element cut out of a document, with the bindings that held around it.
    pub(crate) fn within(element: &'a str, bindings: impl Iterator<Item = Binding<'a>>) -> Self {
        let mut scanner = Scanner::new(element);
        scanner.bindings.extend(bindings);
        scanner.stage = Stage::Prolog;
        scanner
    }

    /// Attributes of the tag returned last, declarations left out.
    pub(crate) fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// The binding at a position of [`Tag::used`].
    pub(crate) fn binding(&self, position: usize) -> Option<Binding<'a>> {
        self.bindings.get(position).copied()
    }

    /// Mask of the bindings that the innermost open element inherits, as opposed to those it declares.
    pub(crate) fn inherited(&self) -> u64 {
        let outer = self.open.last().map_or(0, |open| open.outer);
        1u64.checked_shl(u32::try_from(outer).unwrap_or(u32::MAX))
            .map_or(u64::MAX, |bit| bit - 1)
    }

    pub(crate) fn next(&mut self) -> Scan<Token<'a>> {
        match self.stage {
            Stage::OwedEnd => return Ok(self.close()),
            Stage::Start => {
                self.xml_declaration()?;
                self.stage = Stage::Prolog;
            }
            _ => {}
        }
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return match self.stage {
                    Stage::Epilog => Ok(Token::Eof),
                    _ => self.fail("Document ends early"),
                };
            };
            if byte != b'<' {
                if self.stage == Stage::Content {
                    return self.character_data();
                }
                self.blank()?;
                continue;
            }
            match self.bytes.get(self.at + 1) {
                Some(b'/') => return self.end_tag(),
                Some(b'?') => self.instruction()?,
                Some(b'!') if self.bytes[self.at..].starts_with(b"<!--") => self.comment()?,
                Some(b'!') if self.bytes[self.at..].starts_with(b"<![CDATA[") => {
                    return self.cdata();
                }
                Some(b'!') => return self.fail("Document type declarations are not accepted"),
                _ => return self.start_tag(),
            }
        }
    }

    fn fail<T>(&self, what: &'static str) -> Scan<T> {
        Err(Malformed { what, at: self.at })
    }

    /// `<?xml version="1.0" encoding="UTF-8"?>`, if there. Another encoding would mean that we misread the text.
    fn xml_declaration(&mut self) -> Scan<()> {
        let head = self.text;
        if !head.starts_with("<?xml") || !head[5..].starts_with([' ', '\t', '\r', '\n']) {
            return Ok(());
        }
        let Some(end) = head.find("?>") else {
            return self.fail("XML declaration not closed");
        };
        if !lexis::is_xml_declaration(&head[5..end]) {
            return self.fail("XML declaration not understood");
        }
        self.at = end + 2;
        Ok(())
    }

    /// White space outside the root element.
    fn blank(&mut self) -> Scan<()> {
        if !lexis::is_space(self.bytes[self.at]) {
            return self.fail("Text outside the root element");
        }
        self.at += 1;
        Ok(())
    }

    fn character_data(&mut self) -> Scan<Token<'a>> {
        let at = self.at;
        self.at = lexis::text(self.bytes, at)?;
        Ok(Token::Text {
            text: &self.text[at..self.at],
            at,
            cdata: false,
        })
    }

    fn cdata(&mut self) -> Scan<Token<'a>> {
        if self.stage != Stage::Content {
            return self.fail("Text outside the root element");
        }
        let at = self.at + 9;
        let Some(length) = self.text[at..].find("]]>") else {
            return self.fail("CDATA section not closed");
        };
        lexis::characters(&self.bytes[at..at + length], at)?;
        self.at = at + length + 3;
        Ok(Token::Text {
            text: &self.text[at..at + length],
            at,
            cdata: true,
        })
    }

    fn comment(&mut self) -> Scan<()> {
        let at = self.at + 4;
        match self.text[at..].find("--") {
            // `--` may not stand inside a comment, XML §2.5
            Some(length) if self.bytes.get(at + length + 2) == Some(&b'>') => {
                lexis::characters(&self.bytes[at..at + length], at)?;
                self.at = at + length + 3;
                Ok(())
            }
            _ => self.fail("Comment not closed"),
        }
    }

    fn instruction(&mut self) -> Scan<()> {
        let at = self.at + 2;
        let Some(length) = self.text[at..].find("?>") else {
            return self.fail("Processing instruction not closed");
        };
        let content = &self.text[at..at + length];
        let target = lexis::name(content.as_bytes(), 0).ok_or(Malformed {
            what: "Processing instruction without target",
            at,
        })?;
        let separated =
            content[target..].is_empty() || content[target..].starts_with([' ', '\t', '\r', '\n']);
        if !separated
            || content[..target].eq_ignore_ascii_case("xml")
            || content[..target].contains(':')
        {
            return self.fail("Processing instruction not accepted");
        }
        lexis::characters(content.as_bytes(), at)?;
        self.at = at + length + 2;
        Ok(())
    }

    fn end_tag(&mut self) -> Scan<Token<'a>> {
        let Some(open) = self.open.last() else {
            return self.fail("End tag without start tag");
        };
        let at = self.at + 2;
        if !self.bytes[at..].starts_with(open.name.as_bytes()) {
            return self.fail("End tag does not match");
        }
        let mut at = at + open.name.len();
        while self.bytes.get(at).is_some_and(|b| lexis::is_space(*b)) {
            at += 1;
        }
        if self.bytes.get(at) != Some(&b'>') {
            return self.fail("End tag does not match");
        }
        self.at = at + 1;
        Ok(self.close())
    }

    fn close(&mut self) -> Token<'a> {
        if let Some(open) = self.open.pop() {
            self.bindings.truncate(open.outer);
        }
        self.stage = if self.open.is_empty() {
            Stage::Epilog
        } else {
            Stage::Content
        };
        Token::End(self.at)
    }

    fn start_tag(&mut self) -> Scan<Token<'a>> {
        if self.stage == Stage::Epilog {
            return self.fail("More than one root element");
        }
        if self.open.len() >= MAX_DEPTH {
            return self.fail("Elements nested too deeply");
        }
        let start = self.at;
        let Some(name_end) = lexis::name(self.bytes, start + 1) else {
            return self.fail("Element name expected");
        };
        let name = &self.text[start + 1..name_end];
        let outer = self.bindings.len();
        self.attributes.clear();
        self.at = name_end;
        let empty = self.attribute_list()?;
        let mut used = 0;
        let (local, binding) = self.resolve(name, &mut used)?;
        self.resolve_attributes(&mut used)?;
        self.open.push(Open { name, outer });
        self.stage = if empty {
            Stage::OwedEnd
        } else {
            Stage::Content
        };
        Ok(Token::Start(Tag {
            start,
            name,
            local,
            ns: binding.ns,
            uri: binding.uri,
            used,
        }))
    }

    /// The attributes up to `>` (false) or `/>` (true).
    fn attribute_list(&mut self) -> Scan<bool> {
        let mut declarations = 0;
        loop {
            let before = self.at;
            while self.bytes.get(self.at).is_some_and(|b| lexis::is_space(*b)) {
                self.at += 1;
            }
            match self.bytes.get(self.at) {
                Some(b'>') => {
                    self.at += 1;
                    return Ok(false);
                }
                Some(b'/') if self.bytes.get(self.at + 1) == Some(&b'>') => {
                    self.at += 2;
                    return Ok(true);
                }
                Some(_) if self.at > before => {}
                _ => return self.fail("Start tag not closed"),
            }
            let attribute = self.attribute()?;
            if attribute.name == "xmlns" || attribute.name.starts_with("xmlns:") {
                self.declare(&attribute, declarations)?;
                declarations += 1;
            } else {
                self.attributes.push(attribute);
            }
            if self.attributes.len() + declarations > MAX_ATTRIBUTES {
                return self.fail("Too many attributes");
            }
        }
    }

    /// One `name = "value"`; its namespace is resolved when the whole tag is known.
    fn attribute(&mut self) -> Scan<Attribute<'a>> {
        let start = self.at;
        let Some(name_end) = lexis::name(self.bytes, start) else {
            return self.fail("Attribute name expected");
        };
        let name = &self.text[start..name_end];
        let mut at = name_end;
        while self.bytes.get(at).is_some_and(|b| lexis::is_space(*b)) {
            at += 1;
        }
        if self.bytes.get(at) != Some(&b'=') {
            return self.fail("Attribute without value");
        }
        at += 1;
        while self.bytes.get(at).is_some_and(|b| lexis::is_space(*b)) {
            at += 1;
        }
        let Some(&quote) = self.bytes.get(at).filter(|b| matches!(b, b'"' | b'\'')) else {
            return self.fail("Attribute value not quoted");
        };
        let value_at = at + 1;
        let end = lexis::attribute_value(self.bytes, value_at, quote)?;
        self.at = end + 1;
        Ok(Attribute {
            ns: Ns::Unqualified,
            uri: "",
            name,
            local: name,
            value: &self.text[value_at..end],
            value_at,
        })
    }

    /// A namespace declaration, Namespaces in XML §3; the `earlier` last bindings are of the same tag.
    fn declare(&mut self, attribute: &Attribute<'a>, earlier: usize) -> Scan<()> {
        let prefix = attribute.name.strip_prefix("xmlns:").unwrap_or("");
        let uri = attribute.value;
        let qualified = attribute.name.len() > 5;
        if qualified
            && (prefix.is_empty()
                || prefix.contains(':')
                || uri.is_empty()
                || lexis::name(prefix.as_bytes(), 0).is_none())
        {
            return self.fail("Namespace declaration not understood");
        }
        // A name spelt with references would be a second spelling of one namespace, and rules compare names.
        if uri.contains(['&', '\t', '\r', '\n'])
            || uri == XMLNS
            || prefix == "xmlns"
            || (prefix == "xml") != (uri == XML)
        {
            return self.fail("Namespace name not accepted");
        }
        let own = self.bindings.len() - earlier;
        if self.bindings[own..]
            .iter()
            .any(|binding| binding.prefix == prefix)
        {
            return self.fail("Attribute given twice");
        }
        if self.bindings.len() >= MAX_BINDINGS {
            return self.fail("Too many namespace declarations");
        }
        self.bindings.push(Binding {
            prefix,
            uri,
            ns: Ns::of(uri),
        });
        Ok(())
    }

    /// Splits a qualified name and finds the binding of its prefix.
    fn resolve(&self, name: &'a str, used: &mut u64) -> Scan<(&'a str, Binding<'a>)> {
        let (prefix, local) = match name.as_bytes().iter().position(|b| *b == b':') {
            None => ("", name),
            Some(colon) => (&name[..colon], &name[colon + 1..]),
        };
        let qualified = prefix.len() != name.len() - local.len();
        if qualified
            && (prefix.is_empty()
                || local.contains(':')
                || lexis::name(local.as_bytes(), 0).is_none())
        {
            return self.fail("Name with misplaced colon");
        }
        match self
            .bindings
            .iter()
            .rposition(|binding| binding.prefix == prefix)
        {
            Some(position) => {
                *used |= 1 << position;
                Ok((local, self.bindings[position]))
            }
            None => self.fail("Namespace prefix not declared"),
        }
    }

    fn resolve_attributes(&mut self, used: &mut u64) -> Scan<()> {
        for i in 0..self.attributes.len() {
            let name = self.attributes[i].name;
            // An unprefixed attribute is in no namespace, whatever the default namespace is.
            if name.as_bytes().contains(&b':') {
                let (local, binding) = self.resolve(name, used)?;
                self.attributes[i].local = local;
                self.attributes[i].ns = binding.ns;
                self.attributes[i].uri = binding.uri;
            }
            let (earlier, rest) = self.attributes.split_at(i);
            if earlier
                .iter()
                .any(|other| other.local == rest[0].local && other.uri == rest[0].uri)
            {
                return self.fail("Attribute given twice");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
