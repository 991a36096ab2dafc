//! Documents that several XDMSs behind one root make together (OMA XDM 1.1, aggregation proxy): what they can do, and
//! which documents a user has. Theirs are read as anything from outside: through the guard, and against the schema.

use super::document::Document;
use super::key::Tree;
use super::selector::Selector;
use super::usage::{xcap_caps, xcap_directory};
use crate::xml::guard::{self, Limits};
use crate::xml::schema::{LoadError, Schema, Unknown};
use crate::xml::schemas;
use crate::xml::text::escaped;
use roxmltree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Longest document that is taken of one XDMS, in bytes.
pub const LONGEST: usize = 1 << 20;

/// Schemas of both documents.
#[derive(Clone, Debug)]
pub struct Merger {
    capabilities: Schema,
    directory: Schema,
    limits: Limits,
}

/// What XCAP servers can do (RFC 4825 §12.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    auids: BTreeSet<String>,
    extensions: BTreeSet<String>,
    namespaces: BTreeSet<String>,
}

/// Which documents a user has, by application usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    folders: BTreeMap<String, Folder>,
}

/// The documents of one usage, or why they are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Folder {
    Entries(Vec<Entry>),
    Error(String),
}

/// One document. What stands here is as the schema wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    uri: String,
    etag: String,
    modified: Option<String>,
    size: Option<String>,
}

impl Merger {
    pub fn new() -> Result<Merger, LoadError> {
        Ok(Merger {
            capabilities: Schema::load(&schemas::XCAP_CAPS)?,
            directory: Schema::load(&schemas::XCAP_DIRECTORY)?,
            limits: Limits {
                bytes: LONGEST,
                ..Limits::default()
            },
        })
    }

    /// What one XDMS says it can do; `None` when that is no such document.
    pub fn capabilities(&self, bytes: &[u8]) -> Option<Capabilities> {
        let document = guard::parse(bytes, &self.limits).ok()?;
        let unknown = Unknown::Allowed; // a part that other standards add says nothing here
        self.capabilities.validate(&document, unknown).ok()?;
        let root = named(document.root_element(), xcap_caps::NAMESPACE, "xcap-caps")?;
        let listed = |list: &str, item: &str| -> BTreeSet<String> {
            let lists = children(root, xcap_caps::NAMESPACE, list);
            let items = lists.flat_map(|list| children(list, xcap_caps::NAMESPACE, item));
            items.map(|item| text(item).trim().to_owned()).collect()
        };
        Some(Capabilities {
            auids: listed("auids", "auid"),
            extensions: listed("extensions", "extension"),
            namespaces: listed("namespaces", "namespace"),
        })
    }

    /// The documents that one XDMS says a user has, with their URIs below `root` as clients write it, or relative to it
    /// where there is none; `None` when that is no such document.
    pub fn directory(&self, bytes: &[u8], root: Option<&str>) -> Option<Directory> {
        let document = guard::parse(bytes, &self.limits).ok()?;
        self.directory.validate(&document, Unknown::Allowed).ok()?;
        let namespace = xcap_directory::NAMESPACE;
        let top = named(document.root_element(), namespace, "xcap-directory")?;
        let mut folders = BTreeMap::new();
        for folder in children(top, namespace, "folder") {
            let auid = folder.attribute("auid")?;
            let error = children(folder, namespace, "error-code").next();
            let read = match error {
                Some(error) => Folder::Error(text(error)),
                None => {
                    let entries = children(folder, namespace, "entry");
                    let entries: Option<Vec<_>> = entries
                        .map(|entry| Entry::read(entry, auid, root))
                        .collect();
                    Folder::Entries(entries?)
                }
            };
            let before = folders.insert(auid.to_owned(), read);
            if before.is_some() {
                return None; // two answers about one usage are none
            }
        }
        Some(Directory { folders })
    }
}

impl Capabilities {
    /// Application usages by their identifiers.
    pub fn auids(&self) -> impl Iterator<Item = &str> {
        self.auids.iter().map(String::as_str)
    }

    /// Adds what another server can do; of its application usages those that are `reached` there.
    pub fn add(&mut self, other: Capabilities, reached: impl Fn(&str) -> bool) {
        let auids = other.auids.into_iter().filter(|auid| reached(auid));
        self.auids.extend(auids);
        self.extensions.extend(other.extensions);
        self.namespaces.extend(other.namespaces);
    }

