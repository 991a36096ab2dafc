//! Application usages (RFC 4825 §5): what a server must know of a kind of document to keep it.
//!
//! [`Usage`] is what every usage says of itself; each file beside this one is one usage.

pub mod declared;
pub mod group_usage_list;
pub mod pidf_manipulation;
pub mod pres_content;
pub mod pres_rules;
pub mod resource_lists;
pub mod rls_services;
pub mod xcap_caps;
pub mod xcap_directory;

use super::Settings;
use super::document::{Document, Documents, Standing};
use super::error::Conflict;
use super::key::{DocumentKey, Tree};
use super::touched::Touched;
use crate::xml::guard::Limits;
use crate::xml::schema::LoadError;
use declared::Undeclarable;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// One application usage, in the order of RFC 4825 §5: its name, type and namespace, what it takes, and where.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Application unique identifier, the first step of the path (RFC 4825 §5.1).
    pub auid: Cow<'static, str>,
    /// Media type of the documents (§5.4).
    pub media_type: Cow<'static, str>,
    /// Namespace of names without a prefix in a node selector (§5.3).
    pub namespace: Cow<'static, str>,
    /// What one document may cost.
    pub limits: Limits,
    /// What stands below `users/<user>`.
    pub users: Kept,
    /// What stands below `global`.
    pub global: Kept,
    /// Who reads what stands below `global` (§5.8).
    pub readers: Readers,
    /// Whether those who may see presence of a user may read the user's documents.
    pub shown: bool,
    /// The schema (§5.2) and what it does not say (§5.5).
    pub rules: Arc<dyn Rules>,
}

/// Which documents a tree of a usage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// None.
    Nothing,
    /// One, which this server makes itself and nobody changes.
    Made(&'static str),
    /// What is put, under these names.
    Put(Names),
}

/// Names that documents may have (RFC 4825 §5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    Any,
    One(Cow<'static, str>),
    /// Any in this directory.
    In(&'static str),
}

/// Who reads documents below `global`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody who is identified.
    Everybody,
    /// Servers of the operator and whom it has named.
    Trusted,
}

/// The schema of a usage and its further constraints (RFC 4825 §8.2.5).
pub trait Rules: fmt::Debug + Send + Sync {
    /// Whether the document may be stored, and what an edit of it may rest on.
    fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict>;

    /// Whether a document that [obeys](Standing::Obeys) does so after a change of one node; `false` where that is to be
    /// seen on the whole result.
    fn still_obeyed(&self, _touched: &Touched<'_, '_>) -> bool {
        false
    }

    /// Namespaces whose documents or elements are checked against a schema here.
    fn namespaces(&self) -> Vec<String>;
}

/// A document as it would be after a request: put whole, or the result of an edit.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub key: &'a DocumentKey,
    pub bytes: &'a [u8],
    /// The same, read within the limits of the usage.
    pub document: &'a roxmltree::Document<'a>,
    /// What else there is.
    pub documents: &'a dyn Documents,
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("key", self.key)
            .finish_non_exhaustive()
    }
}

impl Usage {
    /// Whether OMA defines the usage.
    pub fn is_oma(&self) -> bool {
        self.auid.starts_with("org.openmobilealliance.")
    }

    /// What the tree of this document holds.
    pub fn kept(&self, tree: &Tree) -> &Kept {
        match tree {
            Tree::Global => &self.global,
            Tree::User(_) => &self.users,
        }
    }

    /// Whether a document may be created under this name.
    pub fn admits(&self, key: &DocumentKey) -> Result<(), Conflict> {
        let name = match self.kept(&key.tree) {
            Kept::Put(Names::In(directory)) => key
                .name
                .strip_prefix(directory)
                .and_then(|name| name.strip_prefix('/')),
            Kept::Put(Names::Any | Names::One(_)) | Kept::Made(_) | Kept::Nothing => {
                Some(key.name.as_str())
            }
        };
        if name.is_none_or(|name| name.contains('/')) {
            // RFC 4825 §6.2: XCAP has no way to make a directory, so there is none but those known.
            return Err(Conflict::NoParent {
                phrase: "there are no sub-directories".to_owned(),
                ancestor: None,
            });
        }
        match self.kept(&key.tree) {
            Kept::Put(Names::Any | Names::In(_)) => Ok(()),
            Kept::Put(Names::One(name)) if key.name == *name => Ok(()),
            Kept::Put(Names::One(name)) => Err(Conflict::Constraint(format!(
                "the document of this usage is called {name}"
            ))),
            Kept::Made(_) | Kept::Nothing => Err(Conflict::Constraint(
                "no document can be put here".to_owned(),
            )),
        }
    }

