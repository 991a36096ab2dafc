//! XCAP over HTTP: documents of `pres-rules`.

use crate::harness::{Server, http, rules};

const BOB: &str = "sip:bob@ims.test";
const PATH: &str = "/xcap-root/pres-rules/users/sip:bob@ims.test/index";
const AS_BOB: (&str, &str) = ("X-3GPP-Asserted-Identity", "\"sip:bob@ims.test\"");
const AS_EVE: (&str, &str) = ("X-3GPP-Asserted-Identity", "\"sip:eve@ims.test\"");
const KIND: (&str, &str) = ("Content-Type", "application/auth-policy+xml");

/// XCP-01: the life of a document.
#[test]
fn a_document_is_created_read_replaced_and_deleted() {
    let server = Server::start("");
    let (one, two) = (
        rules("sip:alice@ims.test", "allow"),
        rules("sip:alice@ims.test", "block"),
    );
    let ask = |method, body| http(server.http, method, PATH, &[AS_BOB, KIND], body);

    assert_eq!(ask("GET", "").status, 404, "before");
    let created = ask("PUT", &one);
    assert_eq!(created.status, 201);
    let etag = created.header("etag").expect("an entity-tag").to_owned();
    let read = ask("GET", "");
    assert_eq!(
        (read.status, read.body.as_str()),
        (200, one.as_str()),
        "what was put is what is read"
    );
    assert_eq!(read.header("etag"), Some(etag.as_str()));
    assert_eq!(
        read.header("content-type"),
        Some("application/auth-policy+xml")
    );
    let replaced = ask("PUT", &two);
    assert_eq!(replaced.status, 200);
    assert_ne!(
        replaced.header("etag"),
        Some(etag.as_str()),
        "a new entity-tag"
    );
    assert_eq!(ask("GET", "").body, two);
    assert_eq!(ask("DELETE", "").status, 200);
    assert_eq!(ask("GET", "").status, 404, "after");
    assert_eq!(ask("DELETE", "").status, 404, "twice");
    server.stop();
}

/// XCP-04 for whole documents: conditions are kept (RFC 4825 §8, RFC 9110 §13).
#[test]
fn conditions_are_kept() {
    let server = Server::start("");
    let one = rules("sip:alice@ims.test", "allow");
    let ask = |method, condition: (&str, &str), body| {
        http(server.http, method, PATH, &[AS_BOB, KIND, condition], body)
    };
    let etag = ask("PUT", ("If-None-Match", "*"), &one)
        .header("etag")
        .unwrap_or_default()
        .to_owned();
    for (case, method, condition, status) in [
        (
            "create only, but it is there",
            "PUT",
            ("If-None-Match", "*"),
            412,
        ),
        (
            "another tag than the present one",
            "PUT",
            ("If-Match", "\"other\""),
            412,
        ),
        (
            "the present tag",
            "GET",
            ("If-None-Match", etag.as_str()),
            304,
        ),
        ("another tag", "GET", ("If-None-Match", "\"other\""), 200),
        (
            "delete another version",
            "DELETE",
            ("If-Match", "\"other\""),
            412,
        ),
        (
            "delete this version",
            "DELETE",
            ("If-Match", etag.as_str()),
            200,
        ),
    ] {
        let body = if method == "PUT" { one.as_str() } else { "" };
        assert_eq!(ask(method, condition, body).status, status, "{case}");
    }
    server.stop();
}

/// XCP-06 and XCP-03 for whole documents: refusals, and that each leaves the document as it was.
#[test]
fn refusals_change_nothing() {
    let server = Server::start("");
    let one = rules("sip:alice@ims.test", "allow");
    assert_eq!(server.put_rules(BOB, &one), 201);
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><r>&b;</r>";
    let deep = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
    let foreign = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"><rule/></ruleset>";
    let latin = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>";
    let big = format!("<!--{}-->{one}", "x".repeat(1 << 20));
    for (case, method, path, headers, body, status) in [
        (
            "another user writes",
            "PUT",
            PATH,
            vec![AS_EVE, KIND],
            one.as_str(),
            403,
        ),
        ("another user reads", "GET", PATH, vec![AS_EVE], "", 403),
        (
            "another user deletes",
            "DELETE",
            PATH,
            vec![AS_EVE],
            "",
            403,
        ),
        (
            "nobody is asserted",
            "PUT",
            PATH,
            vec![KIND],
            one.as_str(),
            403,
        ),
        (
            "another media type",
            "PUT",
            PATH,
            vec![AS_BOB, ("Content-Type", "text/xml")],
            one.as_str(),
            415,
        ),
        (
            "not well-formed",
            "PUT",
            PATH,
            vec![AS_BOB, KIND],
            "<ruleset",
            409,
        ),
        (
            "not UTF-8 by its own word",
            "PUT",
            PATH,
            vec![AS_BOB, KIND],
            latin,
            409,
        ),
        (
            "an invalid document",
            "PUT",
            PATH,
            vec![AS_BOB, KIND],
            foreign,
            409,
        ),
        ("an entity bomb", "PUT", PATH, vec![AS_BOB, KIND], bomb, 409),
        (
            "nested beyond reason",
            "PUT",
            PATH,
            vec![AS_BOB, KIND],
            deep.as_str(),
            409,
        ),
        (
            "above the size limit",
            "PUT",
            PATH,
            vec![AS_BOB, KIND],
            big.as_str(),
            413,
        ),
        (
            "a method XCAP does not have",
            "POST",
            PATH,
            vec![AS_BOB, KIND],
            one.as_str(),
            405,
        ),
        (
            "an unknown application usage",
            "GET",
            "/xcap-root/nothing/users/sip:bob@ims.test/index",
            vec![AS_BOB],
            "",
            404,
        ),
        (
            "out of the tree",
            "GET",
            "/xcap-root/../etc/passwd",
            vec![AS_BOB],
            "",
            404,
        ),
    ] {
        let answer = http(server.http, method, path, &headers, body);
        assert_eq!(answer.status, status, "{case}: {}", answer.body);
        if status == 409 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/xcap-error+xml"),
                "{case}"
            );
            let error =
                roxmltree::Document::parse(&answer.body).expect("a well-formed error document");
            assert!(
                error
                    .root_element()
                    .has_tag_name(("urn:ietf:params:xml:ns:xcap-error", "xcap-error")),
                "{case}"
            );
        }
        let kept = http(server.http, "GET", PATH, &[AS_BOB], "");
        assert_eq!(
            (kept.status, kept.body.as_str()),
            (200, one.as_str()),
            "unharmed after: {case}"
        );
    }
    server.stop();
}
