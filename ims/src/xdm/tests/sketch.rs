//! What is read of a document for an edit, held against the whole: every selector names the same node in both, and
//! every edit is the same splice.

use crate::xdm::edit::{put_attribute, put_element, remove};
use crate::xdm::fragment;
use crate::xdm::node::{Found, find, walk};
use crate::xdm::selector::NodeSelector;
use crate::xdm::sketch::Sketch;
use crate::xml::guard::{self, Limits};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;

const NAMES: [&str; 6] = ["list", "entry", "x:list", "y:entry", "é", "list-x"];

/// Pairs of a value as written in a document and in a URI.
const VALUES: [(&str, &str); 8] = [
    ("1", "1"),
    ("2", "2"),
    ("a b", "a%20b"),
    ("a\tb", "a%20b"),
    ("a&#32;b", "a%20b"),
    ("&lt;/list>", "%26lt;/list%3E"),
    ("é", "%C3%A9"),
    ("", ""),
];

const BODIES: [&str; 5] = [
    "<list name='1'/>",
    "<entry><list/>t</entry>",
    "<x:list name='2'>\n</x:list>",
    "<y:entry/>",
    "<q:list xmlns:q='urn:d'/>",
];

fn attributes() -> impl Strategy<Value = String> {
    let value = || (prop::sample::select(&VALUES[..]), any::<bool>());
    let bindings = prop::sample::select(vec![
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        " xmlns='urn:x'",
        " xmlns=''",
        " xmlns:x='urn:d'",
    ]);
    let names = (
        prop::option::of(value()),
        prop::option::weighted(0.2, value()),
        prop::option::weighted(0.2, value()),
    );
    (names, bindings).prop_map(|((name, uri, other), bindings)| {
        let written = [("name", name), ("uri", uri), ("x:name", other)].map(|(name, value)| {
            value.map_or(String::new(), |((value, _), double)| match double {
                true => format!("\n {name} = \"{value}\""),
                false => format!(" {name}='{value}'"),
            })
        });
        format!("{}{bindings}", written.concat())
    })
}

fn nodes() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => Just("\n  ".to_owned()),
        1 => Just("text > ]] &amp; é".to_owned()),
        1 => Just("<!-- </list> <entry -->".to_owned()),
        1 => Just("<![CDATA[</list><list name='1'>]]>".to_owned()),
        1 => Just("<?p <list> ' ?>".to_owned()),
        6 => (prop::sample::select(&NAMES[..]), attributes())
            .prop_map(|(name, attributes)| format!("<{name}{attributes}/>")),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let content = prop::collection::vec(inner, 0..6);
        (prop::sample::select(&NAMES[..]), attributes(), content).prop_map(
            |(name, attributes, content)| {
                format!("<{name}{attributes} >{}</{name}\n>", content.concat())
            },
        )
    })
}

fn documents() -> impl Strategy<Value = String> {
    let prolog = prop::sample::select(vec!["", "<?xml version='1.0'?>\n<!-- <r> -->", "\u{feff}"]);
    (prolog, prop::collection::vec(nodes(), 0..7)).prop_map(|(prolog, content)| {
        let content = content.concat();
        format!("{prolog}<r xmlns='urn:d' xmlns:x='urn:x' xmlns:y='urn:d'>{content}</r>\n<!-- -->")
    })
}

fn selectors() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "list", "list", "entry", "x:list", "y:entry", "*", "%C3%A9",
    ]);
    let test = (
        prop::sample::select(vec!["name", "name", "uri", "x:name"]),
        prop::sample::select(&VALUES[..]),
    )
        .prop_map(|(name, (_, value))| format!("%5B@{name}=%22{value}%22%5D"));
    let position = prop::option::weighted(0.3, 0..5_u32)
        .prop_map(|position| position.map_or(String::new(), |n| format!("%5B{n}%5D")));
    let test = prop::option::weighted(0.4, test).prop_map(Option::unwrap_or_default);
    let step = (name, position, test)
        .prop_map(|(name, position, test)| format!("/{name}{position}{test}"));
    let root = prop::sample::select(vec!["r", "r", "r", "*", "list", "r%5B@name=%221%22%5D"]);
    let end = prop::sample::select(vec!["", "", "/@name", "/@x:name", "/namespace::*"]);
    (root, prop::collection::vec(step, 0..4), end)
        .prop_map(|(root, steps, end)| format!("{root}{}{end}", steps.concat()))
}

