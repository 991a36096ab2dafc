//! Application usages (RFC 4825 §5): what a server must know of a kind of document to keep it.

pub mod pidf_manipulation;
pub mod pres_rules;
pub mod resource_lists;
pub mod xcap_caps;

use super::document::{self, Documents};
use super::error::Conflict;
use super::key::{DocumentKey, Tree};
use super::request::Request;
use crate::xml::guard::Limits;
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
    /// Lists of watchers and others, RFC 4826 §3.
    ResourceLists,
    /// Permanent presence state, RFC 4827.
    PidfManipulation,
    /// What the server can do, RFC 4825 §12.
    XcapCaps,
}

/// Everything the usages need, loaded once.
#[derive(Clone, Debug)]
pub struct Usages {
    pres_rules: pres_rules::PresRules,
    resource_lists: Schema,
    capabilities: document::Document,
}

impl Usages {
    /// Loads the schemas. `roots` and `foreign_lists` are those of [`Settings`](super::Settings).
    pub fn load(roots: Vec<String>, foreign_lists: bool) -> Result<Usages, LoadError> {
        let schema = Schema::load(&schemas::PRESENCE_RULES)?;
        let resource_lists = Schema::load(&schemas::RESOURCE_LISTS)?;
        let validated = schema
            .namespaces()
            .iter()
            .chain(resource_lists.namespaces());
        let namespaces = validated.map(String::as_str).chain(PRESENCE);
        Ok(Usages {
            capabilities: xcap_caps::document(namespaces),
            resource_lists,
            pres_rules: pres_rules::PresRules {
                schema,
                roots,
                foreign_lists,
            },
        })
    }

    /// The document that the server makes itself, where the key names one.
    pub fn made(&self, usage: Usage, key: &DocumentKey) -> Option<&document::Document> {
        let caps =
            usage == Usage::XcapCaps && key.tree == Tree::Global && key.name == xcap_caps::NAME;
        caps.then_some(&self.capabilities)
    }
}

/// Namespaces of which presence documents are checked in full; others are kept as they are.
const PRESENCE: [&str; 3] = [
    "urn:ietf:params:xml:ns:pidf",
    "urn:ietf:params:xml:ns:pidf:data-model",
    "urn:oma:xml:prs:pidf:oma-pres",
];

impl Usage {
    /// Every usage served.
    pub const ALL: [Usage; 5] = [
        Usage::XcapCaps,
        Usage::PresRules,
        Usage::OmaPresRules,
        Usage::ResourceLists,
        Usage::PidfManipulation,
    ];

    /// The usage of this name.
    pub fn named(auid: &str) -> Option<Usage> {
        Usage::ALL.into_iter().find(|usage| usage.auid() == auid)
    }

    pub fn auid(self) -> &'static str {
        match self {
            Usage::PresRules => pres_rules::AUID,
            Usage::OmaPresRules => pres_rules::OMA_AUID,
            Usage::ResourceLists => resource_lists::AUID,
            Usage::PidfManipulation => pidf_manipulation::AUID,
            Usage::XcapCaps => xcap_caps::AUID,
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
            Usage::ResourceLists => resource_lists::MEDIA_TYPE,
            Usage::PidfManipulation => pidf_manipulation::MEDIA_TYPE,
            Usage::XcapCaps => xcap_caps::MEDIA_TYPE,
        }
    }

    /// What a document may cost: `rules` bytes or, for lists, `lists`.
    pub fn limits(self, rules: usize, lists: usize) -> Limits {
        match self {
            Usage::ResourceLists => resource_lists::limits(lists),
            Usage::PresRules | Usage::OmaPresRules | Usage::PidfManipulation | Usage::XcapCaps => {
                Limits {
                    bytes: rules,
                    ..Limits::default()
                }
            }
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
            Usage::PresRules | Usage::ResourceLists => Ok(()),
            Usage::PidfManipulation if key.name == pidf_manipulation::NAME => Ok(()),
            Usage::PidfManipulation | Usage::XcapCaps => {
                let name = pidf_manipulation::NAME;
                Err(Conflict::Constraint(format!(
                    "a user has one document of this usage, called {name}"
                )))
            }
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
        request: &Request,
        document: &Document<'_>,
        documents: &dyn Documents,
    ) -> Result<(), Conflict> {
        match self {
            Usage::PresRules | Usage::OmaPresRules => {
                usages.pres_rules.check(key, document, documents)
            }
            Usage::ResourceLists => resource_lists::check(&usages.resource_lists, document),
            Usage::PidfManipulation => pidf_manipulation::check(key, &request.body, documents),
            Usage::XcapCaps => self.admits(key),
        }
    }
}
