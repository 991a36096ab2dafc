//! Resource list meta-information (RFC 4662 §5): the document that says who is on a list, and in which part of the body
//! the state of each is.

use super::list::Name;
use crate::event::subscription::{End, State};
use crate::xml::text::push_escaped;

/// Type of the document.
pub const MEDIA_TYPE: &str = "application/rlmi+xml";
/// Its namespace (RFC 4662 §8.3).
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:rlmi";

/// State and reason of a virtual subscription as an instance has them (§5.5). A terminated one always has a reason.
pub fn state_of(state: State) -> (&'static str, Option<&'static str>) {
    match state {
        State::Active => ("active", None),
        State::Pending => ("pending", None),
        // over for its watcher, whatever is decided later (RFC 3857 §4.7.1)
        State::Waiting => ("terminated", End::Timeout.reason()),
        // an end that has no reason of its own on the wire: the watcher may come back at once
        State::Terminated(end) => (
            "terminated",
            end.reason().or_else(|| End::Deactivated.reason()),
        ),
    }
}

/// Writes a document from its beginning to its end: each resource is followed by its instances.
#[derive(Clone, Debug)]
pub struct Writer {
    xml: String,
    /// A `<resource>` is open.
    inside: bool,
}

impl Writer {
    /// §5.2: `version` is 0 in the first NOTIFY of a subscription, and one more in each that follows; `full`: every
    /// resource of the list is going to be written.
    pub fn new(uri: &str, version: u32, full: bool, names: &[Name]) -> Writer {
        let mut xml = String::with_capacity(4096);
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<list xmlns=\"");
        xml.push_str(NAMESPACE);
        xml.push('"');
        let mut writer = Writer { xml, inside: false };
        writer.attribute("uri", uri);
        writer.attribute("version", &version.to_string());
        writer.attribute("fullState", if full { "true" } else { "false" });
        writer.xml.push('>');
        writer.names(names);
        writer
    }

    /// The next resource, as its list writes it.
    pub fn resource(&mut self, uri: &str, names: &[Name]) {
        self.close_resource();
        self.xml.push_str("<resource");
        self.attribute("uri", uri);
        self.xml.push('>');
        self.names(names);
        self.inside = true;
    }

    /// An instance of the resource written last; `id` is one of a kind among those of the resource, and stays. `cid` names
    /// the part with its state. Written is nothing where no resource is open.
    pub fn instance(&mut self, id: &str, state: State, cid: Option<&str>) {
        if !self.inside {
            return;
        }
        let (state, reason) = state_of(state);
        self.xml.push_str("<instance");
        self.attribute("id", id);
        self.attribute("state", state);
        if let Some(reason) = reason {
            self.attribute("reason", reason);
        }
        if let Some(cid) = cid {
            self.attribute("cid", cid);
        }
        self.xml.push_str("/>");
    }

    /// The document, whole.
    pub fn finish(mut self) -> String {
        self.close_resource();
        self.xml.push_str("</list>");
        self.xml
    }

    fn close_resource(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.xml.push_str("</resource>");
        }
    }

    fn names(&mut self, names: &[Name]) {
        for name in names {
            self.xml.push_str("<name");
            // §5.4: a language MUST be a valid tag
            if let Some(lang) = name.lang.as_deref().filter(|lang| is_language(lang)) {
                self.attribute("xml:lang", lang);
            }
            self.xml.push('>');
            push_escaped(&mut self.xml, &name.text);
            self.xml.push_str("</name>");
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.xml.push(' ');
        self.xml.push_str(name);
        self.xml.push_str("=\"");
        push_escaped(&mut self.xml, value);
        self.xml.push('"');
    }
}

/// About how many bytes a resource takes that has no instance.
pub fn size(uri: &str, names: &[Name]) -> usize {
    let name = |name: &Name| name.text.len() + name.lang.as_deref().map_or(0, str::len) + 32;
    uri.len() + 32 + names.iter().map(name).sum::<usize>()
}

/// `xs:language`, which xml:lang is.
fn is_language(tag: &str) -> bool {
    let fine = |part: &str| (1..=8).contains(&part.len());
    let mut parts = tag.split('-');
    let letters = |part: &str| fine(part) && part.bytes().all(|b| b.is_ascii_alphabetic());
    parts.next().is_some_and(letters)
        && parts.all(|part| fine(part) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}