    /// Whether a document obeys the schema and the constraints of the usage (RFC 4825 §8.2.5).
    pub fn check(&self, candidate: &Candidate<'_>) -> Result<Standing, Conflict> {
        self.rules.check(candidate)
    }
}

/// Why the usages cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// A schema of our own is not what it should be.
    BuiltIn(LoadError),
    /// A usage that the operator declared, by its name.
    Declared(String, Undeclarable),
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Failed {
        Failed::BuiltIn(error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::BuiltIn(error) => {
                write!(
                    f,
                    "a built-in schema cannot be loaded ({error}); this is a defect, please report it"
                )
            }
            Failed::Declared(auid, why) => {
                write!(f, "the application usage {auid} of xcap.usages: {why}")
            }
        }
    }
}

impl std::error::Error for Failed {}

/// Every usage served, loaded once.
#[derive(Clone, Debug)]
pub struct Usages {
    all: Vec<Usage>,
    capabilities: Document,
    /// XCAP root as clients write it, where it is known.
    root: Option<String>,
}

impl Usages {
    /// Loads the schemas.
    pub fn load(settings: &Settings) -> Result<Usages, Failed> {
        let rules = Arc::new(pres_rules::PresRules::load(
            &settings.roots,
            settings.foreign_lists,
        )?);
        let limits = Limits {
            bytes: settings.max_document,
            ..Limits::default()
        };
        let lists = resource_lists::limits(settings.max_lists);
        let mut all = vec![
            xcap_caps::usage(limits),
            pres_rules::usage(rules.clone(), limits),
            pres_rules::oma_usage(rules, limits),
            resource_lists::usage(settings.max_lists)?,
            rls_services::usage(&settings.roots, lists)?,
            group_usage_list::usage(lists)?,
            pidf_manipulation::usage(limits),
            pres_content::usage(limits)?,
            xcap_directory::usage(lists),
        ];
        for declaration in &settings.declared {
            let failed = |why| Failed::Declared(declaration.auid.clone(), why);
            if all.iter().any(|usage| usage.auid == declaration.auid) {
                return Err(failed(Undeclarable::Taken));
            }
            all.push(declared::usage(declaration).map_err(failed)?);
        }
        let capabilities = xcap_caps::document(&all);
        Ok(Usages {
            all,
            capabilities,
            root: settings.roots.first().cloned(),
        })
    }

    /// The usage of this name.
    pub fn named(&self, auid: &str) -> Option<&Usage> {
        self.all.iter().find(|usage| usage.auid == auid)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Usage> {
        self.all.iter()
    }

    /// Names of documents that the server makes, among other things, of this one.
    pub fn made_of<'a>(&'a self, key: &'a DocumentKey) -> impl Iterator<Item = DocumentKey> + 'a {
        let trees = [key.tree.clone(), Tree::Global];
        self.all.iter().flat_map(move |usage| {
            let made = trees
                .clone()
                .into_iter()
                .filter_map(|tree| match usage.kept(&tree) {
                    // a global one is made of the documents of its own usage
                    Kept::Made(name) if tree != Tree::Global || usage.auid == key.auid => {
                        Some(DocumentKey {
                            tree,
                            auid: usage.auid.to_string(),
                            name: (*name).to_owned(),
                        })
                    }
                    Kept::Made(_) | Kept::Nothing | Kept::Put(_) => None,
                });
            made.collect::<Vec<_>>()
        })
    }

    /// The document that the server makes itself, where the key names one.
    pub fn made(
        &self,
        usage: &Usage,
        key: &DocumentKey,
        documents: &dyn Documents,
    ) -> Option<Document> {
        let Kept::Made(name) = usage.kept(&key.tree) else {
            return None;
        };
        if key.name != *name {
            return None;
        }
        match usage.auid.as_ref() {
            xcap_caps::AUID => Some(self.capabilities.clone()),
            xcap_directory::AUID => {
                let listed = documents.listed(key.owner()?);
                Some(xcap_directory::document(&listed, self.root.as_ref()))
            }
            rls_services::AUID => documents.services().map(rls_services::Services::union),
            _ => None,
        }
    }
}
