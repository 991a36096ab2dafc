//! Watcher information as its reader sees it (RFC 3858).

use ims::event::watcherinfo::NAMESPACE;
use ims::xml::{Node, guard};
use serde::Serialize;

/// What one document says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Watchers {
    pub version: u64,
    /// It replaces what was told before; else it says what changed.
    pub full: bool,
    pub watchers: Vec<Watcher>,
}

/// One watcher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Watcher {
    pub id: String,
    pub uri: String,
    pub display_name: Option<String>,
    /// `pending`, `active`, `waiting` or `terminated`.
    pub status: String,
    /// What brought it there.
    pub event: String,
    /// Seconds left, and seconds since it subscribed.
    pub expiration: Option<u64>,
    pub duration_subscribed: Option<u64>,
}

/// Reads a document; what is not known is passed over.
pub fn read(body: &[u8]) -> Result<Watchers, String> {
    let document =
        guard::parse(body, &guard::Limits::default()).map_err(|refusal| refusal.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "watcherinfo")) {
        return Err("the document is no watcher information".into());
    }
    let lists = root
        .children()
        .filter(|n| n.has_tag_name((NAMESPACE, "watcher-list")));
    let watchers = lists
        .flat_map(|list| list.children())
        .filter(|n| n.has_tag_name((NAMESPACE, "watcher")));
    Ok(Watchers {
        version: number(root, "version").unwrap_or_default(),
        full: root.attribute("state") == Some("full"),
        watchers: watchers.map(watcher).collect(),
    })
}

fn watcher(node: Node<'_, '_>) -> Watcher {
    let text = |name| node.attribute(name).unwrap_or_default().to_owned();
    Watcher {
        id: text("id"),
        uri: node.text().unwrap_or_default().trim().to_owned(),
        display_name: node.attribute("display-name").map(str::to_owned),
        status: text("status"),
        event: text("event"),
        expiration: number(node, "expiration"),
        duration_subscribed: number(node, "duration-subscribed"),
    }
}

fn number(node: Node<'_, '_>, name: &str) -> Option<u64> {
    node.attribute(name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_read() {
        let body = "<?xml version=\"1.0\"?><watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"3\" \
            state=\"partial\"><watcher-list resource=\"sip:b@x\" package=\"presence\"><watcher status=\"active\" \
            id=\"8a\" duration-subscribed=\"509\" event=\"approved\" >sip:userA@example.net</watcher><watcher \
            status=\"pending\" id=\"hh8\" display-name=\"Mr. Subscriber\" event=\"subscribe\">sip:userB@example.org\
            </watcher></watcher-list></watcherinfo>";
        let read = read(body.as_bytes()).unwrap();
        assert_eq!(
            (read.version, read.full, read.watchers.len()),
            (3, false, 2)
        );
        assert_eq!(read.watchers[0].duration_subscribed, Some(509));
        let second = &read.watchers[1];
        assert_eq!(second.display_name.as_deref(), Some("Mr. Subscriber"));
        assert_eq!(
            (second.uri.as_str(), second.status.as_str()),
            ("sip:userB@example.org", "pending")
        );
    }

    #[test]
    fn what_is_no_watcher_information_is_named() {
        for body in [
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:b@x\"/>",
            "<",
            "",
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
