//! What is refused, in which order, and for which document.

use super::*;

#[test]
fn requests_for_parts_are_refused_in_the_order_of_section_8() {
    let list = "resource-lists/list";
    let alice = || Identity::User("\"sip:alice@ims.test\"".to_owned());
    let long = format!("r{}", "/x".repeat(2100));
    let deep = vec!["x"; 65].join("/");
    for (case, method, selector, kind, identity, status) in [
        ("POST", "POST", list, None, bob(), "405"),
        ("another user reads", "GET", list, None, alice(), "403"),
        (
            "another user writes",
            "PUT",
            list,
            Some(ELEMENT),
            alice(),
            "403",
        ),
        (
            "nobody deletes",
            "DELETE",
            list,
            None,
            Identity::Unknown,
            "403",
        ),
        (
            "an extension selector",
            "GET",
            "id(%22x%22)",
            None,
            bob(),
            "404",
        ),
        (
            "an extension selector, for others",
            "GET",
            "id(%22x%22)",
            None,
            alice(),
            "404",
        ),
        (
            "an extension selector, written",
            "PUT",
            "resource-lists/list%5Blast()%5D",
            Some(ELEMENT),
            bob(),
            "404",
        ),
        (
            "nothing behind the separator",
            "GET",
            "",
            None,
            bob(),
            "404",
        ),
        ("a prefix of nowhere", "GET", "p:x", None, bob(), "400"),
        (
            "a prefix of nowhere, written",
            "PUT",
            "resource-lists/list/@p:x",
            Some("text/plain"),
            bob(),
            "400",
        ),
        (
            "a prefix of nowhere, for others",
            "GET",
            "p:x",
            None,
            alice(),
            "403",
        ),
        (
            "a broken escape",
            "GET",
            "resource-lists/%5",
            None,
            bob(),
            "400",
        ),
        ("a path of 4 KB", "GET", &long, None, bob(), "414"),
        ("65 steps", "DELETE", &deep, None, bob(), "414"),
        (
            "bindings of nothing, written",
            "PUT",
            "x/namespace::*",
            Some("text/plain"),
            bob(),
            "405",
        ),
        ("no type", "PUT", list, None, bob(), "415"),
        (
            "an element as XML",
            "PUT",
            list,
            Some("application/xml"),
            bob(),
            "415",
        ),
        (
            "an element as an attribute",
            "PUT",
            list,
            Some(ATTRIBUTE),
            bob(),
            "415",
        ),
        (
            "an element as a document",
            "PUT",
            list,
            Some(LISTS_TYPE),
            bob(),
            "415",
        ),
        (
            "an attribute as an element",
            "PUT",
            "resource-lists/list/@name",
            Some(ELEMENT),
            bob(),
            "415",
        ),
        (
            "another charset",
            "PUT",
            list,
            Some("application/xcap-el+xml;charset=latin1"),
            bob(),
            "409 not-utf-8",
        ),
        (
            "no parent",
            "PUT",
            "resource-lists/x/list",
            Some(ELEMENT),
            bob(),
            "409 no-parent",
        ),
        (
            "the type in other words",
            "PUT",
            list,
            Some("Application/XCAP-el+xml; charset=\"utf-8\""),
            bob(),
            "409 cannot-insert",
        ),
        ("a server", "GET", list, None, Identity::Server, "200"),
    ] {
        let mut server = with_lists(FRIENDS);
        let response = server.send(&Request {
            content_type: kind.map(str::to_owned),
            identity,
            ..part(method, selector, "<x/>")
        });
        assert_eq!(told(&response), status, "{case}");
        assert_eq!(text(&server), FRIENDS, "{case}");
        assert_eq!(response.allow.is_some(), status == "405", "{case}");
    }
    let mut empty = Server::new();
    let (conditional, plain) = (Some("\"t1\"".to_owned()), None);
    for if_match in [conditional, plain] {
        let put = Request {
            if_match,
            ..part("PUT", list, "<x/>")
        };
        assert_eq!(told(&empty.send(&put)), "409 no-parent", "no document");
    }
    assert_eq!(empty.send(&part("GET", list, "")).status, 404);
    assert_eq!(empty.send(&part("DELETE", list, "")).status, 404);
    let coded = Request {
        content_encoding: Some("gzip".to_owned()),
        ..part("PUT", list, "<x/>")
    };
    assert_eq!(with_lists(FRIENDS).send(&coded).status, 415);
}

#[test]
fn constraints_hold_for_the_document_that_would_result() {
    let document = FRIENDS.replace(
        "  </list>",
        "<entry uri=\"sip:a@x.test\"/><entry uri=\"sip:b@x.test\"/><entry-ref ref=\"a/b\"/><external anchor=\"http://x.test/\"/></list>",
    );
    for (case, method, selector, body, expected) in [
        (
            "an entry that is there",
            "PUT",
            "resource-lists/list/entry[3]",
            "<entry uri='sip:a@x.test'/>",
            "409 uniqueness-failure",
        ),
        (
            "a value that is there",
            "PUT",
            "resource-lists/list/entry[2]/@uri",
            "'sip:a@x.test'",
            "409 uniqueness-failure",
        ),
        (
            "a list that is there",
            "PUT",
            "resource-lists/*[2]",
            "<list name='friends'/>",
            "409 uniqueness-failure",
        ),
        (
            "an absolute reference",
            "PUT",
            "resource-lists/list/entry-ref/@ref",
            "'http://x.test/'",
            "409 constraint-failure",
        ),
        (
            "a needed attribute",
            "DELETE",
            "resource-lists/list/entry[1]/@uri",
            "",
            "409 schema-validation-error",
        ),
        (
            "an element out of place",
            "PUT",
            "resource-lists/list/list",
            "<list><display-name/><display-name/></list>",
            "409 schema-validation-error",
        ),
        (
            "a name that the namespace lacks",
            "PUT",
            "resource-lists/list/x",
            "<x xmlns='urn:ietf:params:xml:ns:resource-lists'/>",
            "409 schema-validation-error",
        ),
        (
            "another namespace where there may be one",
            "PUT",
            "resource-lists/list/*[@a='1']",
            "<x xmlns='urn:x' a='1'/>",
            "201",
        ),
        (
            "an attribute that the schema lacks",
            "PUT",
            "resource-lists/list/@other",
            "'en'",
            "409 schema-validation-error",
        ),
        (
            "the name taken away",
            "DELETE",
            "resource-lists/list/@name",
            "",
            "200",
        ),
        (
            "an entry taken away",
            "DELETE",
            "resource-lists/list/entry[2]",
            "",
            "200",
        ),
    ] {
        let mut server = with_lists(&document);
        let response = server.send(&part(method, selector, body));
        assert_eq!(told(&response), expected, "{case}");
        assert_eq!(text(&server) == document, response.status == 409, "{case}");
    }
}
