//! What an XDMS tells of changes (RFC 5874), and the copy of a document that is kept up with it (RFC 5875 §4.8).

use bytes::Bytes;
use ims::xml::patch::{Diff, Limits, Rules, same};
use ims::xml::text::escaped;
use ims::xml::{Node, guard};

/// Media type of the documents.
pub const MEDIA_TYPE: &str = "application/xcap-diff+xml";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-diff";

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The URI as it was subscribed to, or below a collection that was; relative to the XCAP root.
    pub path: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Document {
        /// Entity-tags without their quotes; no new one: it is gone.
        previous: Option<String>,
        new: Option<String>,
        change: Change,
    },
    /// An element or attribute; `None`: it is not there.
    Part(Option<String>),
}

/// How a document has become what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not told: it must be fetched.
    Unknown,
    /// Another entity-tag and the same content.
    Nothing,
    /// A document with the patch operations.
    Patch(String),
}

/// Reads the body of a NOTIFY.
pub fn read(body: &[u8]) -> Result<Vec<Told>, String> {
    let document = guard::parse(body, &guard::Limits::default()).map_err(|e| e.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "xcap-diff")) {
        return Err("it is no xcap-diff document".into());
    }
    let text = document.input_text();
    let base = root.attribute("xcap-root").unwrap_or("");
    let told = root.children().filter(Node::is_element).filter_map(|node| {
        let is = |name| node.has_tag_name((NAMESPACE, name));
        let sel = node.attribute("sel")?.trim();
        let path = sel.strip_prefix(base).unwrap_or(sel);
        let exists = !matches!(node.attribute("exists"), Some("false" | "0"));
        let what = if is("document") {
            What::Document {
                previous: node.attribute("previous-etag").map(bare),
                new: node.attribute("new-etag").map(bare),
                change: change(text, &node),
            }
        } else if is("element") {
            let content = || node.first_element_child().map_or("", |e| &text[e.range()]);
            What::Part(exists.then(|| content().to_owned()))
        } else if is("attribute") {
            What::Part(exists.then(|| node.text().unwrap_or("").to_owned()))
        } else {
            return None; // of a later version (RFC 5874 §4)
        };
        Some(Told {
            path: path.trim_start_matches('/').to_owned(),
            what,
        })
    });
    Ok(told.collect())
}

/// An entity-tag without its quotes, of which HTTP and this package differ in habit.
pub fn bare(etag: &str) -> String {
    etag.trim().trim_matches('"').to_owned()
}

/// What a `<document>` holds, as a document that can stand alone: with every declaration that is in scope.
fn change(text: &str, node: &Node<'_, '_>) -> Change {
    let mut elements = node.children().filter(Node::is_element).peekable();
    let Some(first) = elements.peek() else {
        return Change::Unknown;
    };
    if first.has_tag_name((NAMESPACE, "body-not-changed")) {
        return Change::Nothing;
    }
    let (Some(start), Some(end)) = (node.first_child(), node.last_child()) else {
        return Change::Unknown;
    };
    let mut declared = String::new();
    for namespace in node.namespaces() {
        let uri = escaped(namespace.uri());
        match namespace.name() {
            Some("xml") => {}
            Some(prefix) => declared += &format!(" xmlns:{prefix}=\"{uri}\""),
            None => declared += &format!(" xmlns=\"{uri}\""),
        }
    }
    let written = &text[node.range().start + 1..];
    let length = written.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>'));
    let name = &written[..length.unwrap_or(0)];
    let inner = &text[start.range().start..end.range().end];
    Change::Patch(format!("<{name}{declared}>{inner}</{name}>"))
}

/// A document as the server had it at an entity-tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub etag: String,
    pub bytes: Bytes,
}

/// What is to be done about a document that was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The copy is that version already.
    Known,
    /// This is it now.
    Now(Copy),
    /// What was told does not lead from the copy to the new version: get it.
    Fetch,
    Gone,
}

/// RFC 5875 §4.8: a patch is applied to the version that it was made for, and to no other.
pub fn step(
    copy: Option<&Copy>,
    previous: Option<&str>,
    new: Option<&str>,
    change: &Change,
) -> Step {
    let Some(new) = new else {
        return Step::Gone;
    };
    let Some(copy) = copy else {
        return Step::Fetch;
    };
    if copy.etag == new {
        return Step::Known;
    }
    if previous != Some(&copy.etag) {
        return Step::Fetch;
    }
    let now = |bytes| {
        Step::Now(Copy {
            etag: new.to_owned(),
            bytes,
        })
    };
    match change {
        Change::Unknown => Step::Fetch,
        Change::Nothing => now(copy.bytes.clone()),
        Change::Patch(patch) => patched(&copy.bytes, patch).map_or(Step::Fetch, now),
    }
}

