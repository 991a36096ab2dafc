//! Validation against XML Schema 1.0, as far as the schemas of SIP, XCAP and OMA presence use it.
//!
//! Supported: sequence, choice, all, groups, wildcards (strict, lax, skip), extension and restriction,
//! attribute groups, substitution groups, enumerations, patterns, lengths, bounds, unions, mixed content,
//! chameleon inclusion, `xsi:type`, IDs. A schema that uses anything else, or refers to what is not there,
//! is refused when it is loaded and not when a document meets it.
//!
//! Content models are matched by sets of positions, so validation takes time linear in the document.

mod automaton;
mod build;
mod builtin;
mod collect;
mod declare;
mod derive;
mod fault;
mod inside;
mod model;
mod pattern;
mod simple;
mod validate;
mod values;

pub(crate) use builtin::is_ncname;
use model::Components;
use roxmltree::{Document, ParsingOptions};
use std::fmt;

pub use fault::{Fault, Invalid};
pub use inside::{Inside, Named};
pub use validate::{Unknown, Valid, XSI};

/// Longest schema document, in bytes, and most documents in one set.
const SOURCE: usize = 1 << 20;
const SOURCES: usize = 128;

/// Most nodes in one schema document.
const NODES: u32 = 200_000;

/// One schema document, under the file name by which another may include it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// A set of schema documents, ready to validate.
#[derive(Clone, Debug)]
pub struct Schema {
    components: Components,
}

/// Why schema documents cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    pub source: String,
    /// Counted from 1.
    pub line: u32,
    pub what: String,
}

impl LoadError {
    fn new(source: &str, line: u32, what: &str) -> LoadError {
        LoadError {
            source: source.to_owned(),
            line,
            what: what.to_owned(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "schema {}, line {}: {}",
            self.source, self.line, self.what
        )
    }
}

impl std::error::Error for LoadError {}

impl Schema {
    /// Loads a set of schema documents. They come from the operator, not from the network, so a document
    /// type declaration with entities is allowed (RFC 5261's schema has one).
    pub fn load(sources: &[Source<'_>]) -> Result<Schema, LoadError> {
        if sources.len() > SOURCES {
            return Err(LoadError::new(
                "",
                1,
                &format!("more than {SOURCES} schema documents"),
            ));
        }
        let mut documents = Vec::with_capacity(sources.len() + 1);
        for source in sources {
            documents.push((source.name, parsed(source)?));
        }
        let own = |(_, d): &(&str, Document<'_>)| {
            d.root_element().attribute("targetNamespace") == Some(XML)
        };
        if documents.iter().any(|(_, d)| imports_xml(d)) && !documents.iter().any(own) {
            let text = include_str!("../schemas/xml.xsd");
            let xml = Source {
                name: "xml.xsd",
                text,
            };
            documents.push((xml.name, parsed(&xml)?));
        }
        Ok(Schema {
            components: build::components(&documents)?,
        })
    }

    /// Checks a document that has passed the [guard](crate::xml::guard).
    pub fn validate(&self, document: &Document<'_>, unknown: Unknown) -> Result<(), Invalid> {
        self.assess(document, unknown).map(|_| ())
    }

    /// The same, and what is known of a document that is valid.
    pub fn assess(&self, document: &Document<'_>, unknown: Unknown) -> Result<Valid, Invalid> {
        validate::validate(&self.components, document, unknown)
    }

    /// Checks a change inside a valid document by what it touches.
    pub fn inside(&self, unknown: Unknown) -> Inside<'_> {
        Inside::new(&self.components, unknown)
    }

    /// The namespaces that the set defines, sorted.
    pub fn namespaces(&self) -> &[String] {
        &self.components.spaces
    }
}

/// The namespace of `xml:lang` and its like.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Whether a schema document asks for the attributes of the `xml` prefix.
fn imports_xml(document: &Document<'_>) -> bool {
    let mut children = document.root_element().children();
    children.any(|n| n.tag_name().name() == "import" && n.attribute("namespace") == Some(XML))
}

fn parsed<'a>(source: &Source<'a>) -> Result<Document<'a>, LoadError> {
    if source.text.len() > SOURCE {
        return Err(LoadError::new(
            source.name,
            1,
            &format!("longer than {SOURCE} bytes"),
        ));
    }
    let options = ParsingOptions {
        allow_dtd: true,
        nodes_limit: NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(source.text, options)
        .map_err(|error| LoadError::new(source.name, error.pos().row, &error.to_string()))
}

#[cfg(test)]
mod tests;
