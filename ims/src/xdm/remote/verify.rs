//! Whether what another XDMS gives may be used: the rules that hold for documents that are put here.

use crate::xdm::Xdm;
use crate::xdm::document::Documents;
use crate::xdm::error::Conflict;
use crate::xdm::key::DocumentKey;
use crate::xdm::media::{self, Media};
use crate::xdm::usage::Candidate;
use crate::xml::guard;

impl Xdm {
    /// Longest document of an application usage, in bytes; `None`: it is not known here.
    pub fn longest(&self, auid: &str) -> Option<usize> {
        self.usages.named(auid).map(|usage| usage.limits.bytes)
    }

    /// Media type of the documents of a usage.
    pub fn media_type(&self, auid: &str) -> Option<&str> {
        self.usages.named(auid).map(|usage| &*usage.media_type)
    }

    /// Checks a document from elsewhere; the error says what is wrong with it, for the log.
    pub fn verify(
        &self,
        key: &DocumentKey,
        media_type: Option<&str>,
        bytes: &[u8],
        documents: &dyn Documents,
    ) -> Result<(), String> {
        let usage = self.usages.named(&key.auid);
        let usage = usage.ok_or("an application usage that is not known here")?;
        match media::compare(media_type, &usage.media_type) {
            Media::Expected => {}
            // RFC 9110 §8.3: without a type it may be looked at
            Media::Other if media_type.is_none() => {}
            Media::OtherCharset => return Err("another charset than UTF-8".to_owned()),
            Media::Other => return Err("another media type".to_owned()),
        }
        let document = guard::parse(bytes, &usage.limits).map_err(|refusal| refusal.to_string())?;
        let candidate = Candidate {
            key,
            bytes,
            document: &document,
            documents,
        };
        let checked = usage.check(&candidate).map(|_| ());
        checked.map_err(|conflict| said(&conflict))
    }
}

/// The kind of fault, without words of the document: they may name people.
fn said(conflict: &Conflict) -> String {
    let text = format!("{conflict:?}");
    let end = text.find(['(', ' ', '{']).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}
