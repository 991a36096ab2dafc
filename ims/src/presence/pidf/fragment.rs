//! What is kept of a publication: each element a rule can grant or withhold, as a slice that can stand in any document.
//!
//! A slice is copied byte for byte. Prefixes it uses but does not declare are listed beside it, so that a document
//! made of slices declares exactly what its slices need, and a withheld element leaves no trace in the declarations.

use super::lexis;
use super::names::{Kind, Ns};
use super::scan::{Binding, Scanner};
use std::borrow::Cow;

/// A stretch of [`Parsed::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

/// A namespace of one document: a known one, or the position in [`Parsed::namespaces`] after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namespace(u8);

impl Namespace {
    const OTHERS: u8 = 16;

    pub(crate) fn known(ns: Ns) -> Namespace {
        Namespace(ns as u8)
    }

    /// The `position`th of the namespaces that are not known; `None` past the most a document may have.
    pub(crate) fn other(position: usize) -> Option<Namespace> {
        u8::try_from(position)
            .ok()?
            .checked_add(Namespace::OTHERS)
            .map(Namespace)
    }

    /// One that no authorisation schema covers.
    pub(crate) fn is_other(self) -> bool {
        self.0 >= Namespace::OTHERS
    }
}

/// Where an element stands in its parent; the order of the variants is the order in the schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Place {
    /// `<basic>` in `<status>`.
    Basic,
    /// An extension in `<status>`.
    Status,
    /// An extension in a tuple, person or device.
    Extension,
    /// `<contact>` of a tuple, `<deviceID>` of a device.
    Address,
    Note,
    Timestamp,
}

/// One element that is granted or withheld as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub span: Span,
    /// Bindings used but not declared inside, one bit for each of [`Parsed::bindings`].
    pub uses: u32,
    /// Length of the element's name as written, prefix included.
    pub name_len: u16,
    pub kind: Kind,
    pub place: Place,
    pub ns: Namespace,
}

/// The three component sorts of the data model (RFC 4479 §3); a tuple is a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Tuple,
    Person,
    Device,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Component {
    pub sort: Sort,
    /// Occurrence id as published.
    pub id: Span,
    pub first: u16,
    pub count: u16,
}

/// A prefix and the namespace it stands for around the pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub prefix: Span,
    pub ns: Namespace,
}

/// Most bindings used by the pieces of one document: one bit each in [`Piece::uses`].
pub(crate) const MAX_BOUND: usize = 32;

/// One publication, taken apart.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The document, and behind it what has been read out of it.
    pub text: Box<str>,
    /// Length of the document in `text`.
    pub document: u32,
    pub entity: Span,
    pub components: Box<[Component]>,
    /// Elements of the components, in document order.
    pub pieces: Box<[Piece]>,
    /// Notes and extensions directly in `<presence>`.
    pub presence: Box<[Piece]>,
    pub bindings: Box<[Bound]>,
    pub namespaces: Box<[Span]>,
    /// Values of `id` attributes of type `xs:ID` inside pieces, in order of offset.
    pub ids: Box<[Span]>,
}

const KNOWN: [Ns; 8] = [
    Ns::Unqualified,
    Ns::Xml,
    Ns::Xsi,
    Ns::Pidf,
    Ns::DataModel,
    Ns::Rpid,
    Ns::Oma,
    Ns::Geopriv,
];

