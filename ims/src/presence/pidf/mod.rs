//! PIDF bodies (RFC 3863) with the presence data model (RFC 4479), RPID (RFC 4480) and the OMA elements.

mod names;

/// Bounds on one body; what exceeds one is refused.
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

/// One publication's state, checked once: cheap to clone, self-contained, nothing else of the body kept.
#[derive(Clone, Debug)]
pub struct Contribution {
    entity: Box<str>,
}

impl Contribution {
    /// The presentity the document names, references resolved, otherwise as written.
    pub fn entity(&self) -> &str {
        &self.entity
    }

    /// Bytes of memory held, all included.
    pub fn memory(&self) -> usize {
        self.entity.len()
    }
}

/// Reads one PIDF document.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Contribution, PidfError> {
    if body.len() > limits.body {
        return Err(PidfError::TooLarge);
    }
    Err(PidfError::Invalid {
        what: "Not a presence document",
        at: 0,
    })
}
