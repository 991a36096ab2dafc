//! PIDF bodies (RFC 3863) with the presence data model (RFC 4479), RPID (RFC 4480) and the OMA elements.

pub(crate) mod canonical;
pub(crate) mod fragment;
pub(crate) mod lexis;
pub(crate) mod names;
mod read;
pub(crate) mod scan;
mod validate;

use fragment::Parsed;
use std::sync::Arc;

/// Bounds on one body; what exceeds one is refused. Nesting, attributes and declarations have fixed bounds
/// (32 levels, 64 attributes on an element, 64 namespace declarations in scope).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body, in bytes. Default: 65,536.
    pub body: usize,
    /// Most tuples, persons and devices together. Default: 64.
    pub components: usize,
    /// Most elements directly inside components, all together. Default: 1,024.
    pub elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 65_536,
            components: 64,
            elements: 1_024,
        }
    }
}

/// Why a body is not accepted. All but `TooLarge` (413) are answered 400 with [`PidfError::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidfError {
    /// Larger than [`Limits::body`].
    TooLarge,
    /// Not well-formed XML in UTF-8, or with a document type declaration.
    NotWellFormed { what: &'static str, at: usize },
    /// Well-formed, but not a PIDF document.
    Invalid { what: &'static str, at: usize },
    /// More of something than [`Limits`] or a fixed bound allows.
    TooMany { what: &'static str },
}

impl PidfError {
    /// Reason phrase for the response: constant text, nothing of the body in it.
    pub fn reason(&self) -> &'static str {
        match self {
            PidfError::TooLarge => "Presence document too large",
            PidfError::NotWellFormed { what, .. }
            | PidfError::Invalid { what, .. }
            | PidfError::TooMany { what } => what,
        }
    }
}

impl From<lexis::Malformed> for PidfError {
    fn from(malformed: lexis::Malformed) -> Self {
        PidfError::NotWellFormed {
            what: malformed.what,
            at: malformed.at,
        }
    }
}

/// One publication's state, checked once. Cheap to clone; nothing else of the body is kept.
#[derive(Clone, Debug)]
pub struct Contribution {
    parsed: Arc<Parsed>,
}

impl Contribution {
    /// The presentity the document names, references resolved, otherwise as written.
    pub fn entity(&self) -> &str {
        self.parsed.slice(self.parsed.entity)
    }

    /// Bytes of memory held, all included.
    pub fn memory(&self) -> usize {
        let p = &self.parsed;
        size_of::<Parsed>()
            + p.text.len()
            + size_of_val(&*p.components)
            + size_of_val(&*p.pieces)
            + size_of_val(&*p.presence)
            + size_of_val(&*p.bindings)
            + size_of_val(&*p.namespaces)
            + size_of_val(&*p.ids)
    }

    pub(crate) fn parsed(&self) -> &Arc<Parsed> {
        &self.parsed
    }
}

/// Reads one PIDF document.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Contribution, PidfError> {
    if body.len() > limits.body {
        return Err(PidfError::TooLarge);
    }
    let body = std::str::from_utf8(body).map_err(|error| PidfError::NotWellFormed {
        what: "Not UTF-8",
        at: error.valid_up_to(),
    })?;
    let body = body.strip_prefix('\u{FEFF}').unwrap_or(body);
    Ok(Contribution {
        parsed: Arc::new(read::read(body, limits)?),
    })
}
