//! Filters of a watcher (RFC 4660, RFC 4661): which part of what it may see it wants, and which changes it wants to
//! be told of.
//!
//! The body of a SUBSCRIBE, `application/simple-filter+xml`, is read by [`Filters::update`]; the set that a
//! subscription has is kept as the words of the watcher ([`FilterText`]), from which a restart makes it again. A filter
//! works on a document that has passed the rules and can only take away from it: what it leaves is made of pieces of
//! that document ([`Authorized::without`]).

mod instance;
mod listed;
mod mandatory;
mod number;
mod path;
mod read;
mod select;
mod trigger;

#[cfg(test)]
mod tests;

pub(in crate::presence) use instance::{Instances, tree};

use super::content::Authorized;
use crate::sip::Aor;
pub use listed::ListFilters;
use path::Budget;
pub use read::FilterText;
use select::What;
use std::fmt;
use std::sync::Arc;
use trigger::Trigger;

/// Media type of a filter, RFC 4661 §9.1.
pub const MEDIA_TYPE: &str = "application/simple-filter+xml";

/// Namespace of a filter document, RFC 4661 §3.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:simple-filter";

/// Longest filter document, in bytes. Filters of deployed clients have a few hundred.
pub const LONGEST: usize = 16 * 1024;

/// Most filters of one subscription. Only one of them can be for the presentity, the others are for members of lists.
pub const MOST_FILTERS: usize = 16;

/// Why a filter is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// No XML document that is read from a network: 400.
    Malformed(Box<str>),
    /// A document whose elements are not those of the schema, or whose expressions are not of RFC 4661 §5, or which
    /// is more than is taken here: 488 (RFC 4660 §5.4), with the reason in a Warning.
    NotAccepted(Box<str>),
}

impl FilterError {
    fn not_accepted(why: impl Into<Box<str>>) -> FilterError {
        FilterError::NotAccepted(why.into())
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::Malformed(why) | FilterError::NotAccepted(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FilterError {}

/// Whom a filter is for (RFC 4661 §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// The resource that is subscribed to.
    Subscribed,
    Resource(Aor),
    Domain(Box<str>),
    /// A URI that cannot name a presentity of ours.
    Elsewhere(Box<str>),
}

/// One filter, ready to be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    target: Target,
    /// Empty: everything.
    what: What,
    /// Empty: every change.
    triggers: Vec<Trigger>,
}

/// The filters of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// In the order in which they were placed, enabled or not.
    texts: Vec<FilterText>,
    /// The one that counts for the presentity.
    active: Option<Arc<Filter>>,
}

impl Filters {
    /// The set after a SUBSCRIBE with this body: filters of the same id are replaced, switched or removed, new ones are
    /// added, the others stay (RFC 4660 §3.3.3, §5.2.2). `package` is the event package; `resource` are the
    /// identities of the presentity.
    pub fn update(
        &self,
        body: &[u8],
        package: &str,
        resource: &[Aor],
    ) -> Result<Filters, FilterError> {
        let texts = changed(&self.texts, body, package)?;
        Filters::from_texts(texts, resource)
    }

    /// The set as a restart finds it. `resource` are the identities of the presentity.
    pub fn from_texts(texts: Vec<FilterText>, resource: &[Aor]) -> Result<Filters, FilterError> {
        let mut budget = Budget::default();
        let mut filters = Vec::with_capacity(texts.len());
        for text in &texts {
            let filter = text.compile(&mut budget)?;
            let same = |other: &Filter| other.target.meets(&filter.target, resource);
            // RFC 4660 §5.2: two filters for one resource or one domain are refused
            if filters.iter().any(same) {
                return Err(FilterError::not_accepted("two filters for one resource"));
            }
            filters.push(filter);
        }
        let enabled = |wanted: &dyn Fn(&Target) -> bool| {
            let mut both = texts.iter().zip(&filters);
            both.position(|(text, filter)| text.enabled && wanted(&filter.target))
        };
        // RFC 4660 §3.3.2: a filter for the resource overrides one for its domain
        let at = enabled(&|target| target.is_for(resource))
            .or_else(|| enabled(&|target| target.is_for_domain(resource)));
        let active = at
            .map(|at| filters.swap_remove(at))
            .filter(|filter| !filter.is_idle());
        Ok(Filters {
            texts,
            active: active.map(Arc::new),
        })
    }

