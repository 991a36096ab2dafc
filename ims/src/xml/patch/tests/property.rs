//! Whatever two documents are, the patch made of them makes one of the other, on any copy that says the same.

use super::super::{Diff, Frame, generate, same};
use super::RULES;
use proptest::prelude::*;

/// A document as what it says. Numbers name namespaces, names and values.
#[derive(Clone, Debug)]
struct Model {
    uri: u8,
    local: u8,
    id: Option<u8>,
    attributes: Vec<(u8, u8)>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Text(u8),
    Children(Vec<Model>),
    Mixed(u8, Vec<Model>),
}

const URIS: [&str; 4] = ["urn:pidf", "urn:a", "urn:b&'<", ""];
const TEXTS: [&str; 5] = ["", "open", "a < b & \"c\" 'd'", "two\nlines\t", "]]>é"];

/// How a document is written: where namespaces are declared and as what.
#[derive(Clone, Copy, Debug)]
struct Style(u64);

impl Style {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }
}

fn escape(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;")
}

fn in_attribute(text: &str) -> String {
    escape(text).replace('\n', "&#10;").replace('\t', "&#9;")
}

/// Writes an element; `scope` is what prefixes mean around it.
fn write(
    model: &Model,
    style: &mut Style,
    scope: &mut Vec<(String, &'static str)>,
    out: &mut String,
) {
    let uri = URIS[usize::from(model.uri) % 4];
    let outer = scope.len();
    let bound = |scope: &[(String, &'static str)], prefix: &str| {
        let found = scope.iter().rev().find(|(p, _)| p == prefix);
        found.map_or("", |(_, uri)| *uri)
    };
    let mut declared = String::new();
    let mut declare = |prefix: &str, uri: &'static str, scope: &mut Vec<_>| {
        let name = if prefix.is_empty() {
            "xmlns".into()
        } else {
            format!("xmlns:{prefix}")
        };
        declared.push_str(&format!(" {name}=\"{}\"", escape(uri)));
        scope.push((prefix.to_owned(), uri));
    };
    let usable: Vec<String> = scope
        .iter()
        .map(|(prefix, _)| prefix.clone())
        .filter(|prefix| bound(scope, prefix) == uri && (prefix.is_empty() || !uri.is_empty()))
        .collect();
    let fresh = style.next(4) == 0;
    let prefix = if uri.is_empty() {
        if !bound(scope, "").is_empty() {
            declare("", "", scope);
        }
        String::new()
    } else if let (Some(prefix), false) = (
        usable.get(style.next(usable.len().max(1) as u64) as usize),
        fresh,
    ) {
        prefix.clone()
    } else {
        let prefix = ["", "p", "q", "r"][style.next(4) as usize];
        declare(prefix, uri, scope);
        prefix.to_owned()
    };
    let name = |prefix: &str| match prefix {
        "" => format!("e{}", model.local % 3),
        prefix => format!("{prefix}:e{}", model.local % 3),
    };
    let mut attributes = String::new();
    if let Some(id) = model.id {
        attributes.push_str(&format!(
            " id=\"{}\"",
            ["t1", "t2", "it's", "\"'"].map(escape)[usize::from(id) % 4]
        ));
    }
    for (local, value) in &model.attributes {
        let value = in_attribute(TEXTS[usize::from(*value) % 5]);
        let local = ["a", "b", "xml:lang", "z:c"][usize::from(*local) % 4];
        if local == "z:c" && bound(scope, "z") != "urn:z" {
            declare("z", "urn:z", scope);
        }
        attributes.push_str(&format!(" {local}=\"{value}\""));
    }
    let name = name(&prefix);
    out.push_str(&format!("<{name}{declared}{attributes}>"));
    match &model.content {
        Content::Text(text) => out.push_str(&escape(TEXTS[usize::from(*text) % 5])),
        Content::Children(children) => {
            for child in children {
                out.push_str(["", "", "\n ", "<!-- c -->"][style.next(4) as usize]);
                write(child, style, scope, out);
            }
        }
        Content::Mixed(text, children) => {
            for child in children {
                out.push_str(&escape(TEXTS[usize::from(*text) % 5]));
                write(child, style, scope, out);
            }
        }
    }
    out.push_str(&format!("</{name}>"));
    scope.truncate(outer);
}

/// The root is as every presence document's: in the default namespace.
fn document(children: &[Model], style: Style) -> String {
    let mut style = style;
    let mut scope = vec![(String::new(), "urn:pidf")];
    let mut out = String::from("<presence xmlns=\"urn:pidf\"");
    for (prefix, uri) in [("q", "urn:a"), ("s", URIS[2])] {
        if style.next(2) == 0 {
            out.push_str(&format!(" xmlns:{prefix}=\"{}\"", escape(uri)));
            scope.push((prefix.into(), uri));
        }
    }
    out.push('>');
    for child in children {
        write(child, &mut style, &mut scope, &mut out);
    }
    out.push_str("</presence>");
    out
}

fn attributes() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::btree_map(0..4u8, 0..5u8, 0..3).prop_map(|map| map.into_iter().collect())
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = (
        0..4u8,
        0..3u8,
        prop::option::of(0..4u8),
        attributes(),
        0..5u8,
    )
        .prop_map(|(uri, local, id, attributes, text)| Model {
            uri,
            local,
            id,
            attributes,
            content: Content::Text(text),
        });
    leaf.prop_recursive(4, 40, 6, |inner| {
        let content = prop_oneof![
            4 => prop::collection::vec(inner.clone(), 0..6).prop_map(Content::Children),
            1 => (0..5u8, prop::collection::vec(inner, 0..3)).prop_map(|(t, c)| Content::Mixed(t, c)),
        ];
        (0..4u8, 0..3u8, prop::option::of(0..4u8), attributes(), content).prop_map(
            |(uri, local, id, attributes, content)| Model {
                uri,
                local,
                id,
                attributes,
                content,
            },
        )
    })
}

