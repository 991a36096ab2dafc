//! Where a rule or a list says that another list is: an XCAP URI with a node selector (RFC 4825 §6), absolute or
//! relative to an XCAP root.

use super::key::DocumentKey;
use super::selector::{Selector, decoded};
use super::usage::resource_lists::{AUID, NAMESPACE};
use crate::xml::text::unescaped;

/// Longest URI that is looked at, in bytes.
pub const LONGEST: usize = 4096;
/// Most steps in a node selector.
const STEPS: usize = 32;

/// A list, or an entry of one, in a document of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub document: DocumentKey,
    /// Steps below the document element; `None` when they name neither a list nor an entry.
    pub steps: Option<Vec<Step>>,
}

/// Why a text names no list of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnchor {
    /// No resource list below an XCAP root of this server: somebody else's, or no list.
    Elsewhere,
    /// Below the root, but no document that this server could have.
    NoDocument,
}

/// One step of a node selector, RFC 4825 §6.3. Wildcards are not understood: they name no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: Kind,
    /// Counted from 1 among the siblings of one name.
    pub position: Option<u32>,
    /// `name` of a list, `uri` of an entry.
    pub value: Option<Box<str>>,
}

/// What a step can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    List,
    Entry,
}

impl Anchor {
    /// About what it takes in memory beyond itself, in bytes.
    pub fn weight(&self) -> usize {
        let steps = self.steps.iter().flatten();
        let values =
            steps.map(|step| size_of::<Step>() + step.value.as_deref().map_or(0, str::len));
        let key = &self.document;
        size_of::<Anchor>() + key.auid.len() + key.name.len() + values.sum::<usize>()
    }

    /// Reads an XCAP URI. `roots` are the XCAP roots as clients write them; empty: any.
    pub fn parse(text: &str, roots: &[String]) -> Result<Anchor, NoAnchor> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(NoAnchor::Elsewhere);
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let below = below(path, roots).ok_or(NoAnchor::Elsewhere)?;
        let (document, node) = match below.split_once("/~~/") {
            Some((document, node)) => (document, Some(node)),
            None => (below, None),
        };
        let selector =
            Selector::parse(&format!("{AUID}/{document}")).map_err(|_| NoAnchor::NoDocument)?;
        Ok(Anchor {
            document: selector.key,
            steps: node
                .filter(|_| selector.node.is_none())
                .and_then(|node| steps(node, query)),
        })
    }
}

/// The path below `resource-lists/` of one of the roots; a text without scheme and leading slash is relative to them.
fn below<'a>(path: &'a str, roots: &[String]) -> Option<&'a str> {
    let inside = format!("/{AUID}/");
    let Some((authority, rest)) = absolute(path) else {
        if path.starts_with('/') {
            return rooted(path, roots, |_| true);
        }
        return path.strip_prefix(inside.trim_start_matches('/'));
    };
    rooted(rest, roots, |root| {
        absolute(root).is_some_and(|(own, _)| same_authority(own, authority))
    })
}

/// The same of a path with its leading slash, for the roots that `fits` says are meant.
fn rooted<'a>(path: &'a str, roots: &[String], fits: impl Fn(&str) -> bool) -> Option<&'a str> {
    let inside = format!("/{AUID}/");
    if roots.is_empty() {
        return path
            .find(&inside)
            .and_then(|at| path.get(at + inside.len()..));
    }
    roots.iter().filter(|root| fits(root)).find_map(|root| {
        let root = absolute(root).map_or(root.as_str(), |(_, path)| path);
        path.strip_prefix(root.trim_end_matches('/'))?
            .strip_prefix(&inside)
    })
}

/// Authority and path of an HTTP URI.
fn absolute(uri: &str) -> Option<(&str, &str)> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let start = uri.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(())?;
        uri.get(scheme.len()..)
    })?;
    let end = rest.find('/').unwrap_or(rest.len());
    rest.split_at_checked(end)
}

/// Hosts compare without case; the default ports may be written (RFC 3986 §6.2.3).
fn same_authority(one: &str, other: &str) -> bool {
    let bare = |authority: &str| -> String {
        let authority = authority
            .strip_suffix(":80")
            .or_else(|| authority.strip_suffix(":443"))
            .unwrap_or(authority);
        authority.to_ascii_lowercase()
    };
    bare(one) == bare(other)
}

/// The steps below `resource-lists`; `None` for what cannot name a list or an entry.
fn steps(node: &str, query: &str) -> Option<Vec<Step>> {
    let node = decoded(node)?;
    let query = decoded(query)?;
    let mut rest = node.as_str();
    let (root, after) = name(rest)?;
    if !names(root, "resource-lists", &query) {
        return None;
    }
    rest = after;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = step(rest.strip_prefix('/')?, &query)?;
        let inside_entry = steps.iter().any(|s: &Step| s.kind == Kind::Entry);
        if inside_entry || steps.len() >= STEPS {
            return None;
        }
        steps.push(step);
        rest = after;
    }
    (!steps.is_empty()).then_some(steps)
}

/// The qualified name at the start of a step, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(['[', '/']).unwrap_or(text.len()))
}

/// Without a prefix a name is in the namespace of the application usage; the query binds prefixes (RFC 4825 §6.4).
fn names(qualified: &str, local: &str, query: &str) -> bool {
    match qualified.split_once(':') {
        None => qualified == local,
        Some((prefix, name)) => {
            name == local && query.contains(&format!("xmlns({prefix}={NAMESPACE})"))
        }
    }
}

