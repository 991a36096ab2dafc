//! Filters of a subscription to a list (RFC 4660 §4.1): those for the list, for some of its members and for domains.

use super::path::Budget;
use super::read::MOST_BINDINGS;
use super::{Filter, FilterError, FilterText, LONGEST, MOST_FILTERS, NAMESPACE, Target, changed};
use crate::sip::Aor;
use crate::xml::text::escaped;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The filters of one list subscription, ready to be used.
#[derive(Clone, Debug, Default)]
pub struct ListFilters {
    /// In the order in which they were placed, enabled or not.
    texts: Vec<FilterText>,
    filters: Vec<Arc<Filter>>,
    /// Which of them are for the list.
    of_list: Vec<bool>,
}

impl ListFilters {
    /// The set after a SUBSCRIBE with this body, see [`super::Filters::update`]. `list` is the URI of the list as it is
    /// subscribed to.
    pub fn update(
        &self,
        body: &[u8],
        package: &str,
        list: &str,
    ) -> Result<ListFilters, FilterError> {
        let texts = changed(&self.texts, body, package)?;
        let mut budget = Budget::default();
        let mut all = ListFilters::default();
        for text in &texts {
            let filter = text.compile(&mut budget)?;
            let of_list = filter.target == Target::Subscribed || text.names(list);
            let same = |at: usize| {
                let other = all
                    .filters
                    .get(at)
                    .is_some_and(|o| o.target == filter.target);
                let lists = of_list && all.of_list.get(at) == Some(&true);
                // the number of a user and a list under his name have one address of record
                lists || other && !of_list && all.of_list.get(at) == Some(&false)
            };
            // RFC 4660 §5.2: two filters for one resource or one domain are refused
            if (0..all.filters.len()).any(same) {
                return Err(FilterError::not_accepted("two filters for one resource"));
            }
            all.filters.push(Arc::new(filter));
            all.of_list.push(of_list);
        }
        let all = ListFilters { texts, ..all };
        all.written()?;
        Ok(all)
    }

    /// All of them as one document, from which [`ListFilters::update`] makes the same set; `None` where there are none.
    pub fn document(&self) -> Option<String> {
        self.written().ok().filter(|_| !self.is_empty())
    }

    /// The same, refused where one document cannot say it: two names for one prefix, or more than it has room for.
    fn written(&self) -> Result<String, FilterError> {
        let mut bindings = BTreeMap::new();
        for (prefix, urn) in self.texts.iter().flat_map(FilterText::bindings) {
            if bindings
                .insert(prefix, urn)
                .is_some_and(|other| other != urn)
            {
                return Err(FilterError::not_accepted(
                    "a prefix that another filter has bound to something else",
                ));
            }
        }
        let mut out = format!("<filter-set xmlns=\"{NAMESPACE}\">");
        if !bindings.is_empty() {
            let binding = |(prefix, urn): (&&str, &&str)| {
                let (prefix, urn) = (escaped(prefix), escaped(urn));
                format!("<ns-binding prefix=\"{prefix}\" urn=\"{urn}\"/>")
            };
            let all: String = bindings.iter().map(binding).collect();
            out.extend(["<ns-bindings>", &all, "</ns-bindings>"]);
        }
        for text in &self.texts {
            text.write(&mut out);
        }
        out.push_str("</filter-set>");
        match bindings.len() <= MOST_BINDINGS && out.len() <= LONGEST {
            true => Ok(out),
            false => Err(FilterError::not_accepted(
                "more filters than one document holds",
            )),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Which filter is for the member with these identities: one of its own before one of its domain before one of the
    /// list (RFC 4660 §3.3.1, §3.3.2). `None` where it takes everything.
    pub fn of_member(&self, identities: &[Aor]) -> Option<usize> {
        let enabled = |wanted: &dyn Fn(usize, &Target) -> bool| {
            (0..self.filters.len().min(MOST_FILTERS)).find(|&at| {
                let on = self.texts.get(at).is_some_and(|text| text.enabled);
                on && self.filters.get(at).is_some_and(|f| wanted(at, &f.target))
            })
        };
        let of_list = |at: usize| self.of_list.get(at) == Some(&true);
        let at = enabled(&|at, target| !of_list(at) && target.is_for(identities))
            .or_else(|| enabled(&|at, target| !of_list(at) && target.is_for_domain(identities)))
            .or_else(|| enabled(&|at, _| of_list(at)))?;
        self.get(at).filter(|filter| !filter.is_idle()).map(|_| at)
    }

    pub fn get(&self, at: usize) -> Option<&Arc<Filter>> {
        self.filters.get(at)
    }
}
