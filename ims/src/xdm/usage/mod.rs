//! Application usages (RFC 4825 §5): what a server must know of a kind of document to keep it.

pub mod pres_rules;

use super::error::Conflict;
use super::key::DocumentKey;
use crate::xml::schema::{LoadError, Schema};
use crate::xml::schemas;
use roxmltree::Document;

/// One application usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Presence authorisation rules, RFC 5025 §9.
    PresRules,
    /// The same documents under OMA's name, OMA Presence SIMPLE XDM 1.1. A subscriber's documents of both
    /// usages apply together.
    OmaPresRules,
}

/// Everything the usages need, loaded once.
#[derive(Clone, Debug)]
pub struct Usages {
    pres_rules: pres_rules::PresRules,
}

impl Usages {
    /// Loads the schemas. `roots` and `foreign_lists` are those of [`Settings`](super::Settings).
    pub fn load(roots: Vec<String>, foreign_lists: bool) -> Result<Usages, LoadError> {
        let schema = Schema::load(&schemas::PRESENCE_RULES)?;
        Ok(Usages {
            pres_rules: pres_rules::PresRules {
                schema,
                roots,
                foreign_lists,
            },
        })
    }
}

impl Usage {
    /// Every usage served.
    pub const ALL: [Usage; 2] = [Usage::PresRules, Usage::OmaPresRules];

    /// The usage of this name.
    pub fn named(auid: &str) -> Option<Usage> {
        Usage::ALL.into_iter().find(|usage| usage.auid() == auid)
    }

    pub fn auid(self) -> &'static str {
        match self {
            Usage::PresRules => pres_rules::AUID,
            Usage::OmaPresRules => pres_rules::OMA_AUID,
        }
    }

    /// Whether OMA defines the usage.
    pub fn is_oma(self) -> bool {
        self.auid().starts_with("org.openmobilealliance.")
    }

    /// Media type of the documents.
    pub fn media_type(self) -> &'static str {
        match self {
            Usage::PresRules | Usage::OmaPresRules => pres_rules::MEDIA_TYPE,
        }
    }

    /// Whether a document may be created under this name.
    pub fn admits(self, key: &DocumentKey) -> Result<(), Conflict> {
        if key.name.contains('/') {
            // RFC 4825 §6.2: XCAP has no way to make a directory, so there is none but the user's own.
            return Err(Conflict::NoParent(
                "there are no sub-directories".to_owned(),
            ));
        }
        match self {
            Usage::PresRules => Ok(()),
            Usage::OmaPresRules if key.name == pres_rules::OMA_NAME => Ok(()),
            Usage::OmaPresRules => {
                let name = pres_rules::OMA_NAME;
                Err(Conflict::Constraint(format!(
                    "the document of this usage is called {name}"
                )))
            }
        }
    }

    /// Whether a document obeys the schema and the constraints of the usage (RFC 4825 §8.2.5).
    pub fn check(
        self,
        usages: &Usages,
        key: &DocumentKey,
        document: &Document<'_>,
    ) -> Result<(), Conflict> {
        match self {
            Usage::PresRules | Usage::OmaPresRules => usages.pres_rules.check(key, document),
        }
    }
}
