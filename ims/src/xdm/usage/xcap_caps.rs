//! What this server can do (RFC 4825 §12): one document for everybody, made by the server itself.

use super::{Candidate, Kept, Readers, Rules, Usage};
use crate::xdm::document::{Document, Standing};
use crate::xdm::error::Conflict;
use crate::xml::guard::Limits;
use crate::xml::text::escaped;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Application unique identifier, RFC 4825 §12.1.
pub const AUID: &str = "xcap-caps";

/// RFC 4825 §12.4.
pub const MEDIA_TYPE: &str = "application/xcap-caps+xml";

/// The document in the global tree, RFC 4825 §12.7.
pub const NAME: &str = "index";

/// Namespace of the document, which lists itself.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-caps";

/// RFC 4825 §12.
pub(super) fn usage(limits: Limits) -> Usage {
    Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: NAMESPACE.into(),
        limits,
        users: Kept::Nothing,
        global: Kept::Made(NAME),
        readers: Readers::Everybody,
        shown: false,
        rules: Arc::new(Own(NAMESPACE)),
    }
}

/// Rules of a usage whose documents this server alone makes, of this namespace.
#[derive(Debug)]
pub(super) struct Own(pub &'static str);

impl Rules for Own {
    fn check(&self, _: &Candidate<'_>) -> Result<Standing, Conflict> {
        let phrase = "documents of this usage are the server's";
        Err(Conflict::Constraint(phrase.to_owned()))
    }

    fn namespaces(&self) -> Vec<String> {
        vec![self.0.to_owned()]
    }
}

/// The document. A namespace is supported when the server has its schema and checks documents against it.
pub(super) fn document(usages: &[Usage]) -> Document {
    let namespaces = usages.iter().flat_map(|usage| usage.rules.namespaces());
    let namespaces: BTreeSet<String> = namespaces.collect();
    let listed = |element: &str, values: &mut dyn Iterator<Item = &str>| -> String {
        values
            .map(|value| format!("<{element}>{}</{element}>", escaped(value)))
            .collect()
    };
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-caps xmlns=\"{NAMESPACE}\"><auids>{}</auids>\
         <extensions/><namespaces>{}</namespaces></xcap-caps>\n",
        listed("auid", &mut usages.iter().map(|usage| usage.auid.as_ref())),
        listed("namespace", &mut namespaces.iter().map(String::as_str)),
    );
    Document::new(tag(&text), text)
}

/// An entity-tag made of the content (FNV-1a, 64 bits): the same on every node of one version, another when the
/// document is another.
pub(in crate::xdm) fn tag(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
