//! What may be stored, and how a refusal is explained.

use super::*;

#[test]
fn a_document_that_may_not_be_stored_is_explained() {
    let twice = ruleset("<cr:rule id='a'/><cr:rule id='a'/>");
    let known = ruleset("<cr:rule id='a'><cr:actions><pr:handling/></cr:actions></cr:rule>");
    let value = ruleset(
        "<cr:rule id='a'><cr:actions><pr:sub-handling>maybe</pr:sub-handling></cr:actions></cr:rule>",
    );
    let doctype = format!("<!DOCTYPE ruleset>{EMPTY}");
    let deep = ruleset(&format!("{}{}", "<x>".repeat(64), "</x>".repeat(64)));
    let latin = format!("<?xml version='1.0' encoding='ISO-8859-1'?>{EMPTY}");
    for (case, target, body, element, phrase) in [
        ("no XML", INDEX, "hello", "not-well-formed", "1:1"),
        ("an empty body", INDEX, "", "not-well-formed", ""),
        ("a tag left open", INDEX, "<a>", "not-well-formed", ""),
        (
            "another encoding",
            INDEX,
            latin.as_str(),
            "not-utf-8",
            "ISO-8859-1",
        ),
        (
            "a document type",
            INDEX,
            doctype.as_str(),
            "constraint-failure",
            "document type",
        ),
        (
            "a document type, to an OMA client",
            OMA,
            doctype.as_str(),
            "local-constraint-failure",
            "document type",
        ),
        (
            "deep nesting",
            INDEX,
            deep.as_str(),
            "constraint-failure",
            "deeper",
        ),
        (
            "another document",
            INDEX,
            "<a/>",
            "schema-validation-error",
            "ruleset",
        ),
        (
            "an element that is no document",
            INDEX,
            "<class xmlns='urn:ietf:params:xml:ns:pres-rules'/>",
            "schema-validation-error",
            "ruleset",
        ),
        (
            "the same id twice",
            INDEX,
            twice.as_str(),
            "schema-validation-error",
            "the id \"a\" is used twice",
        ),
        (
            "an unknown name of a known vocabulary",
            INDEX,
            known.as_str(),
            "schema-validation-error",
            "/ruleset/rule/actions/handling",
        ),
        (
            "a value",
            INDEX,
            value.as_str(),
            "schema-validation-error",
            "\"allow\", \"polite-block\"",
        ),
        (
            "a sub-directory",
            "pres-rules/users/sip:bob@ims.test/a/b",
            EMPTY,
            "no-parent",
            "sub-directories",
        ),
        (
            "another name under the OMA usage",
            "org.openmobilealliance.pres-rules/users/sip:bob@ims.test/index",
            EMPTY,
            "constraint-failure",
            "pres-rules",
        ),
    ] {
        let mut server = Server::new();
        server.put(INDEX, EMPTY);
        server.put(OMA, EMPTY);
        let before = server.documents.clone();
        let response = server.put(target, body);
        assert_eq!(response.status, 409, "{case}");
        let (found, words) = conflict(&response);
        assert_eq!(found, element, "{case}: {words}");
        assert!(words.contains(phrase), "{case}: {words}");
        assert_eq!(server.documents, before, "{case}");
    }
}

