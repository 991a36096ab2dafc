//! From text to [`Tree`]. The guard has found the text well-formed, so this only takes it apart.

use super::names::{Names, Uri};
use super::tree::{Attribute, DOCUMENT, Declaration, Element, Kind, NodeId, Tree};
use quick_xml::escape::unescape;
use std::borrow::Cow;

/// Reads a document.
pub(super) fn read<'a>(text: &'a str, names: &mut Names) -> Tree<'a> {
    let mut reader = Reader {
        tree: Tree::empty(),
        open: DOCUMENT,
        scope: vec![("", Uri::NONE), ("xml", Uri::XML)],
        outer: Vec::new(),
        names,
    };
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    if rest.starts_with("<?xml") && rest[5..].starts_with([' ', '\t', '\r', '\n']) {
        rest = cut(rest, "?>").1;
    }
    while !rest.is_empty() {
        rest = reader.step(rest);
    }
    reader.tree
}

struct Reader<'a, 'n> {
    tree: Tree<'a>,
    open: NodeId,
    /// Bindings in scope, the innermost last.
    scope: Vec<(&'a str, Uri)>,
    /// For each open element, how many bindings hold outside it.
    outer: Vec<usize>,
    names: &'n mut Names,
}

/// `text` up to and including `end`, and what is behind; all of it where there is no `end`.
fn cut<'a>(text: &'a str, end: &str) -> (&'a str, &'a str) {
    match text.find(end) {
        Some(at) => text.split_at(at + end.len()),
        None => (text, ""),
    }
}

impl<'a> Reader<'a, '_> {
    /// Takes one piece of markup or text off the front.
    fn step(&mut self, rest: &'a str) -> &'a str {
        if rest.starts_with("<!--") {
            let (raw, rest) = cut(rest, "-->");
            self.child(Kind::Comment(raw));
            rest
        } else if rest.starts_with("<![CDATA[") {
            let (raw, rest) = cut(rest, "]]>");
            self.text(raw);
            rest
        } else if rest.starts_with("<?") {
            let (raw, rest) = cut(rest, "?>");
            self.child(Kind::Instruction(raw));
            rest
        } else if rest.starts_with("</") {
            if self.open != DOCUMENT {
                self.close();
            }
            cut(rest, ">").1
        } else if let Some(tag) = rest.strip_prefix('<') {
            self.start(tag)
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            self.text(&rest[..end]);
            &rest[end..]
        }
    }

    fn child(&mut self, kind: Kind<'a>) -> NodeId {
        let id = self.tree.push(self.open, kind);
        if let Some(children) = self.tree.children_mut(self.open) {
            children.push(id);
        }
        id
    }

    /// Character data. A run in several pieces is one text node (XPath 1.0 §5.7); outside the root there is none.
    fn text(&mut self, raw: &'a str) {
        if self.open == DOCUMENT {
            return;
        }
        let last = self.tree.children(self.open).last().copied();
        if let Some(Kind::Text(before)) = last.and_then(|id| self.tree.kind_mut(id)) {
            before.to_mut().push_str(raw);
        } else {
            self.child(Kind::Text(raw.into()));
        }
    }

    fn close(&mut self) {
        self.scope.truncate(self.outer.pop().unwrap_or(2));
        self.open = self.tree.parent(self.open);
    }

    /// A start tag, from behind its `<`.
    fn start(&mut self, rest: &'a str) -> &'a str {
        let space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let end = rest
            .find(|c: char| space(c) || matches!(c, '/' | '>'))
            .unwrap_or(rest.len());
        let (name, mut rest) = rest.split_at(end);
        self.outer.push(self.scope.len());
        let mut element = Element::default();
        let mut plain: Vec<(&'a str, &'a str, Cow<'a, str>)> = Vec::new();
        let empty = loop {
            rest = rest.trim_start_matches(space);
            let Some((name, value, after)) = one_attribute(rest) else {
                break rest.starts_with('/');
            };
            rest = after;
            let (prefix, local) = split(name);
            if name == "xmlns" || prefix == "xmlns" {
                let prefix = if prefix.is_empty() { "" } else { local };
                let uri = self.names.intern(&value);
                self.scope.push((prefix, uri));
                element.declared.push(Declaration {
                    prefix: prefix.into(),
                    uri,
                });
            } else {
                plain.push((prefix, local, value));
            }
        };
        let (prefix, local) = split(name);
        element.prefix = prefix.into();
        element.local = local.into();
        element.uri = self.resolve(prefix);
        element.attributes = plain
            .into_iter()
            .map(|(prefix, local, value)| Attribute {
                prefix: prefix.into(),
                local: local.into(),
                // The default namespace does not hold for attributes.
                uri: if prefix.is_empty() {
                    Uri::NONE
                } else {
                    self.resolve(prefix)
                },
                value,
            })
            .collect();
        self.open = self.child(Kind::Element(element));
        if empty {
            self.close();
        }
        cut(rest, ">").1
    }

    fn resolve(&self, prefix: &str) -> Uri {
        let bound = self.scope.iter().rev().find(|(bound, _)| *bound == prefix);
        bound.map_or(Uri::NONE, |(_, uri)| *uri)
    }
}

/// Prefix and local part of a name as written.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

/// The attribute at the front: its name, its value with references resolved, and what is behind it.
fn one_attribute(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    if text.starts_with(['/', '>']) {
        return None;
    }
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (raw, after) = rest.get(1..)?.split_once(quote)?;
    Some((name.trim_end(), attribute_value(raw), after))
}

/// An attribute value, normalised (XML 1.0 §3.3.3).
fn attribute_value(raw: &str) -> Cow<'_, str> {
    let spaced: Cow<'_, str> = if raw.contains(['\t', '\n', '\r']) {
        raw.replace("\r\n", " ")
            .replace(['\t', '\n', '\r'], " ")
            .into()
    } else {
        raw.into()
    };
    resolved(spaced)
}

/// Character data as read by anyone: line ends normalised (XML 1.0 §2.11), references resolved, CDATA taken out of its
/// marks.
pub(super) fn text_value(raw: &str) -> Cow<'_, str> {
    let lines: Cow<'_, str> = if raw.contains('\r') {
        raw.replace("\r\n", "\n").replace('\r', "\n").into()
    } else {
        raw.into()
    };
    if !lines.contains("<![CDATA[") {
        return resolved(lines);
    }
    let mut out = String::new();
    let mut rest = lines.as_ref();
    while let Some((before, section)) = rest.split_once("<![CDATA[") {
        out.push_str(&resolved(before.into()));
        let (literal, after) = section.split_once("]]>").unwrap_or((section, ""));
        out.push_str(literal);
        rest = after;
    }
    out.push_str(&resolved(rest.into()));
    out.into()
}

fn resolved(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('&') {
        return text;
    }
    let resolved = unescape(&text).map(Cow::into_owned);
    resolved.map_or(text, Cow::Owned)
}

/// Whether character data is white space only, whatever way it is written.
pub(super) fn is_blank(raw: &str) -> bool {
    text_value(raw)
        .bytes()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}
