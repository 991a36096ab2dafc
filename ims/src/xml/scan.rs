//! The guard's look at the markup before the parser reads it.

use super::guard::{Limits, Refusal, is_xml_char};

/// One pass over the markup. Where it meets something malformed it goes on or stops quietly: the parser
/// reads the same bytes in the same order and gives the better message.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    namespaces: usize,
    limits: &'a Limits,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, limits: &'a Limits) -> Scan<'a> {
        Scan {
            text,
            at: 0,
            depth: 0,
            namespaces: 0,
            limits,
        }
    }

    /// Walks over the whole text.
    pub(super) fn run(mut self) -> Result<(), Refusal> {
        while let Some(next) = memchr::memchr2(b'<', b'&', self.rest()) {
            self.at += next;
            let rest = self.rest();
            if rest.starts_with(b"&") {
                self.reference()?;
            } else if rest.starts_with(b"<!--") {
                self.skip_past(4, b"-->");
            } else if rest.starts_with(b"<![CDATA[") {
                self.skip_past(9, b"]]>");
            } else if rest.starts_with(b"<!") {
                return Err(self.not_taken("a document type declaration is not accepted"));
            } else if rest.starts_with(b"<?") {
                self.skip_past(2, b"?>");
            } else if rest.starts_with(b"</") {
                self.depth = self.depth.saturating_sub(1);
                self.skip_past(2, b">");
            } else {
                self.start_tag()?;
            }
        }
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Moves behind the next `end` that begins `from` bytes on or later; to the end of text without one.
    fn skip_past(&mut self, from: usize, end: &[u8]) {
        let rest = self.rest().get(from..).unwrap_or_default();
        let found = match end {
            [byte] => memchr::memchr(*byte, rest),
            _ => memchr::memmem::find(rest, end),
        };
        let found = found.map_or(rest.len(), |found| found + end.len());
        self.at += from + found;
    }

    /// A start tag or empty-element tag: counts its attributes and walks over their values.
    fn start_tag(&mut self) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            let limit = self.limits.depth;
            return Err(self.not_taken(&format!("elements are nested deeper than {limit}")));
        }
        self.at += 1;
        let mut attributes = 0;
        loop {
            let name_from = self.at;
            let Some(next) = self
                .rest()
                .iter()
                .position(|b| matches!(b, b'"' | b'\'' | b'>' | b'<'))
            else {
                self.at = self.text.len();
                return Ok(());
            };
            self.at += next;
            match self.rest().first() {
                Some(b'>') => {
                    if self.text.as_bytes().get(self.at.wrapping_sub(1)) == Some(&b'/') {
                        self.depth -= 1;
                    }
                    self.at += 1;
                    return Ok(());
                }
                Some(b'<') | None => return Ok(()),
                Some(quote) => {
                    attributes += 1;
                    if attributes > self.limits.attributes {
                        let limit = self.limits.attributes;
                        return Err(
                            self.not_taken(&format!("more than {limit} attributes on one element"))
                        );
                    }
                    let name = self.text.get(name_from..self.at).unwrap_or_default();
                    self.value(name, *quote)?;
                }
            }
        }
    }

    /// A quoted value, from its opening quote; `before` is what stood since the last value.
    fn value(&mut self, before: &str, quote: u8) -> Result<(), Refusal> {
        self.at += 1;
        let name = before.trim_end_matches(['=', ' ', '\t', '\r', '\n']);
        let name = name
            .rsplit([' ', '\t', '\r', '\n'])
            .next()
            .unwrap_or_default();
        if name == "xmlns" || name.starts_with("xmlns:") {
            self.namespaces += 1;
            if self.namespaces > self.limits.namespaces {
                let limit = self.limits.namespaces;
                return Err(self.not_taken(&format!("more than {limit} namespace declarations")));
            }
            // Namespaces in XML 1.0 §2.2: a prefix cannot be undeclared.
            if name != "xmlns" && self.rest().first() == Some(&quote) {
                return Err(self.not_well_formed("a namespace prefix is bound to nothing"));
            }
        }
        while let Some(next) = memchr::memchr2(quote, b'&', self.rest()) {
            self.at += next;
            if self.rest().first() == Some(&quote) {
                self.at += 1;
                return Ok(());
            }
            self.reference()?;
        }
        self.at = self.text.len();
        Ok(())
    }

    /// A reference, from its `&`. A character reference must name an XML character (XML 1.0 §4.1): the
    /// parser would read a surrogate as U+FFFD.
    fn reference(&mut self) -> Result<(), Refusal> {
        if let Some(number) = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.strip_prefix("&#"))
        {
            let (number, radix) = match number.strip_prefix('x') {
                Some(hex) => (hex, 16),
                None => (number, 10),
            };
            let end = number
                .find(|c: char| !c.is_digit(radix))
                .unwrap_or(number.len());
            let code = u32::from_str_radix(number.get(..end).unwrap_or_default(), radix).ok();
            if !code.and_then(char::from_u32).is_some_and(is_xml_char) {
                return Err(self.not_well_formed("a reference names no XML character"));
            }
        }
        self.at += 1;
        Ok(())
    }

    fn not_taken(&self, what: &str) -> Refusal {
        Refusal::NotTaken(format!("{what}, at {}", self.position()))
    }

    fn not_well_formed(&self, what: &str) -> Refusal {
        Refusal::NotWellFormed(format!("{what}, at {}", self.position()))
    }

    /// `line:column` of the place reached.
    fn position(&self) -> String {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        format!("{line}:{column}")
    }
}
