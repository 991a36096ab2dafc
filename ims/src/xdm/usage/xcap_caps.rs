//! What this server can do (RFC 4825 §12): one document for everybody, made by the server itself.

use super::Usage;
use crate::xdm::document::Document;
use crate::xml::text::escaped;
use std::collections::BTreeSet;

/// Application unique identifier, RFC 4825 §12.1.
pub const AUID: &str = "xcap-caps";

/// RFC 4825 §12.4.
pub const MEDIA_TYPE: &str = "application/xcap-caps+xml";

/// The document in the global tree, RFC 4825 §12.7.
pub const NAME: &str = "index";

/// Namespace of the document, which it must list itself.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-caps";

/// The document. A namespace is supported when the server has its schema and checks documents against it.
pub fn document<'a>(namespaces: impl Iterator<Item = &'a str>) -> Document {
    let namespaces: BTreeSet<&str> = namespaces.chain([NAMESPACE]).collect();
    let listed = |element: &str, values: &mut dyn Iterator<Item = &str>| -> String {
        values
            .map(|value| format!("<{element}>{}</{element}>", escaped(value)))
            .collect()
    };
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-caps xmlns=\"{NAMESPACE}\"><auids>{}</auids>\
         <extensions/><namespaces>{}</namespaces></xcap-caps>\n",
        listed("auid", &mut Usage::ALL.into_iter().map(Usage::auid)),
        listed("namespace", &mut namespaces.into_iter()),
    );
    Document {
        etag: tag(&text),
        bytes: text.into(),
    }
}

/// An entity-tag made of the content (FNV-1a, 64 bits): the same on every node of one version, another when the
/// document is another.
fn tag(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