    /// What is to be stored.
    pub fn texts(&self) -> &[FilterText] {
        &self.texts
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The filter that counts for the presentity, if it says anything.
    pub fn active(&self) -> Option<&Arc<Filter>> {
        self.active.as_ref()
    }
}

/// The filters after a SUBSCRIBE with this body.
fn changed(
    before: &[FilterText],
    body: &[u8],
    package: &str,
) -> Result<Vec<FilterText>, FilterError> {
    let mut texts = before.to_vec();
    for change in read::read(body, package)? {
        let at = texts.iter().position(|text| text.id == change.text.id);
        match (at, change.remove) {
            (Some(at), true) => drop(texts.remove(at)),
            (None, true) => {} // RFC 4660 §5.2.2: it is not there, as asked
            (Some(at), false) => {
                let old = std::mem::replace(&mut texts[at], change.text);
                texts[at].inherit(old);
            }
            (None, false) => texts.push(change.text),
        }
    }
    if texts.len() > MOST_FILTERS {
        return Err(FilterError::not_accepted(format!(
            "more than {MOST_FILTERS} filters"
        )));
    }
    Ok(texts)
}

impl Target {
    fn is_for(&self, resource: &[Aor]) -> bool {
        match self {
            Target::Subscribed => true,
            Target::Resource(aor) => resource.contains(aor),
            Target::Domain(_) | Target::Elsewhere(_) => false,
        }
    }

    fn is_for_domain(&self, resource: &[Aor]) -> bool {
        match self {
            // RFC 4661 §3.4: the user part does not count
            Target::Domain(domain) => resource
                .iter()
                .any(|aor| !aor.is_tel() && aor.host().eq_ignore_ascii_case(domain)),
            _ => false,
        }
    }

    /// Whether two filters are for the same resource or domain.
    fn meets(&self, other: &Target, resource: &[Aor]) -> bool {
        self == other || (self.is_for(resource) && other.is_for(resource))
    }
}

impl Filter {
    /// RFC 4660 §5.4: with both parts empty it is as if it did not exist.
    fn is_idle(&self) -> bool {
        self.what.is_everything() && self.triggers.is_empty()
    }

    /// Whether the watcher asked for a part of the document only.
    pub fn selects(&self) -> bool {
        !self.what.is_everything()
    }

    /// Whether the watcher asked to be told of some changes only.
    pub fn has_triggers(&self) -> bool {
        !self.triggers.is_empty()
    }

    /// Two filters that select the same, so that one document does for both.
    pub fn selects_like(&self, other: &Filter) -> bool {
        self.what == other.what
    }

    /// The part of `document` that the filter selects, valid against the schemas known here.
    pub fn apply(&self, document: &Authorized) -> Authorized {
        if !self.selects() {
            return document.clone();
        }
        match tree(document.bytes()) {
            Some(read) => document.without(&self.what.cuts(&read)),
            // never so with documents of ours; and the watcher may see the whole
            None => document.clone(),
        }
    }

    /// Whether the step from the document last sent, before its filtering, to the present one is one that the watcher
    /// wants to be told of (RFC 4661 §3.6). Both are documents that the watcher may see.
    pub fn fires(&self, previous: &Authorized, current: &Authorized) -> bool {
        if previous == current {
            return false;
        }
        if self.triggers.is_empty() {
            return true;
        }
        match (tree(previous.bytes()), tree(current.bytes())) {
            (Some(previous), Some(current)) => {
                self.triggers.iter().any(|t| t.fires(&previous, &current))
            }
            _ => true,
        }
    }
}
