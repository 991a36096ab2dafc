//! The path of a request below the XCAP root: which document it names (RFC 4825 §6), and what of it.

mod node;
mod pointer;

pub use node::{Name, NodeSelector, Step, Terminal};

use super::key::{DocumentKey, Tree};
use crate::sip::Aor;

/// Longest path below the XCAP root without a node selector, in bytes as received.
const TARGET: usize = 2048;

/// Longest document name, in bytes after decoding.
const NAME: usize = 255;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub key: DocumentKey,
    /// What follows the node selector separator (RFC 4825 §6.1), still percent-encoded; see [`NodeSelector::parse`].
    pub node: Option<String>,
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unselectable {
    /// The percent-encoding is broken: no server could read it.
    Malformed,
    /// A path, a selector or a query over its limit.
    TooLong,
    /// A path outside the tree of RFC 4825 §6.2, or a node selector that is not of the grammar of §6.3.
    Outside,
    /// A node selector with a prefix that the query does not bind (§6.4).
    Unbound,
}

impl Selector {
    /// Takes a path apart. Every segment is percent-decoded exactly once, after the path has been split, so
    /// an encoded `/`, `..` or NUL is never a way to another document.
    pub fn parse(target: &str) -> Result<Selector, Unselectable> {
        let target = target.strip_prefix('/').unwrap_or(target);
        let mut segments = Vec::new();
        let mut node = None;
        let mut rest = Some(target);
        while let Some(text) = rest {
            if target.len() - text.len() > TARGET {
                return Err(Unselectable::TooLong);
            }
            let (segment, after) = match text.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (text, None),
            };
            if segment.len() > TARGET {
                return Err(Unselectable::TooLong);
            }
            let segment = decoded(segment).ok_or(Unselectable::Malformed)?;
            if segment == "~~" {
                node = Some(after.unwrap_or_default().to_owned());
                break;
            }
            rest = after;
            // A NUL would end a part of the stored key; nobody needs the other controls in a name.
            if segment.is_empty()
                || segment == "."
                || segment == ".."
                || segment.chars().any(char::is_control)
            {
                return Err(Unselectable::Outside);
            }
            segments.push(segment);
        }
        let (auid, tree, below) = match segments.as_slice() {
            [auid, tree, below @ ..] if tree == "global" => (auid, Tree::Global, below),
            [auid, tree, owner, below @ ..] if tree == "users" => (
                auid,
                Tree::User(Aor::parse(owner).ok_or(Unselectable::Outside)?),
                below,
            ),
            _ => return Err(Unselectable::Outside),
        };
        let name = below.join("/");
        // A slash inside a segment would read as a directory in the joined name.
        let slashed = below
            .iter()
            .chain([auid])
            .any(|segment| segment.contains('/'));
        if name.is_empty() || name.len() > NAME || slashed {
            return Err(Unselectable::Outside);
        }
        Ok(Selector {
            key: DocumentKey {
                tree,
                auid: auid.clone(),
                name,
            },
            node,
        })
    }
}

/// A segment with its escapes undone; `None` when one is broken or the result is not UTF-8.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (hex(rest.next())?, hex(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &str) -> String {
        match Selector::parse(target) {
            Ok(Selector { key, node: None }) => key.to_string(),
            Ok(Selector {
                key,
                node: Some(node),
            }) => format!("{key} node {node}"),
            Err(error) => format!("{error:?}").to_lowercase(),
        }
    }

    #[test]
    fn a_path_names_one_document_or_nothing() {
        let bob = "pres-rules/users/sip:bob@ims.test/index";
        for (case, target, expected) in [
            ("plain", bob, bob),
            (
                "with a leading slash",
                "/pres-rules/users/sip:bob@ims.test/index",
                bob,
            ),
            (
                "escapes in the user",
                "pres-rules/users/sip%3Abob%40ims.test/index",
                bob,
            ),
            (
                "another spelling of the user",
                "pres-rules/users/SIP:b%6Fb@IMS.Test:5060;user=phone/index",
                bob,
            ),
            (
                "a secure URI of the user",
                "pres-rules/users/sips:bob@ims.test/index",
                bob,
            ),
            (
                "a telephone number",
                "a/users/tel:+36-10-555-0001/d",
                "a/users/tel:+36105550001/d",
            ),
            (
                "a user with a slash",
                "a/users/sip:b%2Fb@x.test/d",
                "a/users/sip:b/b@x.test/d",
            ),
            (
                "a document with a space",
                "a/users/sip:b@x.test/my%20rules",
                "a/users/sip:b@x.test/my rules",
            ),
            (
                "a sub-directory",
                "a/users/sip:b@x.test/d/e",
                "a/users/sip:b@x.test/d/e",
            ),
            (
                "the global tree",
                "rls-services/global/index",
                "rls-services/global/index",
            ),
            (
                "a node",
                "a/users/sip:b@x.test/d/~~/ruleset/rule%5b1%5d",
                "a/users/sip:b@x.test/d node ruleset/rule%5b1%5d",
            ),
            (
                "a node behind an encoded separator",
                "a/users/sip:b@x.test/d/%7E%7e/r/~~/s",
                "a/users/sip:b@x.test/d node r/~~/s",
            ),
            ("an empty node", "a/global/d/~~", "a/global/d node "),
            (
                "decoding happens once",
                "a/users/sip:b@x.test/%2541",
                "a/users/sip:b@x.test/%41",
            ),
            (
                "traversal",
                "a/users/sip:b@x.test/../sip:c@x.test/d",
                "outside",
            ),
            (
                "encoded traversal",
                "a/users/sip:b@x.test/%2e%2E/d",
                "outside",
            ),
            (
                "an encoded slash in a name",
                "a/users/sip:b@x.test/c%2Fd",
                "outside",
            ),
            (
                "an encoded slash in the usage",
                "a%2Fusers/users/sip:b@x.test/d",
                "outside",
            ),
            ("NUL", "a/users/sip:b@x.test/%00", "outside"),
            ("a line feed", "a/users/sip:b@x.test/a%0Ab", "outside"),
            ("an empty segment", "a//users/sip:b@x.test/d", "outside"),
            ("no document", "a/users/sip:b@x.test", "outside"),
            ("a directory", "a/users/sip:b@x.test/", "outside"),
            (
                "a node of no document",
                "a/users/sip:b@x.test/~~/r",
                "outside",
            ),
            ("another tree", "a/others/sip:b@x.test/d", "outside"),
            ("a user that is no URI", "a/users/bob/d", "outside"),
            ("nothing", "", "outside"),
            ("a broken escape", "a/users/sip:b@x.test/%4", "malformed"),
            (
                "an escape that is no hex",
                "a/users/sip:b@x.test/%+1",
                "malformed",
            ),
            (
                "an escape that is not UTF-8",
                "a/users/sip:b@x.test/%ff",
                "malformed",
            ),
        ] {
            assert_eq!(shown(target), expected, "{case}");
        }
        let name = |n: usize| format!("a/global/{}", "x".repeat(n));
        assert_eq!(shown(&name(255)), name(255));
        assert_eq!(shown(&name(256)), "outside");
        assert_eq!(shown(&name(2048)), "outside");
        assert_eq!(shown(&name(2049)), "toolong");
        assert_eq!(shown(&"a/".repeat(2049)), "toolong");
    }
}
