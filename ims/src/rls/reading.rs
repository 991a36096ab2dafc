//! A NOTIFY of a list subscription, read (RFC 4662 §5): what another list server tells us, and what a watcher is told.

use super::list::Name;
use super::rlmi::{self, NAMESPACE};
use crate::event::onlooker::Content;
use crate::sip::header::media_type::MediaType;
use crate::sip::multipart::{self, Part};
use crate::xml::guard::{self, Refusal};
use bytes::Bytes;
use roxmltree::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a body may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most parts at one level, the meta-information with them.
    pub parts: usize,
    /// Deepest nesting of lists; the list that was subscribed to is at 1.
    pub levels: usize,
    /// Of one document of meta-information.
    pub rlmi: guard::Limits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            parts: 4096,
            levels: 4,
            rlmi: guard::Limits {
                bytes: 1 << 20,
                depth: 16,
                ..guard::Limits::default()
            },
        }
    }
}

/// Why a body says nothing of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not `multipart/related`.
    Type,
    Parts(multipart::Fault),
    /// Its root is no meta-information.
    Root,
    Document(Refusal),
    /// An attribute that must be there is not, or has no such value.
    Attribute(&'static str),
    /// Lists in lists in lists.
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Type => f.write_str("the body is not multipart/related"),
            Fault::Parts(fault) => write!(f, "the parts of the body cannot be told ({fault:?})"),
            Fault::Root => f.write_str("the root of the body is no RLMI document"),
            Fault::Document(refusal) => write!(f, "RLMI: {refusal}"),
            Fault::Attribute(name) => write!(f, "RLMI: the attribute {name} is missing or wrong"),
            Fault::TooDeep => f.write_str("lists are nested too deeply"),
        }
    }
}

impl std::error::Error for Fault {}

/// One level: a `<list>` with what its parts say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    pub uri: Box<str>,
    pub version: u32,
    pub full: bool,
    pub names: Vec<Name>,
    pub resources: Vec<Resource>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub uri: Box<str>,
    pub names: Vec<Name>,
    pub instances: Vec<Instance>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: Box<str>,
    pub phase: Phase,
    /// Why it is terminated.
    pub reason: Option<Box<str>>,
    /// What the part says that it refers to; none also where that part is missing or in a transfer encoding.
    pub told: Option<Told>,
}

/// State of a virtual subscription (§5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Active,
    Pending,
    Terminated,
}

impl Phase {
    pub fn text(self) -> &'static str {
        match self {
            Phase::Active => "active",
            Phase::Pending => "pending",
            Phase::Terminated => "terminated",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    State(Content),
    List(Box<Level>),
}

/// Whether a body of this `Content-Type` may be of a list: `multipart/related` whose root says that it is RLMI.
pub fn is_list(content_type: &str) -> bool {
    let media = MediaType::parse(content_type).filter(|media| media.is("multipart", "related"));
    let root = media.and_then(|media| media.param("type"));
    let root = root.as_deref().and_then(MediaType::parse);
    root.is_some_and(|root| root.is("application", "rlmi+xml"))
}

/// Reads a body. Parts of the body are shared with what is told.
pub fn read(content_type: &str, body: &Bytes, limits: &Limits) -> Result<Level, Fault> {
    level(content_type, body, limits, limits.levels)
}

fn level(content_type: &str, body: &Bytes, limits: &Limits, levels: usize) -> Result<Level, Fault> {
    let left = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
    let media = MediaType::parse(content_type).filter(|media| media.is("multipart", "related"));
    let media = media.ok_or(Fault::Type)?;
    let parts = multipart::parse(&media, body, limits.parts).map_err(Fault::Parts)?;
    let root = multipart::root(&media, &parts).map_err(Fault::Parts)?;
    let root = parts.get(root).ok_or(Fault::Root)?;
    let is_rlmi = root
        .media_type()
        .is_some_and(|media| media.is("application", "rlmi+xml"));
    if !is_rlmi || !root.is_plain() {
        return Err(Fault::Root);
    }
    // §5.5: a cid refers only to parts of its own level
    let by_id: BTreeMap<&str, &Part<'_>> = parts
        .iter()
        .filter_map(|part| Some((part.id()?, part)))
        .collect();
    let document = guard::parse(root.body, &limits.rlmi).map_err(Fault::Document)?;
    let list = document.root_element();
    if !list.has_tag_name((NAMESPACE, "list")) {
        return Err(Fault::Root);
    }
    let mut reader = Reader {
        body,
        by_id,
        lists: BTreeSet::new(),
        limits,
        left,
    };
    let resources = children(list, "resource").map(|node| reader.resource(node));
    Ok(Level {
        uri: required(list, "uri")?.into(),
        version: required(list, "version")?
            .trim()
            .parse()
            .map_err(|_| Fault::Attribute("version"))?,
        full: match required(list, "fullState")?.trim() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(Fault::Attribute("fullState")),
        },
        names: names(list),
        resources: resources.collect::<Result<_, _>>()?,
    })
}

