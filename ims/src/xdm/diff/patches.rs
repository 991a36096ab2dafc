//! Patches between versions of documents (RFC 5261), each worked out once for all who are told.

use super::pending::Version;
use crate::xml::patch::{Frame, generate};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Prefix of the names of RFC 5874 in what we send. Nobody's documents use it; see [`super::writer`].
pub const PREFIX: &str = "xd";
/// Most operations in one patch: above it the document is fetched with less trouble.
const OPERATIONS: usize = 256;
/// Patches kept at the same time.
const KEPT: usize = 256;

/// What becomes of a document between two versions, as the content of a `<document>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// Operations, and the declarations that their selectors need.
    Operations { declarations: String, text: String },
    /// Another entity-tag and the same bytes.
    Nothing,
}

/// Patches by the first and the last change that they hold.
#[derive(Debug, Default)]
pub struct Patches(BTreeMap<(u64, u64), Option<Arc<Patch>>>);

impl Patches {
    /// The patch from one version to another. `None`: there is none that is of use, and the document is to be fetched.
    pub fn between(
        &mut self,
        changes: (u64, u64),
        from: &Version,
        to: &Version,
    ) -> Option<Arc<Patch>> {
        if let Some(known) = self.0.get(&changes) {
            return known.clone();
        }
        let made = make(from, to).map(Arc::new);
        while self.0.len() >= KEPT {
            self.0.pop_first(); // changes are numbered in time
        }
        self.0.insert(changes, made.clone());
        made
    }
}

fn make(from: &Version, to: &Version) -> Option<Patch> {
    let (old, new) = (from.bytes.as_ref()?, to.bytes.as_ref()?);
    if old == new {
        return Some(Patch::Nothing);
    }
    let (old, new) = (
        std::str::from_utf8(old).ok()?,
        std::str::from_utf8(new).ok()?,
    );
    let frame = Frame {
        default: "",
        prefix: PREFIX,
        operations: OPERATIONS,
    };
    // none at all: they differ in what no operation can say, such as comments
    let done = generate(old, new, &frame).filter(|done| done.count > 0)?;
    let mut declarations = String::new();
    for (prefix, uri) in &done.declarations {
        let uri = crate::xml::text::escaped(uri);
        declarations.push_str(&format!(" xmlns:{prefix}=\"{uri}\""));
    }
    Some(Patch::Operations {
        declarations,
        text: done.text,
    })
}
