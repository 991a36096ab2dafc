//! Every refusal of a change of a part, and limits of what may result.

use super::*;

#[test]
fn a_change_that_cannot_be_made_is_refused_with_its_condition() {
    let deep = |n: usize| format!("{}{}", "<x>".repeat(n), "</x>".repeat(n));
    let (fits, too_deep) = (deep(63), deep(64));
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        // §7.4, §8.2.3: what is put is not what the selector names
        (
            "another value of the test",
            "PUT",
            "root/el1[@att='x']",
            "<el1 att='y'/>",
            "409 cannot-insert",
        ),
        (
            "another name",
            "PUT",
            "root/el3",
            "<el4/>",
            "409 cannot-insert",
        ),
        (
            "another namespace",
            "PUT",
            "root/el3",
            "<el3 xmlns='urn:x'/>",
            "409 cannot-insert",
        ),
        (
            "another name in a place",
            "PUT",
            "root/el1[1]",
            "<el2/>",
            "409 cannot-insert",
        ),
        (
            "the test no longer holds",
            "PUT",
            "root/el1[@att='first']",
            "<el1 att='1'/>",
            "409 cannot-insert",
        ),
        (
            "one of several",
            "PUT",
            "root/el1",
            "<el1/>",
            "409 cannot-insert",
        ),
        (
            "one more of the same",
            "PUT",
            "root/*[@att='first']",
            "<el2 att='first'/>",
            "409 cannot-insert",
        ),
        (
            "too far behind",
            "PUT",
            "root/el1[4]",
            "<el1/>",
            "409 cannot-insert",
        ),
        (
            "too far behind, any name",
            "PUT",
            "root/*[5]",
            "<el1/>",
            "409 cannot-insert",
        ),
        (
            "the second where there is none",
            "PUT",
            "root/el3[2]",
            "<el3/>",
            "409 cannot-insert",
        ),
        (
            "far beyond",
            "PUT",
            "root/*[4294967295]",
            "<el1/>",
            "409 cannot-insert",
        ),
        (
            "before the first",
            "PUT",
            "root/*[0]",
            "<el1/>",
            "409 cannot-insert",
        ),
        (
            "a second root",
            "PUT",
            "other",
            "<other/>",
            "409 cannot-insert",
        ),
        (
            "another root in its place",
            "PUT",
            "root",
            "<other/>",
            "409 cannot-insert",
        ),
        // §7.7
        (
            "the attribute that is tested",
            "PUT",
            "root/el1[@att='first']/@att",
            "'1'",
            "409 cannot-insert",
        ),
        (
            "a declaration",
            "PUT",
            "root/@xmlns",
            "'urn:x'",
            "409 cannot-insert",
        ),
        (
            "a declared prefix",
            "PUT",
            "root/@xmlns:p",
            "'urn:x'",
            "409 cannot-insert",
        ),
        // §7.5, §8.4
        (
            "the first of several",
            "DELETE",
            "root/el1[1]",
            "",
            "409 cannot-delete",
        ),
        (
            "one in the middle",
            "DELETE",
            "root/*[2]",
            "",
            "409 cannot-delete",
        ),
        ("the last of a name", "DELETE", "root/el1[2]", "", "200"),
        ("the last", "DELETE", "root/*[3]", "", "200"),
        (
            "the first, told by its attribute",
            "DELETE",
            "root/*[1][@att='first']",
            "",
            "200",
        ),
        (
            "the root",
            "DELETE",
            "root",
            "",
            "409 schema-validation-error",
        ),
        // §8.2.1
        ("no parent", "PUT", "root/no/x", "<x/>", "409 no-parent"),
        (
            "no root of this name",
            "PUT",
            "no/x",
            "<x/>",
            "409 no-parent",
        ),
        (
            "one parent of several",
            "PUT",
            "root/el1/x",
            "<x/>",
            "409 no-parent",
        ),
        (
            "no element for an attribute",
            "PUT",
            "root/no/@x",
            "'x'",
            "409 no-parent",
        ),
        (
            "one of several for an attribute",
            "PUT",
            "root/el1/@x",
            "'x'",
            "409 no-parent",
        ),
        ("nothing to delete", "DELETE", "root/no", "", "404"),
        ("one of several to delete", "DELETE", "root/el1", "", "404"),
        ("no attribute to delete", "DELETE", "root/@x", "", "404"),
        // §8.2.2
        ("no element", "PUT", "root/x", "x", "409 not-xml-frag"),
        (
            "two elements",
            "PUT",
            "root/x",
            "<x/><x/>",
            "409 not-xml-frag",
        ),
        ("no value", "PUT", "root/@x", "x", "409 not-xml-att-value"),
        // §8.2.5
        (
            "invalid",
            "PUT",
            "root/bad",
            "<bad/>",
            "409 schema-validation-error",
        ),
        (
            "invalid inside",
            "PUT",
            "root/x",
            "<x><bad/></x>",
            "409 schema-validation-error",
        ),
        // this server's limits
        ("as deep as can be", "PUT", "root/x", &fits, "201"),
        (
            "one deeper",
            "PUT",
            "root/x",
            &too_deep,
            "409 constraint-failure",
        ),
    ];
    for (case, method, path, body, expected) in cases {
        let mut sheet = Sheet::new(ROOT, "", Limits::default());
        assert_eq!(sheet.told(method, path, body), *expected, "{case}: {path}");
        assert_eq!(sheet.text() == ROOT, !expected.starts_with('2'), "{case}");
    }
    let needed = "<r><need/><a need='1'/></r>";
    for (path, expected) in [
        ("r/need", "409 constraint-failure"),
        ("r/a", "200"),
        ("r/a/@need", "200"),
    ] {
        let mut sheet = Sheet::new(needed, "", Limits::default());
        assert_eq!(sheet.told("DELETE", path, ""), expected);
    }
    let mut sheet = Sheet::new(ROOT, "", Limits::default());
    let latin = sheet.send("PUT", "root/x", "", b"<x>\xe9</x>");
    assert_eq!(conflict_name(&latin), "409 not-utf-8");
    let latin = sheet.send("PUT", "root/@x", "", b"'\xe9'");
    assert_eq!(conflict_name(&latin), "409 not-utf-8");
}

