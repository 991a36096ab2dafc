//! Partial presence documents (RFC 5262): `<pidf-full>` and `<pidf-diff>`, made for notifications (RFC 5263) and read
//! from publications (RFC 5264) and, by the clients, from notifications.

use super::content::Authorized;
use super::pidf::lexis::escape_into;
use super::pidf::names::{DATA_MODEL, PIDF, RPID};
use super::pidf::{self, scan};
use crate::xml::guard;
use crate::xml::patch::{self, Diff, Failure, Frame, Rules};
use bytes::Bytes;
use std::fmt;

/// Media type of partial presence documents (RFC 5262 §5.2).
pub const MEDIA_TYPE: &str = "application/pidf-diff+xml";
/// Their namespace (RFC 5262 §3).
const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf-diff";
const FULL: &str = "pidf-full";
const DIFF: &str = "pidf-diff";
/// Most operations in one document that is made here; a patch with more is no shorter than the whole in practice.
const OPERATIONS: usize = 1_024;

/// A partial presence document but for its `version`, so that one serves all watchers who see the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    before: Bytes,
    after: Bytes,
}

impl Body {
    /// A document with the place for the version at `at`.
    fn split(text: String, at: usize) -> Body {
        let mut before = Bytes::from(text);
        let after = before.split_off(at.min(before.len()));
        Body { before, after }
    }

    /// The document with its version (RFC 5262 §3.1, counted for each subscription: RFC 5263 §4.4).
    pub fn numbered(&self, version: u32) -> Bytes {
        let version = version.to_string();
        let length = self.before.len() + version.len() + self.after.len();
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&self.before);
        out.extend_from_slice(version.as_bytes());
        out.extend_from_slice(&self.after);
        out.into()
    }

    /// Bytes without the version.
    pub fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a watcher who holds one document is brought to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// They say the same.
    Nothing,
    /// By a `<pidf-diff>`.
    Patch(Body),
    /// By a `<pidf-full>`, see [`full`]: it is shorter (RFC 5262 §4), or no patch can do it.
    Whole,
}

/// The `<pidf-full>` of what a watcher may see.
pub fn full(document: &Authorized) -> Body {
    full_of(&String::from_utf8_lossy(document.bytes()))
}

/// The way from what a watcher was shown to what the watcher may see now.
pub fn difference(shown: &Authorized, now: &Authorized) -> Difference {
    difference_of(
        &String::from_utf8_lossy(shown.bytes()),
        &String::from_utf8_lossy(now.bytes()),
    )
}

fn full_of(document: &str) -> Body {
    if let Some(body) = respelled(document) {
        return body;
    }
    let text = Diff::own(document).renamed(NAMESPACE, FULL, "version");
    // The root element is the first to have the name: what is in front of it is the XML declaration.
    let name = text.find(FULL).map_or(0, |at| at + FULL.len());
    let (head, tail) = text.split_at(name);
    let head = format!("{head} version=\"");
    let at = head.len();
    Body::split(format!("{head}\"{tail}"), at)
}

/// [`full_of`] for the documents that this program writes, without reading them: the root element comes first, without
/// prefix, and the prefix `p` is free there. `None` where it is not so.
fn respelled(document: &str) -> Option<Body> {
    const START: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence ";
    let rest = document.strip_prefix(START)?;
    let mut tag = rest;
    // Attribute by attribute to the end of the start tag: none of them may be `xmlns:p` or `version`.
    while !tag.starts_with('>') {
        let (name, value) = tag.split_once("=\"")?;
        if matches!(name.trim(), "xmlns:p" | "version") {
            return None;
        }
        tag = value.split_once('"')?.1;
    }
    let rest = rest.strip_suffix("</presence>")?;
    let mut head = String::with_capacity(document.len() + 128);
    head.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?><p:pidf-full version=\"");
    let at = head.len();
    for part in ["\" xmlns:p=\"", NAMESPACE, "\" ", rest, "</p:pidf-full>"] {
        head.push_str(part);
    }
    Some(Body::split(head, at))
}

fn difference_of(shown: &str, now: &str) -> Difference {
    let frame = Frame {
        default: PIDF,
        prefix: "p",
        operations: OPERATIONS,
    };
    let Some(operations) = patch::generate(shown, now, &frame) else {
        return Difference::Whole;
    };
    if operations.text.is_empty() {
        return Difference::Nothing;
    }
    let mut head = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><p:{DIFF} xmlns=\"{PIDF}\" xmlns:p=\"{NAMESPACE}\""
    )
    .into_bytes();
    for (prefix, uri) in &operations.declarations {
        head.extend_from_slice(format!(" xmlns:{prefix}=\"").as_bytes());
        escape_into(&mut head, uri);
        head.push(b'"');
    }
    if let Some(entity) = &operations.entity {
        head.extend_from_slice(b" entity=\"");
        escape_into(&mut head, entity);
        head.push(b'"');
    }
    head.extend_from_slice(b" version=\"");
    let at = head.len();
    let head = String::from_utf8_lossy(&head).into_owned();
    let text = format!("{head}\">{}</p:{DIFF}>", operations.text);
    if text.len() >= now.len() {
        return Difference::Whole;
    }
    Difference::Patch(Body::split(text, at))
}

