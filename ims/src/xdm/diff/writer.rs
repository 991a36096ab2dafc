//! The document of a NOTIFY (RFC 5874 §3).

use super::component::{Kind, Value};
use super::patches::{PREFIX, Patch};
use crate::xml::text::escaped;
use std::fmt::Write;

/// Media type of the documents (RFC 5874 §7).
pub const MEDIA_TYPE: &str = "application/xcap-diff+xml";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-diff";

/// A document on its way.
///
/// All names of ours have a prefix, so that content of documents keeps its default namespace, or none.
#[derive(Debug)]
pub struct Writer(String);

impl Writer {
    /// `root`: the XCAP root that all selectors are below.
    pub fn new(root: &str) -> Writer {
        let mut text = String::with_capacity(512);
        text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // writing to a String does not fail, here and below
        let _ = write!(
            text,
            "<{PREFIX}:xcap-diff xmlns:{PREFIX}=\"{NAMESPACE}\" xcap-root=\"{}\"",
            escaped(root)
        );
        text.push_str(">\n");
        Writer(text)
    }

    /// A document that is there, was changed, or is gone: `previous` and `new` as RFC 5874 §3, figure 1, wants them.
    pub fn document(
        &mut self,
        sel: &str,
        previous: Option<&str>,
        new: Option<&str>,
        patch: Option<&Patch>,
    ) {
        let text = &mut self.0;
        let _ = write!(text, "<{PREFIX}:document sel=\"{}\"", escaped(sel));
        if let Some(previous) = previous {
            let _ = write!(text, " previous-etag=\"{}\"", escaped(previous));
        }
        if let Some(new) = new {
            let _ = write!(text, " new-etag=\"{}\"", escaped(new));
        }
        match patch {
            None => text.push_str("/>\n"),
            Some(Patch::Nothing) => {
                let _ = writeln!(text, "><{PREFIX}:body-not-changed/></{PREFIX}:document>");
            }
            Some(Patch::Operations {
                declarations,
                text: operations,
            }) => {
                let _ = writeln!(text, "{declarations}>{operations}</{PREFIX}:document>");
            }
        }
    }

    /// An element or attribute as it is now. Without `content` only that it is there is told (RFC 5874 §3).
    pub fn component(&mut self, kind: Kind, sel: &str, value: Option<&Value>, content: bool) {
        let text = &mut self.0;
        let name = match kind {
            Kind::Element => "element",
            Kind::Attribute => "attribute",
        };
        let _ = write!(text, "<{PREFIX}:{name} sel=\"{}\"", escaped(sel));
        // an empty attribute is there, and says so
        let shown = value.filter(|value| {
            let clashes = value.prefixes.iter().any(|prefix| prefix == PREFIX);
            (content || kind == Kind::Attribute) && !clashes && !value.content.is_empty()
        });
        match (value, shown) {
            (None, _) => text.push_str(" exists=\"0\"/>\n"),
            (Some(_), None) => text.push_str(" exists=\"1\"/>\n"),
            (Some(_), Some(value)) => {
                let Value {
                    declarations,
                    content,
                    ..
                } = value;
                let _ = writeln!(
                    text,
                    " exists=\"1\"{declarations}>{content}</{PREFIX}:{name}>"
                );
            }
        }
    }

    pub fn finish(mut self) -> String {
        let _ = writeln!(self.0, "</{PREFIX}:xcap-diff>");
        self.0
    }
}
