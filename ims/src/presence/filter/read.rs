//! Reading a filter document (RFC 4661 §3).

use super::mandatory::name;
use super::path::{Bindings, Budget, Path};
use super::select::{Selector, What};
use super::trigger::{Change, Trigger};
use super::{Filter, FilterError, LONGEST, MOST_FILTERS, NAMESPACE, Target};
use crate::presence::pidf::lexis::trim;
use crate::sip::{Aor, Uri};
use crate::xml::guard;
use crate::xml::text::escaped;
use roxmltree::Node;
use serde::{Deserialize, Serialize};

/// Nesting of a filter document: `filter-set`, `filter`, `trigger`, `changed`, and what extensions put there.
const DEPTH: usize = 16;
/// Most prefixes of one document.
pub(super) const MOST_BINDINGS: usize = 32;
/// Most selections and conditions of one filter.
const MOST_PARTS: usize = 64;

/// A filter in the words of its watcher: what is stored of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterText {
    pub(super) id: Box<str>,
    pub(super) enabled: bool,
    uri: Option<Box<str>>,
    domain: Option<Box<str>>,
    /// Prefix and namespace.
    bindings: Vec<(Box<str>, Box<str>)>,
    /// `<include>` and `<exclude>`; `None` where the filter says nothing of it.
    what: Option<Vec<Part>>,
    triggers: Option<Vec<Vec<Part>>>,
}

/// One element of `<what>` or `<trigger>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    kind: Kind,
    /// Expression or namespace.
    value: Box<str>,
    from: Option<Box<str>>,
    to: Option<Box<str>>,
    by: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Include,
    IncludeNamespace,
    Exclude,
    ExcludeNamespace,
    Changed,
    Added,
    Removed,
}

/// What one `<filter>` asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub text: FilterText,
    pub remove: bool,
}

type Read<T> = Result<T, FilterError>;

fn refuse<T>(why: impl Into<Box<str>>) -> Read<T> {
    Err(FilterError::not_accepted(why))
}

/// The filters of a document, in its order.
pub(super) fn read(body: &[u8], package: &str) -> Read<Vec<Asked>> {
    let limits = guard::Limits {
        bytes: LONGEST,
        depth: DEPTH,
        ..guard::Limits::default()
    };
    let document = guard::parse(body, &limits)
        .map_err(|refusal| FilterError::Malformed(refusal.to_string().into()))?;
    let root = document.root_element();
    if name(root) != (NAMESPACE, "filter-set") {
        return refuse("not a filter-set");
    }
    only(root, &["package"])?;
    if root
        .attribute("package")
        .is_some_and(|asked| asked != package)
    {
        return refuse("a filter-set for another package");
    }
    let mut bindings = None;
    let mut asked: Vec<Asked> = Vec::new();
    for child in own(root)? {
        match child.tag_name().name() {
            "ns-bindings" if bindings.is_none() && asked.is_empty() => {
                bindings = Some(read_bindings(child)?);
            }
            "filter" => {
                let filter = read_filter(child, bindings.as_deref().unwrap_or_default())?;
                if asked.iter().any(|other| other.text.id == filter.text.id) {
                    return refuse("two filters of one id"); // RFC 4661 §3.4
                }
                asked.push(filter);
            }
            other => return refuse(format!("{other} is not expected in filter-set")),
        }
        if asked.len() > MOST_FILTERS {
            return refuse(format!("more than {MOST_FILTERS} filters"));
        }
    }
    if asked.is_empty() {
        return refuse("no filter");
    }
    Ok(asked)
}

/// Children in the namespace of filters; those of other namespaces may be ignored (RFC 4661 §4).
fn own<'a, 'input: 'a>(node: Node<'a, 'input>) -> Read<Vec<Node<'a, 'input>>> {
    let elements = || node.children().filter(Node::is_element);
    if elements().any(|child| child.tag_name().namespace().is_none()) {
        return refuse("an element without namespace");
    }
    let is_text =
        |child: &Node<'_, '_>| child.is_text() && !trim(child.text().unwrap_or("")).is_empty();
    if node.children().any(|child| is_text(&child)) {
        return refuse("text between elements");
    }
    Ok(elements()
        .filter(|child| child.tag_name().namespace() == Some(NAMESPACE))
        .collect())
}

/// Refuses attributes of no namespace that the schema does not know.
fn only(node: Node<'_, '_>, known: &[&str]) -> Read<()> {
    let mut attributes = node.attributes().filter(|a| a.namespace().is_none());
    match attributes.find(|a| !known.contains(&a.name())) {
        Some(unknown) => {
            let unknown = guard::shortened(unknown.name());
            refuse(format!("attribute {unknown} of {}", node.tag_name().name()))
        }
        None => Ok(()),
    }
}

