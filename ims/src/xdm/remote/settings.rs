//! Which documents are on which other XDMS, and how it is asked.

use crate::sip::Aor;
use crate::time::{Millis, Seconds};
use crate::xdm::key::{DocumentKey, Tree};
use std::fmt::Write;

/// Other XDMSs, and what is kept of their documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// In the order in which they are asked whether a document is theirs.
    pub servers: Vec<Server>,
    /// Most documents kept, over all servers; those that live subscriptions rest on never give way.
    pub documents: usize,
    /// The same in bytes.
    pub bytes: usize,
    /// Most requests under way at one server.
    pub fetches: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            servers: Vec::new(),
            documents: 100_000,
            bytes: 256 << 20,
            fetches: 16,
        }
    }
}

/// What watchers of a presentity get while its rules cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// They wait: pending.
    Pending,
    /// They are rejected.
    Rejected,
}

/// One XDMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Application usages whose documents are there.
    pub auids: Vec<String>,
    /// Domains of the users whose documents are there, lower case; `*`: everybody, also telephone numbers.
    pub users: Vec<String>,
    /// Where its XCAP root is.
    pub root: Root,
    /// Who we say that we are: a SIP URI.
    pub identity: String,
    /// The notifier of changes (RFC 5875) as a SIP URI; `None`: it is asked for changes by polling.
    pub notifier: Option<String>,
    /// First hop of a SUBSCRIBE; `None`: the notifier itself.
    pub route: Option<String>,
    /// Time between two questions whether a document has changed.
    pub poll: Seconds,
    /// Longest wait for an answer.
    pub timeout: Millis,
    /// How long the last copy counts while the XDMS does not answer.
    pub max_stale: Seconds,
    pub unreadable: Unreadable,
}

/// An XCAP root (RFC 4825 §6.1) as the parts of its URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// With its first slash and without a last one; may be empty.
    pub path: String,
}

impl Root {
    /// Reads an `http` or `https` URI without query.
    pub fn parse(uri: &str) -> Option<Root> {
        let (tls, rest) = match (uri.strip_prefix("http://"), uri.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let end = if authority.starts_with('[') {
            authority.find(']')? + 1
        } else {
            authority.find(':').unwrap_or(authority.len())
        };
        let (host, port) = authority.split_at_checked(end)?;
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
        if host.is_empty() || !host.bytes().all(fine) {
            return None;
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => {
                if tls {
                    443
                } else {
                    80
                }
            }
            None => return None,
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        };
        let path = path.trim_end_matches('/');
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
        path.bytes().all(fine).then(|| Root {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            path: path.to_owned(),
        })
    }

    /// The path of a document, escaped where a URI needs it (RFC 3986 §3.3).
    pub fn path_of(&self, key: &DocumentKey) -> String {
        format!("{}/{}", self.path, below_root(key))
    }
}

/// The document selector of a document (RFC 4825 §6.2), escaped.
pub fn below_root(key: &DocumentKey) -> String {
    let mut path = escaped(&key.auid);
    match &key.tree {
        Tree::Global => path.push_str("/global/"),
        Tree::User(owner) => {
            path.push_str("/users/");
            path.push_str(&escaped(owner.as_str()));
            path.push('/');
        }
    }
    path.push_str(&escaped(&key.name));
    path
}

fn escaped(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // writing to a string does not fail
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

impl Server {
    /// Whether the documents of this usage and user are there.
    pub fn has(&self, auid: &str, owner: &Aor) -> bool {
        let is_user = |domain: &String| {
            domain == "*" || !owner.is_tel() && domain.eq_ignore_ascii_case(owner.host())
        };
        self.auids.iter().any(|known| known == auid) && self.users.iter().any(is_user)
    }

    /// First hop of a SUBSCRIBE.
    pub fn hop(&self) -> Option<&str> {
        self.route.as_deref().or(self.notifier.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_uri_of_http() {
        let root = |tls, host: &str, port, path: &str| {
            Some(Root {
                tls,
                host: host.into(),
                port,
                path: path.into(),
            })
        };
        for (text, expected) in [
            ("http://xdms.ims.test", root(false, "xdms.ims.test", 80, "")),
            (
                "http://XDMS.ims.test:8080/xcap-root/",
                root(false, "xdms.ims.test", 8080, "/xcap-root"),
            ),
            ("https://[::1]/x", root(true, "[::1]", 443, "/x")),
            ("http://[::1]:81", root(false, "[::1]", 81, "")),
            ("ftp://a", None),
            ("http://", None),
            ("http:///x", None),
            ("http://a:0/", None),
            ("http://a:b/", None),
            ("http://[::1/x", None),
            ("http://u@a/", None),
            ("http://a/x?y", None),
            ("http://a/x y", None),
        ] {
            assert_eq!(Root::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_document_is_asked_for_by_its_path() {
        let root = Root::parse("http://a/root").unwrap();
        let key = |user, name| DocumentKey::user(Aor::parse(user).unwrap(), "pres-rules", name);
        for (key, path) in [
            (
                key("sip:bob@ims.test", "index"),
                "/root/pres-rules/users/sip:bob@ims.test/index",
            ),
            (
                key("tel:+36105550001", "a b"),
                "/root/pres-rules/users/tel:+36105550001/a%20b",
            ),
        ] {
            assert_eq!(root.path_of(&key), path);
        }
    }
}
