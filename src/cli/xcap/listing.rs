//! `presentia xcap caps` and `presentia xcap directory`: documents that the XDMS writes, in readable form.

use super::json;
use crate::cli::terminal::{line, say};
use crate::cli::xdmc::access::{Access, Reply, Wish};
use crate::cli::xdmc::address::segment;
use crate::cli::{Exit, Failure};
use ims::sip::Aor;
use ims::xml::guard;
use ims::xml::{Document, Node};
use serde::Serialize;

/// RFC 4825 §12.
const CAPS: &str = "xcap-caps/global/index";

/// What an XDMS can do.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Caps {
    auids: Vec<String>,
    extensions: Vec<String>,
    namespaces: Vec<String>,
}

/// Documents below one application usage.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Folder {
    auid: String,
    /// In place of the documents, where the XDMS of this usage cannot be asked.
    error: Option<String>,
    documents: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Entry {
    uri: String,
    etag: String,
    last_modified: Option<String>,
    size: Option<u64>,
}

pub async fn caps(access: &Access) -> Result<(), Failure> {
    let reply = fetched(access, CAPS, None).await?;
    let caps = parsed(&reply, "xcap-caps", read_caps)?;
    if access.json {
        say(&json(&caps));
        return Ok(());
    }
    for (what, values) in [
        ("application usage", &caps.auids),
        ("extension", &caps.extensions),
        ("namespace", &caps.namespaces),
    ] {
        for value in values {
            say(&format!("{what}\t{}", line(value)));
        }
    }
    Ok(())
}

pub async fn directory(access: &Access, user: Option<&Aor>) -> Result<(), Failure> {
    let user = user.or(access.identity.as_ref());
    let user = user.ok_or_else(|| {
        let message = "whose documents? Name the user, as in sip:bob@ims.test";
        Failure::new(Exit::Failed, message)
    })?;
    let path = format!(
        "org.openmobilealliance.xcap-directory/users/{}/directory.xml",
        segment(user.as_str())
    );
    let reply = fetched(access, &path, Some(user)).await?;
    let folders = parsed(&reply, "xcap-directory", read_directory)?;
    if access.json {
        say(&json(&serde_json::json!({ "folders": folders })));
        return Ok(());
    }
    for folder in &folders {
        if let Some(error) = &folder.error {
            say(&format!(
                "{}\tcannot be read: {}",
                line(&folder.auid),
                line(error)
            ));
        }
        for entry in &folder.documents {
            let size = entry.size.map_or("-".to_owned(), |size| size.to_string());
            let changed = entry.last_modified.as_deref().unwrap_or("-");
            let parts = [&folder.auid, &entry.uri, &entry.etag, &size, changed].map(line);
            say(&parts.join("\t"));
        }
    }
    Ok(())
}

async fn fetched(access: &Access, path: &str, owner: Option<&Aor>) -> Result<Reply, Failure> {
    let xdms = access.open(owner)?;
    let reply = xdms.ask(Wish::get(path)).await?;
    if access.json && reply.status != 200 {
        super::shown(access, path, &reply);
    }
    reply.accepted(path)
}

fn parsed<T>(reply: &Reply, root: &str, read: fn(&Document<'_>) -> T) -> Result<T, Failure> {
    let document = guard::parse(&reply.body, &guard::Limits::default());
    let document = document.ok().filter(|d| local(&d.root_element()) == root);
    document.map(|d| read(&d)).ok_or_else(|| {
        let message = format!("the answer is no {root} document; is --root the XCAP root?");
        Failure::new(Exit::Failed, message)
    })
}

fn local<'a>(node: &Node<'a, '_>) -> &'a str {
    node.tag_name().name()
}

fn named<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.is_element() && local(child) == name)
}

fn read_caps(document: &Document<'_>) -> Caps {
    let all = |list: &'static str, item: &'static str| {
        named(document.root_element(), list)
            .flat_map(|list| named(list, item))
            .filter_map(|item| item.text().map(|text| text.trim().to_owned()))
            .collect()
    };
    Caps {
        auids: all("auids", "auid"),
        extensions: all("extensions", "extension"),
        namespaces: all("namespaces", "namespace"),
    }
}

fn read_directory(document: &Document<'_>) -> Vec<Folder> {
    let entry = |node: Node<'_, '_>| Entry {
        uri: node.attribute("uri").unwrap_or("").to_owned(),
        etag: node.attribute("etag").unwrap_or("").to_owned(),
        last_modified: node.attribute("last-modified").map(str::to_owned),
        size: node.attribute("size").and_then(|size| size.parse().ok()),
    };
    let folder = |node: Node<'_, '_>| Folder {
        auid: node.attribute("auid").unwrap_or("").to_owned(),
        error: named(node, "error-code")
            .next()
            .map(|error| error.text().unwrap_or("").trim().to_owned()),
        documents: named(node, "entry").map(entry).collect(),
    };
    named(document.root_element(), "folder")
        .map(folder)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document<'_> {
        guard::parse(text.as_bytes(), &guard::Limits::default()).unwrap()
    }

    #[test]
    fn a_directory_is_read_with_the_folders_that_have_failed() {
        let text = "<xcap-directory xmlns=\"urn:oma:xml:xdm:xcap-directory\"><folder auid=\"pres-rules\"><entry \
                    uri=\"http://h/x\" etag=\"7\" last-modified=\"2026-01-01T00:00:00Z\" size=\"9\"/><entry uri=\"u\" \
                    etag=\"8\"/></folder><folder auid=\"rls-services\"><error-code> 503 </error-code></folder></xcap-directory>";
        let folders = read_directory(&document(text));
        assert_eq!(folders.len(), 2);
        assert_eq!(folders[0].documents[0].size, Some(9));
        assert_eq!(folders[0].documents[1].last_modified, None);
        assert_eq!(folders[1].error.as_deref(), Some("503"));
    }

    #[test]
    fn capabilities_are_read() {
        let text = "<xcap-caps xmlns=\"urn:ietf:params:xml:ns:xcap-caps\"><auids><auid>a</auid><auid> b </auid></auids>\
                    <extensions/><namespaces><namespace>urn:x</namespace></namespaces></xcap-caps>";
        let caps = read_caps(&document(text));
        assert_eq!(caps.auids, ["a", "b"]);
        assert!(caps.extensions.is_empty());
        assert_eq!(caps.namespaces, ["urn:x"]);
    }
}
