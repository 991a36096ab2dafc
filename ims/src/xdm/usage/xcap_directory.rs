//! Which documents a user has (OMA XDM 1.1): made by the server when it is asked for.

use super::xcap_caps::{Own, tag};
use super::{Kept, Readers, Usage};
use crate::time::datetime;
use crate::xdm::document::{Document, Listed};
use crate::xml::guard::Limits;
use crate::xml::text::escaped;
use std::sync::Arc;

/// Application unique identifier, OMA XDM Core 1.1.
pub const AUID: &str = "org.openmobilealliance.xcap-directory";

pub const MEDIA_TYPE: &str = "application/vnd.oma.xcap-directory+xml";

/// The document of each user.
pub const NAME: &str = "directory.xml";

/// Namespace of the document.
pub const NAMESPACE: &str = "urn:oma:xml:xdm:xcap-directory";

pub(super) fn usage(limits: Limits) -> Usage {
    Usage {
        auid: AUID.into(),
        media_type: MEDIA_TYPE.into(),
        namespace: NAMESPACE.into(),
        limits,
        users: Kept::Made(NAME),
        global: Kept::Nothing,
        readers: Readers::Trusted,
        shown: false,
        rules: Arc::new(Own(NAMESPACE)),
    }
}

/// The directory of one user's documents, which come in the order of their keys. `root`: XCAP root as clients write it;
/// without one the URIs are relative to it.
pub(super) fn document(listed: &[Listed<'_>], root: Option<&String>) -> Document {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-directory xmlns=\"{NAMESPACE}\">"
    );
    for folder in listed.chunk_by(|a, b| a.key.auid == b.key.auid) {
        let auid = folder.first().map_or("", |first| &first.key.auid);
        text.push_str(&format!("\n<folder auid=\"{}\">", escaped(auid)));
        for Listed {
            key,
            document,
            modified,
        } in folder
        {
            let path = encoded(&key.to_string());
            let uri = root.map_or_else(
                || path.clone(),
                |root| format!("{}/{path}", root.trim_end_matches('/')),
            );
            let since = modified.map_or_else(String::new, |at| {
                format!(" last-modified=\"{}\"", datetime::format(at))
            });
            text.push_str(&format!(
                "<entry uri=\"{}\" etag=\"{}\"{since} size=\"{}\"/>",
                escaped(&uri),
                escaped(&document.etag),
                document.bytes.len()
            ));
        }
        text.push_str("</folder>");
    }
    text.push_str("\n</xcap-directory>\n");
    Document::new(tag(&text), text)
}

/// A path with everything escaped that may not stand in it (RFC 3986 §3.3).
fn encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