/// What a found node is, told by places in the document itself.
fn told(
    found: Option<&Found<'_, '_>>,
    read: &roxmltree::Document<'_>,
    sketch: Option<&Sketch<'_>>,
) -> String {
    let Some(found) = found else {
        return "nothing".to_owned();
    };
    match (found.range(read), sketch) {
        (Some(range), None) => format!("{range:?}"),
        (Some(range), Some(sketch)) => format!("{:?}", sketch.original_range(&range)),
        (None, _) => found.content(read).into_owned(),
    }
}

/// Everything that is asked of a document for one selector: where the nodes are, and the splice of every edit.
fn asked(
    read: &roxmltree::Document<'_>,
    sketch: Option<&Sketch<'_>>,
    selector: &NodeSelector,
) -> Vec<String> {
    let found = find(read, selector);
    let mut all = vec![told(found.as_ref(), read, sketch)];
    let placed = |splice: crate::xdm::edit::Splice| match sketch {
        Some(sketch) => format!("{:?}", splice.of_original(sketch)),
        None => format!("{splice:?}"),
    };
    if let Some(removal) = found.and_then(|found| remove(read, &found)) {
        all.push(placed(removal));
    }
    let (last, before) = selector.steps.split_last().expect("a selector has a step");
    match walk(read, &selector.steps) {
        Ok(element) => {
            let names = NodeSelector::parse("r/@x:name", Some("xmlns(x=urn:x)"), "urn:d")
                .expect("a selector");
            let Some(crate::xdm::selector::Terminal::Attribute(name)) = names.terminal else {
                unreachable!("an attribute")
            };
            let put = put_attribute(read, element, &name, "'v'");
            all.push(put.map_or_else(|refused| format!("{refused:?}"), placed));
        }
        Err(taken) => all.push(format!("{taken} steps")),
    }
    let parent = match walk(read, before) {
        Ok(parent) => parent,
        Err(taken) => {
            all.push(format!("{taken} steps to the parent"));
            return all;
        }
    };
    for body in BODIES {
        let put = fragment::element(body.as_bytes(), parent, &Limits::default())
            .and_then(|element| put_element(read, parent, last, &element));
        all.push(put.map_or_else(|refused| format!("{refused:?}"), placed));
    }
    all
}

#[test]
fn a_sketch_answers_every_selector_and_makes_every_edit_as_the_whole_document_does() {
    let found = Cell::new(0);
    let shorter = Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 3_000,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &(documents(), prop::collection::vec(selectors(), 1..6)),
        |(document, paths)| {
            let whole = guard::parse(document.as_bytes(), &Limits::default()).expect("well-formed");
            for path in paths {
                let selector =
                    NodeSelector::parse(&path, Some("xmlns(x=urn:x)xmlns(y=urn:d)"), "urn:d");
                let selector =
                    selector.map_err(|why| TestCaseError::fail(format!("{path}: {why:?}")))?;
                let sketch = Sketch::of(document.as_bytes(), &selector.steps);
                let read = sketch.read(&Limits::default());
                let read = read.map_err(|why| TestCaseError::fail(format!("{path}: {why}")))?;
                prop_assert_eq!(
                    asked(&read, Some(&sketch), &selector),
                    asked(&whole, None, &selector),
                    "{}\n{}",
                    path,
                    read.input_text()
                );
                found.set(found.get() + usize::from(find(&whole, &selector).is_some()));
                shorter.set(shorter.get() + usize::from(read.input_text().len() < document.len()));
            }
            Ok(())
        },
    );
    outcome.expect("the same");
    assert!(found.get() > 500, "only {} nodes were found", found.get());
    assert!(
        shorter.get() > 3_000,
        "only {} documents were reduced",
        shorter.get()
    );
}
