//! What may not be missing from an element, so that a filtered document is still valid (RFC 4661 §3.5.1).
//!
//! Elements of namespaces that are not named here stand behind lax wildcards: without a schema at hand nothing in them
//! is mandatory.

use crate::presence::pidf::names::{DATA_MODEL, GEOPRIV, OMA, PIDF, RPID};
use roxmltree::Node;

const CAPS: &str = "urn:ietf:params:xml:ns:pidf:caps";

/// Namespace (empty: none) and local name of an element.
pub(super) fn name<'a>(node: Node<'a, '_>) -> (&'a str, &'a str) {
    let tag = node.tag_name();
    (tag.namespace().unwrap_or(""), tag.name())
}

/// What the schema asks of the children of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Children {
    Nothing,
    /// Each child of these local names, in the element's own namespace.
    Each(&'static [&'static str]),
    /// At least one child that is no `<note>`.
    One,
}

/// The children that an element may not be without.
pub(super) fn children(node: Node<'_, '_>) -> Children {
    match name(node) {
        (PIDF, "tuple") => Children::Each(&["status"]),
        (DATA_MODEL, "device") => Children::Each(&["deviceID"]),
        (OMA, "service-description") => Children::Each(&["service-id", "version"]),
        (OMA, "network-availability" | "network") => Children::One,
        (RPID, "mood" | "place-type" | "service-class") => Children::One,
        (RPID, "audio" | "video" | "text") if is_place(node) => Children::One,
        (GEOPRIV, "geopriv") => Children::Each(&["location-info", "usage-rules"]),
        (GEOPRIV, "provided-by") => Children::One,
        _ => Children::Nothing,
    }
}

/// Parts of `<place-is>`; those of `<privacy>` have the same names and are empty.
fn is_place(node: Node<'_, '_>) -> bool {
    node.parent()
        .is_some_and(|parent| name(parent) == (RPID, "place-is"))
}

/// Whether an attribute without namespace may not be missing from the element.
pub(super) fn attribute(node: Node<'_, '_>, attribute: &str) -> bool {
    matches!(
        (name(node), attribute),
        ((PIDF, "presence"), "entity")
            | ((PIDF, "tuple"), "id")
            | ((DATA_MODEL, "person" | "device"), "id")
            | ((OMA, "network"), "id")
            | (
                (
                    CAPS,
                    "equals" | "higherthan" | "higherhan" | "lowerthan" | "range"
                ),
                _
            )
    )
}
