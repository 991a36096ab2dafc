//! Parts of documents of the usages that are served: conditions, types, order of checks, and constraints that hold for
//! the document that would result.

mod refused;

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
