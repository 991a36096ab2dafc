//! XML patch operations (RFC 5261): a document changed by the `<add>`, `<replace>` and `<remove>` of another.
//!
//! [`Diff::read`] takes the document with the operations, [`Diff::apply`] applies them in order to a target and gives
//! the patched document, or the [`Failure`] of the first that cannot be fulfilled; the target is never half changed.
//! [`generate`] finds operations that make one document of another. A document type that uses this (partial PIDF,
//! RFC 5262) brings the root element around the operations and says which attributes are of type ID.

mod apply;
mod classes;
mod generate;
mod import;
mod names;
mod operation;
mod read;
mod report;
mod selector;
mod siblings;
mod tree;

#[cfg(test)]
mod tests;

pub use generate::{Frame, Operations, generate, same};
pub use report::MEDIA_TYPE as ERROR_MEDIA_TYPE;

use super::guard::{self, Refusal};
use names::Names;
use tree::{Kind, Tree};

/// What patching may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on the diff document, on the target and on the patched document. Each operation may add content, all
    /// together at most `document.bytes` more.
    pub document: guard::Limits,
    /// Most operations in one diff document. Default: 1,024.
    pub operations: usize,
    /// Longest selector, in bytes. Default: 1,024.
    pub selector: usize,
    /// Most nodes looked at while all selectors are evaluated. Default: 2,000,000, about 20 ms.
    pub visits: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            document: guard::Limits::default(),
            operations: 1_024,
            selector: 1_024,
            visits: 2_000_000,
        }
    }
}

/// What a document type adds to RFC 5261.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub limits: Limits,
    /// Whether an attribute of no namespace is of type ID, by namespace and local name of its element and its own name;
    /// `None` where nothing is known of the type, then `id()` is not supported. `xml:id` is one always (§4.1).
    pub is_id: Option<fn(uri: &str, element: &str, attribute: &str) -> bool>,
    /// A second name, namespace and local part, that a selector may give the root element.
    pub root_alias: Option<(&'static str, &'static str)>,
}

/// An error condition of RFC 5261 §5.1, and two of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// `sel`, `type`, `ws` or `pos` is not valid, or the new value of an attribute is not.
    InvalidAttributeValue,
    /// The diff document is not in UTF-8.
    InvalidCharacterSet,
    /// The diff document is not well-formed or not of its type.
    InvalidDiffFormat,
    /// A reference to an entity that is not declared.
    InvalidEntityDeclaration,
    /// A prefix without declaration.
    InvalidNamespacePrefix,
    /// A namespace that the target does not declare, or a name no namespace may have.
    InvalidNamespaceUri,
    /// A `<replace>` whose content is of another node type than its target.
    InvalidNodeTypes,
    /// An operation that is not understood or cannot be done to this node.
    InvalidPatchDirective,
    /// The root element cannot be removed and cannot have sibling elements.
    InvalidRootElementOperation,
    /// The XML prolog cannot be patched.
    InvalidXmlPrologOperation,
    /// White space to be removed that is not there.
    InvalidWhitespaceDirective,
    /// No node, or more than one, is selected.
    UnlocatedNode,
    /// `id()`, where no attribute is known to be of type ID.
    UnsupportedIdFunction,
    /// More operations, work, content or nesting than [`Limits`] allow.
    TooMuch,
    /// The target document does not read: not the fault of the patch.
    BadTarget,
}

/// Why a diff document is not applied. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub error: Error,
    /// What is wrong, in constant words.
    pub phrase: &'static str,
    /// The operation at fault as an element that can stand alone, where there is one.
    operation: Option<String>,
}

impl Failure {
    /// A failure that no operation is at fault for.
    pub fn new(error: Error, phrase: &'static str) -> Failure {
        Failure {
            error,
            phrase,
            operation: None,
        }
    }
}

/// A diff document that has been read.
#[derive(Clone, Debug)]
pub struct Diff<'a> {
    tree: Tree<'a>,
    names: Names,
}