    pub fn document(&self) -> Document {
        let listed = |element: &str, values: &BTreeSet<String>| -> String {
            let one = |value: &String| format!("<{element}>{}</{element}>", escaped(value));
            values.iter().map(one).collect()
        };
        made(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-caps xmlns=\"{}\"><auids>{}</auids>\
             <extensions>{}</extensions><namespaces>{}</namespaces></xcap-caps>\n",
            xcap_caps::NAMESPACE,
            listed("auid", &self.auids),
            listed("extension", &self.extensions),
            listed("namespace", &self.namespaces),
        ))
    }
}

impl Directory {
    /// Adds the folders of another server; only those of usages that are `reached` there.
    pub fn add(&mut self, other: Directory, reached: impl Fn(&str) -> bool) {
        let folders = other.folders.into_iter();
        self.folders
            .extend(folders.filter(|(auid, _)| reached(auid)));
    }

    /// The documents of this usage are not known, for a reason that is told.
    pub fn fail(&mut self, auid: &str, code: &str) {
        self.folders
            .insert(auid.to_owned(), Folder::Error(code.to_owned()));
    }

    pub fn document(&self) -> Document {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xcap-directory xmlns=\"{}\">",
            xcap_directory::NAMESPACE
        );
        for (auid, folder) in &self.folders {
            out.push_str(&format!("\n<folder auid=\"{}\">", escaped(auid)));
            match folder {
                Folder::Error(code) => {
                    out.push_str(&format!("<error-code>{}</error-code>", escaped(code)));
                }
                Folder::Entries(entries) => entries.iter().for_each(|entry| entry.write(&mut out)),
            }
            out.push_str("</folder>");
        }
        out.push_str("\n</xcap-directory>\n");
        made(out)
    }
}

impl Entry {
    fn read(node: Node<'_, '_>, auid: &str, root: Option<&str>) -> Option<Entry> {
        let given = node.attribute("uri")?;
        // below whichever root its server has, it is below ours here
        let path = match given.find("://") {
            None if !given.starts_with('/') => given,
            _ => {
                let at = given.rfind(&format!("/{auid}/users/"))?;
                given.get(at + 1..)?
            }
        };
        let key = Selector::parse(path).ok().filter(|s| s.node.is_none())?.key;
        if key.auid != auid || key.tree == Tree::Global {
            return None;
        }
        let root = root.map_or(String::new(), |root| {
            format!("{}/", root.trim_end_matches('/'))
        });
        let value = |name| node.attribute(name).map(str::to_owned);
        Some(Entry {
            uri: format!("{root}{path}"),
            etag: value("etag")?,
            modified: value("last-modified"),
            size: value("size"),
        })
    }

    fn write(&self, out: &mut String) {
        let optional = [("last-modified", &self.modified), ("size", &self.size)];
        let (uri, etag) = (escaped(&self.uri), escaped(&self.etag));
        out.push_str(&format!("<entry uri=\"{uri}\" etag=\"{etag}\""));
        for (name, value) in optional {
            if let Some(value) = value {
                out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
            }
        }
        out.push_str("/>");
    }
}

/// A document under an entity-tag made of its bytes.
fn made(text: String) -> Document {
    Document::new(xcap_caps::tag(&text), text)
}

fn named<'a, 'input>(
    node: Node<'a, 'input>,
    namespace: &str,
    name: &str,
) -> Option<Node<'a, 'input>> {
    node.has_tag_name((namespace, name)).then_some(node)
}

fn children<'a, 'input>(
    node: Node<'a, 'input>,
    namespace: &str,
    name: &str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children()
        .filter(move |child| child.has_tag_name((namespace, name)))
}