fn read_bindings(node: Node<'_, '_>) -> Read<Vec<(Box<str>, Box<str>)>> {
    let mut bindings = Vec::new();
    for binding in own(node)? {
        only(binding, &["prefix", "urn"])?;
        match (
            binding.tag_name().name(),
            binding.attribute("prefix"),
            binding.attribute("urn"),
        ) {
            ("ns-binding", Some(prefix), Some(urn)) => {
                bindings.push((trim(prefix).into(), trim(urn).into()));
            }
            _ => return refuse("an ns-binding without prefix and urn"),
        }
    }
    match bindings.len() {
        0 => refuse("ns-bindings without ns-binding"),
        1..=MOST_BINDINGS => Ok(bindings),
        _ => refuse(format!("more than {MOST_BINDINGS} prefixes")),
    }
}

fn read_filter(node: Node<'_, '_>, bindings: &Bindings) -> Read<Asked> {
    only(node, &["id", "uri", "domain", "remove", "enabled"])?;
    let Some(id) = node.attribute("id") else {
        return refuse("a filter without id");
    };
    let attribute = |name| node.attribute(name).map(|value| Box::from(trim(value)));
    let (uri, domain) = (attribute("uri"), attribute("domain"));
    if uri.is_some() && domain.is_some() {
        return refuse("a filter with uri and domain"); // RFC 4661 §3.4
    }
    let mut text = FilterText {
        id: id.into(),
        enabled: boolean(node, "enabled", true)?,
        uri,
        domain,
        bindings: bindings.to_vec(),
        what: None,
        triggers: None,
    };
    let mut parts = 0;
    for child in own(node)? {
        only(child, &[])?;
        match child.tag_name().name() {
            "what" if text.what.is_none() => {
                let what = own(child)?.into_iter().map(read_selection);
                let what: Vec<Part> = what.collect::<Read<_>>()?;
                parts += what.len();
                text.what = Some(what);
            }
            "trigger" => {
                let changes = own(child)?.into_iter().map(read_change);
                let changes: Vec<Part> = changes.collect::<Read<_>>()?;
                parts += changes.len().max(1);
                text.triggers.get_or_insert_default().push(changes);
            }
            other => return refuse(format!("{other} is not expected in filter")),
        }
        if parts > MOST_PARTS {
            return refuse(format!("more than {MOST_PARTS} selections in a filter"));
        }
    }
    Ok(Asked {
        text,
        remove: boolean(node, "remove", false)?,
    })
}

/// `xs:boolean`.
fn boolean(node: Node<'_, '_>, name: &str, default: bool) -> Read<bool> {
    match node.attribute(name).map(trim) {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => refuse(format!("{name} is neither true nor false")),
    }
}

/// Text of an element that has nothing else.
fn content(node: Node<'_, '_>) -> Read<Box<str>> {
    if node.children().any(|child| child.is_element()) {
        return refuse(format!("an element in {}", node.tag_name().name()));
    }
    Ok(super::instance::text(node).into())
}

fn read_selection(node: Node<'_, '_>) -> Read<Part> {
    only(node, &["type"])?;
    let kind = match (node.tag_name().name(), node.attribute("type").map(trim)) {
        ("include", None | Some("xpath")) => Kind::Include,
        ("include", Some("namespace")) => Kind::IncludeNamespace,
        ("exclude", None | Some("xpath")) => Kind::Exclude,
        ("exclude", Some("namespace")) => Kind::ExcludeNamespace,
        ("include" | "exclude", _) => return refuse("type is neither xpath nor namespace"),
        (other, _) => return refuse(format!("{other} is not expected in what")),
    };
    Ok(Part {
        kind,
        value: content(node)?,
        from: None,
        to: None,
        by: None,
    })
}

fn read_change(node: Node<'_, '_>) -> Read<Part> {
    let (kind, known): (Kind, &[&str]) = match node.tag_name().name() {
        "changed" => (Kind::Changed, &["from", "to", "by"]),
        "added" => (Kind::Added, &[]),
        "removed" => (Kind::Removed, &[]),
        other => return refuse(format!("{other} is not expected in trigger")),
    };
    only(node, known)?;
    let attribute = |name| node.attribute(name).map(|value| Box::from(trim(value)));
    Ok(Part {
        kind,
        value: content(node)?,
        from: attribute("from"),
        to: attribute("to"),
        by: attribute("by"),
    })
}