struct Reader<'a> {
    body: &'a Bytes,
    by_id: BTreeMap<&'a str, &'a Part<'a>>,
    /// Content ids of the lists that were read: each is told once, or a few parts that many instances name would be
    /// read without end.
    lists: BTreeSet<Box<str>>,
    limits: &'a Limits,
    /// Levels that may still be below this one.
    left: usize,
}

impl Reader<'_> {
    fn resource(&mut self, node: Node<'_, '_>) -> Result<Resource, Fault> {
        let instances = children(node, "instance").map(|node| self.instance(node));
        Ok(Resource {
            uri: required(node, "uri")?.into(),
            names: names(node),
            instances: instances.collect::<Result<_, _>>()?,
        })
    }

    fn instance(&mut self, node: Node<'_, '_>) -> Result<Instance, Fault> {
        let phase = match required(node, "state")? {
            "active" => Phase::Active,
            "pending" => Phase::Pending,
            "terminated" => Phase::Terminated,
            _ => return Err(Fault::Attribute("state")),
        };
        let told = node.attribute("cid").map(|cid| self.told(cid));
        Ok(Instance {
            id: required(node, "id")?.into(),
            phase,
            reason: node.attribute("reason").map(Into::into),
            told: told.transpose()?.flatten(),
        })
    }

    fn told(&mut self, cid: &str) -> Result<Option<Told>, Fault> {
        let bare = cid.trim().trim_start_matches('<').trim_end_matches('>');
        let part = self.by_id.get(bare).filter(|part| part.is_plain());
        let Some((part, media_type)) = part.and_then(|p| Some((p, p.field("Content-Type")?)))
        else {
            return Ok(None);
        };
        let bytes = self.body.slice_ref(part.body);
        Ok(Some(if is_list(media_type) {
            if !self.lists.insert(bare.into()) {
                return Ok(None);
            }
            let inner = level(media_type, &bytes, self.limits, self.left)?;
            Told::List(Box::new(inner))
        } else {
            Told::State(Content {
                media_type: media_type.into(),
                bytes,
            })
        }))
    }
}

fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children()
        .filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

fn required<'a>(node: Node<'a, '_>, name: &'static str) -> Result<&'a str, Fault> {
    node.attribute(name).ok_or(Fault::Attribute(name))
}

fn names(node: Node<'_, '_>) -> Vec<Name> {
    let lang = |node: Node<'_, '_>| {
        let lang = node.attribute(("http://www.w3.org/XML/1998/namespace", "lang"));
        lang.map(Into::into)
    };
    children(node, "name")
        .map(|node| Name {
            lang: lang(node),
            text: node.text().unwrap_or_default().into(),
        })
        .collect()
}

/// Types that a subscriber to lists names in `Accept`, beside those of the package (RFC 4662 §4.1).
pub fn accepted(package: &str) -> String {
    format!(
        "{package}, {}, {}",
        rlmi::MEDIA_TYPE,
        super::body::MEDIA_TYPE
    )
}

#[cfg(test)]
mod tests;