#[test]
fn oma_constraints_hold_where_its_vocabulary_is_used() {
    let anonymous =
        "<cr:rule id='z'><cr:conditions><ocp:anonymous-request/></cr:conditions></cr:rule>";
    let rule = |conditions: &str, handling: &str, transformations: &str| {
        format!(
            "<cr:rule id='a'><cr:conditions>{conditions}</cr:conditions><cr:actions><pr:sub-handling>{handling}\
             </pr:sub-handling></cr:actions><cr:transformations>{transformations}</cr:transformations></cr:rule>"
        )
    };
    let list = |uri: &str| {
        rule(
            &format!("<ocp:external-list><ocp:entry anc='{uri}'/></ocp:external-list>"),
            "allow",
            "",
        )
    };
    let two = "<cr:identity><cr:many/></cr:identity><cr:identity><cr:many/></cr:identity>";
    let all = "<pr:provide-all-attributes/>";
    let own = "http://xcap.ims.test/xcap-root/resource-lists/users/sip:bob@ims.test/index/~~/resource-lists/list%5b1%5d";
    let (complex, transform, foreign, outside) = (
        "Complex rules",
        "transformations",
        "another user",
        "this XCAP root",
    );
    for (case, rules, refused) in [
        (
            "one of each kind",
            rule("<ocp:other-identity/>", "allow", all),
            None,
        ),
        ("two identities, no OMA", rule(two, "allow", all), None),
        (
            "two identities",
            rule(two, "allow", "") + anonymous,
            Some(complex),
        ),
        (
            "two of an OMA kind",
            rule("<ocp:other-identity/><ocp:other-identity/>", "allow", ""),
            Some(complex),
        ),
        (
            "transformations of a block rule, no OMA",
            rule("", "block", all),
            None,
        ),
        (
            "transformations of a block rule",
            rule("", "block", all) + anonymous,
            Some(transform),
        ),
        (
            "empty transformations of a block rule",
            rule("", "block", " <!-- --> ") + anonymous,
            None,
        ),
        (
            "an OMA permission of a confirm rule",
            rule(
                "",
                "confirm",
                "<op:provide-willingness>1</op:provide-willingness>",
            ),
            Some(transform),
        ),
        ("an own list", list(own), None),
        (
            "an own list in another spelling",
            list("https://ims.test/resource-lists/users/sip%3Abob%40ims.test/x"),
            None,
        ),
        (
            "another user's list",
            list("http://ims.test/resource-lists/users/sip:alice@ims.test/index"),
            Some(foreign),
        ),
        (
            "traversal to another user's list",
            list(
                "http://ims.test/resource-lists/users/sip:bob@ims.test%2f..%2fsip:alice@ims.test/index",
            ),
            Some(foreign),
        ),
        (
            "a list for everybody",
            list("http://ims.test/resource-lists/global/index"),
            Some(foreign),
        ),
        (
            "no list",
            list("http://ims.test/pres-rules/users/sip:bob@ims.test/index"),
            Some(outside),
        ),
        ("a file", list("file:///etc/passwd"), Some(outside)),
    ] {
        let response = Server::new().put(INDEX, &ruleset(&rules));
        match refused {
            None => assert_eq!(response.status, 201, "{case}: {:?}", response.body),
            Some(phrase) => {
                let (element, words) = conflict(&response);
                assert_eq!(
                    (response.status, element.as_str()),
                    (409, "constraint-failure"),
                    "{case}"
                );
                assert!(words.contains(phrase), "{case}: {words}");
            }
        }
    }
    let rooted = |root: &str| {
        Server::with(Settings {
            roots: vec![root.to_owned()],
            ..Settings::default()
        })
    };
    assert_eq!(
        rooted("http://xcap.ims.test/xcap-root/")
            .put(INDEX, &ruleset(&list(own)))
            .status,
        201
    );
    assert_eq!(
        rooted("http://xcap.ims.test")
            .put(INDEX, &ruleset(&list(own)))
            .status,
        409
    );
    let mut open = Server::with(Settings {
        foreign_lists: true,
        ..Settings::default()
    });
    assert_eq!(
        open.put(INDEX, &ruleset(&list("http://elsewhere.test/list")))
            .status,
        201
    );
}

#[test]
fn a_user_keeps_no_more_than_the_quota() {
    let limits = Settings {
        max_documents_per_user: 2,
        max_bytes_per_user: 3 * EMPTY.len(),
        ..Settings::default()
    };
    let mut server = Server::with(limits);
    let path = |user: &str, name: &str| format!("pres-rules/users/sip:{user}@ims.test/{name}");
    let longer = |n: usize| EMPTY.to_owned() + &" ".repeat(n);
    assert_eq!(server.put(&path("bob", "a"), EMPTY).status, 201);
    assert_eq!(server.put(OMA, EMPTY).status, 201);
    let full = server.put(&path("bob", "c"), EMPTY);
    assert_eq!(
        (full.status, conflict(&full).0.as_str()),
        (409, "constraint-failure")
    );
    assert_eq!(
        server.put(&path("bob", "a"), &longer(EMPTY.len())).status,
        200,
        "up to the last byte"
    );
    assert_eq!(
        server
            .put(&path("bob", "a"), &longer(EMPTY.len() + 1))
            .status,
        409,
        "one byte more"
    );
    server.xdm.settings.max_bytes_per_user = 1;
    assert_eq!(
        server.put(&path("bob", "a"), &longer(1)).status,
        200,
        "over a lowered limit it may shrink"
    );
    let other = Request {
        identity: Identity::Server,
        ..request("PUT", &path("eve", "a"), EMPTY)
    };
    server.xdm.settings.max_bytes_per_user = EMPTY.len();
    assert_eq!(
        server.send(&other).status,
        201,
        "each user has a quota of their own"
    );
}