/// A change somewhere: which, where, and what it brings.
fn change(children: &mut Vec<Model>, kind: u8, at: &mut u32, new: &Model) {
    let count = children.len() as u32;
    let here = (*at % (count + 1)) as usize;
    *at /= count + 1;
    if let (Some(child), true) = (children.get_mut(here), !at.is_multiple_of(3))
        && let Content::Children(inner) | Content::Mixed(_, inner) = &mut child.content
    {
        return change(inner, kind, at, new);
    }
    match (kind % 6, here < children.len()) {
        (0, _) | (_, false) => children.insert(here, new.clone()),
        (1, true) => drop(children.remove(here)),
        (2, true) => children[here].content = new.content.clone(),
        (3, true) => children[here].attributes = new.attributes.clone(),
        (4, true) => {
            let moved = children.remove(here);
            children.insert(*at as usize % (children.len() + 1), moved);
        }
        (_, true) => children.insert(here, children[here].clone()),
    }
}

fn changes() -> impl Strategy<Value = Vec<(u8, u32, Model)>> {
    prop::collection::vec((0..6u8, any::<u32>(), model()), 1..5)
}

fn changed(children: &[Model], changes: &[(u8, u32, Model)]) -> Vec<Model> {
    let mut children = children.to_vec();
    for (kind, at, new) in changes {
        change(&mut children, *kind, &mut at.clone(), new);
    }
    children
}

/// What a holder of `copy` has after being told of the way from `old` to `new`.
fn follow(copy: &str, old: &str, new: &str) -> Result<Option<String>, TestCaseError> {
    let frame = Frame {
        default: "urn:pidf",
        prefix: "p",
        operations: 1_000,
    };
    let Some(operations) = generate(old, new, &frame) else {
        return Ok(None);
    };
    let declared: String = operations
        .declarations
        .iter()
        .map(|(prefix, uri)| format!(" xmlns:{prefix}=\"{}\"", escape(uri)))
        .collect();
    let text = &operations.text;
    let diff = format!("<p:diff xmlns=\"urn:pidf\" xmlns:p=\"urn:diff\"{declared}>{text}</p:diff>");
    let read = Diff::read(diff.as_bytes(), &RULES.limits);
    let patched = read.and_then(|read| read.apply(copy.as_bytes(), &RULES));
    match patched {
        Ok(patched) => Ok(Some(patched)),
        Err(failure) => Err(TestCaseError::fail(format!(
            "{failure:?}\n{copy}\n{old}\n{new}\n{diff}"
        ))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_patch_makes_the_new_document_of_any_copy_of_the_old(
        first in prop::collection::vec(model(), 0..6),
        one in changes(),
        two in changes(),
        styles in any::<[u64; 4]>(),
    ) {
        let second = changed(&first, &one);
        let third = changed(&second, &two);
        let copy = document(&first, Style(styles[0]));
        let [a, b, c] = [(&first, 1), (&second, 2), (&third, 3)].map(|(d, s)| document(d, Style(styles[s])));
        prop_assert!(same(&copy, &a));
        let after = follow(&copy, &a, &b)?.unwrap_or_else(|| b.clone());
        prop_assert!(same(&after, &b), "{copy}\n{a}\n{b}\ngives\n{after}");
        let last = follow(&after, &b, &c)?.unwrap_or_else(|| c.clone());
        prop_assert!(same(&last, &c), "{after}\n{b}\n{c}\ngives\n{last}");
    }

    #[test]
    fn documents_that_differ_are_not_the_same(
        first in prop::collection::vec(model(), 0..4),
        new in model(),
        styles in any::<[u64; 2]>(),
    ) {
        let mut more = first.clone();
        more.push(new);
        prop_assert!(!same(&document(&first, Style(styles[0])), &document(&more, Style(styles[1]))));
    }

    #[test]
    fn whatever_the_diff_nothing_breaks(
        target in prop::collection::vec(model(), 0..4),
        diff in prop::collection::vec(model(), 0..4),
        sel in "(id\\('t1'\\)|\\*)?(/(e[0-2]|\\*|q:e1|text\\(\\)|@a|namespace::q|comment\\(\\))(\\[[1-3]\\]|\\[@id='t1'\\]|\\[\\.='open'\\])?){0,3}",
        name in "add|replace|remove",
        attribute in "( pos='(before|after|prepend)'| type='(@a|@q:n|namespace::q)'| ws='both')?",
    ) {
        let target = document(&target, Style(7));
        let content = document(&diff, Style(8));
        let content = content.split_once('>').map_or("", |(_, rest)| rest);
        let content = content.strip_suffix("</presence>").unwrap_or_default();
        let sel = escape(&sel);
        let diff = format!(
            "<d xmlns='urn:pidf' xmlns:q='urn:a' xmlns:s=\"{}\"><{name} sel=\"{sel}\"{attribute}>{content}</{name}></d>",
            escape(URIS[2]),
        );
        // What is applied is well-formed again, and what is not gives a reason.
        if let Ok(patched) = super::patched(&target, &diff, &RULES) {
            let again = crate::xml::guard::parse(patched.as_bytes(), &RULES.limits.document);
            prop_assert!(again.is_ok(), "{target}\n{diff}\n{patched}");
        }
    }
}
