//! What an XDMS tells of changed documents: `application/xcap-diff+xml` (RFC 5874), as far as a reader needs it that gets
//! the documents themselves. Patches, elements and attributes are passed over.

use crate::xdm::key::DocumentKey;
use crate::xdm::selector::Selector;
use crate::xml::guard;

/// The body type of the package's NOTIFYs.
pub const MEDIA_TYPE: &str = "application/xcap-diff+xml";
/// RFC 5874 §8.2.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-diff";
/// Longest document, in bytes: a notifier may send patches that nobody has asked for.
pub const LONGEST: usize = 256 * 1024;
/// Documents taken from one body.
const MOST: usize = 256;
const LIMITS: guard::Limits = guard::Limits {
    bytes: LONGEST,
    depth: 64,
    attributes: 64,
    namespaces: 256,
    nodes: 32_768,
};

/// `document`: one document as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: DocumentKey,
    /// Entity-tag without quotes; `None`: it is gone.
    pub etag: Option<String>,
}

/// Reads a body; `None` for what is none.
pub fn read(body: &[u8]) -> Option<Vec<Change>> {
    let document = guard::parse(body, &LIMITS).ok()?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "xcap-diff")) {
        return None;
    }
    let prefix = root.attribute("xcap-root").unwrap_or_default();
    let documents = root
        .children()
        .filter(|node| node.has_tag_name((NAMESPACE, "document")))
        .take(MOST);
    let change = |node: roxmltree::Node<'_, '_>| {
        let path = node.attribute("sel")?.trim();
        let below = path.strip_prefix(prefix).unwrap_or(path);
        let selector = Selector::parse(below).ok()?;
        Some(Change {
            key: selector.key,
            etag: node.attribute("new-etag").map(bare),
        })
    };
    Some(documents.filter_map(change).collect())
}

/// An entity-tag without its quotes, of which HTTP and SIP differ in habit.
pub fn bare(etag: &str) -> String {
    let etag = etag.trim();
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    etag.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_named_by_their_path_below_the_root_and_everything_else_is_passed_over() {
        let body = br#"<?xml version="1.0"?>
            <d:xcap-diff xmlns:d="urn:ietf:params:xml:ns:xcap-diff" xcap-root="http://x.test/root/">
              <d:document sel="pres-rules/users/sip%3Abob%40ims.test/index" new-etag="&quot;a&quot;" previous-etag="b">
                <d:add sel="*"><rule/></d:add></d:document>
              <d:document sel="http://x.test/root/resource-lists/users/sip:bob@ims.test/index" previous-etag="c"/>
              <d:document sel="../x" new-etag="d"/><d:document new-etag="e"/>
              <d:element sel="pres-rules/users/sip:bob@ims.test/index/~~/x" exists="1"/>
            </d:xcap-diff>"#;
        let told: Vec<(String, Option<String>)> = read(body)
            .unwrap()
            .into_iter()
            .map(|change| (change.key.to_string(), change.etag))
            .collect();
        let expected = [
            ("pres-rules/users/sip:bob@ims.test/index", Some("a")),
            ("resource-lists/users/sip:bob@ims.test/index", None),
        ];
        let expected: Vec<(String, Option<String>)> = expected
            .map(|(key, etag)| (key.to_owned(), etag.map(str::to_owned)))
            .into();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_no_such_document_says_nothing() {
        for body in [
            &b""[..],
            b"<xcap-diff xcap-root='a'/>",
            b"<!DOCTYPE x><xcap-diff xmlns='urn:ietf:params:xml:ns:xcap-diff' xcap-root='a'/>",
        ] {
            assert_eq!(read(body), None);
        }
    }
}