fn step<'a>(text: &'a str, query: &str) -> Option<(Step, &'a str)> {
    let (qualified, mut rest) = name(text)?;
    let (kind, attribute) = match () {
        () if names(qualified, "list", query) => (Kind::List, "name"),
        () if names(qualified, "entry", query) => (Kind::Entry, "uri"),
        () => return None,
    };
    let mut step = Step {
        kind,
        position: None,
        value: None,
    };
    while let Some(inside) = rest.strip_prefix('[') {
        let Some(test) = inside.strip_prefix('@') else {
            let (number, after) = inside.split_once(']')?;
            // a position stands before a test, and once
            if step.position.is_some() || step.value.is_some() {
                return None;
            }
            step.position = Some(number.parse().ok().filter(|n| *n > 0)?);
            rest = after;
            continue;
        };
        let (tested, value) = test.split_once('=')?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = value.get(1..)?.split_once(quote)?;
        if tested != attribute || step.value.is_some() {
            return None;
        }
        step.value = Some(unescaped(value)?.into());
        rest = after.strip_prefix(']')?;
    }
    Some((step, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, roots: &[&str]) -> String {
        let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        let Anchor { document, steps } = match Anchor::parse(text, &roots) {
            Err(NoAnchor::Elsewhere) => return "elsewhere".into(),
            Err(NoAnchor::NoDocument) => return "no document".into(),
            Ok(anchor) => anchor,
        };
        let Some(steps) = steps else {
            return format!("{document} whole");
        };
        let steps = steps.iter().map(|step| {
            let kind = if step.kind == Kind::List { 'l' } else { 'e' };
            let position = step.position.map_or(String::new(), |n| n.to_string());
            let value = step
                .value
                .as_ref()
                .map_or(String::new(), |v| format!("={v}"));
            format!(" {kind}{position}{value}")
        });
        format!("{}{}", document.name, steps.collect::<String>())
    }

    #[test]
    fn a_uri_names_a_list_of_this_server_or_nothing() {
        let own = &["http://xcap.ims.test/xcap-root"][..];
        let in_own = |rest: &str| {
            format!("http://xcap.ims.test/xcap-root/resource-lists/users/sip:b@x.test/{rest}")
        };
        let list = "index/~~/resource-lists/list%5B@name=%22a%22%5D";
        for (case, text, roots, expected) in [
            ("absolute", in_own(list), own, "index l=a"),
            ("absolute, any root", in_own(list), &[][..], "index l=a"),
            (
                "in another spelling",
                in_own(list).replace("http://xcap.ims.test", "HTTPS://XCAP.ims.test:443"),
                own,
                "index l=a",
            ),
            (
                "another host",
                in_own(list).replace("ims.test/", "ims.example/"),
                own,
                "elsewhere",
            ),
            (
                "a host that begins like ours",
                in_own(list).replace("ims.test/", "ims.test.evil.example/"),
                own,
                "elsewhere",
            ),
            (
                "a user name before another host",
                in_own(list).replace("xcap.ims.test/", "xcap.ims.test@evil.example/"),
                own,
                "elsewhere",
            ),
            (
                "another root",
                in_own(list).replace("xcap-root", "other"),
                own,
                "elsewhere",
            ),
            (
                "relative",
                format!("resource-lists/users/sip:b@x.test/{list}"),
                own,
                "index l=a",
            ),
            (
                "relative to the host",
                format!("/xcap-root/resource-lists/users/sip:b@x.test/{list}"),
                own,
                "index l=a",
            ),
            (
                "nested and counted",
                in_own("x/~~/resource-lists/list%5b2%5d/list%5b1%5d%5b@name='q'%5d"),
                own,
                "x l2 l1=q",
            ),
            (
                "an entry",
                in_own("i/~~/resource-lists/list[1]/entry[@uri=\"sip:a@x.test\"]"),
                own,
                "i l1 e=sip:a@x.test",
            ),
            (
                "a slash and a bracket in a name, escaped as XML has it",
                in_own("i/~~/resource-lists/list[@name=\"a/b] &quot;c\"]"),
                own,
                "i l=a/b] \"c",
            ),
            (
                "prefixes bound by the query",
                in_own(
                    "i/~~/r:resource-lists/r:list%5B1%5D?xmlns(r=urn:ietf:params:xml:ns:resource-lists)",
                ),
                own,
                "i l1",
            ),
            (
                "prefixes bound to something else",
                in_own("i/~~/r:resource-lists/r:list%5B1%5D?xmlns(r=urn:x)"),
                own,
                "resource-lists/users/sip:b@x.test/i whole",
            ),
            (
                "a whole document is no list",
                in_own("index"),
                own,
                "resource-lists/users/sip:b@x.test/index whole",
            ),
            (
                "an attribute is no list",
                in_own("index/~~/resource-lists/list[1]/@name"),
                own,
                "resource-lists/users/sip:b@x.test/index whole",
            ),
            (
                "a wildcard",
                in_own("index/~~/resource-lists/*[1]"),
                own,
                "resource-lists/users/sip:b@x.test/index whole",
            ),
            (
                "position zero",
                in_own("index/~~/resource-lists/list[0]"),
                own,
                "resource-lists/users/sip:b@x.test/index whole",
            ),
            (
                "another usage",
                in_own(list).replace("resource-lists/users", "pres-rules/users"),
                own,
                "elsewhere",
            ),
            ("a file", "file:///etc/passwd".into(), own, "elsewhere"),
            (
                "traversal",
                in_own("../x/~~/resource-lists/list[1]"),
                own,
                "no document",
            ),
            ("nothing", String::new(), own, "elsewhere"),
        ] {
            assert_eq!(shown(&text, roots), expected, "{case}: {text}");
        }
    }
}