impl Part {
    fn write(&self, out: &mut String) {
        let (name, kind) = match self.kind {
            Kind::Include => ("include", "xpath"),
            Kind::IncludeNamespace => ("include", "namespace"),
            Kind::Exclude => ("exclude", "xpath"),
            Kind::ExcludeNamespace => ("exclude", "namespace"),
            Kind::Changed => ("changed", ""),
            Kind::Added => ("added", ""),
            Kind::Removed => ("removed", ""),
        };
        out.extend(["<", name]);
        if !kind.is_empty() {
            out.extend([" type=\"", kind, "\""]);
        }
        for (name, value) in [("from", &self.from), ("to", &self.to), ("by", &self.by)] {
            if let Some(value) = value {
                out.extend([" ", name, "=\"", &escaped(value), "\""]);
            }
        }
        out.extend([">", &escaped(&self.value), "</", name, ">"]);
    }
}

impl FilterText {
    /// Prefixes and namespaces.
    pub(super) fn bindings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings
            .iter()
            .map(|(prefix, urn)| (&**prefix, &**urn))
    }

    /// The `<filter>`.
    pub(super) fn write(&self, out: &mut String) {
        out.extend(["<filter id=\"", &escaped(&self.id), "\""]);
        for (name, value) in [("uri", &self.uri), ("domain", &self.domain)] {
            if let Some(value) = value {
                out.extend([" ", name, "=\"", &escaped(value), "\""]);
            }
        }
        if !self.enabled {
            out.push_str(" enabled=\"false\"");
        }
        out.push('>');
        if let Some(what) = &self.what {
            out.push_str("<what>");
            what.iter().for_each(|part| part.write(out));
            out.push_str("</what>");
        }
        for changes in self.triggers.iter().flatten() {
            out.push_str("<trigger>");
            changes.iter().for_each(|part| part.write(out));
            out.push_str("</trigger>");
        }
        out.push_str("</filter>");
    }

    /// Takes over from the filter that this one replaces what it does not say itself: a filter is switched on and
    /// off without repeating its content (RFC 4661 §3.4).
    pub(super) fn inherit(&mut self, old: FilterText) {
        if self.what.is_none() && self.triggers.is_none() {
            self.what = old.what;
            self.triggers = old.triggers;
            self.bindings = old.bindings;
        }
        if self.uri.is_none() && self.domain.is_none() {
            self.uri = old.uri;
            self.domain = old.domain;
        }
    }

    /// Whether it is for the resource with this URI, as it is written.
    pub(super) fn names(&self, uri: &str) -> bool {
        // RFC 3261 §19.1.4 passes over a parameter that only one of them has; by such a one lists of a user differ
        let params = |uri: &str| {
            let params = uri.split_once(';').map(|(_, params)| params);
            params.unwrap_or_default().to_ascii_lowercase()
        };
        let is_equivalent = |own: &str| {
            let both = Uri::parse(own).zip(Uri::parse(uri));
            let same = both.is_some_and(|(own, uri)| own.equivalent(&uri));
            own == uri || same && params(own) == params(uri)
        };
        self.uri.as_deref().is_some_and(is_equivalent)
    }

    /// The filter that these words mean.
    pub(super) fn compile(&self, budget: &mut Budget) -> Read<Filter> {
        let target = match (&self.uri, &self.domain) {
            (Some(uri), _) => match Aor::parse(uri) {
                Some(aor) => Target::Resource(aor),
                None => Target::Elsewhere(uri.clone()),
            },
            (None, Some(domain)) => Target::Domain(domain.to_ascii_lowercase().into()),
            (None, None) => Target::Subscribed,
        };
        let mut what = What::default();
        for part in self.what.iter().flatten() {
            let (selectors, namespace) = match part.kind {
                Kind::Include => (&mut what.includes, false),
                Kind::IncludeNamespace => (&mut what.includes, true),
                Kind::Exclude => (&mut what.excludes, false),
                _ => (&mut what.excludes, true),
            };
            selectors.push(if namespace {
                Selector::Namespace(part.value.clone())
            } else {
                Selector::Path(Path::parse(&part.value, &self.bindings, budget)?)
            });
        }
        let mut triggers = Vec::new();
        // RFC 4660 §5.4: an empty one is as if it did not exist
        for changes in self.triggers.iter().flatten().filter(|c| !c.is_empty()) {
            let changes = changes.iter().map(|part| self.change(part, budget));
            triggers.push(Trigger(changes.collect::<Read<_>>()?));
        }
        Ok(Filter {
            target,
            what,
            triggers,
        })
    }

    fn change(&self, part: &Part, budget: &mut Budget) -> Read<(Path, Change)> {
        let path = Path::parse(&part.value, &self.bindings, budget)?;
        Ok((
            path,
            match part.kind {
                Kind::Added => Change::Added,
                Kind::Removed => Change::Removed,
                _ => Change::changed(part.from.as_deref(), part.to.as_deref(), part.by.as_deref())
                    .ok_or_else(|| FilterError::not_accepted("by, from or to is no number"))?,
            },
        ))
    }
}
