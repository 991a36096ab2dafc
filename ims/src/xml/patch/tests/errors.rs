//! Each error condition of RFC 5261 §5.1, the bounds, and that the report is a document.

use super::super::{Diff, Error, Limits, Rules, guard};
use super::{RULES, patched};

#[test]
fn what_cannot_be_fulfilled_is_told_by_its_condition() {
    use Error::*;
    let target = "<d a='1' xmlns:p='urn:p' xmlns:q='urn:q'>\n<f p:k='1'/>x<g/></d>";
    for (operation, error) in [
        ("<add sel='d['/>", InvalidAttributeValue),
        ("<add sel=''/>", InvalidAttributeValue),
        ("<add sel='d/@a'>x</add>", InvalidAttributeValue),
        ("<add sel='d//f'/>", InvalidAttributeValue),
        ("<add sel='../d'/>", InvalidAttributeValue),
        ("<add sel='d[last()]'/>", InvalidAttributeValue),
        ("<add sel='d[@a=1]'/>", InvalidAttributeValue),
        ("<add sel='d' pos='behind'/>", InvalidAttributeValue),
        ("<add sel='d' type='b'>x</add>", InvalidAttributeValue),
        ("<add sel='d' type='@1'>x</add>", InvalidAttributeValue),
        (
            "<add sel='d' type='@b' pos='before'>x</add>",
            InvalidAttributeValue,
        ),
        (
            "<add sel='d' type='namespace::xmlns'>x</add>",
            InvalidAttributeValue,
        ),
        ("<remove sel='d/f' ws='all'/>", InvalidAttributeValue),
        (
            "<remove sel='d/text()[1]' ws='after'/>",
            InvalidAttributeValue,
        ),
        ("<remove sel='d/@a' ws='after'/>", InvalidAttributeValue),
        (
            "<add sel='d' type='@b'><![CDATA[x]]></add>",
            InvalidAttributeValue,
        ),
        (
            "<replace sel='d/@a'><![CDATA[x]]></replace>",
            InvalidAttributeValue,
        ),
        ("<add>x</add>", InvalidDiffFormat),
        ("text", InvalidDiffFormat),
        ("<remove sel='d/f'>x</remove>", InvalidDiffFormat),
        ("<add sel='d/p:f'/>", InvalidNamespacePrefix),
        ("<add sel='d' type='@p:x'>x</add>", InvalidNamespacePrefix),
        ("<remove sel='d/namespace::p'/>", InvalidNamespacePrefix),
        ("<remove sel='d/namespace::r'/>", InvalidNamespacePrefix),
        (
            "<add sel='d/f' type='namespace::p'>urn:other</add>",
            InvalidNamespacePrefix,
        ),
        ("<add sel='d'><n:x/></add>", InvalidNamespaceUri),
        ("<add sel='d' type='@n:x'>x</add>", InvalidNamespaceUri),
        ("<add sel='d' type='namespace::r'/>", InvalidNamespaceUri),
        (
            "<replace sel='d/namespace::p'>http://www.w3.org/2000/xmlns/</replace>",
            InvalidNamespaceUri,
        ),
        ("<replace sel='d/f'>text</replace>", InvalidNodeTypes),
        ("<replace sel='d/f'> <f/></replace>", InvalidNodeTypes),
        ("<replace sel='d/f'/>", InvalidNodeTypes),
        ("<replace sel='d/f'><!-- c --></replace>", InvalidNodeTypes),
        (
            "<replace sel='d/text()[1]'><f/></replace>",
            InvalidNodeTypes,
        ),
        ("<replace sel='d/@a'><f/></replace>", InvalidNodeTypes),
        ("<move sel='d'/>", InvalidPatchDirective),
        ("<n:add sel='d'/>", InvalidPatchDirective),
        ("<add sel='d' to='x'/>", InvalidPatchDirective),
        ("<add sel='d' type='@a'>x</add>", InvalidPatchDirective),
        (
            "<add sel='d' type='namespace::p'>x</add>",
            InvalidPatchDirective,
        ),
        ("<add sel='d/text()[1]'>x</add>", InvalidPatchDirective),
        ("<remove sel='d'/>", InvalidRootElementOperation),
        (
            "<add sel='d' pos='after'><e/></add>",
            InvalidRootElementOperation,
        ),
        (
            "<add sel='d' pos='before'>x</add>",
            InvalidXmlPrologOperation,
        ),
        (
            "<remove sel='d/g' ws='before'/>",
            InvalidWhitespaceDirective,
        ),
        ("<remove sel='d/g' ws='after'/>", InvalidWhitespaceDirective),
        ("<remove sel='d/f' ws='both'/>", InvalidWhitespaceDirective),
        ("<remove sel='d/h'/>", UnlocatedNode),
        ("<remove sel='d/*'/>", UnlocatedNode),
        ("<remove sel='d/@b'/>", UnlocatedNode),
        (
            "<replace sel='d/comment()'><!----></replace>",
            UnlocatedNode,
        ),
        ("<remove sel='d/f'/><remove sel='d/f'/>", UnlocatedNode),
    ] {
        let diff = format!("<diff xmlns:n='urn:n'>{operation}</diff>");
        let failure = patched(target, &diff, &RULES).expect_err(operation);
        assert_eq!(failure.error, error, "{operation}: {}", failure.phrase);
        let document = failure.document();
        if let Some(document) = &document {
            let parsed = guard::parse(document.as_bytes(), &guard::Limits::default());
            assert!(parsed.is_ok(), "{operation}: {document}");
        }
        let whole = operation == "text" || operation.starts_with("<n:");
        assert_eq!(
            document.is_some(),
            !whole || error == InvalidDiffFormat,
            "{operation}"
        );
    }
}

