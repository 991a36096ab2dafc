//! `[xcap]`: what documents may cost, who may reach them, and application usages of the operator's own.

use super::check::{bad, is_sip_uri, within};
use super::{BadValue, XcapDigest, XcapRemote};
use ims::xdm::selector::Selector;
use serde::Deserialize;
use std::path::PathBuf;

/// Documents and who may reach them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xcap {
    /// Bytes.
    pub max_document: usize,
    /// Bytes.
    pub max_lists: usize,
    /// As clients write them; empty: any.
    pub roots: Vec<String>,
    pub foreign_lists: bool,
    pub max_documents_per_user: usize,
    /// 401 or 403.
    pub unknown_identity: u16,
    pub servers: Vec<String>,
    pub administrators: Vec<String>,
    pub global_readers: Vec<String>,
    pub usages: Vec<XcapUsage>,
    pub digest: XcapDigest,
    pub remotes: Vec<XcapRemote>,
}

/// An application usage without code (RFC 4825 §5).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XcapUsage {
    pub auid: String,
    pub media_type: String,
    pub namespace: String,
    /// XML Schema files.
    pub schemas: Vec<PathBuf>,
    /// `None`: any.
    pub name: Option<String>,
    /// Bytes; `None`: that of all usages.
    pub max_document: Option<usize>,
    #[serde(default)]
    pub global: GlobalTree,
}

/// Whether a usage has documents below `global`, and who reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlobalTree {
    #[default]
    None,
    Everybody,
    Servers,
}

impl Default for Xcap {
    fn default() -> Xcap {
        Xcap {
            max_document: 262_144,
            max_lists: 1 << 20,
            roots: Vec::new(),
            foreign_lists: false,
            max_documents_per_user: 32,
            unknown_identity: 403,
            servers: Vec::new(),
            administrators: Vec::new(),
            global_readers: Vec::new(),
            usages: Vec::new(),
            digest: XcapDigest::default(),
            remotes: Vec::new(),
        }
    }
}

/// Sizes that a document may be limited to, in bytes.
const SIZES: std::ops::RangeInclusive<usize> = 1_000..=16 << 20;

impl Xcap {
    pub(super) fn check(&self) -> Result<(), BadValue> {
        within("xcap.max_document", self.max_document, SIZES)?;
        within("xcap.max_lists", self.max_lists, SIZES)?;
        let documents = self.max_documents_per_user;
        within("xcap.max_documents_per_user", documents, 1..=10_000)?;
        if ![401, 403].contains(&self.unknown_identity) {
            return Err(bad("xcap.unknown_identity", "401 or 403"));
        }
        let is_root = |root: &String| {
            let http = root
                .strip_prefix("http://")
                .or_else(|| root.strip_prefix("https://"));
            http.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        };
        if !self.roots.iter().all(is_root) {
            let expected =
                "absolute HTTP URIs, for example [\"http://xcap.example.net/xcap-root\"]";
            return Err(bad("xcap.roots", expected));
        }
        for (key, identities) in [
            ("xcap.servers", &self.servers),
            ("xcap.administrators", &self.administrators),
            ("xcap.global_readers", &self.global_readers),
        ] {
            if !identities.iter().all(|uri| is_sip_uri(uri)) {
                return Err(bad(
                    key,
                    "SIP URIs, for example [\"sip:ps.ims.example.net\"]",
                ));
            }
        }
        self.digest.check()?;
        for (number, remote) in self.remotes.iter().enumerate() {
            remote.check(number)?;
        }
        self.usages
            .iter()
            .enumerate()
            .try_for_each(|(i, usage)| usage.check(i))
    }
}

impl XcapUsage {
    fn check(&self, number: usize) -> Result<(), BadValue> {
        let refused =
            |key: &str, expected: &str| Err(bad(&format!("xcap.usages[{number}].{key}"), expected));
        let token = |text: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+".contains(&b);
            !text.is_empty() && text.len() <= 100 && text.bytes().all(plain)
        };
        if !token(&self.auid) {
            return refused(
                "auid",
                "letters, digits, - and . as in \"com.example.bookmarks\"",
            );
        }
        let kind = self.media_type.split_once('/');
        if !kind.is_some_and(|(kind, subtype)| token(kind) && token(subtype)) {
            return refused(
                "media_type",
                "a type such as \"application/vnd.example.bookmarks+xml\"",
            );
        }
        if self.namespace.is_empty() {
            return refused("namespace", "the namespace of the document element");
        }
        if self.schemas.is_empty() {
            return refused("schemas", "at least one file");
        }
        if let Some(name) = &self.name {
            // what the name would be in a request
            let target = format!("{}/global/{name}", self.auid);
            let named = Selector::parse(&target);
            if !named.is_ok_and(|selector| selector.key.name == *name) || name.contains('/') {
                return refused("name", "a name without / and %, as in \"index\"");
            }
        }
        if let Some(bytes) = self.max_document {
            within(&format!("xcap.usages[{number}].max_document"), bytes, SIZES)?;
        }
        Ok(())
    }
}