impl Parsed {
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }

    /// The element as published.
    pub(crate) fn element(&self, piece: &Piece) -> &str {
        self.slice(piece.span)
    }

    pub(crate) fn pieces_of(&self, component: &Component) -> &[Piece] {
        let first = usize::from(component.first);
        self.pieces
            .get(first..first + usize::from(component.count))
            .unwrap_or(&[])
    }

    pub(crate) fn uri(&self, ns: Namespace) -> &str {
        if ns.is_other() {
            let position = usize::from(ns.0 - Namespace::OTHERS);
            return self
                .namespaces
                .get(position)
                .map_or("", |span| self.slice(*span));
        }
        KNOWN
            .iter()
            .find(|known| **known as u8 == ns.0)
            .and_then(|known| known.uri())
            .unwrap_or("")
    }

    /// The name of a piece without its prefix.
    pub(crate) fn local(&self, piece: &Piece) -> &str {
        let name = self
            .element(piece)
            .get(1..1 + usize::from(piece.name_len))
            .unwrap_or("");
        name.rsplit_once(':').map_or(name, |(_, local)| local)
    }

    /// Character data of a piece without child elements: references resolved, white space at the ends removed.
    pub(crate) fn value(&self, piece: &Piece) -> Cow<'_, str> {
        text_of(self.element(piece))
    }

    /// Reads a piece again, in the namespaces that hold around it.
    pub(crate) fn scan(&self, piece: &Piece) -> Scanner<'_> {
        let bindings = self
            .bindings
            .iter()
            .enumerate()
            .filter(|(i, _)| piece.uses & (1 << i) != 0);
        let bindings = bindings.map(|(_, bound)| {
            let uri = self.uri(bound.ns);
            Binding {
                prefix: self.slice(bound.prefix),
                uri,
                ns: Ns::of(uri),
            }
        });
        Scanner::within(self.element(piece), bindings)
    }

    /// Value of an unprefixed attribute of the piece's own tag.
    pub(crate) fn attribute(&self, piece: &Piece, name: &str) -> Option<Cow<'_, str>> {
        let mut scanner = self.scan(piece);
        scanner.next().ok()?;
        let value = scanner
            .attributes()
            .iter()
            .find(|attribute| attribute.name == name)?
            .value;
        Some(lexis::unescape(value))
    }
}

/// Character data of an element known to be well-formed and to hold text only.
fn text_of(element: &str) -> Cow<'_, str> {
    let Some(start) = tag_end(element) else {
        return Cow::Borrowed("");
    };
    let inner = match element.rfind("</") {
        Some(end) if end >= start => &element[start..end],
        _ => "", // `<a/>`
    };
    if !inner.contains('<') {
        return match lexis::unescape(inner) {
            Cow::Borrowed(text) => Cow::Borrowed(lexis::trim(text)),
            Cow::Owned(text) => Cow::Owned(lexis::trim(&text).to_owned()),
        };
    }
    let mut text = String::new();
    let mut rest = inner;
    while let Some(at) = rest.find('<') {
        text.push_str(&lexis::unescape(&rest[..at]));
        let (opening, closing, literal) = match &rest[at..] {
            tail if tail.starts_with("<![CDATA[") => (9, "]]>", true),
            tail if tail.starts_with("<!--") => (4, "-->", false),
            _ => (2, "?>", false),
        };
        let Some((content, after)) = rest
            .get(at + opening..)
            .and_then(|tail| tail.split_once(closing))
        else {
            rest = "";
            break;
        };
        if literal {
            text.push_str(content);
        }
        rest = after;
    }
    text.push_str(&lexis::unescape(rest));
    Cow::Owned(lexis::trim(&text).to_owned())
}

/// Offset just after the `>` of the start tag.
fn tag_end(element: &str) -> Option<usize> {
    let mut quote = None;
    for (i, byte) in element.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(i + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_element() {
        for (case, element, text) in [
            ("plain", "<a>sip:bob@home1.test</a>", "sip:bob@home1.test"),
            ("with white space around", "<a>\n x y \t</a>", "x y"),
            ("empty-element tag", "<a b='c'/>", ""),
            ("references", "<a>&lt;&amp;&#x41;</a>", "<&A"),
            ("a > in an attribute", "<a b='>'>x</a>", "x"),
            ("a comment hides nothing", "<a>x<!-- </a> -->y</a>", "xy"),
            (
                "CDATA is literal",
                "<a>x<![CDATA[&amp;<]]>y</a>",
                "x&amp;<y",
            ),
            ("an instruction is stepped over", "<a>x<?p q?>y</a>", "xy"),
        ] {
            assert_eq!(text_of(element), text, "{case}");
        }
    }
}
