//! Documents of policies and lists, read for an edit.

use super::view::NotUnderstood;
use ims::xml::{Document, Node, guard};

/// RFC 4745 §13.
pub const POLICY: &str = "urn:ietf:params:xml:ns:common-policy";
/// RFC 5025 §7.
pub const RULES: &str = "urn:ietf:params:xml:ns:pres-rules";

/// Reads a document that the server has taken, or that was made here.
pub fn read(text: &str) -> Result<Document<'_>, NotUnderstood> {
    let limits = guard::Limits {
        bytes: usize::MAX,
        ..guard::Limits::default()
    };
    guard::parse(text.as_bytes(), &limits)
        .map_err(|refusal| NotUnderstood::new(refusal.to_string()))
}

pub fn is(node: &Node<'_, '_>, space: &str, local: &str) -> bool {
    node.is_element()
        && node.tag_name().namespace() == Some(space)
        && node.tag_name().name() == local
}

pub fn elements<'a, 'i: 'a>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(|child| child.is_element())
}
