//! Namespace names as small numbers, so that two trees compare names without comparing text.

use std::collections::BTreeMap;

/// A namespace name in [`Names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uri(u32);

impl Uri {
    /// No namespace.
    pub(super) const NONE: Uri = Uri(0);
    /// The namespace of the prefix `xml`.
    pub(super) const XML: Uri = Uri(1);
}

/// Namespace of the prefix `xml` (Namespaces in XML 1.0 §3).
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespace of `xmlns`, which no prefix may be bound to.
pub(super) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The namespace names of the documents at hand.
#[derive(Clone, Debug)]
pub(super) struct Names {
    texts: Vec<Box<str>>,
    index: BTreeMap<Box<str>, Uri>,
}

impl Names {
    pub(super) fn new() -> Names {
        let mut names = Names {
            texts: Vec::new(),
            index: BTreeMap::new(),
        };
        names.intern("");
        names.intern(XML);
        names
    }

    pub(super) fn intern(&mut self, text: &str) -> Uri {
        if let Some(uri) = self.index.get(text) {
            return *uri;
        }
        let uri = Uri(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text.into());
        self.index.insert(text.into(), uri);
        uri
    }

    pub(super) fn text(&self, uri: Uri) -> &str {
        self.texts.get(uri.0 as usize).map_or("", AsRef::as_ref)
    }
}