#[test]
fn a_diff_that_does_not_read_is_told_by_its_condition() {
    for (diff, error) in [
        (&b"<diff>"[..], Error::InvalidDiffFormat),
        (b"<!DOCTYPE diff><diff/>", Error::InvalidDiffFormat),
        (
            b"<diff><add sel='d'>&foo;</add></diff>",
            Error::InvalidEntityDeclaration,
        ),
        (b"<diff>\xe9</diff>", Error::InvalidCharacterSet),
        (
            b"<?xml version='1.0' encoding='ISO-8859-1'?><diff/>",
            Error::InvalidCharacterSet,
        ),
    ] {
        let failure = Diff::read(diff, &Limits::default()).expect_err("not a document");
        assert_eq!(failure.error, error);
    }
}

#[test]
fn without_knowledge_of_ids_only_xml_id_is_found() {
    let rules = Rules {
        is_id: None,
        ..RULES
    };
    let target = "<d><e id='a'/><e xml:id='b'/></d>";
    let remove = |id: &str| format!("<diff><remove sel=\"id('{id}')\"/></diff>");
    let failure = patched(target, &remove("a"), &rules).expect_err("no attribute is an ID");
    assert_eq!(failure.error, Error::UnsupportedIdFunction);
    assert!(patched(target, &remove("b"), &rules).is_ok());
}

#[test]
fn every_cost_has_its_bound() {
    let small = guard::Limits {
        bytes: 2_000,
        depth: 5,
        attributes: 3,
        ..guard::Limits::default()
    };
    let rules = Rules {
        limits: Limits {
            document: small,
            operations: 4,
            selector: 40,
            visits: 50,
        },
        ..RULES
    };
    let add = |content: &str| format!("<add sel='d'>{content}</add>");
    let many = "<e/>".repeat(30);
    let long = format!("<d>{}</d>", "0".repeat(2_000 - 38 - 500 - 7));
    let prefix = format!("<d xmlns:{}='urn:n'/>", "p".repeat(700));
    for (case, target, inside, outside) in [
        (
            "operations",
            "<d/>",
            add("<e/>").repeat(4),
            add("<e/>").repeat(5),
        ),
        (
            "nesting",
            "<d/>",
            add("<a><a><a><a/></a></a></a>"),
            "<add sel='d'><a><a/></a></add><add sel='d/a/a'><a><a><a/></a></a></add>".into(),
        ),
        (
            "selector",
            "<d/>",
            add(""),
            format!("<add sel=\"d[@a='{}']\"/>", "x".repeat(40)),
        ),
        (
            "visits",
            &format!("<d>{many}</d>"),
            "<remove sel='d/e[1]'/>".into(),
            "<remove sel='d/e[1]'/>".repeat(2),
        ),
        (
            "attributes",
            "<d a='1' b='2'/>",
            "<add sel='d' type='@c'>1</add>".into(),
            "<add sel='d' type='@c'>1</add><add sel='d' type='@d'>1</add>".into(),
        ),
        (
            "growth",
            &long,
            add(&"x".repeat(500)),
            add(&"x".repeat(501)),
        ),
        (
            "growth by long prefixes",
            &prefix,
            add("<n:a/>"),
            add("<n:a/><n:a/>"),
        ),
    ] {
        let result = |operations: &str| {
            let diff = format!("<diff xmlns:n='urn:n'>{operations}</diff>");
            patched(target, &diff, &rules).map_err(|failure| failure.error)
        };
        assert!(result(&inside).is_ok(), "{case}: {:?}", result(&inside));
        assert_eq!(result(&outside).err(), Some(Error::TooMuch), "{case}");
    }
}

#[test]
fn a_report_repeats_the_operation_in_its_namespaces() {
    let diff = "<p:diff xmlns:p='urn:p' xmlns='urn:d'><p:add sel=\"id('no')\"><note>x</note></p:add></p:diff>";
    let failure = patched("<d/>", diff, &RULES).expect_err("no such id");
    let document = failure.document().expect("a report");
    assert!(
        document.contains("<unlocated-node phrase=\"Node Not Located\"><p:add "),
        "{document}"
    );
    assert!(document.contains("xmlns=\"urn:d\""), "{document}");
    assert!(
        document.contains("<note>x</note></p:add></unlocated-node>"),
        "{document}"
    );
    let long = diff.replace(">x<", &format!(">{}<", "x".repeat(5_000)));
    let failure = patched("<d/>", &long, &RULES).expect_err("no such id");
    let document = failure.document().expect("a report");
    assert!(document.len() < 1_000, "{document}");
}