/// A partial presence document as received.
#[derive(Debug)]
pub enum Partial<'a> {
    /// `<pidf-full>`, as the `<presence>` document it stands for.
    Full {
        document: String,
        version: Option<u32>,
    },
    /// `<pidf-diff>`.
    Diff {
        entity: Option<String>,
        version: Option<u32>,
        diff: Diff<'a>,
    },
}

/// What patching a presence document may cost and follows: `limits` bound the diff, and the result as a whole document
/// does.
fn rules(limits: &pidf::Limits) -> Rules {
    let document = guard::Limits {
        bytes: limits.body,
        depth: scan::MAX_DEPTH,
        attributes: scan::MAX_ATTRIBUTES,
        ..guard::Limits::default()
    };
    Rules {
        limits: patch::Limits {
            document,
            ..patch::Limits::default()
        },
        // The attributes of type xs:ID in PIDF, the data model and RPID; `network/@id` of OMA is none.
        is_id: Some(|uri, _, attribute| {
            attribute == "id" && matches!(uri, PIDF | DATA_MODEL | RPID)
        }),
        // RFC 5262 shows both names for the root of the document that is patched.
        root_alias: Some((NAMESPACE, FULL)),
    }
}

/// Reads a body of [`MEDIA_TYPE`].
pub fn read<'a>(body: &'a [u8], limits: &pidf::Limits) -> Result<Partial<'a>, Failure> {
    let diff = Diff::read(body, &rules(limits).limits)?;
    let bad = |phrase| Failure::new(patch::Error::InvalidDiffFormat, phrase);
    let version = diff.attribute("version").map(str::trim).map(str::parse);
    let version = version.transpose().map_err(|_| bad("Bad Version"))?;
    match diff.root() {
        (NAMESPACE, FULL) => Ok(Partial::Full {
            document: diff.renamed(PIDF, "presence", "version"),
            version,
        }),
        (NAMESPACE, DIFF) => Ok(Partial::Diff {
            entity: diff.attribute("entity").map(str::to_owned),
            version,
            diff,
        }),
        _ => Err(bad("Neither Full Nor Partial Presence")),
    }
}

/// A `<presence>` document after the operations of a `<pidf-diff>`. Whether it is a valid one, the caller looks at.
pub fn patched(document: &[u8], diff: &Diff<'_>, limits: &pidf::Limits) -> Result<String, Failure> {
    diff.apply(document, &rules(limits))
}

/// A watcher's copy of a presence document, kept by the rules of RFC 5263 §4.5.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// The `<presence>` document; none before the first `<pidf-full>`.
    pub document: Option<String>,
    pub version: Option<u32>,
}

/// Why a copy could not follow. All but `Old` are mended by a refresh, which brings a `<pidf-full>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A version already seen: to be ignored.
    Old,
    /// A version in between was not seen, or there is none.
    Missing,
    /// A patch before any whole document.
    Nothing,
    /// The document does not read or does not apply.
    Failed(Failure),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Old => f.write_str("a version already seen"),
            Lost::Missing => f.write_str("a version in between was not seen"),
            Lost::Nothing => f.write_str("a patch before any whole document"),
            Lost::Failed(failure) => write!(f, "{:?}: {}", failure.error, failure.phrase),
        }
    }
}

impl Copy {
    /// Takes one notification's body of [`MEDIA_TYPE`]. On an error the copy is as it was.
    pub fn take(&mut self, body: &[u8], limits: &pidf::Limits) -> Result<(), Lost> {
        let partial = read(body, limits).map_err(Lost::Failed)?;
        let (Partial::Full { version, .. } | Partial::Diff { version, .. }) = &partial;
        let version = version.ok_or(Lost::Missing)?;
        if self.version.is_some_and(|seen| version <= seen) {
            return Err(Lost::Old);
        }
        let document = match partial {
            Partial::Full { document, .. } => document,
            Partial::Diff { diff, .. } => {
                let old = self.document.as_deref().ok_or(Lost::Nothing)?;
                if self.version.and_then(|seen| seen.checked_add(1)) != Some(version) {
                    return Err(Lost::Missing);
                }
                patched(old.as_bytes(), &diff, limits).map_err(Lost::Failed)?
            }
        };
        self.document = Some(document);
        self.version = Some(version);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
