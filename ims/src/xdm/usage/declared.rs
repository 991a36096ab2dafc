//! Application usages that the operator declares: documents against a schema, without code.

use super::{Candidate, Kept, Names, Readers, Rules, Usage};
use crate::xdm::document::Standing;
use crate::xdm::error::Conflict;
use crate::xdm::touched::Touched;
use crate::xml::guard::Limits;
use crate::xml::schema::{LoadError, Schema, Source, Unknown};
use std::fmt;
use std::sync::Arc;

/// A usage as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub auid: String,
    pub media_type: String,
    /// Of the document element, and of names without a prefix in node selectors.
    pub namespace: String,
    /// File name and text of each schema document.
    pub schemas: Vec<(String, String)>,
    /// The one name of a user's document; `None`: any name.
    pub name: Option<String>,
    /// Longest document, in bytes.
    pub bytes: usize,
    /// Whether administrators may put documents below `global`, and who reads them; `None`: there are none.
    pub global: Option<Readers>,
}

/// Why a declared usage cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undeclarable {
    Schema(LoadError),
    /// A usage of this name is built in or declared before.
    Taken,
    /// No schema document is of the namespace.
    NoNamespace,
}

impl fmt::Display for Undeclarable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undeclarable::Schema(error) => error.fmt(f),
            Undeclarable::Taken => f.write_str("there is an application usage of this name"),
            Undeclarable::NoNamespace => {
                f.write_str("none of its schemas has the namespace as its targetNamespace")
            }
        }
    }
}

/// Most nodes in one document: enough for a list of some thousands.
const NODES: u32 = 200_000;

pub(super) fn usage(declaration: &Declaration) -> Result<Usage, Undeclarable> {
    let sources: Vec<Source<'_>> = declaration
        .schemas
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let schema = Schema::load(&sources).map_err(Undeclarable::Schema)?;
    if !schema.namespaces().contains(&declaration.namespace) {
        return Err(Undeclarable::NoNamespace);
    }
    let global = declaration.global.map(|_| Kept::Put(Names::Any));
    let one = |name: &String| Names::One(name.clone().into());
    Ok(Usage {
        auid: declaration.auid.clone().into(),
        media_type: declaration.media_type.clone().into(),
        namespace: declaration.namespace.clone().into(),
        limits: Limits {
            bytes: declaration.bytes,
            nodes: NODES,
            ..Limits::default()
        },
        users: Kept::Put(declaration.name.as_ref().map_or(Names::Any, one)),
        global: global.unwrap_or(Kept::Nothing),
        readers: declaration.global.unwrap_or(Readers::Trusted),
        shown: false,
        rules: Arc::new(Valid {
            schema,
            namespace: declaration.namespace.clone().into(),
        }),
    })
}

/// A document of one namespace that its schema finds valid: all that is asked of many usages.
#[derive(Debug)]
pub(super) struct Valid {
    pub schema: Schema,
    pub namespace: Box<str>,
}

impl Rules for Valid {
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        let root = candidate.document.root_element().tag_name();
        if root.namespace() != Some(&self.namespace) {
            let phrase = format!("the document element is one of {}", self.namespace);
            return Err(Conflict::SchemaValidation(phrase));
        }
        self.schema
            .assess(candidate.document, Unknown::RefusedInKnownNamespaces)
            .map(Standing::from)
            .map_err(|invalid| Conflict::SchemaValidation(invalid.to_string()))
    }

    fn still_obeyed(&self, touched: &Touched<'_, '_>) -> bool {
        touched.keeps_valid(&self.schema)
    }

    fn namespaces(&self) -> Vec<String> {
        self.schema.namespaces().to_vec()
    }
}