impl<'a> Diff<'a> {
    /// Reads a document through the guard. What its root element is, the caller looks at.
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Result<Diff<'a>, Failure> {
        // What is to stand under the root of the target stands under an operation here, one level deeper.
        let document = guard::Limits {
            depth: limits.document.depth + 1,
            ..limits.document
        };
        let text = text(bytes, &document).map_err(|refusal| refused(bytes, &refusal))?;
        Ok(Diff::own(text))
    }

    /// Reads a document that this program made, or that has passed the guard before.
    pub fn own(text: &'a str) -> Diff<'a> {
        let mut names = Names::new();
        let tree = Tree::read(text, &mut names);
        Diff { tree, names }
    }

    /// Namespace and local part of the name of the root element.
    pub fn root(&self) -> (&str, &str) {
        let root = self.tree.root().and_then(|root| self.tree.element(root));
        root.map_or(("", ""), |root| (self.names.text(root.uri), &root.local))
    }

    /// The default namespace at the root element, if one is declared there.
    pub fn default_namespace(&self) -> Option<&str> {
        let root = self.tree.element(self.tree.root()?)?;
        let declared = root.declared.iter().find(|d| d.prefix.is_empty())?;
        Some(self.names.text(declared.uri))
    }

    /// An attribute, of no namespace, of the root element.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.tree.element(self.tree.root()?)?.attribute(name)
    }

    /// The document again with another root element, of namespace `uri`, without the attribute `without`. The
    /// declarations stay; one is added where `uri` has none.
    pub fn renamed(mut self, uri: &str, local: &'a str, without: &str) -> String {
        let uri = self.names.intern(uri);
        let Some(id) = self.tree.root() else {
            return String::new();
        };
        let scope = self.tree.in_scope(id);
        let bound = scope.iter().find(|(_, bound)| *bound == uri);
        let prefix = match bound {
            Some((prefix, _)) => prefix.clone(),
            None => {
                let numbered = (0..).map(|n| format!("p{n}"));
                let mut free = std::iter::once("p".to_owned())
                    .chain(numbered)
                    .filter(|p| !scope.iter().any(|(prefix, _)| prefix == p));
                free.next().unwrap_or_default().into()
            }
        };
        let declare = bound.is_none();
        if let Some(root) = self.tree.element_mut(id) {
            if declare {
                root.declared.push(tree::Declaration {
                    prefix: prefix.clone(),
                    uri,
                });
            }
            root.prefix = prefix;
            root.local = local.into();
            root.uri = uri;
            root.attributes
                .retain(|a| a.uri != names::Uri::NONE || a.local != without);
        }
        self.tree.write(&self.names)
    }

    /// Applies the operations in document order (§4) and gives the patched document.
    pub fn apply(&self, target: &[u8], rules: &Rules) -> Result<String, Failure> {
        let bad = |_| Failure::new(Error::BadTarget, "The document to patch does not read");
        let text = text(target, &rules.limits.document).map_err(bad)?;
        apply::apply(self, text, rules)
    }
}

/// A document as text, well-formed.
fn text<'a>(bytes: &'a [u8], limits: &guard::Limits) -> Result<&'a str, Refusal> {
    Ok(guard::parse(bytes, limits)?.input_text())
}

/// The failure of a diff document that the guard refuses.
fn refused(bytes: &[u8], refusal: &Refusal) -> Failure {
    let (error, phrase) = match refusal {
        Refusal::TooLarge { .. } => (Error::TooMuch, "Patch Too Large"),
        Refusal::NotUtf8(_) => (Error::InvalidCharacterSet, "Patch Not In UTF-8"),
        Refusal::NotTaken(_) => (Error::InvalidDiffFormat, "Patch Not Accepted"),
        Refusal::NotWellFormed(_) if names_an_entity(bytes) => {
            (Error::InvalidEntityDeclaration, "Entity Not Declared")
        }
        Refusal::NotWellFormed(_) => (Error::InvalidDiffFormat, "Patch Not Well-Formed"),
    };
    Failure::new(error, phrase)
}

/// Whether there is a reference to something that is neither a character nor one of the five predefined entities.
fn names_an_entity(bytes: &[u8]) -> bool {
    let known: [&[u8]; 6] = [b"#", b"lt;", b"gt;", b"amp;", b"apos;", b"quot;"];
    let mut references = bytes.split(|b| *b == b'&').skip(1);
    references.any(|r| {
        r.first().is_some_and(u8::is_ascii_alphabetic) && !known.iter().any(|k| r.starts_with(k))
    })
}

/// Whether a node is character data of white space only.
fn is_blank(kind: Option<&Kind<'_>>) -> bool {
    matches!(kind, Some(Kind::Text(raw)) if read::is_blank(raw))
}