/// All text of an element: a comment may part it.
fn text(node: Node<'_, '_>) -> String {
    let texts = node.children().filter(Node::is_text);
    texts.filter_map(|text| text.text()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(inside: &str) -> String {
        format!(
            "<xcap-caps xmlns=\"{}\">{inside}</xcap-caps>",
            xcap_caps::NAMESPACE
        )
    }

    fn directory(inside: &str) -> String {
        format!(
            "<xcap-directory xmlns=\"{}\">{inside}</xcap-directory>",
            xcap_directory::NAMESPACE
        )
    }

    fn shown(document: &Document) -> &str {
        std::str::from_utf8(&document.bytes).unwrap()
    }

    #[test]
    fn capabilities_are_united_and_sorted_without_usages_that_are_not_reached_there() {
        let merger = Merger::new().unwrap();
        let read = |text: &str| merger.capabilities(caps(text).as_bytes()).unwrap();
        let mut all = read(
            "<auids><auid>b</auid></auids><namespaces><namespace>urn:b</namespace></namespaces>",
        );
        let other = read(
            "<auids><auid>c</auid><auid>a<!--x-->&lt;</auid></auids><extensions><extension>e</extension></extensions>\
             <namespaces><namespace>urn:a</namespace><namespace>urn:b</namespace></namespaces><x xmlns='urn:x'/>",
        );
        all.add(other, |auid| auid != "c");
        let document = all.document();
        assert_eq!(all.auids().collect::<Vec<_>>(), ["a<", "b"]);
        let expected = "<auids><auid>a&lt;</auid><auid>b</auid></auids><extensions><extension>e</extension></extensions>\
                        <namespaces><namespace>urn:a</namespace><namespace>urn:b</namespace></namespaces>";
        assert!(shown(&document).contains(expected), "{}", shown(&document));
        let again = merger.capabilities(&document.bytes).unwrap();
        assert_eq!(again, all, "what is written is read");
        assert_eq!(again.document().etag, document.etag);
    }

    #[test]
    fn directories_are_joined_by_usage_below_one_root() {
        let merger = Merger::new().unwrap();
        let entry = |uri: &str| {
            format!(
                "<entry uri=\"{uri}\" etag=\"&quot;1&lt;\" last-modified=\"2026-01-02T03:04:05Z\" size=\"7\" \
                 xmlns:x=\"urn:x\" x:more=\"dropped\"/>"
            )
        };
        let root = Some("https://xcap.test/root/");
        let path = "pres-rules/users/sip:bob@ims.test/index";
        let far = directory(&format!(
            "<folder auid=\"pres-rules\">{}{}{}</folder><folder auid=\"lists\"/><folder auid=\"x\"><error-code>504</error-code></folder>",
            entry(path),
            entry(&format!("http://far/services/{path}")),
            entry(&format!("/xcap-root/{path}")),
        ));
        let mut all = Directory::default();
        all.add(merger.directory(far.as_bytes(), root).unwrap(), |auid| {
            auid != "lists"
        });
        all.fail("a", "502");
        let document = all.document();
        let text = shown(&document);
        let one = format!(
            "<entry uri=\"https://xcap.test/root/{path}\" etag=\"&quot;1&lt;\" last-modified=\"2026-01-02T03:04:05Z\" size=\"7\"/>"
        );
        assert_eq!(text.matches(&one).count(), 3, "{text}");
        assert!(!text.contains("lists") && !text.contains("more"), "{text}");
        assert!(text.contains(
            "<folder auid=\"a\"><error-code>502</error-code></folder>\n<folder auid=\"pres-rules\">"
        ));
        assert!(text.contains("<folder auid=\"x\"><error-code>504</error-code></folder>"));
        assert_eq!(
            merger.directory(&document.bytes, root),
            Some(all),
            "what is written is valid and read"
        );
    }

    #[test]
    fn what_is_no_such_document_is_not_taken() {
        let merger = Merger::new().unwrap();
        let entry = |uri: &str, more: &str| {
            directory(&format!(
                "<folder auid=\"a\"><entry uri=\"{uri}\" etag=\"e\" {more}/></folder>"
            ))
        };
        let fine = "a/users/sip:b@c/index";
        assert!(merger.directory(entry(fine, "").as_bytes(), None).is_some());
        for (case, text) in [
            ("nothing", String::new()),
            (
                "a document type",
                format!("<!DOCTYPE x []>{}", entry(fine, "")),
            ),
            ("another document", caps("<auids/><namespaces/>")),
            ("no such time", entry(fine, "last-modified=\"yesterday\"")),
            ("no such size", entry(fine, "size=\"-1\"")),
            ("another usage", entry("b/users/sip:b@c/index", "")),
            ("not a user's", entry("a/global/index", "")),
            ("elsewhere", entry("http://evil.test/", "")),
            ("upwards", entry("a/users/sip:b@c/../../x", "")),
            (
                "one usage twice",
                directory("<folder auid=\"a\"/><folder auid=\"a\"/>"),
            ),
            ("too long", directory(&" ".repeat(LONGEST))),
            ("too deep", directory(&"<folder>".repeat(100))),
        ] {
            assert_eq!(merger.directory(text.as_bytes(), None), None, "{case}");
            if !text.contains("xcap-caps") {
                assert_eq!(merger.capabilities(text.as_bytes()), None, "{case}");
            }
        }
    }
}
