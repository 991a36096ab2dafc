//! Parts of documents of the usages that are served: conditions, types, order of checks, and constraints that hold for
//! the document that would result.

use super::*;
use crate::xdm::media::{ATTRIBUTE, ELEMENT};

const LISTS: &str = "resource-lists/users/sip:bob@ims.test/index";
const LISTS_TYPE: &str = "application/resource-lists+xml";

/// The document of RFC 4825 §13 before its first entry.
const FRIENDS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\n  <list name=\"friends\">\n  </list>\n</resource-lists>\n";

/// A request for a part of Bob's lists, its selector as a client sends it.
fn part(method: &str, selector: &str, body: &str) -> Request {
    let kind = match selector.rsplit('/').next() {
        Some(last) if last.starts_with('@') => ATTRIBUTE,
        _ => ELEMENT,
    };
    Request {
        content_type: (method == "PUT").then(|| kind.to_owned()),
        ..request(method, &format!("{LISTS}/~~/{selector}"), body)
    }
}

fn with_lists(document: &str) -> Server {
    let mut server = Server::new();
    let put = Request {
        content_type: Some(LISTS_TYPE.to_owned()),
        ..request("PUT", LISTS, document)
    };
    assert_eq!(server.send(&put).status, 201);
    server
}

fn text(server: &Server) -> String {
    let key = DocumentKey::user(
        Aor::parse("sip:bob@ims.test").unwrap(),
        "resource-lists",
        "index",
    );
    String::from_utf8(server.documents[&key].bytes.to_vec()).unwrap()
}

fn told(response: &Response) -> String {
    match response.status {
        409 => format!("409 {}", conflict(response).0),
        status => status.to_string(),
    }
}

#[test]
fn the_story_of_section_13_is_told() {
    let mut server = with_lists(FRIENDS);
    let bob = "<entry uri=\"sip:bob@example.com\">\n      <display-name>Bob Jones</display-name>\n    </entry>";
    let friends = "resource-lists/list%5b@name=%22friends%22%5d";
    // figures 26 to 28
    assert_eq!(
        server
            .send(&part("PUT", &format!("{friends}/entry"), bob))
            .status,
        201
    );
    assert_eq!(
        text(&server),
        FRIENDS.replace("  </list>", &format!("  {bob}</list>"))
    );
    // figures 29 to 32
    let close = "<list name=\"close-friends\"><entry uri=\"sip:joe@example.com\"/> <entry uri=\"sip:nancy@example.com\"/><entry uri=\"sip:petri@example.com\"/></list>";
    let put = part(
        "PUT",
        &format!("{friends}/list%5b@name=%22close-friends%22%5d"),
        close,
    );
    assert_eq!(server.send(&put).status, 201);
    let petri = "resource-lists/list/list/entry%5b@uri=%22sip:petri@example.com%22%5d";
    assert_eq!(server.send(&part("DELETE", petri, "")).status, 200);
    let nancy = server.send(&part(
        "GET",
        "resource-lists/list/list/entry%5b2%5d/@uri",
        "",
    ));
    assert_eq!(
        (nancy.status, &nancy.body[..]),
        (200, &b"\"sip:nancy@example.com\""[..])
    );
    assert_eq!(nancy.content_type.as_deref(), Some(ATTRIBUTE));
    let close = close.replace("<entry uri=\"sip:petri@example.com\"/>", "");
    assert_eq!(
        text(&server),
        FRIENDS.replace("  </list>", &format!("  {bob}{close}</list>"))
    );
}

#[test]
fn every_part_has_the_entity_tag_of_its_document() {
    let entry = "resource-lists/list/entry%5B@uri=%22sip:a@x.test%22%5D";
    let document = FRIENDS.replace("  </list>", "<entry uri=\"sip:a@x.test\"/></list>");
    let other = "<entry uri='sip:a@x.test'/>";
    for (case, method, selector, if_match, if_none_match, status) in [
        (
            "PUT on the state seen",
            "PUT",
            entry,
            Some("\"t1\""),
            None,
            200,
        ),
        (
            "PUT of a new element on the state seen",
            "PUT",
            "resource-lists/list[2]",
            Some("\"t1\""),
            None,
            201,
        ),
        (
            "PUT on a state gone by",
            "PUT",
            entry,
            Some("\"t0\""),
            None,
            412,
        ),
        (
            "PUT of a new element on a state gone by",
            "PUT",
            "resource-lists/list[2]",
            Some("\"t0\""),
            None,
            412,
        ),
        (
            "PUT to create only",
            "PUT",
            "resource-lists/list[2]",
            None,
            Some("*"),
            412,
        ),
        (
            "PUT to create only what is there",
            "PUT",
            entry,
            None,
            Some("*"),
            412,
        ),
        (
            "PUT of an attribute to create only",
            "PUT",
            "resource-lists/list/@x",
            None,
            Some("*"),
            412,
        ),
        ("PUT unless seen", "PUT", entry, None, Some("\"t1\""), 412),
        (
            "PUT unless seen, another",
            "PUT",
            entry,
            None,
            Some("\"t0\""),
            200,
        ),
        ("PUT if there", "PUT", entry, Some("*"), None, 200),
        ("GET the same", "GET", entry, None, Some("\"t1\""), 304),
        ("HEAD the same", "HEAD", entry, None, Some("*"), 304),
        ("GET another", "GET", entry, None, Some("\"t0\""), 200),
        ("GET only this", "GET", entry, Some("\"t0\""), None, 412),
        (
            "GET what is not there",
            "GET",
            "resource-lists/list/x",
            None,
            Some("\"t1\""),
            404,
        ),
        (
            "GET bindings",
            "GET",
            "resource-lists/namespace::*",
            None,
            Some("\"t1\""),
            304,
        ),
        (
            "DELETE the state seen",
            "DELETE",
            entry,
            Some("\"t1\""),
            None,
            200,
        ),
        (
            "DELETE a state gone by",
            "DELETE",
            entry,
            Some("\"t0\""),
            None,
            412,
        ),
        (
            "DELETE what is not there",
            "DELETE",
            "resource-lists/list/x",
            Some("\"t0\""),
            None,
            404,
        ),
        ("nonsense", "PUT", entry, Some("t1"), None, 400),
    ] {
        let mut server = with_lists(&document);
        let body = match selector {
            "resource-lists/list/@x" => "'x'",
            "resource-lists/list[2]" => "<list/>",
            _ => other,
        };
        let response = server.send(&Request {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
            ..part(method, selector, body)
        });
        assert_eq!(response.status, status, "{case}");
        let changed = matches!(status, 200 | 201) && matches!(method, "PUT" | "DELETE");
        let expected = match status {
            200 | 201 | 304 if changed => Some("\"t2\""),
            200 | 304 => Some("\"t1\""),
            _ => None,
        };
        assert_eq!(response.etag.as_deref(), expected, "{case}");
        assert_eq!(text(&server) != document, changed, "{case}");
        if changed {
            let whole = server.send(&request("GET", LISTS, ""));
            assert_eq!(whole.etag, response.etag, "{case}");
        }
    }
}

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