#[test]
fn the_closest_ancestor_is_told() {
    let document = "<r xmlns='urn:d' xmlns:p='urn:p'><p:a b='\"'><c/></p:a></r>";
    for (path, query, ancestor) in [
        ("r/x/y", "", Some("r")),
        ("q:r/q:x/z", "xmlns(q=urn:d)", Some("q:r?xmlns(q=urn:d)")),
        (
            "r/q:a[@b='\"']/x/@y",
            "xmlns(q=urn:p)",
            Some("r/q:a%5B@b='%22'%5D?xmlns(q=urn:p)"),
        ),
        ("r/*/c[2]/x", "", Some("r/*")),
        ("x/y", "", None),
    ] {
        let mut sheet = Sheet::new(document, "urn:d", Limits::default());
        let refused = sheet.send("PUT", path, query, b"'<y/>'");
        assert_eq!(conflict_name(&refused), "409 no-parent", "{path}");
        let report = guard::parse(&refused.body, &Limits::default()).unwrap();
        let told = report
            .descendants()
            .find(|n| n.tag_name().name() == "ancestor");
        assert_eq!(told.and_then(|n| n.text()), ancestor, "{path}");
        // It can be used as it is.
        if let Some((path, query)) = ancestor.map(|uri| uri.split_once('?').unwrap_or((uri, ""))) {
            let selector = NodeSelector::parse(path, Some(query), "urn:d").unwrap();
            let read = roxmltree::Document::parse(document).unwrap();
            assert!(node::find(&read, &selector).is_some(), "{path}");
        }
    }
}

#[test]
fn the_result_is_held_to_the_size_of_a_document() {
    let limits = Limits {
        bytes: 40,
        ..Limits::default()
    };
    let mut sheet = Sheet::new("<r><a/></r>", "", limits);
    let long = |n: usize| format!("<b>{}</b>", "x".repeat(n));
    assert_eq!(sheet.told("PUT", "r/b", &long(22)), "201");
    assert_eq!(sheet.text().len(), 40);
    assert_eq!(sheet.told("PUT", "r/@c", "''"), "409 constraint-failure");
    assert_eq!(
        sheet.told("PUT", "r/b", &long(23)),
        "409 constraint-failure"
    );
    assert_eq!(sheet.told("PUT", "r/b", &long(34)), "413");
    assert_eq!(sheet.text().len(), 40);
    // A document from before the limit was lowered may be read and become smaller.
    let large = format!("<r><a/>{}</r>", long(50));
    let mut sheet = Sheet::new(&large, "", limits);
    assert_eq!(sheet.told("GET", "r/b", ""), "200");
    assert_eq!(sheet.told("PUT", "r/c", "<c/>"), "409 constraint-failure");
    assert_eq!(sheet.told("DELETE", "r/a", ""), "200");
    assert_eq!(sheet.told("PUT", "r/b", &long(1)), "200");
}