fn patched(document: &[u8], patch: &str) -> Option<Bytes> {
    let rules = Rules {
        limits: Limits::default(),
        is_id: None,
        root_alias: None,
    };
    let diff = Diff::read(patch.as_bytes(), &rules.limits).ok()?;
    diff.apply(document, &rules).ok().map(Bytes::from)
}

/// Whether two documents say the same, whatever their white space, prefixes and comments.
pub fn same_content(one: &[u8], other: &[u8]) -> bool {
    match (std::str::from_utf8(one), std::str::from_utf8(other)) {
        (Ok(one), Ok(other)) => same(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<?xml version=\"1.0\"?><d:xcap-diff xmlns:d=\"urn:ietf:params:xml:ns:xcap-diff\" \
        xmlns=\"urn:ietf:params:xml:ns:resource-lists\" xcap-root=\"http://h/root/\">";

    fn told(inner: &str) -> Vec<Told> {
        read(format!("{HEAD}{inner}</d:xcap-diff>").as_bytes()).unwrap()
    }

    fn document(told: &Told) -> (Option<&str>, Option<&str>, &Change) {
        match &told.what {
            What::Document {
                previous,
                new,
                change,
            } => (previous.as_deref(), new.as_deref(), change),
            What::Part(_) => panic!("a part"),
        }
    }

    /// The ways of RFC 5874 §3.1 and §4: references, creation, removal, patches, and parts.
    #[test]
    fn what_is_told_is_read() {
        let all = told(
            "<d:document sel=\"a/users/b/c\" new-etag=\"&quot;1&quot;\"/>\
             <d:document sel=\"http://h/root/x\" previous-etag=\"1\"/>\
             <d:document sel=\"/y\" previous-etag=\"1\" new-etag=\"2\"><d:body-not-changed/></d:document>\
             <d:element sel=\"e\" exists=\"1\"><list name=\"l\"/></d:element><d:element sel=\"e\" exists=\"false\"/>\
             <d:attribute sel=\"t\">v</d:attribute><d:later sel=\"z\"/>",
        );
        let paths: Vec<&str> = all.iter().map(|told| told.path.as_str()).collect();
        assert_eq!(paths, ["a/users/b/c", "x", "y", "e", "e", "t"]);
        assert_eq!(document(&all[0]), (None, Some("1"), &Change::Unknown));
        assert_eq!(document(&all[1]), (Some("1"), None, &Change::Unknown));
        assert_eq!(document(&all[2]), (Some("1"), Some("2"), &Change::Nothing));
        assert_eq!(all[3].what, What::Part(Some("<list name=\"l\"/>".into())));
        assert_eq!(all[4].what, What::Part(None));
        assert_eq!(all[5].what, What::Part(Some("v".into())));
        assert!(read(b"<x/>").is_err() && read(b"").is_err());
    }

    #[test]
    fn a_patch_is_applied_to_the_version_it_was_made_for_and_to_no_other() {
        let before = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"a\"/></resource-lists>";
        let after = before.replace("<list name=\"a\"/>", "<list name=\"a\"/><list name=\"b\"/>");
        let all = told(
            "<d:document sel=\"x\" previous-etag=\"1\" new-etag=\"2\"><d:add sel=\"resource-lists\"><list name=\"b\"/></d:add>\
             </d:document><d:document sel=\"x\" previous-etag=\"1\" new-etag=\"2\"><d:remove sel=\"nothing\"/></d:document>",
        );
        let (previous, new, patch) = document(&all[0]);
        let (.., broken) = document(&all[1]);
        let copy = |etag: &str| Copy {
            etag: etag.into(),
            bytes: Bytes::from(before.to_owned()),
        };
        let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        let patched = Copy {
            etag: "2".into(),
            bytes: format!("{declaration}{after}").into(), // a patch says nothing of the prolog
        };
        let same = Copy {
            etag: "2".into(),
            ..copy("1")
        };
        for (case, have, change, new, want) in [
            (
                "the version it was made for",
                Some(copy("1")),
                patch,
                new,
                Step::Now(patched),
            ),
            ("no copy", None, patch, new, Step::Fetch),
            ("another version", Some(copy("0")), patch, new, Step::Fetch),
            (
                "fetched meanwhile",
                Some(copy("2")),
                patch,
                new,
                Step::Known,
            ),
            (
                "a patch that does not fit",
                Some(copy("1")),
                broken,
                new,
                Step::Fetch,
            ),
            (
                "no patch",
                Some(copy("1")),
                &Change::Unknown,
                new,
                Step::Fetch,
            ),
            (
                "only the entity-tag",
                Some(copy("1")),
                &Change::Nothing,
                new,
                Step::Now(same),
            ),
            ("gone", Some(copy("1")), &Change::Unknown, None, Step::Gone),
        ] {
            assert_eq!(step(have.as_ref(), previous, new, change), want, "{case}");
        }
    }
}