#[test]
fn names_without_prefix_are_of_the_namespace_of_the_usage() {
    let mut server = Server::new();
    let body = ruleset(
        "<cr:rule id='a'><cr:actions><pr:sub-handling>allow</pr:sub-handling></cr:actions></cr:rule>",
    );
    assert_eq!(server.put(INDEX, &body).status, 201);
    // RFC 5025 §9.3: the namespace of pres-rules, in which the document element is not
    let handling = "/cp:ruleset/cp:rule%5B@id=%22a%22%5D/cp:actions/sub-handling";
    let query = Some("xmlns(cp=urn:ietf:params:xml:ns:common-policy)".to_owned());
    let get = |path: &str| Request {
        query: query.clone(),
        ..request("GET", &format!("{INDEX}/~~{path}"), "")
    };
    let got = server.send(&get(handling));
    assert_eq!(
        (got.status, &got.body[..]),
        (200, &b"<pr:sub-handling>allow</pr:sub-handling>"[..])
    );
    assert_eq!(server.send(&get("/ruleset")).status, 404);
    let put = Request {
        content_type: Some(ELEMENT.to_owned()),
        body: Bytes::from_static(b"<pr:sub-handling>maybe</pr:sub-handling>"),
        method: Method::Put,
        ..get(handling)
    };
    assert_eq!(told(&server.send(&put)), "409 schema-validation-error");
    let put = Request {
        body: Bytes::from_static(b"<pr:sub-handling>block</pr:sub-handling>"),
        ..put
    };
    assert_eq!(server.send(&put).status, 200);
    assert_eq!(
        server.send(&request("GET", INDEX, "")).body,
        body.replace("allow", "block")
    );
}

#[test]
fn a_document_that_the_server_makes_is_read_in_parts_too() {
    let mut server = Server::new();
    let caps = "xcap-caps/global/index/~~/xcap-caps/auids/auid%5B1%5D";
    let got = server.send(&request("GET", caps, ""));
    assert_eq!(
        (got.status, &got.body[..]),
        (200, &b"<auid>xcap-caps</auid>"[..])
    );
    for method in ["PUT", "DELETE"] {
        let response = server.send(&Request {
            identity: Identity::Server,
            ..request(method, caps, "<auid/>")
        });
        assert_eq!(response.status, 405, "{method}");
    }
}

#[test]
fn permanent_state_stays_about_its_owner() {
    let index = "pidf-manipulation/users/sip:bob@ims.test/index";
    let mut server = Server::new();
    let put = Request {
        content_type: Some("application/pidf+xml".to_owned()),
        ..request(
            "PUT",
            index,
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:bob@ims.test'/>",
        )
    };
    assert_eq!(server.send(&put).status, 201);
    for (value, expected) in [
        ("'sip:eve@ims.test'", "409 constraint-failure"),
        ("'tel:+36105550001'", "200"),
    ] {
        let put = Request {
            content_type: Some(ATTRIBUTE.to_owned()),
            ..request("PUT", &format!("{index}/~~/presence/@entity"), value)
        };
        assert_eq!(told(&server.send(&put)), expected);
    }
}

#[test]
fn an_edit_counts_against_what_a_user_may_keep() {
    let settings = Settings {
        max_bytes_per_user: FRIENDS.len() + 10,
        ..Settings::default()
    };
    let mut server = Server::with(settings);
    let put = Request {
        content_type: Some(LISTS_TYPE.to_owned()),
        ..request("PUT", LISTS, FRIENDS)
    };
    assert_eq!(server.send(&put).status, 201);
    let grown = server.send(&part("PUT", "resource-lists/list[2]", "<list  />"));
    assert_eq!(grown.status, 201);
    let over = server.send(&part("PUT", "resource-lists/list[3]", "<list name='b'/>"));
    assert_eq!(told(&over), "409 constraint-failure");
    let less = server.send(&part("PUT", "resource-lists/list[2]", "<list/>"));
    assert_eq!(less.status, 200);
}
